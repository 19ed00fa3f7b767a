"""doc/control.md, checked: nemoctl against daemons played by this test, and the schemas against the
real ones."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import threading

import pytest

from lib import ROOT
from lib.control import (  # noqa: F401 (with fixtures)
    EVENT, HA, MR, NAT64, NEMOCTL, ctl, fake, mistakes, named, schemas,
)
from lib.daemon import ControlError, Daemon
from lib.prom import promtool, samples, value
from lib.topo import Link, Node, Radvd, Topology
from lib.wait import patient, wait_for

pytestmark = pytest.mark.novm("a socket and JSON: no kernel takes part")


def test_the_cardboard_is_as_documented():
    known = schemas()
    for kind, answers in ("nemo-ha", HA), ("nemo-mr", MR), ("nemo-nat64", NAT64):
        for cmd, data in answers.items():
            schema = known.get(f"{kind} {cmd}") or known[f"any {cmd}"]
            assert not mistakes(data, schema), f"{kind} {cmd}"
    assert not mistakes(EVENT, known["any event"])


def test_the_validator_finds_mistakes():
    known = schemas()
    wrong = json.loads(json.dumps(HA["bindings"]))
    wrong[0]["state"], wrong[0]["moves"] = "lost", True
    del wrong[0]["mode"]
    assert len(mistakes(wrong, known["nemo-ha bindings"])) == 3
    assert mistakes({}, known["nemo-ha bindings"])


def test_every_event_is_documented():
    with open(os.path.join(ROOT, "common", "core", "note.h")) as f:
        events = set(re.findall(r'X\(\w+, "([\w.]+)"', f.read()))
    with open(os.path.join(ROOT, "doc", "control.md")) as f:
        documented = set(re.findall(r"^\| `([\w.]+)` \|", f.read(), re.M))
    assert events and events == documented


def test_summary_of_all_daemons(fake, ctl):
    fake("a", HA)
    fake("b", MR)
    head, ha, mr = ctl().splitlines()
    assert head.split() == "DAEMON NAME ADDRESS STATE CARE OF ENGINE PROTECTION UPTIME".split()
    assert "1 of 2 routers bound" in ha and "3 d 4 h" in ha and "none" in ha
    assert "2001:db8::a" in mr and "2001:db8:b::5" in mr and "59 s" in mr
    for line in ha, mr:  # columns begin where their heading does
        assert line[head.index("ADDRESS") - 2 :].startswith("  2001:db8::")
    doc = json.loads(ctl("--json"))
    assert [d["data"] for d in doc] == [HA["status"], MR["status"]]


def test_bindings(fake, ctl):
    fake("a", HA)
    fake("b", MR)  # of the other kind: not asked
    head, row = ctl("ha", "bindings").splitlines()
    assert "DAEMON" not in head
    for text in (
        "2001:db8:ffff:ffff:ffff:ffff:ffff:1001",
        "2001:db8:eeee:eeee:eeee:eeee:eeee:2002",
        "2001:db8:101::/48, 2001:db8:102::/48",
        "9 min 58 s",
    ):
        assert text in row
    (one,) = json.loads(ctl("ha", "bindings", "--json"))
    assert one == {"daemon": "nemo-ha", "name": "home", "data": HA["bindings"]}


def test_routers(fake, ctl):
    fake("a", HA)
    head, row = ctl("ha", "routers").splitlines()
    assert "no" in row.split() and "140" in row and "1 min 1 s" in row
    assert row[head.index("CARE OF")] == "-" and row[head.index("PREFIXES")] == "-"
    assert row[head.index("DROPS"):] == "rx_inner_source 1, rx_tenant 3"


def test_agents(fake, ctl):
    fake("a", HA)
    head, own, other = ctl("ha", "agents").splitlines()
    assert own[head.index("SOURCE"):].startswith("own")
    assert own[head.index("LINK LOCAL")] == "-"
    for text in ("2001:db8::2, 2001:db8:1::2", "65535", "fe80::2", "1 min 1 s"):
        assert text in other


def test_several_daemons_of_a_kind_are_told_apart(fake, ctl):
    fake("a", HA)
    fake("b", named(HA, "other"))
    head, one, two = ctl("ha", "bindings").splitlines()
    assert head.startswith("DAEMON") and one.startswith("home ") and two.startswith("other ")
    assert [d["name"] for d in json.loads(ctl("--json", "ha", "bindings"))] == ["home", "other"]


def test_mr_status_shows_the_last_handover(fake, ctl):
    fake("b", MR)
    out = ctl("mr", "status")
    assert re.search(r"^home agent +2001:db8::1$", out, re.M)
    assert re.search(r"^remaining +9 min 58 s$", out, re.M)
    assert "02:00:00:00:00:01" in out
    phases = out.splitlines()[-1]
    assert phases.split()[-6:] == ["0.7", "1.0", "1.2", "1.3", "2.5", "-"]
    assert ctl("mr", "handovers").splitlines()[-1].split() == phases.split()


def test_mr_status_before_the_first_handover(fake, ctl):
    new = {**MR["status"], "last_handover": None, "care_of": None, "uplinks": []}
    fake("b", {**MR, "status": new})
    out = ctl("mr", "status")
    assert re.search(r"^care of +-$", out, re.M) and "last handover" not in out


def test_rehome_and_stop(fake, ctl):
    mr = fake("b", MR)
    assert "eth0, eth1" in ctl("mr", "rehome")
    ctl("mr", "rehome", "eth1")
    ctl("mr", "stop")
    ctl("mr", "stop", "--keep")
    assert [r for r in mr.requests if r["cmd"] != "status"] == [
        {"cmd": "rehome"},
        {"cmd": "rehome", "uplink": "eth1"},
        {"cmd": "stop", "keep": False},
        {"cmd": "stop", "keep": True},
    ]


def test_nat64_tables(fake, ctl):
    fake("a", HA)
    fake("n", NAT64)
    _, _, row = ctl().splitlines()
    assert "100000 mappings, 2 prefixes" in row and "1 h 0 min" in row
    out = ctl("nat64", "status")
    assert re.search(r"^translated 4to6 +34$", out, re.M)
    assert re.search(r"^loaded +1 min 1 s$", out, re.M)
    assert re.search(r"^prefixes +64:ff9b::/96, 2001:db8:64::/96$", out, re.M)
    assert "DAEMON" not in out and "no interfaces" in out
    head, one, two = ctl("nat64", "mappings").splitlines()
    assert head.split() == ["KIND", "IPV4", "IPV6", "HOSTS"]
    assert one.split() == ["mapping", "192.0.2.1/32", "2001:db8::1/128", "ipv6"]
    assert two.split() == ["prefix", "203.0.113.0/24", "-", "ipv6"]
    head, row = ctl("nat64", "stats").splitlines()
    assert row.split()[:4] == ["hop_limit", "7", "5", "2"]
    (one,) = json.loads(ctl("nat64", "stats", "--json"))
    assert one == {"daemon": "nemo-nat64", "name": "nat64", "data": NAT64["stats"]}


def test_nat64_explain_and_reload(fake, ctl):
    nat64 = fake("n", NAT64)
    assert ctl("nat64", "explain", "192.0.2.1") == "192.0.2.1 becomes 2001:db8::1.\n"
    ctl("nat64", "explain", "192.0.2.1", "203.0.113.5")
    assert "100000" in ctl("nat64", "reload")
    assert [r for r in nat64.requests if r["cmd"] != "status"] == [
        {"cmd": "explain", "address": "192.0.2.1"},
        {"cmd": "explain", "source": "192.0.2.1", "destination": "203.0.113.5"},
        {"cmd": "reload"},
    ]
    fake("m", {"status": {**NAT64["status"], "name": "other"}})
    assert "choose one" in ctl("nat64", "reload", code=2)
    assert "no explain here" in ctl("nat64", "explain", "192.0.2.1", code=1)


def test_home_agents_operator(fake, ctl):
    ha = fake("a", HA)
    assert "van is barred" in ctl("ha", "revoke", "van")
    assert "van may register" in ctl("ha", "allow", "van")
    assert "7 routers" in ctl("ha", "drain")
    ctl("ha", "drain", "2001:db8::1", "2001:db8::2")
    assert "takes new bindings" in ctl("ha", "undrain")
    assert [r for r in ha.requests if r["cmd"] != "status"] == [
        {"cmd": "revoke", "name": "van"},
        {"cmd": "allow", "name": "van"},
        {"cmd": "drain"},
        {"cmd": "drain", "home_agents": ["2001:db8::1", "2001:db8::2"]},
        {"cmd": "undrain"},
    ]


def test_acting_wants_one_daemon(fake, ctl):
    one = fake("b", MR)
    two = fake("c", named(MR, "bus"))
    for command in ("rehome",), ("stop", "--keep"):
        err = ctl("mr", *command, code=2)
        assert f"-s {one.path}  (van)" in err and f"-s {two.path}  (bus)" in err
    ctl("-s", two.path, "mr", "rehome")
    assert not [r for r in one.requests if r["cmd"] != "status"]
    assert two.requests[-1] == {"cmd": "rehome"}


def test_stats(fake, ctl):
    fake("b", MR)
    _, row = ctl("stats").splitlines()
    assert row.split()[:3] == ["tunnel", "rx_tenant", "3"]


def test_monitor(fake, ctl, tmp_path):
    a, b = fake("a", HA), fake("b", MR)
    plain = "2026-11-21T10:00:00.123Z home info  binding.accepted: van is at"
    for args, first in ((), plain), (("--json",), "{"):
        before = len(a.monitors), len(b.monitors)
        proc = subprocess.Popen(
            [NEMOCTL, "--run", str(tmp_path), "monitor", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            wait_for(
                lambda: len(a.monitors) > before[0] and len(b.monitors) > before[1],
                10,
                "nemoctl listens to both",
            )
            for daemon, text in (a, "one"), (b, "two"), (a, "three"):
                daemon.publish({**EVENT, "text": f"van is at {text}"})
                ready, _, _ = select.select([proc.stdout], [], [], patient(10))
                assert ready, "no event printed"
                line = proc.stdout.readline()
                assert line.startswith(first) and text in line
                if args:
                    assert json.loads(line)["event"] == "binding.accepted"
        finally:
            proc.kill()
            proc.wait()
            a.monitors.pop().close()
            b.monitors.pop().close()


def test_monitor_ends_with_the_last_daemon(fake, ctl):
    a = fake("a", HA)
    out = []
    waiter = threading.Thread(target=lambda: out.append(ctl("monitor", code=3)))
    waiter.start()
    wait_for(lambda: a.monitors, 10, "nemoctl listens")
    a.monitors[0].shutdown(socket.SHUT_RDWR)
    waiter.join(10)
    assert "home has ended" in out[0]


def test_a_refusal_is_exit_1(fake, ctl):
    fake("a", {"status": HA["status"]})
    assert "no bindings here" in ctl("ha", "bindings", code=1)


def test_no_daemon_is_exit_3(fake, ctl, tmp_path):
    err = ctl(code=3)
    assert f"{tmp_path}/*.sock" in err and "--run" in err
    fake("b", MR)
    assert "no nemo-ha found" in ctl("ha", "bindings", code=3)
    missing = str(tmp_path / "none.sock")
    assert missing in ctl("-s", missing, "stats", code=3)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    dead.close()
    err = ctl("-s", str(tmp_path / "dead.sock"), code=3)
    assert "Connection refused" in err and "running" in err
    assert "van" in ctl(), "a dead socket hides the live daemon"


def test_usage(ctl):
    for line in (
        "nonsense",
        "ha",
        "ha bindings x",
        "ha bindingsx",
        "mr status --keep",
        "mr stop eth0",
        "ha revoke",
        "ha allow",
        "ha undrain x",
        "monitor now",
        "nat64 explain",
        "nat64 explain a b c",
        "nat64",
        "--nonsense",
    ):
        assert "usage:" in ctl(*line.split(), code=2)
    assert 'no command "ha bindngs"' in ctl("ha", "bindngs", code=2)
    assert "nat64 status" in ctl("status", code=2) and "mr stop" not in ctl("status", code=2)
    assert "ha revoke takes NAME" in ctl("ha", "revoke", code=2)
    assert "--keep is no option of mr status" in ctl("mr", "status", "--keep", code=2)
    assert "mr rehome" in ctl("--help")
    assert "UPLINK" in ctl("mr", "rehome", "--help")
    assert ctl("--version").startswith("nemoctl ")


def on_terminal(tmp_path, width, *args):
    """What nemoctl prints on a terminal of this width, a line at a time."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))
    subprocess.run([NEMOCTL, "--run", str(tmp_path), *args], stdout=its, timeout=30, check=True)
    os.close(its)
    text = b""
    with contextlib.suppress(OSError):  # how the other end of a terminal ends
        while data := os.read(ours, 65536):
            text += data
    os.close(ours)
    return text.decode().splitlines()


def test_a_terminal_that_is_too_narrow_gets_records(fake, tmp_path):
    bindings = [HA["bindings"][0], {**HA["bindings"][0], "name": "bus"}]
    fake("a", {**HA, "bindings": bindings})
    wide = on_terminal(tmp_path, 400, "ha", "bindings")
    assert len(wide) == 3 and wide[0].startswith("NAME")
    narrow = on_terminal(tmp_path, 60, "ha", "bindings")
    assert [line.split() for line in narrow if line.startswith("name")] == [["name", "van"], ["name", "bus"]]
    assert narrow.count("") == 1 and any(line.split() == ["state", "bound"] for line in narrow)


def test_names_of_other_alphabets_keep_the_columns(fake, ctl):
    rows = [{**HA["routers"][0], "name": name} for name in ("öäü", "bus")]
    fake("a", {**HA, "routers": rows})
    lines = ctl("ha", "routers").splitlines()
    assert lines[1].index("blue") == lines[2].index("blue") == lines[0].index("TENANT")


def test_what_can_not_be_printed_is_no_success(fake, tmp_path):
    fake("a", HA)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [NEMOCTL, "--run", str(tmp_path), "ha", "bindings"], stdout=full, stderr=subprocess.PIPE, timeout=30
        )
    assert done.returncode == 1 and b"standard output" in done.stderr


def test_a_crowd_of_bindings_is_printed_quickly(fake, ctl):
    many = [{**HA["bindings"][0], "name": f"mr{i}"} for i in range(10000)]
    fake("a", {**HA, "bindings": many})
    assert len(ctl("ha", "bindings").splitlines()) == 10001


# --- the real ones ---

#   guest --- vnet:mr:eth0 --- core (radvd) --- ha
LIVE = Topology(
    nodes=[
        Node("core", forward=True),
        Node("ha", forward=True, routes=["default via 2001:db8:1::ff"]),
        Node("mr", forward=True),
        Node("guest", routes=["default via 2001:db8:101::1"]),
    ],
    links=[
        Link("ha:eth0", "core:ha", ["2001:db8:1::1/64"], ["2001:db8:1::ff/64"]),
        Link("mr:eth0", "core:mr", [], ["2001:db8:a::ff/64"], real_dad=True),
        Link("guest:eth0", "mr:vnet", ["2001:db8:101::2/64"], ["2001:db8:101::1/64"]),
    ],
    radvds=[Radvd("core:mr", "2001:db8:a::/64")],
)
ROUTER = {"name": "van", "home_address": "2001:db8:101::1", "tenant": "red"}


def test_live_answers_are_as_documented(make_net, engine):
    net = make_net(LIVE)
    ha = Daemon(
        net,
        "ha",
        "nemo-ha",
        {
            "name": "home",
            "address": "2001:db8:1::1",
            "interfaces": ["eth0"],
            "aggregates": ["2001:db8:100::/40"],
            "engine": engine,
            "routers": [
                {**ROUTER, "prefixes": ["2001:db8:101::/64"]},
                {
                    **ROUTER,
                    "name": "bus",
                    "home_address": "2001:db8:102::1",
                    "prefixes": ["2001:db8:102::/64"],
                },
            ],
        },
    ).start()
    mr = Daemon(
        net,
        "mr",
        "nemo-mr",
        {
            "name": "van",
            "home_address": "2001:db8:101::1",
            "home_agents": ["2001:db8:1::1"],
            "uplinks": [{"interface": "eth0"}],
            "networks": [{"prefix": "2001:db8:101::/64", "interface": "vnet"}],
            "engine": engine,
        },
    ).start()
    wait_for(lambda: ha.ask("bindings"), 20, "a binding")
    wait_for(lambda: mr.status()["last_status"] == 0, 10, "its acknowledgement")
    mr.ask("rehome")
    known = schemas()
    for daemon in ha, mr:
        kind = daemon.program
        for command in daemon.ask("help"):
            cmd = command["name"]
            if cmd in ("monitor", "stop", "revoke", "allow", "drain", "undrain"):
                continue  # the last four: test_control_messages.py
            schema = known.get(f"{kind} {cmd}") or known.get(f"any {cmd}")
            assert schema, f"{kind} {cmd} is not in doc/control.md"
            assert not mistakes(daemon.ask(cmd), schema), f"{kind} {cmd}"
    assert len(ha.ask("routers")) == 2
    status = mr.status()
    if status["last_handover"]:
        assert not mistakes([status["last_handover"]], known["nemo-mr handovers"])

    done = subprocess.run(
        [NEMOCTL, "-s", ha.control, "-s", mr.control], capture_output=True, text=True, timeout=patient(30)
    )
    assert "1 of 2 routers bound" in done.stdout and status["care_of"] in done.stdout

    done = subprocess.run(
        [NEMOCTL, "-s", ha.control, "-s", mr.control, "metrics"], capture_output=True, text=True, timeout=patient(30)
    )
    promtool("check", "metrics", text=done.stdout)
    found, helps = samples(done.stdout)
    told = ha.ask("stats")["counters"] + mr.ask("stats")["counters"]
    for c in told:
        assert any(c["help"] in text for text in helps.values()), f"no metric for {c}"
    assert value(found, "nemo_ha_router_bound", router="van") == 1
    assert value(found, "nemo_mr_bound") == 1

    assert mistakes(mr.ask("stop", keep=False), known["nemo-mr stop"]) == []
    wait_for(lambda: not mr.running(), 20, "the end of nemo-mr")
    wait_for(lambda: ha.status()["bindings"] == 0, 20, "the end of the binding")
    assert {b["state"] for b in ha.ask("bindings")} <= {"closing"}
    for event in ha.events.poll():
        assert not mistakes(event, known["any event"])
    assert "binding.accepted" in [e["event"] for e in ha.events.seen]


def test_live_translator_answers_as_documented(make_net):
    net = make_net(Topology(nodes=[Node("box", forward=True)], links=[]))
    settings = {
        "engine": "tun",
        "prefixes": [{"prefix": "64:ff9b::/96", "hosts": ["198.51.100.0/24"]}],
        "mappings": [{"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"}],
    }
    nat64 = Daemon(net, "box", "nemo-nat64", settings).start()
    known = schemas()
    packet = {"source": "198.51.100.7", "destination": "192.0.2.1"}
    arguments = {"explain": [{"address": "192.0.2.1"}, {"address": "2001:db8:dead::1"}, packet]}
    for command in nat64.ask("help"):
        cmd = command["name"]
        if cmd == "monitor":
            continue
        schema = known.get(f"nemo-nat64 {cmd}") or known.get(f"any {cmd}")
        assert schema, f"nemo-nat64 {cmd} is not in doc/control.md"
        for fields in arguments.get(cmd, [{}]):
            assert not mistakes(nat64.ask(cmd, **fields), schema), f"nemo-nat64 {cmd} {fields}"
    assert nat64.status()["routes4"] == 2 and nat64.status()["routes6"] == 1
    assert [m["kind"] for m in nat64.ask("mappings")] == ["mapping", "prefix", "prefix"]
    with pytest.raises(ControlError, match="is no IPv4 or IPv6 address"):
        nat64.ask("explain", address="nonsense")
    with pytest.raises(ControlError, match="of one family"):
        nat64.ask("explain", source="192.0.2.1", destination="2001:db8::1")
    with open(nat64.conf_path, "a") as f:
        f.write("nonsense = 1;\n")
    with pytest.raises(ControlError, match="nonsense: unknown key"):
        nat64.ask("reload")
    status = nat64.status()
    assert "nonsense: unknown key" in status["reload_error"] and status["reloads"] == 1
    assert not mistakes(status, known["nemo-nat64 status"])
    assert nat64.stop() == 0

"""The harness must be able to fail: drawings, waiters, leak checks and reports are tested here."""

import os
import subprocess
import sys

import pytest

from lib import ROOT, ns, purity, tries
from lib.capture import RA, Capture, LeakCheck
from lib.daemon import Daemon, libconfig_file
from lib.topo import Link, Net, Node, Radvd, Topology
from lib.traffic import Flow, Server, TcpTransfer, UdpProbe, now_ns, percentile
from lib.wait import Timeout, wait_for

pytestmark = pytest.mark.novm("the harness itself, in real time")

#   left --- router --- right
LINE = Topology(
    nodes=[
        Node("left", routes=["default via 2001:db8:1::1"]),
        Node("router", forward=True),
        Node("right", routes=["default via 2001:db8:2::1"]),
    ],
    links=[
        Link("left:eth0", "router:left", ["2001:db8:1::2/64"], ["2001:db8:1::1/64"]),
        Link("right:eth0", "router:right", ["2001:db8:2::2/64"], ["2001:db8:2::1/64"]),
    ],
)

#   guest --- fabric: bridge one --- r1 (radvd)
#                     bridge two --- r2 (radvd)
SITES = Topology(
    nodes=[Node("fabric", bridges=["one", "two"]), Node("r1", forward=True)]
    + [Node("r2", forward=True), Node("guest")],
    links=[
        Link("guest:eth0", "fabric:guest@one", real_dad=True),
        Link("r1:eth0", "fabric:r1@one", ["2001:db8:1::1/64"]),
        Link("r2:eth0", "fabric:r2@two", ["2001:db8:2::1/64"]),
    ],
    radvds=[Radvd("r1:eth0", "2001:db8:1::/64"), Radvd("r2:eth0", "2001:db8:2::/64")],
)



def own():
    """Namespaces of this process: other runs may come and go."""
    return [n for n in ns.existing() if n.startswith(f"{ns.PREFIX}{os.getpid()}-")]


def test_packets_cross_a_topology(make_net):
    net = make_net(LINE)
    net["left"].run("ping -6 -c 1 -W 20 2001:db8:2::2")


def test_a_topology_that_cannot_be_built_prints_its_drawing(capsys):
    before = own()
    bad = Topology([Node("a"), Node("b")], [Link("a:eth0", "b:eth0", ["not an address"])])
    with pytest.raises(RuntimeError, match="not an address"):
        Net(bad)
    assert "a:eth0 not an address" in capsys.readouterr().out
    assert own() == before, "the namespaces of the failed topology are still there"


def test_a_failing_test_reports_drawing_routes_and_daemon(tmp_path, capsys):
    net = Net(LINE, keep_in=str(tmp_path / "kept"))
    with pytest.raises(ZeroDivisionError):
        with net:
            Capture(net, "left", "eth0")
            1 / 0
    out = capsys.readouterr().out
    assert "left:eth0 2001:db8:1::2/64" in out
    assert "default via 2001:db8:1::1" in out
    assert (tmp_path / "kept" / "left-eth0.pcap").exists()
    assert not os.path.exists(net.dir)


def test_namespaces_of_crashed_runs_are_removed():
    dead = subprocess.Popen(["true"])
    dead.wait()
    name = f"{ns.PREFIX}{dead.pid}-1-crashed"
    ns.ip_batch([f"netns add {name}"])
    mine = ns.make(["alive"])["alive"]
    ns.remove_leftovers()
    assert name not in ns.existing()
    assert mine.ns in ns.existing()
    ns.unmake([mine])
    assert mine.ns not in ns.existing()


def test_waiters_time_out_and_say_for_what():
    with pytest.raises(Timeout, match="the moon is blue"):
        wait_for(lambda: False, 0.05, "the moon is blue")
    assert wait_for(lambda: 7, 0.05, "seven") == 7


def fake_daemon(tmp_path, body):
    """A program that takes -c FILE, notifies readiness and then does 'body'."""
    path = tmp_path / "fake"
    path.write_text(
        "#!/usr/bin/python3\nimport os, re, socket, sys, json\n"
        "conf = open(sys.argv[2]).read()\n"
        "control = re.search('control = \"(.*)\"', conf).group(1)\n"
        "def ready():\n"
        "    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    n.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.bind(control)\ns.listen(5)\n" + body
    )
    path.chmod(0o755)
    return str(path)


SERVING = """
ready()
while True:
    c, _ = s.accept()
    cmd = json.loads(c.makefile().readline())["cmd"]
    if cmd == "monitor":
        c.sendall(b'{"time":1,"event":"mr.registered","prefix":"a"}\\n{"event":"x"}\\n')
        keep = c
    else:
        c.sendall(b'{"ok":true,"data":{"cmd":"%s"}}\\n' % cmd.encode())
"""


def test_daemons_are_awaited_asked_and_listened_to(make_net, tmp_path):
    net = make_net(LINE)
    d = Daemon(net, "left", fake_daemon(tmp_path, SERVING), {"name": "MR-1"}, name="fake").start()
    assert d.status() == {"cmd": "status"}
    assert d.wait_event("mr.registered", prefix="a")["time"] == 1
    d.wait_event("x")
    with pytest.raises(Timeout, match="no event mr.registered"):
        d.wait_event("mr.registered", timeout=0.05)
    assert '"cmd": "status"' in d.report()
    d.stop()
    assert not d.running()


def test_a_daemon_that_dies_shows_its_log(make_net, tmp_path):
    net = make_net(LINE)
    dying = fake_daemon(tmp_path, "sys.exit('no such interface: eth9')\n")
    with pytest.raises(RuntimeError, match="no such interface: eth9"):
        Daemon(net, "left", dying, {}, name="fake").start()


def test_a_daemon_that_is_never_ready_times_out(make_net, tmp_path):
    net = make_net(LINE)
    with pytest.raises(Timeout, match="fake is ready"):
        Daemon(net, "left", fake_daemon(tmp_path, "s.accept()\n"), {}, name="fake").start(0.5)


def test_configurations_are_libconfig():
    text = libconfig_file({"a": 'x"y', "n": 3, "on": True, "l": ["p", {"k": 1}]})
    assert text == 'a = "x\\"y";\nn = 3;\non = true;\nl = ( "p", {\n    k = 1;\n  } );\n'


def test_the_leak_checker_sees_a_leak(make_net):
    net = make_net(LINE)
    check = LeakCheck(net, [("router", "right")], ["2001:db8:d00::/48"])
    net["left"].run("ping -6 -c 1 -W 20 2001:db8:2::2")
    check.check(saw_tunnel=False)
    with pytest.raises(AssertionError, match="no tunnel packet"):
        check.check()
    # An address of the aggregate as an outer source: exactly what must never be.
    net["right"].add_address("2001:db8:d00:1::2/128", "lo")
    net["right"].run("ping -6 -c 1 -W 1 -I 2001:db8:d00:1::2 2001:db8:1::2", check=False)
    wait_for(check.leaks, 5, "the leak is captured")
    with pytest.raises(AssertionError, match="outside the tunnel"):
        check.check(saw_tunnel=False)


def test_a_move_flaps_the_carrier_and_the_new_router_answers(make_net):
    net = make_net(SITES)
    cap = Capture(net, "guest", "eth0", "icmp6")
    guest = net["guest"]

    def has(prefix):
        return lambda: prefix in guest.out("ip -6 -o addr show dev eth0 scope global")

    wait_for(has("2001:db8:1:"), 15, "address of site one")
    changes = int(guest.out("cat /sys/class/net/eth0/carrier_down_count"))
    net.move(("fabric:guest", "two"))
    wait_for(
        lambda: int(guest.out("cat /sys/class/net/eth0/carrier_down_count")) > changes,
        5,
        "the carrier went",
    )
    assert "fabric:guest@two" in net.draw()
    wait_for(has("2001:db8:2:"), 15, "address of site two")
    cap.wait(lambda p: p.kind == ("icmp6", RA), "an RA in the capture")
    net.move(("fabric:guest", "one"), carrier=False)
    assert int(guest.out("cat /sys/class/net/eth0/carrier_down_count")) == changes + 1


def test_probes_count_losses_and_gaps(make_net):
    net = make_net(LINE)
    server = Server(net, "right")
    probe = UdpProbe(net, "left", "2001:db8:2::2", server)
    tcp = TcpTransfer(net, "left", "2001:db8:2::2", server)
    probe.wait_flowing()
    tcp.wait_flowing()
    start = now_ns()
    net["router"].batch(["link set right down"])
    down = now_ns()
    wait_for(lambda: now_ns() > down + 120_000_000, 5, "120 ms without a link")
    net["router"].batch(["link set right up", "addr replace 2001:db8:2::1/64 dev right"])
    probe.wait_flowing()
    end = now_ns()
    probe.stop()
    result = tcp.stop()
    assert not result["broken"] and result["sent"] == result["received"] > 0
    for way in "down", "up":
        gap = probe.flow(way).gap_ms(start, end)
        assert gap > 100, way
        assert probe.flow(way).lost() >= 100, way


def test_a_broken_connection_is_reported(make_net):
    net = make_net(LINE)
    server = Server(net, "right")
    tcp = TcpTransfer(net, "left", "2001:db8:2::2", server)
    tcp.wait_flowing()
    server.stop()
    wait_for(lambda: tcp.proc.poll() is not None, 5, "it is noticed")
    result = tcp.stop()
    assert result["broken"]


def test_gap_analysis():
    ms = 1_000_000
    flow = Flow((n, n * ms, n * ms + 1000, 1) for n in range(100) if not 40 <= n < 60)
    assert flow.gap_ms(0, 100 * ms) == 21
    assert flow.gap_ms(45 * ms, 55 * ms) == 21, "a gap that spans the window counts whole"
    assert flow.gap_ms(70 * ms, 90 * ms) == 1
    assert flow.lost() == 20
    assert flow.lost(70 * ms, 90 * ms) == 0
    assert [percentile(range(1, 21), p) for p in (0.5, 0.95, 1)] == [10, 19, 20]
    assert percentile([], 0.5) is None


def test_the_purity_check_sees_io_and_upward_includes(tmp_path):
    assert not purity.may_include("common/core/bad.c", "mr/mr.h")
    assert not purity.may_include("common/wire/bad.c", "common/os/net.h")
    assert not purity.may_include("mr/bad.c", "ha/ha.h")
    assert purity.may_include("mr/good.c", "common/wire/mh.h")
    (tmp_path / "bad.c").write_text("#include <time.h>\nlong now(void) { return time(0); }\n")
    subprocess.run(["gcc", "-c", "bad.c"], cwd=tmp_path, check=True)
    assert len(list(purity.symbol_errors(str(tmp_path), ["bad.c"]))) == 1


TRIED = """
import os, pytest

@pytest.mark.parametrize("address", ["2001:db8::1", "::"])
def test_late(address):
    with open(os.environ["TIMES"], "a+") as f:
        f.write("x")
        f.seek(0)
        assert len(f.read()) > 2, "late"

def test_broken():
    assert 1 == 2, "broken"
"""


@pytest.mark.parametrize("tests, code", [("late", 0), ("late or broken", 1)])
def test_what_is_late_is_tried_again_and_what_is_broken_fails(tmp_path, tests, code):
    (tmp_path / "test_tried.py").write_text(TRIED)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NEMO_", "PYTEST_"))}
    env |= {"NEMO_TRIES": "3", "NEMO_FAILED": str(tmp_path / "failed"), "TIMES": str(tmp_path / "times"),
            "NEMO_REPORTS": str(tmp_path),
            "PYTHONPATH": os.path.join(ROOT, "netns-tests"), "PYTEST_ADDOPTS": "-p conftest"}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", tests],
                          cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    assert "to be tried again: test_tried.py::test_late[2001:db8::1]" in done.stdout
    assert "worth a look:\n  test_tried.py::test_late[2001:db8::1]\n  test_tried.py::test_late[::]" in done.stdout
    assert "def test_late(address):" in (tmp_path / "reports-.txt").read_text()
    found = tries.left(env["NEMO_FAILED"])
    if code:
        assert list(found) == ["test_tried.py::test_broken"] and "broken" in found["test_tried.py::test_broken"]
        assert done.stdout.count("FAILED test_tried.py::test_broken") == 2, "once when it happened, once at the end"
        assert "assert 1 == 2" in done.stdout.split("for the 3. time")[1]
    else:
        assert found == {} and "FAILED" not in done.stdout


def test_many_failures_are_not_tried_again(monkeypatch):
    monkeypatch.setenv("NEMO_TRIES", "2")
    many = {str(n): "broken" for n in range(tries.MOST + 1)}
    assert tries.again(many, lambda *_: {}) == many
    assert tries.again({"one": "late"}, lambda *_: {}) == {}
    assert tries.again({"one": "late"}, lambda *_: None) == {"one": "late"}

"""nemo-nat64 as an operator has it: routes, reload, what nemoctl says, the check and the import of a
configuration, several boxes.

    c4 ------ r4 ------ box ------ r6 ------ h6, g6        (addresses: lib/lab64.py)
"""

import json
import os
import signal
import socket
import struct
import subprocess

import pytest

from lib import lab64
from lib.daemon import BUILD, Daemon, libconfig_file
from lib.lab64 import (  # noqa: F401 (with fixtures)
    BOX4, C4, C6, ENGINES, G4, G6, H4, H6, MAPPED_H4, OURS, PREFIX, SETTINGS, Lab, Tap, Udp,
    can_not, lab, ping, running, same_address,
)
from lib.topo import Net
from lib.traffic import Server, TcpTransfer, UdpProbe
from lib.wait import SANITIZED, wait_for

NAT64, NEMOCTL = os.path.join(BUILD, "nemo-nat64"), os.path.join(BUILD, "nemoctl")


# --- routes ---


def routes(net, family, node="box"):
    return {line.split()[0] for line in net[node].out(f"ip -{family} route show proto 140").splitlines()}


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_routes_come_and_go(sig, make_net):
    """Protocol 140, into the device; gone with the daemon, however it ends."""
    with lab64.build() as net:
        lab = Lab(net, "tun", {"prefixes": [{"prefix": PREFIX + "/96", "hosts": ["192.0.2.128/26"]}],
                               "mappings": SETTINGS["mappings"] + [
                                   {"ipv4": "10.9.0.1", "ipv6": "2001:db8:99::1", "side": "ipv4"}]})
        assert routes(net, 6) == {PREFIX + "/96", "2001:db8:99::1"}
        assert routes(net, 4) == {H4, G4, "192.0.2.128/26"}
        assert all("dev nat64" in line for f in (4, 6) for line in
                   net["box"].out(f"ip -{f} route show proto 140").splitlines())
        lab.configure({"mappings": SETTINGS["mappings"][:1]})
        assert routes(net, 6) == {PREFIX + "/96"} and routes(net, 4) == {H4}
        lab.box.stop(sig)
        wait_for(lambda: not routes(net, 4) | routes(net, 6), 3, "no route of the daemon")
        assert "nat64" not in net["box"].out("ip link")


# --- operation ---


@OURS
def test_reload_under_load(lab, opened):
    """10,000 packets a second (with sanitizers, 1,000); none is lost, each is translated wholly by one
    configuration."""
    old, new = "2001:db8:46::", "2001:db8:47::"
    a6, b6 = "2001:db8:12:34::a", "2001:db8:12:34::b"
    for a in a6, b6:
        lab.net["h6"].add_address(f"{a}/64", "eth0")
    by = [{"prefixes": [{"prefix": p + "/96"}], "mappings": [{"ipv4": H4, "ipv6": m}], "address6": p + BOX4}
          for p, m in ((old, a6), (new, b6))]
    lab.configure(by[0])
    for by_now in by[1], by[0]:  # neighbours are known
        lab.configure(by_now)
        udp = opened(Udp(lab.net, "c4", 4))
        address = by_now["mappings"][0]["ipv6"]
        tap = opened(Tap(lab.net, "h6", "eth0"))
        udp.sendto(b"first", H4, 9)
        tap.wait(lambda p: b"first" in p, f"at {address}")
    server = Server(lab.net, "h6")
    tap = opened(Tap(lab.net, "h6", "eth0"))
    lab.net["box"].run("ip link set dev nat64 txqueuelen 100000")  # when it has to wait for a processor
    probe = UdpProbe(lab.net, "c4", MAPPED_H4, server, interval_us=1000 if SANITIZED else 100)
    wait_for(lambda: tap.mark(), 5, "packets come")
    for n in range(20):
        lab.configure(by[(n + 1) % 2])
        here = tap.mark()
        wait_for(lambda: tap.mark() > here + 200, 5, "packets come")
    probe.stop()
    pairs_seen, numbers = set(), []

    def read():
        numbers.clear()
        for p in tap.packets():
            if p[0] >> 4 == 6 and p[6] == 17 and struct.unpack_from("!H", p, 42)[0] == server.port:
                pairs_seen.add((p[8:24], p[24:40]))
                numbers.append(struct.unpack_from("=Q", p, 48)[0])
        return len(numbers) >= probe.sent

    wait_for(read, 5, lambda: f"{probe.sent} packets; {len(numbers)} came")
    six = [tuple(socket.inet_pton(socket.AF_INET6, x) for x in (p + C4, m))
           for p, m in ((old, a6), (new, b6))]
    assert pairs_seen == set(six), "translated by a mixture"
    assert sorted(numbers) == list(range(min(numbers), min(numbers) + probe.sent))
    server.stop()
    lab.net["h6"].batch([f"addr del {a}/64 dev eth0" for a in (a6, b6)])


@OURS
def test_a_bad_reload_changes_nothing(lab, opened):
    before = lab.box.ask("mappings")
    with open(lab.box.conf_path, "a") as f:
        f.write('lowest_ipv6_mtu = 12;\n')
    with pytest.raises(Exception):
        lab.box.ask("reload")
    lab.box.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: "lowest_ipv6_mtu" in lab.box.log(), 3, "the reason is in the log")
    assert lab.box.ask("mappings") == before
    assert " 0% packet loss" in ping(lab.net, "c4", H4)
    assert lab.box.status()["reload_error"]


@OURS
def test_explain(lab):
    x = lab.box.ask("explain", address=H4)["addresses"][0]
    assert (x["verdict"], x["becomes"]) == ("mapped", H6)
    x = lab.box.ask("explain", address="64:ff9b::192.0.2.33")["addresses"][0]
    assert x["verdict"] == "unmapped" and x["becomes"] is None
    x = lab.box.ask("explain", address=C6)["addresses"][0]
    assert x["becomes"] == C4
    packet = lab.box.ask("explain", source=C4, destination=H4)["packet"]
    assert packet["translated"] and (packet["source"], packet["destination"]) == \
        (same_address(C6), H6)
    packet = lab.box.ask("explain", source="2001:db8:ffff::1", destination=C6)["packet"]
    assert not packet["translated"] and packet["counter"] == "unmapped_src6" and packet["meaning"]
    out = lab.net["box"].out([NEMOCTL, "--socket", lab.box.control, "nat64", "explain", C4, H4])
    assert H6 in out and same_address(C6) in out


@OURS
@OURS
def test_mappings_and_stats(lab):
    rows = lab.box.ask("mappings")
    assert {(r["ipv4"], r["ipv6"]) for r in rows if r["kind"] == "mapping"} == \
        {(H4 + "/32", H6 + "/128"), (G4 + "/32", G6 + "/128")} or \
        {(r["ipv4"], r["ipv6"]) for r in rows if r["kind"] == "mapping"} == {(H4, H6), (G4, G6)}
    counters = lab.box.ask("stats")["counters"]
    assert len({c["name"] for c in counters}) == len(counters)
    assert all(len(c["help"]) > 10 for c in counters)
    for command in "status", "stats", "mappings":
        out = lab.net["box"].out([NEMOCTL, "--socket", lab.box.control, "nat64", command])
        assert out.strip()
        json.loads(lab.net["box"].out([NEMOCTL, "--json", "--socket", lab.box.control, "nat64", command]))


MISTAKES = [  # settings, what the message must name
    ({"prefixes": [{"prefix": "2001:db8::/33"}]}, "/33"),
    ({"prefixes": [{"prefix": "64:ff9b::/64"}]}, "64:ff9b"),
    ({"prefixes": [{"prefix": "2001:db8:1:2:ff00::/96"}]}, "2001:db8:1:2:ff00::"),
    ({"mappings": [{"ipv4": "192.0.2.0/24", "ipv6": "2001:db8::/124"}]}, "192.0.2.0/24"),
    ({"mappings": [{"ipv4": "192.0.2.1/24", "ipv6": "2001:db8::/120"}]}, "192.0.2."),
    ({"mappings": [{"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"},
                   {"ipv4": "192.0.2.1", "ipv6": "2001:db8::2"}]}, "192.0.2.1"),
    ({"mappings": [{"ipv4": "192.0.2.1", "ipv6": "2001:db8::1"},
                   {"ipv4": "192.0.2.2", "ipv6": "2001:db8::1"}]}, "2001:db8::1"),
    ({"lowest_ipv6_mtu": 1279}, "lowest_ipv6_mtu"), ({"mtu": 100}, "mtu"),
    ({"tos_6to4": "256"}, "tos_6to4"), ({"hairpin": "perhaps"}, "hairpin"),
    ({"unknown_key": 1}, "unknown_key"), ({"mappings_file": "/nowhere/at/all"}, "/nowhere/at/all"),
    ({"address4": "127.0.0.1.1"}, "address4"), ({"queues": 0}, "queues"),
]


@OURS
@pytest.mark.parametrize("settings, names", MISTAKES, ids=[n for _, n in MISTAKES])
def test_check_of_the_configuration(tmp_path, settings, names):
    path = tmp_path / "bad.conf"
    path.write_text(libconfig_file({"prefixes": [{"prefix": PREFIX + "/96"}], **settings}))
    done = subprocess.run([NAT64, "-t", "-c", str(path)], capture_output=True, text=True)
    assert done.returncode != 0
    assert names in done.stderr and "bad.conf:" in done.stderr, done.stderr


@OURS
@pytest.mark.parametrize("settings, names", [
    ({"mappings": [{"ipv4": "198.51.100.0/24", "ipv6": "2001:db8:1::/120"},
                   {"ipv4": "198.51.100.64", "ipv6": "2001:db8::abcd"}]}, "198.51.100.64"),
    ({"pool4": ["10.0.0.1"]}, "10.0.0.1"), ({"pool4": ["100.64.0.1"]}, "100.64.0.1"),
    ({"prefixes": [{"prefix": "64:ff9b::/96", "hosts": ["8.8.8.0/24"]}]}, "well-known"),
], ids=["overlap", "private pool", "shared pool", "hosts in the well-known prefix"])


def test_warnings_of_the_check(tmp_path, settings, names):
    path = tmp_path / "odd.conf"
    path.write_text(libconfig_file({"prefixes": [{"prefix": PREFIX + "/96"}], **settings}))
    done = subprocess.run([NAT64, "-t", "-c", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert names in done.stderr, done.stderr


@OURS
def test_a_good_configuration_passes_in_silence(tmp_path):
    path = tmp_path / "good.conf"
    (tmp_path / "more").write_text("# more mappings\n203.0.113.7 2001:db8:7::7\n"
                                   "203.0.113.8/31 2001:db8:8::/127 both  # two\n")
    path.write_text(libconfig_file({**SETTINGS, "engine": "auto", "mappings_file": "more"}))
    done = subprocess.run([NAT64, "-t", "-c", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


IMPORTS = {
    "map646": """# a dead translator's
tunnel-device tun646
mapping-prefix 2001:db8:646::
map-static 192.0.2.1 2001:db8:12:34::1
map-static 192.0.2.2 2001:db8:12:34::2
""",
    "tayga": """tun-device nat64
ipv4-addr 198.51.100.2
ipv6-addr 2001:db8:b::64
prefix 2001:db8:46::/96
map 192.0.2.1 2001:db8:12:34::1
map 192.0.2.2 2001:db8:12:34::2
data-dir /var/spool/tayga
""",
    "jool": json.dumps({
        "instance": "default", "framework": "netfilter",
        "global": {"manually-enabled": True, "pool6": "2001:db8:46::/96", "lowest-ipv6-mtu": 1400,
                   "amend-udp-checksum-zero": True, "eam-hairpin-mode": "simple"},
        "eamt": [{"ipv6 prefix": "2001:db8:12:34::1/128", "ipv4 prefix": "192.0.2.1/32"},
                 {"ipv6 prefix": "2001:db8:12:34::2/128", "ipv4 prefix": "192.0.2.2/32"}],
        "denylist4": ["203.0.113.0/24"], "pool6791v4": ["198.51.100.2/32"]}),
}


@OURS
@pytest.mark.parametrize("kind", IMPORTS)
def test_import(tmp_path, kind):
    foreign, ours = tmp_path / f"{kind}.conf", tmp_path / "ours.conf"
    foreign.write_text(IMPORTS[kind])
    done = subprocess.run([NAT64, "--import", str(foreign)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours.write_text(done.stdout)
    check = subprocess.run([NAT64, "-t", "-c", str(ours)], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr + done.stdout
    with Net(lab64.Topology([lab64.Node("box")], [])) as net:
        d = Daemon(net, "box", "nemo-nat64", done.stdout + 'engine = "tun";\n'
                   if "engine" not in done.stdout else done.stdout).start()
        rows = {(r["ipv4"].removesuffix("/32"), r["ipv6"].removesuffix("/128"))
                for r in d.ask("mappings") if r["kind"] == "mapping"}
        assert rows == {(H4, H6), (G4, G6)}
        prefix = {"map646": "2001:db8:646::/96"}.get(kind, "2001:db8:46::/96")
        assert d.status()["prefixes"] == [prefix]


@OURS
def test_import_refuses_what_it_does_not_know(tmp_path):
    other = tmp_path / "other"
    other.write_text("hello = world\n")
    done = subprocess.run([NAT64, "--import", str(other)], capture_output=True, text=True)
    assert done.returncode != 0 and done.stderr and not done.stdout


# --- many boxes ---

SPREAD = """table inet spread {{
    chain before {{ type filter hook prerouting priority -150;
        iifname "{inside}" meta mark set numgen inc mod 2 map {{ 0 : 1, 1 : 2 }}; }}
}}"""


@OURS
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_two_translators_side_by_side(make_net, engine, way):
    """Packets of one connection are spread packet by packet over both, in each direction; one is
    killed and the connection goes on."""
    net = make_net(lab64.topology(("box1", "box2")))
    net["c4"].batch([f"addr add {C4}/24 dev eth0", "route add default via 203.0.113.1"], 4)
    net["r4"].batch(["addr add 203.0.113.1/24 dev client"], 4)
    boxes = {}
    for n, box in enumerate(("box1", "box2")):
        net["r4"].batch([f"addr add 198.51.{n}.1/24 dev {box}"], 4)
        net[box].batch([f"addr add 198.51.{n}.2/24 dev left", f"route add default via 198.51.{n}.1"], 4)
        net[box].batch([f"route add 2001:db8:12:34::/64 via 2001:db8:b{n}::2"])
        for router, family, to in (("r4", 4, f"192.0.2.0/24 via 198.51.{n}.2"),
                                   ("r6", 6, f"{PREFIX}/96 via 2001:db8:b{n}::1")):
            net[router].run(f"ip -{family} route add {to} table {n + 1}")
            net[router].run(f"ip -{family} rule add fwmark {n + 1} lookup {n + 1}")
        daemon = Daemon(net, box, "nemo-nat64", {**SETTINGS, "engine": engine}, name=box)
        try:
            boxes[box] = daemon.start()
        except RuntimeError as e:
            can_not(engine, e)
            raise
    for router, inside in (("r4", "client"), ("r6", "site")):
        net[router].run(["nft", "-f", "-"], input=SPREAD.format(inside=inside))
    node, other, address = ("c4", "h6", MAPPED_H4) if way == "4to6" else ("h6", "c4", C6)
    server = Server(net, other)
    transfer = TcpTransfer(net, node, address, server, kbps=50000)

    def both_ways(box):
        c = {c["name"]: c["value"] for c in boxes[box].ask("stats")["counters"]}
        return min(c["translated_6to4"], c["translated_4to6"])

    wait_for(lambda: all(both_ways(b) > 500 for b in boxes), 20, "both translate both ways")
    boxes["box1"].stop(signal.SIGKILL)
    # What an IGP does when a router has gone.
    for router, inside in (("r4", "client"), ("r6", "site")):
        net[router].run("nft flush ruleset")
        net[router].run(["nft", "-f", "-"], input=SPREAD.format(inside=inside).replace("0 : 1", "0 : 2"))
    before = both_ways("box2")
    wait_for(lambda: both_ways("box2") > before + 1000, 20, "the connection goes on")
    got = transfer.stop()
    assert not got["broken"] and not got["corrupt"] and got["received"] == got["sent"]

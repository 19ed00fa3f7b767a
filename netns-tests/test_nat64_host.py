"""nemo-nat64 and the host it runs on: firewall hooks, routing daemon, queues, 100,000 mappings, what is
told to the log.

    c4 ------ r4 ------ box ------ r6 ------ h6, g6        (addresses: lib/lab64.py)
"""

import collections
import os
import re
import signal
import socket
import struct

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.packet import Raw

from lib import lab64
from lib.lab64 import BOX4, C4, C6, ENGINES, H4, H6, MAPPED_H4, PREFIX, SETTINGS, Lab, Tap, Udp, ping
from lib.service import Service
from lib.traffic import Server, UdpProbe
from lib.wait import wait_for

pytestmark = pytest.mark.novm("what the daemon does here is the same on any kernel")


@pytest.fixture
def net(make_net):
    with lab64.build() as net:
        yield net


def reach(net):
    wait_for(lambda: " 0% packet loss" in ping(net, "c4", H4), 10, "c4 reaches h6")


# --- firewall hooks ---

PORT = 4242
CHAIN = """chain {name} {{
    type filter hook {hook} priority {priority};
    {match} udp dport %d counter comment "{comment}"
}}
""" % PORT


def chain(name, hook, match, comment, priority=0):
    return CHAIN.format(name=name, hook=hook, match=match, comment=comment, priority=priority)


HOOKS = "table netdev in {\n" + chain("in", "ingress device left", "ip protocol udp", "ingress") + "}\n"
HOOKS += "table netdev out {\n" + chain("out", "egress device right", "ip6 nexthdr udp", "egress") + "}\n"
HOOKS += "table inet hooks {\n" + "".join(
    chain(f"{h}{f}", h, f"meta nfproto ipv{f}", f"{h} ipv{f}", -300)
    for h in ("prerouting", "forward", "postrouting") for f in (4, 6))
HOOKS += chain("translated", "forward", 'iifname "nat64"', "forward from nat64") + "}\n"
BEFORE = {"ingress", "prerouting ipv4", "forward ipv4", "postrouting ipv4"}
AFTER = {"prerouting ipv6", "forward ipv6", "forward from nat64", "postrouting ipv6", "egress"}


@pytest.mark.parametrize("engine, forward, hooks, hops", [  # nemo-nat64(8), FIREWALL
    ("tun", "direct", BEFORE | AFTER, 3),
    ("ebpf", "direct", set(), 1),
    ("ebpf", "stack", AFTER, 2),
])
def test_which_hooks_see_translated_traffic(net, opened, engine, forward, hooks, hops):
    lab = Lab(net, engine, {"forward": forward})
    reach(net)
    c4, h6 = opened(Udp(net, "c4", 4)), opened(Udp(net, "h6", 6, PORT))
    c4.sendto(b"neighbours, routes", H4, PORT)
    h6.wait("at h6")
    net["box"].run(["nft", "-f", "-"], input=HOOKS)
    tap = opened(Tap(net, "h6", "eth0"))
    before = lab.moved({})[engine]
    c4.sendto(b"once", H4, PORT)
    came = tap.wait(lambda p: b"once" in p, "at h6")
    assert lab.moved({})[engine] == before + 1
    rules = net["box"].out("nft list ruleset")
    seen = {what: int(n) for n, what in re.findall(r'counter packets (\d+) bytes \d+ comment "([\w ]+)"', rules)}
    assert {what for what, n in seen.items() if n} == hooks and set(seen) == BEFORE | AFTER
    assert came[7] == 64 - 2 - hops, "r4 and r6 take one each"
    # tc sees it in every case: at the way in before our program (its priority is 140), at the way out.
    net["box"].run("tc qdisc add dev left clsact", check=False)  # the eBPF engine's is there already
    net["box"].run("tc qdisc add dev right clsact", check=False)
    for dev, at, protocol in ("left", "ingress", "ip"), ("right", "egress", "ipv6"):
        rule = f"dev {dev} {at} protocol {protocol} pref 139"
        net["box"].run(["tc", "filter", "add", *rule.split(), "bpf", "da", "bytecode", "1,6 0 0 2"])  # drop
        c4.sendto(b"dropped", H4, PORT)
        wait_for(lambda: "(dropped 0" not in net["box"].out(f"tc -s qdisc show dev {dev} clsact"), 3,
                 f"{dev} {at} drops it")
        net["box"].run(f"tc filter del {rule}")
    h6.received()
    c4.sendto(b"passes", H4, PORT)
    assert h6.wait("without the filters")[0] == b"passes"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_advised_rule_holds(net, opened, engine):
    """nemo-nat64(8), FIREWALL: a rule in forward, by iif."""
    Lab(net, engine, {"forward": "stack"})
    reach(net)
    net["box"].run("nft add table inet filter")
    net["box"].run(["nft", "add chain inet filter forward { type filter hook forward priority 0; }"])
    net["box"].run(["nft", f"add rule inet filter forward iifname nat64 ip6 daddr {H6} udp dport != {PORT} drop"])
    c4, good, bad = opened(Udp(net, "c4", 4)), opened(Udp(net, "h6", 6, PORT)), opened(Udp(net, "h6", 6))
    c4.sendto(b"bad", H4, bad.port)
    c4.sendto(b"good", H4, PORT)
    assert good.wait("what the rule lets through")[0] == b"good"
    assert not bad.received()


# --- routing daemon ---

BIRD = {"box": """router id 198.51.100.2;
protocol device { scan time 1; }
protocol kernel { learn; scan time 1; ipv4 { import where krt_source = 140; }; }
protocol kernel { learn; scan time 1; ipv6 { import where krt_source = 140; }; }
protocol bgp { local 198.51.100.2 as 65000; neighbor 198.51.100.1 as 65004; ipv4 { import none; export all; }; }
protocol bgp { local 2001:db8:b::1 as 65000; neighbor 2001:db8:b::2 as 65006; ipv6 { import none; export all; }; }
""", "r4": """router id 198.51.100.1;
protocol device { scan time 1; }
protocol kernel { ipv4 { export all; }; }
protocol bgp { local 198.51.100.1 as 65004; neighbor 198.51.100.2 as 65000; ipv4 { import all; export none; }; }
""", "r6": """router id 198.51.100.6;
protocol device { scan time 1; }
protocol kernel { ipv6 { export all; }; }
protocol bgp { local 2001:db8:b::2 as 65006; neighbor 2001:db8:b::1 as 65000; ipv6 { import all; export none; }; }
"""}


def start_bird(net, node):
    conf = os.path.join(net.dir, f"bird-{node}.conf")
    with open(conf, "w") as f:
        f.write(BIRD[node])
    quiet = open(os.path.join(net.dir, f"bird-{node}.log"), "w")
    net.started(net[node].popen(["bird", "-f", "-c", conf, "-s", conf + ".ctl", "-P", conf + ".pid"],
                                stdout=quiet, stderr=quiet))


class Bird:
    """BGP between the box and its neighbours, which have no other way to each other."""

    def __init__(self, net):
        self.net = net
        net["r4"].run(f"ip -4 route del 192.0.2.0/24 via {BOX4}")
        for node in BIRD:
            start_bird(net, node)
        wait_for(lambda: self.learned("r4", 4) == {H4, lab64.G4}, 30, lambda: f"IPv4: {self.learned('r4', 4)}")
        wait_for(lambda: self.learned("r6", 6) == {PREFIX + "/96"}, 30, lambda: f"IPv6: {self.learned('r6', 6)}")
        net["r6"].batch([f"route del default via {lab64.BOX6}"])
        reach(net)

    def learned(self, node, family):
        found = self.net[node].out(f"ip -{family} route show proto bird").splitlines()
        return {line.split()[0] for line in found}

    def wait_withdrawn(self):
        wait_for(lambda: not self.learned("r4", 4) | self.learned("r6", 6), 10, "all are withdrawn")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_bird_announces_the_routes(net, opened, sig):
    """Learned by their protocol number, announced by BGP to both neighbours, and withdrawn when the
    daemon ends, however it does, and nobody will start it again."""
    lab = Lab(net, "tun")
    bird = Bird(net)
    lab.configure({"mappings": SETTINGS["mappings"][:1]})
    wait_for(lambda: bird.learned("r4", 4) == {H4}, 10, "one is withdrawn by the reload")
    lab.box.stop(sig)
    bird.wait_withdrawn()


def test_bird_goes_on_announcing_over_a_crash(net, opened):
    """The service manager holds the device and will start the daemon at once: traffic is not to turn to
    another translator and back.  Unless the manager gives up."""
    box = Service(net, "box", "nemo-nat64", {**SETTINGS, "engine": "tun"}).start()
    opened(box)
    bird = Bird(net)
    box.wait_stored()
    probe = UdpProbe(net, "c4", MAPPED_H4, Server(net, "h6"))
    probe.wait_flowing()
    news = net["r4"].popen(["ip", "monitor", "route"], stdout=open(os.path.join(net.dir, "news"), "w"))
    net.started(news)
    box.stop(signal.SIGKILL)
    box.start()
    probe.wait_flowing()
    assert not open(os.path.join(net.dir, "news")).read()
    box.wait_stored()
    box.stop(signal.SIGKILL)
    box.release()
    bird.wait_withdrawn()


# --- queues, pools, many mappings ---


def test_flows_spread_over_queues_arrive_in_order(net, opened):
    lab = Lab(net, "tun", {"queues": 4})
    assert "multi_queue" in net["box"].out("ip -d link show nat64")
    reach(net)
    receiver, flows = opened(Udp(net, "h6", 6)), [opened(Udp(net, "c4", 4)) for _ in range(16)]
    for n in range(200):
        for udp in flows:
            udp.sendto(struct.pack("!I", n), H4, receiver.port)
    got = collections.defaultdict(list)

    def all_came():
        for data, (_, port) in receiver.received():
            got[port].append(struct.unpack("!I", data)[0])
        return sum(len(v) for v in got.values()) == 3200

    wait_for(all_came, 10, lambda: f"3200 datagrams; {sum(len(v) for v in got.values())} came")
    assert dict(got) == {udp.port: list(range(200)) for udp in flows}
    lab.configure({"queues": 4, "lowest_ipv6_mtu": 1400})  # all threads take a new configuration
    reach(net)


@pytest.mark.parametrize("engine", ENGINES)
def test_errors_from_unmapped_ipv4_nodes_come_from_pool6(net, opened, engine):
    """The counterpart of RFC 6791 where no prefix covers all of IPv4."""
    lab = Lab(net, engine, {"prefixes": [{"prefix": PREFIX + "/96", "ipv4": "203.0.113.0/24"}],
                            "pool6": ["2001:db8:66::/126"]})
    reach(net)
    net["r4"].run(f"ip -4 route add unreachable {C4}")
    h6, tap = opened(Udp(net, "h6", 6)), opened(Tap(net, "h6", "eth0"))
    h6.connect(C6, 9).send(b"x")
    came = IPv6(tap.wait(lambda p: p[6] == 58 and p[40] == 1, "r4's host unreachable"))
    assert came.src in {f"2001:db8:66::{n}" for n in ("", 1, 2, 3)} and came[ICMPv6DestUnreach].code == 0
    lab.configure({"prefixes": [{"prefix": PREFIX + "/96", "ipv4": "203.0.113.0/24"}]})
    mark = tap.mark()
    h6.sendto(b"x", C6, 9)
    came = tap.wait(lambda p: p[6] == 58 and p[40] == 1, "the same without a pool", mark)
    assert came[8:24] == socket.inet_pton(socket.AF_INET6, SETTINGS["address6"])


def many(net, name, second):
    """A file of 100,000 mappings that can't be put together, so with a route each."""
    with open(os.path.join(net.dir, name), "w") as f:
        for n in range(100000):
            v4 = 0x0A000000 + 2 * n
            f.write(f"{socket.inet_ntoa(struct.pack('!I', v4))} 2001:db8:{second}:{n >> 16:x}::{n & 0xffff:x}\n")
    return f.name


@pytest.mark.parametrize("engine", ENGINES)
def test_100000_mappings(net, engine):
    """They are loaded and swapped for others under way, and packets don't mind."""
    old, new = many(net, "old", "aa"), many(net, "new", "bb")
    lab = Lab(net, engine, {"mappings_file": old})
    reach(net)
    assert lab.box.status()["mappings"] == 100002 and lab.box.status()["routes4"] == 100002
    server = Server(net, "h6")
    probe = UdpProbe(net, "c4", MAPPED_H4, server)
    probe.wait_flowing()
    for name, second in ("new", "bb"), ("old", "aa"):
        lab.configure({"mappings_file": new if name == "new" else old}, timeout=30)
        for n in 0, 1, 65536, 99999:
            v4 = socket.inet_ntoa(struct.pack("!I", 0x0A000000 + 2 * n))
            becomes = lab.box.ask("explain", address=v4)["addresses"][0]["becomes"]
            assert socket.inet_pton(socket.AF_INET6, becomes) == \
                socket.inet_pton(socket.AF_INET6, f"2001:db8:{second}:{n >> 16:x}::{n & 0xffff:x}")
        probe.wait_flowing()
    probe.stop()
    assert probe.flow().lost() == 0
    rows = net["box"].out("ip -4 route show proto 140").count("\n")
    assert rows == 100002
    lab.box.stop()
    assert not net["box"].out("ip -4 route show proto 140")


# --- what is put right, and what is told ---


def told(lab, what):
    return [line for line in lab.box.log().splitlines() if what in line]


@pytest.mark.parametrize("engine", ENGINES)
def test_dropped_udp_without_a_checksum_is_told(net, opened, engine):
    """RFC 7915 s4.5: with addresses and ports; but never a line for each packet."""
    lab = Lab(net, engine)
    tap = opened(Tap(net, "c4", "eth0", ("r4", "client")))
    packet = bytes(IP(src=C4, dst=H4) / UDP(sport=1234, dport=5678, chksum=0) / Raw(b"x"))
    fragment = bytes(IP(src=C4, dst=H4, flags="MF", id=7) / UDP(sport=77, dport=88, chksum=0) / Raw(bytes(8)))
    for _ in range(300):
        tap.send(packet)
    wait_for(lambda: lab.counters()["udp_zero"] == 300, 5, "all are dropped")
    lines = told(lab, "without a checksum")
    assert 1 <= len(lines) < 10
    assert f"from {C4} port 1234 to {H4} port 5678" in lines[0]

    def more():
        tap.send(fragment)
        return told(lab, f"from {C4} port 77 to {H4} port 88")

    line, = wait_for(more, 5, "the next line, of another kind of packet")
    assert "fragments" in line and re.search(r"; and \d+ packets before it", line)


def test_dropped_fragments_with_extension_headers_are_told(net, opened):
    """RFC 7915 s5.1.1."""
    lab = Lab(net, "tun")
    tap = opened(Tap(net, "h6", "eth0", ("r6", "site")))
    tap.send(bytes(IPv6(src=H6, dst=C6) / IPv6ExtHdrFragment(m=1, id=1) / IPv6ExtHdrDestOpt() / Raw(bytes(16))))
    wait_for(lambda: told(lab, f"from {H6} to {lab64.same_address(C6)}"), 3, "a line")
    assert lab.counters()["fragment_chain"] == 1


def test_deleted_routes_are_put_back(net):
    lab = Lab(net, "tun")

    def routes():
        return {line.split()[0] for f in (4, 6) for line in
                net["box"].out(f"ip -{f} route show proto 140").splitlines()}

    assert routes() == {PREFIX + "/96", H4, lab64.G4}
    net["box"].run("ip -4 route flush proto 140")
    net["box"].run("ip -6 route flush proto 140")
    wait_for(lambda: routes() == {PREFIX + "/96", H4, lab64.G4}, 3, "all routes")
    assert told(lab, "they are back")
    reach(net)
    lab.configure({"mappings": SETTINGS["mappings"][:1]})
    assert routes() == {PREFIX + "/96", H4}, "what the daemon itself deletes stays away"


@pytest.mark.parametrize("engine", ["ebpf", "auto"])
def test_an_interface_may_come_later(net, opened, engine):
    """As at boot.  Until then the TUN engine does the work, and status says what is awaited."""
    lab = Lab(net, engine, {"interfaces": ["left", "right", "late0"]})
    status = lab.box.status()
    assert (status["interfaces"], status["interfaces_awaited"]) == (["left", "right"], ["late0"])
    assert told(lab, "interface late0")
    reach(net)
    net["box"].batch(["link add name late0 type veth peer name late1", "link set late0 up", "link set late1 up"])
    wait_for(lambda: lab.box.status()["interfaces_awaited"] == [], 3, "its programs")
    assert "nat64_ingress" in net["box"].out("tc filter show dev late0 ingress")

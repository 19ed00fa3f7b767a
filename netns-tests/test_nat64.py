"""nemo-nat64 with real traffic, by each engine: TCP, UDP, ping, fragments, path MTU, errors, hairpins.

    c4 ------ r4 ------ box ------ r6 ------ h6, g6        (addresses: lib/lab64.py)
        IPv4      IPv4       IPv6       IPv6
"""

import errno
import os
import re
import socket
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from lib import lab64
from lib.lab64 import (  # noqa: F401 (with fixtures)
    BOX4, BOX6, C4, C6, ENGINES, G4, H4, H6, IP_PMTUDISC_DO, IP_PMTUDISC_DONT, IP_PMTUDISC_PROBE,
    MAPPED_H4, OURS, PREFIX, R6, SETTINGS, Lab, Tap, Udp, lab, ping, running, same_address, transfer,
    translated,
)
from lib.wait import wait_for

UDP_SEGMENT = 103


# --- ordinary traffic ---


def test_the_engine_is_the_one_asked_for(lab):
    assert lab.box.status()["engine"] == lab.engine
    before = lab.moved({})
    udp = Udp(lab.net, "c4", 4)
    for _ in range(10):
        udp.sendto(b"x" * 100, H4, 9)
    wait_for(lambda: lab.moved(before)[lab.engine] >= 10, 3, f"ten packets translated by {lab.engine}")
    udp.close()


@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_tcp(transfer, way):
    got = transfer(way, 3000)
    assert not got["broken"] and not got["corrupt"] and got["received"] == got["sent"] > 1 << 20


@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_tcp_through_the_stack(lab, transfer, way):
    """forward = "stack", by a reload: translated packets are forwarded as any other."""
    if lab.engine == "tun":
        pytest.skip("that is the eBPF engine's")
    lab.configure({"forward": "stack"})
    before = lab.moved({})["ebpf"]
    got = transfer(way, 1000)
    assert not got["broken"] and not got["corrupt"] and got["received"] == got["sent"]
    assert lab.moved({})["ebpf"] > before + 900


@OURS
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_many_segments_cross_in_one_piece(lab, opened, way):
    """As fast as the sender can: packets of up to 64 KB, made of segments by nobody on the way."""
    listener = opened(lab64.Tcp(lab.net, "h6" if way == "4to6" else "c4"))
    sender = opened(lab64.Tcp(lab.net, "c4" if way == "4to6" else "h6"))
    sender.connect(MAPPED_H4 if way == "4to6" else C6, listener.listen())
    name, size = f"translated_{way}", 64 << 20
    before = lab.counters()[name]
    assert sender.send_to(opened(listener.accept()), size) == size
    assert size / (lab.counters()[name] - before) > 10000


@OURS
@pytest.mark.parametrize("way, size", [("4to6", 1000), ("6to4", 1000), ("4to6", 1473)])
def test_udp_segments(lab, opened, way, size):
    """Datagrams that were sent as one (UDP_SEGMENT) cross in one piece and arrive one by one; those too
    big for the links behind the translator in fragments."""
    sender, receiver, to = (Udp(lab.net, "c4", 4, discover=IP_PMTUDISC_DONT), Udp(lab.net, "h6", 6), H4) \
        if way == "4to6" else (Udp(lab.net, "h6", 6), Udp(lab.net, "c4", 4), C6)
    opened(sender), opened(receiver)
    if size > 1472:
        lab.mtu(c4=9000, left=9000)
    sender.s.setsockopt(socket.SOL_UDP, UDP_SEGMENT, size)
    name, data = f"translated_{way}", os.urandom(20 * size)
    before, got = lab.counters()[name], []
    sender.sendto(data, to, receiver.port)

    def all_came():
        got.extend(d for d, _ in receiver.received())
        return len(got) == 20

    wait_for(all_came, 5, lambda: f"20 datagrams; {len(got)} came")
    assert b"".join(got) == data and {len(d) for d in got} == {size}
    assert lab.counters()[name] == before + 1


@pytest.mark.parametrize("size", [pytest.param(n, marks=OURS) for n in (0, 1, 1452)] + [1000])
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_udp_there_and_back(lab, opened, way, size):
    a, b = opened(Udp(lab.net, "c4", 4)), opened(Udp(lab.net, "h6", 6))
    data = os.urandom(size)
    if way == "4to6":
        a.sendto(data, H4, b.port)
        assert b.wait("at h6") == (data, (same_address(C6), a.port))
        b.sendto(data, C6, a.port)
        assert a.wait("back at c4") == (data, (H4, b.port))
    else:
        b.sendto(data, C6, a.port)
        assert a.wait("at c4") == (data, (H4, b.port))
        a.sendto(data, H4, b.port)
        assert b.wait("back at h6") == (data, (same_address(C6), a.port))


@pytest.mark.parametrize("size", [pytest.param(1, marks=OURS), 56, pytest.param(1400, marks=OURS)])
def test_ping_both_ways(lab, size):
    for node, address in (("c4", H4), ("h6", C6)):
        assert " 0% packet loss" in ping(lab.net, node, address, "-s", str(size)), address


@OURS
@pytest.mark.parametrize("size", [2000, 4000, 30000, 60000])
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_fragments(lab, opened, way, size):
    """The sender's own fragments: reassembled at the other end, whole and unchanged."""
    a, b = opened(Udp(lab.net, "c4", 4, discover=IP_PMTUDISC_DONT)), opened(Udp(lab.net, "h6", 6))
    data = os.urandom(size)
    if way == "4to6":
        a.sendto(data, H4, b.port)
        got, _ = b.wait("all fragments at h6")
    else:
        b.sendto(data, C6, a.port)
        got, _ = a.wait("all fragments at c4")
    assert got == data


@OURS
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_packets_stay_in_order(lab, opened, way):
    a, b = opened(Udp(lab.net, "c4", 4)), opened(Udp(lab.net, "h6", 6))
    sender, receiver, to = (a, b, H4) if way == "4to6" else (b, a, C6)
    for n in range(2000):
        # Sizes mix, so that both engines take part where there are two.
        sender.sendto(struct.pack("!I", n) + bytes(n * 7 % 1400), to, receiver.port)
    got = []

    def all_came():
        got.extend(struct.unpack_from("!I", d)[0] for d, _ in receiver.received())
        return len(got) == 2000

    wait_for(all_came, 10, lambda: f"2000 datagrams; {len(got)} came")
    assert got == sorted(got)


@OURS
def test_identifications_differ(lab, opened):
    """RFC 7915 s5.1: packets without a fragment header get one from a generator."""
    tap, h6 = opened(Tap(lab.net, "c4", "eth0")), opened(Udp(lab.net, "h6", 6))
    for n in range(200):
        h6.sendto(bytes(100), C6, 9)
    wait_for(lambda: len(mine(tap)) >= 200, 5, "200 packets")
    ids = [p[4:6] for p in mine(tap)]
    assert len(set(ids)) > 190, "as good as random"


def mine(tap):
    return [p for p in tap.packets() if p[0] == 0x45 and p[9] == 17]


# --- sizes ---


@OURS
@pytest.mark.parametrize("df", [True, False])
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_every_size_around_the_mtu(lab, opened, way, df):
    """Each size arrives whole, or the sender is told the size that would pass: never silence."""
    if way == "4to6":
        lab.mtu(c4=9000, left=9000)
        mtu = 1480  # of IPv4 packets over an IPv6 link of 1500
    else:
        lab.mtu(h6=9000, right=9000)
        mtu = 1520
    # PROBE: sent whole whatever the kernel believes about the path.
    mode = IP_PMTUDISC_PROBE if df else IP_PMTUDISC_DONT
    a = opened(Udp(lab.net, "c4", 4, discover=mode))
    b = opened(Udp(lab.net, "h6", 6, discover=mode))
    sender, receiver, to, head = (a, b, H4, 28) if way == "4to6" else (b, a, C6, 48)
    errors = opened(Tap(lab.net, "c4" if way == "4to6" else "h6", "eth0"))
    sizes = range(mtu - 100, mtu + 101)
    for size in sizes:
        sender.sendto(struct.pack("!H", size) + bytes(size - head - 2), to, receiver.port)
    # IPv4 without DF always passes; an IPv6 sender makes fragments only after it was told.
    expected = {n for n in sizes if n <= mtu or (way == "4to6" and not df)}
    got = set()

    def told_sizes():
        told = {}
        for p in errors.packets():
            e = IP(p) if p[0] >> 4 == 4 else IPv6(p)
            if way == "4to6" and e.haslayer(ICMP) and e[ICMP].type == 3 and e[ICMP].code == 4:
                told[struct.unpack_from("!H", p, 20 + 8 + 2)[0]] = e[ICMP].nexthopmtu
            elif e.haslayer(ICMPv6PacketTooBig):
                told[struct.unpack_from("!H", p, 48 + 4)[0] + 40] = e[ICMPv6PacketTooBig].mtu
        return told

    def complete():
        for data, _ in receiver.received():
            size, = struct.unpack_from("!H", data)
            assert len(data) == size - head
            got.add(size)
        return got >= expected and got | set(told_sizes()) >= set(sizes)

    wait_for(complete, 10, lambda: f"missing {sorted(expected - got)}, silent about "
                                   f"{sorted(set(sizes) - got - set(told_sizes()))}")
    if df:
        assert got == expected, f"too big for the link, but came: {sorted(got - expected)}"
    assert set(told_sizes().values()) <= {mtu}


def test_path_mtu_from_ipv4(lab, opened):
    """A small link behind the translator: "fragmentation needed" says 20 octets less."""
    lab.mtu(h6=1300)
    a, b = opened(Udp(lab.net, "c4", 4, discover=IP_PMTUDISC_DO)), opened(Udp(lab.net, "h6", 6))
    a.connect(H4, b.port)
    assert a.send(bytes(1452)) is None
    assert a.error("too big") == errno.EMSGSIZE
    wait_for(lambda: a.path_mtu() == 1280, 3, lambda: f"path MTU 1280, not {a.path_mtu()}")
    assert a.send(bytes(1280 - 28)) is None
    assert len(b.wait("what fits")[0]) == 1280 - 28


def test_path_mtu_from_ipv6(lab, opened):
    lab.mtu(c4=1400)
    a, b = opened(Udp(lab.net, "c4", 4)), opened(Udp(lab.net, "h6", 6, discover=IP_PMTUDISC_DO))
    b.connect(C6, a.port)
    assert b.send(bytes(1452)) is None
    assert b.error("too big") == errno.EMSGSIZE
    wait_for(lambda: b.path_mtu() == 1420, 3, lambda: f"path MTU 1420, not {b.path_mtu()}")
    assert b.send(bytes(1420 - 48)) is None
    assert len(a.wait("what fits")[0]) == 1420 - 48


@OURS
@pytest.mark.parametrize("links", [{"h6": 1300}, {"c4": 1300}, {"c4": 1000}, {"right": 1280, "c4": 1400}])
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_tcp_over_small_links(lab, transfer, links, way):
    lab.mtu(**links)
    got = transfer(way, 1000)
    assert not got["broken"] and not got["corrupt"]


@OURS
def test_small_ipv4_links(lab, opened):
    """RFC 7915 s5, s5.1.1: IPv6 knows no MTU below 1280, so IPv4 fragments."""
    lab.mtu(c4=1000)
    a, b = opened(Udp(lab.net, "c4", 4)), opened(Udp(lab.net, "h6", 6, discover=IP_PMTUDISC_DO))
    b.sendto(bytes(1232), C6, a.port)
    assert len(a.wait("1280 octets over 1000")[0]) == 1232
    lab.mtu(left=700, c4=700)
    b.sendto(bytes(1232), C6, a.port)
    assert len(a.wait("1280 octets over 700")[0]) == 1232


# --- errors ---


@OURS
def test_port_unreachable(lab, opened):
    a = opened(Udp(lab.net, "c4", 4)).connect(H4, 4321)
    a.send(b"nobody there")
    assert a.error("from IPv6") == errno.ECONNREFUSED
    b = opened(Udp(lab.net, "h6", 6)).connect(C6, 4321)
    b.send(b"nobody there")
    assert b.error("from IPv4") == errno.ECONNREFUSED


def hops(net, node, address, limit=12):
    """Who answers to echo requests with rising TTL, the destination last."""
    found = []
    for ttl in range(1, limit):
        out = ping(net, node, address, "-t", str(ttl))
        who = re.search(r"From (\S+):? icmp_seq=\d+ Time to live exceeded"
                        r"|From (\S+):? icmp_seq=\d+ Time exceeded", out)
        if " 0% packet loss" in out:
            return found + [address]
        found.append((who.group(1) or who.group(2)).rstrip(":") if who else "*")
    return found


@OURS
def test_traceroute_from_ipv4(lab):
    """Every hop answers; those in IPv6 with the address of the pool (RFC 6791)."""
    found = hops(lab.net, "c4", H4)
    assert found[0] == "203.0.113.1" and found[-1] == H4
    assert "*" not in found
    assert set(found[1:-1]) == {BOX4}


@OURS
def test_traceroute_from_ipv6(lab):
    found = hops(lab.net, "h6", C6)
    assert found[0] == "2001:db8:12:34::fe" and found[-1] == C6
    assert "*" not in found
    assert same_address(PREFIX + "203.0.113.1") not in found[:1]
    assert {a for a in found[1:-1]} <= {BOX6, *(same_address(PREFIX + a) for a in
                                              (lab64.R4, BOX4))}


@OURS
def test_the_pool_is_used_at_random(lab, opened):
    """RFC 6791 s5."""
    last = str(len(hops(lab.net, "c4", H4)) - 1)  # where r6 answers, which has no IPv4 address
    lab.configure({"pool4": ["198.51.100.64/30", "198.51.100.99"]})
    tap = opened(Tap(lab.net, "c4", "eth0"))
    before = tap.mark()
    for _ in range(60):
        ping(lab.net, "c4", H4, "-t", last)
    sources = {IP(p).src for p in tap.packets()[before:] if IP(p).haslayer(ICMP) and IP(p)[ICMP].type == 11}
    pool = {f"198.51.100.{n}" for n in (64, 65, 66, 67, 99)}
    assert sources <= pool and len(sources) >= 3


NARROW = {"prefixes": [{"prefix": PREFIX + "/96", "ipv4": "203.0.113.0/24"}]}


@OURS
def test_what_has_no_mapping_is_refused(lab, opened):
    """RFC 7915 s4.4, s5.4: "administratively prohibited", but not about ICMPv6."""
    lab.configure(NARROW)
    lab.net["box"].run("ip -4 route replace 192.0.2.77 dev nat64")
    a = opened(Udp(lab.net, "c4", 4))
    tap = opened(Tap(lab.net, "c4", "eth0"))
    a.sendto(b"x", "192.0.2.77", 9)
    e = IP(tap.wait(lambda p: p[9] == 1, "an error"))
    assert (e[ICMP].type, e[ICMP].code, e.dst) == (3, 13, C4)
    lab.net["h6"].batch(["addr add 2001:db8:12:34::99/64 dev eth0 nodad"])
    tap6 = opened(Tap(lab.net, "h6", "eth0"))
    b = opened(Udp(lab.net, "h6", 6))
    b.s.close()
    b.s = lab64.socket_in(lab.net["h6"], socket.AF_INET6, socket.SOCK_DGRAM, 0)
    b.s.bind(("2001:db8:12:34::99", 0))
    b.sendto(b"x", C6, 9)
    e = IPv6(tap6.wait(lambda p: p[6] == 58 and p[40] == 1, "an error"))
    assert (e[ICMPv6DestUnreach].code, e.dst) == (1, "2001:db8:12:34::99")
    mark, drops = tap6.mark(), lab.counters()["unmapped_src6"]
    ping(lab.net, "h6", C6, "-I", "2001:db8:12:34::99", "-W", "1")
    wait_for(lambda: lab.counters()["unmapped_src6"] > drops, 3, "the echo request is counted")
    assert not [p for p in tap6.packets()[mark:] if p[6] == 58 and p[40] == 1]
    lab.net["h6"].batch(["addr del 2001:db8:12:34::99/64 dev eth0"])
    lab.net["box"].run("ip -4 route del 192.0.2.77 dev nat64")


@OURS
@pytest.mark.parametrize("rate", [0, 10])
def test_errors_are_limited_or_left_out(make_net, opened, rate):
    """RFC 7915 s4.4, s5.4; RFC 4443 s2.4 (f)."""
    net = lab64.build()
    with net:
        lab = Lab(net, "tun", {"errors_per_second": rate, **NARROW})
        net["box"].run("ip -4 route replace 192.0.2.77 dev nat64")
        wait_for(lambda: " 0% packet loss" in ping(net, "c4", H4), 10, "c4 reaches h6")
        a, tap = opened(Udp(net, "c4", 4)), opened(Tap(net, "c4", "eth0"))
        begin = time.monotonic()
        for _ in range(200):
            a.sendto(b"x", "192.0.2.77", 9)
        wait_for(lambda: lab.counters()["unmapped_dst4"] == 200, 5, "all are refused")
        errors = sum(IP(p).haslayer(ICMP) for p in tap.packets())
        c = lab.counters()
        most = rate * (2 + int(time.monotonic() - begin))
        assert c["errors_sent"] + c["errors_limited"] == 200
        assert c["errors_sent"] == 0 if rate == 0 else 1 <= c["errors_sent"] <= most
        assert errors <= c["errors_sent"]


# --- bad packets ---


@OURS
@pytest.mark.parametrize("proto", ["udp", "tcp", "icmp"])
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_wrong_checksums_stay_wrong(lab, opened, way, proto):
    """By as much as they were: nobody repairs what is broken on the way."""
    at4, at6 = opened(Tap(lab.net, "c4", "eth0", ("r4", "client"))), \
        opened(Tap(lab.net, "h6", "eth0", ("r6", "site")))
    mark = os.urandom(16)
    if way == "4to6":
        head, source, target = IP(src=C4, dst=H4), at4, at6
        message = {"udp": UDP(sport=1, dport=9), "tcp": TCP(sport=1, dport=9), "icmp": ICMP()}[proto]
    else:
        head, source, target = IPv6(src=H6, dst=C6), at6, at4
        message = {"udp": UDP(sport=1, dport=9), "tcp": TCP(sport=1, dport=9),
                   "icmp": ICMPv6EchoRequest()}[proto]
    sums = {}
    for error in 0, 1, 0x1000:
        p = (head.__class__(bytes(head / message / Raw(mark))))
        layer = p.payload
        field = "cksum" if isinstance(layer, ICMPv6EchoRequest) else "chksum"
        right = getattr(layer, field)
        setattr(layer, field, (right + error) % 0xFFFF)
        n = target.mark()
        source.send(bytes(p))
        came = target.wait(lambda d: mark in d, f"with an error of {error}", n)
        got = (IPv6 if way == "4to6" else IP)(came)
        layer = got.payload
        field = "cksum" if "ICMPv6" in layer.name else "chksum"
        seen = getattr(layer, field)
        fresh = got.__class__(bytes(got))
        delattr(fresh.payload, field)
        correct = getattr(got.__class__(bytes(fresh)).payload, field)
        sums[error] = (seen - correct) % 0xFFFF
    assert sums == {0: 0, 1: 1, 0x1000: 0x1000}


@OURS
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", ["4to6", "6to4"])
def test_a_sum_computed_before_the_translation(opened, engine, way):
    """What comes out of a tunnel has had its octets summed up by the kernel, or by a network card.
    The sum goes with the packet, and a receiver on the next machine of this kernel believes it."""
    net = lab64.build()
    with net:
        net["box"].batch([f"link add vx type vxlan id 7 local {BOX4} remote {lab64.R4} dstport 4789 "
                          "dev left", "link set vx up address 02:00:00:00:00:07"], 4)
        lab = Lab(net, engine, {"interfaces": ["left", "right", "vx"],
                                "mappings": [{"ipv4": H4, "ipv6": R6}]})
        source, outer = opened(Tap(net, "r4", "box", ("box", "left"))), IP(src=lab64.R4, dst=BOX4)
        outer = outer / UDP(sport=9, dport=4789) / VXLAN(flags="Instance", vni=7)
        if way == "4to6":
            receiver, inner = opened(Udp(net, "r6", 6)), IP(src=C4, dst=H4)
        else:
            receiver, inner = opened(Udp(net, "r4", 4)), IPv6(src=R6, dst=PREFIX + lab64.R4)
        for n in range(20):  # neighbours are known after the first
            data = os.urandom(100)
            ether = Ether(src="02:00:00:00:00:08", dst="02:00:00:00:00:07")
            source.send(bytes(outer / ether / inner / UDP(dport=receiver.port) / data))
            assert receiver.wait(f"datagram {n}")[0] == data
        if engine == "ebpf":
            assert lab.moved({})["ebpf"] >= 10


# --- hairpin ---


def test_hairpin(lab, opened, transfer):
    """RFC 7757 s4: h6 reaches g6 by g6's IPv4 address, and each sees the other's."""
    h, g = opened(Udp(lab.net, "h6", 6)), opened(Udp(lab.net, "g6", 6))
    h.sendto(b"there", PREFIX + G4, g.port)
    assert g.wait("at g6") == (b"there", (same_address(PREFIX + H4), h.port))
    g.sendto(b"back", PREFIX + H4, h.port)
    assert h.wait("at h6") == (b"back", (same_address(PREFIX + G4), g.port))
    got = transfer("6to4", 500, PREFIX + G4, "g6")
    assert not got["broken"] and not got["corrupt"]
    refused = opened(Udp(lab.net, "h6", 6)).connect(PREFIX + G4, 4321)
    refused.send(b"x")
    assert refused.error("from g6") == errno.ECONNREFUSED


@OURS
def test_a_hairpin_loop_ends(lab, opened):
    """A mapping whose IPv6 side lies inside the prefix sends packets back to the translator."""
    lab.configure({"mappings": SETTINGS["mappings"] + [{"ipv4": "192.0.2.66", "ipv6": PREFIX + "192.0.2.66"}]})
    h, before = opened(Udp(lab.net, "h6", 6)), lab.counters()
    h.sendto(b"round and round", PREFIX + "192.0.2.66", 9)
    wait_for(lambda: sum(lab.counters().values()) > sum(before.values()), 3, "it is seen")
    now = lab.counters()
    assert sum(now.values()) - sum(before.values()) <= 70, "the hop limit ends it"


# --- routes ---


def test_a_more_specific_route_wins(lab, opened):
    """RFC 7915 s4.6, s5.6: forwarded untranslated."""
    lab.configure({"prefixes": [{"prefix": PREFIX + "/96", "hosts": ["192.0.2.128/26"]}]})
    a = opened(Udp(lab.net, "c4", 4))
    at4, at6 = opened(Tap(lab.net, "r4", "box")), opened(Tap(lab.net, "r6", "box"))
    lab.net["box"].run(f"ip -4 route add 192.0.2.130 via {lab64.R4}")
    lab.net["r4"].run("ip -4 route add blackhole 192.0.2.130")  # instead of back again
    lab.net["box"].batch([f"route add {C6}/128 via {R6}"])
    lab.net["r6"].batch([f"route add blackhole {C6}/128"])
    try:
        before = translated(lab)
        # r6 and r4 would not give them back, so they are given to the box here.
        source = Tap(lab.net, "r6", "box", ("box", "right"))
        source.send(bytes(IPv6(src=H6, dst=C6) / UDP(dport=9) / Raw(b"untranslated")))
        at6.wait(lambda p: b"untranslated" in p and p[0] >> 4 == 6, "IPv6 again")
        source.close()
        source = Tap(lab.net, "r4", "box", ("box", "left"))
        source.send(bytes(IP(src=C4, dst="192.0.2.130") / UDP(dport=9) / Raw(b"unchanged")))
        at4.wait(lambda p: b"unchanged" in p and p[0] >> 4 == 4, "IPv4 again")
        source.close()
        assert translated(lab) == before
    finally:
        lab.net["box"].batch([f"route del {C6}/128 via {R6}"])
        lab.net["r6"].batch([f"route del blackhole {C6}/128"])
        lab.net["box"].run(f"ip -4 route del 192.0.2.130 via {lab64.R4}")
        lab.net["r4"].run("ip -4 route del blackhole 192.0.2.130")
    a.sendto(b"translated again", "192.0.2.130", 9)
    wait_for(lambda: translated(lab) > before, 3, "without the routes")

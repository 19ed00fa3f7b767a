"""Tunnel engines, without the daemons: encapsulation, decapsulation and its checks, tenants, updates of
the tables.  The topology and its names are lib/engine.py's."""

import collections
import select
import subprocess

from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    HBHOptUnknown, ICMPv6PacketTooBig, ICMPv6ParamProblem, IPv6, IPv6ExtHdrDestOpt, PadN,
)
from scapy.packet import Raw

from lib.engine import (  # noqa: F401 (with fixtures)
    BOX, CLIENT, COA, COA2, FAR, HA, HA_PUT, HOA, HOST, MNP, MR_PUT, MTU, NO_NEXT, OTHER_COA,
    OTHER_HOA, OTHER_HOST, OTHER_MNP, OTHER_PUT, TOPOLOGY, Box, dest_options, ha, has, inner, kind,
    mr, payload, tel, tunnel,
)
from lib.wait import wait_for


def unknown(number):
    """An option of four octets."""
    return HBHOptUnknown(otype=number, optlen=4, optdata=b"1234")


# --- encapsulation (RFC 2473 s3.1, s5) ---


def test_link_layer_address_is_ours(ha):
    """Else systemd-udevd would set another: 3 is NET_ADDR_SET."""
    ha.only("ebpf", "the kernel's tunnel has no link layer")
    assert ha.net["box"].out("cat /sys/class/net/nemo0/addr_assign_type") == "3\n"


def test_outer_header(ha):
    """The outer header is RFC 2473 s5's; the inner packet goes one hop (s3.1)."""
    sent = IPv6(src=CLIENT, dst=HOST, tc=0xBA, fl=0x12345, hlim=33) / payload("to the network")
    ha.left.send(sent)
    got = ha.right.receive(has("to the network"))
    assert got, "the very first packet, before any neighbour is known, is not lost"
    assert (got.src, got.dst, got.version, got.nh, got.hlim) == (BOX, COA, 6, 41, 64)
    assert got.plen == len(sent)
    assert got.tc == 0xBA  # s6.4
    sent.hlim -= 1
    assert bytes(got[IPv6].payload) == bytes(sent)


def test_flow_label(ha):
    """RFC 6438 s3: packets of one flow inside have one label outside, and flows differ, so that
    routers with several ways can share them out."""
    ha.only("ebpf", "the kernel's tunnel makes it of the outer addresses")

    def label(port, text):
        udp = UDP(sport=port, dport=1000) / Raw(text.encode())
        ha.left.send(IPv6(src=CLIENT, dst=HOST) / udp)
        return ha.right.receive(has(text)).fl

    labels = [[label(port, f"{port} number {i}") for i in range(3)] for port in (2001, 2002, 2003)]
    assert [len(set(of_flow)) for of_flow in labels] == [1, 1, 1]
    assert len({of_flow[0] for of_flow in labels}) > 1 and any(of_flow[0] for of_flow in labels)


def test_home_address_is_reached(ha):
    ha.left.send(IPv6(src=CLIENT, dst=HOA) / payload("home address"))
    assert ha.right.receive(has("home address")).dst == COA


def test_reverse_tunnel(mr):
    """What the mobile network sends goes to the home agent, from the care-of address."""
    mr.left.send(IPv6(src=CLIENT, dst="2001:db8:77::1") / payload("out"))
    got = mr.right.receive(has("out"))
    assert (got.src, got.dst, got.nh) == (BOX, HA, 41)


def test_too_big(ha):
    """A packet over the tunnel MTU gets Packet Too Big with that MTU (RFC 2473 s7.1)."""
    ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload("y" * (MTU - 47)))
    got = ha.left.receive(lambda p: ICMPv6PacketTooBig in p)
    assert got and got[ICMPv6PacketTooBig].mtu == MTU
    ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload("z" * (MTU - 48)))
    assert len(ha.right.receive(has("zzz"))) == MTU + 40


def test_encapsulation_limit(ha):
    """Limit 0 is not encapsulated (RFC 2473 s4.1.1); other packets with the option are."""
    for limit, passes in ((1, True), (0, False)):
        option = IPv6ExtHdrDestOpt(nh=NO_NEXT, options=[tel(limit), PadN(optdata=b"\0")], autopad=0)
        ha.left.send(IPv6(src=CLIENT, dst=HOST) / option / Raw(b"limit"))
        if passes:
            assert ha.right.receive(has("limit"))
    wait_for(lambda: ha.engine.drops() == {"tx_encap_limit": 1}, 5, ha.engine.drops)


def test_loop(ha):
    """A packet between the tunnel's own ends does not enter it (RFC 2473 s4.1.2)."""
    ha.engine.do(f"put {HOA} {BOX} {COA} 1 routes {MNP} {COA}/128")
    ha.left.send(IPv6(src=BOX, dst=COA) / payload("loop"))
    wait_for(lambda: ha.engine.drops() == {"tx_loop": 1}, 5, ha.engine.drops)


def test_no_route_to_the_far_end(ha):
    ha.engine.do(f"put {HOA} {BOX} 2001:db8:dead::1 1 routes {MNP}")
    ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload("nowhere"))
    wait_for(lambda: ha.engine.drops() == {"tx_no_route": 1}, 5, ha.engine.drops)


def test_route_to_the_far_end_changes(ha):
    """What an engine remembers of the way there is soon forgotten."""
    for i in range(20):
        ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload(f"there {i}."))
        assert ha.right.receive(has(f"there {i}.")).dst == COA
    ha.net["box"].batch([f"route replace 2001:db8:a::/64 via {CLIENT}"])

    def follows():
        ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload("back here"))
        return ha.left.receive(lambda p: has("back here")(p) and p.dst == COA, 0.1)

    wait_for(follows, 5, "packets on the new way")


def test_many_hosts_are_one_neighbour(ha):
    """The kernel's table of neighbours takes a thousand, which all of its interfaces share."""
    for i in range(20):
        ha.left.send(IPv6(src=CLIENT, dst=f"2001:db8:9::{i:x}:1") / payload(f"to host {i}."))
        assert ha.right.receive(has(f"to host {i}."))
    neighbours = ha.net["box"].out("ip -6 neigh show nud noarp dev nemo0").splitlines()
    assert [n.split()[0] for n in neighbours if not n.startswith("ff")] == ["fe80::1"]


# --- decapsulation ---


def test_from_the_network(ha):
    """From the care-of address, with a source in its prefixes: forwarded like any packet."""
    sent = inner(text="from the network", hlim=20, tc=0x10, fl=0x777)
    ha.right.send(tunnel(sent))
    got = ha.left.receive(has("from the network"))
    sent.hlim -= 1
    assert bytes(got) == bytes(sent)
    stats = ha.engine.do(f"stats {HOA}")
    assert (stats["rx_packets"], stats["rx_bytes"]) == (1, len(sent))
    assert ha.engine.do(f"stats {OTHER_HOA}")["rx_packets"] == 0
    assert ha.engine.drops() == {}


def test_encapsulation_limit_is_ignored_at_the_end(ha):
    """RFC 2473 s4.1.1: the limit means nothing to the exit point.  Nor do options that nobody knows,
    if their type says that they are to be skipped (RFC 8200 s4.2)."""
    for options in ([tel(0), PadN(optdata=b"\0")], [unknown(0x1E)], [unknown(0x3E)]):
        ha.right.send(IPv6(src=COA, dst=BOX, nh=60) / dest_options(*options) / inner(text="limited"))
        assert ha.left.receive(has("limited"))
    assert ha.engine.drops() == {}


def test_options_past_the_end_of_their_header(ha):
    outer = IPv6(src=COA, dst=BOX, nh=60)
    ha.right.send(outer / Raw(bytes([41, 0, 1, 5, 0, 0, 0, 0])) / inner(text="past"),
                  outer / Raw(bytes([41, 0, 1, 3, 0, 0, 0, 1])) / inner(text="past"),
                  tunnel(inner(text="after it")))
    assert ha.left.receive(lambda p: UDP in p).load == b"after it"


NOT_ECT, ECT1, ECT0, CE = range(4)


def test_congestion_mark(ha):
    """RFC 6040 s4.2, figure 4: what goes on inside, for every pair of marks."""
    for inside in range(4):
        for outside in range(4):
            if (inside, outside) == (NOT_ECT, CE):
                continue
            text = f"in {inside} out {outside}."
            ha.right.send(tunnel(inner(text=text, tc=0x10 | inside), tc=0xE0 | outside))
            marked = {(ECT0, ECT1): ECT1, (ECT0, CE): CE, (ECT1, CE): CE}
            assert ha.left.receive(has(text)).tc == 0x10 | marked.get((inside, outside), inside), text
    # A transport that does not look for marks hears of congestion by loss only.
    ha.right.send(tunnel(inner(text="marked", tc=0x10), tc=CE), tunnel(inner(text="after it")))
    assert ha.left.receive(lambda p: UDP in p).load == b"after it"
    assert ha.engine.drops() == {"rx_congestion": 1}


def test_congestion_mark_going_in(ha):
    """RFC 6040 s4.1, normal mode: the outer header has the marks of the packet inside, and (RFC 2473
    s6.4) the rest of its traffic class."""
    for tclass in *(0x28 | ecn for ecn in range(4)), 0, 0xFC, 0x54:
        ha.left.send(IPv6(src=CLIENT, dst=HOST, tc=tclass) / payload(f"class {tclass}."))
        assert ha.right.receive(has(f"class {tclass}.")).tc == tclass


REFUSED = {  # packets for a home agent: reason, packet
    "stranger's outer source": ("rx_outer_source", tunnel(inner(), src="2001:db8:a::bad")),
    "another binding's care-of address": ("rx_inner_source", tunnel(inner(), src=OTHER_COA)),
    "inner source outside the prefixes": ("rx_inner_source", tunnel(inner(src="2001:db8:77::1"))),
    "inner source of another binding": ("rx_inner_source", tunnel(inner(src=OTHER_HOST))),
    "inner source link-local": ("rx_inner_source", tunnel(inner(src="fe80::1"))),
    "a tunnel in itself": ("rx_inner_source", tunnel(tunnel(inner()))),
    "inner destination link-local": ("rx_inner_dest", tunnel(inner(dst="fe80::1"))),
    "inner destination multicast": ("rx_inner_dest", tunnel(inner(dst="ff0e::1"))),
    "another tenant": ("rx_tenant", tunnel(inner(dst=OTHER_HOST))),
    "inner header cut": ("rx_bad_inner", tunnel(Raw(bytes(inner())[:39]))),
    "inner version 4": ("rx_bad_inner", tunnel(Raw(b"\x45" + bytes(inner())[1:]))),
    **{f"unknown option {number:#x}, not to be skipped": (
        "rx_options", IPv6(src=COA, dst=BOX, nh=60) / dest_options(unknown(number)) / inner(),
    ) for number in (0x5E, 0x9E, 0xDE)},
    "long options": (
        "rx_options",
        IPv6(src=COA, dst=BOX, nh=60) / dest_options(PadN(optdata=b"\0" * 28)) / inner(),
    ),
}


def check_refused(box, far_side, near_side, packets):
    """Each packet counts for its reason and for nothing else, and none gets through."""
    expected = collections.Counter()
    for what, (reason, packet) in packets.items():
        expected[reason] += 1
        far_side.send(packet)
        wait_for(lambda: box.engine.drops() == expected, 5, lambda: f"{what}: {box.engine.drops()}")
    assert not near_side.receive(lambda p: UDP in p, timeout=0)
    assert box.engine.do(f"stats {HOA}")["rx_packets"] == 0


def test_refused(ha):
    check_refused(ha, ha.right, ha.left, REFUSED)


def test_inner_packet_cut(ha):
    """An inner packet shorter than it says is dropped; counted where the engine can."""
    ha.right.send(tunnel(Raw(bytes(inner(text="cut short"))[:-4])))
    ha.right.send(tunnel(inner(text="whole")))
    assert ha.left.receive(lambda p: UDP in p).load == b"whole"
    if ha.kind == "ebpf":
        assert ha.engine.drops() == {"rx_bad_inner": 1}


def test_old_care_of_address_is_refused(ha):
    """After a handover what still comes from the old care-of address is not the binding's."""
    ha.engine.do(HA_PUT.replace(COA, COA2))
    ha.right.send(tunnel(inner()))
    wait_for(lambda: ha.engine.drops() == {"rx_outer_source": 1}, 5, ha.engine.drops)


def test_dropped_binding_is_refused(ha):
    """The home agent's address stays its own with no binding left: no answer by the kernel."""
    ha.engine.do(f"drop {HOA}", f"drop {OTHER_HOA}")
    ha.right.send(tunnel(inner()))
    wait_for(lambda: ha.engine.drops() == {"rx_outer_source": 1}, 5, ha.engine.drops)
    assert not ha.right.receive(lambda p: ICMPv6ParamProblem in p, timeout=0)


def test_transit_tunnels_pass(ha):
    """Somebody else's tunnel through this router is none of our business."""
    ha.right.send(tunnel(inner(text="transit"), src=FAR, dst=CLIENT))
    got = ha.left.receive(has("transit"))
    assert (got.src, got.dst, got.nh) == (FAR, CLIENT, 41)
    assert ha.engine.drops() == {}


MR_REFUSED = {
    "not the home agent": ("rx_outer_source", tunnel(inner(CLIENT, CLIENT), src=OTHER_COA)),
    "not our network": ("rx_inner_dest", tunnel(inner(HOST, "2001:db8:f::2"), src=HA)),
    "the tunnel's end": ("rx_inner_dest", tunnel(inner(HOST, BOX), src=HA)),
    "multicast": ("rx_inner_dest", tunnel(inner(HOST, "ff0e::1"), src=HA)),
    "inner source link-local": ("rx_inner_source", tunnel(inner("fe80::1", CLIENT), src=HA)),
}


def test_refused_by_router(mr):
    """RFC 3963 s3: only from the home agent, only to our own network."""
    check_refused(mr, mr.right, mr.left, MR_REFUSED)


def test_into_the_network(mr):
    mr.right.send(tunnel(inner("2001:db8:77::1", CLIENT, "into"), src=HA))
    assert mr.left.receive(has("into"))
    assert mr.engine.do(f"stats {HOA}")["rx_packets"] == 1


def test_old_local_address_is_accepted(mr):
    """While the home agent has not heard yet, it still sends to the old care-of address."""
    mr.net["box"].add_address("2001:db8:f::11/64", "wan")
    mr.engine.do(MR_PUT.replace(f" {BOX} ", " 2001:db8:f::11 ") + f" old {BOX}")
    for i, dst in enumerate((BOX, "2001:db8:f::11")):
        mr.right.send(tunnel(inner("2001:db8:77::1", CLIENT, f"late {i}"), src=HA, dst=dst))
        assert mr.left.receive(has(f"late {i}"))
    mr.engine.do(MR_PUT.replace(f" {BOX} ", " 2001:db8:f::11 "))
    mr.right.send(tunnel(inner("2001:db8:77::1", CLIENT, "too late"), src=HA))
    mr.right.send(tunnel(inner("2001:db8:77::1", CLIENT, "in time"), src=HA, dst="2001:db8:f::11"))
    assert mr.left.receive(lambda p: UDP in p).load == b"in time"


# --- tenants ---


def test_tenants_may_talk_if_allowed(make_net, kind):
    """-a 1:2 lets tenant 1 send to tenant 2; the other direction needs its own permission."""
    box = Box(make_net(TOPOLOGY), kind, "-a", "1:2")
    box.engine.do(HA_PUT, OTHER_PUT)
    box.right.send(tunnel(inner(dst=OTHER_HOST, text="allowed")))
    got = box.right.receive(lambda p: p.dst == OTHER_COA)
    assert got and got.src == BOX
    box.right.send(tunnel(inner(src=OTHER_HOST, dst=HOST), src=OTHER_COA))
    wait_for(lambda: box.engine.drops() == {"rx_tenant": 1}, 5, box.engine.drops)


def test_same_tenant_may_talk(ha):
    ha.engine.do(OTHER_PUT.replace(" 2 routes", " 1 routes"))
    ha.right.send(tunnel(inner(dst=OTHER_HOST, text="neighbours")))
    assert ha.right.receive(lambda p: p.dst == OTHER_COA)


def test_tenant_outside_its_tunnel(ha):
    """A packet with one tenant's source reaches no other tenant by another way either."""
    ha.left.send(IPv6(src=HOST, dst=OTHER_HOST) / payload("spoofed"))
    wait_for(lambda: ha.engine.drops() == {"tx_tenant": 1}, 5, ha.engine.drops)


def test_two_home_addresses_share_a_care_of_address(ha):
    """Two routers of one host, or behind one: each keeps to its own networks and tenant."""
    ha.engine.do(OTHER_PUT.replace(OTHER_COA, COA))
    for dst, src, text in ((HOST, HOST, "one"), (OTHER_HOST, OTHER_HOST, "other")):
        ha.left.send(IPv6(src=CLIENT, dst=dst) / payload(f"to {text}."))
        assert ha.right.receive(has(f"to {text}.")).dst == COA
        ha.right.send(tunnel(inner(src=src, text=f"from {text}.")))
        assert ha.left.receive(has(f"from {text}."))
    for hoa in HOA, OTHER_HOA:
        stats = ha.engine.do(f"stats {hoa}")
        assert stats["rx_packets"] == 1 and stats["tx_packets"] >= 1  # the client's kernel answers
    ha.right.send(tunnel(inner(dst=OTHER_HOST)))
    wait_for(lambda: ha.engine.drops() == {"rx_tenant": 1}, 5, ha.engine.drops)
    # One moves: its networks are no longer taken from there, the other's are.
    ha.engine.do(OTHER_PUT)
    ha.right.send(tunnel(inner(src=OTHER_HOST)), tunnel(inner(text="stays")))
    assert ha.left.receive(lambda p: UDP in p).load == b"stays"
    assert ha.engine.drops() == {"rx_tenant": 1, "rx_inner_source": 1}
    ha.right.send(tunnel(inner(src=OTHER_HOST, text="moved"), src=OTHER_COA))
    assert ha.left.receive(has("moved"))


# --- changes ---


def test_handover_keeps_the_routes(ha):
    """From put to put every packet goes to the newest care-of address; no route is taken away."""
    box = ha.net["box"]
    monitor = ha.net.started(box.popen("ip -6 monitor route", stdout=subprocess.PIPE, text=True))

    def listens():
        box.batch(["route replace 2001:db8:beef::/64 dev lo"])
        return select.select([monitor.stdout], [], [], 0)[0]

    wait_for(listens, 5, "ip monitor")
    for i in range(20):
        coa = f"2001:db8:a::{i + 16:x}"
        ha.engine.do(HA_PUT.replace(COA, coa))
        ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload(f"packet {i}."))
        assert ha.right.receive(has(f"packet {i}.")).dst == coa
        ha.right.send(tunnel(inner(text=f"back {i}."), src=coa))
        assert ha.left.receive(has(f"back {i}."))
    box.batch(["route add 2001:db8:e4d::/64 dev lo"])
    seen = ""
    while "2001:db8:e4d::" not in seen:
        seen += monitor.stdout.readline()
    assert "Deleted" not in seen
    assert sorted(ha.engine.do("audit")["ids"]) == [HOA, OTHER_HOA]


def test_put_is_all_or_nothing(ha):
    """A prefix of another binding refuses the whole change; the old tunnel goes on."""
    answer = ha.engine.ask(f"put {HOA} {BOX} {COA2} 1 routes 2001:db8:7::/64 {OTHER_MNP}")
    assert answer["rc"] == -17  # EEXIST
    ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload("as before"))
    assert ha.right.receive(has("as before")).dst == COA
    ha.left.send(IPv6(src=CLIENT, dst=OTHER_HOST) / payload("other too"))
    assert ha.right.receive(has("other too")).dst == OTHER_COA
    ha.right.send(tunnel(inner(text="and back")))
    assert ha.left.receive(has("and back"))
    assert "2001:db8:7::" not in ha.net["box"].out("ip -6 route")


def test_prefixes_come_and_go(ha):
    ha.engine.do(f"put {HOA} {BOX} {COA} 1 routes 2001:db8:7::/64")
    routes = ha.net["box"].out("ip -6 route show proto 139")
    assert "2001:db8:7::/64" in routes and "2001:db8:9::/64" not in routes
    ha.right.send(tunnel(inner()))
    wait_for(lambda: ha.engine.drops() == {"rx_inner_source": 1}, 5, ha.engine.drops)
    ha.engine.do(f"drop {HOA}", f"drop {HOA}", f"drop {OTHER_HOA}")
    assert ha.net["box"].out("ip -6 route show proto 139") == ""
    assert ha.engine.do("audit")["ids"] == []
    assert ha.engine.ask(f"stats {HOA}")["rc"] == -2  # ENOENT


def test_restart(ha):
    """The tunnels outlive the process, and the next one takes them over before anyone puts."""
    for run in range(3):
        ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload(f"run {run}."))
        assert ha.right.receive(has(f"run {run}."))
        ha.right.send(tunnel(inner(text=f"back {run}.")))
        assert ha.left.receive(has(f"back {run}."))
        if run == 0:
            ha.engine.leave()
        if run == 1:
            ha.start()
            assert sorted(ha.engine.do("audit")["ids"]) == [HOA, OTHER_HOA]
    assert ha.engine.do(f"stats {HOA}")["rx_packets"] == 3
    ha.engine.do(HA_PUT.replace(COA, COA2), f"drop {OTHER_HOA}")
    ha.left.send(IPv6(src=CLIENT, dst=HOST) / payload("moved"))
    assert ha.right.receive(has("moved")).dst == COA2
    ha.right.send(tunnel(inner()))  # the old one is forgotten
    wait_for(lambda: ha.engine.drops() == {"rx_outer_source": 1}, 5, ha.engine.drops)
    assert "2001:db8:8::" not in ha.net["box"].out("ip -6 route")


def test_close_leaves_nothing(ha):
    ha.engine.do("close")
    box = ha.net["box"]
    assert "nemo0" not in box.out("ip link")
    assert box.out("ip -6 route show proto 139") == ""
    assert "tunnel_decap" not in box.out("tc filter show dev wan ingress")
    assert "nemo_tunnel" not in box.run("nft list tables", check=False).stdout

"""Tunnel engines: sizes, errors from inside the path, encapsulation limits, tunnels in tunnels (RFC
2473 s4.1, s7, s8).  The topology and its names are lib/engine.py's."""

import dataclasses

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    Pad1,
    PadN,
    defragment6,
    fragment6,
)
from scapy.packet import Raw

from lib.engine import (  # noqa: F401 (with fixtures)
    BOX, BOX_LAN, CLIENT, COA, COA2, HA_PUT, HOA, HOST, OTHER_COA, OTHER_HOST, OTHER_PUT, TOPOLOGY,
    Box, Port, dest_options, ha, has, inner, kind, mr, payload, tel, tunnel,
)
from lib.topo import Topology
from lib.wait import wait_for

ROUTER = "2001:db8:f::66"  # somewhere in the tunnel's path
PAD = PadN(optdata=b"\0")


def narrow(mtu):
    """The same with an underlay of 'mtu' octets."""
    lan, wan = TOPOLOGY.links
    return Topology(TOPOLOGY.nodes, [lan, dataclasses.replace(wan, mtu=mtu)])


def sized(size, src=CLIENT, dst=HOST, fill=b"s"):
    """A packet of so many octets."""
    return IPv6(src=src, dst=dst) / UDP(sport=1000, dport=1000) / Raw(fill * (size - 48))


def outer_of(box, packet, text):
    box.left.send(packet)
    got = box.right.receive(has(text))
    assert got, "in the tunnel"
    return got


def error(quoted, kind, **fields):
    """An ICMPv6 error about a tunnel packet, as a router in the path sends it."""
    data = Raw(bytes(quoted)[: 1280 - 48])
    return IPv6(src=ROUTER, dst=quoted.src) / kind(**fields) / data


def route_mtu(box, prefix="2001:db8:9::/64"):
    words = box.net["box"].out(f"ip -6 route show {prefix}").split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None


# --- errors from inside the tunnel (RFC 2473 s8) ---


@pytest.mark.parametrize("kind_of, fields", [
    (ICMPv6DestUnreach, {"code": 0}),
    (ICMPv6DestUnreach, {"code": 1}),
    (ICMPv6DestUnreach, {"code": 4}),
    (ICMPv6TimeExceeded, {"code": 0}),
])
def test_unreachable_is_relayed(ha, kind_of, fields):
    """s8.2: as Address Unreachable, from the tunnel's end, about the packet that was inside."""
    outer = outer_of(ha, IPv6(src=CLIENT, dst=HOST) / payload("lost"), "lost")
    ha.right.send(error(outer, kind_of, **fields))
    got = ha.left.receive(lambda p: ICMPv6DestUnreach in p)
    assert (got.src, got.dst) in ((BOX, CLIENT), (BOX_LAN, CLIENT))
    assert got[ICMPv6DestUnreach].code == 3
    assert bytes(got[ICMPv6DestUnreach].payload) == bytes(outer.payload)


def test_a_care_of_address_is_not_given_up_at_once(ha):
    """The access router that a migrated router has left says Address Unreachable: held back for
    five seconds, since connections that are being made would not survive it."""
    outer = outer_of(ha, IPv6(src=CLIENT, dst=HOST) / payload("lost"), "lost")
    unreachable = error(outer, ICMPv6DestUnreach, code=3)
    ha.right.send(unreachable)
    wait_for(lambda: ha.engine.counts() == {"icmp_held": 1}, 5, ha.engine.counts)
    assert not ha.left.receive(lambda p: ICMPv6DestUnreach in p, timeout=0)

    ha.engine.do("ahead 5")
    ha.right.send(unreachable)
    assert ha.left.receive(lambda p: ICMPv6DestUnreach in p)[ICMPv6DestUnreach].code == 3


def test_unreachable_is_relayed_by_a_router(mr):
    """To the mobile network's node, and not from the care-of address, which means nothing there."""
    mr.net["box"].add_address(f"{HOA}/128", "nemo0")
    outer = outer_of(mr, IPv6(src=CLIENT, dst="2001:db8:77::1") / payload("lost"), "lost")
    mr.right.send(error(outer, ICMPv6DestUnreach, code=0))
    got = mr.left.receive(lambda p: ICMPv6DestUnreach in p)
    assert (got.src, got.dst, got[ICMPv6DestUnreach].code) == (HOA, CLIENT, 3)


def test_too_big_lowers_the_tunnels_mtu(ha):
    """s8.1, s8.2, s6.7: told to the source less the tunnel headers, and kept for the next ones."""
    outer = outer_of(ha, sized(1460), "sss")
    ha.right.send(error(outer, ICMPv6PacketTooBig, mtu=1400))
    got = ha.left.receive(lambda p: ICMPv6PacketTooBig in p)
    assert got[ICMPv6PacketTooBig].mtu == 1360
    assert bytes(got[ICMPv6PacketTooBig].payload) == bytes(outer.payload)[:1232 - 40]
    assert route_mtu(ha) == 1360
    assert ha.engine.counts() == {"icmp_mtu": 1, "icmp_relayed": 1}
    ha.left.send(sized(1361))
    got = ha.left.receive(lambda p: ICMPv6PacketTooBig in p)
    assert got[ICMPv6PacketTooBig].mtu == 1360
    assert len(outer_of(ha, sized(1360, fill=b"t"), "ttt")) == 1400
    # Another path may be wider; the home address' other tunnel never was narrower.
    ha.engine.do(HA_PUT)
    assert route_mtu(ha) == 1360, "a refresh is no other path"
    ha.engine.do(HA_PUT.replace(COA, COA2))
    assert route_mtu(ha) is None
    assert len(outer_of(ha, sized(1460, fill=b"u"), "uuu")) == 1500
    assert len(outer_of(ha, sized(1460, dst=OTHER_HOST, fill=b"v"), "vvv")) == 1500


def test_what_was_learned_outlives_a_restart(ha):
    """The next run's first packet of the old size would be lost."""
    ha.only("ebpf", "its table has no place for it")
    outer = outer_of(ha, sized(1460), "sss")
    ha.right.send(error(outer, ICMPv6PacketTooBig, mtu=1400))
    assert ha.left.receive(lambda p: ICMPv6PacketTooBig in p)[ICMPv6PacketTooBig].mtu == 1360
    ha.engine.leave()
    ha.start()
    ha.engine.do(HA_PUT)
    assert route_mtu(ha) == 1360
    ha.engine.do(HA_PUT.replace(COA, COA2))
    assert route_mtu(ha) is None, "another path"


def test_what_was_learned_is_forgotten(ha):
    """RFC 8201 s4: a larger MTU is tried again ten minutes after the last Packet Too Big, and not
    before five."""
    outer = outer_of(ha, sized(1460), "sss")
    ha.right.send(error(outer, ICMPv6PacketTooBig, mtu=1400))
    assert ha.left.receive(lambda p: ICMPv6PacketTooBig in p)[ICMPv6PacketTooBig].mtu == 1360
    ha.engine.do("ahead 300")
    smaller = outer_of(ha, sized(1360, fill=b"t"), "ttt")
    ha.right.send(error(smaller, ICMPv6PacketTooBig, mtu=1340))
    assert ha.left.receive(lambda p: ICMPv6PacketTooBig in p)[ICMPv6PacketTooBig].mtu == 1300
    for ahead in 600, 890:
        ha.engine.do(f"ahead {ahead}", HA_PUT)  # a refresh looks at the time, too
        assert route_mtu(ha) == 1300
    ha.engine.do("ahead 900")
    wait_for(lambda: route_mtu(ha) is None, 10, "the route's MTU")
    outer = outer_of(ha, sized(1460, fill=b"w"), "www")
    # The path is as narrow as it was.
    ha.right.send(error(outer, ICMPv6PacketTooBig, mtu=1400))
    assert ha.left.receive(lambda p: ICMPv6PacketTooBig in p)[ICMPv6PacketTooBig].mtu == 1360
    assert route_mtu(ha) == 1360
    ha.engine.do("ahead 1510", HA_PUT)
    assert route_mtu(ha) is None


def test_too_big_for_the_least_packets(ha):
    """s7.1: below 1320 small packets go in fragments, and no source is told less than 1280."""
    outer = outer_of(ha, sized(1290), "sss")
    ha.right.send(error(outer, ICMPv6PacketTooBig, mtu=1300))
    got = ha.left.receive(lambda p: ICMPv6PacketTooBig in p)
    assert got[ICMPv6PacketTooBig].mtu == 1280
    assert len(outer_of(ha, sized(1260), "sss")) == 1300
    ha.left.send(sized(1280, fill=b"f"))
    parts = [ha.right.receive(lambda p: IPv6ExtHdrFragment in p) for _ in range(2)]
    assert all(parts) and all(len(p) <= 1300 for p in parts)
    assert not ha.left.receive(lambda p: ICMPv6PacketTooBig in p, timeout=0)


def test_too_big_about_a_small_packet_is_not_relayed(ha):
    """s8.2: only if what was inside is larger than 1280; the MTU falls all the same."""
    outer = outer_of(ha, sized(1280), "sss")
    ha.right.send(error(outer, ICMPv6PacketTooBig, mtu=1300))
    wait_for(lambda: ha.engine.counts() == {"icmp_mtu": 1}, 5, ha.engine.counts)
    assert route_mtu(ha) == 1280
    assert not ha.left.receive(lambda p: ICMPv6PacketTooBig in p, timeout=0)


@pytest.mark.parametrize("pointer, limit, relayed", [(44, 0, True), (44, 1, True), (42, 0, False)])
def test_parameter_problem_at_the_limit_is_relayed(ha, pointer, limit, relayed):
    """s8.1: a used-up encapsulation limit is the inner packet's matter, other fields are not."""
    first = IPv6ExtHdrDestOpt(nh=17, options=[tel(limit + 1), PAD], autopad=0)
    outer = outer_of(ha, IPv6(src=CLIENT, dst=HOST) / first / payload("deep"), "deep")
    assert bytes(outer)[40:48] == bytes([41, 0, 4, 1, limit, 1, 1, 0])
    ha.right.send(error(outer, ICMPv6ParamProblem, code=0, ptr=pointer))
    if relayed:
        got = ha.left.receive(lambda p: ICMPv6DestUnreach in p)
        assert got[ICMPv6DestUnreach].code == 3 and b"deep" in bytes(got)
    ha.left.send(IPv6(src=CLIENT, dst=BOX) / ICMPv6EchoRequest())
    assert ha.left.receive(lambda p: ICMPv6EchoReply in p or ICMPv6DestUnreach in p).haslayer(
        ICMPv6EchoReply)
    assert ha.engine.counts() == ({"icmp_relayed": 1} if relayed else {})


def test_errors_that_can_not_be_true(ha):
    """They change nothing and are passed on to nobody (RFC 8201 s4, s6; HOSTILE 14)."""
    inside = sized(1460)
    right = tunnel(inside, src=BOX, dst=COA)
    cut = tunnel(inside, src=BOX, dst=COA)
    cut.plen = 1499
    forged = {
        "from no address of ours": tunnel(inside, src=CLIENT, dst=COA),
        "to nobody's care-of address": tunnel(inside, src=BOX, dst="2001:db8:a::bad"),
        "to another binding's": tunnel(inside, src=BOX, dst=OTHER_COA),
        "for no mobile network": tunnel(sized(1460, dst="2001:db8:77::1"), src=BOX, dst=COA),
        "sizes that contradict each other": cut,
    }
    n = 0
    for what, quoted in forged.items():
        quoted = IPv6(bytes(quoted))
        for e in (error(quoted, ICMPv6PacketTooBig, mtu=1400),
                  error(quoted, ICMPv6DestUnreach, code=0)):
            e.dst = BOX
            e = IPv6(bytes(e))
            ha.right.send(e)
    right = IPv6(bytes(right))
    for mtu in (0, 68, 1279, 1500, 9000):
        ha.right.send(error(right, ICMPv6PacketTooBig, mtu=mtu))
    n = 2 * len(forged) + 5
    # One with sizes that do not fit is not even taken for a tunnel packet.
    wait_for(lambda: ha.engine.counts() == {"icmp_ignored": n - 2}, 5, ha.engine.counts)
    assert route_mtu(ha) is None
    assert not ha.left.receive(lambda p: p.nh == 58 and bytes(p)[40] in (1, 2), timeout=0)
    outer_of(ha, sized(1460, fill=b"a"), "aaa")


def test_no_error_about_an_error(ha):
    """RFC 4443 s2.4(e): what was inside was an error itself."""
    inside = IPv6(src=CLIENT, dst=HOST) / ICMPv6DestUnreach(code=1) / sized(100, HOST, CLIENT)
    outer = outer_of(ha, inside, "sss")
    ha.right.send(error(outer, ICMPv6DestUnreach, code=0))
    wait_for(lambda: ha.engine.counts() == {"icmp_limited": 1}, 5, ha.engine.counts)
    assert not ha.left.receive(lambda p: ICMPv6DestUnreach in p, timeout=0)


def test_errors_are_rate_limited(ha):
    """RFC 4443 s2.4(f): a hundred in a second."""
    outer = outer_of(ha, IPv6(src=CLIENT, dst=HOST) / payload("lost"), "lost")
    ha.right.send_often(error(outer, ICMPv6DestUnreach, code=0), 200)
    wait_for(lambda: sum(ha.engine.counts().values()) == 200, 5, ha.engine.counts)
    counts = ha.engine.counts()
    assert counts["icmp_limited"] > 0 and counts["icmp_relayed"] >= 100


# --- an underlay with an MTU below 1320 (RFC 2473 s7) ---


@pytest.fixture
def narrow_ha(make_net, kind):
    box = Box(make_net(narrow(1280)), kind, "-M", "1280")
    box.engine.do(HA_PUT, OTHER_PUT)
    return box


@pytest.mark.parametrize("size", [1240, 1241, 1272, 1280])
def test_small_packets_are_fragmented(narrow_ha, size):
    """s7.1: up to 1280 octets nothing is refused; fragments fit the path and are whole packets
    again at the far end."""
    box, packet = narrow_ha, sized(size)
    box.left.send(packet)
    parts = [box.right.receive(lambda p: p.dst == COA) for _ in range(1 if size == 1240 else 2)]
    assert all(parts) and all(len(p) <= 1280 for p in parts)
    whole = parts[0] if size == 1240 else defragment6(parts)
    assert (whole.src, whole.dst, whole.nh, whole.hlim) == (BOX, COA, 41, 64)
    packet.hlim -= 1
    assert bytes(whole.payload) == bytes(packet)
    assert not box.left.receive(lambda p: ICMPv6PacketTooBig in p, timeout=0)
    assert box.engine.do(f"stats {HOA}")["tx_packets"] == 1


def test_large_packets_are_refused(narrow_ha):
    """s7.1: over 1280 the source is told 1280, never less."""
    narrow_ha.left.send(sized(1281))
    got = narrow_ha.left.receive(lambda p: ICMPv6PacketTooBig in p)
    assert got[ICMPv6PacketTooBig].mtu == 1280


def test_fragments_keep_the_traffic_class(narrow_ha):
    packet = sized(1280)
    packet.tc = 0xB9
    narrow_ha.left.send(packet)
    for _ in range(2):
        got = narrow_ha.right.receive(lambda p: p.dst == COA)
        assert (got.tc, got.fl) == (0xB9, 0)


@pytest.mark.parametrize("order", ["first fragment first", "first fragment last"])
@pytest.mark.parametrize("limited", [False, True], ids=["plain", "with a limit"])
def test_fragments_are_put_together(ha, order, limited):
    """s7 (7-03): and then pass the checks that every tunnel packet passes."""
    packet = sized(1280, src=HOST, dst=CLIENT)
    outer = IPv6(src=COA, dst=BOX) / IPv6ExtHdrFragment(nh=60 if limited else 41, id=7)
    whole = outer / (dest_options(tel(3), PAD) / packet if limited else packet)
    parts = fragment6(whole, 800)
    assert len(parts) == 2
    if limited:
        assert parts[0][IPv6ExtHdrFragment].nh == 60
    ha.right.send(*(parts if order == "first fragment first" else reversed(parts)))
    got = ha.left.receive(has("sss"))
    packet.hlim -= 1
    assert bytes(got) == bytes(packet)
    assert ha.engine.do(f"stats {HOA}")["rx_packets"] == 1
    assert ha.engine.drops() == {}
    assert not ha.right.receive(lambda p: p.nh == 58 and bytes(p)[40] in (1, 4), timeout=0)


def test_fragments_are_checked(ha):
    """Fragments of what would be refused whole."""
    for src, outer, why in (
        (HOST, "2001:db8:a::bad", "rx_outer_source"), ("2001:db8:77::1", COA, "rx_inner_source")):
        before = ha.engine.drops().get(why, 0)
        packet = sized(1280, src=src, dst=CLIENT, fill=b"x")
        whole = IPv6(src=outer, dst=BOX) / IPv6ExtHdrFragment(nh=41, id=9) / packet
        ha.right.send(*fragment6(whole, 800))
        wait_for(lambda: ha.engine.drops().get(why, 0) > before, 5, ha.engine.drops)
    ha.right.send(tunnel(inner(text="a right one")))
    assert ha.left.receive(lambda p: UDP in p).load == b"a right one"


LINK_ONLY = ["ff02::1", "ff05::1", "ff08::1", "ff0e::1", "fe80::1"]


def check_stays(box, outside):
    box.only("ebpf", "its device can't be handed a frame, and it has no route for them")
    device = Port(box.net["box"], "nemo0", box.net["box"], "nemo0")
    for n, dst in enumerate(LINK_ONLY, 1):
        with pytest.raises(OSError):  # the socket is told that it was dropped
            device.send(IPv6(src=HOST, dst=dst) / payload("stays"))
        # The kernel's own multicast reports may be among them.
        wait_for(lambda: box.engine.drops().get("tx_no_tunnel", 0) >= n, 5, box.engine.drops)
    assert set(box.engine.drops()) == {"tx_no_tunnel"}
    device.send(IPv6(src=CLIENT, dst=outside) / payload("goes"))
    assert box.right.receive(lambda p: p.nh == 41)[UDP].load == b"goes"


def test_what_belongs_to_a_link_stays_there(ha):
    """RFC 6275 s10.4.2: link-local and multicast packets go into no tunnel."""
    check_stays(ha, HOST)


def test_what_belongs_to_a_link_stays_there_by_a_router(mr):
    """Not even into the one that is its default route."""
    check_stays(mr, "2001:db8:77::1")


# --- the encapsulation limit (RFC 2473 s4.1.1) ---


@pytest.fixture
def limiting(make_net, kind):
    box = Box(make_net(TOPOLOGY), kind, "-l", "4", "-M", "1452")
    box.engine.do(HA_PUT)
    return box


def limit_of(outer):
    """The limit in a tunnel packet's header, exactly s5.1's; None: an outer IPv6 header alone."""
    data = bytes(outer)
    if data[6] == 41:
        return None
    assert data[6] == 60 and data[40:44] == bytes([41, 0, 4, 1]) and data[45:48] == b"\1\1\0"
    assert outer.plen == len(data) - 40
    return data[44]


LIMITED = {
    "none": (lambda: payload("limit"), None),
    "first": (lambda: IPv6ExtHdrDestOpt(nh=17, options=[tel(7), PAD], autopad=0) / payload("limit"), 7),
    "behind other options": (lambda: IPv6ExtHdrDestOpt(
        nh=17, options=[PadN(optdata=b"\0\0"), tel(7), PadN(optdata=b"\0" * 5)], autopad=0)
        / payload("limit"), 7),
    "behind padding octet by octet": (lambda: IPv6ExtHdrDestOpt(
        nh=17, options=[*[Pad1()] * 7, tel(7), *[Pad1()] * 4], autopad=0) / payload("limit"), 7),
    "behind hop-by-hop options": (lambda: IPv6ExtHdrHopByHop(nh=60, options=[PadN(optdata=b"\0" * 4)])
        / IPv6ExtHdrDestOpt(nh=17, options=[tel(1), PAD], autopad=0) / payload("limit"), 1),
    "in the second of two headers": (lambda: IPv6ExtHdrDestOpt(
        nh=60, options=[PadN(optdata=b"\0" * 4)], autopad=0)
        / IPv6ExtHdrDestOpt(nh=17, options=[tel(7), PAD], autopad=0) / payload("limit"), 7),
    "inside another header": (lambda: IPv6(src=CLIENT, dst=HOST, nh=60)
        / IPv6ExtHdrDestOpt(nh=17, options=[tel(0), PAD], autopad=0) / payload("limit"), None),
}


@pytest.mark.parametrize("where", LIMITED)
def test_limit_without_one_of_its_own(ha, where):
    """4.1.1-12: what a packet brings is taken down by one even if no limit is configured."""
    make, limit = LIMITED[where]
    outer = outer_of(ha, IPv6(src=CLIENT, dst=HOST) / make(), "limit")
    assert limit_of(outer) == (None if limit is None else limit - 1)


@pytest.mark.parametrize("where", LIMITED)
def test_limit_configured(limiting, where):
    """4.1.1-12, -13: the packet's less one, else the configured one."""
    make, limit = LIMITED[where]
    packet = IPv6(bytes(IPv6(src=CLIENT, dst=HOST) / make()))
    outer = outer_of(limiting, packet, "limit")
    assert limit_of(outer) == (4 if limit is None else limit - 1)
    packet.hlim -= 1
    assert bytes(outer)[48:] == bytes(packet)


@pytest.mark.parametrize("before", [0, 8])
def test_limit_used_up(ha, before):
    """4.1.1-09..-11: dropped; Parameter Problem 0 at the limit's octet."""
    options = IPv6ExtHdrDestOpt(nh=17, options=[tel(0), PAD], autopad=0) / payload("limit")
    if before:
        options = IPv6ExtHdrHopByHop(nh=60, options=[PadN(optdata=b"\0" * 4)]) / options
    packet = IPv6(bytes(IPv6(src=CLIENT, dst=HOST) / options))
    ha.left.send(packet)
    got = ha.left.receive(lambda p: ICMPv6ParamProblem in p)
    problem = got[ICMPv6ParamProblem]
    assert (got.src, problem.code, problem.ptr) == (BOX, 0, 44 + before)
    packet.hlim -= 1
    assert bytes(problem.payload) == bytes(packet)
    assert bytes(packet)[problem.ptr - 2:problem.ptr + 1] == bytes([4, 1, 0])
    wait_for(lambda: ha.engine.drops() == {"tx_encap_limit": 1}, 5, ha.engine.drops)


def test_limit_counts_for_sizes(limiting):
    """The limit's eight octets come off the tunnel's MTU (s6.7): path 1500, tunnel 1452."""
    assert len(outer_of(limiting, sized(1452), "sss")) == 1500
    limiting.left.send(sized(1453))
    assert limiting.left.receive(
        lambda p: ICMPv6PacketTooBig in p)[ICMPv6PacketTooBig].mtu == 1452


def test_a_limit_that_was_not_reckoned_with(ha):
    """A packet that brings a limit needs eight octets more: no room is an error, not a loss."""
    options = IPv6ExtHdrDestOpt(nh=17, options=[tel(7), PAD], autopad=0)
    ha.left.send(IPv6(src=CLIENT, dst=HOST) / options / UDP() / Raw(bytes(1460 - 56)))
    got = ha.left.receive(lambda p: ICMPv6PacketTooBig in p)
    assert got[ICMPv6PacketTooBig].mtu == 1452
    assert ha.engine.drops() == {"tx_too_big": 1}


# --- a tunnel in a tunnel of the same home agent ---

# The other router's care-of address is in the first one's network.
BEHIND = OTHER_PUT.replace(OTHER_COA, HOST).replace(" 2 routes", " 1 routes")


def test_nested_out(ha):
    """3.4-02: what was encapsulated is routed into another tunnel and encapsulated again."""
    ha.engine.do(BEHIND)
    got = outer_of(ha, IPv6(src=CLIENT, dst=OTHER_HOST) / payload("twice"), "twice")
    assert (got.src, got.dst, got.nh) == (BOX, COA, 41)
    second = got.payload
    assert (second.src, second.dst, second.nh, second.hlim) == (BOX, HOST, 41, 64)
    assert (second.payload.src, second.payload.dst) == (CLIENT, OTHER_HOST)


def test_nested_in(ha):
    """3.4-01: what came out of a tunnel is a tunnel packet to this node again."""
    ha.engine.do(BEHIND)
    ha.right.send(tunnel(tunnel(inner(src=OTHER_HOST, text="twice"), src=HOST)))
    got = ha.left.receive(has("twice"))
    assert (got.src, got.dst) == (OTHER_HOST, CLIENT)
    assert ha.engine.drops() == {}
    # The checks hold at each level.
    ha.right.send(tunnel(tunnel(inner(src=HOST, text="bad"), src=HOST)))
    wait_for(lambda: ha.engine.drops() == {"rx_inner_source": 1}, 5, ha.engine.drops)
    ha.right.send(tunnel(tunnel(inner(src=OTHER_HOST, text="bad"), src="2001:db8:9::bad")))
    wait_for(lambda: ha.engine.drops() == {"rx_inner_source": 1, "rx_outer_source": 1}, 5,
             ha.engine.drops)


def test_a_network_reaches_its_home_agent(ha):
    """Its own address is no forbidden destination for what comes out of a tunnel."""
    echo = IPv6(src=HOST, dst=BOX) / ICMPv6EchoRequest(data=b"hello")
    ha.right.send(tunnel(echo))
    got = ha.right.receive(lambda p: p.nh == 41 and b"hello" in bytes(p))
    assert got and got.dst == COA and ICMPv6EchoReply in got


def test_nested_in_any_order(ha):
    """What is around a tunnel may come after it, and go before it."""
    ha.engine.do(f"drop {HOA}", BEHIND)
    ha.left.send(IPv6(src=CLIENT, dst=OTHER_HOST) / payload("too early"))
    ha.engine.do(HA_PUT)
    got = outer_of(ha, IPv6(src=CLIENT, dst=OTHER_HOST) / payload("in order"), "in order")
    assert got.nh == 41 and got.payload.nh == 41
    ha.engine.do(OTHER_PUT)
    assert outer_of(ha, IPv6(src=CLIENT, dst=OTHER_HOST) / payload("out"), "out").payload.nh == 17


def test_nested_sizes(ha):
    """s6.7: each level takes its headers off the MTU of the one around it."""
    ha.engine.do(BEHIND)
    assert route_mtu(ha, "2001:db8:8::/64") == 1420
    ha.left.send(sized(1421, dst=OTHER_HOST))
    assert ha.left.receive(lambda p: ICMPv6PacketTooBig in p)[ICMPv6PacketTooBig].mtu == 1420
    assert len(outer_of(ha, sized(1420, dst=OTHER_HOST), "sss")) == 1500

"""A home agent and what is no good Binding Update: what it drops in silence, what it answers with an
error, and Home Address options on other packets (RFC 6275 s9.2, s9.3).  The network is lib/home.py's."""

import pytest
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.home import (  # noqa: F401 (with fixtures)
    CLIENT, COA, COA2, HA, hoa, home, inside, net_of, shared,
)
from lib.mipv6 import BU, TUNNEL, bu, chain, checksum_is_right, echo, hao, in_tunnel, raw_mh, rh2
from lib.wait import wait_for


# --- silence ---


def bad_checksum(home):
    packet = s6.IPv6(bytes(home.bu(1, COA2)))
    packet[s6.MIP6MH_BU].cksum ^= 0x0101
    return packet


def sum_over_the_care_of_address(home):
    """As if the home address had no part in it."""
    packet = s6.IPv6(bytes(home.bu(1, COA2)))
    alone = home.bu(1, COA2, hoa=None, seq=packet[s6.MIP6MH_BU].seq)
    packet[s6.MIP6MH_BU].cksum = s6.IPv6(bytes(alone))[s6.MIP6MH_BU].cksum
    return packet


def nonces(home):
    return home.bu(1, COA2, options=[s6.MIP6OptNonceIndices(olen=4, hni=1, coni=2)])


def bu_message(seq=60000, lifetime=100, options=b""):
    return bytes.fromhex(f"{seq:04x}c400{lifetime:04x}") + options


def raw(**how):
    return raw_mh(COA2, HA, hoa(1), BU, **{"data": bu_message(), **how})


SILENT = {
    "checksum wrong": ("mh_bad_checksum", bad_checksum),
    "checksum over the care-of address": ("mh_bad_checksum", sum_over_the_care_of_address),
    "care-of address multicast": ("bu_care_of", lambda h: h.bu(1, COA2, alt="ff0e::1")),
    "care-of address link-local": ("bu_care_of", lambda h: h.bu(1, COA2, alt="fe80::1")),
    "care-of address loopback": ("bu_care_of", lambda h: h.bu(1, COA2, alt="::1")),
    "care-of address unspecified": ("mh_bad_option", lambda h: h.bu(
        1, COA2, alt=None, options=[s6.MIP6OptAltCoA(acoa="::")])),
    "nonce indices": ("bu_nonce", nonces),
    "no home address option": ("bu_no_hao", lambda h: h.bu(1, COA2, alt=COA, hoa=None)),
    "home address multicast": ("mh_bad_chain", lambda h: h.bu(1, COA2, hoa="ff0e::1")),
    "home address link-local": ("mh_bad_chain", lambda h: h.bu(1, COA2, hoa="fe80::5")),
    "two home addresses": ("mh_bad_chain", lambda h: raw(headers=hao(hoa(1), hoa(2)))),
    "correspondent's update": ("bu_correspondent", lambda h: h.bu(3, COA2, flags="A", mnps=[])),
    "header longer than the packet": ("mh_truncated", lambda h: raw(size=255)),
    "option longer than the message": ("mh_bad_option", lambda h: raw(
        data=bu_message(options=bytes([6, 255, 0, 64])))),
    "authenticator not last": ("bu_auth_place", lambda h: raw(
        data=bu_message(options=bytes([1, 0, 5, 12]) + bytes(12) + bytes([1, 2, 0, 0])))),
}


@pytest.mark.novm("the protocol core decides, whatever the kernel")
@pytest.mark.parametrize("why", SILENT)
def test_dropped_in_silence_counted_and_without_effect(home, why):
    """RFC 6275 s6.1.7, s9.2, s9.5.1: no acknowledgement of any kind."""
    counter, make = SILENT[why]
    home.register(1, COA)
    before, counted = home.binding(1), home.counter(counter)
    assert home.answers(make(home)) == []
    assert home.counter(counter) == counted + 1
    after = home.binding(1)
    assert (after["care_of"], after["sequence"]) == (before["care_of"], before["sequence"])
    home.tunnels_to(COA, inside(1))


def test_frames_of_another_vlan_are_not_for_this_interface(home):
    """A trunk has frames of all VLANs, with the same MAC address: no update and no tunnel packet of theirs
    counts; a tag of priority only makes no difference (IEEE 802.1Q s6.9)."""
    home.wire.send(home.bu(1), vlan=5)
    assert home.status(home.bu(2, COA2)) == 0
    assert home.binding(1) is None
    home.wire.send(home.bu(1), vlan=0)
    wait_for(lambda: home.binding(1), 3, "the update of no VLAN")
    mark = home.client.mark()
    home.wire.send(in_tunnel(COA, HA, echo(inside(1), CLIENT, b"bad")), vlan=5)
    home.wire.send(in_tunnel(COA, HA, echo(inside(1), CLIENT, b"right")), vlan=0)
    home.client.wait("the right one", mark, test=lambda p: b"right" in p.data)
    assert not [p for p in home.client.packets(mark) if b"bad" in p.data]


def test_a_fragmented_update_is_not_parsed_in_part(home):
    """HOSTILE 10: whole or not at all."""
    home.register(1, COA)
    whole = home.bu(1, COA2, mnps=[net_of(1), net_of(0x11), "2001:db8:d:1100::/56"])
    data = bytes(whole)[40:]
    for cut in 24, 32, 56:
        for at, piece, more in (0, data[:cut], 1), (cut, data[cut:], 0):
            home.answers(
                s6.IPv6(src=COA2, dst=HA) / s6.IPv6ExtHdrFragment(nh=60, offset=at // 8, m=more, id=cut)
                / piece
            )
    assert home.binding(1)["care_of"] in (COA, COA2)
    assert home.binding(1)["care_of"] == COA or len(home.binding(1)["prefixes"]) == 3


# Each is a list of (offset, more, octets) of the packet behind its IPv6 header.
PIECES = {
    "the first one has no Mobility Header": lambda d: [(0, 1, d[:8]), (8, 1, d[8:16])],
    "the last one is missing": lambda d: [(0, 1, d[:48])],
    "they overlap": lambda d: [(0, 1, d[:48]), (40, 0, d[40:])],
    "they overlap with other octets": lambda d: [(0, 1, d[:48]), (24, 0, bytes(8) + d[32:])],
    "one goes beyond the end": lambda d: [(0, 1, d[:48]), (65528, 0, d[48:64])],
}


@pytest.mark.parametrize("how", PIECES)
def test_pieces_that_make_no_whole_register_nothing(home, how):
    """HOSTILE 10, RFC 8200 s4.5: what the kernel would not put together."""
    home.register(1, COA)
    whole = home.bu(1, COA2, mnps=[net_of(1), net_of(0x11), "2001:db8:d:1100::/56"])
    data = bytes(whole)[40:]
    for at, more, piece in PIECES[how](data):
        home.answers(s6.IPv6(src=COA2, dst=HA)
                     / s6.IPv6ExtHdrFragment(nh=60, offset=at // 8, m=more, id=len(how)) / piece)
    assert home.binding(1)["care_of"] == COA


def test_a_fragment_that_is_the_whole_is_read_as_a_whole_or_not_at_all(home):
    """HOSTILE 10, RFC 6946: an atomic fragment with a Mobility Header."""
    home.register(1, COA)
    whole = home.bu(1, COA2)
    home.answers(s6.IPv6(src=COA2, dst=HA) / s6.IPv6ExtHdrFragment(nh=60, id=6946) / bytes(whole)[40:])
    now = home.binding(1)
    assert now["care_of"] == COA or (now["care_of"] == COA2 and now["prefixes"] == [net_of(1)])


# --- error messages ---


@pytest.mark.parametrize("home_address", [hoa(1), None])
def test_an_unknown_message_type_gets_a_binding_error(home, home_address):
    """RFC 6275 s9.2, s9.3.3: status 2, straight to the source, no routing header."""
    counted = home.counter("mh_unknown_type")
    got = home.answer(raw_mh(COA2, HA, home_address, 200, bytes(10)))
    assert (got.src, got.dst) == (HA, COA2)
    assert chain(got) == [135]
    error = got[s6.MIP6MH_BE]
    assert (error.status, error.ha) == (2, home_address or "::")
    assert checksum_is_right(got)
    assert home.counter("mh_unknown_type") == counted + 1


@pytest.mark.parametrize("what, home_address, pointer", [
    ("payload proto", hoa(1), 64), ("payload proto", None, 40),
    ("header length", hoa(1), 65), ("header length", None, 41),
])


def test_malformed_headers_get_a_parameter_problem_at_the_field(home, what, home_address, pointer):
    """RFC 6275 s9.2: code 0, to the packet's source, pointing at Payload Proto or Header Len."""
    bad = {"proto": 58} if what == "payload proto" else {"size": 0}
    data = bu_message() if what == "payload proto" else b"\0\0"
    packet = raw_mh(COA2, HA, home_address, BU, data, **bad)
    got = home.answer(packet)
    assert (got.src, got.dst) == (HA, COA2)
    assert chain(got) == [58]
    problem = got[s6.ICMPv6ParamProblem]
    assert (problem.code, problem.ptr) == (0, pointer)
    assert bytes(problem.payload) == bytes(packet), "as much of the packet as fits: all of it"
    sum_, again = problem.cksum, s6.IPv6(bytes(got))
    again[s6.ICMPv6ParamProblem].cksum = None
    assert s6.IPv6(bytes(again))[s6.ICMPv6ParamProblem].cksum == sum_


UNKNOWN_HEADERS = {
    "option 80, discard and tell": (0x80, 2, 62),
    "option c5, discard and tell unless to a group": (0xC5, 2, 62),
    "option 45, discard": (0x45, None, None),
    "option 05, skip": (0x05, 0, None),
}


@pytest.mark.parametrize("what", UNKNOWN_HEADERS)
def test_unknown_options_before_a_message_do_as_their_type_says(home, what):
    """RFC 8200 s4.2: the kernel, which would do this, does not see signalling."""
    kind, code, pointer = UNKNOWN_HEADERS[what]
    option = s6.HBHOptUnknown(otype=kind, optlen=2, optdata=b"zz")
    headers = s6.IPv6ExtHdrDestOpt(options=[s6.HAO(hoa=hoa(1)), option])
    packet = raw_mh(COA2, HA, hoa(1), 200, bytes(10), headers=headers)
    got = home.answers(packet)
    if code is None:
        assert got == []
    elif code == 0:
        assert [p[s6.MIP6MH_BE].status for p in got] == [2], "its message is looked at"
    else:
        [problem] = [p[s6.ICMPv6ParamProblem] for p in got]
        assert problem.code == code and bytes(packet)[problem.ptr] == kind
        assert problem.ptr >= pointer and bytes(problem.payload) == bytes(packet)


def test_an_unknown_routing_header_gets_a_parameter_problem(home):
    """RFC 8200 s4.4: code 0 at the Routing Type."""
    headers = s6.IPv6ExtHdrRouting(type=4, segleft=1, addresses=[hoa(1)])
    packet = raw_mh(COA2, HA, None, BU, bu_message(), headers=headers)
    problem = home.answer(packet)[s6.ICMPv6ParamProblem]
    assert (problem.code, problem.ptr) == (0, 42)


def test_errors_are_limited_in_rate(home):
    """RFC 4443 s2.4, RFC 6275 s9.3.3."""
    wrong = raw_mh(COA2, HA, hoa(1), 200, bytes(10))
    wait_for(lambda: home.answers(wrong), 3, "a second in which errors are left")
    before = home.counter("mh_errors_limited")
    errors = home.answers(*[wrong] * 100)
    assert 0 < len(errors) <= 20
    assert home.counter("mh_errors_limited") == before + 100 - len(errors)


@pytest.mark.parametrize("source", ["ff0e::5", "::", "::1"])
def test_no_error_is_sent_to_what_is_no_unicast_address(home, source):
    assert home.answers(raw_mh(source, HA, hoa(1), 200, bytes(10))) == []


def behind_hao(proto, data):
    header = hao(hoa(1))
    header.nh = proto
    return header / Raw(data)


def test_the_kernel_never_answers_signalling(home):
    """It would refuse the Home Address option and the routing header (Parameter Problem)."""
    packets = [
        home.bu(1, COA2),
        bad_checksum(home),
        home.bu(1, COA2, alt="ff0e::1"),
        home.bu(9, COA2, lifetime_s=0),
        s6.IPv6(src=COA2, dst=HA) / rh2(hoa(1)) / s6.MIP6MH_BA(seq=1),
        s6.IPv6(src=COA2, dst=HA) / hao(hoa(1)) / s6.MIP6MH_BRR(),
    ]
    got = home.answers(*packets)
    assert [p for p in got if p.nh == 58] == []
    # The sight of the test: IPsec behind such an option is the kernel's.
    stray = home.answers(s6.IPv6(src=COA2, dst=HA) / behind_hao(51, bytes(16)))
    assert all(s6.ICMPv6ParamProblem in p for p in stray)


# --- data packets with a Home Address option ---


def from_home(source, home_address, data=b"", dst=HA):
    """An echo request as a node away from home sends it: its checksum is over the home address."""
    inner = s6.IPv6(bytes(echo(home_address, dst, data)))
    return s6.IPv6(src=source, dst=dst) / hao(home_address) / inner.payload


def test_a_bound_home_address_may_stand_in_an_option(home):
    """RFC 6275 s9.3.1: processed as if it were the source; the answer goes to it."""
    home.register(1)
    mark, before = home.wire.mark(), home.counter("home_rx")
    home.wire.send(from_home(COA, hoa(1), b"in an option"))
    reply = home.wire.wait("the answer", mark, test=lambda p: b"in an option" in p.data)
    assert (reply.ip.src, reply.ip.dst, reply.proto) == (HA, COA, TUNNEL)
    assert (reply.ip.payload.src, reply.ip.payload.dst) == (HA, hoa(1))
    assert s6.ICMPv6EchoReply in reply.ip
    assert home.counter("home_rx") == before + 1


def test_a_bound_home_address_may_stand_in_the_option_of_fragments(home):
    home.register(1)
    mark = home.wire.mark()
    data = bytes(s6.IPv6(bytes(echo(hoa(1), HA, bytes(2000)))).payload)
    for at, more in (0, 1), (1000, 1), (2000, 0):
        fragment = s6.IPv6ExtHdrFragment(nh=58, offset=at // 8, m=more, id=7)
        home.wire.send(s6.IPv6(src=COA, dst=HA) / hao(hoa(1)) / fragment / data[at:at + 1000])
    home.wire.wait("the answer", mark, test=lambda p: p.dst == COA and b"\x81" in p.data, proto=TUNNEL)


WITHOUT_BINDING = {
    "no binding": lambda: (COA, hoa(8)),
    "another care-of address": lambda: (COA2, hoa(1)),
    "unknown home address": lambda: (COA, "2001:db8:e::1"),
}


@pytest.mark.parametrize("why", WITHOUT_BINDING)
def test_a_home_address_without_binding_gets_a_binding_error(home, why):
    """RFC 6275 s9.3.1, s9.3.3: status 1, straight to the source, no routing header."""
    home.register(1)
    source, home_address = WITHOUT_BINDING[why]()
    before = home.counter("home_unknown")
    got = wait_for(lambda: home.answers(from_home(source, home_address)), 3, "errors are left")
    assert [(p.src, p.dst, chain(p)) for p in got] == [(HA, source, [135])]
    assert (got[0][s6.MIP6MH_BE].status, got[0][s6.MIP6MH_BE].ha) == (1, home_address)
    assert checksum_is_right(got[0])
    assert home.counter("home_unknown") > before


def test_a_home_address_that_nobody_can_have_gets_one_too(home):
    """RFC 6275 s9.3.1, by the letter: whatever of its tests has the packet dropped.  An update is dropped
    in silence (s9.5.1)."""
    for bad in "::1", "fe80::1", "ff02::1":
        got = wait_for(lambda: home.answers(from_home(COA2, bad)), 3, "errors are left")
        assert [(p.src, p.dst, p[s6.MIP6MH_BE].status, p[s6.MIP6MH_BE].ha) for p in got] == [
            (HA, COA2, 1, bad)]
        assert home.answers(bu(COA2, HA, bad, 1)) == []

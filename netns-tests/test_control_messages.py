"""What home agents and mobile routers tell each other of their own accord: Binding Revocation (RFC
5846), Home Agent Switch (RFC 5142), Heartbeat (RFC 5847).  First each daemon against messages made by
hand, octet by octet: scapy knows none of the three; then the daemons with each other.

    by hand: the networks of lib/home.py and lib/away.py;  real ones:

    host --- eth1:mr:eth0 --- core (radvd) --- ha1  2001:db8:1::1
                               |     `-------- ha2  2001:db8:2::1
                               client  2001:db8:c::2
"""

import os
import signal
import socket
import struct
import subprocess
import time

import pytest
from scapy.layers import inet6 as s6

from lib.away import AT_A, HA, HOA, SITE_B, TOPOLOGY as MR_TOPOLOGY, Away
from lib.control import mistakes, schemas
from lib.daemon import BUILD, ControlError, Daemon
from lib.home import COA, COA2, TOPOLOGY as HA_TOPOLOGY, Home, hoa, inside, net_of
from lib.mipv6 import BE, BU, ba, chain, checksum, raw_mh, rh2, silent, tshark
from lib.sealed import PAIR, tls_pair
from lib.topo import Link, Node, Radvd, Topology
from lib.traffic import now_ns
from lib.wait import patient, wait_for

pytestmark = pytest.mark.novm("the protocol cores decide, whatever the kernel")

NEMOCTL = os.path.join(BUILD, "nemoctl")
HAS, HB, BR = 12, 13, 16
BRI, BRA = 1, 2
HA2, HA3 = "2001:db8:fffe::1", "2001:db8:fffd::1"
SECOND = 1_000_000_000


# --- messages by hand ---


def address(text):
    return socket.inet_pton(socket.AF_INET6, text)


def bri(seq, trigger=1, flags=0, options=b""):
    """RFC 5846 s5.1, from the octet after the checksum."""
    return BR, struct.pack("!BBHH", BRI, trigger, seq, flags) + (options or b"\1\2\0\0")


def bra(seq, status=0):
    return BR, struct.pack("!BBHH", BRA, status, seq, 0) + b"\1\2\0\0"


def request(seq):
    """RFC 5847 s3.3."""
    return HB, struct.pack("!HI", 0, seq) + b"\1\2\0\0"


def response(seq, counter=None, unsolicited=False):
    option = b"\1\0\x1c\4" + struct.pack("!I", counter) if counter is not None else b""
    return HB, struct.pack("!HI", 3 if unsolicited else 1, seq) + option + b"\1\2\0\0"


def switch(*others):
    """RFC 5142 s4."""
    return HAS, struct.pack("!BB", len(others), 0) + b"".join(map(address, others))


def to_router(message, coa=AT_A, ha=HA, home=HOA):
    """By type 2 routing header, as a Binding Acknowledgement."""
    body = raw_mh(ha, home, None, *message).payload
    head = rh2(home)
    head.nh = 135
    return s6.IPv6(src=ha, dst=coa) / head / body


def to_agent(message, coa=COA, home=None):
    return raw_mh(coa, HA, home or hoa(1), *message)


def binding_error(coa=COA, home=None):
    return raw_mh(coa, HA, None, BE, struct.pack("!BB", 2, 0) + address(home or hoa(1)))


class Message:
    """A Mobility Header off the wire; its checksum has to be right over the home addresses."""

    def __init__(self, seen):
        data, at = bytes(seen.data), 40
        for _ in chain(data)[:-1]:
            at += (data[at + 1] + 1) * 8
        self.data, self.ip, self.headers = data[at:], seen.ip, chain(data)
        self.kind, self.time = self.data[2], seen.time
        self.home = None
        src, dst = self.ip.src, self.ip.dst
        if s6.HAO in self.ip:
            src = self.home = self.ip[s6.HAO].hoa
        if s6.IPv6ExtHdrRouting in self.ip:
            assert self.ip[s6.IPv6ExtHdrRouting].type == 2
            [dst] = self.ip[s6.IPv6ExtHdrRouting].addresses
            self.home = dst
        assert len(self.data) == (self.data[1] + 1) * 8, "Header Len"
        assert (self.data[0], self.data[3]) == (59, 0), "Payload Proto, Reserved"
        blank = self.data[:4] + b"\0\0" + self.data[6:]
        assert checksum(src, dst, blank) == struct.unpack_from("!H", self.data, 4)[0]

    def fields(self, fmt):
        return struct.unpack_from(fmt, self.data, 6)

    def by_routing_header(self, src, dst, home):
        assert (self.ip.src, self.ip.dst, self.home) == (src, dst, home)
        assert self.headers == [43, 135]
        return self

    def by_home_address(self, src, dst, home):
        assert (self.ip.src, self.ip.dst, self.home) == (src, dst, home)
        assert self.headers == [60, 135]
        return self


def nth(wire, kind, n, since=0, timeout=3):
    """The n-th message of a type that came since, from 0."""
    wait_for(lambda: len(wire.packets(since, mh=kind)) > n, timeout, f"message {kind}, number {n}")
    return Message(wire.packets(since, mh=kind)[n])


# --- the home agent and a router by hand ---


@pytest.fixture
def make_home(make_net, engine):
    """make_home(setting=value, ...): a home agent as of lib/home.py, started."""
    made = []

    def make(**conf):
        made.append(Home(make_net(HA_TOPOLOGY), **{"engine": engine, **conf}))
        return made[-1]

    yield make
    for home in made:
        home.wire.close()
        home.client.close()


@pytest.fixture
def home(make_home):
    h = make_home()
    h.register(1)
    return h


def test_revocation_on_the_wire(home):
    """RFC 5846 s5.1, s7: BRI to the care-of address, type 2 routing header, trigger 1."""
    mark = home.wire.mark()
    home.ha.ask("revoke", name="MR-1")
    m = nth(home.wire, BR, 0, mark).by_routing_header(HA, COA, hoa(1))
    kind, trigger, seq, flags = m.fields("!BBHH")
    assert (kind, trigger, flags) == (BRI, 1, 0)
    assert m.data[12:] == b"\1\2\0\0", "4 octets of padding"
    assert home.binding(1) is None and home.bindings()["MR-1"]["state"] == "revoking"
    home.tunnels_to(COA, inside(1))  # until the answer

    home.wire.send(to_agent(bra(seq)))
    home.ha.wait_event("binding.revoked", home_address=hoa(1))
    assert home.binding(1) is None
    assert net_of(1) not in home.routes()
    home.is_unreachable(inside(1))
    assert home.status(home.bu(1)) == 129
    assert home.counter("revoked") == 1
    [row] = tshark(home.net, [m.ip], "mip6.mhtype", "_ws.malformed")
    assert row == [["16"], []]

    home.ha.ask("allow", name="MR-1")
    assert home.status(home.bu(1)) == 0
    home.tunnels_to(COA, inside(1))


def test_an_unanswered_revocation_ends_the_binding(home):
    """RFC 5846 s6.3: the same again after 1 s, clean-up after 2 s more."""
    mark = home.wire.mark()
    home.ha.ask("revoke", name="MR-1")
    first, second = nth(home.wire, BR, 0, mark), nth(home.wire, BR, 1, mark)
    assert first.data == second.data
    assert second.time - first.time > 0.5 * SECOND
    home.ha.wait_event("binding.revoked", timeout=5)
    assert time.time_ns() - first.time > 2 * SECOND
    assert len(home.wire.packets(mark, mh=BR)) == 2
    assert home.binding(1) is None


def test_forged_answers_to_a_revocation_change_nothing(home):
    """RFC 5846 s6.2.2."""
    home.register(2, COA2)
    mark = home.wire.mark()
    home.ha.ask("revoke", name="MR-1")
    seq = nth(home.wire, BR, 0, mark).fields("!BBH")[2]
    for packet in (
        to_agent(bra((seq + 1) % 65536)),
        to_agent(bra(seq), coa=COA2),
        to_agent(bra(seq), coa=COA2, home=hoa(2)),
        to_agent(bra(seq), home=hoa(2)),
        to_agent(bri(seq)),
        to_agent(switch(HA2)),
    ):
        home.wire.send(packet)
    wait_for(lambda: home.counter("control_foreign") >= 5, 3, "all of them counted")
    assert home.counter("bra_rx") == 0 and home.binding(2)
    if home.counter("revoked"):  # after 3 s, on a busy machine
        assert len(home.wire.packets(mark, mh=BR)) == 2, "for want of an answer only"
    else:
        assert home.bindings()["MR-1"]["state"] == "revoking"


def test_a_revocation_that_the_router_does_not_know(home):
    """RFC 5846 s6.2: Binding Error, status 2.  Anybody can send one: as without an answer."""
    mark = home.wire.mark()
    home.ha.ask("revoke", name="MR-1")
    first = nth(home.wire, BR, 0, mark)
    home.wire.send(binding_error())
    assert nth(home.wire, BR, 1, mark).data == first.data
    home.ha.wait_event("binding.revoked", timeout=5)
    assert home.binding(1) is None


def test_switch_on_the_wire(home):
    """RFC 5142 s4, s5: number and addresses, repeated after 5 s; refusals meanwhile."""
    mark = home.wire.mark()
    home.ha.ask("drain", home_agents=[HA2, HA3])
    m = nth(home.wire, HAS, 0, mark).by_routing_header(HA, COA, hoa(1))
    assert m.data[6:] == b"\2\0" + address(HA2) + address(HA3)
    assert home.ha.status()["draining"] is True
    assert home.status(home.bu(1)) == home.status(home.bu(3)) == 129
    assert home.binding(1)
    again = nth(home.wire, HAS, 1, mark, timeout=8)
    assert again.data == m.data and again.time - m.time > 4 * SECOND
    home.forget(1)  # the acknowledgement of the switch
    home.ha.wait_event("ha.drained", timeout=1)
    home.ha.ask("undrain")
    assert home.ha.status()["draining"] is False
    assert home.status(home.bu(1)) == 0
    [row] = tshark(home.net, [m.ip], "mip6.mhtype", "_ws.malformed")
    assert row == [["12"], []]


def test_switches_leave_at_the_configured_rate(home):
    """RFC 5142 s7: one a second by default."""
    for n in 2, 3:
        home.register(n)
    mark = home.wire.mark()
    home.ha.ask("drain")
    got = [nth(home.wire, HAS, n, mark) for n in range(3)]
    assert {m.home for m in got} == {hoa(n) for n in (1, 2, 3)}
    assert all(m.data[6:] == b"\0\0" and len(m.data) == 8 for m in got)
    assert all(b.time - a.time > 0.5 * SECOND for a, b in zip(got, got[1:]))


def test_heartbeats_are_answered(home):
    """RFC 5847 s3, s3.2-3.4: number copied, R set, Restart Counter at 4n+2."""
    mark = home.wire.mark()
    home.wire.send(to_agent(request(0xFFFFFFFE)))
    m = nth(home.wire, HB, 0, mark).by_routing_header(HA, COA, hoa(1))
    assert m.fields("!HI") == (1, 0xFFFFFFFE)
    assert m.data[12:16] == b"\1\0\x1c\4" and len(m.data) == 24
    home.wire.send(to_agent(request(1), coa=COA2, home=hoa(3)))  # in the table, not bound
    nth(home.wire, HB, 1, mark).by_routing_header(HA, COA2, hoa(3))
    error = nth(home.wire, BE, 0, mark)  # it is told that it is not bound
    assert (error.ip.src, error.ip.dst, error.headers) == (HA, COA2, [135])
    assert error.data[6:] == b"\1\0" + address(hoa(3))
    [row] = tshark(
        home.net, [m.ip], "mip6.hb.r_flag", "mip6.hb.u_flag", "mip6.hb.seqnr", "mip6.rc",
        "_ws.malformed",
    )
    assert [c[0] in ("1", "True") for c in row[:2]] == [True, False]
    assert row[2:] == [[str(0xFFFFFFFE)], [str(struct.unpack("!I", m.data[16:20])[0])], []]


def test_heartbeats_of_strangers_are_not_answered(home):
    mark = home.wire.mark()
    for packet in (
        to_agent(request(1), home=hoa(0x99)),
        to_agent(request(1), coa=COA2),  # bound elsewhere
        raw_mh(COA, HA, None, *request(1)),
    ):
        home.wire.send(packet)
    wait_for(lambda: home.counter("control_foreign") == 3, 3, "all of them counted")
    assert not home.wire.packets(mark, mh=HB)


def test_a_flood_of_heartbeats_is_not_reflected(home):
    requests = [bytes(to_agent(request(seq))) for seq in range(300)]
    mark, since = home.wire.mark(), now_ns()
    for packet in requests:
        home.wire.send(packet)
    wait_for(lambda: home.counter("hb_limited") + home.counter("hb_rx") == 300, 20, "all of them taken")
    seconds = (now_ns() - since) // SECOND + 2  # as many of its seconds may have begun meanwhile
    assert len(home.wire.packets(mark, mh=HB)) <= 5 * seconds
    assert home.counter("hb_limited") >= 300 - 5 * seconds


def test_the_home_agent_asks(make_home):
    """RFC 5847 s3.1, s3.2: interval, numbers, a restart and a silence noted; the binding stays."""
    home = make_home(heartbeat=1)
    mark = home.wire.mark()
    home.wire.send(home.bu(1))
    first = nth(home.wire, HB, 0, mark).by_routing_header(HA, COA, hoa(1))
    flags, seq = first.fields("!HI")
    assert flags == 0 and len(first.data) == 16
    home.wire.send(to_agent(response(seq, counter=5)))
    second = nth(home.wire, HB, 1, mark)
    assert second.time - first.time > 0.5 * SECOND
    assert second.fields("!HI") == (0, seq + 1)
    home.wire.send(to_agent(response(seq + 1, counter=6)))
    home.ha.wait_event("peer.restarted", home_address=hoa(1), timeout=2)
    home.ha.wait_event("peer.silent", home_address=hoa(1), timeout=8)
    assert home.binding(1)
    last = Message(home.wire.packets(mark, mh=HB)[-1])
    home.wire.send(to_agent(response(last.fields("!HI")[1], counter=6)))
    home.ha.wait_event("peer.answers", home_address=hoa(1), timeout=2)


def test_more_home_agents_than_fit_in_a_switch(home):
    """RFC 5142 s6.1, RFC 6275 s9.2: Parameter Problem at Header Len."""
    got = home.answers(raw_mh(COA, HA, hoa(1), HAS, b"\3\0" + address(HA2)))
    assert len(got) == 1 and s6.ICMPv6ParamProblem in got[0]
    assert got[0][s6.ICMPv6ParamProblem].ptr == 40 + 24 + 1


# --- the router and home agents by hand ---


@pytest.fixture
def away(make_net, engine):
    """away(setting=value, ...): a mobile router as of lib/away.py, not started yet."""
    made = []

    def make(**conf):
        made.append(Away(make_net(MR_TOPOLOGY), **{"heartbeat": 0, "engine": engine, **conf}))
        return made[-1]

    yield make
    for a in made:
        a.mr.stop(signal.SIGKILL)
        a.close()


def two_agents(fake, packet):
    """Both home agents' answers come from the wire."""
    update = packet.ip[s6.MIP6MH_BU]
    return [ba(packet.dst, packet.src, HOA, seq=update.seq, lifetime_s=update.mhtime * 4)]


def second_agent(a):
    """HA2 answers, too: the fake network answers for its own home agent only."""
    real = a.site._answer

    def answer(p):
        if p.mh == BU and p.dst == HA2 and a.site.router:
            for packet in two_agents(a.site, p):
                a.site.send(packet, mac=a.site.router.mac)
        else:
            real(p)

    a.site._answer = answer
    return a


def tell(a, message, **how):
    a.site.send(to_router(message, **how), mac=a.site.router.mac)


def test_a_revoked_router_answers_and_stops(away):
    """RFC 5846 s10, s6.1.2: BRA with the number, tunnel gone, nothing leaks, no registration."""
    a = away().start().bound()
    a.goes_through_tunnel(AT_A)
    mark = a.site.mark()
    tell(a, bri(0xFFFE))
    m = nth(a.site, BR, 0, mark).by_home_address(AT_A, HA, HOA)
    assert m.fields("!BBHH") == (BRA, 0, 0xFFFE, 0) and m.data[12:] == b"\1\2\0\0"
    a.mr.wait_event("mr.revoked")
    assert a.mr.status()["state"] == "revoked"
    tell(a, bri(0xFFFE))  # it was lost: once more
    assert nth(a.site, BR, 1, mark).data == m.data
    a.talk(s6.IPv6(src="2001:db8:d:1::2", dst="2001:db8:c::2") / s6.ICMPv6EchoRequest())
    assert not a.site.packets(mark, proto=41) and not a.leaks()
    a.site.router = SITE_B  # a move is no reason to register
    a.site.advertise()
    a.mr.wait_event("mr.moved")
    assert not a.site.updates(mark)

    a.mr.ask("rehome")
    a.bound()
    a.goes_through_tunnel(a.mr.status()["care_of"])


@pytest.mark.parametrize(
    "message, status",
    [
        (bri(1, trigger=2), 133),
        (bri(1, trigger=99), 133),
        (bri(1, trigger=128, flags=0x2000), 134),
        (bri(1, flags=0x2000), 134),
        (bri(1, flags=0x8000), 135),
        (bri(1, flags=0x4000), 129),
        (bri(1, flags=0x4000, options=b"\x1d\6\x80\0\xc0\0\2\1" + b"\1\2\0\0"), 128),
    ],
)
def test_a_revocation_that_is_none_for_a_router(away, message, status):
    """RFC 5846 s10, s6.2.1: refused, flags copied, the binding stays."""
    a = away().start().bound()
    mark = a.site.mark()
    tell(a, message)
    m = nth(a.site, BR, 0, mark).by_home_address(AT_A, HA, HOA)
    kind, got, seq, flags = m.fields("!BBHH")
    assert (kind, got, seq) == (BRA, status, 1)
    assert flags == struct.unpack_from("!H", message[1], 4)[0]
    a.goes_through_tunnel(AT_A)
    assert a.mr.status()["state"] == "bound"


def test_forged_messages_meet_silence(away):
    """Not from the home agent, or not to our home address: no answer, no effect."""
    a = away(home_agents=[HA, HA2]).start().bound()
    mark = a.site.mark()
    forged = [
        {"ha": HA2}, {"ha": "2001:db8:66::1"}, {"home": "2001:db8:d::99"},
    ]
    for how in forged:
        for message in bri(1), switch(HA2), response(1, 7), response(1, 7, unsolicited=True):
            tell(a, message, **how)
    a.site.send(raw_mh(HA, AT_A, None, *bri(1)), mac=a.site.router.mac)  # no routing header
    a.site.send(raw_mh(HA, AT_A, HOA, *bri(1)), mac=a.site.router.mac)  # a HAO instead
    wait_for(
        lambda: a.counter("mh_foreign") + a.counter("hb_unmatched") == 14, 3, "all of them counted"
    )
    assert not [p for p in a.site.packets(mark) if p.mh is not None and p.src == AT_A]
    assert a.mr.status()["home_agent"] == HA
    a.goes_through_tunnel(AT_A)


def test_a_switch_moves_the_binding_and_deletes_the_old_one(away):
    """RFC 5142 s6.1: registration with the listed one, de-registration with the old, repeated."""
    a = second_agent(away(home_agents=[HA, HA3, HA2])).start().bound()
    a.site.home_agent = silent  # the old one does not hear of its end
    mark = a.site.mark()
    tell(a, switch("2001:db8:66::1", HA2, HA3))
    a.mr.wait_event("mr.switch")
    a.mr.wait_event("mr.registered")

    def updates(to, registering):  # retransmissions may come between
        return [p for p in a.site.packets(mark, mh=BU) if p.dst == to and (p.ip[s6.MIP6MH_BU].mhtime > 0) == registering]

    wait_for(lambda: len(updates(HA, False)) >= 2, 5, "two de-registrations")
    gone = updates(HA, False)[:2]
    assert updates(HA2, True)[0].time < gone[0].time and not updates(HA3, True)
    gone = [Message(p) for p in gone]
    for m in gone:
        m.by_home_address(AT_A, HA, HOA)
        assert m.fields("!HHH")[1] & 0xC000 == 0xC000, "A and H"
        assert m.fields("!HHH")[2] == 0, "lifetime 0"
    assert gone[1].time - gone[0].time > 0.5 * SECOND
    a.site.send(ba(HA, AT_A, HOA, seq=gone[1].fields("!H")[0], lifetime_s=0), mac=a.site.router.mac)
    a.mr.wait_event("mr.left")
    assert a.mr.status()["home_agent"] == HA2 and a.mr.status()["state"] == "bound"


def test_heartbeats_of_a_router(away):
    """RFC 5847 s3, s3.2: who we are, then requests; another counter leads to a Binding Update."""
    a = away(heartbeat=1).start().bound()
    told = nth(a.site, HB, 0).by_home_address(AT_A, HA, HOA)
    assert told.fields("!H") == (3,) and told.data[12:16] == b"\1\0\x1c\4"
    first = nth(a.site, HB, 1).by_home_address(AT_A, HA, HOA)
    flags, seq = first.fields("!HI")
    assert flags == 0 and len(first.data) == 16
    tell(a, response(seq, counter=5))
    second = nth(a.site, HB, 2)
    assert second.fields("!HI") == (0, seq + 1)
    assert second.time - first.time > 0.5 * SECOND
    mark = a.site.mark()
    tell(a, response(seq + 1, counter=6))
    a.mr.wait_event("peer.restarted", timeout=2)
    a.site.wait_update("a new registration", mark, timeout=1)


def test_a_silent_home_agent_makes_the_router_take_the_next(away):
    """RFC 5847 s3.1, s5: the third missing answer, if two are allowed."""
    a = away(heartbeat=1, heartbeat_misses=2, home_agents=[HA, HA2])
    a = second_agent(a).start().bound()
    tell(a, response(nth(a.site, HB, 1).fields("!HI")[1], counter=5))  # one is answered
    a.mr.wait_event("peer.silent", timeout=8)
    a.site.wait("registration with the next", mh=BU, dst=HA2)
    a.mr.wait_status(lambda s: s["home_agent"] == HA2 and s["state"] == "bound", "bound there", 3)
    assert 3 <= a.counter("hb_missed") <= 4


def test_a_home_agent_without_heartbeats_is_spared(away):
    """RFC 5847 s3: Binding Error, status 2."""
    a = away(heartbeat=1).start().bound()
    nth(a.site, HB, 1)
    error = raw_mh(HA, AT_A, None, BE, struct.pack("!BB", 2, 0) + address(HOA))
    a.site.send(error, mac=a.site.router.mac)
    mark = a.site.mark()
    tell(a, request(9))  # something to wait for, and answered all the same (s3)
    m = nth(a.site, HB, 0, mark).by_home_address(AT_A, HA, HOA)
    assert m.fields("!HI") == (1, 9)
    with pytest.raises(AssertionError):
        nth(a.site, HB, 1, mark, timeout=0.5)  # 2.5 s at least, see patient()
    assert a.mr.status()["state"] == "bound"


# --- the daemons with each other ---

REAL = Topology(
    nodes=[
        Node("core", forward=True, routes=["2001:db8:d::/48 via 2001:db8:1::1"]),
        Node("ha1", forward=True, routes=["default via 2001:db8:1::ff"]),
        Node("ha2", forward=True, routes=["default via 2001:db8:2::ff"]),
        Node("mr", forward=True),
        Node("host", routes=["default via 2001:db8:d:1::1"]),
    ],
    links=[
        Link("ha1:eth0", "core:ha1", ["2001:db8:1::1/64"], ["2001:db8:1::ff/64"]),
        Link("ha2:eth0", "core:ha2", ["2001:db8:2::1/64"], ["2001:db8:2::ff/64"]),
        Link("mr:eth0", "core:mr", [], ["2001:db8:a::ff/64"], real_dad=True),
        Link("host:eth0", "mr:eth1", ["2001:db8:d:1::2/64"], ["2001:db8:d:1::1/64"]),
    ],
    radvds=[Radvd("core:mr", "2001:db8:a::/64")],
)


class World:
    def __init__(self, net, engine):
        def ha(n):
            return Daemon(
                net, f"ha{n}", "nemo-ha",
                {
                    "name": f"home{n}", "address": f"2001:db8:{n}::1", "interfaces": ["eth0"],
                    "home_prefixes": ["2001:db8:d::/64"], "engine": engine,
                    "routers": [
                        {"name": "van", "home_address": "2001:db8:d::1", "tenant": "red",
                         "prefixes": ["2001:db8:d:1::/64"]},
                    ],
                },
            ).start()

        self.net, self.ha1, self.ha2 = net, ha(1), ha(2)
        self.mr = Daemon(
            net, "mr", "nemo-mr",
            {
                "name": "van", "home_address": "2001:db8:d::1",
                "home_agents": ["2001:db8:1::1", "2001:db8:2::1"],
                "uplinks": [{"interface": "eth0"}],
                "networks": [{"prefix": "2001:db8:d:1::/64", "interface": "eth1"}],
                "engine": engine,
            },
        ).start()
        self.mr.wait_bound()

    def bound_at(self, ha):
        return [b["state"] for b in ha.ask("bindings")] == ["bound"]

    def wait_at(self, ha, other, timeout=10):
        wait_for(lambda: self.bound_at(ha) and not self.bound_at(other), timeout, "bound there only")

    def ping(self, n):
        """From the mobile network to home agent n, through the tunnel and back."""
        argv = ["ping", "-6", "-c1", "-W1", f"2001:db8:{n}::ff"]
        return self.net["host"].run(argv, check=False).returncode == 0


def counter(daemon, name):
    return next(c["value"] for c in daemon.ask("stats")["counters"] if c["name"] == name)


@pytest.fixture
def world(make_net, engine):
    return World(make_net(REAL), engine)


def nemoctl(*args, code=0):
    done = subprocess.run([NEMOCTL, *args], capture_output=True, text=True, timeout=patient(30))
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_revoke_and_allow(world):
    ha, mr = world.ha1, world.mr
    wait_for(lambda: world.ping(1), 10, "traffic")
    assert "barred" in nemoctl("-s", ha.control, "ha", "revoke", "van")
    ha.wait_event("binding.revoked", timeout=1)
    assert counter(ha, "bra_rx") == 1, "acknowledged"
    mr.wait_event("mr.revoked", timeout=2)
    assert not world.bound_at(ha) and not world.ping(1)
    assert ha.ask("routers")[0]["barred"] is True
    assert mr.status()["state"] == "revoked"
    assert "yes" in nemoctl("-s", ha.control, "ha", "routers").splitlines()[1]
    assert "may register" in nemoctl("-s", ha.control, "ha", "allow", "van")
    mr.ask("rehome")
    wait_for(lambda: world.bound_at(ha), 10, "registered again")
    wait_for(lambda: world.ping(1), 10, "traffic again")


def test_drain_and_undrain(world):
    one, two, mr = world.ha1, world.ha2, world.mr
    assert "1 routers" in nemoctl("-s", one.control, "ha", "drain", "2001:db8:2::1")
    mr.wait_event("mr.switch", timeout=3)
    world.wait_at(two, one)
    mr.wait_event("mr.left", timeout=5)
    one.wait_event("ha.drained", timeout=5)
    assert "draining" in nemoctl("-s", one.control)
    assert mr.status()["home_agent"] == "2001:db8:2::1"
    assert "nobody" not in nemoctl("-s", one.control, "ha", "undrain")
    two.ask("drain", home_agents=["2001:db8:1::1"])
    world.wait_at(one, two)
    wait_for(lambda: world.ping(1), 10, "traffic")


def test_a_restarted_home_agent_has_its_binding_back(world):
    ha, mr = world.ha1, world.mr
    wait_for(lambda: world.ping(1), 10, "traffic")
    ha.restart(signal.SIGKILL, forget=True)
    mr.wait_event("peer.restarted", timeout=3)
    wait_for(lambda: world.bound_at(ha), 3, "registered again")
    assert mr.status()["home_agent"] == "2001:db8:1::1"
    wait_for(lambda: world.ping(1), 10, "traffic")


def test_a_restarted_router_is_noted(world):
    world.mr.restart(signal.SIGKILL, forget=True)
    world.ha1.wait_event("peer.restarted", timeout=10, home_address="2001:db8:d::1")


def test_a_home_agent_that_is_gone_is_left_for_the_next(world):
    world.ha1.stop(signal.SIGKILL)
    world.mr.wait_event("peer.silent", timeout=10)
    wait_for(lambda: world.bound_at(world.ha2), 5, "registered with the other")


def test_all_of_it_under_esp(make_net, engine):
    """Keys by TLS: a revocation, a switch; a restarted home agent has lost the keys, too."""
    ha, mr = tls_pair(make_net(PAIR), engine=engine)
    mr.wait_bound()
    ha.ask("revoke", name="MR-1")
    ha.wait_event("binding.revoked", timeout=1)
    mr.wait_event("mr.revoked", timeout=1)
    ha.ask("allow", name="MR-1")
    mr.ask("rehome")
    mr.wait_bound()
    counters = lambda: {c["name"]: c["value"] for c in mr.ask("stats")["counters"]}  # noqa: E731
    wait_for(lambda: counters()["hb_tx"] >= 4, 10, "heartbeats known to both")
    ha.restart(signal.SIGKILL, forget=True)
    mr.wait_event("peer.restarted", timeout=10)
    wait_for(lambda: [b["state"] for b in ha.ask("bindings")] == ["bound"], 10, "bound again")
    ha.ask("drain")
    mr.wait_event("mr.switch", timeout=5)


# --- commands ---


def test_commands_and_their_answers(home):
    known, ask = schemas(), home.ha.ask
    for cmd, how in (
        ("revoke", {"name": "MR-8"}),
        ("allow", {"name": "MR-8"}),
        ("drain", {"home_agents": [HA2]}),
        ("undrain", {}),
    ):
        assert not mistakes(ask(cmd, **how), known[f"nemo-ha {cmd}"]), cmd
    for cmd, how in (
        ("revoke", {}),
        ("revoke", {"name": "nobody"}),
        ("allow", {"name": 3}),
        ("drain", {"home_agents": ["nonsense"]}),
        ("drain", {"home_agents": [7]}),
        ("drain", {"home_agents": [HA]}),
        ("drain", {"home_agents": ["ff02::1"]}),
        ("drain", {"home_agents": [f"2001:db8:2::{n:x}" for n in range(1, 18)]}),
    ):
        with pytest.raises(ControlError):
            ask(cmd, **how)
    assert home.ha.status()["draining"] is False
    assert home.binding(1)


def test_nemoctl_wants_a_name(home):
    assert "usage:" in nemoctl("-s", home.ha.control, "ha", "revoke", code=2)
    assert "nobody" in nemoctl("-s", home.ha.control, "ha", "allow", "nobody", code=1)
    assert "no other home agent" in nemoctl("-s", home.ha.control, "ha", "drain", HA, code=1)
    assert "0 routers" in nemoctl("-s", home.ha.control, "ha", "drain", HA2, HA3) or home.binding(1)

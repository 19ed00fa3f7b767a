"""Home agent discovery (RFC 6275 s6.5, s6.6, s10.5.1, s11.4.1; RFC 3963 s7) and prefix discovery
(RFC 6275 s6.7, s6.8, s10.6, s11.4.2, s11.4.3): a home agent and a mobile router against messages
made by hand, and real ones with each other.

The made ones are in the networks of lib/home.py and lib/away.py.
"""

import time

import pytest
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.away import AT_A, HOA as MR_HOA, MNP, away  # noqa: F401 (with fixtures)
from lib.daemon import Daemon
from lib.home import COA, COA2, CONF, HA, TOPOLOGY, Home, hoa
from lib.mipv6 import BU, Wire, accept, chain, hao, mac_of, rh2, tshark
from lib.sealed import key_file
from lib.topo import Link, Net, Node, Radvd, Topology, stop
from lib.wait import wait_for

pytestmark = pytest.mark.novm("the protocol cores decide; test_capture.py has the capture")

ANYCAST = "2001:db8:d:0:fdff:ffff:ffff:fffe"
REQUEST, REPLY, SOLICITATION, ADVERTISEMENT = range(144, 148)
BETTER, EQUAL, HOSTS_ONLY = "2001:db8:d::a1", "2001:db8:d::a2", "2001:db8:d::a3"


def request(src=COA, dst=ANYCAST, ident=0x1234, r=1, **fields):
    return s6.IPv6(src=src, dst=dst) / s6.ICMPv6HAADRequest(id=ident, R=r, **fields)


# --- the home agent ---


@pytest.fixture(scope="module")
def home():
    with Net(TOPOLOGY) as net:
        conf = dict(CONF)
        CONF.update(preference=5, home_agents=[
            {"address": BETTER, "preference": 9}, {"address": EQUAL, "preference": 5},
            {"address": HOSTS_ONLY, "preference": 7, "mobile_routers": False}])
        try:
            h = Home(net)
        finally:
            CONF.clear()
            CONF.update(conf)
        yield h
        h.wire.close()
        h.client.close()


def test_a_request_is_answered_to_its_source_with_the_list(home):
    """RFC 6275 s6.5, s6.6, s10.5.1; RFC 3963 s7.2: those that serve mobile routers, and R = 1."""
    got = home.answer(request())
    assert (got.src, got.dst, got.nh) == (HA, COA, 58)
    reply = got[s6.ICMPv6HAADReply]
    assert (reply.type, reply.code, reply.id, reply.R, reply.res) == (145, 0, 0x1234, 1, 0)
    assert reply.addresses[0] == BETTER
    assert sorted(reply.addresses[1:]) == sorted([HA, EQUAL])
    [row] = tshark(home.net, [got], "icmpv6.type", "icmpv6.checksum.status",
                   "icmpv6.mip6.identifier", "icmpv6.mip6.home_agent_address", "_ws.malformed")
    assert row == [["145"], ["1"], [str(0x1234)], reply.addresses, []]


def test_a_host_is_told_all_of_them(home):
    """R = 0: Mobile IPv6 as it was."""
    reply = home.answer(request(r=0))[s6.ICMPv6HAADReply]
    assert reply.R == 0
    assert reply.addresses[:2] == [BETTER, HOSTS_ONLY]
    assert sorted(reply.addresses[2:]) == sorted([HA, EQUAL])


def test_equals_change_places(home):
    """RFC 6275 s10.5.1: anew for every reply."""
    seconds = {home.answer(request())[s6.ICMPv6HAADReply].addresses[1] for _ in range(20)}
    assert seconds == {HA, EQUAL}


def bent(packet, at, value):
    """The packet with an octet of its ICMPv6 message changed, and the old checksum."""
    data = bytearray(bytes(packet))
    data[40 + at] = value
    return s6.IPv6(bytes(data))


def made(message, src=COA, dst=ANYCAST):
    """An ICMPv6 message of these octets, with the right checksum."""
    head = s6.IPv6(src=src, dst=dst, nh=58)
    sum_ = s6.in6_chksum(58, head, message)
    return head / Raw(message[:2] + sum_.to_bytes(2, "big") + message[4:])


BAD = {
    "checksum": ("icmp6_bad", bent(request(), 4, 0)),
    "code": ("icmp6_bad", request(code=1)),
    "cut off": ("icmp6_bad", made(b"\x90\0\0\0\x12\x34")),
    "part of an address": ("icmp6_bad", made(b"\x91\0\0\0\x12\x34\0\0" + bytes(15))),
    "to our own address": ("dhaad_bad", request(dst=HA)),
    "from a link-local address": ("dhaad_bad", request(src="fe80::1")),
    "from the unspecified address": ("dhaad_bad", request(src="::")),
    "a reply": ("icmp6_unexpected",
                s6.IPv6(src=COA, dst=HA) / s6.ICMPv6HAADReply(id=1, addresses=[HA])),
    "a prefix advertisement": ("icmp6_unexpected", s6.IPv6(src=COA, dst=HA) / s6.ICMPv6MPAdv(id=1)),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_messages_are_silently_dropped_and_counted(home, what):
    counter, packet = BAD[what]
    before = home.counter(counter)
    assert home.answers(packet) == []
    assert home.counter(counter) == before + 1


def test_the_anycast_address_of_another_network_is_not_ours(home):
    """It is the kernel's to route: here an aggregate that nobody is bound in."""
    before = home.counter("icmp6_rx")
    home.answers(request(dst="2001:db8:d:1:fdff:ffff:ffff:fffe"))
    assert home.counter("icmp6_rx") == before


# --- the home agent, asked for prefixes ---


def solicitation(coa=COA, n=1, ident=0x77, data=b""):
    sol = s6.ICMPv6MPSol(id=ident)
    return s6.IPv6(src=coa, dst=HA) / hao(hoa(n)) / (sol / Raw(data) if data else sol)


def after_a_second():
    """Not more than one advertisement a second goes to a router: until the next may."""
    end = time.monotonic() + 1.01
    wait_for(lambda: time.monotonic() > end, 3, "a second")


def test_a_prefix_solicitation_is_answered(home):
    """RFC 6275 s6.8, s10.6.3."""
    home.register(1)
    got = home.answer(solicitation(ident=0xBEEF))
    assert (got.src, got.dst, chain(got)) == (HA, COA, [43, 58])
    header = got[s6.IPv6ExtHdrRouting]
    assert (header.type, header.segleft, header.addresses) == (2, 1, [hoa(1)])
    m = got[s6.ICMPv6MPAdv]
    assert (m.type, m.code, m.id, m.flags, m.res) == (147, 0, 0xBEEF, 0, 0)
    [pio] = options(m)
    assert (pio.prefix, pio.prefixlen, pio.R) == ("2001:db8:d::", 64, 0)
    assert pio.validlifetime == pio.preferredlifetime == 0xFFFFFFFF
    again = s6.IPv6(bytes(got))
    again[s6.ICMPv6MPAdv].cksum = None
    assert bytes(again) == bytes(got), "the checksum, over the home address"
    [row] = tshark(home.net, [got], "icmpv6.type", "icmpv6.checksum.status",
                   "icmpv6.mip6.identifier", "icmpv6.opt.prefix", "_ws.malformed")
    assert row == [["147"], ["1"], [str(0xBEEF)], ["2001:db8:d::"], []]


def options(m):
    found, o = [], m.payload
    while o:
        found.append(o)
        o = o.payload
    return found


def test_not_more_than_one_advertisement_a_second(home):
    """RFC 6275 s6.8: the answer to the latest waits its time."""
    home.register(2, COA2)
    after_a_second()
    mark = home.wire.mark()
    for ident in range(1, 6):
        home.wire.send(solicitation(COA2, 2, ident))

    def sent():
        return [p for p in home.wire.packets(mark, dst=COA2) if s6.ICMPv6MPAdv in p.ip]

    wait_for(lambda: len(sent()) > 1, 5, "the second advertisement")
    one, two = sent()
    assert one.ip[s6.ICMPv6MPAdv].id == 1 and two.ip[s6.ICMPv6MPAdv].id == 5
    assert two.time - one.time > 0.5e9


def test_a_solicitation_without_a_binding_gets_a_binding_error(home):
    """RFC 6275 s9.3.1."""
    home.forget(3)
    for packet in (solicitation(n=3), solicitation(n=0x4444)):
        got = home.answer(packet)
        assert (got.src, got.dst) == (HA, COA)
        error = got[s6.MIP6MH_BE]
        assert (error.status, error.ha) == (1, packet[s6.HAO].hoa)
    home.register(1)
    assert home.answer(solicitation(COA2))[s6.MIP6MH_BE].status == 1, "from another place"
    assert home.binding(1)["care_of"] == COA


def test_unknown_options_of_a_solicitation_are_skipped(home):
    """RFC 6275 s6.7."""
    home.register(1)
    after_a_second()
    assert s6.ICMPv6MPAdv in home.answer(solicitation(data=b"\xfe\x01" + bytes(6)))


def test_bad_solicitations_are_silently_dropped(home):
    home.register(1)
    right = bytes(solicitation())
    at_coa = s6.IPv6(src=COA, dst=HA) / s6.ICMPv6MPSol(id=1)
    wrong_sum = s6.IPv6(right[:-6] + bytes(at_coa)[-6:])
    before = home.counter("icmp6_bad"), home.counter("mps_dropped")
    assert home.answers(
        wrong_sum, solicitation(data=b"\xfe\x00" + bytes(6)), solicitation(data=b"\xfe\x02" + bytes(6)),
        at_coa) == []
    assert (home.counter("icmp6_bad"), home.counter("mps_dropped")) == (before[0] + 3, before[1] + 1)


def test_a_flood_is_answered_at_a_limited_rate(home):
    before = home.counter("dhaad_limited")
    requests = [bytes(request(ident=i)) for i in range(300)]

    def limited():  # a busy machine may send them so slowly that they are no flood
        for packet in requests:
            home.wire.send(packet)
        return home.counter("dhaad_limited") - before > 100

    wait_for(limited, 10, "the limit")


def test_the_list_is_shown(home):
    assert [(a["source"], a["addresses"], a["preference"]) for a in home.ha.ask("agents")] == [
        ("own", [HA], 5), ("configuration", [BETTER], 9), ("configuration", [EQUAL], 5),
        ("configuration", [HOSTS_ONLY], 7)]


# --- the mobile router ---


def asked(a, since=0):
    return a.site.wait("discovery request", since, 5, icmp=REQUEST).ip


def reply_to(q, addresses, **fields):
    fields = {"id": q[s6.ICMPv6HAADRequest].id, "R": 1, **fields}
    return s6.IPv6(src=HA, dst=q.src) / s6.ICMPv6HAADReply(addresses=addresses, **fields)


def test_without_home_agents_they_are_looked_for(away):
    """RFC 6275 s11.4.1, RFC 3963 s7.1."""
    a = away(home_agents=[]).start()
    q = asked(a)
    assert (q.src, q.dst, q.hlim, q.nh) == (AT_A, ANYCAST, 64, 58)
    m = q[s6.ICMPv6HAADRequest]
    assert (m.type, m.code, m.R, m.res) == (144, 0, 1, 0)
    assert s6.in6_chksum(58, q, bytes(m)) == 0
    assert a.mr.status()["state"] == "looking for a home agent"
    assert a.mr.status()["home_agent"] is None
    assert not a.site.packets(mh=BU)
    a.site.send(reply_to(q, [HA]), mac=a.site.router.mac)
    a.bound()
    assert a.mr.wait_event("mr.discovered")["text"] == f"home agent {HA}"
    a.goes_through_tunnel(AT_A)
    assert [p for p in a.leaks() if p.icmp != REQUEST] == []


def test_a_request_is_repeated_after_three_seconds(away):
    a = away(home_agents=[]).start()
    first = a.site.wait("discovery request", icmp=REQUEST)
    second = a.site.wait("a second one", 1 + a.site.seen.index(first), 6, icmp=REQUEST)
    assert second.time - first.time > 2e9
    assert bytes(second.ip) == bytes(first.ip)
    a.site.send(reply_to(second.ip, [HA]), mac=a.site.router.mac)
    a.bound()


def test_bad_replies_are_ignored_and_counted(away):
    a = away(home_agents=[]).start()
    q = asked(a)
    ident = q[s6.ICMPv6HAADRequest].id
    good = reply_to(q, [HA])
    bad = {
        "dhaad_ignored": [
            reply_to(q, [HA], id=ident ^ 1),
            reply_to(q, [HA], R=0),
            reply_to(q, []),
            reply_to(q, ["ff02::1", "fe80::1", "::", MR_HOA, MNP.replace("/64", "7")]),
        ],
        "icmp6_bad": [
            reply_to(q, [HA], code=1),
            bent(good, 9, 0xff),
            made(bytes(good.payload)[:-1], HA, q.src),
        ],
        "icmp6_unexpected": [
            s6.IPv6(src=HA, dst=q.src) / s6.ICMPv6HAADRequest(id=ident),
            s6.IPv6(src=q.src, dst=q.src) / hao(MR_HOA) / s6.ICMPv6MPSol(id=ident),
        ],
    }
    for packets in bad.values():
        for packet in packets:
            a.site.send(packet, mac=a.site.router.mac)
    wait_for(lambda: [a.counter(name) for name in bad] == [len(p) for p in bad.values()], 5,
             lambda: [a.counter(name) for name in bad])
    assert a.mr.status()["state"] == "looking for a home agent"
    a.site.send(good, mac=a.site.router.mac)
    a.bound()


def test_the_next_of_the_list_is_tried_in_its_order(away):
    """RFC 6275 s11.4.1: the first does not answer, the second is not where we ask, the third does."""
    a = away(home_agents=[], retransmit_ms=16000).start()
    q = asked(a)
    other = "2001:db8:ffff::2"
    a.site.send(reply_to(q, [other, HA]), mac=a.site.router.mac)
    first = a.site.wait("an update to the first", mh=BU, dst=other)
    second = a.site.wait("an update to the next", timeout=20, mh=BU, dst=HA)
    assert second.time - first.time > 1.5e9
    a.bound()


# --- the mobile router and prefixes ---


def with_status_1(fake, packet):
    return accept(fake, packet, status=1)


def advertisement(q, prefixes=(("2001:db8:d::", 86400, 14400),), src=HA, home=MR_HOA, **fields):
    m = s6.ICMPv6MPAdv(**{"id": q[s6.ICMPv6MPSol].id, "flags": 0, **fields})
    p = s6.IPv6(src=src, dst=q.src)
    p = p / rh2(home) / m if home else p / m
    for prefix, valid_s, preferred_s in prefixes:
        p /= s6.ICMPv6NDOptPrefixInfo(
            prefix=prefix, prefixlen=64, L=0, A=0, validlifetime=valid_s,
            preferredlifetime=preferred_s)
    return p


def solicited(a, since=0, timeout=5):
    def is_one(p):
        return chain(p.data)[-1] == 58 and s6.ICMPv6MPSol in p.ip

    return a.site.wait("prefix solicitation", since, timeout, is_one, dst=HA).ip


def test_status_1_leads_to_a_prefix_solicitation(away):
    """RFC 6275 s6.7, s11.4.2, s11.7.3; what the answer says is shown."""
    a = away()
    a.site.home_agent = with_status_1
    a.start().bound()
    q = solicited(a)
    assert (q.src, q.dst, q.hlim, chain(q)) == (AT_A, HA, 64, [60, 58])
    assert q[s6.HAO].hoa == MR_HOA
    m = q[s6.ICMPv6MPSol]
    assert (m.type, m.code, m.res) == (146, 0, 0)
    again = s6.IPv6(bytes(q))
    again[s6.ICMPv6MPSol].cksum = None
    again[s6.IPv6ExtHdrDestOpt].options = [o for o in again[s6.IPv6ExtHdrDestOpt].options
                                           if isinstance(o, s6.HAO)]
    assert bytes(again) == bytes(q), "the checksum, over the home address"
    mark = a.site.mark()
    a.site.send(advertisement(q), mac=a.site.router.mac)
    known = a.mr.wait_status(lambda s: s["home_link"]["valid_s"] and s["home_link"], "prefixes")
    assert known["prefixes"] == ["2001:db8:d::/64"]
    assert 86390 < known["valid_s"] <= 86400 and 14390 < known["preferred_s"] <= 14400
    assert not a.site.packets(mark, icmp=4), "no Parameter Problem of the kernel's"


def test_advertisements_that_do_not_fit_are_ignored(away):
    """RFC 6275 s11.4.3.  One from the home agent that nobody asked for is a reason to ask."""
    a = away()
    a.site.home_agent = with_status_1
    a.start().bound()
    q = solicited(a)
    ident = q[s6.ICMPv6MPSol].id
    bad = {
        "mpa_ignored": [
            advertisement(q, src="2001:db8:ffff::2"), advertisement(q, home=None),
            advertisement(q, home="2001:db8:d::2"), advertisement(q, prefixes=()),
        ],
        "mpa_unasked": [advertisement(q, id=ident ^ 1)],
        "icmp6_bad": [
            advertisement(q, code=1), advertisement(q, cksum=0x1234),
            advertisement(q, prefixes=()) / Raw(b"\xfe\x00" + bytes(6)),
            advertisement(q, prefixes=()) / Raw(b"\x03\x04" + bytes(6)),
        ],
    }
    for packets in bad.values():
        for packet in packets:
            a.site.send(packet, mac=a.site.router.mac)
    wait_for(lambda: [a.counter(name) for name in bad] == [len(p) for p in bad.values()], 5,
             lambda: [a.counter(name) for name in bad])
    assert a.mr.status()["home_link"] == {"prefixes": [], "valid_s": None, "preferred_s": None}
    a.goes_through_tunnel(AT_A)


def test_an_advertisement_unasked_for_is_answered_by_a_solicitation(away):
    a = away().start().bound()
    mark = a.site.mark()
    q = s6.IPv6(src=AT_A, dst=HA) / s6.ICMPv6MPSol(id=9)
    a.site.send(advertisement(q, (("2001:db8:d::", 10, 10),)), mac=a.site.router.mac)
    q = solicited(a, mark)
    assert a.mr.status()["home_link"]["valid_s"] is None
    a.site.send(advertisement(q), mac=a.site.router.mac)
    a.mr.wait_status(lambda s: s["home_link"]["valid_s"], "prefixes")


def test_the_operator_is_told_of_renumbering(away):
    """A home address that is deprecated, a new prefix, and in the end a lifetime that is over."""
    a = away().start().bound()
    q = s6.IPv6(src=AT_A, dst=HA) / s6.ICMPv6MPSol(id=9)
    mark = a.site.mark()
    a.site.send(advertisement(q), mac=a.site.router.mac)
    a.site.send(advertisement(solicited(a, mark)), mac=a.site.router.mac)
    a.mr.wait_status(lambda s: s["home_link"]["valid_s"], "prefixes")
    mark = a.site.mark()
    a.site.send(advertisement(q), mac=a.site.router.mac)
    q = solicited(a, mark, 6)  # three seconds after the one before
    a.site.send(advertisement(q, (("2001:db8:d::", 7300, 0), ("2001:db8:e::", 86400, 14400))),
                mac=a.site.router.mac)
    assert "2001:db8:e::/64" in a.mr.wait_event("mr.prefix")["text"]
    assert "deprecated" in a.mr.wait_event("mr.home_ends")["text"]


# --- real ones: no home link, each home agent's configuration names the other ---

#   host -- mr:eth0 -- core --+-- one    2001:db8:1::1   the anycast address is routed here
#                             +-- two    2001:db8:2::1   preferred
ONE, TWO = "2001:db8:1::1", "2001:db8:2::1"
REAL = Topology(
    nodes=[
        Node("core", forward=True, routes=[f"2001:db8:d::/64 via {ONE}"]),
        Node("one", forward=True, routes=["default via 2001:db8:1::fe"]),
        Node("two", forward=True, routes=["default via 2001:db8:2::fe"]),
        Node("mr", forward=True),
        Node("host", routes=["default via 2001:db8:d:1::1"]),
    ],
    links=[
        Link("one:eth0", "core:one", [f"{ONE}/64"], ["2001:db8:1::fe/64"]),
        Link("two:eth0", "core:two", [f"{TWO}/64"], ["2001:db8:2::fe/64"]),
        Link("mr:eth0", "core:mr", [], ["2001:db8:a::1/64"], real_dad=True),
        Link("host:eth0", "mr:eth1", ["2001:db8:d:1::2/64"], ["2001:db8:d:1::1/64"]),
    ],
    radvds=[Radvd("core:mr", "2001:db8:a::/64")],
)


def real_home_agent(net, node, engine, **settings):
    return Daemon(net, node, "nemo-ha", {
        "address": ONE if node == "one" else TWO, "interfaces": ["eth0"], "engine": engine,
        "home_prefixes": ["2001:db8:d::/64"], "aggregates": ["2001:db8:d::/48"],
        "routers": [{"name": "van", "tenant": "red", "home_address": "2001:db8:d::1",
                     "prefixes": ["2001:db8:d:1::/64"]}], **settings}).start()


def real_router(net, engine, **settings):
    return Daemon(net, "mr", "nemo-mr", {
        "name": "van", "home_address": "2001:db8:d::1", "uplinks": [{"interface": "eth0"}],
        "networks": [{"prefix": "2001:db8:d:1::/64", "interface": "eth1"}], "engine": engine,
        **settings}).start()


def test_a_router_finds_its_home_agent_from_nothing(make_net, engine):
    net = make_net(REAL)
    one = real_home_agent(net, "one", engine, home_agents=[{"address": TWO, "preference": 1}])
    two = real_home_agent(net, "two", engine)
    mr = real_router(net, engine)
    mr.wait_bound()
    assert mr.status()["home_agent"] == TWO, "the preferred one"
    assert [b["name"] for b in two.ask("bindings")] == ["van"]
    assert one.ask("bindings") == []


def test_a_home_agent_that_was_found_gives_keys(make_net, engine):
    """Discovery is in clear; what follows is protected as with one of the configuration."""
    net = make_net(REAL)
    keys = key_file(net, "van.keys", f"psk van {bytes(range(32)).hex()}")
    van = {"name": "van", "tenant": "red", "home_address": "2001:db8:d::1",
           "prefixes": ["2001:db8:d:1::/64"], "keys": keys}
    one = real_home_agent(net, "one", engine, protection="esp", routers=[van])
    mr = real_router(net, engine, protection="esp", keys=keys)
    mr.wait_bound()
    assert mr.status()["home_agent"] == ONE
    assert [b["name"] for b in one.ask("bindings")] == ["van"]


def test_when_the_preferred_one_is_dead_the_next_serves(make_net, engine):
    net = make_net(REAL)
    real_home_agent(net, "one", engine, home_agents=[{"address": TWO, "preference": 1}])
    mr = real_router(net, engine, retransmit_ms=16000)  # then the wait is its cap
    mr.wait_status(lambda s: s["state"] == "bound" and s["home_agent"] == ONE, "fall-over", 25)


# --- real ones on a home link, where radvd tells of them ---

#   host -- mr:eth0 -- core --home-- bridge --+-- one  2001:db8:d::a1
#                                             +-- two  2001:db8:d::a2
# core is an ordinary router of the home link: it asks there who has the anycast address.
LINK_ONE, LINK_TWO = "2001:db8:d::a1", "2001:db8:d::a2"


def home_link(**options):
    """'options': node -> what radvd says of it beyond the H flag."""
    def radvd(node):
        text = "AdvHomeAgentFlag on; AdvHomeAgentInfo on; HomeAgentLifetime 600; " + options[node]
        address = LINK_ONE if node == "one" else LINK_TWO
        return Radvd(f"{node}:eth0", f"{address}/64", 3, 4, lifetime_s=0, options=text,
                     router_address=True)

    return Topology(
        nodes=[
            Node("core", forward=True, routes=[f"2001:db8:d:1::/64 via {LINK_ONE}"]),
            Node("fabric", bridges=["home"]),
            Node("one", forward=True, routes=["default via 2001:db8:d::fe"]),
            Node("two", forward=True, routes=["default via 2001:db8:d::fe"]),
            Node("mr", forward=True),
            Node("host", routes=["default via 2001:db8:d:1::1"]),
        ],
        links=[
            Link("core:home", "fabric:core@home", ["2001:db8:d::fe/64"]),
            Link("one:eth0", "fabric:one@home", [f"{LINK_ONE}/64"]),
            Link("two:eth0", "fabric:two@home", [f"{LINK_TWO}/64"]),
            Link("mr:eth0", "core:mr", [], ["2001:db8:a::1/64"], real_dad=True),
            Link("host:eth0", "mr:eth1", ["2001:db8:d:1::2/64"], ["2001:db8:d:1::1/64"]),
        ],
        radvds=[Radvd("core:mr", "2001:db8:a::/64"), *(radvd(node) for node in options)],
    )


def on_home_link(net, node, engine, **settings):
    address = {"one": LINK_ONE, "two": LINK_TWO}[node]
    return real_home_agent(net, node, engine, address=address, home_link="eth0", dad_ms=100,
                           aggregates=[], **settings)


def knows(ha, *addresses):
    """The home agents list has these besides ourselves."""
    def listed():
        return sorted(a for e in ha.ask("agents")[1:] for a in e["addresses"]) == sorted(addresses)

    wait_for(listed, 15, lambda: f"{addresses} in {ha.ask('agents')}")


def test_home_agents_hear_of_each_other_by_radvd(make_net, engine):
    net = make_net(home_link(one="HomeAgentPreference 3; AdvMobRtrSupportFlag on;",
                             two="HomeAgentPreference 8; AdvMobRtrSupportFlag on;"))
    one, two = (on_home_link(net, n, engine, preference=p) for n, p in (("one", 3), ("two", 8)))
    knows(one, LINK_TWO)
    knows(two, LINK_ONE)
    [heard] = one.ask("agents")[1:]
    assert (heard["source"], heard["preference"], heard["mobile_routers"]) == ("advertisement", 8, True)
    assert heard["link_local"].startswith("fe80::") and 0 < heard["remaining_s"] <= 600
    mr = real_router(net, engine)
    mr.wait_bound()
    assert mr.status()["home_agent"] == LINK_TWO, "the preferred one"
    two.ask("drain")  # no home agent is named: the list is (RFC 5142 s5.1)
    mr.wait_status(lambda s: (s["home_agent"], s["state"]) == (LINK_ONE, "bound"), "at the other one")


def test_what_radvd_says_of_a_home_agent(make_net):
    """As OPERATIONS.md wants it configured: RFC 6275 s7.1-7.5, RFC 3963 s7.3."""
    net = make_net(home_link(one="HomeAgentPreference 3; AdvMobRtrSupportFlag on; AdvIntervalOpt on;"))
    wire = Wire(net, "core", "home", mac_of(net, "one", "eth0"))
    seen = [wire.wait("an advertisement", icmp=134, timeout=10)]
    seen.append(wire.wait("another", since=wire.seen.index(seen[0]) + 1, icmp=134, timeout=10))
    for packet in seen:
        ra = packet.ip[s6.ICMPv6ND_RA]
        found = {type(o): o for o in options(ra)}
        assert ra.H == 1 and ra.routerlifetime == 0
        info = found[s6.ICMPv6NDOptHAInfo]
        assert (info.len, info.res, info.pref, info.lifetime) == (1, 0x8000, 3, 600)
        interval = found[s6.ICMPv6NDOptAdvInterval]
        assert (interval.len, interval.advint) == (1, 4000)
        assert found[s6.ICMPv6NDOptSrcLLAddr].lladdr == packet.mac
        prefix = found[s6.ICMPv6NDOptPrefixInfo]
        assert (prefix.R, prefix.prefix, prefix.prefixlen) == (1, LINK_ONE, 64)
    wire.close()


def test_home_agents_for_hosts_only_are_not_told_to_routers(make_net, engine):
    net = make_net(home_link(one="HomeAgentPreference 3; AdvMobRtrSupportFlag on;",
                             two="HomeAgentPreference 8; AdvMobRtrSupportFlag off;"))
    one = on_home_link(net, "one", engine)  # two runs no home agent that serves us
    knows(one, LINK_TWO)
    assert not one.ask("agents")[1]["mobile_routers"]
    mr = real_router(net, engine)
    mr.wait_bound()
    assert mr.status()["home_agent"] == LINK_ONE


def test_a_router_that_is_no_home_agent_any_more_leaves_the_list(make_net, engine):
    """H = 0 (RFC 6275 s10.5.1).  A radvd that stops does not say so: its lifetime has to end."""
    net = make_net(home_link(one="HomeAgentPreference 3; AdvMobRtrSupportFlag on;",
                             two="HomeAgentPreference 8; AdvMobRtrSupportFlag on;"))
    one = on_home_link(net, "one", engine)
    knows(one, LINK_TWO)
    stop(net.radvds["two:eth0"])
    net.start_radvd(Radvd("two:eth0", f"{LINK_TWO}/64", 3, 4))
    knows(one)


def test_a_router_away_learns_of_a_change_on_the_home_link(make_net, engine):
    """Status 1 because the home address is deprecated before the binding's end; then a new prefix is
    advertised at home: told unasked, acknowledged by a solicitation, answered."""
    net = make_net(home_link(one="AdvMobRtrSupportFlag on;"))
    one = on_home_link(net, "one", engine, max_lifetime=20000, prefix_interval_min=1,
                       prefix_interval_max=3)
    mr = real_router(net, engine, lifetime=20000)
    mr.wait_bound()
    known = mr.wait_status(lambda s: s["home_link"]["valid_s"] and s["home_link"], "home prefix")
    assert known["prefixes"] == ["2001:db8:d::/64"]
    assert 86000 < known["valid_s"] <= 86400 and 14000 < known["preferred_s"] <= 14400
    stop(net.radvds["one:eth0"])
    net.start_radvd(Radvd("one:eth0", "2001:db8:d::/64", 3, 4, options="prefix 2001:db8:e::/64 {};"))
    assert "2001:db8:e::/64" in mr.wait_event("mr.prefix", 20)["text"]
    assert one.ask("bindings")[0]["state"] == "bound"

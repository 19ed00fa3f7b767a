"""A home agent and Binding Updates made by hand.

    wire (the Internet: every care-of address is here)           2001:db8:ffff::fe
      |
    eth0  2001:db8:ffff::1
    ha                      home network 2001:db8:d::/64, aggregate 2001:db8:d::/48
    eth1  2001:db8:c::1
      |
    client  2001:db8:c::2

MR-1 and MR-3 are of tenant red, MR-2 of tenant blue.  The wire is scapy's, at both ends of the words
"sent" and "seen"; no kernel answers there.
"""

import pytest
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.daemon import Daemon
from lib.mipv6 import (
    BU, TUNNEL, Wire, bu, chain, checksum_is_right, echo, hao, in_tunnel, mac_of,
    raw_mh, rh2, tshark,
)
from lib.topo import Link, Net, Node, Topology
from lib.wait import wait_for

HA, GATEWAY, CLIENT = "2001:db8:ffff::1", "2001:db8:ffff::fe", "2001:db8:c::2"
COA, COA2, ELSEWHERE = "2001:db8:a::2", "2001:db8:b::2", "2001:db8:a::77"
MAX_LIFETIME_S = 600


def hoa(n):
    return f"2001:db8:d::{n:x}"


def net_of(n):
    return f"2001:db8:d:{n:x}::/64"


def inside(n, host=5):
    return f"2001:db8:d:{n:x}::{host:x}"


TOPOLOGY = Topology(
    nodes=[
        Node("wire"),
        # Errors of the kernel must not stay away because of their rate limit.
        Node("ha", forward=True, routes=[f"default via {GATEWAY}"],
             sysctl={"net.ipv6.icmp.ratelimit": 0}),
        Node("client", routes=["default via 2001:db8:c::1"]),
    ],
    links=[
        Link("wire:eth0", "ha:eth0", [], [f"{HA}/64"]),
        Link("client:eth0", "ha:eth1", [f"{CLIENT}/64"], ["2001:db8:c::1/64"]),
    ],
)


def line(n, tenant="red", prefixes=None, **more):
    prefixes = [net_of(n)] if prefixes is None else prefixes
    return {"name": f"MR-{n}", "home_address": hoa(n), "prefixes": prefixes, "tenant": tenant, **more}


CONF = {
    "address": HA,
    "interfaces": ["eth0"],
    "home_prefixes": ["2001:db8:d::/64"],
    "aggregates": ["2001:db8:d::/48"],
    "max_lifetime": MAX_LIFETIME_S,
    "routers": [
        line(1, prefixes=[net_of(1), net_of(0x11), "2001:db8:d:1100::/56"]),
        line(2, tenant="blue"),
        line(3),
        line(4, mobile_router=False),
        line(5, prefixes=[]),
        line(6, max_lifetime=21),
        line(8),  # never bound
        {"name": "MR-7", "home_address": inside(7, 1), "prefixes": [net_of(7)], "tenant": "red"},
    ],
}


class Home:
    """The network, the daemon, the wire; and what most tests do with them."""

    def __init__(self, net, **conf):
        self.net = net
        mac = mac_of(net, "wire", "eth0")
        net["ha"].batch([f"neigh add {GATEWAY} lladdr {mac} dev eth0 nud permanent"])
        self.wire = Wire(net, "wire", "eth0", mac_of(net, "ha", "eth0"))
        self.client = Wire(net, "client", "eth0", mac_of(net, "ha", "eth1"))
        self.ha = Daemon(net, "ha", "nemo-ha", {**CONF, **conf}).start()

    def next_seq(self, n):
        known = self.bindings().get(f"MR-{n}")
        return (known["sequence"] + 1) % 65536 if known else 1

    def bu(self, n, coa=COA, **how):
        """A Binding Update of MR-n with the next sequence number."""
        how = {"mnps": [net_of(n)], "alt": coa, "hoa": hoa(n), **how}
        return bu(coa, HA, **{"seq": self.next_seq(n), **how})

    def answers(self, *packets):
        """What comes back to the wire for these, as scapy's packets, tunnelled ones left out.  A
        last update for nobody's home address marks the end: the home agent takes one by one."""
        mark = self.wire.mark()
        for packet in packets:
            self.wire.send(packet)
        self.wire.send(bu(ELSEWHERE, HA, hoa(0xFFFF), 1, mnps=[], alt=ELSEWHERE))
        self.wire.wait("the end mark's answer", mark, dst=ELSEWHERE)
        return [
            p.ip for p in self.wire.packets(mark)
            if p.dst != ELSEWHERE and p.proto != TUNNEL and not p.dst.startswith("ff")
        ]

    def answer(self, packet):
        """The one answer to a packet."""
        got = self.answers(packet)
        assert len(got) == 1, f"not one answer: {got}"
        return got[0]

    def status(self, packet):
        return self.answer(packet)[s6.MIP6MH_BA].status

    def register(self, n, coa=COA, **how):
        """Registers MR-n, which must be accepted; returns the acknowledgement."""
        got = self.answer(self.bu(n, coa, **how))[s6.MIP6MH_BA]
        assert got.status == 0, got.summary()
        return got

    def register_at(self, n, seq, **how):
        """Registers MR-n with this number, whatever the last one was."""
        while (ahead := (seq - self.next_seq(n)) % 65536) >= 32767:
            self.register(n, seq=(seq - ahead + 32766) % 65536)
        return self.register(n, seq=seq, **how)

    def forget(self, n, **how):
        """De-registers MR-n, bound or not."""
        self.answers(self.bu(n, lifetime_s=0, mnps=[], **how))

    def bindings(self):
        return {b["name"]: b for b in self.ha.ask("bindings")}

    def binding(self, n):
        b = self.bindings().get(f"MR-{n}")
        return b if b and b["state"] == "bound" else None

    def counter(self, name):
        return next(c["value"] for c in self.ha.ask("stats")["counters"] if c["name"] == name)

    def ping(self, dst, src=CLIENT):
        """Sends an echo request out of the client; returns marks of both wires, from before."""
        marks = self.wire.mark(), self.client.mark()
        self.client.send(echo(src, dst))
        return marks

    def tunnels_to(self, coa, dst):
        """Traffic for 'dst' goes to 'coa' by tunnel, and the answer comes back."""
        on_wire, at_client = self.ping(dst)
        right = {"test": lambda p: p.ip.payload.dst == dst, "proto": TUNNEL}
        out = self.wire.wait(f"{dst} tunnelled", on_wire, **right).ip
        assert (out.src, out.dst) == (HA, coa), out.summary()
        inner = out.payload
        assert (inner.src, inner.dst) == (CLIENT, dst) and s6.ICMPv6EchoRequest in inner
        self.wire.send(in_tunnel(coa, HA, echo(dst, CLIENT, reply=True)))
        self.client.wait(f"answer of {dst}", at_client, src=dst, icmp=129)

    def is_unreachable(self, dst):
        """The home agent says so to who asks, and sends nothing on."""
        on_wire, at_client = self.ping(dst)
        error = self.client.wait(f"{dst} is unreachable", at_client, icmp=1).ip
        assert error.src == "2001:db8:c::1"
        quoted = error[s6.ICMPv6DestUnreach].payload
        assert (quoted.src, quoted.dst) == (CLIENT, dst)
        assert not self.wire.packets(on_wire, proto=TUNNEL)
        return error

    def routes(self):
        """Destinations that nemo0 leads to."""
        out = self.net["ha"].out("ip -6 route show dev nemo0")
        return {l.split()[0] for l in out.splitlines() if "2001:db8" in l}


@pytest.fixture(scope="module")
def shared():
    with Net(TOPOLOGY) as net:
        home = Home(net)
        yield home
        home.wire.close()
        home.client.close()


@pytest.fixture
def home(shared, request):
    """The home agent, with no binding."""
    for b in shared.bindings().values():
        if b["state"] == "bound":
            shared.forget(int(b["name"][3:]), hoa=b["home_address"], flags="AHR")
    yield shared
    assert shared.ha.running()
    if getattr(request.node, "failed_call", True):
        shared.net.report()


# --- the acknowledgement on the wire ---


def test_an_update_is_acknowledged_through_a_type_2_routing_header(home):
    """RFC 6275 s9.5.4, s6.1.8: from the address it was sent to, to the one it came from."""
    home.register_at(1, 4241)
    packet = home.bu(1, seq=4242, source=COA2, alt=COA)
    got = home.answer(packet)
    assert (got.src, got.dst) == (HA, COA2), "back to the wire's source, not the alternate address"
    assert chain(got) == [43, 135]
    routing = got[s6.IPv6ExtHdrRouting]
    assert (routing.type, routing.segleft, routing.len) == (2, 1, 2)
    assert routing.addresses == [hoa(1)]
    answer = got[s6.MIP6MH_BA]
    assert (answer.nh, answer.seq, answer.status) == (59, 4242, 0)
    assert bytes(answer)[7] == 0x40, "R, and nothing else (RFC 3963 s4.2)"
    assert 0 < answer.mhtime * 4 <= MAX_LIFETIME_S
    assert len(bytes(answer)) == (answer.len + 1) * 8
    assert checksum_is_right(got)
    assert got.hlim > 1


def test_tshark_reads_the_acknowledgements(home):
    home.register_at(1, 6)
    accepted = home.answer(home.bu(1, seq=7, lifetime_s=40))
    rejected = home.answer(home.bu(1, seq=8, mnps=[net_of(2)]))
    rows = tshark(
        home.net, [accepted, rejected], "mip6.ba.status", "mip6.ba.seqnr", "mip6.ba.lifetime",
        "ipv6.routing.mipv6.home_address", "mip6.mhtype", "_ws.malformed",
    )
    assert [r[0] for r in rows] == [["0"], ["142"]]
    assert [r[1] for r in rows] == [["7"], ["8"]]
    assert rows[0][2] == ["10"], "in units of 4 s"
    assert all(r[3] == [hoa(1)] and r[4] == ["6"] and r[5] == [] for r in rows)


def test_updates_without_the_acknowledge_bit_are_answered_too(home):
    """RFC 6275 s10.3.1: a home registration is acknowledged whatever A says."""
    assert home.status(home.bu(1, flags="HR")) == 0


@pytest.mark.parametrize(
    "asked, granted", [(4, 4), (40, 40), (604, MAX_LIFETIME_S), (262140, MAX_LIFETIME_S)])
def test_the_lifetime_granted_is_capped(home, asked, granted):
    """HOSTILE 9; RFC 6275 s10.3.1."""
    assert home.register(1, lifetime_s=asked).mhtime * 4 == granted
    assert home.binding(1)["lifetime_s"] == granted


def test_a_router_has_its_own_cap_rounded_to_units_of_four_seconds(home):
    assert home.register(6).mhtime * 4 == 20


# --- forwarding ---


def test_a_bound_network_is_tunnelled_to_its_care_of_address_and_nothing_else_is(home):
    """RFC 3963 s6.3-6.5; the rest of the aggregate is unreachable and does not loop."""
    home.is_unreachable(inside(1))
    home.register(1)
    home.tunnels_to(COA, inside(1))
    home.tunnels_to(COA, hoa(1))
    assert home.routes() == {net_of(1), hoa(1)}
    home.is_unreachable(inside(0x11))
    home.is_unreachable(inside(2))


def test_the_tunnel_follows_the_care_of_address(home):
    home.register(1, COA)
    home.tunnels_to(COA, inside(1))
    home.register(1, COA2)
    home.tunnels_to(COA2, inside(1))
    assert home.binding(1)["moves"] == 1


def test_the_alternate_care_of_address_counts_not_the_source(home):
    """RFC 6275 s9.5.1, s6.2.5."""
    home.register(1, COA, source=ELSEWHERE.replace("77", "78"), alt=COA)
    home.tunnels_to(COA, inside(1))


def test_without_an_alternate_the_source_is_the_care_of_address(home):
    home.register(1, COA2, alt=None)
    home.tunnels_to(COA2, inside(1))


def test_one_update_carries_several_networks(home):
    """RFC 3963 s3, s6.2."""
    home.register(1, mnps=[net_of(1), net_of(0x11), "2001:db8:d:1100::/56"])
    for dst in inside(1), inside(0x11), inside(0x11FF):
        home.tunnels_to(COA, dst)


def test_a_refresh_without_a_network_withdraws_it(home):
    """RFC 3963 s6.2: stored prefixes that the accepted update does not name."""
    home.register(1, mnps=[net_of(1), net_of(0x11)])
    home.tunnels_to(COA, inside(0x11))
    home.register(1, mnps=[net_of(1)])
    home.tunnels_to(COA, inside(1))
    home.is_unreachable(inside(0x11))
    assert home.routes() == {net_of(1), hoa(1)}


def test_implicit_mode_forwards_what_is_configured(home):
    """RFC 3963 s5.2, s6.2."""
    home.register(1, mnps=[])
    assert home.binding(1)["mode"] == "implicit"
    for dst in inside(1), inside(0x11), inside(0x1101):
        home.tunnels_to(COA, dst)


def test_a_home_address_may_come_out_of_the_mobile_network(home):
    """RFC 3963 s3, s6.2: in a prefix that the home agent serves, here the router's own."""
    home.register(7, hoa=inside(7, 1))
    home.tunnels_to(COA, inside(7, 1))


def test_a_mobile_host_gets_a_tunnel_for_its_home_address_only(home):
    """R = 0: the answer's R is 0 (RFC 3963 s4.2)."""
    got = home.answer(home.bu(4, flags="AH", mnps=[]))
    assert got[s6.MIP6MH_BA].status == 0 and bytes(got[s6.MIP6MH_BA])[7] == 0
    home.tunnels_to(COA, hoa(4))
    home.is_unreachable(inside(4))


def test_a_binding_ends_with_its_lifetime(home):
    """RFC 6275 s9.6, s6.1.7: 4 s, the shortest there is."""
    home.ha.events.forget()
    assert home.register(1, lifetime_s=4).mhtime == 1
    home.tunnels_to(COA, inside(1))
    sent = home.wire.seen[-1].time
    home.ha.wait_event("binding.expired", 8, home_address=hoa(1))
    assert home.binding(1) is None and home.routes() == set()
    home.is_unreachable(inside(1))
    home.is_unreachable(hoa(1))
    assert home.client.seen[-1].time - sent > 3.5e9, "too early"


def test_a_deregistration_ends_a_binding(home):
    """RFC 6275 s10.3.2, RFC 3963 s6.7."""
    home.register(1)
    home.tunnels_to(COA, inside(1))
    got = home.answer(home.bu(1, lifetime_s=0, mnps=[]))[s6.MIP6MH_BA]
    assert (got.status, got.mhtime) == (0, 0)
    assert home.binding(1) is None and home.routes() == set()
    home.is_unreachable(inside(1))


def test_networks_named_in_a_deregistration_are_ignored(home):
    """RFC 3963 s6.7: even another's gives no 142."""
    home.register(1)
    assert home.status(home.bu(1, lifetime_s=0, mnps=[net_of(2), "::/0"])) == 0
    assert home.binding(1) is None


def test_a_late_old_update_after_a_deregistration_gets_135(home):
    home.register_at(1, 1000)
    late = home.bu(1, seq=1001)
    assert home.status(home.bu(1, seq=1002, lifetime_s=0, mnps=[])) == 0
    got = home.answer(late)[s6.MIP6MH_BA]
    assert (got.status, got.seq) == (135, 1002)
    home.is_unreachable(inside(1))
    assert home.status(home.bu(1, seq=1003)) == 0


# --- rejections; they never touch a live binding ---

REJECTED = {
    "sequence number as before": (135, {"seq": 5000}),
    "sequence number older": (135, {"seq": 4999}),
    "sequence number 32768 ahead": (135, {"seq": 5000 + 32768}),
    "no mobile router any more": (139, {"flags": "AH", "mnps": []}),
    "no home registration any more": (139, {"flags": "AR"}),
    "network of length 0": (141, {"mnps": ["::/0"]}),
    "network of length 129": (141, {"mnps": ["2001:db8:d:1::/129"]}),
    "network of length 255": (141, {"mnps": ["2001:db8:d:1::/255"]}),
    "network with host bits": (141, {"mnps": ["2001:db8:d:1::1/64"]}),
    "network that is multicast": (141, {"mnps": ["ff0e::/64"]}),
    "network that is link-local": (141, {"mnps": ["fe80::/64"]}),
    "network option cut short": (141, {"mnps": [], "options": [s6.MIP6OptUnknown(
        otype=6, olen=16, odata=bytes([0, 64]) + bytes.fromhex("20010db8000d00010000000000"))]}),
    "33 networks": (141, {"mnps": [net_of(1)] * 33}),
    "network of another router": (142, {"mnps": [net_of(2)]}),
    "own network and another's": (142, {"mnps": [net_of(1), net_of(3)]}),
    "covering network": (142, {"mnps": ["2001:db8:d::/48"]}),
    "part of the network": (142, {"mnps": ["2001:db8:d:1::/65"]}),
    "the home agent's own link": (142, {"mnps": ["2001:db8:ffff::/64"]}),
    "somebody's network": (142, {"mnps": ["2001:db8:c::/64"]}),
    "care-of address of the home agent": (174, {"alt": HA}),
    "care-of address in the own network": (174, {"alt": inside(1)}),
    "care-of address in the aggregate": (174, {"alt": inside(0x99)}),
    "care-of address in the home network": (174, {"alt": hoa(0x99)}),
    "care-of address is another's home address": (174, {"alt": inside(7, 1)}),
}


@pytest.mark.novm("the protocol core decides, whatever the kernel")
@pytest.mark.parametrize("why", REJECTED)
def test_a_rejected_update_leaves_the_live_binding_alone(home, why):
    status, how = REJECTED[why]
    home.register_at(1, 5000, lifetime_s=400)
    before, routes = home.binding(1), home.routes()
    rejected = home.counter("bu_rejected")
    home.ha.events.forget()
    update = home.bu(1, COA2, **{"seq": 5001, "alt": COA2, **how})
    got = home.answer(update)
    answer = got[s6.MIP6MH_BA]
    assert answer.status == status
    assert answer.seq == (5000 if status == 135 else 5001), "135 tells the last one (s9.5.1)"
    assert got.dst == COA2 and got[s6.IPv6ExtHdrRouting].addresses == [hoa(1)]
    assert checksum_is_right(got)
    home.ha.wait_event("binding.rejected", status=status, home_address=hoa(1))
    after = home.binding(1)
    for key in "care_of", "state", "prefixes", "mode", "lifetime_s", "moves":
        assert after[key] == before[key], key
    # Kept as soon as the number itself was right, whatever a later check says (s9.5.1).
    assert after["sequence"] == (5000 if status == 135 else 5001)
    assert home.routes() == routes
    assert home.counter("bu_rejected") == rejected + 2, "this one and the end mark"
    home.tunnels_to(COA, inside(1))


UNBOUND = {
    "unknown home address": (129, {"hoa": hoa(0x77)}),
    "home address elsewhere": (132, {"hoa": "2001:db8:e::1"}),
    "nothing to de-register": (133, {"lifetime_s": 0, "mnps": []}),
    "de-registration of nobody": (133, {"lifetime_s": 0, "mnps": [], "hoa": hoa(0x77)}),
    "mobile router without home registration": (140, {"flags": "AR"}),
    "network of length 0": (141, {"mnps": ["::/0"]}),
    "network of another router": (142, {"mnps": [net_of(2)]}),
    "own network and another's": (142, {"mnps": [net_of(1), net_of(3)]}),
    "care-of address in the own network": (174, {"alt": inside(8)}),
}


@pytest.mark.novm("the protocol core decides, whatever the kernel")
@pytest.mark.parametrize("why", UNBOUND)
def test_a_rejected_update_makes_no_binding(home, why):
    status, how = UNBOUND[why]
    got = home.answer(home.bu(8, **how))
    assert got[s6.MIP6MH_BA].status == status
    assert got[s6.IPv6ExtHdrRouting].addresses == [how.get("hoa", hoa(8))]
    assert checksum_is_right(got)
    assert "MR-8" not in home.bindings() and home.routes() == set()
    home.is_unreachable(inside(8))


def test_a_router_behind_a_router_may_register(home):
    """RFC 3963 s1: its care-of address is out of the other's network; two that would carry each
    other are refused (RFC 6275 s15.1)."""
    home.register(1)
    assert home.status(home.bu(3, COA2, alt=inside(1))) == 0
    assert home.binding(3)["care_of"] == inside(1)
    assert home.status(home.bu(1, alt=inside(3))) == 174
    assert home.binding(1)["care_of"] == COA
    home.register(3)  # elsewhere
    home.tunnels_to(COA, inside(3))


def test_who_may_be_no_mobile_router_gets_140(home):
    """RFC 3963 s6.6: R = 0 in the answer, so that it knows."""
    got = home.answer(home.bu(4, mnps=[]))[s6.MIP6MH_BA]
    assert got.status == 140 and bytes(got)[7] == 0
    assert home.binding(4) is None


def test_implicit_mode_without_configured_networks_gets_143(home):
    assert home.status(home.bu(5, mnps=[])) == 143
    assert home.binding(5) is None


def test_the_sequence_window_wraps(home):
    """RFC 6275 s9.5.1, HOSTILE 9."""
    home.register_at(1, 15)
    assert home.status(home.bu(1, seq=32783)) == 135
    home.register(1, seq=32782)
    home.register(1, seq=65535)
    home.register(1, seq=0)
    assert home.status(home.bu(1, seq=65535)) == 135


def test_a_replayed_update_changes_nothing(home):
    """HOSTILE 8: the exact replay, of a registration and of a de-registration."""
    first = home.bu(1, COA)
    assert home.status(first) == 0
    goodbye = home.bu(1, COA, lifetime_s=0, mnps=[])
    assert home.status(goodbye) == 0
    home.register(1, COA2)
    assert home.status(first) == 135
    assert home.status(goodbye) == 135
    home.tunnels_to(COA2, inside(1))


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


def raw(home, **how):
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
    "two home addresses": ("mh_bad_chain", lambda h: raw(h, headers=hao(hoa(1), hoa(2)))),
    "correspondent's update": ("bu_correspondent", lambda h: h.bu(3, COA2, flags="A", mnps=[])),
    "header longer than the packet": ("mh_truncated", lambda h: raw(h, size=255)),
    "option longer than the message": ("mh_bad_option", lambda h: raw(
        h, data=bu_message(options=bytes([6, 255, 0, 64])))),
    "authenticator not last": ("bu_auth_place", lambda h: raw(
        h, data=bu_message(options=bytes([1, 0, 5, 12]) + bytes(12) + bytes([1, 2, 0, 0])))),
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


# --- two routers ---


def test_a_router_can_send_only_from_its_own_networks(home):
    """RFC 3963 s9, HOSTILE 11: outer source and inner source are checked."""
    home.register(1, COA)
    home.register(2, COA2)
    sources, outer = home.counter("rx_inner_source"), home.counter("rx_outer_source")
    mark = home.client.mark()
    home.wire.send(in_tunnel(COA2, HA, echo(inside(1), CLIENT, b"stolen")))
    home.wire.send(in_tunnel(ELSEWHERE, HA, echo(inside(1), CLIENT, b"stranger")))
    home.wire.send(in_tunnel(COA, HA, echo(inside(0x11), CLIENT, b"not registered")))
    home.wire.send(in_tunnel(COA, HA, echo(inside(1), CLIENT, b"right")))
    home.client.wait("the right one", mark, test=lambda p: b"right" in p.data)
    wrong = [p for p in home.client.packets(mark, icmp=128) if b"right" not in p.data]
    assert wrong == []
    assert home.counter("rx_inner_source") == sources + 2
    assert home.counter("rx_outer_source") == outer + 1


def test_one_routers_end_leaves_the_other_alone(home):
    home.register(1, COA)
    home.register(2, COA2)
    home.forget(1)
    home.is_unreachable(inside(1))
    home.tunnels_to(COA2, inside(2))
    assert home.routes() == {net_of(2), hoa(2)}


def test_networks_behind_one_care_of_address_stay_apart(home):
    """Two routers may be behind one address: each keeps its own networks."""
    home.register(1, COA)
    home.register(3, COA)
    home.tunnels_to(COA, inside(1))
    home.tunnels_to(COA, inside(3))
    home.forget(1)
    home.tunnels_to(COA, inside(3))
    home.is_unreachable(inside(1))


# --- start and stop ---


def kernel_state(node):
    """What a home agent could leave behind.  An empty clsact doesn't count: it is a place for
    filters, and others may have come to use it."""
    text = "\n".join(
        node.out(command)
        for command in (
            "ls /sys/class/net", "ip -6 route show table all",
            "ip -6 rule", "tc qdisc show", "tc filter show dev eth0 ingress",
            "tc filter show dev eth0 egress", "ip -6 neigh show nud permanent", "nft list ruleset",
        )
    )
    return [line for line in text.splitlines() if "clsact" not in line]


def test_it_leaves_the_kernel_as_it_was(make_net):
    """SIGTERM with a live binding: no nemo0, no routes, no filters; and it starts again."""
    net = make_net(TOPOLOGY)
    up = "ip -br link show up type veth"
    wait_for(lambda: net["ha"].out(up).count(" UP ") == 2, 5, "carriers")
    before = kernel_state(net["ha"])
    home = Home(net)
    home.register(1)
    home.tunnels_to(COA, inside(1))
    assert kernel_state(net["ha"]) != before
    assert home.ha.stop() == 0
    net["ha"].batch([f"neigh del {GATEWAY} dev eth0"])
    assert kernel_state(net["ha"]) == before
    net["ha"].batch([f"neigh add {GATEWAY} lladdr {home.wire.mac} dev eth0 nud permanent"])
    home.ha.start()
    home.tunnels_to(COA, inside(1))
    # After a crash without a memory: what it finds it removes, and goes on.
    home.ha.restart(9, forget=True)
    home.is_unreachable(inside(1))
    home.register(1, COA2)
    home.tunnels_to(COA2, inside(1))
    home.is_unreachable(inside(2))
    assert home.ha.stop() == 0
    net["ha"].batch([f"neigh del {GATEWAY} dev eth0"])
    assert kernel_state(net["ha"]) == before

"""A home agent and Binding Updates made by hand: which it accepts, and what becomes of traffic.  The
network is lib/home.py's."""

import pytest
from scapy.layers import inet6 as s6

from lib.home import (  # noqa: F401 (with fixtures)
    CLIENT, COA, COA2, ELSEWHERE, GATEWAY, HA, MAX_LIFETIME_S, TOPOLOGY, Home, hoa, home, inside,
    net_of, shared,
)
from lib.mipv6 import chain, checksum_is_right, echo, in_tunnel, tshark
from lib.wait import wait_for


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
    granted = home.wire.packets(0, mh=6)[-1].time
    home.tunnels_to(COA, inside(1))
    home.ha.wait_event("binding.expired", 8, home_address=hoa(1))
    assert home.binding(1) is None and home.routes() == set()
    home.is_unreachable(inside(1))
    home.is_unreachable(hoa(1))
    assert home.client.seen[-1].time - granted > 3.5e9, "too early"


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

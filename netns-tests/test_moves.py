"""A mobile router that moves: by what it notices it, what it says where it comes to, and that nothing
of its network is seen there.  The network is lib/away.py's; the last part has real ones."""

import contextlib
import signal

import pytest
from scapy.layers import inet6 as s6

from lib import wide
from lib.away import (  # noqa: F401 (with fixtures)
    AT_A, AT_B, CLIENT, HA, HOA, HOST, IID, INNER, MS, SITE_A, SITE_B, away, moved_to,
)
from lib.mipv6 import BU, TUNNEL, Router, accept, echo, in_tunnel, silent
from lib.traffic import Server, TcpTransfer, UdpProbe, now_ns
from lib.wait import wait_for


# --- movement ---


def test_a_carrier_change_to_another_site(away):
    a = away().start().bound()
    mark = a.site.mark()
    a.carrier(False)
    a.mr.wait_event("mr.lost", 5)
    a.site.router = SITE_B
    a.carrier(True)
    moved_to(a, AT_B, mark)
    assert a.leaks() == []


def test_the_operator_says_look_again(away):
    """`nemoctl mr rehome`: no event of the link, no RA unasked."""
    a = away().start().bound()
    mark = a.site.mark()
    a.site.router = SITE_B
    a.mr.ask("rehome", uplink="eth0")
    update = moved_to(a, AT_B, mark)
    asked = next(p for p in a.site.packets(mark) if p.icmp == 133)
    assert asked.ip.hlim == 255 and asked.dst == "ff02::2" and asked.src.startswith("fe80:")
    tested = a.site.wait("duplicate address detection", mark, icmp=135, src="::",
                         test=lambda p: p.ip[s6.ICMPv6ND_NS].tgt == AT_B)
    assert update.time < tested.time + 1000 * MS, "it does not wait for that, nor any delay (RFC 6275 s11.5.3)"


def test_an_advertisement_of_another_router_without_any_event(away):
    """The former router is silent; a probe finds that out (RFC 6059, RFC 6275 s11.5)."""
    a = away().start().bound()
    mark = a.site.mark()
    a.site.router = SITE_B
    a.site.advertise()
    moved_to(a, AT_B, mark)


def test_a_deprecated_prefix_is_left_for_another_one_of_the_link(away):
    """RFC 6275 s11.5.3: the router renumbers."""
    a = away().start().bound()
    mark = a.site.mark()
    ra = s6.ICMPv6ND_RA(routerlifetime=1800)
    old, new = (
        s6.ICMPv6NDOptPrefixInfo(prefix=p, prefixlen=64, L=1, A=1, validlifetime=86400,
                                 preferredlifetime=t)
        for p, t in (("2001:db8:a::", 0), ("2001:db8:a:1::", 14400))
    )
    a.site.send(s6.IPv6(src=SITE_A.lladdr, dst="ff02::1", hlim=255) / ra / old / new,
                mac=SITE_A.mac, to="33:33:00:00:00:01")
    moved_to(a, f"2001:db8:a:1:{IID.replace('ff:', '0:ff:')}", mark)
    assert a.leaks() == []


@pytest.mark.novm("judged by times on the wire, which emulation distorts")
def test_missing_advertisements_are_noticed(away):
    """RFC 6275 s7.3, s11.5.1: three intervals of what the router itself says."""
    a = away().start().bound()
    option = s6.ICMPv6NDOptAdvInterval(advint=200)
    ra = s6.ICMPv6ND_RA(routerlifetime=1800) / s6.ICMPv6NDOptPrefixInfo(
        prefixlen=64, L=1, A=1, prefix="2001:db8:a::", validlifetime=86400, preferredlifetime=14400)
    a.mr.events.forget()
    a.site.send(s6.IPv6(src=SITE_A.lladdr, dst="ff02::1", hlim=255) / ra / option, SITE_A.mac,
                "33:33:00:00:00:01")
    while "missing advertisements" not in a.mr.wait_event("mr.hint", 10)["text"]:
        pass
    a.mr.wait_event("mr.confirmed", 10)


@pytest.mark.novm("a router by hand has 30 ms to answer")
def test_a_second_router_on_the_same_link_is_no_move(away):
    """It advertises another prefix, but the current router still answers."""
    a = away().start().bound()
    alarms, mark = a.counter("false_alarms"), a.site.mark()
    a.site.advertise(SITE_B)
    wait_for(lambda: a.counter("false_alarms") == alarms + 1, 3, "the false alarm")
    assert a.mr.status()["care_of"] == AT_A
    assert a.site.updates(mark) == []
    a.goes_through_tunnel(AT_A)


@pytest.mark.parametrize("mac", ["02:00:00:00:00:bb", SITE_A.mac])
def test_sites_whose_routers_have_the_same_address(away, mac):
    """Hypervisor bridges love fe80::1, and some even one MAC: the prefix tells them apart."""
    a = away().start().bound()
    mark = a.site.mark()
    a.site.router = Router(SITE_B.prefix, mac, SITE_A.lladdr)
    a.mr.ask("rehome")
    moved_to(a, AT_B, mark)


def test_a_known_link_is_recognized_by_a_probe_without_any_advertisement(away):
    """RFC 6059: one round trip; the router of site B does not answer solicitations."""
    known = {"uplink": "eth0", "router": SITE_B.lladdr, "mac": SITE_B.mac, "prefix": SITE_B.prefix}
    a = away(known_links=[known]).start().bound().settled()
    mark = a.site.mark()
    a.site.answer_rs = False
    a.site.router = SITE_B
    a.mr.ask("rehome")
    update = moved_to(a, AT_B, mark)
    asked = [p for p in a.site.packets(mark) if p.icmp == 135]
    probe = next(p for p in asked if p.ip[s6.ICMPv6ND_NS].tgt == SITE_B.lladdr)
    assert probe.ip.hlim == 255 and probe.frame[:6].hex(":") == SITE_B.mac, "unicast, to its MAC"
    assert probe.time < update.time
    assert a.mr.ask("handovers")[-1]["known_link"] is True


def test_a_link_visited_before_is_recognized_on_return(away):
    a = away().start().bound().settled()
    for site, coa in (SITE_B, AT_B), (SITE_A, AT_A):
        mark = a.site.mark()
        a.site.router = site
        a.site.answer_rs = site is SITE_B
        a.mr.ask("rehome")
        moved_to(a, coa, mark)


def test_what_a_killed_run_had_at_another_site_goes(away):
    a = away().start().bound()
    a.mr.stop(signal.SIGKILL)
    mark = a.site.mark()
    a.site.router = SITE_B
    a.mr.start()
    moved_to(a, AT_B, mark)
    node = a.net["mr"]
    wait_for(lambda: AT_A not in node.out("ip -6 addr show dev eth0"), 10, "its address is gone")
    assert AT_A not in node.out("ip -6 rule") and AT_B in node.out("ip -6 rule")


def test_a_silent_router_is_noticed_by_checks(away):
    """No event, no RA: the router's check finds the silence (router_check_ms)."""
    a = away(router_check_ms=200).start().bound()
    mark = a.site.mark()
    a.site.router = SITE_B
    moved_to(a, AT_B, mark)


def test_the_current_site_confirmed_means_no_update(away):
    a = away().start().bound()
    mark = a.site.mark()
    a.mr.ask("rehome")
    a.mr.wait_event("mr.confirmed", 5)
    assert a.site.updates(mark) == []
    assert a.counter("false_alarms") >= 1


def test_advertisements_that_must_not_be_believed(away):
    """RFC 4861 s6.1.2, HOSTILE 12: wrong hop limit, source, home prefix; a stranger's lifetime 0."""
    a = away()
    a.site.router = None
    a.start()
    bad = a.site

    def ra(src="fe80::bad", hlim=255, prefix="2001:db8:bad::", lifetime=1800, plen=64):
        bad.send(
            s6.IPv6(src=src, dst="ff02::1", hlim=hlim) / s6.ICMPv6ND_RA(routerlifetime=lifetime)
            / s6.ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=plen, L=1, A=1),
            mac="02:00:00:00:00:ba", to="33:33:00:00:00:01",
        )

    ra(hlim=64)
    ra(src="2001:db8:bad::1")
    ra(prefix="2001:db8:d:1::")  # our own mobile network
    ra(prefix="2001:db8:d::")  # our own home network
    ra(plen=129)
    ra(lifetime=0)
    bad.router = SITE_A
    bad.advertise()
    a.bound()
    assert a.mr.status()["care_of"] == AT_A
    ra(src="fe80::bad", lifetime=0, prefix=SITE_A.prefix[:-3])
    addresses = a.net["mr"].out("ip -6 -o addr show dev eth0")
    assert "2001:db8:bad" not in addresses and "2001:db8:d:" not in addresses
    assert {p.src for p in a.site.updates()} == {AT_A}
    a.goes_through_tunnel(AT_A)


@pytest.mark.bonding
def test_notify_peers_is_a_migration(engine, tmp_path):
    """What a guest is told on its first instruction after a live migration."""
    net, world = wide.build([1], engine, str(tmp_path), bonded=[1])
    with net:
        mr = world.mr[1]
        world.move(1, to="komatsu")
        moved = mr.wait_event("mr.moved", 10)
        if moved["care_of"].startswith("2001:200:0:1c0a:"):  # the start, told a little later
            moved = mr.wait_event("mr.moved", 10)
        assert "migration" in moved["text"] and moved["care_of"].startswith("2001:200:0:1400:")
        mr.wait_event("mr.registered", 10)
        world.leaks.check(saw_tunnel=False)


# --- two uplinks ---


def test_the_preferred_usable_uplink_is_used(away):
    uplinks = [{"interface": "eth0", "preference": 10}, {"interface": "eth2", "preference": 20}]
    a = away(uplinks=uplinks)
    better = a.second_uplink()
    at_b = "2001:db8:b::ff:fe00:2"
    a.start()
    a.mr.wait_status(lambda s: s["state"] == "bound" and s["care_of"] == at_b, "bound at eth2")
    a.goes_through_tunnel(at_b, better)
    a.carrier(False, "eth2")
    a.mr.wait_status(lambda s: s["state"] == "bound" and s["care_of"] == AT_A, "bound at eth0")
    a.goes_through_tunnel(AT_A)
    a.carrier(True, "eth2")
    a.mr.wait_status(lambda s: s["state"] == "bound" and s["care_of"] == at_b, "back at eth2")
    a.goes_through_tunnel(at_b, better)
    assert a.leaks() == []


# --- duplicate addresses ---


def test_a_taken_care_of_address_is_replaced_and_the_new_one_registered(away):
    """RFC 4862 s5.4.5: someone defends it; another one is made."""
    a = away()
    a.site.taken = (AT_A,)
    a.start()
    failed = a.mr.wait_event("mr.dad_failed", 6)
    assert failed["care_of"] == AT_A and a.site.defended
    a.mr.wait_status(lambda s: s["state"] == "bound" and s["care_of"] != AT_A, "another one", 6)
    new = a.mr.status()["care_of"]
    assert new.startswith("2001:db8:a:") and new != AT_A
    assert a.site.updates()[-1].src == new
    assert f"{AT_A}/" not in a.net["mr"].out("ip -6 addr show dev eth0")
    a.goes_through_tunnel(new)
    assert a.leaks() == []


# --- nothing leaks ---


def test_nothing_of_the_network_is_ever_seen_outside_the_tunnel(away):
    """While looking for a site, registering, moving, without a home agent, after the end."""
    a = away(lifetime=4)
    a.site.router = None
    packets = [echo(HOST, CLIENT), echo(HOST, "2001:db8:a::99"), echo(HOST, HA), echo(HOST, "fe80::1")]

    def stage(name):
        a.talk(*packets)
        assert a.leaks() == [], name

    a.start()
    stage("no router")
    a.site.home_agent = silent
    a.site.router = SITE_A
    a.site.advertise()
    a.site.wait_update("Binding Update")
    stage("registering")
    a.site.home_agent = accept
    a.bound()
    stage("bound")
    a.site.wait("there was traffic", proto=TUNNEL)
    a.net["mr"].run(f"ping -6 -c 1 -W 1 -I {HOA} {HA}", check=False)
    stage("the router's own, from its home address to the home agent")
    a.carrier(False)
    stage("no carrier")
    a.mr.wait_event("mr.lost", 5)
    stage("known to be lost")
    mark = a.site.mark()
    a.site.home_agent = silent
    a.site.router = SITE_B
    a.carrier(True)
    a.site.wait("update", mark, mh=BU)
    stage("registering at B")
    a.mr.wait_event("mr.expired", 8)
    stage("binding over")
    a.site.home_agent = accept
    a.bound()
    stage("bound again")
    a.mr.stop()
    stage("after the end")
    a.mr.start()
    a.bound()
    stage("started again")
    a.mr.stop(signal.SIGKILL)
    stage("after a crash")
    a.site.router = SITE_A
    a.carrier(False)
    a.carrier(True)
    a.site.advertise()
    stage("moved after a crash")


def test_a_spoofed_source_goes_nowhere(away):
    """RFC 3963 s9: neither into the tunnel nor out in clear, nor to another link."""
    a = away().start().bound()
    mark = a.site.mark()
    a.net["mr"].batch(["addr add 2001:db8:d:1::77/64 dev eth1 nodad"])  # while it runs
    wait_for(lambda: "2001:db8:d:1::77" in a.net["mr"].out("ip -6 rule"), 3, "a rule for it")
    own = HOA, INNER, "2001:db8:d:1::77"
    for source in "2001:db8:bad::1", AT_A, CLIENT, "2001:db8:d:2::1", HA, "fd00::1", *own:
        a.talk(echo(source, CLIENT, b"spoofed"))
    a.net["mr"].batch(["addr del 2001:db8:d:1::77/64 dev eth1"])
    wait_for(lambda: "2001:db8:d:1::77" not in a.net["mr"].out("ip -6 rule"), 3, "the rule to go")
    a.host.send(echo("2001:db8:d:1::77", CLIENT, b"a host's now"))
    a.site.wait("what it may send", mark, test=lambda p: b"a host's now" in p.data, proto=TUNNEL)
    a.host.send(echo(HOST, CLIENT, b"true"))
    a.site.wait("the true one", mark, test=lambda p: b"true" in p.data, proto=TUNNEL)
    assert [p for p in a.site.packets(mark) if b"spoofed" in p.data] == []


def test_the_visited_network_can_not_send_into_the_mobile_one(away):
    """Only the home agent's tunnel leads in: outer source, inner destination."""
    a = away().start().bound()
    outer, inner = a.counter("rx_outer_source"), a.counter("rx_inner_dest")
    mark = a.host.mark()
    router = SITE_A.mac
    a.site.send(echo("2001:db8:a::99", HOST, b"clear"), mac=router)
    a.site.send(in_tunnel("2001:db8:a::99", AT_A, echo(CLIENT, HOST, b"stranger")), mac=router)
    a.site.send(in_tunnel(HA, AT_A, echo(CLIENT, "2001:db8:d:2::9", b"not ours")), mac=router)
    a.site.send(in_tunnel(HA, AT_A, echo(CLIENT, HOST, b"right")), mac=router)
    a.host.wait("the right one", mark, test=lambda p: b"right" in p.data)
    assert [p for p in a.host.packets(mark, icmp=128) if b"right" not in p.data] == []
    assert a.counter("rx_outer_source") == outer + 1
    assert a.counter("rx_inner_dest") == inner + 1
    assert a.leaks() == []


def test_towards_the_visited_network_it_is_a_host(away):
    """RFC 3963 s5.6, s5.7: no all-routers group, no RA; NS for the care-of address is answered.
    What belongs to this link never has a Home Address option (RFC 6275 s11.3.1, s11.3.4)."""
    a = away().start().bound()
    groups = a.net["mr"].out("ip -6 maddr show dev eth0").split()
    assert "ff02::2" not in groups and "ff01::2" not in groups and "ff05::2" not in groups
    assert "ff02::2" in a.net["mr"].out("ip -6 maddr show dev eth1").split(), "inside it is a router"
    mark = a.site.mark()
    a.site.send(s6.IPv6(src=SITE_A.lladdr, dst="ff02::2", hlim=255) / s6.ICMPv6ND_RS(),
                mac=SITE_A.mac, to="33:33:00:00:00:02")
    ns = s6.IPv6(src=SITE_A.lladdr, dst=AT_A, hlim=255) / s6.ICMPv6ND_NS(tgt=AT_A)

    def answers():  # the kernel does when its worker has seen to the address, and may be late
        a.site.send(ns / s6.ICMPv6NDOptSrcLLAddr(lladdr=SITE_A.mac), mac=SITE_A.mac)
        return a.site.packets(mark, icmp=136)

    assert wait_for(answers, 3, "advertisement of the care-of address")[0].ip[s6.ICMPv6ND_NA].tgt == AT_A
    assert a.site.packets(icmp=134) == []
    a.site.wait("group membership", test=lambda p: p.dst == "ff02::16")
    assert {p.dst for p in a.site.packets() if s6.HAO in p.ip} == {HA}
    assert not [p for p in a.site.packets(proto=TUNNEL) if p.ip.payload.dst.startswith("ff")]


# --- with a real home agent, real access routers and traffic ---


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """MR-1 and MR-2 of the WIDE Cloud testbed, at Nezu."""
    net, world = wide.build([1, 2], "auto", str(tmp_path_factory.mktemp("wide")))
    yield world
    net.close()


@contextlib.contextmanager
def traffic(world, n):
    """UDP and TCP from the client to a host of MR-n; afterwards TCP must be whole."""
    server = Server(world.net, f"host{n}", 5000 + now_ns() % 1000)
    probe = UdpProbe(world.net, "client", wide.inside(n, 2), server)
    tcp = TcpTransfer(world.net, "client", wide.inside(n, 2), server)
    probe.wait_flowing()
    tcp.wait_flowing()
    yield probe
    result = tcp.stop()
    probe.stop()
    server.stop()
    assert not result["broken"] and not result["corrupt"], result
    assert result["sent"] == result["received"] > 0


@pytest.mark.parametrize("carrier", [True, False])
def test_connections_survive_a_move(world, carrier):
    """With a carrier change, and without, told by the orchestrator."""
    mr = world.mr[1]
    with traffic(world, 1) as probe:
        for site in "komatsu", "nezu":
            mr.events.forget()
            world.move(1, to=site, carrier=carrier)
            if not carrier:
                mr.ask("rehome")
            mr.wait_event("mr.registered", 10)
            probe.wait_flowing(5)
            assert mr.status()["care_of"].startswith(wide.SITES[site]["prefix"].split("::")[0])
    world.leaks.check()


def test_a_silent_home_agent_for_a_while_breaks_nothing(world):
    """Stopped, not ended: the tunnel is the kernel's, and a refresh comes through later."""
    with traffic(world, 1) as probe:
        world.ha.proc.send_signal(signal.SIGSTOP)
        world.mr[1].ask("rehome")
        probe.wait_flowing(5)
        world.ha.proc.send_signal(signal.SIGCONT)
        probe.wait_flowing(5)
    world.leaks.check()


def test_a_crashed_mobile_router_comes_back_to_its_binding(world):
    mr = world.mr[2]
    with traffic(world, 2) as probe:
        mr.stop(signal.SIGKILL)
        probe.wait_flowing(5)
        mr.start()
        mr.wait_bound()
        probe.wait_flowing(5)
    world.leaks.check()

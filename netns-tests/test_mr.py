"""A mobile router against an access router and a home agent made by hand, which can be silent,
wrong, hostile or somewhere else at any moment; and against real ones.

    host  2001:db8:d:1::2
      |
    eth1  2001:db8:d:1::1    mobile network 2001:db8:d:1::/64
    mr                       home address 2001:db8:d::1
    eth0                     02:00:00:00:00:01
      |
    wire   scapy: an access router of 2001:db8:a::/64 (site A) or 2001:db8:b::/64 (site B),
           and behind it the home agent 2001:db8:ffff::1
"""

import contextlib
import os
import select
import signal
import time

import pytest
from scapy.layers import inet6 as s6

from lib import wide
from lib.daemon import BUILD, Daemon
from lib.mipv6 import (
    BE, BU, TUNNEL, Fake, Router, Wire, accept, ba, chain, checksum_is_right, echo, in_tunnel, mac_of,
    option_offsets, options_of, raw_mh, reject, rh2, silent, tshark,
)
from lib.topo import Link, Node, Topology
from lib.traffic import Server, TcpTransfer, UdpProbe, now_ns
from lib.wait import PATIENCE, wait_for

# What messages and keys decide; the kernel sees no more of it than in other tests.
PROTOCOL = pytest.mark.novm("the protocol decides, whatever the kernel")

HA, HOA, MNP, AGGREGATE = "2001:db8:ffff::1", "2001:db8:d::1", "2001:db8:d:1::/64", "2001:db8:d:"
HOST, INNER, CLIENT = "2001:db8:d:1::2", "2001:db8:d:1::1", "2001:db8:c::2"
MAC, IID = "02:00:00:00:00:01", "ff:fe00:1"
SITE_A = Router("2001:db8:a::/64", "02:00:00:00:00:aa")
SITE_B = Router("2001:db8:b::/64", "02:00:00:00:00:bb", "fe80::b")
AT_A, AT_B = f"2001:db8:a::{IID}", f"2001:db8:b::{IID}"
MS = 1_000_000

TOPOLOGY = Topology(
    nodes=[
        Node("host", routes=[f"default via {INNER}"]),
        Node("mr", forward=True, sysctl={"net.ipv6.icmp.ratelimit": 0}),
        Node("wire"),
    ],
    links=[
        Link("mr:eth0", "wire:eth0", real_dad=True, mac=MAC),
        Link("mr:eth2", "wire:eth2", real_dad=True, mac="02:00:00:00:00:02"),
        Link("host:eth0", "mr:eth1", [f"{HOST}/64"], [f"{INNER}/64"]),
    ],
)

CONF = {
    "name": "MR-1",
    "home_address": HOA,
    "home_agents": [HA],
    "uplinks": [{"interface": "eth0"}],
    "networks": [{"prefix": MNP, "interface": "eth1"}],
    "router_check_ms": 0,
    "retransmit_ms": 150 * PATIENCE if PATIENCE > 1 else 500,  # who answers is slower than a home agent
}


class Away:
    """The mobile router and the world around it."""

    def __init__(self, net, **conf):
        self.net = net
        self.site = Fake(net, "wire", "eth0", MAC, SITE_A, HA)
        self.host = Wire(net, "host", "eth0", mac_of(net, "mr", "eth1"))
        self.mr = Daemon(net, "mr", "nemo-mr", {**CONF, **conf})
        self.fakes = [self.site]

    def start(self):
        """The router is there only when somebody listens to the daemon's events."""
        router, self.site.router = self.site.router, None
        self.mr.start()
        assert select.select([self.mr.events.socket], [], [], 5)[0], "no answer to 'monitor'"
        self.site.router = router
        if router:
            self.site.advertise()
        return self

    def settled(self):
        """The uplink's link-local address has passed duplicate address detection."""
        def done():
            text = self.net["mr"].out("ip -6 addr show dev eth0 scope link")
            return "fe80" in text and "tentative" not in text and "optimistic" not in text

        wait_for(done, 5, "link-local address")
        return self

    def bound(self):
        self.mr.wait_bound(5)
        return self

    def second_uplink(self, router=SITE_B):
        fake = Fake(self.net, "wire", "eth2", "02:00:00:00:00:02", router, HA)
        self.fakes.append(fake)
        return fake

    def close(self):
        for fake in self.fakes:
            fake.close()
        self.host.close()

    def counter(self, name):
        return next(c["value"] for c in self.mr.ask("stats")["counters"] if c["name"] == name)

    def carrier(self, up, interface="eth0"):
        self.net["wire"].batch([f"link set {interface} {'up' if up else 'down'}"])

    def talk(self, *packets):
        """The host sends these; returns when the mobile router has done with them."""
        mark = self.host.mark()
        for packet in packets:
            self.host.send(packet)
        self.host.send(echo(HOST, INNER, b"end mark"))
        self.host.wait("the router's answer", mark, src=INNER, icmp=129)
        return mark

    def goes_through_tunnel(self, coa, fake=None):
        """Both ways, between the care-of address and the home agent."""
        fake = fake or self.site
        mark, at_host = fake.mark(), self.host.mark()
        self.host.send(echo(HOST, CLIENT))
        out = fake.wait("the packet in the tunnel", mark, proto=TUNNEL).ip
        assert (out.src, out.dst) == (coa, HA)
        assert (out.payload.src, out.payload.dst) == (HOST, CLIENT)
        fake.send(in_tunnel(HA, coa, echo(CLIENT, HOST, reply=True)), mac=fake.router.mac)
        self.host.wait("the answer", at_host, src=CLIENT, icmp=129)

    def leaks(self):
        """Packets of the mobile network outside of a tunnel, on any uplink, from the beginning."""
        return [
            p for fake in self.fakes for p in fake.packets()
            if p.proto != TUNNEL and (p.src.startswith(AGGREGATE) or p.dst.startswith(AGGREGATE))
        ]


@pytest.fixture
def away(make_net):
    """away(setting=value, ...): a mobile router, not started yet."""
    made = []

    def make(**conf):
        made.append(Away(make_net(TOPOLOGY), **conf))
        return made[-1]

    yield make
    for a in made:
        a.mr.stop(signal.SIGKILL)
        a.close()


# --- the Binding Update on the wire ---


def test_the_first_update(away):
    """RFC 6275 s6.1.7, s11.7.1; RFC 3963 s4.1, s4.3, s5.2."""
    networks = [{"prefix": f"2001:db8:d:{n}::/64", "interface": "eth1"} for n in (1, 2, 3)]
    a = away(networks=networks, lifetime=240).start().bound()
    update = a.site.wait_update("Binding Update").ip
    message = update[s6.MIP6MH_BU]
    assert (update.src, update.dst, update.hlim) == (AT_A, HA, 64)
    assert chain(update) == [60, 135], "IPv6, destination options, Mobility Header"
    assert update[s6.HAO].hoa == HOA
    assert bytes(update)[40 + 6] == 201, "the HAO at 8n+6 of its header"
    assert (message.nh, message.mhtime * 4) == (59, 240)
    assert bytes(message)[8:10] == b"\xc4\x00", "A, H and R, nothing else"
    assert [o.acoa for o in options_of(message, s6.MIP6OptAltCoA)] == [AT_A]
    named = options_of(message, s6.MIP6OptMobNetPrefix)
    assert [(o.prefix, o.plen, o.reserved) for o in named] == [
        (f"2001:db8:d:{n}::", 64, 0) for n in (1, 2, 3)
    ]
    places = option_offsets(message)
    assert [kind for kind, _ in places] == [3, 6, 6, 6]
    assert [at % 8 for _, at in places] == [6, 4, 4, 4]
    assert len(bytes(message)) == (message.len + 1) * 8
    assert checksum_is_right(update)
    [row] = tshark(
        a.net, [update], "mip6.bu.a_flag", "mip6.bu.h_flag", "mip6.bu.l_flag", "mip6.bu.k_flag",
        "mip6.nemo.bu.r_flag", "mip6.bu.lifetime", "mip6.bu.seqnr", "ipv6.opt.mipv6.home_address",
        "mip6.acoa.acoa", "mip6.nemo.mnp.mnp", "mip6.nemo.mnp.pfl", "_ws.malformed", "_ws.expert",
    )
    assert [c[0] in ("1", "True") for c in row[:5]] == [True, True, False, False, True]
    assert row[5:] == [
        ["60"], [str(message.seq)], [HOA], [AT_A], [f"2001:db8:d:{n}::" for n in (1, 2, 3)],
        ["64"] * 3, [], [],
    ]


def test_l_is_set_where_the_home_address_has_the_link_local_one_s_identifier(away):
    """RFC 6275 s11.7.1."""
    a = away(home_address=f"2001:db8:d::{IID}").start().bound()
    assert bytes(a.site.wait_update("Binding Update").ip[s6.MIP6MH_BU])[8:10] == b"\xe4\x00"


@PROTOCOL
def test_implicit_mode_names_no_network(away):
    """RFC 3963 s5.2: R = 1 all the same."""
    a = away(mode="implicit").start().bound()
    message = a.site.wait_update("Binding Update").ip[s6.MIP6MH_BU]
    assert options_of(message, s6.MIP6OptMobNetPrefix) == []
    assert bytes(message)[8:10] == b"\xc4\x00"


def windows(times, length_ns):
    """How many of these times are in the fullest window of this length."""
    return max(sum(1 for t in times if start <= t < start + length_ns) for start in times)


@PROTOCOL
def test_updates_are_repeated_with_doubling_waits_and_new_numbers(away):
    """RFC 6275 s11.8; 150 ms first, at most three in a second."""
    a = away(retransmit_ms=150)
    a.site.home_agent = silent
    a.start()
    wait_for(lambda: len(a.site.updates()) >= 5, 8, "five updates")
    updates = a.site.updates()[:5]
    times = [p.time for p in updates]
    gaps = [(b - a) / MS for a, b in zip(times, times[1:])]
    for gap, wanted in zip(gaps, (150, 300, 600, 1200)):
        assert wanted / 2 < gap < wanted * 2, gaps
    assert windows(times, 1000 * MS) <= 3
    numbers = [p.ip[s6.MIP6MH_BU].seq for p in updates]
    assert [(b - a) % 65536 for a, b in zip(numbers, numbers[1:])] == [1] * 4
    assert a.mr.status()["state"] == "registering"
    a.site.home_agent = accept
    a.bound()


@pytest.mark.novm("judged by times on the wire, which emulation distorts")
def test_three_updates_in_a_second_are_the_most_over_all_moves(away):
    """RFC 6275 s11.8, MAX_UPDATE_RATE."""
    a = away().start().bound()
    a.mr.wait_event("mr.registered", 5)  # what is told of a move comes after it: not in the midst of the next
    start = now_ns()
    moves = 0
    while now_ns() - start < 2500 * MS:
        a.site.router = SITE_B if a.site.router is SITE_A else SITE_A
        a.mr.events.forget()
        a.mr.ask("rehome")
        a.mr.wait_event("mr.moved", 5)
        moves += 1
    assert moves > 6
    times = [p.time for p in a.site.updates()]
    assert windows(times, 1000 * MS) <= 3, [t / MS for t in times]


@PROTOCOL
def test_a_binding_is_refreshed_before_it_ends(away):
    """The shortest lifetime, 4 s: the next update comes after half of it and before its end."""
    a = away(lifetime=4).start().bound()
    first = a.site.wait_update("Binding Update")
    mark = a.site.mark()
    second = a.site.wait_update("refresh", mark, 5)
    assert 2000 < (second.time - first.time) / MS < 4000
    assert options_of(second.ip[s6.MIP6MH_BU], s6.MIP6OptMobNetPrefix), "all of them, each time"
    a.mr.wait_event("mr.refreshed", 3)
    assert a.mr.status()["state"] == "bound"


# --- acknowledgements ---


@PROTOCOL
@pytest.mark.parametrize("status", [129, 133, 174])
def test_a_refused_registration_is_tried_again_later(away, status):
    """RFC 6275 s11.7.3: not at once, and not never."""
    a = away()
    a.site.home_agent = reject(status)
    a.start()
    event = a.mr.wait_event("mr.retry", 5, status=status)
    assert a.mr.status()["last_status"] == status
    first = a.site.wait_update("Binding Update")
    assert a.mr.status()["state"] == "waiting to retry", event
    a.site.home_agent = accept
    a.mr.wait_event("mr.registered", 6)
    assert a.site.updates()[-1].time - first.time > 1000 * MS


@PROTOCOL
@pytest.mark.parametrize("status", [134, 140, 141, 142, 143])
def test_a_fatal_answer_stops_registration_until_the_operator_acts(away, status):
    """RFC 3963 s5.4, RFC 6275 s11.7.3 for 134."""
    a = away()
    a.site.home_agent = reject(status)
    a.start()
    a.mr.wait_event("mr.refused", 5, status=status)
    assert a.mr.status()["state"] == "refused"
    assert len(a.site.updates()) == 1
    a.site.advertise()
    a.talk(echo(HOST, CLIENT))
    assert len(a.site.updates()) == 1
    a.site.home_agent = accept
    a.mr.ask("rehome")
    a.mr.wait_event("mr.registered", 5)


@pytest.mark.parametrize("status", [141, 142])
def test_refused_prefixes_are_withdrawn_by_the_operators_program(away, status, tmp_path):
    """RFC 3963 s5.4.2: no longer advertised, until a home agent accepts them."""
    told, program = tmp_path / "told", tmp_path / "hook"
    program.write_text(f'#!/bin/sh\n(true; echo "$@") >> {told}\n')
    program.chmod(0o755)
    a = away(prefix_hook=str(program))
    a.site.home_agent = reject(status)
    a.start()
    a.mr.wait_event("mr.refused", 5, status=status)
    lines = lambda: told.read_text().splitlines() if told.exists() else []
    wait_for(lambda: lines() == [f"withdraw {MNP} eth1"], 3, lines)
    a.site.home_agent = accept
    a.mr.ask("rehome")
    a.mr.wait_event("mr.registered", 5)
    wait_for(lambda: lines() == [f"withdraw {MNP} eth1", f"restore {MNP} eth1"], 3, lines)


@PROTOCOL
@pytest.mark.parametrize("status", [141, 142])
def test_auto_mode_goes_from_explicit_to_implicit(away, status):
    """RFC 3963 s5.4.2."""
    a = away(mode="auto")
    a.site.home_agent = reject(status)
    a.start()
    a.mr.wait_event("mr.retry", 5, status=status)
    a.site.home_agent = accept
    a.mr.wait_event("mr.registered", 5)
    updates = [p.ip[s6.MIP6MH_BU] for p in a.site.updates()]
    explicit, implicit = updates[0], updates[-1]
    assert options_of(explicit, s6.MIP6OptMobNetPrefix)
    assert not options_of(implicit, s6.MIP6OptMobNetPrefix)
    assert a.mr.status()["mode"] == "implicit"


@PROTOCOL
def test_status_135_is_answered_with_the_home_agents_next_number(away):
    """RFC 6275 s11.7.3: at once."""
    a = away()

    def behind(fake, packet):  # it remembers a number 100 ahead
        first = fake.updates()[0].ip[s6.MIP6MH_BU].seq
        ours, last = packet.ip[s6.MIP6MH_BU].seq, (first + 100) % 65536
        return accept(fake, packet) if ours == last + 1 else accept(fake, packet, status=135, seq=last)

    a.site.home_agent = behind
    a.start()
    a.bound()
    first, *repeated, last = a.site.updates()  # repeated: on a slow machine, before the answer
    seq = [p.ip[s6.MIP6MH_BU].seq for p in (first, last)]
    assert seq[1] == (seq[0] + 101) % 65536
    assert repeated or last.time - first.time < 150 * MS


@pytest.mark.novm("judged by times on the wire, which emulation distorts")
def test_status_139_leads_to_a_deregistration_first(away):
    """RFC 3963 s5.2: another type of registration lives there."""
    a = away(retransmit_ms=2000)
    a.site.home_agent = lambda f, p: accept(f, p, status=139 if len(f.updates()) == 1 else 0)
    a.start()
    a.bound()
    times = [p.ip[s6.MIP6MH_BU].mhtime for p in a.site.updates()]
    assert times[0] > 0 and times[1] == 0 and times[2] > 0


def test_a_home_agent_without_network_mobility_is_left(away):
    """RFC 3963 s5.3: R = 0 in a positive answer; de-register before anything else."""
    other = "2001:db8:ffff::2"
    a = away(home_agents=[HA, other])
    a.site.home_agent = lambda f, p: accept(f, p, flags="")
    a.start()
    a.site.wait_update("registration", mhtime=150)
    a.site.wait_update("de-registration", mhtime=0)
    a.mr.wait_event("mr.closed", 5)
    assert a.mr.status()["state"] != "bound"


@PROTOCOL
def test_a_silent_home_agent_is_not_the_last(away):
    """Of two home agents the refusing one is followed by the other (131, RFC 6275 s11.4.1)."""
    other = "2001:db8:ffff::2"
    a = away(home_agents=[HA, other])
    a.site.home_agent = reject(131)
    a.start()
    a.mr.wait_event("mr.retry", 5, status=131)
    update = a.site.wait("update to the other", dst=other, mh=BU)
    assert update.src == AT_A


def test_who_holds_the_binding_is_asked_first(away):
    """RFC 6275 s11.4.1: after its refusal another is tried, but a move begins with it again."""
    other = "2001:db8:ffff::2"
    a = away(home_agents=[HA, other], next_home_agent_ms=300).start().bound()
    a.site.home_agent = reject(129)
    a.site.router = SITE_B
    a.mr.ask("rehome")
    a.mr.wait_event("mr.retry", 5, status=129)
    a.site.wait("update to the other", dst=other, mh=BU, src=AT_B)
    mark = a.site.mark()
    a.site.home_agent = accept
    a.site.router = SITE_A
    a.mr.ask("rehome")
    moved_to(a, AT_A, mark)
    assert a.site.packets(mark, mh=BU)[0].dst == HA
    assert a.mr.status()["home_agent"] == HA


FOREIGN = {
    "another number": ("ba_unmatched", lambda u: ba(HA, AT_A, HOA, u.seq + 7)),
    "another number, refusing": ("ba_unmatched", lambda u: ba(HA, AT_A, HOA, u.seq + 7, status=142)),
    "not from the home agent": ("mh_foreign", lambda u: ba("2001:db8:bad::1", AT_A, HOA, u.seq)),
    "another home address": ("mh_foreign", lambda u: ba(HA, AT_A, "2001:db8:d::2", u.seq)),
    "no routing header": ("mh_foreign", lambda u: s6.IPv6(src=HA, dst=AT_A) / s6.MIP6MH_BA(
        seq=u.seq, flags="R", mhtime=150)),
    "wrong checksum": ("mh_bad_checksum", lambda u: broken(ba(HA, AT_A, HOA, u.seq))),
    "correspondent's message": ("mh_unexpected", lambda u: s6.IPv6(src=HA, dst=AT_A) / s6.
                                IPv6ExtHdrRouting(type=2, segleft=1, addresses=[HOA]) / s6.MIP6MH_HoTI()),
}


def broken(packet):
    packet = s6.IPv6(bytes(packet))
    packet[s6.MIP6MH_BA].cksum ^= 1
    return packet


@PROTOCOL
def test_answers_that_are_not_for_this_update_are_ignored(away):
    """RFC 6275 s11.7.3, HOSTILE 13: one after the other, each counted, none believed."""
    a = away(retransmit_ms=8000)
    a.site.home_agent = silent
    a.start()
    update = a.site.wait_update("Binding Update").ip[s6.MIP6MH_BU]
    for name, (counter, make) in FOREIGN.items():
        before = a.counter(counter)
        a.site.send(make(update), mac=SITE_A.mac)
        wait_for(lambda: a.counter(counter) == before + 1, 3, f"{name}: {counter}")
        assert a.mr.status()["state"] == "registering", name
    assert len(a.site.updates()) == 1, "no update because of them"
    a.site.send(ba(HA, AT_A, HOA, update.seq), mac=SITE_A.mac)
    a.bound()
    # And once more, with nothing outstanding: a late refusal ends nothing.
    before = a.counter("ba_unmatched")
    a.site.send(ba(HA, AT_A, HOA, update.seq, status=142), mac=SITE_A.mac)
    a.site.send(ba(HA, AT_A, HOA, 1, status=135), mac=SITE_A.mac)
    wait_for(lambda: a.counter("ba_unmatched") == before + 2, 3, "both counted")
    assert a.mr.status()["state"] == "bound"
    a.goes_through_tunnel(AT_A)


# --- the end ---


def test_sigterm_deregisters(away):
    """RFC 3963 s5.8: lifetime 0 and no network options; RFC 6275 s11.7.1."""
    a = away().start().bound()
    a.goes_through_tunnel(AT_A)
    mark = a.site.mark()
    assert a.mr.stop() == 0
    goodbye = a.site.wait_update("de-registration", mark)
    message = goodbye.ip[s6.MIP6MH_BU]
    assert message.mhtime == 0 and options_of(message, s6.MIP6OptMobNetPrefix) == []
    assert bytes(message)[8:10] == b"\xc4\x00"
    assert goodbye.src == AT_A and goodbye.ip[s6.HAO].hoa == HOA
    assert len(a.site.updates(mark)) == 1, "answered, so not repeated"
    assert "nemo0" not in a.net["mr"].out("ip -br link")
    assert AT_A not in a.net["mr"].out("ip -6 addr show dev eth0")
    mark = a.talk(echo(HOST, CLIENT))
    a.host.wait("unreachable", mark, icmp=1)
    assert a.leaks() == []


def test_sigterm_ends_without_an_answer_too(away):
    a = away().start().bound()
    a.site.home_agent = silent
    mark = a.site.mark()
    assert a.mr.stop() == 0
    assert [p.ip[s6.MIP6MH_BU].mhtime for p in a.site.updates(mark)] == [0, 0, 0]


@pytest.mark.parametrize("how", ["option -k", "control socket"])
def test_a_kept_tunnel_carries_traffic_without_the_daemon(away, how, tmp_path):
    """For a restart: nothing is said to the home agent, and nothing is lost."""
    a = away()
    if how == "option -k":
        script = tmp_path / "keeping"
        script.write_text(f'#!/bin/sh\nexec {os.path.join(BUILD, "nemo-mr")} -k "$@"\n')
        script.chmod(0o755)
        a.mr.program = str(script)
    a.start().bound()
    a.goes_through_tunnel(AT_A)
    mark = a.site.mark()
    if how == "control socket":
        a.mr.ask("stop", keep=True)
    assert a.mr.stop() == 0
    a.goes_through_tunnel(AT_A)
    assert a.site.updates(mark) == []
    a.mr.start()
    a.goes_through_tunnel(AT_A)
    a.bound()
    a.goes_through_tunnel(AT_A)
    assert a.site.updates(mark)[0].ip[s6.MIP6MH_BU].mhtime > 0
    assert a.leaks() == []


# --- what the home agent says unasked ---


def brr(how):
    """A Binding Refresh Request: RFC 6275 s6.1 forbids the routing header, some use it."""
    request = s6.MIP6MH_BRR()
    if how == "through the tunnel":
        return in_tunnel(HA, AT_A, s6.IPv6(src=HA, dst=HOA) / request)
    if how == "by routing header":
        return s6.IPv6(src=HA, dst=AT_A) / rh2(HOA) / request
    return s6.IPv6(src=HA, dst=HOA) / request


@pytest.mark.parametrize("how", ["through the tunnel", "by routing header", "to the home address"])
def test_a_refresh_request_is_answered_with_an_update(away, how):
    """RFC 6275 s8.5, s11.7.4."""
    a = away().start().bound()
    first = a.site.wait_update("Binding Update")
    wait_for(lambda: time.time_ns() - first.time > 1100 * MS, 5, "a second after the last update")
    mark, at_host = a.site.mark(), a.host.mark()
    a.site.send(brr(how), mac=SITE_A.mac)
    a.site.wait_update("update that was asked for", mark)
    a.mr.wait_event("mr.asked", 3)
    a.mr.wait_event("mr.refreshed", 3)
    assert a.host.packets(at_host, mh=0) == []
    assert [p for p in a.site.packets(mark) if p.icmp in (1, 4)] == [], "the kernel saw nothing"


def test_a_refresh_request_of_a_stranger_is_not_answered(away):
    """RFC 6275 s11.7.4: nodes out of the Binding Update List."""
    a = away().start().bound()
    mark, foreign = a.site.mark(), a.counter("mh_foreign")
    a.site.send(s6.IPv6(src="2001:db8:bad::1", dst=AT_A) / rh2(HOA) / s6.MIP6MH_BRR(), mac=SITE_A.mac)
    a.site.send(in_tunnel("2001:db8:bad::1", AT_A, s6.IPv6(src=HA, dst=HOA) / s6.MIP6MH_BRR()),
                mac=SITE_A.mac)
    wait_for(lambda: a.counter("mh_foreign") == foreign + 1, 3, "the first is counted")
    wait_for(lambda: a.counter("rx_outer_source") == 1, 3, "so is the second")
    assert a.site.updates(mark) == []


def test_a_binding_error_about_the_own_home_address_leads_to_an_update(away):
    """RFC 6275 s11.3.6; about another one it is not ours."""
    a = away().start().bound()
    first = a.site.wait_update("Binding Update")
    wait_for(lambda: time.time_ns() - first.time > 1100 * MS, 5, "a second after the last update")
    mark, foreign = a.site.mark(), a.counter("mh_foreign")
    a.site.send(s6.IPv6(src=HA, dst=AT_A) / s6.MIP6MH_BE(status=1, ha="2001:db8:d::2"), mac=SITE_A.mac)
    wait_for(lambda: a.counter("mh_foreign") == foreign + 1, 3, "counted")
    assert a.site.updates(mark) == []
    a.site.send(s6.IPv6(src=HA, dst=AT_A) / s6.MIP6MH_BE(status=1, ha=HOA), mac=SITE_A.mac)
    a.site.wait_update("registration anew", mark)
    a.mr.wait_event("mr.refreshed", 3)


def icmp_error(fake, packet):
    """A router on the way has no route to the home agent."""
    return [s6.IPv6(src="2001:db8:a::1", dst=packet.src) / s6.ICMPv6DestUnreach(code=0) / packet.ip]


def test_an_icmp_error_about_an_update_leads_to_the_next_home_agent(away):
    """RFC 6275 s8.5, s11.3.5: told, and the next one is asked as soon as this one has had its time, not
    only after 32 s of silence; the binding with it stays when an error quotes its updates."""
    a = away(home_agents=[HA, "2001:db8:ffff::2"])
    a.site.home_agent = icmp_error
    a.start()
    told = a.mr.wait_event("mr.retry", 5)
    assert "no route to it" in told["text"] and "next home agent" in told["text"]
    other = a.site.wait("an update to the next", dst="2001:db8:ffff::2", mh=BU, timeout=10)
    first = a.site.updates()[0]
    assert other.time - first.time > 1490 * MS, "it has its time, s11.4.1"
    assert a.counter("error_rx") >= 1
    a.site.home_agent, a.site.ha = accept, "2001:db8:ffff::2"
    a.mr.wait_bound()
    lost = a.counter("error_ignored")
    packet = first.ip
    a.site.send(s6.IPv6(src="2001:db8:a::1", dst=AT_A) / s6.ICMPv6DestUnreach(code=0) / packet,
                mac=SITE_A.mac)
    wait_for(lambda: a.counter("error_ignored") == lost + 1, 5, "an update long answered")
    assert a.mr.status()["state"] == "bound"


def test_messages_of_unknown_type_get_at_most_three_errors_a_second(away):
    """RFC 6275 s9.2, s11.2, s11.8."""
    a = away().start().bound()
    mark = a.site.mark()
    packet = raw_mh(HA, AT_A, None, 200, bytes(10))
    for _ in range(40):
        a.site.send(packet, mac=SITE_A.mac)
    wait_for(lambda: a.counter("mh_unknown_type") == 40, 5, "all are taken")
    errors = a.site.packets(mark, mh=BE)
    assert errors and windows([p.time for p in errors], 1000 * MS) <= 3
    assert (errors[0].src, errors[0].dst) == (AT_A, HA)
    assert errors[0].ip[s6.MIP6MH_BE].status == 2


def to_home(inner, address=HOA, left=1, kind=2):
    """As a home agent sends its own packets: by way of the care-of address (RFC 6275 s9.3.2)."""
    inner = s6.IPv6(bytes(inner))
    header = s6.IPv6ExtHdrRouting(type=kind, segleft=left, addresses=[address])
    return s6.IPv6(src=inner.src, dst=AT_A) / header / inner.payload


def test_a_routing_header_leads_to_the_home_address(away):
    """RFC 6275 s6.4, s8.5, s11.3.3, whatever follows it; the answer goes through the tunnel."""
    a = away().start().bound()
    mark, before = a.site.mark(), a.counter("home_rx")
    a.site.send(to_home(echo(HA, HOA, b"routed")), mac=SITE_A.mac)
    reply = a.site.wait("the answer", mark, test=lambda p: b"routed" in p.data).ip
    assert (reply.src, reply.dst, reply.nh) == (AT_A, HA, TUNNEL)
    assert (reply.payload.src, reply.payload.dst) == (HOA, HA)
    assert reply.payload.nh == 58 and s6.ICMPv6EchoReply in reply, "no routing header, reversed"
    assert a.counter("home_rx") == before + 1
    assert a.leaks() == []


def test_routing_headers_that_lead_elsewhere_are_dropped_in_silence(away):
    """RFC 6275 s11.3.3."""
    a = away().start().bound()
    mark, at_host, foreign = a.site.mark(), a.host.mark(), a.counter("home_foreign")
    request = echo(HA, HOA, b"routed")
    a.site.send(to_home(request, HOST), mac=SITE_A.mac)
    a.site.send(to_home(request, "2001:db8:d::2"), mac=SITE_A.mac)
    wait_for(lambda: a.counter("home_foreign") == foreign + 2, 3, "both are counted")
    bad = a.counter("mh_bad_chain")
    a.site.send(to_home(request, left=2), mac=SITE_A.mac)
    wait_for(lambda: a.counter("mh_bad_chain") == bad + 1, 3, "so is this one")
    a.talk()
    assert [p for p in a.site.packets(mark) if p.icmp in (1, 4) or b"routed" in p.data] == []
    assert [p for p in a.host.packets(at_host) if b"routed" in p.data] == []


# --- movement ---


def moved_to(a, coa, mark):
    """Registered from 'coa', and traffic goes there."""
    update = a.site.wait(f"update from {coa}", mark, src=coa, mh=BU)
    assert options_of(update.ip[s6.MIP6MH_BU], s6.MIP6OptAltCoA)[0].acoa == coa
    a.mr.wait_status(lambda s: s["state"] == "bound" and s["care_of"] == coa, f"bound at {coa}", 5)
    a.goes_through_tunnel(coa)
    return update


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
    assert update.time - asked.time < 100 * MS, "RS, RA, BU without any waiting in between"
    assert asked.ip.hlim == 255 and asked.dst == "ff02::2" and asked.src.startswith("fe80:")
    tested = a.site.wait("duplicate address detection", mark, icmp=135, src="::",
                         test=lambda p: p.ip[s6.ICMPv6ND_NS].tgt == AT_B)
    assert abs(tested.time - update.time) < 100 * MS, "no random delay (RFC 6275 s11.5.3)"


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
    assert update.time - probe.time < 100 * MS
    assert a.mr.ask("handovers")[-1]["known_link"] is True


def test_a_link_visited_before_is_recognized_on_return(away):
    a = away().start().bound().settled()
    for site, coa in (SITE_B, AT_B), (SITE_A, AT_A):
        mark = a.site.mark()
        a.site.router = site
        a.site.answer_rs = site is SITE_B
        a.mr.ask("rehome")
        moved_to(a, coa, mark)


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
    a.site.send(
        s6.IPv6(src=SITE_A.lladdr, dst=AT_A, hlim=255) / s6.ICMPv6ND_NS(tgt=AT_A)
        / s6.ICMPv6NDOptSrcLLAddr(lladdr=SITE_A.mac), mac=SITE_A.mac)
    na = a.site.wait("advertisement of the care-of address", mark, icmp=136)
    assert na.ip[s6.ICMPv6ND_NA].tgt == AT_A
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
            start = now_ns()
            mr.events.forget()
            world.move(1, to=site, carrier=carrier)
            if not carrier:
                mr.ask("rehome")
            mr.wait_event("mr.registered", 10)
            probe.wait_flowing(5)
            assert mr.status()["care_of"].startswith(wide.SITES[site]["prefix"].split("::")[0])
            assert probe.flow("up").gap_ms(start, now_ns()) < 1000
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

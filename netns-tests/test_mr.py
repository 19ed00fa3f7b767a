"""A mobile router and its home agent, made by hand: updates, answers, the end, and what else comes to
it.  The network is lib/away.py's."""

import os
import time

import pytest
from scapy.layers import inet6 as s6

from lib.away import (  # noqa: F401 (with fixtures)
    AT_A, AT_B, CLIENT, HA, HOA, HOST, IID, MNP, MS, PROTOCOL, SITE_A, SITE_B, away, moved_to,
)
from lib.daemon import BUILD
from lib.mipv6 import (
    BE, BU, TUNNEL, accept, ba, chain, checksum_is_right, echo, in_tunnel, option_offsets,
    options_of, raw_mh, reject, rh2, silent, tshark,
)
from lib.wait import wait_for


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
        assert gap > wanted / 2, gaps
    assert windows(times, 700 * MS) <= 3
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
    for _ in range(12):
        a.site.router = SITE_B if a.site.router is SITE_A else SITE_A
        a.mr.events.forget()
        a.mr.ask("rehome")
        a.mr.wait_event("mr.moved", 5)
    times = [p.time for p in a.site.updates()]
    assert windows(times, 700 * MS) <= 3, [t / MS for t in times]  # on a busy machine, some leave late


@PROTOCOL
def test_a_binding_is_refreshed_before_it_ends(away):
    """The shortest lifetime, 4 s: the next update comes after half of it and before its end."""
    a = away(lifetime=4).start().bound()
    first = a.site.wait_update("Binding Update")
    mark = a.site.mark()
    second = a.site.wait_update("refresh", mark, 5)
    assert second.time - first.time > 1500 * MS
    assert options_of(second.ip[s6.MIP6MH_BU], s6.MIP6OptMobNetPrefix), "all of them, each time"
    a.mr.wait_event("mr.refreshed", 3)  # it was still bound
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
    a = away(retransmit_ms=5000)  # the home agent played here may be late, and updates are counted
    a.site.home_agent = reject(status)
    a.start()
    a.mr.wait_event("mr.refused", 5, status=status)
    assert a.mr.status()["state"] == "refused" and f"(status {status}): " in a.mr.log()
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
    """RFC 6275 s11.7.3: at once, not when the first update is due again."""
    a = away(retransmit_ms=16000)

    def behind(fake, packet):  # it remembers a number 100 ahead
        first = fake.updates()[0].ip[s6.MIP6MH_BU].seq
        ours, last = packet.ip[s6.MIP6MH_BU].seq, (first + 100) % 65536
        return accept(fake, packet) if ours == last + 1 else accept(fake, packet, status=135, seq=last)

    a.site.home_agent = behind
    a.start()
    a.bound()
    first, last = a.site.updates()
    seq = [p.ip[s6.MIP6MH_BU].seq for p in (first, last)]
    assert seq[1] == (seq[0] + 101) % 65536
    assert last.time - first.time < 15000 * MS


@pytest.mark.novm("judged by times on the wire, which emulation distorts")
def test_status_139_leads_to_a_deregistration_first(away):
    """RFC 3963 s5.2: another type of registration lives there."""
    a = away(retransmit_ms=16000)
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
    a = away(retransmit_ms=30000)
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
    assert other.time - first.time > 1000 * MS, "it has its time, s11.4.1"
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

"""Prefix discovery under the protection of updates and acknowledgements (RFC 6275 s5.4, s6.7, s6.8;
RFC 3776 s3.3; RFC 4285 s2), real daemons against a hand-built peer, and against each other.

    wire (the Internet)  --- eth0  ha            or      wire (a home agent of ours) --- eth0  mr
"""

import pytest
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.capture import Capture
from lib.daemon import Daemon
from lib.mipv6 import BU, Fake, Router, ba, hao, mac_of, rh2
from lib.sealed import (
    COA, HA, HOA, NET, PAIR, TOPOLOGY, TO_HA, TO_MR, EspHome, Home, counters, esp, esp_bu, esp_line,
    key_file, pair, tls_pair, unesp,
)
from lib.topo import Link, Node, Topology
from lib.wait import wait_for

PREFIX = "2001:db8:d::"


def solicitation(ident):
    return s6.IPv6(src=COA, dst=HA) / hao(HOA) / s6.ICMPv6MPSol(id=ident)


def under_esp(sa, number, packet):
    """The same with its message in ESP behind the 24 octets of option or routing header."""
    data = bytes(packet)
    headers = data[40:64]
    return s6.IPv6(src=packet.src, dst=packet.dst, nh=data[6]) / Raw(
        bytes([50]) + headers[1:] + esp(sa, number, data[64:], proto=58))


@pytest.fixture
def home(make_net):
    h = EspHome(make_net(TOPOLOGY))
    yield h
    h.wire.close()


def test_a_home_agent_answers_a_solicitation_under_esp_by_esp(home):
    """RFC 6275 s10.6.3; the same pair of associations as updates have (RFC 3776 s4.2).  In clear there
    is no answer, no Binding Error either."""
    assert home.status(esp_bu(TO_HA, 1, 1)) == 0
    [got] = home.answers(under_esp(TO_HA, 2, solicitation(0xBEEF)))
    data = bytes(got)
    assert (got.src, got.dst, data[6], data[40], got[s6.IPv6ExtHdrRouting].addresses) == (
        HA, COA, 43, 50, [HOA])
    _, proto, message = unesp(TO_MR, data[64:])
    assert proto == 58
    advertisement = s6.ICMPv6MPAdv(message)
    assert (advertisement.type, advertisement.id) == (147, 0xBEEF)
    assert advertisement[s6.ICMPv6NDOptPrefixInfo].prefix == PREFIX
    zeroed = message[:2] + b"\0\0" + message[4:]
    assert s6.in6_chksum(58, s6.IPv6(src=HA, dst=HOA), zeroed) == advertisement.cksum

    before = home.count("sec_clear")
    mark = home.wire.mark()
    assert home.answers(solicitation(1)) == []
    assert home.count("sec_clear") == before + 1
    assert counters(home.ha, "signalling")["icmp6_protection"] == 1
    assert not [p for p in home.wire.packets(mark) if p.dst == COA], "no Binding Error, either"
    assert home.binding()["state"] == "bound"


def test_with_the_authentication_option_there_is_no_prefix_discovery(make_net):
    """RFC 4285 s2: it is not protected by the option, so it should not be used."""
    h = Home(make_net(TOPOLOGY))
    try:
        h.ha.conf = h.ha.conf.replace("address =", "prefix_interval_min = 0; prefix_interval_max = 1; address =", 1)
        h.start()
        mark = h.wire.mark()
        assert h.answers(solicitation(1)) == []
        assert h.count("sec_clear") == 1
        assert h.binding()["state"] == "bound"
        assert not [p for p in h.wire.packets(mark) if s6.ICMPv6MPAdv in p.ip]
    finally:
        h.wire.close()


class EspAgent:
    """A home agent that has TO_HA and TO_MR with the router before it, and answers with status 1."""

    def __init__(self):
        self.number, self.solicited = 0, []

    def seal(self, packet, proto):
        self.number += 1
        data = bytes(packet)
        return s6.IPv6(src=packet.src, dst=packet.dst, nh=43) / Raw(
            bytes([50]) + data[41:64] + esp(TO_MR, self.number, data[64:], proto=proto))

    def take(self, fake):
        """What came and was not looked at; answers updates."""
        at = getattr(self, "at", 0)
        seen = fake.packets()
        self.at = len(seen)
        for p in seen[at:]:
            if p.dst != HA or p.proto != 60 or p.data[40] != 50:
                continue
            _, proto, message = unesp(TO_HA, p.data[64:])
            if proto == 58:
                self.solicited.append((p.src, s6.ICMPv6MPSol(message)))
            elif message[2] == BU:
                update = s6.MIP6MH_BU(message)
                fake.send(self.seal(ba(HA, p.src, HOA, update.seq, status=1), 135), mac=fake.router.mac)


def advertisement(to, ident, valid):
    pio = s6.ICMPv6NDOptPrefixInfo(prefix=PREFIX, prefixlen=64, validlifetime=valid, preferredlifetime=valid)
    return s6.IPv6(src=HA, dst=to) / rh2(HOA) / s6.ICMPv6MPAdv(id=ident) / pio


def test_a_router_asks_under_esp_and_believes_nothing_else(make_net):
    """RFC 6275 s11.4.2, s11.4.3: with the right Identifier, but in clear, it changes nothing."""
    net = make_net(Topology(nodes=[Node("wire"), Node("mr", forward=True)], links=[
        Link("mr:eth0", "wire:eth0", real_dad=True), Link("mr:eth1", "wire:eth1")]))
    keys = key_file(net, "mr.keys", esp_line("to-ha", TO_HA), esp_line("to-mr", TO_MR))
    agent = EspAgent()
    fake = Fake(net, "wire", "eth0", mac_of(net, "mr", "eth0"), ha=HA,
                router=Router("2001:db8:a::/64", "02:00:00:00:00:0a"))
    try:
        mr = Daemon(net, "mr", "nemo-mr", {
            "name": "mr1", "home_address": HOA, "home_agents": [HA],
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
            "protection": "esp-static", "keys": keys}).start()

        def asked(n):
            agent.take(fake)
            return len(agent.solicited) >= n

        wait_for(lambda: asked(1), 10, "a solicitation under ESP")
        care_of, q = agent.solicited[0]
        fake.send(advertisement(care_of, q.id, 600), mac=fake.router.mac)
        wait_for(lambda: counters(mr)["sec_clear"] == 1, 5, "the advertisement in clear is refused")
        assert mr.status()["home_link"]["prefixes"] == []
        fake.send(agent.seal(advertisement(care_of, q.id, 600), 58), mac=fake.router.mac)
        mr.wait_status(lambda s: s["home_link"]["prefixes"] == [f"{PREFIX}/64"], "home prefix")
        assert not [p for p in fake.packets() if p.proto == 60 and s6.ICMPv6MPSol in p.ip]
        assert mr.status()["state"] == "bound"
    finally:
        fake.close()


def test_prefix_discovery_with_keys_by_tls(make_net, engine):
    """Told unasked, which the router answers by asking; nothing of it is in clear."""
    net = make_net(PAIR)
    capture = Capture(net, "mr", "eth0", snap=2000)
    _, mr = tls_pair(net, engine=engine, prefix_interval_min=0, prefix_interval_max=1)
    mr.wait_status(lambda s: s["home_link"]["prefixes"] == [f"{PREFIX}/64"], "home prefix", 20)
    assert counters(mr, "protocol")["mps_tx"] >= 1
    capture.stop()
    types = net["mr"].out(["tshark", "-n", "-r", capture.path, "-Y", "icmpv6.type in {146, 147}",
                           "-T", "fields", "-e", "icmpv6.type"])
    assert types == ""


def test_a_router_with_the_authentication_option_asks_nothing(make_net):
    """RFC 4285 s2, and the home agent does not tell it to (no status 1), nor unasked."""
    net = make_net(PAIR)
    ha, mr = pair(net)
    assert counters(mr, "protocol")["mps_tx"] == 0
    assert counters(ha, "protocol")["mpa_tx"] == 0

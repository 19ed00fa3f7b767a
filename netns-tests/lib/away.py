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

import select
import signal

import pytest
from scapy.layers import inet6 as s6

from .daemon import Daemon
from .mipv6 import BU, TUNNEL, Fake, Router, Wire, echo, in_tunnel, mac_of, options_of
from .topo import Link, Node, Topology
from .wait import PATIENCE, patient, wait_for

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
        assert select.select([self.mr.events.socket], [], [], patient(5))[0], "no answer to 'monitor'"
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


def moved_to(a, coa, mark):
    """Registered from 'coa', and traffic goes there."""
    update = a.site.wait(f"update from {coa}", mark, src=coa, mh=BU)
    assert options_of(update.ip[s6.MIP6MH_BU], s6.MIP6OptAltCoA)[0].acoa == coa
    a.mr.wait_status(lambda s: s["state"] == "bound" and s["care_of"] == coa, f"bound at {coa}", 5)
    a.goes_through_tunnel(coa)
    return update

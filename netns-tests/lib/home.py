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

from .daemon import Daemon
from .mipv6 import TUNNEL, Wire, bu, echo, in_tunnel, mac_of
from .topo import Link, Net, Node, Topology

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

"""A home agent on a real home link: duplicate address detection, proxy neighbour discovery, and what
its neighbours see of it (RFC 6275 s10.3.1, s10.4.1, s10.4.2; RFC 4861 s7.2; RFC 4862 s5.4).

    wire (the Internet: every care-of address is here)           2001:db8:ffff::fe
      |
    eth0  2001:db8:ffff::1
    ha                      aggregate 2001:db8:d::/48
    eth1  2001:db8:d::ff
      |
    home link 2001:db8:d::/64 ---- host 2001:db8:d::9
      |
    link   scapy: any other node of the home link
"""

import signal
from socket import AF_INET6, inet_pton

import pytest
from scapy.layers import inet6 as s6

from lib.daemon import Daemon
from lib.mipv6 import ALL_NODES, TUNNEL, UNSPECIFIED, Wire, bu, echo, in_tunnel, mac_of
from lib.topo import Link, Node, Radvd, Topology
from lib.wait import PATIENCE, patient, wait_for

HA, GATEWAY, COA = "2001:db8:ffff::1", "2001:db8:ffff::fe", "2001:db8:a::2"
HOST, AT_HOME = "2001:db8:d::9", "2001:db8:d::ff"
MNP = "2001:db8:d:1::/64"
HOA, MOBILE_HOST = "2001:db8:d::1", "2001:db8:d::2"
MS = 1_000_000

TOPOLOGY = Topology(
    nodes=[
        Node("wire"),
        Node("fabric", bridges=["home"]),
        Node("ha", forward=True, routes=[f"default via {GATEWAY}"],
             sysctl={"net.ipv6.icmp.ratelimit": 0}),
        Node("host", routes=[f"default via {AT_HOME}"]),
        Node("link"),
    ],
    links=[
        Link("wire:eth0", "ha:eth0", [], [f"{HA}/64"]),
        Link("ha:eth1", "fabric:ha@home", [f"{AT_HOME}/64"]),
        Link("host:eth0", "fabric:host@home", [f"{HOST}/64"]),
        Link("link:eth0", "fabric:link@home"),
    ],
)

CONF = {
    "address": HA,
    "interfaces": ["eth0"],
    "home_prefixes": ["2001:db8:d::/64"],
    "home_link": "eth1",
    "aggregates": ["2001:db8:d::/48"],
    "routers": [
        {"name": "MR-1", "home_address": HOA, "prefixes": [MNP], "tenant": "red"},
        {"name": "MN-2", "home_address": MOBILE_HOST, "tenant": "red"},
    ],
}


def group_of(address):
    """Its solicited-node group; the addresses of this file are short."""
    return f"ff02::1:ff00:{address.rpartition('::')[2]}"


def mac_of_group(address):
    return "33:33:ff:00:00:" + address.rpartition("::")[2].zfill(2)


class Home:
    def __init__(self, net, **conf):
        self.net = net
        mac = mac_of(net, "wire", "eth0")
        net["ha"].batch([f"neigh add {GATEWAY} lladdr {mac} dev eth0 nud permanent"])
        self.mac = mac_of(net, "ha", "eth1")
        self.wire = Wire(net, "wire", "eth0", mac_of(net, "ha", "eth0"))
        self.link = Wire(net, "link", "eth0", self.mac)
        self.ha = Daemon(net, "ha", "nemo-ha", {**CONF, **conf}).start()
        self.seq = 0

    def update(self, hoa=HOA, **how):
        self.seq += 1
        how = {"seq": self.seq, "mnps": [MNP] if hoa == HOA else [], "alt": COA,
               "flags": "AHR" if hoa == HOA else "AH", **how}
        return bu(COA, HA, **{"hoa": hoa, **how})

    def send(self, packet):
        mark = self.wire.mark()
        self.wire.send(packet)
        return mark

    def answer(self, mark, timeout=5):
        return self.wire.wait("the acknowledgement", mark, timeout, mh=6)

    def status(self, packet):
        return self.answer(self.send(packet)).ip[s6.MIP6MH_BA].status

    def register(self, hoa=HOA, **how):
        assert self.status(self.update(hoa, **how)) == 0

    def bound(self, name="MR-1"):
        return [b for b in self.ha.ask("bindings") if b["name"] == name and b["state"] == "bound"]

    def counter(self, name):
        return next(c["value"] for c in self.ha.ask("stats")["counters"] if c["name"] == name)

    def solicit(self, target, src, dst=None):
        """Sends a solicitation on the home link; a mark from before."""
        mark = self.link.mark()
        ns = s6.ICMPv6ND_NS(tgt=target)
        if src != UNSPECIFIED:
            ns /= s6.ICMPv6NDOptSrcLLAddr(lladdr=self.link.mac)
        self.link.send(
            s6.IPv6(src=src, dst=dst or group_of(target), hlim=255) / ns,
            to=self.mac if dst else mac_of_group(target),
        )
        return mark

    def advertise(self, target, mac="02:00:00:00:0d:ad"):
        """Another node's unsolicited advertisement with the Override flag."""
        na = s6.ICMPv6ND_NA(R=0, S=0, O=1, tgt=target) / s6.ICMPv6NDOptDstLLAddr(lladdr=mac)
        self.link.send(
            s6.IPv6(src="fe80::bad", dst=ALL_NODES, hlim=255) / na, mac, "33:33:00:00:00:01"
        )

    def advertisement(self, what, mark, target, **want):
        def right(p):
            na = p.ip[s6.ICMPv6ND_NA]
            return na.tgt == target and all(getattr(na, k) == v for k, v in want.items())

        return self.link.wait(what, mark, 3, right, icmp=136)

    def reaches_the_router(self, hoa=HOA):
        """A host of the home link resolves the home address and is answered through the tunnel."""
        self.net["host"].run(f"ip -6 neigh flush dev eth0 to {hoa}", check=False)
        mark = self.wire.mark()
        ping = self.net["host"].popen(["ping", "-6", "-c", "1", "-W", "5", hoa])
        out = self.wire.wait("the echo request in the tunnel", mark, 5, proto=TUNNEL).ip
        assert (out.src, out.dst) == (HA, COA)
        request = out.payload
        assert (request.src, request.dst) == (HOST, hoa)
        data = request[s6.ICMPv6EchoRequest]
        reply = s6.ICMPv6EchoReply(id=data.id, seq=data.seq, data=data.data)
        self.wire.send(in_tunnel(COA, HA, s6.IPv6(src=hoa, dst=HOST) / reply))
        assert ping.wait(patient(10)) == 0

    def close(self):
        self.ha.stop(signal.SIGKILL)
        self.wire.close()
        self.link.close()


@pytest.fixture
def make_home(make_net):
    made = []

    def make(radvds=(), **conf):
        made.append(Home(make_net(Topology(TOPOLOGY.nodes, TOPOLOGY.links, list(radvds))), **conf))
        return made[-1]

    yield make
    for home in made:
        home.close()


# --- duplicate address detection ---


def test_a_first_registration_waits_for_duplicate_address_detection(make_home):
    """RFC 6275 s10.3.1, RFC 4862 s5.4.2; a refresh waits for nothing."""
    home = make_home()
    at_link = home.link.mark()
    mark = home.send(home.update())
    probe = home.link.wait("the detection's solicitation", at_link, icmp=135, src=UNSPECIFIED)
    assert probe.dst == group_of(HOA) and probe.ip.hlim == 255
    assert probe.ip[s6.ICMPv6ND_NS].tgt == HOA
    assert s6.ICMPv6NDOptSrcLLAddr not in probe.ip
    assert f"{group_of(HOA)}\n" in home.net["ha"].out("ip -6 maddr show dev eth1") + "\n"
    repeated = home.update()
    home.wire.send(repeated)
    answer = home.answer(mark)
    assert answer.time - probe.time > 500 * MS
    assert answer.ip[s6.MIP6MH_BA].seq == home.seq, "of the last update"
    assert len(home.link.packets(at_link, icmp=135, src=UNSPECIFIED)) == 1
    sent = home.send(home.update())
    assert home.answer(sent).ip[s6.MIP6MH_BA].status == 0
    assert len(home.link.packets(at_link, icmp=135, src=UNSPECIFIED)) == 1
    assert home.counter("dad") == 1


def test_other_bindings_do_not_wait_for_it(make_home):
    home = make_home(dad_ms=1500 * PATIENCE)
    home.register(MOBILE_HOST)
    at_link = home.link.mark()
    mark = home.send(home.update())
    home.link.wait("the detection's solicitation", at_link, icmp=135, src=UNSPECIFIED)
    home.wire.send(home.update(MOBILE_HOST))
    first = home.answer(mark).ip
    assert first[s6.IPv6ExtHdrRouting].addresses == [MOBILE_HOST]
    assert not home.bound("MR-1")


@pytest.mark.parametrize("how", ["advertisement", "detection of its own", "a real host"])
def test_a_home_address_in_use_gets_134(make_home, how):
    """RFC 6275 s10.3.1."""
    home = make_home(dad_ms=3000)
    if how == "a real host":
        home.net["host"].add_address(f"{HOA}/64", "eth0")
    at_link = home.link.mark()
    mark = home.send(home.update())
    home.link.wait("the detection's solicitation", at_link, icmp=135, src=UNSPECIFIED)
    if how == "advertisement":
        home.advertise(HOA)
    elif how == "detection of its own":
        home.solicit(HOA, UNSPECIFIED)
    assert home.answer(mark).ip[s6.MIP6MH_BA].status == 134
    assert not home.bound()
    assert "proxy" not in home.net["ha"].out("ip -6 neigh show proxy")
    assert home.counter("dad_failed") == 1
    event = home.ha.wait_event("binding.rejected", 2)
    assert event["status"] == 134
    if how == "a real host":
        home.net["host"].batch([f"addr del {HOA}/64 dev eth0"])
    home.register()


# --- proxy ---


@pytest.mark.novm("the protocol decides, whatever the kernel")
@pytest.mark.parametrize("hoa, router", [(HOA, 1), (MOBILE_HOST, 0)])
def test_a_bound_home_address_is_announced_to_all_nodes(make_home, hoa, router):
    """RFC 6275 s10.4.1, RFC 3963 s6.2: three times, a second apart (RFC 4861 s7.2.6, s10)."""
    home = make_home()
    mark = home.link.mark()
    home.register(hoa)
    wait_for(lambda: len(home.link.packets(mark, icmp=136)) >= 3, 5, "three advertisements")
    seen = home.link.packets(mark, icmp=136)
    for p in seen:
        na = p.ip[s6.ICMPv6ND_NA]
        assert p.dst == ALL_NODES and p.src.startswith("fe80::") and p.ip.hlim == 255
        assert (na.tgt, na.R, na.S, na.O) == (hoa, router, 0, 1)
        assert na[s6.ICMPv6NDOptDstLLAddr].lladdr == home.mac == p.mac
    assert all(b.time - a.time > 500 * MS for a, b in zip(seen, seen[1:])), "not in one go"
    home.register(hoa)  # a refresh is not announced
    assert len(home.link.packets(mark, icmp=136)) == 3


def test_its_solicitations_are_answered(make_home):
    """RFC 6275 s10.4.1; RFC 4861 s7.2.8: the Override flag of a proxy's answer is 0."""
    home = make_home()
    mark = home.solicit(HOA, "fe80::77")
    home.register()
    assert not [p for p in home.link.packets(mark, icmp=136) if p.dst != ALL_NODES], "not yet bound"

    mark = home.solicit(HOA, "fe80::77")
    na = home.advertisement("the answer", mark, HOA, S=1)
    assert na.dst == "fe80::77"
    assert (na.ip[s6.ICMPv6ND_NA].R, na.ip[s6.ICMPv6ND_NA].O) == (1, 0)
    assert na.ip[s6.ICMPv6NDOptDstLLAddr].lladdr == home.mac

    mark = home.solicit(HOA, "fe80::77", dst=HOA)  # reachability check: unicast
    assert home.advertisement("the answer", mark, HOA, S=1).dst == "fe80::77"
    assert not home.wire.packets(0, proto=TUNNEL), "and it is not the router's business"

    mark = home.solicit(HOA, UNSPECIFIED)  # detection of another node: defended
    assert home.advertisement("the defence", mark, HOA, S=0, O=0).dst == ALL_NODES


def test_a_host_on_the_home_link_reaches_the_router_away(make_home):
    """RFC 6275 s10.4.1, s10.4.2."""
    home = make_home()
    home.register()
    home.reaches_the_router()


def test_the_claim_of_another_node_does_not_end_a_binding(make_home):
    """Neighbours are told again who has the address."""
    home = make_home()
    home.register()
    mark = home.link.mark()
    home.advertise(HOA)
    home.advertisement("told again", mark, HOA, O=1, S=0)
    event = home.ha.wait_event("home.conflict", 2)
    assert "02:00:00:00:0d:ad" in event["text"] and event["home_address"] == HOA
    assert home.counter("home_conflicts") >= 1
    assert home.bound()
    home.reaches_the_router()


@pytest.mark.parametrize("end", ["deregistration", "expiry"])
def test_the_end_of_a_binding_ends_the_proxy(make_home, end):
    """RFC 6275 s10.3.2."""
    home = make_home()
    home.register(lifetime_s=4 if end == "expiry" else 600)
    assert HOA in home.net["ha"].out("ip -6 neigh show proxy")
    if end == "expiry":
        home.ha.wait_event("binding.expired", 10)
    else:
        assert home.status(home.update(lifetime_s=0, mnps=[])) == 0
    assert HOA not in home.net["ha"].out("ip -6 neigh show proxy")
    mark = home.solicit(HOA, "fe80::77")
    home.solicit(AT_HOME, "fe80::77", dst=AT_HOME)
    home.advertisement("its own address, as an end mark", mark, AT_HOME)
    assert not [p for p in home.link.packets(mark, icmp=136) if p.ip[s6.ICMPv6ND_NA].tgt == HOA]


def test_with_l_the_link_local_address_is_defended_but_not_tunnelled(make_home):
    """RFC 6275 s10.3.1, s10.4.1, s10.4.2: Destination Unreachable 3."""
    home = make_home()
    mark = home.link.mark()
    home.register(flags="AHLR")
    assert {p.ip[s6.ICMPv6ND_NS].tgt for p in home.link.packets(mark, icmp=135, src=UNSPECIFIED)} == {
        HOA, "fe80::1"
    }
    home.advertisement("announced", mark, "fe80::1", O=1, S=0)
    mark = home.solicit("fe80::1", "fe80::77")
    assert home.advertisement("the answer", mark, "fe80::1", S=1).dst == "fe80::77"

    at_wire, mark = home.wire.mark(), home.link.mark()
    home.link.send(echo("fe80::77", "fe80::1"))
    answers = []
    # The error needs our link-layer address first.
    def unreachable():
        for p in home.link.packets(mark, icmp=135):
            if p.ip[s6.ICMPv6ND_NS].tgt == "fe80::77" and p not in answers:
                answers.append(p)
                na = s6.ICMPv6ND_NA(S=1, O=1, tgt="fe80::77")
                lla = s6.ICMPv6NDOptDstLLAddr(lladdr=home.link.mac)
                home.link.send(s6.IPv6(src="fe80::77", dst=p.src, hlim=255) / na / lla)
        return home.link.packets(mark, icmp=1)

    error = wait_for(unreachable, 5, "Destination Unreachable")[0].ip
    assert error[s6.ICMPv6DestUnreach].code == 3
    assert not home.wire.packets(at_wire, proto=TUNNEL)


def test_without_l_the_link_local_address_is_nobodys(make_home):
    """RFC 6275 s10.3.1."""
    home = make_home()
    home.register()
    mark = home.solicit("fe80::1", "fe80::77")
    home.solicit(HOA, "fe80::77")
    home.advertisement("an end mark", mark, HOA, S=1)
    assert not [p for p in home.link.packets(icmp=136) if p.ip[s6.ICMPv6ND_NA].tgt == "fe80::1"]


def test_multicast_of_the_home_link_stays_there(make_home):
    """RFC 6275 s10.4.2: into no tunnel, and nobody is told."""
    home = make_home()
    home.register()
    at_wire = home.wire.mark()
    for dst in ALL_NODES, "ff02::1:ff00:1", "ff05::1", "ff0e::1":
        mac = "33:33:" + ":".join(f"{b:02x}" for b in inet_pton(AF_INET6, dst)[12:])
        home.link.send(s6.IPv6(src=HOST, dst=dst) / s6.UDP(sport=9, dport=9) / b"stays", to=mac)
    mark = home.solicit(HOA, "fe80::77")
    home.advertisement("an end mark", mark, HOA, S=1)
    assert not home.wire.packets(at_wire, proto=TUNNEL)
    assert not [p for p in home.link.packets() if p.icmp in (1, 2, 3, 4)]


# --- a router that is at home ---


def comes_home(home, packet):
    """A node with the home address sends this on the home link; the answer that it gets there."""
    mark, answered = home.link.mark(), []
    home.link.send(packet)

    def answer():
        for p in home.link.packets(mark, icmp=135):
            if p.ip[s6.ICMPv6ND_NS].tgt == HOA and p.src != UNSPECIFIED and p not in answered:
                answered.append(p)
                na = s6.ICMPv6ND_NA(R=1, S=1, O=1, tgt=HOA)
                lla = s6.ICMPv6NDOptDstLLAddr(lladdr=home.link.mac)
                home.link.send(s6.IPv6(src=HOA, dst=p.src, hlim=255) / na / lla)
        return home.link.packets(mark, mh=6)

    return wait_for(answer, 5, "the acknowledgement on the home link")[0].ip


def test_a_deregistration_from_home_is_answered_there(make_home):
    """RFC 6275 s10.3.2: no Home Address option, the answer without routing header."""
    home = make_home()
    home.register()
    home.seq += 1
    ba = comes_home(home, bu(HOA, HA, None, home.seq, lifetime_s=0))
    assert (ba.src, ba.dst) == (HA, HOA)
    assert s6.IPv6ExtHdrRouting not in ba
    assert (ba[s6.MIP6MH_BA].status, ba[s6.MIP6MH_BA].mhtime) == (0, 0)
    assert not home.bound()


def test_a_rejection_goes_to_the_node_on_the_home_link_too(make_home):
    """RFC 6275 s10.3.2: though its home address is a tunnel's, meanwhile."""
    home = make_home()
    home.register()
    at_wire = home.wire.mark()
    ba = comes_home(home, bu(HOA, HA, None, home.seq, lifetime_s=0))  # that number was used
    assert (ba.dst, ba[s6.MIP6MH_BA].status) == (HOA, 135)
    assert home.bound()
    assert not home.wire.packets(at_wire, proto=TUNNEL)


# --- the home prefix's lifetimes ---


@pytest.mark.parametrize(
    "where, valid_s, preferred_s, granted_s, status",
    [
        ("ha:eth1", 86400, 14400, 600, 0),
        ("ha:eth1", 7300, 100, 600, 1),
        ("ha:eth1", 200, 100, 200, 1),
        ("host:eth0", 200, 100, 200, 1),
    ],
)
def test_a_binding_does_not_outlive_its_home_prefix(
    make_home, where, valid_s, preferred_s, granted_s, status
):
    """RFC 6275 s10.3.1, as an advertisement on the home link tells it: the home agent's own, or
    another router's."""
    home = make_home()
    if where == "host:eth0":
        home.net["host"].sysctl(**{"net.ipv6.conf.all.forwarding": 1})
    radvd = Radvd(where, "2001:db8:d::/64")
    radvd.text = lambda: (
        Radvd.text(radvd).replace("AdvAutonomous on;",
        f"AdvAutonomous on; AdvValidLifetime {valid_s}; AdvPreferredLifetime {preferred_s};")
    )
    home.net.start_radvd(radvd)
    wait_for(lambda: home.counter("home_ra") > 0, 5, "an advertisement")
    ba = home.answer(home.send(home.update())).ip[s6.MIP6MH_BA]
    assert ba.status == status
    assert granted_s // 2 <= ba.mhtime * 4 <= granted_s


# --- start and stop ---


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_no_proxy_outlives_the_bindings(make_home, sig):
    home = make_home()
    home.net["ha"].batch(["neigh add proxy 2001:db8:d::77 dev eth1"])  # an operator's own
    home.register()
    home.ha.stop(sig)
    if sig == signal.SIGKILL:
        home.ha.forget()
        home.ha.start()
    left = home.net["ha"].out("ip -6 neigh show proxy")
    assert HOA not in left and "2001:db8:d::77" in left


def test_an_interface_that_comes_back_is_served_again(make_home):
    home = make_home()
    home.register()
    ha, fabric = home.net["ha"], home.net["fabric"]
    ha.batch(["link del eth1"])
    fabric.batch([
        f"link add name ha type veth peer name eth1 address {home.mac} netns {ha.ns}",
        "link set ha master home", "link set ha up",
    ])
    ha.batch(["link set eth1 up", f"addr add {AT_HOME}/64 dev eth1 nodad"])
    wait_for(lambda: HOA in ha.out("ip -6 neigh show proxy"), 5, "proxy entry")
    home.reaches_the_router()

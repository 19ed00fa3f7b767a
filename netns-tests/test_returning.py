"""A mobile router that is at home, leaves, moves and comes home again; real daemons, real radvd
(RFC 6275 s11.5.5, RFC 3963 s5.6-5.8).

    client 2001:db8:c::2 --- core --- ha eth0 2001:db8:ffff::1
                              |       ha eth1 2001:db8:d::ff
                           access            |
                              |              +--- peer 2001:db8:d::9
                 bridges  visit1, visit2    home   2001:db8:d::/64
                              \\              /
                               --- mr eth0 ---        home address 2001:db8:d::1
                                   mr eth1
                                     |
                                   host 2001:db8:d:1::5

The home agent is also the home link's router.  How its link-layer address is found:
    routed   its address (eth0's) is not on the home link: through the router there
    told     its address is eth1's; its advertisements carry it (R flag)
    asked    its address is eth1's; its advertisements don't: asked for (s11.5.5)
"""

import ipaddress
import os
import signal

import pytest

from lib.capture import BU, NA, NS, Capture, LeakCheck
from lib.daemon import Daemon
from lib.topo import Link, Node, Radvd, Topology
from lib.traffic import Server, TcpTransfer
from lib.wait import wait_for

HA_OFF, HA_ON, CLIENT, PEER = "2001:db8:ffff::1", "2001:db8:d::ff", "2001:db8:c::2", "2001:db8:d::9"
HOA, MNP, HOST, HOME = "2001:db8:d::1", "2001:db8:d:1::/64", "2001:db8:d:1::5", "2001:db8:d::/64"
VISITED = {"visit1": "2001:db8:a::/64", "visit2": "2001:db8:b::/64"}
WAYS = ["routed", "told", "asked"]


class HomeRadvd(Radvd):
    def text(self):
        # radvd sends the prefix as it is written: its address, with the R flag (s7.2).
        text = super().text().replace("AdvAutonomous on;", "AdvAutonomous off; AdvRouterAddr on;")
        return text.replace(f"prefix {HOME}", f"prefix {HA_ON}/64")


def topology(way):
    home = (HomeRadvd if way == "told" else Radvd)("ha:eth1", HOME)
    return Topology(
        nodes=[
            Node("client", routes=["default via 2001:db8:c::1"]),
            Node("core", forward=True, routes=[
                f"2001:db8:d::/48 via {HA_OFF}", "2001:db8:a::/64 via 2001:db8:fffe::2",
                "2001:db8:b::/64 via 2001:db8:fffe::2"]),
            Node("ha", forward=True, routes=["default via 2001:db8:ffff::fe"]),
            Node("access", forward=True, routes=["default via 2001:db8:fffe::1"]),
            Node("fabric", bridges=["home", "visit1", "visit2", "none"]),
            Node("mr", sysctl={"net.ipv6.icmp.ratelimit": 0}),
            Node("host", routes=["default via 2001:db8:d:1::1"]),
            Node("peer", routes=[f"default via {HA_ON}"]),
        ],
        links=[
            Link("client:eth0", "core:client", [f"{CLIENT}/64"], ["2001:db8:c::1/64"]),
            Link("ha:eth0", "core:ha", [f"{HA_OFF}/64"], ["2001:db8:ffff::fe/64"]),
            Link("access:up", "core:access", ["2001:db8:fffe::2/64"], ["2001:db8:fffe::1/64"]),
            Link("access:visit1", "fabric:visit1-r@visit1", ["2001:db8:a::1/64"]),
            Link("access:visit2", "fabric:visit2-r@visit2", ["2001:db8:b::1/64"]),
            Link("ha:eth1", "fabric:ha@home", [f"{HA_ON}/64"]),
            Link("peer:eth0", "fabric:peer@home", [f"{PEER}/64"]),
            Link("mr:eth0", "fabric:mr@home", real_dad=True),
            Link("host:eth0", "mr:eth1", [f"{HOST}/64"], ["2001:db8:d:1::1/64"]),
        ],
        radvds=[home] + [Radvd(f"access:{v}", p) for v, p in VISITED.items()],
    )


class World:
    def __init__(self, net, way, start="home", ha=None, mr=None):
        self.net, self.way = net, way
        self.address = HA_OFF if way == "routed" else HA_ON
        if start != "home":
            net.move(("fabric:mr", start))
        self.leaks = LeakCheck(
            net, [("access", v) for v in VISITED], [f"{HOA}/128", MNP]
        )
        self.home = Capture(net, "peer", "eth0", "icmp6 or ip6 proto 135")
        self.uplink = Capture(net, "mr", "eth0", "icmp6 or ip6 proto 135 or ip6 proto 60 or ip6 proto 43")
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": self.address,
            "interfaces": ["eth0"],
            "home_prefixes": [HOME],
            "home_link": "eth1",
            "home_routes": True,
            "aggregates": ["2001:db8:d::/48"],
            "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [MNP], "tenant": "t"}],
            **(ha or {}),
        }).start()
        self.mr = Daemon(net, "mr", "nemo-mr", {
            "name": "MR-1",
            "home_address": HOA,
            "home_agents": [self.address],
            "return_home": True,
            "uplinks": [{"interface": "eth0"}],
            "networks": [{"prefix": MNP, "interface": "eth1"}],
            **(mr or {}),
        }).start()

    def at_home(self, timeout=10):
        self.mr.wait_status(lambda s: s["state"] == "at home", "at home", timeout)
        return self

    def go(self, where):
        self.mr.events.forget()
        self.net.move(("fabric:mr", where))
        if where == "home":
            self.mr.wait_event("mr.home", 10)
        else:
            self.mr.wait_event("mr.registered", 10)

    def bound(self):
        return [b for b in self.ha.ask("bindings") if b["state"] == "bound"]

    def ping(self, node, address):
        wait_for(
            lambda: self.net[node].run(f"ping -6 -c 1 -W 1 {address}", check=False).returncode == 0,
            10, f"{node} reaches {address}",
        )

    def everybody_reaches_it(self):
        for node in ("client", "peer"):
            for address in (HOA, HOST):
                self.ping(node, address)
        self.ping("host", CLIENT)
        self.ping("host", PEER)

    def neighbour(self, mac_of):
        """The peer sends what is for the home address to that node."""
        node, interface = mac_of
        mac = self.net[node].mac(interface)
        wait_for(
            lambda: mac in self.net["peer"].out(f"ip -6 neigh show to {HOA}"), 5,
            lambda: f"{HOA} at {node}: {self.net['peer'].out('ip -6 neigh')}",
        )


@pytest.fixture
def make_world(make_net):
    return lambda way="told", **how: World(make_net(topology(way)), way, **how)


@pytest.mark.parametrize("way", WAYS)
def test_connections_survive_leaving_moving_and_coming_home(make_world, way):
    """A TCP transfer to a host of the mobile network, and one to the router's neighbour."""
    world = make_world(way).at_home()
    world.everybody_reaches_it()
    assert not world.bound()
    server = Server(world.net, "host")
    tcp = [TcpTransfer(world.net, node, HOST, server) for node in ("client", "peer")]
    for t in tcp:
        t.wait_flowing()
    for where in ("visit1", "visit2", "home", "visit2", "home"):
        world.go(where)
        world.everybody_reaches_it()
        assert bool(world.bound()) == (where != "home")
    for t in tcp:
        result = t.stop()
        assert not result["broken"] and not result["corrupt"], result
        assert result["received"] > 0
    world.leaks.check()


@pytest.mark.parametrize("way", WAYS)
def test_coming_home_happens_in_the_right_order(make_world, way):
    """RFC 6275 s11.5.5: link-layer address, update, acknowledgement, advertisements."""
    world = make_world(way, start="visit1")
    world.mr.wait_bound()
    world.everybody_reaches_it()
    world.neighbour(("ha", "eth1"))
    world.go("home")
    world.everybody_reaches_it()
    world.neighbour(("mr", "eth0"))
    mac_ha = world.net["ha"].mac("eth1")
    if way != "routed":
        assert mac_ha in world.net["mr"].out(f"ip -6 neigh show to {HA_ON} dev eth0")

    hoa = ipaddress.IPv6Address(HOA)
    seen = world.uplink.packets()
    update = next(i for i, p in enumerate(seen) if p.kind == ("mh", BU) and p.src == hoa)
    data = seen[update].data
    assert data[6] == 135, "no Home Address option: it is the source"
    assert seen[update].payload[8:10] == b"\xc4\x00" and seen[update].payload[10:12] == b"\0\0"
    ack = next(i for i, p in enumerate(seen) if p.kind == ("mh", 6) and p.dst == hoa)
    assert update < ack
    assert seen[ack].payload[6] == 0, "accepted"
    assert seen[ack].data[6] == 135, "no routing header"
    target = hoa.packed
    own = [i for i, p in enumerate(seen)
           if p.kind == ("icmp6", NA) and p.payload[8:24] == target and p.src == hoa
           and p.dst == ipaddress.IPv6Address("ff02::1")]
    assert own and own[0] > ack, "told to all nodes only after the acknowledgement"
    flags = seen[own[0]].payload[4]
    assert flags & 0x40 == 0 and flags & 0x20, "S = 0, O = 1"
    mac_mr = world.net["mr"].mac("eth0")
    option = seen[own[0]].payload[24:32]
    assert option[:2] == b"\x02\x01" and option[2:].hex(":") == mac_mr

    answers = [p for p in seen[update:ack] if p.kind == ("icmp6", NA) and p.payload[8:24] == target]
    assert answers, "the home agent asked for it"
    assert all(p.payload[4] & 0x40 and not p.dst.is_multicast for p in answers), "by unicast"

    unspecified = ipaddress.IPv6Address("::")
    tests = [i for i, p in enumerate(seen)
             if p.kind == ("icmp6", NS) and p.src == unspecified and p.payload[8:24] == target]
    # Asking for the home agent looks like it, once, before the update; there is no other.
    assert len([i for i in tests if i < update]) == (1 if way == "asked" else 0)
    assert not [i for i in tests if i > update], "no duplicate address detection"
    used = [p for p in seen[:update] if hoa == p.src]
    assert not used, "the home address is not used before the update"


@pytest.mark.novm("messages and keys decide, whatever the kernel")
@pytest.mark.parametrize("protection, line", [("auth-option", "auth 256"), ("esp", "psk MR-1")])
def test_a_protected_router_comes_home_and_leaves(make_net, protection, line):
    """The de-registration from the home address is protected like any update."""
    net = make_net(topology("told"))
    keys = os.path.join(net.dir, "pair.keys")
    with open(keys, "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(f"{line} {bytes(range(1, 33)).hex()}\n")
    router = {"name": "MR-1", "home_address": HOA, "prefixes": [MNP], "tenant": "t", "keys": keys}
    world = World(net, "told", start="visit1", mr={"protection": protection, "keys": keys},
                  ha={"protection": protection, "routers": [router]})
    world.mr.wait_bound()
    for where in ("home", "visit2", "home"):
        world.go(where)
        world.everybody_reaches_it()
        assert bool(world.bound()) == (where != "home")


def test_at_home_it_is_an_ordinary_router(make_world):
    """RFC 3963 s5.7, s5.8: no tunnel, nothing registered; a member of the all-routers group."""
    world = make_world().at_home()
    mr = world.net["mr"]
    wait_for(lambda: "ff02::2\n" in mr.out("ip -6 maddr show dev eth0") + "\n", 5, "all routers")
    assert "nemo0" not in mr.out("ip -6 route show table 139")
    status = world.mr.status()
    assert status["care_of"] is None and status["lifetime_s"] == 0
    world.go("visit1")
    assert "ff02::2\n" not in mr.out("ip -6 maddr show dev eth0") + "\n"
    assert HOA not in mr.out("ip -6 addr show dev eth0")
    left = mr.out("ip -6 route show table all") + mr.out("ip -6 rule")
    assert "eth0 proto 139 metric 5008" not in left and "990:" not in left, left


def test_out_of_the_home_link_only_the_mobile_network_is_reached(make_world):
    """At home it forwards for its own networks, not between others."""
    world = make_world().at_home()
    world.everybody_reaches_it()
    world.net["peer"].batch([f"route add {CLIENT} via {HOA}"])
    assert world.net["peer"].run(f"ping -6 -c 1 -W 1 {CLIENT}", check=False).returncode != 0
    assert "990:" in world.net["mr"].out("ip -6 rule")


def test_what_is_announced_behind_the_mobile_network_goes_its_way(make_world):
    """RFC 3963 s8: a prefix that a routing protocol would tell of; at home, here and there, too."""
    second = "2001:db8:500:1::5"
    world = make_world(mr={"mode": "implicit", "announce": ["2001:db8:500::/40"]}).at_home()
    world.net["host"].batch([f"addr add {second}/128 dev eth0 nodad"])
    world.net["mr"].batch([f"route add 2001:db8:500:1::/64 via {HOST}"])
    world.net["peer"].batch([f"route add 2001:db8:500::/40 via {HOA}"])
    world.ping("peer", second)
    assert "2001:db8:500::/40 iif eth0" in world.net["mr"].out("ip -6 rule")
    world.go("visit1")
    assert "2001:db8:500::/40 iif eth0" not in world.net["mr"].out("ip -6 rule")


def test_a_restart_at_home_takes_the_binding_of_the_earlier_run_back(make_world):
    """The home agent still defends the home address: no detection before it was told."""
    world = make_world(start="visit1")
    world.mr.wait_bound()
    world.mr.stop(signal.SIGKILL)
    world.net.move(("fabric:mr", "home"))
    assert world.bound()
    world.mr.start()
    world.at_home()
    assert not world.bound()
    world.everybody_reaches_it()


def test_a_home_address_in_use_at_home_is_given_up(make_world):
    """RFC 6275 s11.5.5: with no binding left it is tested."""
    world = make_world(start="none")
    world.net["peer"].add_address(f"{HOA}/128", "eth0")
    world.net.move(("fabric:mr", "home"))
    world.mr.wait_event("mr.dad_failed", 10)
    assert HOA not in world.net["mr"].out("ip -6 addr show dev eth0")
    world.net["peer"].batch([f"addr del {HOA}/128 dev eth0"])
    world.mr.ask("rehome")
    world.mr.wait_event("mr.home", 10)
    world.everybody_reaches_it()


def test_only_if_told_so_it_is_ever_at_home(make_net):
    """An advertisement, which anybody can send, must not end the tunnel of a router whose home
    link is virtual."""
    world = World(make_net(topology("told")), "told", start="visit1")
    world.mr.stop()
    conf = {"name": "MR-1", "home_address": HOA, "home_agents": [HA_ON],
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": MNP, "interface": "eth1"}]}
    mr = Daemon(world.net, "mr", "nemo-mr", conf).start()
    mr.wait_bound()
    mr.events.forget()
    world.net.move(("fabric:mr", "home"))
    mr.wait_event("mr.lost", 10)
    assert mr.status()["state"] == "no link"
    mr.stop(signal.SIGKILL)


def test_a_stop_at_home_leaves_nothing_open(make_world):
    """Fail closed: the network is cut off, as away from home."""
    world = make_world().at_home()
    world.everybody_reaches_it()
    world.mr.stop()
    mr = world.net["mr"]
    assert HOA not in mr.out("ip -6 addr show dev eth0")
    assert "990:" not in mr.out("ip -6 rule")
    assert "via" not in mr.out("ip -6 route show table 139")
    world.mr.start()
    world.at_home()
    world.everybody_reaches_it()

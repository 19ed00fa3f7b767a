"""Routers behind routers, and narrow paths, with the daemons.

    client --- core --- ha                       2001:db8:c::2, home agent 2001:db8:ffff::1
              |    |
             ar1  ar2                            2001:db8:a::/64, 2001:db8:b::/64, radvd
              |    |
         (bridges in 'visit')
              |
             mr1 --- mr2 --- mr3 --- host3       each link a mobile network: 2001:db8:d:N::/64, radvd

All three are registered with the same home agent; mr2's care-of address is out of mr1's network, mr3's
out of mr2's (RFC 3963 s1: to any depth; RFC 2473 s4).
"""

import pytest

from lib.capture import LeakCheck
from lib.daemon import Daemon
from lib.mipv6 import TUNNEL, Wire, echo, mac_of
from lib.topo import Link, Node, Radvd, Topology
from lib.traffic import Server, TcpTransfer
from lib.wait import wait_for
from scapy.layers import inet6 as s6

HA, CLIENT = "2001:db8:ffff::1", "2001:db8:c::2"


def hoa(n):
    return f"2001:db8:d::{n}"


def net_of(n):
    return f"2001:db8:d:{n}::/64"


def topology(path_mtu=1500, n_routers=3, ra=""):
    nodes = [
        Node("client", routes=["default via 2001:db8:c::1"]),
        Node("core", forward=True, routes=[
            "2001:db8:a::/64 via 2001:db8:e:1::2", "2001:db8:b::/64 via 2001:db8:e:2::2",
            f"2001:db8:d::/48 via {HA}"]),
        Node("ha", forward=True, routes=["default via 2001:db8:ffff::fe"]),
        Node("ar1", forward=True, routes=["default via 2001:db8:e:1::1"]),
        Node("ar2", forward=True, routes=["default via 2001:db8:e:2::1"]),
        Node("visit", bridges=["one", "two"]),
        Node("host", routes=[f"default via 2001:db8:d:{n_routers}::1"]),
    ]
    links = [
        Link("client:eth0", "core:client", [f"{CLIENT}/64"], ["2001:db8:c::1/64"]),
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:ffff::fe/64"]),
        Link("ar1:up", "core:ar1", ["2001:db8:e:1::2/64"], ["2001:db8:e:1::1/64"], mtu=path_mtu),
        Link("ar2:up", "core:ar2", ["2001:db8:e:2::2/64"], ["2001:db8:e:2::1/64"], mtu=path_mtu),
        Link("ar1:site", "visit:ar1@one", ["2001:db8:a::1/64"]),
        Link("ar2:site", "visit:ar2@two", ["2001:db8:b::1/64"]),
        Link("mr1:eth0", "visit:mr1@one", real_dad=True),
    ]
    radvds = [Radvd("ar1:site", "2001:db8:a::/64", options=ra), Radvd("ar2:site", "2001:db8:b::/64")]
    for n in range(1, n_routers + 1):
        nodes.append(Node(f"mr{n}", forward=True))
        inside = [f"2001:db8:d:{n}::1/64"]
        if n < n_routers:
            links.append(Link(f"mr{n + 1}:eth0", f"mr{n}:eth1", [], inside, real_dad=True))
            radvds.append(Radvd(f"mr{n}:eth1", net_of(n)))
        else:
            links.append(Link("host:eth0", f"mr{n}:eth1", [f"2001:db8:d:{n}::2/64"], inside))
    return Topology(nodes, links, radvds)


class Lab:
    def __init__(self, net, engine, n_routers=3, **conf):
        self.net = net
        self.host = f"2001:db8:d:{n_routers}::2"
        self.leaks = LeakCheck(net, [("ar1", "site"), ("ar2", "site")], ["2001:db8:d::/48"])
        numbers = range(1, n_routers + 1)
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
            "aggregates": ["2001:db8:d::/48"], "engine": engine,
            "routers": [{"name": f"MR-{n}", "home_address": hoa(n), "prefixes": [net_of(n)],
                         "tenant": "one"} for n in numbers], **conf}).start()
        self.mr = [Daemon(net, f"mr{n}", "nemo-mr", {
            "name": f"MR-{n}", "home_address": hoa(n), "home_agents": [HA], "engine": engine,
            "uplinks": [{"interface": "eth0"}],
            "networks": [{"prefix": net_of(n), "interface": "eth1"}], **conf}).start()
            for n in numbers]
        for mr in self.mr:
            mr.wait_bound()
        self.client = Wire(net, "client", "eth0", mac_of(net, "core", "client"))

    def coa(self, n):
        return self.mr[n - 1].status()["care_of"]

    def counters(self, daemon):
        return {c["name"]: c["value"] for c in daemon.ask("stats")["counters"]}

    def ping(self, size, node="client", dst=None):
        """One echo of so many octets, which its sender must not fragment."""
        return self.net[node].run(
            ["ping", "-6", "-n", "-M", "do", "-c1", "-W1", "-s", str(size - 48), dst or self.host],
            check=False).returncode == 0

    def passes(self, size, node="client", dst=None):
        wait_for(lambda: self.ping(size, node, dst), 10, f"{size} octets from {node}")

    def wait_flow(self, n):
        """A hundred packets more go through MR-n's tunnel."""
        def sent():
            return next(b["tx_packets"] for b in self.ha.ask("bindings") if b["name"] == f"MR-{n}")

        start = sent()
        wait_for(lambda: sent() > start + 100, 20, f"packets to MR-{n}")

    def stop(self, plain=True):
        """'plain': there were tunnel packets without destination options."""
        for mr in reversed(self.mr):  # while the way to the home agent is there
            mr.stop()
        self.client.close()
        self.leaks.check(saw_tunnel=plain)


def headers(packet):
    """(source, destination) of each IPv6 header, the outermost first."""
    found = []
    while isinstance(packet, s6.IPv6):
        found.append((packet.src, packet.dst))
        while not isinstance(packet.payload, s6.IPv6) and packet.nh == 60:
            packet = packet.payload
        packet = packet.payload
    return found


def test_three_levels(make_net, engine):
    """Ping, bulk TCP, sizes; then the outermost router moves, and only it registers anew."""
    lab = Lab(make_net(topology()), engine)
    net = lab.net
    coas = [lab.coa(n) for n in (1, 2, 3)]
    assert [c.startswith(p) for c, p in zip(
        coas, ("2001:db8:a:", "2001:db8:d:1:", "2001:db8:d:2:"))] == [True] * 3
    at_ha = Wire(net, "core", "ha", mac_of(net, "ha", "eth0"))
    net["client"].run(f"ping -6 -c 1 -W 20 {lab.host}")
    at_mr = Wire(net, "ar1", "site", mac_of(net, "mr1", "eth0"))
    for wire, src, dst, data in (
        (at_ha, CLIENT, lab.host, b"down"), (at_mr, lab.host, CLIENT, b"upwards")):
        mark = wire.mark()
        if src == CLIENT:
            lab.client.send(echo(src, dst, data))
        else:
            pattern = data.hex()
            net["host"].run(f"ping -6 -c 1 -W 20 -p {pattern} {CLIENT}")
        ends = [(HA, c) for c in coas]
        if src != CLIENT:
            ends = [(b, a) for a, b in ends]
        outer = wire.wait("in three tunnels", mark, proto=TUNNEL, test=lambda p: data in p.data).ip
        assert headers(outer) == [*ends, (src, dst)]
    at_mr.close()
    # Each level takes 40 octets; hosts are told, in both directions.
    lab.passes(1500 - 3 * 40)
    lab.passes(1500 - 3 * 40, "host", CLIENT)
    assert not lab.ping(1500 - 3 * 40 + 1) and not lab.ping(1500 - 3 * 40 + 1, "host", CLIENT)

    server = Server(net, "host")
    tcp = TcpTransfer(net, "client", lab.host, server)
    tcp.wait_flowing()
    for mr in lab.mr:
        mr.events.forget()
    net.move(("visit:mr1", "two"))
    lab.mr[0].wait_event("mr.registered")
    assert lab.coa(1).startswith("2001:db8:b:") and [lab.coa(2), lab.coa(3)] == coas[1:]
    lab.passes(100)
    lab.wait_flow(3)
    result = tcp.stop()
    assert not result["broken"] and not result["corrupt"], result
    for mr in lab.mr[1:]:
        assert not [e for e in mr.events.poll()[mr.events.at:] if e["event"] == "mr.moved"]
    assert lab.counters(lab.ha)["rx_inner_source"] == 0
    at_ha.close()
    lab.stop()


def test_three_levels_with_a_limit(make_net, engine):
    """RFC 2473 s4.1: a limit of 4 is 2 in the outermost of three headers; MTUs reckon with it."""
    lab = Lab(make_net(topology()), engine, encap_limit=4)
    at_ha = Wire(lab.net, "core", "ha", mac_of(lab.net, "ha", "eth0"))
    lab.net["client"].run(f"ping -6 -c 1 -W 20 {lab.host}")
    mark = at_ha.mark()
    lab.client.send(echo(CLIENT, lab.host, b"limited"))
    outer = at_ha.wait("in three tunnels", mark, test=lambda p: b"limited" in p.data and p.data[6] == 60)
    assert [outer.data[at + 44] for at in (0, 48, 96)] == [2, 3, 4]
    lab.passes(1500 - 3 * 48)
    server = Server(lab.net, "host")
    tcp = TcpTransfer(lab.net, "client", lab.host, server)
    tcp.wait_flowing()
    lab.passes(1500 - 3 * 48, "host", CLIENT)
    result = tcp.stop()
    assert not result["broken"] and not result["corrupt"], result
    at_ha.close()
    lab.stop(plain=False)


def test_a_limit_that_does_not_suffice(make_net, engine):
    """RFC 2473 s4.1.1, s8.1: the router in the middle refuses, which the innermost relays."""
    lab = Lab(make_net(topology()), engine, encap_limit=1)
    ping = ["ping", "-6", "-c1", "-W20", CLIENT]
    wait_for(lambda: "unreachable" in lab.net["host"].out(ping, check=False).lower(), 20, "an error comes back")
    lab.stop(plain=False)


@pytest.mark.parametrize("path_mtu", [1280, 1319, 1400])
def test_a_narrow_path(make_net, engine, path_mtu):
    """RFC 2473 s7, s8: routers in the path tell, both ends take it in, small packets always pass."""
    lab = Lab(make_net(topology(path_mtu, n_routers=1)), engine, n_routers=1)
    most = max(1280, path_mtu - 40)
    for node, dst in (("client", lab.host), ("host", CLIENT)):
        for size in (most, path_mtu - 41, path_mtu - 40, 1272, 1280):
            lab.passes(size, node, dst)
        assert not lab.ping(most + 1, node, dst)
        big = ["ping", "-6", "-c1", "-W1", "-s", "4000", dst]  # in inner fragments, once all know
        wait_for(lambda: lab.net[node].run(big, check=False).returncode == 0, 10, "4000 octets")
    server = Server(lab.net, "host")
    tcp = TcpTransfer(lab.net, "client", lab.host, server, kbps=2000)
    tcp.wait_flowing()
    before = lab.counters(lab.ha)["tx_fragmented"], lab.counters(lab.mr[0])["tx_fragmented"]
    lab.wait_flow(1)
    result = tcp.stop()
    assert not result["broken"] and not result["corrupt"], result
    for daemon, n in zip((lab.ha, lab.mr[0]), before):
        c = lab.counters(daemon)
        assert c["icmp_mtu"] >= 1
        assert (c["tx_fragmented"] > n) == (path_mtu < 1320)
        if engine == "ebpf":  # else the kernel does it, uncounted
            assert (c["rx_reassembled"] > 0) == (path_mtu < 1320)
    lab.stop()


def test_the_visited_link_says_its_mtu(make_net, engine):
    """RFC 4861 s6.3.4: the router's MTU option holds for tunnel packets, too, until the next link."""
    lab = Lab(make_net(topology(n_routers=1, ra="AdvLinkMTU 1400;")), engine, n_routers=1)
    net = lab.net
    assert " mtu 1400" in net["mr1"].out("ip -6 route show default")
    assert " mtu 1360" in net["mr1"].out("ip -6 route show default table 139 dev nemo0")
    site = Wire(net, "ar1", "site", mac_of(net, "mr1", "eth0"))
    mark = site.mark()
    assert not lab.ping(1361, "host", CLIENT)
    lab.passes(1360, "host", CLIENT)
    assert max(p.ip.plen + 40 for p in site.packets(mark, proto=TUNNEL)) == 1400
    lab.mr[0].events.forget()
    net.move(("visit:mr1", "two"))
    lab.mr[0].wait_event("mr.registered")
    assert " mtu " not in net["mr1"].out("ip -6 route show default")
    wait_for(lambda: " mtu " not in net["mr1"].out("ip -6 route show default table 139 dev nemo0"),
             5, "the whole MTU again")
    site.close()
    lab.stop()

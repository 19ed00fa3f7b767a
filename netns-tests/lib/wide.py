"""The WIDE Cloud testbed: two sites, a home agent, ten mobile routers, with the configurations of
conf/wide-cloud/ as they are.

    client --- core --- (ha-sw) --- ha
                |
        +-------+--------+
      nezu             komatsu            access routers, radvd on both
        |                 |
     nezu-sw           komatsu-sw         site switches   \\
    /   |   \\           /     \\                            > bridges in 'fabric'
  nz1  nz2  nz3       km1     km2         hypervisors     /
   |    |
  mr1  mr2 ...                            mobile routers: eth0 up, eth1 inside
   |    |
  host1 host2 ...                         hosts that serve

With ipv4=True also an IPv4-only client, and a translator through which it reaches the hosts:

    client4 --- core --- nat              IPv4 from client4 to nat, and both families on nat's eth0
"""

import os
import re

from . import ROOT
from .capture import SIGNALLING, Capture, LeakCheck
from .daemon import Daemon, with_settings
from .topo import Link, Net, Node, Radvd, Topology

AGGREGATE = "2001:200:d00::/48"
HA = "2001:200:0:1c01::1"
CLIENT = "2001:200:0:1::2"
SITES = {
    "nezu": {"prefix": "2001:200:0:1c0a::/64", "hypervisors": ["nz1", "nz2", "nz3"]},
    "komatsu": {"prefix": "2001:200:0:1400::/64", "hypervisors": ["km1", "km2"]},
}
PREFIX4 = "2001:200:d00:100::/96"  # the IPv4 Internet as the networks see it
CLIENT4, NAT, NAT4 = "198.51.100.2", "2001:200:0:64::2", "203.178.136.2"
SERVICES4 = {n: f"203.178.138.{215 + n}" for n in range(1, 9)} | {9: "203.178.141.194"}
VISITED = [("nezu", "site"), ("komatsu", "site")]


def mnp(n):
    return f"2001:200:d00:{n:x}::/64"


def inside(n, host):
    """Address of a host of MR-n's network; 1 is the router."""
    return f"2001:200:d00:{n:x}::{host:x}"


def hypervisor(site, n):
    """Where MR-n runs when it is at a site."""
    all_of = SITES[site]["hypervisors"]
    return all_of[n % len(all_of)]


def conf(name):
    with open(os.path.join(ROOT, "conf", "wide-cloud", name + ".conf")) as f:
        return f.read()


def topology(routers=range(1, 11), second_uplink=(), bonded=(), ra_s=(200, 600), ipv4=False):
    """'second_uplink': routers with an eth2 at Komatsu; 'bonded': routers whose eth0 is a bond with
    a port at each site, which move by its failover; 'ra_s': interval of unsolicited RAs."""
    bridges = ["ha-sw"]
    for site, s in SITES.items():
        bridges += [f"{site}-sw", *s["hypervisors"]]
    nodes = [
        Node(
            "core",
            forward=True,
            routes=[
                f"{AGGREGATE} via {HA}",
                "2001:200:0:1c0a::/64 via 2001:200:0:ff0a::2",
                "2001:200:0:1400::/64 via 2001:200:0:ff14::2",
            ],
        ),
        Node("ha", forward=True, routes=["default via 2001:200:0:1c01::fe"]),
        Node("client", routes=["default via 2001:200:0:1::1"]),
        Node("nezu", forward=True, routes=["default via 2001:200:0:ff0a::1"]),
        Node("komatsu", forward=True, routes=["default via 2001:200:0:ff14::1"]),
        Node("fabric", bridges=bridges),
    ]
    links = [
        Link("core:ha", "fabric:core-ha@ha-sw", ["2001:200:0:1c01::fe/64"]),
        Link("ha:eth0", "fabric:ha@ha-sw", [f"{HA}/64"]),
        Link("client:eth0", "core:client", [f"{CLIENT}/64"], ["2001:200:0:1::1/64"]),
        Link("nezu:up", "core:nezu", ["2001:200:0:ff0a::2/64"], ["2001:200:0:ff0a::1/64"]),
        Link("komatsu:up", "core:komatsu", ["2001:200:0:ff14::2/64"], ["2001:200:0:ff14::1/64"]),
        Link("nezu:site", "fabric:nezu@nezu-sw", ["2001:200:0:1c0a::1/64"]),
        Link("komatsu:site", "fabric:komatsu@komatsu-sw", ["2001:200:0:1400::1/64"]),
    ]
    for site, s in SITES.items():
        for h in s["hypervisors"]:
            links.append(Link(f"fabric:{h}-up@{h}", f"fabric:{site}-{h}@{site}-sw"))
    for n in routers:
        # Forwarding is the administrator's to switch on, as on any router.
        bonds = {"eth0": ["nz0", "km0"]} if n in bonded else {}
        nodes += [
            Node(f"mr{n}", forward=True, bonds=bonds),
            Node(f"host{n}", routes=[f"default via {inside(n, 1)}"]),
        ]
        links += [
            Link(f"host{n}:eth0", f"mr{n}:eth1", [f"{inside(n, 2)}/64"], [f"{inside(n, 1)}/64"]),
            Link(
                f"mr{n}:{'nz0' if n in bonded else 'eth0'}",
                f"fabric:mr{n}@{hypervisor('nezu', n)}",
                real_dad=True,
            ),
        ]
        if n in bonded:
            links.append(Link(f"mr{n}:km0", f"fabric:mr{n}k@{hypervisor('komatsu', n)}"))
        if n in second_uplink:
            links.append(
                Link(f"mr{n}:eth2", f"fabric:mr{n}b@{hypervisor('komatsu', n)}", real_dad=True)
            )
    if ipv4:
        nodes += [Node("client4"), Node("nat", forward=True, routes=["default via 2001:200:0:64::1"])]
        links += [Link("client4:eth0", "core:client4"),
                  Link("nat:eth0", "core:nat", [f"{NAT}/64"], ["2001:200:0:64::1/64"])]
    radvds = [Radvd(f"{site}:site", s["prefix"], *ra_s) for site, s in SITES.items()]
    return Topology(nodes, links, radvds)


def add_ipv4(net, routers, on):
    """What of the testbed is IPv4: addresses and routes of client, core and translator, a service
    address in each network that has an IPv4 one, and the way from the home agent to the translator."""
    net["client4"].batch([f"addr add {CLIENT4}/24 dev eth0", "route add default via 198.51.100.1"], 4)
    net["core"].sysctl(**{"net.ipv4.ip_forward": 1})
    net["core"].batch(["addr add 198.51.100.1/24 dev client4", f"addr add 203.178.136.1/30 dev {on}",
                       f"route add 203.178.138.216/29 via {NAT4}",
                       f"route add 203.178.141.194/32 via {NAT4}"], 4)
    net[on].sysctl(**{"net.ipv4.ip_forward": 1})
    net[on].batch([f"addr add {NAT4}/30 dev eth0", "route add default via 203.178.136.1"], 4)
    if on == "nat":
        net["core"].batch([f"route add {PREFIX4} via {NAT}"])
        net["ha"].batch([f"route add {PREFIX4} via 2001:200:0:1c01::fe"])
    for n in routers:
        if n in SERVICES4:
            net[f"host{n}"].batch([f"addr add {inside(n, 0x80)}/64 dev eth0 nodad"])


class Wide:
    """The testbed running: net, ha, mr[n], with signalling captures and a leak check."""

    def __init__(self, net, routers, engine, settings=None, ipv4=None, on="nat", tenants=None):
        """'settings': {n: {key: value}} replaces settings in MR-n's configuration; 'ipv4': ones of
        the translator's, None: there is none; 'on': where it runs, "nat" or "ha"; 'tenants': {n: MR-n's}."""
        self.net = net
        self.leaks = LeakCheck(net, VISITED, [AGGREGATE])
        # In clear: the phases of a move are read from captures.
        common = {"engine": engine, "protection": "none"}
        ha_conf = with_settings(conf("nemo-ha"), common)
        for n, tenant in (tenants or {}).items():
            ha_conf = re.sub(rf'(name = "MR-{n}";.*tenant = )"wide"', rf'\1"{tenant}"', ha_conf)
        self.ha = Daemon(net, "ha", "nemo-ha", ha_conf).start()
        self.mr, self.uplink = {}, {}
        for n in routers:
            self.uplink[n] = Capture(net, f"mr{n}", "eth0", SIGNALLING)
            own = {**common, **(settings or {}).get(n, {})}
            self.mr[n] = Daemon(net, f"mr{n}", "nemo-mr", with_settings(conf(f"nemo-mr-{n}"), own))
            self.mr[n].start()
        for d in self.mr.values():
            d.wait_bound()
        self.nat = None
        if ipv4 is not None:
            self.nat = Daemon(net, on, "nemo-nat64", with_settings(conf("nat64"), ipv4)).start()

    def move(self, *routers, to, carrier=True):
        """Live migration of routers to a site (or to one hypervisor)."""
        bonded = [n for n in routers if f"mr{n}:eth0" in self.net.where]
        for n in bonded:
            self.net.fail_over(f"mr{n}", "eth0", {"nezu": "nz0", "komatsu": "km0"}[to])
        routers = [n for n in routers if n not in bonded]
        moves = [(f"fabric:mr{n}", hypervisor(to, n) if to in SITES else to) for n in routers]
        self.net.move(*moves, carrier=carrier)


def build(routers, engine, keep_in=None, settings=None, ipv4=None, on="nat", tenants=None, **how):
    """(Net, Wide): builds and starts everything; the caller closes the net.  The rest: see Wide."""
    net = Net(topology(routers, ipv4=ipv4 is not None, **how), keep_in)
    try:
        if ipv4 is not None:
            add_ipv4(net, routers, on)
        return net, Wide(net, routers, engine, settings, ipv4, on, tenants)
    except BaseException:
        net.report()
        net.keep()
        net.close()
        raise

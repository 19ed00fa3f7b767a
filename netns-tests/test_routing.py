"""Dynamic routing over the tunnel (RFC 3963 s8): BIRD on the home agent and on the mobile router speak
BGP between the home agent's address and the home address.

    client --- core --- ha                 2001:db8:c::2, home agent 2001:db8:ffff::1
              |    |
             ar1  ar2                      2001:db8:a::/64, 2001:db8:b::/64, radvd
              |    |
         (bridges in 'visit')
              |
             mr --- wing --- host          2001:db8:d:1::/64, configured; 2001:db8:500:1::/64, learned
"""

import os
import re

import pytest

from conftest import ENGINES
from lib import ROOT
from lib.capture import Capture, LeakCheck
from lib.daemon import Daemon
from lib.sealed import key_file
from lib.topo import Link, Node, Radvd, Topology
from lib.wait import wait_for
from test_payload import SECRET, needs_esp

HA, HOA, CLIENT, HOST = "2001:db8:ffff::1", "2001:db8:d::1", "2001:db8:c::2", "2001:db8:500:1::2"
MNP, RANGE, LEARNED = "2001:db8:d:1::/64", "2001:db8:500::/40", "2001:db8:500:1::/64"
LIFETIME_S = 8

TOPOLOGY = Topology(
    nodes=[
        Node("client", routes=["default via 2001:db8:c::1"]),
        Node("core", forward=True, routes=[
            "2001:db8:a::/64 via 2001:db8:e:1::2", "2001:db8:b::/64 via 2001:db8:e:2::2",
            f"2001:db8:d::/48 via {HA}", f"{RANGE} via {HA}"]),
        Node("ha", forward=True, routes=["default via 2001:db8:ffff::fe"]),
        Node("ar1", forward=True, routes=["default via 2001:db8:e:1::1"]),
        Node("ar2", forward=True, routes=["default via 2001:db8:e:2::1"]),
        Node("visit", bridges=["one", "two"]),
        Node("mr", forward=True),
        Node("wing", forward=True, routes=["default via 2001:db8:d:1::1"]),
        Node("host", routes=["default via 2001:db8:500:1::1"]),
    ],
    links=[
        Link("client:eth0", "core:client", [f"{CLIENT}/64"], ["2001:db8:c::1/64"]),
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:ffff::fe/64"]),
        Link("ar1:up", "core:ar1", ["2001:db8:e:1::2/64"], ["2001:db8:e:1::1/64"]),
        Link("ar2:up", "core:ar2", ["2001:db8:e:2::2/64"], ["2001:db8:e:2::1/64"]),
        Link("ar1:site", "visit:ar1@one", ["2001:db8:a::1/64"]),
        Link("ar2:site", "visit:ar2@two", ["2001:db8:b::1/64"]),
        Link("mr:eth0", "visit:mr@one", real_dad=True),
        Link("wing:eth0", "mr:eth1", ["2001:db8:d:1::9/64"], ["2001:db8:d:1::1/64"]),
        Link("host:eth0", "wing:eth1", [f"{HOST}/64"], ["2001:db8:500:1::1/64"]),
    ],
    radvds=[Radvd("ar1:site", "2001:db8:a::/64"), Radvd("ar2:site", "2001:db8:b::/64")],
)


class Bird:
    """BIRD with one of the example configurations, and its lines for the engine."""

    def __init__(self, net, node, engine):
        self.node = net[node]
        base = os.path.join(net.dir, f"bird-{node}")
        self.control = base + ".sock"
        with open(os.path.join(ROOT, "conf", "bird", f"{node}.conf")) as f:
            text = f.read().replace(f"#{engine}\t", "")
        with open(base + ".conf", "w") as f:
            f.write(text)
        self.log = open(base + ".log", "w")
        self.proc = net.started(self.node.popen(
            ["bird", "-f", "-c", base + ".conf", "-s", self.control, "-P", base + ".pid"],
            stdout=self.log, stderr=self.log))
        wait_for(lambda: os.path.exists(self.control), 10, f"bird on {node}")

    def ask(self, command):
        return self.node.run(["birdc", "-s", self.control, *command.split()], check=False).stdout


class Lab:
    def __init__(self, net, engine, keys=None):
        """'keys': signalling and payload under ESP."""
        self.net, self.engine = net, engine
        esp = {"payload": "esp", "protection": "esp"} if keys else {}
        own = {"keys": keys} if keys else {}
        self.leaks = LeakCheck(net, [("ar1", "site"), ("ar2", "site")], ["2001:db8:d::/48", RANGE])
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
            "aggregates": ["2001:db8:d::/48", RANGE], "engine": engine,
            "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [MNP], "learn": [RANGE],
                         "tenant": "one", **own}], **esp}).start()
        self.mr = Daemon(net, "mr", "nemo-mr", {
            "name": "MR-1", "home_address": HOA, "home_agents": [HA], "engine": engine,
            "mode": "implicit", "lifetime": LIFETIME_S, "announce": [RANGE],
            "uplinks": [{"interface": "eth0"}],
            "networks": [{"prefix": MNP, "interface": "eth1"}], **own, **esp}).start()
        self.mr.wait_bound()

    def birds(self):
        self.bird_ha, self.bird_mr = (Bird(self.net, node, self.engine) for node in ("ha", "mr"))
        self.ha.wait_event("route.learned", 30)
        return self

    def learned(self):
        return [p for b in self.ha.ask("bindings") for p in b["learned"]]

    def route(self):
        """Where the home agent's kernel sends packets for the second prefix."""
        return self.net["ha"].run(f"ip -6 route get {HOST}".split(), check=False).stdout

    def ping(self, node, dst):
        return self.net[node].run(
            ["ping", "-6", "-n", "-c1", "-W1", dst], check=False).returncode == 0

    def both_ways(self):
        wait_for(lambda: self.ping("client", HOST), 10, "host at home to the second prefix")
        wait_for(lambda: self.ping("host", CLIENT), 10, "and back")

    def gone(self):
        """No binding, no route, nothing comes through; and nothing leaks."""
        wait_for(lambda: not self.learned(), 30, "withdrawn")
        wait_for(lambda: "nemo0" not in self.route(), 30, "no route to the second prefix")
        assert not self.ping("client", HOST) and not self.ping("host", CLIENT)

    def back(self):
        self.mr.start()
        self.mr.wait_bound()
        wait_for(lambda: self.learned() == [LEARNED], 60, "learned again")
        self.both_ways()

    def counter(self, name):
        return next(c["value"] for c in self.ha.ask("stats")["counters"] if c["name"] == name)

    def session_since(self):
        """Seconds of the day at which the home agent's session with the router was established."""
        line = self.bird_ha.ask("show protocols mr1")
        h, m, s = re.search(r"(\d+):(\d+):([\d.]+)\s+Established", line).groups()
        return int(h) * 3600 + int(m) * 60 + float(s)

    def stop(self, traffic=True):
        self.mr.stop()
        self.leaks.check(saw_tunnel=traffic)


@pytest.fixture(params=ENGINES)
def lab(request, make_net):
    return Lab(make_net(TOPOLOGY), request.param)


def test_a_second_prefix_is_learned_and_withdrawn_with_the_binding(lab):
    lab.birds()
    assert lab.learned() == [LEARNED]
    assert "nemo0" in lab.route()
    lab.both_ways()
    # The other direction: the home network's routes at the mobile router, by way of the tunnel.
    wait_for(lambda: "2001:db8:c::/64" in lab.bird_mr.ask("show route"), 10, "home network's route")
    assert "dev nemo0" in lab.bird_mr.ask("show route all 2001:db8:c::/64").replace("on nemo0", "dev nemo0")

    lab.mr.stop()  # de-registers
    lab.ha.wait_event("binding.closed", 10)
    lab.gone()
    lab.back()
    lab.stop()


def test_a_learned_prefix_goes_when_the_binding_expires(lab):
    lab.birds()
    lab.both_ways()
    lab.mr.stop(9)
    lab.ha.wait_event("binding.expired", 3 * LIFETIME_S)
    lab.gone()
    lab.back()
    lab.stop()


def test_a_learned_prefix_follows_a_handover(lab):
    lab.birds()
    lab.both_ways()
    # BIRD shows when the session began, from two clocks: give or take a millisecond.
    since = lab.session_since()
    lab.net.move(("visit:mr", "two"))
    lab.ha.wait_event("binding.moved", 20)
    lab.both_ways()
    assert lab.learned() == [LEARNED]
    assert abs(lab.session_since() - since) < 1, "the session has seen nothing of it"
    assert not [e for e in lab.ha.events.poll() if e["event"] == "route.withdrawn"]
    lab.stop()


def test_a_withdrawn_route_is_no_longer_forwarded(lab):
    lab.birds()
    lab.both_ways()
    lab.bird_mr.ask("disable inside")
    lab.ha.wait_event("route.withdrawn", 10)
    lab.gone()
    assert lab.ha.ask("bindings")[0]["state"] == "bound"
    lab.bird_mr.ask("enable inside")
    lab.ha.wait_event("route.learned", 20)
    lab.both_ways()
    lab.stop()


def test_only_what_a_router_may_announce_is_learned(lab):
    """Default deny: without BIRD, which would filter it."""
    node = lab.net["ha"]

    def via(prefix, gateway=HOA, verb="add"):
        node.batch([f"route {verb} {prefix} via {gateway} dev nemo0 proto bird metric 2048"])

    via("2001:db8:666::/64")
    refused = lab.ha.wait_event("route.refused", 10)
    assert "2001:db8:666::/64" in refused["text"]
    via("2001:db8::/32")  # covers what may be announced, and more
    assert "2001:db8::/32" in lab.ha.wait_event("route.refused", 10)["text"]
    assert lab.learned() == [] and lab.counter("learn_refused") == 2
    for n in range(40):  # 32 at most, the configured one among them
        via(f"2001:db8:5{n:02x}::/48")
    wait_for(lambda: len(lab.learned()) == 31, 10, "as many as a tunnel may have")
    wait_for(lambda: lab.counter("learn_refused") == 2 + 9, 10, "the others are refused")
    via("2001:db8:500::/48", verb="del")
    wait_for(lambda: "2001:db8:500::/48" not in lab.learned(), 10, "withdrawn")
    wait_for(lambda: len(lab.learned()) == 31, 10, "one of the refused has room now")
    lab.stop(traffic=False)


@needs_esp
def test_routing_messages_are_confidential(make_net):
    """RFC 3963 s8, s9: with payload = "esp" they go through the tunnel like all else, in ESP."""
    net = make_net(TOPOLOGY)
    marker = b"\xff" * 16  # every BGP message begins with it (RFC 4271 s4.1)
    site = Capture(net, "ar1", "site", what="ip6", snap=2000)
    lab = Lab(net, "ip6tnl", key_file(net, "blue.keys", SECRET))
    inside = Capture(net, "mr", "nemo0", what="tcp port 179", snap=2000)
    lab.birds()
    assert lab.learned() == [LEARNED]
    lab.both_ways()
    for capture in site, inside:
        capture.stop()
    with open(inside.path, "rb") as f:
        assert marker in f.read(), "what would be seen"
    outside = [p for p in site.packets() if str(p.src) == HA or str(p.dst) == HA]
    assert outside and not [p for p in outside if p.proto == 41 or marker in p.payload]
    lab.stop(traffic=False)

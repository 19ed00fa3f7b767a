"""Two routers with one identity: what is left when a clone is started from a snapshot.

    core ---- ha                    home agent
     | \\
     a   b                          two sites, radvd on both
     |   |
    mr  clone                       the same configuration, the same keys
"""

import os
import secrets

import pytest

from lib.daemon import Daemon
from lib.topo import Link, Net, Node, Radvd, Topology
from lib.wait import wait_for

HA, HOME, MNP = "2001:db8:1::1", "2001:db8:d::1", "2001:db8:d:1::/64"
SITES = {"mr": "2001:db8:a::/64", "clone": "2001:db8:b::/64"}

TOPOLOGY = Topology(
    nodes=[
        Node("core", forward=True),
        Node("ha", forward=True, routes=["default via 2001:db8:1::fe"]),
        *(Node(n, forward=True) for n in SITES),
    ],
    links=[
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:1::fe/64"]),
        *(Link(f"{n}:eth0", f"core:{n}", [], [p.replace("::/", "::1/")]) for n, p in SITES.items()),
    ],
    radvds=[Radvd(f"core:{n}", p) for n, p in SITES.items()],
)


def start(net, protection):
    path = os.path.join(net.dir, "router.keys")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(f"psk router {secrets.token_hex(32)}\n")
    keys = {} if protection == "none" else {"keys": path}
    line = {"name": "router", "home_address": HOME, "prefixes": [MNP], "tenant": "t", **keys}
    ha = Daemon(net, "ha", "nemo-ha", {
        "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "protection": protection, "routers": [line],
    }).start()  # fmt: skip
    for node in SITES:
        Daemon(net, node, "nemo-mr", {
            "name": "router", "home_address": HOME, "home_agents": [HA], "protection": protection,
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": MNP, "interface": "lo"}],
            "heartbeat_misses": 0, **keys,
        }).start()  # fmt: skip
    return ha


def site_of(address):
    return next(n for n, p in SITES.items() if address.startswith(p.split("::")[0] + ":"))


@pytest.mark.parametrize("protection", ["none", "esp"])
def test_the_home_agent_tells_of_two_routers_with_one_identity(tmp_path, protection):
    with Net(TOPOLOGY, str(tmp_path)) as net:
        ha = start(net, protection)
        told = ha.wait_event("binding.contested", 60)
        assert told["name"] == "router" and told["level"] == "err"
        assert {site_of(told["care_of"]), site_of(told["old_care_of"])} == set(SITES)
        shown = wait_for(lambda: ha.ask("bindings"), 10, "a binding")[0]
        assert {site_of(shown["care_of"]), site_of(shown["contested_by"])} == set(SITES)
        assert ha.ask("routers")[0]["contested_by"]
        counters = ha.ask("stats")["counters"]
        assert next(c["value"] for c in counters if c["name"] == "contested") >= 1

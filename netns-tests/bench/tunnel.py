"""Throughput, packet rate and round trip through home agent and mobile router, against plain IPv6
forwarding through the same namespaces.

    client --- ha --- core (radvd) --- mr --- host

The host has two addresses: one of the moving network, reached through the tunnel between ha and
mr, and one of a prefix that is routed statically along the same hops.  Each measurement through
the tunnel has its plain counterpart within the same second or two, and gives one ratio: a machine
that others use too drifts by more than the difference, but not within a pair.  The figure is the
median of all pairs' ratios.  "down" is towards the host.
"""

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import ROOT, ns  # noqa: E402
from lib.daemon import Daemon  # noqa: E402
from lib.topo import Link, Net, Node, Radvd, Topology  # noqa: E402
from lib.traffic import MS, PROBE, Server, UdpProbe  # noqa: E402
from lib.wait import until, wait_for  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "21"))
TCP_S, PPS_S, RTT_S = 1, 1, 0.5
CLIENT_CPU, HOST_CPU = 0, 1  # both modes alike: the scheduler's moves would be the largest noise
TARGETS = {"tcp_ratio": (0.95, min), "pps_ratio": (0.85, min), "rtt_ratio": (1.2, max)}

CLIENT = "2001:db8:c::2"
HOST = {"tunnel": "2001:db8:d00:1::2", "plain": "2001:db8:a::2"}
HA, HOME = "2001:db8:1::1", "2001:db8:d00::1"
MR_MAC, MR_LINK_LOCAL = "02:00:00:00:01:01", "fe80::ff:fe00:101"

TOPOLOGY = Topology(
    nodes=[
        Node("client", routes=["default via 2001:db8:c::1"]),
        Node("ha", forward=True, routes=["default via 2001:db8:1::2"]),
        Node(
            "core",
            forward=True,
            routes=[f"2001:db8:c::/64 via {HA}", f"2001:db8:a::/64 via {MR_LINK_LOCAL} dev mr"],
        ),
        Node("mr", forward=True),
        Node("host"),
    ],
    links=[
        Link("client:eth0", "ha:client", [f"{CLIENT}/64"], ["2001:db8:c::1/64"]),
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:1::2/64"]),
        Link("mr:eth0", "core:mr", [], ["2001:db8:2::1/64"], real_dad=True, mac=MR_MAC),
        Link(
            "host:eth0",
            "mr:eth1",
            [f"{address}/64" for address in HOST.values()],
            ["2001:db8:d00:1::1/64", "2001:db8:a::1/64"],
        ),
    ],
    radvds=[Radvd("core:mr", "2001:db8:2::/64")],
)


PREFIX = "2001:db8:d00:1::/64"
MR = {"name": "MR-1", "home_address": HOME, "prefixes": [PREFIX], "tenant": "t"}


def start_ha(net, engine):
    settings = {
        "engine": engine,
        "protection": "none",
        "address": HA,
        "interfaces": ["eth0"],
        "home_prefixes": ["2001:db8:d00::/64"],
        "aggregates": ["2001:db8:d00::/48"],
        "routers": [MR],
    }
    return Daemon(net, "ha", "nemo-ha", settings).start()


def start_mr(net, engine):
    settings = {
        "engine": engine,
        "protection": "none",
        "name": "MR-1",
        "home_address": HOME,
        "home_agents": [HA],
        "uplinks": [{"interface": "eth0", "preference": 10}],
        "networks": [{"prefix": PREFIX, "interface": "eth1"}],
    }
    mr = Daemon(net, "mr", "nemo-mr", settings).start()
    mr.wait_bound()
    # The router lets nothing pass outside the tunnel; the plain prefix is an exception made here.
    for way in "from", "to":
        net["mr"].batch([f"rule add pref 900 {way} 2001:db8:a::/64 lookup main"])
    return mr


def start_daemons(net, engine):
    start_ha(net, engine)
    return start_mr(net, engine).status().get("engine")


class Bench:
    def __init__(self, net):
        self.net = net
        self.server = Server(net, "host", 5000)
        self.back = Server(net, "client", 5000)
        for node in "host", "client":
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            net.started(net[node].popen("iperf3 -s -p 5201", **quiet))
            sink = ["taskset", "-c", self._cpu(node), PROBE, "sink", "5002"]
            net.started(net[node].popen(sink, stdout=subprocess.DEVNULL))
        wait_for(lambda: ":5201" in net["host"].out("ss -Hltn"), 5, "iperf3 server")

    def source(self, mode):
        """Makes the host speak from the mode's address, through its router's address there."""
        gateway = HOST[mode][:-1] + "1"
        self.net["host"].batch([f"route replace default via {gateway} src {HOST[mode]}"])
        ping = f"ping -6 -c 1 -W 1 {HOST[mode]}"
        wait_for(
            lambda: self.net["client"].run(ping, check=False).returncode == 0, 10, f"{mode}: {ping}"
        )

    def tcp(self, mode, way):
        """Gb/s as received."""
        reverse = ["-R"] if way == "up" else []
        command = ["iperf3", "-c", HOST[mode], "-p", "5201", "-t", str(TCP_S), "-J", *reverse]
        command += ["-A", f"{CLIENT_CPU},{HOST_CPU}"]
        report = json.loads(self.net["client"].out(command))
        return report["end"]["sum_received"]["bits_per_second"] / 1e9

    def pps(self, mode, way):
        """Thousands of 64-octet datagrams per second that arrive at the receiver's interface."""
        sender, receiver = ("client", "host") if way == "down" else ("host", "client")
        target = HOST[mode] if way == "down" else CLIENT
        before, start = self._received(receiver), time.monotonic()
        flood = [PROBE, "flood", target, "5002", str(PPS_S)]
        self.net[sender].run(["taskset", "-c", self._cpu(sender), *flood])
        return (self._received(receiver) - before) / (time.monotonic() - start) / 1e3

    def _cpu(self, node):
        return str(HOST_CPU if node == "host" else CLIENT_CPU)

    def _received(self, node):
        return int(self.net[node].out("cat /sys/class/net/eth0/statistics/rx_packets"))

    def rtt(self, mode, _):
        """Median round trip in us."""
        probe = UdpProbe(self.net, "client", HOST[mode], self.server)
        probe.wait_flowing()
        until(time.monotonic() + RTT_S)
        probe.stop()
        return statistics.median(r[2] - r[1] for r in probe.echoes()) / MS * 1e3


TESTS = [  # key, way, unit
    ("tcp", "down", "Gb/s"),
    ("tcp", "up", "Gb/s"),
    ("pps", "down", "kpps"),
    ("pps", "up", "kpps"),
    ("rtt", "", "us"),
]


def measure(net):
    bench = Bench(net)
    results = {(mode, key, way): [] for mode in HOST for key, way, _ in TESTS}
    for n in range(ROUNDS):
        # Each measurement has its counterpart right after it; who is first alternates.
        for key, way, unit in TESTS:
            values = {}
            for mode in ("plain", "tunnel") if n % 2 == 0 else ("tunnel", "plain"):
                bench.source(mode)
                values[mode] = getattr(bench, key)(mode, way)
                results[mode, key, way].append(values[mode])
            print(
                f"  round {n + 1}/{ROUNDS}  {key} {way:<5} plain {values['plain']:8.2f}"
                f"  tunnel {values['tunnel']:8.2f} {unit}",
                flush=True,
            )
    return results


def label(key, way, unit):
    return "_".join(part for part in (key, way, unit) if part)


def summarize(results, engine):
    median = {k: statistics.median(v) for k, v in results.items()}
    ratio = {
        (k, w): statistics.median(
            t / p for t, p in zip(results["tunnel", k, w], results["plain", k, w])
        )
        for k, w, _ in TESTS
    }
    raw = {
        mode: {label(k, w, unit): round(median[mode, k, w], 3) for k, w, unit in TESTS}
        for mode in HOST
    }
    both = {k: {w: round(ratio[k, w], 3) for w in ("down", "up")} for k in ("tcp", "pps")}
    return {
        "tcp_ratio": both["tcp"],
        "pps_ratio": both["pps"],
        "rtt_ratio": round(ratio["rtt", ""], 3),
        "rounds": ROUNDS,
        "engine": engine,
        "kernel": platform.release(),
        "medians": raw,
    }


def show(s):
    title = f"median of {ROUNDS} rounds"
    print(f"\n  {title:<24}{'plain':>10}{'tunnel':>10}{'ratio':>8}{'target':>9}")
    for key, way, unit in TESTS:
        name = label(key, way, unit)
        ratio = s[f"{key}_ratio"][way] if way else s[f"{key}_ratio"]
        target, worse = TARGETS[f"{key}_ratio"]
        met = worse(ratio, target) == target
        print(
            f"  {key + ' ' + way + ' ' + unit:<24}{s['medians']['plain'][name]:>10.2f}"
            f"{s['medians']['tunnel'][name]:>10.2f}{ratio:>8.3f}"
            f"{('>= ' if worse is min else '<= ') + str(target):>9}{'' if met else '  missed'}"
        )


def main():
    ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
    ns.remove_leftovers()
    if os.getloadavg()[0] > 0.5:
        print(f"careful: the machine is busy (load {os.getloadavg()[0]:.1f}), figures will be off")
    with Net(TOPOLOGY) as net:
        engine = start_daemons(net, os.environ.get("NEMO_ENGINE", "auto"))
        print(f"tunnel engine {engine}, Linux {platform.release()}", flush=True)
        s = summarize(measure(net), engine)
    show(s)
    path = os.path.join(ROOT, "build", "bench", "tunnel.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(s, f, indent=1)
        f.write("\n")
    print(f"  engine {s['engine']}, Linux {s['kernel']}; {os.path.relpath(path, ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

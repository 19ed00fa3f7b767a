"""Throughput and packet rate of nemo-nat64's engines against plain forwarding of either family and
Debian's TAYGA, over the same namespaces.

    a ------ box ------ b        a: 2001:db8:a::2 = 203.0.113.1, 192.0.2.2
                                 b: 198.51.100.2 = 2001:db8:64::198.51.100.2, 2001:db8:b::2

"6to4" is from a to b, "4to6" from b to a.  In a round every translator (and the kernel's own
forwarding) is measured once, right after each other; the figures are medians of the rounds'
ratios.
"""

import contextlib
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
from lib.topo import Link, Net, Node, Topology, stop  # noqa: E402
from lib.traffic import PROBE  # noqa: E402
from lib.wait import wait_for  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = 1
CPU = {"a": "0", "b": "1"}
PREFIX = "2001:db8:64::"
A6, A4, A_MAPPED = "2001:db8:a::2", "192.0.2.2", "203.0.113.1"
B6, B4 = "2001:db8:b::2", "198.51.100.2"
PLAIN6, PLAIN4 = {"6to4": B6, "4to6": A6}, {"6to4": B4, "4to6": A4}
TRANSLATED = {"6to4": PREFIX + B4, "4to6": A_MAPPED}
WAYS = {"6to4": ("a", "b"), "4to6": ("b", "a")}  # sender, receiver
N_MAPPINGS = 100_000

V4 = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0}
TOPOLOGY = Topology(
    nodes=[
        Node("a", routes=["default via 2001:db8:a::1"]),
        Node("box", forward=True, sysctl=V4),
        Node("b", routes=["default via 2001:db8:b::1"]),
    ],
    links=[
        Link("a:eth0", "box:left", [f"{A6}/64"], ["2001:db8:a::1/64"]),
        Link("b:eth0", "box:right", [f"{B6}/64"], ["2001:db8:b::1/64"]),
    ],
)


def settings(engine, more=()):
    own = [{"ipv4": A_MAPPED, "ipv6": A6}]
    return {
        "engine": engine,
        "interfaces": ["left", "right"],
        "prefixes": [{"prefix": PREFIX + "/96"}],
        "mappings": own,
        "address4": "198.51.100.1",
        "address6": "2001:db8:a::1",
        **({"mappings_file": more} if more else {}),
    }


@contextlib.contextmanager
def ours(net, engine, mappings=None):
    daemon = Daemon(net, "box", "nemo-nat64", settings(engine, mappings)).start()
    try:
        yield
    finally:
        daemon.stop()


@contextlib.contextmanager
def tayga(net):
    conf = os.path.join(net.dir, "tayga.conf")
    with open(conf, "w") as f:
        f.write("tun-device nat64\nipv4-addr 203.0.113.254\nipv6-addr 2001:db8:ffff::1\n")
        f.write(f"prefix {PREFIX}/96\nmap {A_MAPPED} {A6}\ndata-dir {net.dir}\n")
    box = net["box"]
    box.run(["tayga", "-c", conf, "--mktun"])
    daemon = box.popen(["tayga", "-c", conf, "-d"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        box.batch(["link set nat64 up", f"route add {PREFIX}/96 dev nat64"])
        box.batch(["route add 203.0.113.0/24 dev nat64"], 4)
        yield
    finally:
        stop(daemon)
        box.batch(["link delete nat64"])


def make_mappings(net):
    """A file of so many mappings, none of them used."""
    path = os.path.join(net.dir, "mappings")
    with open(path, "w") as f:
        for n in range(N_MAPPINGS - 1):
            f.write(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} 2001:db8:c:{n >> 16:x}::{n & 0xffff:x}\n")
    return path


class Bench:
    def __init__(self, net):
        self.net = net
        for node in WAYS:
            sender, _ = WAYS[node]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            net.started(net[sender].popen(["taskset", "-c", CPU[sender], "iperf3", "-s"], **quiet))
            sink = ["taskset", "-c", CPU[sender], PROBE, "sink", "5002"]
            net.started(net[sender].popen(sink, stdout=subprocess.DEVNULL))
            wait_for(lambda: ":5201" in net[sender].out("ss -Hltn"), 5, "iperf3 server")

    def reach(self, targets):
        for way, (sender, _) in WAYS.items():
            family = "-6" if ":" in targets[way] else "-4"
            ping = ["ping", family, "-c", "1", "-W", "1", targets[way]]
            wait_for(lambda: self.net[sender].run(ping, check=False).returncode == 0, 10, str(ping))

    def tcp(self, way, target):
        """Gb/s as received."""
        sender, receiver = WAYS[way]
        command = ["iperf3", "-c", target, "-t", str(SECONDS), "-J", "-A", f"{CPU[sender]},{CPU[receiver]}"]
        return json.loads(self.net[sender].out(command))["end"]["sum_received"]["bits_per_second"] / 1e9

    def pps(self, way, target):
        """Thousands of datagrams with 64 octets of UDP that arrive per second."""
        sender, receiver = WAYS[way]
        address = target if ":" in target else "::ffff:" + target
        before, start = self._received(receiver), time.monotonic()
        self.net[sender].run(["taskset", "-c", CPU[sender], PROBE, "flood", address, "5002", str(SECONDS)])
        return (self._received(receiver) - before) / (time.monotonic() - start) / 1e3

    def _received(self, node):
        return int(self.net[node].out("cat /sys/class/net/eth0/statistics/rx_packets"))


def measure(net):
    mappings = make_mappings(net)
    plain = contextlib.nullcontext
    modes = {
        "plain6": (PLAIN6, plain),
        "ebpf": (TRANSLATED, lambda: ours(net, "ebpf")),
        "ebpf100k": (TRANSLATED, lambda: ours(net, "ebpf", mappings)),
        "plain4": (PLAIN4, plain),
        "tun": (TRANSLATED, lambda: ours(net, "tun")),
        "tayga": (TRANSLATED, lambda: tayga(net)),
    }
    bench, results = Bench(net), {}
    for n in range(ROUNDS):
        order = list(modes) if n % 2 == 0 else list(reversed(modes))
        for mode in order:
            targets, translator = modes[mode]
            line = []
            with translator():
                bench.reach(targets)
                for what in "tcp", "pps":
                    for way in WAYS:
                        value = getattr(bench, what)(way, targets[way])
                        results.setdefault((mode, what, way), []).append(value)
                        line.append(f"{what} {way} {value:8.2f}")
            print(f"  round {n + 1}/{ROUNDS}  {mode:<9} {'  '.join(line)}", flush=True)
    return results


def summarize(results):
    """Ratios are medians of the rounds' ratios: what drifts between rounds does not matter."""

    def ratio(mode, what, way, *base):
        rounds = zip(results[mode, what, way], *(results[b, what, way] for b in base))
        return statistics.median(value / statistics.mean(bases) for value, *bases in rounds)

    def both(mode, what, *base):
        return {way: round(ratio(mode, what, way, *base), 3) for way in WAYS}

    many = [ratio("ebpf100k", t, w, "ebpf") for t in ("tcp", "pps") for w in WAYS]
    medians = {k: statistics.median(v) for k, v in results.items()}
    return {
        "ebpf": {
            "tcp_ratio": both("ebpf", "tcp", "plain6", "plain4"),
            "pps_ratio": both("ebpf", "pps", "plain6", "plain4"),
            "mappings_100k_ratio": round(statistics.mean(many), 3),
        },
        "tun": {
            "tcp_vs_tayga": both("tun", "tcp", "tayga"),
            "pps_vs_tayga": both("tun", "pps", "tayga"),
        },
        "rounds": ROUNDS,
        "kernel": platform.release(),
        "medians": {f"{mode}_{what}_{way}": round(v, 2) for (mode, what, way), v in medians.items()},
    }


def show(s):
    rows = [
        ("eBPF TCP / kernel", s["ebpf"]["tcp_ratio"], 0.95),
        ("eBPF 64-byte UDP / kernel", s["ebpf"]["pps_ratio"], 0.90),
        ("TUN TCP / TAYGA", s["tun"]["tcp_vs_tayga"], 3),
        ("TUN 64-byte UDP / TAYGA", s["tun"]["pps_vs_tayga"], 1),
    ]
    title = f"medians of {ROUNDS} rounds"
    print(f"\n  {title:<28}{'6to4':>8}{'4to6':>8}{'target':>9}")
    for name, values, target in rows:
        met = all(v >= target for v in values.values())
        print(
            f"  {name:<28}{values['6to4']:>8.3f}{values['4to6']:>8.3f}{f'>= {target}':>9}"
            f"{'' if met else '  missed'}"
        )
    many = s["ebpf"]["mappings_100k_ratio"]
    met = abs(1 - many) <= 0.05
    print(f"  {'100,000 mappings / 1':<28}{many:>8.3f}{'':>8}{'+- 5 %':>9}{'' if met else '  missed'}")


def main():
    ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
    ns.remove_leftovers()
    if os.getloadavg()[0] > 0.5:
        print(f"careful: the machine is busy (load {os.getloadavg()[0]:.1f}), figures will be off")
    with Net(TOPOLOGY) as net:
        for node, address, gateway in ("a", A4, "192.0.2.1"), ("b", B4, "198.51.100.1"):
            port = "left" if node == "a" else "right"
            net["box"].batch([f"addr add {gateway}/24 dev {port}"], 4)
            net[node].batch([f"addr add {address}/24 dev eth0", f"route add default via {gateway}"], 4)
        s = summarize(measure(net))
    show(s)
    path = os.path.join(ROOT, "build", "bench", "nat64.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(s, f, indent=1)
        f.write("\n")
    print(f"  Linux {s['kernel']}; {os.path.relpath(path, ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

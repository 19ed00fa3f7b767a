"""The home agent with 1, 100, 10,000 and 100,000 bindings: what one costs must not depend on how many
there are.

    fleet ---+
    client --- ha --- core (radvd) --- mr --- host

The bench of the tunnel, and beside its real router 'fleet', which plays all others with real
messages (tools/fleet.c).  nemo-ha has one processor, the fleet the other.
"""

import copy
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import bench.tunnel as tunnel  # noqa: E402
from lib import ROOT, ns  # noqa: E402
from lib.daemon import BUILD, Daemon  # noqa: E402
from lib.topo import Link, Net, Node  # noqa: E402
from lib.wait import until  # noqa: E402

SIZES = [int(n) for n in os.environ.get("SIZES", "1,100,10000,100000").split(",")]
ROUNDS = int(os.environ.get("ROUNDS", "5"))
RATE, STEADY_S = 5000, 5  # updates a second, seconds
TRIES = 3
HA_CPU, FLEET_CPU = "0", "1"
FLEET, HA_AT_FLEET = "2001:db8:f::2", "2001:db8:f::1"

TARGETS = {  # key of the result: (target, the worse of two, what)
    "check_s": (2, max, "configuration checked, s"),
    "start_s": (2, max, "start with all bindings stored, s"),
    "registrations_per_s": (5000, min, "first registrations a second"),
    "handovers_per_s": (20000, min, "handovers a second"),
    "handovers_per_s_clear": (40000, min, "handovers a second, unprotected"),
    "site_s": (10, max, "all hand over at once, s"),
    "ba_ms_p99": (5, max, f"update to answer at {RATE} a second, p99 ms"),
    "bytes_per_binding": (1024, max, "memory, octets a binding"),
    "tcp_ratio": (0.95, min, "TCP through the tunnel, of that with 1"),
    "pps_ratio": (0.95, min, "packets a second, of those with 1"),
}


def topology():
    t = copy.deepcopy(tunnel.TOPOLOGY)
    t.nodes.append(Node("fleet"))
    t.links.append(Link("fleet:eth0", "ha:fleet", [f"{FLEET}/64"], [f"{HA_AT_FLEET}/64"]))
    return t


def routers(n, keys):
    """The home agent's table: the fleet's n, and the real router."""
    more = {"protection": "auth-option", "keys": keys} if keys else {"protection": "none"}
    fleet = [
        {
            "name": f"r{i}",
            "home_address": f"2001:db8:d00::{(i >> 16) + 1:x}:{i & 0xffff:x}",
            "prefixes": [f"2001:db9:{i >> 16:x}:{i & 0xffff:x}::/64"],
            "tenant": f"t{i}",
            **more,
        }
        for i in range(n)
    ]
    return [{**tunnel.MR, "protection": "none"}, *fleet]


def ha_settings(n, keys):
    return {
        "engine": "ebpf",
        "address": tunnel.HA,
        "interfaces": ["eth0", "fleet"],
        "home_prefixes": ["2001:db8:d00::/64"],
        "aggregates": ["2001:db8:d00::/48", "2001:db9::/32"],
        "routers": routers(n, keys),
    }


class Fleet:
    def __init__(self, net, n, keys):
        self.n = n
        mac = net["ha"].out("cat /sys/class/net/fleet/address").strip()
        own = net["fleet"].out("cat /sys/class/net/eth0/address").strip()
        net["ha"].batch([
            f"route replace 2001:db8:c0a::/48 via {FLEET}",
            f"neigh replace {FLEET} lladdr {own} dev fleet nud permanent",
        ])
        command = [os.path.join(BUILD, "tools", "fleet"), "eth0", mac, tunnel.HA, str(n), keys or "none"]
        pipe = subprocess.PIPE
        self.proc = net["fleet"].popen(
            ["taskset", "-c", FLEET_CPU, *command], stdin=pipe, stdout=pipe, text=True
        )
        net.started(self.proc)
        assert json.loads(self.proc.stdout.readline())["ready"]

    def ask(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()
        answer = json.loads(self.proc.stdout.readline())
        if answer["refused"] or answer["lost"]:
            raise RuntimeError(f"fleet: {line}: {answer}")
        return answer

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(10)


def say(text):
    print(f"  {text}", flush=True)


class Bench:
    """One home agent with a table of 'n' routers of the fleet, protected by 'keys' or in clear."""

    def __init__(self, net, n, keys):
        self.net, self.n, self.keys = net, n, keys
        self.ha = Daemon(net, "ha", "nemo-ha", ha_settings(n, keys), name=f"ha-{bool(keys)}")
        self.start()
        self.empty = self.memory()
        self.fleet = Fleet(net, n, keys)
        self.bound = 0

    def start(self):
        """Seconds until it is ready."""
        before = time.monotonic()
        self.ha.start(timeout=120)
        took = time.monotonic() - before
        self.ha.events.close()  # every event of a hundred thousand routers is not the bench's
        self.ha.events = None
        os.sched_setaffinity(self.ha.proc.pid, {int(HA_CPU)})
        return took

    def check(self):
        """Seconds that -t takes."""
        before = time.monotonic()
        self.net["ha"].run([os.path.join(BUILD, "nemo-ha"), "-t", "-c", self.ha.conf_path])
        return time.monotonic() - before

    def memory(self):
        with open(f"/proc/{self.ha.proc.pid}/status") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

    def processor(self):
        """Seconds that the home agent has had."""
        with open(f"/proc/{self.ha.proc.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bind(self, n):
        """Registers, or de-registers, routers of the fleet until 'n' are bound."""
        answer = None
        if n > self.bound:
            answer = self.fleet.ask(f"move {self.bound} {n}")
        elif n < self.bound:
            answer = self.fleet.ask(f"end {n} {self.bound}")
        self.bound = n
        return answer

    def settle(self):
        """Until the home agent has nothing to do any more."""
        before = -1
        while before != self.processor():
            before = self.processor()
            until(time.monotonic() + 0.3)

    def move(self):
        return self.fleet.ask(f"move 0 {self.bound}")

    def close(self):
        self.fleet.close()
        self.ha.stop()


def per_s(answer):
    return answer["n"] / answer["seconds"]


def signalling(bench, result, clear):
    """First registrations, then handovers, at every size on the way to the largest."""
    seconds, costs = 0, {}
    for n in SIZES:
        answer = bench.bind(n)
        seconds += answer["seconds"]
        moves, before, times = 0, bench.processor(), []
        while moves < min(20000, 200 * n) or len(times) < 3:
            answer = bench.move()
            moves += n
            times.append(per_s(answer))
        costs[n] = {
            "handover_us": round((bench.processor() - before) / moves * 1e6, 1),
            "bytes": round((bench.memory() - bench.empty) / n) if n > 1000 else None,
        }
        say(f"{n:>7} bound, handovers {'in clear ' if clear else ''}{times[-1]:9.0f}/s")
    result["costs_clear" if clear else "costs"] = costs
    result["handovers_per_s_clear" if clear else "handovers_per_s"] = round(statistics.median(times))
    if clear:
        return
    result["registrations_per_s"] = round(bench.n / seconds)
    result["bytes_per_binding"] = costs[SIZES[-1]]["bytes"]
    result["site_s"] = round(statistics.median(bench.n / t for t in times), 2)
    result["ba_ms_p99"] = bench.fleet.ask(f"steady {RATE} {STEADY_S}")["ms"]["p99"]


def restart(bench, result):
    """A crash with all bindings: how long until it answers again, and what it has kept."""
    bench.ha.stop(signal.SIGKILL)
    result["start_s"] = round(bench.start(), 2)
    result["bindings_kept"] = bench.ha.status()["bindings"]
    result["bindings"] = bench.n
    bench.bound = result["bindings_kept"]


def forwarding(net, bench, result):
    """The real router's traffic while the fleet's bindings come and go, sizes interleaved.

    A second's figures lie up to a third apart at one and the same size, by what processors and
    host do meanwhile, which only takes away: the best of a few is what a size allows.
    """
    mr = tunnel.start_mr(net, "ebpf")
    traffic = tunnel.Bench(net)
    traffic.source("tunnel")
    seen = {n: {"tcp": [], "pps": []} for n in SIZES}
    for r in range(ROUNDS):
        for n in SIZES if r % 2 == 0 else SIZES[::-1]:
            bench.bind(n)
            bench.settle()
            for key, unit in ("tcp", "Gb/s"), ("pps", "kpps"):
                tries = [getattr(traffic, key)("tunnel", "down") for _ in range(TRIES)]
                seen[n][key].append(max(tries))
                say(f"round {r + 1}/{ROUNDS} {n:>7} bound, {key} {seen[n][key][-1]:8.2f} {unit}")
    mr.stop()
    result["forwarding"] = {
        n: {k: round(statistics.median(v), 3) for k, v in by.items()} for n, by in seen.items()
    }
    for key in "tcp", "pps":
        most, one = seen[SIZES[-1]][key], seen[SIZES[0]][key]
        result[f"{key}_ratio"] = round(statistics.median(a / b for a, b in zip(most, one)), 3)


def draw(result, path):
    """What a binding costs over their number: nothing may rise."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.5), constrained_layout=True)
    costs = result["costs"]
    some = [n for n in SIZES if costs[n]["bytes"]]
    lines = [
        ("processor time of a handover (us)", SIZES, [costs[n]["handover_us"] for n in SIZES]),
        ("memory of a binding (octets)", some, [costs[n]["bytes"] for n in some]),
        (
            "packets through the tunnel (thousand/s)",
            SIZES,
            [result["forwarding"][n]["pps"] for n in SIZES],
        ),
    ]
    for axis, (title, x, y) in zip(axes, lines):
        axis.plot(x, y, marker="o")
        axis.set_xscale("log")
        axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("bindings")
    figure.savefig(path)


def show(result):
    print(f"\n  {SIZES[-1]} bindings{'':<30}{'measured':>10}{'target':>12}")
    for key, (target, worse, what) in TARGETS.items():
        met = worse(result[key], target) == target
        want = f"{'>= ' if worse is min else '<= '}{target}"
        print(f"  {what:<42}{result[key]:>10}{want:>12}{'' if met else '  missed'}")
    kept, n = result["bindings_kept"], result["bindings"]
    print(f"  {'bindings kept over a crash':<42}{kept:>10}{n:>12}{'' if kept == n else '  missed'}")


def main():
    ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
    out = os.path.join(ROOT, "build", "bench")
    os.makedirs(out, exist_ok=True)
    result = {}
    net = Net(topology(), None)
    try:
        keys = os.path.join(net.dir, "fleet.keys")
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write("auth 1000 " + os.urandom(32).hex() + "\n")
        bench = Bench(net, SIZES[-1], None)
        signalling(bench, result, clear=True)
        bench.close()
        bench = Bench(net, SIZES[-1], keys)
        result["check_s"] = round(bench.check(), 2)
        signalling(bench, result, clear=False)
        restart(bench, result)
        forwarding(net, bench, result)
        bench.close()
    finally:
        net.close()
    result |= {"rounds": ROUNDS, "kernel": platform.release()}
    show(result)
    with open(os.path.join(out, "scale.json"), "w") as f:
        json.dump(result, f, indent=1)
    draw(result, os.path.join(out, "scale.svg"))
    print("  build/bench/scale.json, build/bench/scale.svg")


if __name__ == "__main__":
    main()

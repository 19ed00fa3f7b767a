"""Forged Binding Updates from many sources at a home agent, and what an honest router notices.

    bad ----- core ----- ha      2001:db8:a::1
               |
              mr                 2001:db8:b::2, the care-of address of all honest routers

60 routers with keys refresh their bindings twice a second, all the time.  Meanwhile one attacker
after the other (netns-tests/tools/flood.c) sends forged updates, each for SECONDS: one who knows
nothing, one who knows the home addresses, one who knows the SPIs as well, and one who spends all on
one of the routers.  The last one opens TCP connections to the key exchange's port, 1,000 a second, with
the first message of a TLS handshake and nothing after it.  A lost acknowledgement counts as 1 s.  The result's figures are those of the worst attacker.
"""

import contextlib
import json
import os
import platform
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import ROOT  # noqa: E402
from lib.daemon import BUILD, Daemon  # noqa: E402
from lib.topo import Link, Net, Node, Topology, stop  # noqa: E402

SECONDS = int(os.environ.get("SECONDS", "10"))
ENGINE = os.environ.get("ENGINE", "ebpf")
FORGED_PER_S, DIALS_PER_S, HONEST_PER_S, N = 50_000, 1_000, 120, 60
KINDS = tuple(os.environ.get("KINDS", "stranger clear esp target").split())
HA, COA = "2001:db8:a::1", "2001:db8:b::2"
FLOOD = os.path.join(BUILD, "tools", "flood")
LOST_MS = 1000.0

TOPOLOGY = Topology(
    nodes=[
        Node("core", forward=True),
        Node("ha", routes=["default via 2001:db8:a::fe"]),
        Node("mr", routes=["default via 2001:db8:b::fe"]),
        Node("bad", routes=["default via 2001:db8:c::fe"]),
    ],
    links=[
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:a::fe/64"]),
        Link("mr:eth0", "core:mr", [f"{COA}/64"], ["2001:db8:b::fe/64"]),
        Link("bad:eth0", "core:bad", ["2001:db8:c::2/64"], ["2001:db8:c::fe/64"]),
    ],
)


def routers(net):
    for i in range(N):
        path = os.path.join(net.dir, f"{i}.keys")
        key = f"{i + 1:02x}" * 32
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            for way in ("to-ha", "to-mr"):
                f.write(f"esp {way} {1000 + i} hmac-sha-256-128 {key} aes-cbc {key}\n")
        yield {"name": f"router-{i}", "home_address": f"2001:db8:d::1:{i:x}", "tenant": "one",
               "prefixes": [f"2001:db8:d:{i + 256:x}::/64"], "keys": path,
               "protection": "esp-static"}
    path = os.path.join(net.dir, "tls.keys")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(f"psk tls {'2a' * 32}\n")
    yield {"name": "tls", "home_address": "2001:db8:d::2", "tenant": "one", "keys": path}


def rss_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def p99(values):
    return round(statistics.quantiles(values, n=100)[98], 3)


class Bench:
    def __init__(self, net):
        self.net = net
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
            "aggregates": ["2001:db8:d::/48"], "engine": ENGINE, "protection": "esp",
            "routers": list(routers(net))}).start()
        self.ha.events.close()  # nobody reads them here
        self.ha.events = None
        self.record = os.path.join(net.dir, "honest")
        argv = [FLOOD, "honest", HA, str(N), str(HONEST_PER_S), "eth0", COA]
        with open(self.record, "w") as f:
            self.honest = net.started(net["mr"].popen(argv, stdout=f))

    def counters(self):
        return {c["name"]: c["value"] for c in self.ha.ask("stats")["counters"]}

    @contextlib.contextmanager
    def phase(self, name, out):
        pid, before = self.ha.proc.pid, self.counters()
        cpu, start = cpu_s(pid), time.monotonic_ns()
        yield
        end = time.monotonic_ns()
        out.update(cpu_percent=round((cpu_s(pid) - cpu) * 1e11 / (end - start), 1), rss_kb=rss_kb(pid))
        moved = {k: v - before[k] for k, v in self.counters().items() if v - before[k]}
        time.sleep(1.2)  # the last answers
        with open(self.record) as f:
            rows = [[int(x) for x in line.split()] for line in f]
        times = [us / 1000 if us >= 0 else LOST_MS for sent, us in rows if start <= sent < end]
        out.update(ba_ms_p50=round(statistics.median(times), 3), ba_ms_p99=p99(times), updates=len(times),
                   unanswered=times.count(LOST_MS), counters=moved)
        print(f"{name:10} {out}", flush=True)

    def quiet(self):
        out = {}
        with self.phase("quiet", out):
            time.sleep(SECONDS)
        return out

    def dial(self):
        out = {}
        argv = [FLOOD, "dial", HA, "7439", str(DIALS_PER_S), str(SECONDS)]
        with self.phase("tls", out):
            out["dials_per_s"] = int(self.net["bad"].out(argv))
        return out

    def forge(self, kind):
        out = {}
        argv = [FLOOD, "forge", kind, HA, str(N), str(FORGED_PER_S), str(SECONDS)]
        with self.phase(kind, out):
            out["forged_per_s"] = int(self.net["bad"].out(argv))
        return out


def measure(net):
    bench = Bench(net)
    time.sleep(2)  # every router has its tunnel
    quiet = [bench.quiet()]
    attackers = {kind: bench.forge(kind) for kind in KINDS}
    quiet.append(bench.quiet())
    dials = bench.dial()
    if bench.honest.poll() is not None:
        raise RuntimeError("the honest routers have ended: see above")
    stop(bench.honest)
    worst = max([*attackers.values(), dials], key=lambda a: a["ba_ms_p99"])
    return {
        "forged_per_s": min(a["forged_per_s"] for a in attackers.values()),
        "ba_ms_quiet_p99": max(q["ba_ms_p99"] for q in quiet),
        "ba_ms_flood_p99": worst["ba_ms_p99"],
        "rss_growth_kb": max(a["rss_kb"] for a in [*attackers.values(), dials]) - quiet[0]["rss_kb"],
        "engine": ENGINE, "kernel": platform.release(), "quiet": quiet, "attackers": attackers, "dials": dials,
    }


def main():
    with Net(TOPOLOGY) as net:
        result = measure(net)
    path = os.path.join(ROOT, "build", "bench", "flood.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    print(json.dumps({k: v for k, v in result.items() if k not in ("quiet", "attackers", "dials")}))


if __name__ == "__main__":
    main()

"""make drill-vm: a mobile router's virtual machine and a service's behind it live-migrate to and
fro while IPv6 and IPv4 clients use the service.

MOVES=20, ORDER=together (or "router first", "service first").  Writes build/drill/vm.json and a
picture, build/drill/vm.svg.  Fails if a TCP connection breaks or an HTTP request is lost.
MATRIX=1: see matrix.py.  ORDERS=1: see orders.py.  TURNS=1: see turns.py.
"""

import importlib
import json
import os
import signal
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import ROOT, ns  # noqa: E402
from lib.traffic import MS, TcpTransfer, UdpProbe, now_ns, percentile  # noqa: E402
from lib.wait import until  # noqa: E402
from vm import lab as labs  # noqa: E402

OUT = os.path.join(ROOT, "build", "drill")
MOVES = int(os.environ.get("MOVES", "20"))
ORDER = os.environ.get("ORDER", "together")
QUIET_S = 0.5  # watched on after traffic flows again
PORT, KBPS = 5000, 4000
FAMILIES = {"ipv6": "client", "ipv4": "client4"}


class Far:
    """The service machine as UdpProbe and TcpTransfer want a server."""

    node, port = "svc", PORT


class Traffic:
    """Probes, a TCP transfer and HTTP requests, over both families."""

    def __init__(self, lab, interval_us=1000, kbps=KBPS):
        host = {"ipv6": lab.address, "ipv4": labs.SERVICE4}
        mapped = {"ipv6": lab.address, "ipv4": "::ffff:" + labs.SERVICE4}
        self.probes, self.transfers, self.loops = {}, {}, {}
        for family, node in FAMILIES.items():
            self.probes[family] = UdpProbe(lab.net, node, mapped[family], Far, interval_us)
            self.transfers[family] = TcpTransfer(lab.net, node, mapped[family], Far, kbps)
            self.loops[family] = lab.http(node, host[family])

    def wait_flowing(self, timeout):
        for probe in self.probes.values():
            probe.wait_flowing(timeout)

    def gap(self, family, start, end):
        """(ms, its end) of the longest time without an echo that ends between two moments."""
        times = [r[2] for r in self.probes[family].echoes() if r[2] <= end]
        gaps = [(b - a, b) for a, b in zip(times, times[1:]) if b >= start]
        longest, at = max(gaps, default=(end - start, end))
        return longest / MS, at

    def stop(self):
        """What became of it, by family: {"tcp": ..., "http": ...}"""
        result = {}
        for family in FAMILIES:
            self.probes[family].stop()
            loop = self.loops[family]
            loop.send_signal(signal.SIGTERM)
            result[family] = {"tcp": self.transfers[family].stop(),
                              "http": json.loads(loop.communicate(timeout=60)[0])}  # fmt: skip
        return result


def union_ms(spans):
    """How long at least one of the spans lasts."""
    total, until_ns = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, until_ns))
        until_ns = max(until_ns, end)
    return total / MS


def one_move(lab, traffic, order=ORDER):
    start = now_ns()
    figures = lab.migrate(order)
    took = now_ns() - start
    traffic.wait_flowing(60)
    until(time.monotonic() + QUIET_S)
    end = now_ns()
    lab.stop_left()
    to_monotonic = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - time.time_ns()
    pause = union_ms([(f["stopped"], f["resumed"]) for f in figures.values()])
    resumed = max(f["resumed"] for f in figures.values()) + to_monotonic
    stopped = min(f["stopped"] for f in figures.values()) + to_monotonic
    move = {"to": lab.at, "guests": figures, "pause_ms": round(pause, 1), "start": start, "end": end,
            "resumed": resumed, "took_s": took / 1e9}  # fmt: skip
    for family in FAMILIES:
        gap, at = traffic.gap(family, stopped, end)
        move[family] = {"gap_ms": round(gap, 1), "network_ms": round(gap - pause, 1),
                        "after_resume_ms": round((at - resumed) / MS, 1)}  # fmt: skip
    return move


def breaks(result):
    """What a user would have noticed of Traffic.stop()'s result, as lines."""
    lines = []
    for family, t in result.items():
        if t["tcp"]["broken"] or t["tcp"]["corrupt"]:
            lines.append(f"{family}: the TCP connection is broken: {t['tcp']}")
        lines += [f"{family}: HTTP: {e}" for e in t["http"]["errors"]]
    return lines


def add_phases(moves, handovers):
    """The router's phases, ms after its hint; the first handover is the registration at boot."""
    for move, handover in zip(moves, handovers[-len(moves):]):
        move["phases"] = {k: v for k, v in handover["ms"].items() if v is not None}


def summarize(moves, traffic):
    gaps = [move[f]["gap_ms"] for move in moves for f in FAMILIES]
    after = [move[f]["after_resume_ms"] for move in moves for f in FAMILIES]
    rs_to_packet = [m["phases"]["first_packet"] - m["phases"]["rs"] for m in moves
                    if {"first_packet", "rs"} <= m.get("phases", {}).keys()]  # fmt: skip
    return {
        "moves": len(moves),
        "order": ORDER,
        "tcp_broken": sum(t["tcp"]["broken"] or t["tcp"]["corrupt"] for t in traffic.values()),
        "http_lost": sum(t["http"]["lost"] for t in traffic.values()),
        "http_errors": [e for t in traffic.values() for e in t["http"]["errors"]],
        "http_requests": sum(t["http"]["requests"] for t in traffic.values()),
        "gap_ms": {"p50": statistics.median(gaps), "p95": percentile(gaps, 0.95), "max": max(gaps)},
        "after_resume_ms": {"p50": statistics.median(after), "max": max(after)},
        "pause_ms": {"p50": statistics.median(m["pause_ms"] for m in moves)},
        "rs_to_first_packet_ms": {"p50": statistics.median(rs_to_packet)} if rs_to_packet else None,
        "per_move": moves,
    }


def show(s):
    print(f"\n  {'MOVE':<6}{'TO':<7}{'PAUSE':>7}{'GAP 6':>8}{'GAP 4':>8}{'AFTER 6':>9}{'AFTER 4':>9}   PHASES (ms)")
    for n, m in enumerate(s["per_move"], 1):
        phases = ", ".join(f"{k} {v:.1f}" for k, v in m.get("phases", {}).items() if k != "hint")
        print(f"  {n:<6}{m['to']:<7}{m['pause_ms']:>7.1f}{m['ipv6']['gap_ms']:>8.1f}"
              f"{m['ipv4']['gap_ms']:>8.1f}{m['ipv6']['after_resume_ms']:>9.1f}"
              f"{m['ipv4']['after_resume_ms']:>9.1f}   {phases}")  # fmt: skip
    gap, after = s["gap_ms"], s["after_resume_ms"]
    print(f"\n  gap seen by clients   p50 {gap['p50']:.0f} ms, p95 {gap['p95']:.0f}, max {gap['max']:.0f}"
          f"  (target p50 150; QEMU's pause {s['pause_ms']['p50']:.0f})")  # fmt: skip
    print(f"  after both resumed    p50 {after['p50']:.0f} ms, max {after['max']:.0f}  (target p50 100)")
    if s["rs_to_first_packet_ms"]:
        print(f"  first RS to packet    p50 {s['rs_to_first_packet_ms']['p50']:.0f} ms  (target 20)")
    print(f"  TCP connections broken {s['tcp_broken']}, HTTP requests lost {s['http_lost']} "
          f"of {s['http_requests']}" + "".join(f"\n    {e}" for e in s["http_errors"]))  # fmt: skip


def draw(traffic, moves, path):
    """Probe gaps over time with the moves marked, and the distribution of the outages."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, (over_time, spread) = pyplot.subplots(
        1, 2, figsize=(12, 4), width_ratios=[3, 1], constrained_layout=True
    )
    zero = moves[0]["start"]
    for family, colour in ("ipv6", "tab:blue"), ("ipv4", "tab:orange"):
        times = [r[2] for r in traffic.probes[family].echoes() if r[2] >= zero]
        over_time.plot([(t - zero) / 1e9 for t in times[1:]],
                       [(b - a) / MS for a, b in zip(times, times[1:])],
                       ".", markersize=2, color=colour, label=family)  # fmt: skip
        spread.ecdf = sorted(m[family]["gap_ms"] for m in moves)
        share = [(i + 1) / len(moves) for i in range(len(moves))]
        spread.step(spread.ecdf, share, where="post", color=colour, label=family)
    for m in moves:
        stops = [g["stopped"] for g in m["guests"].values()]
        resumes = [g["resumed"] for g in m["guests"].values()]
        begin = (m["resumed"] - (max(resumes) - min(stops)) - zero) / 1e9
        over_time.axvspan(begin, (m["resumed"] - zero) / 1e9, color="tab:red", alpha=0.4)
    over_time.set(yscale="log", xlabel="s", ylabel="ms between two echoes",
                  title="Probe (1/ms) during live migrations; red: a guest stands still")  # fmt: skip
    spread.set(xlabel="ms", ylabel="share of moves", title="Outage per move", ylim=(0, 1))
    over_time.legend()
    spread.legend()
    figure.savefig(path)


def main():
    if os.geteuid() != 0:
        print("the drill makes network namespaces: run as root", file=sys.stderr)
        return 2
    ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
    ns.remove_leftovers()
    for name in "matrix", "orders", "turns":
        if os.environ.get(name.upper()):
            return importlib.import_module(f"vm.{name}").main()
    print("starting the lab: half a minute", flush=True)
    net, lab = labs.build()
    with net:
        traffic, moves = Traffic(lab), []
        traffic.wait_flowing(20)
        for n in range(MOVES):
            moves.append(one_move(lab, traffic))
            m = moves[-1]
            print(f"  move {n + 1}/{MOVES} to {m['to']}: pause {m['pause_ms']:.0f} ms, gap "
                  f"{m['ipv6']['gap_ms']:.0f} ms (IPv4 {m['ipv4']['gap_ms']:.0f})", flush=True)  # fmt: skip
        add_phases(moves, lab.handovers())
        s = summarize(moves, traffic.stop())
        os.makedirs(OUT, exist_ok=True)
        draw(traffic, moves, os.path.join(OUT, "vm.svg"))
    show(s)
    with open(os.path.join(OUT, "vm.json"), "w") as f:
        json.dump(s, f, indent=1)
        f.write("\n")
    print("  build/drill/vm.json, build/drill/vm.svg")
    return 1 if s["tcp_broken"] or s["http_lost"] else 0


if __name__ == "__main__":
    sys.exit(main())

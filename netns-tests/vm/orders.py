"""make drill-vm ORDERS=1: which order of moving a router and the service behind it loses less.

Rounds of MOVES (4) moves with each order in turn, ROUNDS (3) of them: what else the machine does
meets all of them.  MEMORY=256 (MB, of the service).  Writes build/drill/vm-orders.json.
"""

import json
import os
import statistics

from . import drill
from . import lab as labs

JSON = os.path.join(drill.OUT, "vm-orders.json")
HEAD = f"  {'ORDER':<16}{'MOVES':>6}{'ALL OVER s':>12}{'PAUSE':>8}{'GAP p50':>9}{'p95':>7}{'MAX':>7}  (ms)"


def figures(order, moves):
    gaps = [m[f]["gap_ms"] for m in moves for f in drill.FAMILIES]
    return {
        "order": order,
        "moves": len(moves),
        "took_s": round(statistics.median(m["took_s"] for m in moves), 2),
        "pause_ms": round(statistics.median(m["pause_ms"] for m in moves), 1),
        "gap_ms": {"p50": round(statistics.median(gaps), 1),
                   "p95": round(drill.percentile(gaps, 0.95), 1), "max": max(gaps)},
    }  # fmt: skip


def line(r):
    gap = r["gap_ms"]
    return (f"  {r['order']:<16}{r['moves']:>6}{r['took_s']:>12.1f}{r['pause_ms']:>8.0f}"
            f"{gap['p50']:>9.0f}{gap['p95']:>7.0f}{gap['max']:>7.0f}")  # fmt: skip


def main():
    moves, rounds = int(os.environ.get("MOVES", "4")), int(os.environ.get("ROUNDS", "3"))
    memory_mb = int(os.environ.get("MEMORY", "256"))
    print("starting the lab: half a minute", flush=True)
    net, lab = labs.build(memory_mb=memory_mb)
    done = {order: [] for order in labs.ORDERS}
    with net:
        traffic = drill.Traffic(lab)
        traffic.wait_flowing(20)
        for n in range(rounds):
            for order, of in done.items():
                of += [drill.one_move(lab, traffic, order) for _ in range(moves)]
                gaps = ", ".join(f"{m['ipv6']['gap_ms']:.0f}" for m in of[-moves:])
                print(f"  round {n + 1}/{rounds}, {order}: gaps of {gaps} ms", flush=True)
        broken = drill.breaks(traffic.stop())
    rows = [figures(order, of) for order, of in done.items()]
    os.makedirs(drill.OUT, exist_ok=True)
    with open(JSON, "w") as f:
        json.dump({"memory_mb": memory_mb, "orders": rows, "moves": done}, f, indent=1)
        f.write("\n")
    print("\n" + HEAD)
    for what in [line(r) for r in rows] + broken:
        print(what)
    print(f"  {os.path.relpath(JSON, drill.ROOT)}")
    return 1 if broken else 0

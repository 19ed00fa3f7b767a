"""make drill-vm MATRIX=1: live migrations of guests of different sizes, over different distances,
with memory at rest or written to.

MEMORY=256,512,1024,2048 (MB, of the service; the router has 256), RTT=0.2,40 (ms, between the
sites), DIRTY=idle,sequential,random, MOVES=2 each.  What was measured before stays in the table:
the matrix can be run in pieces.  Writes build/drill/vm-matrix.json and vm-matrix.svg.
"""

import json
import os
import statistics
import time

from lib.traffic import percentile
from lib.wait import Timeout, until

from . import drill
from . import lab as labs

JSON, SVG = (os.path.join(drill.OUT, "vm-matrix." + suffix) for suffix in ("json", "svg"))
DIRTY_MB_PER_S = 30  # about what an emulated processor can do beside its traffic
KEY = ("memory_mb", "rtt_ms", "dirty")
MODES = ("idle", "sequential", "random")
SETTLE_S = 3  # what waits in TCP connections goes through, before they are ended


def wanted(name, default, kind):
    return [kind(v) for v in os.environ.get(name, default).split(",")]


def measure(lab, traffic, memory_mb, rtt_ms, mode, moves):
    """One line of the table; "failed" says why there are no figures."""
    lab.set_rtt(rtt_ms)
    traffic.wait_flowing(20)
    lab.dirty(mode, memory_mb // 2, DIRTY_MB_PER_S)
    row = dict(zip(KEY, (memory_mb, rtt_ms, mode)))
    try:
        done = [drill.one_move(lab, traffic) for _ in range(moves)]
    except (Timeout, RuntimeError) as e:
        return {**row, "failed": str(e).splitlines()[0]}
    guests = [m["guests"]["svc"] for m in done]
    gaps = [m[family]["gap_ms"] for m in done for family in drill.FAMILIES]
    return {
        **row,
        "moves": moves,
        "total_ms": statistics.median(g["total_ms"] for g in guests),
        "rounds": statistics.median(g["rounds"] for g in guests),
        "ram_mb": round(statistics.median(g["ram_mb"] for g in guests)),
        "pause_ms": round(statistics.median(m["pause_ms"] for m in done), 1),
        "gap_ms": round(statistics.median(gaps), 1),
        "gap_max_ms": round(percentile(gaps, 1), 1),
    }


HEAD = (f"  {'MEMORY':>6} {'RTT':>5} {'WRITTEN TO':<11}{'TOTAL s':>8}{'ROUNDS':>7}{'COPIED MB':>10}"
        f"{'PAUSE':>7}{'GAP':>8}{'MAX':>8}")  # fmt: skip


def line(r):
    start = f"  {r['memory_mb']:>6} {r['rtt_ms']:>5g} {r['dirty']:<11}"
    if "failed" in r:
        return f"{start}  {r['failed']}"
    return (f"{start}{r['total_ms'] / 1000:>8.2f}{r['rounds']:>7g}{r['ram_mb']:>10}"
            f"{r['pause_ms']:>7.0f}{r['gap_ms']:>8.0f}{r['gap_max_ms']:>8.0f}")  # fmt: skip


def known():
    try:
        with open(JSON) as f:
            return {tuple(r[k] for k in KEY): r for r in json.load(f)["rows"]}
    except (OSError, ValueError, KeyError):
        return {}


def order(r):
    return r["memory_mb"], r["rtt_ms"], MODES.index(r["dirty"])


def keep(row):
    """Adds a line to what was measured before; all of it, in order."""
    rows = {**known(), tuple(row[k] for k in KEY): row}
    rows = sorted(rows.values(), key=order)
    os.makedirs(drill.OUT, exist_ok=True)
    with open(JSON, "w") as f:
        json.dump({"dirty_mb_per_s": DIRTY_MB_PER_S, "rows": rows}, f, indent=1)
        f.write("\n")
    return rows


def draw(rows):
    """Total time and gap over memory, a line for each distance and way of writing."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(12, 4), constrained_layout=True)
    series = {}
    for r in rows:
        if "failed" not in r:
            series.setdefault((r["rtt_ms"], r["dirty"]), []).append(r)
    for (rtt, dirty), of in sorted(series.items()):
        style = "-" if rtt < 1 else "--"
        colour = f"C{MODES.index(dirty)}"
        for panel, key, scale in zip(panels, ("total_ms", "gap_ms"), (1000, 1)):
            panel.plot([r["memory_mb"] for r in of], [r[key] / scale for r in of], style,
                       marker="o", color=colour, label=f"{dirty}, {rtt:g} ms")  # fmt: skip
    for panel, title in zip(panels, ("Migration in all, s", "Gap seen by clients, ms")):
        panel.set(xlabel="MB of the service's memory", title=title, ylim=(0, None))
    panels[0].legend()
    figure.savefig(SVG)


def main():
    moves = int(os.environ.get("MOVES", "2"))
    distances = wanted("RTT", "0.2,40", float)
    modes = wanted("DIRTY", ",".join(MODES), str)
    rows, failed = [], False
    for memory_mb in wanted("MEMORY", "256,512,1024,2048", int):
        print(f"a service of {memory_mb} MB: starting the lab", flush=True)
        net, lab = labs.build(memory_mb=memory_mb, rtt_ms=distances[0])
        with net:
            traffic = drill.Traffic(lab)
            print(HEAD)
            for rtt_ms, mode in ((r, m) for r in distances for m in modes):
                row = measure(lab, traffic, memory_mb, rtt_ms, mode, moves)
                print(line(row), flush=True)
                rows = keep(row)
                if "failed" in row:  # half-migrated guests are of no more use
                    failed = True
                    break
            else:
                lab.dirty("idle")  # or the last octets don't come back in time
                traffic.wait_flowing(20)
                until(time.monotonic() + SETTLE_S)
            broken = drill.breaks(traffic.stop())
        for what in broken:
            print(f"  {what}")
        failed |= bool(broken)
    draw(rows)
    print("\n" + HEAD)
    for row in rows:
        print(line(row))
    print(f"  {os.path.relpath(JSON, drill.ROOT)}, {os.path.relpath(SVG, drill.ROOT)}")
    return 1 if failed else 0

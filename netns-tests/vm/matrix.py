"""make drill-vm MATRIX=1: live migrations of guests of different sizes, over different distances,
with memory at rest or written to.  MATRIX=rest: only what has not been measured yet.

MEMORY=256,512,1024,2048 (MB, of the service; the router has 256), RTT=0.2,40 (ms, between the
sites), DIRTY=idle,sequential,random, RATE=30 (MB/s written), MOVES=2 each, LIMIT=120 (s, for one
move).  What was measured before stays in the table: the matrix can be run in pieces.  A service that
writes faster than its memory is copied does not move: that is a result as well.  Fails if a TCP
connection breaks or an HTTP request is lost.  Writes build/drill/vm-matrix.json and vm-matrix.svg.
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
RATE = int(os.environ.get("RATE", "30"))  # about what an emulated processor can do beside its traffic
LIMIT_S = int(os.environ.get("LIMIT", "120"))
KEY = ("memory_mb", "rtt_ms", "dirty")
MODES = ("idle", "sequential", "random")
SETTLE_S = 3  # what waits in TCP connections goes through, before they are ended


def wanted(name, default, kind):
    return [kind(v) for v in os.environ.get(name, default).split(",")]


def measure(lab, traffic, cell, moves):
    """One line of the table; "failed" says why there are no figures."""
    row = dict(zip(KEY, cell))
    memory_mb, rtt_ms, mode = cell
    lab.set_rtt(rtt_ms)
    traffic.wait_flowing(20)
    lab.dirty(mode, memory_mb // 2, RATE)
    try:
        done = [drill.one_move(lab, traffic) for _ in range(moves)]
    except labs.NotMoved as e:
        return {**row, "limit_s": LIMIT_S, "not_moved": f"does not move: {e}"}
    except (Timeout, RuntimeError) as e:
        return {**row, "failed": str(e).splitlines()[0]}
    guests = [m["guests"]["svc"] for m in done]
    gaps = [m[family]["gap_ms"] for m in done for family in drill.FAMILIES]
    return {
        **row,
        "mb_per_s": RATE,
        "moves": moves,
        "total_ms": statistics.median(g["total_ms"] for g in guests),
        "rounds": statistics.median(g["rounds"] for g in guests),
        "ram_mb": round(statistics.median(g["ram_mb"] for g in guests)),
        "pause_ms": round(statistics.median(m["pause_ms"] for m in done), 1),
        "gap_ms": round(statistics.median(gaps), 1),
        "gap_max_ms": round(percentile(gaps, 1), 1),
        "broken": [f for f, t in traffic.transfers.items() if t.proc.poll() is not None],
    }


HEAD = (f"  {'MEMORY':>6} {'RTT':>5} {'WRITTEN TO':<11}{'TOTAL s':>8}{'ROUNDS':>7}{'COPIED MB':>10}"
        f"{'PAUSE':>7}{'GAP':>8}{'MAX':>8}")  # fmt: skip


def line(r):
    start = f"  {r['memory_mb']:>6} {r['rtt_ms']:>5g} {r['dirty']:<11}"
    if "gap_ms" not in r:
        return f"{start}  {r.get('failed') or r['not_moved']}"
    return (f"{start}{r['total_ms'] / 1000:>8.2f}{r['rounds']:>7g}{r['ram_mb']:>10}"
            f"{r['pause_ms']:>7.0f}{r['gap_ms']:>8.0f}{r['gap_max_ms']:>8.0f}"
            + "".join(f"  TCP over {f} broken" for f in r["broken"]))  # fmt: skip


def known():
    try:
        with open(JSON) as f:
            return {tuple(r[k] for k in KEY): r for r in json.load(f)["rows"]}
    except (OSError, ValueError, KeyError):
        return {}


def order(r):
    return r["memory_mb"], r["rtt_ms"], MODES.index(r["dirty"])


def keep(row):
    """Adds a line to what was measured before."""
    rows = sorted({**known(), tuple(row[k] for k in KEY): row}.values(), key=order)
    os.makedirs(drill.OUT, exist_ok=True)
    with open(JSON, "w") as f:
        json.dump({"rows": rows}, f, indent=1)
        f.write("\n")


def draw(rows):
    """Total time and gap over memory, a line for each distance and way of writing."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(12, 4), constrained_layout=True)
    series = {}
    for r in rows:
        if "gap_ms" in r:
            series.setdefault((r["rtt_ms"], r["dirty"]), []).append(r)
    for (rtt, dirty), of in sorted(series.items()):
        style = "-" if rtt < 1 else "--"
        colour = f"C{MODES.index(dirty)}"
        for panel, key, scale in zip(panels, ("total_ms", "gap_ms"), (1000, 1)):
            panel.plot([r["memory_mb"] for r in of], [r[key] / scale for r in of], style,
                       marker="o", color=colour, label=f"{dirty}, {rtt:g} ms")  # fmt: skip
    for r in rows:
        if "not_moved" in r:
            panels[0].plot(r["memory_mb"], r["limit_s"], "x", color=f"C{MODES.index(r['dirty'])}",
                           label=f"{r['dirty']}, {r['rtt_ms']:g} ms: does not move")  # fmt: skip
    sizes = sorted({r["memory_mb"] for r in rows})
    for panel, title in zip(panels, ("Migration in all, s", "Gap seen by clients, ms")):
        panel.set(xlabel="MB of the service's memory", title=title, ylim=(0, None), xticks=sizes)
    panels[0].legend(title="memory, round-trip time")
    figure.savefig(SVG)


def cells_to_measure():
    """[(memory, distance, mode)], a lab for each memory size."""
    sizes = wanted("MEMORY", "256,512,1024,2048", int)
    distances = wanted("RTT", "0.2,40", float)
    modes = wanted("DIRTY", ",".join(MODES), str)
    there = known() if os.environ["MATRIX"] == "rest" else {}
    there = {cell for cell, r in there.items() if "failed" not in r and not r.get("broken")}
    cells = [(m, r, d) for m in sizes for r in distances for d in modes]
    return [cell for cell in cells if cell not in there]


def measure_all(cells, moves):
    """Measures, prints and keeps; what a user would have noticed, as lines."""
    begin, noticed = time.monotonic(), []
    for memory_mb in dict.fromkeys(cell[0] for cell in cells):
        of_size = [cell for cell in cells if cell[0] == memory_mb]
        print(f"a service of {memory_mb} MB: starting the lab", flush=True)
        net, lab = labs.build(memory_mb=memory_mb, rtt_ms=of_size[0][1])
        with net:
            lab.limit_s = LIMIT_S
            # What is still zero is hardly copied: memory as after some days.
            lab.dirty("fill", memory_mb * 9 // 10 - 100)
            traffic = drill.Traffic(lab)
            print(HEAD + "   CELL   TIME")
            for cell in of_size:
                row = measure(lab, traffic, cell, moves)
                s = int(time.monotonic() - begin)
                print(f"{line(row)}   {cells.index(cell) + 1}/{len(cells)}   {s // 60}:{s % 60:02}", flush=True)
                keep(row)
                if "failed" in row:  # half-migrated guests are of no more use
                    noticed.append(f"{row['failed']}: the rest of {memory_mb} MB was not measured")
                    break
            else:
                lab.dirty("idle")  # or the last octets don't come back in time
                traffic.wait_flowing(20)
                until(time.monotonic() + SETTLE_S)
            noticed += [f"{memory_mb} MB: {what}" for what in drill.breaks(traffic.stop())]
    return noticed


def main():
    noticed = measure_all(cells_to_measure(), int(os.environ.get("MOVES", "2")))
    rows = sorted(known().values(), key=order)
    draw(rows)
    print("\n" + HEAD)
    for row in rows:
        print(line(row))
    for what in noticed:
        print(f"  {what}")
    print(f"  {os.path.relpath(JSON, drill.ROOT)}, {os.path.relpath(SVG, drill.ROOT)}")
    return 1 if noticed else 0

"""make drill-vm TURNS=1: wrong turns of a migration, under traffic.  Both sites' access routers
have the same address fe80::1 in all of them.

Fails if a TCP connection breaks, an HTTP request is lost, or the end is not the right one.
"""

import json
import shutil
import signal
import time

from lib.traffic import now_ns
from lib.wait import until, wait_for

from . import drill
from . import lab as labs

ABSENT_S = 5
REST_S = 3  # between two turns: one gap at a time


def site_of(lab):
    """Where the home agent believes the router to be."""
    at = lab.bound() or ""
    return next((hv for hv, p in labs.SITES.items() if at.startswith(p.split("::")[0] + ":")), None)


def settle(lab):
    wait_for(lambda: site_of(lab) == lab.at, 60, f"registered from {lab.at}")


def back_at_once(lab, traffic):
    """back before the home agent has heard of the first move"""
    lab.ha.proc.send_signal(signal.SIGSTOP)
    try:
        lab.migrate()
        lab.migrate()
    finally:
        lab.ha.proc.send_signal(signal.SIGCONT)


def no_router_there(lab, traffic):
    """no router at the destination for 5 s"""
    there = lab.net["hv-b" if lab.at == "hv-a" else "hv-a"]
    there.batch(["link set dev up nomaster"])
    try:
        lab.migrate()
        until(time.monotonic() + ABSENT_S)
    finally:
        there.batch(["link set dev up master uplink"])


def cancelled(lab, traffic):
    """cancelled half way"""
    before, handovers = lab.bound(), len(lab.handovers())
    lab.cancel_migration()
    if lab.bound() != before or len(lab.handovers()) != handovers:
        raise RuntimeError("the router noticed a migration that never was")


def clone(lab, traffic):
    """a clone started from a snapshot: two routers with one identity"""
    snapshot = lab.router.base + ".snapshot"
    lab.router.qmp.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 34})
    lab.router.qmp.ask("migrate", uri=f"exec:cat > {snapshot}")
    state = lambda: lab.router.qmp.ask("query-migrate").get("status")  # noqa: E731
    wait_for(lambda: state() == "completed", 60, "a snapshot")
    twin = lab.router.twin("hv-b" if lab.at == "hv-a" else "hv-a")
    twin.disk = snapshot + ".qcow2"
    shutil.copy(lab.router.disk, twin.disk)
    twin.incoming = f"exec:cat {snapshot}"
    lab.router.qmp.ask("cont")
    lab.ha.events.forget()
    twin.start(incoming=True)
    try:
        told = lab.ha.wait_event("binding.contested", 90)
        print(f"    {told['text']}")
    finally:
        twin.stop()


TURNS = (cancelled, no_router_there, back_at_once)


def run(lab, traffic, turn):
    start = now_ns()
    turn(lab, traffic)
    traffic.wait_flowing(60)
    settle(lab)
    lab.stop_left()
    until(time.monotonic() + REST_S)
    gaps = [traffic.gap(f, start, now_ns())[0] for f in drill.FAMILIES]
    print(f"  {turn.__doc__}: the longest gap was {max(gaps):.0f} ms; now on {lab.at}", flush=True)


def main():
    print("starting the lab: half a minute", flush=True)
    net, lab = labs.build()
    with net:
        traffic = drill.Traffic(lab)
        traffic.wait_flowing(20)
        for turn in TURNS:
            run(lab, traffic, turn)
        result = traffic.stop()
        broken = drill.breaks(result)
        print(f"  {clone.__doc__}:", flush=True)
        clone(lab, traffic)
        settle(lab)
        http = lab.http("client", lab.address, 5).communicate()[0]
        broken += [f"after the clone's end: {e}" for e in json.loads(http)["errors"]]
    requests = sum(t["http"]["requests"] for t in result.values())
    print(f"  {requests} HTTP requests: " + ("all is as expected" if not broken else "NOT as expected"))
    for line in broken:
        print(f"    {line}")
    return 1 if broken else 0

"""Back at Nezu before the move to Komatsu has registered."""

import time

from lib.capture import BU

QUICK = True


def run(d):
    d.start(routers=[1])
    d.traffic(1)
    for _ in range(2):
        with d.event("Komatsu and back at once", 1):
            d.move(1, to="komatsu")
            d.move(1, to="nezu")
        d.expect_at(1, "nezu")
    with d.event("back before the BA", 1):
        start = time.time_ns()
        d.net.move(("fabric:core-ha", ""), carrier=False)
        d.move(1, to="komatsu")
        d.wide.uplink[1].wait(
            lambda p: p.kind == ("mh", BU) and p.time > start, "a Binding Update from Komatsu"
        )
        d.move(1, to="nezu")
        d.net.move(("fabric:core-ha", "ha-sw"), carrier=False)
    d.expect_at(1, "nezu")
    with d.event("Nezu > Komatsu", 1):
        d.move(1, to="komatsu")
    d.expect_at(1, "komatsu")

"""Nothing shows the router that it has moved, but the orchestrator tells it: nemoctl mr rehome."""

QUICK = True


def run(d):
    d.start(routers=[1])
    d.traffic(1)
    for to, what in ("komatsu", "Nezu > Komatsu, told"), ("nezu", "Komatsu > Nezu, told"):
        with d.event(what, 1):
            d.move(1, to=to, carrier=False)
            d.nemoctl(1, "rehome")
        d.expect_at(1, to)

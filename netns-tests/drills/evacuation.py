"""All ten routers leave Nezu at once, and come back at once."""

QUICK = True
ROUTERS = range(1, 11)


def run(d):
    d.start(ROUTERS)
    d.traffic(*ROUTERS)
    for to, what in ("komatsu", "all: Nezu > Komatsu"), ("nezu", "all: Komatsu > Nezu"):
        with d.event(what, *ROUTERS):
            d.move(*ROUTERS, to=to)
        for n in ROUTERS:
            d.expect_at(n, to)

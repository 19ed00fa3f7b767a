"""Ten networks move between two sites, Nezu > Komatsu > Nezu, under live traffic: twenty moves."""

ROUTERS = range(1, 11)


def run(d):
    d.start(ROUTERS)
    for n in ROUTERS:
        d.traffic(n)
        for to, what in ("komatsu", "Nezu > Komatsu"), ("nezu", "Komatsu > Nezu"):
            with d.event(what, n):
                d.move(n, to=to)
            d.expect_at(n, to)
        d.traffic_ends(n)
    d.expect(len(d.rows) == 20, "twenty moves are measured")

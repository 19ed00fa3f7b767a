"""Ten networks move between two sites, Nezu > Komatsu > Nezu, under live traffic: twenty moves.

Nine of them have an IPv4 address, too: an IPv4-only client talks to them through nemo-nat64.
"""

ROUTERS = range(1, 11)


def run(d):
    d.start(ROUTERS, ipv4={})
    for n in ROUTERS:
        d.traffic(n)
        for to, what in ("komatsu", "Nezu > Komatsu"), ("nezu", "Komatsu > Nezu"):
            with d.event(what, n):
                d.move(n, to=to)
            d.expect_at(n, to)
        d.traffic_ends(n)
    d.expect(len(d.rows) == 20, "twenty moves are measured")
    d.expect(sum("outage4_ms" in r for r in d.rows) == 18, "eighteen of them by IPv4, too")

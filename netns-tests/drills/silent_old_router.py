"""The old router is gone without a word: no carrier event, only another router's beacons."""

QUICK = True


def run(d):
    d.start(routers=[1], ra_s=(3, 4))
    d.traffic(1)
    for to, what in ("komatsu", "Nezu > Komatsu, silent"), ("nezu", "Komatsu > Nezu, silent"):
        with d.event(what, 1):
            d.move(1, to=to, carrier=False)
        d.expect_at(1, to)

"""The access router of the new site is busy: its first RA comes after 3 s."""

from lib.drill import pause, resume

QUICK = True


def run(d):
    d.start(routers=[1])
    d.traffic(1)
    radvd = d.net.radvds["komatsu:site"]
    with d.event("Nezu > Komatsu, RA late", 1):
        pause(radvd)
        d.move(1, to="komatsu")
        d.after(3)
        resume(radvd)
    d.expect_at(1, "komatsu")
    d.expect(d.rows[-1]["outage_ms"] > 2900, "the router really was late")
    with d.event("Komatsu > Nezu", 1):
        d.move(1, to="nezu")
    d.expect_at(1, "nezu")

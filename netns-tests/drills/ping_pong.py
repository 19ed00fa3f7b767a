"""Back at Nezu before the move to Komatsu has registered."""

QUICK = True


def run(d):
    d.start(routers=[1])
    d.traffic(1)
    for _ in range(3):
        with d.event("Nezu > Komatsu > Nezu", 1):
            d.move(1, to="komatsu")
            d.move(1, to="nezu")
        d.expect_at(1, "nezu")
    with d.event("Nezu > Komatsu", 1):
        d.move(1, to="komatsu")
    d.expect_at(1, "komatsu")

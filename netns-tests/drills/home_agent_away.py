"""The home agent is unreachable for 10 s, from the middle of a move on."""


def run(d):
    d.start(routers=[1])
    d.traffic(1)
    with d.event("Nezu > Komatsu, HA away", 1, timeout=60):
        d.net.move(("fabric:core-ha", ""), carrier=False)
        d.move(1, to="komatsu")
        d.after(10)
        d.net.move(("fabric:core-ha", "ha-sw"), carrier=False)
    d.expect_at(1, "komatsu")
    d.expect(d.rows[-1]["outage_ms"] > 9900, "the home agent really was away")
    with d.event("Komatsu > Nezu", 1):
        d.move(1, to="nezu")
    d.expect_at(1, "nezu")

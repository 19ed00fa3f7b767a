"""A router with an uplink at each site loses one, and gets it back."""

QUICK = True
UPLINKS = [{"interface": "eth0", "preference": 10}, {"interface": "eth2", "preference": 5}]


def run(d):
    d.start(routers=[1], second_uplink=[1], settings={1: {"uplinks": UPLINKS}})
    d.traffic(1)
    with d.event("eth0 (Nezu) dies", 1):
        d.net["fabric"].batch(["link set mr1 down"])
    d.expect_at(1, "komatsu")
    with d.event("eth0 is back", 1):
        d.net["fabric"].batch(["link set mr1 up"])
    d.expect_at(1, "nezu")
    d.expect(d.rows[-1]["outage_ms"] < d.rows[0]["outage_ms"] + 1000, "coming back costs little")

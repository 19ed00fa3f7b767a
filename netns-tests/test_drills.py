"""The quick drills as tests: what they promise must hold; how fast it goes is not asserted."""

import pytest

from lib import drill, wide
from lib.traffic import Server, TcpTransfer, UdpProbe
from lib.wait import wait_for

QUICK = [name for name in drill.names() if getattr(drill.load(name), "QUICK", False)]


@pytest.mark.novm("many processes and a datagram per ms: too much for emulation")
@pytest.mark.parametrize("name", QUICK)
def test_drill(name, engine):
    summary = drill.run(name, engine)
    assert summary["tcp_broken"] == 0 and not summary["unmet"]
    assert summary["engine"] == engine


@pytest.mark.bonding
def test_a_migration_event_without_carrier_loss_moves_the_network(engine):
    """mr1's eth0 is a bond: its failover from Nezu to Komatsu tells NOTIFY_PEERS, as a live
    migration does, and the carrier stays.  RAs come too rarely to help."""
    net, w = wide.build([1], engine, bonded=[1])
    with net:
        server = Server(net, "host1")
        probe = UdpProbe(net, "client", wide.inside(1, 2), server, interval_us=10000)
        probe.wait_flowing(30)
        tcp = TcpTransfer(net, "client", wide.inside(1, 2), server, kbps=500)
        tcp.wait_flowing(30)
        for site in "komatsu", "nezu":
            before = w.mr[1].ask("handovers")[-1]["n"]
            w.move(1, to=site)
            wait_for(
                lambda: w.mr[1].ask("handovers")[-1]["n"] > before, 30, f"handover to {site}"
            )
            probe.wait_flowing(30)
            assert w.mr[1].ask("handovers")[-1]["cause"] == "migration event"
        probe.stop()
        transfer = tcp.stop()
        assert not transfer["broken"], transfer
        w.leaks.check()

"""An IPv4-only client and a host inside a moving network: nemo-nat64, nemo-ha and nemo-mr together,
with the configurations of conf/wide-cloud/ (drawing: lib/wide.py)."""

import errno
import os

import pytest

from lib import wide
from lib.capture import Capture
from lib.lab64 import ENGINES, IP_PMTUDISC_DO, Udp, ping
from lib.traffic import Server, TcpTransfer, UdpProbe
from lib.wait import wait_for

pytestmark = pytest.mark.novm("its parts are tested there one by one")
TUNNEL_MTU = 1460
MAPPED = "::ffff:" + wide.SERVICES4[1]


@pytest.fixture(scope="module", params=ENGINES)
def testbed(request):
    net, w = wide.build([1], "auto", ipv4={"engine": request.param})
    wait_for(lambda: " 0% packet loss" in ping(net, "client4", wide.SERVICES4[1]), 10,
             "client4 reaches the network")
    yield w
    if request.session.testsfailed:
        net.report()
    net.close()


def counter(w, name):
    return next(c["value"] for c in w.nat.ask("stats")["counters"] if c["name"] == name)


def test_tcp_survives_moves(testbed):
    w = testbed
    server = Server(w.net, "host1")
    probe = UdpProbe(w.net, "client4", MAPPED, server)
    probe.wait_flowing()
    tcp = TcpTransfer(w.net, "client4", MAPPED, server)
    for site in "komatsu", "nezu", "komatsu", "nezu":
        before = w.mr[1].ask("handovers")[-1]["n"]
        w.move(1, to=site)
        wait_for(lambda: w.mr[1].ask("handovers")[-1]["n"] > before, 20, f"handover to {site}")
        probe.wait_flowing(20)
    probe.stop()
    translated = counter(w, "translated_4to6")
    wait_for(lambda: counter(w, "translated_4to6") > translated + 500, 20, "TCP flows on")
    got = tcp.stop()
    server.stop()
    assert not got["broken"] and not got["corrupt"] and got["received"] == got["sent"] > 1 << 20
    w.leaks.check()


@pytest.mark.parametrize("engine", ENGINES)
def test_translator_and_home_agent_on_one_machine(engine):
    """The eBPF engine hands packets straight to the tunnel's programs, and takes them from there."""
    net, w = wide.build([1], "auto", ipv4={"engine": engine, "interfaces": ["eth0", "nemo0"]}, on="ha")
    with net:
        server = Server(net, "host1")
        probe = UdpProbe(net, "client4", MAPPED, server)
        probe.wait_flowing()
        tcp = TcpTransfer(net, "client4", MAPPED, server)
        tcp.wait_flowing()
        for site in "komatsu", "nezu":
            before = w.mr[1].ask("handovers")[-1]["n"]
            w.move(1, to=site)
            wait_for(lambda: w.mr[1].ask("handovers")[-1]["n"] > before, 20, f"handover to {site}")
            probe.wait_flowing(20)
        probe.stop()
        got = tcp.stop()
        assert not got["broken"] and not got["corrupt"]
        for name in "translated_4to6", "translated_6to4":
            c = next(c for c in w.nat.ask("stats")["counters"] if c["name"] == name)
            assert c[engine] > 0.9 * c["value"] > 0
        client = Udp(net, "client4", 4, discover=IP_PMTUDISC_DO).connect(wide.SERVICES4[1], 9)
        net["client4"].run("ip -4 route flush cache")
        client.send(bytes(1452))
        wait_for(lambda: client.path_mtu() == TUNNEL_MTU - 20, 3, lambda: f"1440, not {client.path_mtu()}")
        client.close()
        w.leaks.check()


def test_the_client_is_seen_by_its_ipv4_address(testbed):
    a, b = Udp(testbed.net, "client4", 4), Udp(testbed.net, "host1", 6)
    a.sendto(b"hello", wide.SERVICES4[1], b.port)
    data, (address, port) = b.wait("at the host")
    assert data == b"hello" and port == a.port
    assert address.startswith("2001:200:d00:100:") and address.endswith("c633:6402")
    b.close()
    a.close()


def test_path_mtu_of_tunnel_and_translation(testbed):
    """The tunnel takes 40 octets and the translation 20: 1440 for the client, 1460 for the host."""
    a = Udp(testbed.net, "client4", 4, discover=IP_PMTUDISC_DO)
    b = Udp(testbed.net, "host1", 6, discover=IP_PMTUDISC_DO)
    a.connect(wide.SERVICES4[1], b.port)
    testbed.net["client4"].run("ip -4 route flush cache")
    testbed.net["host1"].run("ip -6 route flush cache")
    assert a.send(bytes(1452)) is None
    assert a.error("too big") == errno.EMSGSIZE
    wait_for(lambda: a.path_mtu() == TUNNEL_MTU - 20, 3, lambda: f"1440, not {a.path_mtu()}")
    assert a.send(bytes(TUNNEL_MTU - 20 - 28)) is None
    assert len(b.wait("what fits")[0]) == TUNNEL_MTU - 48
    b.connect("2001:200:d00:100::" + wide.CLIENT4, a.port)
    assert b.send(bytes(1452)) is None
    assert b.error("too big") == errno.EMSGSIZE
    wait_for(lambda: b.path_mtu() == TUNNEL_MTU, 3, lambda: f"1460, not {b.path_mtu()}")
    a.close()
    b.close()


def test_nothing_of_ipv4_crosses_the_tunnel(testbed):
    """Translation is at the border: mobile networks stay IPv6-only."""
    seen = Capture(testbed.net, "host1", "eth0", "ip or ip6", name="host1-all")
    ping(testbed.net, "client4", wide.SERVICES4[1])
    seen.wait(lambda p: p.kind and p.kind[0] == "icmp6", "IPv6 at the host")
    ipv4 = Capture(testbed.net, "host1", "eth0", "ip", name="host1-ipv4")
    ping(testbed.net, "client4", wide.SERVICES4[1])
    assert os.path.getsize(ipv4.path) <= 24

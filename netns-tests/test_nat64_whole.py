"""An IPv4-only client and a host inside a moving network: nemo-nat64, nemo-ha and nemo-mr together,
with the configurations of conf/wide-cloud/ (drawing: lib/wide.py)."""

import errno
import ipaddress
import os
import re

import pytest

from lib import ROOT, wide
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


def advised_rule(mapped):
    """SECURITY.md, between tenants: for the networks of this testbed."""
    with open(os.path.join(ROOT, "doc", "SECURITY.md")) as f:
        [rule] = re.findall(r"^ +nft (add rule .* nemo0 .* drop)$", f.read(), re.M)
    address, length = mapped.split("/")
    here = ipaddress.ip_address(wide.PREFIX4.split("/")[0] + address)
    return rule.replace("2001:db8:64::c000:200/120", f"{here}/{96 + int(length)}")


@pytest.mark.parametrize("on, settings", [
    ("nat", {}), ("ha", {"engine": "ebpf", "forward": "stack", "interfaces": ["eth0", "nemo0"]})])
def test_a_translator_leads_from_tenant_to_tenant_unless_filtered(on, settings):
    """Two tenants without an allow line, a host of each with an IPv4 address: by these they reach each
    other, as anybody may who is outside; the rule of SECURITY.md ends that, and nothing else."""
    net, w = wide.build([1, 2], "auto", ipv4=settings, on=on, tenants={2: "other"})

    def reaches(to, wait_s=2):
        return net["host1"].run(f"ping -6 -c 1 -W {wait_s} -I {wide.inside(1, 0x80)} {to}", check=False).returncode == 0

    with net:
        around = wide.PREFIX4.split("/")[0] + wide.SERVICES4[2]
        outside = wide.PREFIX4.split("/")[0] + wide.CLIENT4
        assert not reaches(wide.inside(2, 0x80), 0.3), "not by their own addresses"
        wait_for(lambda: reaches(outside), 10, "the IPv4 client is reached")
        assert reaches(around), "a way around"
        net["ha"].run("nft add table inet filter")
        net["ha"].run(["nft", "add chain inet filter forward { type filter hook forward priority 0; }"])
        net["ha"].run(["nft", *advised_rule("203.178.138.216/29").split()])
        assert not reaches(around, 0.3) and reaches(outside)
        assert " 0% packet loss" in ping(net, "client4", wide.SERVICES4[2])


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

"""protection = "esp-static" against another implementation of ESP: the kernel's (RFC 3776 s3.1).

    ha or mr (ours) --- eth0 wire kernel --- peer      the other end's IPsec: `ip xfrm` in 'peer'

The messages are scapy's, on a raw socket in 'peer': its kernel protects them and opens what it gets.
Between its packets (home address and home agent, as ESP sees them) and the wire's the test does what
Mobile IPv6 does: Home Address option and care-of address, type 2 routing header.
"""

import socket
import subprocess

import pytest
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.daemon import Daemon
from lib.mipv6 import BU, MH, Fake, Router, Wire, ba, bu, chain, hao, mac_of, rh2, socket_in
from lib.sealed import (
    COA, GATEWAY, HA, HOA, NET, TO_HA, TO_HA_NULL, TO_MR, TO_MR_NULL, counters, esp_line, key_file,
)
from lib.topo import Link, Node, Topology
from lib.wait import patient, wait_for

ESP = 50
PEER = Link("wire:kernel", "peer:eth0")
AT_HA = Topology(
    nodes=[Node("wire"), Node("ha", forward=True, routes=[f"default via {GATEWAY}"]), Node("peer")],
    links=[Link("wire:eth0", "ha:eth0", [], [f"{HA}/64"]), PEER],
)
AT_MR = Topology(
    nodes=[Node("wire"), Node("mr", forward=True), Node("peer")],
    links=[Link("mr:eth0", "wire:eth0", real_dad=True), Link("mr:eth1", "wire:eth1"), PEER],
)


def state(src, dst, sa):
    cipher = f"enc 'cbc(aes)' 0x{sa['enc'].hex()}" if sa["enc"] else "enc 'ecb(cipher_null)' ''"
    return (f"ip xfrm state add src {src} dst {dst} proto esp spi {sa['spi']} mode transport "
            f"replay-window 32 auth-trunc 'hmac(sha256)' 0x{sa['mac'].hex()} 128 {cipher}")


def kernel_has_esp():
    add = " && ".join(state("::1", "::2", sa) for sa in (TO_HA, {**TO_HA_NULL, "spi": 999}))
    return subprocess.run(["unshare", "-n", "sh", "-c", add], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not kernel_has_esp(), reason="this kernel has no ESP for IPv6 (the VM's has)")


class Peer:
    """The kernel with the associations, for the end 'mine' of the two."""

    def __init__(self, net, mine, theirs, out, into):
        self.mine, self.theirs = mine, theirs
        self.node = net["peer"]
        mac = mac_of(net, "wire", "kernel")
        self.node.batch([f"addr add {mine}/128 dev eth0 nodad", f"route add {theirs}/128 dev eth0",
                         f"neigh add {theirs} lladdr {mac} dev eth0 nud permanent"])
        for command in (
            state(mine, theirs, out), state(theirs, mine, into),
            *(f"ip xfrm policy add src {a} dst {b} proto {MH} dir {way} tmpl src {a} dst {b} proto esp "
              "mode transport" for a, b, way in ((mine, theirs, "out"), (theirs, mine, "in"))),
        ):
            self.node.run(["sh", "-c", command])
        self.wire = Wire(net, "wire", "kernel", mac_of(net, "peer", "eth0"))
        self.socket = socket_in(self.node, socket.AF_INET6, socket.SOCK_RAW, MH)
        self.socket.settimeout(patient(3))
        self.socket.bind((mine, 0))

    def seal(self, message):
        """The ESP that the kernel makes of a message."""
        since = self.wire.mark()
        self.socket.sendto(message, (self.theirs, 0))
        packet = self.wire.wait("the kernel's ESP", since, proto=ESP, src=self.mine)
        assert packet.dst == self.theirs
        return packet.data[40:]

    def open(self, esp):
        """The message in ESP that came; the kernel has checked it, or TimeoutError."""
        self.wire.send(s6.IPv6(src=self.theirs, dst=self.mine, nh=ESP) / Raw(esp))
        return self.socket.recv(2048)

    def close(self):
        self.wire.close()
        self.socket.close()


def behind(headers, esp):
    headers.nh = ESP
    return headers / Raw(esp)


def registers(make_net, opened, to_ha, to_mr):
    """Registration, refresh with a refused prefix, de-registration; a bent packet is dropped."""
    net = make_net(AT_HA)
    net["ha"].batch([f"neigh add {GATEWAY} lladdr {mac_of(net, 'wire', 'eth0')} dev eth0 nud permanent"])
    keys = key_file(net, "esp.keys", esp_line("to-ha", to_ha), esp_line("to-mr", to_mr))
    ha = Daemon(net, "ha", "nemo-ha", {
        "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "protection": "esp-static",
        "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                     "keys": keys}]}).start()
    peer = opened(Peer(net, HOA, HA, to_ha, to_mr))
    wire = opened(Wire(net, "wire", "eth0", mac_of(net, "ha", "eth0")))

    def exchange(seq, **how):
        message = bytes(bu(COA, HA, HOA, seq, alt=COA, **how))[64:]
        since = wire.mark()
        wire.send(s6.IPv6(src=COA, dst=HA) / behind(hao(HOA), peer.seal(message)))
        answer = wire.wait("an answer", since, dst=COA)
        assert chain(answer.data) == [43, ESP] and answer.ip[s6.IPv6ExtHdrRouting].addresses == [HOA]
        got = s6.MIP6MH_BA(peer.open(answer.data[64:]))
        assert got.seq == seq
        return got.status

    assert exchange(1, mnps=[NET]) == 0
    assert [b["care_of"] for b in ha.ask("bindings")] == [COA]
    assert exchange(2, mnps=["2001:db8:d:2::/64"]) == 142
    esp = peer.seal(bytes(bu(COA, HA, HOA, 3, mnps=[], lifetime_s=0, alt=COA))[64:])
    wire.send(s6.IPv6(src=COA, dst=HA) / behind(hao(HOA), esp[:-1] + bytes([esp[-1] ^ 1])))
    wait_for(lambda: counters(ha)["esp_icv"] == 1, 10, "dropped")
    assert exchange(4, mnps=[], lifetime_s=0) == 0
    assert not [b for b in ha.ask("bindings") if b["state"] == "bound"]


def test_a_kernel_as_mobile_router(make_net, opened):
    registers(make_net, opened, TO_HA, TO_MR)


def test_a_kernel_as_mobile_router_without_a_cipher(make_net, opened):
    registers(make_net, opened, TO_HA_NULL, TO_MR_NULL)


class KernelAgent(Fake):
    """A visited link with a home agent behind it whose IPsec is the kernel's."""

    def __init__(self, net, peer):
        self.peer, self.got = peer, []
        super().__init__(net, "wire", "eth0", mac_of(net, "mr", "eth0"), ha=HA,
                         router=Router("2001:db8:a::/64", "02:00:00:00:00:0a"))

    def _answer(self, p):
        if p.dst != HA or chain(p.data)[-1] != ESP:
            super()._answer(p)
            return
        assert chain(p.data) == [60, ESP] and p.ip[s6.HAO].hoa == HOA
        message = self.peer.open(p.data[64:])
        if message[2] != BU:
            return
        update = s6.MIP6MH_BU(message)
        self.got.append(update)
        answer = ba(HA, p.src, HOA, update.seq, lifetime_s=update.mhtime * 4)
        esp = self.peer.seal(bytes(answer)[64:])
        self.send(s6.IPv6(src=HA, dst=p.src) / behind(rh2(HOA), esp), mac=self.router.mac)


def serves(make_net, opened, to_ha, to_mr):
    """Our router registers with it, and de-registers at the end."""
    net = make_net(AT_MR)
    keys = key_file(net, "esp.keys", esp_line("to-ha", to_ha), esp_line("to-mr", to_mr))
    agent = opened(KernelAgent(net, opened(Peer(net, HA, HOA, to_mr, to_ha))))
    mr = Daemon(net, "mr", "nemo-mr", {
        "name": "mr1", "home_address": HOA, "home_agents": [HA], "heartbeat": 0,
        "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
        "protection": "esp-static", "keys": keys}).start()
    mr.wait_bound()
    first = agent.got[0]
    assert set(str(first.flags)) == set("AHR") and first.mhtime == 150
    assert counters(mr)["esp_ok"] >= 1 and counters(mr)["esp_icv"] == 0
    mr.stop()
    assert agent.got[-1].mhtime == 0


def test_a_kernel_as_home_agent(make_net, opened):
    serves(make_net, opened, TO_HA, TO_MR)


def test_a_kernel_as_home_agent_without_a_cipher(make_net, opened):
    serves(make_net, opened, TO_HA_NULL, TO_MR_NULL)

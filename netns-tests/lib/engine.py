"""Tunnel engines and signalling capture, without the daemons (driven by tools/engine).

        left ---------------- box ---------------- right
      2001:db8:1::2   lan 2001:db8:1::1      2001:db8:f::2
                      wan 2001:db8:f::1      (all that is beyond: care-of addresses, home agent)

The box is a home agent (its moving networks are beyond 'right') or a mobile router (its own network
is 'left').  Packets are made and read by scapy on packet sockets at both sides.
"""

import json
import os
import select
import socket
import subprocess
import time

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import HBHOptUnknown, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from .topo import Link, Node, Topology
from .traffic import BUILD
from .wait import patient

ENGINE = os.path.join(BUILD, "tools", "engine")
CLIENT, BOX_LAN = "2001:db8:1::2", "2001:db8:1::1"
BOX, FAR = "2001:db8:f::1", "2001:db8:f::2"
COA, COA2, OTHER_COA = "2001:db8:a::2", "2001:db8:a::3", "2001:db8:b::2"
HOA, MNP, HOST = "2001:db8:99::1", "2001:db8:9::/64", "2001:db8:9::2"
OTHER_HOA, OTHER_MNP, OTHER_HOST = "2001:db8:99::2", "2001:db8:8::/64", "2001:db8:8::2"
HA = "2001:db8:a::1"  # of a box that is a mobile router
MTU = 1460
TEL, NO_NEXT = 4, 59

TOPOLOGY = Topology(
    nodes=[
        Node("left", routes=[f"default via {BOX_LAN}"]),
        Node(
            "box",
            forward=True,
            routes=[f"2001:db8:a::/64 via {FAR}", f"2001:db8:b::/64 via {FAR}"],
        ),
        Node("right", routes=[f"default via {BOX}"]),
    ],
    links=[
        Link("left:eth0", "box:lan", a=[f"{CLIENT}/64"], b=[f"{BOX_LAN}/64"]),
        Link("right:eth0", "box:wan", a=[f"{FAR}/64"], b=[f"{BOX}/64"]),
    ],
)
HA_PUT = f"put {HOA} {BOX} {COA} 1 routes {MNP} {HOA}/128"
OTHER_PUT = f"put {OTHER_HOA} {BOX} {OTHER_COA} 2 routes {OTHER_MNP} {OTHER_HOA}/128"
MR_PUT = f"put {HOA} {BOX} {HA} 0 oif wan routes ::/0 inner 2001:db8:1::/64 {HOA}/128"


class Port:
    """A packet socket on an interface of another namespace."""

    def __init__(self, node, ifname, peer, peer_if):
        self.sock = node.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x86DD))
        self.sock.bind((ifname, 0))
        self.mac = peer.mac(peer_if)

    def send(self, *packets):
        for p in packets:
            self.sock.send(bytes(Ether(dst=self.mac, type=0x86DD) / p))

    def send_often(self, packet, n):
        frame = bytes(Ether(dst=self.mac, type=0x86DD) / packet)
        for _ in range(n):
            self.sock.send(frame)

    def receive(self, wanted, timeout=5):
        """The next IPv6 packet, made by others, for which wanted(packet) is true; else None."""
        deadline = time.monotonic() + patient(timeout)
        while True:
            left = max(0, deadline - time.monotonic())
            if not select.select([self.sock], [], [], left)[0]:
                return None
            frame, address = self.sock.recvfrom(65536)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            packet = IPv6(frame[14:])
            if wanted(packet):
                return packet


class Engine:
    """tools/engine in a node: a line in, a JSON object out."""

    def __init__(self, net, node, *args):
        pipe = subprocess.PIPE
        self.proc = net[node].popen([ENGINE, *args], stdin=pipe, stdout=pipe, text=True)
        net.started(self.proc)
        self.hello = self.read()

    def read(self):
        line = self.proc.stdout.readline()
        return json.loads(line)

    def ask(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()
        return self.read()

    def do(self, *lines):
        for line in lines:
            answer = self.ask(line)
            assert answer["rc"] == 0, f"{line}: {answer}"
        return answer

    def drops(self):
        c = self.do("counters")
        return {k: v for k, v in c.items() if k not in ("rc", "counts") and v}

    def counts(self):
        return {k: v for k, v in self.do("counters")["counts"].items() if v}

    def leave(self):
        """The process ends and leaves everything installed."""
        self.proc.stdin.close()
        assert self.proc.wait(patient(10)) == 0


class Box:
    def __init__(self, net, kind, *args):
        self.net, self.kind, self.args = net, kind, args
        self.left = Port(net["left"], "eth0", net["box"], "lan")
        self.right = Port(net["right"], "eth0", net["box"], "wan")
        self.start()

    def start(self):
        self.engine = Engine(self.net, "box", *self.args, self.kind)
        if self.engine.hello["rc"] == -95:  # EOPNOTSUPP
            pytest.skip(self.engine.hello["why"])
        assert self.engine.hello["rc"] == 0, self.engine.hello
        self.engine.do("attach wan")

    def only(self, kind, why):
        if self.kind != kind:
            pytest.skip(f"{self.kind}: {why}")


@pytest.fixture(params=["ebpf", "ip6tnl"])
def kind(request):
    return request.param


@pytest.fixture
def ha(make_net, kind):
    """A home agent with two mobile routers, of tenants 1 and 2."""
    box = Box(make_net(TOPOLOGY), kind)
    box.engine.do(HA_PUT, OTHER_PUT)
    return box


@pytest.fixture
def mr(make_net, kind):
    net = make_net(TOPOLOGY)
    box = Box(net, kind, "-m", "-t", "100")
    net["box"].batch([
        "rule add from 2001:db8:1::/64 lookup 100 priority 100",
        "rule add to 2001:db8:1::/64 lookup main priority 50",
        f"route add {HA} via {FAR}",
    ])
    box.engine.do(MR_PUT)
    return box


def payload(text):
    return UDP(sport=1000, dport=1000) / Raw(text.encode())


def has(text):
    return lambda p: text.encode() in bytes(p)


def tunnel(inner, src=COA, dst=BOX, **kw):
    return IPv6(src=src, dst=dst, nh=41, **kw) / inner


def inner(src=HOST, dst=CLIENT, text="x", **kw):
    return IPv6(src=src, dst=dst, **kw) / payload(text)


def dest_options(*options):
    return IPv6ExtHdrDestOpt(nh=41, options=list(options), autopad=0)


def tel(limit):
    return HBHOptUnknown(otype=TEL, optlen=1, optdata=bytes([limit]))

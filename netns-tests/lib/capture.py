"""Captures (tcpdump) and the little of packets that the harness itself must read: when a router
advertisement came, when a Binding Update left, and whether anything escaped a tunnel."""

import ipaddress
import os
import struct

from .topo import stop
from .wait import wait_for

SIGNALLING = "icmp6 or ip6 proto 135 or ip6 proto 60 or ip6 proto 43 or ip6 proto 50"
NH_HOP, NH_ROUTING, NH_ICMP6, NH_DEST, NH_MH = 0, 43, 58, 60, 135
ETHERNET = 14
RS, RA, NS, NA = 133, 134, 135, 136
BU, BA = 5, 6


class Packet:
    """One captured IPv6 packet.  'time' is in ns of the wall clock."""

    def __init__(self, time, data):
        self.time, self.data = time, data
        self.src = ipaddress.IPv6Address(data[8:24])
        self.dst = ipaddress.IPv6Address(data[24:40])
        self.proto, at = data[6], 40
        while self.proto in (NH_HOP, NH_DEST, NH_ROUTING) and at + 2 <= len(data):
            self.proto, at = data[at], at + (data[at + 1] + 1) * 8
        self.payload = data[at:]
        self.kind = None
        if self.proto == NH_ICMP6 and self.payload:
            self.kind = ("icmp6", self.payload[0])
        elif self.proto == NH_MH and len(self.payload) > 2:
            self.kind = ("mh", self.payload[2])

    def addresses(self):
        """Source and destination, and those of the packet that an ICMPv6 error quotes."""
        yield from (self.src, self.dst)
        if self.kind and self.kind[0] == "icmp6" and self.kind[1] < 128 and len(self.payload) >= 48:
            yield ipaddress.IPv6Address(self.payload[16:32])
            yield ipaddress.IPv6Address(self.payload[32:48])

    def __repr__(self):
        return f"<{self.src} > {self.dst} {self.kind or self.proto}>"


def read_pcap(path):
    """Packets of an Ethernet capture with ns time stamps, as far as they are written."""
    with open(path, "rb") as f:
        data = f.read()
    at = 24
    while at + 16 <= len(data):
        seconds, ns, size, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + size]
        at += 16 + size
        if len(frame) >= ETHERNET + 40 and frame[12:14] == b"\x86\xdd":
            yield Packet(seconds * 10**9 + ns, frame[ETHERNET:])


class Capture:
    """tcpdump on one interface until stop(); returns when it really listens."""

    def __init__(self, net, node, interface, what="ip6", snap=256, name=None):
        self.node = node
        base = os.path.join(net.dir, name or f"{node}-{interface}")
        self.path, self.log_path = base + ".pcap", base + ".tcpdump"
        log = open(self.log_path, "w")
        self.proc = net[node].popen(
            ["tcpdump", "-n", "-U", "--immediate-mode", "--nano", "-Z", "root"]
            + ["-s", str(snap), "-i", interface, "-w", self.path, what],
            sysfs=False,
            stdout=log,
            stderr=log,
        )
        net.captures.append(self)
        wait_for(self._listens, 10, lambda: f"capture: {open(self.log_path).read()}")

    def _listens(self):
        if self.proc.poll() is not None:
            raise RuntimeError("tcpdump: " + open(self.log_path).read())
        return "listening on" in open(self.log_path).read()

    def packets(self, *kinds):
        """Packets so far; kinds such as ("mh", BU) or ("icmp6", RA)."""
        return [p for p in read_pcap(self.path) if not kinds or p.kind in kinds]

    def wait(self, test, what, timeout=10):
        """The first packet for which test(packet) is true."""
        return wait_for(lambda: next(filter(test, self.packets()), None), timeout, what)

    def stop(self):
        stop(self.proc)


class LeakCheck:
    """Nothing from or to the home aggregate may cross a visited link outside a tunnel: neither
    packets of moving networks nor ones with a home address in their IPv6 header."""

    def __init__(self, net, links, prefixes):
        """'links': ("node", "interface") of each visited link, best its access router's."""
        self.prefixes = [ipaddress.ip_network(p) for p in prefixes]
        # ICMPv6 errors too: they quote packets.
        what = "ip6 and (icmp6 and ip6[40] < 128 or " + " or ".join(f"net {p}" for p in prefixes) + ")"
        # Tunnel packets are counted by the first, so that "no leak" can't mean "no traffic".
        self.seen = [Capture(net, n, i, "ip6 proto 41", 64, f"tunnelled-{n}-{i}") for n, i in links]
        self.captures = [Capture(net, n, i, what, 256, f"leak-{n}-{i}") for n, i in links]

    def leaks(self):
        return [
            p
            for c in self.captures
            for p in c.packets()
            if any(a in net for net in self.prefixes for a in p.addresses())
        ]

    def check(self, saw_tunnel=True):
        found = self.leaks()
        assert not found, f"{len(found)} packets outside the tunnel: {found[:10]}"
        if saw_tunnel:
            assert any(os.path.getsize(c.path) > 24 for c in self.seen), "no tunnel packet seen"

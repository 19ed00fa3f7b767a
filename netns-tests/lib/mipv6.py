"""Mobile IPv6 by hand: packets made and read by scapy (and tshark), put on a namespace's wire and
taken off it, and a fake visited network with a home agent behind it for what a real one never does.
"""

import ctypes
import errno
import functools
import os
import select
import socket
import struct
import threading
import time

from scapy.layers import inet6 as s6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

from .wait import wait_for

SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33
SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
PACKET_OUTGOING = 4
TUNNEL, NO_NEXT, MH = 41, 59, 135
BU, BA, BE = 5, 6, 7
UNSPECIFIED, ALL_NODES = "::", "ff02::1"


# --- packets ---


def hao(*addresses):
    """A Destination Options header with Home Address options (RFC 6275 s6.3)."""
    return s6.IPv6ExtHdrDestOpt(options=[s6.HAO(hoa=a) for a in addresses])


def rh2(address):
    return s6.IPv6ExtHdrRouting(type=2, segleft=1, addresses=[address])


def mnp(prefix):
    """A Mobile Network Prefix option (RFC 3963 s4.3); the address is sent with its host bits."""
    address, _, length = prefix.partition("/")
    return s6.MIP6OptMobNetPrefix(prefix=address, plen=int(length))


def bu(coa, ha, hoa, seq, flags="AHR", lifetime_s=600, mnps=(), alt=None, options=(), source=None):
    """A Binding Update as RFC 6275 s11.7.1 and RFC 3963 s5 want it; 'hoa' None: without HAO."""
    options = list(options)
    if alt:
        options.append(s6.MIP6OptAltCoA(acoa=alt))
    options += [mnp(p) for p in mnps]
    message = s6.MIP6MH_BU(seq=seq, flags=flags, mhtime=lifetime_s // 4, options=options)
    ip = s6.IPv6(src=source or coa, dst=ha)
    return ip / hao(hoa) / message if hoa else ip / message


def ba(ha, coa, hoa, seq, status=0, flags="R", lifetime_s=600, options=()):
    message = s6.MIP6MH_BA(
        status=status, flags=flags, seq=seq, mhtime=lifetime_s // 4, options=list(options)
    )
    return s6.IPv6(src=ha, dst=coa) / rh2(hoa) / message


def raw_mh(coa, ha, hoa, kind, data, proto=NO_NEXT, size=None, headers=None):
    """Any Mobility Header: 'data' is what follows the checksum; its checksum is right.  'size' is
    Header Len, if it is to be another than the true one."""
    data += bytes(-(6 + len(data)) % 8)
    if size is None:
        size = (6 + len(data)) // 8 - 1
    head = struct.pack("!BBBBH", proto, size, kind, 0, 0)
    sum_ = checksum(hoa or coa, ha, (head + data)[: (size + 1) * 8])
    body = Raw(struct.pack("!BBBBH", proto, size, kind, 0, sum_) + data)
    if headers is None and not hoa:
        return s6.IPv6(src=coa, dst=ha, nh=MH) / body
    headers = headers or hao(hoa)
    headers.lastlayer().nh = MH
    return s6.IPv6(src=coa, dst=ha) / headers / body


def checksum(src, dst, message):
    """The Mobility Header checksum over these (home) addresses (RFC 6275 s6.1.1)."""
    return s6.in6_chksum(MH, s6.IPv6(src=src, dst=dst), message)


def message_of(packet):
    """The Mobility Header layer of a packet."""
    while not isinstance(packet, s6._MobilityHeader):
        packet = packet.payload
    return packet


def checksum_is_right(packet):
    """By scapy's own sum, which goes over the home address of a HAO or type 2 routing header."""
    again = s6.IPv6(bytes(packet))
    got, message_of(again).cksum = message_of(again).cksum, None
    if s6.IPv6ExtHdrDestOpt in again:
        # scapy 2.5 sums a home address only if its option is alone in the list.
        options = again[s6.IPv6ExtHdrDestOpt]
        options.options = [o for o in options.options if isinstance(o, s6.HAO)]
    return message_of(s6.IPv6(bytes(again))).cksum == got


def in_tunnel(local, remote, inner):
    return s6.IPv6(src=local, dst=remote) / inner


def echo(src, dst, data=b"", reply=False, seq=1, hop_limit=64):
    kind = s6.ICMPv6EchoReply if reply else s6.ICMPv6EchoRequest
    return s6.IPv6(src=src, dst=dst, hlim=hop_limit) / kind(id=7, seq=seq, data=data)


def options_of(message, kind):
    return [o for o in message.options if isinstance(o, kind)]


def option_offsets(message):
    """[(type, offset from the Mobility Header's start)] of all options that are no padding."""
    data, at, found = bytes(message), 12, []
    while at < len(data):
        if data[at] == 0:
            at += 1
            continue
        if data[at] != 1:
            found.append((data[at], at))
        at += 2 + data[at + 1]
    return found


def chain(packet):
    """The next header values of a packet, e.g. [60, 135]."""
    data, proto, at, found = bytes(packet), bytes(packet)[6], 40, []
    while True:
        found.append(proto)
        if proto not in (0, 43, 60):
            return found
        proto, at = data[at], at + (data[at + 1] + 1) * 8


def tshark(net, packets, *fields):
    """Values of tshark's fields, a list of strings per packet and field."""
    path = os.path.join(net.dir, f"tshark-{time.monotonic_ns()}.pcap")
    wrpcap(path, [Ether() / s6.IPv6(bytes(p)) for p in packets])
    argv = ["tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=|", "-E", "aggregator=;"]
    for field in fields:
        argv += ["-e", field]
    out = next(iter(net.nodes.values())).out(argv)
    rows = [line.split("|") for line in out.splitlines()]
    return [[cell.split(";") if cell else [] for cell in row] for row in rows]


# --- wires ---


def socket_in(node, *args):
    return node.socket(*args)


def mac_of(net, node, interface):
    return net[node].mac(interface)


def octets(mac):
    return bytes.fromhex(mac.replace(":", ""))


class Seen:
    """A packet off the wire: 'time' in ns of the wall clock, 'mac' of its sender."""

    def __init__(self, time_ns, frame):
        self.time, self.frame = time_ns, frame
        self.data = frame[14:]
        self.mac = ":".join(f"{b:02x}" for b in frame[6:12])
        self._ip = None

    @property
    def ip(self):
        if self._ip is None:
            self._ip = s6.IPv6(self.data)
        return self._ip

    @property
    def proto(self):
        return self.data[6]

    @property
    def src(self):
        return socket.inet_ntop(socket.AF_INET6, self.data[8:24])

    @property
    def dst(self):
        return socket.inet_ntop(socket.AF_INET6, self.data[24:40])

    @property
    def mh(self):
        """The Mobility Header's type, or None."""
        headers = chain(self.data)
        if headers[-1] != MH:
            return None
        at = 40
        for _ in headers[:-1]:
            at += (self.data[at + 1] + 1) * 8
        return self.data[at + 2]

    @property
    def icmp(self):
        return self.data[40] if self.proto == 58 else None

    def __repr__(self):
        return f"<{self.ip.summary()}>"


class Wire:
    """One end of a link, in our hands: sends any packet to 'to' (a MAC) and keeps what comes."""

    def __init__(self, net, node, interface, to):
        self.mac, self.to = mac_of(net, node, interface), to
        self.node, self.interface = net[node], interface
        self.socket = socket_in(self.node, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)  # past the system's limit
        # Without a protocol until now: else packets of other interfaces came first.
        self.socket.bind((interface, 0x86DD))
        self.socket.setblocking(False)
        self.seen = []

    def send(self, packet, mac=None, to=None, vlan=None):
        """'vlan': the identifier in a frame with a tag (0: one of priority only)."""
        head = octets(to or self.to) + octets(mac or self.mac)
        if vlan is not None:
            head += struct.pack("!HH", 0x8100, vlan)
        self.socket.send(head + b"\x86\xdd" + bytes(packet))

    def _receive(self):
        while True:
            try:
                frame, extra, _, address = self.socket.recvmsg(65536, 64)
            except (BlockingIOError, OSError):
                return  # ENETDOWN is told once when the interface goes down
            if address[2] == PACKET_OUTGOING or len(frame) < 54:
                continue
            stamp = next((d for _, t, d in extra if t == SO_TIMESTAMPNS), None)
            s, ns = struct.unpack("qq", stamp[:16]) if stamp else (0, 0)
            self.seen.append(Seen(s * 10**9 + ns, frame))

    def packets(self, since=0, **want):
        """What came, from the 'since'th on.  want: proto=, mh=, icmp=, src=, dst=."""
        self._receive()
        return [p for p in self.seen[since:] if all(getattr(p, k) == v for k, v in want.items())]

    def listen(self, on):
        """Nothing is heard while it is off: bulk traffic, which would have to be read and kept."""
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # BPF: return 0
        program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(nothing))
        if on:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        else:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)

    def mark(self):
        self._receive()
        return len(self.seen)

    def wait(self, what, since=0, timeout=3, test=None, **want):
        """The first such packet; 'what' is for the error."""
        return wait_for(
            lambda: next((p for p in self.packets(since, **want) if not test or test(p)), None),
            timeout,
            lambda: f"{what}; seen: {self.seen[since:][-12:]}",
        )

    def close(self):
        self.socket.close()


# --- a visited network ---


class Router:
    """An access router to be: its addresses and the prefix that it advertises."""

    def __init__(self, prefix, mac, lladdr="fe80::1", lifetime_s=1800):
        self.prefix, self.mac, self.lladdr, self.lifetime_s = prefix, mac, lladdr, lifetime_s

    def has(self, address):
        net, _, length = self.prefix.partition("/")
        a, b = (socket.inet_pton(socket.AF_INET6, x) for x in (net, address))
        return a[: int(length) // 8] == b[: int(length) // 8]


# A mobile router waits for these for as little as 30 ms: each is made once.
@functools.cache
def solicited(target, dst, mac):
    """A router's answer to a solicitation of its address."""
    na = s6.ICMPv6ND_NA(R=1, S=1, O=1, tgt=target) / s6.ICMPv6NDOptDstLLAddr(lladdr=mac)
    return bytes(s6.IPv6(src=target, dst=dst, hlim=255) / na)


@functools.cache
def advertised(prefix, src, mac, lifetime_s):
    """A router advertisement."""
    address, _, length = prefix.partition("/")
    ra = s6.ICMPv6ND_RA(chlim=64, routerlifetime=lifetime_s)
    pio = s6.ICMPv6NDOptPrefixInfo(
        prefixlen=int(length), L=1, A=1, validlifetime=86400, preferredlifetime=14400, prefix=address)
    return bytes(s6.IPv6(src=src, dst=ALL_NODES, hlim=255) / ra / pio / s6.ICMPv6NDOptSrcLLAddr(lladdr=mac))


class Fake(Wire):
    """The other end of a mobile router's uplink, alive in a thread: an access router (or none, or
    another one: 'router' may be changed at any time) and a home agent behind it.

    answer_rs, answer_ns: what the router does not ignore
    taken: addresses that some other node of the link defends against duplicates
    home_agent: function(fake, Seen BU) -> packets to send; see accept() and reject()
    """

    def __init__(self, net, node, interface, to, router=None, ha="2001:db8:ffff::1"):
        super().__init__(net, node, interface, to)
        self.router, self.ha = router, ha
        self.answer_rs = self.answer_ns = True
        self.taken, self.defended = (), []
        self.home_agent = accept
        self.error = None
        self.lock = threading.Lock()
        self._wake = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        at = 0
        try:
            while True:
                ready, _, _ = select.select([self.socket, self._wake[0]], [], [])
                if self._wake[0] in ready:
                    return
                with self.lock:
                    super()._receive()
                    new, at = self.seen[at:], len(self.seen)
                for packet in new:
                    try:
                        self._answer(packet)
                    except OSError as e:  # whom it would answer has gone meanwhile
                        if e.errno != errno.ENETDOWN:
                            raise
        except Exception as e:  # shown by the next packets()
            self.error = e

    def _receive(self):
        if self.error:
            raise self.error

    def mark(self):
        with self.lock:
            return len(self.seen)

    def _answer(self, p):
        r = self.router
        if p.icmp == 133 and r and self.answer_rs:
            self.advertise()
        elif p.icmp == 135:
            self._answer_ns(p, r)
        elif p.mh == BU and p.dst == self.ha and r:
            for packet in self.home_agent(self, p) or ():
                self.send(packet, mac=r.mac)

    def _answer_ns(self, p, r):
        target = socket.inet_ntop(socket.AF_INET6, p.data[48:64])
        if target in self.taken:
            # Another node of the link: it was there first, so it answers a DAD probe.
            self.defended.append(target)
            na = s6.ICMPv6ND_NA(R=0, S=0 if p.src == UNSPECIFIED else 1, O=1, tgt=target)
            other = s6.ICMPv6NDOptDstLLAddr(lladdr="02:00:00:00:0d:ad")
            dst = ALL_NODES if p.src == UNSPECIFIED else p.src
            to = "33:33:00:00:00:01" if p.src == UNSPECIFIED else self.to
            self.send(s6.IPv6(src=target, dst=dst, hlim=255) / na / other, "02:00:00:00:0d:ad", to)
        elif r and self.answer_ns and target == r.lladdr and p.src != UNSPECIFIED:
            self.send(solicited(target, p.src, r.mac), mac=r.mac)

    def advertise(self, router=None):
        """An unsolicited (or solicited) RA of the router."""
        r = router or self.router
        self.send(advertised(r.prefix, r.lladdr, r.mac, r.lifetime_s), r.mac, "33:33:00:00:00:01")

    def updates(self, since=0):
        return self.packets(since, mh=BU, dst=self.ha)

    def wait_update(self, what, since=0, timeout=5, **want):
        """The first BU whose fields are as wanted, e.g. mhtime=0."""

        def right(p):
            return all(getattr(p.ip[s6.MIP6MH_BU], k) == v for k, v in want.items())

        return self.wait(what, since, timeout, right, mh=BU, dst=self.ha)

    def close(self):
        os.write(self._wake[1], b"x")
        self.thread.join(5)
        super().close()


def accept(fake, packet, **how):
    """A home agent that accepts."""
    update = packet.ip[s6.MIP6MH_BU]
    how = {"seq": update.seq, "lifetime_s": update.mhtime * 4, **how}
    return [ba(fake.ha, packet.src, packet.ip[s6.HAO].hoa, **how)]


def reject(status):
    """A home agent that answers with this status."""
    return lambda fake, packet: accept(fake, packet, status=status, lifetime_s=0)


def silent(fake, packet):
    return []

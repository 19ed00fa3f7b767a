"""Protected signalling by hand: keys, authenticators and ESP by Python's own hmac and cryptography, a
home agent before which a peer can forge, and pairs of real daemons.

    wire (the Internet: every care-of address is here)           2001:db8:ffff::fe
      |
    eth0  2001:db8:ffff::1
    ha                      home network 2001:db8:d::/64, aggregate 2001:db8:d::/48
"""

import hashlib
import hmac
import os
import socket
import struct
import time
import zlib

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from .daemon import Daemon
from .mipv6 import BA, BU, MH, Wire, bu, checksum, hao, mac_of, message_of, raw_mh
from .topo import Link, Node, Radvd, Topology

# What messages and keys decide; the kernel sees no more of it than in other tests.
PROTOCOL = pytest.mark.novm("the protocol decides, whatever the kernel")

HA, GATEWAY = "2001:db8:ffff::1", "2001:db8:ffff::fe"
COA, COA2 = "2001:db8:a::2", "2001:db8:b::2"
HOA, HOA2, STRANGER = "2001:db8:d::1", "2001:db8:d::2", "2001:db8:d::99"
NET = "2001:db8:d:1::/64"
SECRET, SECRET2 = bytes(range(32)), bytes(range(100, 132))
NTP_1970 = 2208988800

TOPOLOGY = Topology(
    nodes=[Node("wire"), Node("ha", forward=True, routes=[f"default via {GATEWAY}"])],
    links=[Link("wire:eth0", "ha:eth0", [], [f"{HA}/64"])],
)
PAIR = Topology(
    nodes=[Node("ha", forward=True), Node("mr", forward=True)],
    links=[
        Link("mr:eth0", "ha:eth0", [], ["2001:db8:a::1/64"], real_dad=True),
        Link("mr:eth1", "ha:eth1", ["2001:db8:d:1::1/64"]),
    ],
    radvds=[Radvd("ha:eth0", "2001:db8:a::/64")],
)


def packed(address):
    return socket.inet_pton(socket.AF_INET6, address)


def hkdf(secret, info, size=32):
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    out = block = b""
    while len(out) < size:
        block = hmac.new(key, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:size]


def auth_key(secret, spi, ha=HA, hoa=HOA):
    return hkdf(secret, b"nemo auth-option MN-HA" + packed(ha) + packed(hoa) + struct.pack("!I", spi))


def ntp(offset_s=0):
    return int((time.time() + NTP_1970 + offset_s) * 2**32) & (2**64 - 1)


def mac(key, coa, hoa, covered):
    covered = covered[:4] + b"\0\0" + covered[6:]
    return hmac.new(key, packed(coa) + packed(hoa) + covered, hashlib.sha256).digest()[:16]


def options(*parts):
    """Options (type, data, x, y) with the padding that they want; offsets from the message's start."""
    out = b""
    for kind, data, x, y in parts:
        gap = -(12 + len(out) - y) % x
        out += b"\0" if gap == 1 else b"\1" + bytes([gap - 2]) + bytes(gap - 2) if gap else b""
        out += bytes([kind, len(data)]) + data
    return out


def auth_bu(seq, stamp=None, spi=256, secret=SECRET, coa=COA, hoa=HOA, lifetime_s=600, mnp=NET,
            bend=None, alt=None, ha=HA, with_stamp=True):
    """A Binding Update with RFC 4285's options, made by hand."""
    parts = [(3, packed(alt or coa), 8, 6)]
    if mnp:
        address, _, length = mnp.partition("/")
        parts.append((6, bytes([0, int(length)]) + packed(address), 8, 4))
    if with_stamp:
        parts.append((10, struct.pack("!Q", ntp() if stamp is None else stamp), 8, 2))
    parts.append((9, b"\1" + struct.pack("!I", spi) + bytes(16), 8, 1))
    body = struct.pack("!HHH", seq, 0xC400, lifetime_s // 4) + options(*parts)
    head = struct.pack("!BBBBH", 59, (6 + len(body)) // 8 - 1, BU, 0, 0)
    body = body[:-16] + mac(auth_key(secret, spi, ha, hoa), alt or coa, hoa, (head + body)[:-16])
    if bend is not None:
        body = body[:bend] + bytes([body[bend] ^ 1]) + (body[bend + 1:] if bend != -1 else b"")
    return raw_mh(coa, HA, hoa, BU, body)


def key_file(net, name, *lines):
    path = os.path.join(net.dir, name)
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write("".join(line + "\n" for line in lines))
    return path


def counters(daemon, group="protection"):
    return {c["name"]: c["value"] for c in daemon.ask("stats")["counters"] if c["group"] == group}


class Home:
    """A home agent whose routers have RFC 4285's option, and the wire before it."""

    def __init__(self, net):
        self.net = net
        mac_ = mac_of(net, "wire", "eth0")
        net["ha"].batch([f"neigh add {GATEWAY} lladdr {mac_} dev eth0 nud permanent"])
        self.wire = Wire(net, "wire", "eth0", mac_of(net, "ha", "eth0"))
        keys = key_file(net, "one.keys", f"auth 256 {SECRET.hex()}", f"auth 257 {SECRET2.hex()}")
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
            "aggregates": ["2001:db8:d::/48"], "protection": "auth-option",
            "routers": [
                {"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                 "keys": keys},
                {"name": "MR-2", "home_address": HOA2, "prefixes": ["2001:db8:d:2::/64"],
                 "tenant": "red", "protection": "none"},
            ],
        })

    def start(self, known=True):
        """'known': the home agent has served the router before and remembers."""
        self.last = 0
        if known:
            self.remember(ntp() - 1)
        self.ha.start()
        if known:
            assert self.status(self.bu(1)) == 0
        return self

    def remember(self, stamp):
        """A state file as an earlier run has left it."""
        record = struct.pack("HH", 64, 8) + packed(HA) + packed(HOA) + b"f" + bytes(7) + struct.pack("Q", stamp)
        with open(self.ha.state_path, "wb") as f:
            inode = os.fstat(f.fileno()).st_ino
            f.write(b"NEMOSTA1" + bytes(36) + b"\1\0\0\0" + struct.pack("Q", inode) + bytes(456))
            f.write((struct.pack("I", zlib.crc32(record)) + record).ljust(64, b"\0"))

    def bu(self, seq, **how):
        """With the time of day, or, right after a loss of memory, a little more."""
        self.last = max(ntp(), self.last + 1)
        return auth_bu(seq, stamp=self.last, **how)

    def answers(self, *packets):
        """What comes back; an update of MR-2, which has no protection, marks the end."""
        since = self.wire.mark()
        for packet in packets:
            self.wire.send(packet)
        self.mark = (getattr(self, "mark", 0) + 1) % 65536
        self.wire.send(bu(COA2, HA, HOA2, self.mark, mnps=[], alt=COA2))
        self.wire.wait("the end mark's answer", since, dst=COA2)
        return [p.ip for p in self.wire.packets(since, mh=BA) if p.dst != COA2]

    def status(self, packet):
        """The status of the one answer, which must be authentic."""
        got = self.answers(packet)
        assert len(got) == 1, got
        return self.check(got[0]).status

    def check(self, ip, coa=COA):
        message = message_of(ip)
        option = message.options[-1]
        assert isinstance(option, s6.MIP6OptMsgAuth) and option.subtype == 1
        data = bytes(message)
        secret = {256: SECRET, 257: SECRET2}[option.mspi]
        assert option.authdata == mac(auth_key(secret, option.mspi), coa, HOA, data[:-16])
        assert data[-16:] == option.authdata, "nothing may follow it"
        stamps = [o for o in message.options if isinstance(o, s6.MIP6OptReplayProtection)]
        # scapy makes a float of the timestamp
        at = data.find(b"\x0a\x08") + 2
        self.asked = struct.unpack("!Q", data[at:at + 8])[0] if stamps else None
        return message

    def binding(self):
        return next((b for b in self.ha.ask("bindings") if b["name"] == "MR-1"), None)

    def count(self, name):
        return counters(self.ha)[name]


@pytest.fixture
def home(make_net):
    h = Home(make_net(TOPOLOGY))
    yield h
    h.wire.close()


def pair(net, engine="auto", **mr):
    keys = key_file(net, "pair.keys", f"auth 1000 {SECRET.hex()}")
    ha = Daemon(net, "ha", "nemo-ha", {
        "address": "2001:db8:a::1", "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "protection": "auth-option", "engine": engine,
        "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                     "keys": keys}],
    }).start()
    mr = Daemon(net, "mr", "nemo-mr", {
        "name": "mr1@example", "home_address": HOA, "home_agents": ["2001:db8:a::1"],
        "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
        "protection": "auth-option", "keys": keys, "engine": engine, **mr,
    }).start()
    mr.wait_bound()
    return ha, mr


TO_HA = {"spi": 1000, "mac": bytes(range(32)), "enc": bytes(range(64, 80))}
TO_MR = {"spi": 1001, "mac": bytes(range(100, 132)), "enc": bytes(range(200, 216))}
TO_HA_NULL = {**TO_HA, "enc": b""}
TO_MR_NULL = {**TO_MR, "enc": b""}


def esp_line(direction, sa, *more):
    cipher = f"aes-cbc {sa['enc'].hex()}" if sa["enc"] else "null"
    return " ".join(["esp", direction, str(sa["spi"]), "hmac-sha-256-128", sa["mac"].hex(), cipher,
                     *more])


def esp(sa, seq, message, proto=MH, bend=None):
    """RFC 4303 by Python's hmac and cryptography."""
    block = 16 if sa["enc"] else 4
    pad = -(len(message) + 2) % block
    text = message + bytes(range(1, pad + 1)) + bytes([pad, proto])
    head = struct.pack("!II", sa["spi"], seq)
    if sa["enc"]:
        iv = os.urandom(16)
        aes = Cipher(algorithms.AES(sa["enc"]), modes.CBC(iv)).encryptor()
        text = iv + aes.update(text) + aes.finalize()
    packet = head + text
    packet += hmac.new(sa["mac"], packet, hashlib.sha256).digest()[:16]
    if bend is not None:
        packet = packet[:bend] + bytes([packet[bend] ^ 1]) + packet[bend + 1:]
    return packet


def unesp(sa, packet):
    """(number, protocol, message) of an ESP packet, whose integrity must be right."""
    body, icv = packet[:-16], packet[-16:]
    assert hmac.new(sa["mac"], body, hashlib.sha256).digest()[:16] == icv
    spi, seq = struct.unpack("!II", body[:8])
    assert spi == sa["spi"]
    text = body[8:]
    if sa["enc"]:
        aes = Cipher(algorithms.AES(sa["enc"]), modes.CBC(text[:16])).decryptor()
        text = aes.update(text[16:]) + aes.finalize()
    pad = text[-2]
    assert text[-2 - pad:-2] == bytes(range(1, pad + 1))
    return seq, text[-1], text[:-2 - pad]


def esp_bu(sa, number, seq, coa=COA, hoa=HOA, alt=COA, mnp=NET, lifetime_s=600, **how):
    """IPv6 | HAO | ESP(BU), RFC 3776 s3.1."""
    message = bytes(bu(coa, HA, hoa, seq, mnps=[mnp] if mnp else [], alt=alt, lifetime_s=lifetime_s))
    headers = hao(hoa)
    headers.nh = 50
    return s6.IPv6(src=coa, dst=HA) / headers / Raw(esp(sa, number, message[64:], **how))


class EspHome(Home):
    """The same home agent, but MR-1 has security associations."""

    def __init__(self, net, to_ha=TO_HA, to_mr=TO_MR, *more):
        super().__init__(net)
        self.sa = to_ha, to_mr
        key_file(net, "esp.keys", esp_line("to-ha", to_ha, *more), esp_line("to-mr", to_mr))
        self.ha.conf = self.ha.conf.replace('"auth-option"', '"esp-static"').replace("one.keys", "esp.keys")
        self.ha.start()

    def answers(self, *packets):
        since = self.wire.mark()
        super().answers(*packets)
        return [p.ip for p in self.wire.packets(since) if p.dst == COA and p.data[40] == 50]

    def open(self, ip, coa=COA):
        """IPv6 | type 2 routing header | ESP(BA), RFC 3776 s3.1; the message within."""
        data = bytes(ip)
        assert data[6] == 43 and data[40] == 50 and data[42] == 2
        assert (ip.src, ip.dst, ip[s6.IPv6ExtHdrRouting].addresses) == (HA, coa, [HOA])
        self.number, proto, message = unesp(self.sa[1], data[64:])
        assert proto == MH
        ba = s6.MIP6MH_BA(message)
        assert checksum(HA, HOA, message[:4] + b"\0\0" + message[6:]) == struct.unpack("!H", message[4:6])[0]
        return ba

    def status(self, packet):
        got = self.answers(packet)
        assert len(got) == 1, got
        return self.open(got[0]).status


def esp_home(request, make_net, *sas):
    h = EspHome(make_net(TOPOLOGY), *sas)
    request.addfinalizer(h.wire.close)
    return h


PSK = bytes(range(50, 82))


def tls_pair(net, start_mr=True, engine="auto", identity="blue", secret=PSK, mr_more={}, **ha_more):
    ours = key_file(net, "ha.keys", f"psk blue {PSK.hex()}")
    other = key_file(net, "other.keys", f"psk green {bytes(32).hex()}")
    theirs = key_file(net, "mr.keys", f"psk {identity} {secret.hex()}")
    ha = Daemon(net, "ha", "nemo-ha", {
        "address": "2001:db8:a::1", "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "protection": "esp", "engine": engine,
        "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                     "keys": ours},
                    {"name": "MR-2", "home_address": HOA2, "tenant": "red", "keys": other}],
        **ha_more}).start()
    mr = Daemon(net, "mr", "nemo-mr", {
        "name": "mr1", "home_address": HOA, "home_agents": ["2001:db8:a::1"],
        "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
        "protection": "esp", "keys": theirs, "engine": engine, **mr_more})
    if start_mr:
        mr.start()
    return ha, mr

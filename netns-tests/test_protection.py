"""Protected signalling: real daemons, and a hand-built peer that forges.

    wire (the Internet: every care-of address is here)           2001:db8:ffff::fe
      |
    eth0  2001:db8:ffff::1
    ha                      home network 2001:db8:d::/64, aggregate 2001:db8:d::/48

The peer computes its keys and authenticators with Python's hmac: nothing here is the suite's own.
"""

import hashlib
import hmac
import os
import signal
import socket
import struct
import subprocess
import time
import zlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.capture import Capture
from lib.daemon import BUILD, ControlError, Daemon, libconfig_file
from lib.mipv6 import (
    BA, BU, MH, Fake, Router, Wire, bu, checksum, hao, mac_of, message_of, raw_mh, rh2,
    socket_in,
)
from lib.topo import Link, Net, Node, Radvd, Topology
from lib.wait import PATIENCE, wait_for
from test_returning import World
from test_returning import topology as home_topology

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


# --- authentication option, at the home agent ---


def test_a_home_agent_without_memory_asks_once(home):
    """RFC 4285 s6: status 144, and only what is above its timestamp binds."""
    home.start(known=False)
    first = auth_bu(1)
    assert home.status(first) == 144
    asked = home.asked
    assert asked >> 32 > ntp() >> 32, "above all that can have been accepted before"
    assert home.binding() is None
    assert home.status(first) == 144 and home.status(auth_bu(2)) == 144
    assert home.binding() is None
    assert home.status(auth_bu(3, stamp=asked)) == 0
    assert home.binding()["care_of"] == COA
    assert home.count("auth_stamp") == 3


def answered(home, packet):
    """The answer to what is refused: there are five a second."""
    return wait_for(lambda: next(iter(home.answers(packet)), None), 5, "an answer")


def refused_and_silent(home, packet, counter):
    before = home.count(counter)
    assert home.answers(packet) == []
    assert home.count(counter) == before + 1


@PROTOCOL
def test_nothing_forged_touches_a_live_binding(home):
    """HOSTILE inputs 7, 8, 9."""
    home.start()
    assert home.status(home.bu(2)) == 0
    bound = home.binding()
    assert bound["care_of"] == COA and bound["sequence"] == 2
    forged = {"coa": "2001:db8:b::77", "alt": "2001:db8:b::77"}

    refused_and_silent(home, bu(COA2, HA, HOA, 3, mnps=[NET], alt=COA2), "auth_missing")
    refused_and_silent(home, bu(COA, HA, HOA, 3, mnps=[], lifetime_s=0, alt=COA), "auth_missing")
    refused_and_silent(home, auth_bu(4, spi=999), "auth_spi")
    refused_and_silent(home, bu(COA2, HA, STRANGER, 5, mnps=[], alt=COA2), "sec_stranger")
    for packet in (auth_bu(6, secret=bytes(32), **forged), auth_bu(6, bend=-1), auth_bu(6, bend=1),
                   auth_bu(6, ha="2001:db8::1")):
        assert message_of(answered(home, packet)).status == 146
    # Authentic ones: of 2100, of last year, nine seconds late.
    for years, seconds in (74, 0), (-1, 0), (0, -9):
        stamp = ntp(years * 365 * 86400 + seconds)
        got = answered(home, auth_bu(7, stamp=stamp))
        assert home.check(got).status == 144
        assert abs((home.asked >> 32) - (ntp() >> 32)) <= 1
        assert home.asked & 0xFFFFFFFF == stamp & 0xFFFFFFFF
    assert home.binding() == {**bound, "remaining_s": home.binding()["remaining_s"],
                              "registered_s": home.binding()["registered_s"]}
    # The far one was not stored; and now an exact replay.
    good = home.bu(10)
    assert home.status(good) == 0
    assert message_of(answered(home, good)).status == 144
    assert home.binding()["sequence"] == 10
    leave = home.bu(11, lifetime_s=0, mnp=None)
    assert home.status(leave) == 0
    assert home.binding()["state"] != "bound"
    assert home.status(home.bu(12)) == 0
    assert message_of(answered(home, leave)).status == 144
    assert home.binding()["state"] == "bound"


def test_a_replay_after_a_restart_and_after_a_crash(home):
    """HOSTILE input 8: the floor is in the state file; a lost file means one more round trip."""
    home.start()
    last = home.bu(5)
    assert home.status(last) == 0
    for how in (signal.SIGTERM, signal.SIGKILL):
        home.ha.restart(how)
        assert home.status(last) == 144 and home.binding()["sequence"] == 5
    assert home.status(home.bu(6)) == 0, "no additional round trip: it remembers"
    home.ha.stop()
    home.ha.forget()
    home.ha.start()
    assert home.status(home.bu(7)) == 144
    assert home.status(auth_bu(8, stamp=home.asked)) == 0


@PROTOCOL
def test_a_replay_after_the_end_of_the_binding(home):
    """HOSTILE 8: nothing is left that its sequence number could be held against; the floor is."""
    home.start()
    last = home.bu(5, lifetime_s=4)
    assert home.status(last) == 0
    wait_for(lambda: home.binding() is None, 15, "the binding has ended")
    assert home.status(last) == 144 and home.binding() is None


@PROTOCOL
def test_refused_updates_are_answered_five_times_a_second(home):
    home.start()
    updates, since = [auth_bu(n, bend=-1) for n in range(10, 210)], time.monotonic()
    got = home.answers(*updates)
    most = 5 * int(time.monotonic() - since + 2)  # of so many seconds
    assert 1 <= len(got) <= most
    assert home.count("auth_limited") >= 200 - most
    assert home.count("auth_failed") == 200


@PROTOCOL
def test_either_secret_is_taken_while_they_rotate(home):
    home.start()
    assert home.status(home.bu(2)) == 0
    assert home.status(home.bu(3, spi=257, secret=SECRET2)) == 0
    assert home.status(home.bu(4)) == 0


def test_scapy_s_own_option_is_taken(home):
    """At 4n+1 with padding after it, as another implementation may put it (RFC 4285 s5)."""
    home.start()

    def update(data=bytes(16)):
        # Its own replay protection option takes a float, which is not fine enough.
        stamp = s6.MIP6OptUnknown(otype=10, odata=struct.pack("!Q", home.last))
        return s6.IPv6(src=COA, dst=HA) / hao(HOA) / s6.MIP6MH_BU(
            seq=9, flags="AHR", mhtime=150, options=[
                s6.MIP6OptAltCoA(acoa=COA), s6.PadN(optdata=bytes(0)), stamp,
                s6.MIP6OptMsgAuth(mspi=256, authdata=data)])

    home.bu(0)
    whole = bytes(update())[64:]
    end = whole.index(b"\x09\x15\x01") + 7
    assert len(whole) > end + 16, "padding follows"
    got = home.answers(update(mac(auth_key(SECRET, 256), COA, HOA, whole[:end])))
    assert home.check(got[0]).status == 0


def test_an_update_without_a_timestamp_gets_145(home):
    home.start()
    assert home.status(home.bu(9, with_stamp=False)) == 145
    assert home.binding()["sequence"] == 1


# --- both daemons ---


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


def test_router_and_home_agent_with_the_option(make_net, engine):
    """They register, the first time with a round trip more; refresh, restart, de-register."""
    net = make_net(PAIR)
    ha, mr = pair(net, engine)
    assert ha.status()["protection"] == mr.status()["protection"] == "auth-option"
    assert [r["protection"] for r in ha.ask("routers")] == ["auth-option"]
    assert counters(mr)["auth_resync"] == 1, "the home agent had no memory"
    assert counters(ha)["in_clear"] == counters(mr)["in_clear"] == 0
    for daemon in ha, mr:
        assert "none" not in daemon.log() and SECRET.hex() not in daemon.log()
    mr.restart()
    mr.wait_bound()
    assert counters(mr)["auth_resync"] == 0, "both remember"
    ha.restart()
    mr.ask("rehome")
    mr.restart()
    mr.wait_bound()
    assert counters(ha)["auth_failed"] == counters(ha)["auth_missing"] == 0
    mr.stop()
    assert not [b for b in ha.ask("bindings") if b["state"] == "bound"]


@PROTOCOL
def test_a_router_believes_no_answer_but_its_home_agents(make_net):
    """HOSTILE input 13: without option, of a wrong key, with another timestamp: ignored."""
    net = make_net(Topology(nodes=[Node("wire"), Node("mr", forward=True)], links=[
        Link("mr:eth0", "wire:eth0", real_dad=True), Link("mr:eth1", "wire:eth1")]))
    keys = key_file(net, "mr.keys", f"auth 256 {SECRET.hex()}")
    fake = Fake(net, "wire", "eth0", mac_of(net, "mr", "eth0"), ha=HA,
                router=Router("2001:db8:a::/64", "02:00:00:00:00:0a"))
    how = {}

    def answer(fake, packet):
        message = message_of(packet.ip)
        at = bytes(message).find(b"\x0a\x08") + 2
        stamp = struct.unpack("!Q", bytes(message)[at:at + 8])[0]
        parts = [(10, struct.pack("!Q", stamp + how.get("later", 0)), 8, 2),
                 (9, b"\1" + struct.pack("!I", 256) + bytes(16), 8, 1)]
        body = struct.pack("!BBHH", 0, 0x40, message.seq, 150) + options(*parts)
        head = struct.pack("!BBBBH", 59, (6 + len(body)) // 8 - 1, BA, 0, 0)
        key = auth_key(how.get("secret", SECRET), 256)
        body = body[:-16] + mac(key, packet.src, HOA, (head + body)[:-16])
        if how.get("bare"):
            body = body[:6] + options((1, bytes(8), 1, 0))
        body += bytes(-(6 + len(body)) % 8)
        head = head[:1] + bytes([(6 + len(body)) // 8 - 1]) + head[2:]
        head = head[:4] + struct.pack("!H", checksum(HA, HOA, head + body))
        headers = rh2(HOA)
        headers.nh = MH
        return [s6.IPv6(src=HA, dst=packet.src) / headers / Raw(head + body)]

    fake.home_agent = answer
    try:
        for wrong, counter in (({"bare": True}, "auth_missing"), ({"secret": SECRET2}, "auth_failed"),
                               ({"later": 1 << 32}, "auth_foreign")):
            how.clear()
            how.update(wrong)
            mr = Daemon(net, "mr", "nemo-mr", {
                "name": "mr1", "home_address": HOA, "home_agents": [HA],
                "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
                "protection": "auth-option", "keys": keys}).start()
            wait_for(lambda: counters(mr)[counter] >= 2, 10, counter)
            assert mr.status()["state"] == "registering"
            how.clear()
            mr.wait_bound()
            mr.stop()
    finally:
        fake.close()


# --- key files ---


@pytest.mark.parametrize("mode, words", [(0o644, "0644"), (0o640, "0640"), (0o666, "0666")])
def test_a_key_file_that_others_can_read_is_refused(make_net, mode, words, tmp_path):
    """HOSTILE input 17."""
    net = make_net(PAIR)
    keys = key_file(net, "x.keys", f"auth 256 {SECRET.hex()}")
    os.chmod(keys, mode)
    check_refused(net, keys, words)
    check_refused(net, os.path.join(net.dir, "none.keys"), "No such file")
    check_refused(net, net.dir, "is not a file")
    bad = key_file(net, "bad.keys", "# a", "auth 255 " + SECRET.hex())
    said = check_refused(net, bad, f"{bad}:2: the SPI")
    assert SECRET.hex() not in said
    check_refused(net, key_file(net, "empty.keys"), "no auth line")
    check_refused(net, "", "needs a key file")


def check_refused(net, keys, words, protection="auth-option"):
    d = Daemon(net, "mr", "nemo-mr", {
        "name": "mr1", "home_address": HOA, "home_agents": [HA],
        "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
        "protection": protection, "keys": keys})
    with pytest.raises(RuntimeError) as error:
        d.start()
    assert words in str(error.value)
    return str(error.value)


# --- static ESP ---

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
        keys = key_file(net, "esp.keys", esp_line("to-ha", to_ha, *more), esp_line("to-mr", to_mr))
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


@pytest.mark.parametrize("sas", [(TO_HA, TO_MR), (TO_HA_NULL, TO_MR_NULL)], ids=["aes-cbc", "null"])
def test_a_hand_built_peer_registers_with_static_esp(request, make_net, sas):
    home = esp_home(request, make_net, *sas)
    assert home.status(esp_bu(sas[0], 1, 1)) == 0
    assert home.number == 1
    assert home.binding()["care_of"] == COA
    assert home.status(esp_bu(sas[0], 2, 2, mnp="2001:db8:d:2::/64")) == 142
    assert home.number == 2
    assert home.status(esp_bu(sas[0], 3, 3, mnp=None, lifetime_s=0)) == 0
    assert home.binding()["state"] != "bound"


def test_a_router_at_home_needs_no_home_address_option(request, make_net):
    """RFC 3776 s3.1: IPv6, ESP, message; the association is found all the same.  (The home link is
    virtual here: no answer can get there.)"""
    home = esp_home(request, make_net)
    assert home.status(esp_bu(TO_HA, 1, 1)) == 0
    message = bytes(bu(HOA, HA, None, 2, mnps=[], lifetime_s=0, source=HOA))[40:]
    home.wire.send(s6.IPv6(src=HOA, dst=HA, nh=50) / Raw(esp(TO_HA, 2, message)))
    wait_for(lambda: home.binding()["state"] != "bound", 5, "de-registered")
    assert home.count("esp_ok") == 2


def test_nothing_forged_touches_a_live_binding_under_esp(request, make_net):
    """HOSTILE inputs 7, 8; RFC 4303 s3.4: silent, every one of them."""
    home = esp_home(request, make_net)
    first = esp_bu(TO_HA, 5, 2)
    assert home.status(first) == 0
    bound = home.binding()
    coa2 = {"coa": "2001:db8:b::77", "alt": "2001:db8:b::77"}
    moved = bytes(esp_bu(TO_HA, 9, 9, alt=None))
    moved = s6.IPv6(moved[:8] + packed("2001:db8:b::77") + moved[24:])
    for packet, counter in (
        (bu(COA, HA, HOA, 3, mnps=[], lifetime_s=0, alt=COA), "sec_clear"),
        (first, "esp_replay"),
        (esp_bu({**TO_HA, "spi": 999}, 6, 6, **coa2), "esp_spi"),
        (esp_bu({**TO_HA, "mac": bytes(32)}, 6, 6, **coa2), "esp_icv"),
        (esp_bu({**TO_HA, "mac": bytes(32)}, 2**32 - 1, 6, **coa2), "esp_icv"),
        (esp_bu(TO_HA, 6, 6, bend=30, **coa2), "esp_icv"),
        (esp_bu(TO_HA, 6, 6, bend=7, **coa2), "esp_icv"),
        (esp_bu(TO_HA, 6, 6, hoa=HOA2, **coa2), "esp_spi"),
        (esp_bu(TO_HA, 7, 7, proto=58, **coa2), "esp_inner"),
        (esp_bu(TO_HA, 8, 8, proto=59, **coa2), "esp_dummy"),
        (moved, "esp_care_of"),
        (s6.IPv6(src=COA, dst=HA) / _next(hao(HOA), 50) / Raw(bytes(20)), "esp_short"),
    ):
        before = home.count(counter)
        assert home.answers(packet) == [], counter
        assert home.count(counter) == before + 1, counter
    same = home.binding()
    assert (same["care_of"], same["sequence"], same["moves"]) == (COA, bound["sequence"], 0)
    assert home.status(esp_bu(TO_HA, 10, 10)) == 0, "the association is alive"


def _next(headers, proto):
    headers.nh = proto
    return headers


def test_esp_numbers_survive_a_restart_and_a_crash(request, make_net):
    """RFC 4303 s3.3.3: with manual keys the counter must be kept; replays stay replays."""
    home = esp_home(request, make_net)
    old = [esp_bu(TO_HA, n, n) for n in (1, 2, 3)]
    assert [home.status(p) for p in old] == [0, 0, 0]
    number = home.number
    for n, how in ((4, signal.SIGTERM), (5, signal.SIGKILL)):
        home.ha.restart(how)
        for p in old:
            assert home.answers(p) == []
        assert home.binding()["sequence"] == n - 1
        assert home.status(esp_bu(TO_HA, n, n)) == 0
        assert home.number > number, "never used twice"
        number = home.number


def test_a_peer_that_loses_its_counter(request, make_net):
    """no-replay-check: RFC 4303 s3.3.3 says SHOULD NOT with manual keys, and so can a peer."""
    home = esp_home(request, make_net, TO_HA, TO_MR, "no-replay-check")
    assert home.status(esp_bu(TO_HA, 7, 1)) == 0
    assert home.status(esp_bu(TO_HA, 1, 2)) == 0
    assert home.status(esp_bu(TO_HA, 1, 2)) == 135, "the update's own number is all there is"


@PROTOCOL
def test_tshark_opens_our_esp_with_the_keys(make_net):
    """Router and home agent with static ESP; the capture is decoded by someone else's code."""
    net = make_net(PAIR)
    keys = key_file(net, "pair.keys", esp_line("to-ha", TO_HA), esp_line("to-mr", TO_MR))
    capture = Capture(net, "mr", "eth0", snap=2000)
    ha = Daemon(net, "ha", "nemo-ha", {
        "address": "2001:db8:a::1", "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "protection": "esp-static",
        "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                     "keys": keys}]}).start()
    mr = Daemon(net, "mr", "nemo-mr", {
        "name": "mr1", "home_address": HOA, "home_agents": ["2001:db8:a::1"],
        "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
        "protection": "esp-static", "keys": keys}).start()
    mr.wait_bound()
    mr.restart()
    mr.wait_bound()
    assert counters(ha)["esp_ok"] >= 3 and counters(ha)["esp_replay"] == 0
    capture.stop()
    path = capture.path
    sas = [f'uat:esp_sa:"IPv6","*","*","0x{sa["spi"]:08x}","AES-CBC [RFC3602]","0x{sa["enc"].hex()}",'
           f'"HMAC-SHA-256-128 [RFC4868]","0x{sa["mac"].hex()}"' for sa in (TO_HA, TO_MR)]
    argv = ["tshark", "-n", "-r", path, "-Y", "esp", "-o", "esp.enable_encryption_decode:TRUE",
            "-o", "esp.enable_authentication_check:TRUE", "-T", "fields", "-E", "separator=|",
            "-e", "esp.spi", "-e", "esp.sequence", "-e", "mip6.mhtype", "-e", "esp.icv_good"]
    rows = [l.split("|") for l in net["mr"].out(argv + [x for sa in sas for x in ("-o", sa)]).splitlines()]
    updates = [r for r in rows if r[0] == "0x000003e8"]
    answers = [r for r in rows if r[0] == "0x000003e9"]
    for rows_, kind in (updates, "5"), (answers, "6"):
        kinds = [r[2] for r in rows_]
        assert set(kinds) <= {kind, "13"} and kinds.count(kind) >= 3, kinds  # 13: heartbeats
    assert {r[3] for r in rows} <= {"1", "True"}, rows
    assert len({r[1] for r in updates}) == len(updates), "each number once"


def test_static_gcm_is_refused(make_net):
    net = make_net(PAIR)
    keys = key_file(net, "gcm.keys", f"esp to-ha 1000 aes-gcm-16 {bytes(36).hex()}")
    said = check_refused(net, keys, "gcm.keys:1: AES-GCM with static keys", "esp-static")
    assert "nonce" in said
    one = key_file(net, "half.keys", esp_line("to-ha", TO_HA))
    check_refused(net, one, "no esp line for each", "esp-static")


# --- floods (netns-tests/bench/flood.py measures) ---


@pytest.mark.novm("20,000 packets a second, which emulation does not make")
def test_forged_updates_do_not_push_a_routers_out(home, engine):
    """While the home agent is busy more forged updates come than there is room for: first of home
    addresses that nobody has, then of the router's own.  Engine ip6tnl has one queue for all."""
    if engine != "ebpf":
        pytest.skip("one queue, a large one")
    home.ha.conf += 'engine = "ebpf";\n'
    home.start()
    argv = [os.path.join(BUILD, "tools", "flood"), "forge", "stranger", HA, "1", "40000", "1"]
    home.net["wire"].batch([f"addr add {GATEWAY}/64 dev eth0 nodad"])
    since = home.wire.mark()
    home.ha.proc.send_signal(signal.SIGSTOP)
    try:
        home.net["wire"].run(argv)
        home.wire.send(home.bu(2))
    finally:
        home.ha.proc.send_signal(signal.SIGCONT)
    answer = home.wire.wait("its answer", since, mh=BA)
    assert home.check(answer.ip).status == 0
    wait_for(lambda: counters(home.ha, "signalling")["mh_lost"] > 0, 10, "some were lost")
    forged = [auth_bu(n, secret=bytes(32)) for n in range(3, 200)]
    for packet in forged:
        home.wire.send(packet)
    wait_for(lambda: home.count("auth_failed") == len(forged), 10, "each was looked at")
    assert home.status(home.bu(3)) == 0, "and behind them it is still heard"


# --- ESP with keys by TLS ---

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


def test_keys_by_tls(make_net, engine):
    """They register; either may lose its memory, then there are new keys; nothing is in clear."""
    net = make_net(PAIR)
    capture = Capture(net, "mr", "eth0", snap=2000)
    ha, mr = tls_pair(net, engine=engine)
    mr.wait_bound()
    assert counters(mr)["key_ok"] == counters(ha)["key_ok"] == 1
    assert counters(ha)["esp_ok"] >= 1 and counters(mr)["esp_ok"] >= 1
    mr.ask("rehome")  # nothing of keys at a handover
    mr.restart(signal.SIGKILL)
    mr.wait_bound()
    assert counters(ha)["key_ok"] == 2
    ha.restart(signal.SIGKILL)
    mr.restart()
    mr.wait_bound()
    ha.restart(signal.SIGKILL)
    # The router goes on with its keys, which nobody knows any more, until it notices.
    mr.stop()
    capture.stop()
    rows = net["mr"].out(["tshark", "-n", "-r", capture.path, "-Y", "mipv6 or esp or tls", "-T", "fields",
                          "-E", "separator=|", "-e", "mip6.mhtype", "-e", "esp.spi",
                          "-e", "esp.sequence", "-e", "_ws.col.Protocol"]).splitlines()
    rows = [r.split("|") for r in rows]
    # A home agent without keys says so in clear (RFC 6275 s9.3.3: Binding Errors go without).
    assert {r[0] for r in rows} <= {"", "7"}, "a Mobility Header in clear"
    spis = {r[1] for r in rows if r[1]}
    assert len(spis) >= 6 and all(int(s, 16) >= 256 for s in spis), "new ones each time"
    assert len({(r[1], r[2]) for r in rows if r[1]}) == len([r for r in rows if r[1]])
    assert any("TLS" in r[3] for r in rows)


def test_the_first_router_with_keys_by_tls_comes_by_a_reload(make_net, engine):
    """Until then there is no key exchange, and ESP is not the home agent's.  A port that is in use
    refuses the reload, and nothing has changed."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, start_mr=False, engine=engine, protection="none")
    with open(ha.conf_path, "w") as f:
        f.write(ha.conf.replace('name = "MR-1"', 'name = "MR-1"; protection = "esp"'))
    with socket_in(net["ha"], socket.AF_INET6, socket.SOCK_STREAM) as s:
        s.bind(("2001:db8:a::1", 7439))
        s.listen()
        with pytest.raises(ControlError, match="the key exchange can't begin: Address already in use"):
            ha.ask("reload")
    assert counters(ha)["in_clear"] == 2
    ha.ask("reload")
    mr.start().wait_bound()
    assert counters(ha)["key_ok"] == 1 and counters(ha)["esp_ok"] >= 1
    wire = Wire(net, "mr", "eth0", mac_of(net, "ha", "eth0"))
    try:  # without a Home Address option, as from a router at home
        wire.send(s6.IPv6(src=HOA, dst="2001:db8:a::1", nh=50) / Raw(bytes(64)))
        wait_for(lambda: counters(ha)["esp_spi"] == 1, 10, "looked at")
    finally:
        wire.close()


@pytest.mark.skipif(os.environ.get("NEMO_VM") != "1", reason="sets the clock: in the VM only")
def test_clock_steps_hurt_no_binding(make_net):
    """Timers don't see them; timestamps (RFC 4285 s6) cost a round trip more at most."""
    for make in pair, tls_pair:
        ha, mr = make(make_net(PAIR))
        mr.wait_bound()
        for step_s in 86400, -2 * 86400, 86400:
            left = ha.ask("bindings")[0]["remaining_s"]
            time.clock_settime(time.CLOCK_REALTIME, time.time() + step_s)
            binding = ha.ask("bindings")[0]
            assert binding["state"] == "bound" and 0 <= left - binding["remaining_s"] < 60
            mr.restart(signal.SIGKILL).wait_bound()
            wait_for(lambda: ha.ask("bindings")[0]["sequence"] != binding["sequence"], 20, "an update")
        assert "peer.silent" not in mr.log() and "binding.expired" not in ha.log()
        mr.stop(), ha.stop()


@PROTOCOL
def test_keys_are_replaced_in_time(make_net):
    """rekey_interval: messages go on meanwhile, none is lost for want of the right key."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"rekey_interval": 1})
    mr.wait_bound()
    wait_for(lambda: counters(ha)["key_ok"] >= 4, 20, "keys for the fourth time")
    for daemon in ha, mr:
        count = counters(daemon)
        assert count["esp_ok"] >= 4
        assert count["esp_spi"] == count["esp_replay"] == count["esp_icv"] == count["key_failed"] == 0


@PROTOCOL
def test_a_restarted_home_agent_has_its_binding_back_at_the_next_heartbeat(make_net, request):
    """With "esp" its keys are gone, too: it says in clear that it knows nobody, the router makes new keys
    and registers.  So it takes a heartbeat's interval, not as many as may be missed."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"heartbeat": 1, "heartbeat_misses": 20})
    mr.wait_bound()
    wait_for(lambda: counters(mr, "protocol")["hb_rx"] or counters(ha, "protocol")["hb_rx"] >= 2, 10,
             "heartbeats")
    ha.restart(signal.SIGKILL, forget=True)
    begin = time.monotonic()
    assert ha.ask("bindings") == []
    ha.wait_event("binding.accepted", 20)
    took = time.monotonic() - begin
    print(f"home agent killed and started: bound again {took:.1f} s after it was ready")
    assert counters(ha)["key_ok"] == 1 and counters(mr)["key_ok"] == 2
    assert counters(mr)["esp_doubt"] == 1
    assert not [e for e in mr.events.poll() if e["event"] == "mr.expired"]


@PROTOCOL
def test_a_home_agent_that_comes_back_late_has_its_binding_back_soon(make_net):
    """As above, but the router had given it up: neither its updates nor the exchange of keys wait out
    what they have doubled their waits to."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"heartbeat": 1, "heartbeat_misses": 0})
    mr.wait_bound()
    wait_for(lambda: counters(ha, "protocol")["hb_rx"] >= 2, 10, "heartbeats")
    ha.stop(signal.SIGKILL)
    mr.wait_event("peer.silent", 20)
    wait_for(lambda: counters(mr)["key_failed"] >= 2, 20, "keys are asked for in vain")
    ha.forget()
    ha.start()
    begin = time.monotonic()
    ha.wait_event("binding.accepted", 60)
    print(f"home agent away and back: bound again {time.monotonic() - begin:.1f} s after it was ready")


@PROTOCOL
def test_a_restarted_router_is_noticed_at_once(make_net):
    """It makes new keys and registers as soon as it has a link: nobody has to ask."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, heartbeat=1)
    mr.wait_bound()
    wait_for(lambda: counters(ha, "protocol")["hb_tx"], 10, "a heartbeat")
    ha.events.forget()
    mr.restart(signal.SIGKILL, forget=True)
    begin = time.monotonic()
    ha.wait_event("peer.restarted", 20)
    print(f"router killed and started: noticed {time.monotonic() - begin:.1f} s after it was ready")
    assert counters(ha)["key_ok"] == 2


@PROTOCOL
def test_a_forged_binding_error_costs_a_key_exchange_at_most(make_net):
    """Anybody can say in clear that the home agent does not know us: bound all the time, no storm."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"heartbeat": 1})
    mr.wait_bound()
    care_of = mr.status()["care_of"]
    wire = Wire(net, "ha", "eth0", mac_of(net, "mr", "eth0"))
    try:
        for _ in range(200):
            wire.send(s6.IPv6(src="2001:db8:a::1", dst=care_of) / s6.MIP6MH_BE(status=1, ha=HOA))
        wait_for(lambda: counters(ha, "protocol")["hb_rx"] >= 3, 20, "heartbeats go on")
    finally:
        wire.close()
    assert counters(mr)["key_ok"] <= 2
    assert mr.status()["state"] == "bound" and ha.ask("bindings")[0]["state"] == "bound"
    assert not [e for e in ha.events.poll() if e["event"] == "binding.closed"]


@PROTOCOL
@pytest.mark.parametrize("identity, secret, counter", [
    ("blue", bytes(32), "key_failed"), ("nobody", PSK, "key_failed"),
    ("green", bytes(32), "key_home_address")])
def test_no_keys_for_a_wrong_secret_or_another_s_home_address(make_net, identity, secret, counter):
    net = make_net(PAIR)
    ha, mr = tls_pair(net, identity=identity, secret=secret)
    wait_for(lambda: counters(ha)[counter] >= 2, 15, counter)
    assert counters(ha)["key_ok"] == 0 and ha.ask("bindings") == []
    assert mr.status()["state"] == "registering"
    assert "keys: exchange with home agent 2001:db8:a::1, TCP port 7439, has failed: " in mr.log()
    assert ha.log().count("keys: exchange with a router has failed: ") == 1  # not one for each


@PROTOCOL
def test_a_router_tells_why_it_gets_no_keys(make_net):
    """The home agent is there, but has nothing to do with TLS."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, protection="none")
    wait_for(lambda: "has failed: Connection refused" in mr.log(), 15, mr.log)


def expand(key, label, context, size=48):
    """RFC 8446 s7.1: HKDF-Expand-Label with SHA-384; one block is enough."""
    label = b"tls13 " + label
    info = struct.pack("!HB", size, len(label)) + label + bytes([len(context)]) + context + b"\1"
    return hmac.new(key, info, hashlib.sha384).digest()[:size]


def client_hello(identities, secret):
    """TLS 1.3 with pre-shared keys (RFC 8446 s4.1.2, s4.2.11); all binders are made with 'secret'."""
    def sized(fmt, data):
        return struct.pack(fmt, len(data)) + data

    def extension(kind, data):
        return struct.pack("!H", kind) + sized("!H", data)

    key = x25519.X25519PrivateKey.generate().public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    psk = sized("!H", b"".join(sized("!H", i) + bytes(4) for i in identities))
    binders_size = 2 + 49 * len(identities)
    extensions = (extension(43, sized("!B", b"\3\4")) + extension(10, sized("!H", b"\0\x1d"))
                  + extension(13, sized("!H", b"\4\3")) + extension(45, sized("!B", b"\1"))
                  + extension(51, sized("!H", b"\0\x1d" + sized("!H", key)))
                  + struct.pack("!HH", 41, len(psk) + binders_size) + psk)
    body = b"\3\3" + os.urandom(32) + b"\0" + sized("!H", b"\x13\2") + b"\1\0"
    body += struct.pack("!H", len(extensions) + binders_size) + extensions
    message = b"\1" + struct.pack("!I", len(body) + binders_size)[1:] + body
    early = hmac.new(bytes(48), secret, hashlib.sha384).digest()
    binder_key = expand(early, b"ext binder", hashlib.sha384(b"").digest())
    binder = hmac.new(expand(binder_key, b"finished", b""), hashlib.sha384(message).digest(), hashlib.sha384)
    message += sized("!H", sized("!B", binder.digest()) * len(identities))
    return b"\x16\3\1" + sized("!H", message)


@pytest.mark.parametrize("others, taken", [(0, True), (3, True), (4, False), (1000, False)])
def test_a_hello_may_name_four_identities(make_net, others, taken):
    """Each is looked for, and one hello has room for thousands: the right one is not found behind them."""
    net = make_net(PAIR)
    tls_pair(net, start_mr=False)
    net["mr"].batch(["addr add 2001:db8:a::9/64 dev eth0 nodad"])
    with socket_in(net["mr"], socket.AF_INET6, socket.SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(("2001:db8:a::1", 7439))
        s.sendall(client_hello([b"x%d" % i for i in range(others)] + [b"blue"], PSK))
        record = s.recv(6)
    assert record[0] == (22 if taken else 21), "a handshake message, or an alert"
    assert not taken or record[5] == 2, "Server Hello"


@PROTOCOL
def test_the_key_port_survives_anything(make_net):
    """Octets that are no TLS, TLS 1.2, certificates, silence, two hundred at once: nothing comes of
    it, and a router has its keys all the same."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, start_mr=False)
    net["mr"].batch(["addr add 2001:db8:a::9/64 dev eth0 nodad"])
    address = ("2001:db8:a::1", 7439)

    def dial():
        s = socket_in(net["mr"], socket.AF_INET6, socket.SOCK_STREAM)
        s.settimeout(5)
        s.connect(address)
        return s

    for garbage in (b"\0" * 100, b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"A" * 70000, b""):
        with dial() as s:
            try:
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:
                pass
    for options in (["-tls1_2"], ["-tls1_3"], ["-tls1_3", "-psk_identity", "blue", "-psk", "00" * 32]):
        net["mr"].run(["timeout", "5", "openssl", "s_client", "-connect", "[2001:db8:a::1]:7439", *options],
                      check=False, stdin=subprocess.DEVNULL)
    assert counters(ha)["key_ok"] == 0 and counters(ha)["key_failed"] >= 7
    crowd = [dial() for _ in range(200)]  # who never say anything
    wait_for(lambda: counters(ha)["key_limited"] >= 30, 10, "the first ones are cut off")
    mr.start().wait_bound()  # while the others are still there
    for s in crowd:
        s.close()


def test_two_home_addresses_can_t_have_one_identity(tmp_path):
    keys = tmp_path / "x.keys"
    keys.write_text(f"psk blue {PSK.hex()}\n")
    keys.chmod(0o600)
    path = tmp_path / "nemo.conf"
    path.write_text(libconfig_file({
        "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "routers": [{"name": f"MR-{n}", "home_address": f"2001:db8:d::{n}", "tenant": "red",
                     "keys": str(keys)} for n in (1, 2)]}))
    done = subprocess.run([os.path.join(BUILD, "nemo-ha"), "-t", "-c", str(path)],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and "psk identity: used before" in done.stderr
    assert PSK.hex() not in done.stderr


@pytest.mark.parametrize("program, conf", [
    ("nemo-ha", {"address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
                 "routers": [{"name": "MR-1", "home_address": HOA, "tenant": "red"}]}),
    ("nemo-mr", {"name": "mr1", "home_address": HOA, "home_agents": [HA],
                 "uplinks": [{"interface": "eth0"}],
                 "networks": [{"prefix": NET, "interface": "eth1"}]})])
def test_who_says_nothing_of_protection_gets_esp(program, conf, tmp_path):
    """And without keys nothing starts: "none" has to be written out."""
    path = tmp_path / "nemo.conf"
    path.write_text(libconfig_file(conf))
    argv = [os.path.join(BUILD, program), "-t", "-c", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and 'protection = "esp" needs a key file' in done.stderr
    path.write_text(libconfig_file({**conf, "protection": "none"}))
    assert subprocess.run(argv, capture_output=True, timeout=10).returncode == 0


def test_coming_home_with_keys_by_tls(make_net, engine):
    """There the care-of address is the home address, and no header says that it is mobile."""
    net = make_net(home_topology("told"))
    keys = key_file(net, "home.keys", f"psk MR-1 {PSK.hex()}")
    esp_ = {"protection": "esp", "engine": engine}
    world = World(net, "told", start="visit1", mr={
        **esp_, "keys": keys, "retransmit_ms": 150 * PATIENCE}, ha={**esp_, "dad_ms": 100, "routers": [
        {"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "t", "keys": keys}]})
    world.mr.wait_bound()
    world.go("home")
    wait_for(lambda: not world.bound(), 10, "de-registered")
    world.go("visit2")
    assert world.bound()
    assert counters(world.ha)["key_ok"] == 1, "nothing to do at a move"
    assert counters(world.ha)["sec_clear"] == counters(world.mr)["sec_clear"] == 0

"""What make_pairs.py makes pairs of: packets by hand, and a file of them with what the reference
(siit.py) makes of each."""

import ipaddress
import json
import struct

from . import pairs, siit
from .pairs import SERIES
from .siit import ICMP4, ICMP6, TCP, UDP, V4, V6, checksum, pseudo

# RFC 7915 appendix A
PREFIX = "2001:db8:100::/40"
H4, H6 = "198.51.100.2", "192.0.2.33"  # both by their IPv4 addresses
ROUTER4, ROUTER6 = "198.51.100.1", "192.0.2.1"
PLAIN = {"prefixes": [{"prefix": PREFIX}], "address4": "192.0.2.254", "address6": "2001:db8:1c0:2:fe::"}

# What a drop is counted as, by the reference's word for it.
REASONS = {
    "malformed": "short_header|short_packet|bad_header4|bad_chain|jumbogram|short_icmp|bad_quote"
                 "|short_transport|bad_version",
    "igmp": "igmp", "protocol": "bad_protocol", "icmp fragment": "icmp_fragment",
    "icmp type": "icmp_type", "pointer": "icmp_pointer", "nested error": "quoted_error",
    "source route": "source_route", "routing header": "segments_left",
    "illegal source 4": "illegal_src4", "illegal destination 4": "illegal_dst4",
    "illegal source 6": "illegal_src6", "illegal destination 6": "illegal_dst6",
    "no mapping, src 4": "unmapped_src4", "no mapping, dst 4": "unmapped_dst4",
    "no mapping, src 6": "unmapped_src6", "no mapping, dst 6": "unmapped_dst6",
    "no pool": "no_pool4", "non-global": "non_global", "ttl": "hop_limit", "too big": "too_big",
    "udp zero checksum": "udp_zero|udp_zero_fragment", "extension in fragment": "fragment_chain",
    "too long": "too_long",
}


def six(a4, prefix=PREFIX):
    """The IPv6 form of an IPv4 address."""
    return siit.Prefix({"prefix": prefix}).put(ipaddress.IPv4Address(a4))


def address(a):
    return a if not isinstance(a, str) else ipaddress.ip_address(a)


# --- making packets ---


def udp(src, dst, data=b"hello", sport=40000, dport=53, proto=UDP):
    """Or UDP-Lite: its third field, the coverage, is then the whole."""
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    sum_ = checksum(pseudo(src, dst, proto, 8 + len(data)) + head + data) or 0xFFFF
    return head[:6] + struct.pack("!H", sum_) + data


def tcp(src, dst, data=b"", flags=0x18, options=b""):
    head = struct.pack("!HHIIBBHHH", 40000, 80, 0x01020304, 0x05060708, 5 + len(options) // 4 << 4,
                       flags, 0x7210, 0, 0) + options
    sum_ = checksum(pseudo(src, dst, TCP, len(head) + len(data)) + head + data)
    return head[:16] + struct.pack("!H", sum_) + head[18:] + data


def icmp(type_, code, word, data, ends=None):
    """ends: (src, dst) for ICMPv6."""
    head = struct.pack("!BBHI", type_, code, 0, word)
    extra = pseudo(*ends, ICMP6, 8 + len(data)) if ends else b""
    return head[:2] + struct.pack("!H", checksum(extra + head + data)) + head[4:] + data


def ip4(proto, payload, src=H4, dst=H6, **how):
    src, dst = address(src), address(dst)
    if callable(payload):
        payload = payload(src, dst)
    return V4(src, dst, proto, payload, **how).bytes()


def ip6(proto, payload, src=H6, dst=H4, headers=(), frag=None, flow=0, **how):
    """headers: [(type, octets without the next header field)] before a fragment header, if any."""
    src, dst = (six(a) if isinstance(a, str) and "." in a else address(a) for a in (src, dst))
    if callable(payload):
        payload = payload(src, dst)
    base = V6(src, dst, proto, payload, frag=frag, **how).bytes()
    if headers:
        nh, rest = base[6], base[40:]
        for kind, octets in reversed(headers):
            rest, nh = bytes([nh]) + octets + rest, kind
        plen = how.get("plen", len(rest))
        base = base[:4] + struct.pack("!HB", plen, nh) + base[7:40] + rest
    first, = struct.unpack_from("!I", base)
    return struct.pack("!I", first | flow) + base[4:]


def udp_of(n, **how):
    """A UDP datagram of n octets with its header."""
    return lambda s, d: udp(s, d, SERIES[:n - 8], **how)


def tcp_of(n):
    return lambda s, d: tcp(s, d, SERIES[:n - 20])


def echo4(type_=8, code=0, data=b"abcdefgh"):
    return icmp(type_, code, 0x12340001, data)


def echo6(type_=128, code=0, data=b"abcdefgh"):
    return lambda s, d: icmp(type_, code, 0x12340001, data, (s, d))


def error4(type_, code, word, quoted, **how):
    return ip4(ICMP4, icmp(type_, code, word, quoted), **{"src": ROUTER4, **how})


def error6(type_, code, word, quoted, **how):
    return ip6(ICMP6, lambda s, d: icmp(type_, code, word, quoted, (s, d)),
               **{"src": ROUTER6, **how})


# What H6 sent to H4, as an IPv4 router sees it, and what H4 sent to H6, as an IPv6 router sees it.
QUOTED4 = ip4(UDP, udp, H6, H4, ttl=60, id=0x1234, tos=0xb8)
QUOTED6 = ip6(UDP, udp, H4, H6, hop_limit=60, tc=0xb8)


def cut(packet, n):
    return packet[:n]


def broken(packet, at):
    """The packet with a checksum at this offset wrong by 0x0101."""
    old, = struct.unpack_from("!H", packet, at)
    return packet[:at] + struct.pack("!H", old ^ 0x0101) + packet[at + 2:]


# --- the files ---


class File:
    def __init__(self, name, about, **configurations):
        self.name, self.about = name, about
        self.configurations = {"plain": PLAIN, **configurations}
        self.pairs = []

    def add(self, name, packet, conf="plain", want=None, **more):
        """want: the packets that it becomes by the RFC's own word, checked against the reference."""
        settings = dict(self.configurations[conf])
        mtus = {k: settings.pop(k) for k in ("mtu4", "mtu6") if k in settings}
        pair = {"name": name, "conf": conf, "in": pairs.text(packet)}
        if more.get("valid"):
            self.pairs.append({**pair, **more})
            return
        got = siit.Reference(settings, **mtus).translate(packet)
        if got.reason:
            pair["drop"] = REASONS[got.reason]
            if got.error:
                pair["error"] = got.error if got.error == siit.ANY else list(got.error)
        else:
            pair["out"] = [pairs.text(p) for p in got.out]
            others = [o for o in got.others if o != got.out]
            if others:
                pair["or"] = [[pairs.text(p) for p in o] for o in others]
            if got.free_id:
                pair["free_id"] = True
            if got.free_source:
                pair["sources"] = got.free_source
        if want is not None:
            pair["rfc"] = True
            assert pairs.difference({**pair, "out": [pairs.text(w) for w in want]}, None,
                                    got.out) is None, f"{name}: reference {got}"
        self.pairs.append({**pair, **more})

    def write(self):
        used = {p["conf"] for p in self.pairs}
        lines = ["{", f' "about": {json.dumps(self.about)},', ' "configurations": {']
        confs = [(k, v) for k, v in self.configurations.items() if k in used]
        lines += [f"  {json.dumps(k)}: {json.dumps(v)}" + ("," if k != confs[-1][0] else "")
                  for k, v in confs]
        lines += [" },", ' "pairs": [']
        lines += ["  " + json.dumps(p) + ("," if p is not self.pairs[-1] else "") for p in self.pairs]
        return "\n".join(lines + [" ]", "}"]) + "\n"


def hexed(s):
    return bytes.fromhex(s.replace(" ", "").replace("\n", ""))

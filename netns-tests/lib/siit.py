"""Stateless IP/ICMP translation once more, in Python and from the RFCs alone: what the packet pairs
of corpus/nat64/ expect.

    r = Reference(conf)                 conf: as in nemo-nat64's configuration file
    got = r.translate(packet)                      an Outcome

Slow and plain on purpose: transport checksums are computed over the whole packet, and a wrong one
that came in is wrong by the same amount when it goes out.  RFC 7915, 7757, 6052, 6791, 4884.
"""

import ipaddress
import struct
from dataclasses import dataclass, field

ICMP4, IGMP, TCP, UDP, ICMP6, UDPLITE = 1, 2, 6, 17, 58, 136
HOP, ROUTING, FRAGMENT, ESP, AH, DEST = 0, 43, 44, 50, 51, 60
NOT_IN_IPV4 = (HOP, ROUTING, FRAGMENT, DEST, ICMP6)
# IANA's extension headers: behind a fragment header they can't be told from the transport.
EXTENSIONS = (HOP, ROUTING, FRAGMENT, AH, DEST, 135, 139, 140, 253, 254)
PLATEAUS = (32000, 17914, 8166, 4352, 2002, 1492)
WKP = ipaddress.IPv6Network("64:ff9b::/96")
NON_GLOBAL = [ipaddress.IPv4Network(n) for n in (
    "0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4")]
ILLEGAL = [ipaddress.IPv4Network(n) for n in (  # the default of 'bogons'
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")]
UNKNOWN = 65535  # MTU of a next hop
CHECKSUM_AT = {TCP: 16, UDP: 6}
OPTIONAL_AT = {33: 6, UDPLITE: 6}  # DCCP and UDP-Lite: may be updated (s4.5/4, s5.5/2)
SILENT, ANY = None, "any"  # of an Outcome's error: none may come; one may come or not


# --- one's complement sums ---


def total16(data):
    data = bytes(data) + bytes(len(data) % 2)
    n = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while n >> 16:
        n = (n & 0xFFFF) + (n >> 16)
    return n


def checksum(data):
    return ~total16(data) & 0xFFFF


def pseudo(src, dst, proto, size):
    """The pseudo-header of either family."""
    head = src.packed + dst.packed
    return head + (struct.pack("!IHBB", size, 0, 0, proto) if src.version == 6
                   else struct.pack("!BBH", 0, proto, size))


def moved(old_sum, removed, added):
    """A checksum field after octets under it were replaced (RFC 1624 eqn. 3)."""
    n = (~old_sum & 0xFFFF) + (~total16(removed) & 0xFFFF) + total16(added)
    while n >> 16:
        n = (n & 0xFFFF) + (n >> 16)
    return ~n & 0xFFFF


# --- packets ---


class Drop(Exception):
    """reason: a word of ours (see pairs.REASONS); error: SILENT, ANY or (type, code, word)."""

    def __init__(self, reason, error=SILENT):
        super().__init__(reason)
        self.reason, self.error = reason, error


@dataclass
class V4:
    src: object
    dst: object
    proto: int
    payload: bytes
    tos: int = 0
    id: int = 0
    df: bool = False
    mf: bool = False
    off: int = 0  # units of 8
    ttl: int = 64
    options: bytes = b""
    total: int = None  # of a quoted packet: by its header

    @property
    def is_fragment(self):
        return self.mf or self.off > 0

    def bytes(self):
        ihl = 20 + len(self.options)
        total = self.total if self.total is not None else ihl + len(self.payload)
        head = struct.pack("!BBHHHBBH4s4s", 0x40 | ihl // 4, self.tos, total, self.id,
                           self.df << 14 | self.mf << 13 | self.off, self.ttl, self.proto, 0,
                           self.src.packed, self.dst.packed) + self.options
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + self.payload

    @classmethod
    def read(cls, data, quoted=False):
        if len(data) < 20 or data[0] >> 4 != 4:
            raise Drop("malformed")
        ihl = (data[0] & 15) * 4
        tos, total, id_, frag, ttl, proto = struct.unpack_from("!xBHHHBB", data)
        if ihl < 20 or len(data) < ihl or total < ihl or (not quoted and total > len(data)):
            raise Drop("malformed")
        return cls(ipaddress.IPv4Address(data[12:16]), ipaddress.IPv4Address(data[16:20]), proto,
                   data[ihl:total], tos, id_, bool(frag & 0x4000), bool(frag & 0x2000),
                   frag & 0x1FFF, ttl, data[20:ihl], total)


@dataclass
class V6:
    src: object
    dst: object
    proto: int
    payload: bytes
    tc: int = 0
    hop_limit: int = 64
    frag: tuple = None  # (offset in units of 8, M, id)
    skipped: list = field(default_factory=list)  # (type, offset, octets) of extension headers
    plen: int = None

    @property
    def is_fragment(self):
        return self.frag is not None and (self.frag[0] > 0 or self.frag[1])

    def bytes(self):
        body, nh = self.payload, self.proto
        if self.frag:
            off, more, id_ = self.frag
            body, nh = struct.pack("!BBHI", nh, 0, off << 3 | more, id_) + body, FRAGMENT
        plen = self.plen if self.plen is not None else len(body)
        return struct.pack("!IHBB", 6 << 28 | self.tc << 20, plen, nh, self.hop_limit) + \
            self.src.packed + self.dst.packed + body

    @classmethod
    def read(cls, data, quoted=False):
        if len(data) < 40 or data[0] >> 4 != 6:
            raise Drop("malformed")
        first, plen, nh, hlim = struct.unpack_from("!IHBB", data)
        if not quoted and 40 + plen > len(data):
            raise Drop("malformed")
        data = data[:40 + plen]
        p = cls(ipaddress.IPv6Address(data[8:24]), ipaddress.IPv6Address(data[24:40]), nh, b"",
                first >> 20 & 0xFF, hlim, plen=plen)
        at = 40
        while p.proto in (HOP, ROUTING, FRAGMENT, DEST):
            if len(data) < at + 8:
                raise Drop("malformed")
            size = 8 if p.proto == FRAGMENT else (data[at + 1] + 1) * 8
            if len(data) < at + size:
                raise Drop("malformed")
            if p.proto == FRAGMENT:
                bits, id_ = struct.unpack_from("!2xHI", data, at)
                if data[at] in EXTENSIONS:
                    raise Drop("extension in fragment", ANY)
                p.frag = (bits >> 3, bool(bits & 1), id_)
            else:
                p.skipped.append((p.proto, at, data[at:at + size]))
            p.proto, at = data[at], at + size
        p.payload = data[at:]
        return p


@dataclass
class Outcome:
    out: list = field(default_factory=list)  # packets, octets
    others: list = field(default_factory=list)  # other lists that are right by the RFCs as well
    reason: str = None  # dropped
    error: object = SILENT
    free_id: bool = False  # its IPv4 identification is the translator's choice
    free_source: list = None  # the outer source is any of these


# --- addresses ---


class Prefix:
    """An RFC 6052 prefix with the IPv4 addresses that it is for."""

    def __init__(self, conf):
        self.net = ipaddress.IPv6Network(conf["prefix"])
        self.scope = ipaddress.IPv4Network(conf.get("ipv4", "0.0.0.0/0"))

    def put(self, a4):
        # The prefix, then the IPv4 octets; octet 8 is skipped and stays zero.
        out, at = bytearray(self.net.network_address.packed), self.net.prefixlen // 8
        for octet in a4.packed:
            at += at == 8
            out[at] = octet
            at += 1
        return ipaddress.IPv6Address(bytes(out))

    def take(self, a6):
        got, at = [], self.net.prefixlen // 8
        for _ in range(4):
            at += at == 8
            got.append(a6.packed[at])
            at += 1
        return ipaddress.IPv4Address(bytes(got))


class Reference:
    def __init__(self, conf, mtu4=UNKNOWN, mtu6=UNKNOWN):
        self.mtu4, self.mtu6 = mtu4, mtu6
        self.prefixes = [Prefix(p) for p in conf.get("prefixes", ())]
        self.eams = [(ipaddress.IPv4Network(m["ipv4"]), ipaddress.IPv6Network(m["ipv6"]))
                     for m in conf.get("mappings", ())]
        self.pool4 = [str(ipaddress.IPv4Network(a)[0]) for a in conf.get("pool4", ())]
        self.lowest = min(conf.get("lowest_ipv6_mtu", 1280), mtu6)
        self.compute_zero = conf.get("udp_zero_checksum", "drop") == "compute"
        self.hairpin = conf.get("hairpin", "intrinsic")
        self.tos46, self.tos64 = conf.get("tos_4to6", "copy"), conf.get("tos_6to4", "copy")
        self.non_global = conf.get("allow_non_global", False)
        self.origin_object = conf.get("origin_object", True)

    def map46(self, a4, eam=True, end="dst"):
        """(IPv6 address, "eam" or "prefix")"""
        rows = [r for r in self.eams if a4 in r[0]] if eam else []
        if rows:
            n4, n6 = max(rows, key=lambda r: r[0].prefixlen)
            s4, s6 = 32 - n4.prefixlen, 128 - n6.prefixlen
            suffix = int(a4) & ((1 << s4) - 1)
            return ipaddress.IPv6Address(int(n6.network_address) | suffix << (s6 - s4)), "eam"
        found = [p for p in self.prefixes if a4 in p.scope]
        if not found or a4.is_multicast:
            raise Drop(f"no mapping, {end} 4", ANY)
        prefix = max(found, key=lambda p: p.scope.prefixlen)
        self._check_global(prefix, a4)
        return prefix.put(a4), "prefix"

    def map64(self, a6, end="dst"):
        rows = [r for r in self.eams if a6 in r[1]]
        if rows:
            n4, n6 = max(rows, key=lambda r: r[1].prefixlen)
            s4, s6 = 32 - n4.prefixlen, 128 - n6.prefixlen
            suffix = int(a6) & ((1 << s6) - 1)
            return ipaddress.IPv4Address(int(n4.network_address) | suffix >> (s6 - s4)), "eam"
        found = [p for p in self.prefixes if a6 in p.net]
        if not found:
            raise Drop(f"no mapping, {end} 6", ANY)
        prefix = max(found, key=lambda p: p.net.prefixlen)
        a4 = prefix.take(a6)
        self._check_global(prefix, a4)
        return a4, "prefix"

    def _check_global(self, prefix, a4):
        if prefix.net == WKP and not self.non_global and any(a4 in n for n in NON_GLOBAL):
            raise Drop("non-global", ANY)

    # --- whole packets ---

    def translate(self, packet):
        try:
            if packet and packet[0] >> 4 == 6:
                return self._from6(packet)
            return self._from4(packet)
        except Drop as d:
            # RFC 1812 s4.3.2.7, RFC 4443 s2.4 (e): no error about an error.
            return Outcome(reason=d.reason, error=SILENT if is_icmp_error(packet) else d.error)

    def _from4(self, packet, second=False):
        """'second': the way back of a hairpinned packet."""
        p = V4.read(packet)
        rules = second or self.hairpin == "simple"
        frag, is_error = p.is_fragment, False
        if p.proto == IGMP:
            raise Drop("igmp")
        if p.proto in NOT_IN_IPV4:
            raise Drop("protocol", ANY)
        if p.proto == ICMP4:
            if frag:
                raise Drop("icmp fragment", ANY)
            new_type = icmp_type46(p.payload)
            is_error = p.payload[0] in (3, 11, 12)
        check_source_route(p)
        if any(p.src in n for n in ILLEGAL) and not is_error:
            raise Drop("illegal source 4")
        if any(p.dst in n for n in ILLEGAL):
            raise Drop("illegal destination 4", ANY)
        inner = V4.read(p.payload[8:], quoted=True) if is_error else None
        # RFC 7757 s4.2.1
        src_by_eam = not rules or (is_error and p.src != inner.dst)
        src, _ = self.map46(p.src, src_by_eam, "src")
        dst, _ = self.map46(p.dst)
        if not second and p.ttl <= 1:
            raise Drop("ttl", (11, 0, 0))
        others = self._optional(p, src, dst)
        if p.proto == ICMP4:
            if is_error:
                variants = self._error46(p, new_type, rules)
            else:
                variants = [bytes([new_type]) + p.payload[1:]]
            payload, *others = [refit(p.payload, v, b"", pseudo(src, dst, ICMP6, len(v)))
                                for v in variants]
        else:
            payload = self._transport(p, src, dst, p.payload)
        proto = ICMP6 if p.proto == ICMP4 else p.proto
        tc = 0 if self.tos46 == "zero" else p.tos
        made = V6(src, dst, proto, payload, tc, p.ttl if second else p.ttl - 1)
        result = Outcome(self._sized6(p, made))
        for other in others:
            made.payload = other
            result.others.append(self._sized6(p, made))
        return result

    def _optional(self, p, src, dst):
        """[the payload with its checksum updated], if that may be done or not."""
        first = p.off == 0 if isinstance(p, V4) else not p.frag or p.frag[0] == 0
        at = OPTIONAL_AT.get(p.proto)
        if not first or at is None or len(p.payload) < at + 2:
            return []
        old, = struct.unpack_from("!H", p.payload, at)
        new = moved(old, p.src.packed + p.dst.packed, src.packed + dst.packed)
        if p.proto == UDPLITE and new == 0:
            new = 0xFFFF  # RFC 3828 s3.1: zero is for none
        return [p.payload[:at] + struct.pack("!H", new) + p.payload[at + 2:]]

    def _transport(self, p, src, dst, payload):
        """Payload with its checksum moved from p's addresses to src and dst."""
        first = p.off == 0 if isinstance(p, V4) else not p.frag or p.frag[0] == 0
        at = CHECKSUM_AT.get(p.proto)
        if not first or at is None:
            return payload
        if len(payload) < at + 2:
            raise Drop("malformed")
        old, = struct.unpack_from("!H", payload, at)
        if p.proto == UDP and old == 0 and isinstance(p, V4):
            if p.is_fragment or not self.compute_zero:
                raise Drop("udp zero checksum", ANY)
            new = checksum(pseudo(src, dst, UDP, len(payload)) + payload)
        else:
            new = moved(old, p.src.packed + p.dst.packed, src.packed + dst.packed)
        if p.proto == UDP and new == 0:
            new = 0xFFFF
        return payload[:at] + struct.pack("!H", new) + payload[at + 2:]

    def _sized6(self, p, made):
        """RFC 7915 s4, s4.1: the packets that 'made' becomes.  p: the IPv4 packet."""
        n, frag = len(made.payload), p.is_fragment
        if p.df:
            if n + (48 if frag else 40) > self.mtu6:
                # RFC 1812 s4.3.2.7 wants no error about a later fragment, RFC 7915 s4.1 wants one.
                raise Drop("too big", ANY if p.off else (3, 4, self.mtu6 - (28 if frag else 20)))
            if frag:
                made.frag = (p.off, p.mf, p.id)
            return [made.bytes()]
        if n + (48 if frag else 40) <= self.lowest:
            if frag:
                made.frag = (p.off, p.mf, p.id)
            return [made.bytes()]
        unit = (self.lowest - 48) // 8 * 8
        out, whole = [], made.payload
        for at in range(0, n, unit):
            last = at + unit >= n
            piece = V6(made.src, made.dst, made.proto, whole[at:at + unit], made.tc, made.hop_limit,
                       (p.off + at // 8, p.mf if last else True, p.id))
            out.append(piece.bytes())
        return out

    def _from6(self, packet):
        p = V6.read(packet)
        frag, is_error = p.is_fragment, False
        if p.proto == ICMP4:
            raise Drop("protocol", ANY)
        if p.proto == ICMP6:
            if frag:
                raise Drop("icmp fragment")
            new_type = icmp_type64(p.payload)
            is_error = p.payload[0] < 128
        for kind, at, octets in p.skipped:
            if kind == ROUTING and octets[3]:
                raise Drop("routing header", (4, 0, at + 3))
        free = None
        try:
            if p.src.is_loopback or p.src.is_unspecified or p.src.is_multicast or p.src.is_link_local:
                raise Drop("illegal source 6")
            src, _ = self.map64(p.src, "src")
        except Drop as d:
            if not is_error or not d.reason.startswith("no mapping"):
                raise Drop(d.reason, SILENT if p.proto == ICMP6 else d.error)
            if not self.pool4:
                raise Drop("no pool")
            free, src = self.pool4, ipaddress.IPv4Address(self.pool4[0])
        if any(src in n for n in ILLEGAL):
            raise Drop("illegal source 6")
        try:
            if p.dst.is_loopback or p.dst.is_unspecified or p.dst.is_multicast or p.dst.is_link_local:
                raise Drop("illegal destination 6", ANY)
            dst, dst_by = self.map64(p.dst)
        except Drop as d:
            raise Drop(d.reason, SILENT if p.proto == ICMP6 else d.error)
        if any(dst in n for n in ILLEGAL):
            raise Drop("illegal destination 6", SILENT if p.proto == ICMP6 else ANY)
        if p.hop_limit <= 1:
            raise Drop("ttl", (3, 0, 0))
        others, inner_src = self._optional(p, src, dst), None
        if p.proto == ICMP6:
            if is_error:
                inner = V6.read(p.payload[8:], quoted=True)
                inner_src = self.map64(inner.src)
                variants = self._error64(p, free is not None)
            else:
                variants = [bytes([new_type]) + p.payload[1:]]
            payload, *others = [refit(p.payload, v, pseudo(p.src, p.dst, ICMP6, len(p.payload)), b"")
                                for v in variants]
        else:
            payload = self._transport(p, src, dst, p.payload)
        proto = ICMP4 if p.proto == ICMP6 else p.proto
        tos = p.tc if self.tos64 == "copy" else int(self.tos64)
        made = V4(src, dst, proto, payload, tos, ttl=p.hop_limit - 1)
        if p.frag:
            made.off, made.mf, made.id = p.frag[0], p.frag[1], p.frag[2] & 0xFFFF
        else:
            made.df = len(payload) + 20 > 1260
        if self.hairpin == "intrinsic" and self._comes_back(dst, dst_by, inner_src):
            back = self._from4(made.bytes(), second=True)
            for other in others:
                made.payload = other
                again = self._from4(made.bytes(), second=True)
                back.others += [again.out, *again.others]
            back.free_source = free and [str(self.map46(ipaddress.IPv4Address(a))[0]) for a in free]
            return back
        free_id = not p.frag
        result = Outcome(self._sized4(p, made), free_id=free_id, free_source=free)
        for other in others:
            made.payload = other
            if not p.frag:
                made.df = len(other) + 20 > 1260
            result.others.append(self._sized4(p, made))
        return result

    def _comes_back(self, dst, dst_by, inner_src):
        """RFC 7757 s4.2.2, condition sets A and B."""
        if inner_src:
            dst, dst_by = inner_src
        return dst_by == "prefix" and any(dst in n4 for n4, _ in self.eams)

    def _sized4(self, p, made):
        size, limit = 20 + len(made.payload), self.mtu4
        if size > 65535:
            raise Drop("too long", ANY)
        if size <= limit:
            return [made.bytes()]
        if made.df and p.plen + 40 > 1280:
            raise Drop("too big", (2, 0, max(1280, limit + 20)))
        unit, out = (limit - 20) // 8 * 8, []
        for at in range(0, len(made.payload), unit):
            last = at + unit >= len(made.payload)
            out.append(V4(made.src, made.dst, made.proto, made.payload[at:at + unit], made.tos,
                          made.id, False, made.mf if last else True, made.off + at // 8,
                          made.ttl).bytes())
        return out

    # --- ICMP errors ---

    def _error46(self, p, new, rules):
        """ICMPv6 messages (checksum as it came) that may stand for this ICMPv4 error."""
        type_, code = p.payload[:2]
        rest = p.payload[8:]
        field_, ext = split_extension(rest, p.payload[5] * 4)
        inner4 = V4.read(field_, quoted=True)
        quoted = self._quoted46(inner4, rules)
        head = {(3, 2): (4, 1), (3, 4): (2, 0)}.get((type_, code))
        word = 0
        if head == (4, 1):
            word = 6
        elif head == (2, 0):
            word = self._mtu46(struct.unpack_from("!H", p.payload, 6)[0], inner4.total)
        elif type_ == 12:
            head, word = (4, 0), pointer46(p.payload[4])
        else:
            head = (new, DU46[code] if type_ == 3 else code)
        if head[0] in (2, 4) or not ext:
            return [struct.pack("!BBHI", *head, 0, word) + quoted]
        made = []
        for keep in (len(field_) - len(quoted_octets(field_, inner4)), 0):
            padded = pad(quoted + bytes(keep), 8)
            made.append(struct.pack("!BBHBxxx", *head, 0, len(padded) // 8) + padded + ext)
        return made

    def _mtu46(self, mtu, quoted_total):
        if mtu == 0:
            mtu = next((n for n in PLATEAUS if n < quoted_total), 0)
        return max(1280, min(mtu + 20, self.mtu6, self.mtu4 + 20))

    def _quoted46(self, q, rules):
        if q.proto == ICMP4 and q.off == 0 and q.payload and q.payload[0] not in (0, 8):
            raise Drop("nested error")
        src, _ = self.map46(q.src)
        dst, _ = self.map46(q.dst, not rules)
        size = q.total - 20 - len(q.options)
        payload = self._quoted_transport(q, src, dst, size)
        tc = 0 if self.tos46 == "zero" else q.tos
        frag = (q.off, q.mf, q.id) if q.is_fragment else None
        return V6(src, dst, ICMP6 if q.proto == ICMP4 else q.proto, payload, tc, q.ttl, frag,
                  plen=size + (8 if frag else 0)).bytes()

    def _quoted_transport(self, q, src, dst, size):
        payload = q.payload
        first = q.off == 0 if isinstance(q, V4) else not q.frag or q.frag[0] == 0
        if not first:
            return payload
        if q.proto in (ICMP4, ICMP6) and len(payload) >= 4:
            type_ = {8: 128, 0: 129, 128: 8, 129: 0}[payload[0]]
            old, = struct.unpack_from("!H", payload, 2)
            six = src.version == 6
            ends = (src, dst) if six else (q.src, q.dst)
            ph = pseudo(*ends, ICMP6, size)
            gone, come = (b"", ph) if six else (ph, b"")
            new = moved(old, payload[:2] + gone, bytes([type_, payload[1]]) + come)
            return bytes([type_, payload[1]]) + struct.pack("!H", new) + payload[4:]
        at = CHECKSUM_AT.get(q.proto)
        if at is None or len(payload) < at + 2:
            return payload
        old, = struct.unpack_from("!H", payload, at)
        if q.proto == UDP and old == 0:
            return payload
        new = moved(old, q.src.packed + q.dst.packed, src.packed + dst.packed)
        if q.proto == UDP and new == 0:
            new = 0xFFFF
        return payload[:at] + struct.pack("!H", new) + payload[at + 2:]

    def _error64(self, p, from_pool):
        type_, code = p.payload[:2]
        word, = struct.unpack_from("!I", p.payload, 4)
        field_, ext = split_extension(p.payload[8:], p.payload[4] * 8 if type_ in (1, 3) else 0)
        inner6 = V6.read(field_, quoted=True)
        quoted = self._quoted64(inner6)
        if type_ == 1:
            head, low = (3, DU64[code]), 0
        elif type_ == 2:
            mtu = max(word, 1280) - (28 if inner6.frag else 20)
            head, low = (3, 4), min(mtu, self.mtu4, self.mtu6 - 20)
        elif type_ == 3:
            head, low = (11, code), 0
        elif code == 1:
            head, low = (3, 2), 0
        else:
            head, low = (12, 0), pointer64(word) << 24
        if from_pool and self.origin_object:
            ext = with_origin(ext, p.src)
        if not ext:
            made = [struct.pack("!BBHI", *head, 0, low) + quoted]
            if len(made[0]) + 20 > 576:
                made.append(made[0][:556])
            return made
        made = []
        for keep in (len(field_) - len(quoted_octets(field_, inner6)), 0):
            padded = pad(quoted + bytes(keep), 4)[:(576 - 28 - len(ext)) // 4 * 4]
            made.append(struct.pack("!BBHI", *head, 0, low | len(padded) // 4 << 16) + padded + ext)
        return made

    def _quoted64(self, q):
        if q.proto == ICMP6 and not (q.frag and q.frag[0]) and q.payload \
                and q.payload[0] not in (128, 129):
            raise Drop("nested error")
        src, _ = self.map64(q.src)
        dst, _ = self.map64(q.dst)
        size = q.plen - sum(len(o) for _, _, o in q.skipped) - (8 if q.frag else 0)
        payload = self._quoted_transport(q, src, dst, size)
        made = V4(src, dst, ICMP4 if q.proto == ICMP6 else q.proto, payload,
                  q.tc if self.tos64 == "copy" else int(self.tos64), ttl=q.hop_limit,
                  total=size + 20)
        if q.frag:
            made.off, made.mf, made.id = q.frag[0], q.frag[1], q.frag[2] & 0xFFFF
        else:
            made.df = made.total > 1260
        return made.bytes()


# --- tables of RFC 7915 s4.2 and s5.2 ---

DU46 = {0: 0, 1: 0, 3: 4, 5: 0, 6: 0, 7: 0, 8: 0, 9: 1, 10: 1, 11: 0, 12: 0, 13: 1, 15: 1}
DU64 = {0: 1, 1: 10, 2: 1, 3: 1, 4: 3}
POINTER46 = {0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6, **{n: 8 for n in range(12, 16)},
             **{n: 24 for n in range(16, 20)}}
POINTER64 = {0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8, **{n: 12 for n in range(8, 24)},
             **{n: 16 for n in range(24, 40)}}


def is_icmp_error(packet):
    try:
        if packet[0] >> 4 == 6:
            p = V6.read(packet, quoted=True)
            return p.proto == ICMP6 and (p.is_fragment or not p.payload or p.payload[0] < 128)
        p = V4.read(packet, quoted=True)
        return p.proto == ICMP4 and (p.off > 0 or not p.payload
                                     or p.payload[0] in (3, 4, 5, 11, 12))
    except Drop:
        return False


def icmp_type46(message):
    if len(message) < 8:
        raise Drop("malformed")
    type_, code = message[:2]
    if type_ in (0, 8):
        return {0: 129, 8: 128}[type_]
    if type_ == 3 and (code in DU46 or code in (2, 4)):
        return 1
    if type_ == 11:
        return 3
    if type_ == 12 and code in (0, 2):
        pointer46(message[4])
        return 4
    raise Drop("icmp type")


def icmp_type64(message):
    if len(message) < 8:
        raise Drop("malformed")
    type_, code = message[:2]
    if type_ in (128, 129):
        return {128: 8, 129: 0}[type_]
    if type_ == 1 and code in DU64:
        return 3
    if type_ == 2:
        return 3
    if type_ == 3:
        return 11
    if type_ == 4 and code in (0, 1):
        if code == 0:
            pointer64(struct.unpack_from("!I", message, 4)[0])
        return 12
    raise Drop("icmp type")


def pointer46(n):
    if n not in POINTER46:
        raise Drop("pointer")
    return POINTER46[n]


def pointer64(n):
    if n not in POINTER64:
        raise Drop("pointer")
    return POINTER64[n]


def check_source_route(p):
    at = 0
    while at < len(p.options) and p.options[at] != 0:
        kind = p.options[at]
        if kind == 1:
            at += 1
            continue
        if at + 1 >= len(p.options) or p.options[at + 1] < 2:
            return
        size = p.options[at + 1]
        if kind in (131, 137) and p.options[at + 2] <= size:
            raise Drop("source route", (3, 5, 0))
        at += size


# --- RFC 4884 and 5837 ---


def split_extension(rest, size):
    """(the "original datagram" field, the extension structure or nothing)"""
    if size >= 128 and size + 8 <= len(rest):
        return rest[:size], rest[size:]
    return rest, b""


def quoted_octets(field_, inner):
    """The quoted packet itself, without the padding behind it."""
    size = inner.total if isinstance(inner, V4) else 40 + inner.plen
    return field_[:size]


def pad(data, unit):
    data = data.ljust(128, b"\0")
    return data + bytes(-len(data) % unit)


def with_origin(ext, src):
    """The structure with an Interface Information Object: role 0, IP address of family 2."""
    objects = ext[4:] + struct.pack("!HBBHH", 24, 2, 0x04, 2, 0) + src.packed
    head = struct.pack("!BBH", 0x20, 0, 0)
    return head[:2] + struct.pack("!H", checksum(head + objects)) + objects


def refit(old, new, old_extra, new_extra):
    """'new' (an ICMP message) with its checksum; if that of 'old' was wrong, so is this one, by as
    much.  'extra': the pseudo-headers."""
    old_sum, = struct.unpack_from("!H", old, 2)
    right = checksum(old_extra + old[:2] + bytes(2) + old[4:])
    made = checksum(new_extra + new[:2] + bytes(2) + new[4:])
    if old_sum != right:
        made = moved(made, struct.pack("!H", ~right & 0xFFFF), struct.pack("!H", ~old_sum & 0xFFFF))
    return new[:2] + struct.pack("!H", made) + new[4:]

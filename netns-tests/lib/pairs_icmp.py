"""Pairs about ICMP: messages, errors and what they quote, extensions (RFC 4884)."""

import struct

from .pair_packets import (
    H4, H6, PLAIN, PREFIX, QUOTED4, QUOTED6, File, address, broken, cut, echo4, echo6, error4,
    error6, hexed, icmp, ip4, ip6, six, tcp_of, udp, udp_of,
)
from .pairs import SERIES
from .siit import DEST, ICMP4, ICMP6, TCP, UDP, checksum


def icmp46():
    f = File("icmp46", "RFC 7915 s4.2, s4.3: ICMPv4 to ICMPv6", **{
        "mtu 1500": {**PLAIN, "mtu4": 1500, "mtu6": 1500},
        "mtu6 1380": {**PLAIN, "mtu4": 1500, "mtu6": 1380},
        "mtu4 1400": {**PLAIN, "mtu4": 1400, "mtu6": 9000},
        "mtu 9000": {**PLAIN, "mtu4": 9000, "mtu6": 9000},
    })
    f.add("46-port-unreachable", hexed(
        "45c00038 00070000 40018da7 c6336402 c0000221 03032d4500000000"
        "45b80021 12340000 3c117f89 c0000221 c6336402 9c400035000d3335"), want=[hexed(
            "6c000000 00383a3f 20010db801c633640002000000000000 20010db801c000020021000000000000"
            "0104332f00000000 6b800000 000d113c 20010db801c000020021000000000000"
            "20010db801c633640002000000000000 9c400035000d8d0b")])
    for type_ in (0, 8):
        for code in (0, 1, 255):
            f.add(f"46-icmp-{type_}-{code}", ip4(ICMP4, echo4(type_, code)))
    f.add("46-echo-no-data", ip4(ICMP4, echo4(8, 0, b"")))
    f.add("46-echo-odd", ip4(ICMP4, echo4(8, 0, SERIES[:1001])))
    for code in (*range(17), 255):
        f.add(f"46-icmp-3-{code}", error4(3, code, 1400 if code == 4 else 0, QUOTED4))
    for type_ in (1, 2, 4, 5, 6, 7, 9, 10, *range(13, 20), 30, 40, 41, 42, 43, 128, 129, 255):
        f.add(f"46-icmp-{type_}-0", error4(type_, 0, 0, QUOTED4))
    for code in (0, 1, 2, 255):
        f.add(f"46-icmp-11-{code}", error4(11, code, 0, QUOTED4))
    for code in (1, 3, 255):
        f.add(f"46-icmp-12-{code}", error4(12, code, 9 << 24, QUOTED4))
    for code in (0, 2):
        for pointer in (*range(22), 60, 255):
            f.add(f"46-pointer-{code}-{pointer}", error4(12, code, pointer << 24, QUOTED4))
    for mtu in (1500, 1480, 1400, 1261, 1260, 1259, 576, 68, 1, 65535):
        f.add(f"46-mtu-{mtu}", error4(3, 4, mtu, QUOTED4))
        f.add(f"46-mtu-{mtu}-nexthops-1500", error4(3, 4, mtu, QUOTED4), "mtu 1500")
    f.add("46-mtu-1400-nexthop6-1380", error4(3, 4, 1400, QUOTED4), "mtu6 1380")
    f.add("46-mtu-1500-nexthop4-1400", error4(3, 4, 1500, QUOTED4), "mtu4 1400")
    for total in (1400, 1480, 1492, 1493, 1500):
        f.add(f"46-plateau-{total}", error4(3, 4, 0, cut(ip4(UDP, udp_of(total - 20), H6, H4), 28)),
              "mtu 1500")
    for total in (1493, 2002, 2003, 4352, 4353, 8166, 8167, 9000, 17915, 32001, 65535):
        f.add(f"46-plateau-{total}-mtu-9000",
              error4(3, 4, 0, cut(ip4(UDP, udp_of(total - 20), H6, H4), 28)), "mtu 9000")
    # what is quoted
    for n in (28, 29, 36, 60, 500):
        f.add(f"46-quotes-tcp-{n}", error4(3, 1, 0, cut(ip4(TCP, tcp_of(1400), H6, H4, df=True), n)))
    f.add("46-quotes-tcp-whole", error4(3, 1, 0, ip4(TCP, tcp_of(60), H6, H4, df=True)))
    f.add("46-quotes-echo", error4(3, 1, 0, ip4(ICMP4, echo4(), H6, H4)))
    f.add("46-quotes-echo-cut", error4(11, 0, 0, cut(ip4(ICMP4, echo4(data=SERIES[:900]), H6, H4), 28)))
    f.add("46-quotes-echo-reply", error4(3, 13, 0, ip4(ICMP4, echo4(0), H6, H4)))
    f.add("46-quotes-protocol-47", error4(3, 2, 0, ip4(47, SERIES[:24], H6, H4)))
    f.add("46-quotes-options", error4(3, 3, 0, ip4(UDP, udp, H6, H4, options=b"\1\1\1\0")))
    f.add("46-quotes-first-fragment", error4(11, 1, 0, cut(ip4(UDP, udp(
        address(H6), address(H4), SERIES[:3000])[:1480], H6, H4, mf=True, id=77), 48)))
    f.add("46-quotes-later-fragment", error4(3, 1, 0, ip4(UDP, SERIES[:16], H6, H4, off=185, id=77)))
    zero = ip4(UDP, udp, H6, H4)
    f.add("46-quotes-udp-zero-sum", error4(3, 3, 0, zero[:26] + bytes(2) + zero[28:]))
    f.add("46-quotes-wrong-sum", error4(3, 3, 0, broken(ip4(UDP, udp, H6, H4), 26)))
    f.add("46-quotes-ttl-0", error4(11, 0, 0, ip4(UDP, udp, H6, H4, ttl=0)))
    f.add("46-quotes-icmp-error", error4(3, 1, 0, ip4(ICMP4, icmp(3, 3, 0, QUOTED4), H6, H4)))
    f.add("46-quotes-other-icmp", error4(3, 1, 0, ip4(ICMP4, icmp(13, 0, 0, bytes(12)), H6, H4)), valid=True)
    f.add("46-bad-sum-error", broken(error4(3, 3, 0, QUOTED4), 22), bad_sum=True)
    f.add("46-error-illegal-source", error4(11, 0, 0, QUOTED4, src="127.0.0.1"))
    f.add("46-error-source-0", error4(11, 0, 0, QUOTED4, src="0.0.0.0"))
    f.add("46-error-private-source", error4(11, 0, 0, QUOTED4, src="10.1.2.3"))
    f.add("46-error-with-options", error4(11, 0, 0, QUOTED4, options=b"\1\1\1\0"))
    for n in range(0, 29):
        f.add(f"46-quote-cut-at-{n}", error4(3, 3, 0, QUOTED4[:n]), **({} if n == 28 else {"valid": True}))
    return f


def icmp64():
    f = File("icmp64", "RFC 7915 s5.2, s5.3: ICMPv6 to ICMPv4", **{
        "mtu 1500": {**PLAIN, "mtu4": 1500, "mtu6": 1500},
        "mtu4 1400": {**PLAIN, "mtu4": 1400, "mtu6": 1500},
        "mtu6 1400": {**PLAIN, "mtu4": 1500, "mtu6": 1400},
        "mtu 9000": {**PLAIN, "mtu4": 9000, "mtu6": 9000},
    })
    f.add("64-packet-too-big", hexed(
        "60000000 00383a40 20010db801c000020001000000000000 20010db801c633640002000000000000"
        "0200f48900000578 600000005b4113b".replace("600000005b4113b", "6000000005b4113b") +
        "20010db801c633640002000000000000 20010db801c000020021000000000000 1388177005b4370d"), want=[hexed(
            "45000038 00010000 3f018f8d c0000201 c6336402 0304e9b400000564"
            "450005c8 00004000 3b114dce c6336402 c0000221 1388177005b4dd36")])
    for type_ in (128, 129):
        for code in (0, 1, 255):
            f.add(f"64-icmp-{type_}-{code}", ip6(ICMP6, echo6(type_, code)))
    f.add("64-echo-no-data", ip6(ICMP6, echo6(128, 0, b"")))
    f.add("64-echo-odd", ip6(ICMP6, echo6(128, 0, SERIES[:1001])))
    for code in (*range(8), 255):
        f.add(f"64-icmp-1-{code}", error6(1, code, 0, QUOTED6))
    for code in (0, 1, 2, 255):
        f.add(f"64-icmp-3-{code}", error6(3, code, 0, QUOTED6))
    for code in (1, 2, 3, 255):
        f.add(f"64-icmp-4-{code}", error6(4, code, 6, QUOTED6))
    for type_ in (0, 5, 100, 101, 126, 127, *range(130, 154), 200, 255):
        f.add(f"64-icmp-{type_}-0", error6(type_, 0, 0, QUOTED6))
    for pointer in (*range(44), 48, 255, 256, 0x01000006, 0xffffffff):
        f.add(f"64-pointer-{pointer}", error6(4, 0, pointer, QUOTED6))
    for mtu in (1500, 1400, 1281, 1280, 9000, 65535):
        f.add(f"64-mtu-{mtu}", error6(2, 0, mtu, QUOTED6))
        f.add(f"64-mtu-{mtu}-nexthops-1500", error6(2, 0, mtu, QUOTED6), "mtu 1500")
    f.add("64-mtu-1500-nexthop4-1400", error6(2, 0, 1500, QUOTED6), "mtu4 1400")
    f.add("64-mtu-1500-nexthop6-1400", error6(2, 0, 1500, QUOTED6), "mtu6 1400")
    f.add("64-mtu-4294967295-mtu-9000", error6(2, 0, 0xffffffff, QUOTED6), "mtu 9000")
    for mtu in (0, 20, 68, 1279):
        f.add(f"64-mtu-{mtu}", error6(2, 0, mtu, QUOTED6), valid=True)
    for mtu in (1280, 1400):
        f.add(f"64-mtu-{mtu}-fragment",
              error6(2, 0, mtu, ip6(UDP, SERIES[:1200], H4, H6, frag=(181, False, 77))[:100]))
    for n in (48, 49, 56, 80, 500):
        f.add(f"64-quotes-tcp-{n}", error6(1, 0, 0, cut(ip6(TCP, tcp_of(1400), H4, H6), n)))
    f.add("64-quotes-tcp-whole", error6(1, 3, 0, ip6(TCP, tcp_of(60), H4, H6)))
    f.add("64-quotes-to-1280", error6(3, 0, 0, cut(ip6(UDP, udp_of(1460), H4, H6), 1232)))
    f.add("64-quotes-echo", error6(1, 0, 0, ip6(ICMP6, echo6(), H4, H6)))
    f.add("64-quotes-echo-cut", error6(3, 0, 0, cut(ip6(ICMP6, echo6(data=SERIES[:900]), H4, H6), 48)))
    f.add("64-quotes-echo-reply", error6(1, 1, 0, ip6(ICMP6, echo6(129), H4, H6)))
    f.add("64-quotes-protocol-47", error6(4, 1, 6, ip6(47, SERIES[:24], H4, H6)))
    f.add("64-quotes-extension", error6(1, 4, 0, ip6(UDP, udp, H4, H6, headers=[
        (DEST, b"\0" + b"\1\4" + bytes(4))])))
    f.add("64-quotes-fragment", error6(3, 1, 0, cut(ip6(UDP, udp(six(H4), six(H6), SERIES[:3000])[:1232],
                                                       H4, H6, frag=(0, True, 0x12345678)), 80)))
    f.add("64-quotes-later-fragment", error6(1, 0, 0, ip6(UDP, SERIES[:16], H4, H6,
                                                         frag=(154, False, 0x12345678))))
    f.add("64-quotes-wrong-sum", error6(1, 4, 0, broken(ip6(UDP, udp, H4, H6), 46)))
    f.add("64-quotes-hop-limit-0", error6(3, 0, 0, ip6(UDP, udp, H4, H6, hop_limit=0)))
    f.add("64-quotes-icmp-error", error6(1, 0, 0, ip6(
        ICMP6, lambda s, d: icmp(1, 4, 0, QUOTED6, (s, d)), H4, H6)))
    f.add("64-bad-sum-error", broken(error6(1, 4, 0, QUOTED6), 42), bad_sum=True)
    f.add("64-atomic-error", error6(1, 4, 0, QUOTED6, frag=(0, False, 9)))
    f.add("64-error-behind-extension", error6(1, 4, 0, QUOTED6, headers=[
        (DEST, b"\0" + b"\1\4" + bytes(4))]))
    for n in range(0, 49):
        f.add(f"64-quote-cut-at-{n}", error6(1, 4, 0, QUOTED6[:n]), **({} if n == 48 else {"valid": True}))
    for n in (0, 8, 39, 40):
        f.add(f"64-atomic-quote-cut-at-{n}", error6(1, 4, 0, QUOTED6[:n], frag=(0, False, 9)), valid=True)
    return f


def structure(*objects):
    body = bytes([0x20, 0, 0, 0]) + b"".join(objects)
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


MPLS = hexed("0008 0101 00012fff")  # an object as a label switching router adds


def extensions():
    pool = {**PLAIN, "pool4": ["198.51.100.1"]}
    many = {**PLAIN, "pool4": ["203.0.113.0/30", "198.51.100.99"]}
    f = File("extensions", "RFC 4884 in translation, RFC 6791 pools and their RFC 5837 object", **{
        "pool": pool, "pool without object": {**pool, "origin_object": False}, "pool of five": many,
        "no pool": {"prefixes": [{"prefix": PREFIX}]},
    })

    def with4(type_, code, quoted, size, ext=structure(MPLS), word=0):
        assert len(quoted) <= size
        return error4(type_, code, word | size // 4 << 16, quoted.ljust(size, b"\0") + ext)

    def with6(type_, code, quoted, size, ext=structure(MPLS)):
        return error6(type_, code, size // 8 << 24, quoted.ljust(size, b"\0") + ext)

    short4, short6 = ip4(UDP, udp, H6, H4, ttl=1, id=0x1234), ip6(UDP, udp, H4, H6, hop_limit=1)
    long4, long6 = ip4(UDP, udp_of(1400), H6, H4), ip6(UDP, udp_of(1400), H4, H6)
    f.add("46-extension-short-quote", with4(11, 0, short4, 128))
    for size in (128, 132, 136, 536):
        f.add(f"46-extension-{size}", with4(11, 0, long4[:size], size))
    f.add("46-extension-unreachable", with4(3, 1, long4[:128], 128))
    f.add("46-extension-quotes-options", with4(11, 0, ip4(UDP, udp_of(1400), H6, H4, options=bytes(4))[:128], 128))
    f.add("46-extension-quotes-fragment", with4(11, 0, ip4(UDP, SERIES[:1400], H6, H4, off=3, mf=True)[:128], 128))
    f.add("46-extension-two-objects", with4(11, 0, long4[:128], 128, structure(MPLS, hexed("000cf701") + SERIES[:8])))
    f.add("46-extension-too-long", with4(11, 0, ip4(UDP, udp_of(1400), H6, H4)[:1020], 1020,
                                         structure(hexed("0190f701") + SERIES[:396])),
          valid=True, at_most=1280)
    bad = structure(MPLS)
    f.add("46-extension-bad-sum", with4(11, 0, long4[:128], 128, bad[:2] + b"\x12\x34" + bad[4:]))
    f.add("46-extension-no-sum", with4(11, 0, long4[:128], 128, bad[:2] + bytes(2) + bad[4:]))
    # PTB and PP have no room for the length: the extension goes.
    f.add("46-extension-cut-from-too-big", with4(3, 4, long4[:128], 128, word=1400))
    f.add("46-extension-cut-from-protocol", with4(3, 2, long4[:128], 128))
    f.add("46-extension-cut-from-pointer", with4(12, 0, long4[:128], 128, word=9 << 24))
    f.add("46-length-0-is-no-extension", error4(11, 0, 0, long4[:128] + structure(MPLS)))
    for size in (128, 144, 152, 200, 1200):
        f.add(f"64-extension-{size}", with6(3, 0, long6[:size], size))
    f.add("64-extension-160-quotes-fragment",
          with6(3, 0, ip6(UDP, SERIES[:1400], H4, H6, frag=(3, True, 77))[:160], 160))
    f.add("64-extension-short-quote", with6(3, 0, short6, 128))
    f.add("64-extension-unreachable", with6(1, 1, long6[:128], 128))
    f.add("64-extension-bad-sum", with6(1, 0, long6[:128], 128, bad[:2] + b"\x12\x34" + bad[4:]))
    # absurd lengths: bounds first
    for n, (octet, size, ext) in enumerate((
            (255, 128, structure(MPLS)), (31, 128, structure(MPLS)), (1, 128, b""), (32, 128, b""),
            (32, 128, b"\x20\0\0"), (32, 128, bytes(7)), (10, 28, b""), (32, 127, b""))):
        f.add(f"46-extension-absurd-{n}", error4(11, 0, octet << 16, long4[:size] + ext), valid=True)
        f.add(f"64-extension-absurd-{n}", error6(3, 0, octet // 2 << 24 | (octet == 1) << 24,
                                                 long6[:size] + ext), valid=True)
    # RFC 6791
    router = "2001:db8::1234"
    f.add("64-pool", error6(3, 0, 0, short6, src=router), "pool")
    f.add("64-pool-port-unreachable", error6(1, 4, 0, QUOTED6, src=router), "pool")
    f.add("64-pool-too-big", error6(2, 0, 1400, long6[:600], src=router), "pool")
    f.add("64-pool-pointer", error6(4, 0, 6, QUOTED6, src=router), "pool")
    f.add("64-pool-protocol", error6(4, 1, 6, QUOTED6, src=router), "pool")
    f.add("64-pool-1100-octets", error6(3, 0, 0, ip6(UDP, udp_of(1060), H4, H6), src=router), "pool")
    f.add("64-pool-joins-extension", error6(3, 0, 16 << 24, long6[:128] + structure(MPLS), src=router), "pool")
    f.add("64-pool-without-object", error6(3, 0, 0, short6, src=router), "pool without object")
    f.add("64-pool-of-five", error6(3, 0, 0, short6, src=router), "pool of five",
          sources=["203.0.113.0", "203.0.113.1", "203.0.113.2", "203.0.113.3", "198.51.100.99"])
    f.add("64-pool-not-for-a-mapped-source", error6(3, 0, 0, short6), "pool")
    f.add("64-pool-not-for-echo", ip6(ICMP6, echo6(129), src=router), "pool")
    f.add("64-pool-not-for-udp", ip6(UDP, udp, src=router), "pool")
    f.add("64-no-pool", error6(3, 0, 0, short6, src=router), "no pool")
    for src in ("::1", "::", "ff02::1"):
        f.add(f"64-pool-not-for-{src}", error6(3, 0, 0, short6, src=src), "pool")
    return f

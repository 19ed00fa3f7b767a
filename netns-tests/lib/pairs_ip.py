"""Pairs about headers, options, fragments and addresses, and hostile ones."""

import ipaddress
import struct

from . import siit
from .pair_packets import (
    H4, H6, PLAIN, QUOTED4, QUOTED6, File, address, broken, echo4, echo6, error4, error6, hexed,
    icmp, ip4, ip6, six, tcp, tcp_of, udp, udp_of,
)
from .pairs import SERIES
from .siit import (
    AH, DEST, ESP, FRAGMENT, HOP, ICMP4, ICMP6, IGMP, ROUTING, TCP, UDP, UDPLITE, checksum, pseudo,
)


def headers():
    f = File("headers", "RFC 7915 s4.1, s5.1: every header field, both directions", **{
        "tos zero": {**PLAIN, "tos_4to6": "zero"},
        "tos 0x28": {**PLAIN, "tos_6to4": "40"},
        "mtu 9000": {**PLAIN, "mtu4": 9000, "mtu6": 9000},
        "zero computed": {**PLAIN, "udp_zero_checksum": "compute"},
    })
    f.add("64-udp", hexed("6b812345 000d1140 20010db801c000020021000000000000"
                          "20010db801c633640002000000000000 9c400035000d8d0b68656c6c6f"),
          want=[hexed("45b80021 12340000 3f117c89 c0000221 c6336402 9c400035000d333568656c6c6f")])
    f.add("46-udp", ip4(UDP, udp, tos=0xb8, id=0x1234))
    f.add("46-echo", hexed("45000024 43214000 40010b61 c6336402 c0000221"
                           "0800543512340001 6162636465666768"),
          want=[hexed("60000000 00103a3f 20010db801c633640002000000000000"
                      "20010db801c000020021000000000000 8000496912340001 6162636465666768")])
    for tos in (0x00, 0x01, 0x03, 0x28, 0xfc, 0xff):
        f.add(f"46-tos-{tos:02x}", ip4(UDP, udp, tos=tos))
        f.add(f"64-tc-{tos:02x}", ip6(UDP, udp, tc=tos))
    f.add("46-tos-zeroed", ip4(UDP, udp, tos=0xbb), "tos zero")
    f.add("64-tc-set", ip6(UDP, udp, tc=0xbb), "tos 0x28")
    f.add("64-flow-label-dropped", ip6(UDP, udp, flow=0xfffff))
    for ttl in (2, 3, 64, 255):
        f.add(f"46-ttl-{ttl}", ip4(UDP, udp, ttl=ttl))
        f.add(f"64-hop-limit-{ttl}", ip6(UDP, udp, hop_limit=ttl))
    for ttl in (0, 1):
        f.add(f"46-ttl-{ttl}", ip4(UDP, udp, ttl=ttl))
        f.add(f"64-hop-limit-{ttl}", ip6(UDP, udp, hop_limit=ttl))
        f.add(f"46-ttl-{ttl}-echo", ip4(ICMP4, echo4(), ttl=ttl))
        f.add(f"64-hop-limit-{ttl}-echo", ip6(ICMP6, echo6(), hop_limit=ttl))
        f.add(f"46-ttl-{ttl}-icmp-error", error4(3, 3, 0, QUOTED4, ttl=ttl))
        f.add(f"64-hop-limit-{ttl}-icmp-error", error6(1, 4, 0, QUOTED6, hop_limit=ttl))
    for size in (20, 21, 22, 61, 1000):
        f.add(f"46-tcp-{size}", ip4(TCP, tcp_of(size), df=True, id=7))
        f.add(f"64-tcp-{size}", ip6(TCP, tcp_of(size)))
    f.add("46-tcp-options", ip4(TCP, lambda s, d: tcp(s, d, b"", 2, hexed("020405b4 01030307")), df=True))
    f.add("64-tcp-options", ip6(TCP, lambda s, d: tcp(s, d, b"", 2, hexed("020405a0 01030307"))))
    for size in (8, 9, 10, 500):
        f.add(f"46-udp-{size}", ip4(UDP, udp_of(size)))
        f.add(f"64-udp-{size}", ip6(UDP, udp_of(size)))
    # A sum that becomes 0: sent as 0xffff.
    for way, make, addrs in ("46", ip4, (H4, H6)), ("64", ip6, (H6, H4)):
        other = [address(a) for a in addrs] if way == "64" else [six(a) for a in addrs]
        for name, proto in ("udp", UDP), ("udplite", UDPLITE):
            n = checksum(pseudo(*other, proto, 10) + struct.pack("!HHHHH", 1, 2, 10, 0, 0))
            f.add(f"{way}-{name}-sum-becomes-ffff",
                  make(proto, lambda s, d: udp(s, d, struct.pack("!H", n), 1, 2, proto)))
    f.add("46-udp-bad-sum", broken(ip4(UDP, udp), 26), bad_sum=True)
    f.add("64-udp-bad-sum", broken(ip6(UDP, udp), 46), bad_sum=True)
    f.add("46-tcp-bad-sum", broken(ip4(TCP, tcp_of(60)), 36), bad_sum=True)
    f.add("64-tcp-bad-sum", broken(ip6(TCP, tcp_of(60)), 56), bad_sum=True)
    f.add("46-echo-bad-sum", broken(ip4(ICMP4, echo4()), 22), bad_sum=True)
    f.add("64-echo-bad-sum", broken(ip6(ICMP6, echo6()), 42), bad_sum=True)
    zero = ip4(UDP, udp)
    zero = zero[:26] + bytes(2) + zero[28:]
    f.add("46-udp-zero-dropped", zero)
    f.add("46-udp-zero-computed", zero, "zero computed")
    odd = ip4(UDP, udp_of(1001))
    f.add("46-udp-zero-computed-odd", odd[:26] + bytes(2) + odd[28:], "zero computed")
    big = ip4(UDP, udp_of(1480))
    f.add("46-udp-zero-computed-then-split", big[:26] + bytes(2) + big[28:], "zero computed")
    f.add("46-udp-zero-first-fragment", ip4(UDP, hexed("9c400035 05c80000") + SERIES[:100], mf=True, id=9),
          "zero computed")
    f.add("46-udp-zero-later-fragment", ip4(UDP, bytes(8) + SERIES[:100], mf=True, off=20, id=9))
    # Any other protocol is passed (s4.5/5, s5.5/3); those that would be headers of IPv6 are not.
    for proto in (4, 6 + 27, 41, 47, 50, 51, 59, 89, 103, 132, 135, 136, 253, 255):
        f.add(f"46-protocol-{proto}", ip4(proto, SERIES[:40]))
        f.add(f"64-protocol-{proto}", ip6(proto, SERIES[:40]))
    f.add("46-protocol-59-empty", ip4(59, b""))
    f.add("64-protocol-59-empty", ip6(59, b""))
    for proto in (HOP, ROUTING, FRAGMENT, ICMP6, DEST):
        f.add(f"46-protocol-{proto}-dropped", ip4(proto, bytes([UDP, 0]) + SERIES[:38]))
    f.add("64-protocol-1-dropped", ip6(ICMP4, SERIES[:40]))
    f.add("46-igmp", ip4(IGMP, hexed("1100eeff00000000")))
    f.add("46-igmp-multicast-routing", ip4(IGMP, hexed("1300ecff00000000"), dst="192.0.2.40"))
    f.add("64-id-of-a-big-one", ip6(TCP, tcp_of(1400)))
    # Trailing octets of the link layer are no part of the packet.
    f.add("46-trailer", ip4(UDP, udp) + b"\xee" * 13)
    f.add("64-trailer", ip6(UDP, udp) + b"\xee" * 13)
    for df in (False, True):
        f.add(f"46-reserved-flag-df{df:d}", _flag(ip4(UDP, udp, df=df)), valid=True)
    return f


def _flag(p):
    """With the reserved bit of the flags set."""
    p = p[:6] + bytes([p[6] | 0x80]) + p[7:10] + bytes(2) + p[12:]
    return p[:10] + struct.pack("!H", checksum(p[:20])) + p[12:]


def options():
    f = File("options", "RFC 7915 s4.1 IPv4 options, s5.1 IPv6 extension headers")
    nop, rr = b"\1\1\1\0", hexed("0707 04 00000000 00")
    f.add("46-option-nop", ip4(UDP, udp, options=nop))
    f.add("46-option-record-route", ip4(UDP, udp, options=rr))
    f.add("46-option-timestamp", ip4(TCP, tcp_of(40), options=hexed("440c0500 00000000 00000000")))
    f.add("46-option-router-alert-echo", ip4(ICMP4, echo4(), options=hexed("94040000")))
    f.add("46-options-40-octets", ip4(UDP, udp, options=b"\1" * 39 + b"\0"))
    for kind, name in (131, "loose"), (137, "strict"):
        f.add(f"46-source-route-{name}", ip4(UDP, udp, options=bytes([kind, 7, 4]) + hexed("c0000205 00")))
        f.add(f"46-source-route-{name}-expired",
              ip4(UDP, udp, options=bytes([kind, 7, 8]) + hexed("c0000205 00")))
        f.add(f"46-source-route-{name}-behind-nops",
              ip4(UDP, udp, options=b"\1\1\1\1" + bytes([kind, 11, 8]) + hexed("c0000205c0000206 00")))
    f.add("46-source-route-echo", ip4(ICMP4, echo4(), options=hexed("830704c000020500")))
    f.add("46-source-route-behind-end", ip4(UDP, udp, options=hexed("00 830704c0000205")))
    for n, bad in enumerate(("8300 0000", "83ff 0400", "07ff 0400", "8301 0000", "01010183", "83030400")):
        f.add(f"46-option-absurd-{n}", ip4(UDP, udp, options=hexed(bad)), valid=True)
    hop, dest = (HOP, b"\0" + b"\1\4" + bytes(4)), (DEST, b"\0" + b"\1\4" + bytes(4))
    long = (DEST, b"\2" + b"\1\x14" + bytes(20))
    done = (ROUTING, b"\2\0\0" + bytes(4) + address("2001:db8::1").packed)
    left = (ROUTING, b"\2\0\1" + bytes(4) + address("2001:db8::1").packed)
    for name, chain in (("hop", [hop]), ("dest", [dest]), ("routing-done", [done]),
                        ("hop-dest-routing-dest", [hop, dest, done, long]), ("five", [dest] * 5)):
        f.add(f"64-{name}-udp", ip6(UDP, udp, headers=chain))
        f.add(f"64-{name}-tcp", ip6(TCP, tcp_of(40), headers=chain))
        f.add(f"64-{name}-echo", ip6(ICMP6, echo6(), headers=chain))
        f.add(f"64-{name}-fragment", ip6(UDP, udp, headers=chain, frag=(0, True, 0x12345678)))
        f.add(f"64-{name}-protocol-{ESP}", ip6(ESP, SERIES[:32], headers=chain))
    f.add("64-routing-left", ip6(UDP, udp, headers=[left]))
    f.add("64-routing-left-behind-hop", ip6(UDP, udp, headers=[hop, left]))
    f.add("64-routing-left-echo", ip6(ICMP6, echo6(), headers=[left]))
    f.add("64-routing-left-icmp-error", error6(1, 4, 0, QUOTED6, headers=[left]))
    f.add("64-dest-no-next-header", ip6(59, b"", headers=[dest]))
    # A fragment header followed by what may be an extension header (s5.1.1): ESP is none.
    for kind in (HOP, ROUTING, FRAGMENT, AH, DEST, 135, 139, 140, 253, 254):
        f.add(f"64-fragment-then-{kind}",
              ip6(kind, bytes([UDP, 0]) + SERIES[:38], frag=(0, True, 0x12345678)))
    f.add("64-fragment-then-esp", ip6(ESP, SERIES[:40], frag=(0, True, 0x12345678)))
    f.add("64-hundred-headers", ip6(UDP, udp, headers=[dest] * 100), valid=True)
    for n, chain in enumerate(([hop, hop], [dest, hop], [done, done], [dest] * 8, [long] * 20)):
        f.add(f"64-absurd-order-{n}", ip6(UDP, udp, headers=chain), valid=True)
    return f


def fragments():
    f = File("fragments", "RFC 7915 s4, s4.1, s5.1.1: sizes, splitting, fragments and their errors", **{
        "mtu 1500": {**PLAIN, "mtu4": 1500, "mtu6": 1500},
        "mtu 1280": {**PLAIN, "mtu6": 1280},
        "mtu 1000": {**PLAIN, "mtu4": 1000},
        "mtu 576": {**PLAIN, "mtu4": 576},
        "mtu 68": {**PLAIN, "mtu4": 68},
        "mtu 9000": {**PLAIN, "mtu4": 9000, "mtu6": 9000},
        "lowest 1500": {**PLAIN, "lowest_ipv6_mtu": 1500, "mtu4": 9000, "mtu6": 9000},
        "lowest 1520": {**PLAIN, "lowest_ipv6_mtu": 1520, "mtu4": 1500, "mtu6": 1520},
        "lowest above the link": {**PLAIN, "lowest_ipv6_mtu": 9000, "mtu6": 1400},
    })
    # DF 0, whole packets
    for total in (28, 1259, 1260, 1261, 1300, 1500, 2484, 2485, 9000):
        f.add(f"46-df0-{total}", ip4(UDP, udp_of(total - 20), id=0xbeef), "mtu 9000")
    f.add("46-df0-20", ip4(59, b"", id=0xbeef))
    f.add("46-df0-65535", ip4(UDP, udp_of(65515), id=0xbeef), "mtu 9000")
    for total in (1300, 1301):
        f.add(f"46-df0-{total}-options", ip4(UDP, udp_of(total - 60), id=1, options=b"\1" * 40))
    for total in (1480, 1481, 1500):
        f.add(f"46-df0-{total}-lowest-1500", ip4(UDP, udp_of(total - 20), id=2), "lowest 1500")
    f.add("46-df0-1500-lowest-1520", ip4(UDP, udp_of(1480), id=2), "lowest 1520")
    f.add("46-df0-1500-lowest-above-the-link", ip4(UDP, udp_of(1480), id=2), "lowest above the link")
    f.add("46-df0-1500-tcp", ip4(TCP, tcp_of(1480), id=3))
    f.add("46-df0-1500-echo", ip4(ICMP4, echo4(data=SERIES[:1472]), id=4))
    f.add("46-df0-1500-protocol-47", ip4(47, SERIES[:1480], id=5))
    # DF 0, fragments
    whole = udp(address(H4), address(H6), SERIES[:1536])
    f.add("46-fragment-first", ip4(UDP, whole[:1480], id=0xbeef, mf=True))
    f.add("46-fragment-last", ip4(UDP, whole[1480:], id=0xbeef, off=185))
    for total in (1252, 1260):
        f.add(f"46-fragment-{total}", ip4(UDP, udp(address(H4), address(H6), SERIES[:2000])[:total - 20],
                                          id=0xbeef, mf=True))
    f.add("46-fragment-last-540", ip4(UDP, SERIES[:520], id=0xbeef, off=185))
    f.add("46-fragment-middle-1500", ip4(UDP, SERIES[:1480], id=0xbeef, off=185, mf=True))
    f.add("46-fragment-tcp", ip4(TCP, tcp(address(H4), address(H6), SERIES[:2000])[:800], id=8, mf=True))
    f.add("46-fragment-last-offset-8189", ip4(UDP, SERIES[:20], id=9, off=8189))
    f.add("46-fragment-id-0", ip4(UDP, SERIES[:24], id=0, off=3))
    f.add("46-fragment-id-ffff", ip4(UDP, SERIES[:24], id=0xffff, off=3, mf=True))
    f.add("46-fragment-protocol-47", ip4(47, SERIES[:80], id=8, mf=True))
    f.add("46-fragment-options", ip4(UDP, SERIES[:80], id=8, off=10, options=b"\1\1\1\0"))
    f.add("46-fragment-icmp", ip4(ICMP4, echo4(data=SERIES[:72]), id=8, mf=True))
    f.add("46-fragment-icmp-later", ip4(ICMP4, SERIES[:80], id=8, off=10))
    f.add("46-fragment-ttl-1", ip4(UDP, whole[:80], id=8, mf=True, ttl=1))
    # DF 1
    for total in (1480, 1481, 1500):
        f.add(f"46-df1-{total}-mtu-1500", ip4(UDP, udp_of(total - 20), df=True), "mtu 1500")
        f.add(f"46-df1-{total}", ip4(UDP, udp_of(total - 20), df=True))
    for total in (1260, 1261, 1400):
        f.add(f"46-df1-{total}-mtu-1280", ip4(TCP, tcp_of(total - 20), df=True), "mtu 1280")
    f.add("46-df1-8980-mtu-9000", ip4(UDP, udp_of(8960), df=True), "mtu 9000")
    f.add("46-df1-8981-mtu-9000", ip4(UDP, udp_of(8961), df=True), "mtu 9000")
    f.add("46-df1-echo-1500", ip4(ICMP4, echo4(data=SERIES[:1472]), df=True), "mtu 1500")
    f.add("46-df1-fragment-1468", ip4(UDP, udp(address(H4), address(H6), SERIES[:3000])[:1448], id=7,
                                      mf=True, df=True), "mtu 1500")
    f.add("46-df1-fragment-1476", ip4(UDP, udp(address(H4), address(H6), SERIES[:3000])[:1456], id=7,
                                      mf=True, df=True), "mtu 1500")
    # IPv6 to IPv4: DF
    for total in (1260, 1261, 1262, 1279, 1280, 1281, 1300):
        f.add(f"64-df-{total}", ip6(UDP, udp_of(total - 20)))
        f.add(f"64-df-{total}-tcp", ip6(TCP, tcp_of(total - 20)))
    three = [(DEST, b"\2" + b"\1\x14" + bytes(20))]
    for size in (1304, 1305):
        f.add(f"64-df-{size}-with-24-of-extension", ip6(UDP, udp_of(size - 64), headers=three))
    f.add("64-df-echo-1300", ip6(ICMP6, echo6(data=SERIES[:1272])))
    # fragment headers
    frag = 0x12345678
    f.add("64-fragment-last", ip6(UDP, SERIES[:100], frag=(181, False, frag)))
    f.add("64-fragment-first", ip6(UDP, udp(six(H6), six(H4), SERIES[:1600])[:1232], frag=(0, True, frag)))
    f.add("64-fragment-first-1500", ip6(UDP, udp(six(H6), six(H4), SERIES[:3000])[:1448], frag=(0, True, frag)))
    f.add("64-fragment-tcp", ip6(TCP, tcp(six(H6), six(H4), SERIES[:3000])[:800], frag=(0, True, frag)))
    f.add("64-fragment-middle", ip6(UDP, SERIES[:1232], frag=(154, True, frag)))
    f.add("64-fragment-id-high-only", ip6(UDP, SERIES[:24], frag=(3, True, 0xffff0000)))
    f.add("64-fragment-offset-8189", ip6(UDP, SERIES[:20], frag=(8189, False, frag)))
    f.add("64-atomic-udp", ip6(UDP, udp, frag=(0, False, frag)))
    f.add("64-atomic-tcp-1480", ip6(TCP, tcp_of(1440), frag=(0, False, frag)))
    f.add("64-atomic-echo", ip6(ICMP6, echo6(), frag=(0, False, frag)))
    f.add("64-fragment-icmp", ip6(ICMP6, echo6(data=SERIES[:72]), frag=(0, True, frag)))
    f.add("64-fragment-icmp-later", ip6(ICMP6, SERIES[:80], frag=(10, False, frag)))
    f.add("64-fragment-reserved-bits", _reserved(ip6(UDP, SERIES[:80], frag=(10, False, frag))))
    f.add("64-fragment-hop-limit-1", ip6(UDP, SERIES[:80], frag=(10, False, frag), hop_limit=1))
    # IPv4 links below 1260
    for mtu in (1000, 576, 68):
        f.add(f"64-1280-over-{mtu}", ip6(UDP, udp_of(1240)), f"mtu {mtu}")
        f.add(f"64-1280-fragment-over-{mtu}", ip6(UDP, SERIES[:1232], frag=(154, True, frag)), f"mtu {mtu}")
    f.add("64-1280-last-fragment-over-576", ip6(UDP, SERIES[:1231], frag=(154, False, frag)), "mtu 576")
    for size in (1281, 1500):
        f.add(f"64-{size}-over-1000", ip6(UDP, udp_of(size - 40)), "mtu 1000")
    f.add("64-1300-with-40-of-extension-over-1000", ip6(UDP, udp_of(1220), headers=[
        (DEST, b"\4" + b"\1\x24" + bytes(36))]), "mtu 1000")
    f.add("64-echo-1280-over-576", ip6(ICMP6, echo6(data=SERIES[:1232])), "mtu 576")
    f.add("64-echo-1281-over-576", ip6(ICMP6, echo6(data=SERIES[:1233])), "mtu 576")
    return f


def _reserved(p):
    """With the reserved fields of its fragment header (at 40) set: they are ignored."""
    return p[:41] + b"\xff" + p[42:43] + bytes([p[43] | 6]) + p[44:]


def addresses():
    forms = {32: "2001:db8::/32", 40: "2001:db8:100::/40", 48: "2001:db8:122::/48",
             56: "2001:db8:122:300::/56", 64: "2001:db8:122:344::/64", 96: "2001:db8:122:344::/96"}
    text = {  # RFC 6052 s2.4: 192.0.2.33 in each; and ours for 198.51.100.254
        32: ("2001:db8:c000:221::", "2001:db8:c633:64fe::"),
        40: ("2001:db8:1c0:2:21::", "2001:db8:1c6:3364:fe::"),
        48: ("2001:db8:122:c000:2:2100::", "2001:db8:122:c633:64:fe00::"),
        56: ("2001:db8:122:3c0:0:221::", "2001:db8:122:3c6:33:64fe::"),
        64: ("2001:db8:122:344:c0:2:2100::", "2001:db8:122:344:c6:3364:fe00:0"),
        96: ("2001:db8:122:344::c000:221", "2001:db8:122:344::c633:64fe"),
    }
    confs = {f"/{n}": {**PLAIN, "prefixes": [{"prefix": p}]} for n, p in forms.items()}
    wkp = {**PLAIN, "prefixes": [{"prefix": "64:ff9b::/96"}], "address6": "64:ff9b::7f0:1"}
    rows = [("192.0.2.1", "2001:db8:aaaa::"), ("192.0.2.2/32", "2001:db8:bbbb::b/128"),
            ("192.0.2.16/28", "2001:db8:cccc::/124"), ("192.0.2.128/26", "2001:db8:dddd::/64"),
            ("192.0.2.192/29", "2001:db8:eeee:8::/62"), ("192.0.2.224/31", "64:ff9b::/127")]
    figure1 = {**wkp, "allow_non_global": True, "pool4": ["198.51.100.1"],
               "mappings": [{"ipv4": a, "ipv6": b} for a, b in rows]}
    overlap = {"prefixes": [{"prefix": "2001:db8:100::/40"}], "hairpin": "off", "mappings": [
        {"ipv4": "0.0.0.0/0", "ipv6": "2001:db8:ff00::/40"},
        {"ipv4": "198.51.100.64/32", "ipv6": "2001:db8::abcd/128"}]}
    datacenter = {"prefixes": [{"prefix": "2001:db8:46::/96"}],
                  "mappings": [{"ipv4": "192.0.2.1", "ipv6": "2001:db8:12:34::1"}]}
    two = {"prefixes": [{"prefix": "2001:db8:46::/96"},
                        {"prefix": "2001:db8:10::/48", "ipv4": "10.0.0.0/8"},
                        {"prefix": "2001:db8:11::/64", "ipv4": "10.1.0.0/16"}]}
    f = File("addresses", "RFC 6052, RFC 7757 and the illegal addresses of RFC 7915", **confs, **{
        "wkp": wkp, "wkp, non-global allowed": {**wkp, "allow_non_global": True},
        "figure 1": {**figure1, "hairpin": "off"}, "intrinsic": {**figure1, "hairpin": "intrinsic"},
        "default": figure1,
        "simple": {**figure1, "hairpin": "simple"},
        "overlap": overlap, "data centre": datacenter, "two prefixes": two,
        "mappings only": {"mappings": [{"ipv4": "192.0.2.1", "ipv6": "2001:db8:12:34::1"}]},
    })
    six_ = {"prefix": None}
    for n in forms:
        a, b = (address(x) for x in text[n])
        v6 = ip6(UDP, udp, a, b, tc=0)
        v4 = ip4(UDP, udp, "192.0.2.33", "198.51.100.254", ttl=63)
        f.add(f"64-prefix-{n}", v6, f"/{n}", want=[v4])
        f.add(f"46-prefix-{n}", ip4(UDP, udp, "198.51.100.254", "192.0.2.33"), f"/{n}",
              want=[ip6(UDP, udp, b, a, hop_limit=63)])
        other = "203.0.113.77"
        f.add(f"46-prefix-{n}-other", ip4(TCP, tcp_of(40), other, "192.0.2.33", df=True), f"/{n}")
        if n != 96:
            # Received suffix bits are ignored (s2.2/8); so is octet 8 on reception.
            dirty = ipaddress.IPv6Address(int(a) | (1 << {32: 56, 40: 48, 48: 40, 56: 32, 64: 24}[n]) - 1)
            f.add(f"64-prefix-{n}-suffix", ip6(UDP, udp, dirty, b), f"/{n}", want=[v4])
    # the well-known prefix
    f.add("46-wkp", ip4(UDP, udp, "8.8.8.8", "9.9.9.9"), "wkp")
    f.add("64-wkp", ip6(UDP, udp, "64:ff9b::808:808", "64:ff9b::909:909"), "wkp")
    for net in siit.NON_GLOBAL[1:2] + siit.NON_GLOBAL[3:-2]:
        a4 = str(net[1])
        f.add(f"46-wkp-from-{a4}", ip4(UDP, udp, a4, "9.9.9.9"), "wkp")
        f.add(f"46-wkp-to-{a4}", ip4(UDP, udp, "9.9.9.9", a4), "wkp")
        f.add(f"64-wkp-from-{a4}", ip6(UDP, udp, six(a4, "64:ff9b::/96"), "64:ff9b::909:909"), "wkp")
        f.add(f"64-wkp-to-{a4}", ip6(UDP, udp, "64:ff9b::909:909", six(a4, "64:ff9b::/96")), "wkp")
    f.add("46-wkp-allowed", ip4(UDP, udp, "10.0.0.1", "192.0.2.33"), "wkp, non-global allowed")
    f.add("64-wkp-allowed", ip6(UDP, udp, "64:ff9b::a00:1", "64:ff9b::c000:221"), "wkp, non-global allowed")
    # illegal and unmapped
    for a4 in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.255", "224.0.0.1", "239.255.255.255",
               "240.0.0.1", "255.255.255.255"):
        f.add(f"46-from-{a4}", ip4(UDP, udp, a4, H6))
        f.add(f"46-to-{a4}", ip4(UDP, udp, H4, a4))
        f.add(f"46-echo-from-{a4}", ip4(ICMP4, echo4(), a4, H6))
        f.add(f"64-from-{a4}", ip6(UDP, udp, a4, H4))
        f.add(f"64-to-{a4}", ip6(UDP, udp, H6, a4))
        f.add(f"64-error-from-{a4}", error6(1, 4, 0, QUOTED6, src=a4))
    for a6 in ("::1", "::", "ff02::1"):
        f.add(f"64-from-{a6}", ip6(UDP, udp, a6, H4))
    for a6 in ("fe80::1", "2001:db9::1"):
        f.add(f"64-from-unmapped-{a6}", ip6(UDP, udp, a6, H4))
        f.add(f"64-to-unmapped-{a6}", ip6(UDP, udp, H6, a6))
        f.add(f"64-echo-from-unmapped-{a6}", ip6(ICMP6, echo6(), a6, H4))
    f.add("46-unmapped", ip4(UDP, udp, "198.51.100.7", "192.0.2.1"), "mappings only")
    f.add("46-pool-first-and-last", ip4(UDP, udp, "203.0.113.0", "192.0.2.255"))
    # RFC 7757
    table = [("192.0.2.1", "2001:db8:aaaa::"), ("192.0.2.2", "2001:db8:bbbb::b"),
             ("192.0.2.16", "2001:db8:cccc::"), ("192.0.2.24", "2001:db8:cccc::8"),
             ("192.0.2.31", "2001:db8:cccc::f"), ("192.0.2.128", "2001:db8:dddd::"),
             ("192.0.2.152", "2001:db8:dddd:0:6000::"), ("192.0.2.183", "2001:db8:dddd:0:dc00::"),
             ("192.0.2.191", "2001:db8:dddd:0:fc00::"), ("192.0.2.195", "2001:db8:eeee:9:8000::"),
             ("192.0.2.225", "64:ff9b::1"), ("192.0.2.248", "64:ff9b::c000:2f8"),
             ("192.0.2.129", "2001:db8:dddd:0:400::"), ("192.0.2.192", "2001:db8:eeee:8::"),
             ("192.0.2.193", "2001:db8:eeee:8:8000::"), ("192.0.2.196", "2001:db8:eeee:a::"),
             ("192.0.2.199", "2001:db8:eeee:b:8000::"), ("192.0.2.200", "64:ff9b::c000:2c8"),
             ("192.0.2.224", "64:ff9b::"), ("192.0.2.226", "64:ff9b::c000:2e2"),
             ("192.0.2.127", "64:ff9b::c000:27f")]
    far4, far6 = "203.0.113.9", "64:ff9b::cb00:7109"
    for a4, a6 in table:
        f.add(f"46-eam-{a4}", ip4(UDP, udp, far4, a4), "figure 1", want=[ip6(UDP, udp, far6, a6, hop_limit=63)])
        f.add(f"64-eam-{a4}", ip6(UDP, udp, a6, far6), "figure 1", want=[ip4(UDP, udp, a4, far4, ttl=63)])
    for a6, a4 in (("2001:db8:dddd:0:6000::1", "192.0.2.152"),
                   ("2001:db8:dddd:0:63ff:ffff:ffff:ffff", "192.0.2.152"),
                   ("2001:db8:eeee:9:9fff::", "192.0.2.195"), ("2001:db8:eeee:b:ffff::1", "192.0.2.199"),
                   ("64:ff9b::c000:201", "192.0.2.1")):
        f.add(f"64-eam-{a6}", ip6(UDP, udp, a6, far6), "figure 1", want=[ip4(UDP, udp, a4, far4, ttl=63)])
    f.add("64-eam-illegal-by-prefix", ip6(UDP, udp, "64:ff9b::2", far6), "figure 1")
    f.add("64-overlap-by-long-ipv6", ip6(UDP, udp, "2001:db8:ffc6:3364:4000::", six(H4)), "overlap")
    f.add("46-overlap-longest", ip4(UDP, udp, "198.51.100.65", "198.51.100.64"), "overlap",
          want=[ip6(UDP, udp, "2001:db8:ffc6:3364:4100::", "2001:db8::abcd", hop_limit=63)])
    f.add("46-data-centre", ip4(UDP, udp, "203.0.113.50", "192.0.2.1"), "data centre",
          want=[ip6(UDP, udp, "2001:db8:46::cb00:7132", "2001:db8:12:34::1", hop_limit=63)])
    f.add("64-data-centre", ip6(UDP, udp, "2001:db8:12:34::1", "2001:db8:46::cb00:7132"), "data centre",
          want=[ip4(UDP, udp, "192.0.2.1", "203.0.113.50", ttl=63)])
    f.add("46-two-prefixes", ip4(UDP, udp, "10.1.2.3", "10.2.3.4"), "two prefixes",
          want=[ip6(UDP, udp, six("10.1.2.3", "2001:db8:11::/64"), six("10.2.3.4", "2001:db8:10::/48"),
                    hop_limit=63)])
    f.add("46-two-prefixes-else", ip4(UDP, udp, "10.1.2.3", "192.0.2.9"), "two prefixes")
    f.add("64-two-prefixes", ip6(UDP, udp, six("10.1.2.3", "2001:db8:11::/64"),
                                 six("192.0.2.9", "2001:db8:46::/96")), "two prefixes")
    # errors mix: the quoted destination is mapped by a row, its source by the prefix
    f.add("46-eam-error", error4(3, 3, 0, ip4(UDP, udp, "192.0.2.2", far4), src=far4, dst="192.0.2.2"), "figure 1")
    f.add("64-eam-error", error6(1, 4, 0, ip6(UDP, udp, far6, "2001:db8:bbbb::b"), src="2001:db8:bbbb::b",
                                 dst=far6), "figure 1")
    # hairpinning, figures 8 to 11
    a, b, wa, wb = "2001:db8:aaaa::", "2001:db8:bbbb::b", "64:ff9b::c000:201", "64:ff9b::c000:202"
    f.add("hairpin-figure-8", ip6(UDP, udp, a, wb), "intrinsic", want=[ip6(UDP, udp, wa, b, hop_limit=63)])
    f.add("hairpin-by-default", ip6(UDP, udp, a, wb), "default", want=[ip6(UDP, udp, wa, b, hop_limit=63)])
    f.add("hairpin-figure-11", ip6(UDP, udp, b, wa), "intrinsic", want=[ip6(UDP, udp, wb, a, hop_limit=63)])
    f.add("hairpin-tcp", ip6(TCP, tcp_of(1000), a, wb, tc=0x12), "intrinsic")
    f.add("hairpin-1500", ip6(TCP, tcp_of(1460), a, wb), "intrinsic")
    f.add("hairpin-1280", ip6(UDP, udp_of(1240), a, wb), "intrinsic")
    f.add("hairpin-1281", ip6(UDP, udp_of(1241), a, wb), "intrinsic")
    f.add("hairpin-fragment", ip6(UDP, udp(address(a), address(wb), SERIES[:2000])[:1000], a, wb,
                                  frag=(0, True, 0x12345678)), "intrinsic")
    f.add("hairpin-echo", ip6(ICMP6, echo6(), a, wb), "intrinsic")
    f.add("hairpin-hop-limit-2", ip6(UDP, udp, a, wb, hop_limit=2), "intrinsic")
    f.add("hairpin-hop-limit-1", ip6(UDP, udp, a, wb, hop_limit=1), "intrinsic")
    f.add("hairpin-extension-header", ip6(UDP, udp, a, wb, headers=[(DEST, b"\0" + b"\1\4" + bytes(4))]), "intrinsic")
    quote = ip6(UDP, udp, wa, b, hop_limit=60)
    f.add("hairpin-figure-10", error6(1, 4, 0, quote, src=b, dst=wa), "intrinsic")
    f.add("hairpin-figure-9", error6(1, 4, 0, quote, src="2001:db8::1234", dst=wa), "intrinsic")
    f.add("hairpin-not-to-a-real-address", ip6(UDP, udp, a, b), "intrinsic")
    f.add("hairpin-not-from-ipv4", ip4(UDP, udp, far4, "192.0.2.2"), "intrinsic")
    f.add("hairpin-not-without-a-row", ip6(UDP, udp, a, far6), "intrinsic")
    f.add("hairpin-loop", ip6(UDP, udp, a, "64:ff9b::c000:2e0"), "intrinsic")
    f.add("hairpin-off", ip6(UDP, udp, a, wb), "figure 1")
    f.add("simple-normal-source", ip4(UDP, udp, "192.0.2.1", "192.0.2.2", ttl=63), "simple",
          want=[ip6(UDP, udp, wa, b, hop_limit=62)])
    f.add("simple-error-figure-9", error4(3, 3, 0, ip4(UDP, udp, "192.0.2.1", "192.0.2.2"),
                                          src="198.51.100.1", dst="192.0.2.1"), "simple")
    f.add("simple-error-figure-10", error4(3, 3, 0, ip4(UDP, udp, "192.0.2.1", "192.0.2.2"),
                                           src="192.0.2.2", dst="192.0.2.1"), "simple")
    f.add("simple-64-unchanged", ip6(UDP, udp, a, wb), "simple")
    f.add("not-simple-source-by-row", ip4(UDP, udp, "192.0.2.1", "192.0.2.2", ttl=63), "intrinsic",
          want=[ip6(UDP, udp, a, b, hop_limit=62)])
    del six_
    return f


def hostile():
    f = File("hostile", "Input that tries to hurt: a drop, or packets with right lengths and sums")
    whole4, whole6 = ip4(UDP, udp), ip6(UDP, udp)
    for n in (0, 1, 4, 19, 20, 27, 32):
        f.add(f"46-cut-at-{n}", whole4[:n], **({} if n >= 20 else {"valid": True}))
    for n in (1, 39, 40, 47, 52):
        f.add(f"64-cut-at-{n}", whole6[:n], **({} if n >= 40 else {"valid": True}))
    for ihl in (0, 4):
        f.add(f"46-ihl-{ihl}", bytes([0x40 | ihl]) + whole4[1:])
    f.add("46-ihl-beyond-total", bytes([0x4f]) + whole4[1:])
    for total in (0, 19, 34, 65535):
        f.add(f"46-total-{total}", whole4[:2] + struct.pack("!H", total) + whole4[4:])
    for plen in (14, 65535):
        f.add(f"64-payload-length-{plen}", whole6[:4] + struct.pack("!H", plen) + whole6[6:])
    f.add("64-jumbogram", ip6(UDP, udp, headers=[(HOP, b"\0\xc2\4" + struct.pack("!I", 70000))], plen=0),
          valid=True)
    for version in (0, 1, 5, 7, 15):
        f.add(f"version-{version}", bytes([version << 4 | 5]) + whole4[1:], valid=True)
    for n in range(8):
        f.add(f"46-udp-of-{n}", ip4(UDP, SERIES[:n]), valid=True)
        f.add(f"64-udp-of-{n}", ip6(UDP, SERIES[:n]), valid=True)
        f.add(f"46-icmp-of-{n}", ip4(ICMP4, b"\x08" * n), valid=True)
        f.add(f"64-icmp-of-{n}", ip6(ICMP6, b"\x80" * n), valid=True)
    for n in (1, 13, 19):
        f.add(f"46-tcp-of-{n}", ip4(TCP, SERIES[:n]), valid=True)
        f.add(f"64-tcp-of-{n}", ip6(TCP, SERIES[:n]), valid=True)
    for kind in (HOP, ROUTING, FRAGMENT, DEST):
        for n in (0, 1, 7):
            f.add(f"64-header-{kind}-of-{n}", ip6(kind, bytes([UDP, 0]).ljust(n, b"\0")[:n]), valid=True)
        f.add(f"64-header-{kind}-beyond-the-end", ip6(kind, bytes([UDP, 255]) + bytes(30)), valid=True)
    f.add("46-fragment-beyond-65535", ip4(UDP, SERIES[:1480], off=8191, id=5), valid=True)
    f.add("64-fragment-beyond-65535", ip6(UDP, SERIES[:1200], frag=(8191, False, 5)), valid=True)
    f.add("64-tiny-first-fragment", ip6(UDP, b"", frag=(0, True, 5)), valid=True)
    f.add("46-tiny-first-fragment", ip4(TCP, SERIES[:8], mf=True, id=5), valid=True)
    f.add("64-udp-zero-sum", whole6[:46] + bytes(2) + whole6[48:], valid=True)
    f.add("46-bad-header-sum", broken(whole4, 10), valid=True)
    f.add("64-error-in-error-in-error", error6(1, 0, 0, ip6(ICMP6, lambda s, d: icmp(
        1, 0, 0, ip6(ICMP6, lambda s, d: icmp(1, 4, 0, QUOTED6, (s, d)), H6, H4), (s, d)), H4, H6)))
    f.add("64-too-long", ip6(UDP, udp_of(65535)), valid=True)
    return f

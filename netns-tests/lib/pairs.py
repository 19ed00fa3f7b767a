"""Packet pairs of the translation: corpus/nat64/*.json, and how a result is compared with one.

A file holds configurations by name (as nemo-nat64 reads them; "mtu4" and "mtu6" are those of the
next hops, which only the core is told) and pairs:

    name      unique; doc/rfc/*.md refers to it
    conf      name of a configuration of this file
    in        the packet, see octets()
    out       the packets that it becomes, in this order; "or": other lists that are as right
    drop      instead of out: the counter that counts it ("a|b": one of them)
    error     with drop: absent: no ICMP error may be sent, "any": one may be, or the one that must
              be: [type, code, octets 4-7 as a number]
    free_id   the IPv4 identification is the translator's choice (RFC 7915 s5.1)
    sources   the outer source may be any of these (RFC 6791 s5)
    bad_sum   the transport checksum is wrong and must stay so
    valid     instead of all: either a drop or sound packets; for hostile input
    at_most   with valid: a single packet of at most so many octets
"""

import glob
import ipaddress
import json
import os
import re
import struct

from . import ROOT, siit

FOLDER = os.path.join(ROOT, "netns-tests", "corpus", "nat64")
# Long payloads are written as {from,octets}: a piece of this series.
SERIES = bytes(n * 7 % 251 for n in range(70000))


def octets(text):
    """Hex with {from,octets} for pieces of SERIES and {0*octets} for zeros."""
    out = b""
    for part in re.findall(r"\{[^}]*\}|[0-9a-f]+", text):
        if part.startswith("{0*"):
            out += bytes(int(part[3:-1]))
        elif part[0] == "{":
            at, n = map(int, part[1:-1].split(","))
            out += SERIES[at:at + n]
        else:
            out += bytes.fromhex(part)
    return out


def text(data):
    """The shortest such text: octets(text(data)) == data."""
    out, plain, at = [], b"", 0
    while at < len(data):
        zeros = len(data) - at - len(data[at:].lstrip(b"\0"))
        series = _series(data, at)
        if max(zeros, series[1]) >= 24:
            if plain:
                out.append(plain.hex())
                plain = b""
            out.append(f"{{0*{zeros}}}" if zeros >= series[1] else "{%d,%d}" % series)
            at += max(zeros, series[1])
        else:
            plain += data[at:at + 1]
            at += 1
    return " ".join(out + ([plain.hex()] if plain else []))


def _series(data, at):
    """(from, octets) of the piece of SERIES that starts at data[at:]."""
    start = SERIES.find(data[at:at + 24]) if at + 24 <= len(data) else -1
    if start < 0:
        return 0, 0
    # It repeats every 251 octets: any of the starts will do.
    n = 24
    while at + n < len(data) and data[at + n] == SERIES[start + n]:
        n += 1
    return start, n


def load():
    """[pair], each with "file" and "settings" (its configuration without the MTUs), "mtu4", "mtu6"."""
    found = []
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.json"))):
        with open(path) as f:
            content = json.load(f)
        for pair in content["pairs"]:
            settings = dict(content["configurations"][pair["conf"]])
            pair["mtu4"], pair["mtu6"] = (
                settings.pop(k, siit.UNKNOWN) for k in ("mtu4", "mtu6"))
            found.append({**pair, "file": os.path.basename(path)[:-5], "settings": settings})
    names = [p["name"] for p in found]
    assert len(names) == len(set(names)), "a name is used twice"
    return found


def by_configuration(pairs):
    """[(settings, mtu4, mtu6, [pair])]"""
    groups = {}
    for p in pairs:
        key = json.dumps([p["settings"], p["mtu4"], p["mtu6"]], sort_keys=True)
        groups.setdefault(key, []).append(p)
    return [(g[0]["settings"], g[0]["mtu4"], g[0]["mtu6"], g) for g in groups.values()]


# --- comparing ---


def masked(packet, pair, expected):
    """The packet with what is free set to 0, 'sources' to the expected one."""
    out = bytearray(packet)
    if len(out) < 40:
        out += bytes(40 - len(out)) if len(out) < 20 else b""
    if out[0] >> 4 == 4:
        if pair.get("free_id"):
            out[4:6] = bytes(2)
            out[10:12] = bytes(2)
        if len(packet) >= 48 and packet[9] == 1 and packet[20] in (3, 11, 12) \
                and not packet[34] & 0x3F and not packet[35]:
            # A quoted packet that had no fragment header: its identification is free as well.
            out[32:34] = bytes(2)
            out[38:40] = bytes(2)
        for source in pair.get("sources", ()):
            if out[12:16] == ipaddress.IPv4Address(source).packed:
                out[12:16] = expected[12:16]
    else:
        for source in pair.get("sources", ()):
            if out[8:24] == ipaddress.IPv6Address(source).packed:
                out[8:24] = expected[8:24]
    return bytes(out)


def difference(pair, reason, packets, errors=(), check_reason=True):
    """None, or what is wrong about a result: the counter's name, packets, ICMP errors of ours."""
    packets, errors = list(packets), list(errors)
    if pair.get("valid"):
        if "at_most" in pair and (len(packets) != 1 or len(packets[0]) > pair["at_most"]):
            return f"{reason}, packets of {[len(p) for p in packets]} octets"
        sums = sound(octets(pair["in"]))
        return next((f"unsound: {p.hex()}" for p, check in
                     [(p, sums) for p in packets] + [(e, True) for e in errors]
                     if not sound(p, check)), None)
    if "drop" in pair:
        if packets:
            return f"must be dropped ({pair['drop']}), became {[p.hex() for p in packets]}"
        if check_reason and reason not in pair["drop"].split("|"):
            return f"counted as {reason}, not as {pair['drop']}"
        return error_difference(pair, errors)
    if errors:
        return f"unexpected ICMP error {errors[0].hex()}"
    wants = [[octets(o) for o in pair["out"]]]
    wants += [[octets(o) for o in other] for other in pair.get("or", ())]
    for want in wants:
        if len(want) == len(packets) and all(
                masked(w, pair, w) == masked(p, pair, w) for w, p in zip(want, packets)):
            return _ids_difference(packets)
    if not packets:
        return f"dropped ({reason}), must become {pair['out']}"
    return "differs (%s)\n  is   %s\n  want %s" % (
        reason, "\n       ".join(p.hex() for p in packets),
        "\n       ".join(w.hex() for w in wants[0]))


def _ids_difference(packets):
    """A free identification is the same in all fragments, and the header's checksum fits it."""
    four = [p for p in packets if p[0] >> 4 == 4]
    if any(siit.checksum(p[:20]) for p in four):
        return f"header checksum of {four[0].hex()}"
    if len({p[4:6] for p in four}) > 1:
        return "fragments with different identifications"
    return None


def error_difference(pair, errors):
    want = pair.get("error")
    if want == "any":
        return next((f"unsound error {e.hex()}" for e in errors if not sound(e)), None)
    if not want:
        return f"unwanted ICMP error {errors[0].hex()}" if errors else None
    if len(errors) != 1:
        return f"{len(errors)} ICMP errors, must be one of {want}"
    e, came = errors[0], octets(pair["in"])
    four = e[0] >> 4 == 4
    head, at, size = (20, 12, 4) if four else (40, 8, 16)
    if (came[0] >> 4 == 4) != four:
        return "error of the other family"
    message = e[head:]
    got = [message[0], message[1], struct.unpack_from("!I", message, 4)[0]]
    if got != want:
        return f"error {got}, must be {want}"
    if e[at + size:at + 2 * size] != came[at:at + size]:
        return "the error does not go to the sender"
    if not sound(e):
        return f"unsound error {e.hex()}"
    quote = message[8:]
    if not came.startswith(quote) or len(e) > (576 if four else 1280):
        return "the error quotes wrongly"
    least = min(len(came), (came[0] & 15) * 4 + 8 if four else 1280 - 48)
    if len(quote) < least:
        return f"the error quotes {len(quote)} octets only"
    return None


def sound(packet, sums=True):
    """Lengths and checksums are right (of a whole packet; of a fragment: the header's).  'sums':
    also that of the transport."""
    if not packet:
        return False
    try:
        p = siit.V4.read(packet) if packet[0] >> 4 == 4 else siit.V6.read(packet)
    except siit.Drop:
        return False
    if isinstance(p, siit.V4):
        if p.total != len(packet) or siit.checksum(packet[:20 + len(p.options)]):
            return False
    elif p.plen + 40 != len(packet):
        return False
    if p.is_fragment or not sums:
        return True
    if p.proto == siit.ICMP4 and isinstance(p, siit.V4):
        return siit.checksum(p.payload) == 0
    if p.proto in (siit.TCP, siit.UDP, siit.ICMP6):
        return siit.checksum(siit.pseudo(p.src, p.dst, p.proto, len(p.payload)) + p.payload) == 0
    return True

"""The packet pairs of corpus/nat64/ through everything that translates: the core at the command line,
the TUN engine of a running daemon, and the eBPF programs.

    pair --> lib/siit.py (the reference), scapy, tshark
       |---> build/tools/nat64-core
       |---> AF_PACKET --> device nat64 --> nemo-nat64, engine tun --> device nat64 --> AF_PACKET
       '---> build/tools/nat64-testrun, BPF_PROG_TEST_RUN

doc/rfc/7915.md and its like say which requirement is tested by which pair.
"""

import fnmatch
import ipaddress
import os
import socket
import subprocess

import pytest
from scapy.layers import inet, inet6
from scapy.utils import RawPcapWriter

from lib import make_pairs, pair_packets, pairs, siit
from lib.daemon import BUILD, Daemon, libconfig_file
from lib.mipv6 import socket_in
from lib.pairs import octets
from lib.siit import Reference
from lib.topo import Link, Net, Node, Topology
from lib.wait import patient, wait_for

pytestmark = pytest.mark.novm("thousands of packets one by one; that the programs load and translate "
                              "there is in test_nat64.py")
ALL = pairs.load()
CORE = os.path.join(BUILD, "tools", "nat64-core")
TESTRUN = os.path.join(BUILD, "tools", "nat64-testrun")
PREFIX = {"prefixes": [{"prefix": "2001:db8:100::/40"}]}


def failures(found):
    """Fails with every difference that was found: {pair's name: what}."""
    wrong = {name: what for name, what in found.items() if what}
    assert not wrong, f"{len(wrong)} of {len(found)} pairs:\n" + "\n".join(
        f"{name}: {what}" for name, what in wrong.items())


# --- the pairs themselves ---


def test_the_files_are_what_make_pairs_makes():
    for made in make_pairs.FILES:
        file = made()
        with open(os.path.join(pairs.FOLDER, file.name + ".json")) as f:
            assert f.read() == file.write(), f"{file.name}.json: run netns-tests/lib/make_pairs.py"


def test_packets_are_written_and_read_alike():
    for data in (b"", bytes(100), pairs.SERIES[:1000], b"\1" + pairs.SERIES[13:90] + b"\2" + bytes(30)):
        assert octets(pairs.text(data)) == data


def sizes(packets):
    """[(offset, M, payload, size)] of IPv6 or IPv4 packets; offset None: no fragment header."""
    out = []
    for p in packets:
        if p[0] >> 4 == 6:
            v = siit.V6.read(p)
            out.append((*(v.frag[:2] if v.frag else (None, 0)), len(v.payload), len(p)))
        else:
            v = siit.V4.read(p)
            out.append((v.off, v.mf, len(v.payload), len(p)))
    return [(o, int(m), n, size) for o, m, n, size in out]


@pytest.mark.parametrize("total, ihl, lowest, want", [  # RFC 7915 s4.1 worked out
    (20, 20, 1280, [(None, 0, 0, 40)]),
    (1260, 20, 1280, [(None, 0, 1240, 1280)]),
    (1261, 20, 1280, [(0, 1, 1232, 1280), (154, 0, 9, 57)]),
    (1500, 20, 1280, [(0, 1, 1232, 1280), (154, 0, 248, 296)]),
    (2484, 20, 1280, [(0, 1, 1232, 1280), (154, 0, 1232, 1280)]),
    (2485, 20, 1280, [(0, 1, 1232, 1280), (154, 1, 1232, 1280), (308, 0, 1, 49)]),
    (1300, 60, 1280, [(None, 0, 1240, 1280)]),
    (1301, 60, 1280, [(0, 1, 1232, 1280), (154, 0, 9, 57)]),
    (1480, 20, 1500, [(None, 0, 1460, 1500)]),
    (1481, 20, 1500, [(0, 1, 1448, 1496), (181, 0, 13, 61)]),
    (1500, 20, 1500, [(0, 1, 1448, 1496), (181, 0, 32, 80)]),
])
def test_the_reference_splits(total, ihl, lowest, want):
    r = Reference({**PREFIX, "lowest_ipv6_mtu": lowest})
    p = siit.V4(pair_packets.address("198.51.100.2"), pair_packets.address("192.0.2.33"), 47,
                bytes(total - ihl), options=b"\1" * (ihl - 20))
    assert sizes(r.translate(p.bytes()).out) == want


def test_the_reference_splits_the_largest():
    p = siit.V4(pair_packets.address("198.51.100.2"), pair_packets.address("192.0.2.33"), 47, bytes(65515))
    got = sizes(Reference(PREFIX).translate(p.bytes()).out)
    assert len(got) == 54 and got[-1] == (8162, 0, 219, 267)


@pytest.mark.parametrize("size, mtu, want", [  # IPv6 packets of 1280 over small IPv4 links
    (1280, 1000, [(0, 1, 976, 996), (122, 0, 264, 284)]),
    (1280, 576, [(0, 1, 552, 572), (69, 1, 552, 572), (138, 0, 136, 156)]),
])
def test_the_reference_splits_for_small_ipv4_links(size, mtu, want):
    got = Reference(PREFIX, mtu4=mtu).translate(pair_packets.ip6(47, bytes(size - 40))).out
    assert sizes(got) == want


@pytest.mark.parametrize("mtu, quoted, six, four, want", [  # RFC 7915 s4.2, RFC 1191 s7.1
    (1500, 100, 1500, 1500, 1500), (1480, 100, 1500, 1500, 1500), (1400, 100, 1500, 1500, 1420),
    (1261, 100, 1500, 1500, 1281), (1260, 100, 1500, 1500, 1280), (576, 100, 1500, 1500, 1280),
    (1400, 100, 1380, 1500, 1380), (1500, 100, 9000, 1400, 1420), (0, 1500, 1500, 1500, 1500),
    (0, 1493, 1500, 1500, 1500), (0, 1492, 1500, 1500, 1280), (0, 1400, 1500, 1500, 1280),
    (0, 1493, 9000, 9000, 1512), (0, 2002, 9000, 9000, 1512), (0, 2003, 9000, 9000, 2022),
    (0, 9000, 9000, 9000, 8186),
])
def test_the_reference_computes_mtus(mtu, quoted, six, four, want):
    assert Reference(PREFIX, four, six)._mtu46(mtu, quoted) == want


def needs_no_check(pair):
    return pair.get("valid") or pair.get("bad_sum") or "drop" in pair


@pytest.fixture(scope="module")
def results():
    """[(pair's name, packet)] of everything whose checksums must be right."""
    return [(p["name"], octets(o)) for p in ALL if not needs_no_check(p) for o in p["out"]]


def test_scapy_finds_the_results_in_order(results):
    """Its own checksums and lengths, all computed anew, are those of the packets."""
    for name, data in results:
        version = data[0] >> 4
        got = inet.IP(data) if version == 4 else inet6.IPv6(data)
        again = inet.IP(data) if version == 4 else inet6.IPv6(data)
        if version == 4:
            assert len(data) == got.len, name
            del again.chksum
            assert inet.IP(bytes(again)).chksum == got.chksum, name
            fragment = got.frag or got.flags.MF
        else:
            assert len(data) == 40 + got.plen, name
            fragment = data[6] == 44 and (data[42:44] != bytes(2))
        if fragment or "quote" in name:
            continue
        for layer, at in (("TCP", "chksum"), ("UDP", "chksum"), ("ICMP", "chksum")):
            if got.haslayer(layer):
                top = got.getlayer(layer)
                if top.underlayer is not got:
                    continue
                delattr(again.getlayer(layer), at)
                assert getattr(got.__class__(bytes(again)).getlayer(layer), at) == \
                    getattr(top, at), f"{name}: {layer}"


def test_tshark_finds_the_results_in_order(results, tmp_path):
    path = str(tmp_path / "results.pcap")
    with RawPcapWriter(path, linktype=101) as out:
        for _, data in results:
            out.write(data)
    argv = ["tshark", "-n", "-r", path, "-T", "fields", "-E", "separator=|", "-e", "frame.protocols"]
    # Every packet by itself: pairs use the same identification again.
    for option in ("ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE",
                   "ip.defragment:FALSE", "ipv6.defragment:FALSE"):
        argv += ["-o", option]
    for proto in ("ip", "icmp", "icmpv6", "tcp", "udp"):
        argv += ["-e", f"{proto}.checksum.status"]
    rows = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(rows) == len(results)
    wrong = {}
    for (name, _), row in zip(results, rows):
        protocols, *status = row.split("|")
        if "icmp" in protocols:
            status = status[:3]  # of a quoted transport not all may be there
        if any(cell.split(",")[0] == "0" for cell in status):  # "0": bad; the first: not quoted
            wrong[name] = row
    assert not wrong


# --- the core ---


def run_core(tmp_path, program, settings, mtu4, mtu6, group):
    """{name: (counter, packets, errors)}"""
    path = str(tmp_path / "core.conf")
    with open(path, "w") as f:
        f.write(libconfig_file(settings))
    lines = "".join(f"{mtu4} {mtu6} {octets(p['in']).hex() or '-'}\n" for p in group)
    done = subprocess.run([program, path], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, f"{settings}: {done.stderr}"
    found = {}
    out = done.stdout.splitlines()
    assert len(out) == len(group), done.stderr
    for p, line in zip(group, out):
        *packets, reason = line.split()
        found[p["name"]] = (reason, [bytes.fromhex(x) for x in packets if x[0] != "!"],
                            [bytes.fromhex(x[1:]) for x in packets if x[0] == "!"])
    return found


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    """{pair's name: what the core made of it}"""
    found = {}
    for settings, mtu4, mtu6, group in pairs.by_configuration(ALL):
        found |= run_core(tmp_path_factory.mktemp("core"), CORE, settings, mtu4, mtu6, group)
    return found


@pytest.mark.parametrize("file", sorted({p["file"] for p in ALL}))
def test_core(core, file):
    failures({p["name"]: pairs.difference(p, *core[p["name"]]) for p in ALL if p["file"] == file})


# --- the TUN engine of a real daemon ---

DEVICE = "nat64"
QUIET = f"""table inet quiet {{
    chain before {{ type filter hook prerouting priority -300; iifname "{DEVICE}" drop; }}
    chain after {{ type filter hook output priority -300; oifname "{DEVICE}" drop; }}
}}"""


class Tun:
    """A daemon, and a socket on its device: what is sent there is what the kernel would route to the
    translator, and what is received is what the translator gives back."""

    def __init__(self, net, settings):
        net["box"].run(["nft", "-f", "-"], input=QUIET)
        self.daemon = Daemon(net, "box", "nemo-nat64", {
            **settings, "engine": "tun", "device": DEVICE, "mtu": 65535,
            "errors_per_second": 1000000}).start()
        self.socket = socket_in(net["box"], socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self.socket.bind((DEVICE, 3))  # ETH_P_ALL
        self.socket.setblocking(False)

    def counters(self):
        return {c["name"]: c["value"] for c in self.daemon.ask("stats")["counters"]
                if c["group"] == "translation"}

    def translate(self, packet):
        """(counter, packets, errors)"""
        before, got = self.counters(), []
        proto = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        self.socket.sendto(packet, (DEVICE, proto))
        now = {}

        def counted():
            nonlocal now
            now = self.counters()
            return now != before

        wait_for(counted, 5, f"a counter counts {packet.hex()}")
        while True:
            try:
                data, address = self.socket.recvfrom(70000)
            except BlockingIOError:
                break
            if address[2] != socket.PACKET_OUTGOING:
                got.append(data)
        changed = [k for k in now if now[k] != before[k]]
        assert len(changed) == 1, f"counters {changed} for {packet.hex()}"
        dropped = not changed[0].startswith(("translated", "hairpinned"))
        return changed[0], [] if dropped else got, got if dropped else []

    def close(self):
        self.socket.close()
        self.daemon.stop()


@pytest.fixture(scope="module")
def tun():
    """{pair's name: what the running daemon made of it}; for pairs that don't depend on next hops"""
    found = {}
    with Net(Topology([Node("box")], [])) as net:
        for settings, mtu4, mtu6, group in pairs.by_configuration(ALL):
            if (mtu4, mtu6) != (siit.UNKNOWN, siit.UNKNOWN):
                continue
            engine = Tun(net, settings)
            for p in group:
                packet = octets(p["in"])
                if 0 < len(packet) <= 65535:  # the largest MTU of a device
                    found[p["name"]] = engine.translate(packet)
            engine.close()
            net["box"].run("nft flush ruleset")
    return found


@pytest.mark.parametrize("file", sorted({p["file"] for p in ALL}))
def test_tun_engine(tun, file):
    failures({p["name"]: pairs.difference(p, *tun[p["name"]])
              for p in ALL if p["file"] == file and p["name"] in tun})


def test_tun_engine_and_core_agree_on_hostile_input(tun, core):
    """What is only required to be sound is the same in both, but for what is random."""
    failures({p["name"]: pairs.difference(
        {**p, "out": [o.hex() for o in core[p["name"]][1]], "valid": False, "free_id": True},
        *tun[p["name"]]) if core[p["name"]][1] else
        (None if tun[p["name"]][0] == core[p["name"]][0] else f"{tun[p['name']]} {core[p['name']]}")
        for p in ALL if p.get("valid") and p["name"] in tun})


# --- the eBPF programs ---

# What they must do by themselves; anything else may be left to the TUN engine ("slow").
FAST = ["46-tcp-*", "64-tcp-*", "46-udp", "46-udp-[0-9]*", "64-udp", "64-udp-[0-9]*", "46-echo",
        "46-tos-[0-9f]*", "64-tc-[0-9f]*", "46-ttl-64", "64-hop-limit-64", "46-prefix-*",
        "64-prefix-*", "46-eam-192*", "64-eam-192*", "46-df1-1480", "64-df-12*", "64-df-1300-tcp",
        "46-data-centre", "64-data-centre", "46-protocol-47", "64-protocol-47"]


class Ebpf:
    """nat64-testrun on a host whose route to the packet's destination leads to the translator's
    device, and whose default routes lead elsewhere."""

    NET = Topology(
        [Node("box", forward=True, sysctl={"net.ipv4.ip_forward": 1}), Node("far")],
        [Link("box:in", "far:in", mtu=65535), Link("box:out", "far:out", mtu=65535),
         Link("box:tun", "far:tun", mtu=65535)])

    def __init__(self, net, settings):
        self.box = net["box"]
        path = os.path.join(net.dir, "testrun.conf")
        with open(path, "w") as f:
            f.write(libconfig_file(settings))
        self.proc = self.box.popen([TESTRUN, path, "tun", "in"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @staticmethod
    def prepare(net):
        for line in ("-4 addr add 10.255.0.1/24 dev out", "-4 route add default via 10.255.0.2",
                     "-4 neigh add 10.255.0.2 lladdr 02:00:00:00:00:01 dev out",
                     "-6 addr add fd00::1/64 dev out nodad", "-6 route add default via fd00::2",
                     "-6 neigh add fd00::2 lladdr 02:00:00:00:00:01 dev out"):
            net["box"].run("ip " + line)

    def translate(self, packet):
        """(verdict, counter, packet)"""
        six = packet[0] >> 4 == 6
        dst = str(ipaddress.ip_address(packet[24:40] if six else packet[16:20]))
        route = ["ip", "-6" if six else "-4", "route"]
        # Not for every destination there can be a route: then it isn't the translator's.
        self.box.run([*route, "add", dst, "dev", "tun"], check=False)
        try:
            self.proc.stdin.write(f"{6 if six else 4} {packet.hex()}\n")
            self.proc.stdin.flush()
            line = self.proc.stdout.readline().split()
        except BrokenPipeError:
            line = []
        assert line, self.proc.stderr.read()
        self.box.run([*route, "del", dst, "dev", "tun"], check=False)
        verdict, counter, out = line
        return verdict, counter, b"" if out == "-" else bytes.fromhex(out)

    def close(self):
        self.proc.stdin.close()
        self.proc.wait(patient(10))


@pytest.fixture(scope="module")
def ebpf():
    """{pair's name: what the program made of it}"""
    found = {}
    with Net(Ebpf.NET) as net:
        Ebpf.prepare(net)
        for settings, mtu4, mtu6, group in pairs.by_configuration(ALL):
            if (mtu4, mtu6) != (siit.UNKNOWN, siit.UNKNOWN):
                continue
            engine = Ebpf(net, settings)
            for p in group:
                packet = octets(p["in"])
                if len(packet) >= (40 if packet[:1] and packet[0] >> 4 == 6 else 20):
                    found[p["name"]] = engine.translate(packet)
            engine.close()
    return found


def ebpf_difference(p, verdict, counter, packet):
    if verdict in ("slow", "pass", "untested"):
        fast = "out" in p and any(fnmatch.fnmatch(p["name"], f) for f in FAST)
        return f"{verdict}: must be done by the programs" if fast else None
    if verdict == "drop" and p.get("error") not in (None, "any"):
        return f"dropped ({counter}) without its ICMP error"
    return pairs.difference(p, counter, [packet] if verdict == "translated" else [])


@pytest.mark.parametrize("file", sorted({p["file"] for p in ALL}))
def test_ebpf_programs(ebpf, file):
    failures({p["name"]: ebpf_difference(p, *ebpf[p["name"]])
              for p in ALL if p["file"] == file and p["name"] in ebpf})


def test_ebpf_programs_leave_the_rest(ebpf):
    """Most of the pairs are odd on purpose; what is translated, dropped and left is all there."""
    verdicts = {v for v, _, _ in ebpf.values()}
    assert {"translated", "slow"} <= verdicts

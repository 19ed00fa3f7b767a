"""A translator between an IPv4 and an IPv6 host, a router on either side of it, and sockets on all.

    c4 ------ r4 ------ box ------ r6 ------ h6, g6
    203.0.113.0/24  198.51.100.0/24  2001:db8:b::/64  2001:db8:12:34::/64

    c4  203.0.113.50 = 2001:db8:46::203.0.113.50
    h6  2001:db8:12:34::1 = 192.0.2.1
    g6  2001:db8:12:34::2 = 192.0.2.2
    box 198.51.100.2, the pool of sources; r6, box and r4 have no other counterpart
"""

import os
import select
import socket
import time

import pytest

from .daemon import Daemon, libconfig_file
from .mipv6 import PACKET_OUTGOING, SO_RCVBUFFORCE, mac_of, socket_in
from .topo import Link, Net, Node, Topology
from .traffic import Server, TcpTransfer
from .wait import patient, wait_for

PREFIX = "2001:db8:46::"
C4, BOX4 = "203.0.113.50", "198.51.100.2"
H6, H4 = "2001:db8:12:34::1", "192.0.2.1"
G6, G4 = "2001:db8:12:34::2", "192.0.2.2"
BOX6, R6, R4 = "2001:db8:b::1", "2001:db8:b::2", "198.51.100.1"
C6 = PREFIX + C4
SETTINGS = {
    "prefixes": [{"prefix": PREFIX + "/96"}],
    "mappings": [{"ipv4": H4, "ipv6": H6}, {"ipv4": G4, "ipv6": G6}],
    "pool4": [BOX4], "address6": PREFIX + BOX4,
    "interfaces": ["left", "right"], "errors_per_second": 100000,
}
MAPPED_H4 = "::ffff:" + H4  # for tools that know IPv6 sockets only
ENGINES = os.environ.get("NEMO_NAT64_ENGINES", "tun,ebpf").split(",")
LINKS = {"c4": ("c4:eth0", "r4:client"), "left": ("r4:box", "box:left"),
         "right": ("box:right", "r6:box"), "h6": ("r6:site", "site:r6")}

IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO, IP_PMTUDISC_PROBE = 10, 0, 2, 3
IP_MTU = 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24


def topology(boxes=("box",)):
    """'boxes': several translators side by side have the addresses .2, .3 ... and ::1, ::11 ..."""
    v4 = {"net.ipv4.ip_forward": 1, "net.ipv4.icmp_ratelimit": 0, "net.ipv6.icmp.ratelimit": 0,
          "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0}
    nodes = [Node("c4", sysctl=v4), Node("h6", routes=["default via 2001:db8:12:34::fe"], sysctl=v4),
             Node("g6", routes=["default via 2001:db8:12:34::fe"], sysctl=v4),
             Node("r4", forward=True, sysctl=v4), Node("r6", forward=True, sysctl=v4),
             Node("site", bridges=["sw"])]
    nodes += [Node(b, forward=True, sysctl=v4) for b in boxes]
    links = [
        Link("c4:eth0", "r4:client"),
        Link("r6:site", "site:r6@sw", ["2001:db8:12:34::fe/64"]),
        Link("h6:eth0", "site:h6@sw", [H6 + "/64"]), Link("g6:eth0", "site:g6@sw", [G6 + "/64"]),
    ]
    if boxes == ("box",):
        links += [Link("r4:box", "box:left"),
                  Link("box:right", "r6:box", [BOX6 + "/64"], [R6 + "/64"])]
    else:
        for n, b in enumerate(boxes):
            links += [Link(f"r4:{b}", f"{b}:left"),
                      Link(f"{b}:right", f"r6:{b}", [f"2001:db8:b{n}::1/64"], [f"2001:db8:b{n}::2/64"])]
    return Topology(nodes, links)


def build(keep_in=None):
    """The network with one translator's host; IPv4 and routes set up."""
    net = Net(topology(), keep_in)
    try:
        net["c4"].batch([f"addr add {C4}/24 dev eth0", "route add default via 203.0.113.1"], 4)
        net["r4"].batch(["addr add 203.0.113.1/24 dev client", f"addr add {R4}/24 dev box",
             f"route add 192.0.2.0/24 via {BOX4}"], 4)
        net["box"].batch([f"addr add {BOX4}/24 dev left", f"route add default via {R4}"], 4)
        net["box"].batch([f"route add 2001:db8:12:34::/64 via {R6}"])
        net["r6"].batch([f"route add default via {BOX6}"])
        return net
    except BaseException:
        net.close()
        raise


def can_not(engine, error):
    """Skips if this kernel has not got what the engine needs; by the daemon's own words."""
    why = [line for line in str(error).splitlines() if "can't be used here" in line]
    if engine == "ebpf" and why:
        pytest.skip(why[0])


class Lab:
    def __init__(self, net, engine, settings=None):
        self.net, self.engine = net, engine
        self.box = Daemon(net, "box", "nemo-nat64", {**SETTINGS, "engine": engine, **(settings or {})})
        try:
            self.box.start()
        except RuntimeError as e:
            can_not(engine, e)
            raise

    def configure(self, settings=None, timeout=5):
        """Other settings from now on, by a reload."""
        self.box.conf = libconfig_file({**SETTINGS, "engine": self.engine, **(settings or {}),
                                        "control": self.box.control})
        with open(self.box.conf_path, "w") as f:
            f.write(self.box.conf)
        return self.box.ask("reload", timeout=timeout)

    def mtu(self, **links):
        """mtu(h6=1300, left=9000): both ends of these links; the others get 1500."""
        for name, ends in LINKS.items():
            for end in ends + (("site:sw", "h6:eth0", "g6:eth0", "site:h6", "site:g6")
                               if name == "h6" else ()):
                node, interface = end.split(":")
                self.net[node].run(f"ip link set dev {interface} mtu {links.get(name, 1500)}")
        for node in "c4", "h6", "g6", "r4", "r6", "box":
            self.net[node].run("ip -4 route flush cache")
            self.net[node].run("ip -6 route flush cache")

    def counters(self):
        return {c["name"]: c["value"] for c in self.box.ask("stats")["counters"]}

    def moved(self, before):
        """Which engine translated since 'before' (a stats answer's counters)."""
        now = {c["name"]: c for c in self.box.ask("stats")["counters"]}
        return {e: sum(now[n][e] for n in ("translated_6to4", "translated_4to6")) - before.get(e, 0)
                for e in ("tun", "ebpf")}


class Udp:
    """A UDP socket in a node; 'family' 4 or 6."""

    def __init__(self, net, node, family, port=0, discover=None):
        self.family = family
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        self.s = socket_in(net[node], af, socket.SOCK_DGRAM, 0)
        # Some 100 packets is what a stock kernel's net.core.rmem_max is good for.
        self.s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self.s.bind(("", port))
        self.s.setblocking(False)
        if discover is not None:
            level, option = ((socket.IPPROTO_IP, IP_MTU_DISCOVER) if family == 4
                             else (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER))
            self.s.setsockopt(level, option, discover)

    @property
    def port(self):
        return self.s.getsockname()[1]

    def connect(self, address, port):
        self.s.connect((address, port))
        return self

    def send(self, data):
        """None, or the errno."""
        try:
            self.s.send(data)
        except OSError as e:
            return e.errno
        return None

    def sendto(self, data, address, port):
        self.s.sendto(data, (address, port))

    def path_mtu(self):
        return self.s.getsockopt(*((socket.IPPROTO_IP, IP_MTU) if self.family == 4
                                   else (socket.IPPROTO_IPV6, IPV6_MTU)))

    def received(self):
        """[(data, (address, port))] so far."""
        got = []
        while True:
            try:
                data, address = self.s.recvfrom(70000)
            except (BlockingIOError, ConnectionRefusedError):
                return got
            got.append((data, address[:2]))

    def wait(self, what, timeout=3):
        got = []

        def some():
            got.extend(self.received())
            return got

        return wait_for(some, timeout, what)[0]

    def error(self, what, timeout=3):
        """The errno that the next ICMP error brings."""
        found = []

        def told():
            found.append(self.s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            return found[-1]

        return wait_for(told, timeout, what)

    def close(self):
        self.s.close()


class Tcp:
    """A TCP socket in a node, of both families."""

    def __init__(self, net, node, connected=None):
        self.s = connected or socket_in(net[node], socket.AF_INET6, socket.SOCK_STREAM, 0)
        if not connected:
            self.s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.s.settimeout(patient(20))

    def listen(self):
        """Its port."""
        self.s.bind(("", 0))
        self.s.listen()
        return self.s.getsockname()[1]

    def accept(self):
        return Tcp(None, None, self.s.accept()[0])

    def connect(self, address, port):
        self.s.connect((address, port))

    def send_to(self, other, size):
        """How many of so many octets arrived, sent as fast as it goes."""
        self.s.setblocking(False)
        other.s.setblocking(False)
        data, sent, got, deadline = bytes(1 << 20), 0, 0, time.monotonic() + patient(20)
        while got < size and time.monotonic() < deadline:
            select.select([other.s], [self.s] if sent < size else [], [], 1)
            try:
                sent += self.s.send(data[:size - sent]) if sent < size else 0
            except BlockingIOError:
                pass
            try:
                while n := len(other.s.recv(1 << 20)):
                    got += n
            except BlockingIOError:
                pass
        return got

    def close(self):
        self.s.close()


class Tap:
    """What comes in at an interface, as IP packets; and IP packets sent out of it."""

    def __init__(self, net, node, interface, to=None):
        self.s = socket_in(net[node], socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.s.bind((interface, 3))
        self.s.setblocking(False)
        self.interface = interface
        self.to = bytes.fromhex(mac_of(net, *to).replace(":", "")) if to else None
        self.seen = []

    def packets(self):
        while True:
            try:
                data, address = self.s.recvfrom(70000)
            except (BlockingIOError, OSError):
                return self.seen
            if address[2] != PACKET_OUTGOING and address[1] in (0x0800, 0x86DD):
                self.seen.append(data)

    def mark(self):
        return len(self.packets())

    def wait(self, test, what, since=0, timeout=3):
        return wait_for(lambda: next((p for p in self.packets()[since:] if test(p)), None), timeout,
                        lambda: f"{what}; seen {[p[:60].hex() for p in self.seen[since:][-8:]]}")

    def send(self, packet):
        proto = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        self.s.sendto(packet, (self.interface, proto, 0, 0, self.to))

    def close(self):
        self.s.close()


def ping(net, node, address, *options):
    """Output of one echo request."""
    family = "-6" if ":" in address else "-4"
    return net[node].run(["ping", family, "-n", "-c", "1", "-W", str(int(patient(1))), *options, address],
                         check=False).stdout


def same_address(a6):
    """As the kernel writes it."""
    return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, a6))


# --- what the tests share ---

# What differs between kernels is marked by its absence: each engine carries traffic of each kind both
# ways, and routes and reloads work.  All else is the same code on any kernel, and slow in emulation.
OURS = pytest.mark.novm("the same code on any kernel")


@pytest.fixture(scope="module", params=ENGINES)
def running(request):
    net = build()
    try:
        lab = Lab(net, request.param)
    except pytest.skip.Exception:
        net.close()
        raise
    except BaseException:
        net.report()
        net.close()
        raise
    # Neighbours are known from here on.
    wait_for(lambda: " 0% packet loss" in ping(net, "c4", H4), 10, "c4 reaches h6")
    wait_for(lambda: " 0% packet loss" in ping(net, "h6", C6), 10, "h6 reaches c4")
    wait_for(lambda: " 0% packet loss" in ping(net, "c4", G4), 10, "c4 reaches g6")
    yield lab
    net.close()


@pytest.fixture
def lab(running, request):
    yield running
    if getattr(request.node, "failed_call", True):
        running.net.report()
    if running.box.running():
        running.configure()
    running.mtu()


@pytest.fixture
def transfer(lab):
    """transfer("4to6", packets) runs a TCP connection until so many packets were translated."""
    servers = []

    def run(way, packets, address=None, other=None):
        node, default, to = ("c4", "h6", MAPPED_H4) if way == "4to6" else ("h6", "c4", C6)
        servers.append(Server(lab.net, other or default, 5000 + len(servers)))
        tcp = TcpTransfer(lab.net, node, address or to, servers[-1], kbps=60000)
        start = translated(lab)

        def flowed():
            assert tcp.proc.poll() is None, tcp.stop()
            return translated(lab) > start + packets

        wait_for(flowed, 20, "TCP flows")
        return tcp.stop()

    yield run
    for s in servers:
        s.stop()


def translated(lab):
    c = lab.counters()
    return c["translated_4to6"] + c["translated_6to4"] + c["hairpinned"]

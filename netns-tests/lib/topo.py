"""Topologies: declared once as data, built as namespaces, drawn as text when a test fails.

    Topology(
        nodes=[Node("core", forward=True, routes=["2001:db8:1::/64 via 2001:db8::2"]),
               Node("fabric", bridges=["left", "right"]), ...],
        links=[Link("core:left", "fabric:core@left", a=["2001:db8:a::1/64"]),
               Link("mr:eth0", "fabric:mr@left", real_dad=True), ...],
        radvds=[Radvd("core:left", "2001:db8:a::/64")],
    )

An end is "node:interface", or "node:interface@bridge" for a bridge port.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field

from . import ns
from .wait import patient, wait_for

_next_index = 1000


@dataclass
class Node:
    name: str
    forward: bool = False
    bridges: list = field(default_factory=list)
    routes: list = field(default_factory=list)  # "PREFIX via GATEWAY"; 'default' works
    sysctl: dict = field(default_factory=dict)
    bonds: dict = field(default_factory=dict)  # {"eth0": ["port1", "port2"]}, the first is active


@dataclass
class Link:
    one: str
    two: str
    a: list = field(default_factory=list)  # addresses of end one
    b: list = field(default_factory=list)  # addresses of end two
    mtu: int = 1500
    real_dad: bool = False  # end one keeps the kernel's own IPv6 settings: a mobile router's uplink
    mac: str = ""  # of end one; "" = the kernel's choice


@dataclass
class Radvd:
    on: str  # "node:interface"
    prefix: str
    min_s: float = 200
    max_s: float = 600
    lifetime_s: int = 1800
    options: str = ""  # more lines for the interface, e.g. "AdvLinkMTU 1400;"
    router_address: bool = False  # R flag: the prefix option has the router's address

    def text(self):
        return (
            f"interface {self.on.split(':')[1]} {{\n\tAdvSendAdvert on;\n"
            f"\tMinRtrAdvInterval {self.min_s:g};\n\tMaxRtrAdvInterval {self.max_s:g};\n"
            f"\tAdvDefaultLifetime {self.lifetime_s};\n\t{self.options}\n"
            f"\tprefix {self.prefix} {{ AdvOnLink on; AdvAutonomous on;"
            f"{' AdvRouterAddr on;' if self.router_address else ''} }};\n}};\n"
        )


@dataclass
class Topology:
    nodes: list
    links: list
    radvds: list = field(default_factory=list)

    def draw(self, where=None):
        """The topology as text; 'where' tells bridges of ports that have moved."""
        where = where or {}
        lines = []
        for link in self.links:
            left = f"{_end(link.one, where)} {' '.join(link.a)}".rstrip()
            right = f"{_end(link.two, where)} {' '.join(link.b)}".rstrip()
            lines.append(f"  {left:<48} ---- {right}")
        for node in self.nodes:
            for route in node.routes:
                lines.append(f"  {node.name}: route {route}")
        for r in self.radvds:
            lines.append(f"  {r.on}: radvd {r.prefix} every {r.min_s:g}-{r.max_s:g} s")
        return "\n".join(lines)


def _split(end):
    node, _, rest = end.partition(":")
    ifname, _, bridge = rest.partition("@")
    return node, ifname, bridge


def _end(end, where):
    node, ifname, bridge = _split(end)
    bridge = where.get(f"{node}:{ifname}", bridge)
    return f"{node}:{ifname}" + (f"@{bridge}" if bridge else "")


class Net:
    """A built topology: net["mr"] is a node's namespace; everything that runs in it is known."""

    def __init__(self, topology, keep_in=None):
        self.topology = topology
        self.keep_in = keep_in  # where captures and logs go when the test has failed
        self.dir = tempfile.mkdtemp(prefix=f"{ns.PREFIX}{os.getpid()}-")
        os.chmod(self.dir, 0o755)  # daemons and clients that are not root reach their sockets
        self.where = {}
        self.daemons, self.captures, self.procs = [], [], []
        self.radvds = {}
        self.nodes = {}
        try:
            self._build()
        except BaseException:
            print(self.draw())
            self.close()
            raise

    def __getitem__(self, name):
        return self.nodes[name]

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.report()
            self.keep()
        self.close()

    def draw(self):
        return self.topology.draw(self.where)

    # --- building ---
    def _build(self):
        t = self.topology
        self.nodes = ns.make([n.name for n in t.nodes])
        for n in t.nodes:
            self._settings(n)
        ns.ip_batch(line for link in t.links for line in self._veth(link))
        for n in t.nodes:
            self.nodes[n.name].batch(self._node_lines(n))
        for n in t.nodes:
            for bond, ports in n.bonds.items():
                self._kernel_defaults(n.name, bond)
                self.fail_over(n.name, bond, ports[0])
            if n.bonds:
                lines = [f"link set {bond} up" for bond in n.bonds]
                self.nodes[n.name].batch(lines + [f"route add {r}" for r in n.routes])
        for r in t.radvds:
            self.start_radvd(r)

    def _settings(self, n):
        quiet = {}
        for which in ("all", "default"):
            quiet[f"net.ipv6.conf.{which}.accept_dad"] = 0
            quiet[f"net.ipv6.conf.{which}.dad_transmits"] = 0
            quiet[f"net.ipv6.conf.{which}.accept_ra"] = 0
        if n.forward:
            quiet["net.ipv6.conf.all.forwarding"] = 1
        self.nodes[n.name].sysctl(**quiet, **n.sysctl)

    def _veth(self, link):
        # The two ends get different interface indexes: the kernel reports the carrier of a veth
        # whose index equals its peer's up to a second late (link watch takes it for no tunnel).
        global _next_index
        _next_index += 1
        (na, ia, _), (nb, ib, _) = _split(link.one), _split(link.two)
        mac = f"address {link.mac} " if link.mac else ""
        yield (
            f"link add name {ib} netns {self.nodes[nb].ns} index {_next_index} mtu {link.mtu} "
            f"type veth peer name {ia} {mac}mtu {link.mtu} netns {self.nodes[na].ns}"
        )

    def _node_lines(self, n):
        for bridge in n.bridges:
            yield f"link add {bridge} type bridge mcast_snooping 0"
            yield f"link set {bridge} up"
        yield "link set lo up"
        for bond, ports in n.bonds.items():
            yield f"link add {bond} type bond mode active-backup"
            for port in ports:
                yield f"link set dev {port} master {bond}"
        for link in self.topology.links:
            for end, addresses in ((link.one, link.a), (link.two, link.b)):
                node, ifname, bridge = _split(end)
                if node != n.name:
                    continue
                if link.real_dad and end is link.one:
                    self._kernel_defaults(node, ifname)
                if bridge:
                    yield f"link set dev {ifname} master {bridge}"
                yield f"link set dev {ifname} up"
                for address in addresses:
                    yield f"addr add {address} dev {ifname} nodad"
        if not n.bonds:  # the routes of these wait for the bond
            for route in n.routes:
                yield f"route add {route}"

    def _kernel_defaults(self, node, ifname):
        base = f"net.ipv6.conf.{ifname}"
        self.nodes[node].sysctl(
            **{f"{base}.accept_dad": 1, f"{base}.dad_transmits": 1, f"{base}.accept_ra": 1}
        )

    # --- what happens to it ---
    def start_radvd(self, r):
        node, ifname, _ = _split(r.on)
        base = os.path.join(self.dir, f"radvd-{node}-{ifname}")
        with open(base + ".conf", "w") as f:
            f.write(r.text())
        log = open(base + ".log", "w")
        proc = self.nodes[node].popen(
            ["radvd", "-n", "-d", "1", "-m", "stderr", "-C", base + ".conf", "-p", base + ".pid"],
            sysfs=False,
            stdout=log,
            stderr=log,
        )
        self.procs.append(proc)
        self.radvds[r.on] = proc
        wait_for(lambda: os.path.exists(base + ".pid") or proc.poll() is not None, 10, "radvd")
        if proc.poll() is not None:
            raise RuntimeError("radvd: " + open(base + ".log").read())
        return proc

    def move(self, *moves, carrier=True):
        """move(("node:interface", "bridge"), ...) puts bridge ports into other bridges of their
        node, as a live migration does with a VM's interface.  With 'carrier' the far end sees its
        carrier go and come; without, nothing tells it.  An empty bridge name: into none."""
        lines = {}
        for port, bridge in moves:
            node, ifname, _ = _split(port)
            change = f"link set dev {ifname} " + (f"master {bridge}" if bridge else "nomaster")
            if carrier:
                change = f"link set dev {ifname} down\n{change}\nlink set dev {ifname} up"
            lines.setdefault(node, []).append(change)
            self.where[port] = bridge
        for node, changes in lines.items():
            self.nodes[node].batch(changes)

    def fail_over(self, node, bond, port):
        """Makes a port of a bond the active one.  The node's kernel then tells NOTIFY_PEERS, with
        no change of the carrier: just what a guest is told after a live migration."""
        self.nodes[node].batch([f"link set dev {bond} type bond active_slave {port}"])
        self.where[f"{node}:{bond}"] = port

    def started(self, proc):
        """Makes 'proc' end with this network."""
        self.procs.append(proc)
        return proc

    # --- the end ---
    def keep(self):
        """Keeps captures, configurations and logs of a failed test."""
        if self.keep_in:
            for c in self.captures:
                c.stop()
            shutil.rmtree(self.keep_in, ignore_errors=True)
            shutil.copytree(
                self.dir, self.keep_in, ignore=lambda d, names: [n for n in names if ".sock" in n]
            )
            print(f"kept: {self.keep_in}")

    def report(self):
        """Prints all that helps to understand a failure."""
        print("--- topology\n" + self.draw())
        for d in self.daemons:
            print(d.report())
        for name, node in self.nodes.items():
            if "fabric" in name:
                continue
            text = "".join(
                node.run(f"ip -6 {what}", check=False).stdout
                for what in ("-o addr", "route show table all", "rule")
            )
            lines = [line for line in text.splitlines() if "table local" not in line]
            print(f"--- {name}\n" + "\n".join(lines))

    def close(self):
        for d in self.daemons:
            d.stop()
        others = [c.proc for c in self.captures] + self.procs
        for p in others:  # all at once, none waits for another
            if p.poll() is None:
                p.terminate()
        for p in others:
            stop(p)
        ns.unmake(self.nodes.values())
        bad = [line for d in self.daemons for line in d.sanitizer()]
        if bad:
            self.keep()
        shutil.rmtree(self.dir, ignore_errors=True)
        if bad:
            raise RuntimeError("found by a sanitizer:\n" + "\n".join(bad))


def stop(proc, sig=signal.SIGTERM, timeout=5):
    """Ends one process that we started and returns its exit code."""
    if proc.poll() is None:
        proc.send_signal(signal.SIGCONT)
        proc.send_signal(sig)
        try:
            proc.wait(patient(timeout))
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()
    return proc.returncode

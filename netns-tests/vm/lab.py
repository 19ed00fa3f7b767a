"""The lab: two hypervisors on different networks, a mobile router and a service machine as virtual
machines, and clients at home that use the service over both families while they migrate.

    client  ---+                            +--- hv-a: uplink [ mr eth0 | eth1 mr ] vnet [ svc ]
    client4 ---+--- core (radvd on both) ---+
    ha      ---+                            +--- hv-b: uplink [                   ] vnet [     ]
    nat     ---+

'core' is both sites' access router; the two links have the same router address fe80::1.

    python3 -m vm.lab up        brings it up in the background and tells how to look around
    python3 -m vm.lab migrate   moves both machines to the other hypervisor
    python3 -m vm.lab down      ends it
"""

import contextlib
import glob
import gzip
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile

from lib import ROOT, ns
from lib.daemon import BUILD, Daemon
from lib.topo import Link, Net, Node, Radvd, Topology, stop
from lib.wait import wait_for

from .guest import Boot, Failed, Guest, migrate

IMAGE = os.path.join(ROOT, "build", "image")
TOOLS = os.path.join(ROOT, "build", "vm")
SERVICE_MODULES = (
    "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover "
    "net_failover virtio_net"
).split()

HA, CLIENT, NAT = "2001:db8:1::1", "2001:db8:c::2", "2001:db8:64::2"
AGGREGATE, MNP, HOME = "2001:db8:d00::/48", "2001:db8:d00:1::/64", "2001:db8:d00::1"
CLIENT4, SERVICE4, PREFIX4 = "198.51.100.2", "203.0.113.1", "2001:db8:d00:64::/96"
SITES = {"hv-a": "2001:db8:a::/64", "hv-b": "2001:db8:b::/64"}

SITE_B = "hv-b:up@uplink"
MIGRATION = {"hv-a": "fd00:6d::a", "hv-b": "fd00:6d::b"}  # own link between the hypervisors
WAN = "wan"  # what is far away is behind it: tools/delay
ORDERS = ("together", "service first", "router first")

TOPOLOGY = Topology(
    nodes=[
        Node("core", forward=True,
             sysctl={"net.ipv4.ip_forward": 1},
             routes=[f"{AGGREGATE} via {HA}", f"{PREFIX4} via {NAT}"]),  # fmt: skip
        Node("ha", forward=True, routes=["default via 2001:db8:1::fe", f"{PREFIX4} via 2001:db8:1::fe"]),
        Node("nat", forward=True, routes=["default via 2001:db8:64::1"],
             sysctl={"net.ipv4.ip_forward": 1}),  # fmt: skip
        Node("client", routes=["default via 2001:db8:c::1"]),
        Node("client4"),
        *(Node(hv, bridges=["uplink", "vnet"]) for hv in SITES),
    ],
    links=[
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:1::fe/64"]),
        Link("nat:eth0", "core:nat", [f"{NAT}/64"], ["2001:db8:64::1/64"]),
        Link("client:eth0", "core:client", [f"{CLIENT}/64"], ["2001:db8:c::1/64"]),
        Link("client4:eth0", "core:client4"),
        *(
            Link(f"{hv}:up@uplink", f"core:{hv}", [], [prefix.replace("::/", "::1/"), "fe80::1/64"])
            for hv, prefix in SITES.items()
        ),
    ],
    radvds=[Radvd(f"core:{hv}", prefix, options="AdvRASrcAddress { fe80::1; };") for hv, prefix in SITES.items()],
)


def wide_area():
    """The topology with site B, and the way that migrations take, behind a delaying link."""
    far = next(link for link in TOPOLOGY.links if link.one == SITE_B)
    ways = [
        Link(SITE_B, f"{WAN}:site"),
        Link(f"{WAN}:core", far.two, [], far.b),
        *(Link(f"{hv}:mig", f"{WAN}:{hv}", [f"{a}/64"]) for hv, a in MIGRATION.items()),
    ]
    quiet = {"net.ipv6.conf.default.disable_ipv6": 1, "net.ipv6.conf.all.disable_ipv6": 1}
    return Topology(
        nodes=[*TOPOLOGY.nodes, Node(WAN, sysctl=quiet)],
        links=[*(link for link in TOPOLOGY.links if link is not far), *ways],
        radvds=TOPOLOGY.radvds,
    )


HA_CONF = {
    "address": HA,
    "interfaces": ["eth0"],
    "home_prefixes": ["2001:db8:d00::/64"],
    "aggregates": [AGGREGATE],
    "routers": [{"name": "tenant-1", "home_address": HOME, "prefixes": [MNP], "tenant": "t1"}],
    "protection": "esp",
}
NAT_CONF = {
    "prefixes": [{"prefix": PREFIX4}],
    "interfaces": ["eth0"],
    "pool4": ["203.0.113.254"],
    "address6": "2001:db8:d00:64::203.0.113.254",
}
MR_CONF = f"""name = "tenant-1";
home_address = "{HOME}";
home_agents = ( "{HA}" );
uplinks = ( {{ interface = "eth0"; }} );
networks = ( {{ prefix = "{MNP}"; interface = "eth1"; }} );
keys = "/run/nemo/nemo-mr.keys";
"""


def eui64(prefix, mac):
    octets = [int(x, 16) for x in mac.split(":")]
    octets = [octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]]
    words = [f"{octets[i] << 8 | octets[i + 1]:x}" for i in range(0, 8, 2)]
    return prefix.split("::")[0] + ":" + ":".join(words)


def router_boot():
    with open(os.path.join(IMAGE, "cmdline")) as f:
        cmdline = f.read().strip()
    return Boot(os.path.join(IMAGE, "vmlinuz"), os.path.join(IMAGE, "initrd"), cmdline,
                os.path.join(IMAGE, "nemo-mr.qcow2"))  # fmt: skip


def service_boot():
    """The service machine is an initramfs: busybox, the probe and a few modules of the image."""
    path = os.path.join(TOOLS, "service.gz")
    os.makedirs(TOOLS, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as root:
        for d in "bin", "modules", "www", "www/cgi-bin":
            os.makedirs(os.path.join(root, d))
        shutil.copy("/bin/busybox", os.path.join(root, "bin"))
        flags = ["-O2", "-static", "-D_GNU_SOURCE", "-I", ROOT]
        for tool, place in ("probe", "bin"), ("dirty", "www/cgi-bin"):
            source = os.path.join(ROOT, "netns-tests", "tools", f"{tool}.c")
            subprocess.run(["gcc", *flags, "-o", os.path.join(root, place, tool), source], check=True)
        wanted = [f"*/{m}.ko" for m in SERVICE_MODULES]
        base = os.path.join(IMAGE, "base.tar")
        subprocess.run(["tar", "-C", os.path.join(root, "modules"), "--wildcards", "-xf", base,
                        "--transform", "s|.*/||", *wanted], check=True)  # fmt: skip
        with open(os.path.join(root, "modules.order"), "w") as f:
            f.write("".join(m + ".ko\n" for m in SERVICE_MODULES))
        shutil.copy(os.path.join(ROOT, "netns-tests", "vm", "service-init"), os.path.join(root, "init"))
        os.chmod(os.path.join(root, "init"), 0o755)
        with open(os.path.join(root, "www", "index.html"), "w") as f:
            f.write("here\n")
        names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
        cpio = ["cpio", "-o", "-H", "newc", "--quiet"]
        archive = subprocess.run(cpio, cwd=root, input=names, stdout=subprocess.PIPE, check=True).stdout
        with gzip.open(path, "wb", compresslevel=1) as f:
            f.write(archive)
    return Boot(os.path.join(IMAGE, "vmlinuz"), path, "console=ttyS0 quiet panic=-1")


class NotMoved(RuntimeError):
    """A migration did not come to its end."""


class Lab:
    """Everything running, both guests on hv-a, the router registered, the service reachable."""

    def __init__(self, net, memory_mb=256):
        self.net, self.at = net, "hv-a"
        self.limit_s = 120  # how long memory may take until it is nearly copied
        self.left = []  # guests that have moved away, not stopped yet
        self.delays = None  # running ones of the wide area; None: all is near
        net["client4"].batch([f"addr add {CLIENT4}/24 dev eth0", "route add default via 198.51.100.1"], 4)
        net["core"].batch(["addr add 198.51.100.1/24 dev client4", "addr add 192.0.2.1/30 dev nat",
                           "route add 203.0.113.0/24 via 192.0.2.2"], 4)  # fmt: skip
        net["nat"].batch(["addr add 192.0.2.2/30 dev eth0", "route add default via 192.0.2.1"], 4)
        for hv in SITES:
            # The host takes no part in the guests' networks.
            net[hv].sysctl(**{f"net.ipv6.conf.{b}.disable_ipv6": 1 for b in ("uplink", "vnet")})
        keys = f"psk tenant-1 {secrets.token_hex(32)}\n"
        path = os.path.join(net.dir, "tenant-1.keys")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(keys)
        routers = [{**HA_CONF["routers"][0], "keys": path}]
        self.ha = Daemon(net, "ha", "nemo-ha", {**HA_CONF, "routers": routers}).start()
        self.router = Guest(net, "hv-a", "mr", router_boot(), 256, {"mr0": "uplink", "mr1": "vnet"},
                            {"nemo-mr.conf": MR_CONF, "nemo-mr.keys": keys})  # fmt: skip
        self.service = Guest(net, "hv-a", "svc", service_boot(), memory_mb, {"svc0": "vnet"})
        self.address = eui64(MNP, self.service.mac(0))
        mappings = [{"ipv4": SERVICE4, "ipv6": self.address}]
        self.nat = Daemon(net, "nat", "nemo-nat64", {**NAT_CONF, "mappings": mappings}).start()

    def start(self, timeout=80):
        self.service.start()
        self.router.start()
        return self.wait_ready(timeout)

    def wait_ready(self, timeout=80):
        """The router is registered, and the service answers over both families."""
        wait_for(self.bound, timeout, lambda: "the router registers\n" + self.router.console())
        for node, address in (("client", self.address), ("client4", SERVICE4)):
            wait_for(
                lambda: json.loads(self.http(node, address, 1).communicate()[0])["lost"] == 0,
                60,
                lambda: f"{node} reaches the service\n" + self.service.console(),
            )
        return self

    def bound(self):
        """The router's care-of address at the home agent, or None."""
        bindings = self.ha.ask("bindings")
        return bindings[0]["care_of"] if bindings else None

    def http(self, node, address, count=0):
        """Starts http_loop.py."""
        program = os.path.join(ROOT, "netns-tests", "vm", "http_loop.py")
        argv = ["/usr/bin/python3", program, address, str(count)]
        return self.net.started(self.net[node].popen(argv, stdout=subprocess.PIPE, text=True))

    def migrate(self, order="together"):
        """Moves both machines to the other hypervisor, together or one completely before the other
        (ORDERS).  Returns migrate()'s figures by name; after NotMoved both run on where they are."""
        there = "hv-b" if self.at == "hv-a" else "hv-a"
        self.stop_left()
        old = [self.router, self.service]
        new = [g.twin(there, self._listen(there, n)).start(incoming=True) for n, g in enumerate(old)]
        pairs = list(zip(old, new))
        ways = {"together": [pairs], "router first": [pairs[:1], pairs[1:]],
                "service first": [pairs[1:], pairs[:1]]}  # fmt: skip
        done = {}
        for way in ways[order]:
            try:
                done.update((of[0].name, figures) for of, figures in zip(way, migrate(way, self.limit_s)))
            except Failed as e:
                if done or not all(g.runs_on() for g in old):
                    raise RuntimeError(f"half of it has moved: {e}") from e
                for g in new:
                    g.stop()
                raise NotMoved(e) from e
        self.left = old
        self.router, self.service = new
        self.at = there
        return done

    def stop_left(self):
        """Ends what the last migration has left on the other hypervisor."""
        for guest in self.left:
            guest.stop()
        self.left = []

    def cancel_migration(self):
        """Begins to migrate the router, and takes it back half way."""
        there = "hv-b" if self.at == "hv-a" else "hv-a"
        self.stop_left()
        twin, qmp = self.router.twin(there).start(incoming=True), self.router.qmp
        qmp.ask("migrate-set-parameters", **{"downtime-limit": 0, "max-bandwidth": 1 << 20})
        qmp.ask("migrate", uri=twin.incoming)
        info = lambda: qmp.ask("query-migrate")  # noqa: E731
        wait_for(lambda: info().get("ram", {}).get("transferred", 0) > 1 << 20, 30, "half way")
        qmp.ask("migrate_cancel")
        wait_for(lambda: info()["status"] == "cancelled", 30, "cancelled")
        twin.stop()

    def _listen(self, there, n):
        return None if self.delays is None else f"[{MIGRATION[there]}]:{4000 + n}"

    def set_rtt(self, ms):
        """Round-trip time to site B and between the hypervisors; only in the wide area."""
        for delay in self.delays or []:
            stop(delay)
        program = os.path.join(BUILD, "tools", "delay")
        self.delays = [
            self.net.started(
                self.net[WAN].popen([program, *ends, str(ms / 2)], stdout=subprocess.PIPE)
            )
            for ends in (("site", "core"), tuple(MIGRATION))
        ]
        for delay in self.delays:
            assert delay.stdout.readline() == b"ready\n", "the delaying link does not start"

    def dirty(self, mode, megabytes=0, mb_per_s=0):
        """Has the service write to its memory: "idle", "sequential" or "random" from now on, "fill"
        once, to its end."""
        url = f"http://[{self.address}]/cgi-bin/dirty?{mode}-{megabytes}-{mb_per_s}"
        get = f"import urllib.request; urllib.request.urlopen({url!r}, timeout=60).read()"
        self.net["client"].run(["/usr/bin/python3", "-c", get], timeout=90)

    def handovers(self):
        """The router's own record of its handovers, read through the guest agent."""
        asked = self.router.execute("nemoctl", "--json", "mr", "handovers")
        return json.loads(asked)[0]["data"]


def build(keep_in=None, memory_mb=256, rtt_ms=None):
    if not glob.glob(os.path.join(IMAGE, "nemo-mr.qcow2")):
        raise RuntimeError("there is no image: make image builds it")
    net = Net(TOPOLOGY if rtt_ms is None else wide_area(), keep_in)
    try:
        lab = Lab(net, memory_mb)
        if rtt_ms is not None:
            lab.set_rtt(rtt_ms)
        return net, lab.start()
    except BaseException:
        net.report()
        net.keep()
        net.close()
        raise


# --- by hand ---
HOLDER, LOG, TOLD = (os.path.join(ROOT, "build", name) for name in ("lab.pid", "lab.log", "lab.txt"))
LOOK_AROUND = """
The lab is up: a mobile router and a service behind it run as virtual machines on hv-a.

  a shell in a node (client client4 core ha nat hv-a hv-b):
      ip netns exec {client} bash
  the service, over IPv6 and, by the translator, over IPv4:
      ip netns exec {client} ping {address}
      ip netns exec {client4} ping {service4}
  home agent, translator:
      {nemoctl} -s {ha}
      {nemoctl} -s {nat}
  the router's console, and the service's:
      tail -f {router}
      tail -f {service}
  migrate both to the other hypervisor:   make lab-migrate
  end it:                                 make lab-down
"""


def holder():
    """Process that holds the lab, or None."""
    try:
        with open(HOLDER) as f:
            pid = int(f.read())
        with open(f"/proc/{pid}/cmdline") as f:
            return pid if "vm.lab" in f.read() else None
    except (OSError, ValueError):
        return None


def hold(net, lab, tell):
    """Runs in the background until SIGTERM; SIGUSR1 migrates."""
    with net:
        text = LOOK_AROUND.format(
            client=net["client"].ns, client4=net["client4"].ns, address=lab.address,
            service4=SERVICE4, nemoctl=os.path.join(ROOT, "build", "nemoctl"), ha=lab.ha.control,
            nat=lab.nat.control, router=lab.router.console_path, service=lab.service.console_path,
        )  # fmt: skip
        with open(TOLD, "w") as f:
            f.write(text)
        tell.write(text)
        tell.close()
        wanted = {signal.SIGUSR1, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
        while signal.sigwait(wanted) == signal.SIGUSR1:
            try:
                figures = lab.migrate()
            except NotMoved as e:
                print(f"still on {lab.at}: {e}", flush=True)
                continue
            lab.stop_left()
            pauses = ", ".join(f"{name} stood still {f['pause_ms']:.0f} ms" for name, f in figures.items())
            print(f"now on {lab.at}: {pauses}", flush=True)


def up():
    if holder():
        if os.path.exists(TOLD):  # for who has lost it
            with open(TOLD) as f:
                print(f.read())
        print("the lab was up already: make lab-down ends it", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        print("the lab makes network namespaces: run as root", file=sys.stderr)
        return 2
    ns.remove_leftovers()
    print("starting the lab: half a minute", flush=True)
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(reader)
        log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for fd in 1, 2:
            os.dup2(log, fd)
        with open(HOLDER, "w") as f:
            f.write(str(os.getpid()))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(TOLD)
        ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
        hold(*build(), os.fdopen(writer, "w"))
        sys.exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    print(text or f"the lab did not start: see {LOG}")
    return 0 if text else 1


def down():
    pid = holder()
    if not pid:
        print("the lab is not up")
        ns.remove_leftovers()  # of one that was killed
        return 0
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 30, "the end of the lab")
    os.unlink(HOLDER)
    return 0


def ask_to_migrate():
    pid = holder()
    if not pid:
        print("the lab is not up: make lab brings it up", file=sys.stderr)
        return 1
    before = os.path.getsize(LOG)
    os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: os.path.getsize(LOG) > before or not holder(), 180, f"a migration: see {LOG}")
    with open(LOG) as f:
        f.seek(before)
        print(f.read(), end="")
    return 0


if __name__ == "__main__":
    actions = {"up": up, "down": down, "migrate": ask_to_migrate}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        sys.exit(__doc__)
    sys.exit(actions[sys.argv[1]]())

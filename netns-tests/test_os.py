"""common/os against the kernel: what net.c and nd.c do, seen through iproute2, and what the kernel
and radvd do, seen through them.  tools/nettest is their driver: commands in, JSON lines out."""

import json
import os
import select
import signal
import subprocess
import time

import pytest

from lib.daemon import BUILD
from lib.topo import Link, Node, Radvd, Topology
from lib.wait import Timeout, patient, wait_for

OPTIMISTIC, NODAD, NOPREFIXROUTE = 0x04, 0x02, 0x200  # linux/if_addr.h

# The host forwards, as a mobile router does, and so leaves advertisements to the daemon.
#   host:eth0 --- router:eth0 (radvd)
PAIR = Topology(
    nodes=[Node("host", forward=True), Node("router", forward=True)],
    links=[Link("host:eth0", "router:eth0", [], ["2001:db8:1::1/64"], real_dad=True)],
    radvds=[Radvd("router:eth0", "2001:db8:1::/64")],
)


class Driver:
    def __init__(self, node):
        self.node = node
        tool = os.path.join(BUILD, "tools", "nettest")
        self.proc = node.popen([tool], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen, self.rest = [], b""
        self.wait(event="ready")

    def read(self, timeout):
        if select.select([self.proc.stdout], [], [], timeout)[0]:
            data = os.read(self.proc.stdout.fileno(), 65536)
            assert data, "nettest ended"
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.seen += [json.loads(line) for line in lines]

    def wait(self, timeout=5, **fields):
        """Takes the first line with these fields, and forgets those before it."""
        deadline = time.monotonic() + patient(timeout)
        while True:
            for i, line in enumerate(self.seen):
                if all(line.get(k) == v for k, v in fields.items()):
                    del self.seen[: i + 1]
                    return line
            if time.monotonic() > deadline:
                raise Timeout(f"no {fields} within {timeout} s: {self.seen}")
            self.read(0.05)

    def do(self, command, timeout=20):
        """Runs a command; its result, with the events before it in self.before."""
        self.proc.stdin.write(command.encode() + b"\n")
        self.proc.stdin.flush()
        deadline = time.monotonic() + patient(timeout)
        while True:
            for i, line in enumerate(self.seen):
                if "result" in line:
                    self.before = self.seen[:i]
                    del self.seen[: i + 1]
                    return line["result"]
            assert time.monotonic() < deadline, f"{command}: no result"
            self.read(0.05)

    def ok(self, command, timeout=20):
        assert self.do(command, timeout) == 0, command

    def close(self):
        self.proc.kill()
        self.proc.wait()


@pytest.fixture
def net(make_net):
    return make_net(PAIR)


@pytest.fixture
def driver(net):
    d = Driver(net["host"])
    yield d
    d.close()


def ip(node, command):
    return json.loads(node.out(f"ip -6 -j -N -d {command}") or "[]")


def routes(node, table="all"):
    return [r for r in ip(node, f"route show table {table}") if r["protocol"] == "139"]


def test_links_and_addresses_are_dumped(net, driver):
    host = net["host"]
    driver.ok("dump")
    link = next(e for e in driver.before if e["event"] == "link" and e["name"] == "eth0")
    (truth,) = json.loads(host.out("ip -j link show eth0"))
    assert link["ifindex"] == truth["ifindex"]
    assert link["mac"] == truth["address"]
    assert link["mtu"] == 1500
    assert link["running"] and not link["gone"] and not link["notify_peers"]
    addrs = [e["addr"] for e in driver.before if e["event"] == "addr"]
    assert "::1" in addrs and any(a.startswith("fe80::") for a in addrs)


def test_link_events(net, driver):
    host, router = net["host"], net["router"]
    router.run("ip link set eth0 down")
    driver.wait(event="link", name="eth0", running=False, gone=False)
    router.run("ip link set eth0 up")
    driver.wait(event="link", name="eth0", running=True)
    host.run("ip link set eth0 mtu 1400")
    driver.wait(event="link", name="eth0", mtu=1400)
    host.run("ip link add br0 type bridge")
    driver.wait(event="link", name="br0")
    host.run("ip link set eth0 master br0")
    host.run("ip link set eth0 nomaster")
    host.run("ip link del br0")
    driver.read(0)
    driver.wait(event="link", name="br0", gone=True)
    assert driver.do("dump") == 0
    gone = [e for e in driver.before if e.get("gone") and e.get("name") == "eth0"]
    assert not gone, "leaving a bridge is not the end of an interface"
    host.run("ip link del eth0")
    driver.wait(event="link", name="eth0", gone=True, running=False)


def test_notify_peers_is_seen(net, driver):
    """A bond that changes its active port calls NETDEV_NOTIFY_PEERS, as virtio-net does in a guest
    that was migrated."""
    host = net["host"]
    if host.run("ip link add bond0 type bond mode active-backup miimon 10", check=False).returncode:
        pytest.skip("no bonding device in this kernel")
    for port in "p0", "p1":
        host.run(f"ip link add {port} type veth peer name {port}x")
        host.run(f"ip link set {port}x up")
        host.run(f"ip link set {port} master bond0")
    host.run("ip link set bond0 up")
    driver.wait(event="link", name="bond0", running=True, timeout=10)
    (bond,) = json.loads(host.out("ip -j -d link show bond0"))
    active = bond["linkinfo"]["info_data"]["active_slave"]
    other = "p1" if active == "p0" else "p0"
    wait_for(
        lambda: host.run(f"ip link set bond0 type bond active_slave {other}", check=False).returncode
        == 0,
        10,
        f"{other} takes over",
    )
    driver.wait(event="link", name="bond0", notify_peers=True, timeout=10)


def test_address_flags_and_dad(net, driver):
    host, router = net["host"], net["router"]
    driver.ok("sysctl eth0 optimistic_dad 1")
    driver.ok("sysctl eth0 use_optimistic 1")
    assert host.out("cat /proc/sys/net/ipv6/conf/eth0/use_optimistic").strip() == "1"
    flags = OPTIMISTIC | NOPREFIXROUTE
    driver.ok(f"addr put eth0 2001:db8:1::77 64 {flags}")
    first = driver.wait(event="addr", addr="2001:db8:1::77")
    assert not first["tentative"], "an optimistic address is usable at once"
    (found,) = [
        a
        for i in ip(host, "addr show dev eth0")
        for a in i["addr_info"]
        if a["local"] == "2001:db8:1::77"
    ]
    assert found["prefixlen"] == 64 and found["noprefixroute"]
    assert not [r for r in ip(host, "route show dev eth0") if r["dst"] == "2001:db8:1::/64"]
    driver.ok(f"addr put eth0 2001:db8:1::77 64 {flags}")  # again
    driver.ok("addr drop eth0 2001:db8:1::77 64 0")
    driver.wait(event="addr", addr="2001:db8:1::77", gone=True)
    driver.ok("addr drop eth0 2001:db8:1::77 64 0")  # not there: fine

    driver.ok("addr put eth0 2001:db8:1::78 64 0")
    driver.wait(event="addr", addr="2001:db8:1::78", tentative=True)
    driver.wait(event="addr", addr="2001:db8:1::78", tentative=False)
    driver.ok(f"addr put eth0 2001:db8:1::79 64 {NODAD}")
    assert driver.wait(event="addr", addr="2001:db8:1::79")["tentative"] is False

    # the router has it already
    driver.ok("addr put eth0 2001:db8:1::1 64 0")
    driver.wait(event="addr", addr="2001:db8:1::1", dad_failed=True)
    router.run("true")


def test_routes(net, driver):
    host = net["host"]
    eth0 = "2001:db8:1::2"
    driver.ok(f"addr put eth0 {eth0} 64 {NODAD}")
    driver.ok(f"route put 2001:db8:a::/48 254 unicast 2001:db8:1::1 eth0 100 {eth0} 1400")
    (r,) = routes(host)
    assert r["dst"] == "2001:db8:a::/48" and r["gateway"] == "2001:db8:1::1"
    assert r["dev"] == "eth0" and r["metric"] == 100 and r["prefsrc"] == eth0
    assert r["metrics"] == [{"mtu": 1400}]
    assert r["table"] in ("254", "main")

    # a put of the same destination replaces, whatever the kind of route
    driver.ok("route put 2001:db8:a::/48 254 unicast fe80::1 eth0 100 - 0")
    (r,) = routes(host)
    assert r["gateway"] == "fe80::1" and "prefsrc" not in r and not any(r.get("metrics", []))
    driver.ok("route put 2001:db8:a::/48 254 unicast - eth0 100 - 0")
    (r,) = routes(host)
    assert "gateway" not in r
    driver.ok("route put 2001:db8:a::/48 254 unreachable - - 100 - 0")
    (r,) = routes(host)
    assert r["type"] in ("unreachable", "7")
    driver.ok("route put 2001:db8:a::/48 254 unreachable - - 100 - 0")
    assert len(routes(host)) == 1

    # high table, default metric, ::/0
    driver.ok("route put ::/0 100000 unicast - eth0 0 - 0")
    driver.ok("route put 2001:db8:b::/64 100000 blackhole - - 0 - 0")
    high = {r["dst"]: r for r in routes(host, 100000)}
    assert set(high) == {"default", "2001:db8:b::/64"}
    assert high["2001:db8:b::/64"]["type"] in ("blackhole", "6")
    assert high["default"]["metric"] == 1024

    # a drop takes its own route only
    host.run("ip -6 route add 2001:db8:b::/64 dev eth0 table 100000 metric 5 proto static")
    driver.ok("route drop 2001:db8:b::/64 100000 blackhole - - 0 - 0")
    driver.ok("route drop 2001:db8:b::/64 100000 blackhole - - 0 - 0")
    driver.ok("route drop 2001:db8:c::/64 54321 unicast - eth0 0 - 0")
    left = [r for r in ip(host, "route show table 100000") if r["dst"] == "2001:db8:b::/64"]
    assert [r["metric"] for r in left] == [5]

    # what the kernel refuses is told
    assert driver.do("route put 2001:db8:d::/64 254 unicast 2001:db8:ffff::1 - 0 - 0") < 0


def test_route_puts_are_fast(net, driver):
    host = net["host"]
    driver.ok(f"addr put eth0 2001:db8:1::2 64 {NODAD}")
    begin = time.monotonic()
    driver.ok("flood 5000 1000 eth0", timeout=60)
    rate = 5000 / (time.monotonic() - begin)
    assert len(routes(host, 1000)) == 5000
    assert rate > 2000, f"{rate:.0f} routes a second"


def test_rules(net, driver):
    host = net["host"]

    def ours():
        return [r for r in ip(host, "rule show") if r.get("protocol") == "139"]

    lookup = "100 2001:db8:a::/48 - eth0 100000"
    drop = "101 - 2001:db8:b::/48 - blackhole"
    for _ in range(2):  # a second put changes nothing
        driver.ok(f"rule put {lookup}")
        driver.ok(f"rule put {drop}")
    one, two = ours()
    assert one["priority"] == 100 and one["src"] == "2001:db8:a::" and one["srclen"] == 48
    assert one["iif"] == "eth0" and one["table"] == "100000"
    assert two["priority"] == 101 and two["dst"] == "2001:db8:b::" and two["dstlen"] == 48
    assert two["action"] in ("6", "blackhole")  # FR_ACT_BLACKHOLE
    for _ in range(2):
        driver.ok(f"rule drop {drop}")
    assert len(ours()) == 1
    driver.ok(f"rule drop {lookup}")
    assert not ours()


def test_neighbours(net, driver):
    host, router = net["host"], net["router"]
    driver.ok("neigh eth0 2001:db8:1::1 02:00:00:00:00:99")
    (n,) = [n for n in ip(host, "neigh show dev eth0") if n["dst"] == "2001:db8:1::1"]
    assert n["lladdr"] == "02:00:00:00:00:99" and n["state"] == ["STALE"]
    assert "router" in n and n["protocol"] in ("139", 139)
    mac = json.loads(router.out("ip -j link show eth0"))[0]["address"]
    driver.ok(f"neigh eth0 2001:db8:1::1 {mac}")
    (n,) = [n for n in ip(host, "neigh show dev eth0") if n["dst"] == "2001:db8:1::1"]
    assert n["lladdr"] == mac

    # nobody answers for this one
    driver.ok(f"addr put eth0 2001:db8:1::2 64 {NODAD}")
    host.run("sysctl -qw net.ipv6.neigh.eth0.retrans_time_ms=50")
    host.run("ping -6 -c 1 -W 1 2001:db8:1::dead", check=False)
    driver.wait(event="neigh", addr="2001:db8:1::dead", failed=True)


def test_lost_events_lead_to_a_new_dump(net, driver):
    """The reader is stopped while the kernel has more to say than the socket holds."""
    host = net["host"]
    os.kill(driver.proc.pid, signal.SIGSTOP)
    # the socket holds 16 MiB at most (8 asked for, the kernel doubles it), a link event takes 2 kB
    # or more of that
    host.batch(f"link set lo mtu {65000 + i % 2}" for i in range(9000))
    host.run("ip link add late0 type veth peer name late1")
    os.kill(driver.proc.pid, signal.SIGCONT)
    driver.wait(event="link", name="late0", timeout=60)
    driver.wait(event="resync", timeout=60)
    driver.ok("dump")  # still in working order


def test_only_the_kernel_is_heard(net, driver):
    """Messages from another process (root's: no other may send) to each of the driver's sockets."""
    driver.read(0)
    pid = driver.proc.pid
    net["host"].run(
        [
            "/usr/bin/python3",
            "-c",
            "import socket, struct\n"
            "name = struct.pack('=HH8s', 12, 3, b'evil')\n"  # IFLA_IFNAME
            "link = struct.pack('=BxHiII', 0, 1, 77, 1, 1) + name\n"
            "msg = struct.pack('=IHHII', 16 + len(link), 16, 0, 0, 0) + link\n"  # RTM_NEWLINK
            "rows = [line.split() for line in open('/proc/net/netlink')][1:]\n"
            f"ports = [int(r[2]) for r in rows if r[1] == '0' and int(r[2]) & 0x3fffff == {pid}]\n"
            "assert len(ports) == 2, rows\n"
            "s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\n"
            "for port in ports:\n"
            "    s.sendto(msg, (port, 0))\n",
        ]
    )
    assert driver.do("route put 2001:db8:d::/64 254 unicast - nosuch0 0 - 0") == -19  # ENODEV
    driver.ok("dump")
    assert not [e for e in driver.before if e.get("name") == "evil"]


def test_sysctl_errors(driver):
    assert driver.do("sysctl nosuch0 forwarding 1") == -2  # ENOENT
    assert driver.do("sysctl eth0 hop_limit x") == -22  # EINVAL


def test_an_advertisement_answers_a_solicitation(net, driver):
    """radvd's checksums arrive complete over veth, with the frame's source address."""
    host, router = net["host"], net["router"]
    (link,) = json.loads(host.out("ip -j -6 addr show dev eth0"))
    local = wait_for(
        lambda: next(
            (
                a["local"]
                for i in json.loads(host.out("ip -j -6 addr show dev eth0"))
                for a in i["addr_info"]
                if a["scope"] == "link" and not a.get("tentative")
            ),
            None,
        ),
        5,
        "a link-local address",
    )
    mac = json.loads(router.out("ip -j link show eth0"))[0]["address"]
    driver.ok(f"rs eth0 {local}")
    ra = driver.wait(event="nd", type=134)
    assert ra["mac"] == mac.replace(":", "") and ra["src"].startswith("fe80::")
    assert ra["ifindex"] == link["ifindex"]

    # a probe to the MAC of a known router, RFC 6059
    driver.ok(f"ns eth0 {local} {ra['src']} {mac}")
    na = driver.wait(event="nd", type=136, src=ra["src"])
    assert na["mac"] == mac.replace(":", "")
    assert driver.do("dropped") == 0
    # a unicast destination needs a MAC
    assert driver.do(f"ns eth0 {local} {ra['src']} -") == -22


@pytest.mark.novm("what is parsed, whatever the kernel")
def test_bad_advertisements_are_counted(net, driver):
    """Router advertisements with a hop limit under 255 (RFC 4861 s6.1.2), by scapy."""
    net["router"].run(
        [
            "/usr/bin/python3",
            "-c",
            "from scapy.all import *\n"
            "p = Ether(dst='33:33:00:00:00:01')/IPv6(src='fe80::99', dst='ff02::1', hlim=%d)"
            "/ICMPv6ND_RA(routerlifetime=0)\n"
            "sendp([p.__class__(bytes(p)), Ether(dst='33:33:00:00:00:01')"
            "/IPv6(src='fe80::98', dst='ff02::1', hlim=255)/ICMPv6ND_RA(routerlifetime=0)],"
            " iface='eth0', verbose=0)" % 254,
        ]
    )
    seen = driver.wait(event="nd", src="fe80::98")
    assert seen["type"] == 134
    assert driver.do("dropped") == 1


# --- the harness: what a bond tells (here, for it needs the stock kernel) ---


@pytest.mark.bonding
def test_a_failover_tells_notify_peers_and_keeps_the_carrier(make_net):
    bonded = Topology(
        nodes=[Node("guest", bonds={"eth0": ["one", "two"]}), Node("r1"), Node("r2")],
        links=[Link("guest:one", "r1:eth0"), Link("guest:two", "r2:eth0")],
    )
    net = make_net(bonded)
    down = "cat /sys/class/net/eth0/carrier_down_count"
    before = net["guest"].out(down)
    log = os.path.join(net.dir, "monitor")
    with open(log, "w") as f:
        net.started(net["guest"].popen("ip monitor link", stdout=f))

    def seen(what):
        return lambda: what in open(log).read()

    sizes = iter(range(2000, 10000))

    def monitor_listens():  # once it reports a change made after its start
        net["guest"].batch([f"link set lo mtu {next(sizes)}"])
        return seen("1: lo")()

    wait_for(monitor_listens, 20, "ip monitor")
    net.fail_over("guest", "eth0", "two")
    wait_for(seen("event NOTIFY PEERS"), 10, "NOTIFY_PEERS")
    assert net["guest"].out(down) == before

"""Daemons that are killed, stopped or replaced under traffic, and what they know afterwards.

    client  2001:db8:c::2
      |
    eth1  2001:db8:c::1
    ha    home agent 2001:db8:a::1, home network 2001:db8:d::/64
    eth0  2001:db8:a::1      the visited link, too: radvd
      |
    eth0
    mr    home address 2001:db8:d::1, mobile network 2001:db8:d:1::/64
    eth1  2001:db8:d:1::1
      |
    host  2001:db8:d:1::2
"""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import zlib

import pytest

from lib import home
from lib.capture import LeakCheck
from lib.daemon import BUILD, ControlError, Daemon, libconfig_file
from lib.mipv6 import Wire, bu, echo, in_tunnel, mac_of
from lib.topo import Link, Node, Radvd, Topology
from lib.traffic import Server, UdpProbe, now_ns
from lib.wait import IN_VM, Timeout, wait_for

HA, HOA, NET, HOST = "2001:db8:a::1", "2001:db8:d::1", "2001:db8:d:1::/64", "2001:db8:d:1::2"
TMPFS = "/dev/shm"
TOPOLOGY = Topology(
    nodes=[
        Node("client", routes=["default via 2001:db8:c::1"]),
        Node("ha", forward=True),
        Node("mr", forward=True),
        Node("host", routes=["default via 2001:db8:d:1::1"]),
    ],
    links=[
        Link("client:eth0", "ha:eth1", ["2001:db8:c::2/64"], ["2001:db8:c::1/64"]),
        Link("mr:eth0", "ha:eth0", [], [f"{HA}/64"], real_dad=True),
        Link("host:eth0", "mr:eth1", [f"{HOST}/64"], ["2001:db8:d:1::1/64"]),
    ],
    radvds=[Radvd("ha:eth0", "2001:db8:a::/64")],
)


def counters(daemon):
    return {c["name"]: c["value"] for c in daemon.ask("stats")["counters"]}


class Pair:
    """A router bound to its home agent by ESP with keys by TLS, and traffic through the tunnel."""

    def __init__(self, net, tmp_path, engine):
        self.net, self.engine = net, engine
        keys = tmp_path / "keys"
        keys.write_text(f"psk blue {bytes(range(32)).hex()}\n")
        keys.chmod(0o600)
        common = {"protection": "esp", "engine": engine}
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"], **common,
            "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                         "keys": str(keys)}]})
        self.mr = Daemon(net, "mr", "nemo-mr", {
            "name": "MR-1", "home_address": HOA, "home_agents": [HA], "keys": str(keys), **common,
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
            "heartbeat_misses": 100})  # else a start that takes long here would be a silence, and it register anew
        for d in self.ha, self.mr:
            if os.path.isdir(TMPFS):
                d.keep_sessions(TMPFS)
        self.ha.start()
        self.mr.start().wait_bound()
        self.probe = UdpProbe(net, "client", HOST, Server(net, "host"))
        self.probe.wait_flowing()

    def binding(self):
        return self.ha.ask("bindings")[0]

    def lost(self, since):
        """Datagrams and echoes that were sent since then and never came.  Under emulation a processor may
        stand still for seconds, and then queues overflow: there, they flow again."""
        self.probe.wait_flowing()
        self.probe.stop()
        lost = [self.probe.flow(way).lost(since) for way in ("down", "up")]
        return [0, 0] if IN_VM else lost


@pytest.fixture
def pair(make_net, tmp_path, engine):
    p = Pair(make_net(TOPOLOGY), tmp_path, engine)
    yield p
    for d in p.ha, p.mr:
        d.stop()
        d.forget()


def test_a_killed_home_agent_goes_on_with_all_it_knew(pair):
    """RFC 6275 s10.3.1, s15.3, RFC 5847 s3.2: no datagram, no binding, no key is lost, nobody is
    told of a restart; the next update's number is right, and an old one's is not."""
    before, routes, since = pair.binding(), pair.net["ha"].out("ip -6 route"), now_ns()
    pair.ha.stop(signal.SIGKILL)
    pair.probe.wait_flowing()  # while nobody is there
    pair.ha.start()
    after = pair.binding()
    for changing in "remaining_s", "registered_s", "rx_packets", "rx_bytes", "tx_packets", "tx_bytes":
        assert after[changing] >= 0
        before.pop(changing), after.pop(changing)
    assert after == before
    assert pair.net["ha"].out("ip -6 route") == routes
    heartbeats = counters(pair.mr)["hb_tx"]
    wait_for(lambda: counters(pair.mr)["hb_tx"] > heartbeats + 1, 10, "two heartbeats more")
    assert pair.lost(since) == [0, 0]
    assert "peer.restarted" not in pair.mr.log()
    pair.mr.restart(signal.SIGKILL).wait_bound()
    wait_for(lambda: pair.binding()["sequence"] != before["sequence"], 20, "another update")
    if os.path.isdir(TMPFS) and not IN_VM:
        assert counters(pair.ha)["key_ok"] == 0, "the keys of before are good"
        assert counters(pair.ha)["esp_ok"] >= 1 and counters(pair.ha)["esp_spi"] == 0


@pytest.mark.parametrize("how", ["handover", "upgrade -k"])
def test_a_home_agent_that_hands_over_keeps_the_tunnels(pair, how, tmp_path):
    """SIGUSR1 is what the unit sends for a restart; -k makes SIGTERM the same."""
    if how != "handover":
        script = tmp_path / "keeping"
        script.write_text(f'#!/bin/sh\nexec {os.path.join(BUILD, "nemo-ha")} -k "$@"\n')
        script.chmod(0o755)
        pair.ha.program = str(script)
        pair.ha.restart(signal.SIGKILL)
    since = now_ns()
    assert pair.ha.stop(signal.SIGUSR1 if how == "handover" else signal.SIGTERM) == 0
    pair.probe.wait_flowing()
    pair.ha.start()
    assert pair.lost(since) == [0, 0]


def test_a_stopped_home_agent_is_gone_but_remembers(pair):
    """SIGTERM: nothing stays in the kernel; what was bound is again with the next start."""
    assert pair.ha.stop() == 0
    assert "nemo0" not in pair.net["ha"].out("ip link")
    assert NET not in pair.net["ha"].out("ip -6 route")
    pair.ha.start()
    pair.probe.wait_flowing()
    assert pair.binding()["state"] == "bound"
    assert "ha.restored" in pair.ha.log() and "ha.forgot" not in pair.ha.log()


def test_flush_takes_away_what_a_killed_one_left(pair):
    pair.ha.stop(signal.SIGKILL)
    run = pair.net["ha"].run([os.path.join(BUILD, "nemo-ha"), "-c", pair.ha.conf_path, "--flush"])
    assert run.returncode == 0
    assert "nemo0" not in pair.net["ha"].out("ip link")
    pair.ha.start()
    # The router is told that its binding is gone, and has it back.
    wait_for(lambda: pair.ha.ask("bindings"), 10, "bound again")
    assert "ha.restored" not in pair.ha.log()


def as_another_version(path):
    """Each binding in the state file as one of a format that this version does not know."""
    with open(path, "r+b") as f:
        data = bytearray(f.read())
        for at in range(512, len(data), 64):
            slot, size = struct.unpack_from("<HH", data, at + 4)
            if data[at + 40] == ord("b") and slot == 256:
                data[at + 41] = 99
                struct.pack_into("<I", data, at, zlib.crc32(data[at + 4:at + 48 + size]))
        f.seek(0)
        f.write(data)


@pytest.mark.novm("a file or keys decide, whatever the kernel")
@pytest.mark.parametrize("how", ["torn", "something else", "another version's"])
def test_a_damaged_state_file_is_told_and_routers_register_anew(pair, how):
    """A power failure: what is readable is used, and the routers are told that it may be old."""
    pair.ha.stop(signal.SIGKILL)
    if how == "another version's":
        as_another_version(pair.ha.state_path)
    else:
        with open(pair.ha.state_path, "r+b") as f:
            f.seek(512 + 100 if how == "torn" else 0)
            f.write(b"power failure")
    pair.ha.start()
    log = pair.ha.log()
    why = {"torn": "torn", "something else": "set aside as *.bad", "another version's": "1 no longer acceptable"}
    assert "ha.forgot" in log and why[how] in log
    assert os.path.exists(pair.ha.state_path + ".bad") == (how == "something else")
    pair.mr.wait_event("peer.restarted", timeout=10)
    wait_for(lambda: pair.ha.ask("bindings"), 10, "bound again")
    pair.probe.wait_flowing()


def test_a_killed_router_goes_on_with_all_it_knew(pair):
    """RFC 3963 s5: traffic flows on, nothing leaks meanwhile; the next run finds tunnel, care-of address
    and keys, and its home agent sees no other than an update of a bound router."""
    before, since = pair.binding(), now_ns()
    leaks = LeakCheck(pair.net, [("ha", "eth0")], ["2001:db8:d::/48"])
    pair.ha.events.forget()
    pair.mr.stop(signal.SIGKILL)
    pair.probe.wait_flowing()
    pair.mr.start().wait_bound()
    pair.ha.wait_event("binding.refreshed")
    after = pair.binding()
    assert after["care_of"] == before["care_of"] and after["moves"] == before["moves"]
    assert after["registered_s"] >= before["registered_s"]
    assert pair.lost(since) == [0, 0]
    if os.path.isdir(TMPFS):
        assert counters(pair.ha)["key_ok"] == 1
    assert "binding.rejected" not in pair.ha.log() and "peer.restarted" not in pair.ha.log()
    leaks.check()


class Changes:
    """What happens to the kernel's state of a host's network, but for what the kernel does by itself:
    neighbours, prefixes told by advertisements."""

    def __init__(self, pair, node):
        self.net, self.node = pair.net, node
        self.pipes = {name: self.listen(name, command) for name, command in (
            ("ip", "ip -o monitor link address route rule netconf"), ("tc", "tc monitor"),
            ("nft", "nft monitor"))}

    def listen(self, name, command):
        path = os.path.join(self.net.dir, f"changes-{self.node}-{name}")
        proc = self.net[self.node].popen(command, stdout=open(path, "w"), stderr=subprocess.DEVNULL)
        self.net.started(proc)
        return path

    def wait_listening(self):
        """All of them tell of a device and a table that come and go."""
        run = self.net[self.node].run

        def heard():
            run("ip link add nemo-heard type bridge")
            run("tc qdisc add dev nemo-heard clsact")
            run("nft add table ip6 nemo-heard")
            run("nft delete table ip6 nemo-heard")
            run("ip link del nemo-heard")
            return all("nemo-heard" in open(p).read() for p in self.pipes.values())

        wait_for(heard, 5, "the monitors")
        self.start = {p: os.path.getsize(p) for p in self.pipes.values()}

    def read(self, name):
        with open(self.pipes[name]) as f:
            f.seek(self.start[self.pipes[name]])
            return f.read()

    def told(self):
        lines = (self.read("ip") + self.read("tc")).splitlines()
        return [line.strip() for line in lines if line.strip() and "nemo-heard" not in line]

    def rules(self):
        """nftables' transactions that change what decides about packets of tunnels; one statement, which
        no packet comes to, has one of its own."""
        found = re.split(r"# new generation.*", self.read("nft"))
        return [t for t in found if "ip6 nemo_tunnel" in t and "chain ip6 nemo_tunnel whole" not in t]


def state(pair, who):
    """Addresses, routes and rules of a host, without those of the device to user space."""
    run = pair.net[who].out
    said = run("ip -6 -o address") + run("ip -6 route show table all") + run("ip -6 rule")
    said = re.sub(r" expires \d+sec|valid_lft.*", "", said)
    return sorted(line.strip() for line in said.splitlines() if "nemo0-slow" not in line)


# What a restart may do to what is there: the device to user space is the process's own; a program, and a
# route that tells the same, are replaced in one step, and addresses are told again.  Engine ip6tnl
# can't read back where its routes lead to.  tc knows no name of a device that has just come.
HARMLESS = re.compile(
    r"nemo0-slow|^(qdisc clsact ffff:|added chain) dev if\d+ |^\s*link/|^replaced filter|"
    r"^\S+ +encap ip6 .* dev nemo0 .*proto 139|^unreachable .* proto 139|"
    r"^\d+: nemo0 +inet6 2001:db8:d::1/128 |^\d+: eth0 +inet6 2001:db8:a:.*/128 ")


@pytest.mark.parametrize("who", ["ha", "mr"])
def test_a_restart_leaves_the_kernels_state_alone(pair, who):
    """What is not touched can't have a gap.  (RFC 3963 s9: the rules against forged sources hold
    meanwhile, too.)"""
    daemon = getattr(pair, who)
    wait_for(lambda: "tentative" not in pair.net[who].out("ip -6 address"), 10, "its addresses are verified")
    before = state(pair, who)
    changes = Changes(pair, who)
    changes.wait_listening()
    pair.ha.events.forget()
    daemon.restart(signal.SIGKILL)
    if who == "mr":
        pair.ha.wait_event("binding.refreshed")  # its last step
    wait_for(lambda: state(pair, who) == before, 5, lambda: f"{before}\n{state(pair, who)}")
    assert [line for line in changes.told() if not HARMLESS.search(line)] == []
    for t in changes.rules():
        assert "delete rule" in t and "add rule" in t, "no moment without them"
    assert len(changes.rules()) == (pair.engine == "ip6tnl")


# --- reload ---


def with_routers(pair, text):
    """The home agent's configuration file, its routers replaced."""
    conf = pair.ha.conf
    at = conf.index("routers =")
    with open(pair.ha.conf_path, "w") as f:
        f.write(conf[:at] + f"routers = ( {text} );" + conf[conf.index("} );", at) + 4:])


@pytest.mark.parametrize("how", ["SIGHUP", "nemoctl"])
def test_a_reload_changes_what_has_changed_and_nothing_else(pair, how):
    """Routers come, go and change under traffic; the bound one notices nothing."""
    def again(text):
        with_routers(pair, text)
        if how == "nemoctl":
            pair.ha.ask("reload")
        else:
            n = pair.ha.log().count("reload: ha: serving")
            pair.ha.proc.send_signal(signal.SIGHUP)
            wait_for(lambda: pair.ha.log().count("reload: ha: serving") > n, 5, "reloaded")

    own = pair.ha.conf[pair.ha.conf.index("routers ="):]
    own = own[own.index("{"):own.index("}") + 1]
    before, since, routes = pair.binding(), now_ns(), pair.net["ha"].out("ip -6 route")
    again(own + ', { name = "new"; home_address = "2001:db8:d::9"; tenant = "blue"; protection = "none"; }')
    assert [r["name"] for r in pair.ha.ask("routers")] == ["MR-1", "new"]
    assert counters(pair.ha)["in_clear"] == 1
    again('{ name = "new"; home_address = "2001:db8:d::9"; tenant = "blue"; protection = "none"; }, ' + own)
    again(own)
    assert [r["name"] for r in pair.ha.ask("routers")] == ["MR-1"]
    assert counters(pair.ha)["in_clear"] == 0
    assert pair.binding()["sequence"] == before["sequence"]
    assert pair.net["ha"].out("ip -6 route") == routes
    assert pair.lost(since) == [0, 0]
    pair.ha.events.forget()
    keys, heard = counters(pair.ha)["key_ok"], counters(pair.ha)["esp_ok"]
    again(own.replace("MR-1", "renamed"))  # and with other prefixes it would be the same
    assert pair.binding()["name"] == "renamed"
    wait_for(lambda: counters(pair.ha)["esp_ok"] > heard, 20, "it is heard")
    assert counters(pair.ha)["key_ok"] == keys, "under the keys that it had"
    again('{ name = "other"; home_address = "2001:db8:d::9"; tenant = "blue"; protection = "none"; }')
    pair.ha.wait_event("binding.revoked", home_address=HOA)
    assert pair.ha.ask("bindings") == [] and NET not in pair.net["ha"].out("ip -6 route")


@pytest.mark.novm("a file or keys decide, whatever the kernel")
@pytest.mark.parametrize("how", ["reload", "restart"])
def test_another_secret_ends_the_keys_of_the_old_one(pair, tmp_path, how):
    """What a router has negotiated with a secret is worth no more than that."""
    other = tmp_path / "other"
    other.write_text(f"psk blue {bytes(range(1, 33)).hex()}\n")
    other.chmod(0o600)
    old = pair.ha.conf
    pair.ha.conf = old.replace(str(tmp_path / "keys"), str(other))
    if how == "restart":
        pair.ha.stop(signal.SIGKILL)
        pair.ha.start()
        before = 0
    else:
        with open(pair.ha.conf_path, "w") as f:
            f.write(pair.ha.conf)
        pair.ha.ask("reload")
        before = counters(pair.ha)["esp_ok"]
    wait_for(lambda: counters(pair.ha)["esp_spi"] and counters(pair.ha)["key_failed"], 20,
             "its messages are refused, and new keys, too")
    assert counters(pair.ha)["esp_ok"] == before
    with open(pair.ha.conf_path, "w") as f:
        f.write(old)
    pair.ha.ask("reload")
    wait_for(lambda: counters(pair.ha)["esp_ok"] > before, 40, "it is heard again")


@pytest.mark.novm("a file or keys decide, whatever the kernel")
def test_a_reload_that_is_wrong_changes_nothing_and_says_why(pair):
    before, conf = pair.binding(), pair.ha.conf
    for text, why in ((conf.replace('"red"', "7"), "tenant"), (conf + "nonsense", "syntax error"),
                      (conf.replace("interfaces", "interface"), "did you mean interfaces"),
                      (conf + 'mtu = 1400;\n', "mtu: restart needed"),
                      (conf + 'aggregates = ( "2001:db8:d::/48" );\n', "aggregates: restart needed")):
        with open(pair.ha.conf_path, "w") as f:
            f.write(text)
        with pytest.raises(ControlError, match=why):
            pair.ha.ask("reload")
        assert pair.binding()["sequence"] == before["sequence"]
        assert [r["name"] for r in pair.ha.ask("routers")] == ["MR-1"]
    with open(pair.ha.conf_path, "w") as f:
        f.write(conf)
    pair.ha.ask("reload")
    pair.probe.wait_flowing()


# --- many ---

WIRE = Topology(
    nodes=[Node("wire"), Node("ha", forward=True), Node("client", routes=["default via 2001:db8:c::1"])],
    links=[
        Link("wire:eth0", "ha:eth0", [], [f"{HA}/64"]),
        Link("client:eth0", "ha:eth1", ["2001:db8:c::2/64"], ["2001:db8:c::1/64"]),
    ],
)
COA, MANY, BATCH = "2001:db8:a::77", 10000, 250


def hoa(n):
    return f"2001:db8:d::{n:x}"  # as `ip` writes it


def updates(numbers, seq):
    """Binding Updates of these routers, one packet with another home address and its sum."""
    packet = bytearray(bytes(bu(COA, HA, hoa(0), seq, alt=COA)))
    at = packet.index(socket.inet_pton(socket.AF_INET6, hoa(0))) + 14
    sum_at = 40 + (packet[41] + 1) * 8 + 4
    base = ~struct.unpack_from("!H", packet, sum_at)[0] & 0xffff
    for n in numbers:
        s = base + n
        s = (s & 0xffff) + (s >> 16)
        struct.pack_into("!H", packet, at, n)
        struct.pack_into("!H", packet, sum_at, ~s & 0xffff)
        yield bytes(packet)


def register(ha, wire, numbers):
    """As routers do: those without an answer try again."""
    for seq in range(1, 10):
        for packet in updates(numbers, seq):
            wire.send(packet)
        with contextlib.suppress(Timeout):
            wait_for(lambda: ha.status()["bindings"] == numbers[-1], 2, f"{numbers[-1]} bindings")
            return
    raise Timeout(f"not {numbers[-1]} bindings")


@pytest.mark.novm("ten thousand bindings take long under emulation")
def test_ten_thousand_bindings_outlive_a_kill(make_net):
    """All of them are there at once; of the kernel's state what is missing is made, what nobody wants
    goes, and the rest is not touched."""
    net = make_net(WIRE)
    net["ha"].batch([f"neigh add {COA} lladdr {mac_of(net, 'wire', 'eth0')} dev eth0 nud permanent"])
    wire = Wire(net, "wire", "eth0", mac_of(net, "ha", "eth0"))
    client = Wire(net, "client", "eth0", mac_of(net, "ha", "eth1"))
    conf = {"address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"], "engine": "ebpf",
            "routers": [{"name": f"MR-{n}", "home_address": hoa(n), "tenant": "red",
                         "prefixes": [f"2001:dba:0:{n:x}::/64"]}
                        for n in range(1, MANY + 1)]}
    ha = Daemon(net, "ha", "nemo-ha", conf).start()
    for first in range(1, MANY + 1, BATCH):
        register(ha, wire, range(first, first + BATCH))
    before = net["ha"].out("ip -6 route show proto 139").splitlines()
    assert len(before) >= 2 * MANY
    ha.stop(signal.SIGKILL)
    net["ha"].batch([f"route del {hoa(5)} dev nemo0", "route add 2001:db8:d:ffff::/64 dev nemo0 proto 139"])
    changes = net["ha"].popen(["ip", "monitor", "route"], stdout=open(net.dir + "/routes", "w"))
    net.started(changes)
    ha.conf = ha.conf.replace(f'name = "MR-{MANY}"', 'name = "other"').replace(
        f'"{hoa(MANY)}"', f'"{hoa(MANY + 1)}"')
    ha.start()
    bindings = ha.ask("bindings", timeout=20)
    assert len(bindings) == MANY - 1 and all(b["state"] == "bound" for b in bindings)
    after = net["ha"].out("ip -6 route show proto 139").splitlines()
    gone = {hoa(MANY), f"2001:dba:0:{MANY:x}::/64"}
    assert sorted(after) == sorted(r for r in before if r.split()[0] not in gone)
    touched = open(net.dir + "/routes").read().splitlines()
    assert len([line for line in touched if "nemo0" in line]) <= 6, touched[:10]
    for n in 1, 5, MANY - 1:
        mark = wire.mark()
        client.send(echo("2001:db8:c::2", hoa(n)))
        assert wire.wait("in the tunnel", mark, proto=41).ip.payload.dst == hoa(n)
        mark = client.mark()
        wire.send(in_tunnel(COA, HA, echo(hoa(n), "2001:db8:c::2")))
        client.wait("out of the tunnel", mark, src=hoa(n))


def test_a_prefix_that_has_another_owner_after_a_kill(make_net):
    """The tunnels of the killed run are there with the prefixes of then; what the configuration gives another
    router now does not stand in its way."""
    lab = home.Home(make_net(home.TOPOLOGY), routers=[home.line(2), home.line(1)])
    lab.register(2, mnps=[])  # implicit: what the table says
    lab.register(1)
    lab.ha.stop(signal.SIGKILL)
    lab.ha.conf = libconfig_file({
        **home.CONF, "protection": "none", "control": lab.ha.control, "state_file": lab.ha.state_path,
        "routers": [home.line(2, prefixes=[home.net_of(1), home.net_of(2)]), home.line(1, prefixes=[])]})
    lab.ha.start()
    assert list(lab.bindings()) == ["MR-2"]
    assert lab.routes() == {home.net_of(1), home.net_of(2), home.hoa(2)}

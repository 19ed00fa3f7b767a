"""A mobile router's configuration changes under traffic: SIGHUP, `nemoctl mr reload`.

    client  2001:db8:c::2
      |
    eth1  2001:db8:c::1
    ha    home agent 2001:db8:a::1, home network 2001:db8:d::/64
    eth0  2001:db8:a::1, radvd          eth2  2001:db8:b::1, radvd
      |                                   |
    eth0                                eth2
    mr    home address 2001:db8:d::1
    eth1  2001:db8:d:1::1               eth3  2001:db8:d:2::1
      |                                   |
    host  2001:db8:d:1::2               host2 2001:db8:d:2::2
"""

import os
import signal
import socket
import subprocess

import pytest

from lib.daemon import BUILD, ControlError, Daemon, libconfig_file
from lib.sealed import counters, key_file
from lib.topo import Link, Node, Radvd, Topology
from lib.traffic import Server, TcpTransfer, UdpProbe, now_ns
from lib.wait import IN_VM, patient, wait_for

HA, HA2, HOA = "2001:db8:a::1", "2001:db8:b::1", "2001:db8:d::1"
NET1, NET2 = "2001:db8:d:1::/64", "2001:db8:d:2::/64"
HOST, HOST2 = "2001:db8:d:1::2", "2001:db8:d:2::2"
TOPOLOGY = Topology(
    nodes=[
        Node("client", routes=["default via 2001:db8:c::1"]),
        Node("ha", forward=True),
        Node("mr", forward=True),
        Node("host", routes=["default via 2001:db8:d:1::1"]),
        Node("host2", routes=["default via 2001:db8:d:2::1"]),
    ],
    links=[
        Link("client:eth0", "ha:eth1", ["2001:db8:c::2/64"], ["2001:db8:c::1/64"]),
        Link("mr:eth0", "ha:eth0", [], [f"{HA}/64"], real_dad=True),
        Link("mr:eth2", "ha:eth2", [], [f"{HA2}/64"], real_dad=True),
        Link("host:eth0", "mr:eth1", [f"{HOST}/64"], ["2001:db8:d:1::1/64"]),
        Link("host2:eth0", "mr:eth3", [f"{HOST2}/64"], ["2001:db8:d:2::1/64"]),
    ],
    radvds=[Radvd("ha:eth0", "2001:db8:a::/64"), Radvd("ha:eth2", "2001:db8:b::/64")],
)
SECRET, OTHER = bytes(range(32)).hex(), bytes(range(1, 33)).hex()


class Lab:
    """A router bound by ESP with keys by TLS, one uplink and one network; traffic both ways."""

    def __init__(self, net, engine):
        self.net, self.engine = net, engine
        common = {"protection": "esp", "engine": engine}
        self.keys = self.secret("keys", SECRET)
        self.ha_conf = {
            "address": HA, "interfaces": ["eth0", "eth2"], "home_prefixes": ["2001:db8:d::/64"], **common,
            "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET1, NET2], "tenant": "red",
                         "keys": self.keys}]}
        self.ha = Daemon(net, "ha", "nemo-ha", self.ha_conf).start()
        self.conf = {
            "name": "MR-1", "home_address": HOA, "home_agents": [HA], "keys": self.keys,
            **common, "uplinks": [{"interface": "eth0"}],
            "networks": [{"prefix": NET1, "interface": "eth1"}],
            "heartbeat_misses": 100}  # a slow home agent is not a silent one
        self.mr = Daemon(net, "mr", "nemo-mr", self.conf).start()
        self.mr.wait_bound()
        self.own = self.mr.conf[len(libconfig_file(self.conf)):]  # what the harness adds
        self.server = Server(net, "host")
        self.probe = UdpProbe(net, "client", HOST, self.server)
        self.probe.wait_flowing()

    def secret(self, name, secret):
        return key_file(self.net, name, f"psk blue {secret}")

    def write(self, **changes):
        """The router's file, from now on; None takes a key out of it."""
        self.conf = {k: v for k, v in {**self.conf, **changes}.items() if v is not None}
        with open(self.mr.conf_path, "w") as f:
            f.write(libconfig_file(self.conf) + self.own)

    def reload(self, **changes):
        self.write(**changes)
        return self.mr.ask("reload")

    def binding(self):
        return self.ha.ask("bindings")[0]

    def reaches(self, address, timeout=10):
        wait_for(lambda: self.net["client"].run(["ping", "-6", "-c1", "-W1", address], check=False).returncode == 0,
                 timeout, f"an echo from {address}")

    def lost(self, since):
        """Datagrams and echoes sent since then that never came; under emulation they flow again."""
        self.probe.wait_flowing()
        self.probe.stop()
        lost = [self.probe.flow(way).lost(since) for way in ("down", "up")]
        return lost if not IN_VM else [0, 0]


@pytest.fixture
def lab(make_net, engine):
    lab = Lab(make_net(TOPOLOGY), engine)
    yield lab
    for d in lab.mr, lab.ha:
        d.stop()


def test_networks_secrets_and_uplinks_come_and_go_under_traffic(lab):
    """RFC 3963 s5.2: what is not concerned notices nothing: not a datagram is lost, a connection goes
    on, the binding is the same one."""
    tcp = TcpTransfer(lab.net, "client", HOST, lab.server)
    tcp.wait_flowing()
    before, since = lab.binding(), now_ns()
    assert before["prefixes"] == [NET1]
    assert lab.reload(lifetime=120, heartbeat=2, router_check_ms=5000) == {"uplinks": 1, "networks": 1}
    wait_for(lambda: lab.binding()["lifetime_s"] == 120, 5, "the new lifetime is granted")

    network2 = {"prefix": NET2, "interface": "eth3"}
    lab.reload(networks=[{"prefix": NET1, "interface": "eth1"}, network2])
    wait_for(lambda: lab.binding()["prefixes"] == [NET1, NET2], 5, "both are registered")
    lab.reaches(HOST2)

    # The home agent first: what was negotiated with the old secret ends there at once.
    keys = counters(lab.mr)["key_ok"]
    other = lab.secret("other", OTHER)
    with open(lab.ha.conf_path, "w") as f:
        f.write(lab.ha.conf.replace(lab.keys, other))
    lab.ha.ask("reload")
    lab.reload(keys=other)
    wait_for(lambda: counters(lab.mr)["key_ok"] > keys and lab.mr.status()["state"] == "bound", 10,
             "bound with keys of the new secret")

    coa = lab.binding()["care_of"]
    lab.reload(uplinks=[{"interface": "eth2", "preference": 5}, {"interface": "eth0"}])
    wait_for(lambda: [u["state"] for u in lab.mr.status()["uplinks"]] == ["ready", "ready"], 10,
             "the second uplink is ready")
    assert lab.binding()["care_of"] == coa and lab.mr.status()["uplink"] == "eth0"

    lab.reload(networks=[{"prefix": NET1, "interface": "eth1"}])
    wait_for(lambda: lab.binding()["prefixes"] == [NET1], 5, "the second network is not registered")
    rules = lab.net["mr"].out("ip -6 rule")
    assert NET1 in rules and NET2 not in rules and "eth3" not in rules
    assert f"unreachable {NET2}" not in lab.net["mr"].out("ip -6 route")

    after = lab.binding()
    for same in "care_of", "moves", "name":
        assert after[same] == before[same], same
    assert after["registered_s"] >= before["registered_s"]
    assert lab.lost(since) == [0, 0]
    result = tcp.stop()
    assert not result["broken"] and not result["corrupt"] and result["received"] > 0, result
    assert "mr.closed" not in lab.mr.log() and "binding.rejected" not in lab.ha.log()


def test_the_uplink_in_use_is_taken_away(lab):
    """Over to the other one first; what was its goes: addresses, routes, programs, rules."""
    lab.reload(uplinks=[{"interface": "eth0"}, {"interface": "eth2", "preference": 5}])
    wait_for(lambda: [u["state"] for u in lab.mr.status()["uplinks"]] == ["ready", "ready"], 10, "both")
    lab.reload(uplinks=[{"interface": "eth2", "preference": 5}])
    lab.mr.wait_bound()
    lab.probe.wait_flowing()
    assert lab.binding()["care_of"].startswith("2001:db8:b:")
    node = lab.net["mr"]
    assert "2001:db8:a:" not in node.out("ip -6 addr show dev eth0")
    assert "default" not in node.out("ip -6 route show dev eth0")
    assert "iif eth0" not in node.out("ip -6 rule") and "iif eth2" in node.out("ip -6 rule")
    if lab.engine == "ebpf":
        assert "bpf" not in node.out("tc filter show dev eth0 ingress")
    lab.reload(uplinks=[{"interface": "eth2", "preference": 5}, {"interface": "eth0"}])
    wait_for(lambda: lab.mr.status()["uplink"] == "eth0", 10, "it is there again, and the better one")
    lab.mr.wait_bound()
    lab.probe.wait_flowing()


def test_nobody_of_the_new_list_answers(lab):
    """RFC 6275 s11.7.1: the home agent that holds the binding is told of moves until another one has accepted,
    and what let packets to it by the tunnel goes when nothing goes on with it any more."""
    other = "2001:db8:b::99"
    lab.reload(uplinks=[{"interface": "eth0", "preference": 5}, {"interface": "eth2"}], home_agents=[HA, other])
    wait_for(lambda: lab.binding()["care_of"].startswith("2001:db8:b:"), 10, "over to the better uplink")
    lab.mr.wait_bound()
    lab.reload(home_agents=[other])
    lab.reload(uplinks=[{"interface": "eth0"}, {"interface": "eth2", "preference": 5}])
    wait_for(lambda: lab.binding()["care_of"].startswith("2001:db8:a:"), 10, "the former one is told of the move")
    lab.probe.wait_flowing()
    assert lab.mr.status()["state"] == "registering"
    assert {other, HA} <= set(lab.net["mr"].out("ip -6 rule").split())
    lab.reload(home_agents=[HA])
    lab.mr.wait_bound()
    wait_for(lambda: other not in lab.net["mr"].out("ip -6 rule"), 10, "the other one's rule has gone")
    assert HA in lab.net["mr"].out("ip -6 rule").split()
    lab.probe.wait_flowing()


@pytest.mark.parametrize("how", ["nemoctl", "SIGHUP"])
def test_a_file_that_is_wrong_changes_nothing_and_says_why(lab, how):
    """File, line, key and reason; what only a restart changes is named."""
    before, since = lab.binding(), now_ns()
    conf = dict(lab.conf)
    rules = lab.net["mr"].out("ip -6 rule")
    for changes, why in (
            ({"lifetime": 1}, "lifetime: is out of range"), ({"lifetim": 60}, "did you mean lifetime"),
            ({"networks": []}, "networks: is empty"), ({"keys": "/nowhere"}, "/nowhere: No such file"),
            ({"home_address": "2001:db8:d::7"}, "home_address: restart needed"),
            ({"name": "MR-2"}, "name: restart needed"), ({"mtu": 1400}, "mtu: restart needed"),
            ({"state_file": "/tmp/x"}, "state_file: restart needed")):
        own, lab.own = lab.own, lab.own if "state_file" not in changes else lab.own.replace(
            f'state_file = "{lab.mr.state_path}";\n', "")
        lab.conf = dict(conf)
        lab.write(**{"networks": [{"prefix": NET2, "interface": "eth3"}], **changes})
        lab.own = own
        if how == "nemoctl":
            done = subprocess.run([os.path.join(BUILD, "nemoctl"), "-s", lab.mr.control, "mr", "reload"],
                                  capture_output=True, text=True, timeout=patient(20))
            assert done.returncode == 1 and why in done.stderr and lab.mr.conf_path in done.stderr, done
        else:
            n = len(lab.mr.log())
            lab.mr.proc.send_signal(signal.SIGHUP)
            wait_for(lambda: "the running configuration stays" in lab.mr.log()[n:], 5, "it is refused")
            assert why in lab.mr.log()[n:]
    assert lab.net["mr"].out("ip -6 rule") == rules
    assert lab.binding()["sequence"] == before["sequence"]
    lab.conf = conf
    lab.reload()
    assert lab.lost(since) == [0, 0]


def test_secrets_that_can_no_longer_be_read_hold(make_net):
    """The daemon has become another user: what it knew of the same file is as good; of another one
    the reload is refused."""
    lab = Lab(make_net(TOPOLOGY), "ebpf")
    lab.mr.stop()
    lab.conf["user"] = "nobody"
    lab.mr.conf = libconfig_file(lab.conf) + lab.own
    lab.mr.start().wait_bound()
    os.chmod(lab.mr.conf_path, 0o644)
    assert lab.reload(lifetime=120)["uplinks"] == 1
    assert "keys: warning: 1 files can't be read again" in lab.mr.log()
    other = lab.secret("other", OTHER)
    with pytest.raises(ControlError, match="other: Permission denied"):
        lab.reload(keys=other)
    os.chown(other, 65534, 65534)
    lab.reload(keys=other)
    assert counters(lab.mr)["key_ok"] > 0


def test_of_two_equal_uplinks_the_first_carries_the_traffic(lab):
    """Which uplink a tunnel packet leaves by is the kernel's choice of a route: it has to be the same."""
    def carries(uplink):
        def bound():
            s = lab.mr.status()
            return (s["uplink"], s["state"], [u["state"] for u in s["uplinks"]].count("down")) == (uplink, "bound", down)
        wait_for(bound, 20, f"bound on {uplink}")
        lab.reaches(HOST)

    down, ends = 0, [{"interface": "eth0"}, {"interface": "eth2"}]
    lab.reload(uplinks=ends)
    wait_for(lambda: [u["state"] for u in lab.mr.status()["uplinks"]] == ["ready", "ready"], 20, "both")
    carries("eth0")
    lab.net["mr"].run("ip link set eth0 down")
    down = 1
    carries("eth2")
    lab.net["mr"].run("ip link set eth0 up")
    down = 0
    carries("eth0")
    lab.reload(uplinks=ends[::-1])
    carries("eth2")
    assert "eth9 does not exist yet" not in lab.mr.log()
    lab.reload(uplinks=[*ends, {"interface": "eth9"}])
    down = 1
    carries("eth0")
    assert "uplinks: eth9 does not exist yet" in lab.mr.log()


@pytest.mark.novm("what systemd is told is no kernel's matter")
def test_systemd_is_told_of_the_beginning_and_the_end(lab, tmp_path):
    """sd_notify(3): RELOADING=1 with MONOTONIC_USEC, then READY=1; with the reason if it failed."""
    notify = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(notify)
        s.settimeout(patient(10))
        lab.mr.stop()
        lab.mr.proc = lab.net["mr"].popen(
            [os.path.join(BUILD, "nemo-mr"), "-c", lab.mr.conf_path],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "NOTIFY_SOCKET": notify})
        lab.net.started(lab.mr.proc)
        wait_for(lambda: b"READY=1" in s.recv(4096), 20, "started")
        for text, status in (("", "MR-1: 1 uplinks, 1 networks"), ("x = 1;", "the last reload failed")):
            with open(lab.mr.conf_path, "a") as f:
                f.write(text)
            lab.mr.proc.send_signal(signal.SIGHUP)
            begun, ended = s.recv(4096).decode(), s.recv(4096).decode()
            assert begun.startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert 0 < int(begun.split("=")[-1]) * 1000 <= now_ns()
            assert ended.startswith("READY=1\n") and status in ended

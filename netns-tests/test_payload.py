"""payload = "esp": what the tunnel carries is ESP on the wire, on a kernel that has it.

    client --- core --- ha        2001:db8:c::2, home agent 2001:db8:ffff::1
              /    \\
           ar1      ar2           2001:db8:a::/64, 2001:db8:b::/64, radvd
            |        |
       (bridges one, two in 'fabric')
              mr                  moves from one to the other
              |
             host                 2001:db8:d:1::2
"""

import os
import re
import signal
import subprocess

import pytest
from scapy.layers import inet6 as s6
from scapy.layers.inet import UDP
from scapy.packet import Raw

from lib.capture import Capture, LeakCheck
from lib.daemon import BUILD, Daemon, libconfig_file
from lib.mipv6 import Wire, mac_of
from lib.sealed import counters, key_file
from lib.topo import Link, Node, Radvd, Topology
from lib.traffic import Server, UdpProbe, now_ns
from lib.wait import patient, wait_for

HA, CLIENT, HOST = "2001:db8:ffff::1", "2001:db8:c::2", "2001:db8:d:1::2"
HOA, NET = "2001:db8:d::1", "2001:db8:d:1::/64"
PSK = bytes(range(32))
SECRET = f"psk blue {PSK.hex()}"
ESP, IPV6 = 50, 41

TOPOLOGY = Topology(
    nodes=[
        Node("client", routes=["default via 2001:db8:c::1"]),
        Node("core", forward=True, routes=["2001:db8:a::/64 via 2001:db8:e1::2",
                                           "2001:db8:b::/64 via 2001:db8:e2::2",
                                           f"2001:db8:d::/48 via {HA}"]),
        Node("ha", forward=True, routes=["default via 2001:db8:ffff::fe"]),
        Node("ar1", forward=True, routes=["default via 2001:db8:e1::1"]),
        Node("ar2", forward=True, routes=["default via 2001:db8:e2::1"]),
        Node("fabric", bridges=["one", "two"]),
        Node("mr", forward=True),
        Node("host", routes=["default via 2001:db8:d:1::1"]),
    ],
    links=[
        Link("client:eth0", "core:client", [f"{CLIENT}/64"], ["2001:db8:c::1/64"]),
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:ffff::fe/64"]),
        Link("ar1:up", "core:ar1", ["2001:db8:e1::2/64"], ["2001:db8:e1::1/64"]),
        Link("ar2:up", "core:ar2", ["2001:db8:e2::2/64"], ["2001:db8:e2::1/64"]),
        Link("ar1:site", "fabric:ar1@one", ["2001:db8:a::1/64"]),
        Link("ar2:site", "fabric:ar2@two", ["2001:db8:b::1/64"]),
        Link("mr:eth0", "fabric:mr@one", real_dad=True),
        Link("host:eth0", "mr:eth1", [f"{HOST}/64"], ["2001:db8:d:1::1/64"]),
    ],
    radvds=[Radvd("ar1:site", "2001:db8:a::/64"), Radvd("ar2:site", "2001:db8:b::/64")],
)


def kernel_has_esp():
    add = ("ip xfrm state add src ::1 dst ::1 proto esp spi 256 mode transport "
           f"aead 'rfc4106(gcm(aes))' 0x{bytes(36).hex()} 128")
    return subprocess.run(["unshare", "-n", "sh", "-c", add], capture_output=True).returncode == 0


HAS_ESP = kernel_has_esp()
needs_esp = pytest.mark.skipif(not HAS_ESP, reason="this kernel has no ESP for IPv6 (the VM's has)")


class Lab:
    def __init__(self, net, mr_more=None, bind=True):
        self.net = net
        keys = key_file(net, "blue.keys", SECRET)
        both = {"payload": "esp", "engine": "ip6tnl", "protection": "esp"}
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
            "aggregates": ["2001:db8:d::/48"], **both,
            "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                         "keys": keys}]})
        self.mr = Daemon(net, "mr", "nemo-mr", {
            "name": "MR-1", "home_address": HOA, "home_agents": [HA],
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
            "keys": keys, **both, **(mr_more or {})})
        sites = [("ar1", "site"), ("ar2", "site")]
        self.leaks = LeakCheck(net, sites, ["2001:db8:d::/48"])
        self.wire = [Capture(net, *at, what="ip6", snap=2000) for at in sites]
        self.states = {}
        self.ha.start()
        self.mr.start()
        if bind:
            self.mr.wait_bound()
            self.keep_states()

    def keep_states(self):
        """Associations as the kernels have them: {(destination, SPI): key}."""
        for node in "ha", "mr":
            text = self.net[node].out(["ip", "xfrm", "state"])
            for dst, spi, key in re.findall(
                    r"dst (\S+)\n\s+proto esp spi (0x\w+).*?aead rfc4106\(gcm\(aes\)\) (0x\w+)", text, re.S):
                assert self.states.setdefault((dst, spi), key) == key, "another key under the same SPI"

    def move(self, to):
        self.mr.events.forget()
        self.net.move(("fabric:mr", to))
        self.mr.wait_event("mr.registered", 20)
        self.keep_states()

    def reaches(self):
        wait_for(lambda: self.net["client"].run(f"ping -6 -c 1 -W 1 {HOST}", check=False).returncode == 0,
                 20, "the client reaches the network")

    def check_wire(self):
        """Nothing but ESP between the tunnel's ends; no IV twice under one key; tshark reads it."""
        self.leaks.check(saw_tunnel=False)
        ivs, inner = set(), 0
        for capture in self.wire:
            capture.stop()
            for p in capture.packets():
                assert p.proto != IPV6, f"tunnel packet in clear: {p}"
                if p.proto != ESP or not p.payload[0] & 0x80:
                    continue
                iv = self.states[str(p.dst), f"0x{p.payload[:4].hex()}"], p.payload[8:16]
                assert iv not in ivs, f"an IV twice: {p}"
                ivs.add(iv)
            inner += self.decoded(capture.path)
        assert ivs and inner >= len(ivs) * 9 // 10, "what tshark could not open"

    def decoded(self, path):
        """How many packets tshark opens and finds the network's address in."""
        sas = []
        for (_, spi), key in self.states.items():
            sas += ["-o", f'uat:esp_sa:"IPv6","*","*","{spi}","AES-GCM with 16 octet ICV [RFC4106]","{key}","NULL",""']
        rows = self.net["mr"].out([
            "tshark", "-n", "-r", path, "-Y", f"esp and ipv6.addr == {HOST}", "-o",
            "esp.enable_encryption_decode:TRUE", *sas, "-T", "fields", "-e", "frame.number"]).splitlines()
        return len(rows)


@needs_esp
def test_the_tunnel_is_esp_and_follows_the_care_of_address(make_net):
    """Issue 5: never in clear, never an IV twice, few packets lost."""
    lab = Lab(make_net(TOPOLOGY))
    lab.reaches()
    assert lab.ha.status()["payload"] == lab.mr.status()["payload"] == "esp"
    server = Server(lab.net, "host")
    probe = UdpProbe(lab.net, "client", HOST, server, interval_us=20000)
    probe.wait_flowing()
    for to in "two", "one", "two":
        lab.move(to)
        probe.wait_flowing(after=now_ns())
    probe.stop()
    assert not counters(lab.ha, "drop")["rx_clear"] and not counters(lab.mr, "drop")["rx_clear"]
    lab.check_wire()
    assert len({dst for dst, _ in lab.states}) == 3, "home agent and two care-of addresses"
    assert counters(lab.ha)["key_ok"] == 1, "a move needs no new exchange"
    assert len(re.findall("proto esp", lab.net["ha"].out(["ip", "xfrm", "state"]))) == 2
    for daemon, node in (lab.mr, "mr"), (lab.ha, "ha"):
        daemon.stop()
        assert "esp" not in lab.net[node].out(["ip", "xfrm", "state"]) + lab.net[node].out(["ip", "xfrm", "policy"])


@needs_esp
def test_new_keys_under_traffic(make_net):
    """rekey_interval: both directions go over to the new keys, nothing of it is in clear."""
    lab = Lab(make_net(TOPOLOGY), {"rekey_interval": 2, "lifetime": 4})
    lab.reaches()
    server = Server(lab.net, "host")
    probe = UdpProbe(lab.net, "client", HOST, server, interval_us=20000)
    probe.wait_flowing()

    def replaced():
        lab.keep_states()
        return len([1 for dst, _ in lab.states if dst == HA]) >= 4

    wait_for(replaced, 40, "keys for the fourth time")
    probe.wait_flowing(after=now_ns())
    probe.stop()
    assert not counters(lab.ha, "drop")["rx_clear"]
    # Who is taken out of the table leaves nothing behind.
    with open(lab.ha.conf_path, "w") as f:
        f.write(lab.ha.conf.replace(f'"{HOA}"', '"2001:db8:d::2"'))
    lab.ha.ask("reload")
    assert "proto esp" not in lab.net["ha"].out("ip xfrm state")
    assert "2001:db8" not in lab.net["ha"].out("ip xfrm policy")


@needs_esp
def test_nothing_in_clear_when_one_end_is_gone(make_net):
    """A killed daemon, one that starts again, and a tunnel packet that somebody forges."""
    lab = Lab(make_net(TOPOLOGY))
    lab.reaches()
    wire = Wire(lab.net, "core", "ha", mac_of(lab.net, "ha", "eth0"))
    try:
        coa = lab.mr.status()["care_of"]
        forged = s6.IPv6(src=coa, dst=HA) / s6.IPv6(src=HOST, dst=CLIENT) / UDP(dport=9) / Raw(b"forged")
        wire.send(forged)
        wait_for(lambda: counters(lab.ha, "drop")["rx_clear"] == 1, 10, "counted")
    finally:
        wire.close()
    for daemon in lab.ha, lab.mr:
        daemon.stop(signal.SIGKILL)
        for node, address in ("client", HOST), ("host", CLIENT):
            lab.net[node].run(f"ping -6 -c 3 -i 0.2 -W 1 {address}", check=False)
        daemon.start()
        lab.mr.ask("rehome")
        lab.mr.wait_bound()
        lab.keep_states()
        lab.reaches()
    lab.leaks.check(saw_tunnel=False)
    for capture in lab.wire:
        assert not [p for p in capture.packets() if p.proto == IPV6]


@needs_esp
def test_both_ends_have_to_want_it(make_net):
    """One says "esp", the other "none": no keys, no binding, and both say why."""
    lab = Lab(make_net(TOPOLOGY), {"payload": "none"}, bind=False)
    wait_for(lambda: counters(lab.ha)["key_payload"] >= 1, 15, "counted")
    assert "payload is not the same at both ends" in lab.ha.log()
    assert lab.ha.ask("bindings") == [] and lab.mr.status()["state"] == "registering"


CONFS = {
    "nemo-ha": {"address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
                "routers": [{"name": "MR-1", "home_address": HOA, "tenant": "red", "keys": "@"}]},
    "nemo-mr": {"name": "mr1", "home_address": HOA, "home_agents": [HA], "keys": "@",
                "uplinks": [{"interface": "eth0"}],
                "networks": [{"prefix": NET, "interface": "eth1"}]},
}


@pytest.mark.parametrize("program", sorted(CONFS))
def test_what_payload_can_t_do_is_refused(program, tmp_path):
    """Engine, protection and kernel: -t says what is missing and what to do."""
    keys = tmp_path / "blue.keys"
    keys.write_text(SECRET + f"\nauth 256 {PSK.hex()}\n")
    keys.chmod(0o600)

    def check(**more):
        path = tmp_path / "nemo.conf"
        path.write_text(libconfig_file({**CONFS[program], "payload": "esp", **more}).replace("@", str(keys)))
        return subprocess.run([os.path.join(BUILD, program), "-t", "-c", str(path)],
                              capture_output=True, text=True, timeout=patient(10))

    assert 'needs engine = "ip6tnl"' in check(engine="ebpf").stderr
    assert 'needs protection = "esp"' in check(protection="auth-option").stderr
    done = check()
    if HAS_ESP:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1
        assert 'payload: "esp": this kernel has no ESP for IPv6' in done.stderr
        assert 'payload = "none"' in done.stderr and "CONFIG_INET6_ESP" in done.stderr
    assert PSK.hex() not in done.stderr

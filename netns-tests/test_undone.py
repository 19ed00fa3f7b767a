"""Others take away what the daemons have put into the kernel: an operator, a restarted
systemd-networkd, another program that attaches to the same interface.

The network is that of test_restart.py: client - home agent - mobile router - host.
"""

import re

import pytest

from test_restart import HA, TOPOLOGY, Pair
from lib.wait import wait_for


@pytest.fixture
def pair(make_net, tmp_path, engine):
    p = Pair(make_net(TOPOLOGY), tmp_path, engine)
    yield p
    for d in p.ha, p.mr:
        d.stop()
        d.forget()


# What is run, and what the log says of it.
TAKEN = {
    "ha": {
        "ip -6 route flush proto 139": "tunnel: somebody deleted routes",
        "tc qdisc del dev eth0 clsact": "somebody removed the program at eth0",
        "tc filter del dev eth0 ingress": "signalling capture: somebody removed it at eth0",
        "tc qdisc del dev nemo0 clsact": "somebody removed the program at nemo0",
        "sysctl -qw net.ipv6.conf.all.forwarding=0": "forwarding was switched off, it is on again",
    },
    "mr": {
        "ip -6 route flush table 139": "somebody deleted routes that keep",
        "ip -6 route flush root default dev eth0": "",
        "ip -6 rule flush protocol 139": "somebody deleted rules",
        "tc qdisc del dev eth0 clsact": "signalling capture: somebody removed it at eth0",
        "ip -6 addr flush dev eth0": "",
        "ip -6 addr flush dev eth0 scope global": "",
        "sysctl -qw net.ipv6.conf.all.forwarding=0": "forwarding was switched off, it is on again",
    },
}


def sorted_rules(node):
    return sorted(node.out("ip -6 rule").splitlines())


@pytest.mark.parametrize("who", TAKEN)
def test_it_is_put_again(pair, who):
    """Rules of the mobile router come back as they were; traffic flows again, and the log says so."""
    node, daemon = pair.net[who], getattr(pair, who)
    rules = sorted_rules(node)
    for command, line in TAKEN[who].items():
        if command.startswith("tc ") and pair.engine != "ebpf":
            continue  # it has nothing there
        before = daemon.log().count(line)
        node.run(command)
        wait_for(lambda: not line or daemon.log().count(line) > before, 5, f"{command}: told")
        pair.probe.wait_flowing()
        wait_for(lambda: sorted_rules(node) == rules, 5, f"{command}: rules as before")
    uplink = node.out("sysctl -n net.ipv6.conf.eth0.forwarding")
    assert int(uplink) == (who == "ha"), "towards a visited network a mobile router is a host"


def ends_and_begins_anew(pair, who, how):
    """The service manager starts it anew; bindings, keys and numbers are in the state file."""
    daemon = getattr(pair, who)
    pair.net[who].run(how)
    wait_for(lambda: not daemon.running(), 5, f"{daemon.name} ends")
    assert daemon.proc.returncode == 1
    assert re.search(r" was (deleted|switched off): the networks are cut off", daemon.log())
    daemon.start()
    pair.probe.wait_flowing()
    assert pair.binding()["state"] == "bound"


@pytest.mark.parametrize("how", ["del nemo0", "set nemo0 down", "del nemo0-slow"])
@pytest.mark.parametrize("who", TAKEN)
def test_without_its_device_a_daemon_ends_and_the_next_run_makes_it_anew(pair, who, how):
    ends_and_begins_anew(pair, who, f"ip link {how}")


def test_without_its_nftables_table_too(pair):
    """What `systemctl restart nftables` does with Debian's file."""
    if pair.engine != "ip6tnl":
        pytest.skip("engine ebpf has none")
    for who in TAKEN:
        ends_and_begins_anew(pair, who, "nft flush ruleset")


def test_an_interface_is_deleted_and_made_again(pair):
    """Of both at once, since it is one veth pair: as when a hypervisor replaces a VM's interface."""
    net = pair.net
    mac = net["mr"].mac("eth0")
    net["mr"].batch(["link del eth0"])
    wait_for(lambda: "eth0 was deleted" in pair.ha.log(), 5, "told")
    there = net["mr"].ns
    net["ha"].batch([f"link add eth0 type veth peer name eth0 netns {there} address {mac}"])
    net["ha"].batch(["link set eth0 up", f"addr add {HA}/64 dev eth0 nodad"])
    net["mr"].batch(["link set eth0 up"])
    wait_for(lambda: "eth0 is there again" in pair.ha.log(), 5, "told")
    pair.probe.wait_flowing(timeout=20)

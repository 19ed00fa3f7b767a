"""The daemons' manners: command line, configuration errors, readiness, warnings, the end; and
nemoctl against live ones.

    mr:eth0 2001:db8:a::2 ---- 2001:db8:a::1 ha:eth0        radvd on ha:eth0
    mr:eth1 2001:db8:d:1::1
"""

import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from lib import ROOT
from lib.control import mistakes, schemas
from lib.daemon import BUILD, ControlError, Daemon, libconfig_file
from lib.topo import Link, Node, Radvd, Topology, stop
from lib.wait import patient, wait_for

pytestmark = pytest.mark.novm("manners and files: no kernel takes part")

DAEMONS = ["nemo-ha", "nemo-mr"]
ALL = [*DAEMONS, "nemo-nat64"]
NEMOCTL = os.path.join(BUILD, "nemoctl")
HA, HOA = "2001:db8:a::1", "2001:db8:d::1"

TOPOLOGY = Topology(
    nodes=[Node("ha", forward=True), Node("mr", forward=True)],
    links=[
        Link("mr:eth0", "ha:eth0", [], [f"{HA}/64"], real_dad=True),
        Link("mr:eth1", "ha:eth1", ["2001:db8:d:1::1/64"]),
    ],
    radvds=[Radvd("ha:eth0", "2001:db8:a::/64")],
)

CONF = {
    "nemo-ha": {
        "protection": "none", "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "aggregates": ["2001:db8:d::/48"],
        "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": ["2001:db8:d:1::/64"],
                     "tenant": "red"}],
    },
    "nemo-mr": {
        "protection": "none", "name": "MR-1", "home_address": HOA, "home_agents": [HA],
        "uplinks": [{"interface": "eth0"}],
        "networks": [{"prefix": "2001:db8:d:1::/64", "interface": "eth1"}],
    },
    "nemo-nat64": {
        "interfaces": ["eth0"], "engine": "ebpf", "prefixes": [{"prefix": "2001:db8:64::/96"}],
    },
}


def run(program, *args, **how):
    """A command that ends by itself; outside of any namespace of ours it must change nothing."""
    return subprocess.run(
        [os.path.join(BUILD, program), *args], capture_output=True, text=True, timeout=patient(10), **how)


def conf_file(tmp_path, conf):
    path = tmp_path / "nemo.conf"
    path.write_text(conf if isinstance(conf, str) else libconfig_file(conf))
    return str(path)


@pytest.fixture
def net(make_net):
    return make_net(TOPOLOGY)


def node_of(program):
    return "mr" if program == "nemo-mr" else "ha"


def daemon(net, program, **conf):
    return Daemon(net, node_of(program), program, {**CONF[program], **conf}, name=program[5:])


def pair(net):
    """Both, registered."""
    ha, mr = daemon(net, "nemo-ha").start(), daemon(net, "nemo-mr").start()
    mr.wait_bound()
    return ha, mr


def fails_to_start(net, program, conf, tmp_path, **env):
    """Exit code and messages of one that can't start."""
    own = {"control": str(tmp_path / "other.sock")}
    if program != "nemo-nat64":
        own["state_file"] = str(tmp_path / "other.state")
    path = conf_file(tmp_path, {**own, **conf})
    done = net[node_of(program)].run(
        [os.path.join(BUILD, program), "-c", path], check=False, timeout=patient(20),
        env={**os.environ, **env})
    return done.returncode, done.stderr + done.stdout


def kernel_state(node):
    """What a daemon puts there; what comes by itself, such as link-local addresses, is left out."""
    return [
        node.out(c)
        for c in ("ls /sys/class/net", "ip -6 route show table all proto 139", "ip -6 rule",
                  "tc filter show dev eth0 ingress")
    ]


# --- command line ---


@pytest.mark.parametrize("program", DAEMONS)
def test_help_and_version_go_to_stdout(program):
    done = run(program, "-h")
    assert done.returncode == 0 and done.stderr == ""
    for word in f"usage: {program}", "--config", "--check", "--config-help", "--version":
        assert word in done.stdout
    assert ("--keep" in done.stdout) == (program in ("nemo-ha", "nemo-mr"))
    done = run(program, "--version")
    assert done.returncode == 0 and re.fullmatch(rf"{program} \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("program", DAEMONS)
def test_config_help_lists_every_key_that_is_accepted(program, tmp_path):
    """The keys in its first column are the ones a file may have: each is known to -t."""
    done = run(program, "--config-help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split()[0] == "KEY"
    keys = {l.split()[0] for l in lines[1:] if l and not l[0].isspace()}
    assert set(CONF[program]) <= keys and {"engine", "protection", "control", "mtu"} <= keys
    top = sorted(k for k in keys if "." not in k)
    nonsense = conf_file(tmp_path, "".join(f"{k} = 1.5;\n" for k in top))
    assert "unknown key" not in run(program, "-t", "-c", nonsense).stderr


@pytest.mark.parametrize("program", DAEMONS)
@pytest.mark.parametrize("args", [["--colour"], ["-x"], ["-c"], ["stray"]])
def test_a_wrong_command_line_is_exit_2_with_the_usage(program, args):
    done = run(program, *args)
    assert done.returncode == 2
    assert f"usage: {program}" in done.stderr and done.stdout == ""


# --- configuration ---


@pytest.mark.parametrize("program", DAEMONS)
def test_a_good_file_passes_the_check_and_starts_nothing(program, net, tmp_path):
    node = net[program[5:]]
    before = kernel_state(node)
    control = str(tmp_path / "control.sock")
    path = conf_file(tmp_path, {**CONF[program], "control": control})
    done = node.run([os.path.join(BUILD, program), "-t", "-c", path])
    assert done.stderr == ""
    assert kernel_state(node) == before and not os.path.exists(control)


TESTBED = sorted(glob.glob(os.path.join(ROOT, "conf", "wide-cloud", "*.conf")))


@pytest.mark.parametrize("path", TESTBED, ids=os.path.basename)
def test_the_testbeds_configurations_are_right(path, tmp_path):
    with open(path) as f:
        text = f.read()
    for name in set(re.findall(r'keys = "/etc/nemo/([^"]+)"', text)):
        keys = tmp_path / name
        keys.write_text(f"psk {name.split('.')[0].upper()} {bytes(32).hex()}\n")
        keys.chmod(0o600)
    program = next(p for p in ("nemo-ha", "nemo-mr", "nemo-nat64") if p[5:] in os.path.basename(path))
    there = conf_file(tmp_path, text.replace('"/etc/nemo/', f'"{tmp_path}/'))
    done = run(program, "-t", "-c", there)
    assert (done.returncode, done.stderr) == (0, "")


BAD = {
    "nemo-ha": (
        'address = "2001:db8:a::1";\n'
        "interfaces = ( 7 ); protection = \"none\";\n"
        'colour = "blue";\n'
        "max_lifetime = 3;\n"
        'engine = "steam";\n'
        "routers = (\n"
        '  { name = "A"; home_address = "2001:db8:d::1"; tenant = "x"; '
        'prefixes = ( "2001:db8:d:1::1/64" ); },\n'
        '  { home_address = "2001:db8:d::zz"; tenant = "x"; }\n'
        ");\n",
        {(2, "interfaces"), (3, "colour"), (4, "max_lifetime"), (5, "engine"), (7, "prefixes"),
         (8, "name"), (8, "home_address")},
    ),
    "nemo-mr": (
        'name = "MR-1";\n'
        'home_address = "2001:db8:d::1/64";\n'
        'home_agents = ( "nowhere" );\n'
        'uplinks = ( { interface = "eth0"; preference = 5000; } );\n'
        'networks = ( { prefix = "2001:db8:d:1::/64"; } );\n'
        "retransmit_ms = 5;\n"
        "lifetime = true;\n",
        {(2, "home_address"), (3, "home_agents"), (4, "preference"), (5, "interface"),
         (6, "retransmit_ms"), (7, "lifetime")},
    ),
}


@pytest.mark.parametrize("program", DAEMONS)
def test_all_mistakes_of_a_file_are_told_at_once(program, tmp_path):
    """file:line: key: reason; exit 1."""
    text, wanted = BAD[program]
    path = conf_file(tmp_path, text)
    done = run(program, "-t", "-c", path)
    assert done.returncode == 1
    told = re.findall(rf"{re.escape(path)}:(\d+): ([\w.\[\]]+): \S+", done.stderr)
    told = {(int(line), re.sub(r"\[\d+\]", "", key).split(".")[-1]) for line, key in told}
    assert told == wanted, done.stderr


# What fits the key table, but not together.
TOGETHER = {
    "two routers' networks overlap": ("nemo-ha", {"routers": [
        {"name": "A", "home_address": HOA, "prefixes": ["2001:db8:d::/56"], "tenant": "x"},
        {"name": "B", "home_address": "2001:db8:d::2", "prefixes": ["2001:db8:d:1::/64"], "tenant": "x"}]},
        "overlaps"),
    "one home address twice": ("nemo-ha", {"routers": [
        {"name": "A", "home_address": HOA, "tenant": "x"},
        {"name": "B", "home_address": HOA, "tenant": "x"}]}, "used before"),
    "one name twice": ("nemo-ha", {"routers": [
        {"name": "A", "home_address": HOA, "tenant": "x"},
        {"name": "A", "home_address": "2001:db8:d::2", "tenant": "x"}]}, "used before"),
    "a home address that nobody serves": ("nemo-ha", {"routers": [
        {"name": "A", "home_address": "2001:db8:77::1", "tenant": "x"}]}, "home_prefixes"),
    "an allow line for nobody": ("nemo-ha", {"allow": [{"from": "red", "to": "nobody"}]}, "nobody"),
    "an MTU below IPv6's least": ("nemo-ha", {"mtu": 1279}, "1280"),
    "a home agent inside the network": ("nemo-mr", {"home_agents": ["2001:db8:d:1::9"]}, "inside"),
    "an uplink that is also inside": ("nemo-mr", {"networks": [
        {"prefix": "2001:db8:d:1::/64", "interface": "eth0"}]}, "uplink"),
    "an uplink twice": ("nemo-mr", {"uplinks": [{"interface": "eth0"}, {"interface": "eth0"}]}, "already"),
    "an uplink that is none": ("nemo-mr", {"uplinks": [{"interface": "lo"}]}, "no router"),
    "a network in the tunnel": ("nemo-mr", {"networks": [
        {"prefix": "2001:db8:d:1::/64", "interface": "nemo0"}]}, "the tunnel"),
    "a known link of no uplink": ("nemo-mr", {"known_links": [
        {"uplink": "eth9", "router": "fe80::1", "mac": "02:00:00:00:00:01", "prefix": "2001:db8:b::/64"}]},
        "no uplink"),
    "a home agent twice": ("nemo-mr", {"home_agents": ["2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::1"]}, "twice"),
    "a home agent that has our address": ("nemo-mr", {"home_agents": [HOA]}, "our home address"),
    "a network with the home agent in it": ("nemo-ha", {"address": "2001:db8:d:1::9"}, "the home agent's address"),
    "a home address that is the home agent's": ("nemo-ha", {"home_prefixes": ["2001:db8:1::/64"], "routers": [
        {"name": "A", "home_address": HA, "tenant": "x"}]}, "the home agent's own"),
    "a multicast home address": ("nemo-mr", {"home_address": "ff0e::1"}, "unicast"),
}


@pytest.mark.parametrize("why", TOGETHER)
def test_what_does_not_fit_together_is_told(why, tmp_path):
    """HOSTILE 17."""
    program, change, word = TOGETHER[why]
    path = conf_file(tmp_path, {**CONF[program], **change})
    done = run(program, "-t", "-c", path)
    assert done.returncode == 1
    assert re.match(rf"{re.escape(path)}:\d+: ", done.stderr) and word in done.stderr


@pytest.mark.parametrize("program", DAEMONS)
def test_a_missing_file_and_a_syntax_error(program, tmp_path):
    done = run(program, "-c", str(tmp_path / "nothing.conf"))
    assert done.returncode == 1 and f"{tmp_path}/nothing.conf: No such file" in done.stderr
    path = conf_file(tmp_path, 'name = "x";\nname2 = ( 1, ;\n')
    done = run(program, "-t", "-c", path)
    assert done.returncode == 1 and f"{path}:2: " in done.stderr
    outer = tmp_path / "outer.conf"
    outer.write_text(f'\n\n@include "{path}"\n')  # the mistake is in the other file
    assert f"{path}:2: " in run(program, "-t", "-c", str(outer)).stderr
    path = conf_file(tmp_path, "\nnmae = 1;\n")
    assert f"{path}:2: nmae: " in run(program, "-t", "-c", str(outer)).stderr
    path = conf_file(tmp_path, "\ncontrol = 1;\n")
    assert f"{path}:2: control: " in run(program, "-t", "-c", str(outer)).stderr


def test_a_key_file_that_never_ends_does_not_hold_up_the_check(tmp_path):
    os.mkfifo(tmp_path / "keys", 0o600)
    conf = {**CONF["nemo-mr"], "protection": "esp", "keys": str(tmp_path / "keys")}
    done = run("nemo-mr", "-t", "-c", conf_file(tmp_path, conf))
    assert done.returncode == 1 and "is not a file" in done.stderr


@pytest.mark.parametrize("program", DAEMONS)
def test_what_can_not_be_printed_is_no_success(program):
    with open("/dev/full", "w") as full:
        done = subprocess.run([os.path.join(BUILD, program), "--config-help"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"standard output" in done.stderr


@pytest.mark.parametrize("program", DAEMONS)
def test_who_may_not_change_the_network_is_told(program, tmp_path):
    path = conf_file(tmp_path, CONF[program])
    argv = ["setpriv", "--bounding-set=-net_admin", os.path.join(BUILD, program), "-c", path]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and "start it as root" in done.stderr


# --- start ---


@pytest.mark.parametrize("program", DAEMONS)
def test_ready_means_that_the_control_socket_answers(program, net):
    """Type=notify of systemd: READY=1 comes when everything is set up, not before."""
    d = daemon(net, program)
    with open(d.conf_path, "w") as f:
        f.write(d.conf)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(d.control + ".n")
        notify.settimeout(patient(10))
        d.proc = d.node.popen(
            [os.path.join(BUILD, program), "-c", d.conf_path], stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": d.control + ".n"})
        message = notify.recv(4096).decode()
        assert "READY=1" in message
        assert d.status()["daemon"] == program
        assert "nemo0" in d.node.out("ip -br link")
        assert os.stat(d.control).st_mode & 0o777 == 0o660
        d.proc.send_signal(signal.SIGTERM)
        rest = notify.recv(4096).decode()
        assert "STOPPING=1" in rest
        assert d.proc.wait(patient(10)) == 0
    assert not os.path.exists(d.control), "the socket goes with the daemon"


@pytest.mark.parametrize("program", DAEMONS)
def test_signalling_without_protection_is_warned_of(program, net):
    d = daemon(net, program).start()
    warned = [l for l in d.log().splitlines() if "protection" in l]
    assert len(warned) == 1 and "warn" in warned[0] and "none" in warned[0]
    assert d.status()["protection"] == "none"


@pytest.mark.parametrize("program", DAEMONS)
def test_a_second_one_on_the_same_control_socket_is_refused(program, net, tmp_path):
    """And the first goes on, undisturbed."""
    first = daemon(net, program).start()
    if program == "nemo-mr":
        daemon(net, "nemo-ha").start()
        first.wait_bound()
    node, before = net[program[5:]], kernel_state(net[program[5:]])
    code, text = fails_to_start(net, program, {**CONF[program], "control": first.control}, tmp_path)
    assert code == 1
    assert first.control in text and re.search("in use|already|running", text), text
    assert first.status()["daemon"] == program
    assert kernel_state(node) == before


def without_ethernet(node):
    """An interface without a link-layer header, as many a modem has one."""
    node.batch(["tuntap add tun7 mode tun", "link set tun7 up"])
    return "tun7"


def test_a_home_agents_interface_has_to_be_of_ethernets_kind(net, tmp_path):
    conf = {**CONF["nemo-ha"], "engine": "ebpf", "interfaces": [without_ethernet(net["ha"])]}
    code, text = fails_to_start(net, "nemo-ha", conf, tmp_path)
    assert code == 1 and "tun7 is not of Ethernet's kind" in text
    assert "nemo0" not in net["ha"].out("ip -br link")


def test_an_uplink_that_is_not_of_ethernets_kind_is_told(net):
    daemon(net, "nemo-ha").start()
    uplinks = [*CONF["nemo-mr"]["uplinks"], {"interface": without_ethernet(net["mr"])}]
    mr = daemon(net, "nemo-mr", uplinks=uplinks).start()
    mr.wait_bound()
    assert "uplink tun7: not of Ethernet's kind" in mr.log()


def test_a_home_agent_names_a_missing_interface(net, tmp_path):
    code, text = fails_to_start(net, "nemo-ha", {**CONF["nemo-ha"], "interfaces": ["eth0", "eth7"]}, tmp_path)
    assert code == 1 and "eth7" in text and "does not exist" in text
    assert "nemo0" not in net["ha"].out("ip -br link")
    assert "2001:db8:d::" not in net["ha"].out("ip -6 route show table all")


def test_a_mobile_router_waits_for_its_uplink(net):
    """An interface may come later: USB, hotplug, a slow driver."""
    daemon(net, "nemo-ha").start()
    net["mr"].batch(["link set dev eth0 down", "link set dev eth0 name away"])
    mr = daemon(net, "nemo-mr").start()
    assert mr.status()["state"] == "no link"
    net["mr"].batch(["link set dev away name eth0", "link set dev eth0 up"])
    mr.wait_bound(10)


@pytest.mark.parametrize("program", DAEMONS)
def test_an_engine_that_the_kernel_lacks_is_told(program, net, tmp_path):
    probe = net["mr"].run("ip link add probe6 type ip6tnl external", check=False)
    if probe.returncode == 0:
        pytest.skip("this kernel has ip6tnl")
    code, text = fails_to_start(net, program, {**CONF[program], "engine": "ip6tnl"}, tmp_path)
    assert code == 1 and "ip6tnl can't be used here" in text and "kernel" in text
    assert "nemo0" not in net[program[5:]].out("ip -br link")


def test_a_home_agent_address_that_is_not_here_is_warned_of(net):
    d = daemon(net, "nemo-ha", address="2001:db8:a::99").start()
    assert [l for l in d.log().splitlines() if "warn" in l and "2001:db8:a::99" in l]


# --- the end ---


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_them_cleanly(net, sig):
    ha, mr = pair(net)
    assert mr.stop(sig) == 0
    wait_for(lambda: ha.status()["bindings"] == 0, 3, "de-registration")
    assert ha.stop(sig) == 0
    for node in "ha", "mr":
        assert "nemo0" not in net[node].out("ip -br link")
    for d in ha, mr:
        assert not [l for l in d.log().splitlines() if " err:" in l], d.log()


def test_a_second_signal_ends_a_mobile_router_at_once(net):
    """The first one's de-registration gets no answer; nobody has to wait for it."""
    ha, mr = pair(net)
    ha.proc.send_signal(signal.SIGSTOP)
    mr.proc.send_signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in mr.log(), 3, "the first is taken")
    assert mr.running()
    mr.proc.send_signal(signal.SIGTERM)
    assert mr.proc.wait(0.5) == 1
    assert "second signal" in mr.log()
    assert "nemo0" not in net["mr"].out("ip -br link")
    mr.events.close()
    mr.events = None


@pytest.mark.parametrize("program", DAEMONS)
def test_sighup_is_no_end(program, net):
    d = daemon(net, program).start()
    d.proc.send_signal(signal.SIGHUP)
    wait_for(lambda: "reload: " in d.log(), 3, "a word about it")
    assert d.status()["daemon"] == program


@pytest.mark.parametrize("program", ALL)
def test_sighup_while_the_configuration_is_read_is_no_end(program, tmp_path):
    path = str(tmp_path / "conf")
    os.mkfifo(path)
    with subprocess.Popen([os.path.join(BUILD, program), "-t", "-c", path], stderr=subprocess.PIPE) as reader:
        with open(path, "w") as f:  # it has opened the file: it reads
            reader.send_signal(signal.SIGHUP)
            f.write("none of its keys\n")
        assert b"conf:1: " in reader.stderr.read()
    assert reader.returncode == 1


# --- nemoctl with live daemons ---


def ctl(*args, code=0):
    done = run("nemoctl", *args)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_every_counter_says_what_it_counts(net):
    for d in pair(net):
        counters = d.ask("stats")["counters"]
        names = [c["name"] for c in counters]
        assert len(names) == len(set(names)) > 20
        for c in counters:
            assert len(c["help"]) > 10 and c["help"] != c["name"] and c["group"], c
            assert isinstance(c["value"], int) and c["value"] >= 0
        table = ctl("-s", d.control, "stats")
        assert all(c["name"] in table and c["help"] in table for c in counters)


def test_nemoctl_shows_what_the_daemons_know(net):
    ha, mr = pair(net)
    both = ["-s", ha.control, "-s", mr.control]
    summary = ctl(*both)
    assert "nemo-ha" in summary and "nemo-mr" in summary and "1 of 1 routers bound" in summary
    care_of = mr.status()["care_of"]
    rows = ctl(*both, "ha", "bindings").splitlines()
    assert rows[0].split()[0] == "NAME" and len(rows) == 2
    for word in "MR-1", "red", HOA, care_of, "bound", "2001:db8:d:1::/64", "explicit":
        assert word in rows[1]
    assert "accepted" in ctl(*both, "ha", "routers")
    status = ctl(*both, "mr", "status")
    assert care_of in status and "eth0" in status and HA in status
    assert "start" in ctl(*both, "mr", "handovers") or "carrier" in ctl(*both, "mr", "handovers")
    assert ctl("--run", net.dir) == summary or "1 of 1 routers bound" in ctl("--run", net.dir)
    known = schemas()
    for kind, words, cmd in (
        ("nemo-ha", ["ha", "bindings"], "bindings"), ("nemo-ha", ["ha", "routers"], "routers"),
        ("nemo-mr", ["mr", "status"], "status"), ("nemo-mr", ["mr", "handovers"], "handovers"),
        ("any", ["stats"], "stats"),
    ):
        doc = json.loads(ctl(*both, "--json", *words))
        assert len(doc) == (2 if kind == "any" else 1)
        for one in doc:
            assert not mistakes(one["data"], known[f"{kind} {cmd}"]), words


def test_nemoctl_acts_and_tells_by_its_exit_code(net):
    ha, mr = pair(net)
    mr.events.forget()
    assert "eth0" in ctl("-s", mr.control, "mr", "rehome", "eth0")
    mr.wait_event("mr.confirmed", 5)
    refused = ctl("-s", mr.control, "mr", "rehome", "eth9", code=1)
    assert "eth9" in refused
    ctl("-s", mr.control, "mr", "fly", code=2)
    ctl("-s", mr.control, "ha", "bindings", code=3)
    assert "nemo-ha" in ctl("--run", "/nonexistent", "ha", "bindings", code=3)
    ctl("-s", mr.control, "mr", "stop")
    wait_for(lambda: not mr.running(), 5, "the end")
    assert mr.proc.returncode == 0
    ctl("-s", mr.control, code=3)


def test_nemoctl_monitor_follows_a_registration(net):
    ha = daemon(net, "nemo-ha").start()
    log = os.path.join(net.dir, "monitor")
    with open(log, "w") as out:
        proc = net.started(subprocess.Popen([NEMOCTL, "-s", ha.control, "--json", "monitor"], stdout=out))
    wait_for(lambda: "ha.sock" in open(f"/proc/{proc.pid}/cmdline").read(), 3, "nemoctl runs")
    mr = daemon(net, "nemo-mr").start()
    mr.wait_bound()

    def events():
        return [json.loads(l) for l in open(log).read().splitlines() if l.endswith("}")]

    def moved_on():  # the first registration may have been before nemoctl listened
        mr.stop()
        mr.start()
        mr.wait_bound()
        return any(e["event"] == "binding.accepted" for e in events())

    wait_for(moved_on, 10, "the event")
    for e in events():
        assert not mistakes(e, schemas()["any event"])
        assert e["daemon"] == "nemo-ha" and e["name"] == "MR-1"
    assert ha.stop() == 0
    assert proc.wait(patient(5)) == 3, "it ends with the last daemon"
    stop(proc)


# --- privileges ---

NET_ADMIN, NET_RAW, BPF = 12, 13, 39
KEPT = {"nemo-ha": (NET_ADMIN, NET_RAW), "nemo-mr": (NET_ADMIN, NET_RAW), "nemo-nat64": (NET_ADMIN, BPF)}



def proc_status(d):
    """Of each thread: capabilities are a thread's."""
    for path in glob.glob(f"/proc/{d.proc.pid}/task/*/status"):
        with open(path) as f:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@pytest.mark.parametrize("program", ALL)
@pytest.mark.parametrize("user, uid", [("nobody", "65534"), ("no-such-user", "0")])
def test_privileges_are_given_up_before_a_packet_is_parsed(program, user, uid, net):
    d = daemon(net, program, user=user).start()  # ready comes before the first turn of the loop
    for s in proc_status(d):
        assert s["Uid"].split() == [uid] * 4
        assert s["NoNewPrivs"] == "1"
        for which in "CapEff", "CapPrm":
            assert int(s[which], 16) == sum(1 << c for c in KEPT[program]), which
        assert int(s["CapInh"], 16) == int(s["CapAmb"], 16) == 0
        assert int(s["CapBnd"], 16) == 0
        if uid != "0":
            assert s["Gid"].split() == ["65534"] * 4 and s["Groups"].split() == []


def test_a_translator_without_programs_needs_one_right(net):
    d = daemon(net, "nemo-nat64", user="nobody", engine="tun", queues=2).start()
    threads = list(proc_status(d))
    assert len(threads) == 3, "the loop, and one for each queue"
    assert all(int(s["CapEff"], 16) == 1 << NET_ADMIN for s in threads)


def test_a_translator_reads_its_configuration_as_its_user(net):
    """New routes, new maps and an interface that comes later are fine; a file for root only is not."""
    d = daemon(net, "nemo-nat64", user="nobody", interfaces=["eth0", "eth7"]).start()
    node = net["ha"]
    with open(d.conf_path, "w") as f:
        f.write(d.conf.replace("2001:db8:64::/96", "2001:db8:65::/96"))
    d.ask("reload")
    assert "2001:db8:65::/96" in node.out("ip -6 route show dev nat64")
    node.batch(["link add name eth7 type veth peer name far", "link set dev eth7 up"])
    wait_for(lambda: "eth7" in d.status()["interfaces"], 10, "its program")
    os.chmod(d.conf_path, 0o600)
    with pytest.raises(ControlError):
        d.ask("reload")
    assert "ermission denied" in d.log() and d.running()


def test_all_goes_on_as_another_user(net):
    """An uplink that comes later, addresses, sysctls, tunnels, the end: capabilities suffice."""
    ha = daemon(net, "nemo-ha", user="nobody").start()
    mr = daemon(net, "nemo-mr", user="nobody", uplinks=[{"interface": "eth0"}, {"interface": "eth7"}])
    mr.start().wait_bound()
    node = net["mr"]
    assert "uplinks: eth7 does not exist yet" in mr.log()
    node.batch(["link add name eth7 type veth peer name far", "link set dev eth7 up",
                "link set dev far up"])
    wait_for(lambda: "sig_capture" in node.out("tc filter show dev eth7 ingress"), 10, "attached")
    wait_for(lambda: node.out("cat /proc/sys/net/ipv6/conf/eth7/optimistic_dad").strip() == "1", 10,
             "sysctls")
    for d in mr, ha:
        d.proc.send_signal(signal.SIGTERM)
        assert d.proc.wait(patient(15)) == 0
        assert not any(w in d.log().lower() for w in ("not permitted", "denied", " err:")), d.log()
    for n in net["mr"], net["ha"]:
        assert "nemo0" not in n.out("ip -br link")


@pytest.mark.parametrize("program", ALL)
def test_the_control_socket_is_for_root_and_two_groups(program, net):
    """Members of one group may do all, those of the other look; nobody else gets in."""
    change = {"nemo-ha": ["ha", "drain"], "nemo-mr": ["mr", "rehome"],
              "nemo-nat64": ["nat64", "reload"]}[program]
    d = daemon(net, program, control_group="mail", control_readers="games").start()
    info = os.stat(d.control)
    assert info.st_mode & 0o777 == 0o660 and info.st_gid == 60, "games"

    def nemoctl(groups, *command):
        return subprocess.run(
            ["setpriv", "--reuid=1", "--regid=1", f"--groups={groups}", NEMOCTL, "-s", d.control,
             *command], capture_output=True, text=True, timeout=patient(10))

    assert nemoctl("games", "stats").returncode == 0
    refused = nemoctl("games", *change)
    assert refused.returncode != 0 and "may only look" in refused.stderr
    assert nemoctl("games,mail", *change).returncode == 0
    assert nemoctl("mail", "stats").returncode != 0, "the file is the other group's"
    os.chmod(d.control, 0o666)
    stranger = nemoctl("1", "stats")
    assert stranger.returncode != 0 and "not permitted" in stranger.stderr
    assert nemoctl("mail", "stats").returncode == 0


def test_who_may_only_look_keeps_nobody_else_out(net):
    """A monitoring system that leaves its connections open takes 48 places, of 64."""
    d = daemon(net, "nemo-ha", control_readers="games").start()
    look = """
import socket, sys
n, held = 0, []
for _ in range(60):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.setblocking(True)
    try:
        s.sendall(b'{"cmd":"help"}\\n')
        n += b'"ok":true' in s.recv(64)
    except OSError:  # refused
        pass
    held.append(s)
print(n, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
            ["setpriv", "--reuid=1", "--regid=1", "--groups=games", sys.executable, "-c", look, d.control],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "48\n"
        assert d.ask("status")["daemon"] == "nemo-ha"
        reader.stdin.close()


@pytest.mark.parametrize("program", ALL)
def test_a_group_that_is_not_there_is_told(program, net, tmp_path):
    code, said = fails_to_start(net, program, {**CONF[program], "control_group": "no-such"}, tmp_path)
    assert code == 1 and "there is no group no-such" in said

"""nemoctl tenant add: a new mobile router in one command.

    ha ---- mr        the home agent with the configuration, the router with the seed that were made
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from lib.daemon import BUILD, Daemon
from lib.topo import Link, Net, Node, Radvd, Topology
from lib.wait import wait_for

HA = "2001:db8:1::1"
CONF = """# ( routers
address = "2001:db8:1::1"; interfaces = ( "lo" );
home_prefixes = ( "2001:db8:d::/64" );
aggregates = ( "2001:db8:d::/48" );
routers = ( /* none ) */
  { name = "old"; home_address = "2001:db8:d::1"; prefixes = ( "2001:db8:d:1::/64" );
    tenant = "o)ld"; protection = "none"; } # the last one }
);
heartbeat = 1;
"""
TOPOLOGY = Topology(
    nodes=[Node("ha", forward=True), Node("mr", forward=True)],
    links=[Link("mr:eth0", "ha:eth0", [], [f"{HA}/64"])],
    radvds=[Radvd("ha:eth0", "2001:db8:1::/64")],
)


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "nemo-ha.conf"
    path.write_text(CONF)
    path.chmod(0o640)
    return path


def tenant(conf, *args):
    argv = [os.path.join(BUILD, "nemoctl"), "tenant", *args, "--conf", str(conf)]
    return subprocess.run(argv, capture_output=True, text=True)


def add(conf, *args):
    return tenant(conf, "add", *args)


def test_what_was_made_fits_together(conf, tmp_path):
    done = add(conf, "new", "2001:db8:d:2::/64")
    assert done.returncode == 0, done.stderr
    assert "home address 2001:db8:d::2" in done.stdout  # the first that nobody has
    text = conf.read_text()
    assert text.startswith(CONF.split("} #")[0]) and text.endswith("heartbeat = 1;\n")
    assert "# the last one }" in text and stat.S_IMODE(conf.stat().st_mode) == 0o640
    made = sorted(p.name for p in tmp_path.iterdir())
    assert made == ["nemo-ha.conf", "new.keys", "new.seed", "new.seed.img"]
    assert all(stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600 for name in made[1:])
    seed = (tmp_path / "new.seed").read_text()
    disk = ["mcopy", "-n", "-i", str(tmp_path / "new.seed.img"), "::user-data", "-"]
    assert subprocess.run(disk, capture_output=True, text=True).stdout == seed
    mr, _, keys = seed.partition("--- nemo-mr.keys\n")
    assert keys == (tmp_path / "new.keys").read_text() and re.fullmatch(r"psk new [0-9a-f]{64}\n", keys)
    mr = mr.replace("/run/nemo/nemo-mr.keys", str(tmp_path / "new.keys")).replace("eth1", "lo")
    assert "nemoctl ha reload" in done.stdout
    with Net(TOPOLOGY) as net:
        ha = Daemon(net, "ha", "nemo-ha", CONF.replace('"lo"', '"eth0"')).start()
        with open(ha.conf_path, "w") as f:
            f.write(text.replace('"lo"', '"eth0"') + ha.conf.split("heartbeat = 1;")[1])
        ha.ask("reload")
        Daemon(net, "mr", "nemo-mr", mr).start().wait_bound()
        assert [b["name"] for b in ha.ask("bindings")] == ["new"]


@pytest.mark.novm("a command and files")
@pytest.mark.parametrize(
    "args, why",
    {
        "name": (("old", "2001:db8:d:2::/64"), "name: used before"),
        "overlap": (("new", "2001:db8:d:1::/64"), "overlaps 2001:db8:d:1::/64 of old"),
        "host bits": (("new", "2001:db8:d:2::1/64"), "did you mean 2001:db8:d:2::/64?"),
        "home address": (("new", "2001:db8:d:2::/64", "2001:db8:d::1"), "home_address: used before"),
        "odd name": (('n"ew', "2001:db8:d:2::/64"), "letters, digits"),
        "path": (("../new", "2001:db8:d:2::/64"), "is no name"),
        "no prefix": (("new", "twelve"), "is no prefix"),
    }.values(),
)  # fmt: skip
def test_what_does_not_fit_changes_nothing(conf, tmp_path, args, why):
    done = add(conf, *args)
    assert done.returncode == 1 and why in done.stderr, done.stderr
    assert conf.read_text() == CONF and [p.name for p in tmp_path.iterdir()] == ["nemo-ha.conf"]


@pytest.mark.novm("a command and files")
def test_the_second_time_it_is_refused(conf):
    assert add(conf, "new", "2001:db8:d:2::/64").returncode == 0
    before = conf.read_text()
    again = add(conf, "new", "2001:db8:d:3::/64")
    assert again.returncode == 1 and "exists" in again.stderr and conf.read_text() == before
    assert add(conf, "newer", "2001:db8:d:3::/64").returncode == 0
    check = [os.path.join(BUILD, "nemo-ha"), "-t", "-c", str(conf)]
    assert subprocess.run(check).returncode == 0


def names(tmp_path):
    return sorted(p.name for p in tmp_path.iterdir())


@pytest.mark.novm("a command and files")
def test_all_of_it_goes_again(conf, tmp_path):
    assert add(conf, "new", "2001:db8:d:2::/64").returncode == 0
    assert add(conf, "newer", "2001:db8:d:3::/64").returncode == 0
    listed = tenant(conf, "list", "--json")
    assert [(r["name"], r["prefixes"]) for r in json.loads(listed.stdout)] == [
        ("old", ["2001:db8:d:1::/64"]), ("new", ["2001:db8:d:2::/64"]), ("newer", ["2001:db8:d:3::/64"])]  # fmt: skip
    assert tenant(conf, "list").stdout.count("\n") == 4
    for name in "new", "newer":  # from the middle, then the last
        gone = tenant(conf, "remove", name)
        assert gone.returncode == 0 and f"{name}.keys" in gone.stdout, gone.stderr
    assert "".join(conf.read_text().split()) == "".join(CONF.split()) and names(tmp_path) == ["nemo-ha.conf"]
    again = tenant(conf, "remove", "new")
    assert again.returncode == 1 and "tenant list" in again.stderr
    assert tenant(conf, "remove", "old").returncode == 0  # the only one
    assert 'name = "old"' not in conf.read_text() and "# the last one }" in conf.read_text()
    assert add(conf, "new", "2001:db8:d:1::/64").returncode == 0


@pytest.mark.novm("a command and files")
def test_who_is_needed_stays(conf):
    text = CONF + 'allow = ( { from = "o)ld"; to = "o)ld"; } );\n'
    conf.write_text(text)
    gone = tenant(conf, "remove", "old")
    assert gone.returncode == 1 and "no router has tenant" in gone.stderr and conf.read_text() == text


@pytest.mark.novm("a command and files")
def test_several_at_once_are_one_after_the_other(conf, tmp_path):
    argv = [os.path.join(BUILD, "nemoctl"), "--conf", str(conf), "tenant", "add"]
    all_ = [subprocess.Popen([*argv, f"t{i}", f"2001:db8:d:1{i}::/64"], stdout=subprocess.DEVNULL) for i in range(4)]
    assert [p.wait(30) for p in all_] == [0] * 4
    listed = json.loads(tenant(conf, "list", "--json").stdout)
    assert {r["name"] for r in listed} == {"old", "t0", "t1", "t2", "t3"}
    assert len({r["home_address"] for r in listed}) == 5


@pytest.mark.novm("a command and files")
def test_interrupted_it_is_done_or_not_begun(conf, tmp_path):
    """SIGINT while nemo-ha checks the new configuration: a nemo-ha that waits stands in for the real one."""
    here = tmp_path / "bin"
    here.mkdir()
    copy = shutil.copy(os.path.join(BUILD, "nemoctl"), here / "ctl")
    (here / "nemo-ha").write_text(f"#!/bin/sh\n: >{tmp_path}/checks\nuntil [ -e {tmp_path}/go ]; do sleep 0.05; done\n")
    (here / "nemo-ha").chmod(0o755)
    adding = subprocess.Popen([copy, "tenant", "add", "new", "2001:db8:d:2::/64", "--conf", str(conf)])
    wait_for((tmp_path / "checks").exists, 20, "the check")
    adding.send_signal(signal.SIGINT)
    (tmp_path / "go").touch()
    assert adding.wait(20) == -signal.SIGINT
    assert 'name = "new"' in conf.read_text() and (tmp_path / "new.seed.img").exists()


@pytest.mark.novm("a command and files")
def test_what_is_there_already_is_not_touched(conf, tmp_path):
    """Mode against the umask, a link, others' files."""
    real = tmp_path / "real.conf"
    conf.rename(real)
    conf.symlink_to("real.conf")
    (tmp_path / "other.seed.img").write_text("a disk")
    old = os.umask(0o077)
    try:
        assert add(conf, "new", "2001:db8:d:2::/64").returncode == 0
    finally:
        os.umask(old)
    assert conf.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o640 and 'name = "new"' in real.read_text()
    before = names(tmp_path)
    done = add(conf, "other", "2001:db8:d:3::/64")
    assert done.returncode == 1 and "other.seed.img exists already" in done.stderr
    assert names(tmp_path) == before and (tmp_path / "other.seed.img").read_text() == "a disk"


@pytest.mark.novm("a command and files")
def test_a_full_disk_changes_nothing(conf, tmp_path):
    nemoctl = os.path.join(BUILD, "nemoctl")
    script = f"""mkdir {tmp_path}/full && mount -t tmpfs -o size=16k full {tmp_path}/full && cd {tmp_path}/full &&
        cp {conf} nemo-ha.conf && head -c $((2 * 4096)) /dev/zero >filled
        {nemoctl} tenant add new 2001:db8:d:2::/64 --conf nemo-ha.conf; echo $?; echo *; cmp {conf} nemo-ha.conf"""
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["1", "filled", "nemo-ha.conf"] and "No space left" in done.stderr


@pytest.mark.novm("a command and files")
def test_the_seed_has_what_the_home_agent_has(conf, tmp_path):
    conf.write_text(CONF + "key_port = 7440;\n")
    assert add(conf, "new", "2001:db8:d:2::/64").returncode == 0
    assert "key_port = 7440;" in (tmp_path / "new.seed").read_text().split("---")[0]


@pytest.mark.novm("a command and files")
def test_a_byte_order_mark_is_kept_where_it_is(conf):
    conf.write_text("\ufeff" + CONF)
    done = add(conf, "new", "2001:db8:d:2::/64")
    assert done.returncode == 0, done.stderr
    assert conf.read_text().startswith("\ufeff" + CONF.split("} #")[0])


@pytest.mark.novm("a command and files")
def test_a_configuration_without_the_list_is_left_alone(conf):
    conf.write_text(CONF.split("routers = (")[0])
    done = add(conf, "new", "2001:db8:d:2::/64")
    assert done.returncode == 1 and "routers = (" in done.stderr

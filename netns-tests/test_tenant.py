"""nemoctl tenant add: a new mobile router in one command.

    ha ---- mr        the home agent with the configuration, the router with the seed that were made
"""

import os
import re
import stat
import subprocess

import pytest

from lib.daemon import BUILD, Daemon
from lib.topo import Link, Net, Node, Radvd, Topology

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


def add(conf, *args):
    argv = [os.path.join(BUILD, "nemoctl"), "tenant", "add", *args, "--conf", str(conf)]
    return subprocess.run(argv, capture_output=True, text=True)


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

"""mr/image: how a machine finds its configuration at boot, and what its console says if it does not.  The
image's own script in namespaces of its own, with disks that are folders (real ones: vm/test_migration.py)."""

import os
import subprocess

import pytest

from lib import ROOT
from lib.daemon import BUILD

pytestmark = pytest.mark.novm("a script and files")

SEED = os.path.join(ROOT, "mr", "image", "root", "usr", "local", "lib", "nemo", "seed")
CONF = """name = "blue sky_1";
home_address = "2001:db8:d::1";
home_agents = ( "2001:db8:1::1" );
uplinks = ( { interface = "eth0"; } );
networks = ( { prefix = "2001:db8:d:1::/64"; interface = "eth1"; } );
keys = "/run/nemo/nemo-mr.keys";
"""
KEYS = "psk blue " + "5a" * 32 + "\n"
WHOLE = CONF + "--- nemo-mr.keys\n" + KEYS

# blkid and mount know folders: DISKS/LABEL.DEVICE; one that is called broken can't be mounted.
BLKID = """#!/bin/sh
for d in "$DISKS/${6#LABEL=}".*; do [ ! -e "$d" ] || echo "/dev/${d##*.}"; done
"""
MOUNT = """#!/bin/sh
for d in "$DISKS"/*."${3#/dev/}"; do [ "${d##*.}" != broken ] || { echo "wrong fs type"; exit 32; }; cp -r "$d"/. "$4"; done
"""
SCRIPT = """mount -t tmpfs run /run && mount -t sysfs sys /sys && {cards} && mount --bind {dir}/console /dev/console &&
PATH={dir}/bin:{build}:$PATH sh {seed}; code=$?
echo "$code $(hostname)"; cat /run/nemo/seed-from /run/nemo/nemo-mr.keys; ls /run/systemd/network"""


@pytest.fixture
def boot(tmp_path):
    """Runs the script with these disks ({"cidata.vdb": {file: text}}) and credentials; exit code, host name and
    what is in /run afterwards, and what the console says."""
    (tmp_path / "bin").mkdir()
    for name, text in ("blkid", BLKID), ("mount", MOUNT), ("umount", '#!/bin/sh\nrm -rf "$1"/*\n'):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "console").touch()

    def run(disks=None, cards="ip link add eth0 type veth peer name eth1", **credentials):
        for disk, files in (disks or {}).items():
            (tmp_path / "disks" / disk).mkdir(parents=True)
            for name, text in files.items():
                path = tmp_path / "disks" / disk / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode())
        for name, text in credentials.items():
            (tmp_path / "given").mkdir(exist_ok=True)
            (tmp_path / "given" / name.replace("_", ".").replace("mr", "nemo-mr")).write_text(text)
        env = {**os.environ, "DISKS": f"{tmp_path}/disks", "CREDENTIALS_DIRECTORY": f"{tmp_path}/given"}
        script = SCRIPT.format(cards=cards, dir=tmp_path, build=BUILD, seed=SEED)
        done = subprocess.run(["unshare", "-mun", "sh", "-c", script], env=env, capture_output=True, text=True, timeout=30)
        return done.stdout, (tmp_path / "console").read_text()

    return run


STARTED = "0 blue-sky-1\n{}\n" + KEYS + "50-nemo-eth1.network\n"


def test_credentials_go_before_disks(boot):
    done, said = boot({"cidata.vdb": {"user-data": "nonsense"}}, mr_conf=CONF, mr_keys=KEYS)
    assert done == STARTED.format("credential nemo-mr.conf") and not said


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "dos"])
def test_a_nocloud_disk(boot, end):
    done, said = boot({"CIDATA.vdb": {"user-data": WHOLE.replace("\n", end)}, "CIDATA.vdb1": {}})
    assert done == STARTED.format("user-data on the disk CIDATA") and not said


def test_a_config_drive_after_a_nocloud_disk_without_configuration(boot):
    done, said = boot({"cidata.vdb": {"meta-data": "x"}, "config-2.sr0": {"openstack/latest/user_data": WHOLE}})
    assert done == STARTED.format("user_data on the disk config-2") and not said


@pytest.mark.parametrize(
    "disks, why",
    {
        "nothing": ({}, "No configuration"),
        "without": ({"cidata.vdb": {"meta-data": "x"}}, "The disk cidata (/dev/vdb) has none: meta-data"),
        "broken disk": ({"cidata.broken": {}}, "The disk cidata (/dev/broken) can't be read: wrong fs type"),
        "two disks": ({"cidata.vdb": {"user-data": WHOLE}, "cidata.vdc": {"user-data": WHOLE}}, "/dev/vdb /dev/vdc"),
        "cloud-config": ({"cidata.vdb": {"user-data": "#cloud-config\nhostname: x\n"}}, "which is for cloud-init"),
        "mistake": ({"cidata.vdb": {"user-data": WHOLE.replace("::1", "::x")}}, "nemo-mr.conf:2: home_address"),
        "no secret": ({"cidata.vdb": {"user-data": CONF}}, "has no psk line"),
    }.values(),
)  # fmt: skip
def test_the_console_says_why_there_is_no_router(boot, disks, why):
    done, said = boot(disks)
    assert done.startswith("1 ") and "blue-sky" not in done and "50-nemo" not in done
    assert "not started" in said and why in said, said


def test_a_machine_without_a_network_card_says_so(boot):
    done, said = boot(cards=":", mr_conf=CONF, mr_keys=KEYS)
    assert done.startswith("1 ") and "no network card" in said

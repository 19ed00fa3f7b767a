"""The Debian packages under a real systemd: a virtual machine of Debian 12 installs them, starts the
units, registers, crashes, upgrades, removes and purges (packages.sh).  Needs build/image/base.tar and build/deb."""

import os
import re
import shutil
import subprocess

import pytest
from lib import ROOT
from lib.wait import wait_for

from vm.guest import MACHINE
from vm.lab import IMAGE

pytestmark = pytest.mark.novm("virtual machines are not nested in emulation")

DEB = os.path.join(ROOT, "build", "deb")
SCRIPT = os.path.join(ROOT, "netns-tests", "vm", "packages.sh")
UNIT = """[Unit]
After=multi-user.target
[Service]
ExecStart=/root/packages.sh
"""


PACKAGES = ["nemo-ha", "nemo-mr", "nemo-nat64", "nemoctl"]


def debs():
    found = [os.path.join(DEB, n) for n in sorted(os.listdir(DEB)) if n.endswith(".deb") and "dbgsym" not in n]
    assert len(found) == len(PACKAGES), f"`make deb` first: {found}"
    return found


@pytest.fixture
def root(tmp_path):
    """Debian 12 as a folder."""
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "--numeric-owner", "-xf", os.path.join(IMAGE, "base.tar")], check=True)
    yield root
    shutil.rmtree(root, ignore_errors=True)


def dpkg(root, *args):
    done = subprocess.run(["dpkg", f"--root={root}", "--force-unsafe-io", *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(root):
    """All that a package could have left, but what belongs to dpkg and the system's own lists."""
    of = "etc lib/systemd usr/bin usr/sbin usr/lib/sysusers.d usr/lib/sysctl.d usr/share var/lib/nemo".split()
    found = {str(p.relative_to(root)) for top in of for p in (root / top).rglob("*")}
    return {p for p in found if "nemo" in p}


def test_debugging_symbols_have_packages_of_their_own():
    found = {n.partition("_")[0] for n in os.listdir(DEB) if "dbgsym" in n}
    assert found == {p + "-dbgsym" for p in PACKAGES}


def test_lintian_finds_nothing():
    (changes,) = [os.path.join(DEB, n) for n in os.listdir(DEB) if n.endswith(".changes")]
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", changes], capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stdout.strip(), done.stdout + done.stderr


def test_packages_come_and_go_in_a_fresh_root(root):
    assert not files_of(root)
    dpkg(root, "-i", *debs())
    there = files_of(root)
    for p in PACKAGES:
        assert (root / "usr/share/doc" / p / "copyright").exists()
        assert f"usr/share/bash-completion/completions/{p}" in there
    for d in PACKAGES[:3]:
        assert f"etc/systemd/system/multi-user.target.wants/{d}.service" in there
        assert {f"usr/share/man/man8/{d}.8.gz", f"usr/share/man/man5/{d}.conf.5.gz"} <= there
        assert list((root / "usr/share/doc" / d / "examples").iterdir())
    assert {"libvirt", "qemu"} <= {p.name for p in (root / "usr/share/doc/nemoctl/examples").iterdir()}
    assert "etc/systemd/system/multi-user.target.wants/nemo-metrics.service" not in there
    passwd = (root / "etc/passwd").read_text()
    assert re.search(r"^nemo:.*nologin$", passwd, re.M) and re.search(r"^nemo-metrics:", passwd, re.M)
    for p in ("usr/sbin/nemo-ha", "usr/sbin/nemo-mr", "usr/sbin/nemo-nat64", "usr/bin/nemoctl"):
        done = subprocess.run(["chroot", root, "/" + p, "--version"], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith(os.path.basename(p)), done.stderr
    (root / "etc/nemo/nemo-ha.conf").write_text("mine\n")
    dpkg(root, "-i", *debs())
    dpkg(root, "-P", "nemo-mr")
    assert (root / "etc/nemo/keys").is_dir()  # nemo-ha's too: without it systemd does not start that
    dpkg(root, "-i", *debs())
    dpkg(root, "-r", *PACKAGES)
    assert (root / "etc/nemo/nemo-ha.conf").read_text() == "mine\n"
    (root / "etc/nemo/nemo-ha.conf").unlink()
    dpkg(root, "-P", *PACKAGES)
    assert not files_of(root)


@pytest.fixture
def disk(tmp_path, root):
    """A disk with Debian, the packages as files, and a unit that runs the script; kernel and initrd."""
    image = tmp_path / "disk"
    dpkg(root, "-i", *debs())
    (root / "root" / "debs").mkdir()
    for path in debs():
        shutil.copy(path, root / "root" / "debs")
    shutil.copy(SCRIPT, root / "root")
    (root / "etc/systemd/system/packages.service").write_text(UNIT)
    os.symlink(
        "/etc/systemd/system/packages.service",
        root / "etc/systemd/system/multi-user.target.wants/packages.service",
    )
    os.symlink("/dev/null", root / "etc/systemd/system/serial-getty@ttyS0.service")
    (root / "etc/fstab").write_text("/dev/vda / ext4 noatime 0 1\n")
    (root / "etc/machine-id").write_text("")
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    (initrd,) = (root / "boot").glob("initrd.img-*")
    shutil.copy(kernel, tmp_path / "vmlinuz")
    shutil.copy(initrd, tmp_path / "initrd")
    subprocess.run(["truncate", "-s", "1G", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", root, image], check=True)
    return tmp_path


def test_packages_live_under_systemd(disk):
    console = disk / "console"
    qemu = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", *MACHINE, "-m", "512", "-nic", "none",
         "-kernel", disk / "vmlinuz", "-initrd", disk / "initrd",
         "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet systemd.show_status=false",
         "-drive", f"file={disk / 'disk'},if=virtio,format=raw,cache=unsafe",
         "-serial", f"file:{console}", "-no-reboot"],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: qemu.poll() is not None, 150, lambda: f"the end\n{console.read_text()}")
    finally:
        qemu.kill()
        qemu.wait()
    said = console.read_text(errors="replace")
    print(said)
    assert "RESULT pass" in said and "FAILED" not in said, said
    assert len(re.findall(r"^ok: ", said, re.M)) > 10

"""conf/libvirt/: the hook and the script, with a virsh that only writes down what it is asked."""

import os
import subprocess

import pytest

from lib import ROOT
from lib.wait import wait_for

pytestmark = pytest.mark.novm("scripts")
LIBVIRT = os.path.join(ROOT, "conf", "libvirt")


@pytest.fixture
def virsh(tmp_path):
    """Runs a script; the second word is the lines that its virsh was called with."""
    said = tmp_path / "said"
    program = tmp_path / "virsh"
    program.write_text(f"""#!/bin/sh
line=$(echo "$*" | tr '\\n\\t' '  ')
echo "$line" >>{said}
case $1 in domjobinfo) echo 'Memory processed: 1 MiB';; esac
case "$*" in *broken*) exit 1;; esac
""")
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(script, *args):
        done = subprocess.run([os.path.join(LIBVIRT, script), *args], env=env, capture_output=True, text=True)
        return done, lambda: said.read_text().splitlines() if said.exists() else []

    return run


def test_an_arrived_router_is_told_to_look_around(virsh):
    done, said = virsh("qemu", "nemo-mr-blue", "started", "begin", "-")
    assert done.returncode == 0
    line = wait_for(said, 10, "a question to the guest agent")[0]
    assert line.startswith("qemu-agent-command nemo-mr-blue") and '"nemoctl"' not in line
    assert '/usr/bin/nemoctl' in line and '["mr", "rehome"]' in line


@pytest.mark.parametrize("args", [("web", "started", "begin"), ("nemo-mr-blue", "stopped", "end")])
def test_nobody_else_is(virsh, args):
    done, said = virsh("qemu", *args, "-")
    assert done.returncode == 0 and said() == []


def test_hosts_and_router_move_at_the_same_time(virsh):
    done, said = virsh("migrate-tenant", "qemu+ssh://b/system", "nemo-mr-blue", "web", "db")
    assert done.returncode == 0, done.stderr
    moved = [line.split()[-2] for line in said() if line.startswith("migrate ")]
    assert sorted(moved) == ["db", "nemo-mr-blue", "web"] and moved[-1] == "nemo-mr-blue"


def test_half_a_tenant_is_an_error(virsh):
    done, _ = virsh("migrate-tenant", "qemu+ssh://b/system", "nemo-mr-blue", "broken")
    assert done.returncode == 1 and "two parts" in done.stderr
    usage, _ = virsh("migrate-tenant")
    assert usage.returncode == 2 and "DESTINATION ROUTER HOST" in usage.stderr


# --- conf/qemu/ ---

MACHINE = "qemu-system-x86_64 -machine pc -accel tcg -m 16 -nodefaults -display none".split()


@pytest.fixture
def machine(tmp_path):
    """Starts an empty machine with a QMP socket; 'incoming': it waits there."""
    running = []

    def start(name, *more):
        path = str(tmp_path / name)
        running.append(subprocess.Popen([*MACHINE, "-qmp", f"unix:{path},server=on,wait=off", *more]))
        return path

    yield start
    for proc in running:
        proc.kill()
        proc.wait()


def test_qemu_machines_move_together(machine, tmp_path):
    args = []
    for name in "router", "web":
        uri = f"unix:{tmp_path}/{name}.incoming"
        machine(name + ".new", "-incoming", uri)
        args.append(f"{name},{machine(name)},{uri}")
    script = os.path.join(ROOT, "conf", "qemu", "nemo_migrate.py")
    wait_for(lambda: len(list(tmp_path.glob("*.incoming"))) == 2, 20, "both wait")
    done = subprocess.run([script, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["router", "web"]
    again = subprocess.run([script, *args], capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and "nemo_migrate: " in again.stderr

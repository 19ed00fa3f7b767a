"""conf/libvirt/: the hook and the script, with a virsh that only writes down what it is asked (with the
real one: vm/test_libvirt.py).  conf/qemu/: with empty machines."""

import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from lib import ROOT
from lib.wait import patient, wait_for

pytestmark = pytest.mark.novm("scripts")
LIBVIRT = os.path.join(ROOT, "conf", "libvirt")


# What it is asked is written down; domains run and their memory is nearly copied.
VIRSH = """#!/bin/sh
line=$(echo "$*" | tr '\\n\\t' '  ')
echo "$line" >>{dir}/said
case $* in
*domjobinfo*broken*) ;;
*domjobinfo*) printf 'memory_total: 1000000\\nmemory_processed: 900000\\nmemory_remaining: 1000\\n' ;;
domstate*) for n in $(seq 100); do [ ! -e {dir}/held ] || sleep 0.1; done; cat {dir}/state ;;
*' migrate '*broken* | *'domstate nix'*) exit 1 ;;
esac
"""


@pytest.fixture
def virsh(tmp_path):
    """Runs a script; the second word is the lines that its virsh was called with."""
    said, program, state = (tmp_path / name for name in ("said", "virsh", "state"))
    program.write_text(VIRSH.format(dir=tmp_path))
    program.chmod(0o755)
    state.write_text("running (migrated)\n")
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run(script, *args):
        path = os.path.join(LIBVIRT, script)
        done = subprocess.run([path, *args], env=env, capture_output=True, text=True, timeout=patient(20))
        return done, lambda: said.read_text().splitlines() if said.exists() else []

    return run


def agent_commands(said):
    return [line for line in said() if line.startswith("qemu-agent-command nemo-mr-blue")]


def test_an_arrived_router_is_told_to_look_around(virsh):
    done, said = virsh("qemu", "nemo-mr-blue", "started", "begin", "-")
    assert done.returncode == 0
    line = wait_for(lambda: agent_commands(said), 10, "a question to the guest agent")[0]
    assert "/usr/bin/nemoctl" in line and '["mr", "rehome"]' in line


def test_libvirt_is_asked_only_when_it_no_longer_waits_for_the_hook(virsh, tmp_path):
    """libvirt reads what a hook says until its end, and answers no question about the domain meanwhile."""
    held = tmp_path / "held"
    held.touch()
    done, said = virsh("qemu", "nemo-mr-blue", "started", "begin", "-")  # ends while virsh is held
    assert done.returncode == 0 and not agent_commands(said)
    held.unlink()
    wait_for(lambda: agent_commands(said), 10, "a question to the guest agent")


def test_a_router_that_was_just_started_is_not(virsh, tmp_path):
    (tmp_path / "state").write_text("running (booted)\n")
    done, said = virsh("qemu", "nemo-mr-blue", "started", "begin", "-")
    wait_for(lambda: any(line.startswith("domstate") for line in said()), 10, "a look at it")
    assert done.returncode == 0 and not agent_commands(said)


@pytest.mark.parametrize("args", [("web", "started", "begin"), ("nemo-mr-blue", "stopped", "end")])
def test_nobody_else_is(virsh, args):
    done, said = virsh("qemu", *args, "-")
    assert done.returncode == 0 and said() == []


def test_hosts_and_router_move_at_the_same_time(virsh):
    done, said = virsh("migrate-tenant", "qemu+ssh://b/system", "nemo-mr-blue", "web", "db")
    assert done.returncode == 0, done.stderr
    moved = [line.split()[-2] for line in said() if " migrate " in line]
    assert sorted(moved) == ["db", "nemo-mr-blue", "web"]


def test_half_a_tenant_is_an_error(virsh):
    done, _ = virsh("migrate-tenant", "qemu+ssh://b/system", "nemo-mr-blue", "broken")
    assert done.returncode == 1 and "two parts" in done.stderr


def test_a_wrong_name_moves_nobody(virsh):
    done, said = virsh("migrate-tenant", "qemu+ssh://b/system", "nemo-mr-blue", "nix")
    assert done.returncode == 1 and not any(" migrate " in line for line in said())
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
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as free:
        port = free.getsockname()[1]
    uris = {"router": f"unix:{tmp_path}/router.incoming", "web": f"tcp:[::1]:{port}"}
    args = []
    for name, uri in uris.items():
        machine(name + ".new", "-incoming", uri)
        args.append(f"{name},{machine(name)},{uri}")
    script = os.path.join(ROOT, "conf", "qemu", "nemo_migrate.py")
    listens = lambda: f":{port} " in subprocess.run(["ss", "-Hltn6"], capture_output=True, text=True).stdout  # noqa: E731
    wait_for(lambda: listens() and list(tmp_path.glob("*.incoming")), 20, "both wait")
    done = subprocess.run([script, *args], capture_output=True, text=True, timeout=patient(60))
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["router", "web"]
    again = subprocess.run([script, *args], capture_output=True, text=True, timeout=patient(60))
    assert again.returncode == 1 and "nemo_migrate: " in again.stderr and "router, web moved already" in again.stderr
    usage = subprocess.run([script, "router"], capture_output=True, text=True, timeout=patient(20))
    assert usage.returncode == 2 and "QMP_SOCKET" in usage.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_an_interrupted_migration_is_taken_back(tmp_path, end):
    """A machine of cardboard, whose memory is never copied."""
    listener, twin = (socket.socket(socket.AF_UNIX) for _ in range(2))
    said = []
    for end_of, name in (listener, "qmp"), (twin, "twin"):
        end_of.bind(str(tmp_path / name))
        end_of.listen(1)
    answers = {
        "query-memory-size-summary": {"base-memory": 1 << 30},
        "query-migrate": {"status": "active", "ram": {"total": 1 << 30, "remaining": 1 << 29, "transferred": 1}},
        "query-status": {"status": "running"},
    }

    def serve():
        with listener.accept()[0].makefile("rw") as f:
            f.write('{"QMP": {}}\n')
            f.flush()
            for line in f:
                asked = json.loads(line)
                said.append(asked["execute"])
                answer = {"return": answers.get(said[-1], {}), "id": asked.get("id")}
                f.write(json.dumps(answer) + "\n")
                f.flush()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    script = os.path.join(ROOT, "conf", "qemu", "nemo_migrate.py")
    mover = subprocess.Popen([script, f"router,{tmp_path}/qmp,unix:{tmp_path}/twin"], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: said.count("query-migrate") > 2, 20, "a migration under way")
    mover.send_signal(end)
    assert "interrupted" in mover.communicate(timeout=patient(20))[1] and mover.returncode == 1
    server.join(20)
    assert "migrate_cancel" in said

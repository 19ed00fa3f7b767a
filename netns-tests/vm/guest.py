"""Virtual machines in the namespaces of a Net: started, looked into, live-migrated.

    a = Guest(net, "hv-a", "mr", boot, memory_mb=256, nics={"mr0": "uplink", "mr1": "vnet"})
    a.start()
    b = a.twin("hv-b"); b.start(incoming=True)
    migrate([(a, b)])

QEMU without KVM (TCG): slow, but the very same guest, devices and migration.
"""

import base64
import os
import subprocess
import sys

from lib import ROOT
from lib.topo import stop
from lib.wait import Timeout, wait_for

sys.path.insert(0, os.path.join(ROOT, "conf", "qemu"))
from nemo_migrate import Failed, Qmp, Socket, connect, together  # noqa: E402

# Devices whose state 7.2 can move and every cloud has.
MACHINE = "-machine pc -accel tcg,thread=single -cpu max -smp 1 -nodefaults -display none".split()
GA_TIMEOUT_S = 10
# QEMU before 9.0 loses writes of an emulated CPU during a migration where it looks at its record of
# dirty pages in steps of 64 pages, and it does so if memory is a multiple of these: guests panic.
ODD_KB = 128


class Boot:
    """What a guest boots: kernel, initrd, command line, and a disk image (or none)."""

    def __init__(self, kernel, initrd, cmdline, image=None):
        self.kernel, self.initrd, self.cmdline, self.image = kernel, initrd, cmdline, image


class Guest:
    """One virtual machine.  'nics': {tap interface: bridge of the node}, in the guest's order;
    'credentials': {name: text}, handed over as systemd credentials."""

    def __init__(self, net, node, name, boot, memory_mb, nics, credentials=None, serial_no=1):
        self.net, self.node, self.name = net, node, name
        self.boot, self.memory_mb, self.nics = boot, memory_mb, nics
        self.credentials, self.serial_no = credentials or {}, serial_no
        self.base = os.path.join(net.dir, f"{name}-{serial_no}")
        self.console_path = os.path.join(net.dir, f"{name}.console")
        self.disk = os.path.join(net.dir, f"{name}.qcow2") if boot.image else None
        self.seed = None  # path of a seed disk
        self.incoming = f"unix:{self.base}.incoming.sock"  # where it is migrated to
        self.proc = self.qmp = None

    def twin(self, node, listen=None):
        """The same machine on another hypervisor, to be started with incoming=True; 'listen':
        "[ADDRESS]:PORT" instead of a unix socket."""
        twin = Guest(self.net, node, self.name, self.boot, self.memory_mb, self.nics,
                     self.credentials, self.serial_no + 1)  # fmt: skip
        if listen:
            twin.incoming = "tcp:" + listen
        return twin

    def mac(self, index):
        return f"52:54:00:{sum(self.name.encode()) % 256:02x}:00:{index:02x}"

    def start(self, incoming=False):
        self._taps()
        self.make_disk()
        self.proc = self.net[self.node].popen(
            ["setpriv", "--pdeathsig", "KILL", *self._argv(incoming)],
            stdin=subprocess.DEVNULL,
            stdout=open(self.base + ".qemu", "w"),
            stderr=subprocess.STDOUT,
        )
        self.net.started(self.proc)
        try:
            self.qmp = Qmp(self.base + ".qmp.sock")
        except Failed as e:
            raise RuntimeError(f"QEMU: {open(self.base + '.qemu').read()}") from e
        return self

    def make_disk(self):
        if self.disk and not os.path.exists(self.disk):
            create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2"]
            subprocess.run([*create, "-b", os.path.abspath(self.boot.image), self.disk], check=True)

    def _taps(self):
        node = self.net[self.node]
        lines = []
        for tap, bridge in self.nics.items():
            if tap not in node.out("ls /sys/class/net").split():
                lines += [f"tuntap add dev {tap} mode tap", f"link set {tap} master {bridge} up"]
        node.batch(lines)

    def _argv(self, incoming):
        memory = f"{self.memory_mb * 1024 - ODD_KB}K"
        argv = ["qemu-system-x86_64", "-name", self.name, *MACHINE, "-m", memory]
        if self.boot.kernel:
            argv += ["-kernel", self.boot.kernel, "-initrd", self.boot.initrd]
            argv += ["-append", self.boot.cmdline]
        if self.disk:
            argv += ["-drive", f"file={self.disk},if=virtio,format=qcow2"]
        if self.seed:
            argv += ["-drive", f"file={self.seed},if=virtio,format=raw,readonly=on"]
        for i, tap in enumerate(self.nics):
            argv += ["-netdev", f"tap,id=n{i},ifname={tap},script=no,downscript=no"]
            argv += ["-device", f"virtio-net-pci,netdev=n{i},mac={self.mac(i)},romfile="]
        for name, text in self.credentials.items():
            value = base64.b64encode(text.encode()).decode()
            argv += ["-smbios", f"type=11,value=io.systemd.credential.binary:{name}={value}"]
        argv += ["-chardev", f"file,id=console,path={self.console_path},append=on"]
        argv += ["-serial", "chardev:console"]
        argv += ["-chardev", f"socket,id=ga,path={self.base}.ga.sock,server=on,wait=off"]
        argv += ["-device", "virtio-serial-pci"]
        argv += ["-device", "virtserialport,chardev=ga,name=org.qemu.guest_agent.0"]
        argv += ["-qmp", f"unix:{self.base}.qmp.sock,server=on,wait=off"]
        if incoming:
            argv += ["-incoming", self.incoming]
        return argv

    def console(self):
        try:
            with open(self.console_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def execute(self, *argv):
        """Runs a command in the guest through its agent and returns its output."""
        agent = Socket(self.base + ".ga.sock")
        try:
            agent.send(execute="guest-exec",
                       arguments={"path": argv[0], "arg": argv[1:], "capture-output": True})  # fmt: skip
            started = agent.read(GA_TIMEOUT_S)
            if not started or "return" not in started:
                raise Timeout(f"{self.name}: the guest agent does not answer: {started}")

            def done():
                agent.send(execute="guest-exec-status", arguments=started["return"])
                answer = agent.read(GA_TIMEOUT_S)
                return answer["return"] if answer and answer["return"]["exited"] else None

            result = wait_for(done, GA_TIMEOUT_S, f"{self.name}: end of {argv}")
        finally:
            agent.close()
        if result.get("exitcode"):
            error = base64.b64decode(result.get("err-data", "")).decode()
            raise RuntimeError(f"{self.name}: {argv}: exit {result['exitcode']}\n{error}")
        return base64.b64decode(result.get("out-data", "")).decode()

    def runs_on(self):
        """After a migration that failed: does it run here, as if nothing had been?"""
        over = lambda: self.qmp.ask("query-migrate").get("status") not in ("active", "cancelling")  # noqa: E731
        wait_for(over, 10, f"{self.name}: the end of its migration")
        return self.qmp.ask("query-status")["running"]

    def stop(self):
        if self.qmp:
            self.qmp.close()
            self.qmp = None
        if self.proc:
            stop(self.proc)


def migrate(pairs, limit_s):
    """Moves guests to their started twins, all of them at the same moment.  Returns, per guest,
    {"pause_ms", "stopped", "resumed" (ns, realtime), "total_ms", "rounds", "ram_mb"}.  What stays
    behind is the caller's to stop: not yet, because to take a machine's memory apart costs the
    processor time that another hypervisor's guests would not miss."""
    machines = []
    for old, new in pairs:
        with old.net[old.node].entered():
            machines.append((old.name, old.qmp, connect(new.incoming)))
    done = together(machines, limit_s)
    return [_figures(old, new, info) for (old, new), info in zip(pairs, done)]


def _figures(old, new, info):
    stopped, resumed = old.qmp.event_at("STOP"), new.qmp.event_at("RESUME")
    return {
        "pause_ms": (resumed - stopped) / 1e6,
        "stopped": stopped,
        "resumed": resumed,
        "total_ms": info["total-time"],
        "rounds": info["ram"]["dirty-sync-count"],
        "ram_mb": info["ram"]["transferred"] / (1 << 20),
    }

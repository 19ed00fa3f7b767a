"""Two real libvirtd, each in a hypervisor's namespace with a /run, /etc/libvirt and /var/lib/libvirt of
its own, and the lab's machines as their domains."""

import base64
import os
import shutil
import subprocess
import uuid

from lib.wait import wait_for

from .guest import ODD_KB

PROGRAMS = ("libvirtd", "virsh")
CONF = {
    "libvirtd.conf": 'auth_unix_rw = "none"\nhost_uuid = "{uuid}"\n',
    # No daemon beside it, no groups and users that a package would have to make.
    "qemu.conf": 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\n'
    'cgroup_controllers = []\nstdio_handler = "file"\nremember_owner = 0\ndynamic_ownership = 0\n',
}
OWN_FOLDERS = """
rest=64055::/:/bin/false
mount --make-rprivate /
mount --bind {etc} /etc/libvirt
for file in passwd group; do # what libvirt-daemon-system makes
	{{ cat /etc/$file; echo libvirt-qemu:x:64055:$rest; }} >{etc}/$file
	mount --bind {etc}/$file /etc/$file
	rest=
done
mount -t tmpfs run /run
mount -t tmpfs var /var
ln -s /run /var/run
hostname {node}
exec libvirtd
"""
# libvirt counts memory in MiB, and emulation needs an odd size: see guest.py.
EMULATOR = r"""#!/bin/bash
args=()
for a; do
	[[ $last != -m ]] || a={odd}B
	last=$a
	args+=("${{a/\"size\":{octets}/\"size\":{odd}}}")
done
exec qemu-system-x86_64 "${{args[@]}}"
"""


def missing():
    return [p for p in PROGRAMS if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin")]


class Libvirtd:
    def __init__(self, net, node, hook):
        self.net, self.node = net, node
        self.dir = os.path.join(net.dir, f"libvirt-{node}")
        self.called = os.path.join(self.dir, "called")  # what hooks were called with, a line each
        self.etc = etc = os.path.join(self.dir, "etc")
        os.makedirs(os.path.join(etc, "hooks", "qemu.d"))
        for name, text in CONF.items():
            self._write(os.path.join(etc, name), text.format(uuid=uuid.uuid4()))
        shutil.copy(hook, os.path.join(etc, "hooks", "qemu"))
        self._write(os.path.join(etc, "hooks", "qemu.d", "tell"), f'#!/bin/sh\necho "$@" >>{self.called}\n', 0o755)

    def _write(self, path, text, mode=0o644):
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def start(self):
        script = OWN_FOLDERS.format(etc=self.etc, node=self.node)
        self.proc = self.net[self.node].popen(
            ["unshare", "--mount", "--uts", "sh", "-ec", script],
            stdout=open(os.path.join(self.dir, "log"), "w"),
            stderr=subprocess.STDOUT,
        )
        self.net.started(self.proc)
        self.root = f"/proc/{self.proc.pid}/root"
        self.uri = f"qemu+unix:///system?socket={self.root}/run/libvirt/libvirt-sock"
        wait_for(self.answers, 20, self.log)
        return self

    def answers(self):
        assert self.proc.poll() is None, self.log()
        return self.run("virsh", "uri").returncode == 0

    def log(self):
        with open(os.path.join(self.dir, "log")) as f:
            return f.read()

    def run(self, *argv, env=None, **kw):
        """Runs a program where the hypervisor's own would."""
        enter = ["nsenter", "--target", str(self.proc.pid), "--mount", "--net", "--uts"]
        return subprocess.run([*enter, *argv], capture_output=True, text=True, env={**os.environ, **(env or {})}, **kw)

    def virsh(self, *args):
        done = self.run("virsh", "-q", *args)
        if done.returncode:
            raise RuntimeError(f"virsh {args}: {done.stderr}\n{self.log()}")
        return done.stdout

    def define_and_start(self, guest, name, announced=True):
        guest.make_disk()
        octets = guest.memory_mb << 20
        emulator = os.path.join(self.net.dir, f"qemu-{guest.memory_mb}")
        self._write(emulator, EMULATOR.format(octets=octets, odd=octets - ODD_KB * 1024), 0o755)
        path = os.path.join(self.dir, f"{name}.xml")
        self._write(path, domain(guest, name, emulator, announced), 0o600)
        self.virsh("define", path)
        self.virsh("start", name)

    def end_domains(self):
        for name in self.virsh("list", "--name").split():
            self.virsh("destroy", name)

    def hooks(self):
        try:
            with open(self.called) as f:
                return [line.split() for line in f]
        except FileNotFoundError:
            return []


def domain(guest, name, emulator, announced):
    """XML of the domain that a Guest is; 'announced': it gets the event of a migration."""
    nics = "".join(
        f"<interface type='bridge'><source bridge='{bridge}'/><mac address='{guest.mac(i)}'/>"
        "<model type='virtio'/><rom enabled='no'/></interface>"
        for i, bridge in enumerate(guest.nics.values())
    )
    entries = "".join(
        f"<entry>io.systemd.credential.binary:{k}={base64.b64encode(v.encode()).decode()}</entry>"
        for k, v in guest.credentials.items()
    )
    disk = (
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
        f"<source file='{guest.disk}'/><target dev='vda' bus='virtio'/></disk>"
    )
    silent = "".join(
        f"<qemu:device alias='net{i}'><qemu:frontend>"
        "<qemu:property name='guest_announce' type='bool' value='false'/></qemu:frontend></qemu:device>"
        for i in range(0 if announced else len(guest.nics))
    )
    return f"""<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>{name}</name>
<uuid>{uuid.uuid5(uuid.NAMESPACE_DNS, name)}</uuid>
<memory unit='MiB'>{guest.memory_mb}</memory><vcpu>1</vcpu>
<sysinfo type='smbios'>{f"<oemStrings>{entries}</oemStrings>" if entries else ""}</sysinfo>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{guest.boot.kernel}</kernel>
<initrd>{guest.boot.initrd}</initrd><cmdline>{guest.boot.cmdline}</cmdline><smbios mode='sysinfo'/></os>
<features><acpi/></features><cpu mode='maximum'/>
<devices><emulator>{emulator}</emulator>{disk if guest.disk else ""}{nics}
<controller type='usb' model='none'/><memballoon model='none'/>
<serial type='file'><source path='{guest.console_path}' append='on'/></serial>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
</devices>{f"<qemu:override>{silent}</qemu:override>" if silent else ""}</domain>
"""

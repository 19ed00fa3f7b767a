"""Network namespaces of one test run: made, used, removed, whatever happens in between.

Their names start with 'nemo-PID-', so that those of a crashed run are known by its dead process
and are removed by the next run.
"""

import atexit
import ctypes
import fcntl
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager

from .wait import patient, wait_for

PREFIX = "nemo-"
RUN = "/run/netns"
CLONE_NEWNET = 0x40000000
SIOCGIFHWADDR = 0x8927
_made = []
_serial = 0
_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*args, batch=None):
    return subprocess.run(["ip", *args], input=batch, text=True, capture_output=True)


def ip_batch(lines):
    """Runs many ip(8) commands in one process; any error is an exception that quotes them."""
    lines = list(lines)
    if not lines:
        return
    done = _ip("-batch", "-", batch="\n".join(lines) + "\n")
    if done.returncode:
        raise RuntimeError(f"ip -batch: {done.stderr.strip()}\n" + "\n".join(lines))


def existing():
    """Names of all of our namespaces on this machine, other runs' included."""
    try:
        return [name for name in os.listdir(RUN) if name.startswith(PREFIX)]
    except FileNotFoundError:
        return []


def _identity(path):
    """What tells network namespaces apart; None if there is none (any more)."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def processes(names):
    """Ids of all processes in these namespaces."""
    wanted = {_identity(os.path.join(RUN, ns)) for ns in names} - {None}
    pids = [int(pid) for pid in os.listdir("/proc") if pid.isdigit()]
    return [pid for pid in pids if _identity(f"/proc/{pid}/ns/net") in wanted]


def remove(names):
    """Ends whatever still runs in these namespaces and deletes them."""
    if not names:
        return
    for pid in processes(names):
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    _ip("-force", "-batch", "-", batch="".join(f"netns del {ns}\n" for ns in names))


def remove_leftovers():
    """Removes the namespaces and folders of runs whose process is gone."""
    gone = []
    for ns in existing():
        found = re.match(PREFIX + r"(\d+)-", ns)
        if found and not os.path.exists(f"/proc/{found.group(1)}"):
            gone.append(ns)
    remove(gone)
    for path in glob.glob(os.path.join(tempfile.gettempdir(), PREFIX + "*")):
        found = re.match(PREFIX + r"(\d+)-", os.path.basename(path))
        if found and not os.path.exists(f"/proc/{found.group(1)}"):
            shutil.rmtree(path, ignore_errors=True)
    return gone


@atexit.register
def _remove_own():
    remove(list(_made))


def end_cleanly_on(*signals):
    """These signals end the program as an exception does: with all it made removed."""
    for number in signals:
        signal.signal(number, lambda n, _: sys.exit(128 + n))


class Namespace:
    """One network namespace; 'name' is the short one used in tests and drawings."""

    def __init__(self, name, group):
        self.name = name
        self.ns = f"{PREFIX}{os.getpid()}-{group}-{name}"

    @contextmanager
    def entered(self):
        """This process is in the namespace meanwhile, and so is what it starts and opens there."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(os.path.join(RUN, self.ns), os.O_RDONLY)
            try:
                if _libc.setns(there, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {self.ns}")
            finally:
                os.close(there)
            try:
                yield
            finally:
                if _libc.setns(own, CLONE_NEWNET):
                    os._exit(70)  # all that follows would be of the wrong namespace
        finally:
            os.close(own)

    def run(self, command, check=True, timeout=60, **kw):
        """Runs a command to its end in this namespace; 'command' is a string or a list.  /sys is
        the namespace's own for commands that name it."""
        kw = {"capture_output": True, "text": True, **kw}
        args = _words(command)
        if any("/sys/" in a for a in args):
            done = subprocess.run(self._with_sysfs(args), timeout=patient(timeout), **kw)
        else:
            with self.entered():
                done = subprocess.run(args, timeout=patient(timeout), **kw)
        if check and done.returncode:
            raise RuntimeError(
                f"{self.name}: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def out(self, command, **kw):
        return self.run(command, **kw).stdout

    def popen(self, command, sysfs=True, **kw):
        """Starts a command; the process id is the command's.  Without 'sysfs' it sees the
        machine's /sys instead of the namespace's: that is much cheaper."""
        if sysfs:
            return subprocess.Popen(self._with_sysfs(_words(command)), **kw)
        with self.entered():
            return subprocess.Popen(_words(command), **kw)

    def _with_sysfs(self, args):
        return ["ip", "netns", "exec", self.ns, *args]

    def sysctl(self, **values):
        """sysctl(**{"net.ipv6.conf.all.forwarding": 1})"""
        with self.entered():
            for key, value in values.items():
                with open("/proc/sys/" + key.replace(".", "/"), "w") as f:
                    f.write(str(value))

    def socket(self, *args):
        """A socket of the namespace, used from here: it stays there."""
        with self.entered():
            return socket.socket(*args)

    def mac(self, interface):
        """An interface's Ethernet address as text."""
        with self.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            answer = fcntl.ioctl(s, SIOCGIFHWADDR, struct.pack("16s16x", interface.encode()))
        return answer[18:24].hex(":")

    def batch(self, lines, family=6):
        """ip(8) commands in this namespace, for IPv6 or IPv4."""
        lines = list(lines)
        if not lines:
            return
        with self.entered():
            done = _ip(f"-{family}", "-batch", "-", batch="\n".join(lines) + "\n")
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip()}\n" + "\n".join(lines))


    def add_address(self, address, dev):
        """As `ip addr add`, and it is in use: the kernel's worker that sees to that may be late."""
        self.batch([f"addr add {address} dev {dev} nodad"])
        local = f"local {address.partition('/')[0]} "
        wait_for(lambda: local in self.out("ip -6 route show table local"), 5, f"{self.name}: {local}")


def _words(command):
    return shlex.split(command) if isinstance(command, str) else [str(a) for a in command]


def make(names):
    """Makes namespaces and returns {name: Namespace}."""
    global _serial
    _serial += 1
    made = {name: Namespace(name, _serial) for name in names}
    _made.extend(n.ns for n in made.values())
    ip_batch(f"netns add {n.ns}" for n in made.values())
    return made


def unmake(namespaces):
    names = [n.ns for n in namespaces]
    remove(names)
    for name in names:
        if name in _made:
            _made.remove(name)

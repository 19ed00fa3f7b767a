"""Network namespaces of one test run: made, used, removed, whatever happens in between.

Their names start with 'nemo-PID-', so that those of a crashed run are known by its dead process
and are removed by the next run.
"""

import atexit
import glob
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

PREFIX = "nemo-"
_made = []
_serial = 0


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
    out = _ip("netns", "list").stdout
    return [line.split()[0] for line in out.splitlines() if line.startswith(PREFIX)]


def processes(ns):
    return [int(pid) for pid in _ip("netns", "pids", ns).stdout.split()]


def remove(names):
    """Ends whatever still runs in these namespaces and deletes them."""
    for ns in names:
        for pid in processes(ns):
            if pid != os.getpid():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        _ip("netns", "del", ns)


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

    def argv(self, command):
        args = shlex.split(command) if isinstance(command, str) else [str(a) for a in command]
        return ["ip", "netns", "exec", self.ns, *args]

    def run(self, command, check=True, timeout=60, **kw):
        """Runs a command to its end in this namespace; 'command' is a string or a list."""
        kw = {"capture_output": True, "text": True, **kw}
        done = subprocess.run(self.argv(command), timeout=timeout, **kw)
        if check and done.returncode:
            raise RuntimeError(
                f"{self.name}: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def out(self, command, **kw):
        return self.run(command, **kw).stdout

    def popen(self, command, **kw):
        """Starts a command; 'ip netns exec' becomes it, so the process id is the command's."""
        return subprocess.Popen(self.argv(command), **kw)

    def sysctl(self, **values):
        """sysctl(**{"net.ipv6.conf.all.forwarding": 1})"""
        self.run(["sysctl", "-qw", *(f"{k}={v}" for k, v in values.items())])

    def batch(self, lines, family=6):
        """ip(8) commands in this namespace, for IPv6 or IPv4."""
        lines = list(lines)
        if not lines:
            return
        done = _ip(f"-{family}", "-n", self.ns, "-batch", "-", batch="\n".join(lines) + "\n")
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.strip()}\n" + "\n".join(lines))


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

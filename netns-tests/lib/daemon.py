"""The daemons under test: configured, started and awaited by their ready notification, asked and
listened to through their control sockets (doc/control.md), stopped by process id."""

import json
import os
import re
import select
import signal
import socket
import time

from . import ROOT
from .topo import stop
from .wait import Timeout, patient, wait_for

PROTECTED = ("nemo-ha", "nemo-mr")  # daemons whose signalling is protected, or not
BUILD = os.environ.get("NEMO_BUILD", os.path.join(ROOT, "build"))


def libconfig(value, indent=""):
    """A Python value as libconfig text: dict = group, list = list; the top level is a dict."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, dict):
        inner = indent + "  "
        body = "".join(f"{inner}{k} = {libconfig(v, inner)};\n" for k, v in value.items())
        return "{\n" + body + indent + "}"
    if isinstance(value, (list, tuple)):
        return "( " + ", ".join(libconfig(v, indent + "  ") for v in value) + " )"
    return str(value)


def libconfig_file(conf):
    return "".join(f"{k} = {libconfig(v)};\n" for k, v in conf.items())


def with_settings(text, settings):
    """A configuration file's text with some top-level settings of one line replaced."""
    for key, value in settings.items():
        line = f"{key} = {libconfig(value)};"
        text, n = re.subn(rf"^{key} *=.*;$", lambda _: line, text, count=1, flags=re.M)
        if not n:
            text += line + "\n"
    return text


class ControlError(Exception):
    """The daemon answered "ok": false."""


def ask(path, cmd, timeout=20, **fields):
    """One command over a control socket; returns "data" of the answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(patient(timeout))
        s.connect(path)
        s.sendall(json.dumps({"cmd": cmd, **fields}).encode() + b"\n")
        answer = json.loads(s.makefile("rb").readline() or b"{}")
    if not answer.get("ok"):
        raise ControlError(f"{cmd}: {answer}")
    return answer.get("data")


class Events:
    """The stream of a daemon's 'monitor'.  wait() looks from where the last wait() ended."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.sendall(b'{"cmd":"monitor"}\n')
        self.socket.setblocking(False)
        self.rest = b""
        self.seen = []
        self.at = 0

    def _read(self, timeout):
        ready, _, _ = select.select([self.socket], [], [], timeout)
        if not ready:
            return
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the daemon closed its event stream")
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if "event" in event:
                self.seen.append(event)

    def poll(self):
        """All events so far."""
        before = -1
        while before != len(self.seen):
            before = len(self.seen)
            self._read(0)
        return self.seen

    def keep_sessions(self, folder):
        """Negotiated keys are kept over a restart; 'folder' is on a tmpfs."""
        path = os.path.join(folder, f"{os.path.basename(self.net.dir)}-{self.name}.sessions")
        self.conf = with_settings(self.conf, {"session_file": path})
        self.session_path = path

    def forget(self):
        """The next wait() sees only what comes from now on."""
        self.at = len(self.poll())

    def wait(self, name, timeout=10, **fields):
        timeout = patient(timeout)
        deadline = time.monotonic() + timeout
        while True:
            while self.at < len(self.seen):
                event = self.seen[self.at]
                self.at += 1
                if event["event"] == name and all(event.get(k) == v for k, v in fields.items()):
                    return event
            left = deadline - time.monotonic()
            if left <= 0:
                names = [e["event"] for e in self.seen]
                raise Timeout(f"no event {name} {fields} within {timeout:g} s; seen: {names}")
            self._read(left)

    def close(self):
        self.socket.close()


class Daemon:
    """One process in a namespace of a Net.  'conf' is a dict or a configuration file's text."""

    def __init__(self, net, node, program, conf, name=None, env=None):
        self.net, self.node, self.program = net, net[node], program
        self.name = name or f"{program}@{node}"
        base = os.path.join(net.dir, self.name)
        self.control = base + ".sock"
        self.conf_path, self.log_path = base + ".conf", base + ".log"
        own = {"control": self.control}
        if program in PROTECTED:
            own["state_file"] = self.state_path = base + ".state"
            # Where it is kept only if a test says so: it has to be a tmpfs.
            own["session_file"] = self.session_path = base + ".sessions"
        if isinstance(conf, str):
            self.conf = with_settings(conf, own)
        else:
            # Tests of other things say nothing of protection; the daemons want a word.
            clear = {"protection": "none"} if program in PROTECTED else {}
            self.conf = libconfig_file({**clear, **conf, **own})
        self.env = env or {}
        self.proc = self.events = None
        net.daemons.append(self)

    def start(self, timeout=20):
        with open(self.conf_path, "w") as f:
            f.write(self.conf)
        notify = self.control + ".notify"
        if os.path.exists(notify):
            os.unlink(notify)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(notify)
            os.chmod(notify, 0o777)
            ready.setblocking(False)
            path = self.program if "/" in self.program else os.path.join(BUILD, self.program)
            with open(self.log_path, "a") as log:
                self.proc = self.node.popen(
                    [path, "-c", self.conf_path],
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self.env, "NOTIFY_SOCKET": notify},
                )

            def is_ready():
                if self.proc.poll() is not None:
                    raise RuntimeError(f"{self.name}: exit {self.proc.returncode}\n{self.log()}")
                try:
                    return b"READY=1" in ready.recv(4096)
                except BlockingIOError:
                    return False

            wait_for(is_ready, timeout, lambda: f"{self.name} is ready\n{self.log()}")
        os.unlink(notify)
        self.events = Events(self.control)
        return self

    def ask(self, cmd, timeout=20, **fields):
        return ask(self.control, cmd, timeout, **fields)

    def status(self):
        return self.ask("status")

    def wait_status(self, test, what, timeout=10):
        """Polls until test(status) is true: for what may be over before events were listened to."""
        return wait_for(lambda: test(self.status()), timeout, f"{self.name}: {what}")

    def wait_bound(self, timeout=20):
        """A mobile router's binding is acknowledged."""
        return self.wait_status(lambda s: s["state"] == "bound", "registered", timeout)

    def wait_event(self, name, timeout=10, **fields):
        return self.events.wait(name, timeout, **fields)

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def sanitizer(self):
        """What ASan or UBSan has said, if this is `make check-net SAN=1`; from there on all of it."""
        lines = self.log().splitlines()
        at = next((i for i, l in enumerate(lines) if "runtime error:" in l or "Sanitizer" in l), None)
        return [] if at is None else [self.name, *lines[at:at + 40]]

    def running(self):
        return self.proc is not None and self.proc.poll() is None

    def stop(self, sig=signal.SIGTERM):
        """Ends it (SIGKILL: a crash) and returns the exit code."""
        if self.events:
            self.events.close()
            self.events = None
        return stop(self.proc, sig, 10) if self.proc else None

    def keep_sessions(self, folder):
        """Negotiated keys are kept over a restart; 'folder' is on a tmpfs."""
        path = os.path.join(folder, f"{os.path.basename(self.net.dir)}-{self.name}.sessions")
        self.conf = with_settings(self.conf, {"session_file": path})
        self.session_path = path

    def forget(self):
        """What it would know after a restart is gone.  Only while it does not run."""
        for path in self.state_path, self.session_path:
            if os.path.exists(path):
                os.unlink(path)

    def restart(self, sig=signal.SIGTERM, forget=False):
        self.stop(sig)
        if forget:
            self.forget()
        return self.start()

    def report(self):
        lines = [f"--- {self.name}" + ("" if self.running() else " (not running)")]
        lines += self.log().splitlines()[-60:]
        if self.running():
            try:
                lines.append(json.dumps(self.status(), indent=1))
            except (OSError, ControlError, ValueError) as e:
                lines.append(f"status: {e}")
        return "\n".join(lines)

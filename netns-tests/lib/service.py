"""A daemon under a service manager that keeps file descriptors for it, as systemd does with
FileDescriptorStoreMax= (sd_notify(3), sd_listen_fds(3))."""

import contextlib
import fcntl
import os
import socket
import threading

from .daemon import BUILD, Daemon, Events
from .wait import wait_for

FIRST, ASIDE = 3, 100  # of the descriptors that are passed; out of their way


class Service(Daemon):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.store, self.ready = [], threading.Event()  # [(name, descriptor)]
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.control + ".notify")
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.notify, 4096, 32)
            said = dict(line.split("=", 1) for line in data.decode().splitlines())
            if said.get("FDSTORE"):
                self.store += [(said["FDNAME"], fd) for fd in fds]
                fds = []
            if said.get("FDSTOREREMOVE"):
                self.release(said["FDNAME"])
            if said.get("READY"):
                self.ready.set()
            for fd in fds:  # BARRIER=1: it is waiting for this
                os.close(fd)
            if said.get("CLOSE"):
                return

    def names(self):
        return sorted(name for name, _ in self.store)

    def wait_stored(self):
        wait_for(lambda: "queue" in self.names() and "unproved" not in self.names(), 20, "the queues are in the store")
        return self

    def release(self, name=None):
        """Lets go of these, or all: the service has ended for good."""
        for gone in [s for s in self.store if name in (None, s[0])]:
            self.store.remove(gone)
            os.close(gone[1])

    def start(self, timeout=20):
        with open(self.conf_path, "w") as f:
            f.write(self.conf)
        passed = [fcntl.fcntl(fd, fcntl.F_DUPFD, ASIDE) for _, fd in self.store]
        take = "".join(f"{FIRST + n}<&{fd} {fd}<&- " for n, fd in enumerate(passed))
        env = {**os.environ, **self.env, "NOTIFY_SOCKET": self.control + ".notify"}
        if passed:
            env |= {"LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": ":".join(n for n, _ in self.store)}
        self.ready.clear()
        with open(self.log_path, "a") as log:
            self.proc = self.node.popen(
                ["bash", "-c", f'exec {take}; LISTEN_PID=$$ exec "$@"', "bash",
                 os.path.join(BUILD, self.program), "-c", self.conf_path],
                stdout=log, stderr=log, env=env, pass_fds=passed)  # fmt: skip
        for fd in passed:
            os.close(fd)

        def is_ready():
            if self.proc.poll() is not None:
                raise RuntimeError(f"{self.name}: exit {self.proc.returncode}\n{self.log()}")
            return self.ready.is_set()

        wait_for(is_ready, timeout, lambda: f"{self.name} is ready\n{self.log()}")
        self.events = Events(self.control)
        return self

    def close(self):
        """The manager ends."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"CLOSE=1", self.control + ".notify")
            self.thread.join(5)
        self.notify.close()
        self.release()

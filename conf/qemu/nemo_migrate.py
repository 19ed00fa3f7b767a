#!/usr/bin/python3
"""nemo_migrate.py NAME,QMP_SOCKET,URI ... - live-migrates a mobile router and the machines behind it
together: all of them stop at the same moment, when the memory of each is nearly copied.

QMP_SOCKET: of the running machine.  URI: where its twin waits (unix:PATH or tcp:HOST:PORT), started
with -incoming, the same cards and MAC addresses, and bridges of the same names:

    nemo_migrate.py router,/run/vm/router.qmp,tcp:[2001:db8:b::9]:4000 \\
                    web,/run/vm/web.qmp,tcp:[2001:db8:b::9]:4001

Ends with 0 when all have moved.  If one fails, or this is interrupted, the others are cancelled, as
far as they still run here.  With libvirt: conf/libvirt/.
"""

import fcntl
import json
import math
import os
import select
import signal
import socket
import sys
import threading
import time

PAUSE_MS, DOWNTIME_MS = 20, 300  # how long one may stand still: at first, and at last
FAST, HELD_BACK = 1 << 34, 4096  # octets per second
CLOSE, NEARLY, LAST_BIT = 64 << 20, 24 << 20, 1 << 20  # octets of memory still to be copied
CHUNK = 1 << 16
POLL_S = 0.005
ANSWER_S, CONNECT_S = 30, 10
F_SETPIPE_SZ = 1031  # <linux/fcntl.h>


class Failed(RuntimeError):
    pass


class Socket:
    """JSON objects, one a line, over a unix socket: QMP and the guest agent speak it."""

    def __init__(self, path, timeout=5):
        deadline = time.monotonic() + timeout
        while True:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.socket.connect(path)
                break
            except OSError as e:
                self.socket.close()
                if time.monotonic() > deadline:
                    raise Failed(f"{path}: {e.strerror}") from e
                time.sleep(POLL_S)
        self.rest = b""

    def send(self, **message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self, timeout):
        """The next object; None if none comes in time."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self.rest:
            self.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, BlockingIOError):
                return None
            if not data:
                raise Failed("the virtual machine is gone")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line.lstrip(b"\xff"))

    def close(self):
        self.socket.close()


class Qmp(Socket):
    def __init__(self, path, timeout=5):
        super().__init__(path, timeout)
        self.events, self.number = [], 0
        greeting = self.read(timeout)
        if not greeting or "QMP" not in greeting:
            raise Failed(f"{path}: no QMP greeting: another is connected, or it is no QMP socket")
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.number += 1
        self.send(execute=command, arguments=arguments, id=self.number)
        return self.answer(command)

    def give(self, name, file):
        """Hands a file descriptor over."""
        self.number += 1
        message = {"execute": "getfd", "arguments": {"fdname": name}, "id": self.number}
        socket.send_fds(self.socket, [json.dumps(message).encode() + b"\n"], [file.fileno()])
        self.answer("getfd")

    def answer(self, command):
        while True:
            answer = self.read(ANSWER_S)
            if answer is None:
                raise Failed(f"QMP: no answer to {command}")
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") != self.number:
                pass  # to a question that nobody waits for any more
            elif "error" in answer:
                raise Failed(f"QMP: {command}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def event_at(self, name, timeout=10):
        """When the last event of this name happened, ns of the realtime clock."""
        deadline = time.monotonic() + timeout
        while not any(e["event"] == name for e in self.events):
            if time.monotonic() > deadline:
                raise Failed(f"QMP: no event {name}")
            answer = self.read(0.01)
            if answer and "event" in answer:
                self.events.append(answer)
        stamp = [e for e in self.events if e["event"] == name][-1]["timestamp"]
        return stamp["seconds"] * 1_000_000_000 + stamp["microseconds"] * 1000


class Way(threading.Thread):
    """Carries a machine's memory from QEMU to its twin, as much as it is allowed to.  QEMU's own limit
    of its speed is kept by tenths of a second, and what it is told then comes as late."""

    def __init__(self, there):
        super().__init__(daemon=True)
        self.there = there
        self.ours, self.qemus = socket.socketpair()
        self.allowed, self.word = math.inf, threading.Condition()

    def allow(self, octets):
        with self.word:
            self.allowed = octets
            self.word.notify()

    def run(self):
        try:
            self.carry()
        except OSError:
            pass  # the other side is gone, or close(): QEMU notices
        self.close()

    def carry(self):
        taken, given = os.pipe()
        with open(taken, "rb"), open(given, "wb"):
            fcntl.fcntl(given, F_SETPIPE_SZ, 1 << 20)  # so that the chunks fit, in small pieces
            while True:
                with self.word:
                    self.word.wait_for(lambda: self.allowed > 0)
                n = os.splice(self.ours.fileno(), given, CHUNK)
                if n == 0:
                    return
                with self.word:
                    self.allowed = max(0, self.allowed - n)
                while n:
                    n -= os.splice(taken, self.there.fileno(), n)

    def close(self):
        self.allow(math.inf)
        for end in self.ours, self.there:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def connect(uri):
    """To where a machine's twin waits."""
    kind, _, at = uri.partition(":")
    try:
        if kind == "unix":
            there = socket.socket(socket.AF_UNIX)
            there.connect(at)
            return there
        host, _, port = at.rpartition(":")
        if kind == "tcp":
            there = socket.create_connection((host.strip("[]"), int(port)), CONNECT_S)
            there.settimeout(None)
            return there
    except (OSError, ValueError) as e:
        raise Failed(f"{uri}: {e}") from e
    raise Failed(f"{uri}: neither unix: nor tcp:")


class Move:
    """One machine's migration."""

    def __init__(self, name, qmp, there):
        self.name, self.qmp = name, qmp
        self.way = Way(there)
        self.size = qmp.ask("query-memory-size-summary")["base-memory"]
        self.info, self.asked, self.limit_ms, self.nearly_at = {}, False, 0, None
        self.asked_at, self.held, self.nearing = 0, False, False
        qmp.events.clear()

    def start(self):
        self.way.start()
        self.qmp.give("way", self.way.qemus)
        self.way.qemus.close()
        self.qmp.ask("migrate-set-parameters", **{"downtime-limit": 0, "max-bandwidth": FAST})
        self.qmp.ask("migrate", uri="fd:way")

    def look(self):
        """True if it has told how far it is.  It is asked again without waiting for the answer: while
        it begins that takes tenths of a second, and others come to their end."""
        if not self.asked and time.monotonic() >= self.asked_at + POLL_S:
            self.qmp.send(execute="query-migrate")
            self.asked, self.asked_at = True, time.monotonic()
        answer = self.qmp.read(0)
        if answer is None:
            return False
        if "event" in answer:
            self.qmp.events.append(answer)
            return False
        self.asked, self.info = False, answer["return"]
        status = self.info.get("status")
        if status in ("failed", "cancelled"):
            raise Failed(f"{self.name}: migration {status}: {self.info.get('error-desc', '')}")
        return True

    def left(self):
        """Octets still to be copied."""
        ram = self.info.get("ram", {})
        return ram["remaining"] if ram.get("total") else self.size

    def stopped(self):
        return self.done() or any(e["event"] == "STOP" for e in self.qmp.events)

    def done(self):
        return self.info.get("status") == "completed"

    def tell(self, command, **arguments):
        self.qmp.ask(command, **arguments)
        self.asked = False  # that answer came before, and has been passed over

    def may_stop(self):
        """The shortest time that it may stand still, and the longer what it writes keeps it from that
        the more."""
        now = time.monotonic()
        if not self.nearly_at and self.left() < CLOSE:
            self.nearly_at = now
        waited_s = int(now - self.nearly_at) if self.nearly_at else 0
        limit_ms = min(PAUSE_MS * (1 + waited_s), DOWNTIME_MS)
        if self.limit_ms != limit_ms:
            self.limit_ms = limit_ms
            self.tell("migrate-set-parameters", **{"downtime-limit": limit_ms})

    def hold(self):
        """Nearly all is copied: on in windows of QEMU's, a few pages each, even if they are empty."""
        self.held = True
        self.way.allow(0)
        self.tell("migrate-set-parameters", **{"max-bandwidth": HELD_BACK})

    def approach(self):
        """At full speed again, but what is left goes by steps that come to no end."""
        if not self.nearing:
            self.hurry()
        if self.way.allowed == 0:
            self.way.allow(max(0, self.left() - LAST_BIT) // 2)

    def hurry(self):
        self.nearing = True
        self.tell("migrate-set-parameters", **{"max-bandwidth": FAST})


def tell(left):
    """Progress, for a person; its line is gone with nothing left to tell."""
    if sys.stderr.isatty():
        rest = ", ".join(f"{name} {octets >> 20} MB" for name, octets in left.items())
        text = f"still to be copied: {rest}" if left else ""
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def look_at(moves):
    """Those that have told how far they are."""
    select.select([m.qmp.socket for m in moves], [], [], POLL_S)
    return [m for m in moves if m.look()]


def copy(moves, timeout, progress):
    """Copies memory until the first one stops.  The largest begins, another one when no more is left
    of those before than it has.  Who is nearly there is held back, but for the last one: that has
    the most to copy, or is written to, and comes to its end when QEMU finds that it can."""
    later, begun = sorted(moves, key=lambda m: -m.size), []
    deadline = time.monotonic() + timeout
    while not any(m.stopped() for m in begun):
        while later and max((m.left() for m in begun), default=0) <= later[0].size:
            begun.append(later.pop(0))
            begun[-1].start()
        for m in look_at(begun):
            running = [o for o in moves if not o.held]
            if m.held and len(running) == 1 and running[0].left() < CLOSE:
                m.approach()
            elif not m.held and len(running) > 1 and m.left() < NEARLY:
                m.hold()
        running = [m for m in moves if not m.held]
        if len(running) == 1 and not later:
            running[0].may_stop()
        progress({m.name: m.left() for m in moves})
        if time.monotonic() > deadline:
            names = ", ".join(m.name for m in running)
            raise Failed(f"memory is written to faster than it is copied: {names}")


def together(machines, timeout=120, progress=lambda left: None):
    """Migrates [(name, qmp, socket connected to its twin)]; what query-migrate says of each in the
    end.  After Failed all that had not moved yet run on here."""
    moves = [Move(*machine) for machine in machines]
    try:
        copy(moves, timeout, progress)
        deadline = time.monotonic() + timeout
        for m in moves:
            m.way.allow(math.inf)
        for m in moves:
            if m.held and not m.nearing:
                m.hurry()
        while not all(m.done() for m in moves):
            look_at([m for m in moves if not m.done()])
            if time.monotonic() > deadline:
                raise Failed(f"not completed within {timeout} s")
        return [m.info for m in moves]
    except BaseException:  # interrupted, too: who was held back would be so for ever
        for m in moves:
            try:
                m.tell("migrate_cancel")
            except (Failed, OSError):
                pass
            m.way.close()
        raise


def in_two_parts(machines):
    """Who has moved though not all have, as a sentence; "" if nobody."""
    moved = []
    for name, qmp, _ in machines:
        try:
            if qmp.ask("query-status")["status"] == "postmigrate":
                moved.append(name)
        except (Failed, OSError):
            pass
    return f"; {', '.join(moved)} moved already: the network is in two parts" if moved else ""


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        return print(__doc__)
    named = [arg.split(",", 2) for arg in sys.argv[1:]]
    if not named or any(len(parts) != 3 for parts in named):
        print(__doc__, file=sys.stderr)
        return 2
    for end in signal.SIGTERM, signal.SIGHUP:
        signal.signal(end, signal.default_int_handler)
    machines = []
    try:
        machines += [(name, Qmp(path), uri) for name, path, uri in named]
        done = together([(name, qmp, connect(uri)) for name, qmp, uri in machines], progress=tell)
    except (Failed, OSError, KeyboardInterrupt) as e:
        why = "interrupted" if isinstance(e, KeyboardInterrupt) else e
        tell({})
        print(f"nemo_migrate: {why}{in_two_parts(machines)}", file=sys.stderr)
        return 1
    tell({})
    for (name, _, _), info in zip(machines, done):
        print(f"{name}: stood still {info['downtime']} ms of {info['total-time'] / 1000:.1f} s")


if __name__ == "__main__":
    sys.exit(main())

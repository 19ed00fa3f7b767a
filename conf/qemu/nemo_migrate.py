#!/usr/bin/python3
"""nemo_migrate.py NAME,QMP_SOCKET,URI ... - live-migrates a mobile router and the machines behind it
together: all of them stop at the same moment, when the memory of each is nearly copied.

QMP_SOCKET: of the running machine.  URI: where its twin waits, started with -incoming, the same
cards and MAC addresses, and bridges of the same names:

    nemo_migrate.py router,/run/vm/router.qmp,tcp:[2001:db8:b::9]:4000 \\
                    web,/run/vm/web.qmp,tcp:[2001:db8:b::9]:4001

Ends with 0 when all have moved.  If one fails, or this is interrupted, the others are cancelled, as
far as they still run here.  With libvirt: conf/libvirt/.
"""

import json
import signal
import socket
import sys
import time

DOWNTIME_MS = 300
FAST, HELD_BACK = 1 << 34, 4096  # octets per second
WINDOW_S = 0.11  # QEMU keeps its rates by windows of 100 ms
NEARLY = 24 << 20  # octets
POLL_S = 0.005


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
        self.events = []
        greeting = self.read(timeout)
        if not greeting or "QMP" not in greeting:
            raise Failed(f"{path}: no QMP greeting: another is connected, or it is no QMP socket")
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.send(execute=command, arguments=arguments)
        return self.answer(command)

    def answer(self, command):
        while True:
            answer = self.read(30)
            if answer is None:
                raise Failed(f"QMP: no answer to {command}")
            if "event" in answer:
                self.events.append(answer)
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


def state(name, qmp):
    info = qmp.ask("query-migrate")
    if info.get("status") in ("failed", "cancelled"):
        raise Failed(f"{name}: migration {info['status']}: {info.get('error-desc', '')}")
    return info


def begun(info):
    ram = info.get("ram", {})
    return info["status"] == "completed" or (info["status"] == "active" and ram.get("total"))


def nearly_copied(info):
    return info["status"] == "completed" or (
        begun(info) and info["ram"]["remaining"] < NEARLY
        and info["ram"]["transferred"] > NEARLY  # not at its very beginning
    )  # fmt: skip


def tell(left):
    """Progress, for a person; its line is gone with nothing left to tell."""
    if sys.stderr.isatty():
        rest = ", ".join(f"{name} {octets >> 20} MB" for name, octets in left.items())
        text = f"still to be copied: {rest}" if left else ""
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def copy(machines, timeout, progress=lambda left: None):
    """Copies memory until it is nearly all there.  The largest begins, another one when no more is
    left of those before than it has; who is nearly there first is held back."""
    size = lambda m: m[1].ask("query-memory-size-summary")["base-memory"]  # noqa: E731
    later = sorted(((size(m), *m) for m in machines), key=lambda m: -m[0])
    waiting, left = [], {}
    deadline = time.monotonic() + timeout
    while later or waiting:
        while later and max(left.values(), default=0) <= later[0][0]:
            octets, name, qmp, uri = later.pop(0)
            left[name] = octets
            qmp.ask("migrate-set-parameters", **{"downtime-limit": 0, "max-bandwidth": FAST})
            qmp.ask("migrate", uri=uri)
            waiting.append((name, qmp))
        for name, qmp in list(waiting):
            info = state(name, qmp)
            if nearly_copied(info):
                waiting.remove((name, qmp))
                if later or waiting:
                    qmp.ask("migrate-set-parameters", **{"max-bandwidth": HELD_BACK})
            left[name] = info["ram"]["remaining"] if begun(info) else left[name]
        progress(left)
        if time.monotonic() > deadline:
            names = ", ".join(name for name, _ in waiting)
            raise Failed(f"memory is written to faster than it is copied: {names}")
        time.sleep(POLL_S)


def switch(machines, timeout):
    """All stop and go on at the other side.  Returns what query-migrate says of each."""
    # Who was held back sleeps to the end of a window; after it all copy on what is being written,
    # and heed the next word at once: it goes to all of them before any has answered.
    for _, qmp, _ in machines:
        qmp.ask("migrate-set-parameters", **{"max-bandwidth": FAST})
    time.sleep(WINDOW_S)
    for _, qmp, _ in machines:
        qmp.send(execute="migrate-set-parameters", arguments={"downtime-limit": DOWNTIME_MS})
    for _, qmp, _ in machines:
        qmp.answer("migrate-set-parameters")
    done = {}
    deadline = time.monotonic() + timeout
    while len(done) < len(machines):
        for name, qmp, _ in machines:
            info = state(name, qmp)
            if info["status"] == "completed":
                done[name] = info
        if time.monotonic() > deadline:
            raise Failed(f"not completed within {timeout} s")
        time.sleep(POLL_S)
    return [done[name] for name, _, _ in machines]


def together(machines, timeout=120, progress=lambda left: None):
    """Migrates [(name, qmp, uri)]; what query-migrate says of each in the end.  After Failed
    all that had not moved yet run on here."""
    try:
        copy(machines, timeout, progress)
        return switch(machines, timeout)
    except BaseException:  # interrupted, too: who was held back would be so for ever
        for _, qmp, _ in machines:
            try:
                qmp.ask("migrate_cancel")
            except (Failed, OSError):
                pass
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
        done = together(machines, progress=tell)
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

"""Traffic of tests and drills (tools/probe.c) and what its records say: gaps, losses, breaks."""

import array
import json
import os
import selectors
import signal
import struct
import subprocess
import time

from .daemon import BUILD
from .topo import stop
from .wait import PATIENCE, patient, wait_for

PROBE = os.path.join(BUILD, "tools", "probe")
MS = 1_000_000
RECORD = struct.Struct("4Q")


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def read_record(path):
    """[(sequence, sent, received, port)] of a record file, times in ns."""
    numbers = array.array("Q")
    with open(path, "rb") as f:
        data = f.read()
    numbers.frombytes(data[: len(data) // RECORD.size * RECORD.size])
    return list(zip(numbers[0::4], numbers[1::4], numbers[2::4], numbers[3::4]))


def last_record(path):
    """The last whole record of a file, or None: it may be long, and is looked at often."""
    try:
        with open(path, "rb") as f:
            size = f.seek(0, os.SEEK_END) // RECORD.size
            f.seek(max(0, size - 1) * RECORD.size)
            return RECORD.unpack(f.read(RECORD.size)) if size else None
    except FileNotFoundError:
        return None


class Server:
    """Echoes UDP and TCP on a port of a host and records what comes by UDP."""

    def __init__(self, net, node, port=5000):
        self.net, self.node, self.port = net, node, port
        self.record = os.path.join(net.dir, f"served-{node}-{port}")
        serve = [PROBE, "serve", str(port), self.record]
        self.proc = net[node].popen(serve, sysfs=False, stdout=subprocess.PIPE)
        net.started(self.proc)
        assert self.proc.stdout.readline() == b"ready\n", f"probe serve on {node} does not start"

    def arrivals(self, port):
        return [r for r in read_record(self.record) if r[3] == port]

    def stop(self):
        stop(self.proc)


class UdpProbe:
    """A datagram every 'interval_us' from a node to a Server, which echoes it.  An emulated machine would do
    nothing else if it had one every millisecond."""

    def __init__(self, net, node, address, server, interval_us=1000 * PATIENCE):
        self.server, self.interval_us = server, interval_us
        self.record = os.path.join(net.dir, f"probe-{node}-{server.node}-{now_ns()}")
        self.proc = net[node].popen(
            [PROBE, "udp", address, str(server.port), str(interval_us), self.record],
            sysfs=False,
            stdout=subprocess.PIPE,
        )
        net.started(self.proc)
        self.sent = None

    def echoes(self):
        try:
            return read_record(self.record)
        except FileNotFoundError:
            return []

    def wait_flowing(self, timeout=10, after=None):
        """Waits for an echo of a datagram sent after 'after' (now_ns(); default: now)."""
        after = after or now_ns()

        def flows():
            if self.proc.poll() is not None:
                raise RuntimeError(f"probe to {self.server.node} has ended")
            last = last_record(self.record)
            return last is not None and last[1] > after

        wait_for(flows, timeout, f"echo from {self.server.node}")

    def stop(self):
        """Ends it and returns its Flow, seen at the server."""
        if self.sent is None:
            self.proc.send_signal(signal.SIGTERM)
            out, _ = self.proc.communicate(timeout=patient(10))
            self.sent = json.loads(out)["sent"]
        return self

    def flow(self, way="down"):
        """The datagrams as received: way "down" at the server, "up" the echoes at the sender."""
        if way == "up":
            return Flow(self.echoes())
        echoes = self.echoes()
        sent_at = {e[1] for e in echoes[:1]}
        ports = {r[3] for r in read_record(self.server.record) if r[1] in sent_at}
        return Flow(r for r in read_record(self.server.record) if r[3] in ports)


class Flow:
    def __init__(self, records):
        self.records = sorted(records, key=lambda r: r[2])

    def gap_ms(self, start, end):
        """The longest time without an arrival between two moments (now_ns())."""
        times = [r[2] for r in self.records if start <= r[2] <= end]
        before = [r[2] for r in self.records if r[2] < start]
        times = before[-1:] + times
        after = [r[2] for r in self.records if r[2] > end]
        times += after[:1]
        return max((b - a for a, b in zip(times, times[1:])), default=end - start) / MS

    def lost(self, start=None, end=None):
        """How many of the datagrams sent between two moments never arrived; those outside of the
        first and last arrival don't count."""
        got = {r[0]: r[1] for r in self.records}
        if not got:
            return 0
        sent_at = sorted((r[0], r[1]) for r in self.records)
        lost = 0
        for (seq, sent), (next_seq, next_sent) in zip(sent_at, sent_at[1:]):
            if (start is None or next_sent >= start) and (end is None or sent <= end):
                lost += next_seq - seq - 1
        return lost


class TcpTransfer:
    """A paced, echoed and checked TCP transfer until stop(), which says if it was broken."""

    def __init__(self, net, node, address, server, kbps=20000 // PATIENCE**2):
        self.proc = net[node].popen(
            [PROBE, "tcp", address, str(server.port), str(kbps)],
            sysfs=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        net.started(self.proc)

    def wait_flowing(self, timeout=10):
        """Waits for the first octets that came back."""
        with selectors.DefaultSelector() as ready:
            ready.register(self.proc.stdout, selectors.EVENT_READ)
            assert ready.select(patient(timeout)), "no TCP connection, or nothing comes back"

    def stop(self):
        """{"sent", "received", "broken", "corrupt", "error"}"""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        out, _ = self.proc.communicate(timeout=patient(60))
        try:
            return json.loads(out.removeprefix(b"flowing\n"))
        except ValueError:
            error = out.decode()
            return {"sent": 0, "received": 0, "broken": True, "corrupt": False, "error": error}


def percentile(values, share):
    """Nearest-rank percentile; 'share' is 0..1."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 1).__int__() - 1)] if ordered else None

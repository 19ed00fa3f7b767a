"""Drills: the WIDE testbed under live traffic while routers move or something breaks.

A drill is a short file in drills/ with a docstring whose first line says what happens, and

    QUICK = True                          # pytest runs it, too
    def run(d):                           # d: Drill
        d.start(routers=[1])
        d.traffic(1)
        with d.event("Nezu > Komatsu", 1):
            d.move(1, to="komatsu")
        d.expect(d.at(1) == "komatsu", "MR-1 is registered from Komatsu")

Whatever a drill expects of its own, every drill expects that no TCP connection breaks, that the
traffic of every network flows in the end, and that nothing leaves a tunnel.
"""

import importlib
import ipaddress
import json
import os
import platform
import signal
import sys
import time
from contextlib import contextmanager

from . import ROOT, wide
from .capture import BU, RA
from .traffic import MS, Server, TcpTransfer, UdpProbe, now_ns, percentile
from .daemon import BUILD
from .wait import Timeout, until, wait_for

BUILD_OUT = os.path.join(ROOT, "build")
NEMOCTL = os.path.join(BUILD, "nemoctl")
PHASES = ("hint", "rs", "ra", "coa", "bu", "ba", "first_packet")
QUIET_S = 0.4  # watched on after traffic flows again: an outage may come in two parts
FOLDER = os.path.join(ROOT, "netns-tests", "drills")


class Failed(Exception):
    """A drill did not meet its expectations; they are printed already."""


def names():
    """Names of all drills; 'demo' is not one of them."""
    files = (f[:-3] for f in sorted(os.listdir(FOLDER)) if f.endswith(".py"))
    return [f.replace("_", "-") for f in files if f not in ("run", "demo")]


def load(name):
    if FOLDER not in sys.path:
        sys.path.insert(0, FOLDER)
    return importlib.import_module(name.replace("-", "_"))


def title(module):
    return module.__doc__.strip().splitlines()[0].rstrip(".")


class Drill:
    def __init__(self, name, engine="auto", out=print):
        self.name, self.engine, self.out = name, engine, out
        self.rows, self.unmet = [], []
        self.probes, self.transfers, self.servers = {}, {}, {}  # by way and router: (6, n), (4, n)
        self.lost, self.broken = {6: 0, 4: 0}, {6: 0, 4: 0}  # by way
        self.told = {}  # number of the last handover known, by router
        self.net = self.wide = None
        self.tty = out is print and sys.stdout.isatty()

    # --- what a drill does ---
    def start(self, routers, **how):
        """Builds the testbed with these routers registered at Nezu; see wide.build().  With 'ipv4'
        all traffic to a network that has an IPv4 address is sent there, too."""
        self.say(f"{self.name}: building the testbed, {len(routers)} mobile router(s) ...")
        keep_in = os.path.join(BUILD_OUT, "failed", "drill-" + self.name)
        self.net, self.wide = wide.build(routers, self.engine, keep_in, **how)
        for n in routers:
            for way in self.ways(n):
                self.servers[way, n] = Server(self.net, f"host{n}", 5000 + way)
            self.told[n] = self.wide.mr[n].ask("handovers")[-1]["n"]
        self.say(f"{self.name}: {len(routers)} mobile router(s) registered with the home agent")

    def ways(self, n):
        """6, and 4 if MR-n's network can be reached from IPv4."""
        return (6, 4) if self.wide.nat and n in wide.SERVICES4 else (6,)

    def traffic(self, *routers):
        """From the client to these networks: a datagram per ms, echoed, and a TCP transfer; the
        same from the IPv4 client."""
        of = [(way, n) for n in routers for way in self.ways(n)]
        for way, n in of:
            # A host with a service address answers from that one.
            host = wide.inside(n, 0x80 if 4 in self.ways(n) else 2)
            to = ("client", host) if way == 6 else ("client4", "::ffff:" + wide.SERVICES4[n])
            self.probes[way, n] = UdpProbe(self.net, *to, self.servers[way, n])
            self.transfers[way, n] = TcpTransfer(self.net, *to, self.servers[way, n])
        for key in of:
            self.probes[key].wait_flowing()
            self.transfers[key].wait_flowing()

    def traffic_ends(self, *routers):
        for way, n in [k for k in self.probes if not routers or k[1] in routers]:
            result = self.transfers.pop((way, n)).stop()
            if result["broken"]:
                self.broken[way] += 1
                self.out(f"  TCP connection to MR-{n}'s network over IPv{way} is broken: {result}")
            self.lost[way] += self.probes.pop((way, n)).stop().flow().lost()

    def move(self, *routers, to, carrier=True):
        self.wide.move(*routers, to=to, carrier=carrier)

    def nemoctl(self, n, *command):
        """Runs nemoctl against MR-n's daemon."""
        socket = ["--socket", self.wide.mr[n].control]
        return self.net[f"mr{n}"].out([NEMOCTL, *socket, "mr", *command])

    def after(self, seconds):
        """Waits until so long after the current event began: to place a stimulus in time."""
        until(self.began + seconds)

    @contextmanager
    def event(self, what, *routers, timeout=20):
        """Something happens to routers with traffic.  Afterwards all their traffic flows again,
        and a row per router tells what it saw."""
        self.say(f"  {what} ...", passing=True)
        self.began = time.monotonic()
        start, wall = now_ns(), time.time_ns()
        yield
        happened = now_ns()
        for n in routers:
            for way in self.ways(n):
                self.probes[way, n].wait_flowing(timeout, happened)
        until(time.monotonic() + QUIET_S)
        for n in routers:
            self._row(what, n, start, wall)

    def at(self, n):
        """The site from which MR-n is registered, by the home agent's word; None: not bound."""
        for b in self.wide.ha.ask("bindings"):
            if b["name"] == f"MR-{n}" and b["state"] == "bound":
                for site, s in wide.SITES.items():
                    if ipaddress.ip_address(b["care_of"]) in ipaddress.ip_network(s["prefix"]):
                        return site
        return None

    def expect_at(self, n, site, timeout=10):
        try:
            wait_for(lambda: self.at(n) == site, timeout, "")
            self.expect(True, "")
        except Timeout:
            self.expect(False, f"MR-{n} is registered from {site}, not from {self.at(n)}")

    def expect(self, true, what):
        if not true:
            self.unmet.append(what)
            self.out(f"  NOT AS EXPECTED: {what}")

    # --- what it measures ---
    def _row(self, what, n, start, wall):
        end = now_ns()
        handover = self._handover(n) or {}
        row = {
            "event": what,
            "router": f"MR-{n}",
            "cause": handover.get("cause"),
            "known_link": handover.get("known_link"),
            "ms": handover.get("ms", {}),
            "ra_to_bu_ms": self._ra_to_bu(n, wall),
        }
        for way in self.ways(n):
            down, up = (self.probes[way, n].flow(d) for d in ("down", "up"))
            name = "" if way == 6 else "4"
            row[f"outage{name}_ms"] = round(down.gap_ms(start, end), 2)
            row[f"outage{name}_up_ms"] = round(up.gap_ms(start, end), 2)
            row[f"lost{name}"] = down.lost(start, end)
        self.rows.append(row)
        if len(self.rows) == 1:
            self.say(_head(self.wide.nat))
        self.say(_line(len(self.rows), row, self.wide.nat))

    def _handover(self, n):
        """The router's own account of its last handover, None if there was no new one."""
        last = self.wide.mr[n].ask("handovers")[-1]
        if last["n"] == self.told[n]:
            return None
        self.told[n] = last["n"]
        return last

    def _ra_to_bu(self, n, wall):
        """On the wire: from the last RA before the first Binding Update of the move to that
        update, ms.  None if the router did not wait for one (known link, RFC 6059)."""
        ra = None
        for p in self.wide.uplink[n].packets(("icmp6", RA), ("mh", BU)):
            if p.time <= wall:
                continue
            if p.kind == ("mh", BU):
                return round((p.time - ra) / MS, 3) if ra else None
            ra = p.time
        return None

    def summary(self):
        outages = [r["outage_ms"] for r in self.rows]
        known = [r["outage_ms"] for r in self.rows if r["known_link"]]
        ra_to_bu = [r["ra_to_bu_ms"] for r in self.rows if r["ra_to_bu_ms"] is not None]

        def spread(values, *shares):
            return {f"p{round(s * 100)}": percentile(values, s) for s in shares}

        def outage(values):
            return {**spread(values, 0.5, 0.95), "max": max(values, default=None)}

        ipv4 = [r["outage4_ms"] for r in self.rows if "outage4_ms" in r]
        return {
            "moves": len(self.rows),
            "tcp_broken": self.broken[6],
            "lost_packets": self.lost[6],
            "outage_ms": outage(outages),
            **(
                {
                    "moves4": len(ipv4),
                    "tcp_broken4": self.broken[4],
                    "lost_packets4": self.lost[4],
                    "outage4_ms": outage(ipv4),
                    "engine4": self.wide.nat.status()["engine"],
                }
                if self.wide.nat
                else {}
            ),
            "known_link_outage_ms": {**spread(known, 0.5, 0.95), "n": len(known)},
            "ra_to_bu_ms": {**spread(ra_to_bu, 0.5, 0.95), "n": len(ra_to_bu)},
            "engine": self.wide.ha.status().get("engine"),
            "kernel": platform.release(),
            "unmet": self.unmet,
            "rows": self.rows,
        }

    def finish(self):
        """Ends the traffic, checks what every drill expects, prints and writes the results."""
        self.traffic_ends()
        broken = sum(self.broken.values())
        self.expect(broken == 0, f"{broken} TCP connections are broken")
        try:
            self.wide.leaks.check()
        except AssertionError as e:
            self.expect(False, str(e))
        summary = self.summary()
        file = "demo.json" if self.name == "demo" else f"drill/{self.name}.json"
        path = os.path.join(BUILD_OUT, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            json.dump(summary, f, indent=1)
            f.write("\n")
        self.out(_footer(summary, path))
        return summary

    def say(self, text, passing=False):
        """Progress; a 'passing' line is only for a terminal and is written over by the next."""
        if not self.tty:
            if not passing:
                self.out(text)
            return
        print("\r\033[K" + text, end="" if passing else "\n", flush=True)


def _head(ipv4):
    phases = "".join(f"{p:>7}" for p in ("hint", "RS", "RA", "CoA", "BU", "BA", "first"))
    more, ms = (f"{'by IPv4':>9}{'lost':>6}", f"{'ms':>9}") if ipv4 else ("", "")
    return (
        f"{'':>3} {'router':<6} {'what happens':<26}{'noticed by':<15}{phases}"
        f"{'RA-BU':>8}{'outage':>9}{'lost':>6}{more}\n"
        f"{'':>3} {'':<6} {'':<26}{'':<15}{'ms after the hint, by the router':>49}"
        f"{'wire ms':>8}{'ms':>9}{'':>6}{ms}"
    )


def _number(value, width, digits=1):
    return f"{'-' if value is None else format(value, f'.{digits}f'):>{width}}"


def _line(i, r, ipv4):
    phases = "".join(_number(r["ms"].get(p), 7) for p in PHASES)
    known = " *" if r["known_link"] else ""
    return (
        f"{i:>3} {r['router']:<6} {r['event'][:25]:<26}{(r['cause'] or '-') + known:<15}{phases}"
        f"{_number(r['ra_to_bu_ms'], 8, 2)}{_number(r['outage_ms'], 9)}{r['lost']:>6}"
        + (f"{_number(r.get('outage4_ms'), 9)}{r.get('lost4', '-'):>6}" if ipv4 else "")
    )


def _footer(s, path):
    def spread(name, key):
        v = s[key]
        text = f"  {name:<22} median {_number(v['p50'], 0, 2)}  95 % {_number(v['p95'], 0, 2)}"
        return text + (f"  max {_number(v['max'], 0, 2)} ms" if "max" in v else f" ms  of {v['n']}")

    ipv4 = [
        spread("outage by IPv4", "outage4_ms"),
        f"  {'':<22} of {s['moves4']} moves, through nemo-nat64, engine {s['engine4']}; "
        f"{s['lost_packets4']} packets lost, {s['tcp_broken4']} TCP connections broken",
    ] if "moves4" in s else []
    return "\n".join(
        [
            "    * a link visited before",
            "",
            spread("outage", "outage_ms"),
            spread("on known links", "known_link_outage_ms"),
            spread("RA to BU on the wire", "ra_to_bu_ms"),
            f"  {'packets lost':<22} {s['lost_packets']}",
            f"  {'TCP connections broken':<22} {s['tcp_broken']}",
            *ipv4,
            f"  engine {s['engine']}, Linux {s['kernel']}; {os.path.relpath(path, ROOT)}",
            "  as expected" if not s["unmet"] else f"  NOT AS EXPECTED: {'; '.join(s['unmet'])}",
        ]
    )


def run(name, engine="auto", out=print):
    """Runs a drill and returns its summary; Failed if it is not as expected."""
    module = load(name)
    out(f"{name}: {title(module)}")
    d = Drill(name, engine, out)
    try:
        module.run(d)
        summary = d.finish()
        if summary["unmet"]:
            raise Failed("; ".join(summary["unmet"]))
        return summary
    except BaseException as e:
        if d.net and not isinstance(e, KeyboardInterrupt):
            d.net.report()
            d.net.keep()
        raise
    finally:
        if d.net:
            d.net.close()


def pause(process):
    """Stops a process in its tracks; resume() lets it go on."""
    process.send_signal(signal.SIGSTOP)


def resume(process):
    process.send_signal(signal.SIGCONT)

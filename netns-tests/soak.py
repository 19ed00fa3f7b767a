"""Soak: moves, restarts, floods and reloads at once, for TIME seconds (default 600), on 200 routers.

                    bad            floods of forged updates, of all kinds, now and then
                     |
    client -------- core -------- ha          the home agent: killed, stopped, reloaded with other routers
                   / | \\
         sites a, b  |  crowd                 196 routers (tools/flood.c) that register and move, with ESP
         radvd each  xlat ---- v4             a translator: killed, stopped, reloaded with other mappings
            |
       mr1 ... mr4                            nemo-mr with keys by TLS: moved, killed, stopped, reloaded
            |
       host1 ... host4

In the first part everything happens.  In the second nothing is restarted any more, so that each process
can be watched: its memory, its descriptors and what there is in the kernel must not grow.  Pings to each host,
to the first by IPv4 as well, run all the time; they are counted, not judged.  In the end every router has to
be bound and its network reachable, the log may have nothing but what these events explain, and after the
daemons' end the kernel has to be as it was, but for the rules that keep a mobile network's traffic in.
Exit 0 if all that holds; samples in build/soak.json.

A minute of it (TIME=60) is part of `make check`.  No verdict depends on the machine's speed: a wait ends with
what it waits for, and none is short.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lib import ROOT, ns  # noqa: E402
from lib.daemon import BUILD, ControlError, Daemon, with_settings  # noqa: E402
from lib.topo import Link, Net, Node, Radvd, Topology, stop  # noqa: E402
from lib.wait import Timeout, until, wait_for  # noqa: E402

SECONDS = int(os.environ.get("TIME", "600"))
SEED = int(os.environ.get("SEED", str(int(time.time()))))
REAL, CROWD = 4, 196
HA = "2001:db8:1::1"
COAS = ("2001:db8:c::2", "2001:db8:c::3")
SITES = ("a", "b")
FLOOD = os.path.join(BUILD, "tools", "flood")
TMPFS = "/dev/shm"  # keys that survive a daemon
NEMOCTL = os.path.join(BUILD, "nemoctl")
# Factor and KB by which a process may grow in the second part; in a short run its buffers still do.
RSS_SLACK = (1.05, 512) if SECONDS >= 300 else (1.2, 1024)
WATCHED_S = 0.4  # share of the time for the second part
V4, XLAT4, HOST4 = "198.51.100.1", "198.51.100.2", "192.0.2.1"

# What these events explain; anything else of level warn or err is a failure.
EXPECTED = [
    r"binding\.(rejected|expired|revoked)", r"peer\.(silent|restarted)", r"mr\.(lost|retry|expired|refused|revoked)",
    r"mr\.dad_failed", r"signal .*: stopping", r"keys: exchange with", r"address[46]: warning", r"events were lost",
    r"could not (probe|send|ask) .*: (No buffer space available|Network is (down|unreachable))",  # no carrier just then
    r"reload: .*no_such_key", r"reload: .*the running configuration stays",
    r"the service manager could not be given",  # the harness is one until it has heard READY=1
]  # fmt: skip

# What daemons may have in the kernel, node by node; what counts for nothing in it (an empty clsact may be
# others', too), and what a router leaves on purpose: cut off, not leaked (mr/policy.h).
STATE = (
    "ip -br link", "ip -o addr", "ip -6 route show table all", "ip -4 route show table all", "ip -6 rule",
    "ip -4 rule", "ip -6 neigh show proxy", "ip xfrm state", "ip xfrm policy", "nft list ruleset",
    "tc qdisc", "bpftool net",
)  # fmt: skip
NOISE = re.compile(r"(expires|valid_lft|preferred_lft) \S+| (id|linkdown|tentative)\b( \d+)?|qdisc clsact .*")
LEFT_ON_PURPOSE = re.compile(r"proto(col)? 139\b")


def mnp(n):
    return f"2001:db8:e:{n:x}::/64"


def topology():
    fabric = Node("fabric", bridges=[f"{s}-sw" for s in SITES])
    nodes = [
        Node("core", forward=True, routes=[
            f"2001:db8:d::/48 via {HA}", f"2001:db8:e::/48 via {HA}", "2001:db8:64:64::/96 via 2001:db8:64::2"]),
        Node("ha", forward=True, routes=["default via 2001:db8:1::ff"]),
        Node("client", routes=["default via 2001:db8:2::ff"]),
        Node("bad", routes=["default via 2001:db8:b::ff"]),
        Node("crowd", routes=["default via 2001:db8:c::ff"]),
        Node("xlat", forward=True, routes=["default via 2001:db8:64::1"],
             sysctl={"net.ipv4.ip_forward": 1, "net.ipv4.conf.all.rp_filter": 0}),
        Node("v4"),
        fabric,
    ]
    links = [
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:1::ff/64"]),
        Link("client:eth0", "core:client", ["2001:db8:2::2/64"], ["2001:db8:2::ff/64"]),
        Link("bad:eth0", "core:bad", ["2001:db8:b::2/64"], ["2001:db8:b::ff/64"]),
        Link("crowd:eth0", "core:crowd", [f"{a}/64" for a in COAS], ["2001:db8:c::ff/64"]),
        Link("xlat:eth0", "core:xlat", ["2001:db8:64::2/64"], ["2001:db8:64::1/64"]),
        Link("v4:eth0", "xlat:eth1"),
    ]
    for k, site in enumerate(SITES):
        address = f"2001:db8:a{k}::1/64"
        links.append(Link(f"core:{site}", f"fabric:core-{site}@{site}-sw", [address]))
    for n in range(1, REAL + 1):
        nodes += [Node(f"mr{n}", forward=True), Node(f"host{n}", routes=[f"default via 2001:db8:e:{n:x}::1"])]
        inside = [f"2001:db8:e:{n:x}::2/64"], [f"2001:db8:e:{n:x}::1/64"]
        links += [
            Link(f"mr{n}:eth0", f"fabric:mr{n}@a-sw", real_dad=True),
            Link(f"host{n}:eth0", f"mr{n}:eth1", *inside),
        ]
    radvds = [Radvd(f"core:{site}", f"2001:db8:a{k}::/64") for k, site in enumerate(SITES)]
    return Topology(nodes, links, radvds)


def kernel_state(node):
    """{command: its lines, without what changes by itself}"""
    state = {}
    for command in STATE:
        lines = node.run(command, check=False).stdout.splitlines()
        state[command] = {" ".join(NOISE.sub("", line).split()) for line in lines} - {""}
    return state


def grown(before, after):
    return {c: sorted(after[c] - before[c]) for c in STATE if len(after[c]) > len(before[c])}


def mappings(hosts):
    return [{"ipv4": f"192.0.2.{n}", "ipv6": f"2001:db8:e:{n:x}::2"} for n in hosts]


def networks(*numbers):
    return [{"prefix": mnp(n), "interface": "eth1"} for n in numbers]


def secret(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(text)
    return path


def crowd_router(net, i):
    key = f"{i + 1:02x}" * 32
    lines = "".join(f"esp {w} {1000 + i} hmac-sha-256-128 {key} aes-cbc {key}\n" for w in ("to-ha", "to-mr"))
    return {
        "name": f"crowd-{i}", "home_address": f"2001:db8:d::1:{i:x}", "tenant": "crowd",
        "prefixes": [f"2001:db8:d:{i + 256:x}::/64"], "protection": "esp-static",
        "keys": secret(os.path.join(net.dir, f"crowd-{i}.keys"), lines),
    }  # fmt: skip


def real_router(net, n):
    keys = secret(os.path.join(net.dir, f"mr{n}.keys"), f"psk mr{n} {n:02x}{'5a' * 31}\n")
    return {"name": f"mr{n}", "home_address": f"2001:db8:d::{n:x}", "tenant": "real",
            "prefixes": [mnp(n), mnp(n + 16)], "keys": keys}  # fmt: skip


class Soak:
    def __init__(self, net):
        self.net, self.random = net, random.Random(SEED)
        self.done, self.samples, self.mistakes = {}, [], []
        self.at = {n: "a" for n in range(1, REAL + 1)}
        self.crowd = self.flood = None
        self.pings = {}
        self.began = time.monotonic()
        self.table = [real_router(net, n) for n in range(1, REAL + 1)]
        self.table += [crowd_router(net, i) for i in range(CROWD)]
        self.mr = {n: self.mobile_router(n) for n in range(1, REAL + 1)}
        self.ha = Daemon(net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"], "routers": [],
            "aggregates": ["2001:db8:d::/48", "2001:db8:e::/48"], "protection": "esp"})  # fmt: skip
        self.xlat = Daemon(net, "xlat", "nemo-nat64", {
            "prefixes": [{"prefix": "2001:db8:64:64::/96"}], "interfaces": ["eth0", "eth1"],
            "mappings": []})  # fmt: skip
        self.daemons = [self.ha, *self.mr.values(), self.xlat]
        for d in [self.ha, *self.mr.values()]:
            d.keep_sessions(TMPFS)
        self.plain = {d: d.conf for d in self.daemons}
        self.configure_all()

    def mobile_router(self, n):
        return Daemon(self.net, f"mr{n}", "nemo-mr", {
            "name": f"mr{n}", "home_address": f"2001:db8:d::{n:x}", "home_agents": [HA],
            "uplinks": [{"interface": "eth0"}], "networks": [],
            "protection": "esp", "keys": os.path.join(self.net.dir, f"mr{n}.keys")})  # fmt: skip

    def configure(self, d, **settings):
        """The daemon's file, for its next reload or start."""
        d.conf = with_settings(self.plain[d], settings)
        with open(d.conf_path, "w") as f:
            f.write(d.conf)

    def configure_all(self):
        self.configure(self.ha, routers=self.table)
        self.configure(self.xlat, mappings=mappings(self.mr))
        for n, d in self.mr.items():
            self.configure(d, networks=networks(n))

    # --- what happens ---
    def start(self):
        self.net["v4"].batch([f"addr add {V4}/24 dev eth0", f"route add default via {XLAT4}"], 4)
        self.net["xlat"].batch([f"addr add {XLAT4}/24 dev eth1"], 4)
        for d in self.mr.values():  # its own addresses, not the daemon's
            wait_for(lambda node=d.node: "tentative" not in node.out("ip -6 addr"), 10, "detection of duplicates")
        self.before = {d.node.name: kernel_state(d.node) for d in self.daemons}
        for d in self.daemons:
            d.start()
        self.crowd = self.net.started(self.net["crowd"].popen(
            [FLOOD, "honest", HA, str(CROWD), "40", "eth0", ",".join(COAS)],
            stdout=open(os.path.join(self.net.dir, "crowd.txt"), "w"), stderr=subprocess.STDOUT))  # fmt: skip
        for n in range(1, REAL + 1):
            self.ping("client", f"host{n}", f"2001:db8:e:{n:x}::2")
        self.ping("v4", "host1", HOST4)

    def ping(self, node, to, address):
        path = os.path.join(self.net.dir, f"ping-{node}-{to}")
        proc = self.net[node].popen(["ping", "-q", "-i", "0.1", address], sysfs=False, stdout=open(path, "w"))
        self.pings[f"{node} to {to}"] = self.net.started(proc), path

    def move(self):
        n = self.random.randint(1, REAL)
        self.at[n] = "b" if self.at[n] == "a" else "a"
        self.net.move((f"fabric:mr{n}", f"{self.at[n]}-sw"), carrier=self.random.random() < 0.7)

    def restart(self, d):
        """Stopped, told to leave its tunnels, or killed."""
        how = [signal.SIGTERM, signal.SIGKILL] + [signal.SIGUSR1] * (d is not self.xlat)
        d.restart(self.random.choice(how))

    def restart_router(self):
        self.restart(self.mr[self.random.randint(1, REAL)])

    def restart_home_agent(self):
        self.restart(self.ha)

    def restart_translator(self):
        self.restart(self.xlat)

    def reload(self):
        """Some routers, networks and mappings go, those that were gone come back."""
        keep = self.random.uniform(0.7, 1)
        self.configure(self.ha, routers=[r for r in self.table if self.random.random() < keep])
        self.configure(self.xlat, mappings=mappings([n for n in range(1, REAL + 1) if self.random.random() < keep]))
        for n, d in self.mr.items():
            more = [n + 16] * self.random.randint(0, 1)
            self.configure(d, networks=networks(n, *more), heartbeat=self.random.randint(1, 3),
                           mode=self.random.choice(["explicit", "implicit"]), lifetime=self.random.randint(30, 600))
        self.reloaded()

    def reload_wrong(self):
        """A mistake in the file changes nothing."""
        for d in self.daemons:
            conf = d.conf
            with open(d.conf_path, "a") as f:
                f.write("no_such_key = 1;\n")
            try:
                d.ask("reload", 60)
                self.expect(False, f"{d.name} takes a wrong file")
            except ControlError:
                pass
            with open(d.conf_path, "w") as f:
                f.write(conf)

    def reloaded(self):
        for d in self.daemons:
            d.ask("reload", 60)

    def forge(self):
        if not self.flood or self.flood.poll() is not None:
            kind = self.random.choice(["stranger", "clear", "esp", "target"])
            self.flood = self.net.started(self.net["bad"].popen(
                [FLOOD, "forge", kind, HA, str(CROWD), "4000", "3"], stdout=subprocess.DEVNULL))  # fmt: skip

    def look(self):
        run = [NEMOCTL, *[a for d in self.daemons for a in ("-s", d.control)], "metrics"]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL, timeout=120)

    # each so many seconds, in the mean
    GENTLE = {"move": 2, "reload": 7, "reload_wrong": 23, "forge": 11, "look": 5}
    ROUGH = {**GENTLE, "restart_router": 9, "restart_home_agent": 29, "restart_translator": 13}

    def act(self, what, until_s):
        """Poisson, so that everything meets everything."""
        due = {a: self.elapsed() + self.random.expovariate(1 / s) for a, s in what.items()}
        while self.elapsed() < until_s:
            action = min(due, key=due.get)
            until(self.began + min(due[action], until_s, self.elapsed() + 1))
            if self.elapsed() >= due[action]:
                getattr(self, action)()
                self.done[action] = self.done.get(action, 0) + 1
                due[action] = self.elapsed() + self.random.expovariate(1 / what[action])
            self.sample()

    # --- what is seen ---
    def elapsed(self):
        return time.monotonic() - self.began

    def sample(self):
        now = {"s": round(self.elapsed(), 1)}
        for d in self.daemons:
            try:
                with open(f"/proc/{d.proc.pid}/status") as f:
                    rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
                now[d.name] = {"pid": d.proc.pid, "rss_kb": rss,
                               "fds": len(os.listdir(f"/proc/{d.proc.pid}/fd"))}  # fmt: skip
            except (OSError, StopIteration):
                self.expect(False, f"{d.name} has ended by itself")
                d.start()
        if self.crowd.poll() is not None:
            self.expect(False, "the crowd has ended by itself")
        self.samples.append(now)
        self.say()

    def say(self):
        of = self.samples[-1].get("nemo-ha@ha", {"rss_kb": 0, "fds": 0})
        events = " ".join(f"{k} {v}" for k, v in sorted(self.done.items()))
        line = f"{self.elapsed():5.0f} of {SECONDS} s  ha {of['rss_kb']} KB, {of['fds']} fds  {events}"
        if sys.stdout.isatty():
            print(f"\r\033[K{line}", end="", flush=True)
        elif len(self.samples) % 20 == 0:
            print(line, flush=True)

    def expect(self, holds, what):
        if not holds and what not in self.mistakes:
            self.mistakes.append(what)
            print(f"\nsoak: {what}", flush=True)

    # --- what has to hold ---
    def all_bound(self):
        """A router that was refused meanwhile asks no more until it is told to."""
        for d in self.mr.values():
            if d.status()["state"] != "bound":
                d.ask("rehome", 60)
        wait_for(lambda: self.ha.status()["bindings"] == CROWD + REAL, 60,
                 lambda: f"all bound: {self.ha.status()['bindings']} of {CROWD + REAL}")  # fmt: skip
        for d in self.mr.values():
            d.wait_bound(30)

    def settle(self):
        """Quiet, and everything there: the floods are over, every router is bound and reachable."""
        if self.flood:
            wait_for(lambda: self.flood.poll() is not None, 20, "the end of the flood")
        self.configure_all()
        self.reloaded()
        self.all_bound()
        ways = [("client", f"2001:db8:e:{n:x}::2") for n in self.mr] + [("v4", HOST4)]
        for node, address in ways:
            ping = ["ping", "-c1", "-W1", address]
            wait_for(lambda: self.net[node].run(ping, check=False).returncode == 0, 20,
                     f"{address} is reachable from {node}")  # fmt: skip
        self.sample()
        return self.samples[-1], {d: kernel_state(d.node) for d in self.daemons}

    def flat(self, before, after):
        factor, more = RSS_SLACK
        for d in self.daemons:
            a, b = before[0][d.name], after[0][d.name]
            self.expect(a["pid"] == b["pid"], f"{d.name}: another process")
            # A key exchange or somebody's question has some for a moment, as a move has two addresses.
            try:
                wait_for(lambda d=d, most=a["fds"]: len(os.listdir(f"/proc/{d.proc.pid}/fd")) <= most, 20, "")
            except Timeout:
                self.expect(False, f"{d.name}: {a['fds']} file descriptors became {b['fds']}")
            try:
                wait_for(lambda d=d: grown(before[1][d], kernel_state(d.node)) == {}, 20, "")
            except Timeout:
                self.expect(False, f"{d.name}: more in the kernel: {grown(before[1][d], after[1][d])}")
            self.expect(b["rss_kb"] <= a["rss_kb"] * factor + more,
                        f"{d.name}: {a['rss_kb']} KB became {b['rss_kb']} KB")  # fmt: skip

    def logs(self):
        known = re.compile("|".join(EXPECTED))
        for d in self.daemons:
            for line in d.log().splitlines():
                # A line without a level is not the log's: an assertion, a sanitizer.
                plain = re.match(r"nemo-\w+: (info|debug): ", line)
                self.expect(plain or known.search(line), f"{d.name}: unexpected: {line}")

    def nothing_left(self):
        stop(self.crowd)
        for d in self.daemons:
            self.expect(d.stop() == 0, f"{d.name}: exit {d.proc.returncode}")
            after = kernel_state(d.node)
            for command, lines in after.items():
                new = lines - self.before[d.node.name][command]
                if d in self.mr.values():
                    new = {line for line in new if not LEFT_ON_PURPOSE.search(line)}
                for line in sorted(new):
                    self.expect(False, f"left in {d.node.name}: {command}: {line}")

    def summary(self):
        print(f"\n{'what happened':<22}{'times':>8}")
        for what, times in sorted(self.done.items()):
            print(f"{what:<22}{times:>8}")
        for name, (proc, path) in self.pings.items():
            stop(proc, signal.SIGINT)
            with open(path) as f:
                found = re.search(r"(\d+) packets transmitted, (\d+) received", f.read())
            print(f"ping {name:<17}{found[1]:>8} sent {found[2]:>8} answered" if found else f"ping {name}: no result")
        with open(os.path.join(self.net.dir, "crowd.txt")) as f:
            answers = [int(line.split()[1]) for line in f if re.fullmatch(r"\d+ -?\d+\n", line)]
        print(f"{'updates of the crowd':<22}{len(answers):>8} sent {sum(a >= 0 for a in answers):>8} answered")
        print(f"\n{'process':<20}{'KB at first':>12}{'at most':>10}{'at last':>10}{'fds at most':>13}{'at last':>10}")
        for d in self.daemons:
            of = [s[d.name] for s in self.samples if d.name in s]
            if of:
                rss, fds = [x["rss_kb"] for x in of], [x["fds"] for x in of]
                print(f"{d.name:<20}{rss[0]:>12}{max(rss):>10}{rss[-1]:>10}{max(fds):>13}{fds[-1]:>10}")

    def run(self):
        print(f"soak: {CROWD + REAL} routers, {SECONDS} s, SEED={SEED}", flush=True)
        self.start()
        self.settle()
        self.began = time.monotonic()
        self.act(self.ROUGH, SECONDS * (1 - WATCHED_S))
        self.settle()
        self.act(self.GENTLE, self.elapsed() + SECONDS * WATCHED_S / 4)  # caches fill, buffers grow
        before = self.settle()
        self.act(self.GENTLE, max(SECONDS, self.elapsed() + SECONDS * WATCHED_S / 2))
        self.flat(before, self.settle())
        self.nothing_left()
        self.logs()


def main():
    ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
    ns.remove_leftovers()
    with Net(topology(), os.path.join(ROOT, "build", "failed", "soak")) as net:
        soak = Soak(net)
        try:
            soak.run()
        except Timeout as e:
            soak.expect(False, str(e))
        soak.summary()
        if soak.mistakes:
            net.keep()
        for d in soak.daemons:
            if os.path.exists(getattr(d, "session_path", "")):
                os.unlink(d.session_path)
    with open(os.path.join(ROOT, "build", "soak.json"), "w") as f:
        json.dump({"seed": SEED, "seconds": SECONDS, "done": soak.done, "mistakes": soak.mistakes,
                   "samples": soak.samples}, f)  # fmt: skip
    print(f"\nsoak: {sum(soak.done.values())} events, {len(soak.mistakes)} mistakes", flush=True)
    sys.exit(1 if soak.mistakes else 0)


if __name__ == "__main__":
    main()

"""Soak: moves, restarts, floods and reloads at once, for TIME seconds (default 600), on 200 routers.

                    bad            floods of forged updates, of all kinds, now and then
                     |
    client -------- core -------- ha          the home agent: killed, stopped, reloaded
                   / | \\
         sites a, b  |  crowd                 196 routers (tools/flood.c) that register and move, with ESP
         radvd each  xlat                     a translator: reloaded, restarted
            |
       mr1 ... mr4                            nemo-mr with keys by TLS: moved, killed, stopped, reloaded
            |
       host1 ... host4

In the first part everything happens.  In the second nothing is restarted any more, so that each process
can be watched: its memory and its file descriptors must not grow.  In the end every router has to be bound and
its network reachable, the log may have nothing but what these events explain, and after the daemons' end
nothing of theirs may be left in the kernel.  Exit 0 if all that holds; samples in build/soak.json.
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
from lib.daemon import BUILD, Daemon  # noqa: E402
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
RSS_SLACK = 1.05, 512  # factor and KB by which a process may grow in the second part
WATCHED_S = 0.4  # share of the time for the second part

# What these events explain; anything else of level warn or err is a failure.
EXPECTED = [
    r"binding\.(rejected|expired)", r"peer\.(silent|restarted)", r"mr\.(lost|retry|expired|refused)",
    r"mr\.dad_failed", r"SIGHUP ignored", r"signal .*: stopping", r"keys: exchange with", r"address[46]: warning",
    r"does not forward IPv4", r"rp_filter", r"protection = ",
]  # fmt: skip


def mnp(n):
    return f"2001:db8:e:{n:x}::/64"


def topology():
    fabric = Node("fabric", bridges=[f"{s}-sw" for s in SITES])
    nodes = [
        Node("core", forward=True, routes=[f"2001:db8:d::/48 via {HA}", f"2001:db8:e::/48 via {HA}"]),
        Node("ha", forward=True, routes=["default via 2001:db8:1::ff"]),
        Node("client", routes=["default via 2001:db8:2::ff"]),
        Node("bad", routes=["default via 2001:db8:b::ff"]),
        Node("crowd", routes=["default via 2001:db8:c::ff"]),
        Node("xlat", forward=True),
        fabric,
    ]
    links = [
        Link("ha:eth0", "core:ha", [f"{HA}/64"], ["2001:db8:1::ff/64"]),
        Link("client:eth0", "core:client", ["2001:db8:2::2/64"], ["2001:db8:2::ff/64"]),
        Link("bad:eth0", "core:bad", ["2001:db8:b::2/64"], ["2001:db8:b::ff/64"]),
        Link("crowd:eth0", "core:crowd", [f"{a}/64" for a in COAS], ["2001:db8:c::ff/64"]),
        Link("xlat:eth0", "core:xlat", ["2001:db8:64::2/64"], ["2001:db8:64::1/64"]),
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


class Soak:
    def __init__(self, net):
        self.net, self.random = net, random.Random(SEED)
        self.done, self.samples, self.mistakes = {}, [], []
        self.at = {n: "a" for n in range(1, REAL + 1)}
        self.crowd = self.flood = None
        self.began = time.monotonic()
        self.ha = self.home_agent()
        self.mr = {n: self.mobile_router(n) for n in range(1, REAL + 1)}
        self.xlat = Daemon(net, "xlat", "nemo-nat64", {
            "prefixes": [{"prefix": "2001:db8:64:64::/96"}], "interfaces": ["eth0"],
            "mappings": [{"ipv4": "192.0.2.1", "ipv6": "2001:db8:e:1::2"}]})  # fmt: skip
        self.daemons = [self.ha, *self.mr.values(), self.xlat]
        for d in [self.ha, *self.mr.values()]:
            d.keep_sessions(TMPFS)

    def home_agent(self):
        routers = [crowd_router(self.net, i) for i in range(CROWD)]
        for n in range(1, REAL + 1):
            keys = secret(os.path.join(self.net.dir, f"mr{n}.keys"), f"psk mr{n} {n:02x}{'5a' * 31}\n")
            routers.append({"name": f"mr{n}", "home_address": f"2001:db8:d::{n:x}", "tenant": "real",
                            "prefixes": [mnp(n)], "keys": keys})  # fmt: skip
        return Daemon(self.net, "ha", "nemo-ha", {
            "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
            "aggregates": ["2001:db8:d::/48", "2001:db8:e::/48"], "protection": "esp", "routers": routers,
        })  # fmt: skip

    def mobile_router(self, n):
        return Daemon(self.net, f"mr{n}", "nemo-mr", {
            "name": f"mr{n}", "home_address": f"2001:db8:d::{n:x}", "home_agents": [HA],
            "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": mnp(n), "interface": "eth1"}],
            "protection": "esp", "keys": os.path.join(self.net.dir, f"mr{n}.keys")})  # fmt: skip

    # --- what happens ---
    def start(self):
        for d in self.daemons:
            d.start()
        self.crowd = self.net.started(self.net["crowd"].popen(
            [FLOOD, "honest", HA, str(CROWD), "40", "eth0", ",".join(COAS)],
            stdout=open(os.path.join(self.net.dir, "crowd.txt"), "w"), stderr=subprocess.STDOUT))  # fmt: skip

    def move(self):
        n = self.random.randint(1, REAL)
        self.at[n] = "b" if self.at[n] == "a" else "a"
        self.net.move((f"fabric:mr{n}", f"{self.at[n]}-sw"), carrier=self.random.random() < 0.7)

    def restart_router(self):
        self.mr[self.random.randint(1, REAL)].restart(self.random.choice([signal.SIGTERM, signal.SIGKILL]))

    def restart_home_agent(self):
        self.ha.restart(self.random.choice([signal.SIGTERM, signal.SIGKILL]))

    def restart_translator(self):
        self.xlat.restart(self.random.choice([signal.SIGTERM, signal.SIGKILL]))

    def reload(self):
        for d in self.daemons:
            d.proc.send_signal(signal.SIGHUP)

    def forge(self):
        if not self.flood or self.flood.poll() is not None:
            kind = self.random.choice(["stranger", "clear", "esp", "target"])
            self.flood = self.net.started(self.net["bad"].popen(
                [FLOOD, "forge", kind, HA, str(CROWD), "4000", "3"], stdout=subprocess.DEVNULL))  # fmt: skip

    def look(self):
        run = [NEMOCTL, *[a for d in self.daemons for a in ("-s", d.control)], "metrics"]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL, timeout=30)

    GENTLE = {"move": 2, "reload": 7, "forge": 11, "look": 5}  # each so many seconds, in the mean
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
        of = self.samples[-1]["nemo-ha@ha"]
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
        wait_for(lambda: self.ha.status()["bindings"] == CROWD + REAL, 60,
                 lambda: f"all bound: {self.ha.status()['bindings']} of {CROWD + REAL}")  # fmt: skip

    def settle(self):
        """Quiet, and everything there: the floods are over, every router is bound and reachable."""
        if self.flood:
            wait_for(lambda: self.flood.poll() is not None, 20, "the end of the flood")
        self.all_bound()
        for n in range(1, REAL + 1):
            self.mr[n].wait_bound(30)
            ping = ["ping", "-6", "-c1", "-W1", f"2001:db8:e:{n:x}::2"]
            wait_for(lambda: self.net["client"].run(ping, check=False).returncode == 0, 20,
                     f"mr{n}'s network is reachable")  # fmt: skip
        self.sample()
        return self.samples[-1]

    def flat(self, before, after):
        factor, more = RSS_SLACK
        for d in self.daemons:
            a, b = before[d.name], after[d.name]
            self.expect(a["pid"] == b["pid"], f"{d.name}: another process")
            # A key exchange or somebody's question has some for a moment.
            try:
                wait_for(lambda pid=b["pid"], most=a["fds"]: len(os.listdir(f"/proc/{pid}/fd")) <= most, 20, "")
            except Timeout:
                self.expect(False, f"{d.name}: {a['fds']} file descriptors became {b['fds']}")
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
        left = {
            "ha": ["ip -6 route show table all proto 139", "ip -6 neigh show proxy",
                   "tc filter show dev eth0 ingress"],
            "xlat": ["ip -6 route show proto 140", "ip route show proto 140", "tc filter show dev eth0 ingress"],
        }  # fmt: skip
        for n in range(1, REAL + 1):  # its rules stay: cut off, not leaked (policy.h)
            left[f"mr{n}"] = ["ip -6 route show dev nemo0 proto 139", "tc filter show dev eth0 ingress"]
        for node, commands in left.items():
            for command in commands:
                said = self.net[node].run(command, check=False).stdout.strip()
                self.expect(not said, f"left in {node}: {command}: {said}")

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

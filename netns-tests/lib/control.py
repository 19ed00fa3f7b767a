"""The control protocol: the schemas of doc/control.md, what does not fit them, and daemons of cardboard
that answer as it says."""

import json
import os
import re
import socket
import subprocess
import threading

import pytest

from . import ROOT
from .daemon import BUILD
from .wait import patient

NEMOCTL = os.path.join(BUILD, "nemoctl")


def schemas():
    """{"nemo-ha status": schema, ...} of the document's fenced blocks."""
    with open(os.path.join(ROOT, "doc", "control.md")) as f:
        blocks = re.findall(r"^```json schema (.+?)\n(.*?)^```", f.read(), re.M | re.S)
    return {name: json.loads(text) for name, text in blocks}


TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def mistakes(value, schema, where="data"):
    """Where a value is not what the schema wants, as a list of sentences."""
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{where}: {value!r} not in {schema['enum']}"]
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    is_number = isinstance(value, bool) and "boolean" not in names
    if is_number or not any(isinstance(value, TYPES[n]) for n in names):
        return [f"{where}: {value!r} is no {' or '.join(names)}"]
    found = []
    if isinstance(value, dict):
        for key, sub in schema.get("properties", {}).items():
            if key in value:
                found += mistakes(value[key], sub, f"{where}.{key}")
            else:
                found.append(f"{where}.{key} is missing")
    if isinstance(value, list):
        for i, element in enumerate(value):
            found += mistakes(element, schema["items"], f"{where}[{i}]")
    return found


# --- daemons of cardboard ---

HA = {
    "status": {
        "daemon": "nemo-ha",
        "version": "0.1.0",
        "name": "home",
        "address": "2001:db8::1",
        "engine": "ebpf",
        "protection": "none",
        "payload": "none",
        "draining": False,
        "bindings": 1,
        "routers": 2,
        "aggregates": ["2001:db8:100::/40"],
        "uptime_s": 3 * 86400 + 4 * 3600,
    },
    "bindings": [
        {
            "name": "van",
            "tenant": "red",
            "home_address": "2001:db8:ffff:ffff:ffff:ffff:ffff:1001",
            "care_of": "2001:db8:eeee:eeee:eeee:eeee:eeee:2002",
            "contested_by": None,
            "state": "bound",
            "prefixes": ["2001:db8:101::/48", "2001:db8:102::/48"],
            "learned": ["2001:db8:500:1::/64"],
            "mode": "explicit",
            "lifetime_s": 600,
            "remaining_s": 598,
            "sequence": 7,
            "registered_s": 2,
            "moves": 1,
            "rx_packets": 10,
            "rx_bytes": 1000,
            "tx_packets": 20,
            "tx_bytes": 2000,
        }
    ],
    "routers": [
        {
            "name": "bus",
            "tenant": "blue",
            "home_address": "2001:db8::b",
            "prefixes": [],
            "bound": False,
            "barred": True,
            "care_of": None,
            "contested_by": None,
            "last_status": 140,
            "last_status_text": "mobile router operation not permitted",
            "last_seen_s": 61,
            "protection": "none",
            "drops": {"rx_inner_source": 1, "rx_tenant": 3},
        }
    ],
    "revoke": {"router": "van"},
    "allow": {"router": "van"},
    "drain": {"bindings": 7},
    "undrain": {},
    "agents": [
        {
            "source": "own",
            "addresses": ["2001:db8::1"],
            "preference": 5,
            "mobile_routers": True,
            "link_local": None,
            "remaining_s": None,
        },
        {
            "source": "advertisement",
            "addresses": ["2001:db8::2", "2001:db8:1::2"],
            "preference": 65535,
            "mobile_routers": False,
            "link_local": "fe80::2",
            "remaining_s": 61,
        },
    ],
    "stats": {
        "counters": [{"name": "rx_tenant", "value": 3, "group": "tunnel", "help": "other tenant's"}]
    },
}
HANDOVER = {
    "n": 1,
    "cause": "notify_peers",
    "from": "2001:db8:a::5",
    "to": "2001:db8:b::5",
    "uplink": "eth0",
    "known_link": True,
    "at": "2026-11-21T10:00:00.123Z",
    "ms": {
        "hint": 0,
        "rs": 0.7,
        "ra": 1.0,
        "coa": 1.2,
        "bu": 1.31,
        "ba": 2.5,
        "first_packet": None,
    },
}
MR = {
    "status": {
        "daemon": "nemo-mr",
        "version": "0.1.0",
        "name": "van",
        "state": "bound",
        "home_address": "2001:db8::a",
        "home_agent": "2001:db8::1",
        "care_of": "2001:db8:b::5",
        "uplink": "eth0",
        "engine": "ebpf",
        "protection": "none",
        "payload": "none",
        "lifetime_s": 600,
        "remaining_s": 598,
        "refresh_in_s": 478,
        "last_status": 0,
        "last_status_text": "accepted",
        "mode": "implicit",
        "prefixes": ["2001:db8:101::/48"],
        "home_link": {"prefixes": ["2001:db8::/64"], "valid_s": 86400, "preferred_s": None},
        "rx_packets": 10,
        "rx_bytes": 1000,
        "tx_packets": 20,
        "tx_bytes": 2000,
        "uptime_s": 59,
        "uplinks": [
            {
                "interface": "eth0",
                "preference": 1,
                "state": "ready",
                "care_of": "2001:db8:b::5",
                "router": "fe80::1",
                "router_mac": "02:00:00:00:00:01",
                "known_links": 2,
            }
        ],
        "handovers": 1,
        "last_handover": HANDOVER,
    },
    "handovers": [HANDOVER],
    "stats": {
        **HA["stats"],
        "handover_phases": [
            {"phase": "ba", "n": 3, "sum_ms": 12.5, "within": [{"ms": 10, "n": 2}]},
        ],
    },
    "rehome": {"uplinks": ["eth0", "eth1"]},
    "stop": {},
}
NAT64 = {
    "status": {
        "daemon": "nemo-nat64",
        "version": "0.1.0",
        "name": "nat64",
        "engine": "tun",
        "why_tun": "no interfaces in the configuration for the eBPF engine",
        "interfaces": [],
        "interfaces_awaited": [],
        "forward": "direct",
        "prefixes": ["64:ff9b::/96", "2001:db8:64::/96"],
        "mappings": 100000,
        "routes4": 391,
        "routes6": 2,
        "translated_6to4": 12,
        "translated_4to6": 34,
        "reloads": 1,
        "reload_error": None,
        "loaded_s": 61,
        "uptime_s": 3600,
    },
    "mappings": [
        {"kind": "mapping", "ipv4": "192.0.2.1/32", "ipv6": "2001:db8::1/128", "hosts": "ipv6"},
        {"kind": "prefix", "ipv4": "203.0.113.0/24", "ipv6": None, "hosts": "ipv6"},
    ],
    "stats": {
        "counters": [
            {
                "name": "hop_limit",
                "value": 7,
                "tun": 5,
                "ebpf": 2,
                "group": "translation",
                "help": "packets whose TTL or hop limit is used up",
            }
        ]
    },
    "explain": {
        "text": "192.0.2.1 becomes 2001:db8::1.",
        "addresses": [
            {
                "address": "192.0.2.1",
                "becomes": "2001:db8::1",
                "verdict": "mapped",
                "by": "mapping",
                "rule": "192.0.2.1/32 - 2001:db8::1/128",
                "one_way": False,
                "drawn": True,
                "text": "192.0.2.1 becomes 2001:db8::1.",
            }
        ],
        "packet": None,
    },
    "reload": {"mappings": 100000, "prefixes": ["64:ff9b::/96"]},
}
EVENT = {
    "time": "2026-11-21T10:00:00.123Z",
    "daemon": "nemo-ha",
    "name": "home",
    "event": "binding.accepted",
    "level": "info",
    "text": "van is at 2001:db8:b::5",
}


class Fake:
    """Answers on a socket from a dictionary, and remembers the requests."""

    def __init__(self, path, answers):
        self.path, self.answers, self.requests = str(path), answers, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.monitors = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        for line in client.makefile("rb"):
            request = json.loads(line)
            self.requests.append(request)
            cmd = request["cmd"]
            if cmd == "monitor":
                client.sendall(b'{"ok":true,"data":{}}\n')
                self.monitors.append(client)
                return
            if cmd in self.answers:
                answer = {"ok": True, "data": self.answers[cmd]}
            else:
                answer = {"ok": False, "error": f"no {cmd} here"}
            client.sendall(json.dumps(answer).encode() + b"\n")

    def publish(self, event):
        for m in self.monitors:
            m.sendall(json.dumps(event).encode() + b"\n")

    def close(self):
        for m in self.monitors:
            m.close()
        self.listener.shutdown(socket.SHUT_RDWR)  # ends accept()
        self.thread.join()
        self.listener.close()


@pytest.fixture
def fake(tmp_path):
    made = []

    def make(name, answers):
        made.append(Fake(tmp_path / f"{name}.sock", answers))
        return made[-1]

    yield make
    for f in made:
        f.close()


@pytest.fixture
def ctl(tmp_path):
    def run(*args, code=0):
        done = subprocess.run(
            [NEMOCTL, "--run", str(tmp_path), *args], capture_output=True, text=True, timeout=patient(30)
        )
        assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr if code else done.stdout

    return run


def named(status, name):
    return {**status, "status": {**status["status"], "name": name}}

"""nemoctl metrics: Prometheus' format and naming as promtool wants them, every counter there with its
sentence, HTTP on loopback or a unix socket, and alert rules that use only metrics that exist."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from lib import ROOT
from lib.control import HA, MR, NAT64, NEMOCTL, ctl, fake, named  # noqa: F401 (with fixtures)
from lib.prom import promtool, samples, value
from lib.wait import patient, wait_for

pytestmark = pytest.mark.novm("text and HTTP: no kernel takes part")

RULES = os.path.join(ROOT, "conf", "prometheus", "nemo.rules.yml")


def counter(group, name, n, **more):
    return {"name": name, "value": n, "group": group, "help": f'what "{name}" means', **more}


@pytest.fixture
def three(fake):  # noqa: F811
    phases = [
        {
            "phase": "ba",
            "n": 3,
            "sum_ms": 1012.5,
            "within": [{"ms": 1, "n": 0}, {"ms": 10, "n": 2}, {"ms": 1000, "n": 2}],
        }
    ]
    counters = [
        counter("protocol", "bu_rx", 7),
        counter("rejected", "129", 2),
        counter("drop", "tx_loop", 3),
        counter("tunnel", "icmp_mtu", 4),
        counter("protection", "in_clear", 1),
    ]
    stats = {"counters": counters}
    nat64 = {"counters": [counter("translation", "hop_limit", 7, tun=5, ebpf=2)]}
    fake("a", {**HA, "stats": stats})
    fake("b", {**named(MR, 'v"a\\n'), "stats": {**stats, "handover_phases": phases}})
    fake("c", {**NAT64, "stats": nat64})


def test_names_types_and_help_are_as_prometheus_wants_them(three, ctl, tmp_path):  # noqa: F811
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    text = ctl("metrics")
    promtool("check", "metrics", text=text)
    found, helps = samples(text)
    assert value(found, "nemo_up", socket=str(tmp_path / "dead.sock")) == 0
    assert value(found, "nemo_up", socket=str(tmp_path / "a.sock")) == 1
    assert value(found, "nemo_build_info", daemon="nemo-nat64", version="0.1.0", engine="tun") == 1
    assert value(found, "nemo_uptime_seconds", daemon="nemo-mr") == 59
    assert value(found, "nemo_ha_router_bound", router="bus", tenant="blue") == 0
    assert value(found, "nemo_ha_router_last_status", router="bus") == 140
    assert value(found, "nemo_ha_router_receive_bytes_total", router="van") == 1000
    assert value(found, "nemo_ha_bu_rx_total") == 7 and value(found, "nemo_mr_bu_rx_total") == 7
    assert helps["nemo_ha_bu_rx_total"] == 'what "bu_rx" means'
    assert value(found, "nemo_ha_rejected_updates_total", status="129") == 2
    assert value(found, "nemo_tunnel_dropped_packets_total", reason="tx_loop", daemon="nemo-ha") == 3
    assert 'tx_loop: what "tx_loop" means' in helps["nemo_tunnel_dropped_packets_total"]
    assert value(found, "nemo_tunnel_icmp_mtu_total", daemon="nemo-ha") == 4
    assert value(found, "nemo_protection_in_clear", daemon="nemo-ha") == 1
    assert value(found, "nemo_mr_bound", name=r"v\"a\\n") == 1
    assert value(found, "nemo_mr_uplink_ready", interface="eth0") == 1
    assert value(found, "nemo_mr_handovers_total") == 1
    assert value(found, "nemo_nat64_packets_total", result="hop_limit", engine="ebpf") == 2
    phase = "nemo_mr_handover_phase_seconds"
    assert value(found, phase + "_bucket", phase="ba", le="0.01") == 2
    assert value(found, phase + "_bucket", le="+Inf") == value(found, phase + "_count") == 3
    assert value(found, phase + "_sum") == 1.0125


def test_summary_leaves_the_routers_out(three, ctl):  # noqa: F811
    found, _ = samples(ctl("metrics", "--summary"))
    assert value(found, "nemo_ha_bindings") == 1
    assert not [m for m, _ in found if m.startswith(("nemo_ha_router_", "nemo_ha_binding_"))]


class OverUnix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(patient(20))
        self.sock.connect(self.host)


def serve(tmp_path, where, *more):
    return subprocess.Popen(
        [NEMOCTL, "--run", str(tmp_path), "metrics", "--listen", where, *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def free_port(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as s:
        return s.getsockname()[1]


def get(connection, path, method="GET"):
    connection.request(method, path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("Content-Type"), text


def listening(connection, server):
    def test():
        assert server.poll() is None, server.stderr.read()
        try:
            connection.connect()
        except OSError:
            return False
        connection.close()
        return True

    wait_for(test, 10, "the HTTP server listens")


@pytest.mark.parametrize("family", ["unix", "ipv4", "ipv6"])
def test_http(three, tmp_path, family):
    if family == "unix":
        (tmp_path / "web").mkdir()
        where = str(tmp_path / "web" / "http")
        connection = OverUnix(where)
    else:
        host = "::1" if family == "ipv6" else "127.0.0.1"
        port = free_port(host)
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        connection = http.client.HTTPConnection(host, port, timeout=patient(20))
    server = serve(tmp_path, where)
    try:
        listening(connection, server)
        for _ in range(3):
            status, kind, text = get(connection, "/metrics")
            assert status == 200 and kind.startswith("text/plain; version=0.0.4")
            promtool("check", "metrics", text=text)
        assert get(connection, "/metrics", "HEAD")[::2] == (200, "")
        assert get(connection, "/")[0] == 404
        assert get(connection, "/metrics", "POST")[0] == 405
        if family == "unix":
            assert os.stat(where).st_mode & 0o777 == 0o660
        second = serve(tmp_path, where)  # takes nothing from the first one
        assert second.wait(10) == 1 and "in use" in second.stderr.read().decode()
        assert get(connection, "/metrics")[0] == 200
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(patient(10)) == 0
    assert not os.path.exists(where)


def test_http_is_for_this_host_only_unless_told(tmp_path):
    own = str(tmp_path / "metrics.sock")  # would be taken for a daemon's
    for where, word in ("0.0.0.0:0", "--anywhere"), ("[::]:0", "--anywhere"), ("x", "neither"), ("[::1]:99999", "port"), (own, "another name"):
        server = serve(tmp_path, where)
        assert server.wait(patient(10)) == 1 and word in server.stderr.read().decode()
    port = free_port("127.0.0.1")
    server = serve(tmp_path, f"0.0.0.0:{port}", "--anywhere")
    try:
        listening(http.client.HTTPConnection("127.0.0.1", port, timeout=patient(20)), server)
    finally:
        server.terminate()
        assert server.wait(patient(10)) == 0


def test_alert_rules_use_metrics_that_exist(three, ctl):  # noqa: F811
    promtool("check", "rules", "--lint-fatal", RULES)
    with open(RULES) as f:
        used = set(re.findall(r"\bnemo_\w+", f.read()))
    found, _ = samples(ctl("metrics"))
    with open(os.path.join(ROOT, "common", "sec", "sec.h")) as f:
        known = {f"nemo_protection_{n}_total" for n in re.findall(r"\bX\((\w+),", f.read())}
    with open(os.path.join(ROOT, "common", "os", "mhio.h")) as f:
        known |= {f"nemo_signalling_{n}_total" for n in re.findall(r"\bX\((\w+),", f.read())}
    assert used and not used - known - {m for m, _ in found}


WHO = 'daemon="d",name="n"'
REFUSED, BUCKET = "nemo_ha_rejected_updates_total", "nemo_mr_handover_phase_seconds_bucket"
# What makes each alert fire within 40 minutes, and what is like it but harmless: values a minute.
ALERTS = {
    "NemoDaemonDown": ({"nemo_up": "0x40"}, {"nemo_up": "1x38 0 1"}),
    "NemoDaemonRestarts": ({"nemo_uptime_seconds": "600x30 5 600 5 600 5 600x9"}, {"nemo_uptime_seconds": "600x30 5 600x9"}),
    "NemoRouterUnbound": ({"nemo_ha_router_bound": "0x40", "nemo_ha_router_barred": "0x40"},
                          {"nemo_ha_router_bound": "0x40", "nemo_ha_router_barred": "1x40"}),
    "NemoBindingEnds": ({"nemo_mr_bound": "1x40", "nemo_mr_binding_remaining_seconds": "5x40"},
                        {"nemo_mr_bound": "1x40", "nemo_mr_binding_remaining_seconds": "300x40"}),
    "NemoMobileRouterCutOff": ({"nemo_mr_bound": "0x40", "nemo_mr_at_home": "0x40"},
                               {"nemo_mr_bound": "0x40", "nemo_mr_at_home": "1x40"}),
    "NemoUpdatesRejected": ({REFUSED + '{status="129"}': "0+12x40"}, {REFUSED + '{status="129"}': "0x20 12x19"}),
    "NemoAuthenticationFails": ({"nemo_protection_auth_failed_total": "0x40", "nemo_protection_esp_icv_total": "0+6x40"},
                                {"nemo_protection_auth_failed_total": "9x40", "nemo_protection_esp_icv_total": "9x40"}),
    "NemoSignallingInClear": ({"nemo_protection_in_clear": "1x40"}, {"nemo_protection_in_clear": "0x40"}),
    "NemoSignallingLost": ({"nemo_signalling_mh_lost_total": "0+1x40"}, {"nemo_signalling_mh_lost_total": "7x40"}),
    "NemoHandoversSlow": ({BUCKET + '{phase="ba",le="1"}': "0x40", BUCKET + '{phase="ba",le="10"}': "0+1x40",
                           BUCKET + '{phase="ba",le="+Inf"}': "0+1x40"},
                          {BUCKET + '{phase="ba",le="1"}': "0+1x40", BUCKET + '{phase="ba",le="+Inf"}': "0+1x40"}),
    "NemoHandoversMany": ({"nemo_mr_handovers_total": "0+3x40"}, {"nemo_mr_handovers_total": "0+1x40"}),
    "NemoTunnelDrops": ({'nemo_tunnel_dropped_packets_total{reason="tx_no_route"}': "0+1200x40"},
                        {'nemo_tunnel_dropped_packets_total{reason="tx_no_route"}': "0+60x40"}),
    "NemoSpoofedTunnelPackets": ({'nemo_tunnel_dropped_packets_total{reason="rx_outer_source"}': "0+120x40"},
                                 {'nemo_tunnel_dropped_packets_total{reason="tx_too_big"}': "0+120x40"}),
    "NemoTranslatorSlow": ({"nemo_nat64_engine_ebpf": "0x40"}, {"nemo_nat64_engine_ebpf": "1x40"}),
    "NemoTranslatorRefuses": ({'nemo_nat64_packets_total{result="unmapped_dst4"}': "0+6000x40"},
                              {'nemo_nat64_packets_total{result="translated_4to6"}': "0+6000x40"}),
}  # fmt: skip


def test_alerts_fire_when_they_should(tmp_path):
    def labelled(series):
        name, _, labels = series.rstrip("}").partition("{")
        return f"{name}{{{WHO}{',' + labels if labels else ''}}}"

    def case(alert, series, fires):
        query = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
        return {"interval": "1m", "name": f"{alert} {'fires' if fires else 'is quiet'}",
                "input_series": [{"series": labelled(s), "values": v} for s, v in series.items()],
                "promql_expr_test": [{"expr": query, "eval_time": "39m",
                                      "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}]}  # fmt: skip

    cases = [case(a, series, fires) for a, both in ALERTS.items() for series, fires in zip(both, (True, False))]
    path = tmp_path / "alerts.yml"  # JSON is YAML, too
    path.write_text(json.dumps({"rule_files": [RULES], "evaluation_interval": "30s", "tests": cases}))
    promtool("test", "rules", str(path))
    with open(RULES) as f:
        assert set(re.findall(r"- alert: (\w+)", f.read())) == set(ALERTS)


def test_a_daemon_that_hangs_keeps_no_other_ones_metrics_back(three, ctl, tmp_path):  # noqa: F811
    """Prometheus waits for ten seconds."""
    path = str(tmp_path / "hangs.sock")
    with socket.socket(socket.AF_UNIX) as hangs:
        hangs.bind(path)
        hangs.listen()
        text = ctl("metrics")
        done = subprocess.run([NEMOCTL, "-s", path, "metrics"], capture_output=True, text=True)
    found, _ = samples(text)
    assert value(found, "nemo_up", socket=path) == 0
    assert value(found, "nemo_build_info", daemon="nemo-mr") == 1
    assert "no answer of a nemo daemon in 2 s" in done.stderr

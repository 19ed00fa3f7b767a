"""ESP with keys by TLS: registrations, restarts at either end, new keys in time, and who gets none.
The pair of daemons is lib/sealed.py's."""

import hashlib
import hmac
import os
import signal
import socket
import struct
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import x25519
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.capture import Capture
from lib.daemon import BUILD, ControlError, libconfig_file
from lib.mipv6 import Wire, mac_of, socket_in
from lib.sealed import (
    HA, HOA, NET, PAIR, PROTOCOL, PSK, counters, key_file, pair, tls_pair,
)
from lib.wait import PATIENCE, patient, wait_for
from test_returning import World, topology as home_topology


def test_keys_by_tls(make_net, engine):
    """They register; either may lose its memory, then there are new keys; nothing is in clear."""
    net = make_net(PAIR)
    capture = Capture(net, "mr", "eth0", snap=2000)
    ha, mr = tls_pair(net, engine=engine)
    mr.wait_bound()
    assert counters(mr)["key_ok"] == counters(ha)["key_ok"] == 1
    assert counters(ha)["esp_ok"] >= 1 and counters(mr)["esp_ok"] >= 1
    mr.ask("rehome")  # nothing of keys at a handover
    mr.restart(signal.SIGKILL)
    mr.wait_bound()
    assert counters(ha)["key_ok"] == 2
    ha.restart(signal.SIGKILL)
    mr.restart()
    mr.wait_bound()
    ha.restart(signal.SIGKILL)
    # The router goes on with its keys, which nobody knows any more, until it notices.
    mr.stop()
    capture.stop()
    rows = net["mr"].out(["tshark", "-n", "-r", capture.path, "-Y", "mipv6 or esp or tls", "-T", "fields",
                          "-E", "separator=|", "-e", "mip6.mhtype", "-e", "esp.spi",
                          "-e", "esp.sequence", "-e", "_ws.col.Protocol"]).splitlines()
    rows = [r.split("|") for r in rows]
    # A home agent without keys says so in clear (RFC 6275 s9.3.3: Binding Errors go without).
    assert {r[0] for r in rows} <= {"", "7"}, "a Mobility Header in clear"
    spis = {r[1] for r in rows if r[1]}
    assert len(spis) >= 6 and all(int(s, 16) >= 256 for s in spis), "new ones each time"
    assert len({(r[1], r[2]) for r in rows if r[1]}) == len([r for r in rows if r[1]])
    assert any("TLS" in r[3] for r in rows)


def test_the_first_router_with_keys_by_tls_comes_by_a_reload(make_net, engine):
    """Until then there is no key exchange, and ESP is not the home agent's.  A port that is in use
    refuses the reload, and nothing has changed."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, start_mr=False, engine=engine, protection="none")
    with open(ha.conf_path, "w") as f:
        f.write(ha.conf.replace('name = "MR-1"', 'name = "MR-1"; protection = "esp"'))
    with socket_in(net["ha"], socket.AF_INET6, socket.SOCK_STREAM) as s:
        s.bind(("2001:db8:a::1", 7439))
        s.listen()
        with pytest.raises(ControlError, match="the key exchange can't begin: Address already in use"):
            ha.ask("reload")
    assert counters(ha)["in_clear"] == 2
    ha.ask("reload")
    mr.start().wait_bound()
    assert counters(ha)["key_ok"] == 1 and counters(ha)["esp_ok"] >= 1
    wire = Wire(net, "mr", "eth0", mac_of(net, "ha", "eth0"))
    try:  # without a Home Address option, as from a router at home
        wire.send(s6.IPv6(src=HOA, dst="2001:db8:a::1", nh=50) / Raw(bytes(64)))
        wait_for(lambda: counters(ha)["esp_spi"] == 1, 10, "looked at")
    finally:
        wire.close()


@pytest.mark.skipif(os.environ.get("NEMO_VM") != "1", reason="sets the clock: in the VM only")
def test_clock_steps_hurt_no_binding(make_net):
    """Timers don't see them; timestamps (RFC 4285 s6) cost a round trip more at most."""
    for make in pair, tls_pair:
        ha, mr = make(make_net(PAIR))
        mr.wait_bound()
        for step_s in 86400, -2 * 86400, 86400:
            left = ha.ask("bindings")[0]["remaining_s"]
            time.clock_settime(time.CLOCK_REALTIME, time.time() + step_s)
            binding = ha.ask("bindings")[0]
            assert binding["state"] == "bound" and 0 <= left - binding["remaining_s"] < 60
            mr.restart(signal.SIGKILL).wait_bound()
            wait_for(lambda: ha.ask("bindings")[0]["sequence"] != binding["sequence"], 20, "an update")
        assert "peer.silent" not in mr.log() and "binding.expired" not in ha.log()
        mr.stop(), ha.stop()


@PROTOCOL
def test_keys_are_replaced_in_time(make_net):
    """rekey_interval: messages go on meanwhile, none is lost for want of the right key."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"rekey_interval": 1})
    mr.wait_bound()
    wait_for(lambda: counters(ha)["key_ok"] >= 4, 20, "keys for the fourth time")
    for daemon in ha, mr:
        count = counters(daemon)
        assert count["esp_ok"] >= 4
        assert count["esp_spi"] == count["esp_replay"] == count["esp_icv"] == count["key_failed"] == 0


@PROTOCOL
def test_a_restarted_home_agent_has_its_binding_back_at_the_next_heartbeat(make_net, request):
    """With "esp" its keys are gone, too: it says in clear that it knows nobody, the router makes new keys
    and registers.  So it takes a heartbeat's interval, not as many as may be missed."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"heartbeat": 1, "heartbeat_misses": 20})
    mr.wait_bound()
    wait_for(lambda: counters(mr, "protocol")["hb_rx"] or counters(ha, "protocol")["hb_rx"] >= 2, 10,
             "heartbeats")
    ha.restart(signal.SIGKILL, forget=True)
    begin = time.monotonic()
    assert ha.ask("bindings") == []
    ha.wait_event("binding.accepted", 20)
    took = time.monotonic() - begin
    print(f"home agent killed and started: bound again {took:.1f} s after it was ready")
    assert counters(ha)["key_ok"] == 1 and counters(mr)["key_ok"] == 2
    assert counters(mr)["esp_doubt"] == 1
    assert not [e for e in mr.events.poll() if e["event"] == "mr.expired"]


@PROTOCOL
def test_a_home_agent_that_comes_back_late_has_its_binding_back_soon(make_net):
    """As above, but the router had given it up: neither its updates nor the exchange of keys wait out
    what they have doubled their waits to."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"heartbeat": 1, "heartbeat_misses": 0})
    mr.wait_bound()
    wait_for(lambda: counters(ha, "protocol")["hb_rx"] >= 2, 10, "heartbeats")
    ha.stop(signal.SIGKILL)
    mr.wait_event("peer.silent", 20)
    wait_for(lambda: counters(mr)["key_failed"] >= 2, 20, "keys are asked for in vain")
    ha.forget()
    ha.start()
    begin = time.monotonic()
    ha.wait_event("binding.accepted", 60)
    print(f"home agent away and back: bound again {time.monotonic() - begin:.1f} s after it was ready")


@PROTOCOL
def test_a_restarted_router_is_noticed_at_once(make_net):
    """It makes new keys and registers as soon as it has a link: nobody has to ask."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, heartbeat=1)
    mr.wait_bound()
    wait_for(lambda: counters(ha, "protocol")["hb_tx"], 10, "a heartbeat")
    ha.events.forget()
    mr.restart(signal.SIGKILL, forget=True)
    begin = time.monotonic()
    ha.wait_event("peer.restarted", 20)
    print(f"router killed and started: noticed {time.monotonic() - begin:.1f} s after it was ready")
    assert counters(ha)["key_ok"] == 2


@PROTOCOL
def test_a_forged_binding_error_costs_a_key_exchange_at_most(make_net):
    """Anybody can say in clear that the home agent does not know us: bound all the time, no storm."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, mr_more={"heartbeat": 1})
    mr.wait_bound()
    care_of = mr.status()["care_of"]
    wire = Wire(net, "ha", "eth0", mac_of(net, "mr", "eth0"))
    try:
        for _ in range(200):
            wire.send(s6.IPv6(src="2001:db8:a::1", dst=care_of) / s6.MIP6MH_BE(status=1, ha=HOA))
        wait_for(lambda: counters(ha, "protocol")["hb_rx"] >= 3, 20, "heartbeats go on")
    finally:
        wire.close()
    assert counters(mr)["key_ok"] <= 2
    assert mr.status()["state"] == "bound" and ha.ask("bindings")[0]["state"] == "bound"
    assert not [e for e in ha.events.poll() if e["event"] == "binding.closed"]


@PROTOCOL
@pytest.mark.parametrize("identity, secret, counter", [
    ("blue", bytes(32), "key_failed"), ("nobody", PSK, "key_failed"),
    ("green", bytes(32), "key_home_address")])


def test_no_keys_for_a_wrong_secret_or_another_s_home_address(make_net, identity, secret, counter):
    net = make_net(PAIR)
    ha, mr = tls_pair(net, identity=identity, secret=secret)
    wait_for(lambda: counters(ha)[counter] >= 2, 15, counter)
    assert counters(ha)["key_ok"] == 0 and ha.ask("bindings") == []
    assert mr.status()["state"] == "registering"
    assert "keys: exchange with home agent 2001:db8:a::1, TCP port 7439, has failed: " in mr.log()
    assert ha.log().count("keys: exchange with a router has failed: ") == 1  # not one for each


@PROTOCOL
def test_a_router_tells_why_it_gets_no_keys(make_net):
    """The home agent is there, but has nothing to do with TLS."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, protection="none")
    wait_for(lambda: "has failed: Connection refused" in mr.log(), 15, mr.log)


def expand(key, label, context, size=48):
    """RFC 8446 s7.1: HKDF-Expand-Label with SHA-384; one block is enough."""
    label = b"tls13 " + label
    info = struct.pack("!HB", size, len(label)) + label + bytes([len(context)]) + context + b"\1"
    return hmac.new(key, info, hashlib.sha384).digest()[:size]


def client_hello(identities, secret):
    """TLS 1.3 with pre-shared keys (RFC 8446 s4.1.2, s4.2.11); all binders are made with 'secret'."""
    def sized(fmt, data):
        return struct.pack(fmt, len(data)) + data

    def extension(kind, data):
        return struct.pack("!H", kind) + sized("!H", data)

    key = x25519.X25519PrivateKey.generate().public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    psk = sized("!H", b"".join(sized("!H", i) + bytes(4) for i in identities))
    binders_size = 2 + 49 * len(identities)
    extensions = (extension(43, sized("!B", b"\3\4")) + extension(10, sized("!H", b"\0\x1d"))
                  + extension(13, sized("!H", b"\4\3")) + extension(45, sized("!B", b"\1"))
                  + extension(51, sized("!H", b"\0\x1d" + sized("!H", key)))
                  + struct.pack("!HH", 41, len(psk) + binders_size) + psk)
    body = b"\3\3" + os.urandom(32) + b"\0" + sized("!H", b"\x13\2") + b"\1\0"
    body += struct.pack("!H", len(extensions) + binders_size) + extensions
    message = b"\1" + struct.pack("!I", len(body) + binders_size)[1:] + body
    early = hmac.new(bytes(48), secret, hashlib.sha384).digest()
    binder_key = expand(early, b"ext binder", hashlib.sha384(b"").digest())
    binder = hmac.new(expand(binder_key, b"finished", b""), hashlib.sha384(message).digest(), hashlib.sha384)
    message += sized("!H", sized("!B", binder.digest()) * len(identities))
    return b"\x16\3\1" + sized("!H", message)


@pytest.mark.parametrize("others, taken", [(0, True), (3, True), (4, False), (1000, False)])
def test_a_hello_may_name_four_identities(make_net, others, taken):
    """Each is looked for, and one hello has room for thousands: the right one is not found behind them."""
    net = make_net(PAIR)
    tls_pair(net, start_mr=False)
    net["mr"].batch(["addr add 2001:db8:a::9/64 dev eth0 nodad"])
    with socket_in(net["mr"], socket.AF_INET6, socket.SOCK_STREAM) as s:
        s.settimeout(patient(5))
        s.connect(("2001:db8:a::1", 7439))
        s.sendall(client_hello([b"x%d" % i for i in range(others)] + [b"blue"], PSK))
        record = s.recv(6)
    assert record[0] == (22 if taken else 21), "a handshake message, or an alert"
    assert not taken or record[5] == 2, "Server Hello"


@PROTOCOL
def test_the_key_port_survives_anything(make_net):
    """Octets that are no TLS, TLS 1.2, certificates, silence, two hundred at once: nothing comes of
    it, and a router has its keys all the same."""
    net = make_net(PAIR)
    ha, mr = tls_pair(net, start_mr=False)
    net["mr"].batch(["addr add 2001:db8:a::9/64 dev eth0 nodad"])
    address = ("2001:db8:a::1", 7439)

    def dial():
        s = socket_in(net["mr"], socket.AF_INET6, socket.SOCK_STREAM)
        s.settimeout(patient(5))
        s.connect(address)
        return s

    for garbage in (b"\0" * 100, b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"A" * 70000, b""):
        with dial() as s:
            try:
                s.sendall(garbage)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError:
                pass
    for options in (["-tls1_2"], ["-tls1_3"], ["-tls1_3", "-psk_identity", "blue", "-psk", "00" * 32]):
        net["mr"].run(["timeout", str(patient(5)), "openssl", "s_client", "-connect", "[2001:db8:a::1]:7439", *options],
                      check=False, stdin=subprocess.DEVNULL)
    wait_for(lambda: counters(ha)["key_failed"] >= 7, 5, "all of them have failed")
    assert counters(ha)["key_ok"] == 0
    crowd = [dial() for _ in range(200)]  # who never say anything
    wait_for(lambda: counters(ha)["key_limited"] >= 30, 10, "the first ones are cut off")
    mr.start().wait_bound()  # while the others are still there
    for s in crowd:
        s.close()


def test_two_home_addresses_can_t_have_one_identity(tmp_path):
    keys = tmp_path / "x.keys"
    keys.write_text(f"psk blue {PSK.hex()}\n")
    keys.chmod(0o600)
    path = tmp_path / "nemo.conf"
    path.write_text(libconfig_file({
        "address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "routers": [{"name": f"MR-{n}", "home_address": f"2001:db8:d::{n}", "tenant": "red",
                     "keys": str(keys)} for n in (1, 2)]}))
    done = subprocess.run([os.path.join(BUILD, "nemo-ha"), "-t", "-c", str(path)],
                          capture_output=True, text=True, timeout=patient(10))
    assert done.returncode == 1 and "psk identity: used before" in done.stderr
    assert PSK.hex() not in done.stderr


@pytest.mark.parametrize("program, conf", [
    ("nemo-ha", {"address": HA, "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
                 "routers": [{"name": "MR-1", "home_address": HOA, "tenant": "red"}]}),
    ("nemo-mr", {"name": "mr1", "home_address": HOA, "home_agents": [HA],
                 "uplinks": [{"interface": "eth0"}],
                 "networks": [{"prefix": NET, "interface": "eth1"}]})])


def test_who_says_nothing_of_protection_gets_esp(program, conf, tmp_path):
    """And without keys nothing starts: "none" has to be written out."""
    path = tmp_path / "nemo.conf"
    path.write_text(libconfig_file(conf))
    argv = [os.path.join(BUILD, program), "-t", "-c", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=patient(10))
    assert done.returncode == 1 and 'protection = "esp" needs a key file' in done.stderr
    path.write_text(libconfig_file({**conf, "protection": "none"}))
    assert subprocess.run(argv, capture_output=True, timeout=patient(10)).returncode == 0


def test_coming_home_with_keys_by_tls(make_net, engine):
    """There the care-of address is the home address, and no header says that it is mobile."""
    net = make_net(home_topology("told"))
    keys = key_file(net, "home.keys", f"psk MR-1 {PSK.hex()}")
    esp_ = {"protection": "esp", "engine": engine}
    world = World(net, "told", start="visit1", mr={
        **esp_, "keys": keys, "retransmit_ms": 150 * PATIENCE}, ha={**esp_, "dad_ms": 100, "routers": [
        {"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "t", "keys": keys}]})
    world.mr.wait_bound()
    world.go("home")
    wait_for(lambda: not world.bound(), 10, "de-registered")
    world.go("visit2")
    assert world.bound()
    assert counters(world.ha)["key_ok"] == 1, "nothing to do at a move"
    assert counters(world.ha)["sec_clear"] == counters(world.mr)["sec_clear"] == 0

"""Signalling under RFC 4285's option and static ESP: real daemons, and a hand-built peer that forges.
It computes its keys and authenticators with Python's hmac: nothing of it is the suite's own
(lib/sealed.py)."""

import os
import signal
import struct
import time

import pytest
from scapy.layers import inet6 as s6
from scapy.packet import Raw

from lib.capture import Capture
from lib.daemon import BUILD, Daemon
from lib.mipv6 import BA, MH, Fake, Router, bu, checksum, hao, mac_of, message_of, rh2
from lib.sealed import (  # noqa: F401 (with fixtures)
    COA, COA2, GATEWAY, HA, HOA, HOA2, NET, PAIR, PROTOCOL, SECRET, SECRET2, STRANGER, TO_HA,
    TO_HA_NULL, TO_MR, TO_MR_NULL, auth_bu, auth_key, counters, esp, esp_bu, esp_home, esp_line,
    home, key_file, mac, ntp, options, packed, pair,
)
from lib.topo import Link, Node, Topology
from lib.wait import wait_for


# --- authentication option, at the home agent ---


def test_a_home_agent_without_memory_asks_once(home):
    """RFC 4285 s6: status 144, and only what is above its timestamp binds."""
    home.start(known=False)
    first = auth_bu(1)
    assert home.status(first) == 144
    asked = home.asked
    assert asked >> 32 > ntp() >> 32, "above all that can have been accepted before"
    assert home.binding() is None
    assert home.status(first) == 144 and home.status(auth_bu(2)) == 144
    assert home.binding() is None
    assert home.status(auth_bu(3, stamp=asked)) == 0
    assert home.binding()["care_of"] == COA
    assert home.count("auth_stamp") == 3


def answered(home, packet):
    """The answer to what is refused: there are five a second."""
    return wait_for(lambda: next(iter(home.answers(packet)), None), 5, "an answer")


def refused_and_silent(home, packet, counter):
    before = home.count(counter)
    assert home.answers(packet) == []
    assert home.count(counter) == before + 1


@PROTOCOL
def test_nothing_forged_touches_a_live_binding(home):
    """HOSTILE inputs 7, 8, 9."""
    home.start()
    assert home.status(home.bu(2)) == 0
    bound = home.binding()
    assert bound["care_of"] == COA and bound["sequence"] == 2
    forged = {"coa": "2001:db8:b::77", "alt": "2001:db8:b::77"}

    refused_and_silent(home, bu(COA2, HA, HOA, 3, mnps=[NET], alt=COA2), "auth_missing")
    refused_and_silent(home, bu(COA, HA, HOA, 3, mnps=[], lifetime_s=0, alt=COA), "auth_missing")
    refused_and_silent(home, auth_bu(4, spi=999), "auth_spi")
    refused_and_silent(home, bu(COA2, HA, STRANGER, 5, mnps=[], alt=COA2), "sec_stranger")
    for packet in (auth_bu(6, secret=bytes(32), **forged), auth_bu(6, bend=-1), auth_bu(6, bend=1),
                   auth_bu(6, ha="2001:db8::1")):
        assert message_of(answered(home, packet)).status == 146
    # Authentic ones: of 2100, of last year, nine seconds late.
    for years, seconds in (74, 0), (-1, 0), (0, -9):
        stamp = ntp(years * 365 * 86400 + seconds)
        got = answered(home, auth_bu(7, stamp=stamp))
        assert home.check(got).status == 144
        assert abs((home.asked >> 32) - (ntp() >> 32)) <= 1
        assert home.asked & 0xFFFFFFFF == stamp & 0xFFFFFFFF
    assert home.binding() == {**bound, "remaining_s": home.binding()["remaining_s"],
                              "registered_s": home.binding()["registered_s"]}
    # The far one was not stored; and now an exact replay.
    good = home.bu(10)
    assert home.status(good) == 0
    assert message_of(answered(home, good)).status == 144
    assert home.binding()["sequence"] == 10
    leave = home.bu(11, lifetime_s=0, mnp=None)
    assert home.status(leave) == 0
    assert home.binding()["state"] != "bound"
    assert home.status(home.bu(12)) == 0
    assert message_of(answered(home, leave)).status == 144
    assert home.binding()["state"] == "bound"


def test_a_replay_after_a_restart_and_after_a_crash(home):
    """HOSTILE input 8: the floor is in the state file; a lost file means one more round trip."""
    home.start()
    last = home.bu(5)
    assert home.status(last) == 0
    for how in (signal.SIGTERM, signal.SIGKILL):
        home.ha.restart(how)
        assert home.status(last) == 144 and home.binding()["sequence"] == 5
    assert home.status(home.bu(6)) == 0, "no additional round trip: it remembers"
    home.ha.stop()
    home.ha.forget()
    home.ha.start()
    assert home.status(home.bu(7)) == 144
    assert home.status(auth_bu(8, stamp=home.asked)) == 0


@PROTOCOL
def test_a_replay_after_the_end_of_the_binding(home):
    """HOSTILE 8: nothing is left that its sequence number could be held against; the floor is."""
    home.start()
    last = home.bu(5, lifetime_s=4)
    assert home.status(last) == 0
    wait_for(lambda: home.binding() is None, 15, "the binding has ended")
    assert home.status(last) == 144 and home.binding() is None


@PROTOCOL
def test_refused_updates_are_answered_five_times_a_second(home):
    home.start()
    updates, since = [auth_bu(n, bend=-1) for n in range(10, 210)], time.monotonic()
    got = home.answers(*updates)
    most = 5 * int(time.monotonic() - since + 2)  # of so many seconds
    assert 1 <= len(got) <= most
    assert home.count("auth_limited") >= 200 - most
    assert home.count("auth_failed") == 200


@PROTOCOL
def test_either_secret_is_taken_while_they_rotate(home):
    home.start()
    assert home.status(home.bu(2)) == 0
    assert home.status(home.bu(3, spi=257, secret=SECRET2)) == 0
    assert home.status(home.bu(4)) == 0


def test_scapy_s_own_option_is_taken(home):
    """At 4n+1 with padding after it, as another implementation may put it (RFC 4285 s5)."""
    home.start()

    def update(data=bytes(16)):
        # Its own replay protection option takes a float, which is not fine enough.
        stamp = s6.MIP6OptUnknown(otype=10, odata=struct.pack("!Q", home.last))
        return s6.IPv6(src=COA, dst=HA) / hao(HOA) / s6.MIP6MH_BU(
            seq=9, flags="AHR", mhtime=150, options=[
                s6.MIP6OptAltCoA(acoa=COA), s6.PadN(optdata=bytes(0)), stamp,
                s6.MIP6OptMsgAuth(mspi=256, authdata=data)])

    home.bu(0)
    whole = bytes(update())[64:]
    end = whole.index(b"\x09\x15\x01") + 7
    assert len(whole) > end + 16, "padding follows"
    got = home.answers(update(mac(auth_key(SECRET, 256), COA, HOA, whole[:end])))
    assert home.check(got[0]).status == 0


def test_an_update_without_a_timestamp_gets_145(home):
    home.start()
    assert home.status(home.bu(9, with_stamp=False)) == 145
    assert home.binding()["sequence"] == 1


# --- both daemons ---


def test_router_and_home_agent_with_the_option(make_net, engine):
    """They register, the first time with a round trip more; refresh, restart, de-register."""
    net = make_net(PAIR)
    ha, mr = pair(net, engine)
    assert ha.status()["protection"] == mr.status()["protection"] == "auth-option"
    assert [r["protection"] for r in ha.ask("routers")] == ["auth-option"]
    assert counters(mr)["auth_resync"] == 1, "the home agent had no memory"
    assert counters(ha)["in_clear"] == counters(mr)["in_clear"] == 0
    for daemon in ha, mr:
        assert "none" not in daemon.log() and SECRET.hex() not in daemon.log()
    mr.restart()
    mr.wait_bound()
    assert counters(mr)["auth_resync"] == 0, "both remember"
    ha.restart()
    mr.ask("rehome")
    mr.restart()
    mr.wait_bound()
    assert counters(ha)["auth_failed"] == counters(ha)["auth_missing"] == 0
    mr.stop()
    assert not [b for b in ha.ask("bindings") if b["state"] == "bound"]


@PROTOCOL
def test_a_router_believes_no_answer_but_its_home_agents(make_net):
    """HOSTILE input 13: without option, of a wrong key, with another timestamp: ignored."""
    net = make_net(Topology(nodes=[Node("wire"), Node("mr", forward=True)], links=[
        Link("mr:eth0", "wire:eth0", real_dad=True), Link("mr:eth1", "wire:eth1")]))
    keys = key_file(net, "mr.keys", f"auth 256 {SECRET.hex()}")
    fake = Fake(net, "wire", "eth0", mac_of(net, "mr", "eth0"), ha=HA,
                router=Router("2001:db8:a::/64", "02:00:00:00:00:0a"))
    how = {}

    def answer(fake, packet):
        message = message_of(packet.ip)
        at = bytes(message).find(b"\x0a\x08") + 2
        stamp = struct.unpack("!Q", bytes(message)[at:at + 8])[0]
        parts = [(10, struct.pack("!Q", stamp + how.get("later", 0)), 8, 2),
                 (9, b"\1" + struct.pack("!I", 256) + bytes(16), 8, 1)]
        body = struct.pack("!BBHH", 0, 0x40, message.seq, 150) + options(*parts)
        head = struct.pack("!BBBBH", 59, (6 + len(body)) // 8 - 1, BA, 0, 0)
        key = auth_key(how.get("secret", SECRET), 256)
        body = body[:-16] + mac(key, packet.src, HOA, (head + body)[:-16])
        if how.get("bare"):
            body = body[:6] + options((1, bytes(8), 1, 0))
        body += bytes(-(6 + len(body)) % 8)
        head = head[:1] + bytes([(6 + len(body)) // 8 - 1]) + head[2:]
        head = head[:4] + struct.pack("!H", checksum(HA, HOA, head + body))
        headers = rh2(HOA)
        headers.nh = MH
        return [s6.IPv6(src=HA, dst=packet.src) / headers / Raw(head + body)]

    fake.home_agent = answer
    try:
        for wrong, counter in (({"bare": True}, "auth_missing"), ({"secret": SECRET2}, "auth_failed"),
                               ({"later": 1 << 32}, "auth_foreign")):
            how.clear()
            how.update(wrong)
            mr = Daemon(net, "mr", "nemo-mr", {
                "name": "mr1", "home_address": HOA, "home_agents": [HA],
                "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
                "protection": "auth-option", "keys": keys}).start()
            wait_for(lambda: counters(mr)[counter] >= 2, 10, counter)
            assert mr.status()["state"] == "registering"
            how.clear()
            mr.wait_bound()
            mr.stop()
    finally:
        fake.close()


# --- key files ---


@pytest.mark.parametrize("mode, words", [(0o644, "0644"), (0o640, "0640"), (0o666, "0666")])
def test_a_key_file_that_others_can_read_is_refused(make_net, mode, words, tmp_path):
    """HOSTILE input 17."""
    net = make_net(PAIR)
    keys = key_file(net, "x.keys", f"auth 256 {SECRET.hex()}")
    os.chmod(keys, mode)
    check_refused(net, keys, words)
    check_refused(net, os.path.join(net.dir, "none.keys"), "No such file")
    check_refused(net, net.dir, "is not a file")
    bad = key_file(net, "bad.keys", "# a", "auth 255 " + SECRET.hex())
    said = check_refused(net, bad, f"{bad}:2: the SPI")
    assert SECRET.hex() not in said
    check_refused(net, key_file(net, "empty.keys"), "no auth line")
    check_refused(net, "", "needs a key file")


def check_refused(net, keys, words, protection="auth-option"):
    d = Daemon(net, "mr", "nemo-mr", {
        "name": "mr1", "home_address": HOA, "home_agents": [HA],
        "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
        "protection": protection, "keys": keys})
    with pytest.raises(RuntimeError) as error:
        d.start()
    assert words in str(error.value)
    return str(error.value)


# --- static ESP ---


@pytest.mark.parametrize("sas", [(TO_HA, TO_MR), (TO_HA_NULL, TO_MR_NULL)], ids=["aes-cbc", "null"])
def test_a_hand_built_peer_registers_with_static_esp(request, make_net, sas):
    home = esp_home(request, make_net, *sas)
    assert home.status(esp_bu(sas[0], 1, 1)) == 0
    assert home.number == 1
    assert home.binding()["care_of"] == COA
    assert home.status(esp_bu(sas[0], 2, 2, mnp="2001:db8:d:2::/64")) == 142
    assert home.number == 2
    assert home.status(esp_bu(sas[0], 3, 3, mnp=None, lifetime_s=0)) == 0
    assert home.binding()["state"] != "bound"


def test_a_router_at_home_needs_no_home_address_option(request, make_net):
    """RFC 3776 s3.1: IPv6, ESP, message; the association is found all the same.  (The home link is
    virtual here: no answer can get there.)"""
    home = esp_home(request, make_net)
    assert home.status(esp_bu(TO_HA, 1, 1)) == 0
    message = bytes(bu(HOA, HA, None, 2, mnps=[], lifetime_s=0, source=HOA))[40:]
    home.wire.send(s6.IPv6(src=HOA, dst=HA, nh=50) / Raw(esp(TO_HA, 2, message)))
    wait_for(lambda: home.binding()["state"] != "bound", 5, "de-registered")
    assert home.count("esp_ok") == 2


def test_nothing_forged_touches_a_live_binding_under_esp(request, make_net):
    """HOSTILE inputs 7, 8; RFC 4303 s3.4: silent, every one of them."""
    home = esp_home(request, make_net)
    first = esp_bu(TO_HA, 5, 2)
    assert home.status(first) == 0
    bound = home.binding()
    coa2 = {"coa": "2001:db8:b::77", "alt": "2001:db8:b::77"}
    moved = bytes(esp_bu(TO_HA, 9, 9, alt=None))
    moved = s6.IPv6(moved[:8] + packed("2001:db8:b::77") + moved[24:])
    for packet, counter in (
        (bu(COA, HA, HOA, 3, mnps=[], lifetime_s=0, alt=COA), "sec_clear"),
        (first, "esp_replay"),
        (esp_bu({**TO_HA, "spi": 999}, 6, 6, **coa2), "esp_spi"),
        (esp_bu({**TO_HA, "mac": bytes(32)}, 6, 6, **coa2), "esp_icv"),
        (esp_bu({**TO_HA, "mac": bytes(32)}, 2**32 - 1, 6, **coa2), "esp_icv"),
        (esp_bu(TO_HA, 6, 6, bend=30, **coa2), "esp_icv"),
        (esp_bu(TO_HA, 6, 6, bend=7, **coa2), "esp_icv"),
        (esp_bu(TO_HA, 6, 6, hoa=HOA2, **coa2), "esp_spi"),
        (esp_bu(TO_HA, 7, 7, proto=58, **coa2), "esp_inner"),
        (esp_bu(TO_HA, 8, 8, proto=59, **coa2), "esp_dummy"),
        (moved, "esp_care_of"),
        (s6.IPv6(src=COA, dst=HA) / _next(hao(HOA), 50) / Raw(bytes(20)), "esp_short"),
    ):
        before = home.count(counter)
        assert home.answers(packet) == [], counter
        assert home.count(counter) == before + 1, counter
    same = home.binding()
    assert (same["care_of"], same["sequence"], same["moves"]) == (COA, bound["sequence"], 0)
    assert home.status(esp_bu(TO_HA, 10, 10)) == 0, "the association is alive"


def _next(headers, proto):
    headers.nh = proto
    return headers


def test_esp_numbers_survive_a_restart_and_a_crash(request, make_net):
    """RFC 4303 s3.3.3: with manual keys the counter must be kept; replays stay replays."""
    home = esp_home(request, make_net)
    old = [esp_bu(TO_HA, n, n) for n in (1, 2, 3)]
    assert [home.status(p) for p in old] == [0, 0, 0]
    number = home.number
    for n, how in ((4, signal.SIGTERM), (5, signal.SIGKILL)):
        home.ha.restart(how)
        for p in old:
            assert home.answers(p) == []
        assert home.binding()["sequence"] == n - 1
        assert home.status(esp_bu(TO_HA, n, n)) == 0
        assert home.number > number, "never used twice"
        number = home.number


def test_a_peer_that_loses_its_counter(request, make_net):
    """no-replay-check: RFC 4303 s3.3.3 says SHOULD NOT with manual keys, and so can a peer."""
    home = esp_home(request, make_net, TO_HA, TO_MR, "no-replay-check")
    assert home.status(esp_bu(TO_HA, 7, 1)) == 0
    assert home.status(esp_bu(TO_HA, 1, 2)) == 0
    assert home.status(esp_bu(TO_HA, 1, 2)) == 135, "the update's own number is all there is"


@PROTOCOL
def test_tshark_opens_our_esp_with_the_keys(make_net):
    """Router and home agent with static ESP; the capture is decoded by someone else's code."""
    net = make_net(PAIR)
    keys = key_file(net, "pair.keys", esp_line("to-ha", TO_HA), esp_line("to-mr", TO_MR))
    capture = Capture(net, "mr", "eth0", snap=2000)
    ha = Daemon(net, "ha", "nemo-ha", {
        "address": "2001:db8:a::1", "interfaces": ["eth0"], "home_prefixes": ["2001:db8:d::/64"],
        "protection": "esp-static",
        "routers": [{"name": "MR-1", "home_address": HOA, "prefixes": [NET], "tenant": "red",
                     "keys": keys}]}).start()
    mr = Daemon(net, "mr", "nemo-mr", {
        "name": "mr1", "home_address": HOA, "home_agents": ["2001:db8:a::1"],
        "uplinks": [{"interface": "eth0"}], "networks": [{"prefix": NET, "interface": "eth1"}],
        "protection": "esp-static", "keys": keys}).start()
    mr.wait_bound()
    mr.restart()
    mr.wait_bound()
    assert counters(ha)["esp_ok"] >= 3 and counters(ha)["esp_replay"] == 0
    capture.stop()
    path = capture.path
    sas = [f'uat:esp_sa:"IPv6","*","*","0x{sa["spi"]:08x}","AES-CBC [RFC3602]","0x{sa["enc"].hex()}",'
           f'"HMAC-SHA-256-128 [RFC4868]","0x{sa["mac"].hex()}"' for sa in (TO_HA, TO_MR)]
    argv = ["tshark", "-n", "-r", path, "-Y", "esp", "-o", "esp.enable_encryption_decode:TRUE",
            "-o", "esp.enable_authentication_check:TRUE", "-T", "fields", "-E", "separator=|",
            "-e", "esp.spi", "-e", "esp.sequence", "-e", "mip6.mhtype", "-e", "esp.icv_good"]
    rows = [l.split("|") for l in net["mr"].out(argv + [x for sa in sas for x in ("-o", sa)]).splitlines()]
    updates = [r for r in rows if r[0] == "0x000003e8"]
    answers = [r for r in rows if r[0] == "0x000003e9"]
    for rows_, kind in (updates, "5"), (answers, "6"):
        kinds = [r[2] for r in rows_]
        assert set(kinds) <= {kind, "13"} and kinds.count(kind) >= 3, kinds  # 13: heartbeats
    assert {r[3] for r in rows} <= {"1", "True"}, rows
    assert len({r[1] for r in updates}) == len(updates), "each number once"


def test_static_gcm_is_refused(make_net):
    net = make_net(PAIR)
    keys = key_file(net, "gcm.keys", f"esp to-ha 1000 aes-gcm-16 {bytes(36).hex()}")
    said = check_refused(net, keys, "gcm.keys:1: AES-GCM with static keys", "esp-static")
    assert "nonce" in said
    one = key_file(net, "half.keys", esp_line("to-ha", TO_HA))
    check_refused(net, one, "no esp line for each", "esp-static")


# --- floods (netns-tests/bench/flood.py measures) ---


@pytest.mark.novm("20,000 packets a second, which emulation does not make")
def test_forged_updates_do_not_push_a_routers_out(home, engine):
    """While the home agent is busy more forged updates come than there is room for: first of home
    addresses that nobody has, then of the router's own.  Engine ip6tnl has one queue for all."""
    if engine != "ebpf":
        pytest.skip("one queue, a large one")
    home.ha.conf += 'engine = "ebpf";\n'
    home.start()
    argv = [os.path.join(BUILD, "tools", "flood"), "forge", "stranger", HA, "1", "40000", "1"]
    home.net["wire"].batch([f"addr add {GATEWAY}/64 dev eth0 nodad"])
    since = home.wire.mark()
    home.ha.proc.send_signal(signal.SIGSTOP)
    try:
        home.net["wire"].run(argv)
        home.wire.send(home.bu(2))
    finally:
        home.ha.proc.send_signal(signal.SIGCONT)
    answer = home.wire.wait("its answer", since, mh=BA)
    assert home.check(answer.ip).status == 0
    wait_for(lambda: counters(home.ha, "signalling")["mh_lost"] > 0, 10, "some were lost")
    forged = [auth_bu(n, secret=bytes(32)) for n in range(3, 200)]
    for packet in forged:
        home.wire.send(packet)
    wait_for(lambda: home.count("auth_failed") == len(forged), 10, "each was looked at")
    assert home.status(home.bu(3)) == 0, "and behind them it is still heard"

"""nemo-nat64 that is killed, restarted or upgraded under traffic, by a service manager that keeps its
device: nothing is lost, and nothing stays when it is stopped.

    c4 ------ r4 ------ box ------ r6 ------ h6, g6        (addresses: lib/lab64.py)
"""

import os
import signal

import pytest

from lib import lab64
from lib.lab64 import C6, ENGINES, H4, MAPPED_H4, SETTINGS, Udp, can_not
from lib.service import Service
from lib.traffic import Server, TcpTransfer, UdpProbe, now_ns
from lib.wait import IN_VM, wait_for

EVERY_US = 4000  # the device holds as many as come in eight seconds: a start takes long on a busy machine
FRAGMENTED = 2000  # octets: more than fits, so it takes user space with either engine


@pytest.fixture
def net(make_net):
    with lab64.build() as net:
        yield net


@pytest.fixture
def service(net):
    made = []

    def make(engine, settings=None):
        made.append(Service(net, "box", "nemo-nat64", {**SETTINGS, "engine": engine, **(settings or {})}))
        try:
            return made[-1].start()
        except RuntimeError as e:
            can_not(engine, e)
            raise

    yield make
    for s in made:
        s.stop()
        s.close()


def kernel(net):
    """All that the translator has in the kernel of its host."""
    links = [line for line in net["box"].out("ip -o link").splitlines() if "nat64" in line]
    routes = net["box"].out("ip -4 route show proto 140") + net["box"].out("ip -6 route show proto 140")
    filters = [dev for dev in ("left", "right")
               if "nat64_ingress" in net["box"].out(f"tc filter show dev {dev} ingress")]
    return links, sorted(routes.split("\n")), filters


NOTHING = ([], [""], [])


def index(net):
    return kernel(net)[0][0].split(":")[0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", ["kill", "restart"])
def test_nothing_is_lost(net, service, opened, engine, how):
    """The programs go on by themselves, what takes the daemon waits in the device for the next run."""
    box = service(engine)
    down = UdpProbe(net, "c4", MAPPED_H4, Server(net, "h6"), EVERY_US)
    up = UdpProbe(net, "h6", C6, Server(net, "c4"), EVERY_US)
    tcp = [TcpTransfer(net, "c4", MAPPED_H4, down.server, kbps=1000),
           TcpTransfer(net, "h6", C6, up.server, kbps=1000)]
    for t in tcp:
        t.wait_flowing()
    h6, c4 = opened(Udp(net, "h6", 6)), opened(Udp(net, "c4", 4))
    if how == "kill":
        box.wait_stored()
    was, before, since = kernel(net), box.ask("stats")["counters"], now_ns()
    changes = net["box"].popen(["ip", "monitor", "link", "address", "route"],
                               stdout=open(os.path.join(net.dir, "changes"), "w"))
    net.started(changes)
    assert box.stop(signal.SIGKILL if how == "kill" else signal.SIGUSR1) == (-9 if how == "kill" else 0)
    assert kernel(net) == was
    if engine == "ebpf":
        down.wait_flowing()  # while nobody is there
        up.wait_flowing()
    for n in range(20):
        c4.sendto(bytes([n]) * FRAGMENTED, H4, h6.port)
        h6.sendto(bytes([n]) * FRAGMENTED, C6, c4.port)
    box.start()
    for udp in h6, c4:
        got = []
        wait_for(lambda: got.extend(d[0] for d, _ in udp.received()) or len(got) >= 20, 5,
                 lambda: f"20 fragmented datagrams; {got} came")
        assert sorted(got) == list(range(20))
    for probe in down, up:
        probe.wait_flowing()
        probe.stop()
    changed = open(os.path.join(net.dir, "changes")).read()
    assert "nat64" not in changed, changed
    lost = [p.flow(way).lost(since) for p in (down, up) for way in ("down", "up")]
    # A kill may meet the daemon with one packet in hand.
    assert sum(lost) <= (engine == "tun" and how == "kill") or IN_VM, lost
    for t in tcp:
        got = t.stop()
        assert not got["broken"] and got["sent"] == got["received"], got
    assert kernel(net) == was
    for old, new in zip(before, box.ask("stats")["counters"]):
        assert new["ebpf"] >= old["ebpf"], "the programs' counters go on"


@pytest.mark.parametrize("engine", ENGINES)
def test_stopped_it_leaves_nothing(net, service, engine):
    """Though the manager, here, still holds all of it."""
    box = service(engine).wait_stored()
    held = ["queue"] if engine == "tun" else ["counters", "program", "queue"]
    assert box.names() == held
    assert box.stop() == 0
    assert box.names() == held and kernel(net) == NOTHING


def test_a_manager_that_gives_up_ends_it(net, service):
    box = service("tun").wait_stored()
    box.stop(signal.SIGKILL)
    assert kernel(net) != NOTHING
    box.release()
    assert kernel(net) == NOTHING


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", ["crashes again", "can't start"])
def test_only_a_run_that_has_proved_itself_is_bridged(net, service, engine, how):
    """Else the box would draw traffic that nobody translates; nor does it come back in haste."""
    box = service(engine).wait_stored()
    there = index(net)
    box.stop(signal.SIGKILL)
    assert index(net) == there
    if how == "crashes again":
        box.start()
        assert index(net) == there
        box.stop(signal.SIGKILL)
    else:
        box.conf += "nonsense"
        with pytest.raises(RuntimeError):
            box.start()
    gone = NOTHING if how == "can't start" else (*NOTHING[:2], kernel(net)[2])
    wait_for(lambda: box.names() == ["unproved"] and kernel(net) == gone, 5,
             lambda: f"{box.names()} {kernel(net)}")
    box.conf = box.conf.removesuffix("nonsense")
    box.start().wait_stored()
    assert box.log().count("before it had proved itself") == 1
    assert box.stop() == 0 and kernel(net) == NOTHING


def test_another_configuration_counts_from_the_start(net, service):
    """What it no longer wants goes, what it can't take over is made anew."""
    box = service("ebpf").wait_stored()
    there, conf = index(net), box.conf
    assert kernel(net)[2] == ["left", "right"] and H4 in " ".join(kernel(net)[1])
    box.conf = conf.replace('"left", "right"', '"left"').replace(H4, "192.0.2.77")
    assert box.conf.count("192.0.2.77") == 1
    box.restart(signal.SIGKILL).wait_stored()
    assert index(net) == there and kernel(net)[2] == ["left"]
    routes = " ".join(kernel(net)[1])
    assert H4 + " " not in routes and "192.0.2.77" in routes
    box.conf = conf.replace('"ebpf"', '"tun"')
    box.restart(signal.SIGKILL).wait_stored()
    assert index(net) == there and kernel(net)[2] == []
    box.conf = conf + "queues = 2;\n"
    box.restart(signal.SIGKILL)
    assert index(net) != there and len(kernel(net)[0]) == 1
    down = UdpProbe(net, "c4", MAPPED_H4, Server(net, "h6"))
    down.wait_flowing()

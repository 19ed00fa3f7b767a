"""The image boots and says what is wrong with its configuration; a router and a service behind it
live-migrate under traffic of both families.  Needs `make image`."""

import json
import os
import signal
import subprocess

import pytest
from lib.topo import Net, Node, Topology
from lib.traffic import TcpTransfer
from lib.wait import patient, wait_for

from vm import drill
from vm import lab as labs
from vm.guest import Boot, Guest

pytestmark = pytest.mark.novm("virtual machines are not nested in emulation")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    net, lab = labs.build(str(tmp_path_factory.mktemp("lab") / "kept"))
    with net:
        yield lab


def seed_disk(path, files):
    """A NoCloud seed: a FAT disk labelled cidata with these files."""
    subprocess.run(["truncate", "-s", "1M", path], check=True)
    subprocess.run(["mkfs.vfat", "-n", "cidata", path], check=True, capture_output=True)
    for name, text in files.items():
        subprocess.run(["mcopy", "-i", path, "-", f"::{name}"], input=text.encode(), check=True)


def console_of(tmp_path, files, want):
    """Boots the image from its disk by BIOS with a seed disk until the console says 'want'."""
    with Net(Topology([Node("hv", bridges=["uplink", "vnet"])], [])) as net:
        boot = Boot(None, None, None, os.path.join(labs.IMAGE, "nemo-mr.qcow2"))
        guest = Guest(net, "hv", "mr", boot, 256, {"mr0": "uplink", "mr1": "vnet"})
        if files is not None:
            guest.seed = str(tmp_path / "seed")
            seed_disk(guest.seed, files)
        guest.start()
        wait_for(lambda: want in guest.console(), 80, lambda: f"{want!r}\n{guest.console()}")
        return guest.console()


def test_broken_configuration_is_told_on_the_console(tmp_path):
    conf = labs.MR_CONF.replace(labs.HOME, "2001:db8::zz")
    seed = conf + "--- nemo-mr.keys\npsk tenant-1 " + "5a" * 32 + "\n"
    said = console_of(tmp_path, {"user-data": seed}, "No configuration, no router")
    assert "not started" in said and "user-data on the disk cidata" in said
    assert "nemo-mr.conf:2" in said and "home_address" in said and "5a5a" not in said


def carries_on(lab, loops, transfers):
    for family, loop in loops.items():
        loop.send_signal(signal.SIGTERM)
        http = json.loads(loop.communicate(timeout=patient(60))[0])
        assert http["lost"] == 0 and http["requests"] > 5, (family, http)
    for family, transfer in transfers.items():
        tcp = transfer.stop()
        assert not tcp["broken"] and not tcp["corrupt"] and tcp["received"] > 0, (family, tcp)


def test_migration_there_and_back(lab):
    targets = {"client": (lab.address, lab.address), "client4": (labs.SERVICE4, "::ffff:" + labs.SERVICE4)}
    loops = {node: lab.http(node, plain) for node, (plain, _) in targets.items()}
    transfers = {
        node: TcpTransfer(lab.net, node, mapped, drill.Far, 2000) for node, (_, mapped) in targets.items()
    }
    for transfer in transfers.values():
        transfer.wait_flowing(20)
    for there in "hv-b", "hv-a":
        prefix = labs.SITES[there].split("::")[0] + ":"
        lab.migrate()
        wait_for(lambda: (lab.bound() or "").startswith(prefix), 30, f"registered from {there}")
        got = {n: lab.http(n, plain, 1).communicate()[0] for n, (plain, _) in targets.items()}
        assert all(json.loads(answer)["lost"] == 0 for answer in got.values()), got
    carries_on(lab, loops, transfers)
    # An advertisement that happens to come first tells of the move as well.
    assert "migration event" in [handover["cause"] for handover in lab.handovers()[-2:]]


def test_cancelled_migration_changes_nothing(lab):
    before, handovers = lab.bound(), len(lab.handovers())
    lab.cancel_migration()
    answer = json.loads(lab.http("client", lab.address, 5).communicate()[0])
    assert answer["lost"] == 0
    assert lab.bound() == before and len(lab.handovers()) == handovers


def hints(lab):
    stats = json.loads(lab.router.execute("nemoctl", "--json", "stats"))
    return next(c["value"] for c in stats[0]["data"]["counters"] if c["name"] == "hints")


def test_orchestrator_tells_the_router_through_its_agent(lab):
    """nemoctl mr rehome in the guest: the router looks around, and stays where it is."""
    before, seen = lab.bound(), hints(lab)
    lab.router.execute("nemoctl", "mr", "rehome")
    wait_for(lambda: hints(lab) > seen, 10, "a hint")
    assert lab.bound() == before
    assert json.loads(lab.http("client", lab.address, 5).communicate()[0])["lost"] == 0

"""Fixtures of the network tests.

    def test_something(make_net, engine):
        net = make_net(TOPOLOGY)
        ha = Daemon(net, "ha", "nemo-ha", {..., "engine": engine}).start()

What a test starts ends with it; when it fails, the drawing, logs, kernel state and status of every
daemon are printed and captures are kept in build/failed/.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import zlib

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

pytest.register_assert_rewrite("lib")  # they say what they compared, as those of the tests do

from lib import ROOT, ns, tries  # noqa: E402
from lib.topo import Net  # noqa: E402

ENGINES = os.environ.get("NEMO_ENGINES", "ebpf").split(",")
IN_VM = os.environ.get("NEMO_VM") == "1"
OF_THE_ENGINES = {
    "test_capture.py", "test_engine.py", "test_engine_path.py", "test_tunnel.py", "test_nat64.py",
    "test_nat64_operation.py", "test_restart.py",
}


def pytest_configure(config):
    config.addinivalue_line("markers", "novm(reason): not on the stock kernel, and why")
    config.addinivalue_line("markers", "bonding: needs a bond, the only one to tell NOTIFY_PEERS")


def pytest_sessionstart(session):
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # of one begun in the background; programs would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
    ns.remove_leftovers()


def pytest_ignore_collect(collection_path):
    """A whole file that is not for the VM is not even imported there: collecting takes time."""
    if IN_VM and collection_path.suffix == ".py":
        if "\npytestmark = pytest.mark.novm(" in collection_path.read_text():
            return True
    return None


def for_the_vm(items):
    """What has a reason to run on the stock kernel, too; NEMO_WHOLE=1: all.

    Tests of the engines, and of what passes through them, run with both.  The others are about
    the protocols, which see the kernel through the same few doors in all variants of a test: one
    variant of each runs, with the engine that no other kernel here has."""
    if not IN_VM or os.environ.get("NEMO_WHOLE") == "1":
        return items
    variants = {}
    for item in items:
        key = item.nodeid if item.path.name in OF_THE_ENGINES else item.nodeid.partition("[")[0]
        variants.setdefault(key, []).append(item)

    def rank(item):
        params = getattr(item, "callspec", None) and item.callspec.params or {}
        return params.get("engine") != ENGINES[-1], zlib.crc32(item.nodeid.encode())

    chosen = {min(those, key=rank) for those in variants.values()}
    return [item for item in items if item in chosen]


def shared(item):
    """What of this test's set-up others share: tests with the same go into the same guest."""
    callspec = getattr(item, "callspec", None)
    found = [
        (item.path.name, name, str(callspec.params.get(name)) if callspec else "")
        for name, defs in item._fixtureinfo.name2fixturedefs.items()
        if defs[-1].scope == "module"
    ]
    return tuple(found) or item.nodeid


def dealt_out(items, share, shares):
    """One share of the tests: those that share a set-up together, else as even as it goes."""
    groups = {}
    for item in items:
        groups.setdefault(shared(item), []).append(item)

    def work(those):
        return sum(not item.get_closest_marker("novm") for item in those)

    hands = [[] for _ in range(shares)]
    for group in sorted(groups.values(), key=work, reverse=True):
        min(hands, key=work).extend(group)
    mine = set(hands[share])
    return [item for item in items if item in mine]


def mixed(items):
    """For several workers: each gets a part at a time, and a part of one file may be all slow ones.  So
    the order is by a hash, the same for all workers; tests that share a set-up stay together."""
    return sorted(items, key=lambda item: zlib.crc32(str(shared(item)).encode()))


def pytest_collection_modifyitems(config, items):
    if os.environ.get("PYTEST_XDIST_WORKER"):
        items[:] = mixed(items)
    share, shares = (int(n) for n in (os.environ.get("NEMO_SHARE") or "0/1").split("/"))
    chosen = dealt_out(for_the_vm(items), share, shares)
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen
    bonding = not any(item.get_closest_marker("bonding") for item in items) or (
        subprocess.run(["sh", "-c", "modprobe -q bonding; test -d /sys/module/bonding"]).returncode == 0
    )
    for item in items:
        if item.get_closest_marker("bonding") and not bonding:
            item.add_marker(pytest.mark.skip(reason="this kernel has no bonding (the VM's has)"))
        mark = item.get_closest_marker("novm")
        if mark and IN_VM:
            item.add_marker(pytest.mark.skip(reason=f"not in the VM: {mark.args[0]}"))


FAILED = {}  # {id: reason}, in the order of their failures
REPORTS = os.path.join(os.environ.get("NEMO_REPORTS") or os.path.join(ROOT, "build", "failed"),
                       f"reports-{os.environ.get('NEMO_SHARE', '')[:1]}.txt")


def run_alone(config):
    """run(ids, last) of tries.again(): here, by a pytest of its own."""

    def run(ids, last):
        with tempfile.NamedTemporaryFile() as f:
            env = {**os.environ, **tries.setting(last, f.name)}
            run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ids]
            code = subprocess.run(run, env=env, cwd=config.invocation_params.dir).returncode
            failed = tries.left(f.name)
        return failed if failed or code == pytest.ExitCode.OK else None

    return run


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """As in `make check`: a few tests that failed are tried once more, alone, and decide.  Four tests at a
    time make some late; what is broken fails again.  In a guest, who has started it sees to that."""
    if hasattr(session.config, "workerinput"):
        return
    if not tries.is_last():  # what fails will be shown by the last one
        session.config.option.tbstyle = "no"
        screen = session.config.pluginmanager.get_plugin("terminalreporter")
        screen.reportchars = re.sub("[fE]", "", screen.reportchars)
    failed = FAILED
    if exitstatus == pytest.ExitCode.TESTS_FAILED and not IN_VM:
        failed = tries.again(FAILED, run_alone(session.config))
        if FAILED and not failed:
            session.exitstatus = pytest.ExitCode.OK
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        tries.leave(failed)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" or report.skipped:
        item.failed_call = report.failed


def pytest_runtest_logreport(report):
    """A failure is told when it happens, with its reason: the end may be minutes away.  Of one that will be
    tried again no more is told on the screen."""
    if not report.failed:
        return
    reason = getattr(getattr(report.longrepr, "reprcrash", None), "message", str(report.longrepr))
    word = "FAILED" if tries.is_last() else "to be tried again:"
    print(f"\n{word} {report.nodeid} ({report.when}): {reason[:300]}", flush=True)
    FAILED.setdefault(report.nodeid, reason)
    if not tries.is_last() and "PYTEST_XDIST_WORKER" not in os.environ:
        os.makedirs(os.path.dirname(REPORTS), exist_ok=True)
        with open(REPORTS, "a") as f:
            print(f"=== {report.nodeid} ({report.when})", report.longreprtext, sep="\n", file=f)
            for title, text in report.sections:
                print(f"--- {title}", text, sep="\n", file=f)


@pytest.fixture(params=ENGINES)
def engine(request):
    """The tunnel engine to test with; NEMO_ENGINES lists them."""
    return request.param


@pytest.fixture
def make_net(request):
    """make_net(topology) builds a network that lives as long as the test."""
    nets = []
    keep_in = os.path.join(ROOT, "build", "failed", re.sub(r"[^\w.-]", "_", request.node.name))

    def make(topology):
        net = Net(topology, keep_in)
        nets.append(net)
        return net

    yield make
    for net in reversed(nets):
        try:
            # No 'failed_call': the call phase was never reached or was interrupted.
            if getattr(request.node, "failed_call", True):
                net.report()
                net.keep()
        finally:
            net.close()


@pytest.fixture
def opened():
    """opened(socket-like) closes it at the end."""
    things = []

    def keep(thing):
        things.append(thing)
        return thing

    yield keep
    for t in things:
        t.close()

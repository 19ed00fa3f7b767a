"""nemoctl why: what keeps a router from its binding, told from what daemons of cardboard say."""

import json
import re
import subprocess

import pytest

from lib.control import HA, MR, NAT64, NEMOCTL, fake  # noqa: F401 (with a fixture)

pytestmark = pytest.mark.novm("a socket and JSON: no kernel takes part")

COUNTERS = [{"name": "key_failed", "value": 3, "group": "protection", "help": "failed exchanges"},
            {"name": "bu_rx", "value": 3, "group": "protocol", "help": "updates"}]  # fmt: skip


@pytest.fixture
def why(tmp_path):
    """Exit code, and what is said, on one line."""

    def run(*args):
        argv = [NEMOCTL, "--run", str(tmp_path), "why", *args]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run


ROUTER = {**HA["routers"][0], "barred": False}
AT_HA = {  # what is different of a router, and what is said of it
    "bound": ({"bound": True, "care_of": "2001:db8::c"}, "bound at 2001:db8::c"),
    "clone": ({"bound": True, "care_of": "::1", "contested_by": "::2"}, "two machines.*::1 and ::2"),
    "barred": ({"barred": True}, "revoked by an operator.*nemoctl ha allow"),
    "refused": ({"last_status": 142}, "refused with status 142.*last heard of 1 min 1 s ago.*prefixes of its line"),
    "unknown status": ({"last_status": 199}, "status 199.*STATUSES"),
    "expired": ({"last_status": 0}, "de-registered, or its lifetime ended"),
    "silent": ({"last_status": None, "last_seen_s": None}, "no registration has come.*135 and 41"),
    "silent, esp": ({"last_status": None, "protection": "esp"}, r"no registration has come.*50 \(ESP\)"),
}


@pytest.mark.parametrize("case", AT_HA)
def test_a_router_without_a_binding(case, fake, why):  # noqa: F811
    change, said = AT_HA[case]
    fake("a", {**HA, "routers": [{**ROUTER, **change}], "stats": {"counters": COUNTERS}})
    well = case == "bound"
    code, text = why("bus")
    assert code == (not well) and re.search("bus: .*" + said, text), text
    assert ("key_failed = 3: failed exchanges" in text) == case.startswith("silent") and "bu_rx" not in text
    (daemon,) = json.loads(why("--json")[1])
    assert daemon["daemon"] == "nemo-ha"
    assert (daemon["data"][0]["router"], daemon["data"][0]["ok"]) == ("bus", well)
    code, text = why("nobody")
    assert code == 1 and "no router is called" in text


AT_MR = {
    "bound": ({"state": "bound"}, "bound, home agent"),
    "refused": ({"state": "refused", "last_status": 146}, "status 146.*same keys file"),
    "revoked": ({"state": "revoked"}, "an operator of the home agent.*rehome"),
    "search": ({"state": "looking for a home agent"}, "nobody answers the search"),
    "silent": ({"state": "registering", "last_status": None}, "does not answer 2001:db8"),
    "no link": ({"state": "no link", "care_of": None, "last_status": None,
                 "uplinks": [{"interface": "eth0", "state": "down"}, {"interface": "eth1", "state": "searching"}]},
                "uplink eth0 is down.*uplink eth1 hears no usable Router Advertisement"),
}  # fmt: skip


@pytest.mark.parametrize("case", AT_MR)
def test_a_router_that_is_cut_off(case, fake, why):  # noqa: F811
    change, said = AT_MR[case]
    fake("a", {**MR, "status": {**MR["status"], **change}, "stats": {"counters": COUNTERS}})
    code, text = why()
    assert code == (case != "bound") and re.search(said, text), text
    assert ("key_failed" in text) == (case != "bound")


def test_a_translator_that_is_slow(fake, why):  # noqa: F811
    slow = {"engine": "tun", "why_tun": "no BPF", "interfaces_awaited": ["eth9"], "reload_error": "x:1: y"}
    fake("a", {**NAT64, "status": {**NAT64["status"], **slow}})
    code, text = why()
    assert code == 1 and re.search("last reload failed: x:1: y.*do not exist: eth9.*engine tun: no BPF", text), text


def test_a_home_agent_that_drains(fake, why):  # noqa: F811
    fake("a", {**HA, "status": {**HA["status"], "draining": True}, "routers": [], "stats": {"counters": []}})
    code, text = why()
    assert code == 1 and "nemoctl ha undrain" in text

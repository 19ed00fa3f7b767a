"""Units, packages and completion as files: what can be said of them without starting any.  Under a real
systemd: vm/test_packages.py."""

import glob
import os
import re
import subprocess

import pytest

from lib import ROOT
from lib.daemon import BUILD
from lib.wait import patient

pytestmark = pytest.mark.novm("files: no kernel takes part")

UNITS = sorted(glob.glob(os.path.join(ROOT, "conf", "systemd", "*.service")))
MAX_EXPOSURE = 3.0
PROGRAMS = ["nemo-ha", "nemo-mr", "nemo-nat64", "nemoctl"]


def as_installed(path, tmp_path):
    text = open(path).read().replace("@prefix@", "/usr")
    unit = tmp_path / os.path.basename(path)
    unit.write_text(text)
    return unit, text


@pytest.mark.parametrize("path", UNITS, ids=os.path.basename)
def test_units_are_shut_as_far_as_they_can_be(path, tmp_path):
    unit, text = as_installed(path, tmp_path)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True, text=True, timeout=patient(60),
    )  # fmt: skip
    exposure = float(re.search(r"Overall exposure level for \S+: (\S+) ", done.stdout)[1])
    assert exposure <= MAX_EXPOSURE, done.stdout
    assert "Type=notify" in text and "Restart=on-failure" in text
    assert "User=nemo" in text and "NoNewPrivileges=yes" in text
    if "nemo-metrics" not in path:
        assert "WatchdogSec=" in text and "ExecReload=" in text


def test_units_are_right(tmp_path):
    """systemd-analyze verify finds no unknown setting; programs that are not installed don't count."""
    units = [str(as_installed(path, tmp_path)[0]) for path in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=patient(60)
    )
    names = "|".join(os.path.basename(u) for u in UNITS)
    told = [l for l in done.stderr.splitlines() if re.search(names, l) and "is not executable" not in l]
    assert not told, done.stderr


def complete(*words):
    """What bash offers for the last word."""
    line = " ".join(words)
    script = (
        f"source {ROOT}/conf/completion/nemo; PATH={BUILD}:$PATH; "
        f"COMP_WORDS=({line} {'' if words[-1] else repr('')}); COMP_CWORD={len(words) - 1}; "
        f"_nemo {words[0]} {words[-1] or repr('')} {words[-2]}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=patient(30))
    assert not done.stderr, done.stderr
    return set(done.stdout.split())


def test_completion():
    assert {"ha", "mr", "nat64", "monitor", "stats"} <= complete("nemoctl", "")
    assert complete("nemoctl", "ha", "rev") == {"revoke"}
    assert complete("nemoctl", "--json", "mr", "h") == {"handovers"}
    assert complete("nemoctl", "-s", "/run/x", "nat64", "ex") == {"explain"}
    assert "--json" in complete("nemoctl", "--")
    assert complete("nemoctl", "--conf", "/x", "tenant", "rem") == {"remove"}
    assert complete("nemoctl", "tenant", "list", "--conf", f"{ROOT}/READM") == {f"{ROOT}/README.md"}
    for program in PROGRAMS[:3]:
        assert {"--check", "--config", "--config-help"} <= complete(program, "--c")


def test_every_setting_is_in_the_manual(tmp_path):
    for program in PROGRAMS[:3]:
        page = tmp_path / f"{program}.conf.5"
        subprocess.run(["make", "-s", f"build/man/{page.name}"], cwd=ROOT, check=True, timeout=patient(60))
        text = open(os.path.join(ROOT, "build", "man", page.name)).read()
        table = subprocess.run([os.path.join(BUILD, program), "--config-help"], capture_output=True, text=True)
        keys = [line.split()[0] for line in table.stdout.splitlines()[1:]]
        assert keys and all(f"\\fB{key}\\fR (" in text for key in keys)
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z"], input=text, capture_output=True, text=True, timeout=patient(60)
        )
        assert not done.stderr, done.stderr


def test_packages_have_the_suite_s_version():
    with open(os.path.join(ROOT, "common", "os", "daemon.h")) as f:
        version = re.search(r'NEMO_VERSION "(\S+)"', f.read())[1]
    with open(os.path.join(ROOT, "conf", "debian", "changelog")) as f:
        assert f.readline().startswith(f"nemo ({version})")


# --- doc/OPERATIONS.md ---

COUNTERS = {
    "ha/ha.h": "HA_COUNTERS", "mr/mr.h": "MR_COUNTERS", "common/os/mhio.h": "MHIO_COUNTERS",
    "common/sec/sec.h": "SEC_COUNTERS", "common/os/keying.h": "KEYING_COUNTERS",
    "common/tunnel/drops.h": "TUNNEL_DROPS TUNNEL_COUNTS", "nat64/core/plan.h": "NAT64_REASONS",
    "nat64/engine.h": "NAT64_TUN_COUNTERS",
}  # fmt: skip
ALONE = {"nd_bad", "in_clear"}  # counters without a table


def table(path, name):
    """The rows of an X-macro: everything up to the first line that is not continued."""
    with open(os.path.join(ROOT, path)) as f:
        body = re.search(rf"#define {name}\(X\).*?[^\\]\n", f.read(), re.S)[0]
    return body


def first_cells(section):
    with open(os.path.join(ROOT, "doc", "OPERATIONS.md")) as f:
        text = f.read().split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [n for line in re.findall(r"^\| (`.*?) \|", text, re.M) for n in re.findall(r"`([\w.]+)`", line)]


def test_operations_explain_every_event():
    events = re.findall(r'X\(\w+, "([\w.]+)"', table("common/core/note.h", "NOTES"))
    told = first_cells("What the log says")
    assert len(events) > 30 and len(told) == len(set(told))
    assert (set(events) - set(told), set(told) - set(events)) == (set(), set())  # untold, unknown


def test_operations_explain_every_counter():
    known = set(ALONE)
    for path, names in COUNTERS.items():
        for name in names.split():
            found = re.findall(r"X\(\s*([a-z]\w*),", table(path, name))
            assert found, name
            known |= set(found)
    told = first_cells("What the counters say")
    assert (known - set(told), set(told) - known) == (set(), set())  # untold, unknown


def test_operations_explain_every_line_of_the_log():
    """What the sources log as warn or err matches a line of the table, and each of that table is one of theirs,
    perhaps of level info."""
    lines, others = set(), set()
    for path in glob.glob(os.path.join(ROOT, "*", "*.c")) + glob.glob(os.path.join(ROOT, "common", "*", "*.c")):
        with open(path) as f:
            text = f.read()
        for call in re.finditer(r'\blog_(warn|err|info)\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', text):
            words = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', call[2])).replace('\\"', '"')
            line = re.sub(r"%\w+", "X", words)
            if re.search(r"[a-z]", line):  # else it is a reason, whoever gives it
                (others if call[1] == "info" else lines).add(line)
    with open(os.path.join(ROOT, "doc", "OPERATIONS.md")) as f:
        table = f.read().split("\n| line | what it means")[1].split("\n\n")[0]
    told = [t for row in re.findall(r"^\| (`.*?) \| ", table, re.M) for t in re.findall(r"`(.+?)`", row)]
    shapes = {t: re.compile(re.escape(t).replace(re.escape("..."), ".*")) for t in told}
    assert len(lines) > 60 and len(told) == len(set(told))
    assert [line for line in lines if not any(s.fullmatch(line) for s in shapes.values())] == []
    assert [t for t, s in shapes.items() if not any(s.fullmatch(line) for line in lines | others)] == []

"""Checks doc/rfc/*.md and doc/HOSTILE.md: every requirement names tests that exist, or says why it has
none.

usage: trace.py [FILE...]      default: these

A row is "| section/n | level | requirement | tests |", or "| line/n | what comes | what must happen |
tests |".  Tests are ids in backticks:
    pair 46-tos-*                          packet pairs of netns-tests/corpus/nat64, by name
    test_nat64.py::test_hairpin            a test function of netns-tests
    nat64/t/test_addr.c::embeds            a function of a unit test
or the cell starts with "none: " and says why.
"""

import fnmatch
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NETNS = ROOT / "netns-tests"
ROW = re.compile(r"^\|\s*(\w[\w.]*/\d+)\s*\|")


def pair_names():
    return [pair["name"] for path in sorted((NETNS / "corpus" / "nat64").glob("*.json"))
            for pair in json.loads(path.read_text())["pairs"]]


def exists(test, pairs):
    if test.startswith("pair "):
        return bool(fnmatch.filter(pairs, test[5:]))
    path, _, name = test.partition("::")
    file = NETNS / path if path.endswith(".py") else ROOT / path
    if not name or not file.is_file():
        return False
    function = rf"^def {name}\(" if path.endswith(".py") else rf"^static void {name}\("
    return re.search(function, file.read_text(), re.M) is not None


def errors(path, pairs):
    """("FILE:LINE", what is wrong) of every bad row; and the number of rows."""
    found, n, seen = [], 0, {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not ROW.match(line):
            continue
        n += 1
        where, cells = f"{path.name}:{number}", [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) != 4 or not all(cells):
            found.append((where, "a row is: section/n, level, requirement, tests"))
            continue
        if cells[0] in seen:
            found.append((where, f"{cells[0]} is in line {seen[cells[0]]} as well"))
        seen[cells[0]] = number
        tests = re.findall(r"`([^`]+)`", cells[3])
        if cells[3].startswith("none: "):
            continue
        if not tests:
            found.append((where, f"{cells[0]}: neither a test nor 'none: ' with a reason"))
        found += [(where, f"{cells[0]}: there is no test {t}") for t in tests if not exists(t, pairs)]
    return found, n


def main():
    paths = [pathlib.Path(a) for a in sys.argv[1:]] or [
        *sorted((ROOT / "doc" / "rfc").glob("*.md")), ROOT / "doc" / "HOSTILE.md"]
    pairs, total, bad = pair_names(), 0, 0
    for path in paths:
        found, n = errors(path, pairs)
        total, bad = total + n, bad + len(found) + (n == 0)
        for where, what in found:
            print(f"{where}: {what}", file=sys.stderr)
        if n == 0:
            print(f"{path.name}: no requirement in it", file=sys.stderr)
    print(f"trace: {total} requirements, {bad} errors")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

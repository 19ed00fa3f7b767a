"""Checks the design's two rules: who may include whom, and that the protocol cores do no I/O.

    purity.py OBJECT_FOLDER PURE_SOURCE...

An object of the pure part may reference only what other pure objects define and what is listed
here: no socket, clock, random number or log can be among it.
"""

import glob
import os
import re
import subprocess
import sys

# Lower may not include higher; those of the same rank may not include each other.
RANK = {
    "common/core": 0,
    "common/wire": 1,
    "common/sec": 2,
    "common/os": 3,
    "common/tunnel": 4,
    "common/ctl": 5,
    "mr": 5,
    "ha": 5,
    "nat64": 5,
}
ALLOWED = re.compile(
    r"mem\w+|str\w+|v?snprintf|malloc|calloc|realloc|free|qsort|bsearch|abort|inet_[np]to[np]"
    r"|json_\w+|in6addr_\w+|__assert_fail|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__ctype_b_loc"
    r"|__(mem|str|v?snprintf)\w*_chk|__isoc99_sscanf"
)


def module_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "common" else parts[0]


def include_errors(root="."):
    files = [f for top in ("common", "mr", "ha", "nat64") for f in glob.glob(f"{root}/{top}/**/*.[ch]", recursive=True)]
    for path in files:
        path = os.path.relpath(path, root)
        mine = module_of(path)
        if "/t/" in path or mine not in RANK:
            continue  # tests, and the simulator in them, may link both cores
        with open(os.path.join(root, path)) as f:
            for number, line in enumerate(f, 1):
                found = re.match(r'#\s*include "([^"]+/)[^/"]+"', line)
                theirs = module_of(found.group(1)) if found else mine
                if theirs != mine and RANK.get(theirs, 99) >= RANK[mine]:
                    yield f"{path}:{number}: {mine} must not include {theirs}"


def symbols(path, *flags):
    out = subprocess.run(["nm", "-P", *flags, path], capture_output=True, text=True, check=True)
    return {line.split()[0] for line in out.stdout.splitlines()}


def symbol_errors(objects):
    defined = set().union(*(symbols(o, "--defined-only", "-g") for o in objects)) if objects else set()
    for o in objects:
        for name in sorted(symbols(o, "-u") - defined):
            if not ALLOWED.fullmatch(name):
                yield f"{o}: a pure object references {name}"


def main():
    folder, sources = sys.argv[1], sys.argv[2:]
    errors = [*include_errors(), *symbol_errors([f"{folder}/{s[:-2]}.o" for s in sources])]
    for e in errors:
        print(e, file=sys.stderr)
    if not errors:
        print(f"purity: {len(sources)} pure sources, include rules hold")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

"""Tests that failed are tried once more, alone, and that decides: for `make check`, on a machine that is
slow or busy.

NEMO_TRIES=n     so many times in all, for who looks after it: conftest.py, and vm/run.py for its guests
NEMO_NOT_LAST=1  this is one of the times before the last: reports go to a file, not to the screen
NEMO_FAILED=path what failed is left there, a line for each: id, tab, reason
"""

import os

MOST = 40  # more than that are not late, but broken


def number():
    return int(os.environ.get("NEMO_TRIES") or 1)


def is_last():
    return number() == 1 and os.environ.get("NEMO_NOT_LAST") != "1"


def setting(last, path):
    """Of the environment, for one more time."""
    return {"NEMO_TRIES": "", "NEMO_NOT_LAST": "" if last else "1", "NEMO_SHARE": "", "NEMO_FAILED": path}


def leave(failed, path=None):
    """{id: reason}, for who has asked."""
    path = path or os.environ.get("NEMO_FAILED")
    if path:
        with open(path, "w") as f:
            f.writelines(f"{test}\t{' '.join(reason.split())[:300]}\n" for test, reason in failed.items())


def left(path):
    """What leave() has left there; None: it did not come to that."""
    try:
        with open(path) as f:
            return dict(line.rstrip("\n").split("\t", 1) for line in f)
    except (FileNotFoundError, ValueError):
        return None


def again(failed, run):
    """Tries these as often as is left to do.  run(ids, last): runs them and returns what failed, None if it
    has got no result.  Returns what has failed each time; the others are named."""
    first, most = dict(failed), number()
    for n in range(2, most + 1):
        if not 0 < len(failed) <= MOST:
            break
        print(f"\nalone, for the {n}. time:", *failed, sep="\n  ", flush=True)
        got = run(list(failed), n == most)
        failed = failed if got is None else got
    late = [test for test in first if test not in failed]
    if late:
        print("passed when tried again, worth a look:", *late, sep="\n  ", flush=True)
    return failed

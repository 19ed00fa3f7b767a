"""Waiting for conditions.  Tests never sleep: they name what they wait for and for how long."""

import os
import select
import time

IN_VM = os.environ.get("NEMO_VM") == "1"
SANITIZED = os.path.basename(os.environ.get("NEMO_BUILD", "")) == "asan"
# Times that a test sets, those of a retransmission, say: emulation is ten times slower.
PATIENCE = 6 if IN_VM else 1
# Looking costs, too: in the machine, as much as what is waited for.
STEP_S = 0.02 if IN_VM else 0.005


def patient(seconds):
    """A deadline, for what takes less than 'seconds' on a machine that has nothing else to do.  It is there
    to end what is hopeless: to wait longer costs nothing but where it fails, and other machines are
    busier, emulated (there a processor may stand still for seconds) or run under ASan."""
    return seconds * (15 if IN_VM else 10 if SANITIZED else 5)


class Timeout(AssertionError):
    """A condition did not come true in time; the message says which."""


def wait_for(condition, timeout, what):
    """Polls condition() until its value is true and returns that value.

    'what' names the condition in the error, and may be a function that tells more about the
    state at the end.  'timeout' is in seconds, see patient().
    """
    timeout = patient(timeout)
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = what() if callable(what) else what
            raise Timeout(f"not within {timeout:g} s: {text}")
        select.select([], [], [], STEP_S)


def until(moment):
    """Returns when the monotonic clock reaches 'moment': for stimuli ("3 s after the move"),
    never for results."""
    while True:
        left = moment - time.monotonic()
        if left <= 0:
            return
        select.select([], [], [], left)

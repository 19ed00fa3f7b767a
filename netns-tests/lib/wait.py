"""Waiting for conditions.  Tests never sleep: they name what they wait for and for how long."""

import os
import select
import time

# Emulation is ten times slower and stalls: what is waited for may take longer there.
IN_VM = os.environ.get("NEMO_VM") == "1"
PATIENCE = 6 if IN_VM else 1
# And so is a busy machine: to wait longer costs nothing but where it fails.
SLACK = 1 if IN_VM else 3
# Looking costs, too: in the machine, as much as what is waited for.
STEP_S = 0.02 if IN_VM else 0.005


class Timeout(AssertionError):
    """A condition did not come true in time; the message says which."""


def wait_for(condition, timeout, what):
    """Polls condition() until its value is true and returns that value.

    'what' names the condition in the error, and may be a function that tells more about the
    state at the end.  Time is in seconds of the monotonic clock.
    """
    timeout *= PATIENCE * SLACK
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

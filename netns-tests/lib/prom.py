"""Prometheus' text format: promtool as the judge, and a reader of samples."""

import os
import re
import subprocess

from .daemon import BUILD
from .wait import patient

PROMTOOL = os.path.join(BUILD, "promtool")
SAMPLE = re.compile(r"^(\w+)\{(.*)\} (\S+)$")


def promtool(*args, text=""):
    done = subprocess.run([PROMTOOL, *args], input=text, capture_output=True, text=True, timeout=patient(300))
    assert done.returncode == 0 and not done.stderr.strip(), done.stdout + done.stderr


def samples(text):
    """{(metric, ((label, value), ...)): value} and {family: help}; no sample stands twice."""
    found, helps = {}, {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, words = line.split(" ", 3)
            assert name not in helps, f"{name}: its samples are not together"
            helps[name] = words
        elif not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            key = name, tuple(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels))
            assert key not in found, line
            found[key] = float(value)
    return found, helps


def value(found, metric, **labels):
    """Of the one sample that has these labels."""
    (one,) = [v for (m, ls), v in found.items() if m == metric and labels.items() <= dict(ls).items()]
    return one

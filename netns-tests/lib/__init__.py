"""The test harness: see doc/TESTING.md."""

import os
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What surrounds a run has no influence on it.  Sockets' paths have 108 octets at most, and other users read
# some of the files.
os.umask(0o022)
if len(tempfile.gettempdir()) > 24:
    tempfile.tempdir = "/tmp"

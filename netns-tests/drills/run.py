"""Runs a drill by its name, or lists them."""

import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import drill, ns  # noqa: E402
from lib.wait import Timeout  # noqa: E402


def main():
    if len(sys.argv) < 2:
        for name in drill.names():
            print(f"  {name:<18} {drill.title(drill.load(name))}")
        print("  make drill DRILL=name runs one")
        return 0
    name = sys.argv[1]
    if name != "demo" and name not in drill.names():
        print(f"no drill is called {name}; there are: {' '.join(drill.names())}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("drills make network namespaces: run as root", file=sys.stderr)
        return 2
    ns.end_cleanly_on(signal.SIGTERM, signal.SIGHUP)
    ns.remove_leftovers()
    try:
        drill.run(name, os.environ.get("NEMO_ENGINE", "auto"))
    except (drill.Failed, Timeout, RuntimeError) as e:
        print(f"{name}: failed: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

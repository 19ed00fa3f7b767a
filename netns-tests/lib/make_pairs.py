"""Writes corpus/nat64/*.json: the inputs are made here, what becomes of them says lib/siit.py.

usage: /usr/bin/python3 netns-tests/lib/make_pairs.py

Worked examples of the RFCs are given with their results, which the reference must reach by itself
(test_nat64_pairs.py), as must the files be what this program makes.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import pairs, pairs_icmp, pairs_ip  # noqa: E402

FILES = (pairs_ip.headers, pairs_ip.options, pairs_ip.fragments, pairs_icmp.icmp46, pairs_icmp.icmp64,
         pairs_icmp.extensions, pairs_ip.addresses, pairs_ip.hostile)


def main():
    os.makedirs(pairs.FOLDER, exist_ok=True)
    for make in FILES:
        f = make()
        with open(os.path.join(pairs.FOLDER, f.name + ".json"), "w") as out:
            out.write(f.write())
        print(f"  {f.name:<12} {len(f.pairs)} pairs")
    return 0


if __name__ == "__main__":
    sys.exit(main())

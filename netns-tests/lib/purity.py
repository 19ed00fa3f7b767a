"""Proves the dependency rule of doc/ARCHITECTURE.md.  usage: purity.py OBJECT_DIR SOURCE...

From the #include lines: core <- wire <- sec <- os <- tunnel <- {mr, ha}, and mr, ha, nat64 never include each other.
From `nm -u`: the given pure objects use no socket, clock, random, file or log symbol.
"""
import pathlib
import re
import subprocess
import sys

LAYERS = ["core", "wire", "sec", "os", "tunnel"]
DAEMONS = ["mr", "ha", "nat64"]
# tunnel.h and sd-event.h are types to a core; these few may be included from above.
INTERFACES = {"common/tunnel/tunnel.h"}
# What a pure object may leave undefined: its own project's symbols, and libc without I/O.
PURE = re.compile(
    r"^(mem\w+|str(len|cmp|ncmp|error|chr|nlen|spn|cspn)|(v?snprintf)|__\w*(snprintf|memcpy|memmove|memset|stack_chk_fail|assert_fail)\w*"
    r"|malloc|calloc|realloc|reallocarray|free|abort|exit|qsort|bsearch|htons|htonl|ntohs|ntohl|inet_ntop|inet_pton|in6addr_any"
    r"|gmtime_r|strftime|__errno_location|json_\w+|(EVP|OSSL|OPENSSL|CRYPTO)_\w+|HMAC|_GLOBAL_OFFSET_TABLE_)$")
OURS = re.compile(r"^(addr4|addr6|prefix4|prefix6|rd|wr|heap|note|ip6|quote|mh|ndp|icmp6|keys|auth|esp|sec|payload|binding|bu|ha|home|table|agents|mpa|mr|link|bul|athome|dhaad|mps|handover|handovers|nat64)_\w+$")


def layer(path):
    parts = path.split("/")
    return (parts[0], parts[1]) if parts[0] == "common" else (parts[0], None)


def may_include(path, header):
    if header in INTERFACES:
        return True
    (top, own), (htop, hown) = layer(path), layer(header)
    if "/t/" in path or path.startswith("netns-tests/"):
        return True  # tests see everything
    if htop in DAEMONS:
        return top == htop
    if htop == "common" and top == "common":
        if own not in LAYERS:
            return True  # nemoctl and the like
        return hown in LAYERS and LAYERS.index(hown) <= LAYERS.index(own)
    return True


def include_errors():
    tops = [t for t in ("common", *DAEMONS, "netns-tests") if pathlib.Path(t).is_dir()]
    for path in sorted(str(p) for t in tops for p in pathlib.Path(t).rglob("*.[ch]")):
        for n, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
            m = re.match(r'#include "((?:common|mr|ha|nat64)/[^"]+)"', line)
            if m and not may_include(path, m.group(1)):
                yield f"{path}:{n}: must not include {m.group(1)} (see the dependency rule in doc/ARCHITECTURE.md)"


def symbol_errors(objects, sources):
    for source in sources:
        obj = f"{objects}/{source[:-2]}.o"
        for line in subprocess.check_output(["nm", "-u", obj], text=True).splitlines():
            name = line.split()[-1].split("@")[0]
            if not PURE.match(name) and not OURS.match(name):
                yield f"{source}: a pure object must not use {name}()"


def main():
    objects, *sources = sys.argv[1:]
    errors = list(include_errors()) + list(symbol_errors(objects, sources))
    for e in errors:
        print(e, file=sys.stderr)
    print(f"purity: {len(sources)} pure objects, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

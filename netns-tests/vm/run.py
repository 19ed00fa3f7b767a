"""Runs the network tests (or any command) on Debian's stock kernel in QEMU.

    run.py [-k EXPRESSION] [--run COMMAND] [--timeout SECONDS]

The kernel package is unpacked under build/vm/, nothing is installed.  The guest's root is the
host's, read-only over 9p with a RAM overlay on top, so the tests are the very same files.  The
exit code is the command's; 124: not finished in time, 125: the guest ended without one.

NEMO_TRIES=n: what failed is tried again when all guests have ended, in a guest that has the machine
for itself (lib/tries.py), and so is a share whose guest came to no result.
"""

import argparse
import glob
import gzip
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import ROOT, tries  # noqa: E402

VM = os.path.join(ROOT, "build", "vm")
INIT = os.path.join(ROOT, "netns-tests", "vm", "init")
META = "linux-image-amd64"
RETRIES = ("-o", "Acquire::Retries=3")
TIMEOUT, NO_RESULT = 124, 125
PYTEST = "/usr/bin/python3 -m pytest -q -p no:cacheprovider"
# What the initramfs needs to mount the root; modprobe finds all others in the guest.  The virtio
# modules don't pull each other in.
BOOT_MODULES = (
    "virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci "
    "9pnet_virtio 9p overlay"
).split()
# Emulation translates code by its address and on every change of the page tables walks them anew.
# So addresses stay what they are (nokaslr, norandmaps: a program that starts again is translated
# already), and the processor is the plain one: without SMAP, protection keys, a fifth level of page
# tables and wide registers to save.  The rest switches off what only costs here.
CPU = "qemu64"
KERNEL_OPTIONS = (
    "console=ttyS0 quiet loglevel=3 panic=-1 tsc=reliable mitigations=off nokaslr norandmaps "
    "init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off apparmor=0 selinux=0 audit=0 no_timer_check "
    "cgroup.memory=nokmem,nosocket nowatchdog rcupdate.rcu_expedited=1"
)
INITRAMFS_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /low /mem /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for m in $(/bin/busybox cat /modules.order); do
	/bin/busybox insmod /modules/$m || echo "insmod $m"
done
set -e
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose root /low
/bin/busybox mount -t tmpfs -o size=1g mem /mem
/bin/busybox mkdir /mem/up /mem/work
/bin/busybox mount -t overlay -o lowerdir=/low,upperdir=/mem/up,workdir=/mem/work over /root
/bin/busybox mount --move /dev /root/dev
/bin/busybox umount /proc
exec /bin/busybox switch_root /root @INIT@ @ROOT@
"""


def unpack_kernel():
    """Downloads the kernel package that Debian's meta package names now; returns its version."""
    have = glob.glob(os.path.join(VM, "kernel", "boot", "vmlinuz-*"))
    if have:
        return os.path.basename(have[0])[len("vmlinuz-") :]
    os.makedirs(VM, exist_ok=True)
    wanted = real_package()
    if not wanted:
        subprocess.run(["apt-get", "update", "-qq", *RETRIES], check=True)
        wanted = real_package()
    with tempfile.TemporaryDirectory(dir=VM) as work:
        subprocess.run(
            ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", *RETRIES, wanted],
            cwd=work,
            check=True,
        )
        new = os.path.join(work, "kernel")
        package = glob.glob(os.path.join(work, "*.deb"))[0]
        subprocess.run(["dpkg-deb", "-x", package, new], check=True)
        version = os.listdir(os.path.join(new, "lib", "modules"))[0]
        subprocess.run(["depmod", "-b", new, version], check=True)
        shutil.rmtree(os.path.join(VM, "kernel"), ignore_errors=True)
        os.rename(new, os.path.join(VM, "kernel"))
    return version


def real_package():
    shown = subprocess.run(["apt-cache", "depends", META], capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in shown.splitlines() if "Depends: linux-image" in line]
    return names[0] if names else None


def in_load_order(version):
    """Paths of BOOT_MODULES and all they depend on, dependencies first."""
    base = os.path.join(VM, "kernel", "lib", "modules", version)
    needs = {}
    with open(os.path.join(base, "modules.dep")) as f:
        for line in f:
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
    by_name = {os.path.basename(p).split(".")[0].replace("-", "_"): p for p in needs}
    order = []

    def add(path):
        for dependency in needs[path]:
            add(dependency)
        if path not in order:
            order.append(path)

    for name in BOOT_MODULES:
        if name.replace("-", "_") in by_name:  # else it is built in
            add(by_name[name])
    return [os.path.join(base, p) for p in order]


def make_initramfs(version):
    path = os.path.join(VM, "initramfs.gz")
    with tempfile.TemporaryDirectory(dir=VM) as root:
        os.makedirs(os.path.join(root, "bin"))
        os.makedirs(os.path.join(root, "modules"))
        shutil.copy("/bin/busybox", os.path.join(root, "bin"))
        modules = in_load_order(version)
        for m in modules:
            shutil.copy(m, os.path.join(root, "modules"))
        with open(os.path.join(root, "modules.order"), "w") as f:
            f.write("\n".join(os.path.basename(m) for m in modules) + "\n")
        with open(os.path.join(root, "init"), "w") as f:
            f.write(INITRAMFS_INIT.replace("@INIT@", INIT).replace("@ROOT@", ROOT))
        os.chmod(os.path.join(root, "init"), 0o755)
        names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
        cpio = ["cpio", "-o", "-H", "newc", "--quiet"]
        archive = subprocess.run(
            cpio, cwd=root, input=names, stdout=subprocess.PIPE, check=True
        ).stdout
    temporary = f"{path}.{os.getpid()}"
    with gzip.open(temporary, "wb", compresslevel=1) as f:
        f.write(archive)
    os.rename(temporary, path)
    return path


def qemu(version, initramfs, out):
    # A guest with a share of the tests has its core for itself: more would wait for each other.
    cpus = 1 if os.environ.get("NEMO_SHARE") else 2
    share = "-virtfs local,path={},mount_tag={},security_model=none,multidevs=remap{}"
    return [
        *"setpriv --pdeathsig KILL qemu-system-x86_64".split(),
        *f"-accel tcg,thread=multi -cpu {CPU} -smp {cpus} -m 2G".split(),
        *"-display none -serial stdio -monitor none -no-reboot -nic none".split(),
        *share.format("/", "root", ",readonly=on").split(),
        *share.format(out, "out", "").split(),
        *("-kernel", os.path.join(VM, "kernel", "boot", f"vmlinuz-{version}")),
        *("-initrd", initramfs),
        *("-append", KERNEL_OPTIONS),
    ]


def boot(command, timeout):
    """Runs a shell command in a new guest; its output is ours.  Returns its exit code."""
    version = unpack_kernel()
    initramfs = make_initramfs(version)
    with tempfile.TemporaryDirectory(prefix="out-", dir=VM) as out:
        os.makedirs(os.path.join(out, "failed"))
        with open(os.path.join(out, "command"), "w") as f:
            f.write(command + "\n")
        print(f"vm: Linux {version} (QEMU, TCG): {command}", flush=True)
        vm = subprocess.Popen(qemu(version, initramfs, out), stdin=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            vm.wait(timeout)
        except subprocess.TimeoutExpired:
            print(f"vm: not finished within {timeout:.0f} s", flush=True)
            return TIMEOUT
        finally:
            if vm.poll() is None:
                vm.kill()
                vm.wait()
            keep_failed(out)
        failed = tries.left(os.path.join(out, "failed-tests"))
        if failed is not None:
            tries.leave(failed)
        try:
            with open(os.path.join(out, "exit")) as f:
                return int(f.read())
        except (FileNotFoundError, ValueError):
            print("vm: the guest ended without a result", flush=True)
            return NO_RESULT


def keep_failed(out):
    failed = os.path.join(out, "failed")
    if os.listdir(failed):
        kept = os.path.join(ROOT, "build", "failed", "vm")
        shutil.copytree(failed, kept, dirs_exist_ok=True)
        print(f"vm: what the failed tests left is in {kept}")


class Share:
    """A guest with a share of the tests; 'apart': its output comes when it has ended."""

    def __init__(self, args, share, n, apart):
        self.args, self.share, self.n = args, share, n
        self.failed_path = tempfile.NamedTemporaryFile(prefix="failed-", dir=VM)
        self.start(apart)

    def start(self, apart=False):
        self.out = tempfile.TemporaryFile("w+") if apart else None
        env = {**os.environ, "NEMO_SHARE": f"{self.share}/{self.n}", "NEMO_FAILED": self.failed_path.name}
        command = [sys.executable, "-u", os.path.abspath(__file__), *self.args]
        self.run = subprocess.Popen(command, env=env, stdout=self.out, stderr=self.out)

    def wait(self):
        code = self.run.wait()
        if self.out:
            self.out.seek(0)
            print(self.out.read(), end="", flush=True)
        return code

    def failed(self):
        return tries.left(self.failed_path.name) or {}

    def end(self):
        if self.run.poll() is None:
            self.run.terminate()
            self.run.wait()


def in_shares(args, timeout):
    """Emulation keeps one core busy: a guest per core, each with its share of the tests.  The
    first one's output is live, the others' follows.  Returns the worst exit code."""
    unpack_kernel()
    n = os.cpu_count() or 1
    limit = time.monotonic() + 1.5 * timeout
    shares = [Share(args, i, n, apart=i > 0) for i in range(n)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        codes = [share.wait() for share in shares]
        if tries.number() > 1:
            for i, share in enumerate(shares):
                left = limit - time.monotonic()
                if codes[i] in (TIMEOUT, NO_RESULT) and left > timeout / 4:
                    print(f"vm: share {i} of {n} once more, alone", flush=True)
                    share.args = [*args, "--timeout", str(int(left))]
                    share.start()
                    codes[i] = share.wait()
    finally:
        for share in shares:
            share.end()
    # 5: a share may be left without a test by -k
    code = max((code for code in codes if code != 5), default=5)
    failed = {test: why for share in shares for test, why in share.failed().items()}
    if code == 1 and failed:
        failed = tries.again(failed, lambda ids, last: run_alone(ids, last, limit - time.monotonic()))
        code = 1 if failed else 0
    tries.leave(failed)
    return code


def run_alone(ids, last, left):
    """run(ids, last) of tries.again(): in a guest that has the machine for itself."""
    with tempfile.NamedTemporaryFile(dir=VM) as f:
        command = [sys.executable, "-u", os.path.abspath(__file__), "--timeout", str(int(max(left, 300)))]
        command += ["--run", f"{PYTEST} --color=no {shlex.join(ids)}"]
        code = subprocess.run(command, env={**os.environ, **tries.setting(last, f.name)}).returncode
        failed = tries.left(f.name)
    return failed if failed or code == 0 else None


def settings():
    """Variables that go along into the guest, as shell commands; there nobody else tries again."""
    passed = {k: v for k, v in os.environ.items() if k.startswith("NEMO_")}
    passed.setdefault("NEMO_ENGINES", "ebpf,ip6tnl")
    passed |= {"NEMO_TRIES": "", "NEMO_NOT_LAST": "" if tries.is_last() else "1"}
    passed["NEMO_FAILED"] = "/run/out/failed-tests"
    return "".join(f"export {k}={shlex.quote(v)}; " for k, v in passed.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", metavar="EXPRESSION", help="only these tests (pytest -k)")
    parser.add_argument("--run", metavar="COMMAND", help="run this instead of the tests")
    parser.add_argument("--timeout", type=int, default=2400, help="seconds (default %(default)s)")
    args = parser.parse_args()
    command = args.run
    if not command:
        command = f"{PYTEST} -rs netns-tests"
        if not sys.stdout.isatty():
            command += " --color=no"
        if args.k:
            command += " -k " + shlex.quote(args.k)
        if not os.environ.get("NEMO_SHARE"):
            sys.exit(in_shares(sys.argv[1:], args.timeout))
    sys.exit(boot(settings() + command, args.timeout))


if __name__ == "__main__":
    main()

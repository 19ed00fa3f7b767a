#!/bin/bash
# Builds the virtual machine image of a mobile router: build/image/nemo-mr.qcow2 for any KVM cloud
# (BIOS), and vmlinuz and initrd beside it for direct boot.  See doc/OPERATIONS.md.  The suite comes in
# as its own packages (make deb).  With the argument "base": base.tar only.
#
# The packages are those of the Debian mirror that this machine uses.  They are unpacked once
# (build/image/base.tar) and again when the list below changes.
set -euo pipefail
umask 022
cd "$(dirname "$0")/../.."
out=$(realpath -m "${B:-build}")/image
suite=bookworm
packages=systemd-sysv,udev,kmod,iproute2,qemu-guest-agent,zstd
packages+=,linux-image-cloud-amd64,initramfs-tools,busybox
packages+=,libnl-3-200,libnl-route-3-200,libconfig9,libjansson4,libbpf1,libnftables1,libmnl0,libssl3,libcap-ng0,libmicrohttpd12
cmdline="root=LABEL=nemo-root ro console=tty0 console=ttyS0 net.ifnames=0 quiet"
cmdline+=" systemd.show_status=false"
# What nobody looks at here costs each system call and each change of process something: statistics
# of pressure and of memory by service, and security modules without a policy.
cmdline+=" psi=0 cgroup_disable=memory lsm=landlock,lockdown,yama"

say() { printf 'image: %s\n' "$*"; }

make_base()
{
	local have
	have=$(cat "$out/base.list" 2>/dev/null || true)
	[[ $have == "$suite $packages" && -s $out/base.tar ]] && return
	say "Debian packages (one or two minutes)"
	rm -f "$out/base.tar" "$out/base.list" # none rather than an old one, should it fail
	apt-get indextargets 'Created-By: Packages' 'Origin: Debian' \
		--format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' | sort -u >"$out/sources.list"
	mmdebstrap --variant=essential --include="$packages" \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
		"$suite" "$out/base.tar" "$out/sources.list" 2>&1 | grep -E '^(I|W|E):' || true
	[[ -s $out/base.tar ]] || { say "mmdebstrap has failed: is a Debian mirror within reach?"; exit 1; }
	echo "$suite $packages" >"$out/base.list"
}

make_root()
{
	local root=$1 unit
	tar -C "$root" --numeric-owner -xf "$out/base.tar"
	dpkg --root="$root" --force-unsafe-io -i "$out"/../deb/{nemo-mr,nemoctl}_*.deb >"$out/dpkg.log" ||
		{ cat "$out/dpkg.log"; exit 1; }
	# Whoever made this tree, and with whatever umask.
	tar -C mr/image/root --owner=0 --group=0 --mode=go=u-w -cf - . | tar -C "$root" --no-overwrite-dir -xf -
	# The same image for all: what tells machines apart is made at boot.
	: >"$root/etc/machine-id"
	rm -f "$root"/var/lib/dbus/machine-id "$root"/etc/hostname "$root"/etc/ssh/ssh_host_*
	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
	echo "LABEL=nemo-root / ext4 errors=remount-ro,noatime 0 1" >"$root/etc/fstab"
	for unit in nemo-seed nemo-mr nemo-console systemd-networkd; do
		systemctl -q --root="$root" enable "$unit.service"
	done
	# Nobody logs in and nothing listens.
	systemctl -q --root="$root" mask getty@.service serial-getty@.service systemd-timesyncd.service getty-static.service \
		apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
		systemd-networkd-wait-online.service
}

# A disk of two partitions: FAT with syslinux, kernel and initrd; ext4 with the system.
make_disk()
{
	local root=$1 work=$2 boot_mb=80 root_mb
	root_mb=$(($(du -sm --exclude=boot "$root" | cut -f1) * 5 / 4 + 48))
	cp -L "$root"/boot/vmlinuz-* "$out/vmlinuz"
	cp -L "$root"/boot/initrd.img-* "$out/initrd"
	echo "$cmdline" >"$out/cmdline"
	printf 'DEFAULT nemo\nLABEL nemo\n LINUX vmlinuz\n INITRD initrd\n APPEND %s\n' "$cmdline" \
		>"$work/syslinux.cfg"
	truncate -s "${boot_mb}M" "$work/boot"
	mkfs.vfat -n NEMO-BOOT "$work/boot" >/dev/null
	mcopy -i "$work/boot" "$out/vmlinuz" "$out/initrd" "$work/syslinux.cfg" ::
	syslinux --install "$work/boot"
	rm -rf "$root"/boot/*
	truncate -s "${root_mb}M" "$work/system"
	mkfs.ext4 -q -L nemo-root -O ^has_journal -d "$root" "$work/system"
	truncate -s "$((1 + boot_mb + root_mb + 1))M" "$work/disk"
	printf 'label: dos\nstart=1MiB, size=%dMiB, type=c, bootable\nstart=%dMiB, size=%dMiB, type=83\n' \
		"$boot_mb" "$((1 + boot_mb))" "$root_mb" | sfdisk -q "$work/disk"
	dd if=/usr/lib/syslinux/mbr/mbr.bin of="$work/disk" conv=notrunc bs=440 count=1 status=none
	dd if="$work/boot" of="$work/disk" conv=notrunc,sparse bs=1M seek=1 status=none
	dd if="$work/system" of="$work/disk" conv=notrunc,sparse bs=1M seek="$((1 + boot_mb))" status=none
	qemu-img convert -q -c -O qcow2 "$work/disk" "$out/nemo-mr.qcow2.new"
	mv "$out/nemo-mr.qcow2.new" "$out/nemo-mr.qcow2"
}

mkdir -p "$out"
work=$(mktemp -d "$out/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
chmod 755 "$work/root"
make_base
[[ ${1:-} != base ]] || exit 0
say "system"
make_root "$work/root"
say "disk"
make_disk "$work/root" "$work"
say "$out/nemo-mr.qcow2: $(($(stat -c %s "$out/nemo-mr.qcow2") >> 20)) MB"

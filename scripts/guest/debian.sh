#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# debian.sh - makes an ordinary Debian for a VM and prints its folder: Debian's cloud kernel
# and initrd, systemd, a login on the serial port, gcc.
#
# Usage: scripts/guest/debian.sh [RELEASE]
#
# RELEASE is Debian's name (bookworm, trixie; default: this machine's). The first call makes it
# by debootstrap, as root, and downloads some 100 MB. The folder, $CACHE/guest/RELEASE, has:
# vmlinuz and initrd, for QEMU's -kernel and -initrd; disk, the root file system, for a virtio
# disk that is not written to (snapshot=on); append, more words for the kernel's command line.
#
# The guest does what its second virtio disk, a tar archive, tells it (instead of cloud-init):
# when all services are up, it unpacks the archive in /run/seed and starts `sh start` there,
# with a virtio console as input and output. With init=/usr/local/sbin/seed on the kernel's
# command line, it does only this. The image has nothing else of this project.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/../common.sh"
# shellcheck source=scripts/source/archive.sh
. "${BASH_SOURCE[0]%/*}/../source/archive.sh"

PATH+=:/usr/sbin:/sbin
INCLUDE=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus,kmod,gcc,libc6-dev

# configure ROOT: what cloud images set up as well, and who looks at the second disk.
configure() {
	echo guest >"$1/etc/hostname"
	echo 127.0.1.1 guest >>"$1/etc/hosts"
	echo '/dev/vda / ext4 defaults 0 0' >"$1/etc/fstab"
	echo 0123456789abcdef0123456789abcdef >"$1/etc/machine-id"
	cat >"$1/usr/local/sbin/seed" <<-'END'
		#!/bin/sh
		export PATH=/usr/sbin:/usr/bin HOME=/root
		if [ $$ = 1 ]; then
			mount -t proc proc /proc
			mount -t sysfs sys /sys
			mount -t tmpfs run /run
		fi
		modprobe virtio_console
		mkdir -p /run/seed
		cd /run/seed || exit
		tar -x -f /dev/vdb
		exec sh start </dev/hvc0 >/dev/hvc0 2>&1
	END
	chmod +x "$1/usr/local/sbin/seed"
	cat >"$1/etc/systemd/system/seed.service" <<-'END'
		[Unit]
		Description=What the second disk says
		ConditionPathExists=/dev/vdb

		[Service]
		Type=idle
		ExecStart=/usr/local/sbin/seed

		[Install]
		WantedBy=multi-user.target
	END
	# an emulated CPU unpacks it at every boot
	echo MODULES=list >"$1/etc/initramfs-tools/conf.d/modules"
	printf '%s\n' virtio_pci virtio_blk >>"$1/etc/initramfs-tools/modules"
	chroot "$1" systemctl -q enable seed.service &&
		chroot "$1" systemctl -q mask serial-getty@hvc0.service &&
		chroot "$1" passwd -q -d root &&
		chroot "$1" update-initramfs -u
}

make_guest() {
	local root=$new/root line
	rm -rf "$new"
	mkdir -p "$root"
	line=$(sources "$release")
	line=${line#* http} line=http${line%% *}
	step "making a Debian guest, $release (some minutes; log: $dir.log)"
	debootstrap --variant=minbase --keyring="$KEYRING" --include="$INCLUDE" \
		"$release" "$root" "$line" >"$dir.log" 2>&1 ||
		die "debootstrap $release failed: $(grep -E '^[EW]:|No space' "$dir.log" | tail -n 1) (all of it: $dir.log)"
	configure "$root" >>"$dir.log" 2>&1 || die "the guest cannot be set up (see $dir.log)"
	cp "$root"/boot/vmlinuz-* "$new/vmlinuz"
	cp "$root"/boot/initrd.img-* "$new/initrd"
	rm -rf "$root"/var/{cache/apt,lib/apt/lists}/* "$root"/usr/share/{doc,man,info,locale}/* "$root"/boot/[a-zA-Z]*
	# no larger than it has to be: a lab has it in memory
	mke2fs -q -t ext4 -L root -E lazy_itable_init=0,lazy_journal_init=0 -J size=8 -m 0 -d "$root" \
		"$new/disk" "$(($(du -sk --apparent-size "$root" | cut -f1) * 5 / 4 / 1024 + 48))M" >>"$dir.log"
	rm -rf --one-file-system "$root"
	echo "root=/dev/vda rw console=ttyS0" >"$new/append"
	echo "$key" >"$new/key"
	rm -rf "$dir"
	mv "$new" "$dir"
}

need_guest() {
	[[ $(cat "$dir/key" 2>/dev/null) == "$key" ]] || make_guest
}

main() {
	local release dir new key
	[[ $1 != -h ]] || { usage; exit; }
	(($# < 2)) || die "$2: not understood (-h shows the usage)"
	# shellcheck source=/dev/null
	release=${1:-$(. /etc/os-release && echo "$VERSION_CODENAME")}
	[[ " $(releases) " == *" $release "* && -e /usr/share/debootstrap/scripts/$release ]] ||
		die "$release: no release that is known here (one of: $(releases))"
	((EUID == 0)) || die "only root can make a root file system"
	type -P debootstrap >/dev/null || die "debootstrap: not found (scripts/deps.sh test)"
	dir=$CACHE/guest/$release new=$CACHE/guest/$release.new
	key=$(sha1sum <"${BASH_SOURCE[0]}")
	locked "$dir.lock" need_guest
	echo "$dir"
}

main "$@"

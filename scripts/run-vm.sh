#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# run-vm.sh - starts a virtual machine for experiments: QEMU with KVM, 2 vCPUs,
# 2048 MiB, its console here.
#
# Usage: scripts/run-vm.sh [-c VCPUS] [-m MIB] [-f seabios|ovmf]
#                          [-k KERNEL] [-i INITRD] [-p PARAMETERS] [-d DISK]
#                          [-- QEMU-OPTION...]
#
#   -c VCPUS        2
#   -m MIB          2048; less, and said so, where the host has less to give
#   -f FIRMWARE     seabios or ovmf; else FIRMWARE of the environment, seabios
#   -k KERNEL       boot this Linux; without -k and -d, the lab's Linux 6.1
#   -i INITRD       its initrd; without, one that boots to a shell, with busybox
#                   and the ordinary cpuid program
#   -p PARAMETERS   more words for the kernel's command line
#   -d DISK         boot this disk image instead (raw or qcow2, written to), with
#                   a network; a second disk, EXITTOOLS (FAT, read-only), brings
#                   the cpuid program: mount it and run `sh cpuid.sh`
#   -h              this text
#
# What stands after -- is added to QEMU's command line. Ctrl-A X ends the VM.
# Needs read and write access to /dev/kvm; changes nothing on the host. Runs on
# any host with KVM, and in the lab. Exit status: QEMU's, or 1.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

OVMF=(/usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_VARS_4M.fd)

vcpus=2 megs=2048 firmware=${FIRMWARE:-seabios}
kernel='' initrd='' parameters='' disk=''

usage() {
	sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

positive() {
	[[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || die "-$1 $2: not a number above 0"
}

readable() {
	[[ -r $1 ]] || die "$1: no such file, or not readable"
}

parse() {
	local option
	[[ $1 != --help ]] || { usage; exit 0; }
	while getopts :c:m:f:k:i:p:d:h option; do
		case $option in
		c) vcpus=$OPTARG ;;
		m) megs=$OPTARG ;;
		f) firmware=$OPTARG ;;
		k) kernel=$OPTARG ;;
		i) initrd=$OPTARG ;;
		p) parameters=$OPTARG ;;
		d) disk=$OPTARG ;;
		h) usage; exit 0 ;;
		*) die "-$OPTARG: no such option, or its value is missing (-h shows them)" ;;
		esac
	done
	shift $((OPTIND - 1))
	more=("$@")

	positive c "$vcpus"
	positive m "$megs"
	[[ $firmware == seabios || $firmware == ovmf ]] || die "-f $firmware: no such firmware (seabios or ovmf)"
	[[ ! $disk || ! $kernel$initrd$parameters ]] || die "-d: not together with -k, -i and -p"
}

check_kvm() {
	[[ -c /dev/kvm ]] || die "/dev/kvm: No such device (load kvm-intel or kvm-amd; is virtualization on in the firmware?)"
	[[ -r /dev/kvm && -w /dev/kvm ]] || die "/dev/kvm: Permission denied (join the group kvm, or be root)"
	type -P qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64: not found (scripts/deps.sh lab installs it)"
}

# A guest touches what it is given sooner or later: leave the host what QEMU
# itself and its own work need.
clamp_memory() {
	local free
	free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
	((megs > free - 256)) || return 0
	((free >= 384)) || die "only $free MiB of memory free, too little for a VM"
	echo "$PROGRAM: $megs MiB is more than this host can give: the VM gets $((free - 256)) MiB" >&2
	megs=$((free - 256))
}

boot_kernel() {
	if [[ ! $kernel ]]; then
		"$TOP/scripts/deps.sh" lab >&2
		"$TOP/scripts/kernel.sh" -k 6.1 build >&2
		kernel=$CACHE/6.1/out/bzImage
	fi
	readable "$kernel"
	if [[ ! $initrd ]]; then
		[[ -x $TOP/scripts/guest-initrd.sh ]] ||
			die "no -i INITRD, and no scripts/guest-initrd.sh here to make one"
		initrd=$tmp/initrd
		"$TOP/scripts/guest-initrd.sh" "$initrd"
	fi
	readable "$initrd"
	options+=(-kernel "$kernel" -initrd "$initrd"
		-append "console=ttyS0 quiet panic=-1 $parameters")
}

# shellcheck disable=SC2054 # commas are QEMU's own
# The tools' disk: cpuid with its libraries and its loader.
make_tools() {
	local cpuid library
	if ! cpuid=$(type -P cpuid) || ! type -P ldd >/dev/null; then
		echo "$PROGRAM: no cpuid or no ldd here, so no disk with tools" >&2
		return
	fi
	mkdir "$tmp/tools"
	while read -r library; do
		cp -L "$library" "$tmp/tools/"
	done < <(ldd "$cpuid" | grep -o '/[^ ]*')
	cp -L "$cpuid" "$tmp/tools/cpuid.bin"
	cat >"$tmp/tools/cpuid.sh" <<-'EOF'
		#!/bin/sh
		# The cpuid program of the host, with the libraries that lie beside it.
		here=$(dirname "$0")
		exec "$here"/ld-linux-x86-64.so.2 --library-path "$here" "$here/cpuid.bin" "$@"
	EOF
	options+=(-drive "file=fat:ro:$tmp/tools,format=vvfat,label=EXITTOOLS,read-only=on,if=virtio")
}

# shellcheck disable=SC2054 # commas are QEMU's own
boot_disk() {
	local format=raw
	readable "$disk"
	[[ $(head -c 3 "$disk" | tr -d "\0") != QFI ]] || format=qcow2
	options+=(-drive "file=$disk,format=$format,if=virtio" -nic user,model=virtio-net-pci)
	make_tools
}

use_ovmf() {
	readable "${OVMF[0]}"
	readable "${OVMF[1]}"
	cp "${OVMF[1]}" "$tmp/vars"
	options+=(-drive "if=pflash,format=raw,readonly=on,file=${OVMF[0]}"
		-drive "if=pflash,format=raw,file=$tmp/vars")
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	local status=$?
	[[ ! $qemu ]] || { kill "$qemu" && wait "$qemu"; } 2>/dev/null || true
	rm -rf "$tmp"
	exit "$status"
}

main() {
	parse "$@"
	check_kvm
	clamp_memory
	tmp=$(mktemp -d)
	qemu=''
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	options=(-name exit_cycles -accel kvm -cpu host -smp "$vcpus" -m "$megs"
		-nodefaults -no-user-config -display none -no-reboot -serial mon:stdio)
	[[ $firmware == seabios ]] || use_ovmf
	if [[ $disk ]]; then
		boot_disk
	else
		boot_kernel
	fi
	# In the background, with our input, so that a signal to us ends it.
	qemu-system-x86_64 "${options[@]}" "${more[@]}" <&0 &
	qemu=$!
	wait "$qemu"
}

main "$@"

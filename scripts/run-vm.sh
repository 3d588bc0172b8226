#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# run-vm.sh - starts a virtual machine for experiments: QEMU with KVM, 2 vCPUs, 2048 MiB,
# its console on this terminal.
#
# Usage: scripts/run-vm.sh [-c VCPUS] [-m MIB] [-f ovmf|seabios]
#                          [-k KERNEL] [-i INITRD] [-p PARAMETERS] [-t] [-d DISK]
#                          [-- QEMU-OPTION...]
#
#   -c VCPUS        vCPUs (default 2)
#   -m MIB          memory (default 2048); less, with a message, if the host has less
#   -f FIRMWARE     ovmf or seabios (default: FIRMWARE of the environment, else ovmf if
#                   it is installed)
#   -k KERNEL       boot this Linux (default without -d: the lab's kernel)
#   -i INITRD       its initrd (default: one that boots to a shell, with busybox, the
#                   ordinary cpuid program and, if it is built, exitdump)
#   -p PARAMETERS   more words for the kernel's command line
#   -d DISK         boot this disk image instead (raw or qcow2; it is written to), with
#                   a network and the tools' disk. Firmware and systems that use a
#                   serial port show their output here
#   -t              add the tools' disk also with -k: label EXITTOOLS, FAT, read-only,
#                   with cpuid and, if it is built, exitdump. In the guest:
#                   mount LABEL=EXITTOOLS /mnt; sh /mnt/exitdump.sh --guest
#   -h              this text
#
# Options after -- are added to QEMU's command line. Ctrl-A X ends the VM. Needs read and
# write access to /dev/kvm; changes nothing on the host. Runs on any host with KVM, and in
# the lab. Exit status: QEMU's, or 1.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

OVMF=(/usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_VARS_4M.fd)

vcpus=2 megs=2048 firmware=${FIRMWARE:-}
kernel='' initrd='' parameters='' disk='' format='' tools=''

readable() {
	[[ -r $1 ]] || die "$1: no such file, or not readable"
}

parse() {
	local option
	[[ $1 != --help ]] || { usage; exit 0; }
	while getopts :c:m:f:k:i:p:td:h option; do
		case $option in
		c) vcpus=$OPTARG ;;
		m) megs=$OPTARG ;;
		f) firmware=$OPTARG ;;
		k) kernel=$OPTARG ;;
		i) initrd=$OPTARG ;;
		p) parameters=$OPTARG ;;
		t) tools=1 ;;
		d) disk=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	((OPTIND > $#)) || [[ ${*:OPTIND-1:1} == -- ]] ||
		die "${!OPTIND}: not understood (a disk image goes behind -d, QEMU's own options behind --)"
	shift $((OPTIND - 1))
	more=("$@")

	positive c "$vcpus"
	positive m "$megs"
	if [[ ! $firmware ]]; then
		firmware=seabios
		[[ ! -r ${OVMF[0]} || ! -r ${OVMF[1]} ]] || firmware=ovmf
	fi
	one_of f firmware "$firmware" "seabios ovmf"
	[[ ! $disk || ! $kernel$initrd$parameters ]] || die "-d: not together with -k, -i and -p"
}

check_kvm() {
	[[ -c /dev/kvm ]] || die "/dev/kvm: No such device (load kvm-intel or kvm-amd; is virtualization on in the firmware?)"
	[[ -r /dev/kvm && -w /dev/kvm ]] || die "/dev/kvm: Permission denied (join the group kvm, or be root)"
	type -P qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64: not found (scripts/deps.sh lab installs it)"
}

# clamp_memory: a guest sooner or later touches all of its memory. The host keeps what QEMU
# itself and the host's own work need.
clamp_memory() {
	local free
	free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
	((megs > free - 256)) || return 0
	((free >= 384)) || die "only $free MiB of memory free, too little for a VM"
	echo "$PROGRAM: $megs MiB is more than this host can give: the VM gets $((free - 256)) MiB" >&2
	megs=$((free - 256))
}

boot_kernel() {
	local bring quirk=''
	# In QEMU's TCG, a VM gets inconsistent values about XSAVE, and Linux 7.3 stops.
	[[ $LAB_MACHINE != svm ]] || quirk=noxsave
	if [[ ! $kernel ]]; then
		# shellcheck source=scripts/source/kernels.sh
		. "$TOP/scripts/source/kernels.sh"
		kernel=$(default_kernel)
		"$TOP/scripts/deps.sh" lab >&2
		"$TOP/scripts/kernel.sh" -k "$kernel" build >&2
		kernel=$CACHE/$kernel/out/bzImage
	fi
	readable "$kernel"
	if [[ ! $initrd ]]; then
		[[ -x $TOP/scripts/guest/initrd.sh ]] ||
			die "no -i INITRD, and no scripts/guest/initrd.sh here to make one"
		initrd=$tmp/initrd
		bring=$(exitdump)
		"$TOP/scripts/guest/initrd.sh" ${bring:+-a "$bring"} "$initrd"
	fi
	readable "$initrd"
	options+=(-kernel "$kernel" -initrd "$initrd"
		-append "console=ttyS0 quiet panic=-1${quirk:+ $quirk} $parameters")
}

# put_tool PROGRAM: copies PROGRAM with its libraries and their loader, and a script that
# starts it on any system, wherever the disk is mounted.
put_tool() {
	local library name=${1##*/} loader=''
	while read -r library; do
		cp -L "$library" "$tmp/tools/"
		[[ ${library##*/} != ld-linux* ]] || loader=${library##*/}
	done < <(ldd "$1" | grep -o '/[^ ]*')
	cp -L "$1" "$tmp/tools/$name.bin"
	cat >"$tmp/tools/$name.sh" <<-EOF
		#!/bin/sh
		# The $name of the host, with the libraries that lie beside it.
		here=\$(dirname "\$0")
		exec "\$here/$loader" --library-path "\$here" "\$here/$name.bin" "\$@"
	EOF
}

# exitdump: prints the path of exitdump: built here, installed, or beside this script.
exitdump() {
	local one
	for one in "$TOP/tools/exitdump" "$(type -P exitdump)" "${BASH_SOURCE[0]%/*}/exitdump"; do
		[[ ! -f $one || ! -x $one ]] || { echo "$one"; return; }
	done
}

# shellcheck disable=SC2054 # commas are QEMU's own
add_tools() {
	local program
	mkdir "$tmp/tools"
	for program in "$(type -P cpuid)" "$(exitdump)"; do
		[[ ! $program ]] || ! type -P ldd >/dev/null || put_tool "$program"
	done
	if ! compgen -G "$tmp/tools/*.sh" >/dev/null; then
		echo "$PROGRAM: no cpuid, exitdump or ldd here, so no disk with tools" >&2
		return
	fi
	options+=(-drive "file=fat:ro:$tmp/tools,format=vvfat,label=EXITTOOLS,read-only=on,if=virtio")
}

# format_of DISK: prints the format, but only if QEMU cannot mistake it for another.
format_of() {
	case $(head -c 8 "$1" | tr -d '\0') in
	QFI*) echo qcow2 ;;
	KDM* | COWD* | vhdxfile | conectix | '<<< '*) ;;
	*) echo raw ;;
	esac
}

check_disk() {
	[[ -f $disk || -b $disk ]] || die "$disk: no such disk image"
	[[ -r $disk && -w $disk ]] || die "$disk: Permission denied (the VM writes to its disk)"
	format=$(format_of "$disk")
	[[ $format ]] || die "$disk: neither raw nor qcow2 (qemu-img convert -O qcow2 $disk NEW)"
}

# shellcheck disable=SC2054 # commas are QEMU's own
boot_disk() {
	# An absolute path, because QEMU takes the text before a colon for a protocol.
	disk=$(realpath "$disk")
	options+=(-drive "file=${disk//,/,,},format=$format,if=virtio" -nic user,model=virtio-net-pci)
	tools=1
}

use_ovmf() {
	[[ -r ${OVMF[0]} && -r ${OVMF[1]} ]] || die "${OVMF[0]}: no such file (apt-get install ovmf, or -f seabios)"
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
	[[ $disk ]] && check_disk
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
	[[ $tools ]] && add_tools
	# In the background, with our input, so that a signal to us ends it.
	qemu-system-x86_64 "${options[@]}" "${more[@]}" <&0 &
	qemu=$!
	wait "$qemu"
}

main "$@"

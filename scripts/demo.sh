#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# demo.sh - reads the exits of one virtual machine on the host and in the guest, and shows
# that both see the same numbers.
#
# Usage: scripts/demo.sh [-m vmx|svm|kvm] [-k KERNEL] [-f seabios|ovmf]
#
# Boots the lab (scripts/lab.sh; -m and -k as there), starts a VM in it with real QEMU
# (scripts/run-vm.sh), reads the leaves in the guest with the ordinary cpuid program and the
# tables on the host, and compares them. Default of -f: FIRMWARE of the environment. Exit
# status: 0 identical, any other: not.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"
# shellcheck source=scripts/guest/files.sh
. "${BASH_SOURCE[0]%/*}/guest/files.sh"

machine=() kernel=$(default_kernel) firmware=${FIRMWARE:-seabios}

parse() {
	local option
	while getopts :m:k:f:h option; do
		case $option in
		m)
			machine=(-m "$OPTARG") ;;
		k) kernel=$OPTARG ;;
		f) firmware=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	no_more "${@:OPTIND}"
	[[ ${machine[1]} ]] && one_of m machine "${machine[1]}" "vmx svm kvm"
	one_of k kernel "$kernel" "$KERNELS"
	one_of f firmware "$firmware" "seabios ovmf"
}

main() {
	local guest=$TOP/scripts/demo/guest.c bring seconds=600
	parse "$@"
	"$TOP/scripts/deps.sh" build lab tool >&2
	"$TOP/scripts/kernel.sh" -k "$kernel" build >&2
	step "building exitdump and the guest"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT TERM
	make -s -C "$TOP/tools" BUILD="$tmp/build" PROG="$tmp/exitdump" >&2
	gcc -O2 -static -o "$tmp/guest-reads" "$guest"
	"$TOP/scripts/guest/initrd.sh" -a "$tmp/guest-reads" "$tmp/initrd" guest-reads

	bring_vm "$CACHE/$kernel/out/bzImage" "$tmp/initrd" "$firmware" "$tmp/exitdump" \
		"$TOP"/scripts/{guest/stops.sh,demo/host.sh,demo/compare.awk}
	[[ $firmware != ovmf ]] || seconds=3600
	set -- "${machine[@]}" -k "$kernel" -M 3072 "${bring[@]}"
	step "booting the lab"
	set -- "$@" -- env FIRMWARE="$firmware" bash ./host.sh bzImage initrd
	"$TOP/scripts/lab.sh" -t "$seconds" "$@"
	step "done"
}

main "$@"

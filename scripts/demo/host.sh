#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# host.sh - the demo's part on the KVM host: starts the VM through run-vm.sh, takes the VM's
# table at each stop of the guest, and compares.
#
# Usage: host.sh KERNEL INITRD	(FIRMWARE=seabios|ovmf)
#
# Runs on a host with debugfs mounted and the modules loaded: in the lab, started by
# scripts/demo.sh. Exit status: 0 when both views are identical, else 1.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/guest/stops.sh
. "${BASH_SOURCE[0]%/*}/stops.sh"

ROUNDS=100	# a read that an interrupt fell into is made again: on a busy host, most of them

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)

# reasons VENDOR: the reasons whose leaves are read: CPUID, an I/O instruction, a fault in
# nested paging, HLT, WRMSR.
reasons() {
	case $1 in
	vmx) echo 10 30 48 12 32 ;;
	svm) echo 114 123 1024 120 124 ;;
	*) die "$KVM/exit_cycles: vendor=$1: not known to this demo" ;;
	esac
}

# reads VENDOR: the list of the guest's reads, the totals first. No vendor has the reason
# 0xfffffffe: its answer tells whether the leaves exist.
reads() {
	local reason
	printf '0x4ffffffd:0xfffffffe,0x4ffffffe,0x4fffffff'
	for reason; do
		printf ',0x4ffffffc:%s,0x4ffffffd:%s' "$reason" "$reason"
	done
}

# start_demo: starts the VM; the guest's answers arrive through a pipe of their own.
start_demo() {
	mkfifo "$tmp/answers"
	exec 7<>"$tmp/answers"
	start_vm "$1" "$2" "READS=$3" \
		-chardev "file,id=answers,path=$tmp/answers" \
		-device isa-debugcon,iobase=0xe9,chardev=answers
}

# read_once: takes one read: the table before, the table after, the guest's answer.
read_once() {
	local before after answer leaf reason
	before=$(<"$table")
	let_run
	wait_stopped
	after=$(<"$table")
	let_run
	hear 7
	answer=$heard
	wait_stopped
	printf 'read\t%s\nbefore\n%s\nafter\n%s\n' "$answer" "$before" "$after" >>"$tmp/reads"
	[[ $verbose ]] || return 0
	IFS=$'\t' read -r leaf reason answer <<<"$answer"
	[[ $reason == - ]] || leaf+=" -s $reason"
	printf 'guest# cpuid -1 -l %s\n   %s\n' "$leaf" "$answer"
}

compare() {
	awk -f "$here/compare.awk" -v show="$1" "$tmp/reads"
}

show_host() {
	echo
	echo "On the host, while the guest stands still for the last time:"
	echo
	echo "host# cat $table"
	cat "$table"
	echo
	echo "host# exitdump --input $table"
	"$here/exitdump" --input "$table"
	echo
	echo "Both views side by side:"
	echo
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	local status=$?
	end_vm
	rm -rf "$tmp"
	exit "$status"
}

main() {
	local list count i round status
	check_kernel
	# shellcheck disable=SC2046 # a list of numbers
	list=$(reads $(reasons "$(vendor)"))
	count=$(tr , '\n' <<<"$list" | wc -l)

	tmp=$(mktemp -d)
	trap clean_up EXIT
	trap 'exit 130' INT TERM
	echo "host# FIRMWARE=${FIRMWARE:-seabios} run-vm.sh -k $1 -i $2"
	start_demo "$1" "$2" "$list"
	wait_stopped
	find_table
	cat <<-'EOF'

		In the guest, the ordinary cpuid program reads one leaf at a time. QEMU stops
		the VM right before and right after each read, and the host's table is taken
		while it stands still. The guest has put its second vCPU to sleep meanwhile.

	EOF
	for ((round = 1; round <= ROUNDS; round++)); do
		for ((i = 0; i < count; i++)); do
			read_once
		done
		verbose=''
		status=0
		compare '' >/dev/null || status=$?
		((status == 1)) || break
	done
	show_host
	compare 1
}

verbose=1
main "$@"

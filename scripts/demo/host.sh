#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# host.sh - the demo's part on the KVM host: starts the VM through run-vm.sh,
# takes the VM's table whenever the guest stands still, and compares.
#
# Usage: host.sh KERNEL INITRD	(FIRMWARE=seabios|ovmf)
#
# Runs where debugfs is mounted and the modules are loaded: in the lab, started
# by scripts/demo.sh. Exit status: 0 when both views are identical, else 1.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

KVM=/sys/kernel/debug/kvm
ROUNDS=5		# a read that an interrupt fell into is made again
PATIENCE=1800		# seconds; an emulated host with OVMF needs many

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)

# The reasons whose leaves are read: CPUID, an I/O instruction, a fault in
# nested paging, HLT, WRMSR.
reasons() {
	case $1 in
	vmx) echo 10 30 48 12 32 ;;
	svm) echo 114 123 1024 120 124 ;;
	*) die "$KVM/exit_cycles: vendor=$1: not known to this demo" ;;
	esac
}

# The reads that the guest makes, the totals first. 0xfffffffe is a reason of
# neither vendor: its answer tells whether the leaves are there.
reads() {
	local reason
	printf '0x4ffffffd:0xfffffffe,0x4ffffffe,0x4fffffff'
	for reason; do
		printf ',0x4ffffffc:%s,0x4ffffffd:%s' "$reason" "$reason"
	done
}

start_vm() {
	mkfifo "$tmp"/{qmp.in,qmp.out,answers}
	exec 5<>"$tmp/qmp.in" 6<>"$tmp/qmp.out" 7<>"$tmp/answers"
	"$here/run-vm.sh" -k "$1" -i "$2" -p "READS=$3" -- \
		-chardev "pipe,id=qmp,path=$tmp/qmp" -mon chardev=qmp,mode=control \
		-chardev "file,id=answers,path=$tmp/answers" \
		-device isa-debugcon,iobase=0xe9,chardev=answers \
		-device pvpanic -action panic=pause \
		</dev/null 5>&- 6>&- 7>&- &
	vm=$!
	echo '{"execute":"qmp_capabilities"}' >&5
}

# A line of QEMU's that arrives, or the end of the demo.
hear() {
	local line waited=0
	until IFS= read -r -t 5 -u "$1" line; do
		kill -0 "$vm" 2>/dev/null || die "the VM ended before its time"
		(((waited += 5) < PATIENCE)) || die "no sign of the VM for $PATIENCE s"
	done
	heard=$line
}

wait_stopped() {
	heard=''
	until [[ $heard == *'"event": "STOP"'* ]]; do
		hear 6
	done
}

let_run() {
	echo '{"execute":"cont"}' >&5
}

# The VM's own table where the kernel has one, else the host's, which has no
# other VM's exits in the lab.
find_table() {
	local own=("$KVM"/*-*/exit_cycles)
	table=$KVM/exit_cycles
	[[ ! -e ${own[0]} || ${#own[@]} -gt 1 ]] || table=${own[0]}
}

# One read: the table before, the table after, the guest's answer.
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
	if [[ $vm ]]; then
		echo '{"execute":"quit"}' >&5
		wait "$vm" || true
	fi
	rm -rf "$tmp"
	exit "$status"
}

main() {
	local vendor list count i round status
	[[ -r $KVM/exit_cycles ]] ||
		die "$KVM/exit_cycles: No such file (is this kernel patched, debugfs mounted?)"
	vendor=$(sed -n '1s/.*[[:space:]]vendor=\([a-z]*\).*/\1/p' "$KVM/exit_cycles")
	# shellcheck disable=SC2046 # a list of numbers
	list=$(reads $(reasons "$vendor"))
	count=$(tr , '\n' <<<"$list" | wc -l)

	vm='' tmp=$(mktemp -d)
	trap clean_up EXIT
	trap 'exit 130' INT TERM
	echo "host# FIRMWARE=${FIRMWARE:-seabios} run-vm.sh -k $1 -i $2"
	start_vm "$1" "$2" "$list"
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

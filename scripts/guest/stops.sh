# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# stops.sh - a VM that stops itself, so that the guest's reads and the host's table can be
# of the same moment. Sourced after common.sh by scripts that run on the KVM host; run-vm.sh
# lies in the same folder.
#
# The guest stops by a write to the port of QEMU's pvpanic device, 0x505. Needs: $tmp, a
# folder of the caller. Call end_vm at the end.
# shellcheck disable=SC2154 # tmp is set by the script that sources this

KVM=/sys/kernel/debug/kvm
PATIENCE=1800		# seconds; an emulated host with OVMF needs many

vm='' vm_options=()

# check_kernel: dies unless the kernel has the account.
check_kernel() {
	[[ -r $KVM/exit_cycles ]] ||
		die "$KVM/exit_cycles: No such file (is this kernel patched, debugfs mounted?)"
}

vendor() {
	sed -n '1s/.*[[:space:]]vendor=\([a-z]*\).*/\1/p' "$KVM/exit_cycles"
}

# start_vm KERNEL INITRD PARAMETERS [QEMU-OPTION...]: starts the VM in the background. The
# array vm_options holds options of run-vm.sh. The VM's console is our standard output.
start_vm() {
	local kernel=$1 initrd=$2 parameters=$3
	shift 3
	mkfifo "$tmp"/qmp.{in,out}
	exec 5<>"$tmp/qmp.in" 6<>"$tmp/qmp.out"
	"${BASH_SOURCE[0]%/*}/run-vm.sh" -k "$kernel" -i "$initrd" -p "$parameters" "${vm_options[@]}" -- \
		-pidfile "$tmp/pid" -chardev "pipe,id=qmp,path=$tmp/qmp" \
		-mon chardev=qmp,mode=control -device pvpanic -action panic=pause "$@" \
		</dev/null 5>&- 6>&- 7>&- &
	vm=$!
	echo '{"execute":"qmp_capabilities"}' >&5
}

# hear FD: waits for a line from QEMU and stores it in $heard; dies when the VM ends first.
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

# wait_ended: waits until the guest has powered itself off.
wait_ended() {
	local waited=0 status=0
	while kill -0 "$vm" 2>/dev/null; do
		((waited++ < PATIENCE)) || die "the VM does not end"
		sleep 1
	done
	wait "$vm" || status=$?
	vm=''
	((status == 0)) || die "QEMU ended with status $status"
}

# find_table: sets $table to the VM's own table, if the kernel has one. Else it is the
# host's table; in the lab, that has the exits of no other VM.
# shellcheck disable=SC2034 # read by those who source this
find_table() {
	local own=("$KVM/$(<"$tmp/pid")"-*/exit_cycles)
	table=$KVM/exit_cycles
	[[ ! -e ${own[0]} ]] || table=${own[0]}
}

end_vm() {
	[[ $vm ]] || return 0
	echo '{"execute":"quit"}' >&5
	wait "$vm" || true
}

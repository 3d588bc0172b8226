#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: each allocation of the kernel can fail, while the vendor's module is loaded, a VM is
# made and first run, and each file is read and written. The operation then fails with
# ENOMEM, or works without a file in debugfs. Nothing warns, nothing leaks, and the exits of
# the guests are counted exactly. (4103 lets a vCPU's allocations fail in two more ways.)
# Stress: svm:kasan
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

READS="$(echo read-{host,vm,vcpu}-exit_cycles{,_hist,_keys,_slow})"
WRITES="$(echo reset-{host,vm,vcpu} {switch,keys}-{on,off} slow{,-off} guest-{off,vm})"

in_lab <<'EOF'
section can
if [ -e /proc/self/fail-nth ]; then
	echo yes
	for kind in failslab fail_page_alloc; do
		echo N >/sys/kernel/debug/$kind/ignore-gfp-wait
		echo 0 >/sys/kernel/debug/$kind/verbose
	done
	echo N >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem
	echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
	for knob in task-filter=Y probability=100 interval=1 times=-1; do
		echo ${knob#*=} >/sys/kernel/debug/fail_page_alloc/${knob%=*}
	done
else
	failures() { :; }
	rmmod() { :; }
	insmod() { :; }
fi

# try NAME ARGUMENT...: of failures.
try() {
	section "$1"
	shift
	failures "$@" 2>&1 || echo "status $?"
}

try vm vm
hold held --vcpus 2 cpuid=23 out-user=7
for file in exit_cycles exit_cycles_hist exit_cycles_keys exit_cycles_slow; do
	try read-host-$file read $K/$file
	try read-vm-$file read $K/$held/$file
	try read-vcpu-$file read $K/$held/vcpu1/$file
done
account held.vm $held
try reset-vcpu write $K/$held/vcpu1/exit_cycles_reset 0
try reset-vm write $K/$held/exit_cycles_reset 0
try reset-host write $K/exit_cycles_reset 0
account reset.vm $held
release
try switch-off write $P/exit_cycles N Y
try switch-on write $P/exit_cycles Y N
try keys-off write $P/exit_cycles_keys N Y
try keys-on write $P/exit_cycles_keys Y N
try slow write $P/exit_cycles_slow 1000 0
try slow-off write $P/exit_cycles_slow 0 1000
try guest-off write $P/exit_cycles_guest off vm
try guest-vm write $P/exit_cycles_guest vm off
run_vmm end --vcpus 2 cpuid=211 out-user=23
account end-host
# The last allocations make the account's files. If those before fail, so does misc_register() of
# KVM, which then leaves its folder in debugfs, and no later VM has files.
rmmod kvm_amd
try load load "$LAB_MODULES/kvm-amd.ko" 20
insmod "$LAB_MODULES/kvm-amd.ko"
leaks
EOF

judge() {
	local name
	if [[ ! $(<"$F/can") ]]; then
		skip "$lab all" "this kernel has no fault injection"
		return
	fi
	for name in vm $READS $WRITES load; do
		is "$lab $name: what failed was ENOMEM, and the rest whole" "$(grep -vE '^[a-z-]+ [0-9]+$' "$F/$name" || true)" ''
		tried "allocations that failed" "$(sum "$name" passes)"
	done
	for name in vm $READS; do
		ok "$lab $name: some failed" test "$(sum "$name" failed)" -gt 0
	done
	ok "$lab load: some did without failing the load" test "$(sum load passes)" -gt 1
	ok "$lab vm: so did a KVM_RUN" test "$(sum vm retried)" -gt 0
	ok "$lab vm: and without files it counts" test "$(sum vm without-file)" -gt 0
	is "$lab held: reads that fail change nothing" "$(account_says held held.vm)" "$(vmm_says held)"
	is "$lab held: a reset that came through resets" "$(cell reset.vm TOTAL exits)" 0
	judge_leaks
	is "$lab then: exact" "$(account_says end end.vm)" "$(vmm_says end)"
	is "$lab then: no vCPU stays" "$(key end-host vcpus)" 0
}

gcc -static -O2 -Wall -Wextra -o "$T/failures" "$TOP/tests/stress/failures.c"
for one in $LABS; do
	stress "$one" -c "$(cpus "$one")" -a "$T/failures" || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the last bucket has all exits of 2^30 cycles and more, even above 2^31, whether the
# time passes in user space or in the kernel, and whether the exit is the largest so far or
# not. No count lands in another row.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# After an interrupt of the guest, a hog takes the CPU from the vCPU's thread inside the
# kernel. The first hog makes the largest exit of its row, the second a smaller one. The
# recorder of slow exits is off: with it, all long exits end in code out of line.
in_lab <<'EOF'
echo 0 >$P/exit_cycles_slow
hogs_only
khz=$(awk -F"[=\t]" "/^# / { print \$5 }" $K/exit_cycles)
ms=$((2147483648 / khz))
run_vmm user --at "usleep $((ms * 1150))" cpuid=5 shell=2
run_vmm kernel --pin hog:$((ms * 13 / 10))=1 hog:$((ms * 11 / 10))=1 cpuid=5
EOF

judge() {
	local cpuid=10 io=30 interrupt=1 run row exits
	[[ $vendor == vmx ]] || cpuid=114 io=123 interrupt=96

	for run in user kernel; do
		row=$io
		[[ $run == user ]] || row=$interrupt
		is "$lab $run: two exits are in the last bucket" "$(cell $run.vm_hist $row 31) $(cell $run.vm_hist TOTAL 31)" "2 2"
		ok "$lab $run: they were above 2^31 cycles" test "$(cell $run.vm $row total)" -gt 4294967296
		is "$lab $run: the guest's CPUID exits are as many as it made" "$(cell $run.vm $cpuid exits)" 5
		is "$lab $run: the account agrees with itself" "$(contradictions $run.vm)" ''
		exits=$(($(kvm_stat $run exits) - $(cell $run.vm TOTAL exits)))
		ok "$lab $run: as many exits as KVM counts, but for one in progress" test $exits -ge 0 -a $exits -le 1
	done
	ok "$lab user: the time is user" test "$(cell user.vm $io user)" -gt 4294967296
	is "$lab kernel: none of it is halt or user" \
		"$(cell kernel.vm $interrupt halt) $(cell kernel.vm $interrupt user)" "0 0"
}

for one in $LABS; do
	boot "$one" || continue
	judge
done
done_testing

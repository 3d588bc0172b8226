#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the account uses the host's TSC, whatever the guest's TSC does. It may run at another
# frequency, by scaling or by catching up; the guest may write to it; or KVM makes it up
# because the host's TSC is unstable. Counts are exact, times are no longer than the vCPU's,
# and no guest's TSC goes back.
# Stress: vmx svm svm:kasan
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

in_lab <<'EOF'
script="cpuid=101 spin=200000 out-kernel=53 out-user=7"
run_vmm plain --vcpus 2 $script
run_vmm faster --vcpus 2 --tsc 150 $script
run_vmm written --vcpus 2 wrmsr-slow:0x10:5=1 $script
section scaling
vmm --quiet --after "ls $K/\$VMM_DIRS/vcpu0" cpuid=1 | grep scaling || echo none
EOF

judge() {
	local name vcpu run took
	# a lab whose host is busy may find its TSC unstable by itself
	[[ $1 == stable ]] || is "$lab the host's TSC is unstable" "$(key plain.vm tsc)" unstable
	for name in plain faster written; do
		is "$lab $1 $name: all that was made is counted" "$(account_says "$name" "$name.vm")" "$(vmm_says "$name")"
		is "$lab $1 $name: the account agrees with itself" "$(contradictions "$name.vm")" ''
		for vcpu in 0 1; do
			run=$(awk -v vcpu=$vcpu '$1 == "time" && $3 == vcpu && $4 == "run" { print $5 }' "$F/$name")
			took=$(($(key "$name.$vcpu" guest) + $(cell "$name.$vcpu" TOTAL total)))
			ok "$lab $1 $name: vCPU $vcpu took $took of the $run cycles that it ran" test $((took <= run && 2 * took > run)) = 1
		done
		is "$lab $1 $name: the guest's TSC did not go back" \
			"$(awk '$1 == "step" && $4 !~ /^wrmsr/ && ($6 < 0 || $8 > 2 ^ 40)' "$F/$name")" ''
	done
	note "$lab TSC scaling: $(<"$F/scaling")"
}

for one in $LABS; do
	for tsc in stable unstable; do
		unset LAB_APPEND
		[[ $tsc == stable ]] || export LAB_APPEND=tsc=unstable
		stress "$one" -c "$(cpus "$one")" || continue
		judge $tsc
	done
done
done_testing

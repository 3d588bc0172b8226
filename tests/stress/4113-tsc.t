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
vmm --quiet --after "ls $K/\$VMM_DIRS/vcpu0" cpuid=1 | grep -x tsc-scaling-ratio || echo none
EOF

# mean SECTION: prints the guest's TSC ticks round a CPUID of the first vCPU.
mean() {
	awk '$1 == "step" && $3 == 0 && $4 == "cpuid" { print $7 }' "$F/$1"
}

# cycles SECTION: prints the cycles of the first vCPU's CPUID exits.
cycles() {
	cell "$1.0" "$([[ $vendor == vmx ]] && echo 10 || echo 114)" cycles
}

judge() {
	local name vcpu run took
	# a lab whose host is busy may find its TSC unstable by itself
	[[ $1 != unstable ]] || is "$lab the host's TSC is unstable" "$(key plain.vm tsc)" unstable
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
	[[ $1 == scaling ]] || return 0
	is "$lab KVM scales the TSC" "$(<"$F/scaling")" tsc-scaling-ratio
	ok "$lab the guest's TSC runs half as fast again" test $((10 * $(mean faster))) -ge $((14 * $(mean plain))) \
		-a $((10 * $(mean faster))) -le $((16 * $(mean plain)))
	ok "$lab and an exit takes the same cycles: $(cycles plain), $(cycles faster)" \
		test $((100 * $(cycles faster))) -ge $((95 * $(cycles plain))) -a $((100 * $(cycles faster))) -le $((105 * $(cycles plain)))
}

for one in $LABS; do
	for tsc in stable unstable scaling; do
		unset LAB_APPEND LAB_MODEL
		if [[ $tsc == scaling ]]; then
			[[ $one == vmx:* ]] || continue		# QEMU's TCG does not scale
			# and 7.3 does not boot with its XSAVEC
			export LAB_MODEL=corei7_skylake_x LAB_APPEND=clearcpuid=xsavec,xsaves
		fi
		[[ $tsc != unstable ]] || export LAB_APPEND=tsc=unstable
		stress "$one" -c "$(cpus "$one")" || continue
		judge $tsc
	done
done
done_testing

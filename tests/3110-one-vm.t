#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: while other VMs exist, a VM's files have only the exits of its own vCPUs, a vCPU's
# files only its own exits, and the leaves in scope `vm` the exits of all vCPUs of the
# guest's VM. Line 1 of each file tells how many VMs and vCPUs it covers.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
hypercall=18
[ $vendor = vmx ] || hypercall=129
hold stays --vcpus 2 --late cpuid=101 out-kernel=17 / cpuid=37 rdmsr=5
run_vmm beside --vcpus 2 --spare 1 --taken cpuid=23 out-kernel=7 / vmcall=5 rdmsr=3
VMM_DIRS=$held
accounts stays
account host

# Each VM reads after all three have made their exits.
cat >all-there <<-X
	n=0
	until awk '\$1 == $hypercall && \$3 == 600 { found = 1 } END { exit !found }' $K/\$VMM_DIRS/exit_cycles; do
		n=\$((n + 1))
		[ \$n -lt 200 ] || exit
		sleep 0.05
	done
X
read="leaf:0x4fffffff=0 leaf:0x4ffffffd=$hypercall leaf:0x4ffffffc=$hypercall leaf:0x4ffffffe=0"
run_vmm leaves --vcpus 3 --late --at '. ./all-there' vmcall=100 shell=1 $read / vmcall=200 shell=1 $read / vmcall=300 shell=1 $read
# their vCPUs are created in turns
vmm --quiet --together --vms 3 --late --vcpus 2 --after '. ./words; account mixed' cpuid=1
release
account alone
section clocks
cat /sys/devices/system/clocksource/clocksource0/available_clocksource
EOF

# leaf VCPU LEAF: prints its value, EBX and ECX together.
leaf() {
	awk -v vcpu="$1" -v leaf="$2" '$1 == "leaf" && $3 == vcpu && $4 == leaf { printf "%.0f\n", $7 + $8 * 4294967296 }' "$F/leaves"
}

# but REASON COMMAND...: prints COMMAND's output without that reason, whose last exit is open.
but() {
	"${@:2}" | grep -v "^$1 "
}

judge() {
	local vm vcpu hypercall=18 io=30 tsc=unstable
	[[ $vendor == vmx ]] || hypercall=129 io=123

	for vm in stays beside; do
		is "$lab $vm: the VM's file has its exits" "$(but $io account_says $vm $vm.vm)" "$(but $io vmm_says $vm)"
		is "$lab $vm: the sum of its vCPUs'" "$(cell $vm.vm TOTAL exits)" \
			$(($(cell $vm.0 TOTAL exits) + $(cell $vm.1 TOTAL exits)))
		is "$lab $vm: the VM's file and histogram agree" "$(contradictions $vm.vm)" ''
		for vcpu in 0 1; do
			awk -v vcpu=$vcpu '$3 == vcpu' "$F/$vm" >"$F/only"
			is "$lab $vm: vCPU $vcpu's file has its own" "$(but $io account_says only $vm.$vcpu)" "$(but $io vmm_says only)"
			is "$lab $vm: vCPU $vcpu's file and histogram agree" "$(contradictions $vm.$vcpu)" ''
		done
	done
	is "$lab a vCPU that never ran has nothing" "$(cell beside.2 TOTAL exits)" 0
	is "$lab VMs and vCPUs of a VM" "$(key stays.vm vms) $(key stays.vm vcpus) $(key beside.vm_hist vms) $(key beside.vm_hist vcpus)" "1 2 1 3"
	is "$lab each file says whose it is" "$(key host scope) $(key stays.vm scope) $(key stays.1 scope)" "host vm vcpu"
	# Linux offers no TSC as a clock that it has found to be unstable
	grep -qw tsc "$F/clocks" && tsc=stable
	is "$lab and whether the TSC is stable" "$(key host tsc) $(key stays.1 tsc)" "$tsc $tsc"
	is "$lab of a vCPU" "$(key stays.1 vms) $(key stays.1 vcpus)" "1 1"
	is "$lab of the host" "$(key host vms) $(key host vcpus)" "1 2"
	is "$lab of the host, whose VMs got their vCPUs in turns" "$(key mixed vms) $(key mixed_hist vcpus)" "4 8"
	is "$lab of the host, when all have gone" "$(key alone vms) $(key alone vcpus)" "0 0"

	for vcpu in 0 1 2; do
		is "$lab vCPU $vcpu reads what all three made" "$(leaf $vcpu 0x4ffffffd)" 600
		is "$lab vCPU $vcpu reads its cycles" "$(leaf $vcpu 0x4ffffffc)" "$(cell leaves.vm $hypercall cycles)"
		ok "$lab vCPU $vcpu reads all exits of the VM, and no more" \
			test "$(leaf $vcpu 0x4fffffff)" -ge 600 -a "$(leaf $vcpu 0x4fffffff)" -le "$(cell leaves.vm TOTAL exits)"
		ok "$lab vCPU $vcpu reads all cycles of the VM, and no more" \
			test "$(leaf $vcpu 0x4ffffffe)" -ge "$(cell leaves.vm $hypercall cycles)" -a \
			"$(leaf $vcpu 0x4ffffffe)" -le "$(cell leaves.vm TOTAL cycles)"
	done
}

for one in $LABS; do
	boot "$one" || continue
	judge
done
done_testing

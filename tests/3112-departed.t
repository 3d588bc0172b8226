#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: when a VM ends, the host's account keeps all that the VM made: every column, bucket
# and sum, and its cycles in the guest. When the vendor's module is loaded again, all this is
# gone, even if kvm.ko was loaded all the time.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
hold first --vcpus 2 spin=1000000 cpuid=101 out-user=7 hlt=5 / vmcall=11 hlt=3
account there
release
account gone
# a second VM, smaller in everything: the largest exit remains the first VM's
vmm --quiet cpuid=5 vmcall=3
account two

echo host >$P/exit_cycles_guest
run_vmm leaves --before ". ./words; account before; section leaves" leaf:0x4fffffff=0 leaf:0x4ffffffe=0
echo vm >$P/exit_cycles_guest

# a VM that is reset ends before it enters its guest again
cat >doom <<-X
	account doomed
	echo 0 >$K/exit_cycles_reset
	kill -KILL \$PPID
X
{ vmm --quiet --at ". ./words; . ./doom" rdmsr=7 sleep-user:20=2 shell=1; } 2>/dev/null
until [ -z "$(ls -d $K/*-* 2>/dev/null)" ]; do sleep 0.02; done
account ended

# loaded again, the vendor's module alone or both, switched on or off: nothing is left
vendor_module=kvm-amd
[ $vendor = svm ] || vendor_module=kvm-intel
rmmod $vendor_module
insmod "$LAB_MODULES/$vendor_module.ko"
account again
run_vmm again-vm cpuid=23
lab-modules load patched exit_cycles=N
vmm --quiet cpuid=23
account off
echo Y >$P/exit_cycles
run_vmm on-vm cpuid=23
account on
lab-modules load patched exit_cycles
run_vmm alone-vm cpuid=23
account alone
EOF

# rows SECTION: prints all lines but the first.
rows() {
	tail -n +2 "$F/$1"
}

# sum LEAF: prints the guest's read in scope `host`.
sum() {
	awk -v leaf="$1" '$1 == "leaf" && $4 == leaf { printf "%.0f\n", $7 + $8 * 4294967296 }' "$F/leaves"
}

judge() {
	local cpuid=10 vmcall=18 column
	[[ $vendor == vmx ]] || cpuid=114 vmcall=129

	for column in exits cycles total halt user max; do
		ok "$lab there is $column to lose" test "$(cell there TOTAL $column)" -gt 0
	done
	is "$lab every row of the host's file is the same without the VM" "$(rows gone)" "$(rows there)"
	is "$lab every row of its histogram is" "$(rows gone_hist)" "$(rows there_hist)"
	is "$lab guest= is" "$(key gone guest)" "$(key there guest)"
	ok "$lab there was guest= to lose" test "$(key there guest)" -gt 1000000
	is "$lab nothing is there but that" "$(key gone vms) $(key gone vcpus)" "0 0"

	is "$lab a second VM is added" "$(cell two $cpuid exits) $(cell two $vmcall exits)" "106 14"
	is "$lab the largest exit is still the first VM's" "$(cell two TOTAL max)" "$(cell there TOTAL max)"
	ok "$lab guest= grows" test "$(key two guest)" -gt "$(key gone guest)"
	is "$lab the host's account agrees with itself" "$(contradictions two)" ''

	# the reading guest itself has made only few exits until then
	ok "$lab in scope host the sum of exits has what ended VMs made" \
		test "$(sum 0x4fffffff)" -ge "$(cell before TOTAL exits)" -a "$(sum 0x4fffffff)" -lt $(($(cell before TOTAL exits) + 50))
	ok "$lab and the sum of cycles" test "$(sum 0x4ffffffe)" -ge "$(cell before TOTAL cycles)"

	ok "$lab a VM had keys and slow exits" test "$(grep -c '\b0x' "$F/doomed_keys")" -gt 1 -a "$(grep -c 0x501 "$F/doomed_slow")" -ge 2
	is "$lab it was reset and ended: it leaves no exit, no key and no slow exit" \
		"$(cell ended TOTAL exits) $(rows ended_keys | wc -l) $(rows ended_slow | wc -l)" "0 1 1"
	like "$lab the vendor's module loaded again: nothing is counted" "$(rows again | grep -v ^reason)" $'^-\tTOTAL(\t0)+$'
	is "$lab nor in the guest" "$(key again guest)" 0
	is "$lab a guest after it is counted exactly" "$(cell again-vm.vm $cpuid exits)" 23
	is "$lab loaded with exit_cycles=N: nothing is counted" "$(cell off TOTAL exits) $(key off guest)" "0 0"
	is "$lab switched on then: a guest is counted exactly" "$(cell on $cpuid exits)" 23
	is "$lab and its account agrees with itself" "$(contradictions on)" ''
	is "$lab loaded with the parameter alone: it switches on" "$(cell alone $cpuid exits)" 23
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

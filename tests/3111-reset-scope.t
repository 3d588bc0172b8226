#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a reset clears its vCPU, its VM or the host, and nothing else: not the VM's other
# vCPUs, not another VM, not the rest of ended VMs. It clears everything in its scope, also
# the sums behind the leaves and the cycles in the guest.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
vmm --quiet cpuid=1000
hold stays --vcpus 2 cpuid=101 spin=1000000 / cpuid=37

# VMM_DIRS in `run_vmm` names that VM's folders. When one vCPU resets, all vCPUs have made most
# of their exits.
for scope in vm vcpu host; do
	file=$(reset_file $scope)
	cat >reset <<-X
		. ./words
		sleep 0.1
		VM=\$VMM_DIRS
		account $scope-host0
		VMM_DIRS=$held
		accounts $scope-stays0
		VMM_DIRS=\$VM
		section $scope-before
		cat $K/\$VM/vcpu0/exit_cycles
		echo 0 >$K/$file
		account $scope-host1
		VMM_DIRS=$held
		accounts $scope-stays1
		section $scope
	X
	run_vmm $scope --vcpus 2 --at '. ./reset' \
		spin=3000000 cpuid=200 leaf:0x4ffffffe=0 shell=1 leaf:0x4fffffff=0 leaf:0x4ffffffe=0 cpuid=7 / cpuid=60
done
release

# A vCPU whose number is not its place in the VM.
run_vmm high --high-ids --no-irqchip --at "for file in $K/\$VMM_DIRS/vcpu*/exit_cycles_reset; do echo 0 >\$file; done" \
	cpuid=10 shell=1 cpuid=3

# In scope `host` the leaves also have the exits of ended VMs.
vmm --quiet cpuid=1000
echo 0 >$K/exit_cycles_reset
echo host >$P/exit_cycles_guest
section departed
vmm leaf:0x4fffffff=0 leaf:0x4ffffffe=0 cpuid=1
EOF

# leaves SECTION: prints all values that vCPU 0 read, EBX and ECX together.
leaves() {
	awk '$1 == "leaf" && $3 == 0 { printf "%.0f\n", $7 + $8 * 4294967296 }' "$F/$1"
}

# same SECTION SECTION: all accounts of the VM and its vCPUs are the same in both.
same() {
	local account
	for account in vm{,_hist} 0{,_hist} 1{,_hist}; do
		diff "$F/$1.$account" "$F/$2.$account" || return
	done
}

judge() {
	local scope cpuid=10 before exits cycles
	[[ $vendor == vmx ]] || cpuid=114

	for scope in vm vcpu; do
		is "$lab reset of a $scope: nothing of another VM changes" "$(same $scope-stays{0,1})" ''
	done
	is "$lab reset of the host: nothing is left of another VM" \
		"$(for one in vm 0 1; do cell host-stays1.$one TOTAL exits; done | xargs)" "0 0 0"
	is "$lab reset of a VM: what the host loses is that VM's" \
		$(($(cell vm-host0 $cpuid exits) - $(cell vm-host1 $cpuid exits))) 261
	is "$lab reset of a vCPU: what the host loses is that vCPU's" \
		$(($(cell vcpu-host0 $cpuid exits) - $(cell vcpu-host1 $cpuid exits))) 201
	is "$lab reset of a vCPU: the other's stays" "$(cell vcpu.1 $cpuid exits)" 60
	is "$lab reset of a VM: the other's goes" "$(cell vm.1 $cpuid exits)" 0

	for scope in vm vcpu host; do
		{ read -r before; read -r exits; read -r cycles; } < <(leaves $scope)
		[[ $scope != vcpu ]] || exits=$((exits - $(cell vcpu.1 TOTAL exits)))
		[[ $scope != vcpu ]] || cycles=$((cycles - $(cell vcpu.1 TOTAL cycles)))
		ok "$lab reset of $scope: the sum of exits begins anew" test "$exits" -lt 20
		ok "$lab reset of $scope: the sum of cycles does" test "$cycles" -lt $((before / 5))
		ok "$lab reset of $scope: the cycles in the guest do" \
			test "$(key $scope.0 guest)" -lt $(($(key $scope-before guest) / 5))
		is "$lab reset of $scope: what comes later is counted" "$(cell $scope.0 $cpuid exits)" 9
		is "$lab reset of $scope: the account agrees with itself" "$(contradictions $scope.vm)" ''
	done

	is "$lab reset of a vCPU with another number: it happens" "$(cell high.vm $cpuid exits)" 3
	{ read -r exits; read -r cycles; } < <(leaves departed)
	ok "$lab reset of the host: the sum of exits is without ended VMs" test "$exits" -lt 50
	ok "$lab reset of the host: the sum of cycles is" test "$cycles" -lt "$before"
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

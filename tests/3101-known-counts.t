#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a guest that makes known exits finds exactly these, in CPUID's leaves while it runs
# and in debugfs afterwards. Every reason number gets an answer, whatever the guest puts into
# ECX. Two vCPUs on two CPUs lose nothing. The host's totals outlive a VM, and start again
# when the modules are loaded again.
# Stress: svm:kasan svm:kcsan svm:rt svm:clang
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

NUMBERS=0-300,1024-1027,0xdead,0xffff,0x7fffffff,0xfffffffe,0xffffffff,2046-2049
ANSWERS=$((2 + 2 * 314))

judge_leaves() {
	local cpuid=10 interrupt=1
	[[ $vendor == vmx ]] || cpuid=114 interrupt=96
	reasons "$kernel" "$vendor" >"$F/reasons"

	# Finds what is wrong with the answers: first by the rules of the ABI...
	awk -v answers="$ANSWERS" '
		FNR == NR { named[$1] = 1; next }
		$1 != "leaf" { next }
		{ n++; eax = $6; ebx = $7; ecx = $8; edx = $9; what = $4 " of " $5 ": " eax " " ebx " " ecx " " edx }
		eax > 4294967295 || ebx > 4294967295 || ecx > 4294967295 || edx > 4294967295 { print what, "(more than 32 bits)" }
		$4 ~ /[cd]$/ && !($5 in named) {
			if (eax + ebx + ecx != 0 || edx != 4294967295) print what, "(not named by the kernel)"
			next
		}
		edx != 0 || eax != ($4 ~ /[df]$/ ? ebx : 0) { print what }
		END { if (n != answers) print n " answers" }
	' "$F/reasons" "$F/leaves" >"$F/wrong"
	is "$lab all leaves, 314 numbers: the rules hold" "$(head "$F/wrong")" ''

	# ... then by debugfs: a row that the guest read is there unchanged, except for later CPUID
	# exits and interrupts.
	awk -v file="$F/leaves.vm" -v cpuid="$cpuid" -v interrupt="$interrupt" -v left="$ANSWERS" "$ACCOUNT"'
		BEGIN { read_account(file) }
		$1 != "leaf" { next }
		{
			exits = $4 ~ /[df]$/
			reason = $4 ~ /[ef]$/ ? "TOTAL" : $5
			value = $7 + $8 * 4294967296
			later = cell[reason, exits ? "exits" : "cycles"] - value
			expected = reason == "TOTAL" || reason == cpuid ? left : 0
			slack = reason == "TOTAL" || reason == interrupt ? cell[interrupt, "exits"] + 0 : 0
			if (exits ? later < expected || later > expected + slack : expected ? later <= 0 : later && !slack)
				print $4 " of " $5 ": " value ", in debugfs " value + later ", " expected " exits later"
			left--
		}
	' "$F/leaves" >"$F/wrong"
	is "$lab the guest read what debugfs shows" "$(head "$F/wrong")" ''
	is "$lab when it read its CPUID exits, there were exactly so many" \
		"$(awk -v reason="$cpuid" '$1 == "leaf" && $4 ~ /d$/ && $5 == reason { print $6 }' "$F/leaves")" \
		"$((23 + ANSWERS + 23 + 2 + cpuid))"
}

judge() {
	local section vcpu cpuid=10 interrupt=1
	[[ $vendor == vmx ]] || cpuid=114 interrupt=96
	for section in known leaves two again; do
		is "$lab $section: the VM's rows are what its guest made" \
			"$(account_says "$section" "$section.vm")" "$(vmm_says "$section")"
		is "$lab $section: the account agrees with itself" "$(contradictions "$section.vm")" ''
	done
	is "$lab known: of so many reasons" "$(vmm_says known | wc -l)" "$([[ $vendor == vmx ]] && echo 6 || echo 5)"
	is "$lab the host counts it, and goes on after the VM" "$(account_says known host1 host0)" "$(vmm_says known)"
	cat "$F"/{known,leaves,two} >"$F/sum"
	is "$lab two VMs later it has all of them" "$(account_says sum host2 host0)" "$(vmm_says sum)"
	is "$lab the host's account agrees with itself" "$(contradictions host2)" ''

	for vcpu in 0 1; do
		awk -v vcpu="$vcpu" '$3 == vcpu' "$F/two" >"$F/only"
		is "$lab vCPU $vcpu of two has its own" "$(account_says only "two.$vcpu")" "$(vmm_says only)"
		like "$lab vCPU $vcpu made all of its exits" "$(vmm_says only)" " 5003"$'\n'
	done

	judge_leaves

	is "$lab a slow exit is told of its vCPU and of the CPU that it ran on" \
		"$(awk -F'\t' 'NR > 2 && $8 ~ /0x501/ { print $3, $4 } NR > 2 && $7 == "0x501" { print $3, $4 }' "$F/slow.vm_slow" | sort -u | xargs)" "0 0 1 1"

	is "$lab the leaves below and above are answered as all are that nobody has" \
		"$(awk '$1 == "leaf" { print $6, $7, $8, $9 }' "$F/beyond" | sed -n '1p;3p')" \
		"$(awk '$1 == "leaf" { print $6, $7, $8, $9 }' "$F/beyond" | sed -n '2p;4p')"
	# behind the leaf are its own exit, and interrupts
	ok "$lab the sum of cycles has exits to user space, and slow ones" test \
		"$(awk '$1 == "leaf" && $4 ~ /e$/ { printf "%.0f", $7 + $8 * 4294967296 }' "$F/sums")" -ge \
		$(($(cell sums.vm TOTAL cycles) - $(cell sums.vm "$cpuid" cycles) - $(cell sums.vm "$interrupt" cycles)))
	ok "$lab the sum of exits has them, too" test \
		"$(awk '$1 == "leaf" && $4 ~ /f$/ { print $7 }' "$F/sums" | tail -n 1)" -ge \
		$(($(cell sums.vm TOTAL exits) - $(cell sums.vm "$cpuid" exits) - $(cell sums.vm "$interrupt" exits)))
	is "$lab modules loaded again: nothing counted" "$(cell host3 TOTAL exits)" 0
	is "$lab and the guest after it is counted exactly" "$(account_says again host4)" "$(vmm_says again)"
}

in_lab <<EOF
account host0
run_vmm known cpuid=23 out-kernel=17 out-user=19 rdmsr=7 wrmsr-slow=5 vmcall=3 cr4=4
account host1
# twice, so that at the count no page is touched for the first time
run_vmm leaves --loop 2 cpuid=23 out-kernel=17 rdmsr=5 leaves=$NUMBERS
run_vmm two --vcpus 2 --pin cpuid=5003 out-kernel=2003 rdmsr=101
account host2
run_vmm slow --vcpus 2 --pin sleep-user:20=1 / sleep-user:20=1
run_vmm beyond leaf:0x4ffffffb=0 leaf:0x4ffffffa=0 leaf:0x50000000=0 leaf:0x60000000=0
run_vmm sums --loop 2 out-user=20 sleep-user:5=2 leaf:0x4ffffffe=0 leaf:0x4fffffff=0
lab-modules unload
lab-modules load
account host3
run_vmm again cpuid=23 out-kernel=17
account host4
EOF

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: millions of exits are counted without losing one, although there are more vCPUs than
# CPUs and their threads move between CPUs all the time. A guest that reads its totals, its
# VM's or the host's, never sees them decrease. The millions are made on one CPU (cpus() says
# why). Bochs and KCSAN's kernel make a twentieth of them, on two CPUs.
# Stress: vmx svm svm:kcsan svm:rt svm:clang
. "$(dirname "$0")/../lib.sh"
: "${LABS=$(available | sed 's/.*/vmx:& svm:&/') svm:$(default_kernel):kcsan}"
. "$(dirname "$0")/stress.sh"

# the exits and reads in each lab: Bochs, and a kernel that looks for races, are slow
EXITS=$(size 1000000 20000)
READS=$(size 10000000 50000)
SLOW=$(size 20 1)

in_lab <<EOF
exits=$EXITS reads=$READS slow=$SLOW
EOF
cat >>"$T/commands" <<'EOF'
[ "$LAB_MACHINE" != vmx ] && [ ! "$LAB_DEBUG" ] || exits=$((exits / slow)) reads=$((reads / slow))
section size
echo "reads $reads"
account host0
run_vmm moved --vcpus 8 --migrate cpuid=$((exits / 4)) out-kernel=$((exits / 40)) out-user=$((exits / 80)) rdmsr=$((exits / 20))
account host1
run_vmm pinned --vcpus 2 --pin cpuid=$((exits / 2)) vmcall=$((exits / 10))
run_vmm reads-vm --vcpus 2 --migrate monotonic=$((reads / 2)) / cpuid=$((reads / 20))
echo host >$P/exit_cycles_guest
run_vmm reads-host --vcpus 2 --migrate monotonic=$((reads / 2)) / cpuid=$((reads / 20))
EOF

judge() {
	local section vcpu last
	for section in moved pinned reads-vm reads-host; do
		is "$lab $section: all that was made is counted" "$(account_says "$section" "$section.vm")" "$(vmm_says "$section")"
		# the last exit of each vCPU has no entry after it
		last=$(key "$section.vm" vcpus)
		is "$lab $section: the exits are KVM's own, but for the last ones" "$(($(cell "$section.vm" TOTAL exits) + last))" "$(kvm_stat "$section" exits)"
		is "$lab $section: the account agrees with itself" "$(contradictions "$section.vm")" ''
		is "$lab $section: nothing went backwards" "$(awk '$1 == "bad" { n += $5 } END { print n }' "$F/$section")" 0
		tried "exits made and found" "$(vmm_says "$section" | awk '{ n += $2 } END { print n }')"
	done
	is "$lab moved: all is the host's as well" "$(account_says moved host1 host0)" "$(vmm_says moved)"
	for vcpu in 0 3 7; do
		awk -v vcpu="$vcpu" '$3 == vcpu' "$F/moved" >"$F/only"
		is "$lab moved: vCPU $vcpu has its own" "$(account_says only "moved.$vcpu")" "$(vmm_says only)"
	done
	tried "reads through CPUID" "$(awk '$1 == "reads" { print $2 }' "$F/size")"
}

for one in $LABS; do
	stress "$one" -c "$(cpus "$one")" -t 3000 || continue
	judge
done
done_testing

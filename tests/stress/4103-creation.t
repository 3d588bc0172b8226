#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: if the creation of a vCPU fails in the middle, at any of its allocations, it leaves
# no file, no account and no leak. The VM goes on. vCPUs that are created late, while others
# run, are counted exactly.
# Stress: vmx svm:kasan
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

VMS=$(size 10 1)

in_lab <<EOF
vms=$VMS
EOF
cat >>"$T/commands" <<'EOF'
n=0
while [ $n -lt $vms ]; do
	n=$((n + 1))
	section fail$n
	vmm --fail --vcpus 2 --after ". ./words; account fail$n.vm \$VMM_DIRS" cpuid=23 out-user=7 2>&1 || {
		status=$?
		section fail$n.status
		echo $status
	}
	account fail$n-host
	run_vmm late$n --late --vcpus 8 --spare 2 cpuid=2003 out-kernel=211
done
leaks
run_vmm end --vcpus 2 cpuid=211 out-user=23
account end-host
EOF

judge() {
	local n made how
	for ((n = 1; n <= VMS; n++)); do
		if [[ $debug != kasan && $(cat "$F/fail$n.status" 2>/dev/null) == 77 ]]; then
			((n > 1)) || skip "$lab creation that fails" "$(tail -n 1 "$F/fail$n")"
		else
			is "$lab fail$n: vmm found nothing half-made" "$(cat "$F/fail$n.status" 2>/dev/null)" ''
			for how in once slab pages; do
				made=$(awk -v how=$how '$1 == "fail" && $4 == how { print $5 }' "$F/fail$n")
				ok "$lab fail$n: creation failed, $how" test "${made:-0}" -gt 5
				tried "vCPUs whose creation failed" "${made:-0}"
			done
			made=$(awk '$1 == "fail" { n += $6 } END { print n }' "$F/fail$n")
			is "$lab fail$n: the VM has the vCPUs that were created" "$(key "fail$n.vm" vcpus)" $((made + 2))
			is "$lab fail$n: and counts for them" "$(account_says "fail$n" "fail$n.vm")" "$(vmm_says "fail$n")"
			is "$lab fail$n: the host has none when it is over" "$(key "fail$n-host" vcpus)" 0
		fi
		is "$lab late$n: all that was made is counted" "$(account_says "late$n" "late$n.vm")" "$(vmm_says "late$n")"
		is "$lab late$n: the account agrees with itself" "$(contradictions "late$n.vm")" ''
		is "$lab late$n: vCPUs" "$(key "late$n.vm" vcpus)" 10
		tried "vCPUs created late" 9
	done
	judge_leaks
	is "$lab then: exact" "$(account_says end end.vm)" "$(vmm_says end)"
	is "$lab then: no vCPU stays" "$(key end-host vcpus)" 0
}

for one in $LABS; do
	stress "$one" -c "$(cpus "$one")" || continue
	judge
done
done_testing

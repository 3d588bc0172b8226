#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: if the account is switched off while a vCPU is in its guest, and on again before it
# has left the guest, the time in between counts for no exit and not for the guest. All that
# follows is counted exactly.
# Stress: svm:kcsan
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# With one CPU, the vCPU leaves its guest when the switching thread runs. Two CPUs need a kernel
# without static keys to patch (see cpus in labs.sh); stress has one.
in_lab <<'EOF'
run_vmm off --pin cpuid=11 switch:300000=5 cpuid=7
EOF

judge() {
	local cpuid=10 off run accounted
	[[ $vendor == vmx ]] || cpuid=114

	off=$((1500 * $(key off.vm tsc_khz)))
	run=$(awk '$1 == "time" && $4 == "run" { print $5 }' "$F/off")
	accounted=$(($(key off.vm guest) + $(cell off.vm TOTAL total)))
	ok "$lab it was off for 1.5 s" test "$run" -gt "$off"
	ok "$lab that is in no time of the account's" test "$accounted" -lt $((run - off))
	is "$lab the CPUIDs before and after are counted" "$(cell off.vm $cpuid exits)" 18
	is "$lab the account agrees with itself" "$(contradictions off.vm)" ''
}

for one in $LABS; do
	boot "$one" -c "$(cpus "$one")" || continue
	judge
done
done_testing

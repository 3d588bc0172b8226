#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a vCPU whose KVM_RUN waits for its start-up, uninitialised or after INIT, counts
# this time as halted, not as user space and not as the exit's handler.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# each is an OUT; nearly all the time until its next entry is the wait
in_lab <<'EOF'
for state in uninit sipi; do
	run_vmm $state --done-mmio wait-$state:100=3 cpuid=5
done
EOF

judge() {
	local state io=30 wait
	[[ $vendor == vmx ]] || io=123

	for state in uninit sipi; do
		wait=$((300 * $(key $state.vm tsc_khz)))
		is "$lab $state: KVM_RUN waited three times" "$(awk '$1 == "user" && $4 == "intr" { print $5 }' "$F/$state")" 3
		ok "$lab $state: that was halt" test "$(cell $state.vm $io halt)" -gt $((wait * 9 / 10)) -a \
			"$(cell $state.vm $io halt)" -lt $((wait * 12 / 10))
		ok "$lab $state: next to nothing of it is user" test "$(cell $state.vm $io user)" -lt $((wait / 10))
		ok "$lab $state: nor the handler's" test "$(cell $state.vm $io cycles)" -lt $((wait / 10))
		is "$lab $state: all halt is there" "$(cell $state.vm TOTAL halt)" "$(cell $state.vm $io halt)"
		ok "$lab $state: and nothing of it in the guest" test "$(key $state.vm guest)" -lt $((wait / 10))
		# the time between the signal and the next KVM_RUN is stop
		ok "$lab $state: a stop" test "$(cell $state.vm $io stop)" -gt 0
		is "$lab $state: the keys have it as the row has, in total and not in max" \
			"$(awk -F'\t' -v io=$io '$1 == io { total += $6; if ($7 > max) max = $7 } END { printf "%.0f %.0f", total, max }' "$F/$state.vm_keys")" \
			"$(cell $state.vm $io total) $(cell $state.vm $io max)"
		is "$lab $state: the account agrees with itself" "$(contradictions $state.vm)" ''
	done
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

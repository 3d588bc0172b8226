#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: after a reset, all columns, all buckets and the largest exit have only later exits,
# also in rows that are still in use.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# Long exits before the second reset, short ones of the same reasons after it.
in_lab <<'EOF'
before="hlt:100000000=3 sleep-user:50=3"
after="hlt:100000=3 out-user=3 cpuid=7"
run_vmm with $before $after
run_vmm reset reset=1 $before reset=1 $after
EOF

judge() {
	local cpuid=10 io=30 hlt=12 column row
	[[ $vendor == vmx ]] || cpuid=114 io=123 hlt=120

	for row in "$hlt halt" "$hlt total" "$hlt max" "$io user" "$io total" "$io max" "TOTAL halt" "TOTAL user" "TOTAL total" "TOTAL max"; do
		column=${row#* } row=${row% *}
		ok "$lab row $row, $column: next to nothing is left" \
			test "$(cell reset.vm "$row" "$column")" -lt $(($(cell with.vm "$row" "$column") / 5))
	done
	is "$lab the rows go on" "$(cell reset.vm $cpuid exits) $(cell reset.vm $hlt exits)" "7 3"
	is "$lab the account agrees with itself, its buckets with its exits" "$(contradictions reset.vm)" ''
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: an exit counts whole or not at all, even if the account is switched off and on while
# its vCPU runs on another CPU: it has no part, no key and no begin of another exit. The test
# needs two CPUs: the sites of a static key change one after another.
# Stress: svm:kcsan
MACHINES="one-vmx"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
# a halt takes 10 ms: without its part halt it would be slow
echo 5000 >$P/exit_cycles_slow
taskset 2 vmm --stats --loop 0 --after ". ./words; accounts storm" \
	rdmsr=1 hlt:$((khz * 10))=1 cpuid=5 mmio=1 hlt:$((khz * 10))=1 out-user=1 >storm &
while ! grep -qs ^vm storm; do sleep 0.1; done
flips=0
while [ $flips -lt 60 ]; do
	echo N >$P/exit_cycles
	echo Y >$P/exit_cycles
	sleep 0.0$((flips % 7 + 1))
	flips=$((flips + 1))
done
kill $!
wait $! || echo "vmm failed" >&2
section storm
cat storm
EOF

# above_row: prints reasons whose keys have more of something than the row.
above_row() {
	awk -F'\t' -v file="$F/storm.vm" "$ACCOUNT"'
		BEGIN { read_account(file); FS = "\t" }
		$3 ~ /^0x/ { exits[$1] += $4; cycles[$1] += $5; total[$1] += $6 }
		END {
			for (r in exits)
				if (exits[r] > cell[r, "exits"] || cycles[r] > cell[r, "cycles"] || total[r] > cell[r, "total"])
					print r ": " exits[r] " exits, " cycles[r] " cycles, " total[r] " in keys"
		}' "$F/storm.vm_keys"
}

judge() {
	local hlt=12
	[[ $vendor == vmx ]] || hlt=120
	ok "$lab there were exits: $(cell storm.vm TOTAL exits)" test "$(cell storm.vm $hlt exits)" -gt 20
	is "$lab the account agrees with itself" "$(contradictions storm.vm)" ''
	is "$lab no key has more than its row" "$(above_row)" ''
	is "$lab no halt is time that the guest lost" "$(awk -F'\t' -v hlt=$hlt '$5 == hlt' "$F/storm.vm_slow")" ''
}

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

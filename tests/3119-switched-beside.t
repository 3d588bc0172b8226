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
# storm SECTION FLIPS STEP...: switches while a guest repeats the steps on the other CPU
storm() {
	local flips=0 most=$2 section=$1
	shift 2
	taskset 2 vmm --stats --loop 0 --after ". ./words; accounts $section" "$@" >$section &
	while ! grep -qs ^vm $section; do sleep 0.1; done
	while [ $flips -lt $most ]; do
		echo N >$P/exit_cycles
		echo Y >$P/exit_cycles
		sleep 0.0$((flips % 7 + 1))
		flips=$((flips + 1))
	done
	kill $!
	wait $! || echo "vmm failed" >&2
	section $section
	cat $section
}
# a halt takes 10 ms: without its part halt it would be slow
echo 5000 >$P/exit_cycles_slow
storm storm 60 rdmsr=1 hlt:$((khz * 10))=1 cpuid=5 mmio=1 hlt:$((khz * 10))=1 out-user=1
# L2 exits in the midst of the switching, when its exit has no row; then L1 has more keys than
# there is room for: a slot with a wild row would end the host
storm nested 20 nested=20 walk-leaf=200
EOF

# above_row SECTION: prints reasons whose keys have more of something than the row.
above_row() {
	awk -F'\t' -v file="$F/$1.vm" "$ACCOUNT"'
		BEGIN { read_account(file); FS = "\t" }
		$3 ~ /^0x/ { exits[$1] += $4; cycles[$1] += $5; total[$1] += $6 }
		END {
			for (r in exits)
				if (exits[r] > cell[r, "exits"] || cycles[r] > cell[r, "cycles"] || total[r] > cell[r, "total"])
					print r ": " exits[r] " exits, " cycles[r] " cycles, " total[r] " in keys"
		}' "$F/$1.vm_keys"
}

judge() {
	local hlt=12 cpuid=10 one
	[[ $vendor == vmx ]] || hlt=120 cpuid=114
	ok "$lab there were exits: $(cell storm.vm TOTAL exits)" test "$(cell storm.vm $hlt exits)" -gt 20
	ok "$lab nested: there were exits of L2" test "$(keys_of nested.vm $cpuid | grep -c "^0x8000000000000000 ")" -eq 1
	for one in storm nested; do
		is "$lab $one: the account agrees with itself" "$(contradictions $one.vm)" ''
		is "$lab $one: no key has more than its row" "$(above_row $one)" ''
	done
	is "$lab no halt is time that the guest lost" "$(awk -F'\t' -v hlt=$hlt '$5 == hlt' "$F/storm.vm_slow")" ''
}

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

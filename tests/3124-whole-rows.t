#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a row that a reader sees is whole, while its vCPU makes exits on another CPU:
# it has the exits, the cycles and the totals of one moment.
# An exit of a kind costs always the same here, so that one more or less is seen in few.
MACHINES=vmx
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/labs.sh"

# A shell that starts no process has some dozens of exits between a reset and its read.
in_lab <<'EOF'
vmm --pin --loop 0 cpuid=1000 >busy &
busy=$!
until grep -qs "^vm" busy; do sleep 0.1; done
dir=$K/$(awk '$1 == "vm" { print $4 }' busy)/vcpu0
section rows
n=0
while [ $n -lt 500 ]; do
	n=$((n + 1))
	echo 0 >$dir/exit_cycles_reset
	i=$((n % 2))
	while [ $i -gt 0 ]; do i=$((i - 1)); done
	while read -r reason name exits cycles total halt user max rest; do
		[ "$reason" = 10 ] || continue
		echo "$exits $cycles $total $max"
		break
	done <$dir/exit_cycles
done
kill $busy
wait $busy
EOF

judge() {
	local rows torn
	# Of few exits, without one that was interrupted, by the largest of each.
	awk 'NR == FNR { if (NR == 1 || $4 < usual) usual = $4; next } $1 < 50 && $4 <= usual * 1.05' \
		"$F/rows" "$F/rows" >"$F/alike"
	# None costs more than the costliest, and all together not a whole one less.
	awk 'NR == FNR { if ($3 <= $1 * $4 && $2 / $1 > most) most = $2 / $1; next }
		$2 > $1 * most || $2 <= ($1 - 1) * most || $3 > $1 * $4 || $3 <= ($1 - 1) * $4' \
		"$F/alike" "$F/alike" >"$F/torn"
	rows=$(wc -l <"$F/alike") torn=$(wc -l <"$F/torn")
	ok "$lab $rows rows of such exits were read" test "$rows" -ge 300
	is "$lab rows torn" "$torn" 0
	((!torn)) || note "exits, cycles, total, max:"$'\n'"$(head -n 5 "$F/torn")"
}

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

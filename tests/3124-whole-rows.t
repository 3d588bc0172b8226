#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a reader sees whole rows while the vCPU makes exits on another CPU: the exits, the
# cycles, the totals and the maximum are of the same moment. Rows with one or two exits show
# that, whatever an exit costs: the total of one exit is the maximum, and that of two is more
# than the maximum, but not more than twice as much. Only in Bochs do two CPUs take turns often
# enough for this; it is slow and runs only one kernel. The code that reads is the same on all.
. "$(dirname "$0")/lib.sh"
MACHINES="one-vmx"
. "$(dirname "$0")/lab/labs.sh"

# Between a reset and its read (by a shell that starts no process), the guest makes a few
# exits, most often one or two.
in_lab <<'EOF'
vmm --pin --loop 0 spin=500 cpuid=1 >busy &
busy=$!
until grep -qs "^vm" busy; do sleep 0.1; done
dir=$K/$(awk '$1 == "vm" { print $4 }' busy)/vcpu0
section rows
n=0 later=
while [ $n -lt 800 ]; do
	n=$((n + 1))
	# a little longer each time, so that the reads meet all moments of an exit
	later=$later.
	[ ${#later} -lt 200 ] || later=
	echo 0 >$dir/exit_cycles_reset
	: "$later"
	while read -r reason name exits cycles total halt user max rest; do
		[ "$reason" = 10 ] || continue
		echo "$exits $cycles $total $max"
		break
	done <$dir/exit_cycles
done
kill $busy
wait $busy
EOF

# shellcheck disable=SC2016 # awk's fields
TORN='
	$1 > 2 { next }
	{ whole = 0 < $2 && $2 < $3 && ($1 == 1 ? $3 == $4 : $4 < $3 && $3 <= 2 * $4) }
	{ print whole ? "whole" : "torn", $0 }'

judge() {
	local rows torn
	awk "$TORN" "$F/rows" >"$F/judged"
	rows=$(wc -l <"$F/judged") torn=$(grep -c ^torn "$F/judged" || :)
	ok "$lab $rows rows with one or two exits were read" test "$rows" -ge 400
	is "$lab rows torn" "$torn" 0
	((!torn)) || note "exits, cycles, total, max:"$'\n'"$(grep ^torn "$F/judged" | head -n 5)"
}

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a reader sees whole rows while the vCPU makes exits on another CPU: the exits, the
# cycles and the totals are of the same moment. All exits here cost nearly the same, so that
# one exit too many or too few is visible in a row with few exits.
MACHINES=vmx
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# Between a reset and its read (by a shell that starts no process), the guest makes three to
# nine exits.
in_lab <<'EOF'
vmm --pin --loop 0 spin=20 cpuid=1 >busy &
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

# Compares each row with the median of the rows with as many exits, except rows that have
# an interrupted exit. A row is torn if it differs by most of an exit. Whole rows differ by up
# to 0.7 exits with gcc 14, by less with gcc 12. A torn row differs by one exit, and if rows
# tear, many do.
# shellcheck disable=SC2016 # awk's fields
TORN='
	function middle(list,   a, n, i, j, t) {
		n = split(list, a, " ")
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && a[j] + 0 < a[j - 1] + 0; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
		return a[int((n + 1) / 2)]
	}
	function off(value, usual, one) { return value < usual - one * 0.8 || value > usual + one * 0.8 }
	NR == FNR {
		all = all " " $4; one_cycles = one_cycles " " $2 / $1; one_total = one_total " " $3 / $1
		like_it[$1]++
		cycles[$1] = cycles[$1] " " $2; total[$1] = total[$1] " " $3
		next
	}
	FNR == 1 {
		usual = middle(all); one_cycles = middle(one_cycles); one_total = middle(one_total)
		for (n in cycles) { cycles[n] = middle(cycles[n]); total[n] = middle(total[n]) }
	}
	$4 < 1.5 * usual && like_it[$1] >= 10 { print off($2, cycles[$1], one_cycles) || off($3, total[$1], one_total) ? "torn" : "whole", $0 }'

judge() {
	local rows torn
	awk "$TORN" "$F/rows" "$F/rows" >"$F/judged"
	rows=$(wc -l <"$F/judged") torn=$(grep -c ^torn "$F/judged" || :)
	ok "$lab $rows rows of such exits were read" test "$rows" -ge 500
	is "$lab rows torn" "$torn" 0
	((!torn)) || note "exits, cycles, total, max:"$'\n'"$(grep ^torn "$F/judged" | head -n 5)"
}

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a row that a reader sees is whole, while its vCPU makes exits on another CPU:
# it has the exits, the cycles and the totals of one moment.
# An exit of a kind costs much the same here, so that one more or less is seen in few.
MACHINES=vmx
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/labs.sh"

[[ $(dpkg-query -W -f '${Version}' bochs) == 2.* ]] || skip_all "an exit costs too unlike from row to row but in Bochs 2"

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

# Of few exits, none of them interrupted: those that are three quarters of an exit or more
# off the middle of all that have as many.
# shellcheck disable=SC2016 # awk's fields
TORN='
	function middle(list,   a, n, i, j, t) {
		n = split(list, a, " ")
		for (i = 2; i <= n; i++)
			for (j = i; j > 1 && a[j] + 0 < a[j - 1] + 0; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
		return a[int((n + 1) / 2)]
	}
	{ line[NR] = $0; exits[NR] = $1; cycles[NR] = $2; total[NR] = $3; most[NR] = $4; all = all " " $4 }
	END {
		usual = middle(all)
		for (i = 1; i <= NR; i++)
			if (exits[i] < 50 && most[i] < 1.5 * usual) {
				alike[exits[i]]++
				c[exits[i]] = c[exits[i]] " " cycles[i]
				t[exits[i]] = t[exits[i]] " " total[i]
			}
		for (n in alike) { c[n] = middle(c[n]); t[n] = middle(t[n]) }
		for (i = 1; i <= NR; i++) {
			n = exits[i]
			if (n >= 50 || most[i] >= 1.5 * usual || alike[n] < 5)
				continue
			print off(cycles[i], c[n], n) || off(total[i], t[n], n) ? "torn" : "whole", line[i]
		}
	}
	function off(value, usual, n) { return value < usual - 0.75 * usual / n || value > usual + 0.75 * usual / n }'

judge() {
	local rows torn
	awk "$TORN" "$F/rows" >"$F/judged"
	rows=$(wc -l <"$F/judged") torn=$(grep -c ^torn "$F/judged" || :)
	ok "$lab $rows rows of such exits were read" test "$rows" -ge 300
	is "$lab rows torn" "$torn" 0
	((!torn)) || note "exits, cycles, total, max:"$'\n'"$(grep ^torn "$F/judged" | head -n 5)"
}

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump hist draws the file's buckets within 80 columns.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

command -v jq >/dev/null || skip_all "jq is not installed"

lines '#~exit_cycles~1 vendor=svm tsc_khz=1000000' 'reason name exits' \
	'78 PF~excp 23' '120 hlt 3' '- TOTAL 26' >"$T/x"
lines '#~exit_cycles~1 vendor=svm' "reason name $(echo {0..31})" \
	"78 PF~excp 1 0 19 3 $(printf '0 %.0s' {1..28})" \
	"120 hlt $(printf '0 %.0s' {1..31})3" \
	"- TOTAL 1 0 19 3 $(printf '0 %.0s' {1..27})3" | sed 's/\t$//' >"$T/x_hist"

exitdump -i "$T/x" -u cycles hist 'PF excp'
is 'a reason: its buckets from the first to the last that is not empty' "$out" \
'PF excp: 23 exits, by time from exit to entry
      cycles    to                exits
           0 -> 0                     1 |**                                    |
           1 -> 1                     0 |                                      |
           2 -> 3                    19 |**************************************|
           4 -> 7                     3 |******                                |'
exitdump -i "$T/x" hist
like 'all together, in times where the frequency is known' "$out" '^TOTAL: 26 exits.*1.07s -> more +3 '
ok 'within 80 columns' awk 'length > 80 { bad = 1 } END { exit bad }' "$T/.out"
exitdump -i "$T/x" hist -u auto 120
like 'with a unit' "$out" ' 1\.07s -> more'
exitdump -i "$T/x" hist -u us 120
like 'a unit that numbers do not carry stands above' "$out" $'\n +us +to +exits\n +1073741\.824 -> more '
exitdump -i "$T/x" hist Total
like 'TOTAL, in any spelling: all together' "$out" '^TOTAL: 26 exits'
exitdump -i "$T/x" hist --hist
like 'hist --hist: as well' "$status:$out" '^0:TOTAL: 26 exits'
exitdump -i "$T/x" hist '*'
is 'a pattern: one for each, the costly first' "$(grep -c ": [0-9]* exits" "$T/.out")" 2
is 'and an empty line between two' "$(grep -c '^$' "$T/.out"):$(sed '1d; $d' "$T/.out" | grep -c '^$')" 1:1
exitdump -i "$T/x" hist nothing
is 'a reason that has not happened' "$status:$out:$err" \
	'1::exitdump: nothing: no such exit so far (exitdump -o name lists all)'
exitdump -i "$T/x" hist 78 --json
is '--json' "$(jq -c '.rows[0].hist[0:4]' "$T/.out")" '[1,0,19,3]'
sed $'s/\t23$/\t24/; s/\t26$/\t27/' "$T/x" >"$T/later"
cp "$T/x_hist" "$T/later_hist"
exitdump -i "$T/later" -r 78 --openmetrics --buckets
is 'an exit between the two files: the count is that of the buckets' \
	"$(sed -n 's/.*_\(exits_total\|latency_cycles_count\){.*} /\1 /p' "$T/.out" | xargs)" 'exits_total 24 latency_cycles_count 23'
exitdump -i "$T/x_hist"
is 'a histogram is no table' "$status:$err" \
	"1:exitdump: $T/x_hist: has only a histogram (its table is the file without _hist)"
# A file with both needs no other, nor does standard input, which has none beside it.
lines '#~exit_cycles~1 vendor=svm' "reason name exits $(echo {0..31})" "78 PF~excp 3 0 3$(printf ' 0%.0s' {1..30})" \
	"- TOTAL 3 0 3$(printf ' 0%.0s' {1..30})" >"$T/both"
echo no account | tee "$T/both_hist" >"$T/-_hist"
cd "$T"
exitdump -i both -o p50 -n 1
is 'a table with buckets of its own: no other file is read' "$status:$(tail -n 1 <<<"$out"):$err" '0:<=1:'
exitdump -i - -o exits,p50 -n 1 <x
is 'standard input: a file "-_hist" is none of it' "$status:$(tail -n 1 <<<"$out" | xargs):$err" '0:26 -:'
cd "$TOP"
cp "$T/x_hist" "$T/whole_hist"
sed -i '/^78/d; s/^-.*/-\tTOTAL\t0\t0\t0\t0'"$(printf '\\t0%.0s' {1..27})"'\t3/' "$T/x_hist"
exitdump -i "$T/x" hist 78
is 'a reason that the histogram lacks' "$out" 'PF excp: no histogram'
many="1500000000000000000 0 500000000000000000 1000000000000000000$(printf ' 0%.0s' {1..29})"
lines '#~exit_cycles~1' "reason name exits $(echo {0..31})" "1 A $many" "- TOTAL $many" >"$T/many"
exitdump -i "$T/many" hist
is 'bars of more exits than there ever were' "$(grep -o '[|].*' "$T/.out" | tr -d '| ' | awk '{ print length }' | xargs)" '19 38'
sed $'s/\t31$/\t31\t32/; 3,$s/$/\t0/' "$T/whole_hist" >"$T/x_hist"
exitdump -i "$T/x" hist
like 'a longer histogram, of a later version' "$status:$out:$err" '^1::.*more than 32 buckets'
cp "$T/whole_hist" "$T/x_hist"
sed -i 's/\t31$//; s/\t[0-9]*$//' "$T/x_hist"
exitdump -i "$T/x" hist
like 'a histogram that lacks a bucket' "$status:$out:$err" '^1::.*fewer than 32 buckets'
rm "$T/x_hist"
exitdump -i "$T/x" hist
is 'no histogram' "$status:$err" \
	'1:exitdump: no histogram (it is in exit_cycles_hist, beside exit_cycles)'
exitdump -i "$T/x"
is 'no histogram: the table is there all the same' "$status" 0

# The histogram of a span of time.
tree "$T/tree1" 1 1
tree "$T/tree3" 1 1 -v step=3
show tree1
bars=$'REASON_9: 20 exits, by time from exit to entry\n +from    to                exits\n      1.02us -> 2.05us               20 \\|\\*+\\|'
exitdump run -S "$T/root" --hist -r 9 -- ln -sfn tree3 "$T/root"
like 'run --hist' "$status:$out" "^0:.*, 1 VM, 1 vCPU, vmx; by lost.$bars\$"
exitdump diff --hist -r 9 "$T/tree1" "$T/tree3"
like 'diff --hist' "$status:$out" "^0:$bars\$"
for n in 3 5; do
	lines '#~exit_cycles~1 vendor=svm' 'reason name exits' "120 hlt $n" "- TOTAL $n" >"$T/last$n"
	lines '#~exit_cycles~1 vendor=svm' "reason name $(echo {0..31})" "120 hlt$(printf ' 0%.0s' {1..31}) $n" \
		"- TOTAL$(printf ' 0%.0s' {1..31}) $n" >"$T/last${n}_hist"
done
exitdump diff --hist "$T/last3" "$T/last5"
like 'diff --hist: of the last bucket as well' "$status:$out" '^0:TOTAL: 2 exits.* -> more +2 '
exitdump -S "$T/root" hist 9 0.01 2
is 'hist with an interval and a count: each below its head' \
	"$status:$(grep -c 'by lost$' "$T/.out"):$(grep -c "no such exit in this span" "$T/.out")" 0:2:2
exitdump -S "$T/root" hist TOTAL 0.01 1 -u ns
like 'hist TOTAL with an interval: there is one, in no order' "$out" $' vmx; in ns\nTOTAL: 0 exits, [^\n]*$'
exitdump -S "$T/root" hist 9 0.01 1 --json
is 'and as JSON' "$(jq -c '[.interval > 0, .totals[0].exits]' "$T/.out")" '[true,0]'
exitdump -i "$T/early" hist 9 0.01 1
is 'no file: refused' "$status:$out" 1:
for args in '--hist -a' '--hist -o exits' '--hist --csv' 'list --hist' 'hist 9 x' 'hist --csv' 'hist 9 --raw' 'hist 9 -r 8'; do
	# shellcheck disable=SC2086 # words
	exitdump -S "$T/root" $args
	is "$args: refused" "$status:$out" 1:
done
none='exitdump: no histogram (it is in exit_cycles_hist, beside exit_cycles)'
exitdump diff --hist "$T/x" "$T/x"
is 'diff --hist: without one, said' "$status:$out:$err" "1::$none"
cp "$T/last3" "$T/alone"
exitdump diff --hist "$T/alone" "$T/last5"
is 'diff --hist: if one of the two has none, as well' "$status:$out:$err" "1::$none"
tree "$T/bare" 1 1
find "$T/bare" -name '*_hist' -delete
exitdump run -S "$T/bare" --hist -- echo ran
is 'run --hist: without one, said before the command runs' "$status:$out:$err" "1::$none"
exitdump -S "$T/bare" --hist 0.01 1
is '--hist with an interval: as well' "$status:$out:$err" "1::$none"

# A histogram of a part of what was asked for would be a wrong one.
tree "$T/two" 2 1
rm "$T/two/sys/kernel/debug/kvm/1001-11/exit_cycles_hist"
exitdump -S "$T/two" --vm 'vm*' hist
is 'several VMs, of which one has no histogram' "$status:$out:$err" \
	'1::exitdump: no histogram (it is in exit_cycles_hist, beside exit_cycles)'
exitdump -S "$T/two" --vm 'vm*' --raw -o name,exits,p50 -r 9
is 'the percentile of all is not that of a part' "$out" "$(lines 'REASON_9 20 -')"
exitdump -S "$T/two" -a -o vm,exits,p50
is 'of a line for each, only that of the sum is not known' "$(awk '{ print $NF }' "$T/.out" | tail -n 3 | xargs)" '<=1.95us - -'
kvm=$T/two/sys/kernel/debug/kvm
mv "$kvm/1000-11/exit_cycles_hist" "$kvm/1001-11/"
exitdump -S "$T/two" --vm 'vm*' --json
is 'in JSON, also if the first one has none' "$(jq -c '[.rows[0].hist, .rows[0].p99, .totals[0].hist]' "$T/.out")" '[null,null,null]'
exitdump -S "$T/two" --vm 'vm*' --openmetrics --buckets
is 'nor has --openmetrics its buckets' "$status:$(grep -c '_bucket{' "$T/.out")" 0:0
# A VM ends between the readings of its table and of its histogram.
gcc -shared -fPIC -o "$T/ends.so" "$TOP/tests/fixtures/vm-ends.c"
tree "$T/ends" 2 1
run env LD_PRELOAD="$T/ends.so" ENDS="$T/ends/sys/kernel/debug/kvm/1000-11/exit_cycles_hist" GONE="$T/gone" \
	"$EXITDUMP" -S "$T/ends" --vm 'vm*' --raw -o exits,p50 -r 9
is 'a VM that ended amid its reading is left out, and the others have their histogram' "$status:$out:$err" "0:$(lines '10 3900'):"
run env LD_PRELOAD="$T/ends.so" ENDS="$T/ends/sys/kernel/debug/kvm/1001-11/exit_cycles_hist" GONE="$T/gone2" \
	"$EXITDUMP" -S "$T/ends" --vm vm1 --raw -o exits,p50
is 'if it is the only one that was asked for: as one that is not there' "$status:$out:$err" '1::exitdump: no VM vm1 (exitdump list shows all VMs)'

# Nor is there any in bars: those of a span of time are refused like those of all counts so far.
no="1::exitdump: no histogram (it is in exit_cycles_hist, beside exit_cycles)"
for vm in 1000 1001; do
	cp -r "$T/two" "$T/one-$vm"
	cp "$kvm/1001-11/exit_cycles_hist" "$T/one-$vm/sys/kernel/debug/kvm/$vm-11/"
	[[ $vm == 1001 ]] || rm "$T/one-$vm/sys/kernel/debug/kvm/1001-11/exit_cycles_hist"
	for args in "hist 9 0.01 1 -S $T/one-$vm" "run --hist -S $T/one-$vm" "diff --hist $T/one-$vm $T/one-$vm"; do
		# shellcheck disable=SC2086 # words
		if [[ $args == run* ]]; then
			exitdump $args --vm 'vm*' -- touch "$T/ran"
		else
			exitdump $args --vm 'vm*'
		fi
		is "${args%% *}, of two VMs only $vm has a histogram: refused" "$status:$out:$err" "$no"
	done
done
ok 'and the command of run is not run' test ! -e "$T/ran"

# If one of two has no max, the larger one of the other is not that of both.
tree "$T/max" 2 1
kvm=$T/max/sys/kernel/debug/kvm
cut -f 1-7,9- "$kvm/1001-11/exit_cycles" | sed "1s/.*/$(head -n 1 "$kvm/1001-11/exit_cycles")/" >"$T/no-max"
mv "$T/no-max" "$kvm/1001-11/exit_cycles"
exitdump -S "$T/max" --vm 'vm*' --raw -o max,p99 -r 9
is 'several VMs, of which one has no max: a percentile ends with its bucket' "$status:$out:$err" "0:$(lines '- 4095'):"
exitdump -S "$T/max" -a --raw -o max,p99
is 'of a line for each, only where there is none' "$out" "$(lines '3900 3900' '- 4095')"
sed -i $'s/\t3900\t/\t4095\t/' "$kvm/1000-11/exit_cycles"
exitdump -S "$T/max" --vm 'vm*' --raw -o p99 -r 9 -u ns --tsc-khz 2200000
is 'several VMs: that end is rounded up, even if one of them has such a max' "$out" 1862

done_testing

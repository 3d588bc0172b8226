#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the bench measures each exit under each way to watch it, and the
# account keeps to what it promises there: right counts, no loss, a fiftieth of
# what perf kvm stat record adds to a CPUID exit. The lab is exact, so these are
# instruction counts, not timings.
. "$(dirname "$0")/lib.sh"


# value LAB WAY ITEM METRIC
value() {
	awk -F, -v OFS=, -v want="$1,$2,$3,$4" '$2 OFS $3 OFS $4 OFS $5 == want { print $6 }' "$T/csv"
}

status=0
"$TOP/scripts/bench.sh" --csv exits reads model "svm:$(default_kernel)" >"$T/csv" 2>"$T/stderr" || status=$?
is "the bench ends well" "$status" 0
note "$(tail -n 5 "$T/stderr")"

lab="svm $(default_kernel)" missing=''
for way in stock off on hist events bpf perf; do
	for item in cpuid out-kernel out-user wrmsr-fast hlt ept; do
		[[ $(value "$lab" $way $item smallest) -gt 100 && $(value "$lab" $way $item mean) -gt 100 ]] ||
			missing+=" $way/$item"
	done
done
is "a figure for each way and exit" "$missing" ''
for way in on hist events bpf perf; do
	ok "$way: tens of thousands of known exits to find" test "0$(value "$lab" $way - known)" -gt 20000
done
is "the account: none wrong, none lost" "$(value "$lab" on - wrong) $(value "$lab" on - lost)" "0 0"
ok "an unread trace loses events, and says so" test "0$(value "$lab" events - lost)" -gt 0

stock=$(value "$lab" stock cpuid smallest)
on=$(($(value "$lab" on cpuid smallest) - stock))
off=$(($(value "$lab" off cpuid smallest) - stock))
perf=$(($(value "$lab" perf cpuid smallest) - stock))
note "a CPUID exit: off adds $off, on adds $on, perf kvm stat record adds $perf"
ok "on adds at most 55" test "$on" -gt 0 -a "$on" -le 55
ok "off adds at most 8" test "$stock" -gt 0 -a "$off" -le 8
ok "at most a fiftieth of perf kvm stat record" test "$perf" -gt 0 -a "$((on * 50))" -le "$perf"
plain=$(value "$lab" on 1 plain)
plain=${plain:-0}
for leaf in total row; do
	ok "a leaf adds at most 60 to a plain CPUID exit: $leaf" test "$plain" -gt 0 -a "$(($(value "$lab" on 1 $leaf) - plain))" -le 60
done

is "three RDTSCs beside KVM's own, in the series' own header" "$(value host account slow-path rdtsc)" 4

status=0
"$TOP/scripts/bench.sh" nonsense >"$T/out" 2>"$T/stderr" || status=$?
is "what it does not know: one line" "$status $(wc -l <"$T/stderr") $(wc -c <"$T/out")" "1 1 0"
done_testing

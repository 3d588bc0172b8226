#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the bench measures each exit under each way to watch it. There the account keeps its
# promise: right counts, no loss, and a fiftieth of what perf kvm stat record adds to a CPUID
# exit. With keys it adds less to an access to an MSR or a port than any other way that tells
# the key, even those that only count. The lab is exact, so these are instruction counts, not
# timings.
. "$(dirname "$0")/lib.sh"


# value LAB WAY ITEM METRIC: prints a number; with PART=any, that of Debian's own kernel
value() {
	awk -F, -v OFS=, -v any="${PART:-}" -v want="$1,$2,$3,$4" \
		'($1 == "any") == (any != "") && $2 OFS $3 OFS $4 OFS $5 == want { print $6 }' "$T/csv"
}

status=0
"$TOP/scripts/bench.sh" --csv exits any reads model "svm:$(default_kernel)" >"$T/csv" 2>"$T/stderr" || status=$?
is "the bench ends well" "$status" 0
note "$(tail -n 5 "$T/stderr")"

lab="svm $(default_kernel)" missing=''
for way in stock off on keys hist events bpf perf keyhist keybpf; do
	for item in cpuid out-kernel out-user rdmsr wrmsr-slow wrmsr-fast hlt ept; do
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
hist=$(($(value "$lab" hist cpuid smallest) - stock))
note "a CPUID exit: off adds $off, on adds $on, the hist trigger $hist, perf kvm stat record $perf"
more=$(gcc_adds)
ok "on adds at most $((44 + more)), of which 4 are for keys" test "$on" -gt 0 -a "$on" -le $((44 + more))
ok "off adds at most $((4 + more))" test "$stock" -gt 0 -a "$off" -le $((4 + more))
ok "at most a fiftieth of perf kvm stat record" test "$perf" -gt 0 -a "$((on * 50))" -le "$perf"
ok "less than a fifteenth of ftrace's hist trigger, which only counts" test "$hist" -gt $((on * 15))

# The accesses to MSR 0x8b, 2000 reads and 2000 writes, as each way counted them.
for way in keys keyhist keybpf perf; do
	is "$way: by key, all of an MSR's exits" "$(value "$lab" $way 0x8b counted)" 4000
done
for item in rdmsr wrmsr-slow wrmsr-fast out-kernel; do
	stock=$(value "$lab" stock $item smallest)
	keys=$(($(value "$lab" keys $item smallest) - stock))
	for way in keyhist keybpf perf; do
		other=$(($(value "$lab" $way $item smallest) - stock))
		ok "$item: with keys $keys, by $way $other" test "$keys" -gt 0 -a "$keys" -lt "$other"
	done
done
absent=$(value "$lab" on 1 absent)
absent=${absent:-0}
for leaf in total row; do
	ok "a leaf adds at most 60 to the CPUID exit of a leaf that is not there: $leaf" test "$absent" -gt 0 -a "$(($(value "$lab" on 1 $leaf) - absent))" -le 60
done

# Without the patches: a kernel that Debian no longer has cannot be compared.
if grep -q '^any,' "$T/csv"; then
	for item in cpuid out-kernel rdmsr wrmsr-slow ept hlt; do
		bpf=$(PART=any value "$lab" bpf $item smallest)
		ok "$item: exitdump --bpf adds less than kvmexits.bt does" \
			test "$(PART=any value "$lab" exitdump $item smallest)" -lt "$bpf" -a "$bpf" -gt "$(PART=any value "$lab" stock $item smallest)"
	done
else
	skip "exitdump --bpf beside kvmexits.bt" "$(grep -o 'any: left out.*' "$T/stderr")"
fi

alone=$(value "$lab" on 10 beside) crowd=$(value "$lab" on 1000 beside)
alone=${alone:-0} crowd=${crowd:-0}
ok "a file of a VM of 4 vCPUs: $alone with 10 VMs around, $crowd with 1,000, within 2 %" \
	test "$alone" -gt 0 -a $((crowd * 100)) -le $((alone * 102)) -a $((crowd * 100)) -ge $((alone * 98))

is "three RDTSCs beside KVM's own, in the series' own header" "$(value host account slow-path rdtsc)" 4

status=0
"$TOP/scripts/bench.sh" nonsense >"$T/out" 2>"$T/stderr" || status=$?
is "what it does not know: one line" "$status $(wc -l <"$T/stderr") $(wc -c <"$T/out")" "1 1 0"
done_testing

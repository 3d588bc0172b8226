#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: each column shows what its help says, in the unit, order and selection that the
# user asked for, and the default table fits into 80 columns.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

# At 2 GHz, two cycles are a nanosecond.
lines '#~exit_cycles~1 vendor=vmx tsc_khz=2000000 tsc=stable scope=vm vms=1 vcpus=2 guest=6000' \
	'reason name exits cycles total halt user max stop' \
	'10 CPUID 100 1000 3000 0 0 900 0' \
	'12 HLT 2 40 90000 89000 0 60000 0' \
	'30 IO_INSTRUCTION 7 700 21000 0 14000 9000 0' \
	'- TOTAL 109 1740 114000 89000 14000 60000 0' >"$T/vm"
hist() { # REASON NAME BUCKET COUNT [BUCKET COUNT]...
	local -a b=()
	local i row="$1 $2"
	shift 2
	while (($#)); do
		b[$1]=$2
		shift 2
	done
	for ((i = 0; i < 32; i++)); do
		row+=" ${b[i]:-0}"
	done
	echo "$row"
}
lines '#~exit_cycles~1 vendor=vmx' "reason name $(echo {0..31})" \
	"$(hist 10 CPUID 5 90 6 9 10 1)" "$(hist 12 HLT 15 1 16 1)" \
	"$(hist 30 IO_INSTRUCTION 11 5 14 2)" \
	"$(hist - TOTAL 5 90 6 9 10 1 11 5 14 2 15 1 16 1)" >"$T/vm_hist"

exitdump -i "$T/vm"
is 'the usual table: by what is lost, total without halt and stop' "$out" \
'overhead 80.6%: 1 VM, 2 vCPUs, vmx; by lost
NAME           EXITS   LOST SHARE    KVM    AVG   USER   HALT
IO_INSTRUCTION     7 10.5us 84.0%  350ns 50.0ns 7.00us      0
CPUID            100 1.50us 12.0%  500ns 5.00ns      0      0
HLT                2  500ns  4.0% 20.0ns 10.0ns      0 44.5us
TOTAL            109 12.5us  100%  870ns 7.98ns 7.00us 44.5us'

raw() { exitdump -i "$T/vm" --raw "$@"; }
raw -o reason,name,exits,rate -s reason
is 'reasons by number; no rate without an interval' "$out" \
	"$(lines '30 IO_INSTRUCTION 7 -' '12 HLT 2 -' '10 CPUID 100 -')"
raw -o name -s name
is 'names by the alphabet' "$out" $'CPUID\nHLT\nIO_INSTRUCTION'
raw -o name,avg -s avg
is 'by an average, the largest first' "$out" "$(lines 'IO_INSTRUCTION 100.00' 'HLT 20.00' 'CPUID 10.00')"
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits cycles total halt user max poll sched hsched stop slow' \
	'10 CPUID 9 1000 10000 200 3000 5000 100 2000 400 1500 1' \
	'- TOTAL 9 1000 10000 200 3000 5000 100 2000 400 1500 1' >"$T/parts"
exitdump -i "$T/parts" --raw -u ns --tsc-khz 500000 -o lost,other,sched,hsched,stop,poll,slow
is 'lost is without halt and stop; other what no part has, hsched being in two; slow is no time' "$out" \
	"$(lines '16600 5400 4000 800 3000 200 1')"
# without COLUMN WANT: of a file that lacks a column, lost and what follows from it are known or -.
without() {
	awk -F '\t' -v OFS='\t' -v col="$1" 'NR == 2 { for (i = 1; i <= NF; i++) if ($i == col) at = i }
		NR > 1 { for (i = at; i < NF; i++) $i = $(i + 1); NF-- } { print }' "$T/parts" | sed '1s/$/\tguest=8300/' >"$T/lacks"
	exitdump -i "$T/lacks" --raw -r 10 -o lost,other,glost,share
	is "a file without $1: nothing that includes its time" "$status:$out:$err" "0:$(lines "$2"):"
}
without poll '8300 2700 1.000000 1.000000'
for col in cycles user sched hsched; do
	without $col '8300 - 1.000000 1.000000'
done
for col in total halt stop; do
	without $col '- - - 1.000000'
done
tree "$T/two" 2 1
cut -f 1-11 "$T/two/sys/kernel/debug/kvm/1001-11/exit_cycles" >"$T/11"
cp "$T/11" "$T/two/sys/kernel/debug/kvm/1001-11/exit_cycles"
exitdump -S "$T/two" -a --raw -o vm,lost,share,cycles
is 'nor is a share of a lost time that is known of some VMs only' "$status:$out:$err" \
	"0:$(lines '1000-11 187000 - 55000' '1001-11 - 0.500000 55000'):"
# heads SED-EXPRESSION: the headings of both VMs changed by it, in a table and in --csv.
heads() {
	sed -i "$1" "$T/two/sys/kernel/debug/kvm"/*/exit_cycles
	exitdump -S "$T/two" -a
	sed -n 2p "$T/.out" | xargs
	exitdump -S "$T/two" -a --csv -n 1
	head -n 1 "$T/.out"
}
rm -r "$T/two"
tree "$T/two" 2 1
is 'without guest=: no column of it' "$(heads $'1s/\tguest=[0-9]*//')" \
'VM VMNAME EXITS LOST SHARE KVM USER SCHED HALT
vm,vmname,exits,cycles,total,halt,poll,user,sched,hsched,stop,slow,max,lost,share'
rm -r "$T/two"
tree "$T/two" 2 1
is 'without halt: no column of it, nor of what was lost' "$(heads 2s/halt/x/)" \
'VM VMNAME EXITS SHARE KVM USER SCHED
vm,vmname,exits,cycles,total,poll,user,sched,hsched,stop,slow,max,share,guest'
rm -r "$T/two"
tree "$T/two" 2 1
sed -i $'1s/\tguest=[0-9]*//' "$T/two/sys/kernel/debug/kvm/1000-11/exit_cycles"
exitdump -S "$T/two" -a -o vm,lost,overhead
is 'of two VMs of which the first lacks guest=, the sum is not known' "$(sed 1d "$T/.out" | xargs)" \
	'VM LOST OVERHEAD 1000-11 93.5us - 1001-11 93.5us 33.3% TOTAL 187us -'
sed -i 2s/halt/x/ "$T/two/sys/kernel/debug/kvm/1000-11/exit_cycles"
exitdump -S "$T/two" -a
is 'a column that only the second VM can fill: is there' "$(sed -n 2p "$T/.out" | xargs)" 'VM VMNAME EXITS LOST OVERHEAD SHARE KVM USER SCHED HALT'
exitdump -i "$T/lacks"
like 'and the table is sorted by what is known' "$status:$out" '^0:vmx; by KVM'
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits total max' \
	'1 A 1 10 5' '2 B 1 10 0' '3 C 1 10 7' '- TOTAL 3 30 7' >"$T/unknown"
for order in max -max; do
	exitdump -i "$T/unknown" --raw -o name -s $order
	is "what is not known stays last: by $order" "${out//$'\n'/ }" "$([[ $order == max ]] && echo C A B || echo A C B)"
done
exitdump -i "$T/unknown" --raw -o name
is 'of a tie first the lower number' "$(xargs <"$T/.out")" 'A B C'
# Parts that are an exit ahead of their total, a guest that has not yet run, a tie.
lines '#~exit_cycles~1 vendor=vmx tsc_khz=1000 guest=0' 'reason name exits cycles total halt user sched hsched stop' \
	'1 A 3 5 10 12 9 0 0 0' '2 B 5 0 0 0 0 0 0 0' '3 C 9 0 0 0 0 0 0 0' '- TOTAL 17 5 10 12 9 0 0 0' >"$T/ahead"
exitdump -i "$T/ahead" -o name,lost,other,gexits,glost,overhead -u cycles
is 'nothing below 0, nor of a guest that has not run; of a tie first what has more exits' "$out" \
'vmx; by lost, in cycles
NAME  LOST OTHER GEXITS GLOST OVERHEAD
C        0     0      -     -        -
B        0     0      -     -        -
A        0     0      -     -        -
TOTAL    0     0      -     -        -'
sed $'1s/\ttsc_khz=[0-9]*//' "$T/vm" >"$T/no-khz"
exitdump -i "$T/no-khz" --raw -r CPUID -o gexits,glost
is 'without a frequency there are no seconds' "$out" "$(lines '- 0.500000')"
raw -o name -s p99
is 'by a percentile that is not shown' "$out" $'HLT\nIO_INSTRUCTION\nCPUID'
{
	lines '#~exit_cycles~1 vendor=vmx tsc_khz=1000000' 'reason name exits total'
	n=0 exits=0 total=0
	for one in '999999 1' '1000000 999' '9999499 999499' '9999500 999500000' '1 5000000000000' '1 99999000000000' '1 100000000000000' '1 2592000000000000000' '1 8639999999999999999'; do
		lines "$n R$n $one"
		((++n, exits += ${one% *}, total += ${one#* }))
	done
	lines "- TOTAL $exits $(printf %u "$total")"
} >"$T/edges"
exitdump -i "$T/edges" -o exits,total -s name
is 'numbers and times at the edges of six places' "$(sed '1,2d; $d' "$T/.out" | xargs -L 1)" \
	$'999999 1.00ns\n1.000M 999ns\n9.999M 999us\n10.00M 1.00s\n1 5000s\n1 99999s\n1 1d\n1 30000d\n1 274y'
lines '#~exit_cycles~1 vendor=vmx tsc_khz=1000000 guest=100000000000' 'reason name exits' '1 A 9997' '2 B 9994' '- TOTAL 19991' >"$T/rates"
exitdump -i "$T/rates" -o exits,gexits -s name
is 'rates at the edge of a digit behind the point' "$(sed '1,2d; $d' "$T/.out" | xargs -L 1)" $'9997 100\n9994 99.9'
exitdump -i "$T/no-khz" --tsc-khz 3000000 -u cycles -o exits,gexits -r CPUID
is 'with --tsc-khz there are, of a line and of the sum' "$(sed 1,2d "$T/.out" | tr -s ' ')" $' 100 50.00M\n 100 50.00M'
exitdump -i "$T/vm" --tsc-khz 1000000 --raw -o gexits -r CPUID
is "--tsc-khz in place of the file's, for seconds as well" "$out" 16666666.667
if command -v jq >/dev/null; then
	exitdump -i "$T/no-khz" --tsc-khz 1000000 --json
	is 'in JSON, of a file that has none' "$(jq .tsc_khz "$T/.out")" 1000000
	exitdump -i "$T/vm" --tsc-khz 1000000 --json -r CPUID
	is 'in JSON' "$(jq -c '[.tsc_khz, .rows[0].gexits]' "$T/.out")" '[1000000,16666666.667]'
else
	skip 'in JSON' 'jq is not installed'
fi
raw -o name,p50,p90,p99
raw -o name,p50,p90,p99,p99.9 -s name
is 'percentiles: the upper bound of their bucket, and never above max' "$out" \
	"$(lines 'CPUID 31 31 63 900' 'HLT 32767 60000 60000 60000' \
		'IO_INSTRUCTION 2047 9000 9000 9000')"
raw -o name -o max -s max -n 2
is '--limit; the last --output counts' "$out" $'60000\n9000'
raw -o name -s name -s max -n 1
is 'the last --sort counts' "$out" HLT
raw -o name,max -u ns -s max
is '--unit ns' "$out" "$(lines 'HLT 30000' 'IO_INSTRUCTION 4500' 'CPUID 450')"
raw -o name,max,p99 -u us -s max
is '--unit us' "$out" "$(lines 'HLT 30.000 30.000' 'IO_INSTRUCTION 4.500 4.500' \
	'CPUID 0.450 0.032')"
raw -o avg,avgtotal -u us -r CPUID
is 'averages, too' "$out" "$(lines '0.005 0.015')"
raw -o NAME,kvm -r hlt
is 'a column by its heading, in any spelling' "$out" "$(lines 'HLT 40')"
raw -o p99 -r CPUID -u ns
is 'a bound is rounded up: 63 cycles are at most 32 ns' "$out" 32
raw -o p50 -r CPUID -u ns --tsc-khz 3000000
is 'a bound is rounded up: 31 cycles of 3 GHz, 10.3 ns' "$out" 11
raw -o max,p99 -r HLT -u ns --tsc-khz 7000000
is 'but not above max, which is rounded to the nearest: 60000 cycles of 7 GHz, 8571.4 ns' "$out" $'8571\t8571'
exitdump -i "$T/vm" -o max,p99 -r HLT --tsc-khz 7000000
like 'in a table, too' "$out" $'\n8\\.57us <=8\\.57us\n'
raw -o max -r CPUID -u ns --tsc-khz 1000000
is '--tsc-khz in place of the file'\''s' "$out" 900
raw -o share,avg,avgtotal -r HLT
is 'shares are of all, whatever is chosen' "$out" $'0.040000\t20.00\t45000.00'
exitdump -i "$T/vm" -u us
like 'the unit stands above' "$out" '^overhead 80.6%: 1 VM, 2 vCPUs, vmx; by lost, in us'
exitdump -i "$T/vm" -o name,max,p99,share -u auto
is 'a table with units that fit, and bounds marked' "$out" \
'overhead 80.6%: 1 VM, 2 vCPUs, vmx; by lost
NAME              MAX      P99 SHARE
IO_INSTRUCTION 4.50us <=4.50us 84.0%
CPUID           450ns <=31.5ns 12.0%
HLT            30.0us <=30.0us  4.0%
TOTAL          30.0us <=16.4us  100%'
exitdump -i "$T/vm" -n 1 -o +p99
like '-o + adds to the usual ones' "$out" \
	$'\nNAME +EXITS +LOST +SHARE +KVM +AVG +USER +HALT +P99\n'
exitdump -i "$T/vm" -n 1 -o exits,vm
is 'no blanks at the end of a line' "$(sed 1d "$T/.out")" $'EXITS VM\n    7 -\n  109'

# bounds TITLE UNIT KHZ BUCKET EXPECTED [BUCKET EXPECTED]...: how tables show p50.
bounds() {
	local title=$1 khz=$3
	local -a unit=(-u "$2")
	[[ $2 ]] || unit=()
	shift 3
	while (($#)); do
		lines "#~exit_cycles~1 vendor=vmx tsc_khz=$khz" 'reason name exits' '12 HLT 1' \
			'- TOTAL 1' >"$T/one"
		lines '#~exit_cycles~1 vendor=vmx' "reason name $(echo {0..31})" \
			"$(hist 12 HLT "$1" 1)" "$(hist - TOTAL "$1" 1)" >"$T/one_hist"
		exitdump -i "$T/one" "${unit[@]}" -o p50
		is "$title: bucket $1" "$(sed -n '3{s/ //g;p}' "$T/.out")" "$2"
		shift 2
	done
}
bounds 'a bound cut to four digits is rounded up' cycles 2000000 20 '<=1.049M' 21 '<=2.098M' 23 '<=8.389M' 30 '<=1.074G'
bounds 'in us' us 1000001 21 '<=2097.149' 4 '<=0.015'
bounds 'in units that fit' auto 1000000 12 '<=4.10us' 10 '<=1.03us' 5 '<=31.0ns' 21 '<=2.10ms' 0 '<=0'
bounds 'at the edge of a unit' auto 1024000 10 '<=1.00us'

lines '#~exit_cycles~1 vendor=vmx tsc=unstable' 'reason name exits' '- TOTAL 0' >"$T/early"
exitdump -i "$T/early" -o name,total,p99
is 'what a file does not have is not invented' "$out" $'vmx, TSC unstable; by KVM, in cycles\nNAME  TOTAL P99\nTOTAL     -   -'
exitdump -i "$T/early" -u ns
is 'no frequency: no unit of time' "$status:$out:$err" \
	'1::exitdump: --unit: the TSC'\''s frequency is not known here (--tsc-khz tells it)'

# The last bucket has no upper bound; the largest total stands for it, if it is known.
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits total max' \
	'12 HLT 1 5000000000 5000000000' '- TOTAL 1 5000000000 5000000000' >"$T/long"
lines '#~exit_cycles~1 vendor=vmx' "reason name $(echo {0..31})" \
	"$(hist 12 HLT 31 1)" "$(hist - TOTAL 31 1)" >"$T/long_hist"
exitdump -i "$T/long" --raw -o p50
is 'the last bucket ends at max' "$out" 5000000000
cut -f 1-4 "$T/long" >"$T/nomax"
cp "$T/long_hist" "$T/nomax_hist"
exitdump -i "$T/nomax" --raw -o p50
is 'and without max its end is not known' "$out" -
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits total max' '12 HLT 1 512 512' '- TOTAL 1 512 512' >"$T/begin"
lines '#~exit_cycles~1 vendor=vmx' "reason name $(echo {0..31})" "$(hist 12 HLT 10 1)" "$(hist - TOTAL 10 1)" >"$T/begin_hist"
exitdump -i "$T/begin" --raw -o p50
is 'a max at the begin of its bucket' "$out" 512
lines '#~exit_cycles~1' 'reason name exits' '12 HLT 100000' '- TOTAL 100000' >"$T/parts100"
for b in '5 50000 6 40000 7 9000 8 900 9 100' '5 49999 6 40000 7 9000 8 900 9 101'; do
	# shellcheck disable=SC2086 # words
	lines '#~exit_cycles~1' "reason name $(echo {0..31})" "$(hist 12 HLT $b)" "$(hist - TOTAL $b)" >"$T/parts100_hist"
	exitdump -i "$T/parts100" --raw -o p50,p90,p99,p99.9
	ends+=("$(xargs <"$T/.out")")
done
is 'percentiles of which a bucket has just enough, or one too few' "${ends[*]}" '31 63 127 255 63 127 255 511'
lines '#~exit_cycles~1' 'reason name exits total halt stop' '1 A 1 99960 0 0' '2 B 1 40 0 0' '- TOTAL 2 100000 0 0' >"$T/nearly"
exitdump -i "$T/nearly" -o share
is 'a share of nearly all' "$(sed 1,2d "$T/.out" | tr -s ' ' | xargs)" '100% 0.0% 100%'
sed 's/99960/66670/; s/\<40\>/33330/' "$T/nearly" >"$T/third"
exitdump -i "$T/third" -o share
is 'and of two thirds: the nearest' "$(sed 1,2d "$T/.out" | xargs)" '66.7% 33.3% 100%'

lines '#~exit_cycles~1 vendor=vmx' 'reason name exits' '12 HLT 1000000000000000000' '- TOTAL 1000000000000000000' >"$T/most"
many=(5 700000000000000000 9 200000000000000000 14 100000000000000000)
lines '#~exit_cycles~1 vendor=vmx' "reason name $(echo {0..31})" \
	"$(hist 12 HLT "${many[@]}")" "$(hist - TOTAL "${many[@]}")" >"$T/most_hist"
exitdump -i "$T/most" --raw -o p50,p90,p99
is 'percentiles of more exits than there ever were' "$out" "$(lines '31 511 16383')"

# The longest name of 6.1 and 6.12, with all counters at their widest.
n=18446744073709551615
lines "#~exit_cycles~1 vendor=svm tsc_khz=2000000 scope=host vms=1000 vcpus=10000 guest=$n" \
	'reason name exits cycles total halt user max sched' \
	"1026 avic_unaccelerated_access $n $n $n $n $n $n $n" \
	"- TOTAL $n $n $n $n $n $n $n" >"$T/wide"
for unit in '' '-u cycles'; do
	# shellcheck disable=SC2086 # two words or none
	exitdump -i "$T/wide" $unit
	ok "the usual table ${unit:-as times} fits 80 columns" \
		awk 'length > 80 { bad = 1 } END { exit bad }' "$T/.out"
done
exitdump -i "$T/wide" -u cycles
like 'large numbers are shortened' "$out" 'avic_unaccelerated_access 18\.45E .* 18\.45E'
exitdump -i "$T/wide"
like 'and so are long times' "$out" 'avic_unaccelerated_access 18\.45E .* 292y'
exitdump -i "$T/wide" --tsc-khz 1999118
like 'in years of 365.25 days' "$out" 'avic_unaccelerated_access 18\.45E .* 292y'
exitdump -i "$T/wide" --raw -o exits,cycles
is 'programs get them whole' "$out" "$n"$'\t'"$n"
exitdump -i "$T/wide" --raw --tsc-khz 1 -u ns -o cycles
is 'and a time that 64 bits cannot hold' "$out" 18446744073709551616000000
lines '#~exit_cycles~1' 'reason name exits cycles' "1 A 1 $n" "- TOTAL 1 $n" >"$T/once"
lines '#~exit_cycles~1 tsc_khz=1000000' 'reason name exits cycles' '1 A 10 12341' '2 B 10 12361' '- TOTAL 20 24702' >"$T/near"
exitdump -i "$T/near" -o name,avg,cycles
is 'an average in time: the nearest' "$(sed 1,2d <<<"$out" | tr -s ' ')" $'B 1.24us 12.4us\nA 1.23us 12.3us\nTOTAL 1.24us 24.7us'
exitdump -i "$T/once" -u cycles -o avg
is 'the average of one exit that took all of them' "$(sed 1,2d "$T/.out")" $'18.45E\n18.45E'
lines '#~exit_cycles~1' 'reason name exits cycles' '- TOTAL 0 0' >"$T/once"
exitdump -i "$T/once" -o avg
is 'and that of none' "$(sed 1,2d "$T/.out" | xargs)" -
lines '#~exit_cycles~1 scope=host vms=0 vcpus=0' 'reason name exits' '- TOTAL 0' >"$T/nobody"
exitdump -i "$T/nobody"
like 'a host without VMs' "$out" '^host, 0 VMs, 0 vCPUs; '
lines '#~exit_cycles~1 guest=1' 'reason name exits total halt stop' '1 A 1 50000000000000 0 0' '- TOTAL 1 50000000000000 0 0' >"$T/much"
exitdump -i "$T/much" --raw -o glost
is 'and a ratio beyond all measure' "$out" 50000000000000.000000
lines '#~exit_cycles~1 guest=10' 'reason name exits total halt stop' '1 A 1 50000000000003 0 0' '- TOTAL 1 50000000000003 0 0' >"$T/much"
exitdump -i "$T/much" --raw -o glost
is 'or nearly so: rounded as printf() does' "$out" 5000000000000.299805

exitdump -i "$T/vm" -o name,nonsense
is 'an unknown column' "$status:$err" \
	'1:exitdump: --output: nonsense: no such column (exitdump --help lists them)'
raw -s exits,max,user,halt,total,cycles,name,reason -n 1 -o name
is 'eight columns to sort by' "$status:$out" 0:CPUID
raw -s cpu,perf,rip,mostly,key,what -o name
is 'columns to sort by that only slow exits and keys have: the usual order' "$status:$out" "0:$(lines IO_INSTRUCTION CPUID HLT)"
raw -o name,guest,overhead -r CPUID
is 'the time inside the guest is not that of a reason' "$out" "$(lines 'CPUID - -')"
raw -s exits,max,user,halt,total,cycles,name,reason,avg
is 'nine: refused' "$status:$out:$err" '1::exitdump: --sort: more than 8 columns'
raw -r CPUID -o "exits$(printf ',exits%.0s' {1..47})"
is '48 columns' "$status:$(wc -w <"$T/.out")" 0:48
raw -r CPUID -o "exits$(printf ',exits%.0s' {1..48})"
is '49: refused' "$status:$out:$err" '1::exitdump: --output: more than 48 columns'
exitdump -i "$T/vm" -u furlongs
is 'an unknown unit' "$status:$err" \
	'1:exitdump: --unit: furlongs: not one of cycles, ns, us, auto'
for arg in 0 5k -1 +5 18446744073709551616; do
	exitdump -i "$T/vm" -n "$arg"
	is "a limit of $arg" "$status:$out:$err" "1::exitdump: --limit: $arg: not a number from 1 to 18446744073709551615"
done
exitdump -i "$T/vm" -n $'5\tx'
is 'and of 5, a tab and more' "$status:$out" 1:
exitdump -i "$T/vm" --tsc-khz 4294967296
is 'a frequency of 33 bits' "$status:$out:$err" '1::exitdump: --tsc-khz: 4294967296: not a number from 1 to 4294967295'

exitdump --help
while read -r col; do
	matches "$out" $'\n  '"$col " || missing+=" $col"
done < <(awk '/get_/ && /^\t{ "/ { gsub(/[",]/, "", $2); print $2 }' "$TOP/tools/columns.c")
is '--help lists every column' "$missing" ''

done_testing

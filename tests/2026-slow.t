#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump slow tells about each exit that KVM recorded: when it was, by the wall
# clock and by perf's clock; which VM; where in the guest; why; and what took the time.
# shellcheck disable=SC2317 # functions that ok calls
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"
. "$(dirname "$0")/fixtures/slow.sh"

command -v jq >/dev/null || skip_all "jq is not installed"
export TZ=UTC

slow "$T/x_slow" <<-'END'
	999500000000 1000 1 3 30 IO_INSTRUCTION 0x3f8 0xffffffff81000040 22000000 1000 0 20000000 1000000 0 0
	998250123456 1001 0 2 48 EPT_VIOLATION 0x3 0xffffffff81234567 31000000 200000 0 0 30000000 100000 0
	998000000000 1001 1 2 32 MSR_WRITE 0x80000000000006e0 0xffffffff81000040 9000000 8500000 0 0 500000 500000 0
	900000000000 999 0 0 12 HLT - 0x0 1003000000 100000 1000000000 0 900000 0 0
	899999999999 999 0 0 1 EXTERNAL_INTERRUPT 0xec 0x400000 5000000 0 0 0 0 0 1500000
END
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits' '- TOTAL 0' >"$T/x"
for n in 5 6; do
	sed "1s/lost=/kept=$n	&/" "$T/x_slow" >"$T/y_slow"
	exitdump slow -i "$T/y_slow"
	ends[n]=$status:$err
done
is 'as many slow exits as the first line says: else it is cut off' "${ends[5]} ${ends[6]}" \
	"0: 1:exitdump: $T/y_slow: cut off (copy it again)"
exitdump slow -i "$T/x_slow"
is 'the table: the newest first, what took most, the parts' "$status:$out$err" \
"0:host, 2 VMs, 3 vCPUs, vmx, over 1ms; by time
                   TIME   LOST MOSTLY              VM   VMNAME VCPU NAME               KEY      WHAT                       RIP                   KVM   USER  SCHED  OTHER
2023-11-14 22:13:20.500 22.0ms user space          1000 -         1 IO_INSTRUCTION     0x3f8    COM1, out                  0xffffffff81000040 1.00us 20.0ms 1.00ms  999us
2023-11-14 22:13:19.250 31.0ms no CPU              1001 -         0 EPT_VIOLATION      0x3      read and write, not mapped 0xffffffff81234567  200us      0 30.0ms  900us
2023-11-14 22:13:19.000 9.00ms handler             1001 -         1 MSR_WRITE          L2:0x6e0 IA32_TSC_DEADLINE, L2      0xffffffff81000040 8.50ms      0  500us  500us
2023-11-14 22:11:41.000 3.00ms interrupts or entry 999  -         0 HLT                -        -                          -                   100us      0  900us 2.00ms
2023-11-14 22:11:40.999 3.50ms interrupts or entry 999  -         0 EXTERNAL_INTERRUPT 0xec     local timer                0x400000                0      0      0 3.50ms"
TZ=XXX-5 exitdump slow -i "$T/x_slow" -n 1
like 'the time is local' "$out" $'\n2023-11-15 03:13:20\\.500 '
exitdump slow -i "$T/x_slow" --csv -n 2
is '--csv: seconds, to the microsecond; cycles' "$out" \
'time,perf,vm,vmname,vcpu,cpu,reason,name,key,what,rip,mostly,total,lost,cycles,halt,user,sched,hsched,stop,other
1700000000.500000,499.500000,1000,,1,3,30,IO_INSTRUCTION,0x3f8,"COM1, out",0xffffffff81000040,user space,22000000,22000000,1000,0,20000000,1000000,0,0,999000
1699999999.250123,498.250123,1001,,0,2,48,EPT_VIOLATION,0x3,"read and write, not mapped",0xffffffff81234567,no CPU,31000000,31000000,200000,0,0,30000000,100000,0,900000'
exitdump slow -i "$T/x_slow" --json -u us
is '--json' "$(jq -c '[.threshold, .overwritten, (.rows | length), .totals, (.rows[2] | map_values(if type == "number" then . + 0 else . end)), .rows[3].key, .rows[3].rip]' "$T/.out")" \
'[1000,0,5,[],{"time":1699999999,"perf":498,"vm":"1001","vmname":null,"vcpu":1,"cpu":2,"reason":32,"name":"MSR_WRITE","key":"0x80000000000006e0","what":"IA32_TSC_DEADLINE, L2","rip":"0xffffffff81000040","mostly":"handler","total":9000,"lost":9000,"cycles":8500,"halt":0,"user":0,"sched":500,"hsched":500,"stop":0,"other":500},null,null]'
keys=$(jq -r '(keys - ["rows", "totals"])[], (.rows[0] | keys[])' "$T/.out") missing=''
page=$(sed -n '/^\.Sh JSON/,/^\.Sh FILES/p' "$TOP/tools/exitdump.8")
for key in $keys; do
	grep -qw -e "$key" <<<"$page" || missing+=" $key"
done
is 'each of its keys is in the manual page' "$missing" ''

slow "$T/pause_slow" <<<"1 1 0 0 40 PAUSE_INSTRUCTION - 0x0 10500000 10000000 0 0 9800000 9600000 0"
slow "$T/halted_slow" <<<'999500000000 1000 1 3 12 HLT - 0x0 5000000 0 5000000 0 0 0 0'
exitdump slow -i "$T/halted_slow" --raw -o lost,mostly
is 'nothing lost: by nothing' "$status:$out" "0:$(lines '0 -')"
exitdump slow -i "$T/pause_slow" --raw -o mostly
is "a handler that waits for a CPU itself" "$out" "no CPU"
slow "$T/equal_slow" <<<"1 1 0 0 30 IO_INSTRUCTION - 0x0 20000000 7 0 9000000 9000000 7 0"
exitdump slow -i "$T/equal_slow" --raw -o mostly
is 'of two equal parts the first' "$out" 'user space'
# Without the time of the handler, the largest part is known only if it is half of what was lost.
printf '%s 1 0 0 30 IO_INSTRUCTION - 0x0 20000000 7 0 %s 0 7 0\n' 1 1 2 9999999 3 10000000 | slow "$T/part_slow"
cut -f 1-9,11-13,15- "$T/part_slow" >"$T/no-handler_slow"
exitdump slow -i "$T/no-handler_slow" --raw -o user,mostly
is 'the largest part, where one is not known' "$out" "$(lines '10000000 user~space' '9999999 -' '1 -')"
printf '%s 1 0 0 30 IO_INSTRUCTION - 0x0 30000001 7 10000000 %s 0 0 0\n' 1 10000000 2 10000001 | slow "$T/halt_slow"
cut -f 1-9,11-13,15- "$T/halt_slow" >"$T/lost_slow"
exitdump slow -i "$T/lost_slow" --raw -o user,mostly
is 'half of what was lost, without what was halted' "$out" "$(lines '10000001 user~space' '10000000 -')"
cut -f 1-13,15- "$T/x_slow" >"$T/no-hsched_slow"
exitdump slow -i "$T/no-hsched_slow" --raw -o mostly -r MSR_WRITE
is 'nor is the handler it, if it is not known how long it waited for a CPU' "$out" -
exitdump slow -i "$T/no-handler_slow" --json
is 'in JSON unknown keys are there' "$(jq -c '.rows[-1] | [.mostly, .cycles, .hsched, .other, has("cycles"), has("hsched")]' "$T/.out")" \
	'[null,null,null,null,true,true]'
raw() { exitdump slow -i "$T/x_slow" --raw "$@"; }
raw -o vm,vcpu,reason -r 'e*,12'
is '--reason' "$out" "$(lines '1001 0 48' '999 0 12' '999 0 1')"
raw -r CPUID
is 'a reason of which none was slow' "$status:$out:$err" '0::exitdump: CPUID: no such exit that was slow so far (exitdump slow lists all)'
raw -o lost --than 9ms
is '--than: more than that' "$out" $'22000000\n31000000'
raw -o lost --than 8.999999ms
is 'with a point' "$out" $'22000000\n31000000\n9000000'
raw -o lost --than 22000us
is 'in us' "$out" 31000000
raw -o lost --than 0.0220001s
is 'in s' "$out" 31000000
for years in 999999999s 288230376.151711744s; do
	raw -o lost --than $years
	is "many years: $years" "$status:$out:$err" 0::
done
raw -o lost -s lost
is '--sort' "$out" $'31000000\n22000000\n9000000\n3500000\n3000000'
slow "$T/short_slow" 0 1 <<<'1 1 0 0 12 HLT - 0x0 1001 0 0 0 0 0 0'
exitdump slow -i "$T/short_slow" --raw -o lost --than 1.001us
is 'to the nanosecond; and a recorder of more than 1 us is not off' "$status:$out:$err" 0::
exitdump slow -i "$T/short_slow" --raw -o lost --than 0.001us
is '--than: of 1 ns, the least' "$status:$err" 0:
raw -o vm -s -vm
is '--sort by processes without a VM' "$out" $'1001\n1001\n1000\n999\n999'
for arg in 5 ms 5m 5min -5ms +5ms 0ms .5ms 5.ms 1..5s 1e3ms 0x5ms ' 5ms' '5 ms' 5msx nan inf 0.0005us 2000000000s 99999999999999999999s; do
	raw --than "$arg"
	is "--than '$arg': refused in one line" "$status:$out:$err" \
		"1::exitdump: --than: $arg: not a time such as 500us, 5ms or 1.5s"
done
for args in '--keys' '-g' '-a' '--all-vcpus' '--hist' '--openmetrics' '1 2' '1' '--follow' '-o nothing' '--json -o rip'; do
	# shellcheck disable=SC2086 # words
	run timeout 20 "$EXITDUMP" slow -i "$T/x_slow" --raw $args
	like "slow $args: refused in one line" "$status:$out:$err" '^1::exitdump: [^'$'\n'']*$'
done
for args in '--keys' '-a' '--all-vcpus' '--buckets' '--hist' '--openmetrics'; do
	exitdump slow -S "$T/none" $args
	is "slow $args: refused, also of a host" "$status:$out:$err" \
		'1::exitdump: slow: not with --keys, --guest, --all-vms, --all-vcpus, --buckets, --hist or --openmetrics'
done
exitdump slow --guest
is 'nor of a guest' "$status:$out:$err" '1::exitdump: slow: not with --keys, --guest, --all-vms, --all-vcpus, --buckets, --hist or --openmetrics'
for args in '--than 1ms' '--follow' '-o mostly' '--symbols /dev/null'; do
	# shellcheck disable=SC2086 # words
	exitdump -i "$T/x" $args
	like "$args without slow: refused" "$status:$out:$err" '^1::exitdump: '
done
exitdump slow -i "$T/x" --raw -o vm,key
is 'beside a table' "$(head -n 1 "$T/.out")" $'1000\t0x3f8'
exitdump -i "$T/x_slow"
is 'they are no table' "$status:$out:$err" "1::exitdump: $T/x_slow: has only slow exits (exitdump slow shows them)"
exitdump slow -i "$T/x_slow" --raw -o vcpu,exits,rate,gexits,avg,guest,overhead -n 1
is 'nor do they have numbers of exits' "$status:$out:$err" "0:$(lines '1 - - - - - -'):"
exitdump why -i "$T/x_slow"
is 'and no keys' "$status:$out:$err" "1::exitdump: $T/x_slow: has no keys (they are in exit_cycles_keys)"
slow "$T/none_slow" </dev/null
exitdump slow -i "$T/none_slow"
is 'none so far' "$status:$(wc -l <"$T/.out"):$err" 0:2:
sed $'1s/\tlost=0//' "$T/none_slow" >"$T/unsaid_slow"
exitdump slow -i "$T/unsaid_slow" --json
is 'how many were overwritten is not known: null' "$(jq .overwritten "$T/.out")" null
sed $'1s/\tthreshold=[0-9]*//' "$T/none_slow" >"$T/unsaid_slow"
exitdump slow -i "$T/unsaid_slow" --raw
is 'from when on they are recorded is not known: nothing said' "$status:$out:$err" 0::
slow "$T/off_slow" 1 0 </dev/null
exitdump slow -i "$T/off_slow" --raw
is 'a recorder that is off: said, and what to do' "$status:$out:$err" \
	'0::exitdump: no slow exits are recorded at present (exitdump set slow 1000: those over 1 ms)'
exitdump slow -i "$T/off_slow" --json
is 'in JSON: 0' "$(jq .threshold "$T/.out")" 0
slow "$T/one_slow" 1 1500 </dev/null
exitdump slow -i "$T/one_slow"
like 'one that was overwritten, and half milliseconds' "$out" 'vmx, over 1500us, 1 older one overwritten; by time'

# --- symbols

cat >"$T/map" <<-'END'
	0000000000000000 D __per_cpu_start
	0000000000401000 A __per_cpu_end
	ffffffff81000000 T startup
	ffffffff81000040 D some_data
	ffffffff81000040 T serial_out
	ffffffff81000040 t an_alias [a_module]
	ffffffff81234000 W ept_fault	[a_module]
	ffffffff81235000 B _end
END
raw --symbols "$T/map" -o rip
is '--symbols: addresses in functions of the guest; L2 has others' "$out" \
	$'an_alias+0x0\nept_fault+0x567\n0xffffffff81000040\n-\n0x400000'
exitdump -i "$T/x" --symbols "$T/map"
is '--symbols without slow: refused' "$status:$out:$err" '1::exitdump: --follow, --symbols, --than: only with slow'
sed -i '$d' "$T/map"
slow "$T/far_slow" <<<'1 1 0 0 12 HLT - 0xffffffff82234000 1 0 0 0 0 0 0'
exitdump slow -i "$T/far_slow" --symbols "$T/map" --raw -o rip
is 'far behind the last one: none' "$out" 0xffffffff82234000
printf '1 1 0 0 12 HLT - %s 1 0 0 0 0 0 0\n' 0xffffffff81334000 0xffffffff81200000 0xffffffff81000000 0xffffffff81333fff 0xffffffff80ffffff |
	slow "$T/edges_slow"
{ echo 'ffffffff81000000 D data_before' && sed 1,2d "$T/map"; } >"$T/high"
exitdump slow -i "$T/edges_slow" --symbols "$T/high" --raw -o rip -s rip
is 'at the edges of the table; sorted by name' "$status:$out" \
	"0:$(lines an_alias+0x1fffc0 ept_fault+0xfffff startup+0x0 0xffffffff81334000 0xffffffff80ffffff)"
# no_map TITLE LINE REGEX <MAP: a map with an error in this line is refused.
no_map() {
	cat >"$T/bad"
	raw --symbols "$T/bad"
	like "--symbols: $1: refused" "$status:$out:$err" "^1::exitdump: $T/bad: (line $2: )?$3[^"$'\n'"]*$"
}
no_map 'no address' 2 'not an address' <<<$'1 T a\nx T b'
no_map 'too large an address' 1 'not an address' <<<'1ffffffff81000000 T a'
no_map 'no name' 1 'not an address' <<<'ffffffff81000000 T '
no_map 'a line alone' 1 'not an address' <<<'ffffffff81000000'
no_map 'control characters' 1 'not an address' <<<$'\e[31m T a'
no_map 'zeros' '' 'has no addresses' <<<'0000000000000000 T a'
no_map 'nothing' '' 'has no addresses' </dev/null
no_map 'the last line cut' 2 'cut off' < <(printf 'ffffffff81000000 T a\nffffffff8100')
no_map 'a line without an end' 1 'too long' < <(printf 'ffffffff81000000 T %02000d\n' 0)
no_map 'NUL bytes' 1 '(too long|not an address)' < <(printf 'a\0\0\n')
exitdump slow -i "$T/x_slow" --symbols "$T"
is '--symbols of a folder: refused' "$status:$out:$err" "1::exitdump: $T: Is a directory"
# A map without an end, and a map with more symbols than memory.
run timeout 20 "$EXITDUMP" slow -i "$T/x_slow" --symbols /dev/zero
like 'zeros without end: refused' "$status:$out:$err" '^1::exitdump: /dev/zero: line 1: '
run timeout 60 "$EXITDUMP" slow -i "$T/x_slow" --symbols <(yes 'ffffffff81000000 D a')
like 'symbols without end: refused' "$status:$out:$err" '^1::exitdump: [^ ]*: line 4194305: more symbols'
printf 'ffffffff81000000 T \e[31m\n' >"$T/map"
raw --symbols "$T/map" -o rip -n 1
is 'a name with control characters: shown without' "$out" '?[31m+0x40'
exitdump slow -i "$T/x_slow" --symbols "$T/nowhere"
like 'no such file' "$status:$out:$err" '^1::exitdump: .*/nowhere: No such file'

# --- files that are not files of slow exits

# refused TITLE REGEX LINE: a file with this line is refused.
refused() {
	slow "$T/bad" <<<"$3"
	exitdump slow -i "$T/bad"
	like "$1: refused" "$status:$out:$err" "^1::exitdump: $T/bad: $2[^"$'\n'"]*$"
}
refused 'a time that is none' 'has a number' '-1 1 0 0 1 A - 0x0 1 1 0 0 0 0 0'
refused 'a time of 65 bits' 'has a number' '18446744073709551616 1 0 0 1 A - 0x0 1 1 0 0 0 0 0'
refused 'a process of 33 bits' 'has a vm, vcpu or cpu' '1 4294967296 0 0 1 A - 0x0 1 1 0 0 0 0 0'
refused 'a vCPU that is none' 'has a vm, vcpu or cpu' '1 1 x 0 1 A - 0x0 1 1 0 0 0 0 0'
refused 'a CPU that is none' 'has a vm, vcpu or cpu' '1 1 0 - 1 A - 0x0 1 1 0 0 0 0 0'
refused 'a RIP in base 10' 'has a rip' '1 1 0 0 1 A - 12 1 1 0 0 0 0 0'
refused 'no RIP' 'has a rip' '1 1 0 0 1 A - - 1 1 0 0 0 0 0'
refused 'a RIP of 65 bits' 'has a rip' '1 1 0 0 1 A - 0x1ffffffffffffffff 1 1 0 0 0 0 0'
refused 'a key that is none' 'has a key' '1 1 0 0 1 A 7 0x0 1 1 0 0 0 0 0'
refused 'a name of control characters' 'has a name' $'1 1 0 0 1 A\e[31m - 0x0 1 1 0 0 0 0 0'
refused 'a negative total' 'has a number' '1 1 0 0 1 A - 0x0 -1 1 0 0 0 0 0'
refused 'a short row' 'has a row with fewer' '1 1 0 0 1 A - 0x0 1 1 0 0 0 0'
refused 'a long row' 'has a row with more' '1 1 0 0 1 A - 0x0 1 1 0 0 0 0 0 0'
refused 'a row TOTAL' 'has a row TOTAL' '1 1 0 0 - TOTAL - 0x0 1 1 0 0 0 0 0'
for key in monotonic realtime; do
	sed "1s/\t$key=[0-9]*//" "$T/x_slow" >"$T/bad"
	exitdump slow -i "$T/bad"
	like "no $key clock: refused" "$status:$out:$err" "^1::exitdump: $T/bad: has slow exits, but not the clocks"
done
sed "1s/\tperf=[0-9]*//" "$T/x_slow" >"$T/noperf_slow"
exitdump slow -i "$T/noperf_slow" --raw -o perf -n 1
is 'without the clock of perf: not known' "$status:$out" 0:-
sed "1s/\ttsc_khz=[0-9]*//" "$T/x_slow" >"$T/bad"
exitdump slow -i "$T/bad" --than 1ms
is '--than without a frequency: refused' "$status:$out:$err" \
	"1::exitdump: --than: the TSC's frequency is not known here (--tsc-khz tells it)"
cut -f 1-7,9- "$T/x_slow" | sed "1s/.*/$(head -n 1 "$T/x_slow")/" >"$T/bad"
exitdump slow -i "$T/bad"
like 'a column that is missing: refused' "$status:$out:$err" '^1::exitdump: .*: lacks one of the columns time, '
{ head -n 1 "$T/x_slow" && lines "$COLS $(echo {0..31})"; } >"$T/bad"
exitdump slow -i "$T/bad"
is 'a histogram: refused' "$status:$out:$err" "1::exitdump: $T/bad: has a histogram of keys or slow exits, which do not exist"
cut -f 1-14 "$T/x_slow" | sed "1s/.*/$(head -n 1 "$T/x_slow")/" >"$T/no-stop_slow"
exitdump slow -i "$T/no-stop_slow" --raw -o lost,other,mostly -s mostly
is 'without the column stop, what was lost is not known, and mostly only where the rest is less' "$status:$out:$err" \
	"0:$(lines '- - handler' '- - no~CPU' '- - user~space' '- - -' '- - -'):"
exitdump slow -i "$T/no-stop_slow" --than 5ms
is 'nor which exits lost more than --than' "$status:$out:$err" '1::exitdump: --than: what these exits lost is not known (no column halt or stop)'
exitdump slow -i "$T/no-stop_slow"
is 'and it has no columns that need it' "$(sed -n 2p "$T/.out" | xargs)" 'TIME MOSTLY VM VMNAME VCPU NAME KEY WHAT RIP KVM USER SCHED'
slow "$T/wide_slow" 18446744073709551615 <<<"18446744073709551615 4294967295 4294967295 4294967295 - OTHER 0x7fffffffffffffff 0xffffffffffffffff$(printf ' 18446744073709551615%.0s' {1..7})"
exitdump slow -i "$T/wide_slow"
is 'all numbers at their widest' "$status:$err" 0:
size=$(wc -c <"$T/x_slow") wrong=''
for ((i = 0; i < size; i += 7)); do
	head -c "$i" "$T/x_slow" >"$T/cut"
	[[ $(tail -c 1 "$T/cut") ]] || continue
	exitdump slow -i "$T/cut"
	[[ $status$out == 1 ]] || wrong+=" $i"
done
is 'each cut amid a line is refused' "$wrong" ''

# --- a capture from a lab's kernel

real=$TOP/tests/fixtures/slow
exitdump slow -S "$real"
like 'of the host: how many there are no more' "$status:$out:$err" '^0:host, 1 VM, 1 vCPU, svm, over 5ms, 7 older ones overwritten; by time'
exitdump slow -S "$real" --raw -o vm,vcpu,name,key,rip,mostly
is 'those of the VMM that slept in an OUT' "$(sort "$T/.out" | uniq -c | sed 's/^ *//')" "$(lines '16~69-4 0 io 0x501 0x4065be user~space')"
is 'their time is that of the clocks on the first line' "$("$EXITDUMP" slow -S "$real" --raw -o time,perf | head -n 1)" \
	"$(awk -F '[\t=]' 'NR == 1 { for (i = 1; i < NF; i++) n[$i] = $(i + 1) } NR == 3 {
		printf "%.6f\t%.6f\n", ($1 + (n["realtime"] - n["monotonic"])) / 1e9, ($1 + n["perf"] - n["monotonic"]) / 1e9 }' "$real/sys/kernel/debug/kvm/exit_cycles_slow")"
for pick in '--vm 69' '--vm 69-4' '--vcpu 0'; do
	# shellcheck disable=SC2086 # words
	exitdump slow -S "$real" $pick --raw -o vm,vcpu,total
	is "$pick: the same" "$out" "$("$EXITDUMP" slow -S "$real" --raw -o vm,vcpu,total)"
done
exitdump slow -S "$real" --vm 70
is 'no such VM' "$status:$out:$err" '1::exitdump: no VM 70 (exitdump list shows all VMs)'
exitdump -S "$real" --raw -o name,exits,slow -s slow -u us
is 'the table: how many of a reason were slow' "$(head -n 3 "$T/.out")" "$(lines 'io 2021 21' 'interrupt 31 1' 'npf 12 1')"
exitdump -S "$real" --openmetrics
like 'and for Prometheus' "$out" $'\nkvm_exit_slow_total\\{reason="io"\\} 21\n'
exitdump -S "$real" --vm 69 --json
is 'and in JSON' "$(jq -c '[.rows[0].slow, .totals[0].slow]' "$T/.out")" '[21,23]'
sed 's/\t21$/\t9/; s/\t23$/\t11/' "$real/sys/kernel/debug/kvm/exit_cycles" >"$T/before"
exitdump diff "$T/before" "$real/sys/kernel/debug/kvm/exit_cycles" --raw -o name,slow
is 'and between captures' "$out" "$(lines 'io 12')"
exitdump -S "$TOP/tests/fixtures/captures/vmx-6.1" --csv
unlike 'a kernel without the recorder has no such column' "$out" slow
exitdump slow -S "$TOP/tests/fixtures/captures/vmx-6.1"
like 'and slow says so in one line' "$status:$out:$err" \
	'^1::exitdump: .*/exit_cycles_slow: No such file \(not copied, or this kernel.s exit_cycles patches are older than slow exits\)$'
exitdump slow -S "$TOP/tests/fixtures/captures/vmx-6.1" --vcpu 0
like 'of a vCPU as well' "$status:$out:$err" '^1::exitdump: .*older than slow exits\)$'
exitdump slow -S "$T"
like 'no KVM at all' "$status:$out:$err" '^1::exitdump: .*No such file \(not copied\? man exitdump'

kvm=sys/kernel/debug/kvm
mkdir -p "$T/gone/$kvm"
cp "$real/$kvm/exit_cycles" "$T/gone/$kvm/"
cp "$real/gone" "$T/gone/$kvm/exit_cycles_slow"
exitdump slow -S "$T/gone" --raw -o vm,vmname -n 1
is 'a VM that has ended: its process' "$out" "$(lines '69 -')"
exitdump slow -S "$T/gone" --vm 69 --raw -o vm
is 'and chosen by that' "$(sort "$T/.out" | uniq -c | sed 's/^ *//')" '16 69'
exitdump slow -S "$T/gone" --vm 69
like 'its head has no numbers of the host' "$out" '^VM 69, svm, over 5ms; by time'
exitdump slow -S "$T/gone" --vm 6
is 'of which there is no other' "$status:$err" '1:exitdump: no VM 6 (exitdump list shows all VMs)'
exitdump slow -S "$T/gone" --vm 69 --vcpu 0
is 'a vCPU of it cannot be chosen any more' "$status:$out:$err" '1::exitdump: no VM 69 (exitdump list shows all VMs)'

# Two VMs that run, one that has ended, and two of the same process.
tree "$T/tree" 2 2
mkdir "$T/tree/$kvm/7777-4" "$T/tree/$kvm/7777-9" "$T/tree/proc/7777"
printf 'qemu\0-name\0both\0' >"$T/tree/proc/7777/cmdline"
cp "$T/tree/$kvm/1000-11/exit_cycles" "$T/tree/$kvm/7777-4/"
cp "$T/tree/$kvm/1000-11/exit_cycles" "$T/tree/$kvm/7777-9/"
{
	sed 1,2d "$T/x_slow" | tr '\t' ' '
	echo '1000 7777 0 0 12 HLT - 0x0 9000000 1 0 0 0 0 0'
} | slow "$T/tree/$kvm/exit_cycles_slow" 3
slow "$T/tree/$kvm/1001-11/exit_cycles_slow" 0 1000 vm <<<'998250123456 1001 0 2 48 EPT_VIOLATION 0x3 0xffffffff81234567 31000000 200000 0 0 30000000 100000 0'
slow "$T/tree/$kvm/1000-11/exit_cycles_slow" 0 1000 vm <<<'999500000000 1000 1 3 30 IO_INSTRUCTION 0x3f8 0xffffffff81000040 22000000 1000 0 20000000 1000000 0 0'
exitdump slow -S "$T/tree" --raw -o vm,vmname,vcpu,name
is 'the VMs by their guests'\'' names' "$out" "$(lines '1000-11 vm0 1 IO_INSTRUCTION' '1001-11 vm1 0 EPT_VIOLATION' \
	'1001-11 vm1 1 MSR_WRITE' '999 - 0 HLT' '999 - 0 EXTERNAL_INTERRUPT' '7777 both 0 HLT')"
exitdump slow -S "$T/tree"
like 'the head is that of the host' "$out" '^host, 2 VMs, 3 vCPUs, vmx, over 1ms, 3 older ones overwritten; by time'
exitdump slow -S "$T/tree" --vm vm1
like 'one of them' "$out" '^VM 1001-11 \(vm1\), 2 VMs|^VM 1001-11 \(vm1\), 3 vCPUs, vmx, over 1ms; by time'
exitdump slow -S "$T/tree" --vm 'vm*' --raw -o vm,vcpu
is 'several, by time' "$out" "$(lines '1000-11 1' '1001-11 0')"
slow "$T/tree/$kvm/7777-4/exit_cycles_slow" 0 1000 vm <<<'1000 7777 0 0 12 HLT - 0x0 9000000 1 0 0 0 0 0'
exitdump slow -S "$T/tree" --vm 7777-4 --raw -o vm
is 'one of two VMs of a process' "$status:$out:$err" 0:7777-4:
cp -r "$T/tree" "$T/damaged"
truncate -s -5 "$T/damaged/$kvm/1001-11/exit_cycles_slow"
for vm in 1001 1001-11 'vm*'; do
	exitdump slow -S "$T/damaged" --vm "$vm"
	is "--vm $vm, of which a file is damaged: not taken for one that has ended" "$status:$out:$err" \
		"1::exitdump: $T/damaged/$kvm/1001-11/exit_cycles_slow: cut off (copy it again)"
done
exitdump slow -i "$T/tree/$kvm/exit_cycles_slow" --raw -o vm,vmname -n 1
is 'of a file the processes: its host is another' "$out" "$(lines '1000 -')"
if unshare -m true 2>/dev/null; then
	# shellcheck disable=SC2016 # the arguments of that shell
	run unshare -m sh -c 'mount --bind "$1/sys/kernel" /sys/kernel && exec "$2" slow -i "$3" --raw -o vm -n 1' sh \
		"$T/tree" "$EXITDUMP" "$T/tree/$kvm/exit_cycles_slow"
	is 'even if this one has VMs of those numbers' "$status:$out:$err" 0:1000:
else
	skip 'even if this one has VMs of those numbers' 'no mount namespaces here'
fi

# --- top

if ! has_terminal; then
	skip 'top' 'tmux is not installed'
	done_testing
fi
# A second slow exit of the same vCPU and reason.
lines "899000000000 999 0 0 12 HLT - 0x0 9000000 1 0 0 0 0 0" >>"$T/tree/$kvm/exit_cycles_slow"
show tree
tm new-session -d -x 120 -y 24 "TZ=UTC '$EXITDUMP' -S '$T/root' top -o name,exits,lost 0.2; echo status \$?; read -r"
sees 'reasons' 'the last interval'
tm send-keys s
sees 's: the slow exits, all that there are, without a sum' \
	$'3 older ones overwritten.*all counts so far.*TIME +LOST MOSTLY .*\n2023-11-14 22:13:20\\.500 22\\.0ms user space .*<\n.*22:11:40\\.999 .*local timer.*\n2023-11-14 21:56:41[^\n]*\n *\n'
tm send-keys Down
sees 'the cursor' $'22:13:19\\.250 31\\.0ms no CPU [^\n]*<\n'
sleep 0.5
like 'top: they are there in the next interval as well' "$(tm capture-pane -p)" $'\n2023-11-14 22:13:19\\.250 31\\.0ms'
tm send-keys r
sees 'r: the other way round' $'by -time.*\n +TIME +LOST [^\n]*\n2023-11-14 21:56:41'
like 'top: the cursor stays with its exit' "$(tm capture-pane -p)" $'22:13:19\\.250 31\\.0ms no CPU [^\n]*<\n'
tm send-keys End Up Up Up
sees 'one of two that are alike' $'22:11:40\\.999 [^\n]*\n2023-11-14 22:11:41\\.000 [^\n]*<\n'
tm send-keys s
sees 's: back' $'by lost.*\nTOTAL'
tm send-keys v
sees 'v: the VMs' $'\n1001-11 vm1 '
tm send-keys Down s
sees 's: those of the chosen VM' $'VM 1001-11 \\(vm1\\).*over 1ms.*\n2023-11-14 22:13:19\\.250 '
tm send-keys Escape
sees 'Esc: back' $'\n1001-11 vm1 '
rm "$T/tree/$kvm/"{1001-11/,}exit_cycles_slow
tm send-keys s
sees 'a kernel without the recorder: said, and nothing changes' $'exit_cycles_slow: No such file [^\n]*\n.*\n1001-11 vm1 '
tm send-keys q
sees 'q' 'status 0'

done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump compare puts a healthy and a sick VM side by side, by the time that each
# loses per second of its guest's time, however long each of them ran. Its first line names
# the cause. It does the same with vCPUs, captures and spans between captures.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

kvm=sys/kernel/debug/kvm

# guest PID-FD NAME GUEST-CYCLES ROW...: makes a VM at 2 GHz. A row is number, name, exits,
# lost cycles.
guest() {
	local dir=$T/host/$kvm/$1/vcpu0 name=$2 cycles=$3
	mkdir -p "$dir" "$T/host/proc/${1%-*}"
	printf 'qemu\0-name\0%s\0' "$name" >"$T/host/proc/${1%-*}/cmdline"
	printf '%s\n' "${@:4}" | awk -v OFS='\t' -v guest="$cycles" '
		BEGIN {
			print "# exit_cycles 1", "vendor=vmx", "tsc_khz=2000000", "tsc=stable", \
				"scope=vm", "vms=1", "vcpus=1", "guest=" guest
			print "reason", "name", "exits", "cycles", "total", "halt", "stop"
		}
		{
			print $1, $2, $3, $4, $4 + 500, 500, 0
			exits += $3; lost += $4; total += $4 + 500; halt += 500
		}
		END { print "-", "TOTAL", exits, lost, total, halt, 0 }' >"$dir/exit_cycles"
	cp "$dir/exit_cycles" "$dir/../exit_cycles"
}
# One second of guest time; and a tenth of a second with ten times the rate of page faults.
guest 100-9 healthy 2000000000 '10 CPUID 1000 2000000' '30 IO_INSTRUCTION 500 100000000' '48 EPT_VIOLATION 2000 20000000'
guest 200-9 sick 200000000 '10 CPUID 100 200000' '12 HLT 5 1000' '30 IO_INSTRUCTION 50 10000000' '48 EPT_VIOLATION 2000 20000000'
mkdir -p "$T/host/$kvm"
cp "$T/host/$kvm/100-9/exit_cycles" "$T/host/$kvm/"
compare() { exitdump compare -S "$T/host" "$@"; }

compare healthy sick
is 'a healthy VM and a sick one: the cause stands first' "$status:$out" \
'0:A: healthy, overhead 5.7%
B: sick, overhead 13.1%
per second of guest time; the largest change first
NAME           A EXITS/S B EXITS/S A LOST B LOST CHANGE FACTOR
EPT_VIOLATION       2000     20000   1.0%  10.0%  +9.0%  x10.0
HLT                  0.0      50.0   0.0%   0.0%  +0.0%      -
CPUID               1000      1000   0.1%   0.1%  +0.0%  x1.00
IO_INSTRUCTION       500       500   5.0%   5.0%  +0.0%  x1.00
TOTAL               3500     21550   6.1%  15.1%  +9.0%  x2.48'
compare sick healthy
like 'the other way round it is better' "$out" $'\nEPT_VIOLATION +20000 +2000 +10\\.0% +1\\.0% +-9\\.0% +x0\\.10\n'
compare sick healthy --raw -n 1
is 'the other way round, for programs' "$out" \
	"$(lines 'EPT_VIOLATION 20000.000 2000.000 0.100000 0.010000 -0.090000 0.100000')"
guest 300-9 we/tuned 2000000000 '10 CPUID 1000 2000000' '30 IO_INSTRUCTION 50 10000000' '48 EPT_VIOLATION 4000 60000000'
compare healthy we/tuned/0 --csv
is 'the largest change first, be it for the better; a vCPU of a name with a slash' "$(cut -d, -f 1,6 <<<"$out" | xargs)" \
	'name,change IO_INSTRUCTION,-0.045000 EPT_VIOLATION,0.020000 CPUID,0.000000'
compare 100 200-9/0 --csv -r IO_INSTRUCTION
is 'a VM by its PID, a vCPU; one reason' "$out" \
	$'name,a_exits,b_exits,a_lost,b_lost,change,factor\nIO_INSTRUCTION,500.000,500.000,0.050000,0.050000,0.000000,1.000000'
guest 400-9 edge,,a 200000000000 '1 A 9994 1000' '2 B 9997 1000' '3 C 1 1000'
guest 500-9 edge,,b 200000000000 '1 A 9994 9994' '2 B 9997 9997' '3 C 1 99970'
compare 400 edge,b
is 'names with a comma; a PID and its name; numbers at the edge of their digits' "$status:$out" \
'0:A: 400 (edge,a), overhead 0.0%
B: edge,b, overhead 0.0%
per second of guest time; the largest change first
NAME  A EXITS/S B EXITS/S A LOST B LOST CHANGE FACTOR
C           0.0       0.0   0.0%   0.0%  +0.0%   x100
B           100       100   0.0%   0.0%  +0.0%  x10.0
A          99.9      99.9   0.0%   0.0%  +0.0%  x9.99
TOTAL       200       200   0.0%   0.0%  +0.0%  x40.0'
guest 600-9 büro 2000000000 '10 CPUID 1000 2000000'
guest 700-9 rack/web 2000000000 '10 CPUID 100 200000'
for name in rack/web rack/web/0; do
	compare healthy "$name" --raw -r CPUID
	is "a name with a slash: $name" "$status:$out:$err" "0:$(lines 'CPUID 1000.000 100.000 0.001000 0.000100 -0.000900 0.100000'):"
done
compare healthy rack/we
is 'no such name with a slash' "$status:$out:$err" '1::exitdump: no VM rack/we (exitdump list shows all VMs)'
compare healthy büro/0 --raw -r CPUID
is 'a name that is not ASCII, with ? in place of its bytes' "$status:$out:$err" \
	"0:$(lines 'CPUID 1000.000 1000.000 0.001000 0.001000 0.000000 1.000000'):"
compare healthy '[hs]*' --raw -r EPT_VIOLATION
is 'several VMs: their sum' "$out" "$(lines 'EPT_VIOLATION 2000.000 3636.364 0.010000 0.018182 0.008182 1.818182')"
compare healthy sick --vcpu 7
is '--vcpu: of running VMs as well' "$status:$out:$err" '1::exitdump: no vCPU 7 in VM healthy (exitdump list shows them)'
compare healthy sick --vm healthy
is '--vm: not of running VMs, which A and B name' "$status:$out:$err" \
	'1::exitdump: compare: --vm: only with captures, but healthy is none'
exitdump compare "$T/host/$kvm/100-9/exit_cycles" "$T/host/$kvm/200-9/exit_cycles" --raw -n 1
is 'two captured files' "$out" "$(lines 'EPT_VIOLATION 2000.000 20000.000 0.010000 0.100000 0.090000 10.000000')"
sed $'1s/\tvendor=vmx//' "$T/host/$kvm/100-9/exit_cycles" >"$T/unsaid"
compare "$T/unsaid" 200
is 'a file that does not say its vendor, and has no name, and a VM' "$status:$(sed 2q "$T/.out"):$err" \
"0:A: $T/unsaid, overhead 5.7%
B: 200 (sick), overhead 13.1%:"
compare 200 "$T/unsaid"
is 'the other way round' "$status:$(sed 2q "$T/.out"):$err" \
"0:A: 200 (sick), overhead 13.1%
B: $T/unsaid, overhead 5.7%:"
exitdump compare "$T/host" "$T/host" --vm healthy --raw -n 1 -r CPUID --tsc-khz 4000000
is 'two captured folders, a VM of each, at another frequency' "$out" "$(lines 'CPUID 2000.000 2000.000 0.001000 0.001000 0.000000 1.000000')"
for sides in "$T/host/$kvm/100-9/exit_cycles $T/host" "$T/host $T/host/$kvm/200-9/exit_cycles"; do
	# shellcheck disable=SC2086 # two sides
	exitdump compare $sides --vm sick --raw -n 1 -r EPT_VIOLATION
	case $sides in
	"$T/host "*) is 'a VM of a folder, and a file' "$status:$out:$err" "0:$(lines 'EPT_VIOLATION 20000.000 20000.000 0.100000 0.100000 0.000000 1.000000'):" ;;
	*) is 'a file, and a VM of a folder' "$status:$out:$err" "0:$(lines 'EPT_VIOLATION 2000.000 20000.000 0.010000 0.100000 0.090000 10.000000'):" ;;
	esac
done
exitdump compare "$T/host/$kvm/100-9/exit_cycles" "$T/host/$kvm/200-9/exit_cycles" --vm sick
is '--vm with two files: nothing to choose' "$status:$out:$err" \
	"1::exitdump: compare: --vm: chooses a VM of a folder, but neither $T/host/$kvm/100-9/exit_cycles nor $T/host/$kvm/200-9/exit_cycles is one"

# Spans of different length between captures, each measured by its own guest time.
for step in 1 2 12; do
	tree "$T/tree$step" 1 1 -v step="$step"
done
exitdump compare "$T/tree1,$T/tree2" "$T/tree2,$T/tree12" --raw -r REASON_9
is 'two spans: nothing has changed but their length' "$status:$(cut -f 4- <<<"$out")" \
	"0:$(lines '0.090909 0.090909 0.000000 1.000000')"
exitdump compare "$T/tree1,$T/tree2" "$T/tree2,$T/tree12" --raw -r TYPO
is 'a reason that is none: said' "$status:$out:$err" '0::exitdump: TYPO: no such exit so far (exitdump -o name lists all)'
compare sick healthy --raw -r HLT -n 1
is 'one that only A has: nothing to say' "$status:$err" 0:
lines '#~exit_cycles~1 tsc_khz=1000000 guest=1000' 'reason name exits total halt stop' '1 A 1 10 0 0' '2 B 5 50 0 0' '- TOTAL 6 60 0 0' >"$T/x"
lines '#~exit_cycles~1 tsc_khz=1000000 guest=2000' 'reason name exits total halt stop' '1 A 2 20 0 0' '2 B 5 50 0 0' '- TOTAL 7 70 0 0' >"$T/y"
exitdump compare "$T/x,$T/y" "$T/x,$T/y" --raw -r B
is 'one that happened before, and not in this span: not said' "$status:$out:$err" 0::
mkdir "$T/two" "$T/one"
tree "$T/two" 2 2
tree "$T/one" 1 3 -v step=2
exitdump compare "$T/two,$T/one" "$T/tree1" --vm 'vm*' --raw -r REASON_9
is 'a VM of a pattern ended: the figures of the others, and it is said' "$status:$(cut -f 2,4 <<<"$out"):$err" \
	"0:$(lines '53475.936 0.090909'):exitdump: $T/two,$T/one: 1 VM ended in this interval, its last figures are lost"
exitdump compare "$T/tree1" "$T/two,$T/one" --vm 'vm*' --raw -r REASON_9
is 'and so of B' "$status:$err" "0:exitdump: $T/two,$T/one: 1 VM ended in this interval, its last figures are lost"
if command -v jq >/dev/null; then
	exitdump compare "$T/two,$T/one" "$T/tree1" --vm 'vm*' --json
	is 'so is the time inside the guest' "$(jq .a.guest "$T/.out")" $(((3 * 2 - 2) * 55 * 6800))
fi
tree "$T/two" 2 2 -v step=3
tree "$T/two" 1 2 -v step=1
mkdir "$T/more"
tree "$T/more" 2 2 -v step=9
tree "$T/more" 1 2 -v step=1
exitdump compare "$T/more,$T/two" "$T/tree1" --vm 'vm*'
is 'a VM of a pattern was cleared' "$status:$out:$err" "1::exitdump: $T/more,$T/two: counters were cleared in between"
tree "$T/two" 1 2 -v step=40
exitdump compare "$T/more,$T/two" "$T/tree1" --vm 'vm*'
is 'even if the others hide it in the sum' "$status:$out:$err" "1::exitdump: $T/more,$T/two: counters were cleared in between"
# span FIRST LATER WHY: no span between captures of two kinds.
span() {
	exitdump compare "$1,$2" "$T/tree1"
	is "a span between two kinds: $3" "$status:$out:$err" "1::exitdump: $1, $2: $3"
}
sed 1s/tsc_khz=2000000/tsc_khz=1000000/ "$T/tree2/$kvm/exit_cycles" >"$T/other-tsc"
span "$T/tree1/$kvm/1000-11/exit_cycles" "$T/tree2/$kvm/exit_cycles" 'one is of vm, the other of host'
span "$T/tree1/$kvm/exit_cycles" "$T/other-tsc" 'the TSC of one has 2000000 kHz, that of the other 1000000 kHz'
exitdump compare "$T/tree2,$T/tree1" "$T/tree1"
is 'the wrong way round' "$status:$out:$err" \
	"1::exitdump: $T/tree2,$T/tree1: counters were cleared in between"
exitdump compare "$T/tree1" "$T/tree2" --vcpu 7
is 'captures without that vCPU' "$status:$out:$err" "1::exitdump: $T/tree1: has no account"
exitdump compare "$T/tree1" "$T/tree2" 0.01
is 'captures over an interval' "$status:$out:$err" "1::exitdump: $T/tree1: a capture has no interval"

# Live, over an interval.
show tree1
"$EXITDUMP" compare -S "$T/root" vm0 vm0/0 2 --raw -r REASON_9 >"$T/live" 2>"$T/.err" &
pid=$!
sleep 1
show tree12
status=0
wait "$pid" || status=$?
is 'live, over an interval' "$status:$(cut -f 4- "$T/live"):$(<"$T/.err")" \
	"0:$(lines '0.090909 0.090909 0.000000 1.000000'):"
show tree1
"$EXITDUMP" compare -S "$T/root" vm0 vm0/0 2 --json >"$T/live" &
pid=$!
sleep 1
show tree12
wait "$pid"
is 'live, in JSON: with its length' "$(jq -c '[.interval > 1.99, .total.change + 0, .a.guest, .b.guest]' "$T/live")" '[true,0,4114000,4114000]'

status=0
timeout 0.5 "$EXITDUMP" compare -S "$T/root" vm0 vm0/0 4295 >"$T/live" 2>&1 || status=$?
is 'live: an interval of more than 2^32 us does not end at once' "$status:$(<"$T/live")" 124:
show tree1
exitdump compare -S "$T/root" vm0 vm0/0 0.01
is 'live: a guest that did not run' "$status:$out:$err" "1::exitdump: vm0: cannot be compared: it spent no time inside the guest"
for side in "" /0 ./none; do
	exitdump compare -S "$T/root" "$side" vm0
	is "a side of no VM, '$side'" "$status:$out:$err" "1::exitdump: ${side:-''}: neither a file nor VM/VCPU"
done

tree "$T/svm" 1 1 -v vendor=svm
for args in "$T/tree1 $T/svm" 'healthy' 'healthy sick x' 'healthy nobody' 'healthy sick/x' 'healthy sick/0,x' \
	"healthy sick 0.01 1" 'healthy sick -a' 'healthy sick --hist' 'healthy sick --openmetrics' 'healthy sick -o name' 'healthy sick -s exits'; do
	# shellcheck disable=SC2086 # words
	compare $args
	is "compare ${args//"$T/"}: refused in one line" "$status:$out:$(wc -l <"$T/.err")" 1::1
done
exitdump compare "$T/tree1" "$T/tree2" -i "$T/x"
is '--input: refused' "$status:$out:$err" '1::exitdump: compare: not with --input, --guest, --all-vms, --all-vcpus, --output or --sort'
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits total' '- TOTAL 0 0' >"$T/no-guest"
compare "$T/no-guest" sick
is 'without time in the guest there is nothing to compare by' "$status:$out:$err" \
	"1::exitdump: $T/no-guest: cannot be compared: its time inside the guest is not known"
lines '#~exit_cycles~1 vendor=vmx guest=1' 'reason name exits total halt' '- TOTAL 0 0 0' >"$T/no-stop"
compare sick "$T/no-stop"
is 'nor without what was lost' "$status:$out:$err" \
	"1::exitdump: $T/no-stop: cannot be compared: its lost time is not known (no column total, halt or stop)"

# JSON has the same numbers, for programs.
if command -v jq >/dev/null; then
	sed 1s/tsc_khz=2000000/tsc_khz=1000000/ "$T/host/$kvm/100-9/exit_cycles" >"$T/slower"
	sed $'1s/\ttsc_khz=2000000//' "$T/host/$kvm/100-9/exit_cycles" >"$T/no-khz"
	exitdump compare "$T/host/$kvm/100-9/exit_cycles" "$T/slower" --json -u us
	is 'JSON: with --unit, each by its own TSC' "$status:$(jq -c '[.unit, .a.guest + 0, .b.guest + 0]' "$T/.out")" '0:["us",1000000,2000000]'
	exitdump compare "$T/slower" "$T/no-khz" --json -u ns
	is 'JSON: --unit, of an unknown TSC: refused' "$status:$out:$err" \
		"1::exitdump: $T/no-khz: --unit: the TSC's frequency is not known here (--tsc-khz tells it)"
	exitdump compare "$T/slower" "$T/no-khz" --json -u cycles
	is 'JSON: in cycles it need not be known' "$status:$(jq -c '[.unit, .a.guest, .b.guest]' "$T/.out"):$err" '0:["cycles",2000000000,2000000000]:'
	compare healthy/0 sick --vcpu 0-7 --json
	is '--vcpu: of a side that names none itself' "$(jq -c '[.a.vcpu, .b.vcpu]' "$T/.out")" '[0,0]'
	compare healthy/0 sick/0 --vcpu 7 --json
	is 'and of no other side' "$(jq -c '[.a.vcpu, .b.vcpu]' "$T/.out"):$err" '[0,0]:'
	compare healthy 200-9/0 --json
	is 'JSON: one object, of both' "$status:$(wc -l <"$T/.out"):$(jq -c '[.version, .interval, .unit, (.time > 1e9), .a, .b]' "$T/.out")" \
		'0:1:[2,null,"cycles",true,{"name":"healthy","vm":"100-9","vmname":"healthy","vcpu":null,"guest":2000000000,"overhead":0.057493},{"name":"200-9/0","vm":"200-9","vmname":"sick","vcpu":0,"guest":200000000,"overhead":0.131194}]'
	plain() { awk -F '\t' '{ for (i = 2; i <= NF; i++) if ($i != "-") $i = sprintf("%.6f", $i); print }' "$1"; }
	jq -r '.rows[] | [.name, .a_exits, .b_exits, .a_lost, .b_lost, .change, .factor // "-"] | @tsv' "$T/.out" >"$T/json"
	compare healthy 200-9/0 --raw
	is 'JSON: rows in the same order, with the numbers of --raw' "$(plain "$T/json")" "$(plain "$T/.out")"
	compare healthy sick --json -n 1
	is 'JSON: -n, and the total' "$(jq -c '[(.rows | length), .rows[0].reason, .total.name, .total.reason, .total.a_lost + 0, .total.b_lost + 0]' "$T/.out")" \
		'[1,48,"TOTAL",null,0.061,0.151005]'
	exitdump compare "$T/tree1,$T/tree2" "$T/tree2,$T/tree12" --json
	is 'JSON: two spans, of which nobody knows the length' "$(jq .interval "$T/.out")" null
	exitdump compare "$T/tree1,$T/tree2" "$T/host" --json --vm healthy
	is 'JSON: a side that has no such VM' "$status:$out" 1:
	cp "$T/host/$kvm/100-9/exit_cycles" "$T/a\"b\\"$'\e'
	exitdump compare "$T/a\"b\\"$'\e' "$T/a\"b\\"$'\e' --json
	is 'JSON: a file of any name' "$(jq -r '.a.name' "$T/.out")" "$T/a\"b\\?"
fi

# diff: a rate and a cost without a clock.
exitdump diff "$T/tree1" "$T/tree2" -n 1
is 'diff: per second of guest time' "$out" \
'overhead 33.3%: host, 1 VM, 1 vCPU, vmx; by lost
NAME     EXITS GEXITS   LOST GLOST SHARE   USER  SCHED   HALT
REASON_9    10  53476 17.0us  9.1% 18.2% 10.0us 1.00us 2.50us
TOTAL       55 294118 93.5us 50.0%  100% 55.0us 5.50us 13.8us'

done_testing

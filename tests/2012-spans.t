#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a difference shows exactly the counts between two moments, although VMs come and
# go, counters wrap, and counters are cleared. A cleared counter is reported, and never
# gives a negative or a wrong number.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

command -v jq >/dev/null || skip_all "jq is not installed"

# 2 VMs of 2 vCPUs with 55 exits each; then the same with two and three times as many.
for step in 1 2 3; do
	tree "$T/tree$step" 2 2 -v step="$step"
done
show tree1

# between TREE ARGUMENT...: runs exitdump run while "root" becomes another tree.
between() {
	exitdump run -S "$T/root" "${@:2}" -- ln -sfn "$1" "$T/root"
}

between tree3 --raw --output name,exits,cycles,total,halt,user -n 2
is 'run: what happened while the command ran' "$out" \
	"$(lines 'REASON_9 80 80000 320000 40000 160000' \
		'REASON_8 72 72000 288000 36000 144000')"
show tree1
between tree3 -a --raw --output vmname,exits,guest,overhead
is 'run: by VM' "$out" "$(lines 'vm0 220 1496000 0.333333' 'vm1 220 1496000 0.333333')"
show tree1
between tree3 --json
is 'run --json: the histogram of the span, and a rate' "$(jq -c '[.rows[0].name,
	.rows[0].hist[12], .rows[0].max, (.rows[0].rate > 0), (.interval > 0)]' "$T/.out")" \
	'["REASON_9",80,null,true,true]'
between tree3 --raw --output name
is 'run: nothing happened: no line' "$status:$out" 0:
show tree1
exitdump run -S "$T/root" --json -- sh -c "ln -sfn tree3 '$T/root'; sleep 0.2"
is 'run: the rate is that of the interval' "$(jq '.rows[0] | .exits' "$T/.out") $(jq '.interval as $s |
	.rows[0].rate * $s / .rows[0].exits | . > 0.9 and . < 1.1' "$T/.out")" '80 true'
show tree1
between tree3 -r TYPO --raw
is 'run: of a reason that is none' "$status:$out:$err" '0::exitdump: TYPO: no such exit so far (exitdump -o name lists all)'

exitdump run -S "$T/root" -- bash -c 'echo hello; exit 7'
is 'run: the command'\''s output and status' "$status:${out%%$'\n'*}" 7:hello
# shellcheck disable=SC2016 # the command's own process
exitdump run -S "$T/root" -- bash -c 'kill -9 $$'
is 'run: killed by a signal' "$status" 137
exitdump run -S "$T/root" -- /nonexistent
is 'run: no such command' "$status:$out:$err" '127::exitdump: /nonexistent: No such file or directory'
exitdump run -S "$T/root"
is 'run: nothing to run' "$status:$err" '1:exitdump: run: takes a command'

exitdump diff "$T/tree1" "$T/tree2" -u cycles
like 'diff of two trees' "$out" 'TOTAL +220 294118 748000'
kvm=sys/kernel/debug/kvm
exitdump diff "$T/tree1/$kvm/exit_cycles" "$T/tree3/$kvm/exit_cycles" --raw -o hist,exits
is 'diff: no such column' "$status" 1
exitdump diff "$T/tree1/$kvm/exit_cycles" "$T/tree3/$kvm/exit_cycles" --raw -o p50,exits,rate -r 9
is 'diff of two files, with their histograms; how long it was is not known' "$out" "$(lines '4095 80 -')"
exitdump diff "$T/tree2" "$T/tree1"
is 'diff: the wrong way round' "$status:$out:$err" "1::exitdump: $T/tree1: has lower counters than $T/tree2 (wrong order? cleared in between?)"
tree "$T/svm" 2 2 -v vendor=svm
exitdump diff "$T/tree1" "$T/svm"
like 'diff: of two vendors' "$status:$out:$err" '^1::.*one is of vmx, the other of svm$'
for pair in "$kvm/1000-11/exit_cycles vm:$kvm/exit_cycles host" \
	"$kvm/1000-11/vcpu0/exit_cycles vcpu:$kvm/1000-11/exit_cycles vm"; do
	read -r a of b or <<<"${pair/:/ }"
	exitdump diff "$T/tree1/$a" "$T/tree2/$b"
	is "diff: of a $of and a $or" "$status:$out:$err" \
		"1::exitdump: $T/tree1/$a, $T/tree2/$b: one is of $of, the other of $or"
done
sed 1s/tsc_khz=2000000/tsc_khz=3000000/ "$T/tree2/$kvm/exit_cycles" >"$T/faster"
for unit in cycles us; do
	exitdump diff "$T/tree1/$kvm/exit_cycles" "$T/faster" -u "$unit"
	is "diff: of TSCs of two frequencies, in $unit" "$status:$out:$err" \
		"1::exitdump: $T/tree1/$kvm/exit_cycles, $T/faster: the TSC of one has 2000000 kHz, that of the other 3000000 kHz"
done
sed $'1s/\t.*//' "$T/tree1/$kvm/exit_cycles" >"$T/tells-nothing"
exitdump diff "$T/tells-nothing" "$T/tree2/$kvm/exit_cycles" --raw -r 9 -o exits
is 'diff: where one does not tell' "$status:$out" 0:40
awk -F '\t' -v OFS='\t' 'NR > 2 { for (i = 3; i <= NF; i++) $i = 0 } NR < 3 || $2 == "TOTAL"' "$T/tells-nothing" >"$T/nothing-yet"
exitdump diff "$T/nothing-yet" "$T/tree2/$kvm/exit_cycles" --raw -r 9 -o exits
is 'diff: of a reason that only the second has' "$status:$out:$err" 0:80:
exitdump diff "$T/tree1"
is 'diff: one capture' "$status" 1
exitdump diff "$T/tree1" "$T/tree2" "$T/tree3"
is 'diff: three captures' "$status:$out:$err" '1::exitdump: diff: takes two captures, the earlier first'

# Cleared: the counters of one VM are lower than before.
show tree2
cp -r "$T/tree3" "$T/cleared"
rm -r "$T/cleared/$kvm/1001-11"
cp -r "$T/tree1/$kvm/1001-11" "$T/cleared/$kvm/"
between cleared -a --raw --output vmname,exits,total,guest
is 'cleared: the other VM has its figures, this one none' "$status:$out" \
	"0:$(lines 'vm0 110 440000 748000' 'vm1 - - -')"
is 'cleared: and it is said' "$err" \
	'exitdump: counters of VM 1001-11 were cleared in this interval, so its figures are left out'
show tree2
between tree1 --raw
is 'cleared: the whole host' "$status:$out:$err" \
	'0::exitdump: counters were cleared in this interval, so its figures are left out'
show tree2
between tree1 -a --raw --output exits
is 'cleared: all VMs' "$status:$out:$err" \
	"0:$(lines - -):exitdump: counters of 2 VMs were cleared in this interval, so their figures are left out"
show tree2
between tree1 --json
is 'cleared: in JSON, and not beside it' "$(jq -c '[.rows, .totals[0].cleared, .totals[0].exits]' "$T/.out"):$err" \
	'[[],true,null]:'
for pick in -a '--vm vm?'; do
	show tree2
	# shellcheck disable=SC2086 # words
	between tree1 $pick --json
	is "cleared: all VMs, $pick: but their TSC is known" "$(jq -c '[.vendor, .tsc_khz, .rows]' "$T/.out")" '["vmx",2000000,[]]'
done

rm -r "$T/cleared/$kvm/1001-11"
cp -r "$T/tree3/$kvm/1001-11" "$T/cleared/$kvm/"
cp -r "$T/tree1/$kvm/1001-11/vcpu0" "$T/cleared/$kvm/1001-11/"
show tree2
between cleared --all-vcpus --raw --output exits
is 'cleared: one vCPU is named' "$status:$err" \
	'0:exitdump: counters of vCPU 0 of VM 1001-11 were cleared in this interval, so its figures are left out'
tree "$T/long1" 2 7
tree "$T/long2" 1 7
rm -r "$T/long2/$kvm/1000-11/vcpu"[1-6]
sed -i 's/\t[1-9][0-9]*$/\t0/' "$T/long2/$kvm/1000-11/vcpu0/exit_cycles"
mkdir -p "$T/long2/sys/module/kvm/parameters"
echo N >"$T/long2/sys/module/kvm/parameters/exit_cycles"
for step in 1 2; do
	mv "$T/long$step/$kvm/1000-11" "$T/long$step/$kvm/4000000000-1000000000"
done
show long1
between long2 --all-vcpus --raw
is 'cleared, ended, switched off at once: the line is whole' "$status:$err" \
	'0:exitdump: counters of vCPU 0 of VM 4000000000-1000000000 were cleared in this interval, so its figures are left out; 13 vCPUs ended in this interval, their last figures are lost; nothing is counted at present (/sys/module/kvm/parameters/exit_cycles is N; exitdump on starts it)'
mkdir -p "$T/off/sys/module/kvm/parameters"
cp -r "$T/tree1/sys/kernel" "$T/off/sys/"
echo N >"$T/off/sys/module/kvm/parameters/exit_cycles"
off='exitdump: nothing is counted at present (/sys/module/kvm/parameters/exit_cycles is N; exitdump on starts it)'
exitdump -S "$T/off" --raw -o exits -n 1
is 'switched off: said of a snapshot' "$status:$out:$err" "0:40:$off"
exitdump -S "$T/off" --raw -o exits 0.01 1
is 'switched off: and of an interval' "$status:$out:$err" "0::$off"
: >"$T/off/sys/module/kvm/parameters/exit_cycles"
exitdump -S "$T/off" --raw -o exits -n 1
is 'a switch of which nothing is known: nothing is said' "$status:$out:$err" 0:40:

# The columns are chosen once. An interval in which a VM's numbers are unknown keeps them;
# they are empty there, and never a 0 that nobody counted.
cp -r "$T/tree3" "$T/one-cleared"
rm -r "$T/one-cleared/$kvm/1001-11"
cp -r "$T/tree1/$kvm/1001-11" "$T/one-cleared/$kvm/"
show tree2
: >"$T/csv"
"$EXITDUMP" -S "$T/root" -a --csv 0.3 40 >"$T/csv" 2>"$T/.err" &
pid=$!
rows() { # N: waits for N lines of the VM
	local i
	for ((i = 0; i < 600; i++)); do
		[[ $(grep -c "vm1" "$T/csv") -lt $1 ]] || return 0
		sleep 0.05
	done
}
rows 1
show one-cleared
rows 3
show tree3
rows 5
kill "$pid"
wait "$pid" 2>/dev/null || :
is 'cleared: every line of a CSV has as many fields as the heading' \
	"$(awk -F, 'NR == 1 { n = NF } NF != n { print NR }' "$T/csv")" ''
is 'cleared: the interval is empty where nothing is known' "$(grep vm1 "$T/csv" | grep -c ',vm1,,,,,,,,,,,,,,,,$')" 1
like 'cleared: and said' "$(<"$T/.err")" 'counters of VM 1001-11 were cleared'
show tree2
between one-cleared -a
like 'cleared: - in a table, and sums of the others' "$out" $'\n1001-11 vm1 +- +- +- +- [ -]*\nTOTAL +[0-9]+ +187us '
show tree2
between one-cleared -a --raw --output vmname -s -exits
is 'cleared: what is not known stays last, whatever the order' "$out" $'vm0\nvm1'
show tree2
between one-cleared -a --json
is 'cleared: null in JSON' "$(jq -c '[.rows[] | select(.vm == "1001-11")], (.totals[] | select(.vm == "1001-11") |
	[.exits, .rate, .total, .lost, .share, .guest, .overhead, .max, .hist, .cleared])' "$T/.out")" \
	$'[]\n[null,null,null,null,null,null,null,null,null,true]'
show tree2
between cleared --vcpu 0-1 --raw --output exits,lost -r 9
is 'cleared: a sum of vCPUs is that of the others, which is said' "$status:$out:$err" \
	"0:$(lines '30 102000'):exitdump: some of the counters were cleared in this interval, so their figures are left out"

# exitdump notices every counter that decreases, even if all others increase.
fell() { # SED-EXPRESSION FILE: changes FILE in the later reading
	rm -rf "$T/fell"
	cp -r "$T/tree2" "$T/fell"
	sed -i "$1" "$T/fell/$kvm/$2"
	show tree1
	between fell --raw --output exits,p99
	echo "$out$err"
}
is 'guest= alone that fell' "$(fell '1s/guest=[0-9]*/guest=1/' exit_cycles)" \
	'exitdump: counters were cleared in this interval, so its figures are left out'
hist=$(awk -F '\t' '$1 == 9 { print $15 }' "$T/tree2/$kvm/exit_cycles_hist")
is 'a bucket alone that fell' "$(fell "s/^\(9\t.*\t\)$hist\t0/\11\t$((hist - 1))/
	s/^\(-\t.*\t\)\([0-9]*\)\t0\(\(\t0\)\{18\}\)\$/\1$((2 * 220 - hist + 1))\t$((hist - 1))\3/" exit_cycles_hist)" \
	'exitdump: counters were cleared in this interval, so its figures are left out'

# Intervals do not drift: an interval includes the time that reading takes. Here a clock goes
# on by 7 ms whenever it is read, and otherwise only while exitdump sleeps.
gcc -shared -fPIC -o "$T/clock.so" -x c - <<'END'
#include <time.h>
static struct timespec now = { .tv_sec = 1000 };
int clock_gettime(clockid_t clock, struct timespec *t)
{
	now.tv_nsec += 7000000;
	*t = now;
	return 0;
}
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{ now = *until; return 0; }
END
run env LD_PRELOAD="$T/clock.so" "$EXITDUMP" -S "$T/tree1" --json 0.2 5
is 'intervals do not drift, but for the first reading' "$(jq '[.interval, .time] | map(. * 1000 | round)[]' "$T/.out" | xargs)" \
	'214 1000221 200 1000421 200 1000621 200 1000821 200 1001021'

# Signals: the status is always the command's own, whoever ends it.
traps() { # SIGNAL TO
	local pid i
	rm -f "$T/ready"
	# shellcheck disable=SC2016 # the command's own
	setsid env --default-signal=INT,HUP,QUIT "$EXITDUMP" run -S "$T/root" --raw --output name,exits -- bash -c 'trap "sleep 0.2; exit 23" HUP INT QUIT TERM
		touch "$0"; for ((i = 0; i < 300; i++)); do sleep 0.1; done' "$T/ready" >"$T/.out" 2>"$T/.err" &
	pid=$!
	for ((i = 0; i < 300; i++)); do
		[[ -e $T/ready ]] && break
		sleep 0.05
	done
	show tree3
	kill "-$1" "${2:-}$pid"
	status=0
	wait "$pid" || status=$?
	echo "$status:$(head -n 1 "$T/.out")"
	show tree1
}
show tree1
is 'run: SIGTERM reaches the command, whose status counts' "$(traps TERM)" "23:$(lines 'REASON_9 80')"
is 'run: and SIGINT' "$(traps INT)" "23:$(lines 'REASON_9 80')"
is 'run: and SIGHUP, SIGQUIT' "$(traps HUP)$(traps QUIT)" "23:$(lines 'REASON_9 80')23:$(lines 'REASON_9 80')"
is 'run: Ctrl-C, which both get' "$(traps INT -)" "23:$(lines 'REASON_9 80')"
run env --ignore-signal=HUP "$EXITDUMP" run -S "$T/root" --raw -- sh -c 'kill -HUP $$; exit 5'
is 'run: a signal that is ignored, as under nohup' "$status" 5
run env --ignore-signal=CHLD "$EXITDUMP" run -S "$T/root" --raw -- sh -c 'exit 5'
is 'run: where the caller ignores SIGCHLD' "$status:$err" 5:
exitdump run -S "$T/root" --openmetrics -- touch "$T/ran"
like 'run: metrics are no differences, so nothing is run' "$status:$out:$err:$(ls "$T/ran" 2>/dev/null)" '^1::exitdump: [^'$'\n'']*:$'
: >"$T/no-program"
exitdump run -S "$T/root" -- "$T/no-program"
is 'run: what cannot be run' "$status:$out:$err" "126::exitdump: $T/no-program: Permission denied"

# If max did not rise, the longest exit of this interval is not known. This is also true for a
# sum in which another max rose, but not above the old one.
high() { # DIR MAX0 EXITS0 MAX1 EXITS1: two vCPUs of a VM
	local vcpu
	for vcpu in 0 1; do
		mkdir -p "$1/$kvm/100-1/vcpu$vcpu"
		lines '#~exit_cycles~1 vendor=vmx scope=vcpu vms=1 vcpus=1' 'reason name exits total max' \
			"12 HLT $3 $(($3 * 1000)) $2" "- TOTAL $3 $(($3 * 1000)) $2" \
			>"$1/$kvm/100-1/vcpu$vcpu/exit_cycles"
		shift 3
		set -- "$dir" "$@"
	done
	cp "$dir/$kvm/100-1/vcpu0/exit_cycles" "$dir/$kvm/"
}
maxima() { # EXITS0 MAX0 EXITS1 MAX1: the max after; before, each had 1 exit and a max of 900
	dir=$T/high1 && high "$dir" 900 1 900 1
	dir=$T/high2 && high "$dir" "$2" "$1" "$4" "$3"
	exitdump diff "$T/high1" "$T/high2" --vcpu 0-1 --raw -o max
	echo "$out"
}
is 'max of a sum: one rose above what the other can have' "$(maxima 2 900 2 950)" 950
is 'max of a sum: both rose' "$(maxima 2 920 2 910)" 920
is 'max of a sum: none rose' "$(maxima 2 900 2 900)" -
dir=$T/high1 && high "$dir" 900 1 100 1
dir=$T/high2 && high "$dir" 900 2 120 2
exitdump diff "$T/high1" "$T/high2" --vcpu 0-1 --raw -o max
is 'max of a sum: what rose is below what the other can have' "$out" -
exitdump diff "$T/high1" "$T/high2" --all-vcpus -o vm,vcpu,max
is 'and in the row of sums' "$(tail -n 1 <<<"$out" | tr -d ' ')" TOTAL--
dir=$T/high2 && high "$dir" 900 1 120 2
exitdump diff "$T/high1" "$T/high2" --vcpu 0-1 --raw -o max
is 'max of a sum: the other had no exit' "$out" 120
exitdump diff "$T/high1" "$T/high2" --vcpu 0-1 -o name,max
is 'and in the row of sums, too' "$(tail -n 1 <<<"$out" | tr -s ' ')" 'TOTAL 120'

# One VM ends, and another begins.
tree "$T/three" 3 2
show tree1
between three -a --raw --output vmname,exits
is 'a new VM began with zeros' "$out" "$(lines 'vm2 110' 'vm0 0' 'vm1 0')"
between tree1 -a --raw --output vmname,exits
is 'a VM that ended' "$status:$err" \
	'0:exitdump: 1 VM ended in this interval, its last figures are lost'
show three
between tree1 -a --json
is 'in JSON' "$(jq .gone "$T/.out")" 1
mkdir -p "$T/tree3/sys/module/kvm/parameters"
echo N >"$T/tree3/sys/module/kvm/parameters/exit_cycles"
show three
between tree3 -a --raw --output vmname,exits
is 'two things to say: both are, in one line' "$status:$err" \
	"0:exitdump: 1 VM ended in this interval, its last figures are lost; ${off#exitdump: }"
rm -r "$T/tree3/sys/module"
show three
between tree1 --vm vm2
is 'the one VM that was asked for ended' "$status:$err" \
	'1:exitdump: no VM vm2 (exitdump list shows all VMs)'

tree "$T/empty" 0 0
show tree1
between empty --vcpu 0-1 --raw --output exits
is 'all vCPUs that were asked for ended with their VMs' "$status:$out:$err" \
	'0::exitdump: 4 vCPUs ended in this interval, their last figures are lost'
exitdump diff "$T/tree1" "$T/tree2" --vcpu 7
is 'diff: of a vCPU that neither has' "$status:$out:$err" "1::exitdump: $T/tree1, $T/tree2: no vCPU 7 in any VM"
exitdump diff "$T/empty" "$T/tree1" --vcpu 0 --raw --output name -n 1
is 'diff: of a vCPU that is new' "$status:$out:$err" 0:REASON_9:

# The sum of successive intervals is the whole difference.
show tree1
: >"$T/csv"
"$EXITDUMP" -S "$T/root" --csv -o exits,name -r 9 0.05 2000 >"$T/csv" &
pid=$!
for ((i = 0; i < 600; i++)); do
	[[ -s $T/csv ]] && break
	sleep 0.05
done
show tree2
for ((i = 0; i < 600; i++)); do
	[[ $(<"$T/csv") != *,REASON_9* ]] || break
	sleep 0.05
done
show tree3
for ((i = 0; i < 600; i++)); do
	[[ $(grep -c ,REASON_9 "$T/csv") != 2 ]] || break
	sleep 0.05
done
kill "$pid"
wait "$pid" || :
is 'intervals: each change once, the heading once' "$(<"$T/csv")" \
	$'exits,name\n40,REASON_9\n40,REASON_9'

# exitdump, stopped for as long as ten intervals, continues with one long interval and not
# with ten empty ones.
"$EXITDUMP" -S "$T/root" --json 0.2 6 >"$T/json" &
pid=$!
for ((i = 0; i < 600; i++)); do
	[[ -s $T/json ]] && break
	sleep 0.05
done
kill -STOP "$pid"
sleep 2
kill -CONT "$pid"
wait "$pid"
is 'after a stop: one interval for all of it, no burst' "$(jq -s -c '[length,
	([.[] | select(.interval > 1.5)] | length), ([.[] | select(.interval < 0.02)] | length) < 3]' \
	"$T/json")" '[6,1,true]'

exitdump -S "$T/root" 0.01 3
is 'COUNT intervals, then the end' "$status:$(grep -c '^NAME' "$T/.out")" 0:3
like 'each with its time and length' "$out" '^[0-9:]{8} \+0\.[0-9]{3} s: host'
exitdump -S "$T/root" --json 0.01 2
is 'JSON: an object a line' "$(jq -c .version "$T/.out")" $'2\n2'
exitdump -S "$T/root" --csv 0.01 2
is 'CSV: the time stands first' "${out:0:15}" time,name,exits
show tree1
between tree3 --csv --output time,exits -n 1
is 'CSV: and is that of the day' "$(tail -n 1 <<<"$out" | awk -F, -v now="$(date +%s)" '
	{ print ($1 > now - 60 && $1 <= now + 1) }')" 1
show tree1
exitdump -S "$T/root" -r TYPO --raw 0.01 2
is 'of a reason that is none: said once' "$status:$out:$err" '0::exitdump: TYPO: no such exit so far (exitdump -o name lists all)'
# A signal that comes as soon as the command has started.
gcc -shared -fPIC -o "$T/early.so" -x c - <<<$'#include <signal.h>\nint posix_spawnattr_destroy(void *attr) { return raise(SIGTERM); }'
run timeout 20 env LD_PRELOAD="$T/early.so" "$EXITDUMP" run -S "$T/tree1" --raw -- sleep 5
is 'run: a signal in the moment of the start reaches the command' "$status:$out:$err" 143::
for bad in 0 0.0099 -1 nan inf 1e9 86401 x 1x; do
	run timeout 10 "$EXITDUMP" -S "$T/root" -- "$bad"
	is "an interval of $bad" "$status$out" 1
done
run timeout 10 "$EXITDUMP" -S "$T/root" 1 0
is 'no number of intervals' "$status" 1
exitdump -S "$T/root" 1 2 3
is 'an argument too many' "$status:$err" '1:exitdump: 3: one argument too many (see --help)'
exitdump -S "$T/root" --openmetrics 1
is 'metrics are no differences' "$status:$out" 1:

done_testing

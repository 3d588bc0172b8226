#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: what happened between two moments is that of the VM and the vCPU that did it, even
# if others come and go; and exitdump never guesses which moments, or how many, were meant.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "$TOP/tests/fixtures/exitdump.sh"

kvm=sys/kernel/debug/kvm
for step in 1 2 3; do
	tree "$T/tree$step" 2 2 -v step="$step"
done

# A vCPU that is unplugged, before another one.
cp -r "$T/tree2" "$T/unplugged"
rm -r "$T/unplugged/$kvm/1000-11/vcpu0"
cp -r "$T/tree1" "$T/plugged"
cp "$T/tree3/$kvm/1001-11/vcpu1"/* "$T/plugged/$kvm/1000-11/vcpu0/"
show plugged
exitdump run -S "$T/root" --all-vcpus --raw --output vm,vcpu,exits -s vm,vcpu -- ln -sfn unplugged "$T/root"
is 'a vCPU that was unplugged: the others have what they did' "$status:$out:$err" \
	"0:$(lines '1000-11 1 55' '1001-11 1 55' '1001-11 0 55'):exitdump: 1 vCPU ended in this interval, its last figures are lost"
cp "$T/tree3/$kvm/1001-11/vcpu1"/* "$T/plugged/$kvm/1000-11/vcpu1/"
cp -r "$T/tree2" "$T/fewer"
show plugged
exitdump run -S "$T/root" --all-vcpus --raw --output exits -s vm,vcpu -- ln -sfn fewer "$T/root"
is 'two vCPUs that were cleared' "$status:$out:$err" \
	"0:$(lines - - 55 55):exitdump: counters of 2 vCPUs were cleared in this interval, so their figures are left out"

# A sum of which a part was cleared is that of the others: rows, shares and TOTAL agree.
cp -r "$T/tree3" "$T/vcpu"
cp "$T/tree1/$kvm/1000-11/vcpu0"/* "$T/vcpu/$kvm/1000-11/vcpu0/"
cp -r "$T/tree3" "$T/vm"
cp "$T/tree1/$kvm/1000-11"/exit_cycles* "$T/vm/$kvm/1000-11/"
# into TREE ARGUMENT...: what happened from tree2 to that tree.
into() {
	show tree2
	exitdump run -S "$T/root" "${@:2}" -- ln -sfn "$1" "$T/root"
}
some() { echo "exitdump: some of the counters$1 were cleared in this interval, so their figures are left out"; }
into vcpu -a --vcpu 0-1 --output vm,exits,share
is 'VMs of which one vCPU was cleared' "$status:$(sed 1d <<<"$out" | tr -s ' '):$err" \
	"0:VM EXITS SHARE
1001-11 110 66.7%
1000-11 55 33.3%
TOTAL 165 100%:$(some ' of VM 1000-11')"
into vm --vm 'vm*' --output name,exits,share -r REASON_9
is 'a sum of VMs of which one was cleared' "$status:$(sed 1d <<<"$out" | tr -s ' '):$err" \
	"0:NAME EXITS SHARE
REASON_9 20 18.2%
TOTAL 20 18.2%:$(some '')"
into vm --vm 'vm*' --hist
like 'its histogram' "$out" $'\nTOTAL: 110 exits, '
cp -r "$T/tree3" "$T/last"
cp "$T/tree1/$kvm/1001-11"/exit_cycles* "$T/last/$kvm/1001-11/"
into last --vm 'vm*' --raw --output name,exits
is 'of which the last one was cleared: each row once' "$status:$(awk '{ n += $2 } END { print NR, n }' "$T/.out"):$err" "0:10 110:$(some '')"
cp "$T/tree1/$kvm/1001-11/vcpu1"/* "$T/vcpu/$kvm/1001-11/vcpu1/"
into vcpu -a --vcpu 0-1 --raw --output exits
is 'two of them' "$status:$out:$err" "0:$(lines 55 55):$(some ' of 2 VMs')"

# Captures of which one VM was cleared, not the first.
cp -r "$T/tree2" "$T/second"
rm -r "$T/second/$kvm/1001-11"
cp -r "$T/tree1/$kvm/1001-11" "$T/second/$kvm/"
for args in -a --all-vcpus; do
	exitdump diff "$T/tree2" "$T/second" "$args"
	is "diff $args: the second VM was cleared" "$status:$out:$err" \
		"1::exitdump: $T/second: has lower counters than $T/tree2 (wrong order? cleared in between?)"
done

show tree2
exitdump run -S "$T/root" -- ln -sfn tree1 "$T/root"
is 'a table of a host that was cleared: nothing, in the usual order' "$(sed 's/.*: //; 2d' "$T/.out" | tr -s ' ')" $'host, 2 VMs, 4 vCPUs, vmx; by lost\nTOTAL - - - - - - - -'

# Tables of intervals.
show tree1
exitdump -S "$T/root" 0.01 3 -r TYPO -o name
is 'between two tables an empty line' "$(sed 's/^[0-9].*/head/' "$T/.out")" $'head\nNAME\nTOTAL\n\nhead\nNAME\nTOTAL\n\nhead\nNAME\nTOTAL'

# A clock that goes on by 0.3 s whenever it is read, from 13:53:20 UTC on; so each interval is late.
gcc -shared -fPIC -o "$T/clock.so" -x c - <<'END'
#include <stdio.h>
#include <time.h>
static struct timespec now = { 50000, 0 };
int clock_gettime(clockid_t clock, struct timespec *t)
{
	now.tv_sec += now.tv_nsec / 700000000;
	now.tv_nsec = (now.tv_nsec + 300000000) % 1000000000;
	*t = now;
	return 0;
}
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
	if (until->tv_sec * 1e9 + until->tv_nsec <= now.tv_sec * 1e9 + now.tv_nsec)
		fprintf(stderr, "no sleep\n");
	return 0;
}
END
run env TZ=XXX-2 LD_PRELOAD="$T/clock.so" "$EXITDUMP" -S "$T/tree1" 0.01 5
like 'the time in the headline: local, of 24 hours' "$out" '^15:53:2[0-9] \+[0-9.]+ s: '
is 'after each interval that came late there is a whole one' "$err" ""

one=$T/tree1/$kvm/exit_cycles two=$T/tree2/$kvm/exit_cycles
while IFS='|' read -r words why; do
	# shellcheck disable=SC2086 # words
	run timeout 10 "$EXITDUMP" $words
	is "exitdump ${words//"$T/"}: refused" "$status:$out:$err" "1::exitdump: $why"
done <<END
-S $T/root 0.01 2x|2x: not a number of intervals
-S $T/root 0.01 +2|+2: not a number of intervals
-S $T/root 0.01 0|0: not a number of intervals
-S $T/root 0.01 18446744073709551616|18446744073709551616: not a number of intervals
diff $one $two --vm vm0|$one: one file has one account: not with --vm, --vcpu, --all-vms or --all-vcpus
diff $one $two -c 0|$one: one file has one account: not with --vm, --vcpu, --all-vms or --all-vcpus
diff $one $two -a|$one: one file has one account: not with --vm, --vcpu, --all-vms or --all-vcpus
diff $one $two -S $T/root|diff: not with --input, --guest, --bpf or --sysroot
diff $one $two -i $one|diff: not with --input, --guest, --bpf or --sysroot
diff $one $two -g|diff: not with --input, --guest, --bpf or --sysroot
diff $one $two --bpf|diff: not with --input, --guest, --bpf or --sysroot
diff $one $two --openmetrics|--openmetrics: not for a span of time: it prints the counters so far
top 1 2|2: top takes an interval only
END

# A histogram, a column or a key that only one of the captures has gives no difference.
mkdir "$T/hist1"
cp "$T/tree1/$kvm/exit_cycles" "$T/hist1/a"
cp "$T/tree2/$kvm/exit_cycles" "$T/hist1/b"
cp "$T/tree2/$kvm/exit_cycles_hist" "$T/hist1/b_hist"
exitdump diff "$T/hist1/a" "$T/hist1/b" --raw -o exits,p50 -r 9
is 'diff: of a histogram that the first lacks' "$status:$out:$err" "0:$(lines '40 -'):"
cut -f 1-4 "$T/tree1/$kvm/exit_cycles" | sed $'1s/\tguest=.*//' >"$T/less"
exitdump diff "$T/less" "$T/tree2/$kvm/exit_cycles" -o name,exits,total,guest,overhead -r 9
is 'diff: of a column and a key that the first lacks' "$status:$(tail -n 1 <<<"$out" | tr -s ' ')" \
	'0:TOTAL 40 - - -'
cut -f 1-3 "$T/tree1/$kvm/exit_cycles" >"$T/less"
exitdump diff "$T/less" "$T/tree2/$kvm/exit_cycles" --raw -o exits,share -r 9
is 'diff: of a time that the first lacks there is no share' "$status:$out" "0:$(lines '40 -')"
# Nor may it go into lost and other: its part of the difference is not known.
lines '#~exit_cycles~1 tsc_khz=1000000 guest=1000' 'reason name exits cycles total halt user' \
	'1 A 10 100 1000 0 10' '2 B 1 1 1 0 0' '- TOTAL 11 101 1001 0 10' >"$T/less"
lines '#~exit_cycles~1 tsc_khz=1000000 guest=2000' 'reason name exits cycles total halt user stop' \
	'1 A 12 120 1200 0 12 150' '2 B 1 1 1 0 0 1' '- TOTAL 13 121 1201 0 12 151' >"$T/more"
exitdump diff "$T/less" "$T/more" --raw -o name,exits,lost,other,stop
is 'diff: a column that the first lacks: then lost is not known, and it has no line for that column' "$status:$out:$err" "0:$(lines 'A 2 - - -'):"
exitdump diff "$T/less" "$T/more"
is 'which the table leaves out' "$(sed -n 2p "$T/.out" | xargs)" 'NAME EXITS GEXITS SHARE USER HALT'
sed $'1s/\tguest=.*//' "$T/more" >"$T/other"
exitdump diff "$T/other" "$T/other"
is 'diff: without the time inside the guest, nothing per second of it' "$(sed -n 2p "$T/.out" | xargs)" 'NAME EXITS LOST SHARE USER HALT'

cut -f 1-3 "$T/tree2/$kvm/exit_cycles" | sed $'1s/\tguest=.*//' >"$T/less"
exitdump diff "$T/tree1/$kvm/exit_cycles" "$T/less" -o name,exits,total,guest,overhead -r 9
is 'diff: of what the second lacks' "$status:$(tail -n 1 <<<"$out" | tr -s ' ')" '0:TOTAL 40 - - -'
exitdump diff "$T/tree1/$kvm/exit_cycles" "$T/less"
is 'and the table no column' "$(sed -n 2p "$T/.out" | xargs)" 'NAME EXITS SHARE'
exitdump diff "$T/tree1" "$T/tree2" -r TYPO --csv -o exits
is 'diff: of a reason that is none' "$status:$out:$err" '0:exits:exitdump: TYPO: no such exit so far (exitdump -o name lists all)'

# Counters of 64 bits wrap: the exits go from 2^64 - 5 to 12.
one() { # EXITS MAX
	lines '#~exit_cycles~1 vendor=vmx' 'reason name exits max' "10 CPUID $1 $2" \
		"- TOTAL $1 $2"
}
one 18446744073709551611 500 >"$T/a"
one 12 700 >"$T/b"
one 4294967290 500 >"$T/c"
one 4294967301 500 >"$T/d"
exitdump diff "$T/a" "$T/b" --raw -o exits,max
is 'across 2^64, with a max that rose' "$out" $'17\t700'
exitdump diff "$T/c" "$T/d" --raw -o exits,max
is 'across 2^32, with a max of earlier' "$out" $'11\t-'
one 5000000000 700 >"$T/e"
exitdump diff "$T/a" "$T/e" --raw -o exits,max
is 'across 2^64, and more than 2^32' "$out" $'5000000005\t700'
# A smaller number is one of a counter that wrapped only if the difference is below 2^62.
one 4700000000000000000 700 >"$T/e"
exitdump diff "$T/a" "$T/e"
is 'by more than any counter can rise: cleared' "$status:$out:$err" "1::exitdump: $T/e: has lower counters than $T/a (wrong order? cleared in between?)"
one 4294967301 499 >"$T/e"
exitdump diff "$T/c" "$T/e"
is 'a max alone that fell: cleared' "$status:$out:$err" "1::exitdump: $T/e: has lower counters than $T/c (wrong order? cleared in between?)"
lines '#~exit_cycles~1' 'reason name exits' '1 A 5' '2 B 1' '- TOTAL 6' >"$T/ab"
lines '#~exit_cycles~1' 'reason name exits' '1 A 3' '2 B 21' '- TOTAL 24' >"$T/fell"
lines '#~exit_cycles~1' 'reason name exits' '2 B 24' '- TOTAL 24' >"$T/no-more"
for file in fell no-more; do
	exitdump diff "$T/ab" "$T/$file"
	is "a reason alone that fell, or is there no more: cleared: $file" "$status:$out:$err" "1::exitdump: $T/$file: has lower counters than $T/ab (wrong order? cleared in between?)"
done
for n in 100 300; do
	lines '#~exit_cycles~1 vendor=vmx' 'reason name exits total' "10 CPUID 5 $n" "- TOTAL 5 $n" >"$T/$n"
done
exitdump diff "$T/100" "$T/300" --raw -o name,exits,total
is 'time alone, without another exit: shown' "$out" "$(lines 'CPUID 0 200')"

# The columns of run are those of an interval; and a reason may happen for the first time.
lines '#~exit_cycles~1' 'reason name exits' '1 A 1' '- TOTAL 1' >"$T/alone"
lines '#~exit_cycles~1' 'reason name exits' '1 A 1' '2 B 3' '- TOTAL 4' >"$T/both"
cp "$T/alone" "$T/grows"
exitdump run -i "$T/grows" --csv -r B -- cp "$T/both" "$T/grows"
like 'run: a reason that happens for the first time; when, and how often a second' "$status:$out:$err" \
	$'^0:time,name,exits,rate,share\n[0-9]+\\.[0-9]{3},B,3,[0-9]+\\.[0-9]{3},:$'

# shellcheck disable=SC2016 # the command's own
exitdump run -i "$T/both" --raw --output name -- sh -c 'trap "exit 9" TERM; env kill -q 1 -TERM $PPID; sleep 5 & wait; exit 1'
is 'run: a signal of sigqueue() reaches the command, too' "$status:$out:$err" 9::

done_testing

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

# Captures of which one VM was cleared, not the first.
cp -r "$T/tree2" "$T/second"
rm -r "$T/second/$kvm/1001-11"
cp -r "$T/tree1/$kvm/1001-11" "$T/second/$kvm/"
for args in -a --all-vcpus; do
	exitdump diff "$T/tree2" "$T/second" "$args"
	is "diff $args: the second VM was cleared" "$status:$out:$err" \
		"1::exitdump: $T/second: has lower counters than $T/tree2 (wrong order? cleared in between?)"
done

# Tables of intervals.
show tree1
exitdump -S "$T/root" 0.01 3 -r TYPO -o name
is 'between two tables an empty line' "$(sed 's/^[0-9].*/head/' "$T/.out")" $'head\nNAME\nTOTAL\n\nhead\nNAME\nTOTAL\n\nhead\nNAME\nTOTAL'

one=$T/tree1/$kvm/exit_cycles two=$T/tree2/$kvm/exit_cycles
while IFS='|' read -r words why; do
	# shellcheck disable=SC2086 # words
	run timeout 10 "$EXITDUMP" $words
	is "exitdump ${words//"$T/"}: refused" "$status:$out:$err" "1::exitdump: $why"
done <<END
-S $T/root 0.01 2x|2x: not a number of intervals
-S $T/root 0.01 +2|+2: not a number of intervals
diff $one $two --vm vm0|$one: one file has one account: not with --vm, --vcpu, --all-vms or --all-vcpus
diff $one $two -c 0|$one: one file has one account: not with --vm, --vcpu, --all-vms or --all-vcpus
diff $one $two -a|$one: one file has one account: not with --vm, --vcpu, --all-vms or --all-vcpus
diff $one $two -S $T/root|diff: not with --input, --guest or --sysroot
diff $one $two -i $one|diff: not with --input, --guest or --sysroot
diff $one $two -g|diff: not with --input, --guest or --sysroot
diff $one $two --openmetrics|--openmetrics: not for a span of time: it prints the counters so far
top 1 2|2: top takes an interval only
END

done_testing

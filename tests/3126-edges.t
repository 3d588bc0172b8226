#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: max is the longest exit even if it is one cycle longer than the one before, whether
# the kernel or user space handles it. An exit that takes as long as the threshold of slow exits
# is none; one that takes a cycle more is one. The labs are exact here: TSC ticks are
# instructions.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# The module of the tests sets a row's max to what is one cycle below the longest exit of the
# same run before. It executes as many instructions as asked, in the exit that called it, so
# that this exit takes any number of cycles. The numbers have the same width in all runs.
in_lab <<'EOF'
cpuid=114 io=123
insmod ./set_account.ko
# in its first two seconds, Linux measures the TSC again, and goes to another clock
sleep 3
echo 0 >$P/exit_cycles_slow
khz=$(awk -F"[=\t]" '/^# / { print $5 }' $K/exit_cycles)

# column NAME REASON N: prints the Nth column of the reason in the account NAME.vm.
column() {
	awk -F'\t' -v name="== $1.vm" -v reason="$2" -v n="$3" '/^== / { on = $0 == name } on && $1 == reason { print $n }' "$1"
}

# guest NAME REASON MAX SPINS: runs it, and sets $total and $max to what the reason's row has then.
guest() {
	run_vmm "$1" --set "$(printf "%d 0 0 %012d %012d" "$2" "$3" "$4")" set:0=8 cpuid=5 >"$1"
	total=$(column "$1" "$2" 5) max=$(column "$1" "$2" 8)
}

# The kernel's way may differ by some instructions from run to run: try until it does not.
tries="1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"

# pair NAME REASON: runs the guest twice, the second time with a max of one cycle less.
pair() {
	for try in $tries; do
		guest "${1}0" "$2" 0 1
		before=$total
		guest "${1}1" "$2" $((max - 1)) 1
		[ "$total" != "$before" ] || break
	done
	cat "${1}0" "${1}1"
}

# lasting NAME TOTAL: runs the guest so that the last exit that calls the module takes TOTAL.
lasting() {
	for try in $tries; do
		guest least $io 0 1
		guest "$1" $io 0 $(($2 - total + 1))
		[ "$total" != "$2" ] || break
	done
	cat "$1"
}

pair kernel $cpuid
pair user $io

# the row of I/O has only the last exit that called the module
threshold=$((total * 1000 / khz + 2))
limit=$((threshold * khz / 1000))
section limit
echo $limit
echo $threshold >$P/exit_cycles_slow
lasting slow0 $limit
lasting slow1 $((limit + 1))
rmmod set_account
EOF

judge() {
	local cpuid=114 io=123 limit
	limit=$(<"$F/limit")
	is "$lab kernel: both runs took the same cycles" "$(cell kernel1.vm $cpuid total)" "$(cell kernel0.vm $cpuid total)"
	is "$lab kernel: one cycle longer than max is max" "$(cell kernel1.vm $cpuid max)" "$(cell kernel0.vm $cpuid max)"
	is "$lab user: both runs took the same cycles" "$(cell user1.vm $io total)" "$(cell user0.vm $io total)"
	is "$lab user: one cycle longer than max is max" "$(cell user1.vm $io max)" "$(cell user0.vm $io max)"
	is "$lab an exit that takes as long as the threshold is not slow" "$(cell slow0.vm $io total) $(cell slow0.vm $io slow)" "$limit 0"
	is "$lab a cycle more, and it is" "$(cell slow1.vm $io total) $(cell slow1.vm $io slow)" "$((limit + 1)) 1"
}

for one in $LABS; do
	boot_with set-account "$one" -x -c 1 || continue
	judge
done
done_testing

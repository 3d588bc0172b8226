#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the time in which a vCPU's thread is ready and has no CPU is sched, wherever
# in KVM it waits: amid the guest's work, in the handler of an exit (hsched), or woken
# up from a halt, of which it is no part. What it waits for is in no other part, and the
# row of interrupts, after which it is switched out, keeps next to nothing besides.
# The lab is exact here, so cycles may be asserted.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/labs.sh"

# Two on the lab's one CPU, that spin, or in whose exits the handler yields (as it does
# for PAUSE, which this lab's CPU has no filter for); then one whose timer fires while a thread above all others
# has that CPU, five milliseconds into the 50 that it takes.
in_lab <<'EOF'
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
khz=$(awk -F"[=\t]" "/^# / { print \$5 }" $K/exit_cycles)
run busy --vcpus 2 spin=100000000
run yield --vcpus 2 yield=5000
run late hlt-late:$((khz * 5)):50=4 cpuid=5
EOF

# percent A OF
percent() {
	echo $(($1 * 100 / $2))
}

# life SECTION VCPU: cycles from the first KVM_RUN to the last return.
life() {
	awk -v vcpu="$2" '$1 == "time" && $3 == vcpu && $4 == "run" { print $5 }' "$F/$1"
}

judge() {
	local run vcpu interrupt=1 hypercall=18 hlt=12 life whole sched ms least
	[[ $vendor == vmx ]] || interrupt=96 hypercall=129 hlt=120

	for run in busy yield; do
		for vcpu in 0 1; do
			life=$(life $run $vcpu)
			sched=$(cell $run.$vcpu TOTAL sched)
			whole=$(($(key $run.$vcpu guest) + $(cell $run.$vcpu TOTAL total)))
			# KVM need not find the other ready whenever one yields
			least=40
			[[ $run == busy ]] || least=20
			ok "$lab $run: vCPU $vcpu waits near half of its life: $(percent "$sched" "$life") %" \
				test "$(percent "$sched" "$life")" -ge $least -a "$(percent "$sched" "$life")" -le 60
			ok "$lab $run: vCPU $vcpu's guest and totals are its life within 1 %" \
				test $((whole * 100)) -ge $((life * 99)) -a $whole -le "$life"
		done
		is "$lab $run: the account agrees with itself" "$(insane $run.vm)" ''
		is "$lab $run: nobody halted or was stopped" "$(cell $run.vm TOTAL halt) $(cell $run.vm TOTAL stop)" "0 0"
	done

	whole=$(cell busy.vm $interrupt total)
	sched=$(cell busy.vm $interrupt sched)
	ok "$lab busy: the row of interrupts has the wait" test "$(percent "$sched" "$(cell busy.vm TOTAL sched)")" -ge 90
	ok "$lab busy: and little besides: $(percent $((whole - sched)) "$whole") %" \
		test "$(percent $((whole - sched)) "$whole")" -le 10
	ok "$lab busy: next to nothing of the wait is in the handler" \
		test "$(percent "$(cell busy.vm TOTAL hsched)" "$sched")" -le 1

	sched=$(cell yield.vm $hypercall hsched)
	ok "$lab yield: the handler yields, so most of the wait is in it: $(percent "$sched" "$(cell yield.vm $hypercall sched)") %" \
		test "$(percent "$sched" "$(cell yield.vm $hypercall sched)")" -ge 50
	ok "$lab yield: much of the handler's cycles is that: $(percent "$sched" "$(cell yield.vm $hypercall cycles)") %" \
		test "$(percent "$sched" "$(cell yield.vm $hypercall cycles)")" -ge 20

	ms=$(key late.vm tsc_khz)
	ok "$lab late: halted until the wake-up, 4 times 5 ms: $(($(cell late.vm $hlt halt) / ms)) ms" \
		test "$(cell late.vm $hlt halt)" -ge $((18 * ms)) -a "$(cell late.vm $hlt halt)" -le $((24 * ms))
	ok "$lab late: then waiting for the CPU, some 4 times 45 ms: $(($(cell late.vm $hlt sched) / ms)) ms" \
		test "$(cell late.vm $hlt sched)" -ge $((170 * ms)) -a "$(cell late.vm $hlt sched)" -le $((190 * ms))
	is "$lab late: none of it in the handler" "$(cell late.vm $hlt hsched)" 0
	is "$lab late: the account agrees with itself" "$(insane late.vm)" ''
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

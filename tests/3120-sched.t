#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the time in which a vCPU's thread is ready but has no CPU is sched, wherever in KVM
# it waits: in the middle of the guest's work, in the handler of an exit (hsched), or after
# it woke up from a halt (this time is not halt). The wait is in no other part. The row of
# interrupts, after which the thread is switched out, has almost nothing else. The labs are
# exact here, so the test may check cycles.
. "$(dirname "$0")/lib.sh"
MACHINES="svm one-vmx"
. "$(dirname "$0")/lab/labs.sh"

# Two vCPUs share the lab's one CPU. In the SVM lab their exits yield: those of a hypercall and
# of PAUSE (this lab's CPU has no filter for PAUSE). In Bochs they spin, because there no
# interrupt ends the turn of a vCPU that does not take any. Then the timer of one vCPU fires
# five milliseconds after a thread of the highest priority has taken the CPU for 50.
in_lab <<'EOF'
hogs_only
khz=$(awk -F"[=\t]" "/^# / { print \$5 }" $K/exit_cycles)
echo 10 >$P/exit_cycles_slow
run_vmm yield --vcpus 2 yield=5000
if [ "$vendor" = vmx ]; then
	# an exit with a wait takes 400 us or more, one without less than 320
	echo 350 >$P/exit_cycles_slow
	# the last stretch in the guest ends with an exit of its own
	run_vmm pause --vcpus 2 pause=6000 cpuid=1
	echo 1000 >$P/exit_cycles_slow
else
	# when the monitor has slept, a process of the highest priority has the CPU for 150 ms
	run_vmm outside --at '(sleep 0.05; exec chrt -f 1 sh -c ". ./words; keeps_cpu 15") &' shell=1 sleep-user:100=1 hlt:$((khz * 250))=1
	echo 1000 >$P/exit_cycles_slow
	run_vmm busy --vcpus 2 spin=100000000
	# the handler waits for two pages, and after each for the CPU; then the vCPU halts
	run_vmm pages --page-in 10 --page-hog 30 outs-uninit=1
fi
# it was in user space before
run_vmm late out-user=1 hlt-late:$((khz * 5)):50=4 cpuid=5
EOF

# percent A OF: prints A in percent of OF.
percent() {
	echo $(($1 * 100 / $2))
}

# life SECTION VCPU: prints the cycles from the first KVM_RUN to the last return.
life() {
	awk -v vcpu="$2" '$1 == "time" && $3 == vcpu && $4 == "run" { print $5 }' "$F/$1"
}

# judge_both SECTION LEAST: each of the two vCPUs waits for LEAST to 60 percent of its life.
judge_both() {
	local run=$1 vcpu life sched whole
	for vcpu in 0 1; do
		life=$(life "$run" $vcpu)
		sched=$(cell "$run.$vcpu" TOTAL sched)
		whole=$(($(key "$run.$vcpu" guest) + $(cell "$run.$vcpu" TOTAL total)))
		ok "$lab $run: vCPU $vcpu waits near half of its life: $(percent "$sched" "$life") %" \
			test "$(percent "$sched" "$life")" -ge "$2" -a "$(percent "$sched" "$life")" -le 60
		ok "$lab $run: vCPU $vcpu's guest and totals are its life within 1 %" \
			test $((whole * 100)) -ge $((life * 99)) -a $whole -le "$life"
	done
	is "$lab $run: the account agrees with itself" "$(contradictions "$run.vm")" ''
	is "$lab $run: nobody halted or was stopped" "$(cell "$run.vm" TOTAL halt) $(cell "$run.vm" TOTAL stop)" "0 0"
}

judge_busy() {
	local interrupt=96 whole sched
	judge_both busy 40
	whole=$(cell busy.vm $interrupt total)
	sched=$(cell busy.vm $interrupt sched)
	ok "$lab busy: the row of interrupts has the wait" test "$(percent "$sched" "$(cell busy.vm TOTAL sched)")" -ge 90
	ok "$lab busy: and little besides: $(percent $((whole - sched)) "$whole") %" \
		test "$(percent $((whole - sched)) "$whole")" -le 10
	ok "$lab busy: next to nothing of the wait is in the handler" \
		test "$(percent "$(cell busy.vm TOTAL hsched)" "$sched")" -le 1
}

# judge_yield SECTION REASON PART: the wait is at least PART percent of the handler's cycles.
# KVM does not always find the other vCPU ready when one yields.
judge_yield() {
	local wait
	judge_both "$1" 20
	wait=$(cell "$1.vm" "$2" hsched)
	ok "$lab $1: the handler yields, so most of the wait is in it: $(percent "$wait" "$(cell "$1.vm" "$2" sched)") %" \
		test "$(percent "$wait" "$(cell "$1.vm" "$2" sched)")" -ge 50
	ok "$lab $1: slow exits tell the wait in the handler" test \
		"$(awk -F'\t' 'NR > 2 && $14 > most { most = $14 } END { printf "%.0f", most }' "$F/$1.vm_slow")" -gt 0
	ok "$lab $1: and a wait there counts once" test \
		"$(awk -F'\t' 'NR > 2 && $14 > 0 && $13 == $14' "$F/$1.vm_slow" | wc -l)" -gt 0
	ok "$lab $1: much of the handler's cycles is that: $(percent "$wait" "$(cell "$1.vm" "$2" cycles)") %" \
		test "$(percent "$wait" "$(cell "$1.vm" "$2" cycles)")" -ge "$3"
}

# judge_pages: two waits of 30 ms in one handler, and a halt of 100 ms in the same exit.
judge_pages() {
	local io=123 column
	for column in hsched sched; do
		ok "$lab pages: two waits for the CPU in one handler are both $column: $(($(cell pages.vm $io $column) / ms)) ms" \
			test "$(cell pages.vm $io $column)" -ge $((59 * ms)) -a "$(cell pages.vm $io $column)" -le $((65 * ms))
	done
	ok "$lab pages: and are not taken from the halt after them: $(($(cell pages.vm $io halt) / ms)) ms" \
		test "$(cell pages.vm $io halt)" -ge $((95 * ms)) -a "$(cell pages.vm $io halt)" -le $((125 * ms))
	is "$lab pages: the account agrees with itself" "$(contradictions pages.vm)" ''
}

judge() {
	local hypercall=18 pause=40 hlt=12 ms
	[[ $vendor == vmx ]] || hypercall=129 hlt=120

	judge_yield yield $hypercall 20
	if [[ $vendor == vmx ]]; then
		judge_yield pause $pause 66
	else
		judge_busy
		ms=$(key outside.vm tsc_khz)
		ok "$lab outside: a wait for the CPU in user space is user: $(($(cell outside.vm TOTAL user) / ms)) ms" \
			test "$(cell outside.vm TOTAL user)" -ge $((150 * ms))
		ok "$lab outside: and in no halt later, of which $(($(cell outside.vm TOTAL sched) / ms)) ms are sched" \
			test "$(cell outside.vm TOTAL sched)" -lt $((30 * ms))
		judge_pages
	fi

	ms=$(key late.vm tsc_khz)
	ok "$lab late: halted until the wake-up, 4 times 5 ms: $(($(cell late.vm $hlt halt) / ms)) ms" \
		test "$(cell late.vm $hlt halt)" -ge $((18 * ms)) -a "$(cell late.vm $hlt halt)" -le $((24 * ms))
	ok "$lab late: then waiting for the CPU, some 4 times 45 ms: $(($(cell late.vm $hlt sched) / ms)) ms" \
		test "$(cell late.vm $hlt sched)" -ge $((170 * ms)) -a "$(cell late.vm $hlt sched)" -le $((190 * ms))
	is "$lab late: none of it in the handler" "$(cell late.vm $hlt hsched)" 0
	is "$lab late: the account agrees with itself" "$(contradictions late.vm)" ''
}

for one in $LABS; do
	boot "$one" -x -a "$(type -P chrt)" || continue
	judge
done
done_testing

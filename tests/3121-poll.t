#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: poll is the time for which KVM polled before it put a halted vCPU to sleep, equal
# to KVM's own halt_poll_success_ns and halt_poll_fail_ns. It is a part of halt.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# Without polling; with an interval that grows step by step; and with 20 ms after the first
# halt. The host's timers are no finer than 10 ms here.
in_lab <<'EOF'
khz=$(awk -F"[=\t]" "/^# / { print \$5 }" $K/exit_cycles)
halts="hlt:$((khz / 10))=20"
echo 0 >$P/halt_poll_ns
run_vmm none $halts
echo 20000000 >$P/halt_poll_ns
run_vmm grown $halts
echo 20000000 >$P/halt_poll_ns_grow_start
run_vmm polled $halts
# the statistics are cleared during a halt
run_vmm cleared --vcpus 2 --at "sleep 0.2; echo 0 >$K/halt_poll_success_ns; echo 0 >$K/halt_poll_fail_ns" \
	shell=1 / hlt:$((khz * 10))=5 hlt:$((khz * 500))=1
EOF

judge() {
	local run hlt=12 ns cycles halts
	[[ $vendor == vmx ]] || hlt=120

	for run in none grown polled; do
		ns=$(($(kvm_stat $run halt_poll_success_ns) + $(kvm_stat $run halt_poll_fail_ns)))
		cycles=$((ns * $(key $run.vm tsc_khz) / 1000000))
		halts=$(cell $run.vm $hlt exits)
		# each halt is rounded down; waiting for the CPU during polling is sched
		ok "$lab $run: poll is KVM's own, $ns ns, within rounding: $(($(cell $run.vm $hlt poll) - cycles)) of $cycles" \
			test "$(cell $run.vm $hlt poll)" -le $cycles -a "$(cell $run.vm $hlt poll)" -ge $((cycles - 2 * halts - $(cell $run.vm $hlt sched)))
		ok "$lab $run: it halted" test "$(cell $run.vm $hlt halt)" -ge $((2 * $(key $run.vm tsc_khz)))
		is "$lab $run: no other row polled" "$(cell $run.vm TOTAL poll)" "$(cell $run.vm $hlt poll)"
		is "$lab $run: the account agrees with itself" "$(contradictions $run.vm)" ''
	done
	ok "$lab cleared: a halt during which KVM forgets what it polled is not all poll" test \
		"$(cell cleared.1 $hlt poll)" -lt $((200 * $(key cleared.vm tsc_khz)))
	is "$lab none: nothing polled" "$(cell none.vm $hlt poll)" 0
	is "$lab none: all halts slept" "$(($(kvm_stat none halt_wait_ns) > 0))" 1
	ok "$lab grown: some polled, and then slept" test "$(kvm_stat grown halt_poll_fail_ns)" -gt 0
	ok "$lab grown: a part of halt" test "$(cell grown.vm $hlt poll)" -gt 0 -a \
		"$(cell grown.vm $hlt poll)" -lt "$(cell grown.vm $hlt halt)"
	# the first halt sleeps until the next tick
	ok "$lab polled: most polled until they were woken" test \
		$(($(cell polled.vm $hlt poll) * 2)) -ge "$(cell polled.vm $hlt halt)" -a \
		$(($(cell polled.vm $hlt halt) - $(cell polled.vm $hlt poll))) -le $((20 * $(key polled.vm tsc_khz)))
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the time that a vCPU is out of KVM_RUN after a signal is stop, whether its VMM is
# stopped or its thread handles the signal. Neither max, nor the histogram, nor another part
# has it. If an exit asked for user space, or KVM_RUN failed, the time is user, and not stop.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
# stopped from outside, while its guest runs
vmm --stats --loop 0 --after '. ./words; accounts stopped' spin=1000000 cpuid=3 >vm &
vm=$!
while ! ls -d $K/[0-9]*-* >/dev/null 2>&1; do sleep 0.05; done
sleep 0.3
for time in 1 2 3; do
	kill -STOP $vm
	sleep 0.4
	kill -CONT $vm
	sleep 0.1
done
kill $vm
wait $vm
section of-stopped
cat vm
run_vmm signal signal:100=3 sleep-user:10=1 cpuid=5
run_vmm user sleep-user:50=2 refused:50=1 cpuid=5
EOF

# parts SECTION: prints milliseconds of stop, user, halt, sched, and of the largest exit.
parts() {
	local column
	for column in stop user halt sched max; do
		echo $(($(cell "$1" TOTAL $column) / $(key "$1" tsc_khz)))
	done
}

judge() {
	local run stop user halt sched max cpuid=10
	[[ $vendor == vmx ]] || cpuid=114

	for run in stopped signal user; do
		{ read -r stop; read -r user; read -r halt; read -r sched; read -r max; } < <(parts $run.vm)
		note "$run: stop $stop, user $user, halt $halt, sched $sched, max $max ms"
		case $run in
		stopped) ok "$lab stopped: three times 400 ms are stop" test "$stop" -ge 1190 -a "$stop" -lt 1400 ;;
		signal) ok "$lab signal: three times 100 ms are stop" test "$stop" -ge 295 -a "$stop" -lt 350 ;;
		user) is "$lab user: nothing is stop" "$(cell user.vm TOTAL stop)" 0 ;;
		esac
		if [[ $run == user ]]; then
			ok "$lab user: three times 50 ms are user" test "$user" -ge 149 -a "$user" -lt 180
			ok "$lab user: the largest exit is one of them" test "$max" -ge 49 -a "$max" -lt 70
		else
			ok "$lab $run: nothing of it is user" test "$user" -lt 50
			ok "$lab $run: no exit is as large" test "$max" -lt 90
			is "$lab $run: none is in the last buckets" \
				"$(($(cell $run.vm_hist TOTAL 29) + $(cell $run.vm_hist TOTAL 30) + $(cell $run.vm_hist TOTAL 31)))" 0
		fi
		is "$lab $run: nor halt" "$halt" 0
		ok "$lab $run: nor a wait for the CPU" test "$sched" -lt 50
		is "$lab $run: the account agrees with itself" "$(contradictions $run.vm)" ''
	done
	is "$lab signal: what follows is counted" "$(cell signal.vm $cpuid exits)" 5
	ok "$lab signal: and an exit to user space after it is user" test "$(cell signal.vm TOTAL user)" -ge $((10 * $(key signal.vm tsc_khz)))
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

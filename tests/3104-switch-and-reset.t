#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the switch exit_cycles and the files exit_cycles_reset never lose or invent a
# count, even if a vCPU is in user space or halted at that moment. Time with the account
# switched off never becomes a long exit. The labs are exact here, so the test may check
# cycles.
# Stress: svm:kasan svm:kcsan svm:rt
. "$(dirname "$0")/lib.sh"
MACHINES="svm one-vmx"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
switch='/sys/module/kvm/parameters/exit_cycles'

# One vCPU is in user space at each `shell`; the exits before and after are known.
run_vmm switch --at "if [ \$VMM_AT = 1 ]; then echo N; else sleep 0.3; echo Y; fi >$switch" \
	cpuid=10 shell=1 cpuid=7 shell=1 cpuid=5
run_vmm off-on --at "echo N >$switch; sleep 0.3; echo Y >$switch" cpuid=10 shell=1 cpuid=5
# this switches nothing
run_vmm same --at "echo Y >$switch; echo Y >$P/exit_cycles_keys" cpuid=10 shell=1 cpuid=5

# a signal comes between the reset and the entry, twice
run_vmm cancelled --at "echo 0 >$K/\$VMM_DIRS/exit_cycles_reset" cpuid=10 pending=1 cpuid=3
section maybe
(echo maybe >$switch) 2>&1 | sed 's/.*: //'
cat $switch

# Resets each scope while vCPU 0 is in user space and vCPU 1 has ended; takes the accounts just
# before and just after.
for scope in vm vcpu host; do
	file=$(reset_file $scope)
	cat >reset <<-X
		. ./words
		sleep 0.2
		account $scope-host0
		echo 0 >\$K/$file
		account $scope-host1
		accounts $scope-zero
	X
	run_vmm $scope --vcpus 2 --at '. ./reset' cpuid=10 sleep-user:2=1 shell=1 cpuid=7 / cpuid=20
	account $scope-host2
done

# Two vCPUs, then two VMs, of which one is in user space while the other resets both.
for scope in vm host; do
	cat >both <<-X
		if mkdir $scope-first 2>/dev/null; then
			until [ -e $scope-second ]; do sleep 0.02; done
			echo 0 >$K/$(reset_file $scope)
			>$scope-reset
		else
			>$scope-second
			until [ -e $scope-reset ]; do sleep 0.02; done
		fi
	X
	each="--vms 2 --together" folder=
	[ $scope = host ] || each="--vcpus 2" folder='$VMM_DIRS'
	vmm --quiet $each --at ". ./both" --after ". ./words; account both-$scope $folder" cpuid=10 shell=1 cpuid=3
done

section refused
for text in 1 "" -1 "0 0" n 0n " 0" -0; do
	echo "$text" >$K/exit_cycles_reset
done 2>&1 | sed 's/.*: //'
section modes
for file in exit_cycles exit_cycles_hist exit_cycles_keys exit_cycles_slow exit_cycles_reset; do
	stat -c %a $K/$file
done
stat -c %a $P/exit_cycles*

# The switch and the resets happen during a halt of half a second, from vCPU 0's user space.
ticks=$(($(awk -F'[=\t]' '/^# / { print $5 }' $K/exit_cycles) * 500))
run_vmm halt --at 'sleep 0.1' --vcpus 2 --done-mmio shell=1 / hlt:$ticks=1 cpuid=3
run_vmm halt-off-on --at "sleep 0.1; echo N >$switch; echo Y >$switch" --vcpus 2 --done-mmio shell=1 / hlt:$ticks=1 cpuid=3
# off while it is in user space, on while its guest runs; then the guest waits for the CPU
if [ $vendor = svm ]; then
	hogs_only
	run_vmm on-in-guest --at "echo N >$switch; (sleep 0.2; echo Y >$switch) &" shell=1 spin=$ticks hog:100=1
	# off while its guest runs; it waits for the CPU; then on while it is in user space
	run_vmm waited --at "if [ \$VMM_AT = 1 ]; then (sleep 0.2; echo N >$switch) & else echo Y >$switch; fi" shell=1 spin=$ticks hog:100=1 shell=1 hlt:$((ticks / 2))=1
	# off while it halts, on when it no longer does; then it waits for a page
	run_vmm paged --page-in 20 --at "if [ \$VMM_AT = 1 ]; then (sleep 0.1; echo N >$switch) & else echo Y >$switch; fi" shell=1 hlt:$((ticks / 2))=1 shell=1 ept-async=1
fi
wakeups='cat /sys/kernel/debug/kvm/$VMM_DIRS/halt_wakeup >>wakeups'
run_vmm halt-reset --at "sleep 0.1; $wakeups; for n in 1 2; do echo 0 >/sys/kernel/debug/kvm/\$VMM_DIRS/vcpu1/exit_cycles_reset; done; $wakeups" \
	--vcpus 2 --done-mmio shell=1 / hlt:$ticks=1 cpuid=3
run_vmm halt-other --at "sleep 0.1; echo 0 >/sys/kernel/debug/kvm/\$VMM_DIRS/vcpu0/exit_cycles_reset" \
	--vcpus 2 --done-mmio shell=1 / hlt:$ticks=1 cpuid=3
section wakeups
cat wakeups
run_vmm halt-off --at "sleep 0.1; echo N >$switch" --vcpus 2 --done-mmio shell=1 / hlt:$ticks=1 cpuid=3
EOF

# cells SECTION REASON COLUMN...: prints numbers of one row.
cells() {
	local section=$1 reason=$2 all=()
	shift 2
	for column; do
		all+=("$(cell "$section" "$reason" "$column")")
	done
	echo "${all[*]}"
}

judge_reset() {
	local scope=$1 dropped=$2 one=$3 zero=$4 rest=$5 section
	is "$lab reset of $scope: refused nothing" "$(cat "$F/$scope.status" 2>/dev/null)" ''
	for section in $zero; do
		is "$lab reset of $scope: $section reads zero, at once" "$(cells "$scope-zero.$section" TOTAL exits cycles total user max) $(key "$scope-zero.$section" guest)" "0 0 0 0 0 0"
		is "$lab reset of $scope: $section has no key and no slow exit, at once" "$(tail -qn +3 "$F/$scope-zero.$section"_{keys,slow})" ''
	done
	is "$lab reset of $scope: the host's CPUID exits are $dropped fewer" \
		$(($(cell "$scope-host0" $cpuid exits) - $(cell "$scope-host1" $cpuid exits))) "$dropped"
	is "$lab reset of $scope: the VM leaves the host no more than that, not what it had before" \
		$(($(cell "$scope-host2" $cpuid exits) - $(cell "$scope-host1" $cpuid exits))) 7
	is "$lab reset of $scope: what comes later is counted" "$(cell "$scope.vm" $cpuid exits) $(cell "$scope.vm" $io exits)" "$rest"
	is "$lab reset of $scope: vCPU 1 has" "$(cell "$scope.1" $cpuid exits)" "$one"
	for section in $scope-host1 $scope.vm $scope.0 $scope.1; do
		is "$lab $section: the account agrees with itself" "$(contradictions "$section")" ''
	done
}

judge() {
	local cpuid=10 io=30 hlt=12 section run
	[[ $vendor == vmx ]] || cpuid=114 io=123 hlt=120

	is "$lab switched: CPUID exits while on, none while off" "$(cell switch.vm $cpuid exits)" 15
	is "$lab switched: no OUT exit, in which it was switched or the vCPU ended" "$(cell switch.vm $io exits)" 0
	is "$lab off and on in one exit: that is dropped, no other" "$(cells off-on.vm $cpuid exits) $(cells off-on.vm $io exits)" "15 0"
	is "$lab switched on while it is on: no exit is dropped" "$(cells same.vm $cpuid exits) $(cells same.vm $io exits)" "15 1"
	for section in switch off-on; do
		ok "$lab $section: no exit of 0.3 s" test "$(cell $section.vm TOTAL max)" -lt $((300 * $(key $section.vm tsc_khz)))
		ok "$lab $section: nor 0.3 s in the guest" test "$(key $section.vm guest)" -lt $((300 * $(key $section.vm tsc_khz)))
		is "$lab $section: the account agrees with itself" "$(contradictions $section.vm)" ''
	done

	is "$lab reset, then out of KVM_RUN twice before the entry: that is of no exit" "$(cells cancelled.vm $cpuid exits) $(cells cancelled.vm TOTAL stop)" "3 0"
	is "$lab neither Y nor N: refused, and nothing changes" "$(xargs <"$F/maybe")" "Invalid argument Y"

	#          scope dropped  vCPU 1  zero at once  CPUID and OUT exits at the end
	judge_reset vm 30 0 "vm 0 1" "7 0"
	judge_reset vcpu 10 20 "0" "27 0"
	judge_reset host "$(cell host-host0 $cpuid exits)" 0 "vm 0 1" "7 0"
	is "$lab reset of host: nothing is left" "$(cells host-host1 TOTAL exits cycles total halt user max)" "0 0 0 0 0 0"

	for run in vm host; do
		is "$lab reset of $run, by one of two: both are counted later" "$(cell both-$run $cpuid exits)" 6
	done
	is "$lab only a zero resets" "$(sort -u "$F/refused") $(wc -l <"$F/refused")" "Invalid argument 8"
	is "$lab modes of the files, and of the four parameters" "$(xargs <"$F/modes")" "444 444 444 444 200 644 644 644 644"

	[[ $vendor == vmx ]] || {
		run=$(awk '$1 == "time" && $4 == "run" { print $5 }' "$F/on-in-guest")
		ok "$lab switched on while the guest runs: it waits $(($(cell on-in-guest.vm TOTAL sched) / $(key on-in-guest.vm tsc_khz))) ms for the CPU" \
			test "$(cell on-in-guest.vm TOTAL sched)" -ge $((90 * $(key on-in-guest.vm tsc_khz)))
		ok "$lab switched on while the guest runs: what was before is not counted" test \
			$(($(key on-in-guest.vm guest) + $(cell on-in-guest.vm TOTAL total))) -lt $((run - 150 * $(key on-in-guest.vm tsc_khz)))
		ok "$lab switched on after a wait for the CPU: it is in no halt later, of which $(($(cell waited.vm TOTAL sched) / $(key waited.vm tsc_khz))) ms are sched" \
			test "$(cell waited.vm TOTAL sched)" -lt $((50 * $(key waited.vm tsc_khz)))
		ok "$lab switched off during a halt, and on after it: a wait for a page is there, of $(($(cell paged.vm 1024 total) / $(key paged.vm tsc_khz))) ms" \
			test "$(cell paged.vm 1024 total)" -ge $((15 * $(key paged.vm tsc_khz)))
		is "$lab and is no halt" "$(cell paged.vm TOTAL halt)" 0
	}
	ok "$lab halt: half a second" test "$(cell halt.vm $hlt halt)" -gt $((400 * $(key halt.vm tsc_khz)))
	is "$lab halt, off and on: the exit is dropped" "$(cells halt-off-on.1 $hlt exits total halt)" "0 0 0"
	is "$lab halt, off and on: what follows is counted" "$(cell halt-off-on.1 $cpuid exits)" 3
	is "$lab halt, reset: the exit is dropped" "$(cells halt-reset.1 $hlt exits total halt)" "0 0 0"
	ok "$lab halt, reset of the vCPU beside: the exit stays whole" \
		test "$(cell halt-other.1 $hlt exits)" = 1 -a "$(cell halt-other.1 $hlt halt)" -gt $((400 * $(key halt-other.vm tsc_khz)))
	is "$lab halt, reset: the vCPU is not woken for it" "$(uniq <"$F/wakeups" | wc -l)" 1
	is "$lab halt, reset twice: what follows is counted" "$(cell halt-reset.1 $cpuid exits)" 3
	is "$lab halt, off: the exit is dropped, and nothing counted after it" "$(cells halt-off.1 $hlt exits total halt) $(cell halt-off.1 $cpuid exits)" "0 0 0 0"
	for section in halt halt-off-on halt-reset halt-off; do
		is "$lab $section: the account agrees with itself" "$(contradictions $section.vm)" ''
		ok "$lab $section: less than half a second in the guests" test "$(key $section.vm guest)" -lt $((100 * $(key $section.vm tsc_khz)))
	done
}

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

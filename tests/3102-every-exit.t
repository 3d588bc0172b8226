#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: every exit is counted exactly once. The sum of exits equals KVM's own statistic,
# with guests that program the timer at a high rate, halt, go to user space, nest, or cannot
# be entered. All parts of their time add up. The labs are exact here, one tick an
# instruction, so the test may check cycles.
# Stress: svm:kasan svm:kcsan svm:rt svm:clang
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# between TITLE LOW VALUE HIGH
between() {
	ok "$1" test "$2" -le "$3" -a "$3" -le "$4"
	(($2 <= $3 && $3 <= $4)) || note "got: $3, expected: $2 to $4"
}

# row NAME: prints the number of a reason.
row() {
	case $vendor:$1 in
	vmx:timer) echo 52 ;;
	vmx:io) echo 30 ;;
	vmx:hlt) echo 12 ;;
	vmx:ept) echo 48 ;;
	vmx:msr) echo 32 ;;
	vmx:invalid) echo 33 ;;
	svm:io) echo 123 ;;
	svm:hlt) echo 120 ;;
	svm:ept) echo 1024 ;;
	svm:msr) echo 124 ;;
	svm:invalid) echo 4294967295 ;;
	esac
}

judge_section() {
	local section=$1
	if [[ -f $F/$section.status ]]; then
		if [[ $(<"$F/$section.status") == 77 ]]; then
			skip "$lab $section" "$(tail -n 1 "$F/$section")"
		else
			is "$lab $section: vmm ended well" "$(tail -n 3 "$F/$section")" ''
		fi
		return
	fi
	is "$lab $section: the sum of exits is KVM's own, but for the last" "$(($(cell "$section.vm" TOTAL exits) + 1))" "$(kvm_stat "$section" exits)"
	[[ ! $(vmm_says "$section") ]] ||
		is "$lab $section: and what the guest made is in its rows" "$(account_says "$section" "$section.vm")" "$(vmm_says "$section")"
	is "$lab $section: the account agrees with itself" "$(contradictions "$section.vm")" ''
	ok "$lab $section: it has no more time than there was" test "$(accounted "$section")" -le "$(run_time "$section")"
}

# run_time SECTION: prints the cycles in and between KVM_RUN, as the monitor measured them.
run_time() {
	awk '$1 == "time" && $4 == "run" { print $5 }' "$F/$1"
}

# outside SECTION TRIPS [SLACK]: all time between KVM_RUNs is in user or stop, once, of the row that
# asked for it. KVM_RUN itself takes 400 to 1,100 instructions to and from the monitor.
outside() {
	local run
	run=$(awk '$1 == "time" && $4 == "user" { print $5 }' "$F/$1")
	[[ $debug ]] ||
		between "$lab $1: all time of user space counts, and none twice" $((run + $2 * 400)) \
			"$(($(cell "$1.vm" "$(row io)" user) + $(cell "$1.vm" "$(row io)" stop)))" $((run + $2 * 1100 + ${3:-0}))
}

accounted() {
	echo $(($(key "$1.vm" guest) + $(cell "$1.vm" TOTAL total)))
}

judge() {
	local section run less ticks=100000
	for section in timer fast fast-only ipi hlt user refused pending mmio hlt-user ept triple bad nested nested-out bigreal; do
		[[ ! -f $F/$section ]] || judge_section "$section"
	done
	# each takes less than the time between the guest's RDTSCs; one more exit clears the
	# timer
	run=$(awk '$1 == "step" { printf "%.0f", 201 * ($7 + 1) }' "$F/fast-only")
	between "$lab fast-only: total is of these exits, and less than the guest saw pass" \
		"$(cell fast-only.vm "$(row msr)" cycles)" "$(cell fast-only.vm "$(row msr)" total)" "$run"
	ok "$lab ipi: the time of the fast path is not the guest's: it has $(key ipi.vm guest), beside $(key fast-only.vm guest)" \
		test "$(key ipi.vm guest)" -lt $(($(key fast-only.vm guest) * 3 / 2))
	if [[ $machine == vmx ]]; then
		is "$lab timer: every expiry took the fast path" "$(cell timer.vm "$(row timer)" exits)" 50
		[[ $debug ]] || ok "$lab left: what the fast path leaves to the handler has the handler's cycles only, near those of a read" test \
			$(($(cell left.vm 32 cycles) / 200 - $(cell left.vm 31 cycles) / 200)) -le 60
		# after an IPI to itself the fast path does not enter the guest: the exit handler comes, too
		ok "$lab ipi: the cycles of the fast path are in, beside those of the handler" test \
			$(($(cell ipi.vm "$(row msr)" cycles) / 200)) -gt $(($(cell fast-only.vm "$(row msr)" cycles) / 201))
		is "$lab bigreal: all exits are emulation, without an entry" \
			"$(cell bigreal.vm "$(row invalid)" exits)" "$(cell bigreal.vm TOTAL exits)"
	fi
	is "$lab bad: of two entries that fail, the second is in progress" "$(cell bad.vm "$(row invalid)" exits)" 1
	is "$lab ept: 64 pages more, 64 exits more" \
		"$(($(cell ept.vm "$(row ept)" exits) - $(cell ept1.vm "$(row ept)" exits)))" 64

	# 20 halts, minus the time to reach the halt: long on a debug kernel
	[[ $debug ]] && ticks=2000000
	run=$(awk '$1 == "step" { printf "%.0f", $5 * ($7 + 1) }' "$F/hlt")
	between "$lab hlt: the time halted is halt, as the guest saw it pass" $((16 * ticks)) "$(cell hlt.vm "$(row hlt)" halt)" "$run"
	is "$lab hlt: and no other row's" "$(cell hlt.vm TOTAL halt)" "$(cell hlt.vm "$(row hlt)" halt)"
	is "$lab user: nothing halted there" "$(cell user.vm TOTAL halt)" 0
	outside user 50
	outside refused 100
	# a timer interrupt may come when it has slept
	outside pending 61 50000

	# the monitor's own measurement is a little shorter
	run=$(awk '$1 == "time" && $4 == "user" { print $5 }' "$F/sleep")
	between "$lab sleep: 50 ms asleep in user space are user" "$run" "$(cell sleep.vm "$(row io)" user)" $((run + run / 100))
	between "$lab sleep: and are 50 ms" $((3 * 50 * $(khz sleep.vm))) "$(cell sleep.vm "$(row io)" user)" $((3 * 60 * $(khz sleep.vm)))

	run=$(run_time mix)
	less=$((run / 100))
	# the time before the first entry: a tenth of the whole on a debug kernel, and different
	# from VM to VM
	[[ $debug ]] && less=$((less + 3 * ($(run_time once) - $(accounted once)) / 2))
	between "$lab mix: guest and totals are the run time but for 1 %" $((run - less)) "$(accounted mix)" "$run"
	run=$(run_time stretches)
	less=$((run / 20))
	[[ $debug ]] && less=$((less + 3 * ($(run_time once) - $(accounted once)) / 2))
	between "$lab stretches: what the guest ran before exits to user space is guest time" $((run - less)) "$(accounted stretches)" "$run"
	ok "$lab stretches: which is most of it" test "$(key stretches.vm guest)" -gt $((run / 2))
	is "$lab mix: of the vCPU's own account as well" "$(key mix.0 guest)" "$(key mix.vm guest)"
}

khz() {
	key "$1" tsc_khz
}

in_lab <<'EOF'
ticks=100000
[ ! "$LAB_DEBUG" ] || ticks=2000000
run_vmm timer deadline:20000=50
run_vmm fast wrmsr-fast=50 ipi=20 hlt-kicked=30 invd=6
run_vmm fast-only wrmsr-fast=200
run_vmm ipi --done-mmio ipi=200
run_vmm left wrmsr-slow=200 rdmsr=200
run_vmm hlt hlt:$ticks=20
run_vmm user --done-mmio out-user=50
run_vmm refused --done-mmio refused:0=50
# each stop is shorter than the longest exit
run_vmm pending --done-mmio sleep-user:20=1 pending=20
run_vmm sleep --done-mmio sleep-user:50=3
run_vmm mmio mmio=50
run_vmm hlt-user hlt-user=20
run_vmm ept1 ept=1
run_vmm ept ept=65
run_vmm triple out-kernel=3 triple=1
run_vmm bad --bad-entry
run_vmm nested nested=23
run_vmm nested-out nested-out=17
run_vmm once --done-mmio cpuid=1
run_vmm stretches --done-mmio --loop 20 spin=100000 out-user=1
run_vmm mix --done-mmio spin=1000000 cpuid=2000 out-user=200 hlt=10 deadline=10
if [ $vendor = vmx ]; then
	rmmod kvm-intel
	insmod "$LAB_MODULES/kvm-intel.ko" unrestricted_guest=0
	run_vmm bigreal --mode bigreal cpuid=23 out-kernel=17 out-user=3
fi
EOF

for one in $LABS; do
	boot "$one" -x || continue
	judge
done
done_testing

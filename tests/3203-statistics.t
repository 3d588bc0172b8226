#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: KVM's binary statistics (KVM_GET_STATS_FD) have a vCPU's sums, equal to those of
# exit_cycles, and its histogram. Unchanged QEMU shows them by query-stats. debugfs has the
# sums in the form of all its statistics, read-only, and reading them never waits for memory.
# Stress: svm:kasan svm:kcsan
. "$(dirname "$0")/lib.sh"
MACHINES="svm one-vmx"
. "$(dirname "$0")/lab/labs.sh"

FIELDS="exit_handler_cycles exit_total_cycles exit_halt_cycles exit_user_cycles exit_poll_cycles
	exit_sched_cycles exit_handler_sched_cycles exit_stop_cycles guest_cycles"
HIST="exit_total_cycles_hist"

in_lab <<EOF
FIELDS="$FIELDS" HIST="$HIST"
$(cat <<'INSIDE'
run_vmm vmm --vcpus 2 --at 'sleep 2' yield=1000 cpuid=50 out-user=7 hlt:5000000=3 wait-uninit:10=1 shell=1 / yield=1000 cpuid=20
# the first read of a VM's statistics, of the last one
section last
vmm --quiet --after '. ./words; cat $K/$VMM_DIRS/guest_cycles $K/$VMM_DIRS/exit_cycles' cpuid=5
section modes
for field in $FIELDS; do stat -c %a $K/$field; done

# Only the firmware, no disk: it ends up waiting for keys. The VM is stopped for the reads, so
# that debugfs and QEMU show the same exits.
qmp() {
	echo '{"execute": "qmp_capabilities"}'
	while ! grep -qs '"return"' answers || ! ls -d $K/[0-9]*-* >/dev/null 2>&1; do sleep 0.2; done
	sleep 3
	echo '{"execute": "stop"}'
	while ! grep -q '"STOP"' answers; do sleep 0.2; done
	account qemu.vm "$(cd $K && ls -d [0-9]*-*)" >tables
	account qemu.0 "$(cd $K && ls -d [0-9]*-*)/vcpu0" >>tables
	for field in $FIELDS; do
		echo "field $field $(cat $K/[0-9]*-*/$field)"
	done >fields
	echo '{"execute": "query-stats", "arguments": {"target": "vcpu", "providers": [{"provider": "kvm"}]}}'
	while ! grep -q '"stats"' answers; do sleep 0.2; done
	echo '{"execute": "query-stats-schemas", "arguments": {"provider": "kvm"}}'
	while ! grep -q '"target"' answers; do sleep 0.2; done
	echo '{"execute": "quit"}'
}
>answers
section qemu-stderr
qmp | timeout 300 qemu-system-x86_64 -accel kvm -cpu host -m 64 -nodefaults -display none \
	-bios "$PWD/bios-256k.bin" -qmp stdio >answers || echo "status $?"
cat tables
section fields
cat fields
section answers
cat answers

# If there are enough VMs, reclaim looks at their shadow pages, and takes the lock under which
# debugfs adds up all VMs. lockdep reports if these two could deadlock.
if [ -e /proc/lockdep ]; then
	section reclaim
	rmmod kvm-amd
	insmod "$LAB_MODULES/kvm-amd.ko" npt=0
	vms=
	for vm in 1 2 3 4 5 6; do
		vmm --loop 0 cpuid=100 ept=20 >vmm$vm &
		vms="$vms $!"
	done
	sleep 3
	echo 3000 >/proc/sys/vm/watermark_scale_factor
	echo $(($(awk '/^MemFree/ { print $2 }' /proc/meminfo) - 50000)) >/proc/sys/vm/min_free_kbytes
	dd if=/dev/zero of=fill bs=1M count=20 2>/dev/null
	sleep 2
	echo 4000 >/proc/sys/vm/min_free_kbytes
	awk '/ FD:/ { reclaim = /fs_reclaim$|shrinker_rwsem$/ } reclaim && $NF == "kvm_lock"' /proc/lockdep
	cat $K/exit_total_cycles >/dev/null
	kill $vms
	wait $vms
fi
INSIDE
)
EOF

need_command() { type -P "$1" >/dev/null || skip_all "no $1"; }
need_command qemu-system-x86_64
need_command jq

# statistic NAME: prints QEMU's value for the vCPU; a list as numbers with blanks.
statistic() {
	jq -r --arg name "$1" 'select(.return | type == "array") | .return[].stats[]
		| select(.name == $name and has("value")) | .value | if type == "array" then join(" ") else . end' "$F/answers"
}

# table ACCOUNT: prints the values that the statistics should have.
table() {
	local column
	for column in cycles total halt user poll sched hsched stop; do
		cell "$1" TOTAL "$column"
	done
	key "$1" guest
}

# hist ACCOUNT: prints the buckets of all reasons together, a line each.
hist() {
	local bucket
	for ((bucket = 0; bucket < 32; bucket++)); do
		cell "$1_hist" TOTAL $bucket
	done
}

for one in $LABS; do
	boot "$one" -M 1024 -a "$(type -P qemu-system-x86_64)" \
		-a /usr/share/seabios/bios-256k.bin -a /usr/share/qemu/kvmvapic.bin || continue
	for vcpu in 0 1; do
		is "$lab vCPU $vcpu: the sums of exit_cycles" \
			"$(for field in $FIELDS; do kvm_stat vmm "$field" $vcpu; done)" "$(table vmm.$vcpu)"
	done
	is "$lab vCPU 0: the histogram of exit_cycles" \
		"$(awk -v name=$HIST '$1 == "stat" && $3 == 0 && $4 == name' "$F/vmm" | cut -f 5- | tr '\t' '\n')" "$(hist vmm.0)"
	for field in $FIELDS; do
		# in Bochs the two vCPUs may not meet
		[[ $field == *poll* || $machine:$field == vmx:*handler_sched* ]] ||
			ok "$lab there is $field" test "$(kvm_stat vmm "$field")" -gt 0
	done
	is "$lab debugfs has them, read only" "$(xargs <"$F/modes")" "444 444 444 444 444 444 444 444 444"

	is "$lab QEMU ran" "$(cat "$F/qemu-stderr")" ''
	ok "$lab QEMU made exits" test "$(cell qemu.0 TOTAL exits)" -gt 100
	is "$lab query-stats: the sums of exit_cycles" \
		"$(for field in $FIELDS; do statistic "$field"; done)" "$(table qemu.0)"
	is "$lab query-stats-schemas: all are cycles" \
		"$(jq -r 'select(.return | type == "array") | .return[] | select(.target == "vcpu") | .stats[]?
			| select(.name | test("^exit_.*cycles|^guest_cycles")) | [.type, .unit, .exponent] | join(" ")' "$F/answers" | sort | uniq -c | xargs)" \
		"9 instant cycles 0 1 log2-histogram cycles 0"
	# QEMU prints lists in reverse, the last bucket first; also for KVM's other histograms.
	is "$lab query-stats: the histogram" "$(statistic $HIST | tr ' ' '\n' | sort -n)" \
		"$(hist qemu.0 | sort -n)"
	is "$lab debugfs: the VM's" "$(awk '{ print $3 }' "$F/fields")" "$(table qemu.vm)"
	is "$lab debugfs: guest_cycles alone" "$(head -n 1 "$F/last")" "$(key last guest)"

	title="$lab a read beside reclaim, which takes KVM's lock, is no word in the log"
	if [[ -f $F/reclaim ]]; then
		like "$title" "$(<"$F/reclaim")" kvm_lock
	else
		ok "$lab a kernel with KASAN has lockdep" test "$debug" != kasan
		skip "$title" "no lockdep in this kernel (make stress has one)"
	fi
done
done_testing

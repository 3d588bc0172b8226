#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: thousands of VMs start and end while others hold and read every file of the account,
# reset it, and switch it off and on. Each file reads as a whole or, after its VM has ended,
# fails with EIO. Nothing leaks. After the storm, counts are exact again.
# Stress: vmx svm svm:kasan svm:kcsan svm:rt
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

VMS=$(size 250 8)
# on a debug kernel, where each takes seconds
FEWER=$(size 60 8)

in_lab <<EOF
vms=$VMS fewer=$FEWER
EOF
cat >>"$T/commands" <<'EOF'
[ ! "$LAB_DEBUG" ] || vms=$fewer

# come_and_go VMS ARGUMENT...: runs vmm with that many VMs, and counts them.
come_and_go() {
	if vmm --quiet --vms "$@"; then made=$((made + $1)); else failed="$failed vmm failed:"; fi
}

# storm NAME: starts and ends VMs, beside a VM that stays and two runs of files.c.
storm() {
	name=$1
	rm -f over storm
	vmm --stats --late --loop 0 --vcpus 2 --spare 1 --after ". ./words; accounts $name" \
		cpuid=50 out-kernel=20 out-user=5 deadline=3 hlt:20000=2 ept=5 >storm &
	stays=$!
	while ! grep -qs "^vm" storm; do sleep 0.1; done
	files over >files1 2>&1 &
	files1=$!
	case $name in
	plain) files over ;;
	reset) files -r over ;;
	switch) files -s over ;;
	both) files -r -s over ;;
	esac >files2 2>&1 &
	files2=$!
	failed= made=1
	come_and_go $((vms / 2)) cpuid=3
	come_and_go $((vms / 4)) --vcpus 2 --late cpuid=20 out-user=3
	come_and_go $((vms / 4)) --vcpus 2 --spare 2 --together cpuid=7
	>over
	wait $files1 || failed="$failed the reader failed"
	wait $files2 || failed="$failed the other failed"
	# an account is two files: from here on nobody may reset between them
	kill $stays
	wait $stays || failed="$failed the VM that stayed failed"
	section files-$name
	[ ! "$failed" ] || echo $failed
	cat files1 files2
	echo "vms $made"
	section storm-$name
	cat storm
	account $name-quiet
}

account before
storm plain
account after
storm reset
storm switch
storm both
leaks
run_vmm end --vcpus 2 cpuid=211 out-user=23
EOF

judge() {
	local name section what cpuid=10 made=$VMS
	[[ $debug ]] && made=$FEWER
	[[ $vendor == vmx ]] || cpuid=114
	for name in plain reset switch both; do
		is "$lab $name: every file read as a whole, or EIO" "$(grep -vE '^[a-z-]+ [0-9]+$' "$F/files-$name" || true)" ''
		is "$lab $name: that many VMs" "$(sum "files-$name" vms)" "$((made / 2 + 2 * (made / 4) + 1))"
		for what in host-reads vm-reads vcpu-reads $([[ $name == plain || $name == switch ]] || echo resets) \
			$([[ $name == plain || $name == reset ]] || echo flips); do
			ok "$lab $name: $what" test "$(sum "files-$name" "$what")" -gt 0
		done
		tried_files "files-$name"
		for section in $name.vm $name.0 $name.1 $name.2 $name-quiet; do
			is "$lab $section: the account agrees with itself" "$(contradictions "$section")" ''
		done
		tried VMs "$(sum "files-$name" vms)"
		tried exits "$(kvm_stat "storm-$name" exits)"
	done
	is "$lab plain: the exits of the VM that stayed are KVM's own, but for the last of each vCPU" "$(($(cell plain.vm TOTAL exits) + 2))" "$(kvm_stat storm-plain exits)"
	is "$lab plain: and of those that ended none is lost" \
		"$(($(cell after $cpuid exits) - $(cell before $cpuid exits)))" \
		"$((3 * (made / 2) + 40 * (made / 4) + 14 * (made / 4) + $(vmm_says storm-plain | awk -v r=$cpuid '$1 == r { print $2 }')))"
	judge_leaks
	is "$lab then: exact" "$(account_says end end.vm)" "$(vmm_says end)"
}

for one in $LABS; do
	stress "$one" -c "$(cpus "$one")" || continue
	judge
done
done_testing

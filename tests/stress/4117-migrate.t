#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a storm of running vCPUs, moved between two CPUs (if the lab can do that), of VMs
# that start and end, of switches and resets never tears or invents a number, in tables or
# slow exits (here every exit is one), for any reader. After the storm, counts are exact
# again.
# Stress: svm svm:kasan svm:kcsan
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

in_lab <<EOF
flips=$(size 1000 60)
# a debug kernel takes several times as long for each
[ ! "\$LAB_DEBUG" ] || flips=$(size 250 60)
EOF
cat >>"$T/commands" <<'EOF'
echo 1 >$P/exit_cycles_slow
for what in none switch reset; do
	section storm-$what
	rm -f storm
	vmm --stats --migrate --loop 0 --vcpus 2 --after ". ./words; accounts $what" \
		cpuid=50 out-kernel=20 out-user=5 deadline=3 hlt:20000=2 ept=5 >storm &
	storm=$!
	# so that VMs of both kinds, with short and shorter lives, end at any time
	{
		while [ ! -e over ]; do
			vmm --quiet --vms 5 cpuid=20 out-user=3
			vmm --quiet --vms 5 --vcpus 2 cpuid=3
		done
	} &
	ending=$!
	while ! grep -qs "^vm" storm; do sleep 0.1; done
	dir=$(awk '$1 == "vm" { print $4 }' storm)
	i=0
	while [ $i -lt $flips ]; do
		i=$((i + 1))
		case $what:$((i % 3)) in
		none:*) ;;
		switch:*) echo N >$P/exit_cycles; echo Y >$P/exit_cycles ;;
		reset:0) echo 0 >$K/exit_cycles_reset ;;
		reset:1) echo 0 >$K/$dir/exit_cycles_reset ;;
		reset:2) echo 0 >$K/$dir/vcpu1/exit_cycles_reset ;;
		esac
		cat $K/exit_cycles $K/$dir/exit_cycles_hist $K/exit_cycles_keys >/dev/null
		cat $K/exit_cycles_slow $K/$dir/exit_cycles_slow $K/$dir/vcpu1/exit_cycles_slow >>slow
	done
	kill $storm
	wait $storm
	>over
	wait $ending
	rm over
	cat storm
	account $what-quiet
done
section slow
awk -F'\t' '/^#/ || $1 == "time" { next }
	NF != 15 || !$2 || $10 - $14 + $11 + $12 + $13 + $15 > $9 { print "torn: " $0 }
	{ lines++ }
	END { print (lines > 1000 ? "many" : lines) }' slow
account end0
run_vmm end --vcpus 2 cpuid=211 out-user=23
account end1
EOF

judge() {
	local what vcpu all run
	for what in none switch reset; do
		for all in $what.vm $what.0 $what.1 $what-quiet; do
			is "$lab $all: the account agrees with itself" "$(contradictions "$all")" ''
		done
		for vcpu in 0 1; do
			run=$(awk -v vcpu=$vcpu '$1 == "time" && $3 == vcpu && $4 == "run" { print $5 }' "$F/storm-$what")
			# all but the last exit, after which no entry follows
			all=$(($(kvm_stat "storm-$what" exits $vcpu) - 1))
			if [[ $what == none ]]; then
				is "$lab $what: vCPU $vcpu's exits are KVM's own, but for the last" "$(cell "$what.$vcpu" TOTAL exits)" "$all"
			else
				ok "$lab $what: vCPU $vcpu has exits, and no more than KVM's own" \
					test 0 -lt "$(cell "$what.$vcpu" TOTAL exits)" -a "$(cell "$what.$vcpu" TOTAL exits)" -lt "$all"
			fi
			ok "$lab $what: vCPU $vcpu has no more time than there was" \
				test $(($(key "$what.$vcpu" guest) + $(cell "$what.$vcpu" TOTAL total))) -le "$run"
		done
		note "$what: $(kvm_stat "storm-$what" exits) exits, $(cell "$what.vm" TOTAL exits) counted"
		tried exits "$(kvm_stat "storm-$what" exits)"
	done
	is "$lab none: all that the guests made is there" "$(account_says storm-none none.vm)" "$(vmm_says storm-none)"
	is "$lab no slow exit was read half-written" "$(head -n 3 "$F/slow")" many
	is "$lab then: exact" "$(account_says end end.vm)" "$(vmm_says end)"
	is "$lab then: on the host as well" "$(account_says end end1 end0)" "$(vmm_says end)"
	is "$lab then: and KVM's own, but for the last of each vCPU" "$(($(cell end.vm TOTAL exits) + 2))" "$(kvm_stat end exits)"
}

for one in $LABS; do
	boot "$one" -c "$(cpus "$one")" || continue
	judge
done
done_testing

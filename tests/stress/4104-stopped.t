#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: vCPU threads that are stopped (SIGSTOP) in the middle of their exits lose and invent
# nothing. Counts stay exact, the time of standing still is stop, and files can be read, reset
# and switched in the meantime.
# Stress: vmx svm svm:kasan svm:kcsan svm:rt
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

STOPS=$(size 200 20)

in_lab <<EOF
stops=$STOPS
EOF
cat >>"$T/commands" <<'EOF'

# stops NAME: runs a VM, which is stopped, looked at and continued again and again.
stops() {
	rm -f storm
	vmm --stats --loop 0 --vcpus 2 --after ". ./words; accounts $1" \
		cpuid=50 out-kernel=20 out-user=5 hlt:20000=2 rdmsr=10 >storm &
	storm=$!
	while ! grep -qs "^vm" storm; do sleep 0.1; done
	dir=$(awk '$1 == "vm" { print $4 }' storm)
	i=0
	while [ $i -lt $stops ]; do
		i=$((i + 1))
		kill -STOP $storm
		cat $K/$dir/exit_cycles $K/$dir/vcpu*/exit_cycles_hist >/dev/null
		case $1:$((i % 4)) in
		stop:*) sleep 0.02 ;;
		any:0) echo 0 >$K/$dir/exit_cycles_reset ;;
		any:1) echo N >$P/exit_cycles; kill -CONT $storm; echo Y >$P/exit_cycles ;;
		any:2) echo N >$P/exit_cycles; echo Y >$P/exit_cycles ;;
		any:3) echo 0 >$K/$dir/vcpu1/exit_cycles_reset ;;
		esac
		kill -CONT $storm
		usleep $((i * 37 % 5000))
	done
	kill $storm
	wait $storm || echo "the VM failed: $?" >&2
	section storm-$1
	cat storm
}

stops stop
stops any
leaks
run_vmm end --vcpus 2 cpuid=211 out-user=23
EOF

judge() {
	local vcpu section khz
	khz=$(key stop.vm tsc_khz)
	is "$lab all that was made is counted" "$(account_says storm-stop stop.vm)" "$(vmm_says storm-stop)"
	for vcpu in 0 1; do
		is "$lab vCPU $vcpu: its exits are KVM's own, but for the last" "$(($(cell stop.$vcpu TOTAL exits) + 1))" "$(kvm_stat storm-stop exits $vcpu)"
		ok "$lab vCPU $vcpu: the time it stood is stop, or user if it was in user space then" test \
			$(($(cell stop.$vcpu TOTAL stop) + $(cell stop.$vcpu TOTAL user))) -ge $((STOPS * 20 * khz))
		ok "$lab vCPU $vcpu: it stood amid exits of more than one reason" \
			test "$(awk -F'\t' -v least=$((20 * khz)) '$1 ~ /^[0-9]/ && $7 + $12 >= least' "$F/stop.$vcpu" | wc -l)" -gt 1
		ok "$lab vCPU $vcpu: it has no more time than there was" \
			test $(($(key "stop.$vcpu" guest) + $(cell "stop.$vcpu" TOTAL total))) -le \
			"$(awk -v vcpu=$vcpu '$1 == "time" && $3 == vcpu && $4 == "run" { print $5 }' "$F/storm-stop")"
	done
	for section in stop.vm stop.0 stop.1 any.vm any.0 any.1; do
		is "$lab $section: the account agrees with itself" "$(contradictions "$section")" ''
	done
	judge_leaks
	is "$lab then: exact" "$(account_says end end.vm)" "$(vmm_says end)"
	tried "stops of vCPU threads" $((2 * STOPS))
	tried exits "$(kvm_stat storm-stop exits)"
	tried exits "$(kvm_stat storm-any exits)"
}

for one in $LABS; do
	stress "$one" -c "$(cpus "$one")" || continue
	judge
done
done_testing

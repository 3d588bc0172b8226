#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the rules for Prometheus compute the right rates from exitdump's metrics, and alert
# exactly when they should. promtool runs them on the histories of hosts.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/exitdump.sh"

command -v promtool >/dev/null || skip_all "promtool is not installed (scripts/deps.sh test)"
rules=$TOP/tools/fleet/exit-cycles.rules.yml

is 'promtool takes the rules' "$(promtool check rules "$rules" >/dev/null; echo $?)" 0

# A host that counts on: exitdump's own numbers, 15 seconds apart. In that time 4 vCPUs make
# 40 x 15 exits of REASON_9. tree.awk says what each exit takes, at a TSC of 2 GHz: 1000
# cycles in the handler (80 of them without a CPU); 3400 lost (200 of them without a CPU);
# beside it 6800 in the guest.
tree "$T/a" 2 2 -v step=15
tree "$T/b" 2 2 -v step=30
sample() { "$EXITDUMP" -S "$1" --openmetrics --buckets "${@:2}" | grep -v '^#'; }
moving() {
	paste -d ' ' <(sample "$T/a" "$@") <(sample "$T/b" "$@") |
		awk -v host="$host" '{
			split($1, part, "{")
			more = index($1, "{") ? "," substr($1, index($1, "{") + 1) : "}"
			printf "      - series: \047%s{instance=\"%s\"%s\047\n", part[1], host, more
			printf "        values: \047%s+%.0fx400\047\n", $2, $4 - $2
		}'
}
# expect EXPRESSION LABELS VALUE
expect() {
	printf '      - expr: %s\n        eval_time: 60m\n        exp_samples:\n' "$1"
	printf "          - labels: '%s'\n            value: %s\n" "$2" "$3"
}
# description ALERT: prints its text, folded as YAML folds it.
description() {
	awk -v alert="$1" '
		$1 == "-" { wanted = $2 == "alert:" && $3 == alert; inside = 0 }
		inside && /^            / { sub(/^ +/, ""); text = text (text ? " " : "") $0 }
		wanted && $1 == "description:" { inside = 1; sub(/^ *description: *(>-)?/, ""); text = $0 }
		END { print text }' "$rules"
}
# fires ALERT MINUTES [LABELS SUMMARY]: it fires; without LABELS and SUMMARY, it does not fire.
fires() {
	printf '      - alertname: %s\n        eval_time: %sm\n' "$1" "$2"
	[[ $3 ]] || return 0
	printf '        exp_alerts:\n          - exp_labels: {%s}\n            exp_annotations:\n' "$3"
	printf '              summary: "%s"\n              description: "%s"\n' "$4" \
		"$(description "$1")"
}
{
	printf 'rule_files: [ %s ]\nevaluation_interval: 1m\ntests:\n' "$rules"
	printf '  - interval: 15s\n    input_series:\n'
	host=one moving
	host=two moving --all-vms
	host=three moving --all-vcpus
	printf "      - series: 'exitdump_success{instance=\"one\"}'\n        values: '1x400'\n"
	printf '    promql_expr_test:\n'
	for host in one two three; do
		one="instance=\"$host\""
		nine="$one,reason=\"REASON_9\""
		expect "instance_reason:kvm_exits:rate5m{$nine}" "instance_reason:kvm_exits:rate5m{$nine}" 40
		expect "instance_reason:kvm_exit_slow:rate5m{$nine}" "instance_reason:kvm_exit_slow:rate5m{$nine}" 4
		expect "round(instance_reason:kvm_exit_handler_seconds:rate5m{$nine} * 1e9)" "{$nine}" 18400
		expect "round(instance_reason:kvm_exit_user_seconds:rate5m{$nine} * 1e9)" "{$nine}" 40000
		expect "round(instance_reason:kvm_exit_sched_seconds:rate5m{$nine} * 1e9)" "{$nine}" 4000
		expect "round(instance_reason:kvm_exit_lost_seconds:rate5m{$nine} * 1e9)" "{$nine}" 68000
		expect "round(instance:kvm_guest_seconds:rate5m{$one} * 1e9)" "{$one}" 748000
		expect "round(instance:kvm_overhead:ratio_rate5m{$one} * 10200)" "{$one}" 3400
		expect "round(instance:kvm_exit_sched:ratio_rate5m{$one} * 10200)" "{$one}" 200
		expect "round(instance_reason:kvm_exit_lost:share_rate5m{$nine} * 55)" "{$nine}" 10
		# In the bucket from 2048 to 4095, at 0.99 of its width.
		expect "round(instance_reason:kvm_exit_latency_seconds:p99_5m{$nine} * 2e9)" "{$nine}" 4075
	done
	expect 'round(reason:kvm_exit_lost_seconds:rate5m{reason="REASON_9"} * 1e9)' '{reason="REASON_9"}' 204000
	printf '    alert_rule_test:\n'
	fires KvmExitCyclesUnreadable 60
	fires KvmTimeLost 60
	fires KvmCpuWait 60
	fires KvmExitStorm 60
	fires KvmExitSlow 60
	fires KvmTscUnstable 60
	# A host that goes from good to bad, at a TSC of 1 GHz.
	cat <<-'END'
	  - interval: 1m
	    input_series:
	      - series: 'kvm_tsc_hertz{instance="bad"}'
	        values: '1000000000x200'
	      - series: 'kvm_tsc_stable{instance="bad"}'
	        values: '0x200'
	      - series: 'exitdump_success{instance="bad"}'
	        values: '1x99 0x100'
	      - series: 'node_textfile_mtime_seconds{instance="bad",file="/x/exit_cycles.prom"}'
	        values: '0+60x99 6000x100'
	      - series: 'kvm_guest_cycles_total{instance="bad"}'
	        values: '0+30000000000x200'
	      - series: 'kvm_exits_total{instance="bad",reason="EPT_VIOLATION"}'
	        values: '0+60000x99 6060000+6000000x100'
	      - series: 'kvm_exit_lost_cycles_total{instance="bad",reason="EPT_VIOLATION"}'
	        values: '0+600000000x99 60600000000+30000000000x100'
	      - series: 'kvm_exit_sched_cycles_total{instance="bad",reason="EPT_VIOLATION"}'
	        values: '0x99 0+10000000000x100'
	      - series: 'kvm_exit_slow_total{instance="bad",reason="EPT_VIOLATION"}'
	        values: '0+12x99 1212+60x100'
	      - series: 'kvm_exit_slow_total{instance="bad",reason="HLT"}'
	        values: '0+12x200'
	      - series: 'kvm_exit_latency_cycles_bucket{instance="bad",reason="EPT_VIOLATION",le="1.048575e+06"}'
	        values: '0+60000x99 6060000+0x100'
	      - series: 'kvm_exit_latency_cycles_bucket{instance="bad",reason="EPT_VIOLATION",le="1.6777215e+07"}'
	        values: '0+60000x99 6060000+0x100'
	      - series: 'kvm_exit_latency_cycles_bucket{instance="bad",reason="EPT_VIOLATION",le="3.3554431e+07"}'
	        values: '0+60000x99 6060000+6000000x100'
	      - series: 'kvm_exit_latency_cycles_bucket{instance="bad",reason="EPT_VIOLATION",le="+Inf"}'
	        values: '0+60000x99 6060000+6000000x100'
	END
	# They are meant to wait: this host is idle for half of its time. With Zen 5 it is idle-halt.
	for reason in hlt HLT idle-halt PAUSE_INSTRUCTION mwait; do
		printf "      - series: 'kvm_exit_latency_cycles_bucket{instance=\"bad\",reason=\"%s\",le=\"%s\"}'\n        values: '%s'\n" \
			"$reason" 1.6777215e+07 0x200 "$reason" 3.3554431e+07 0+60000x200 "$reason" +Inf 0+60000x200
	done
	printf '    alert_rule_test:\n'
	for alert in KvmExitCyclesUnreadable KvmExitCyclesStale KvmTimeLost KvmCpuWait KvmExitStorm KvmExitTail KvmExitSlow; do
		fires "$alert" 95
	done
	bad='instance: bad, severity: warning' ept='reason: EPT_VIOLATION'
	fires KvmTscUnstable 59
	fires KvmExitCyclesUnreadable 104
	fires KvmExitStorm 109
	for alert in KvmTimeLost KvmCpuWait KvmExitTail KvmExitSlow; do
		fires "$alert" 113
	done
	fires KvmTscUnstable 95 'instance: bad, severity: info' 'The TSCs of bad disagree'
	fires KvmExitCyclesUnreadable 130 "$bad" "exitdump cannot read KVM's exit cycles on bad"
	fires KvmExitCyclesStale 130 "$bad, file: /x/exit_cycles.prom" "KVM's exit cycles on bad are 30m 0s old"
	fires KvmTimeLost 130 "$bad" 'Guests on bad lose 50% of their time to VM exits'
	fires KvmCpuWait 130 "$bad" 'Guests on bad wait 16.67% of their time for a CPU'
	fires KvmExitStorm 130 "$bad, $ept" \
		'100k EPT_VIOLATION exits a second on bad, ten times those of an hour before'
	fires KvmExitTail 130 "$bad, $ept" '1 % of EPT_VIOLATION exits on bad take 33.39ms or longer'
	fires KvmExitSlow 130 "$bad" 'vCPUs on bad freeze 2.4 times a second that they run'
	# A storm of a reason without exits before must alert; five times as many exits must not. A
	# host without guests, or a new host, must not alert when its first guest starts. guest, on
	# a host that had none or was not there, is not.
	cat <<-'END'
	  - interval: 1m
	    input_series:
	      - series: 'up{instance="down",job="exitdump"}'
	        values: '1x100 0x100'
	      - series: 'kvm_tsc_hertz{instance="changed"}'
	        values: '1000000000x200'
	      - series: 'kvm_guest_cycles_total{instance="changed"}'
	        values: '0+30000000000x200'
	      - series: 'kvm_exits_total{instance="changed",reason="HLT"}'
	        values: '0+1800000x200'
	      - series: 'kvm_exits_total{instance="changed",reason="CPUID"}'
        values: '0+1500000x99 150000000+7500000x100'
      - series: 'kvm_exits_total{instance="changed",reason="EXCEPTION_NMI"}'
	        values: '_x100 6000000+6000000x100'
	      - series: 'kvm_tsc_hertz{instance="first"}'
	        values: '1000000000x200'
	      - series: 'kvm_guest_cycles_total{instance="first"}'
	        values: '0x99 0+30000000000x100'
	      - series: 'kvm_exits_total{instance="first",reason="HLT"}'
	        values: '_x100 6000000+6000000x100'
	      - series: 'kvm_tsc_hertz{instance="new"}'
	        values: '_x100 1000000000x100'
	      - series: 'kvm_guest_cycles_total{instance="new"}'
	        values: '_x100 0+30000000000x100'
	      - series: 'kvm_exits_total{instance="new",reason="HLT"}'
	        values: '_x100 6000000+6000000x100'
	    alert_rule_test:
	END
	fires KvmExitStorm 130 'instance: changed, severity: warning, reason: EXCEPTION_NMI' \
		'100k EXCEPTION_NMI exits a second on changed, ten times those of an hour before'
	fires KvmExitStorm 180
	fires KvmExitCyclesUnreadable 130 'instance: down, job: exitdump, severity: warning' \
		"exitdump cannot read KVM's exit cycles on down"
} >"$T/rules.test.yml"
run promtool test rules "$T/rules.test.yml"
is 'the rules make the right rates of them, and alerts when they should' "$status" 0
((!status)) || note "$err$out"

done_testing

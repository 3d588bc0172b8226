#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: what a host counts arrives in Prometheus digit for digit, through
# node_exporter's textfile collector or as OpenMetrics; it follows changes, and
# goes when it cannot be read; the rules give the right rates and alerts, and
# the dashboard asks for nothing that there is not.
# Prometheus, node_exporter and a web server on loopback, for half a minute.
# shellcheck disable=SC2317 # functions that ok and trap call
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

for program in prometheus promtool prometheus-node-exporter curl jq busybox; do
	command -v "$program" >/dev/null || skip_all "$program is not installed (scripts/deps.sh test)"
done

end_processes

fleet=$TOP/tools/fleet
rules=$fleet/exit-cycles.rules.yml
dashboard=$fleet/exit-cycles.dashboard.json

# --- as it is installed

run make -s -C "$TOP/tools" install install-fleet PREFIX="$T/usr" PROG="$EXITDUMP"
is 'make install-fleet' "$status:$err" 0:
units=$T/usr/lib/systemd/system/exitdump
if command -v systemd-analyze >/dev/null; then
	run systemd-analyze verify --man=no "$units"-{serve.service,textfile.service,textfile.timer}
	is 'systemd finds nothing in the units' "$status:$out$err" 0:
	# exposed TITLE TENTHS UNIT: so much and no more; systemd 252 counts.
	exposed() {
		run systemd-analyze security --offline=yes --threshold="$2" "$units-$3.service"
		is "$1 exposes at most $2 of 100" "$status" 0
		((!status)) || note "$(grep '^✗' <<<"$out")"
	}
	exposed serve 15 serve
	is 'it has one right of root, and no system call of BPF' "$(grep -E 'Capab|bpf' "$units-serve.service" | sed '/^#/d' | xargs)" \
		'AmbientCapabilities=CAP_DAC_READ_SEARCH CapabilityBoundingSet=CAP_DAC_READ_SEARCH'
	exposed textfile 7 textfile
	install -D -m 644 "$T/usr/share/exitdump/exitdump-serve-bpf.conf" "$units-serve.service.d/bpf.conf"
	run systemd-analyze verify --man=no "$units-serve.service"
	is 'nor in what --bpf needs' "$status:$out$err" 0:
	exposed 'serve --bpf' 18 serve
else
	skip 'the units' 'systemd-analyze is not installed'
fi
cmp -s "$T/usr/share/exitdump/exit-cycles.rules.yml" "$rules"

export TEXTFILE=$T/textfile/exit_cycles.prom
mkdir "$T/textfile" "$T/www"

# textfile [OPTION]...: the service's command, with the service's rights.
textfile() {
	local rights=()
	! setpriv --bounding-set=-all true 2>/dev/null ||
		rights=(setpriv --bounding-set=-all --inh-caps=-all --no-new-privs)
	run "${rights[@]}" "$T/usr/bin/exitdump-textfile" -S "$T/root" "$@"
}

# --- the file

show "$TOP/tests/fixtures/captures/vmx-6.1"
textfile
is 'exitdump-textfile writes a file' "$status:$out:$err:$(find "$T/textfile" -type f -printf '%f %m')" \
	'0:::exit_cycles.prom 644'
is 'what promtool says to it' "$(promtool check metrics <"$TEXTFILE" 2>&1; echo $?)" 0
is 'it is exitdump --openmetrics, and that it worked' "$(grep -v '^#' "$TEXTFILE" | head -n 1):$(
	tail -n +4 "$TEXTFILE" | cmp - <("$EXITDUMP" -S "$T/root" --openmetrics) && echo same)" \
	'exitdump_success 1:same'

echo kept >"$T/other"
ln -sf "$T/other" "$TEXTFILE"
textfile
is 'a link in its place is replaced, not followed' "$status:$(<"$T/other"):$(stat -c %F "$TEXTFILE")" '0:kept:regular file'

# As many series as fleet/README.md says.
tree "$T/large" 100 4 -v reasons=25
count() { "$EXITDUMP" -S "$T/large" --openmetrics "$@" | grep -vc '^#'; }
is '100 VMs of 4 vCPUs, 25 reasons: 280 series, or a choice of more' "$(count) $(count --buckets) $(
	count --all-vms -o exits,lost,guest) $(count --all-vms)" '280 1130 302 27702'

# Whoever looks finds a whole file, however often it is written.
(for ((i = 0; i < 25; i++)); do
	"$T/usr/bin/exitdump-textfile" -S "$T/root" --all-vcpus --buckets
done) &
writer=$! seen=0 torn=0
while kill -0 "$writer" 2>/dev/null; do
	[[ $(tail -n 1 "$TEXTFILE") == '# EOF' ]] || ((++torn))
	((++seen))
done
wait "$writer"
is "it is never seen in parts ($seen looks)" "$((seen > 5)):$torn" 1:0

printf '#!/bin/sh\necho half\ntouch "%s/started"\nexec sleep 60\n' "$T" >"$T/slow"
chmod +x "$T/slow"
before=$(<"$TEXTFILE")
EXITDUMP=$T/slow setsid "$T/usr/bin/exitdump-textfile" 2>/dev/null &
slow=$!
for ((i = 0; i < 100; i++)); do
	[[ ! -e $T/started ]] || break
	sleep 0.05
done
kill -- -"$slow"
wait "$slow" 2>/dev/null || :
is 'stopped half-way: the file as it was, and nothing beside it' \
	"$([[ $(<"$TEXTFILE") == "$before" ]] && echo same) $(ls -A "$T/textfile")" \
	'same exit_cycles.prom'
run env TEXTFILE="$T/none/exit_cycles.prom" "$T/usr/bin/exitdump-textfile"
like 'no such folder: one line' "$status:$(wc -l <"$T/.err"):$err" '^1:1:exitdump-textfile: .*/none: no such folder'
run env TEXTFILE=x.txt "$T/usr/bin/exitdump-textfile"
like 'no such name' "$status:$err" '^1:exitdump-textfile: .*ends in .prom$'
textfile --help
like 'what is no metrics is a failure' "$status:$err" '^1:exitdump-textfile: .* --help: no metrics$'
is 'and not written' "$(grep -v '^#' "$TEXTFILE")" 'exitdump_success 0'
textfile

# --- Prometheus

# A port of loopback where nobody listens.
port() {
	local port
	while :; do
		port=$((RANDOM % 20000 + 20000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}
node=$(port) web=$(port) api=$(port)

# openmetrics: the second host, with all that can be exported, for a scraper.
openmetrics() {
	"$EXITDUMP" -S "$1" --all-vms --buckets --openmetrics >"$T/www/new"
	mv "$T/www/new" "$T/www/metrics.om"
}
show "$TOP/tests/fixtures/captures/vmx-6.1"
textfile
tree "$T/two" 2 2
openmetrics "$T/two"
echo '.om:application/openmetrics-text; version=1.0.0; charset=utf-8' >"$T/httpd.conf"
cat >"$T/prometheus.yml" <<END
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [ $rules ]
scrape_configs:
  - job_name: node
    static_configs: [ targets: [ '127.0.0.1:$node' ] ]
  - job_name: openmetrics
    metrics_path: /metrics.om
    static_configs: [ targets: [ '127.0.0.1:$web' ] ]
END
busybox httpd -f -p "127.0.0.1:$web" -h "$T/www" -c "$T/httpd.conf" 2>/dev/null &
pids+=($!)
prometheus-node-exporter --web.listen-address="127.0.0.1:$node" --collector.disable-defaults \
	--collector.textfile --collector.textfile.directory="$T/textfile" 2>"$T/node.log" &
pids+=($!)
prometheus --config.file="$T/prometheus.yml" --storage.tsdb.path="$T/tsdb" \
	--web.listen-address="127.0.0.1:$api" 2>"$T/prometheus.log" &
pids+=($!)

get() { curl -s -G "http://127.0.0.1:$api/api/v1/$1" "${@:2}"; }
query() { get query --data-urlencode "query=$1"; }
value() { query "$1" | jq -r '[.data.result[].value[1]] | join(" ")' 2>/dev/null; }

# comes VALUE EXPRESSION: within 20 seconds.
comes() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ $(value "$2") != "$1" ]] || return 0
		sleep 0.2
	done
	note "$2 is $(value "$2")"
	return 1
}

# stored JOB: what Prometheus has of it, as lines of the text format, sorted.
stored() {
	query "{__name__=~\"kvm_.*|exitdump_.*\", job=\"$1\"}" | jq -r '.data.result[] | .metric as $m |
		($m.__name__ + "{" + ([("vm", "vmname", "vcpu", "reason", "le") |
			select($m[.]) | . + "=" + ($m[.] | tojson)] | join(",")) + "} " + .value[1])' |
		sed 's/{}//' | sort
}
exported() { grep -v '^#' "$1" | sort; }

ok 'through node_exporter: a count of the capture' comes 95 'kvm_exits_total{job="node",reason="CPUID"}'
is 'and all that exitdump exports, digit for digit' "$(stored node)" "$(exported "$TEXTFILE")"
ok 'as OpenMetrics: the other host' comes 40 'sum(kvm_exits_total{job="openmetrics",reason="REASON_9"})'
is 'and all of it' "$(stored openmetrics)" "$(exported "$T/www/metrics.om")"
is 'counters, gauges and a histogram for both' "$(get metadata | jq -r '[.data | to_entries[] |
	select(.key | startswith("kvm_")) | .value | map(.type) | unique | join("+")] | group_by(.) |
	map("\(length) \(.[0])") | join(", ")')" '11 counter, 5 gauge, 1 histogram'
is 'node_exporter has no complaint' "$(value node_textfile_scrape_error):$(grep -c level=error "$T/node.log")" 0:0

tree "$T/one" 2 2 -v step=3
show "$T/one"
textfile --buckets
tree "$T/three" 2 2 -v step=9
openmetrics "$T/three"
ok 'a changed capture is followed' comes 120 'kvm_exits_total{job="node",reason="REASON_9"}'
is 'digit for digit, with histograms' "$(stored node)" "$(exported "$TEXTFILE")"
is 'those of before are gone' "$(value 'kvm_exits_total{job="node",reason="CPUID"}')" ''
ok 'on the other host too' comes 360 'sum(kvm_exits_total{job="openmetrics",reason="REASON_9"})'
is 'series are the same by either way' "$(value 'count(count by (le) (kvm_exit_latency_cycles_bucket))')" 32
tree "$T/six" 2 2 -v step=6
show "$T/six"
textfile --buckets
ok 'the rules see both hosts lose time' comes 2 'count(instance:kvm_overhead:ratio_rate5m > 0)'

# --- the dashboard, while there is all that it can ask for

expressions() { jq -r '.panels[].targets[].expr' "$dashboard"; }
variables() { jq -r '.templating.list[] | select(.type == "query") | .query.query' "$dashboard"; }
is 'the dashboard is JSON' "$(jq -r .uid "$dashboard")" kvm-exit-cycles
is 'its panels have numbers and places of their own' "$(jq -c '[.panels[].id] == ([.panels[].id] | unique) and
	([.panels[].gridPos | [.x, .y]] | length == (unique | length))' "$dashboard")" true

empty=''
while read -r expression; do
	expression=${expression//\$__rate_interval/1m}
	for variable in job instance reason; do
		expression=${expression//"\$$variable"/.*}
	done
	[[ $(query "$expression" | jq '.data.result | length') -gt 0 ]] || empty+=$expression$'\n'
done < <(expressions)
is "its $(expressions | wc -l) queries find something" "$empty" ''

# counted LEGEND: what panel 3 shows of it.
counted() {
	jq -r --arg legend "$1" '.panels[] | select(.id == 3).targets[] | select(.legendFormat == $legend).expr' "$dashboard" |
		sed 's/\$[a-z]*/.*/g'
}
is 'VMs of one host in all and of another by VM' "$(value "$(counted VMs)")" 4
is 'and their vCPUs' "$(value "$(counted vCPUs)")" 8
tree "$T/vcpus" 3 2 -v step=6
show "$T/vcpus"
textfile --all-vcpus -o exits,lost,guest
ok 'VMs of one by vCPU' comes 5 "$(counted VMs)"
is 'and their vCPUs' "$(value "$(counted vCPUs)")" 10
show "$T/six"
textfile --buckets

names() { grep -o '[a-z0-9_:]*\(kvm_\|exitdump_\)[a-z0-9_:]*' | sort -u; }
labels() {
	{
		grep -o '[a-z_]* *\(=~\|!~\|!=\|=\) *"' <<<"$1" | grep -o '^[a-z_]*' || :
		grep -o '\(by\|without\|ignoring\|on\|group_left\) *([^)]*)' <<<"$1" |
			sed 's/.*(//; s/)//; s/,/\n/g' || :
		grep -o 'values([a-z_]*{[^}]*}, *[a-z]*' <<<"$1" | sed 's/.*, *//' || :
		grep -o '{{[a-z ]*}}' <<<"$1" | tr -d '{}' || :
	} | tr -d ' ' | sed '/^$/d' | sort -u
}
# What exitdump exports, and what Prometheus makes of it and adds.
{
	exported "$TEXTFILE"
	exported "$T/www/metrics.om"
} | sed 's/[{ ].*//; s/_bucket$//' | sort -u >"$T/metrics"
records=$(sed -n 's/.*record: //p' "$rules" | sort)
there=$(cat "$T/metrics" <(echo "$records") <(echo kvm_exit_latency_cycles_bucket))
known=$({
	"$EXITDUMP" -S "$T/six" --openmetrics --all-vcpus --buckets | grep -o '[a-z]*="' | tr -d '="'
	printf '%s\n' job instance
} | sort -u)
missing() { comm -23 <(sort -u <<<"$1") <(sort -u <<<"$2"); }
asked=$(expressions; variables; jq -r '.panels[].targets[].legendFormat' "$dashboard")
ok 'it asks for many names' test "$(names <<<"$asked" | wc -l)" -gt 10
is 'and each of them exists' "$(missing "$(names <<<"$asked")" "$there")" ''
is 'and each label' "$(missing "$(labels "$asked")" "$known")" ''
# The names of alerts and annotations are no series: only expressions.
asked=$(get rules | jq -r '.data.groups[].rules[].query')
is 'what the rules ask for exists' "$(missing "$(names <<<"$asked" | grep -v '^:')" "$there")" ''
is 'and each label of theirs' "$(missing "$(labels "$asked" | grep -v '^file$')" "$known")" ''

# --- the counters cannot be read

show "$T/nothing"
textfile
like 'nothing to read: its status and one line' "$status:$(wc -l <"$T/.err"):$err" '^1:1:exitdump: .*No such file'
is 'the file says so, and nothing else' "$(exported "$TEXTFILE")" 'exitdump_success 0'
is 'and promtool finds nothing' "$(promtool check metrics <"$TEXTFILE" 2>&1; echo $?)" 0
ok 'Prometheus sees it' comes 0 exitdump_success
is 'no number stands still there' "$(value 'count(kvm_exits_total{job="node"})')" ''
ok 'and the alert is on its way' comes 1 'count(ALERTS{alertname="KvmExitCyclesUnreadable",alertstate="pending"})'

# --- the rules

is 'promtool takes the rules' "$(promtool check rules "$rules" >/dev/null; echo $?)" 0
is 'and Prometheus each of them' "$(get rules | jq -r '[.data.groups[].rules[] | .health] | unique | join(" ")'):$(
	get rules | jq '[.data.groups[].rules[]] | length')" "ok:$(grep -c -e '- record:' -e '- alert:' "$rules")"

# A host that counts on: from exitdump's own numbers, 15 seconds apart. 4 vCPUs
# make 40 x 15 exits of REASON_9 in them; tree.awk says what each takes: of a TSC
# of 2 GHz, 1000 cycles in the handler, 80 of them without a CPU, and 3400 lost, 200 of
# them without a CPU, beside 6800 in the guest.
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
# fires ALERT MINUTES [LABELS SUMMARY]: without the last two, that it does not.
fires() {
	printf '      - alertname: %s\n        eval_time: %sm\n' "$1" "$2"
	[[ $3 ]] || return 0
	printf '        exp_alerts:\n          - exp_labels: {%s}\n            exp_annotations:\n' "$3"
	printf '              summary: "%s"\n              description: "%s"\n' "$4" \
		"$(get rules | jq -r --arg name "$1" '.data.groups[].rules[] | select(.name == $name) | .annotations.description')"
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
		# In the bucket of 2048 to 4095, 0.99 of the way.
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
	# A host that goes from well to bad, at a TSC of 1 GHz.
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
	      # A host of Zen 5 halts so, with half of its time idle.
	      - series: 'kvm_exit_latency_cycles_bucket{instance="bad",reason="idle-halt",le="1.6777215e+07"}'
	        values: '0x200'
	      - series: 'kvm_exit_latency_cycles_bucket{instance="bad",reason="idle-halt",le="3.3554431e+07"}'
	        values: '0+60000x200'
	      - series: 'kvm_exit_latency_cycles_bucket{instance="bad",reason="idle-halt",le="+Inf"}'
	        values: '0+60000x200'
	    alert_rule_test:
	END
	for alert in KvmExitCyclesUnreadable KvmExitCyclesStale KvmTimeLost KvmCpuWait KvmExitStorm KvmExitTail KvmExitSlow; do
		fires "$alert" 95
	done
	bad='instance: bad, severity: warning' ept='reason: EPT_VIOLATION'
	fires KvmTscUnstable 95 'instance: bad, severity: info' 'The TSCs of bad disagree'
	fires KvmExitCyclesUnreadable 130 "$bad" "exitdump cannot read KVM's exit cycles on bad"
	fires KvmExitCyclesStale 130 "$bad, file: /x/exit_cycles.prom" "KVM's exit cycles on bad are 30m 0s old"
	fires KvmTimeLost 130 "$bad" 'Guests on bad lose 50% of their time to VM exits'
	fires KvmCpuWait 130 "$bad" 'Guests on bad wait 16.67% of their time for a CPU'
	fires KvmExitStorm 130 "$bad, $ept" \
		'100k EPT_VIOLATION exits a second on bad, ten times those of an hour before'
	fires KvmExitTail 130 "$bad, $ept" '1 % of EPT_VIOLATION exits on bad take 33.39ms or longer'
	fires KvmExitSlow 130 "$bad" 'vCPUs on bad freeze 2.4 times a second that they run'
	# A storm of a reason that did not happen before is one, and five times as many is none; what comes with the first
	# guest, on a host that had none or was not there, is not.
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

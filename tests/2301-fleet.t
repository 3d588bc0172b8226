#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the counts of a host arrive in Prometheus digit for digit, through node_exporter's
# textfile collector or as OpenMetrics. The series follow changes, and end if the counts
# cannot be read. The dashboard asks only for series that exist. The test runs Prometheus,
# node_exporter and a web server on loopback, for half a minute.
# shellcheck disable=SC2317 # functions that ok and trap call
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"
. "$(dirname "$0")/fixtures/prometheus.sh"

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
# what systemd does not check
is 'the timer comes again and again, on time' "$(sed -n '/^On\|^Acc/p' "$units-textfile.timer" | paste -sd ' ')" 'OnBootSec=15s OnUnitActiveSec=15s AccuracySec=1s'
is 'neither takes the CPUs of VMs' "$(grep -h ^Nice= "$units"-{serve,textfile}.service | paste -sd ' ')" 'Nice=10 Nice=10'
is 'settings can be missing' "$(grep -h ^EnvironmentFile= "$units"-{serve,textfile}.service | sort | paste -sd ' ')" \
	'EnvironmentFile=-/etc/default/exitdump-serve EnvironmentFile=-/etc/default/exitdump-textfile'
is 'what --bpf needs is allowed, and no more' "$(sed -n 's/^.*\(Capabilit[a-zA-Z]*\|CallFilter\)=//p' "$fleet/exitdump-serve-bpf.conf" | sort | uniq -c | xargs)" \
	'2 CAP_BPF CAP_PERFMON 1 bpf perf_event_open'
is 'serve can be reached by those who scrape it, and it is tried again and again' \
	"$(grep -E '^(IPAddressAllow|Restart|StartLimitIntervalSec|RestrictAddressFamilies)=' "$units-serve.service" | sort | paste -sd ' ')" \
	'IPAddressAllow=localhost Restart=on-failure RestrictAddressFamilies=AF_INET AF_INET6 StartLimitIntervalSec=0'
is 'the file can be written where it is' "$(sed -n 's/^ReadWritePaths=-//p' "$units-textfile.service")" \
	"$(sed -n 's,^TEXTFILE=.*:-\(.*\)/.*,\1,p' "$fleet/exitdump-textfile")"
is 'what is enabled starts with the host' "$(grep -h ^WantedBy= "$units"-{serve.service,textfile.timer} | paste -sd ' ')" 'WantedBy=multi-user.target WantedBy=timers.target'
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
wait "$slow" 2>/dev/null || true
is 'stopped half-way: the file as it was, and nothing beside it' \
	"$([[ $(<"$TEXTFILE") == "$before" ]] && echo same) $(ls -A "$T/textfile")" \
	'same exit_cycles.prom'
run env TEXTFILE="$T/none/exit_cycles.prom" "$T/usr/bin/exitdump-textfile"
like 'no such folder: one line' "$status:$(wc -l <"$T/.err"):$err" '^1:1:exitdump-textfile: .*/none: no such folder'
run env TEXTFILE=x.txt "$T/usr/bin/exitdump-textfile"
like 'no such name' "$status:$err" '^1:exitdump-textfile: .*ends in .prom$'
(cd "$T" && run env TEXTFILE=textfile/x.prom "$T/usr/bin/exitdump-textfile"; echo "$status:$err" >"$T/relative")
like 'not a full path' "$(<"$T/relative")" '^1:exitdump-textfile: TEXTFILE=textfile/x\.prom: not the full path'
mkdir "$T/folder.prom"
TEXTFILE=$T/folder.prom textfile
is 'a folder in its place: refused, and nothing in it' "$status:$out:$(ls -A "$T/folder.prom")" 1::
mkdir "$T/path" "$T/alone"
cp "$T/usr/bin/exitdump-textfile" "$T/alone/"
printf '#!/bin/sh\necho "from PATH"\nexit 3\n' >"$T/path/exitdump"
chmod +x "$T/path/exitdump"
run env -u EXITDUMP PATH="$T/path:$PATH" TEXTFILE="$T/alone/x.prom" "$T/alone/exitdump-textfile"
is 'exitdump on PATH, and its status' "$status:$out$err:$(tail -n 1 "$T/alone/x.prom")" '3::exitdump_success 0'
before=$(<"$TEXTFILE")
for option in -h --help; do
	textfile -a "$option"
	like "$option: its usage, the head of the script" "$status:$out:$err" \
		$'^0:exitdump-textfile - .*\nUsage: exitdump-textfile .*\nstatus is exitdump\'s, or 1\\.:$'
	ok 'and the file as it was' test "$before" = "$(<"$TEXTFILE")"
done
read -ra options < <(sed -n 's/^#\tEXITDUMP_OPTIONS=//p' "$units-textfile.service")
textfile "${options[@]}"
is "the unit's example of options: counters" "$status:$err:$(grep -c '^kvm_guest_cycles_total{' "$TEXTFILE")" 0::2
textfile --version
like 'what is no metrics is a failure' "$status:$err" '^1:exitdump-textfile: .* --version: no metrics$'
is 'and not written' "$(grep -v '^#' "$TEXTFILE")" 'exitdump_success 0'
textfile

# --- Prometheus

node=$(port) web=$(port)

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
start_prometheus

exported() { grep -v '^#' "$1" | sort; }

ok 'through node_exporter: a count of the capture' comes 95 'kvm_exits_total{job="node",reason="CPUID"}'
is 'and all that exitdump exports, digit for digit' "$(stored node)" "$(exported "$TEXTFILE")"
ok 'as OpenMetrics: the other host' comes 40 'sum(kvm_exits_total{job="openmetrics",reason="REASON_9"})'
is 'and all of it' "$(stored openmetrics)" "$(exported "$T/www/metrics.om")"
is 'counters, gauges and a histogram for both' "$(ask metadata | jq -r '[.data | to_entries[] |
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

is 'Prometheus takes each of the rules' "$(ask rules | jq -r '[.data.groups[].rules[] | .health] | unique | join(" ")'):$(
	ask rules | jq '[.data.groups[].rules[]] | length')" "ok:$(grep -c -e '- record:' -e '- alert:' "$rules")"

# --- the dashboard, while there is all that it can ask for

expressions() { jq -r '.panels[].targets[].expr' "$dashboard"; }
variables() { jq -r '.templating.list[] | select(.type == "query") | .query.query' "$dashboard"; }
is 'the dashboard is JSON' "$(jq -r .uid "$dashboard")" kvm-exit-cycles
is 'its units' "$(jq -r '.panels[] | "\(.id) \(.fieldConfig.defaults.unit)"' "$dashboard" | paste -sd,)" \
	'1 percentunit,2 short,3 short,4 short,5 short,6 ops,7 percentunit,8 short,9 s,10 s,11 s,12 short,13 ops'
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
asked=$(ask rules | jq -r '.data.groups[].rules[].query')
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

done_testing

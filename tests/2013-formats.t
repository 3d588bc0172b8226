#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the readers of each machine format accept it: JSON that jq parses and whose keys
# are documented, CSV with quotes, tab-separated fields, and metrics that promtool accepts.
# All of them have the same numbers.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

tree "$T/tree" 2 2
# A guest's name with all characters that could break a format.
printf 'qemu\0-name\0%s\0' 'a"b\c' >"$T/tree/proc/1001/cmdline"
all() { exitdump -S "$T/tree" "$@"; }

if ! command -v jq >/dev/null; then
	skip 'JSON' 'jq is not installed'
else
	all --json
	is 'one line' "$(wc -l <"$T/.out")" 1
	is 'the head' "$(jq -c '[.version, .interval, .vendor, .scope, .tsc, .tsc_khz,
		.unit, .vms, .vcpus, .off, .gone, .own_exits]' "$T/.out")" \
		'[2,null,"vmx","host","stable",2000000,"cycles",2,4,false,0,0]'
	is 'the time is now' "$(jq 'now - .time | . >= -1 and . < 60' "$T/.out")" true
	is 'a row' "$(jq -c '.rows[0] | map_values(if type == "number" then . + 0 else . end)' "$T/.out")" \
		'{"vm":null,"vmname":null,"vcpu":null,"reason":9,"name":"REASON_9","exits":40,"cycles":40000,"total":160000,"halt":20000,"poll":2000,"user":80000,"sched":8000,"hsched":3200,"stop":4000,"slow":4,"max":3900,"rate":null,"avg":1000,"avgtotal":4000,"lost":136000,"share":0.181818,"other":11200,"gexits":53475.936,"glost":0.090909,"p50":3900,"p90":3900,"p99":3900,"p99.9":3900,"hist":[0,0,0,0,0,0,0,0,0,0,0,0,40,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}'
	is 'the sum' "$(jq -c '.totals[0] | [.exits, .guest, .overhead, .cleared,
		.hist[12], has("reason")]' "$T/.out")" '[220,1496000,0.333333,false,220,false]'
	all --json -a
	is 'by VM: rows of all of them, a sum for each' \
		"$(jq -c '[(.rows | length), (.totals | length), .totals[1].vmname, .totals[1].vcpus]' "$T/.out")" \
		'[20,2,"a\"b\\c","0-1"]'
	all --json -o exits
	is 'a choice of columns: refused' "$status:$out:$err" \
		'1::exitdump: --output: not with --json, which has all columns'
	mkdir -p "$T/tree/sys/module/kvm/parameters"
	echo N >"$T/tree/sys/module/kvm/parameters/exit_cycles"
	all --json
	is 'counting switched off: said' "$(jq .off "$T/.out")" true
	rm -r "$T/tree/sys/module"
	all --json --all-vcpus -r 9 -u ns
	is 'by vCPU, in ns' "$(jq -c '[.unit] + (.rows | map([.vm, .vcpu, .max])) + (.totals | map(.exits))' "$T/.out")" \
		'["ns",["1000-11",0,1950],["1000-11",1,1950],["1001-11",0,1950],["1001-11",1,1950],10,10,10,10]'
	keys=$(jq -r '(keys - ["rows", "totals"])[], (.rows[0] | keys[]), (.totals[0] | keys[])' "$T/.out")
	missing=
	page=$(sed -n '/^\.Sh JSON/,/^\.Sh FILES/p' "$TOP/tools/exitdump.8")
	for key in $keys; do
		grep -qw -e "$key" <<<"$page" || missing+=" $key"
	done
	is 'every key is in the manual page' "$missing" ''
	lines '#~exit_cycles~1' 'reason name exits' '- OTHER 1' '- TOTAL 1' >"$T/early"
	exitdump --json -i "$T/early"
	is 'what an early file lacks is null' "$(jq -c '[.vendor, .tsc_khz, .vms, .vcpus, .rows[0].reason,
		.rows[0].total, .rows[0].hist, .totals[0].guest]' "$T/.out")" \
		'[null,null,null,null,null,null,null,null]'
	mkdir -p "$T/old/sys/kernel/debug/kvm/7-8"
	cp "$T/early" "$T/old/sys/kernel/debug/kvm/exit_cycles"
	cp "$T/early" "$T/old/sys/kernel/debug/kvm/7-8/exit_cycles"
	exitdump --json -a -S "$T/old"
	is 'also how many vCPUs its VMs have' "$(jq -c '[.vms, .vcpus]' "$T/.out")" '[1,null]'
	for vcpu in 0 1; do
		mkdir "$T/old/sys/kernel/debug/kvm/7-8/vcpu$vcpu"
		cp "$T/early" "$T/old/sys/kernel/debug/kvm/7-8/vcpu$vcpu/exit_cycles"
	done
	exitdump --json --all-vcpus -S "$T/old"
	is 'by vCPU, how many they are is known' "$(jq -c '[.vms, .vcpus]' "$T/.out")" '[1,2]'
	n=18446744073709551615
	lines '#~exit_cycles~1' 'reason name exits' "1 A $n" "- TOTAL $n" >"$T/large"
	exitdump --json -i "$T/large"
	like 'all 64 bits arrive' "$out" "\"exits\":$n,"
fi

all --csv -o vm,vmname,name,exits -r 9
is '--csv: a heading, quotes where they are needed' "$out" \
	$'vm,vmname,name,exits\n,,REASON_9,40'
all --csv -a -o vm,vmname,exits
is '--csv: quotes are doubled' "$out" \
	$'vm,vmname,exits\n1000-11,vm0,110\n1001-11,"a""b\\c",110'
all --csv -n 1
is '--csv: all counters; no rate and no time of a snapshot' "$(head -n 1 "$T/.out")" \
	name,exits,cycles,total,halt,poll,user,sched,hsched,stop,slow,max,lost,share
lines '#~exit_cycles~1 vendor=vmx tsc_khz=1000 tsc=unstable scope=host vms=1 vcpus=1 guest=0' \
	'reason name exits cycles' '1 A,B 5 10' '- TOTAL 5 10' >"$T/open"
exitdump --csv -i "$T/open" -o name,exits
is '--csv: a comma is quoted' "$out" $'name,exits\n"A,B",5'
exitdump --json -i "$T/open"
is 'a TSC that is not stable: in JSON' "$(jq -r .tsc "$T/.out")" unstable
exitdump --openmetrics -i "$T/open"
is 'in metrics' "$(grep ^kvm_tsc_stable "$T/.out")" 'kvm_tsc_stable 0'
lines '#~exit_cycles~1' 'reason name exits' '1 A 1' '- TOTAL 1' >"$T/silent"
exitdump --openmetrics -i "$T/silent"
unlike 'of which the file does not say it: no metric' "$out" kvm_tsc_stable
is 'nor of what else it does not have' "$(grep -v '^#' "$T/.out")" 'kvm_exits_total{reason="A"} 1'
exitdump -i "$T/open"
like 'in the headline' "$out" '^[^'$'\n'']*TSC unstable'
all --raw -a -o vmname,vcpu,exits
is '--raw: "-" for nothing, no heading' "$out" $'vm0\t-\t110\na"b\\c\t-\t110'

# has TITLE LINE: the metrics have this line.
has() { ok "$1" grep -qxF -e "$2" "$T/.out"; }

# metrics TITLE ARGUMENT...: promtool accepts the metrics without a word.
metrics() {
	exitdump --openmetrics "${@:2}"
	is "--openmetrics $1: ends as it should" "$status:${out##*$'\n'}" '0:# EOF'
	if command -v promtool >/dev/null; then
		is "--openmetrics $1: promtool finds nothing" \
			"$(promtool check metrics <"$T/.out" 2>&1; echo $?)" 0
	else
		skip "--openmetrics $1: promtool" 'not installed (Debian: prometheus)'
	fi
}
metrics 'host' -S "$T/tree"
has 'the very number' 'kvm_exits_total{reason="REASON_9"} 40'
has 'what is lost: total without halt and stop' 'kvm_exit_lost_cycles_total{reason="REASON_9"} 136000'
has 'and its parts' 'kvm_exit_sched_cycles_total{reason="REASON_9"} 8000'
has 'and of the whole account' 'kvm_guest_cycles_total 1496000'
is 'a total is a counter, what else there is a gauge' "$(sed -n 's:^# TYPE ::p' "$T/.out" | grep -v '_total counter$' | xargs)" \
	'kvm_exit_max_cycles gauge kvm_vcpus gauge kvm_vms gauge kvm_tsc_hertz gauge kvm_tsc_stable gauge'
is 'how many VMs and vCPUs' "$(grep '^kvm_v' "$T/.out")" $'kvm_vcpus 4\nkvm_vms 2'
is 'reasons by their numbers, so that they stay where they are' "$(grep -m 1 '^kvm_exits_total' "$T/.out")" 'kvm_exits_total{reason="REASON_0"} 4'
metrics 'by VM' -S "$T/tree" -a
has 'with labels' 'kvm_exit_halt_cycles_total{vm="1000-11",vmname="vm0",reason="REASON_9"} 10000'
like 'a name is escaped' "$out" 'vmname="a\\"b\\\\c"'
is 'how many vCPUs each has' "$(grep '^kvm_v[a-z]*{vm="1000' "$T/.out")" 'kvm_vcpus{vm="1000-11",vmname="vm0"} 2'
cp -r "$T/tree" "$T/apart"
sed -i 's/vcpus=2/vcpus=3/' "$T/apart/sys/kernel/debug/kvm/1001-11/exit_cycles"
exitdump --openmetrics -S "$T/apart" -a
is 'each its own number' "$(sed -n 's/^kvm_vcpus.* //p' "$T/.out" | xargs)" '2 3'
sed -i 's/guest=748000/guest=5/' "$T/apart/sys/kernel/debug/kvm/1001-11/exit_cycles"
exitdump --openmetrics -S "$T/apart" -a
is 'and its own time inside the guest' "$(sed -n 's/^kvm_guest.* //p' "$T/.out" | xargs)" '748000 5'
metrics 'by vCPU, with histograms' -S "$T/tree" --all-vcpus --buckets
labels='vm="1000-11",vmname="vm0",vcpu="1",reason="REASON_9"'
name=kvm_exit_latency_cycles
has 'of the type of histograms' "# TYPE $name histogram"
has 'a bucket below' "${name}_bucket{$labels,le=\"2047\"} 0"
has 'buckets are cumulative' "${name}_bucket{$labels,le=\"8191\"} 10"
has 'a bound of six digits as it is' "${name}_bucket{$labels,le=\"131071\"} 10"
has 'up to the last' "${name}_bucket{$labels,le=\"+Inf\"} 10"
has 'their sum, without stops' "${name}_sum{$labels} 39000"
has 'their count' "${name}_count{$labels} 10"
unlike 'no number of VMs for a vCPU' "$out" 'kvm_v(ms|cpus)'
like 'a bound as Go prints it' "$out" "_bucket.$labels,le=\"1\\.048575e\\+06\". 10"
metrics 'of VMs alone' -S "$T/tree" -a -o vm,vmname,vcpu,exits,guest --buckets
is 'what --output lists, without reasons' "$(grep -v -e '^#' -e _bucket "$T/.out" | sort)" \
'kvm_exit_latency_cycles_count{vm="1000-11",vmname="vm0"} 110
kvm_exit_latency_cycles_count{vm="1001-11",vmname="a\"b\\c"} 110
kvm_exit_latency_cycles_sum{vm="1000-11",vmname="vm0"} 429000
kvm_exit_latency_cycles_sum{vm="1001-11",vmname="a\"b\\c"} 429000
kvm_exits_total{vm="1000-11",vmname="vm0"} 110
kvm_exits_total{vm="1001-11",vmname="a\"b\\c"} 110
kvm_guest_cycles_total{vm="1000-11",vmname="vm0"} 748000
kvm_guest_cycles_total{vm="1001-11",vmname="a\"b\\c"} 748000
kvm_tsc_hertz 2000000000
kvm_tsc_stable 1'
metrics 'of chosen reasons in one' -S "$T/tree" -r 8,9 -o exits
has 'their sum' 'kvm_exits_total 76'
metrics 'of all in one, with histograms' -S "$T/tree" -o exits --buckets
has 'a bucket without other labels' "${name}_bucket{le=\"+Inf\"} 220"
metrics 'of one reason by name' -S "$T/tree" -r 9 -o name,exits
has 'its name' 'kvm_exits_total{reason="REASON_9"} 40'
all --openmetrics
cp "$T/.out" "$T/metrics"
all --openmetrics -o +vmname
ok '-o + of metrics: all of them, as ever' cmp "$T/.out" "$T/metrics"
all --csv -n 1 -o name --csv
is 'a format twice is that one' "$status:$err" 0:
metrics 'of an early file' -i "$T/tree/sys/kernel/debug/kvm/exit_cycles"

for args in '--json --csv' '--raw --openmetrics' '--openmetrics -u ns' '--openmetrics -u cycles' '--csv -u auto' --buckets \
	'--openmetrics -o p99' '--openmetrics -n 3' '--openmetrics -s exits' '--openmetrics -o total'; do
	# shellcheck disable=SC2086 # one or two words
	all $args
	is "$args: refused" "$status:$out" 1:
done

done_testing

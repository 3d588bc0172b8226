#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures what the counters of hosts cost Prometheus. First the output: how much exitdump
# writes about a host with 100 VMs, and in what time. Then the disk: bytes a sample in blocks
# (chunks and index) that Prometheus' own tool makes. The samples come from a host in the SVM
# lab, which runs two Linux guests and is read every second; from counters that all move at
# random; and from rates. Then the memory with the series of 1,000 hosts, scraped twice.
#
# Usage: tests/bench/fleet.sh [SAMPLES]	(default 150, which takes minutes)
# In the blocks the samples are 15 seconds apart, like scrapes.
# Needs: the lab kernel (make kernel), prometheus, jq, curl, busybox.
# shellcheck source=tests/lib.sh
[[ $1 != -h ]] || { awk 'NR > 2 { if (!/^#/ || /shellcheck/) exit; sub(/^# ?/, ""); print }' "$0"; exit; }
. "${BASH_SOURCE[0]%/*}/../lib.sh"
. "${BASH_SOURCE[0]%/*}/../fixtures/exitdump.sh"
# shellcheck source=scripts/guest/files.sh
. "$TOP/scripts/guest/files.sh"
pids=()
end() {
	((!${#pids[@]})) || kill "${pids[@]}" 2>/dev/null || :
	wait 2>/dev/null
	rm -rf "$T"
}
trap end EXIT
SAMPLES=${1:-150}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/exit_cycles

# capture: the guests do a bit of everything, and little of it.
capture() {
	local bring
	# shellcheck disable=SC2016 # for the guest's shell
	"$TOP/scripts/guest/initrd.sh" "$T/initrd" sh -c 'n=0
		while :; do
			n=$((n + 1))
			dd if=/dev/zero of=/dev/null bs=64k count=$((n * 37 % 400)) 2>/dev/null
			cpuid -1 -l 0 >/dev/null
			sleep 0.$((n * 7 % 10))
			[ $((n % 20)) != 0 ] || echo tick
		done'
	cat >"$T/samples" <<-END
		export TMPDIR=/tmp/vms
		mkdir \$TMPDIR
		run-vm.sh -k bzImage -i initrd -m 256 </dev/null >/dev/null 2>&1 &
		run-vm.sh -k bzImage -i initrd -m 200 </dev/null >/dev/null 2>&1 &
		sleep 10
		for ((i = 0; i < $SAMPLES; i++)); do
			echo "== \$i"
			cat /sys/kernel/debug/kvm/exit_cycles
			echo "== hist"
			cat /sys/kernel/debug/kvm/exit_cycles_hist
			sleep 1
		done
		kill %1 %2
		wait
	END
	bring_vm "$CACHE/6.1/out/bzImage" "$T/initrd" seabios "$T/samples"
	"$TOP/scripts/lab.sh" -m svm -c 2 -t $((SAMPLES * 4 + 120)) "${bring[@]}" -- bash samples >"$T/out"
	mkdir "$T/host"
	awk -v dir="$T/host" '/^== hist/ { f = dir "/" n "_hist"; next }
		/^== / { n = $2; f = dir "/" n; next }
		{ print >f }' "$T/out"
}

# stream [OPTION]...: prints the captures as OpenMetrics with time stamps, by series.
stream() {
	local i
	for ((i = 0; i < SAMPLES; i++)); do
		"$EXITDUMP" -i "$T/host/$i" --openmetrics "$@" |
			awk -v time=$((1795300000 + i * 15)) '!/^#/ { print $0, time }'
	done | sort -s -k1,1
}

# random: prints counters of 25 reasons whose rates differ.
random() {
	awk -v samples="$SAMPLES" 'BEGIN {
		srand(1)
		for (r = 0; r < 25; r++)
			for (k = 0; k < 6; k++)
				for (s = n = 0; s < samples; s++) {
					n += int(15000 * exp(-r / 4) * (k ? 1500 * k : 1) * (0.7 + 0.6 * rand())) + 1
					printf "m%d{r=\"%d\"} %.0f %d\n", k, r, n, 1795300000 + s * 15
				}
	}'
}

rates() {
	awk -v samples="$SAMPLES" 'BEGIN {
		srand(2)
		for (r = 0; r < 125; r++)
			for (s = 0; s < samples; s++)
				printf "r{r=\"%d\"} %.17g %d\n", r, 1000 * exp(-r / 20) * (0.9 + 0.2 * rand()),
					1795300000 + s * 15
	}'
}

# row WHAT COMMAND...: prints the series and the bytes a sample.
row() {
	rm -rf "$T/blocks"
	{
		"${@:2}"
		echo '# EOF'
	} >"$T/stream"
	promtool tsdb create-blocks-from openmetrics "$T/stream" "$T/blocks" >/dev/null
	printf '%-32s %8d %8.2f\n' "$1" "$(jq -s 'map(.stats.numSeries) | max' "$T"/blocks/*/meta.json)" \
		"$(cat "$T"/blocks/*/chunks/* "$T"/blocks/*/index | wc -c |
			awk -v samples="$(jq -s 'map(.stats.numSamples) | add' "$T"/blocks/*/meta.json)" '{ print $1 / samples }')"
}

# cpu_ns PID: prints the CPU time of its threads so far.
cpu_ns() { cat "/proc/$1/task"/*/schedstat | awk '{ n += $1 } END { printf "%.0f", n }'; }

# served [OPTION]...: prints the CPU time of one request (of 50) in ms, and serve's memory
# in MB.
served() {
	local server url before
	"$EXITDUMP" serve -S "$T/hundred" "$@" 0 2>"$T/log" &
	server=$!
	pids=("$server")
	until url=$(sed -n 's/^exitdump: //p' "$T/log") && [[ $url ]]; do sleep 0.1; done
	curl -s "$url" >/dev/null
	before=$(cpu_ns "$server")
	curl -s "$url?[1-50]" >/dev/null
	awk -v ns=$(($(cpu_ns "$server") - before)) '/^VmHWM/ { printf "%8.1f %8.1f\n", ns / 50e6, $2 / 1000 }' \
		"/proc/$server/status"
	kill "$server"
	wait "$server"
	pids=()
}

# options [OPTION]...: prints series, KB, and the median time of 21 runs in ms; and `served`.
options() {
	local i before series bytes
	"$EXITDUMP" -S "$T/hundred" --openmetrics "$@" >"$T/metrics"
	series=$(grep -vc '^#' "$T/metrics")
	bytes=$(wc -c <"$T/metrics")
	for ((i = 0; i < 21; i++)); do
		before=${EPOCHREALTIME/./}
		"$EXITDUMP" -S "$T/hundred" --openmetrics "$@" >"$T/metrics"
		echo $((${EPOCHREALTIME/./} - before))
	done | sort -n | awk -v what="${*:-none}" -v series="$series" -v bytes="$bytes" \
		'{ t[NR] = $1 } END { printf "%-42s %8d %8d %8d ", what, series, bytes / 1000, t[11] / 1000 + 0.5 }'
	served "$@"
}
tree "$T/hundred" 100 4 -v reasons=25
printf '%-42s %8s %8s %8s %8s %8s\n' options series KB ms served MB
options
options --buckets
options --all-vms -o exits,lost,guest
options --all-vms -o exits,lost,guest --buckets
options --all-vms
options --all-vcpus -o exits,lost,guest
options --all-vcpus

capture
printf '%-32s %8s %8s\n' '' series 'B/sample'
row 'lab host' stream
row 'lab host, --buckets' stream --buckets
row 'every counter at random' random
row 'rates' rates

# --- memory

tree "$T/tree" 2 2 -v reasons=25
mkdir "$T/www"
"$EXITDUMP" -S "$T/tree" --openmetrics | awk '/^#/ { next } {
	gsub(/[{}]/, " ", $1)
	split($1, part, " ")
	for (host = 0; host < 1000; host++)
		printf "%s{%shost=\"host%d\"} %s\n", part[1], part[2] != "" ? part[2] "," : "", host, $2
}' >"$T/www/metrics"
web=$((RANDOM % 10000 + 20000)) api=$((RANDOM % 10000 + 30000))
cat >"$T/prometheus.yml" <<END
scrape_configs:
  - job_name: fleet
    scrape_interval: 15s
    scrape_timeout: 10s
    static_configs: [ targets: [ '127.0.0.1:$web' ] ]
END
busybox httpd -f -p "127.0.0.1:$web" -h "$T/www" 2>/dev/null &
pids+=($!)
prometheus --config.file="$T/prometheus.yml" --storage.tsdb.path="$T/tsdb" \
	--web.listen-address="127.0.0.1:$api" 2>"$T/log" &
pids+=($!)
sleep 45
printf '%-32s %8d %8d MiB of Prometheus\n' '1,000 hosts' \
	"$(curl -s -G "http://127.0.0.1:$api/api/v1/query" --data-urlencode 'query=prometheus_tsdb_head_series or count({job="fleet", host!=""})' |
		jq -r '.data.result[0].value[1]')" \
	"$(($(awk '/VmRSS/ { print $2 }' "/proc/${pids[1]}/status") / 1024))"

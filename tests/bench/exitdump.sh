#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Measures the cost of exitdump on a capture, in memory, of a host with 100 VMs of 4 vCPUs and
# 60 reasons. First the time from start to end, with fork and exec; the largest resident size;
# and the CPU time of the live view at an interval of one second. Beside it kvm_stat -1 and
# perf kvm stat report, if they run here. Then exitdump's instructions, and how many times as
# many these are as those of a program that only reads and parses the same files
# (fixtures/read-and-parse.c): at most 3 times in every format. Then its memory with more and
# more VMs. If each VM is one line, the memory grows by one line for each. It grows by all
# rows if the rows are sorted, or are grouped by metric, as Prometheus wants them.
#
# Usage: tests/bench/exitdump.sh [RUNS]	(default 51)
# PERF_DATA names a file that perf kvm stat record has written, for example during ten seconds.
# Needs: make and a compiler; tmux for the live view; valgrind for instructions. Writes to
# /dev/shm or /tmp.
[[ $1 != -h ]] || { awk 'NR > 2 { if (!/^#/ || /shellcheck/) exit; sub(/^# ?/, ""); print }' "$0"; exit; }

[[ -w /dev/shm ]] && export TMPDIR=/dev/shm
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../fixtures/exitdump.sh"
end() {
	[[ ! -S $T/tmux ]] || tmux -S "$T/tmux" kill-server 2>/dev/null || :
	rm -rf "$T"
}
trap end EXIT
RUNS=${1:-51}

# wall COMMAND...: prints milliseconds of wall time, the median and the best of RUNS.
wall() {
	local i before
	for ((i = 0; i < RUNS; i++)); do
		before=${EPOCHREALTIME/./}
		"$@" >/dev/null 2>&1
		echo $((${EPOCHREALTIME/./} - before))
	done | sort -n | awk '{ t[NR] = $1 } END { printf "%8.1f %8.1f", t[int((NR + 1) / 2)] / 1000, t[1] / 1000 }'
}

# resident COMMAND...: prints the largest resident size in MiB.
resident() {
	/usr/bin/time -f %M -o "$T/time" "$@" >/dev/null 2>&1
	awk '{ printf "%.1f", $1 / 1024 }' "$T/time"
}

# row WHAT COMMAND...
row() {
	printf '%-32s %s %8s\n' "$1" "$(wall "${@:2}")" "$(resident "${@:2}")"
}

# other WHAT COMMAND...: prints a row for a program that may not be installed.
other() {
	if ! command -v "$2" >/dev/null; then
		printf '%-32s %s\n' "$1" 'not installed'
	elif ! timeout 60 "${@:2}" >/dev/null 2>"$T/why" </dev/null; then
		printf '%-32s does not run here: %s\n' "$1" "$(tail -n 1 "$T/why")"
	else
		row "$@"
	fi
}

printf '%-32s %8s %8s %8s\n' '' 'ms, mid' 'ms, best' MiB
tree "$T/tree" 100 4 -v reasons=60
row 'exitdump' "$EXITDUMP" -S "$T/tree"
row 'exitdump --all-vms' "$EXITDUMP" -S "$T/tree" --all-vms
row 'exitdump --all-vcpus' "$EXITDUMP" -S "$T/tree" --all-vcpus
row 'exitdump --openmetrics' "$EXITDUMP" -S "$T/tree" --openmetrics
row 'exitdump --all-vms --openmetrics' "$EXITDUMP" -S "$T/tree" --all-vms --openmetrics
row 'exitdump --all-vms --json' "$EXITDUMP" -S "$T/tree" --all-vms --json
other 'kvm_stat -1' kvm_stat -1
other 'perf kvm stat report' perf kvm -i "${PERF_DATA:-perf.data.guest}" stat report

# instructions COMMAND...: prints the instructions in user space, counted by valgrind.
instructions() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null |
		awk '/Collected/ { print $4 }'
}

# times FILES-PATTERN ARGUMENT...: prints a row for exitdump, and the program to compare with.
times() {
	local own base
	find "$T/tree/sys" -name "${1##*/}" -path "$1" >"$T/files"
	base=$(instructions "$T/read-and-parse" <"$T/files")
	own=$(instructions "$EXITDUMP" -S "$T/tree" "${@:2}")
	awk -v what="exitdump ${*:2}" -v own="$own" -v base="$base" \
		'BEGIN { printf "%-50s %6.1f M %6.1f M %5.2f\n", what, own / 1e6, base / 1e6, own / base }'
}
if command -v valgrind >/dev/null; then
	"${CC:-cc}" -O2 -o "$T/read-and-parse" "$TOP/tests/fixtures/read-and-parse.c"
	printf '%-50s %8s %8s %5s\n' 'instructions' own trivial times
	vms='*-11/exit_cycles' vcpus='*/vcpu*/exit_cycles'
	for format in '' --raw --csv --openmetrics '-o +name' '--raw -o name,exits,total,lost'; do
		# shellcheck disable=SC2086 # words
		times "$vms" -a $format
	done
	for format in --json '--openmetrics --buckets' '-o +p99'; do
		# shellcheck disable=SC2086 # words
		times "$vms*" -a $format
	done
	times "$vcpus" --all-vcpus --openmetrics
	times "$vcpus*" --all-vcpus --openmetrics --buckets
	times "$vcpus*" --all-vcpus --json
else
	printf '%-32s %s\n' 'instructions' 'valgrind is not installed'
fi

# memory ARGUMENT...: prints the MiB with 10, 100 and 1,000 VMs.
memory() {
	printf '%-56s %8s %8s %8s\n' "exitdump $*" "$(resident "$EXITDUMP" -S "$T/small" "$@")" \
		"$(resident "$EXITDUMP" -S "$T/tree" "$@")" "$(resident "$EXITDUMP" -S "$T/large" "$@")"
}
tree "$T/small" 10 4 -v reasons=60
tree "$T/large" 1000 4 -v reasons=60
printf '%-56s %8s %8s %8s\n' 'MiB, 4 vCPUs of 60 reasons each' '10 VMs' 100 1,000
memory --vcpu 0-3 --json
memory -a
memory -a --openmetrics -o exits,lost,guest
memory -a --openmetrics -o exits,lost,guest --buckets
memory -a --openmetrics
memory --all-vcpus --raw
memory --all-vcpus --openmetrics --buckets
rm -r "$T/large"
tree "$T/large" 1000 4
row 'of 1,000 VMs: -a' "$EXITDUMP" -S "$T/large" -a
row '--all-vcpus --openmetrics --buckets' "$EXITDUMP" -S "$T/large" --all-vcpus --openmetrics --buckets

# top_cpu ARGUMENT...: prints thousandths of a CPU over 20 s, by the scheduler's own account.
top_cpu() {
	local pid before
	tmux -S "$T/tmux" -f /dev/null new-session -d -x 120 -y 40 \
		"exec '$EXITDUMP' -S '$T/tree' top $*"
	sleep 3
	pid=$(tmux -S "$T/tmux" list-panes -F '#{pane_pid}')
	read -r before _ <"/proc/$pid/schedstat"
	sleep 20
	awk -v before="$before" '{ printf "%.3f", ($1 - before) / 20e9 * 100 }' \
		"/proc/$pid/schedstat"
	tmux -S "$T/tmux" kill-server
}
if command -v tmux >/dev/null; then
	printf '%-32s %8s %% of a CPU\n' 'exitdump top 1' "$(top_cpu 1)"
	printf '%-32s %8s %% of a CPU\n' 'exitdump top 1 --all-vms' "$(top_cpu 1 --all-vms)"
else
	printf '%-32s %s\n' 'exitdump top 1' 'tmux is not installed'
fi

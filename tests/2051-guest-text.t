#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the user of a VM chooses its name, and the names and the number of its threads. This
# text cannot harm the user of exitdump: in every format and command it is printable ASCII,
# quoted as the format requires. Tens of thousands of threads cost exitdump only seconds of
# CPU time.
# 40,000 files: in memory, if possible.
[[ ! -w /dev/shm ]] || export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

kvm=$T/tree/sys/kernel/debug/kvm
tree "$T/tree" 1 2
evil=$'\e]0;PWNED\a\e[2J\r\n\t\x9b31m\xff<b>&"\\\'$(x)`'
# shellcheck disable=SC1003,SC2016 # it is as hostile as it looks
shown='?]0;PWNED??[2J????31m?<b>&"\'\''$(x)`'
printf 'qemu\0-name\0guest=%s\0-m\0001\0' "$evil" >"$T/tree/proc/1000/cmdline"
# threads N: of the VM, each of another name
threads() {
	seq -f "$T/tree/proc/1000/task/%.0f" 1000 $((999 + $1)) | xargs mkdir -p
	awk -v n="$1" -v dir="$T/tree/proc/1000/task" -v name="${evil:0:13}" 'BEGIN {
		for (i = 1000; i < 1000 + n; i++) {
			file = dir "/" i "/stat"
			printf "%d (%s%d) S 1 1 1 0 -1 4194560 1 0 0 0 9 1 0 0 20 0 1 0 5 1 1\n", i, i == 1000 ? name : "t", i >file
			close(file)
		}
	}'
}
threads 3
cp "$T/tree/proc/1000/task/1000/stat" "$T/tree/proc/1000/stat"
{
	lines '#~exit_cycles~1 vendor=svm tsc_khz=1000000 scope=vm vms=1 vcpus=2 guest=1' \
		'reason name key exits cycles total max' '123 io 0x70 1 1 1 1'
} >"$kvm/1000-11/exit_cycles_keys"
{
	lines '#~exit_cycles~1 vendor=svm tsc_khz=1000000 scope=vm vms=1 vcpus=2 monotonic=1 realtime=1' \
		'time vm vcpu cpu reason name key rip total' '1 1000 0 0 123 io 0x70 0x10 9000000'
} >"$kvm/1000-11/exit_cycles_slow"
cp "$kvm/1000-11/exit_cycles_keys" "$kvm/exit_cycles_keys"
cp "$kvm/1000-11/exit_cycles_slow" "$kvm/exit_cycles_slow"
printf 'port 0x70 0x70 %s\n' $'\e]0;PWNED\a' >"$T/names"
printf '0000000000000001 T %s\n' $'\e]0;PWNED\a' >"$T/symbols"

# --- each format and command

wrong='' tried=0
while read -r -a arguments; do
	run "$EXITDUMP" -S "$T/tree" "${arguments[@]}" </dev/null
	((++tried))
	! LC_ALL=C grep -q '[^ -~	]' "$T/.out" "$T/.err" || wrong+="${arguments[*]}"$'\n'
	[[ $status == 0 && $out$err == *PWNED* ]] || wrong+="no name: ${arguments[*]}: $status $err"$'\n'
done <<END
-a
-a --raw -o vm,vmname
-a --csv -o vm,vmname
-a --json
-a --openmetrics
list
list --json
list 0.01 1
list 0.01 1 --json
-a 0.01 1
why -a --names $T/names
why -a --names $T/names --json
why -a --names $T/names --openmetrics -n 9
slow --names $T/names --symbols $T/symbols
slow --vm 1000 --symbols $T/symbols
slow --json --names $T/names
run -a -- true
compare 1000/0 1000/1
compare 1000/0 1000/1 --json
END
is "$tried commands: the name is there, and nothing but printable ASCII" "$wrong" ''
run "$EXITDUMP" -S "$T/tree" -a --raw -o vmname
is 'what is not printable is ?' "$status:$out" "0:$shown"
run "$EXITDUMP" -S "$T/tree" -a --json
is 'JSON has it as it is shown' "$(jq -r '.rows[0].vmname' "$T/.out")" "$shown"
run "$EXITDUMP" -S "$T/tree" -a --csv -o vmname
is 'CSV has it between quotes' "$(tail -n 1 "$T/.out")" "\"${shown//\"/\"\"}\""
run "$EXITDUMP" -S "$T/tree" -a --openmetrics
if command -v promtool >/dev/null; then
	is 'and for Prometheus it is one label' "$(promtool check metrics <"$T/.out" 2>&1; echo $?)" 0
else
	skip 'Prometheus' 'promtool is not installed'
fi

# --- live

if has_terminal; then
	tm new-session -d -x 150 -y 24 "exec '$EXITDUMP' -S '$T/tree' -a top 0.2"
	sees 'the name is in it, as in tables' '\?\]0;PWNED\?\?\[2J'
	tm kill-server
else
	skip 'top' 'tmux is not installed'
fi

# --- many threads

threads 40000
run bash -c 'ulimit -t 2; exec "$@"' - "$EXITDUMP" list -S "$T/tree" 0.01 1
is '40,000 threads of as many names: list takes no more than 2 s of CPU' "$status:$(tail -n 1 "$T/.out" | cut -c 1-7)" 0:1000-11

done_testing

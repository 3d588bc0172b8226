#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: what 3002 shows for the quick lab is also true for Bochs. Where the TSC counts
# instructions, all runs are the same. The host's own virtualization is used only if it
# works; if not, the lab says why.
# shellcheck disable=SC2016 # what stands in quotes is for the shell in the lab
. "${BASH_SOURCE[0]%/*}/lib.sh"

# else the first lab would build it, and print that
"$TOP/scripts/kernel.sh" build >&2

mkdir "$T/tmp"
export TMPDIR=$T/tmp
echo "$TMPDIR" >"$T/where"

lab() {
	run "$TOP/scripts/lab.sh" -s stock "$@"
}

clean() {
	is "$1: no file stays" "$(ls -A "$TMPDIR")" ''
	is "$1: no process stays" "$(grep -Fls -f "$T/where" /proc/[0-9]*/cmdline)" ''
}

for ((i = 0; i < 256; i++)); do
	printf '%b' "\\0$(printf %o "$i")"
done >"$T/bytes"

lab -m vmx -c 2 -a "$T/bytes" -- sh -c 'cat bytes; exit $(($(nproc) + 5))'
is "vmx, two CPUs: the command's status" "$status" 7
ok "vmx: its output, byte for byte" cmp "$T/bytes" "$T/.out"

lab -m vmx -- sh -c 'echo c >/proc/sysrq-trigger'
is "vmx: a panic" "$status" 242
like "vmx: its log" "$err" 'Kernel panic - not syncing: sysrq triggered crash'

lab -m vmx -- sh -c 'echo "BUG: not a real one" >/dev/kmsg'
is "vmx: a bug in the log" "$status" 241

lab -m vmx -t 60 -- sh -c 'echo waiting; while :; do :; done'
is "vmx: a hang" "$status $out" '243 waiting'
like "vmx: its log" "$err" 'not done after 60 s.*lab: modules'
clean "vmx"

mkfifo "$T/fifo"
env --default-signal=INT "$TOP/scripts/lab.sh" -m vmx -s stock \
	-- sh -c 'echo running; sleep 1000' >"$T/fifo" &
pid=$!
read -r line <"$T/fifo"
kill -s INT "$pid"
status=0
wait "$pid" || status=$?
is "vmx: interrupted while its output comes" "$line $status" 'running 130'
clean "vmx, interrupted"

# Timer interrupts come at arbitrary moments: any difference between two runs would show.
for machine in vmx svm; do
	facts='cat /proc/uptime; grep -E "LOC|timer|CAL" /proc/interrupts; head -n 1 /proc/stat'
	lab -m "$machine" -x -- sh -c "$facts"
	is "$machine -x: runs" "$status" 0
	first=$out
	lab -m "$machine" -x -- sh -c "$facts"
	is "$machine -x: runs the same again" "$out" "$first"
done

lab -m kvm -- sh -c 'echo "$LAB_MACHINE"'
if ((status == 246)); then
	like "kvm: not here, in one line with the reason" \
		"$(grep -vc '^\[' "$T/.err") $(grep -v '^\[' "$T/.err")" '^1 lab.sh: -m kvm: ...*'
	other=vmx
else
	is "kvm: here, and it runs" "$status $out" '0 kvm'
	other=kvm
fi
lab -- sh -c 'echo "$LAB_MACHINE"'
is "without -m: $other" "$status $out" "0 $other"
clean "all"

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2016 # what stands in quotes is for the shell in the lab
# Promise: the lab passes its command's words, output and exit status through unchanged. A
# failure inside has a status of its own and shows the kernel's log. However the lab ends,
# none of its processes and files remain.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# else the first lab would build it, and print that
"$TOP/scripts/kernel.sh" -k 6.1 build >&2

mkdir "$T/tmp"
export TMPDIR=$T/tmp
echo "$TMPDIR" >"$T/where"

# lab WORD...: runs a command in the quick lab, like `run`.
lab() {
	run "$TOP/scripts/lab.sh" -m svm -s stock "$@"
}

# clean TITLE: no run has left anything. A lab's process has the lab's folder in its command.
clean() {
	is "$1: no file stays" "$(ls -A "$TMPDIR")" ''
	is "$1: no process stays" "$(grep -Fls -f "$T/where" /proc/[0-9]*/cmdline)" ''
}

# All 256 bytes, then output that does not end in a newline.
for ((i = 0; i < 256; i++)); do
	printf '%b' "\\0$(printf %o "$i")"
done >"$T/bytes"
printf 'no newline' >>"$T/bytes"

lab -a "$T/bytes" -- sh -c 'cat bytes; exit 7'
is "the command's status is the lab's" "$status" 7
ok "its output is the lab's, byte for byte" cmp "$T/bytes" "$T/.out"
is "and nothing is said beside it" "$err" ''
clean "after a command"

lab -- sh -c 'echo out; echo err >&2; kill -9 $$'
is "killed by signal 9: 137" "$status" 137
is "standard error comes with standard output" "$out" $'out\nerr'

lab -- no-such-command
is "not found: 127" "$status" 127
like "and said so" "$out" 'no-such-command'

lab -- sh -c 'sleep 1000 & for word; do echo "[$word]"; done' - "it's" '' $'two\nlines' '$HOME *'
is "words arrive as they are, and what still runs holds nothing up" \
	"$status $out" $'0 [it\'s]\n[]\n[two\nlines]\n[$HOME *]'

mkdir "$T/data"
echo inside >"$T/data/file"
lab -a "$(type -P bash)" -a "$T/data" -a "$TOP/tests/lib.sh" -- bash -c '
	set -e
	[[ -f lib.sh && -f data/file && -c /dev/kvm && -d /sys/kernel/debug/kvm ]]
	echo "$LAB_MACHINE $LAB_KERNEL $LAB_SERIES ${PWD##*/} $(type -P bash)"
	lab-modules unload
	[[ ! -e /dev/kvm ]]
	insmod "$LAB_MODULES/irqbypass.ko" 2>/dev/null || true
	insmod "$LAB_MODULES/kvm.ko"
	lab-modules load stock enable_vmware_backdoor=Y
	cat /sys/module/kvm/parameters/enable_vmware_backdoor'
is "a program comes with its libraries, modules can be reloaded" "$status $out" \
	"0 svm $(default_kernel) stock lab /lab/bash"$'\nY'
lab -c 2 -- sh -c 'exit "$(nproc)"'
is "-c 2: two CPUs" "$status" 2

lab -- sh -c 'echo "WARNING: not a real one" >/dev/kmsg
	i=0; while [ $i -lt 9000 ]; do echo "line $i of a log that the kernel cannot hold"; i=$((i + 1)); done >/dev/kmsg
	dmesg | grep -c WARNING'
is "a warning in the kernel's log: 241, though the command failed too" "$status" 241
is "and though the kernel itself has lost it" "$out" 0
like "the log is shown" "$err" 'log has: .*WARNING: not a real one'
like "from there, and its end" "$err" $'WARNING: not a real one[\n].*line 0 of.*line 8999 of'

lab -- sh -c 'echo before; sleep 1; echo c >/proc/sysrq-trigger; echo after'
is "a panic: 242" "$status" 242
is "what was said before it has come" "$out" before
like "the log is shown" "$err" 'Kernel panic - not syncing: sysrq triggered crash'
clean "after a panic"

"$TOP/scripts/kernel.sh" module "$TOP/tests/lab/misbehave" "$T" >&2
lab -a "$T/misbehave.ko" -- sh -c 'insmod ./misbehave.ko what=null; echo after'
is "an Oops is one" "$status:$out" 242:
like "and its log is shown" "$err" 'Oops: .*RIP: [^ ]*null'

lab -t 30 -- sh -c 'echo waiting; sleep 1000'
is "a hang: 243" "$status" 243
is "what was said before it has come" "$out" waiting
like "the log is shown" "$err" 'not done after 30 s.*lab: modules'
clean "after a hang"

lab -- poweroff -f
is "the machine ends before the command: 244" "$status" 244
lab -- reboot -f
is "and so for a reboot" "$status" 244

# The lab is interrupted after its output has arrived here while the command still runs.
for signal in INT TERM; do
	mkfifo "$T/$signal"
	# A shell's background job would ignore INT; env restores the default.
	env --default-signal=INT "$TOP/scripts/lab.sh" -m svm -s stock \
		-- sh -c 'echo running; sleep 1000' >"$T/$signal" &
	pid=$!
	read -r line <"$T/$signal"
	is "output comes as it is made" "$line" running
	kill -s "$signal" "$pid"
	status=0
	wait "$pid" || status=$?
	is "SIG$signal: $((128 + $(kill -l $signal)))" "$status" $((128 + $(kill -l $signal)))
	clean "after SIG$signal"
done

# Two labs at once, and one whose reader goes away.
"$TOP/scripts/lab.sh" -m svm -s stock -- echo first >"$T/first" &
pid=$!
lab -- echo second
ok "two at once do not meet" wait "$pid"
is "and each has its own output" "$(<"$T/first") $out" 'first second'
{ "$TOP/scripts/lab.sh" -m svm -s stock -- sh -c 'while echo more; do :; done' || echo $? >"$T/gone"; } |
	head -n 1 >"$T/line"
is "its reader goes: 141, and no hang" "$(<"$T/line") $(<"$T/gone")" "more 141"
clean "after its reader has gone"

try() {
	local title=$1 expected=$2
	shift 2
	run "$TOP/scripts/lab.sh" "$@"
	is "$title: 245" "$status" 245
	like "$title: one line" "$(wc -l <"$T/.err") $err" "^1 lab.sh: .*$expected"
	is "$title: no output" "$out" ''
}

try "no command" "no COMMAND" -m svm
try "no such machine" "-m arm" -m arm -- true
try "no such kernel" "-k 2.6" -k 2.6 -- true
try "no such series" "-s new" -s new -- true
try "no such option" "-z" -z -- true
try "an option without its value" "-a" -a
try "not a number" "-c two" -c two -- true
try "too many CPUs" "-c 9" -c 9 -- true
try "exact, with two CPUs" "-x" -m svm -x -c 2 -- true
try "no such file" "no-such-file" -m svm -s stock -a no-such-file -- true
clean "after misuse"

done_testing

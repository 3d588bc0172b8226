#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2016 # what stands in quotes is for the shell in the lab
# Promise: a lab can be ended from outside by SIGKILL at any time, by the death of its
# emulator, by a full disk, by the loss of its output's reader, or while a build runs. Each
# gives its own status and one reason, and leaves no process and no file of the lab. Large
# output of a lab arrives completely.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# else the first lab would build it, and print that
"$TOP/scripts/kernel.sh" build >&2

mkdir "$T/tmp"
export TMPDIR=$T/tmp
echo "$TMPDIR" >"$T/where"
LAB=("$TOP/scripts/lab.sh" -m svm -s stock)

lab() {
	run "${LAB[@]}" "$@"
}

# Every process that a lab starts has the lab's folder in its environment.
processes() {
	env -u TMPDIR grep -Fls -f "$T/where" /proc/[0-9]*/environ || true
}

# clean TITLE: a run has left nothing. Waits, because a killed run could not wait for its own
# processes.
clean() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ $(ls -A "$TMPDIR")$(processes) ]] || break
		sleep 0.1
	done
	is "$1: no file stays" "$(ls -A "$TMPDIR")" ''
	is "$1: no process stays" "$(processes)" ''
}

# start WORD...: starts a lab in the background, with its output and error in $T/out, $T/err.
# It ends when the test is interrupted, and does not hold the test's lock.
start() {
	env --default-signal=INT "${LAB[@]}" "$@" >"$T/out" 2>"$T/err" 8<&- &
	pid=$!
}

# seen TEXT: TEXT appears in its output within a minute.
# shellcheck disable=SC2317 # called by ok
seen() {
	local i
	for ((i = 0; i < 600; i++)); do
		grep -qs "$1" "$T/out" && return 0
		sleep 0.1
	done
	return 1
}

# waits: the lab waits for a lock within a minute.
# shellcheck disable=SC2317 # called by ok
waits() {
	local i one
	for ((i = 0; i < 600; i++)); do
		for one in $(processes); do
			[[ $(cat "${one%/environ}/comm" 2>/dev/null) != flock ]] || return 0
		done
		sleep 0.1
	done
	return 1
}

ended() {
	status=0
	wait "$pid" 2>/dev/null || status=$?
}

# SIGKILL, while the command runs and in the middle of the preparations.
for machine in svm vmx; do
	LAB[2]=$machine
	start -- sh -c 'echo running; sleep 1000'
	ok "$machine: it runs" seen running
	kill -9 "$pid"
	ended
	is "$machine, killed: 137" "$status" 137
	clean "$machine, killed"
done
LAB[2]=svm
for wait in 0.2 0.4 0.6; do
	start -- sleep 1000
	while [[ ! $(ls -A "$TMPDIR") ]] && kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
	sleep $wait
	kill -9 "$pid"
	ended
	clean "killed $wait s after it made its first file"
done

# The emulator is killed, by another process or because memory is short.
start -- sh -c 'echo running; sleep 1000'
ok "it runs" seen running
kill -9 "$(for one in $(processes); do
	[[ $(<"${one%/environ}/comm") != qemu-system* ]] || basename "${one%/environ}"
done)"
ended
is "the emulator is killed: 244, not taken for a hang" "$status" 244
like "and said so" "$(<"$T/err")" 'ended before the command did'
clean "the emulator killed"

# A build holds the lock. The lab waits; it can be ended while it waits; and it finishes
# after the build. This is tried before the lab asks for a build, and again before it takes
# the built kernel; for the second, a stand-in for kernel.sh has nothing to build.
exec 8<"$CACHE/$(default_kernel)/lock"
mkdir "$T/other"
cp -R "$TOP"/{scripts,patches} "$T/other/"
printf '#!/bin/sh\n' >"$T/other/scripts/kernel.sh"
for when in "before a build" "after its build"; do
	[[ $when == before* ]] || LAB[0]=$T/other/scripts/lab.sh
	for signal in TERM KILL CONT; do
		flock 8
		start -- echo end
		ok "$when: it waits" waits
		kill -s "$signal" "$pid"
		[[ $signal != CONT ]] || flock -u 8
		ended
		if [[ $signal == CONT ]]; then
			is "$when: goes on when the lock is free" "$status $(<"$T/out")" '0 end'
		else
			is "$when: SIG$signal ends it" "$status" $((128 + $(kill -l "$signal")))
		fi
		clean "$when, SIG$signal"
		flock -u 8
	done
done
LAB[0]=$TOP/scripts/lab.sh

# Much output, which nobody reads at first, and a long kernel log.
lines='i=0; while [ $i -lt 4 ]; do cat lines; i=$((i + 1)); done'
for ((i = 0; i < 4096; i++)); do
	printf '%059d line\n' $i
done >"$T/lines"
for ((i = 0; i < 4; i++)); do
	cat "$T/lines"
done >"$T/expected"
"${LAB[@]}" -a "$T/lines" -- sh -c "$lines" | {
	sleep 3
	cat
} >"$T/got"
ok "a MiB of output come whole, to a slow reader" cmp "$T/expected" "$T/got"
lab -l "$T/log" -a "$T/lines" -- sh -c 'echo "WARNING: the first line" >/dev/kmsg
	while read -r line; do echo "$line"; done <lines >/dev/kmsg; exit 5'
is "a warning before 4096 more lines of the kernel's log: 241" "$status" 241
is "all of them stand in the file of -l" \
	"$(tail -n +1 "$T/log" | grep -ac '[0-9] line')" 4096
ok "standard error has the end of it only" test "$(wc -l <"$T/.err")" -lt 300
clean "after much"

# No space for the output, for the log of -l, for the lab's files, for the lab's log.
run sh -c '"$@" >/dev/full' sh "${LAB[@]}" -- echo word
is "output to a full disk: 244" "$status" 244
like "and said so" "$err" 'No space left on device'
lab -l /dev/full -- echo word
is "-l on a full disk: 244" "$status" 244
lab -l "$T/no/log" -- echo word
is "-l where there is no such folder: 245" "$status$out" 245
TMPDIR=$T/no lab -- echo word
is "no folder for temporary files: 245" "$status$out" 245
clean "after full files"

mkdir "$T/small"
if unshare -m true 2>/dev/null; then
	# in its own mount namespace, so that the mount ends with it
	cat >"$T/small.sh" <<-'EOF'
		mount -t tmpfs -o "size=$1" small "$2" || exit 99
		export TMPDIR=$2
		shift 2
		("$@")
		status=$?
		ls -A "$TMPDIR" >&2
		exit "$status"
	EOF
	run unshare -m sh "$T/small.sh" 3m "$T/small" "${LAB[@]}" -- echo word
	is "no space for the lab's files: 245" "$status$out" 245
	like "and said so" "$err" 'No space left on device'
	unlike "nothing stays" "$err" 'tmp\.[A-Za-z0-9]{10}($|'$'\n)'
else
	skip "no space for the lab's files" "no mounts here"
fi

done_testing

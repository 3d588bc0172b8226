#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2016 # what stands in quotes is for the shell in the lab
# Promise: whatever ends a lab from outside - SIGKILL at any time, an emulator
# killed, a full disk, nobody to take its output, a build meanwhile - ends in a
# status of its own, one reason, and no process and no file of it stays. What a
# lab writes in great amounts comes whole.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# or the first lab would build it, and say so
"$TOP/scripts/kernel.sh" build >&2

mkdir "$T/tmp"
export TMPDIR=$T/tmp
echo "$TMPDIR" >"$T/where"
LAB=("$TOP/scripts/lab.sh" -m svm -s stock)

lab() {
	run "${LAB[@]}" "$@"
}

# Whatever a lab starts has its folder in its environment.
processes() {
	env -u TMPDIR grep -Fls -f "$T/where" /proc/[0-9]*/environ || true
}

# clean TITLE: nothing of a run is left, though what was killed could not wait
# for it.
clean() {
	local i
	for ((i = 0; i < 100; i++)); do
		[[ $(ls -A "$TMPDIR")$(processes) ]] || break
		sleep 0.1
	done
	is "$1: no file stays" "$(ls -A "$TMPDIR")" ''
	is "$1: no process stays" "$(processes)" ''
}

# start WORD...: a lab in the background, its output and error in $T/out, $T/err. It
# ends when the test is interrupted, and has no share in the test's lock.
start() {
	env --default-signal=INT "${LAB[@]}" "$@" >"$T/out" 2>"$T/err" 8<&- &
	pid=$!
}

# seen TEXT: in its output, before a minute is over.
# shellcheck disable=SC2317 # called by ok
seen() {
	local i
	for ((i = 0; i < 600; i++)); do
		! grep -qs "$1" "$T/out" || return 0
		sleep 0.1
	done
	return 1
}

# waits: for a lock, before a minute is over.
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

# SIGKILL, while the command runs, and in the middle of the preparations.
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

# The emulator goes, by the hand of another or for want of memory.
start -- sh -c 'echo running; sleep 1000'
ok "it runs" seen running
kill -9 "$(for one in $(processes); do
	[[ $(<"${one%/environ}/comm") != qemu-system* ]] || basename "${one%/environ}"
done)"
ended
is "the emulator is killed: 244, not taken for a hang" "$status" 244
like "and said so" "$(<"$T/err")" 'ended before the command did'
clean "the emulator killed"

# A build has the lock: the lab waits, can be ended as it waits, and comes to
# its end when the build has. Once while it asks for a build, and once more when
# it takes what was built, for which there is a kernel.sh here that has done.
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

# Much: of output, which nobody reads at first, and of the kernel's log.
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

# No space: for the output, the log of -l, the files of the lab, its log.
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
	# in a name space of its own, so that the mount ends with it
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

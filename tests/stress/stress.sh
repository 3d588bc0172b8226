# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# stress.sh - shared by the stress tests. Sourced after lib.sh, in place of labs.sh, which it
# sources.
#
# LABS in the environment chooses the labs (default: KASAN's and KCSAN's kernels).
# STRESS_SIZE=small in the environment makes all sizes small.

kernel=$(default_kernel)
: "${LABS=svm:$kernel:kasan svm:$kernel:kcsan}"
. "$TOP/tests/lab/labs.sh"

# size FULL SMALL: prints the size to use.
size() {
	[[ $STRESS_SIZE == small ]] && echo "$2" || echo "$1"
}

# stress LAB [LAB-OPTION]...: boots the lab with the files that these tests bring along.
stress() {
	local one=$1
	shift
	[[ -x $T/files ]] || gcc -static -O2 -Wall -Wextra -o "$T/files" "$TOP/tests/stress/files.c"
	boot "$one" -a "$T/files" "$@"
}

# sum SECTION NAME: prints the sum of all lines "NAME N" of files.c.
sum() {
	awk -v name="$2" '$1 == name { n += $2 } END { printf "%d\n", n }' "$F/$1"
}

# tried_files SECTION: tells scripts/stress.sh what files.c has tried.
tried_files() {
	tried "files opened" "$(sum "$1" opened)"
	tried "reads of the host's files" "$(sum "$1" host-reads)"
	tried "reads of VMs' files" "$(sum "$1" vm-reads)"
	tried "reads of vCPUs' files" "$(sum "$1" vcpu-reads)"
	tried "uses of files whose VM has gone" "$(sum "$1" eio)"
	tried "resets" "$(sum "$1" resets)"
	tried "flips of the switch" "$(sum "$1" flips)"
}

# judge_leaks: judges the output of `leaks` in the lab.
judge_leaks() {
	if [[ $(<"$F/leaks") == unwatched ]]; then
		skip "$lab nothing leaks" "this kernel does not watch for leaks"
	else
		is "$lab nothing leaks" "$(<"$F/leaks")" ''
	fi
}

# SPDX-License-Identifier: GPL-2.0-only
# common.sh - what the scripts share: errors in one line, steps with elapsed
# time, and the cache's place. Sourced, never run.
#
# Sets: PROGRAM, TOP (the checkout), CACHE, and DEBUGS, the kinds of kernel that are
# for tests: they watch themselves, or are made another way.

set -e -o pipefail
export LC_ALL=C
PROGRAM=${0##*/}
TOP=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/exit_cycles
# shellcheck disable=SC2034 # read by the scripts that source this file
DEBUGS="kasan kcsan rt clang"

die() {
	echo "$PROGRAM: $*" >&2
	exit 1
}

# The comment on top of the script, from its name on.
usage() {
	sed -n "/^# $PROGRAM/,/^$/s/^# \{0,1\}//p" "${BASH_SOURCE[-1]}"
}

# step TEXT: one line a step, with the seconds since the script began.
step() {
	printf '[%3d s] %s: %s\n' "$SECONDS" "${PROGRAM%.sh}" "$*" >&2
}

# find_exitdump: sets EXITDUMP, where the environment does not: the checkout's, or that on PATH.
find_exitdump() {
	[[ $EXITDUMP ]] || EXITDUMP=$TOP/tools/exitdump
	[[ -x $EXITDUMP ]] || EXITDUMP=$(type -P exitdump) || die "exitdump: not found (make builds it)"
}

# What is bad in a kernel's log, as an extended regular expression.
# shellcheck disable=SC2034 # likewise
BAD='WARNING|BUG|Oops|KASAN|KCSAN|UBSAN|\[#[0-9]+\]|self-detected stall|detected stalls|blocked for more than|suspected memory leak'
BAD+='|refcount_t:|ODEBUG:|possible recursive locking|inconsistent lock state|suspicious RCU usage'
BAD+='|register non-static key|turning off the locking|leak detector disabled|list_(add|del) corruption'

# Before a command: it ends with its parent, whatever ends that, SIGKILL included.
mortal=(setpriv --pdeathsig TERM)

# quietly LOG COMMAND...: run with the output in LOG, which is shown (its end)
# only when the command fails.
quietly() {
	local log=$1
	shift
	if ! "${mortal[@]}" "$@" >>"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "$* failed (all of it: $log)"
	fi
}

# locked FILE COMMAND...: one at a time, however many of us run.
locked() {
	local file=$1
	shift
	mkdir -p "${file%/*}"
	exec 9>"$file"
	"${mortal[@]}" flock 9
	"$@"
	exec 9>&-
}

# SPDX-License-Identifier: GPL-2.0-only
# common.sh - what the scripts share: errors in one line, steps with elapsed
# time, and the cache's place. Sourced, never run.
#
# Sets: PROGRAM, TOP (the checkout), CACHE, and DEBUGS, the kinds of kernel that
# watch themselves.

set -e -o pipefail
export LC_ALL=C
PROGRAM=${0##*/}
TOP=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/exit_cycles
# shellcheck disable=SC2034 # read by the scripts that source this file
DEBUGS="kasan kcsan"

die() {
	echo "$PROGRAM: $*" >&2
	exit 1
}

# The comment on top of the script, from its name on.
usage() {
	sed -n "/^# $PROGRAM/,/^$/s/^# \{0,1\}//p" "${BASH_SOURCE[-1]}"
}

# bad_option: what getopts stopped at.
bad_option() {
	die "-$OPTARG: no such option, or its value is missing (-h shows them)"
}

# no_more [WORD]...: dies if there is a word behind the options.
no_more() {
	((!$#)) || die "$1: not understood (-h shows the usage)"
}

# one_of OPTION WHAT VALUE LIST: dies if the value is not in the list.
one_of() {
	[[ $3 && " $4 " == *" $3 "* ]] || die "-$1 $3: no such $2 (one of: $4)"
}

# positive OPTION VALUE: dies if the value is no number above 0, of at most 7 digits.
positive() {
	[[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || die "-$1 $2: not a number above 0"
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

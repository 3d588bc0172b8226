# SPDX-License-Identifier: GPL-2.0-only
# common.sh - shared by all scripts: errors in one line, steps with the elapsed time, and
# the place of the cache. Sourced, never run.
#
# Sets: PROGRAM, TOP (the checkout), CACHE, and DEBUGS, the kinds of debug kernel.

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

# usage: prints the comment at the top of the script, from the script's name on.
usage() {
	sed -n "/^# $PROGRAM/,/^$/s/^# \{0,1\}//p" "${BASH_SOURCE[-1]}"
}

# bad_option: dies, and names the option at which getopts stopped.
bad_option() {
	die "-$OPTARG: no such option, or its value is missing (-h shows the usage)"
}

# misused [TEXT]: says what is wrong with the command line, without TEXT as bad_option does;
# status 2.
misused() {
	(if [[ $1 ]]; then die "$1 (-h shows the usage)"; else bad_option; fi) || exit 2
}

# no_more [WORD]...: dies if a word follows the options.
no_more() {
	((!$#)) || die "$1: not understood (-h shows the usage)"
}

# one_of OPTION NAME VALUE LIST: dies if VALUE is not in LIST; NAME says what is in LIST.
one_of() {
	[[ $3 && " $4 " == *" $3 "* ]] || die "-$1 $3: no such $2 (one of: $4)"
}

# positive OPTION VALUE: dies unless the value is a number above 0 with at most 7 digits.
positive() {
	[[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || die "-$1 $2: not a number above 0"
}

# step TEXT: prints one line with the seconds since the script began.
step() {
	printf '[%3d s] %s: %s\n' "$SECONDS" "${PROGRAM%.sh}" "$*" >&2
}

# find_exitdump: sets EXITDUMP if the environment does not: the checkout's, or that on PATH.
find_exitdump() {
	[[ $EXITDUMP ]] || EXITDUMP=$TOP/tools/exitdump
	[[ -x $EXITDUMP ]] || EXITDUMP=$(type -P exitdump) || die "exitdump: not found (make builds it)"
}

# The signs of trouble in a kernel's log, as an extended regular expression.
# shellcheck disable=SC2034 # likewise
BAD='WARNING|BUG|Oops|KASAN|KCSAN|UBSAN|\[#[0-9]+\]|self-detected stall|detected stalls|blocked for more than|suspected memory leak'
BAD+='|refcount_t:|ODEBUG:|possible recursive locking|inconsistent lock state|suspicious RCU usage'
BAD+='|register non-static key|turning off the locking|leak detector disabled|list_(add|del) corruption'

# Put before a command: the command ends when its parent ends, even by SIGKILL.
mortal=(setpriv --pdeathsig TERM)

# quietly LOG COMMAND...: runs COMMAND with its output in LOG. If COMMAND fails, shows the
# end of LOG and dies.
quietly() {
	local log=$1
	shift
	if ! "${mortal[@]}" "$@" >>"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "$* failed (all of it: $log)"
	fi
}

# locked FILE COMMAND...: runs COMMAND while no other process holds the lock FILE.
locked() {
	local file=$1
	shift
	mkdir -p "${file%/*}"
	exec 9>"$file"
	"${mortal[@]}" flock 9
	"$@"
	exec 9>&-
}

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What the patch adds to the smallest CPUID round trip that a guest sees, in
# exact instructions: at most 55, at most 8 when switched off, and a leaf at
# most 60 beyond a plain CPUID.
. "${BASH_SOURCE[0]%/*}/lib.sh"

at_most() {
	ok "$1: $2, at most $3" test "$2" -le "$3"
}

run "$TOP/scripts/bench-rtt.sh"
is "every lab was measured" "$status" 0
note "$out"

while read -r machine kernel exit adds; do
	case $exit in
	on) at_most "$machine $kernel on" "$adds" 55 ;;
	off) at_most "$machine $kernel off" "$adds" 8 ;;
	*) at_most "$machine $kernel $exit" "$adds" 60 ;;
	esac
done < <(awk '
	$3 == "leaf" { print $1, $2, $4, $NF }
	$3 == "cpuid" { print $1, $2, "off", $(NF - 1); print $1, $2, "on", $NF }' <<<"$out")
is "six figures for each of four labs" "$TAP_CASES" 25

done_testing

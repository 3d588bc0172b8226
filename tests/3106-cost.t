#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What the patch adds to the smallest round trip that a guest sees, in exact
# instructions: to a CPUID at most 40, and 4 when switched off; to others that the
# kernel handles at most 43 (and 9), to VMX's fast path 45, through user space 110
# (and 30). A leaf, the account of that exit included, is at most 100 beyond the same
# leaf of the stock modules, which is out of range there.
. "${BASH_SOURCE[0]%/*}/lib.sh"

at_most() {
	ok "$1: $2, at most $3" test "$2" -le "$3"
}

run "$TOP/scripts/bench-rtt.sh"
is "every lab was measured" "$status" 0
note "$out"

# hlt waits for a timer, and wrmsr-fast does on SVM: they are not exact.
while read -r machine kernel exit off on; do
	case $machine:$exit in
	*:cpuid) bounds="4 40" ;;
	*:out-kernel | *:rdmsr | *:ept) bounds="9 43" ;;
	vmx:wrmsr-fast) bounds="8 45" ;;
	*:out-user) bounds="30 110" ;;
	*:leaf-*) bounds="- 100" ;;
	*) continue ;;
	esac
	[[ $exit == leaf-* ]] || at_most "$machine $kernel $exit, off" "$off" "${bounds% *}"
	at_most "$machine $kernel $exit" "$on" "${bounds#* }"
done < <(awk '{ sub(/leaf /, "leaf-") } NF == 8 { print $1, $2, $3, $(NF - 1), $NF }' <<<"$out")
skip_gone
is "every figure of each kernel on VMX and SVM was there" "$((TAP_CASES - $(wc -w <<<"$KERNELS") + $(available | wc -l)))" "$((1 + $(available | wc -l) * (5 * 2 + 6 * 2 + 2 * 4)))"

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What the patch adds to the smallest round trip that a guest sees, in exact
# instructions: to an exit that the kernel handles at most 55, and at most 8 when
# switched off; to VMX's fast path at most 65, through user space at most 150
# (and 30). A leaf is at most 60 beyond a plain CPUID.
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
	*:cpuid | *:out-kernel | *:rdmsr | *:ept) bounds="8 55" ;;
	vmx:wrmsr-fast) bounds="8 65" ;;
	*:out-user) bounds="30 150" ;;
	*:leaf-*) bounds="- 60" ;;
	*) continue ;;
	esac
	[[ $exit == leaf-* ]] || at_most "$machine $kernel $exit, off" "$off" "${bounds% *}"
	at_most "$machine $kernel $exit" "$on" "${bounds#* }"
done < <(awk '{ sub(/leaf /, "leaf-") } NF == 8 { print $1, $2, $3, $(NF - 1), $NF }' <<<"$out")
skip_gone
is "every figure of each kernel on VMX and SVM was there" "$((TAP_CASES - $(wc -w <<<"$KERNELS") + $(available | wc -l)))" "$((1 + $(available | wc -l) * (5 * 2 + 6 * 2 + 2 * 4)))"

done_testing

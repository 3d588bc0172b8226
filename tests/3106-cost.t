#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the patches add few instructions to the smallest round trip that a guest sees.
# CPUID: at most 44, of which 4 are for keys that it does not have; 4 if switched off. Other
# exits that the kernel handles: 47 (off: 9); VMX's fast path: 49; through user space: 116
# (off: 30). A key adds at most 20 for an MSR or a CPUID, and 32 if it comes from VMX's exit
# information. All this with gcc 12. Recording an exit as slow adds at most 450. A read of a
# leaf, counted as an exit, takes at most 104 more than the same leaf with the stock modules,
# where it is out of range.
. "${BASH_SOURCE[0]%/*}/lib.sh"

at_most() {
	ok "$1: $2, at most $3" test "$2" -le "$3"
}

run "$TOP/scripts/bench-rtt.sh"
is "every lab was measured" "$status" 0
note "$out"
more=$(gcc_adds)

# hlt waits for a timer, and so does wrmsr-fast on SVM: they are not exact.
while read -r machine kernel exit off on keys slow; do
	case $machine:$exit in
	*:cpuid) bounds="4 44 20" ;;
	*:rdmsr) bounds="9 47 20" ;;
	*:out-kernel | *:ept) bounds="9 47 32" ;;
	vmx:wrmsr-fast) bounds="8 49 20" ;;
	*:out-user) bounds="30 116 32" ;;
	*:leaf-*) bounds="- 104 -" ;;
	*) continue ;;
	esac
	read -r off_bound on_bound key_bound <<<"$bounds"
	at_most "$machine $kernel $exit" "$on" "$((on_bound + more))"
	[[ $exit != leaf-* ]] || continue
	at_most "$machine $kernel $exit, off" "$off" "$((off_bound + more))"
	at_most "$machine $kernel $exit, its key" "$keys" "$key_bound"
	at_most "$machine $kernel $exit, recorded as slow" "$slow" 450
done < <(awk '{ sub(/leaf /, "leaf-") } NF == 11 { print $1, $2, $3, $8, $9, $10, $11 }' <<<"$out")
skip_gone
is "every figure of each kernel on VMX and SVM was there" "$((TAP_CASES - $(wc -w <<<"$KERNELS") + $(available | wc -l)))" "$((1 + $(available | wc -l) * (5 * 4 + 6 * 4 + 2 * 4)))"

done_testing

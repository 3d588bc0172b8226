#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# What the patch adds to the smallest round trip that a guest sees, in exact
# instructions: to a CPUID at most 44, of which 4 are for keys that it has not, and 4
# when switched off; to others that the kernel handles at most 47 (and 9), to VMX's fast
# path 49, through user space 116 (and 30). A key adds at most 20 to an MSR or a CPUID,
# and 32 to what has to be looked up in VMX's exit information. That is with gcc 12. To record an exit as slow
# takes at most 450 more. A leaf, the account of that exit included, is at most 104 beyond
# the same leaf of the stock modules, which is out of range there.
. "${BASH_SOURCE[0]%/*}/lib.sh"

at_most() {
	ok "$1: $2, at most $3" test "$2" -le "$3"
}

run "$TOP/scripts/bench-rtt.sh"
is "every lab was measured" "$status" 0
note "$out"
more=$(gcc_adds)

# hlt waits for a timer, and wrmsr-fast does on SVM: they are not exact.
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

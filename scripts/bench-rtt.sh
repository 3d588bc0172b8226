#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# bench-rtt.sh - measures what the patches add to an exit, in instructions. It takes the
# smallest round trip that a guest sees (RDTSC, the instruction, RDTSC; thousands of times),
# with the stock and the patched modules of the same kernel, in one boot of an exact lab.
#
# Usage: scripts/bench-rtt.sh [MACHINE:KERNEL]...	(default: all there are)
#
# Prints a table in TSC ticks; here one instruction is one tick. Its columns: stock modules;
# patched modules switched off; switched on without keys (the cost of an exit that has no
# key); with keys; with every exit recorded as slow; and what each of these adds. A leaf is
# compared with the stock modules' answer to the same CPUID: out of range.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

# The exits, by the names that vmm gives them. The first step of each list warms up. Where a
# name appears twice, its last result counts.
STEPS="cpuid=100 cpuid=5000 out-kernel=2000 out-user=2000 rdmsr=2000 wrmsr-slow=2000 wrmsr-fast=2000 hlt=300 ept=2000"
LEAVES="cpuid=100 cpuid=5000 cpuid:0x4fffffff=5000 cpuid:0x4ffffffe=5000 cpuid:0x4ffffffd:REASON=5000 cpuid:0x4ffffffc:REASON=5000"

measure() {
	local machine=$1 kernel=$2
	"$TOP/scripts/lab.sh" -m "$machine" -k "$kernel" -x -a "$tmp/vmm" -a "$tmp/commands" -- \
		sh commands || die "$machine $kernel: the lab failed (see above)"
}

# table LAB: turns lines "HOW step VM VCPU NAME N MIN ..." into rows, in order of appearance.
table() {
	awk -F'\t' -v OFS='\t' -v lab="$1" '
		$1 ~ /leaves$/ && $2 == "step" {
			n = ++leaves[$1]
			if ($1 == "stock-leaves") plain[n] = $7
			else if (n > 2) print lab, "leaf 0x4fffff" substr("fffefdfc", 2 * n - 5, 2), plain[n], "-", $7, "-", "-", $7 - plain[n], "-", "-"
		}
		$2 != "step" || $1 ~ /leaves$/ { next }
		!($5 in seen) { seen[$5]; name[++names] = $5 }
		{ ticks[$1, $5] = $7 }
		END {
			for (i = 1; i <= names; i++) {
				stock = ticks["stock", name[i]]; off = ticks["off", name[i]]; on = ticks["on", name[i]]; keys = ticks["keys", name[i]]
				print lab, name[i], stock, off, on, keys, off - stock, on - stock, keys - on, ticks["slow", name[i]] - keys
			}
		}'
}

main() {
	local kernel labs=("$@") one
	if [[ $1 == -h ]]; then
		usage
		exit
	fi
	if ((!$#)); then
		for kernel in $(available); do
			labs+=("vmx:$kernel" "svm:$kernel")
		done
	fi
	for one in "${labs[@]}"; do
		[[ $one =~ ^(vmx|svm): ]] || die "$one: no such lab (vmx:KERNEL or svm:KERNEL)"
		one_of k kernel "${one#*:}" "$KERNELS"
	done
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT TERM
	"$TOP/scripts/vmm/build.sh" "$tmp/vmm"
	cat >"$tmp/commands" <<-EOF
		P=/sys/module/kvm/parameters/exit_cycles
		set -e
		measure() { how=\$1; shift; vmm "\$@" | sed "s/^/\$how	/"; }
		lab-modules load stock
		measure stock $STEPS
		if grep -q vmx /proc/cpuinfo; then reason=10; else reason=0x72; fi
		measure stock-leaves \$(echo "$LEAVES" | sed "s/REASON/\$reason/g")
		lab-modules load patched
		echo N >\$P
		measure off $STEPS
		echo N >\${P}_keys
		echo Y >\$P
		measure on $STEPS
		measure leaves \$(echo "$LEAVES" | sed "s/REASON/\$reason/g")
		echo Y >\${P}_keys
		measure keys $STEPS
		echo 1 >\${P}_slow
		measure slow $STEPS
	EOF
	printf 'lab\texit\tstock\toff\ton\tkeys\toff adds\ton adds\tkeys add\tslow adds\n' >"$tmp/table"
	for one in "${labs[@]}"; do
		step "$one"
		measure "${one%:*}" "${one#*:}" | table "${one/:/ }" >>"$tmp/table"
	done
	awk -F'\t' '{ printf "%-9s %-15s %7s %7s %7s %7s %9s %8s %9s %10s\n", $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 }' "$tmp/table"
}

main "$@"

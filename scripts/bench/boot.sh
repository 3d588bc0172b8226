#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# boot.sh - runs in the lab: boots the same Linux guest in real QEMU, from start to power
# off, on stock and on patched modules by turns. Started by scripts/bench.sh.
#
# Usage: boot.sh ROUNDS KERNEL INITRD
#
# Prints lines of fields between tabs:
#	stock|on TICKS		instructions of the machine, idle ones included
#	exits N			exits of the last patched boot
#	exits N			of the last patched boot

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

boot() {
	ticks run bash ./run-vm.sh -c 1 -m 256 -k "$2" -i "$3" </dev/null >log 2>ticks.log ||
		die "the VM failed: $(tail -n 3 log ticks.log)"
	grep -q '^guest: Linux .* is up' log || die "the guest did not come up: $(tail -n 3 log)"
	printf '%s\t%s\n' "$1" "$(tail -n 1 ticks.log)"
}

lab-modules load stock
boot warm "$2" "$3" >/dev/null
for ((round = 0; round < $1; round++)); do
	lab-modules load stock
	boot stock "$2" "$3"
	lab-modules load patched
	boot on "$2" "$3"
done
awk -F'\t' '$2 == "TOTAL" { print "exits\t" $3 }' /sys/kernel/debug/kvm/exit_cycles

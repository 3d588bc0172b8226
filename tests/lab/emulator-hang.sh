#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# emulator-hang.sh - shows that this machine's QEMU loses a timer under SVM guests, and that
# the labs do not.
#
# Usage: tests/lab/emulator-hang.sh [TIMES [SECONDS]]
#
# At VMRUN with a virtual interrupt, QEMU's TCG adds this interrupt to the pending ones of its
# CPU, by one instruction without a lock. If QEMU's main thread adds the APIC's timer at the
# same time, one of the two is lost. The lab's Linux then waits for its timer for ever. Seen
# with QEMU 7.2.22 and 10.0.13, with Debian's KVM without the series.
# QEMU 11.1.3 uses an instruction with a lock there.
#
# Boots TIMES (default 5) labs with one CPU that may use all CPUs of this machine, and as many
# that are pinned to one CPU, like all other labs. In each lab a VM runs for SECONDS (default
# 60) beside a process that sets a timer every 30 us. Prints how many labs hung. Needs a
# machine with two free CPUs. Exit status: 0, or 1 if a pinned lab hung.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/../../scripts/common.sh"

[[ ${1-} != -h ]] || { usage; exit 0; }
times=${1:-5} seconds=${2:-60}
[[ $times =~ ^[1-9][0-9]*$ && $seconds =~ ^[1-9][0-9]*$ ]] || die "TIMES and SECONDS are numbers (-h shows the usage)"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$TOP/scripts/deps.sh" lab >&2
"$TOP/scripts/vmm/build.sh" "$tmp/vmm"
gcc -static -O2 -o "$tmp/timers" -xc - <<'EOF'
#include <sys/prctl.h>
#include <time.h>

int main(void)
{
	struct timespec pause = { .tv_nsec = 30000 };

	prctl(PR_SET_TIMERSLACK, 1);
	for (;;)
		nanosleep(&pause, NULL);
}
EOF

# hangs NAME: runs TIMES labs with the environment as it is, and prints how many hung.
hangs() {
	local i hung=0 status
	for ((i = 1; i <= times; i++)); do
		step "$1: $i of $times"
		status=0
		# shellcheck disable=SC2016 # the lab's shell expands it
		"$TOP/scripts/lab.sh" -m svm -s stock -t $((seconds * 2 + 60)) -a "$tmp/vmm" -a "$tmp/timers" -- sh -c '
			timers & timers=$!
			vmm --loop 0 cpuid=20 out-user=5 hlt:1000=1 >/dev/null & vm=$!
			sleep "$1"
			kill $timers $vm' sh "$seconds" >"$tmp/out" 2>&1 || status=$?
		((status != 243)) || ((++hung))
		((status == 0 || status == 243)) || die "the lab failed: $(tail -n 1 "$tmp/out")"
	done
	echo "$1: $hung of $times hung"
	return $((hung > 0))
}

qemu-system-x86_64 --version | head -n 1
LAB_PIN=no hangs 'on all CPUs' || :
hangs 'on one CPU, as labs are'

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# guest.sh - the report's part in the guest: the ordinary cpuid program reads all leaves,
# RUNS times in a row.
#
# QEMU stops the VM so that the host can take its table: after the boot, after this script
# has found out which reasons exist, and after each run. The reads are kept in memory and go
# to the second serial port at the end. So no run pays for printing, and the kernel's work
# for it does not mix with a run.

stop() {
	printf '\001' | dd of=/dev/port bs=1 seek=$((0x505)) count=1 conv=notrunc 2>/dev/null
}

# leaf LEAF [REASON]: prints the program's line for one CPU,
# "   0x4ffffffd 0x0a: eax=0x... ebx=0x... ecx=0x... edx=0x..."
leaf() {
	cpuid -1 -l "$1" ${2:+-s "$2"}
}

# named REASON...: prints the reasons that the kernel's table names. Others have EDX all ones.
named() {
	for reason in "$@"; do
		case $(leaf 0x4ffffffd "$reason") in
		*edx=0x00000000*) echo "$reason" ;;
		esac
	done
}

# run: reads the two leaves of a reason together; the cycles only if it had exits.
run() {
	leaf 0x4fffffff
	leaf 0x4ffffffe
	for reason in $reasons; do
		exits=$(leaf 0x4ffffffd "$reason")
		echo "$exits"
		case $exits in
		*ebx=0x00000000*ecx=0x00000000*) ;;
		*) leaf 0x4ffffffc "$reason" ;;
		esac
	done
}

stop
case $(leaf 0x4ffffffd 0xfffffffe) in
*ebx=0x00000000*edx=0xffffffff*) ;;
*) echo "report: the leaves are not there"; exit 1 ;;
esac

# shellcheck disable=SC2046 # a list of numbers
reasons=$(named $(seq 0 255) $(seq 1024 1031))
stop
for number in $(seq "$RUNS"); do
	run >"/tmp/run$number"
	stop
done
{
	for number in $(seq "$RUNS"); do
		echo "run $number"
		grep 0x "/tmp/run$number"
	done
	echo end
} >/dev/ttyS1

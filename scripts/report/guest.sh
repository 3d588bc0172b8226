#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# guest.sh - the report's part in the guest: the ordinary cpuid program reads the
# leaves, all of them, RUNS times in a row.
#
# QEMU stops the VM, for the host to take its table: after the boot, when we know
# which reasons there are, and after each run. What was read is kept in memory until
# then and goes to the second serial port at the end, so that no run pays for printing
# and nothing of the kernel's falls between.

stop() {
	printf '\001' | dd of=/dev/port bs=1 seek=$((0x505)) count=1 conv=notrunc 2>/dev/null
}

# leaf LEAF [REASON]: as the program prints it,
# "   0x4ffffffd 0x0a: eax=0x... ebx=0x... ecx=0x... edx=0x...", of this one CPU.
leaf() {
	cpuid -1 -l "$1" ${2:+-s "$2"}
}

# A reason that the kernel's table does not name has EDX all ones.
named() {
	for reason in "$@"; do
		case $(leaf 0x4ffffffd "$reason") in
		*edx=0x00000000*) echo "$reason" ;;
		esac
	done
}

# Cycles where there are any: the two leaves of a reason are read together.
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

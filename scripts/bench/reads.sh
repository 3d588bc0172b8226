#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# reads.sh - in the lab: what a read costs beside 1, 10, 100 and 1000 vCPUs of
# one VM, all but one of which never run. Started by scripts/bench.sh.
#
# Lines of fields between tabs on standard output:
#	VCPUS plain|total|row|vm|host TICKS	a CPUID exit of another leaf, of the
#		leaves 0x4fffffff and 0x4ffffffd, and the VM's and the host's file
set -e

K=/sys/kernel/debug/kvm
cpuid=114
! grep -qw vmx /proc/cpuinfo || cpuid=10
lab-modules load patched
for vcpus in 1 10 100 1000; do
	vmm --spare $((vcpus - 1)) --after "
		echo vm \$(ticks read $K/\$VMM_DIRS/exit_cycles)
		echo host \$(ticks read $K/exit_cycles)" \
		cpuid=100 cpuid=300 cpuid:0x4fffffff=300 cpuid:0x4ffffffd:$cpuid=300 >out
	awk -v OFS='\t' -v vcpus="$vcpus" '
		BEGIN { split("warm plain total row", name) }
		$1 == "step" && ++n > 1 { print vcpus, name[n], $6 }
		$1 == "vm" && NF == 2 || $1 == "host" { print vcpus, $1, $2 }' out
done

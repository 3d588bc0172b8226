#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# reads.sh - runs in the lab: the cost of a read with 1, 10, 100 and 1000 vCPUs in one VM
# (only one of them ever runs), and with other VMs on the host. Started by scripts/bench.sh.
#
# Prints lines of fields between tabs:
#	VCPUS absent|total|row|vm|host TICKS	a CPUID exit for a leaf that does not exist, for
#		leaf 0x4fffffff, for leaf 0x4ffffffd; a read of the VM's file, of the host's file
#	VMS beside TICKS		a read of the file of a VM of 4 vCPUs, with VMS other VMs
set -e

K=/sys/kernel/debug/kvm
cpuid=114
grep -qw vmx /proc/cpuinfo && cpuid=10
lab-modules load patched
for vcpus in 1 10 100 1000; do
	vmm --spare $((vcpus - 1)) --after "
		echo vm \$(ticks read $K/\$VMM_DIRS/exit_cycles)
		echo host \$(ticks read $K/exit_cycles)" \
		cpuid=100 cpuid:0x4ffffffb=300 cpuid:0x4fffffff=300 cpuid:0x4ffffffd:$cpuid=300 >out
	awk -v OFS='\t' -v vcpus="$vcpus" '
		BEGIN { split("warm absent total row", name) }
		$1 == "step" && ++n > 1 { print vcpus, name[n], $6 }
		($1 == "vm" || $1 == "host") && NF == 2 { print vcpus, $1, $2 }' out
done

# Reads the file of a VM of 4 vCPUs while other VMs exist.
mkfifo no-end
for vms in 10 1000; do
	rm -f others
	vmm --hold --vms $vms cpuid=1 <>no-end >others &
	until grep -qs ^hold others; do sleep 1; done
	vmm --vcpus 4 --after "echo beside \$(ticks read $K/\$VMM_DIRS/exit_cycles)" cpuid=100 |
		awk -v OFS='\t' -v vms="$vms" '$1 == "beside" && NF == 2 { print vms, $1, $2 }'
	kill $!
	wait $! || :
done

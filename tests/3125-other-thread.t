#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a vCPU may be run by another thread than before, which has waited for a CPU for
# less time, even if the account was switched on while the vCPU was in user space.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# vCPU 1 waits for its CPU, then halts; the account is switched off. When it is in user space,
# the account is switched on, and another thread has its next KVM_RUN. In a lab that is exact,
# a cycle is a nanosecond; here it is less, as on most machines.
in_lab <<'EOF'
hogs_only
khz=$(awk -F"[=\t]" '/^# / { print $5 }' $K/exit_cycles)
switch=/sys/module/kvm/parameters/exit_cycles
run_vmm other --wait-elsewhere --vcpus 2 \
	--at "if [ \$VMM_AT = 0 ]; then echo Y; else sleep 0.5; echo N; fi >$switch" \
	shell=1 / hog:200=1 hlt:$((khz * 1500))=1 wait-uninit=1 cpuid=3
EOF

for one in $LABS; do
	boot "$one" || continue
	is "$lab the exits afterwards are counted" "$(cell other.1 114 exits)" 3
	is "$lab those before are not" "$(cell other.1 120 exits)" 0
	is "$lab the account agrees with itself" "$(contradictions other.vm)" ''
done
done_testing

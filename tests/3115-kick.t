#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a reset takes effect at once, even for a vCPU inside the guest: all exits that the
# guest makes after the reset are counted.
# Stress: svm:kasan svm:kcsan
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

ROUNDS=20

# The guest spins until its VM was reset from another CPU, and a little longer. Then it reads
# the number of CPUID exits. (In Bochs a spinning guest takes no interrupt.)
in_lab <<EOF
cpuid=10
[ \$vendor = vmx ] || cpuid=114
rounds=
for round in \$(seq $ROUNDS); do
	rounds="\$rounds reset=1 leaf:0x4ffffffd=\$cpuid,\$cpuid,\$cpuid cpuid=5"
done
run_vmm reset --pin \$rounds
EOF

for one in $LABS; do
	boot "$one" -c 2 || continue
	is "$lab $ROUNDS times: the first CPUID after a reset reads 0, the next 1, then 2" \
		"$(awk '$1 == "leaf" { print $7 }' "$F/reset" | xargs -n 3 | sort | uniq -c | sed 's/^ *//')" "$ROUNDS 0 1 2"
	is "$lab the account agrees with itself" "$(contradictions reset.vm)" ''
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the series' own selftest in the kernel tree, exit_cycles_test, passes for both
# vendors and all kernels, with every setting of the parameter for guests, and leaves the
# parameters unchanged. If there is nothing to test, it says why and is skipped.
# Stress: svm:kasan svm:kcsan
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
try() {
	section "$1"
	shift
	lab-modules load "$@"
	status=0
	exit_cycles_test 2>&1 || status=$?
	echo "status $status"
	echo "scope $(cat $P/exit_cycles_guest 2>/dev/null || echo none)"
}

try patched patched
try stock stock
try off patched exit_cycles=N
try host patched exit_cycles exit_cycles_keys exit_cycles_guest=host
try no-leaves patched exit_cycles_guest=off
EOF

# ended SECTION: prints the status, and the scope for guests at that moment.
ended() {
	sed -n 's|^status ||p; s|^scope ||p' "$F/$1" | paste -sd ' '
}

# skipped SECTION WHY SCOPE
skipped() {
	is "$lab $1: skipped, nothing changed" "$(ended "$1")" "4 $3"
	is "$lab $1: says why" "$(sed -n 's|^1\.\.0 # SKIP[ -]*||p' "$F/$1")" "$2"
}

for one in $LABS; do
	program=$("$TOP/scripts/selftests.sh" -k "$(kernel_of "$one")" build exit_cycles_test 2>"$T/build") || {
		ok "$one: exit_cycles_test builds" false
		note "$(<"$T/build")"
		continue
	}
	boot "$one" -c "$(cpus "$one")" -a "$program" || continue
	is "$lab patched: passes" "$(ended patched)" "0 vm"
	is "$lab all VMs' answered: passes" "$(ended host)" "0 host"
	is "$lab none answered: passes" "$(ended no-leaves)" "0 off"
	skipped stock "No exit_cycles in this KVM, or no debugfs" none
	skipped off "Nothing is counted" vm
done
done_testing

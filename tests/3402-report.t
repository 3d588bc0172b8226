#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: one command boots a VM in the lab, lets its guest read the leaves with the ordinary
# cpuid program, run after run, and makes a report of the reads. Guest and host agree, and
# each run costs as many CPUID exits as the one before. On a kernel without the series it says
# so. Here are two runs; LONG=1 makes five, and adds the VMX lab.
. "${BASH_SOURCE[0]%/*}/lib.sh"

for program in gnuplot xmllint; do
	command -v $program >/dev/null || skip_all "$program is not installed"
done

# growth N: prints how many more CPUID exits run N read than the run before it.
growth() {
	sed -n "/^## Exits in each run/,\$s/^| cpuid .*/&/Ip" "$page/report.md" | awk -F'|' -v column=$((4 + $1)) \
		'{ match($column, /[+][0-9]+/); print substr($column, RSTART + 1, RLENGTH - 1) }'
}

try() { # MACHINE RUNS
	local title="$1:"
	page=$T/$1
	run "$TOP/scripts/boot-report.sh" -m "$1" -r "$2" -o "$page"
	is "$title a report is made" "$status $out" '0 '
	((!status)) || note "$(tail -n 20 "$T/.err")"
	((!status)) || return 0
	ok "$title the page is well-formed" xmllint --noout "$page/report.html"
	like "$title guest and host agree" "$(<"$page/report.md")" 'Consistent: all [0-9]+ numbers that the guest read lie between'
	like "$title of a VM with two vCPUs that booted Linux" "$(<"$page/report.md")" \
		'Linux 6\.1[0-9.]* is up, booted by BIOS, 2 CPUs'
	ok "$title tens of thousands of exits until it was up" test "$(awk -F'\t' '/^== / { on = $0 == "== boot" } on && $2 == "TOTAL" { print $3 }' "$page/recording")" -gt 10000
	# Each start of cpuid executes CPUID some thirty times, and a run has more than
	# seventy reads.
	ok "$title the second run costs CPUID exits" test "0$(growth 2)" -gt 1000
	if (($2 > 2)); then
		is "$title and each further one as many" "$(growth 3) $(growth 4) $(growth 5)" "$(growth 2) $(growth 2) $(growth 2)"
	else
		skip "$title and each further one as many" "two runs only, LONG=1 makes it five"
	fi
	run "$TOP/scripts/boot-report.sh" -i "$page/recording" -o "$T/again"
	ok "$title the recording makes the same report" diff -r "$page" "$T/again"
	rm -rf "$T/again"
}

runs=2
[[ $LONG ]] && runs=5
try svm $runs
if [[ $LONG ]]; then
	try vmx 5
else
	skip "vmx: a report is made" "takes minutes, LONG=1 runs it"
fi

run "$TOP/scripts/lab.sh" -m svm -s stock -a "$(type -P bash)" -a "$TOP/scripts/common.sh" \
	-a "$TOP/scripts/guest/stops.sh" -a "$TOP/scripts/report/host.sh" -- bash ./host.sh none none 1
is "an unpatched kernel: one line" "$status:$out" \
	'1:host.sh: /sys/kernel/debug/kvm/exit_cycles: No such file (is this kernel patched, debugfs mounted?)'

if [[ -r /sys/kernel/debug/kvm/exit_cycles ]]; then
	skip "this host, unpatched" "it is patched"
elif ((EUID)); then
	skip "this host, unpatched" "not root"
else
	run "$TOP/scripts/boot-report.sh" -m host -o "$T/host"
	is "this host, unpatched" "$status:$out" 1:
	like "says so" "$err" 'boot-report.sh: /sys/kernel/debug/kvm/exit_cycles: No such file \(is this kernel patched, debugfs mounted\? see README\)$'
	ok "and leaves nothing" test ! -e "$T/host"
fi

done_testing

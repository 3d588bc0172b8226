#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: each case of docs/diagnose.md is what a guest in the lab makes: exitdump why
# has the port, the page or the MSR that the page speaks of first, with its name and
# exactly the accesses that the guest made, and exitdump slow the one slow exit. Of the commands' outputs, the page's are the
# lab's.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/labs.sh"

PAGE=$TOP/docs/diagnose.md

# rows FILE NAME: of an output's exitdump why the key, the words and the exits, a line each.
# Keys of page faults are left out: how many there are is the emulator's and the compiler's.
rows() {
	awk -v name="$2" '
		/^(== |<!-- )/ { in_case = $2 == name; keys = 0 }
		{ sub(/^    /, "") }
		in_case && /^# / { keys = /why/ }
		in_case && keys && NF == 0 { keys = 0 }
		in_case && keys && $2 ~ /^0x/ && !($1 ~ /^(npf|EPT_VIOLATION|EXTERNAL_INTERRUPT)$/ && length($2) < 6) {
			text = ""
			for (i = 3; i <= NF - 5; i++) text = text " " $i
			print $2 text ": " $(NF - 4)
		}' "$1"
}

judge() {
	local icr=0x830 deadline=0x6e0 eoi=0x80b port=', in' msr='' all
	if [[ $machine == svm ]]; then
		icr=0x100000830 deadline=0x1000006e0 eoi=0x10000080b msr=', write'
	fi
	is "$lab the port of the PM timer" "$(rows "$T/out" pm-timer | head -n 1)" "0x10608 ACPI PM timer (q35, pc)$port: 9000"
	is "$lab the page of the MSI-X table" "$(rows "$T/out" msi-x | head -n 1)" '0xfebf0 at 0xfebf0000: 7999'
	is "$lab the IPIs, the timer, the EOIs" "$(rows "$T/out" ipi)" "$(printf '%s\n' \
		"$icr x2APIC ICR$msr: 1000" "$deadline IA32_TSC_DEADLINE$msr: 1000" "$eoi x2APIC EOI$msr: 201")"
	is "$lab the slow exit, alone" "$(sed -n '/^== freeze/,$p' "$T/out" | awk '/^# / { slow = /slow/ } slow && /0x501/ { n++ } slow && /user space/ { m++ } slow && /^20/ { all++ } END { print n, m, all }')" "1 1 1"
	[[ $machine == vmx ]] || return 0
	all=$(awk '
		/^== / { in_case = $2 == "ipi" }
		in_case && /^overhead/ { overhead = $2 + 0 }
		in_case && $1 == "TOTAL" && !lost { lost = $3 }
		in_case && $2 == "0x830" { icr = $(NF - 3) }
		# the same unit, or it is far from true
		END { print icr ~ /ms$/ && lost ~ /ms$/ ? int(icr / lost * overhead + 0.5) : icr " of " lost }' "$T/out")
	is "$lab the IPIs cost 5 %" "$all" 5
	for all in pm-timer msi-x ipi; do
		is "$lab $all: the keys of the page" "$(rows "$PAGE" $all | sort)" "$(rows "$T/out" $all | sort)"
	done
}

for one in $LABS; do
	IFS=: read -r machine kernel _ <<<"$one"
	lab="$machine $kernel:" status=0
	"$TOP/scripts/diagnose.sh" -m "$machine" -k "$kernel" >"$T/out" 2>"$T/err" || status=$?
	is "$lab the guests ran" "$status" 0
	[[ ! -s $T/err ]] || note "$(tail -n 5 "$T/err")"
	judge
done

run "$TOP/scripts/diagnose.sh" -m potato
is "a machine that is no lab: one line" "$status:$out:$(wc -l <"$T/.err")" "1::1"
done_testing

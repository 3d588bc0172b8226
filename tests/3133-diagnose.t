#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a guest in the lab makes each case of docs/diagnose.md. The first line of exitdump
# why has the page's port, page or MSR, with its name and exactly the guest's accesses.
# exitdump slow has the one slow exit. exitdump has the page's row and column, before and
# after the remedy. The outputs in the page are those of the lab.
. "$(dirname "$0")/lib.sh"
MACHINES="svm one-vmx"
. "$(dirname "$0")/lab/labs.sh"

PAGE=$TOP/docs/diagnose.md

# rows FILE NAME: prints a line for each key in an output of exitdump why: key, words, exits.
# It leaves out page faults, whose number depends on the emulator and the compiler.
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

# column FILE CASE NAME COLUMN: prints the value in the first output of a case that has such
# a row, else 0.
column() {
	awk -v name="$2" -v row="$3" -v column="$4" '
		/^(== |<!-- )/ { in_case = $2 == name; at = 0 }
		!in_case { next }
		{ sub(/^    /, "") }
		/^# / { at = 0 }
		/^(NAME|VM) / { for (i = 1; i <= NF; i++) if ($i == column) at = i; next }
		at && !found && (row == "first" || $1 ~ row) { found = $at }
		END { print found ? found : 0 }' "$1"
}

# key FILE CASE KEY: prints the exits of a key in the case's exitdump why.
key() {
	awk -v name="$2" -v key="$3" '
		/^(== |<!-- )/ { in_case = $2 == name }
		in_case && $2 == key { found = $(NF - 4) }
		END { print found + 0 }' "$1"
}

# us TIME: prints a time in whole microseconds.
us() {
	awk -v time="$1" 'BEGIN { print int(time * (time ~ /ns/ ? 0.001 : time ~ /us/ ? 1 : time ~ /ms/ ? 1000 : 1000000)) }'
}

# heads FILE: prints the cases, their commands, and the columns of the commands' outputs.
heads() {
	awk '
		/^(== |<!-- )/ { print $2 }
		sub(/^    /, "") || FILENAME !~ /md$/ { if (/^(#|NAME|VM) /) { $1 = $1; print } }' "$1" | sed 's/^ *//'
}

# judge_pairs FILE TITLE: judges the cases that have a before and an after.
judge_pairs() {
	local f=$1 what=$2 hlt=HLT interrupt=EXTERNAL_INTERRUPT pause=PAUSE_INSTRUCTION msr=MSR_WRITE
	[[ $machine == vmx ]] || hlt=hlt interrupt=interrupt pause=pause msr=msr

	is "$what memory: each page of each pass, in the dirty log" "$(key "$f" memory 0xa) $(key "$f" memory-after 0xa)" "4004 1001"
	ok "$what memory: and by first touch, before and after" \
		test "$(key "$f" memory 0x2)" -ge 1001 -a "$(key "$f" memory-after 0x2)" -ge 1001
	is "$what polling: the halts" "$(column "$f" polling $hlt EXITS) $(column "$f" polling-after $hlt EXITS)" "200 200"
	ok "$what polling: most of the time halted" \
		test $(($(us "$(column "$f" polling $hlt POLL)") * 2)) -ge "$(us "$(column "$f" polling $hlt HALT)")"
	is "$what polling: after, none" "$(column "$f" polling-after TOTAL POLL)" 0
	is "$what overcommit: two guests' work, and one's" \
		"$(column "$f" overcommit $msr EXITS) $(column "$f" overcommit-after $msr EXITS)" "2000 1000"
	is "$what overcommit: on top" "$(column "$f" overcommit first NAME)" $interrupt
	ok "$what overcommit: most of that without a CPU" \
		test $(($(us "$(column "$f" overcommit $interrupt SCHED)") * 4)) -ge $(($(us "$(column "$f" overcommit $interrupt LOST)") * 3))
	ok "$what overcommit: after, next to none" \
		test $(($(us "$(column "$f" overcommit-after TOTAL SCHED)") * 10)) -le "$(us "$(column "$f" overcommit TOTAL SCHED)")"
	is "$what pause: after, none" "$(column "$f" pause-after $pause EXITS)" 0
	ok "$what pause: after, next to nothing is lost" \
		test $(($(us "$(column "$f" pause-after TOTAL LOST)") * 10)) -le "$(us "$(column "$f" pause TOTAL LOST)")"
	if [[ $machine == vmx ]]; then
		is "$what pause: on top" "$(column "$f" pause first NAME)" $pause
		is "$what nested: L1 reads the VMCS, two fields for each exit that it gets" \
			"$(column "$f" nested VMREAD EXITS) $(column "$f" nested-after VMREAD EXITS)" "1002 0"
		is "$what nested: and resumes L2" "$(column "$f" nested VMRESUME EXITS)" 500
	fi
	is "$what nested: L2's CPUIDs and OUTs" \
		"$(key "$f" nested L2:0x0) $(key "$f" nested L2:0xa1) $(key "$f" nested-after L2:0x0) $(key "$f" nested-after L2:0xa1)" "500 500 500 500"
	is "$what outside: the CPU of vCPUs and of other threads, before and after" \
		"$(printf '%s\n' outside:VCPUCPU outside:VMMCPU outside-after:VCPUCPU outside-after:VMMCPU |
			while IFS=: read -r all column; do column "$f" "$all" '[0-9]*-[0-9]*' "$column"; done |
			awk '{ print ($1 + 0 > 20 ? "much" : "little") }' | paste -sd ' ')" "little much little little"
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
	is "$lab the slow exit, alone" "$(awk '/^== / { slow = 0; in_case = $2 == "freeze" } /^# / { slow = in_case && /slow/ } slow && /0x501/ { n++ } slow && /user space/ { m++ } slow && /^20/ { all++ } END { print n, m, all }' "$T/out")" "1 1 1"
	judge_pairs "$T/out" "$lab"
	[[ $machine == vmx ]] || return 0
	all=$(awk '
		/^== / { in_case = $2 == "ipi" }
		in_case && /^overhead/ { overhead = $2 + 0 }
		in_case && $1 == "TOTAL" && !lost { lost = $3 }
		in_case && $2 == "0x830" { icr = $(NF - 3) }
		# the same unit; if not, the value is far from right anyway
		END { print icr ~ /ms$/ && lost ~ /ms$/ ? int(icr / lost * overhead + 0.5) : icr " of " lost }' "$T/out")
	is "$lab the IPIs cost 5 %" "$all" 5
	for all in pm-timer msi-x ipi; do
		is "$lab $all: the keys of the page" "$(rows "$PAGE" $all | sort)" "$(rows "$T/out" $all | sort)"
	done
	is "$lab the commands and the columns of the page" "$(heads "$PAGE" | sort)" "$(heads "$T/out" | sort)"
}

for one in $LABS; do
	IFS=: read -r machine kernel _ <<<"$one"
	lab="$machine $kernel:" status=0
	"$TOP/scripts/diagnose.sh" -m "$machine" -k "$kernel" >"$T/out" 2>"$T/err" || status=$?
	is "$lab the guests ran" "$status" 0
	[[ -s $T/err ]] && note "$(tail -n 5 "$T/err")"
	judge
done

machine=vmx
judge_pairs "$PAGE" "the page:"
run "$TOP/scripts/diagnose.sh" -m potato
is "a machine that is no lab: one line" "$status:$out:$(wc -l <"$T/.err")" "1::1"
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump --guest shows the answers of the CPUID leaves, both halves of each
# number, under the kernel's names. It says plainly if there are no leaves, and it tells
# which exits come from its own reads.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

# exitdump with a stand-in for cpuid(): the real one would need a patched host below.
sources=()
for file in "$TOP"/tools/*.c; do
	[[ ${file##*/} == cpuid.c ]] || sources+=("$file")
done
"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -I"$TOP/tools" -o "$T/exitdump" \
	"$TOP/tests/fixtures/cpuid-fake.c" "${sources[@]}" -lncurses -ltinfo
guest() { # KIND ARGUMENT...
	run env FAKE_CPUID="$1" "$T/exitdump" --guest "${@:2}"
}

guest vmx --raw -o reason,name,exits,cycles -s reason
# CPUID instructions before the row CPUID is read: 1 for the leaves, 1 for the vendor, 11 for
# the reasons 0 to 9, as 0 has cycles. The row's cycles are read by the next one.
is 'VMX: the rows' "$out" "$(lines '76 reason~76 1 5' '30 IO_INSTRUCTION 17 12884901895' \
	'10 CPUID 36 37000' '0 EXCEPTION_NMI 1 5')"
is 'and which exits are its own' "$err" \
	'exitdump: 13 of the CPUID exits were made by this reading'
guest svm --raw -o reason,name,exits,cycles -s exits
is 'SVM: the rows, by exit code' "$out" "$(lines '114 cpuid 140 141000' \
	'123 io 17 12884901895' '1024 npf 2 9' '0 read_cr0 1 5' '175 reason~175 1 5' '1027 vmgexit 1 5' '4294967295 invalid_guest_state 1 5')"
is 'and which exits are its own: 116 reasons come before the row cpuid' "$err" \
	'exitdump: 117 of the CPUID exits were made by this reading'
guest vmx
is 'the table adds up' "$status:${out##*$'\n'}" \
	'0:TOTAL             55  100% 12.88G 234.3M'
guest vmx --json
is 'JSON has its own exits as a number' "$(jq -c '[.vendor, .own_exits, .totals[0].exits]' \
	"$T/.out")" '["vmx",13,55]'
guest vmx --json 0.01 2
is 'in each interval all CPUIDs are its own, as many as a reading takes' \
	"$(jq -c '[.own_exits, .totals[0].exits]' "$T/.out")" $'[134,134]\n[134,134]'
guest vmx --openmetrics
is 'metrics work as well' "$(grep -c '^kvm_exits_total{' "$T/.out")" 4

for kind in zeros basic; do
	guest "$kind"
	like "no leaves ($kind): said plainly" "$status:$out:$err" \
		'^1::exitdump: CPUID leaf 0x4ffffffd: no answer \(not a KVM guest, the host is not patched, '
done
guest vmx --vm 1
is '--guest is the guest'\''s own account only' "$status:$out" 1:

done_testing

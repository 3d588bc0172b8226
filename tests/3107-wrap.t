#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a counter that passes 2^32 or 2^64 reads right in both halves, in CPUID and in
# debugfs, before, at and after the wrap. Exits without a name are in the row OTHER, and in no
# leaf. A small module of the tests (set-account/) sets the counter just below, between two
# exits of its vCPU.
# Stress: svm:kasan
. "$(dirname "$0")/lib.sh"
MACHINES="svm one-vmx"
. "$(dirname "$0")/lab/labs.sh"

EXITS=(4294967290 18446744073709551610)
CYCLES=(4294967000 18446744073709551000)

in_lab <<EOF
cpuid=114
[ \$vendor = svm ] || cpuid=10
insmod ./set_account.ko
for n in 0 1; do
	run_vmm wrap\$n --set "\$cpuid ${EXITS[0]} ${CYCLES[0]}" --set "\$cpuid ${EXITS[1]} ${CYCLES[1]}" \\
		set:\$n=1 leaf:0x4ffffffd=\$cpuid,\$cpuid,\$cpuid,\$cpuid,\$cpuid,\$cpuid,\$cpuid,\$cpuid,\$cpuid \\
		leaf:0x4ffffffc=\$cpuid,\$cpuid,\$cpuid leaf:0x4ffffffe=0,0 leaf:0x4fffffff=0
done
run_vmm other --set "65535 5 50" set:0=1 leaf:0x4ffffffd=0xfffe,0x7fe,0xfffffffe
account gone
echo 0 >\$K/exit_cycles_reset
account cleared
rmmod set_account
EOF

# unsigned N: prints the 64 bits of bash's number N as an unsigned decimal.
unsigned() {
	printf '%u\n' "$1"
}

# of LEAF: prints the answers, with EBX and ECX put together.
of() {
	local ebx ecx
	awk -v leaf="$1" '$1 == "leaf" && $4 == leaf { print $7, $8 }' "$F/$section" |
		while read -r ebx ecx; do
			unsigned $((ebx + (ecx << 32)))
		done
}

judge() {
	local n i section expected cycles exits cpuid=10
	[[ $vendor == vmx ]] || cpuid=114
	for n in 0 1; do
		section=wrap$n expected=''
		for ((i = 0; i < 9; i++)); do
			expected+="$(unsigned $((EXITS[n] + i)))"$'\n'
		done
		is "$lab exits pass $((n ? 64 : 32)) bits, read by read" "$(of 0x4ffffffd)" "${expected%$'\n'}"
		is "$lab the high half goes from $((n ? 4294967295 : 0)) to $((n ? 0 : 1))" \
			"$(awk '$1 == "leaf" && $4 == "0x4ffffffd" { print $8 }' "$F/$section" | uniq | xargs)" \
			"$((n ? 4294967295 : 0)) $((n ? 0 : 1))"
		is "$lab EAX is the low half" "$(awk '$1 == "leaf" && $4 == "0x4ffffffd" && $6 != $7' "$F/$section")" ''
		is "$lab in debugfs: what came after it" "$(cell $section.vm $cpuid exits)" "$(unsigned $((EXITS[n] + 15)))"

		# all reasons together: here the exits of one reason, and maybe some interrupts
		exits=$(($(of 0x4fffffff) - EXITS[n]))
		ok "$lab all exits pass $((n ? 64 : 32)) bits: $exits more" test $exits -ge 14 -a $exits -lt 1000

		# Cycles only grow; the growth here is far below 2^32.
		mapfile -t cycles < <(of 0x4ffffffc; cell $section.vm $cpuid cycles; of 0x4ffffffe)
		is "$lab cycles: all answers" "${#cycles[@]}" 6
		for i in 0 1 2 3 5; do
			expected=$((cycles[i] - (i ? cycles[i - 1] : CYCLES[n])))
			ok "$lab cycles grow over the wrap, number $i" test $expected -gt 0 -a $expected -lt 4294967296
		done
		ok "$lab cycles have passed $((n ? 64 : 32)) bits" test $((n ? cycles[0] : cycles[0] - 4294967296)) -ge 0
	done

	is "$lab without a name: the row" "$(grep OTHER "$F/other.vm" | cut -f 1-4)" $'-\tOTHER\t5\t50'
	is "$lab without a name: no key is known" "$(grep OTHER "$F/other.vm_keys")" $'-\tOTHER\t-\t5\t50\t0\t-'
	is "$lab without a name: the host has them, until it is reset" "$(cell gone - exits) $(cell cleared - exits)" "5 0"
	is "$lab without a name: no leaf has them" "$(awk '$1 == "leaf" { print $6 + $7 + $8, $9 }' "$F/other" | uniq -c | xargs)" "3 0 4294967295"
}

for one in $LABS; do
	boot_with set-account "$one" || continue
	judge
done
done_testing

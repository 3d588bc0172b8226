#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exit_cycles_guest decides what CPUID answers. With "off" the answers are stock
# KVM's, bit for bit. With "vm" a guest learns nothing about another VM. With "host" it reads
# the host's numbers. It has no other value. A trace of CPUID has the leaves, too.
# Stress: svm:kasan svm:kcsan
. "$(dirname "$0")/lib.sh"
MACHINES="svm one-vmx"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
numbers=0-130,1024,0xdead,0xfffffffe,0xffffffff
answers() {
	section "$1"
	vmm rdmsr=5 leaves=$numbers random:7=5000
	vmm --mode real leaves=10,114,0xdead
	for leaf in c d e f; do
		section "$1-$leaf"
		vmm --entry 0x4ffffff$leaf,0xa1,0xb2,0xc3,0xd4 cpuid=3 leaves=10,114
	done
}

lab-modules load stock
answers stock
lab-modules load patched
section bad
for value in on Vm hosts 1 ''; do
	(echo "$value" >$P/exit_cycles_guest) 2>&1 | sed 's/.*: //'
done
cat $P/exit_cycles_guest
echo off >$P/exit_cycles_guest
answers off
echo vm >$P/exit_cycles_guest
echo N >$P/exit_cycles
answers N
echo Y >$P/exit_cycles
answers vm

total() {
	awk '$2 == "TOTAL" { print $3 }' $K/exit_cycles
}

T=/sys/kernel/tracing
mkdir -p $T
mount -t tracefs nodev $T 2>/dev/null || :
echo 1 >$T/events/kvm/kvm_cpuid/enable
vmm --quiet leaf:0x4ffffffd=10,114
echo 0 >$T/events/kvm/kvm_cpuid/enable
section traced
grep "func 4ffffffd" $T/trace
run_vmm alone rdmsr=5 vmcall=3 leaves=$numbers
before=$(total)
vmm --loop 0 cpuid=100 out-kernel=100 rdmsr=100 wrmsr-slow=100 vmcall=10 mmio=10 >neighbour &
# until its loop has run a dozen times
until [ "$(total)" -gt $((before + 6000)) ]; do sleep 0.05; done
run_vmm beside rdmsr=5 vmcall=3 leaves=$numbers
kill $!
wait $!
section neighbour
cat neighbour

section shown
for value in off vm host; do
	echo $value >$P/exit_cycles_guest
	cat $P/exit_cycles_guest
done
section outer
vmm --after ". ./words; account host0; run_vmm inner rdmsr=7 leaves=$numbers" cpuid=100 out-kernel=50 rdmsr=30
EOF

# answered SECTION: prints CPUID's answers to the guest.
answered() {
	grep -E '^(leaf|digest)' "$F/$1" | cut -f 4-
}

# accounted SECTION: prints each leaf that the account answered, and the answer it must give.
accounted() {
	awk -v cpuid="$([[ $vendor == vmx ]] && echo 10 || echo 114)" -v exits="$([[ $vendor == vmx ]] && echo 5 || echo 6)" '
		$1 != "leaf" { next }
		{ which = substr($4, length($4)); rest = $9 == 0 && $8 == 0 }
		which ~ /[ef]/ { good = rest && $7 > 3 && $6 == (which == "f" ? $7 : 0) }
		which ~ /[cd]/ && $5 == cpuid { good = rest && (which == "d" ? $6 == exits && $7 == exits : $6 == 0 && $7 > 0) }
		which ~ /[cd]/ && $5 != cpuid { good = $6 + $7 + $8 == 0 && $9 == 4294967295 }
		{ asked[which]++; answered[which] += good }
		END { for (i = 1; i <= 4; i++) { which = substr("cdef", i, 1); if (asked[which] && asked[which] == answered[which]) printf which } }
	' "$F/$1"
}

# exits_answered SECTION: prints the exits by reason, without the host's own interrupts.
exits_answered() {
	awk -v interrupt="$([[ $vendor == vmx ]] && echo 1 || echo 96)" \
		'$1 == "leaf" && $4 == "0x4ffffffd" && $5 != interrupt' "$F/$1"
}

# leaf SECTION LEAF REASON: prints its value, EBX and ECX together.
leaf() {
	awk -v leaf="$2" -v reason="$3" '$1 == "leaf" && $4 == leaf && $5 == reason { printf "%.0f\n", $7 + $8 * 4294967296 }' "$F/$1"
}

judge() {
	local io=30 rdmsr=31
	[[ $vendor == vmx ]] || io=123 rdmsr=124

	is "$lab no other value is taken" "$(sort "$F/bad" | uniq -c | tr -s ' ' | tr '\n' ,)" " 5 Invalid argument, 1 vm,"
	is "$lab what it is can be read" "$(xargs <"$F/shown")" "off vm host"
	is "$lab off: what stock answers, and to 5000 random leaves" "$(answered off)" "$(answered stock)"
	is "$lab switched off: the same" "$(answered N)" "$(answered stock)"
	is "$lab vm: not what stock answers" "$([[ $(answered vm) == "$(answered stock)" ]] || echo different)" different
	is "$lab vm: no answer to a random leaf broke the rules" "$(awk '$1 == "bad" { n += $5 } END { print n }' "$F/vm")" 0
	for own in c d e f; do
		is "$lab stock answers $own with an entry of user space, whatever ECX" \
			"$(answered stock-$own | grep "$own\\b" | cut -f 3- | uniq)" $'161\t178\t195\t212'
		is "$lab off: $own as well, and the others" "$(answered off-$own)" "$(answered stock-$own)"
		is "$lab vm: so does $own" "$(answered vm-$own | grep "$own\\b")" "$(answered stock-$own | grep "$own\\b")"
		is "$lab vm: the others the account, beside $own" "$(accounted vm-$own)" "$(echo cdef | tr -d $own)"
	done

	is "$lab vm: a trace of CPUID has the leaves, and says that they were found" "$(grep -c ", cpuid entry found\$" "$F/traced")" 2
	is "$lab vm: alone, all was answered" "$(exits_answered alone | wc -l)" 134
	is "$lab vm: a guest reads the same beside another VM as alone" "$(exits_answered beside)" "$(exits_answered alone)"
	ok "$lab vm: and the other was busy" test "$(vmm_says neighbour | awk -v r=$io '$1 == r { print $2 }')" -gt 500

	is "$lab host: port exits are the host's" "$(leaf inner 0x4ffffffd $io)" "$(cell host0 $io exits)"
	is "$lab host: their cycles, too" "$(leaf inner 0x4ffffffc $io)" "$(cell host0 $io cycles)"
	is "$lab host: and it sees its own come to them" "$(leaf inner 0x4ffffffd $rdmsr)" $(($(cell host0 $rdmsr exits) + 7))
	is "$lab host: there are many" "$(($(cell host0 $io exits) > 500))" 1
}

for one in $LABS; do
	boot "$one" -c "$(cpus "$one")" || continue
	judge
done
done_testing

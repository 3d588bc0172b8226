#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exit_cycles_keys tells why exits happen. For a guest with known MSRs, ports, leaves,
# hypercalls, pages and L2 exits, it has exactly these keys with exactly these counts: for the
# VM, for a vCPU, and for the host after the VM has ended. The line without a key has the
# remaining exits, so the lines add up to the row. Reset clears the keys, the parameter
# switches them. A guest that walks through keys cannot push out a key that has a tenth of
# its exits, and each such exit costs a bounded number of instructions. Keys that no longer
# happen give way to those that do.
# Stress: svm:kasan svm:kcsan svm:rt svm:clang
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

WALK=20000

in_lab <<EOF
run_vmm known cpuid:2=7 cpuid:1=3 cpuid:0x80000000=5 cpuid:0x40000000=2 cpuid:0xd:1=4 \
	rdmsr:0x8b=11 rdmsr:0x1b=3 wrmsr-slow:0x8b=4 wrmsr-slow:0x79=6 wrmsr-fast=9 \
	out-kernel=17 out-kernel:0x21=4 in=7 in:0x20=3 ins=5 out-user=9 \
	vmcall=4 vmcall:9=3 vmcall:77=2 mmio=8 cow=6 nested=13 nested-out=12
run_vmm two --vcpus 2 cpuid:2=5 out-kernel=3 / cpuid:2=8 cpuid:3=1
account gone
echo 0 >\$K/exit_cycles_reset
account cleared
run_vmm switched --at 'if [ \$VMM_AT = 1 ]; then echo N; else echo Y; fi >'\$P/exit_cycles_keys \
	cpuid:2=5 shell=1 cpuid:2=6 cpuid:3=1 shell=1 cpuid:4=2
run_vmm restarted --at "echo 0 >\$K/\\\$VMM_DIRS/exit_cycles_reset" cpuid:2=5 shell=1 cpuid:2=6 cpuid:3=2
echo N >\$P/exit_cycles_keys
account off
(echo maybe >\$P/exit_cycles_keys) 2>/dev/null || :
cat \$P/exit_cycles_keys
run_vmm off-nested nested=5 cpuid:2=1
echo Y >\$P/exit_cycles_keys
run_vmm odd ud=5 nested-out=12 dr7=3 cr4=3
run_vmm same \$(i=256; while [ \$i -lt 272 ]; do echo cpuid:\$i=3 vmcall:\$i=2; i=\$((i + 1)); done)
run_vmm again cpuid:2=4
# the largest key of a reason is the smallest of the next
run_vmm alike cpuid:0xa1=3 out-kernel=2
# what the upper halves of registers have is no part of a key
run_vmm upper sweep:0x7000=5
# each takes one slot, though L1 has an exit for it, too
[ "\$vendor" = vmx ] || run_vmm slots \$(i=0; while [ \$i -lt 30 ]; do echo nested-leaf-pass:\$((0x3000 + i))=0; i=\$((i + 1)); done)
run_vmm halted hlt:100000=2 spin=1000000
run_vmm first --vcpus 2 sleep-user:20=1 / sleep-user:2=1
run_vmm second --vcpus 2 sleep-user:2=1 / sleep-user:20=1
run_vmm faded sweep:0x1000:200=20000 \$(i=0; while [ \$i -lt 40 ]; do echo cpuid:\$((0x2000 + i))=100; i=\$((i + 1)); done)
run_vmm worn sweep:0x9000:50=3200 walk-leaf=1000
# fifteen keys take turns, when others no longer happen
run_vmm turns sweep:0x1000:2=400 \$(i=0; while [ \$i -lt 120 ]; do echo cpuid:\$((0x2000 + i % 15))=1; i=\$((i + 1)); done)
# Sometimes the hypercall takes the slot of the leaf before it. Then a leaf has its number. The
# places of two keys depend on their difference, which therefore changes: on SVM it happens 3 times.
run_vmm stale \$(i=0; while [ \$i -lt 31 ]; do
	n=\$((0x6000 + 5 * i)); echo sweep:0x3000:16=640 cpuid:\$((0x5000 + i))=1 vmcall:\$n=1 cpuid:\$n=200; i=\$((i + 1)); done)
run_vmm wide --vcpus 2 walk-msr=2000 / walk-port=2000
account before
for kind in msr port leaf; do run_vmm \$kind walk-\$kind=$WALK; done
account walked
# the last exit of each VM is in progress when it ends: its key counts none, and takes no place
for n in 1 2; do vmm --quiet cpuid=1; done
account full
echo 0 >\$K/exit_cycles_reset
account fresh
# a VM that has a key in each slot
run_vmm packed walk-msr=2000
account packed-gone
section costs
for keys in Y N; do
	echo \$keys >\$P/exit_cycles_keys
	vmm cpuid:2=100 sweep:0x100=2000
done
EOF

# keyed SECTION: prints the number of exits that have a key.
keyed() {
	awk -F'\t' '$3 ~ /^0x/ { n += $4 } END { print n + 0 }' "$F/$1_keys"
}

# largest REASON KEY SECTION...: prints the largest max of a key in all these sections.
largest() {
	local section
	for section in "${@:3}"; do
		awk -F'\t' -v reason="$1" -v key="$2" '$1 == reason && $3 == key { print $7 }' "$F/${section}_keys"
	done | sort -n | tail -n 1
}

# wrong SECTION: prints rows whose keys do not add up to the table, and keys out of order.
wrong() {
	awk -F'\t' -v file="$F/$1" "$ACCOUNT"'
		BEGIN { read_account(file); before = "none" }
		FNR == 1 { split($0, told, "\tkeys=") }
		FNR > 2 {
			lines += $3 ~ /^0x/
			if (seen[$1, $3]++) print "twice: " $0
			exits[$1] += $4; cycles[$1] += $5; total[$1] += $6
			if ($1 == before && $3 != "-" && $6 > last) print "order: " $0
			before = $1; last = $6
			if ($7 != "-" && ($7 > $6 || $5 > $6)) print "parts: " $0
			if ($7 != "-" && $7 * $4 < $6) print "max below the mean: " $0
		}
		END {
			if (lines != told[2] + 0) print lines " keys, and line 1 says " told[2]
			for (r in exits)
				if (exits[r] != cell[r, "exits"] || cycles[r] != cell[r, "cycles"] || total[r] != cell[r, "total"])
					print "sum of " r ": " exits[r], cycles[r], total[r]
		}' "$F/$1_keys"
}

judge() {
	local cpuid=10 io=30 hypercall=18 read=31 write=32 fault=48 mmio=49 hlt=12 written="0x8b 0x79 0x6e0" one l2=0x8000000000000000 kind reason key
	[[ $vendor == vmx ]] || { cpuid=114 io=123 hypercall=129 read=124 write=124 fault=1024 mmio=1024 hlt=120 written="0x10000008b 0x100000079 0x1000006e0"; }

	is "$lab CPUID: the leaves" "$(keys_of known.vm $cpuid | grep -v '^0x0 ')" \
		"$(printf '%s\n' '0x1 3' '0x2 7' '0x40000000 2' "$l2 13" '0x80000000 5' '0xd 4' | sort)"
	is "$lab ports, read or written, by string, by L2" "$(keys_of known.vm $io)" \
		"$(printf '%s\n' '0xa1 17' '0x21 4' '0x100a1 7' '0x10020 3' '0x300a1 5' '0x500 9' '0x80000000000000a1 12' | sort)"
	is "$lab hypercalls" "$(exits_of known.vm $hypercall 0x1 0x9 0x4d)" '4 3 2 '
	is "$lab MSRs that are read" "$(exits_of known.vm $read 0x8b 0x1b)" '11 3 '
	# shellcheck disable=SC2086 # words
	is "$lab MSRs that are written" "$(exits_of known.vm $write $written)" '4 6 10 '
	is "$lab MMIO: its page, but for the first access" "$(exits_of known.vm $mmio 0xd0000)" '7 '
	is "$lab a write to what is mapped for reading" "$(exits_of known.vm $fault 0xa)" '6 '

	for one in known.vm known.0 two.vm two.0 two.1 gone off again.vm msr.vm port.vm leaf.vm; do
		is "$lab $one: keys and what is left make up the rows" "$(wrong $one)" ''
	done
	is "$lab of two vCPUs: one, the other, and their VM" "$(exits_of two.0 $cpuid 0x2 0x3)$(exits_of two.1 $cpuid 0x2 0x3)$(exits_of two.vm $cpuid 0x2 0x3)" '5 0 8 1 13 1 '
	is "$lab the host has those that are gone" "$(exits_of gone $cpuid 0x2 0x1 0x3)" '20 3 1 '
	for one in first second; do
		is "$lab the largest exit of a key may be that of the $one vCPU" "$(largest $io 0x501 $one.vm)" "$(largest $io 0x501 $one.0 $one.1)"
	done
	is "$lab and of all VMs that are gone" "$(largest $cpuid 0x2 gone)" "$(largest $cpuid 0x2 known.vm two.vm)"
	ok "$lab what is read, and what is fetched, of pages that were not there" \
		test "$(exits_of known.vm $fault 0x1)" -ge 6 -a "$(exits_of known.vm $fault 0x4)" -ge 1
	like "$lab L2's page faults are told from L1's" "$(keys_of known.vm $fault)" "0x800000000000000[1-9a-f] "
	is "$lab a VM has all keys of its vCPUs, above 64 as well" "$(keyed wide.vm)" $(($(keyed wide.0) + $(keyed wide.1)))
	is "$lab and its replaced= is all of theirs" "$(key wide.vm_keys replaced)" $(($(key wide.0_keys replaced) + $(key wide.1_keys replaced)))
	ok "$lab both replaced some" test "$(key wide.0_keys replaced)" -gt 0 -a "$(key wide.1_keys replaced)" -gt 0
	ok "$lab of 40 keys that came when others no longer did it has $(awk -F'\t' '$3 ~ /^0x20..$/' "$F/faded.vm_keys" | wc -l)" \
		test "$(awk -F'\t' '$3 ~ /^0x20..$/' "$F/faded.vm_keys" | wc -l)" -ge 30
	ok "$lab those that were frequent and are not leave no room to a walk: $(exits_of worn.vm $cpuid 0x0)of 100 exits of one key" \
		test "$(exits_of worn.vm $cpuid 0x0)" -ge 90
	one=$(awk -F'\t' '$3 ~ /^0x200.$/ { n += $4 } END { print n + 0 }' "$F/turns.vm_keys")
	ok "$lab nor to keys that take turns: of 120 exits of fifteen keys it has $one" test "$one" -ge 108
	is "$lab a slot that changed hands counts no exit of the reason that had it before" \
		"$(awk -F'\t' -v reason=$hypercall '$1 == reason && $3 ~ /^0x/ { print $4 }' "$F/stale.vm_keys" | sort -u)" 1
	ok "$lab the host tells what gave way in VMs that are gone" test "$(key walked_keys replaced)" -ge \
		$(($(key before_keys replaced) + $(key msr.vm_keys replaced) + $(key port.vm_keys replaced) + $(key leaf.vm_keys replaced)))
	is "$lab what is gone has a key in each place" "$(key full_keys keys)" 64
	is "$lab and the key of each slot, with all that it has" "$(sed 1d "$F/packed-gone_keys")" "$(sed 1d "$F/packed.vm_keys")"
	is "$lab which are all but that of the exit in progress" "$(key packed.vm_keys keys)" 63
	is "$lab and nothing after a reset" "$(key fresh_keys replaced)" 0
	is "$lab no key at all, where all slots were in use" "$(sed -n '3,$p' "$F/fresh_keys")" ''
	is "$lab nothing gave way" "$(key gone_keys replaced)" 0
	is "$lab reset: nothing left" "$(key cleared_keys keys):$(sed -n '3,$p' "$F/cleared_keys")" 0:
	is "$lab reset while it runs: keys are counted from then on" "$(exits_of restarted.vm $cpuid 0x2 0x3 -)" "6 2 0 "
	is "$lab switched off: what was counted stays, the rest has no key; then on, while it runs" \
		"$(exits_of switched.vm $cpuid 0x2 0x3 0x4 -)" '5 0 2 7 '
	like "$lab a bad value is refused, nothing changes" "$(tail -n 1 "$F/off_hist")" '^N$'
	is "$lab nor have those of L2, while it is off" "$(keyed off-nested.vm)" 0
	# shellcheck disable=SC2046 # words
	is "$lab the same number under two reasons is two keys" \
		"$(exits_of same.vm $cpuid $(printf '0x%x ' {256..271}))$(exits_of same.vm $hypercall $(printf '0x%x ' {256..271}))" \
		"$(printf '3 %.0s' {1..16})$(printf '2 %.0s' {1..16})"
	is "$lab also if one is the last of its reason, and the other the first of the next" "$(keys_of alike.vm $cpuid) $(keys_of alike.vm $io)" "0xa1 3 0xa1 2"
	is "$lab a reason that has no keys has no line" "$(keys_of halted.vm $hlt)" ""
	[[ $vendor == vmx ]] ||
		is "$lab but for L2's, after which those of L1 have none either" "$(keys_of odd.vm 39)" "- 3"$'\n'"$l2 12"
	if [[ $vendor == vmx ]]; then
		is "$lab interrupts: vectors, from 0x20 on" "$(awk -F"\t" "\$1 == 1 { print length(\$3) }" "$F/halted.vm_keys" | sort -u)" 4
		is "$lab exceptions: their vectors" "$(exits_of odd.vm 0 0x6)" '5 '
		is "$lab debug registers: which, and that it is read" "$(exits_of odd.vm 29 0x17)" '3 '
		is "$lab control registers: which" "$(exits_of odd.vm 28 0x4)" '3 '
	fi
	is "$lab switched on again" "$(exits_of again.vm $cpuid 0x2)" '4 '
	is "$lab a leaf is EAX, and not RAX" "$(exits_of upper.vm $cpuid 0x7000 0x7001 0x7002 0x7003 0x7004)" '1 1 1 1 1 '
	[[ $vendor == vmx ]] ||
		ok "$lab a key of L2 takes no second slot, as one of L1: $(key slots.vm_keys replaced) gave way" test "$(key slots.vm_keys replaced)" -le 4

	for kind in msr port leaf; do
		case $kind in
		msr) reason=$read key=0x8b ;;
		port) reason=$io key=0x100a1 ;;
		leaf) reason=$cpuid key=0x0 ;;
		esac
		one=$(exits_of $kind.vm $reason $key)
		ok "$lab a walk through each $kind: of $((WALK / 10)) exits of one key it has $one" test "$one" -ge $((WALK * 9 / 100))
		one=$(awk -F'\t' '$3 ~ /^0x/' "$F/$kind.vm_keys" | wc -l)
		# the exit in progress at the end has a key, and is not counted
		ok "$lab and 64 keys at most, of which one may have no exit: $one" test "$one" -ge 63 -a "$one" -le 64
		ok "$lab line 1 tells what gave way" test "$(key $kind.vm_keys replaced)" -gt $((WALK / 2))
		is "$lab and the account agrees with itself" "$(contradictions $kind.vm)" ''
	done
	# Which slot gives way depends on what else is in the table: 290 to 350 were seen. All 64 would take 2,000.
	kind=$(awk '$1 == "step" { least[++n] = $7 } END { print least[2] - least[4] }' "$F/costs")
	# (not with the checks of a debug kernel)
	[[ $debug ]] || ok "$lab an exit with a new key takes $kind instructions more, at most 400" test "$kind" -gt 0 -a "$kind" -le 400
}

for one in $LABS; do
	boot "$one" -x -c 1 || continue
	judge
done
done_testing

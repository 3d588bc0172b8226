#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump why shows the keys inside reasons from exit_cycles_keys, with their
# names: for a host, a VM and a vCPU, in every format, and over a span of time. Keys that the
# kernel replaced are part of the rest, and never make another number too large.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

command -v jq >/dev/null || skip_all "jq is not installed"

COLS='reason name key exits cycles total max'
# keys FILE [KEY=VALUE...] <LINES
keys() {
	mkdir -p "$(dirname "$1")"
	{
		lines "#~exit_cycles~1 vendor=svm tsc_khz=1000000 tsc=stable scope=host vms=1 vcpus=1 guest=9000 replaced=${2:-0}" "$COLS"
		tr ' ~' '\t '
	} >"$1"
}

keys "$T/x_keys" <<-'END'
	114 cpuid 0x1 10 4000 5000 3000
	123 io 0x510 9 380 2000 1500
	124 msr 0x1000006e0 10 1200 1300 700
	124 msr 0x80000000000006e0 1 100 1300 1300
	1024 npf 0xfee00 5 300 800 250
	1024 npf 0xa 1 70 90 90
	1024 npf - 3 100 400 -
	- OTHER 0x200 1 10 20 20
END
# 7 of its lines have a key
for n in 7 8; do
	sed "1s/replaced=/keys=$n	&/" "$T/x_keys" >"$T/y_keys"
	exitdump why -i "$T/y_keys" -u cycles
	ends[n]=$status:$err
done
is 'as many keys as the first line says: else it is cut off' "${ends[7]} ${ends[8]}" \
	"0: 1:exitdump: $T/y_keys: cut off (copy it again)"
exitdump why -i "$T/x_keys" -u cycles
is 'the table: the largest total first, the rest where it belongs' "$status:$out" \
"0:host, 1 VM, 1 vCPU, svm; by total, in cycles
NAME  KEY         WHAT                           EXITS TOTAL SHARE  KVM  MAX
cpuid 0x1         family, features                  10  5000 45.8% 4000 3000
io    0x510       fw_cfg, out                        9  2000 18.3%  380 1500
msr   0x1000006e0 IA32_TSC_DEADLINE, write          10  1300 11.9% 1200  700
msr   L2:0x6e0    IA32_TSC_DEADLINE, read, L2        1  1300 11.9%  100 1300
npf   0xfee00     local APIC, at 0xfee00000          5   800  7.3%  300  250
npf   -           other                              3   400  3.7%  100    -
npf   0xa         write, mapped (dirty log, COW)     1    90  0.8%   70   90
OTHER 0x200       -                                  1    20  0.2%   10   20
TOTAL                                               40 10910  100% 6160    -"
exitdump why -i "$T/x_keys" 'npf,123' --raw
is '--raw, and a choice of reasons' "$out" "$(lines \
	'io 0x510 fw_cfg,~out 9 380 2000 1500 0.183318' \
	'npf 0xfee00 local~APIC,~at~0xfee00000 5 300 800 250 0.073327' \
	'npf - other 3 100 400 - 0.036664' \
	'npf 0xa write,~mapped~(dirty~log,~COW) 1 70 90 90 0.008249')"
exitdump why -i "$T/x_keys" -r io --csv -u us
is '--csv, --unit' "$out" $'name,key,what,exits,cycles,total,max,share\nio,0x510,"fw_cfg, out",9,0.380,2.000,1.500,0.183318'
exitdump why -i "$T/x_keys" --json -n 4
is '--json, --limit' "$(jq -c '[.replaced, .rows[3].key, .rows[3].what, .rows[3].lost, .totals[0].exits, .totals[0].overhead]' "$T/.out")" \
	'[0,"0x80000000000006e0","IA32_TSC_DEADLINE, read, L2",null,40,null]'
exitdump -i "$T/x_keys" --keys -s -exits -n 1 --raw -o reason,key,exits
is '--keys is the same; --sort, --output' "$out" "$(lines '124 0x80000000000006e0 1')"
exitdump why npf -i "$T/x_keys" --openmetrics -n 1
is '--openmetrics: so many keys as --limit says, under names of their own' "$(grep -v '^#' "$T/.out")" \
'kvm_key_exits{reason="npf",key="0xfee00",what="local APIC, at 0xfee00000"} 5
kvm_key_handler_cycles{reason="npf",key="0xfee00",what="local APIC, at 0xfee00000"} 300
kvm_key_cycles{reason="npf",key="0xfee00",what="local APIC, at 0xfee00000"} 800'
exitdump why npf -i "$T/x_keys" --openmetrics -n 2
like '--openmetrics: the rest has no key' "$out" $'\nkvm_key_exits\\{reason="npf",key="-",what="other"\\} 3\n'
exitdump why -i "$T/x_keys" hlt
is 'a reason without keys' "$status:$err" '0:exitdump: hlt: no such exit with keys so far (exitdump why lists all)'
awk 'BEGIN { for (i = 1; i <= 40000; i++) printf "1024 npf 0x%x 1 70 90 90\n", i + 1048576 }' | keys "$T/many_keys"
exitdump why -i "$T/many_keys" --json -n 1
is 'as many keys as 600 vCPUs have' "$status:$(jq .totals[0].exits "$T/.out"):$err" 0:40000:
keys "$T/none_keys" </dev/null
exitdump why -i "$T/none_keys" --raw
is 'no key so far' "$status:$out:$err" 0::

lines '#~exit_cycles~1' 'reason name exits' '- TOTAL 0' >"$T/x"
exitdump why -i "$T/x" --raw -n 1 -o key
is 'the keys beside a table' "$out" 0x1
exitdump -i "$T/x" --json
is 'without why no key in JSON' "$(jq -c 'has("replaced")' "$T/.out")" false
mkdir "$T/no-vms"
tree "$T/no-vms" 0 0
exitdump why -S "$T/no-vms" -a --json
is '--json of no VM: what is not known is there' "$status:$(jq -c '[.replaced, .rows, has("replaced")]' "$T/.out")" '0:[null,[],true]'

lines "#~exit_cycles~1 vendor=svm replaced=1" 'reason name key exits total' '123 io 0x70 2 300' >"$T/few_keys"
exitdump why -i "$T/few_keys" --openmetrics -n 1
is 'metrics of what is known alone' "$(grep -v '^#' "$T/.out" | sed 's/{.*}//')" $'kvm_key_exits 2\nkvm_key_cycles 300'
exitdump why -i "$T/few_keys"
like 'one key gave way' "$out" '^svm, 1 key replaced; by total'
exitdump why -i "$T/x_keys" -s what -n 3 --raw -o what
is 'sorted by what they are' "$out" $'family, features\nfw_cfg, out\nIA32_TSC_DEADLINE, read, L2'

# named REASON KEY TEXT: the name of this key is TEXT.
named() {
	keys "$T/named" <<<"7 $1 $2 1 1 1 1"
	exitdump why -i "$T/named" --raw -o what
	is "$1 $2" "$out" "$3"
}
named MSR_WRITE 0x830 'x2APIC ICR'
named MSR_WRITE 0x8ab x2APIC
named MSR_READ 0x40000020 'HV time reference count'
named IO_INSTRUCTION 0x10608 'ACPI PM timer (q35, pc), in'
named IO_INSTRUCTION 0x301f0 'IDE, in, string'
named IO_INSTRUCTION 0x1234 out
named IO_INSTRUCTION 0x8000000000001234 'out, L2'
named CPUID 0x4ffffffd exit_cycles
named VMCALL 0xa 'KVM send IPIs'
named hypercall 0xb 'KVM yield to a CPU'
named EPT_VIOLATION 0x3 'read and write, not mapped'
named EPT_MISCONFIG 0x8 'at 0x8000'
named npf 0x10 'at 0x10000'
named EXTERNAL_INTERRUPT 0xec 'local timer'
named EXCEPTION_NMI 0xe '#PF page fault'
named CR_ACCESS 0x13 'read CR3'
named DR_ACCESS 0x17 read
named APIC_WRITE 0x300 ICR
named avic_unaccelerated_access 0x80 TPR
named MSR_READ_IMM 0x10 IA32_TSC
named MSR_WRITE_IMM 0x10 IA32_TSC
named vmgexit 0x80000001 'MMIO read'
named hlt 0x8000000000000000 L2
named hlt 0x4000000000000000 -
exitdump why -i "$T/named" -o key
is 'no key of L2: shown as it is' "$(sed -n 3p "$T/.out")" 0x4000000000000000
bad_lines=$(grep -Evc '^(#.*|[a-z]+ 0x[0-9a-f]+ 0x[0-9a-f]+ .{1,40})?$' "$TOP/tools/key-names.txt" || :)
is 'every line of the table that is built in reads as one' "$bad_lines" 0

printf '%s\n' '# of my own' '' 'port 1296 0x510 my device' >"$T/names"
exitdump why -i "$T/x_keys" io --raw -o what --names "$T/names"
is '--names wins' "$out" 'my device, out'
printf '  # mine\r\n \r\n  port 0x510 0X510 %s\r\n' "$(printf '%047d' 0)" >"$T/names"
exitdump why -i "$T/x_keys" io --raw -o what --names "$T/names"
is 'blanks at the begin of a line, another end, the longest name' "$status:$out:$err" "0:$(printf '%047d' 0), out:"
keys "$T/eoi" <<<"7 EOI_INDUCED 0x30 1 1 1 1"
echo "eoi 0x30 0x30 network" >"$T/names"
exitdump why -i "$T/eoi" --raw -o what --names "$T/names"
is "the vectors of EOI_INDUCED can have names" "$status:$out:$err" "0:network:"
echo 'port 01296 01296 ten' >"$T/names"
exitdump why -i "$T/x_keys" io --raw -o what --names "$T/names"
is 'a number that begins with 0 is decimal, too' "$status:$out:$err" '0:ten, out:'
exitdump why -i "$T/x_keys" --names "$T"
is '--names of a folder: refused' "$status:$out:$err" "1::exitdump: $T: Is a directory"
printf 'port 0x510 0x510 \e[31mred\n' >"$T/names"
exitdump why -i "$T/x_keys" io --raw -o what --names "$T/names"
is 'a name with control characters: shown without' "$status:$out:$err" '0:?[31mred, out:'
for line in 'port 1' 'potato 1 2 x' 'port 2 1 x' 'port 1 2x y' 'port 0 +2 x' 'port 1 99999999999999999999 x' 'port 1 -1 x' 'port 1 2 ' "port 1 2 $(printf '%048d' 0)"; do
	echo "$line" >"$T/names"
	exitdump why -i "$T/x_keys" --names "$T/names"
	like "--names '$line': refused" "$status:$out:$err" "^1::exitdump: $T/names: line 1: [^"$'\n'"]*$"
done

printf '%s\n' '1024 npf 0xf 1 1 2 1' '1024 npf 0x10 1 1 1 1' | keys "$T/edge_keys"
exitdump why -i "$T/edge_keys" --raw -o key,what
is 'npf: kinds of access, and pages above them' "$status:$out:$err" "0:$(lines '0xf -' '0x10 at~0x10000'):"

# refused TITLE REGEX LINE...: a file of keys with these lines is refused.
refused() {
	printf '%s\n' "${@:3}" | keys "$T/bad"
	exitdump why -i "$T/bad"
	like "$1: refused" "$status:$out:$err" "^1::exitdump: $T/bad: $2[^"$'\n'"]*$"
}
refused 'a key that is no number' 'has a key' '1 A 0xg 1 1 1 1'
refused 'a key in base 10' 'has a key' '1 A 12 1 1 1 1'
refused 'a key without digits' 'has a key' '1 A 0x 1 1 1 1'
refused 'a key with a zero before it' 'has a key' '1 A 0x01 1 1 1 1'
refused 'a key of 65 bits' 'has a key' '1 A 0x10000000000000000 1 1 1 1'
refused 'a key that no exit has' 'has a key' '1 A 0xffffffffffffffff 1 1 1 1'
refused 'a key twice' 'has a key twice' '1 A 0x1 1 1 2 1' '1 A 0x2 1 1 1 1' '1 A 0x1 1 1 1 1'
refused 'a rest twice' 'its reasons' '1 A - 1 1 1 -' '1 A - 1 1 1 -'
refused 'a key behind the rest' 'its reasons' '1 A - 1 1 2 -' '1 A 0x1 1 1 1 1'
refused 'reasons that fall' 'its reasons' '2 B 0x1 1 1 1 1' '1 A 0x1 1 1 1 1'
refused 'two names' 'has two names for a reason' '1 A 0x1 1 1 1 1' '1 B 0x2 1 1 1 1'
refused 'totals that rise' 'its keys' '1 A 0x1 1 1 1 1' '1 A 0x2 1 1 2 1'
refused 'no max of a key' 'has a number' '1 A 0x1 1 1 1 -'
refused 'a max that is none' 'has a number' '1 A - 1 1 1 -1'
refused 'a negative count' 'has a number' '1 A 0x1 -1 1 1 1'
refused 'a short row' 'has a row with fewer' '1 A 0x1 1 1 1' '1 A 0x2 1 1 1 1'
refused 'a row TOTAL' 'has a row TOTAL' '- TOTAL 0x1 1 1 1 1'
exitdump why -i "$T/none"
like 'no file' "$status:$out:$err" "^1::exitdump: $T/none: No such file"
lines '#~exit_cycles~1' 'reason name exits' '- TOTAL 0' >"$T/alone"
exitdump why -i "$T/alone"
like 'a table alone' "$status:$out:$err" "^1::exitdump: $T/alone_keys: No such file"
exitdump -i "$T/x_keys"
is 'keys are no table' "$status:$out:$err" "1::exitdump: $T/x_keys: has only keys (exitdump why and --keys show them)"
size=$(wc -c <"$T/x_keys") wrong=''
for ((i = 0; i < size; i += 7)); do
	head -c "$i" "$T/x_keys" >"$T/cut"
	[[ $(tail -c 1 "$T/cut") ]] || continue
	exitdump why -i "$T/cut"
	[[ $status$out == 1 ]] || wrong+=" $i"
done
is 'each cut amid a line is refused' "$wrong" ''
for args in '--hist' '--buckets' '-g' '--openmetrics' '--openmetrics -n 1 -o exits' "'' 1"; do
	run eval "'$EXITDUMP'" why -i "$T/x_keys" "$args"
	is "why $args: refused" "$status:$out" 1:
done
for args in '--hist -i x' '--buckets --openmetrics -n 1 -i x' -g; do
	# shellcheck disable=SC2086 # words
	exitdump why $args
	is "why $args: refused for that" "$status:$out:$err" \
		'1::exitdump: --keys, why: not with --guest, --hist or --buckets: only the host has keys, and they have no histograms'
done
for command in list top 'compare a b' 'hist io' reset on; do
	# shellcheck disable=SC2086 # words
	exitdump $command --keys
	like "$command --keys: refused" "$status:$out:$err" '^1::exitdump: --keys'
done
exitdump -i "$T/x" -o +key
like '--output key without why: refused' "$status:$out:$err" '^1::exitdump: --output: key: '

# The three scopes, from folders as in debugfs.
kvm=sys/kernel/debug/kvm
tree "$T/tree" 2 2 -v vendor=svm
keys "$T/tree/$kvm/exit_cycles_keys" 3 <<<'123 io 0x70 40 40 400 4'
for vm in 1000-11 1001-11; do
	keys "$T/tree/$kvm/$vm/exit_cycles_keys" <<<'123 io 0x70 20 20 200 3'
	for vcpu in 0 1; do
		keys "$T/tree/$kvm/$vm/vcpu$vcpu/exit_cycles_keys" <<<"123 io 0x7$vcpu 10 10 100 2"
	done
done
exitdump why -S "$T/tree" --raw -o exits,max
is 'the host' "$out" "$(lines '40 4')"
exitdump why -S "$T/tree"
like 'and how many keys gave way' "$out" '^host, 1 VM, 1 vCPU, svm, 3 keys replaced; by total'
exitdump why -S "$T/tree" --vm vm1 --raw -o exits,max
is 'a VM' "$out" "$(lines '20 3')"
exitdump why -S "$T/tree" --vm 'vm*' --raw -o exits,max
is 'VMs: their sum' "$out" "$(lines '40 3')"
exitdump why -S "$T/tree" --vcpu 1 --raw -o key,exits
is 'a vCPU of each' "$out" "$(lines '0x71 20')"
exitdump why -S "$T/tree" --all-vcpus --raw -s vm,-vcpu
is 'all vCPUs: a line per vCPU and key' "$(cut -f 1-5 "$T/.out")" "$(lines '1000-11 vm0 0 io 0x70' '1000-11 vm0 1 io 0x71' \
	'1001-11 vm1 0 io 0x70' '1001-11 vm1 1 io 0x71')"
exitdump why -S "$T/tree" -a --openmetrics -n 1
like 'metrics of VMs' "$out" $'\nkvm_key_exits\\{vm="1000-11",vmname="vm0",reason="io",key="0x70",what="RTC, out"\\} 20\n'
mkdir -p "$T/tree/sys/module/kvm/parameters"
echo N >"$T/tree/sys/module/kvm/parameters/exit_cycles_keys"
off='exitdump: no keys are kept at present (/sys/module/kvm/parameters/exit_cycles_keys is N; exitdump set keys on starts it)'
exitdump why -S "$T/tree" --vm vm1 --raw -o exits
is 'keys are switched off: said of a snapshot' "$status:$out:$err" "0:20:$off"
exitdump why -S "$T/tree" --raw TOTAL 0.01 1
is 'keys are switched off: and of an interval' "$status:$out:$err" "0::$off"
exitdump why -S "$T/tree" --json
is 'keys are switched off: and in JSON' "$(jq .off "$T/.out")" true
exitdump -S "$T/tree" --json
is 'keys are switched off: that is nothing to reasons' "$(jq .off "$T/.out"):$err" false:
echo N >"$T/tree/sys/module/kvm/parameters/exit_cycles"
exitdump why -S "$T/tree" --raw -o exits
like 'all is switched off: said as without keys' "$status:$out:$err" '^0:40:exitdump: nothing is counted at present \(.*/exit_cycles is N; exitdump on starts it\)$'
rm -r "$T/tree/sys/module"
rm -r "$T/tree/$kvm/1001-11/vcpu1/exit_cycles_keys"
exitdump why -S "$T/tree" --vm vm1 --all-vcpus --raw -o vcpu
is 'a vCPU that is gone is left out' "$status:$out:$err" 0:0:
find "$T/tree" -name exit_cycles_keys -delete
for args in '' '--vm vm0' -a --all-vcpus '-c 0' '--vm vm0 TOTAL 1 1'; do
	# shellcheck disable=SC2086 # words
	exitdump why -S "$T/tree" $args
	is "why $args: a copy without keys, or a kernel without them" "$status:$out:$err" \
		"1::exitdump: $T/tree/$kvm/exit_cycles_keys: No such file (not copied, or this kernel's exit_cycles patches are older than keys)"
done
rm -r "$T/tree/$kvm"/*
exitdump why -S "$T/tree"
like 'a kernel without any' "$status:$out:$err" '^1::.*exit_cycles_keys: No such file \(not copied\? man exitdump'

# between TITLE EXPECTED: the difference between "$T/a" and "$T/b": key, exits, total, max.
between() {
	exitdump diff "$T/a" "$T/b" --keys --raw -o name,key,exits,total,max -s name,key
	is "$1" "$status:$out$err" "0:$2"
}
keys "$T/a" 40 <<-'END'
	123 io 0x70 10 10 100 20
	123 io 0x71 10 10 90 20
	123 io - 5 5 50 -
END
keys "$T/b" 42 <<-'END'
	120 hlt 0x8000000000000000 2 2 20 15
	120 hlt - 900 900 9000 -
	123 io 0x70 14 14 150 30
	123 io 0x72 3 3 30 10
	123 io 0x71 1 1 10 10
	123 io - 19 19 180 -
END
# 37 exits of io since there were 25: 4 of 0x70, 3 of 0x72, and 5 whose key is unknown.
between 'what gave way is in the rest; nothing is in it twice' "$(lines 'hlt 0x8000000000000000 2 20 15' \
	'io 0x72 3 30 10' 'io 0x70 4 50 30' 'io - 5 50 -')"
exitdump diff "$T/a" "$T/b" --keys --json
is 'and how many did; the largest of all is not known' "$(jq -c "[.replaced, .totals[0].max]" "$T/.out")" "[2,null]"
sed '1s/\treplaced=[0-9]*//' "$T/a" >"$T/old"
exitdump diff "$T/old" "$T/b" --keys --json
is 'or not known, if the begin does not say' "$status:$(jq .replaced "$T/.out")" 0:null
exitdump diff "$T/old" "$T/b" --keys
unlike 'then the head does not say either' "$status:$out" '^[^0]|replaced'
is 'the columns of a difference' "$(sed -n 2p "$T/.out" | xargs)" 'NAME KEY WHAT EXITS GEXITS TOTAL SHARE KVM'
exitdump diff "$T/a" "$T/b" --keys io
is 'diff takes two' "$status:$out" 1:
keys "$T/b" <<<'123 io 0x70 24 24 240 30'
exitdump diff "$T/a" "$T/b" --keys
like 'cleared: noticed' "$status:$out:$err" '^1::.*has lower counters than '
printf '%s\n' '123 io 0x70 9 9 90 20' '124 msr 0x10 1 1 9 9' | keys "$T/early"
printf '%s\n' '123 io 0x70 8 8 80 20' '124 msr 0x10 2 2 18 9' | keys "$T/late"
exitdump diff "$T/early" "$T/late" --keys
like 'also if a later reason has more' "$status:$out:$err" '^1::.*has lower counters than '
keys "$T/b" </dev/null
exitdump diff "$T/a" "$T/b" --keys
like 'cleared altogether: noticed' "$status:$out:$err" '^1::.*has lower counters than '
if command -v jq >/dev/null; then
	cp -r "$T/no-vms" "$T/cleared"
	lines '123 io 0x510 9 380 2000 1500' | keys "$T/cleared/sys/kernel/debug/kvm/exit_cycles_keys" 7
	lines '123 io 0x510 2 80 200 100' | keys "$T/fewer" 2
	exitdump run -S "$T/cleared" --keys --json -- cp "$T/fewer" "$T/cleared/sys/kernel/debug/kvm/exit_cycles_keys"
	is 'cleared in an interval: how many keys were replaced is not known' \
		"$status:$(jq -c '[.replaced, .rows, .totals[0].cleared, .totals[0].exits]' "$T/.out")" '0:[null,[],true,null]'
fi
keys "$T/a" <<-'END'
	123 io 0x70 9 9 90 20
	123 io - 1 1 10 -
END
keys "$T/b" <<<'123 io 0x70 12 12 120 20'
between 'a key an exit ahead of its row: no rest below 0' "$(lines 'io 0x70 3 30 -')"
exitdump diff "$T/a" "$T/x" --keys
like 'another vendor or none: as diff does' "$status" '^[01]$'
keys "$T/a" <<<'124 msr 0x10 1 1 9 9'
keys "$T/b" <<-'END'
	122 x - 5 5 50 -
	123 io 0x70 3 3 30 20
	123 io - 2 2 20 -
	124 msr 0x10 1 1 9 9
END
between 'reasons that are new: all of them, also what has no key' "$(lines 'io 0x70 3 30 20' 'io - 2 20 -' 'x - 5 50 -')"
keys "$T/a" <<<'123 io 0x70 10 10 100 50'
keys "$T/b" <<-'END'
	123 io 0x71 3 3 30 10
	123 io - 10 10 100 -
END
between 'the key with the largest max gave way: nothing was cleared' "$(lines 'io 0x71 3 30 10')"
keys "$T/a" <<<'123 io 0x70 5 5 50 20'
printf '%s\n' '123 io 0x71 9 9 90 20' '123 io 0x70 7 7 40 20' | keys "$T/b"
exitdump diff "$T/a" "$T/b" --keys --json
is 'exits of a key whose time fell are the rest: how long the longest took is not known' \
	"$(jq -c '[.rows[] | [.key, .exits, .max]], .totals[0].max' "$T/.out" | paste -sd,)" '[["0x71",9,20],[null,2,null]],null'

mkdir -p "$T/tree1/$kvm" "$T/tree2/$kvm"
keys "$T/tree1/$kvm/exit_cycles_keys" <<<'123 io 0x70 10 10 100 4'
keys "$T/tree2/$kvm/exit_cycles_keys" <<<'123 io 0x70 15 15 150 4'
show tree1
exitdump run -S "$T/root" --keys -r io -- ln -sfn tree2 "$T/root"
like 'run --keys' "$out" $'\nio +0x70 RTC, out +5 .* 50\.0ns +100% +5\\.00ns\n'
exitdump why -S "$T/root" io 0.01 2 --raw
is 'over intervals' "$status:$out" 0:

# top: Enter on a reason.
if ! has_terminal; then
	skip 'top' 'tmux is not installed'
	done_testing
fi
tree "$T/live" 1 1
keys "$T/live/$kvm/exit_cycles_keys" <<-'END'
	8 REASON_8 0x70 9 9 90 20
	8 REASON_8 - 1 1 10 -
END
show live
tm new-session -d -x 80 -y 24 "'$EXITDUMP' -S '$T/root' top 0.2; echo status \$?; read -r"
tm send-keys t t
sees 'reasons' $'all counts so far.*\nREASON_9 [^\n]*<\n'
tm send-keys Enter
sees 'Enter on one without keys: its histogram' 'REASON_9: 10 exits'
tm send-keys Escape Down
sees 'Esc, Down' $'\nREASON_8 [^\n]*<\n'
tm send-keys Enter
sees 'Enter: its keys' $'by total.*\nNAME +KEY +WHAT .*\nREASON_8 0x70 .*\nREASON_8 - +other .*\nTOTAL +10 '
tm send-keys Down
sees 'Down: the cursor among them' $'\nREASON_8 0x70 [^<\n]*\nREASON_8 - [^\n]*<\n'
tm send-keys Up
sees 'Up' $'\nREASON_8 0x70 [^\n]*<\n'
tm send-keys h
sees 'h: the histogram of the same' 'REASON_8: 9 exits'
tm send-keys Escape
sees 'Esc: the reasons, the cursor where it was' $'by lost.*\nREASON_8 [^\n]*<\n'
tm send-keys Enter v
sees 'v among keys: the VMs' $'\n1000-11 vm0 +55 '
tm send-keys q
sees 'q' 'status 0'

done_testing

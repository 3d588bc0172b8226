#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump finds a VM by PID, PID-FD, name and pattern, a vCPU by number, and a
# reason by name, number and pattern. It adds up the chosen accounts, or shows them side by
# side; both always agree with the files.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

# 3 VMs of 4 vCPUs with 55 exits each: 660 exits, 220 for each VM.
tree "$T/tree" 3 4
raw() { exitdump -S "$T/tree" --raw "$@"; }
total() { # ARGUMENT...: prints the sum of exits in all lines
	raw -o exits "$@"
	awk '{ sum += $1 } END { print sum + 0 }' "$T/.out"
}

is 'the host' "$(total)" 660
# The root of a path that fits, and of one that might not: a cut path would be another file.
for bytes in 3996 3997; do
	printf -v root "%-${bytes}s" "$T/tree"
	exitdump -S "${root// //}" -a --raw -o exits
	like "a root of $bytes bytes" "$bytes:$status:${out//[[:space:]]/ }:$err" \
		'^(3996:0:220 220 220:|3997:1::exitdump: .{60}\.\.\.: File name too long)$'
done
is '--vm PID' "$(total --vm 1001)" 220
is '--vm PID-FD' "$(total --vm 1001-11)" 220
is '--vm NAME' "$(total --vm vm2)" 220
is '--vm PATTERN: the sum of those that match' "$(total --vm 'vm[12]')" 440
is '--vcpu' "$(total --vm vm0 --vcpu 3)" 55
is '--vcpu with ranges' "$(total --vm vm0 --vcpu 0,2-3)" 165
is '--vcpu of all VMs' "$(total --vcpu 1)" 165
is '--reason NAME, whatever its case' "$(total -r reason_9)" 120
is '--reason NUMBER' "$(total -r 9)" 120
is '--reason NUMBER in base 16' "$(total -r 0x9)" 120
is '--reason NUMBER in base 16, in capitals' "$(total -r 0X9)" 120
raw -o exits -r REASON_0
is '--reason: the first of them is one' "$status:$out:$err" 0:12:
is '--reason PATTERN and list' "$(total -r 'REASON_[01],9')" 156
is '--reason NUMBER begins with no octal 0' "$(total -r 08,001)" 132
for none in NONE 0x99 0x '9 ' 010,NONE; do
	raw -r "$none"
	is "--reason '$none' of none: nothing, and it is said" "$status:$out:$err" \
		"0::exitdump: $none: no such exit so far (exitdump -o name lists all)"
done
lines '#~exit_cycles~1' 'reason name exits' '- OTHER 5' '- TOTAL 5' >"$T/other"
exitdump -i "$T/other" --raw -o exits -r 4294967296
is '--reason beyond 32 bits: none, and not OTHER' "$status:$out:$err" '0::exitdump: 4294967296: no such exit so far (exitdump -o name lists all)'
exitdump -i "$T/other" --raw -o exits -r other
is 'which has a name, but no number' "$status:$out" 0:5
for args in '--vm vm0' '--vcpu 0' -a --all-vcpus "-S $T/tree" -g; do
	# shellcheck disable=SC2086 # words
	exitdump -i "$T/tree/sys/kernel/debug/kvm/exit_cycles" $args
	is "--input with $args: refused" "$status:$out:$err" \
		"1::exitdump: --input, --guest: only one of them, and not with --sysroot, --vm, --vcpu, --all-vms or --all-vcpus"
done
for option in -i --input --sysroot -O --names --symbols --qmp --vm -c -r -s --unit --than --limit --tsc-khz "run -o"; do
	# shellcheck disable=SC2086 # words
	exitdump $option "" list
	is "$option with an empty value: refused, and nothing is read" "$status:$out:$err" "1::exitdump: ${option#run }: its value is empty"
done
raw --input=
is "--input=: as well" "$status:$out:$err" "1::exitdump: --input=: its value is empty"
long=$(printf 'guest-%.0s' {1..20})
cp -r "$T/tree" "$T/named"
name() { printf 'qemu\0-name\0%s\0' "$2" >"$T/named/proc/$1/cmdline"; }
name 1002 1000
run "$EXITDUMP" -S "$T/named" --vm 1000 --all-vms --raw -o vm
is '--vm PID is not a VM of that name' "$status:$out" 0:1000-11
name 1001 'debug-threads=on,guest=a,,b=c,process=x'
run "$EXITDUMP" -S "$T/named" --vm 'a,b=c' --all-vms --raw -o vm,vmname
is 'a name with a comma in it' "$status:$out" "0:$(lines '1001-11 a,b=c')"
name 1000 'web[1]'
name 1001 "$long"
name 1002 büro
for name in 'web[1]' "$long" büro 'b?*ro'; do
	exitdump -S "$T/named" --raw -o exits -r 9 --vm "$name"
	is "--vm $name: by its exact name as well" "$status:$out" 0:40
done
name 1002 rack/web
run "$EXITDUMP" -S "$T/named" --vm Rack/web -a --raw -o vmname
is '--vm NAME: in its own case' "$status:$out:$err" '1::exitdump: no VM Rack/web (exitdump list shows all VMs)'
run "$EXITDUMP" -S "$T/named" --vm 'r*b' -a --raw -o vmname
is '--vm PATTERN: * matches a slash as well' "$status:$out" 0:rack/web
name 1002 büro
name 1000 Web
name 1001 mail
exitdump -S "$T/named" -a --raw -o vmname -s vmname
like '--sort vmname: by the alphabet, whatever the case' "$out" $'^b.*\nmail\nWeb$'
raw -r "$(printf '*%.0s' {1..127})Q"
is '--reason with a long pattern: none of it is cut' "$status:$out" 0:
raw -r "$(printf '*%.0s' {1..300})9" -o name
is 'and it matches' "$status:$out" 0:REASON_9
for bad in ',' '9,' ',9' '1,,9'; do
	raw -r "$bad"
	is "--reason '$bad': refused" "$status:$out:$err" \
		"1::exitdump: --reason: '$bad': not a list of names, numbers and patterns"
	exitdump -S "$T/tree" hist "$bad"
	is "hist '$bad': refused" "$status:$out:$err" \
		"1::exitdump: hist: '$bad': not a list of names, numbers and patterns"
done

exitdump -S "$T/tree" --all-vms
is '--all-vms: a line per VM, and their sum' "$out" \
'overhead 33.3%: 3 VMs, 12 vCPUs, vmx; by lost
VM      VMNAME EXITS   LOST OVERHEAD SHARE   KVM  USER  SCHED   HALT
1000-11 vm0      220  374us    33.3% 33.3% 110us 220us 22.0us 55.0us
1001-11 vm1      220  374us    33.3% 33.3% 110us 220us 22.0us 55.0us
1002-11 vm2      220  374us    33.3% 33.3% 110us 220us 22.0us 55.0us
TOTAL            660 1.12ms    33.3%  100% 330us 660us 66.0us  165us'
# The usual columns, so far and over an interval; and those for programs.
while IFS='|' read -r args names programs; do
	# shellcheck disable=SC2086 # words
	exitdump -S "$T/tree" $args
	is "the columns of exitdump $args" "$(grep -m 1 -e '^NAME ' -e '^VM ' "$T/.out" | xargs)" "$names"
	# shellcheck disable=SC2086 # words
	exitdump -S "$T/tree" $args --csv
	is "and for programs" "$(head -n 1 "$T/.out" | sed s/exits,rate,cycles,total,halt,poll,user,sched,hsched,stop,slow,max,lost,share/ALL/)" "$programs"
done <<'END'
0.01 1|NAME EXITS RATE LOST SHARE KVM USER SCHED HALT|time,name,ALL
-a 0.01 1|VM VMNAME RATE LOST OVERHEAD SHARE KVM USER SCHED HALT|time,vm,vmname,ALL,guest,overhead
--all-vcpus|VM VMNAME VCPU EXITS LOST OVERHEAD KVM USER SCHED HALT|vm,vmname,vcpu,exits,cycles,total,halt,poll,user,sched,hsched,stop,slow,max,lost,share,guest,overhead
--all-vcpus 0.01 1|VM VMNAME VCPU RATE LOST OVERHEAD KVM USER SCHED HALT|time,vm,vmname,vcpu,ALL,guest,overhead
list 0.01 1|VM VMNAME VCPUS RATE OVERHEAD VCPUCPU VMMCPU IRQS BUSIEST|time,vm,vmname,vcpus,rate,overhead,vcpucpu,vmmcpu,irqs,busiest
END
is '--all-vms of one reason' "$(total -a -r 9)" 120
raw -a --vm 'vm[02]' -o vmname
is '--all-vms of some' "$out" $'vm0\nvm2'
exitdump -S "$T/tree" --all-vcpus -n 1
like '--all-vcpus: each VM counts once' "$out" '^overhead 33\.3%: 3 VMs, 12 vCPUs, vmx; by lost'
exitdump -S "$T/tree" --vm vm1 -n 1
like 'the head of a VM: how many vCPUs, but not how many VMs' "$out" '^overhead 33\.3%: VM 1001-11 \(vm1\), 4 vCPUs, vmx; '
exitdump -S "$T/tree" --vm vm1 --vcpu 0 -n 1
like 'the head of a vCPU: not how many' "$out" '^overhead 33\.3%: vCPU 0 of VM 1001-11 \(vm1\), vmx; '
raw --all-vcpus -o vm,vcpu,exits --vm vm1
is '--all-vcpus: a line per vCPU' "$out" \
	"$(printf '1001-11\t%d\t55\n' 0 1 2 3)"
raw -a -o vmname,name,exits -r 'REASON_[89]' -s exits -n 3
is '--all-vms with the column name: a line per VM and reason' "$out" \
	"$(lines 'vm0 REASON_9 40' 'vm1 REASON_9 40' 'vm2 REASON_9 40')"

raw -a -o vmname,reason,exits -r 9
is 'and with the column reason' "$out" "$(lines 'vm0 9 40' 'vm1 9 40' 'vm2 9 40')"
raw -a --vcpu 0-2 -o vm,vmname,vcpu,exits
is '--all-vms --vcpu: a line per VM as well' "$out" \
	"$(lines '1000-11 vm0 - 165' '1001-11 vm1 - 165' '1002-11 vm2 - 165')"
raw -a -o vmname,vcpus
is '--all-vms with the column vcpus' "$out" "$(lines 'vm0 0-3' 'vm1 0-3' 'vm2 0-3')"
raw -a --tsc-khz 1000000 -o gexits
is '--tsc-khz is of all of them' "$(sort -u "$T/.out" | wc -l)" 1
raw -a --vcpu 3 -o vm,vcpu
is '--all-vms of one vCPU each: they stay lines of VMs' "$out" "$(lines '1000-11 -' '1001-11 -' '1002-11 -')"
exitdump -S "$T/tree" -a --vcpu 3 -o vm,exits
is '--all-vms of one vCPU each, and their sum' "$out" \
'overhead 33.3%: 3 VMs, 3 vCPUs, vmx; by lost
VM      EXITS
1000-11    55
1001-11    55
1002-11    55
TOTAL     165'
raw -a --vcpu 0-2 -o vmname,name,exits -r 'REASON_[89]' -n 2
is '--all-vms --vcpu: a line per VM and reason' "$out" \
	"$(lines 'vm0 REASON_9 30' 'vm1 REASON_9 30')"
for args in '--vcpu 0-1' --all-vcpus; do
	# shellcheck disable=SC2086 # words
	raw list $args
	is "list $args: refused" "$status:$out:$err" \
		'1::exitdump: list: shows whole VMs: not with --vcpu or --all-vcpus'
done

busy() { printf 'qemu\0-name\0guest=%s\0' "$2" >"$T/sorted/proc/$1/cmdline"; }
tree "$T/sorted" 3 1
mv "$T/sorted/sys/kernel/debug/kvm/1002-11" "$T/sorted/sys/kernel/debug/kvm/71-4"
mv "$T/sorted/proc/1002" "$T/sorted/proc/71"
mv "$T/sorted/sys/kernel/debug/kvm/1001-11" "$T/sorted/sys/kernel/debug/kvm/1000-7"
busy 1000 same
busy 71 other
sorted() { exitdump -S "$T/sorted" -a --raw -o vm -s "$@"; tr '\n' ' ' <"$T/.out"; }
is '--sort vm: by number' "$(sorted vm)" '71-4 1000-7 1000-11 '
is '--sort -vm: backwards' "$(sorted -vm)" '1000-11 1000-7 71-4 '
is '--sort vmname,-vm: the second where the first is the same' "$(sorted vmname,-vm)" '71-4 1000-11 1000-7 '
is '--sort -vmname,vm' "$(sorted -vmname,vm)" '1000-7 1000-11 71-4 '
mkdir "$T/sorted/sys/kernel/debug/kvm/1000-7/vcpu7"
is '--sort by what is not shown, and must be read' "$(sorted -vcpus)" '1000-7 71-4 1000-11 '
exitdump -S "$T/sorted" list --raw -o vm
is 'list: by number' "$out" $'71-4\n1000-7\n1000-11'
exitdump -S "$T/sorted" -a -s -halt,vm
like 'the head says by what' "$out" '^[^;]*; by -halt'
exitdump -S "$T/sorted" -s vm,,exits
is '--sort of nothing: refused' "$status:$out" 1:

exitdump -S "$T/tree" list
is 'list' "$out" \
'VM      VMNAME VCPUS EXITS OVERHEAD
1000-11 vm0    0-3     220    33.3%
1001-11 vm1    0-3     220    33.3%
1002-11 vm2    0-3     220    33.3%'
if command -v jq >/dev/null; then
	exitdump -S "$T/tree" list --json -n 1
	is 'list --json -n 1: one VM' "$(jq -c '[.rows, (.totals | map([.vm, .exits, .vcpus]))]' "$T/.out")" \
		'[[],[["1000-11",220,"0-3"]]]'
	exitdump -S "$T/tree" list --json -s -vm -n 1
	is 'list --json in another order: the first VM of that' "$(jq -r '.totals[].vm' "$T/.out")" 1002-11
fi
exitdump -S "$T/tree" list -o vm,total -u us -n 1
is 'list in a unit that numbers do not carry: said' "$out" \
	$'overhead 33.3%: 3 VMs, 12 vCPUs, vmx; in us\nVM        TOTAL\n1000-11 440.000'
exitdump -S "$T/tree" list -o vm,total -u ns -n 1
is 'and in ns' "$out" $'overhead 33.3%: 3 VMs, 12 vCPUs, vmx; in ns\nVM       TOTAL\n1000-11 440000'
exitdump -S "$T/tree" list 0.01 1
like 'list over an interval: when' "$out" $'^[0-9:]{8} \\+[0-9.]+ s: 3 VMs, 12 vCPUs, vmx\nVM '
for args in '-i x' -g --openmetrics --hist; do
	# shellcheck disable=SC2086 # words
	exitdump list $args
	is "list $args: refused" "$status:$out:$err" '1::exitdump: list: not with --input, --guest, --hist or --openmetrics'
done
mkdir "$T/tree/sys/kernel/debug/kvm/1001-11/vcpu"{7,9,10,07,8x,4294967295}
raw list --vm vm1 -o vcpus
is 'list: numbers and ranges' "$out" 0-3,7,9-10,4294967295

rm -r "$T/tree/sys/kernel/debug/kvm/1001-11/vcpu"* "$T/tree/proc/1001/cmdline"
raw list -o vm,vcpus,exits
is 'list: a VM that has no vCPU yet' "$status:$out:$err" "0:$(lines '1000-11 0-3 220' '1001-11 - 220' '1002-11 0-3 220'):"

# A reason that has happened in one of two VMs only; a vCPU whose file is damaged.
tree "$T/few" 2 2
tree "$T/fewer" 1 1 -v reasons=5
cp "$T/fewer/sys/kernel/debug/kvm/1000-11/exit_cycles" "$T/few/sys/kernel/debug/kvm/1000-11/"
exitdump -S "$T/few" --raw -a -r 9 -o vmname,name,exits
is 'a reason of the second VM only' "$status:$out:$err" "0:$(lines 'vm1 REASON_9 20'):"
sed -i '$d' "$T/few/sys/kernel/debug/kvm/1001-11/vcpu1/exit_cycles"
exitdump -S "$T/few" --all-vcpus
like 'a damaged file of a vCPU: said, and nothing else' "$status:$out:$err" '^1::exitdump: [^'$'\n'']*1001-11/vcpu1/exit_cycles: [^'$'\n'']*$'

# On a terminal of 80 columns only names are cut, and end in ">"; numbers and the VM's id are
# shown in full.
if ! command -v script >/dev/null; then
	skip 'long names on a terminal' 'script is not installed'
else
	cp -r "$T/tree" "$T/long"
	for i in 0 1 2; do
		printf 'qemu\0-name\0%s-%d\0' a-guest-of-a-name-with-some-fifty-letters-in-it "$i" \
			>"$T/long/proc/100$i/cmdline"
	done
	run script -qec "stty cols 80; exec '$EXITDUMP' -S '$T/long' -a" /dev/null </dev/null
	is 'long names on a terminal' "$(tr -d '\r' <"$T/.out" | sed 's/a-guest-[a-z-]*/NAME/')" \
'overhead 33.3%: 3 VMs, 12 vCPUs, vmx; by lost
VM      VMNAME             EXITS   LOST OVERHEAD SHARE   KVM  USER  SCHED   HALT
1000-11 NAME>   220  374us    33.3% 33.3% 110us 220us 22.0us 55.0us
1001-11 NAME>   220  374us    33.3% 33.3% 110us 220us 22.0us 55.0us
1002-11 NAME>   220  374us    33.3% 33.3% 110us 220us 22.0us 55.0us
TOTAL                        660 1.12ms    33.3%  100% 330us 660us 66.0us  165us'
	run script -qec "stty cols 40; exec '$EXITDUMP' -S '$T/long' -a -o vmname,exits" /dev/null </dev/null
	like 'with room for it, more of a name' "$out" $'\na-guest-[a-z-]*> +220\r'
	run script -qec "stty cols 40; exec '$EXITDUMP' -S '$T/long' -a -o vmname,vmname,exits" /dev/null </dev/null
	like 'of two names the first one more' "$out" $'\na-guest-[a-z-]{16}> a-guest> +220\r'
	run script -qec "stty cols 9; exec '$EXITDUMP' -S '$T/long' -a -o vmname,exits" /dev/null </dev/null
	like 'and of each name at least 8 characters' "$out" $'\na-guest> +220\r'
	run script -qec "stty cols 40; '$EXITDUMP' -S '$T/long' -a -o vmname,exits | cat" /dev/null </dev/null
	like 'but not where it goes elsewhere' "$out" $'\na-guest-[a-z-]*-0 +220\r'
	lines '#~exit_cycles~1' 'reason name key exits total' '30 IO_INSTRUCTION 0x3f8 1 1' >"$T/keys"
	run script -qec "stty cols 9; exec '$EXITDUMP' why -i '$T/keys' -o what,exits" /dev/null </dev/null
	like 'so is the name of a key' "$out" $'\nCOM1, o> +1\r'
	run script -qec "stty cols 9; exec '$EXITDUMP' -S '$T/tree' -a -o vmname,exits" /dev/null </dev/null
	like 'but a shorter one is not made longer' "$out" $'\nvm0      220\r'
fi

tree "$T/none" 0 0
exitdump -S "$T/none" list
is 'list without a VM' "$status:$err" '0:'
exitdump -S "$T/none" -a
is '--all-vms without a VM' "$status" 0
exitdump -S "$T/none" -a -u us
is '--all-vms without a VM, in a unit of time' "$status:$err" 0:
exitdump -S "$T/none" -a --csv
like '--all-vms without a VM: a heading of all columns' "$status:$out:$err" '^0:vm,vmname,exits,.*,guest,overhead:$'

# Names that users give to QEMU.
named() { # ARGUMENT...: the name that VM 1000 has with this command line
	printf '%s\0' qemu "$@" >"$T/tree/proc/1000/cmdline"
	raw --vm 1000 -a -o vmname
	echo "$out"
}
is 'a name alone' "$(named -name web -m 1)" web
is 'a name with options' "$(named -name guest=web,debug-threads=on)" web
is 'a name with a blank and a tilde' "$(named -name 'guest=a b~')" 'a b~'
is 'two names: the last, as QEMU has it' "$(named -name guest=a -name guest=web)" web
is 'kvmtool'\''s --name' "$(named run --name web)" web
is 'the last of two names, as QEMU takes it' "$(named -name one -name two)" two
is 'no name' "$(named -m 1)" -
is '-name as the last word' "$(named -name)" -
is 'nothing that reaches the terminal' "$(named -name $'a\e[2J\x7fb')" 'a?[2J?b'
printf 'qemu\0-name\0we' >"$T/tree/proc/1000/cmdline"
raw --vm 1000 -a -o vmname
is 'a command line that is cut off: no half a name' "$out" -
: >"$T/tree/proc/1000/cmdline"
raw --vm 1000 -a -o vmname
is 'a process without a command line' "$out" -
printf 'qemu\0-name\0001001\0' >"$T/tree/proc/1000/cmdline"
raw --vm 1001 -a -o vm
is 'a PID goes before a name of digits' "$out" 1001-11
raw --vm 1001-12
is 'no such VM' "$status:$err" \
	'1:exitdump: no VM 1001-12 (exitdump list shows all VMs)'
raw --vm 1001 --vcpu 17
is 'no such vCPU' "$status:$err" \
	'1:exitdump: no vCPU 17 in VM 1001 (exitdump list shows them)'
raw --vm nobody --vcpu 0
is 'no such VM, of which a vCPU was asked for' "$status:$out:$err" '1::exitdump: no VM nobody (exitdump list shows all VMs)'
for args in '' --all-vcpus -a --json --openmetrics '1 1' 'hist' 'run -- echo ran'; do
	# shellcheck disable=SC2086 # words
	exitdump -S "$T/tree" --vcpu 17 $args
	is "no such vCPU in any VM, exitdump $args" "$status:$out:$err" \
		'1::exitdump: no vCPU 17 in any VM (exitdump list shows them)'
done
for bad in x 1- -1 1,,2 3-1 '1,'; do
	raw --vcpu "$bad"
	like "--vcpu '$bad' is refused" "$status:$err" '^1:exitdump: --vcpu: .*not a list'
done
raw -i /dev/null --vm 1001
like '--input holds one account' "$status:$err" '^1:exitdump: --input, --guest: '

rm "$T/tree/sys/kernel/debug/kvm/exit_cycles"
for args in '' -a '--vm 1001' list; do
	# shellcheck disable=SC2086 # none, one or two words
	exitdump -S "$T/tree" $args
	is "a copy without the host's account, exitdump $args" "$status:$out:$err" "1::exitdump: $T/tree/sys/kernel/debug/kvm/exit_cycles: No such file (not copied? man exitdump shows how to copy all files)"
done

done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump why --qmp names the owners of ports and pages from QEMU's own map, for
# the one VM to which the socket belongs. It asks QEMU only once. Whatever answers, the names
# are right, or there is one line of error and no table, within the time limit.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

build_safe
EXITDUMP=$SAFE
"${CC:-cc}" -O2 -o "$T/qmp-fake" "$TOP/tests/fixtures/qmp-fake.c"

# keys FILE <LINES
keys() {
	{
		lines '#~exit_cycles~1 vendor=svm tsc_khz=1000000 scope=vm vms=1 vcpus=1 replaced=0' \
			'reason name key exits cycles total max'
		tr ' ~' '\t '
	} >"$1"
}

# vm TREE NAME [KEY...]: makes a VM with these keys, by falling totals: ports, "page", pages.
kvm=sys/kernel/debug/kvm
vm() {
	local key n=99 code='123 io'
	for key in "${@:3}"; do
		[[ $key != page ]] || code='1024 npf'
		[[ $key == page ]] || echo "$code $key 1 1 $((n--)) 1"
	done | keys "$T/$1/$kvm/$2/exit_cycles_keys"
	cp "$T/$1/$kvm/$2/exit_cycles_keys" "$T/$1/$kvm/$2/vcpu0/"
}
tree "$T/tree" 1 1
vm tree 1000-11 0x10510 0x10071 0x1234 0x608 0x3cc0a 0x8000000000000510 0x7f page 0xfe740 0xfee00 0x80 0x80000000000fee00 0x10000000000fee00 0x8000000000000

# serve STEP...: starts qmp-fake with these steps at "$T/s", for one client.
serve() {
	local i
	rm -f "$T/s"
	"$T/qmp-fake" "$T/s" "$@" >"$T/asked" &
	server=$!
	for ((i = 0; i < 200; i++)); do
		[[ -S $T/s ]] && return 0
		sleep 0.05
	done
}
# ask [ARGUMENT...]: runs exitdump why on the tree with "$T/s", then ends the server.
ask() {
	exitdump why -S "$T/tree" --qmp "$T/s" --raw -o key,what "$@" </dev/null
	[[ $status != [01] ]] || { kill "$server" 2>/dev/null || :; }
	wait "$server" 2>/dev/null || :
}
# string <TEXT: prints TEXT as the inside of a JSON string, with QEMU's line ends.
string() { sed 's/["\\]/\\&/g; s/$/\\r\\n/' | tr -d '\n'; }
# returns <TEXT: prints QMP's answer with TEXT.
returns() { printf '{"return": "%s"}\r\n' "$(string)"; }

printf '%s\r\n' '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "}{\"["}, "capabilities": ["oob"]}}' >"$T/hello"
printf '%s\r\n' '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME", "data": {"return": "no", "path": "C:\\"}}' >"$T/event"
printf '%s\r\n' '{"return": {}}' >"$T/ready"
cat >"$T/map" <<'END'
FlatView #0
 AS "virtio-net-pci", root: bus master container
 Root memory region: (none)
  No rendered FlatView

FlatView #1
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-000000000000006f (prio 0, i/o): io parent:{obj path=/machine/unattached}
  0000000000000070-0000000000000070 (prio 0, i/o): rtc-index owner:{dev path=/machine/unattached/device[8]}
  0000000000000071-0000000000000071 (prio 0, i/o): rtc @0000000000000001 owner:{dev path=/machine/unattached/device[8]}
  0000000000000072-000000000000007e (prio 0, i/o): io @0000000000000072 parent:{obj path=/machine/unattached}
  000000000000007f-000000000000007f (prio 0, i/o): io owner:{dev id=io}
  0000000000000080-000000000000050f (prio 0, i/o): io @0000000000000080 orphan
  0000000000000510-0000000000000511 (prio 0, i/o): fwcfg owner:{dev path=/machine/fw_cfg}
  0000000000000512-000000000000c03f (prio 0, i/o): io @0000000000000512 parent:{obj path=/machine/unattached}
  000000000000c040-000000000000c05f (prio 1, i/o): virtio-pci owner:{dev id=net0} KVM
  000000000000c060-000000000000ffff (prio 0, i/o): io @000000000000c060 parent:{obj path=/machine/unattached}

FlatView #2
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram owner:{obj path=/objects/pc.ram} parent:{obj path=/x} KVM
  00000000fe740000-00000000fe74003f (prio 0, i/o): msix-table owner:{dev id=net0}
  00000000fe740800-00000000fe740807 (prio 0, i/o): msix-pba owner:{dev id=net0}
  00000000fe740808-00000000fe74080f (prio 0, i/o): msix-table owner:{dev id=net0}
  00000000fe740810-00000000fe740817 (prio 0, i/o): msix-table owner:{dev id=net1}
  00000000fee00000-00000000feefffff (prio 4096, i/o): kvm-apic-msi orphan

FlatView #3
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  0000000000000000-00000000000bffff (prio 0, ram): not.this owner:{obj path=/objects/pc.ram}

END
returns <"$T/map" >"$T/answer"
talk=("$T/event" "$T/hello" line "$T/event" "$T/ready" "$T/event" line "$T/event")
right=$(lines '0x10510 fw_cfg:~fwcfg,~in' '0x10071 RTC:~rtc,~in' '0x1234 unassigned,~out' \
	'0x608 ACPI~PM~timer~(q35,~pc):~unassigned,~out' '0x3cc0a unassigned,~in,~string' \
	'0x8000000000000510 fw_cfg,~out,~L2' '0x7f io~of~io,~out' \
	'0xfe740 msix-table~of~net0~or~msix-pba~of~net0~or~msix-table~of~net1,~at~0xfe740000' \
	'0xfee00 local~APIC:~kvm-apic-msi,~at~0xfee00000' '0x80 pc.ram,~at~0x80000' \
	'0x80000000000fee00 local~APIC,~at~0xfee00000,~L2' '0x10000000000fee00 at~0xfee00000' '0x8000000000000 unassigned,~at~0x8000000000000000')
serve "${talk[@]}" "$T/answer"
ask
is 'owners of ports and pages, whatever events come in between' "$status:$out:$err" "0:$right:"
is 'what QEMU was asked' "$(<"$T/asked")" '{"execute":"qmp_capabilities"}
{"execute":"human-monitor-command","arguments":{"command-line":"info mtree -f -o"}}'
awk '{ for (i = 0; i < 40000; i++) print }' "$T/event" >"$T/many"
serve "$T/hello" line "$T/ready" line "$T/many" "$T/answer"
ask
is 'some megabytes of events' "$status:$out:$err" "0:$right:"
exitdump why -S "$T/tree" --vm vm0 --raw -o key,what -n 1
is 'without --qmp there are none' "$status:$out" "0:$(lines '0x10510 fw_cfg,~in')"
serve "${talk[@]}" "$T/answer"
ask 'npf' 0.01 2 -n 1
is 'over intervals it is asked once' "$status:$err:$(wc -l <"$T/asked")" 0::2
serve "${talk[@]}" "$T/answer"
exitdump --keys -S "$T/tree" --qmp "$T/s" --json -r npf
is '--keys, --json: of the VM, and not of the host' "$(jq -r '[.scope, .rows[0].vm, .rows[0].what] | @tsv' "$T/.out")" \
	$'vm\t1000-11\tmsix-table of net0 or msix-pba of net0 or msix-table of net1, at 0xfe740000'
wait "$server"
serve "${talk[@]}" "$T/answer"
exitdump run --keys -S "$T/tree" --qmp "$T/s" -- true
is 'run --keys' "$status:$err" 0:
wait "$server"
serve "${talk[@]}" "$T/answer" hang
exitdump run --keys -S "$T/tree" --qmp "$T/s" -- sh -c "for i in \$(seq 50); do readlink /proc/$server/exe || exit 7; sleep 0.1; done >/dev/null"
is 'meanwhile others can ask QEMU' "$status" 7
wait "$server"
{ # pretty, as -qmp-pretty prints it, and with all escapes of JSON
	echo '{'
	printf '    "id" : [ { "a" : "]" }, 12e3 , null ],\n\t"return" :\n"%s"\n' \
		"$(string <"$T/map" | sed 's|fwcfg|\\u0066\\u001B[2J\\n\\t\\u00e9\\/\\b\\f\\t\xff\x01|; s|rtc @|\\u0000rtc @|')"
	echo '}'
} >"$T/pretty"
serve "${talk[@]}" "$T/pretty"
ask io -n 2
like 'a line break within a name: refused' "$status:$out:$err" "^1::exitdump: $T/s: QEMU's .info mtree -f -o. has a line that exitdump cannot read:   0000000000000510[^"$'\n'"]*$"
sed -i 's|2J\\n|2J|; s|\xff\x01|\xff\x00|' "$T/pretty"
serve "${talk[@]}" "$T/pretty"
ask io -n 2
is 'printed as other names are' "$status:$out:$err" "0:$(lines '0x10510 fw_cfg:~f?[2J??/?????,~in' '0x10071 RTC:~?rtc,~in'):"

# Names that are too long, and an answer that is too long.
{
	sed '/pci.*net0/d; /msix/d' "$T/map" | sed -n '1,/^ Root memory region: system/p'
	printf '  0000000000000000-000000000009ffff (prio 0, ram): %0155d owner:{dev id=d}\n' 0
	for ((i = 0; i < 16; i++)); do
		printf '  00000000fe7400%x0-00000000fe7400%xf (prio 0, i/o): r%x owner:{dev path=/machine/d}\n' "$i" "$i" "$i"
	done
	echo '  00000000fe740100-00000000fe7401ff (prio 0, i/o): r16 owner:{dev id=d}'
	printf '  00000000fee00000-00000000fee00fff (prio 0, i/o): %02000d owner:{dev id=d}\n\n' 0
} >"$T/long"
returns <"$T/long" >"$T/pretty"
serve "${talk[@]}" "$T/pretty"
ask npf -n 3 -o what
is 'many owners, and a long name: cut, and that it is' "$status:$out:$err" \
	"0:r0$(printf ' or r%x' {1..15}) or ..., at 0xfe740000
local APIC: $(printf '%0156d' 0)..., at 0xfee00000
$(printf '%0155d' 0) ..., at 0x80000:"

# --qmp needs a choice of one VM.
tree "$T/two" 2 1
vm two 1000-11 0x70
vm two 1001-11 0x71
mv "$T/tree" "$T/one"
mv "$T/two" "$T/tree"
refuses() {
	ask "${@:3}"
	is "$1" "$status:$out:$err" "1::exitdump: $2"
}
serve "${talk[@]}" "$T/answer"
refuses 'two VMs, and none is chosen' '--qmp: asks one VM, but there are 2 (choose one by --vm)'
serve "${talk[@]}" "$T/answer"
refuses 'two are chosen' '--qmp: asks one VM, but there are 2 (choose one by --vm)' --vm 'vm*'
serve "${talk[@]}" "$T/answer"
refuses 'none is' 'no VM web (exitdump list shows all VMs)' --vm web
serve "${talk[@]}" "$T/answer"
ask --vm vm1
is 'one is chosen: the socket may be of a process that is none' "$status:$out" "0:$(lines '0x71 RTC:~rtc,~out')"
serve "${talk[@]}" "$T/answer"
ask --vm 'vm1*' --all-vcpus -o vm
is 'and its vCPUs' "$status:$out$err" 0:1001-11
serve "${talk[@]}" "$T/answer"
mv "$T/tree/$kvm/1001-11" "$T/tree/$kvm/$server-11"
ask
is 'the VM that made the socket' "$status:$out" "0:$(lines '0x71 RTC:~rtc,~out')"
before=$server
serve "${talk[@]}" "$T/answer"
mv "$T/tree/$kvm/$before-11" "$T/tree/$kvm/$server-11"
mv "$T/tree/$kvm/1000-11" "$T/tree/$kvm/1000-13"
refuses 'another is chosen' "$T/s: belongs to VM $server-11, not to VM 1000-13" --vm 1000
before=$server
serve "${talk[@]}" "$T/answer"
mv "$T/tree/$kvm/$before-11" "$T/tree/$kvm/$server-11"
mv "$T/tree/$kvm/1000-13" "$T/tree/$kvm/$server-12"
refuses 'the process that made it has two' '--qmp: asks one VM, but there are 2 (choose one by --vm)'
rm -r "$T/tree/$kvm/$server"-1[12]
serve "${talk[@]}" "$T/answer"
refuses 'there is no VM' '--qmp: asks one VM, but there are 0 (choose one by --vm)'
rm -r "$T/tree"
mv "$T/one" "$T/tree"
# Slow exits have keys, too.
{
	lines '#~exit_cycles~1 vendor=svm tsc_khz=1000000 scope=vm monotonic=1 realtime=1' \
		'time vm vcpu cpu reason name key rip total'
	lines '1 1000 0 0 123 io 0x510 0x0 9000000'
} >"$T/tree/$kvm/1000-11/exit_cycles_slow"
serve "${talk[@]}" "$T/answer"
exitdump slow -S "$T/tree" --qmp "$T/s" --raw -o key,what </dev/null
wait "$server" 2>/dev/null || :
is 'slow --qmp' "$status:$out:$err" "0:$(lines '0x510 fw_cfg:~fwcfg,~out'):"
for args in "-i $T/x" -g; do
	# shellcheck disable=SC2086 # words
	exitdump why --qmp "$T/s" $args
	like "why --qmp $args: refused" "$status:$out:$err" '^1::exitdump: --'
done
exitdump --qmp "$T/s"
is '--qmp without keys: refused' "$status:$out:$err" '1::exitdump: --qmp: only with why, slow or --keys, and not with --input: it asks a VM that runs'
exitdump diff a b --keys --qmp "$T/s"
is 'diff --qmp: refused' "$status:$out:$err" '1::exitdump: --qmp: not with diff: it asks a VM that runs'

# No server answers.
fails() {
	exitdump why -S "$T/tree" --qmp "$2"
	like "$1" "$status:$out:$err" "^1::exitdump: $3$"
}
fails 'no socket' "$T/none" "$T/none: No such file or directory"
fails 'a file' "$T/map" "$T/map: Connection refused"
fails 'no name' '' '--qmp: its value is empty'
fails 'a long name' "/$(printf '%0200d' 0)" '/0*\.\.\.: File name too long for a socket'
fails 'a name that is one byte too long' "/$(printf '%0107d' 0)" '/0*\.\.\.: File name too long for a socket'
fails 'the longest name' "/$(printf '%0106d' 0)" '/0*: No such file or directory'

# Servers of all kinds. The file `line`, for printf %b, is the answer in place of the map.
no_qmp="$T/s: not a QMP socket \(start QEMU with -qmp unix:PATH,server=on,wait=off\)"
bad() {
	serve "${@:3}"
	ask
	like "$1" "$status:$out:$err" "^1::exitdump: $2$"
}
line() { printf %b "$3" >"$T/line"; bad "$1" "$2" "$T/hello" line "$T/ready" line "$T/line"; }
bad 'it closes' "$T/s: closed before it answered"
bad 'it closes behind its greeting' "$T/s: (closed before it answered|Connection reset by peer)" "$T/hello"
bad 'and before the map' "$T/s: (closed before it answered|Connection reset by peer)" "$T/hello" line "$T/ready" line
head -c 700 "$T/answer" >"$T/line"
bad 'and amid it' "$T/s: (closed before it answered|Connection reset by peer)" "$T/hello" line "$T/ready" line "$T/line"
printf '%s' 'QEMU 7.2.22 monitor - type "help" for more information\n(qemu) ' >"$T/line"
bad 'another monitor' "$no_qmp" "$T/line"
bad 'no greeting' "$no_qmp" "$T/ready"
head -c 100000 /dev/zero >"$T/zeros"
bad 'zeros' "$no_qmp" "$T/zeros"
bad 'an endless text' "$no_qmp" flood
tr '\0' '{' <"$T/zeros" >"$T/line"
bad 'brackets, and it closes' "$T/s: closed before it answered" "$T/line"
printf '{"QMP": "' >"$T/line"
bad 'an endless string' "$T/s: the answer is larger than 16 MiB" "$T/line" flood
awk '{ for (i = 0; i < 200000; i++) print }' "$T/event" >"$T/line"
bad 'endless events' "$T/s: the answer is larger than 16 MiB" "$T/hello" line "$T/ready" line "$T/line"
line 'an error' "$T/s: QEMU refuses: no \?\[2J\?such command" '{"error": {"class": "CommandNotFound", "desc": "no \\u001b[2J\\nsuch command"}}'
line 'an error that is none' "$no_qmp" '{"error": {"class": 1}}'
line 'an error of 100 kB' "$T/s: QEMU refuses: 0{200}" "{\"error\": {\"desc\": \"$(printf '%0100000d' 0)\"}}"
for text in '{}' '{"return": {}}' '{"return": 1}' '{"return": }' '{"return" "a"}' '{"return"}' '{"x": 1 "return": "a"}' \
	'{return: "a"}' '{"return": "\\q"}' '{"return": "\\u12"}' '{"return": "\\u00g0"}' '{"return": "\\u000g"}' '{,"return": "a"}' \
	'{"xreturn": "a"}' '{"return ": "a"}' '{"x": {"return": "a"}}' '[]' '"return"' 'null' '{"x": \0"return": "a"}'; do
	line "$text" "$no_qmp" "$text"
done
line 'no map' "$T/s: QEMU's .info mtree -f -o. lacks a complete map of memory and I/O \(it needs QEMU 3 or later\)" \
	'{"return": "info mtree: extraneous characters\\r\\n"}'
serve hang
ask
like 'it says nothing' "$status:$out:$err" "^1::exitdump: $T/s: no answer within 5 seconds \([^)]*\)$"
serve "$T/hello" line drip
ask
like 'it says little' "$status:$out:$err" "^1::exitdump: $T/s: no answer within 5 seconds \([^)]*\)$"
serve full
run timeout 20 "$EXITDUMP" why -S "$T/tree" --qmp "$T/s"
kill "$server"
is 'it lets nobody in' "$status:$out:$err" "1::exitdump: $T/s: Resource temporarily unavailable"

# mapped TITLE SED: a map with this change is refused.
mapped() {
	sed "$2" "$T/map" | returns >"$T/line"
	bad "$1: refused" "$T/s: QEMU's .info mtree -f -o. (has|lacks) [^"$'\n'"]*" "$T/hello" line "$T/ready" line "$T/line"
}
mapped 'no I/O' 's/"I.O"/"X"/'
mapped 'no memory' 's/"memory"/"X"/'
mapped 'I/O twice' 's/"virtio-net-pci"/"I\/O"/; s/No rendered.*/&/'
mapped 'memory twice' 's/"cpu-smm-0"/"memory"/'
mapped 'memory twice, with other ranges' 's/"cpu-smm-0"/"memory"/; s/^  0000000000000000-00000000000bffff/  00000000fef00000-00000000feffffff/'
mapped 'memory and I/O as one' 's/"cpu-memory-0"/"I\/O"/'
mapped 'ranges that fall' 's/-0000000000000511/-000000000000c040/'
mapped 'ranges that share an address' 's/-0000000000000511/-0000000000000512/'
mapped 'a range that ends before it begins' 's/-000000000000007f/-000000000000007e/'
mapped 'an address that is none' 's/ 000000000000007f/ 00000000000007f/'
mapped 'or none of 64 bits' 's/ 000000000000007f/ 000000000000007F/'
mapped 'no kind' 's/(prio 0, i.o): fwcfg/fwcfg/'
mapped 'no name' 's/: fwcfg/: /'
mapped 'no owner' 's/fwcfg owner.*/fwcfg/'
mapped 'views without a line between them' '/^$/d'
size=$(wc -c <"$T/map") wrong='' cut=0
for ((i = 20; i < size; i += 41 - i % 3)); do
	head -c "$i" "$T/map" | string | sed 's/\\r\\n$//' >"$T/cut"
	printf '{"return": "%s"}' "$(<"$T/cut")" >"$T/line"
	serve "$T/hello" line "$T/ready" line "$T/line"
	ask
	[[ $status:$out == 1: && $(wc -l <"$T/.err") == 1 || $status:$out:$err == "0:$right:" ]] || wrong+="$i: $status:$out:$err"$'\n'
	((++cut))
done
is "a map that is cut off, at $cut places" "$wrong" ''

# The real QEMU.
if ! command -v qemu-system-x86_64 >/dev/null; then
	skip 'QEMU' 'qemu-system-x86_64 is not installed'
	done_testing
fi
rm -f "$T/s"
qemu-system-x86_64 -M q35 -accel tcg -S -display none -nodefaults -m 32 \
	-device isa-debugcon,id=dbg0,chardev=none -chardev null,id=none \
	-qmp "unix:$T/s,server=on,wait=off" 2>"$T/qemu.log" &
server=$!
trap 'kill "$server" 2>/dev/null || :; tap_end' EXIT
for ((i = 0; i < 300; i++)); do
	[[ -S $T/s ]] && break
	sleep 0.1
done
mv "$T/tree/$kvm/1000-11" "$T/tree/$kvm/$server-11"
vm tree "$server-11" 0x10510 0xe9 0x10071 0x1234 page 0xfee00 0xfec00 0xfe740
for i in 1 2; do
	exitdump why -S "$T/tree" --qmp "$T/s" --raw -o what
	is "QEMU's own answer ($i)" "$status:$out:$err" '0:fw_cfg: fwcfg, in
debug console: isa-debugcon of dbg0, out
RTC: rtc, in
unassigned, out
local APIC: apic-msi, at 0xfee00000
I/O APIC: ioapic, at 0xfec00000
unassigned, at 0xfe740000:'
done
[[ ! -s $T/qemu.log ]] || note "$(<"$T/qemu.log")"

done_testing

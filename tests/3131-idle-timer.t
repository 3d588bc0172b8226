#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump list tells an idle VM of real QEMU whose guest left the HPET running, with
# nobody to take its interrupts, from an equally idle VM without it. The difference is the CPU
# time of QEMU's main loop for the timer; the vCPU's thread takes almost none.
# shellcheck disable=SC2016 # what stands in quotes is for the shell in the lab
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "$TOP/tests/fixtures/exitdump.sh"

"$TOP/scripts/kernel.sh" build >&2

# disk FILE [AS-OPTION...]: makes a disk of one sector, which writes K to the serial port and
# halts for ever. With HPET defined, it first sets the timer to 1000 a second.
disk() {
	as --32 "${@:2}" -o "$T/sector.o" - <<'EOF'
	.code16
	cli
	xor %ax, %ax
	mov %ax, %ds
	.ifdef HPET
	lgdt gdtr
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	mov $8, %bx
	mov %bx, %fs			# from here on fs reaches all of memory
	and $0xfe, %al
	mov %eax, %cr0
	mov $0xfed00000, %edi
	movl $0, %fs:0x10(%edi)
	movl $0x14c, %fs:0x100(%edi)	# 32 bits, periodic, with interrupts
	movl $100000, %fs:0x108(%edi)	# in units of 10 ns
	movl $1, %fs:0x10(%edi)
	.endif
	mov $0x3f8, %dx
	mov $'K', %al
	out %al, %dx
	mov $'\n', %al
	out %al, %dx
1:	hlt
	jmp 1b
gdtr:	.word 15
	.long gdt
gdt:	.quad 0, 0x00cf92000000ffff
	.org 510
	.word 0xaa55
EOF
	ld -m elf_i386 -Ttext 0x7c00 --oformat binary -e 0x7c00 -o "$1" "$T/sector.o"
	truncate -s 1M "$1"
}
disk "$T/idle"
disk "$T/timer" --defsym HPET=1

cat >"$T/vms" <<'EOF'
export TMPDIR=/tmp/vms
mkdir $TMPDIR
for disk in idle timer; do
	run-vm.sh -f seabios -c 1 -m 64 -d $disk -- -name $disk </dev/null >$disk.out 2>&1 &
	until grep -q ^K $disk.out; do sleep 0.2; done
done
sleep 1
exitdump list 4 1 --csv -o vmname,vmmcpu,vcpucpu,busiest
exitdump list 4 1 >&2
kill %1 %2
wait
EOF
# A VM that boots in QEMU's TCG sometimes hangs (README, Limits).
for seconds in 150 300 450; do
	run "$TOP/scripts/lab.sh" -m svm -t "$seconds" -a "$(type -P bash)" -a "$(type -P qemu-system-x86_64)" \
		-a /usr/share/seabios/bios-256k.bin -a /usr/share/qemu/kvmvapic.bin \
		-a "$VIRTIO_ROM" -a "$TOP/scripts/run-vm.sh" -a "$TOP/scripts/common.sh" \
		-a "$EXITDUMP" -a "$T/idle" -a "$T/timer" -a "$T/vms" -- bash vms
	((status == 243)) || break
done
note "$err"
is 'both run' "$status" 0

# of VM FIELD: prints the value in thousandths of a CPU.
of() {
	awk -F, -v vm="$1" -v field="$2" '$1 == vm { printf "%d", $field * 1000 }' "$T/.out"
}
ok "the main loop of the VM with a timer: $(of timer 2) per mill of a CPU, without $(of idle 2)" \
	test "$(of timer 2)" -ge 20 -a "$(of timer 2)" -ge $(($(of idle 2) * 3))
ok "its vCPU: $(of timer 3)" test "$(of timer 3)" -le $(($(of timer 2) / 2))
like 'by name' "$(grep '^timer,' "$T/.out")" 'qemu-system-x86'

done_testing

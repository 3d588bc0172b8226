#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: run-vm.sh boots a Linux to user space with the ordinary cpuid program in it, or a
# disk image, in a VM of real QEMU. It takes no more memory than the host has, and says so.
# Each mistake gives one line.
# shellcheck disable=SC2016 # what stands in quotes is for the shell in the lab
. "${BASH_SOURCE[0]%/*}/lib.sh"

"$TOP/scripts/kernel.sh" build >&2
run "$TOP/scripts/guest/initrd.sh" "$T/initrd" sh -c 'cpuid -1 -l 0x40000000; dmesg | grep -c "Linux version"'
is "initrd.sh makes an initrd" "$status $err" '0 '
run "$TOP/scripts/guest/initrd.sh" -a no-such-file "$T/none"
is "and none of a file that is not there" "$status $err" '1 initrd.sh: no-such-file: no such file, or not readable'
ok "and leaves nothing half-written" test ! -e "$T/none" -a ! -e "$T/none.new"

# A disk of one sector: writes K and a newline to the serial port, then resets.
{
	printf '\xba\xf8\x03\xb0K\xee\xb0\n\xee\xb0\xfe\xe6\x64\xf4\xeb\xfd'
	head -c 494 /dev/zero
	printf '\x55\xaa'
	head -c 1048064 /dev/zero
} >"$T/disk"

cat >"$T/vms" <<'EOF'
export TMPDIR=/tmp/vms
mkdir $TMPDIR
try() {
	echo "== $1"
	shift
	run-vm.sh "$@" </dev/null 2>&1 | grep -v 'warning: Number of'
}
try kernel -k bzImage -i initrd -m 256
try disk -d disk -m 128
try default -d disk
echo "== stopped"
run-vm.sh -d disk -m 128 -- -S </dev/null >/dev/null 2>&1 &
sleep 3
kill $!
wait $!
echo $?
try firmware -f coreboot
try memory -m much
try none -k no-such-kernel
try both -k bzImage -d disk
try option -q
lab-modules unload
try kvm -d disk
echo "== left"
ls $TMPDIR
pidof qemu-system-x86_64
EOF
# A VM that boots in QEMU's TCG sometimes hangs (README, Limits).
for seconds in 150 300 450; do
	run "$TOP/scripts/lab.sh" -m svm -s stock -t "$seconds" -a "$(type -P bash)" -a "$(type -P qemu-system-x86_64)" \
		-a /usr/share/seabios/bios-256k.bin -a /usr/share/qemu/kvmvapic.bin -a /usr/share/qemu/linuxboot_dma.bin \
		-a "$VIRTIO_ROM" -a "$TOP/scripts/run-vm.sh" -a "$TOP/scripts/common.sh" \
		-a "$CACHE/$(default_kernel)/out/bzImage" -a "$T/initrd" -a "$T/disk" -a "$T/vms" \
		-- bash vms
	((status == 243)) || break
done
note "$err"

# part NAME: prints the output of that part.
part() {
	awk -v name="$1" '/^== / { on = $2 == name; next } on' <<<"$out" | tr -d '\r'
}

like "a kernel boots to user space" "$(part kernel)" 'guest: Linux 6.* is up, booted by BIOS, 2 CPUs'
like "where the cpuid program runs, under KVM" "$(part kernel)" 'hypervisor_id \(0x40000000\) = "KVMKVMKVM'
like "and a command with its words" "$(part kernel)" $'\n1\nguest: sh ended with status 0'
like "a disk image boots" "$(part disk)" 'K$'
like "2048 MiB, or what there is" "$(part default)" 'run-vm.sh: 2048 MiB is more than this host can give: the VM gets [0-9]* MiB'
is "ended by a signal" "$(part stopped)" 143
is "no such firmware" "$(part firmware)" 'run-vm.sh: -f coreboot: no such firmware (one of: seabios ovmf)'
is "no such amount" "$(part memory)" 'run-vm.sh: -m much: not a number above 0'
like "no such kernel" "$(part none)" 'run-vm.sh: no-such-kernel: no such file, or not readable$'
is "both a kernel and a disk" "$(part both)" 'run-vm.sh: -d: not together with -k, -i and -p'
is "no such option" "$(part option)" 'run-vm.sh: -q: no such option, or its value is missing (-h shows the usage)'
like "no KVM" "$(part kvm)" '^run-vm.sh: /dev/kvm: No such device \(load kvm-intel'
is "no file and no process stays" "$(part left)" ''

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the tools' disk of run-vm.sh mounts by its label in a guest that has none of our
# files (here with Debian's own kernel). The tools on it run there and read the guest's
# account. OVMF boots a disk; run-vm.sh refuses a file that cannot be one.
. "${BASH_SOURCE[0]%/*}/lib.sh"

run "$TOP/scripts/source/stock.sh"
if ((status)); then
	# this machine cannot fetch the packages
	[[ $status != 3 && $err != *apt-get* ]] || skip_all "$(tail -n 1 <<<"$err")"
	is stock.sh "$status $err" "0 "
	done_testing
fi
stock=$out
version=$(<"$stock/version")
make -s -C "$TOP/tools" BUILD="$T/build" PROG="$T/exitdump"

# The guest: Debian's kernel and the modules for such a disk. Only the disk has the C library's
# loader.
mkdir "$T/modules"
for name in virtio{,_ring,_pci_legacy_dev,_pci_modern_dev,_pci,_blk} fat vfat nls_cp437 nls_ascii; do
	find "$stock/lab/lib/modules" -name "$name.ko*" -exec cp {} "$T/modules/" \;
done
find "$T/modules" -name '*.xz' -exec xz -d {} +
cat >"$T/look" <<'EOF'
for round in 1 2 3; do
	for module in modules/*.ko; do
		insmod $module 2>/dev/null
	done
done
mv /usr/lib64 /usr/lib64.away
disk=$(findfs LABEL=EXITTOOLS)
mount -o ro -t vfat "$disk" /root && ls /root
touch /root/new
sh /root/cpuid.sh -1 -l 0x40000000
sh /root/exitdump.sh --guest
EOF
"$TOP/scripts/guest/initrd.sh" -a "$T/modules" -a "$T/look" "$T/initrd" sh look

ovmf=()
[[ ! -r /usr/share/OVMF/OVMF_CODE_4M.fd || ! -r "$VIRTIO_ROM" ]] || ovmf=(-a /usr/share/OVMF/OVMF_CODE_4M.fd -a /usr/share/OVMF/OVMF_VARS_4M.fd
	-a "$VIRTIO_ROM")
head -c 1048576 /dev/zero >"$T/disk"
{ printf 'KDMV'; head -c 1020 /dev/zero; } >"$T/disk.vmdk"
cat >"$T/vms" <<'EOF'
try() {
	echo "== $1"
	shift
	run-vm.sh "$@" </dev/null 2>&1 | grep -v 'warning: Number of'
}
try tools -f seabios -t -c 1 -m 512 -k bzImage -i initrd
try folder -d /root
try none -d no-such-disk
try vmdk -d disk.vmdk
echo "== default"
run-vm.sh -d disk -m 128 -- -S </dev/null >/dev/null 2>&1 &
i=0
until pidof qemu-system-x86_64 >/dev/null || [ $((i += 1)) -gt 60 ]; do sleep 1; done
sleep 3 # if it could not start, it has ended by now
tr "\0" " " </proc/$(pidof qemu-system-x86_64)/cmdline
kill $!
wait $!
EOF
run "$TOP/scripts/lab.sh" -m svm -M 1536 -t 300 -a "$(type -P bash)" -a "$(type -P qemu-system-x86_64)" \
	-a /usr/share/seabios/bios-256k.bin -a /usr/share/qemu/kvmvapic.bin -a /usr/share/qemu/linuxboot_dma.bin \
	-a "$TOP/scripts/run-vm.sh" -a "$TOP/scripts/common.sh" -a "$(type -P ldd)" -a "$(type -P cpuid)" -a "$T/exitdump" \
	-a "$stock/lab/bzImage" -a "$T/initrd" -a "$T/disk.vmdk" -a "$T/disk" \
	"${ovmf[@]}" -a "$T/vms" -- bash vms
note "$err"

# part NAME: prints the output of that part.
part() {
	awk -v name="$1" '/^== / { on = $2 == name; next } on' <<<"$out" | tr -d '\r'
}

like "Debian's kernel boots in it" "$(part tools)" "guest: Linux ${version//+/[+]} is up"
like "the disk mounts by its label" "$(part tools)" $'(^|[ \n])exitdump[.]sh($|[ \n])'
like "read-only" "$(part tools)" 'touch: /root/new: Read-only file system'
like "cpuid runs from it" "$(part tools)" 'hypervisor_id \(0x40000000\) = "KVMKVMKVM'
like "exitdump as well: the guest's own account" "$(part tools)" $'\n(CPUID|cpuid) +[0-9]'
like "in a table" "$(part tools)" $'\nTOTAL '
note "$(part tools)"
is "a folder is no disk" "$(part folder)" 'run-vm.sh: /root: no such disk image'
is "nor is nothing" "$(part none)" 'run-vm.sh: no-such-disk: no such disk image'
is "an image of another format" "$(part vmdk)" \
	'run-vm.sh: disk.vmdk: neither raw nor qcow2 (qemu-img convert -O qcow2 disk.vmdk NEW)'
if [[ ${ovmf[*]} ]]; then
	like "a disk is booted by OVMF where that is installed" "$(part default)" "if=pflash.*-drive file=/lab/disk,format=raw"
else
	skip "a disk is booted by OVMF where that is installed" "no OVMF here"
fi

done_testing

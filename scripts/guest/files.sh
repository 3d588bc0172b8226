# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# files.sh - the files with which a VM in a lab is started. Sourced after common.sh.

# bring_vm BZIMAGE INITRD FIRMWARE [FILE]...: sets `bring`, options of lab.sh that bring the
# files which run-vm.sh needs to start such a guest (bash included), and the FILEs.
bring_vm() {
	local file qemu=/usr/share/qemu roms=(/usr/share/seabios/bios-256k.bin)
	[[ $3 != ovmf ]] || roms+=(/usr/share/OVMF/OVMF_{CODE,VARS}_4M.fd)
	bring=()
	for file in "$(type -P bash)" "$(type -P qemu-system-x86_64)" "$TOP"/scripts/{common,run-vm}.sh \
		"$1" "$2" "${roms[@]}" "$qemu"/{kvmvapic,linuxboot_dma}.bin "${@:4}"; do
		bring+=(-a "$file")
	done
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# cloud.sh - for tests with the Debian of scripts/guest/debian.sh in a VM of the lab.
# Sourced after lib.sh.
#
#	in_guest_lab <<'EOF'		commands for bash, in the words of cloud-inside.sh
#	debian a
#	EOF
#	mkdir "$T/seed"			what the guest finds in /run/seed
#	boot_guest_lab LAB		as boot

[[ $STRESS_SIZE != small ]] || skip_all "minutes, so not in the small form"
MACHINES=svm
((EUID == 0)) || skip_all "only root can make the guest's disk"
type -P debootstrap >/dev/null || skip_all "debootstrap is not installed"
. "$TOP/tests/lab/labs.sh"
. "$TOP/tests/fixtures/exitdump.sh"
guest=$("$TOP/scripts/guest/debian.sh")

in_guest_lab() {
	{
		echo '. ./words; . ./cloud-inside.sh'
		cat
	} >"$T/guest-commands"
	in_lab <<<'bash ./guest-commands'
}

boot_guest_lab() {
	local one=$1 file
	shift
	mkdir -p "$T/seed"
	for file in "$(type -P bash)" "$(type -P qemu-system-x86_64)" "$EXITDUMP" "$VIRTIO_ROM" /usr/share/seabios/bios-256k.bin \
		/usr/share/qemu/{kvmvapic,linuxboot_dma}.bin "$guest"/{vmlinuz,initrd,disk,append} \
		"$TOP/tests/lab/cloud-inside.sh" "$T/guest-commands" "$T/seed"; do
		set -- "$@" -a "$file"
	done
	boot "$one" -M 3072 -t 2400 "$@"
}

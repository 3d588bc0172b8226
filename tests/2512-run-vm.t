#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: run-vm.sh starts no VM if it does not understand its command line, with or without
# KVM on this machine. Options after -- go to QEMU.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# A stand-in for QEMU that prints its arguments.
mkdir "$T/bin"
printf '#!/bin/sh\necho "QEMU $*"\n' >"$T/bin/qemu-system-x86_64"
chmod +x "$T/bin/qemu-system-x86_64"
PATH=$T/bin:$PATH
: >"$T/kernel"

refused() { # WORD ARGUMENT...
	run "$TOP/scripts/run-vm.sh" "${@:2}"
	is "refused: ${*:2}" "$status:$out:$err" \
		"1::run-vm.sh: $1: not understood (a disk image goes behind -d, QEMU's own options behind --)"
}
refused disk.img disk.img
refused disk.img -c 1 -m 128 disk.img
refused disk.img disk.img -m 128
refused disk.img disk.img -- -S
refused '' ''

taken() { # REGEX ARGUMENT...
	local title="taken: ${*:2}"
	run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -k "$T/kernel" -i "$T/kernel" "${@:2}"
	if [[ -r /dev/kvm && -w /dev/kvm ]]; then
		like "$title" "$status:$out" "^0:QEMU $1"
	else
		like "$title, but for KVM" "$status:$out:$err" '^1::run-vm.sh: /dev/kvm: '
	fi
}
taken '.*console=ttyS0 quiet panic=-1 $'
taken '.*panic=-1 $' --
taken '.* -S$' -- -S
taken '.* -device pvpanic -- x$' -- -device pvpanic -- x

if [[ ! -r /dev/kvm || ! -w /dev/kvm ]]; then
	skip 'disks and memory' 'no /dev/kvm here'
	done_testing
fi

# QEMU gives commas and colons a meaning of its own.
mkdir "$T/a:b"
: >"$T/a:b/c,snapshot=off"
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -d "$T/a:b/c,snapshot=off"
like 'a disk of an odd name' "$status:$out" "^0:QEMU .* -drive file=$T/a:b/c,,snapshot=off,format=raw,if=virtio "
for magic in KDMV COWD vhdxfile conectix '<<< Oracle'; do
	printf '%s and more' "$magic" >"$T/disk"
	run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -d "$T/disk"
	is "a disk that begins with $magic is not written to" "$status:$out:$err" \
		"1::run-vm.sh: $T/disk: neither raw nor qcow2 (qemu-img convert -O qcow2 $T/disk NEW)"
done
printf 'QFI\373' >"$T/disk"
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -d "$T/disk"
like 'qcow2 is known' "$status:$out" "^0:QEMU .*file=$T/disk,format=qcow2,"
run "$TOP/scripts/run-vm.sh" -f seabios -m 9999999 -k "$T/kernel" -i "$T/kernel"
like 'no more memory than there is' "$status:$out:$err" \
	'^0:QEMU .* -m ([0-9]{2,6}) .*:run-vm.sh: 9999999 MiB is more than this host can give: the VM gets [0-9]{2,6} MiB$'

done_testing

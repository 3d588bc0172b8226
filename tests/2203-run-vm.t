#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: run-vm.sh starts no VM of a command line that it does not understand,
# whether there is KVM here or not; what stands behind -- is QEMU's.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# A QEMU that says what it was asked for.
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

done_testing

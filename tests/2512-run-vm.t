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
for option in -k -i -p; do
	run "$TOP/scripts/run-vm.sh" -d disk $option x
	is "refused: -d with $option" "$status:$out:$err" '1::run-vm.sh: -d: not together with -k, -i and -p'
done
for option in -c -m; do
	run "$TOP/scripts/run-vm.sh" $option 0
	is "refused: $option 0" "$status:$out:$err" "1::run-vm.sh: $option 0: not a number above 0"
done

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
# root may write to any file, but not without its rights
rights=()
((EUID)) || rights=(setpriv --bounding-set=-all --inh-caps=-all)
chmod 400 "$T/disk"
run "${rights[@]}" "$TOP/scripts/run-vm.sh" -f seabios -m 1 -d "$T/disk"
is 'a disk that cannot be written to' "$status:$out:$err" "1::run-vm.sh: $T/disk: Permission denied (the VM writes to its disk)"
cd "$T/a:b"
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -d c,snapshot=off
like 'nor is a disk here taken for one elsewhere' "$status:$out" "^0:QEMU .* -drive file=$T/a:b/c,,snapshot=off,"
cp -R "$TOP/scripts" "$T/scripts"
sed -i "s,/proc/meminfo,$T/meminfo," "$T/scripts/run-vm.sh"
echo 'MemAvailable: 307200 kB' >"$T/meminfo"
run "$T/scripts/run-vm.sh" -f seabios -k "$T/kernel" -i "$T/kernel"
is 'nor a VM that has hardly any' "$status:$out:$err" '1::run-vm.sh: only 300 MiB of memory free, too little for a VM'
run "$TOP/scripts/run-vm.sh" -f seabios -m 9999999 -k "$T/kernel" -i "$T/kernel"
like 'no more memory than there is' "$status:$out:$err" \
	'^0:QEMU .* -m ([0-9]{2,6}) .*:run-vm.sh: 9999999 MiB is more than this host can give: the VM gets [0-9]{2,6} MiB$'

if [[ -r /usr/share/OVMF/OVMF_VARS_4M.fd ]]; then
	run "$TOP/scripts/run-vm.sh" -f ovmf -m 1 -k "$T/kernel" -i "$T/kernel"
	unlike "the firmware's own variables are not written to" "$out" 'format=raw,file=/usr/share'
else
	skip "the firmware's own variables" 'ovmf is not installed'
fi

printf '#!/bin/sh\nexit 7\n' >"$T/bin/qemu-system-x86_64"
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -k "$T/kernel" -i "$T/kernel"
is "QEMU's status" "$status" 7
# shellcheck disable=SC2016 # the stand-in expands it
printf '#!/bin/bash\ntrap "echo ended; exit" TERM\ntouch %s\nfor ((i = 0; i < 200; i++)); do sleep 0.05; done\n' "$T/runs" >"$T/bin/qemu-system-x86_64"
"$TOP/scripts/run-vm.sh" -f seabios -m 1 -k "$T/kernel" -i "$T/kernel" >"$T/vm" &
vm=$!
until [[ -e $T/runs ]]; do sleep 0.02; done
kill "$vm"
status=0
wait "$vm" || status=$?
is 'a signal ends the VM, too' "$status:$(<"$T/vm")" 143:ended

done_testing

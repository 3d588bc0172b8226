#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: run-vm.sh starts the VM that its usage promises, and none if it does not understand
# its command line, or has no KVM. Options after -- go to QEMU. Disks and firmware are not
# mistaken, and nothing stays. The test has stand-ins for QEMU and /dev/kvm.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# A stand-in for QEMU that prints its arguments, and keeps the tools' disk.
mkdir "$T"/{bin,tmp}
cat >"$T/bin/qemu-system-x86_64" <<END
#!/bin/bash
echo "QEMU \$*"
[[ \$* != *file=fat:* ]] || cp -R "\$(sed 's/.*file=fat:ro:\([^,]*\),.*/\1/' <<<"\$*")" "$T/disk.tools"
END
chmod +x "$T/bin/qemu-system-x86_64"
PATH=$T/bin:$PATH
: >"$T/kernel"
cp -R "$TOP/scripts" "$T/"
sed -i "s,\(-[crw]\) /dev/kvm ,\1 $T/kvm ,g" "$T/scripts/run-vm.sh"
TOP=$T
export TMPDIR=$T/tmp

run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -k "$T/kernel" -i "$T/kernel"
like 'no KVM: one line' "$status:$out:$err" '^1::run-vm.sh: /dev/kvm: No such device [^'$'\n'']*$'
ln -s /dev/null "$T/kvm"

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
	like "$title" "$status:$out" "^0:QEMU $1"
}
taken '.*console=ttyS0 quiet panic=-1 $'
is 'all that QEMU gets' "$out" "QEMU -name exit_cycles -accel kvm -cpu host -smp 2 -m 1 -nodefaults -no-user-config -display none -no-reboot -serial mon:stdio -kernel $T/kernel -initrd $T/kernel -append console=ttyS0 quiet panic=-1 "
taken '.*panic=-1 $' --
taken '.* -S$' -- -S
taken '.* -device pvpanic -- x$' -- -device pvpanic -- x

taken '.* -smp 2 -m 1 .*panic=-1 $'
taken '.* -smp 5 .*panic=-1 two words$' -c 5 -p 'two words'
LAB_MACHINE=svm taken '.*panic=-1 noxsave $'
ok 'no disk that nobody asked for' test ! -e "$T/disk.tools"
is 'nothing stays' "$(ls -A "$T/tmp")" ''

# The tools' disk: each program starts by its script, with the libraries beside it.
cp "$(type -P echo)" "$T/bin/cpuid"
for option in "-t -k $T/kernel -i $T/kernel" "-d $T/kernel"; do
	rm -rf "$T/disk.tools"
	# shellcheck disable=SC2086 # words
	run "$TOP/scripts/run-vm.sh" -f seabios -m 1 $option
	like "${option%% *}: the tools' disk" "$status:$out" '^0:QEMU .*fat:ro:.*,label=EXITTOOLS,read-only=on'
	is "${option%% *}: with programs that start" "$(sh "$T/disk.tools/cpuid.sh" it starts 2>&1)" 'it starts'
done

# QEMU gives commas and colons a meaning of its own.
mkdir "$T/a:b"
: >"$T/a:b/c,snapshot=off"
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -d "$T/a:b/c,snapshot=off"
like 'a disk of an odd name' "$status:$out" "^0:QEMU .* -drive file=$T/a:b/c,,snapshot=off,format=raw,if=virtio -nic user,model=virtio-net-pci "
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -d "$T/none"
is 'no disk there' "$status:$out:$err" "1::run-vm.sh: $T/none: no such disk image"
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
sed "s,/proc/meminfo,$T/meminfo," "$T/scripts/run-vm.sh" >"$T/scripts/meminfo.sh"
echo 'MemAvailable: 307200 kB' >"$T/meminfo"
run bash "$T/scripts/meminfo.sh" -f seabios -k "$T/kernel" -i "$T/kernel"
is 'nor a VM that has hardly any' "$status:$out:$err" '1::meminfo.sh: only 300 MiB of memory free, too little for a VM'
echo 'MemAvailable: 4194304 kB' >"$T/meminfo"
run bash "$T/scripts/meminfo.sh" -f seabios -k "$T/kernel" -i "$T/kernel"
like 'where there is enough: 2048 MiB' "$status:$err:$out" '^0::QEMU .* -m 2048 '
run "$TOP/scripts/run-vm.sh" -f seabios -m 9999999 -k "$T/kernel" -i "$T/kernel"
like 'no more memory than there is' "$status:$out:$err" \
	'^0:QEMU .* -m ([0-9]{2,6}) .*:run-vm.sh: 9999999 MiB is more than this host can give: the VM gets [0-9]{2,6} MiB$'
is 'and it gets what is said' "$(grep -oE ' -m [0-9]+' <<<"$out" | tr -dc 0-9)" "$(grep -oE 'gets [0-9]+' <<<"$err" | tr -dc 0-9)"

if [[ -r /usr/share/OVMF/OVMF_VARS_4M.fd ]]; then
	run "$TOP/scripts/run-vm.sh" -f ovmf -m 1 -k "$T/kernel" -i "$T/kernel"
	unlike "the firmware's own variables are not written to" "$out" 'format=raw,file=/usr/share'
else
	skip "the firmware's own variables" 'ovmf is not installed'
fi

sed "s,/usr/share/OVMF,$T/none,g" "$T/scripts/run-vm.sh" >"$T/scripts/bare.sh"
run bash "$T/scripts/bare.sh" -f ovmf -m 1 -k "$T/kernel" -i "$T/kernel"
is 'no OVMF here' "$status:$out:$err" "1::bare.sh: $T/none/OVMF_CODE_4M.fd: no such file (apt-get install ovmf, or -f seabios)"
sleep 60 &
qemu=$! run bash "$T/scripts/bare.sh" -f ovmf -m 1 -k "$T/kernel" -i "$T/kernel"
ok 'then no process is ended that is not its own' kill $!
FIRMWARE='' run bash "$T/scripts/bare.sh" -m 1 -k "$T/kernel" -i "$T/kernel"
like 'then SeaBIOS, if nobody asks' "$status:$err:$out" '^0::QEMU '

# Without -k and -i: the lab's kernel, and an initrd with exitdump, both made here.
mkdir -p "$T"/{tools,patches/6.1}
for script in deps kernel guest/initrd; do
	printf '#!/bin/sh\necho "%s $*" >>%s\nfor last; do :; done\n' "$script" "$T/made" >"$T/scripts/$script.sh"
done
echo "mkdir -p '$T/cache/exit_cycles/6.1/out' && : >'$T/cache/exit_cycles/6.1/out/bzImage'" >>"$T/scripts/kernel.sh"
# shellcheck disable=SC2016 # the stand-in expands it
echo ': >"$last"' >>"$T/scripts/guest/initrd.sh"
cp "$T/bin/cpuid" "$T/tools/exitdump"
XDG_CACHE_HOME=$T/cache run "$TOP/scripts/run-vm.sh" -f seabios -m 1
like 'no kernel, no initrd: made here' "$status:$out" "^0:QEMU .* -kernel $T/cache/exit_cycles/6.1/out/bzImage -initrd $T/tmp/[^ ]*/initrd "
is 'by these scripts, with exitdump' "$(sed 's, [^ ]*/initrd$, INITRD,' "$T/made" | paste -sd,)" \
	"deps lab,kernel -k 6.1 build,guest/initrd -a $T/tools/exitdump INITRD"
chmod -x "$T/scripts/guest/initrd.sh"
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -k "$T/kernel"
is 'an initrd that cannot be made: told' "$status:$out:$err" '1::run-vm.sh: no -i INITRD, and no scripts/guest/initrd.sh here to make one'

for option in -k -i; do
	run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -k "$T/kernel" -i "$T/kernel" $option none
	is "$option: no such file" "$status:$out:$err" '1::run-vm.sh: none: no such file, or not readable'
done

printf '#!/bin/sh\ncat\n' >"$T/bin/qemu-system-x86_64"
run "$TOP/scripts/run-vm.sh" -f seabios -m 1 -k "$T/kernel" -i "$T/kernel" <<<'what is typed'
is "what is typed here, the VM's console gets" "$status:$out" '0:what is typed'
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

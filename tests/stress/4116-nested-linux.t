#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a Linux in QEMU in a Debian in QEMU boots and shuts down. The outer host's account has
# exactly the exits of the inner Linux, marked L2. Nothing warns on any level.
# Stress: svm
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab/cloud.sh"

seed=$T/seed
mkdir -p "$seed/lib"
gcc -static -O2 -o "$T/probe" -x c - <<'END'
#include <cpuid.h>

int main(void)
{
	unsigned int a, b, c, d, n;

	for (n = 0; n < 23; n++)
		__cpuid_count(0x5eed0001, 0, a, b, c, d);
	return 0;
}
END
"$TOP/scripts/guest/initrd.sh" -a "$T/probe" "$seed/initrd" sh -c './probe; dmesg | grep -E "WARNING|BUG|Oops|Call Trace"; echo probed'
cp "$guest/vmlinuz" "$(type -P qemu-system-x86_64)" /usr/share/seabios/bios-256k.bin /usr/share/qemu/{kvmvapic,linuxboot_dma}.bin "$seed/"
# this machine's libraries: the guest may be another Debian
ldd "$seed/qemu-system-x86_64" | grep -o '/[^ ]*' | xargs cp -Lt "$seed/lib"

in_guest_lab <<'EOF'
[[ $LAB_MACHINE != svm ]] || quirk=noxsave
debian outer init=/usr/local/sbin/seed quiet -- -m 640
up outer
tell outer "modprobe kvm-amd; ls /dev/kvm"
section inner
tell outer "lib/ld-linux* --library-path lib ./qemu-system-x86_64 -L . -accel kvm -cpu host -m 192 -nodefaults -no-user-config \
	-no-reboot -display none -serial stdio -kernel vmlinuz -initrd initrd -append 'console=ttyS0 quiet panic=-1 $quirk' </dev/null"
echo "status $?"
still outer vm "$(folder outer)"
section outer
tell outer 'dmesg | grep -E "WARNING|BUG|Oops|Call Trace|stall|lockup"'
off outer 'poweroff -ff'
EOF

judge() {
	like "$lab the inner Linux is up" "$(<"$F/inner")" 'guest: Linux [^ ]*-cloud-amd64 is up'
	like "$lab and nothing warns in it, nor when it goes" "$(tr -d '\r' <"$F/inner")" $'is up[^\n]*\nprobed\nguest: sh ended with status 0\n(.*\n)?status 0$'
	is "$lab nothing warns in the outer one" "$(<"$F/outer")" ''
	is "$lab 23 CPUIDs of the inner, and none of the outer" "$(exits_of vm 114 0x800000005eed0001 0x5eed0001)" '23 0 '
	ok "$lab VMRUNs: $(cell vm 128 exits)" test "$(cell vm 128 exits)" -gt 23
	is "$lab the account agrees with itself" "$(contradictions vm)" ''
}

for one in $LABS; do
	boot_guest_lab "$one" || continue
	judge
done
done_testing

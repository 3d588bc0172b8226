#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the account stays right whatever people do to a VM of QEMU while it runs: they plug in
# a vCPU, remove it and plug it in again; plug in memory; take a snapshot and go back to it;
# migrate a guest that writes to its memory to another QEMU. The guest is a Debian, and its
# programs are compiled in it. Nothing warns, in host or guest.
# Stress: svm
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab/cloud.sh"

PAGES=2000 # of the writer, in the guest

mkdir "$T/seed"
cat >"$T/seed/probe.c" <<'END'
/* probe LEAF TIMES: executes CPUID so often; then all exits, as the guest is told. */
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char *argv[])
{
	unsigned int a, b, c, d, n;

	for (n = atoi(argv[2]); n; n--)
		__cpuid_count(strtoul(argv[1], NULL, 0), 0, a, b, c, d);
	__cpuid_count(0x4fffffff, 0, a, b, c, d);
	printf("%llu\n", (unsigned long long)c << 32 | b);
}
END
cat >"$T/seed/writer.c" <<'END'
/* writer PAGES: writes to each, again and again. */
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	int pages = argc > 1 ? atoi(argv[1]) : 0, n;
	volatile char *memory = malloc(pages * 4096L);

	for (;; usleep(1000))
		for (n = 0; n < pages; n++)
			memory[n * 4096L]++;
}
END

in_guest_lab <<'EOF'
# CPU 1, as it is on the target's command line
cpu=driver=host-x86_64-cpu,id=cpu1,socket-id=1,core-id=0,thread-id=0
# json OPTION: the same for QMP.
json() {
	echo "{$(sed 's/\([^=,]*\)=\([^=,]*\)/"\1": "\2"/g; s/-id": "\([0-9]\)"/-id": \1/g' <<<"$1")}"
}

# the root is read-only, as two QEMUs have it; what savevm writes goes to a disk of its own
disk=readonly=on
truncate -s 1M state
options=(-m 384,slots=1,maxmem=1G -smp 1,maxcpus=2,sockets=2,cores=1,threads=1 -drive file=state,format=raw,if=virtio,snapshot=on)
words=(ro init=/usr/local/sbin/seed quiet memhp_default_state=online)
debian a "${words[@]}" -- "${options[@]}"
up a
tell a 'mount -t tmpfs tmp /tmp && gcc -O2 -o probe probe.c && gcc -O2 -o writer writer.c'
section plain
tell a './probe 0x5eed0001 23' >/dev/null
still a plain.vm "$(folder a)"

# plug: CPU 1, which the guest finds and takes.
plug() {
	qmp a device_add "$(json $cpu)" >/dev/null
	tell a 'until echo 1 >/sys/devices/system/cpu/cpu1/online; do sleep 0.2; done 2>/dev/null; cat /sys/devices/system/cpu/online'
}
section cpus
tell a 'cat /sys/devices/system/cpu/online'
plug
tell a 'taskset -c 1 ./probe 0x5eed0002 29' >/dev/null
still a plugged.0 "$(folder a)/vcpu0"
still a plugged.1 "$(folder a)/vcpu1"
section cpus2
qmp a device_del '{"id": "cpu1"}' >/dev/null
tell a 'while [ -e /sys/devices/system/cpu/cpu1 ]; do sleep 0.2; done; cat /sys/devices/system/cpu/online'
until [[ $(qmp a query-cpus-fast) != *'"cpu-index": 1'* ]]; do sleep 0.2; done
still a pulled.1 "$(folder a)/vcpu1"
section cpus3
plug
tell a 'taskset -c 1 ./probe 0x5eed0002 31' >/dev/null
still a again.1 "$(folder a)/vcpu1"
still a again.vm "$(folder a)"

section memory
total="awk '/^MemTotal/ { print \$2 }' /proc/meminfo"
before=$(tell a "$total")
qmp a object-add '{"qom-type": "memory-backend-ram", "id": "more", "size": 134217728}' >/dev/null
qmp a device_add '{"driver": "pc-dimm", "id": "dimm", "memdev": "more"}' >/dev/null
tell a "until [ \$($total) != $before ]; do sleep 0.2; done"
echo $(($(tell a "$total") - before))

section snapshot
tell a 'echo before >/tmp/when'
hmp a savevm here
tell a 'echo after >/tmp/when; ./probe 0x5eed0003 7' >/dev/null
tell a 'cat /tmp/when'
hmp a loadvm here
tell a 'cat /tmp/when; ./probe 0x5eed0003 11 >/dev/null'
still a snapshot.vm "$(folder a)"

tell a "./writer $PAGES & sleep 1; ./probe 0x5eed0004 1" >told.before
debian b "${words[@]}" -- "${options[@]}" -object memory-backend-ram,id=more,size=128M -device pc-dimm,id=dimm,memdev=more \
	-device "${cpu#driver=}" -incoming unix:way
account waiting.vm "$(folder b)"
still a loaded.vm "$(folder a)"
section both
exitdump list --raw -o vmname
# writes FOLDER: to pages that were mapped.
writes() {
	awk '$1 == 1024 && $3 == "0xa" { n += $4 } END { print n + 0 }' "$K/$1/exit_cycles_keys"
}
# So slow that it does not end, until the writer was at as many pages as it has, after they
# had been protected.
enough=$(($(writes "$(folder a)") + PAGES))
qmp a migrate-set-parameters '{"downtime-limit": 1, "max-bandwidth": 10000000}' >/dev/null
qmp a migrate '{"uri": "unix:way"}' >/dev/null
until qmp a query-migrate >migration; grep -qE 'completed|failed' migration; do
	sleep 0.2
	(($(writes "$(folder a)") < enough)) ||
		qmp a migrate-set-parameters '{"downtime-limit": 20000, "max-bandwidth": 1000000000}' >/dev/null
done
section migration
grep -o '"status": "[a-z]*"' migration | head -n 1
tell b './probe 0x5eed0005 37' >told.after
account source.vm "$(folder a)"
still b target.vm "$(folder b)"
section told
cat told.before told.after
section both2
exitdump list --raw -o vmname
qmp a quit >/dev/null
wait "${pid[a]}"
section one
exitdump list --raw -o vmname
still b end.vm "$(folder b)"
still b end ""
section guest
tell b 'dmesg | grep -E "WARNING|BUG|Oops|Call Trace|stall|lockup"'
off b 'poweroff -ff'
EOF
sed -i "1i PAGES=$PAGES" "$T/guest-commands"

# probes SECTION LEAF...: exits for CPUID of these.
probes() {
	exits_of "$1" "$CPUID" "${@:2}"
}

# exits SECTION: all.
exits() {
	cell "$1" TOTAL exits
}

judge() {
	local account
	CPUID=114 NPF=1024
	is "$lab 23 CPUIDs of a program that Debian's gcc made in the guest" "$(probes plain.vm 0x5eed0001)" '23 '
	is "$lab a vCPU is plugged in, pulled out, plugged in" "$(cat "$F"/cpus{,2,3} | paste -sd' ')" '0 0-1 0 0-1'
	is "$lab its exits are its own" "$(probes plugged.0 0x5eed0002)$(probes plugged.1 0x5eed0001 0x5eed0002)" '0 0 29 '
	is "$lab out, it has what it had" "$(probes pulled.1 0x5eed0002)" '29 '
	is "$lab in again, it goes on" "$(probes again.1 0x5eed0002)$(key again.vm vcpus)" '60 2'
	is "$lab memory is plugged in: KiB" "$(<"$F/memory")" 131072
	is "$lab a snapshot, and back to it" "$(paste -sd' ' "$F/snapshot")" 'after before'
	is "$lab what was done twice counts twice" "$(probes snapshot.vm 0x5eed0003)" '18 '

	is "$lab the target has nothing before" "$(exits waiting.vm)" 0
	is "$lab both are shown" "$(sort "$F/both" | paste -sd' ') $(sort "$F/both2" | paste -sd' ')" 'a b a b'
	is "$lab the guest is migrated" "$(<"$F/migration")" '"status": "completed"'
	is "$lab the target counts anew" "$(probes target.vm 0x5eed000{1,2,3,4,5})" '0 0 0 0 37 '
	is "$lab the source has what it had" "$(probes source.vm 0x5eed000{4,5})" '1 0 '
	ok "$lab and so says the guest: $(paste -sd' ' "$F/told")" test "$(head -n 1 "$F/told")" -gt "$(sed -n '2p' "$F/told")"
	ok "$lab dirty logging: $(exits_of source.vm $NPF 0xa) writes to pages that were mapped, before $(exits_of loaded.vm $NPF 0xa)" \
		test $(($(exits_of source.vm $NPF 0xa) - $(exits_of loaded.vm $NPF 0xa))) -ge $PAGES
	is "$lab then one is shown" "$(<"$F/one")" b
	ok "$lab the host has both" test "$(exits end)" -ge $(($(exits source.vm) + $(exits end.vm)))
	is "$lab nothing warns in the guest" "$(<"$F/guest")" ''
	for account in plain.vm plugged.{0,1} pulled.1 again.vm snapshot.vm waiting.vm loaded.vm source.vm target.vm end.vm end; do
		is "$lab $account agrees with itself" "$(contradictions "$account")" ''
	done
}

for one in $LABS; do
	boot_guest_lab "$one" || continue
	judge
done
done_testing

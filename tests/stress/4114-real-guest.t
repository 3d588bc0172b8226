#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: an ordinary Debian in a VM, with its cloud kernel, systemd and gcc, boots, compiles a
# program, runs it and shuts down. With the patched modules, the lines on its serial port and
# in its kernel's log are the same as with the stock ones, except times and addresses.
# Stress: svm
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../lab/cloud.sh"

mkdir "$T/seed"
cat >"$T/seed/primes.c" <<'END'
#include <stdio.h>

int main(void)
{
	unsigned long n, d, sum = 0;

	for (n = 2; n < 20000; n++) {
		for (d = 2; d * d <= n && n % d; d++)
			;
		sum += d * d > n ? n : 0;
	}
	printf("primes below 20000: %lu, a tenth of it %.3f\n", sum, sum / 10.0);
}
END
cat >"$T/seed/work" <<'END'
timeout 120 systemctl is-system-running --wait
systemctl list-jobs --no-legend
systemctl --failed --no-legend
uname -srvm
cat /etc/debian_version
grep -E '^(processor|model name|flags)' /proc/cpuinfo
grep MemTotal /proc/meminfo
gcc --version
gcc -O2 -Wall -o /root/primes primes.c
echo "gcc: $?"
/root/primes
echo "primes: $?"
sha256sum /root/primes /usr/bin/gcc
END

# Without a login prompt: it hangs up on who has the port open, and hides lines.
in_guest_lab <<'EOF'
for series in stock patched; do
	lab-modules load $series
	debian $series quiet systemd.show_status=1 TERM=dumb systemd.mask=serial-getty@ttyS0.service -- -m 384
	up $series
	tell $series 'sh work >/dev/ttyS0 2>&1'
	section $series.log
	tell $series dmesg
	[[ $series == stock ]] || still $series vm "$(folder $series)"
	status=0
	off $series 'systemctl poweroff' || status=$?
	section $series.status
	echo $status
	section $series.console
	cat $series.console
done
EOF

# said SECTION: a console, without what is of the moment: times, progress, and the order in which
# systemd's jobs are done.
said() {
	tr -d '\r' <"$F/$1" | sed -E -e 's/\x1b(M|\[[0-9;?]*[A-Za-z])//g' -e 's/^\[ *[0-9]+\.[0-9]+\] //' \
		-e '/^\[[ *]{6}\] /d' | sort
}

# logged SECTION: the kernel's log, without numbers, and without what tells of the emulator's
# slowness only, and systemd's lines, as journald takes them over some time.
logged() {
	sed -E -e 's/^\[ *[0-9]+\.[0-9]+\] //' -e '/ took |Long readout|too long|watchdog: |^systemd(-[a-z]+)?\[/d' \
		-e 's/\b(0x)?[0-9a-f]*[0-9][0-9a-f]*\b/N/g' -e 's/[0-9]+/N/g' "$F/$1" | sort
}

judge() {
	local series
	for series in stock patched; do
		is "$lab $series: QEMU ends as it should" "$(<"$F/$series.status")" 0
		is "$lab $series: all of Debian is up" "$(said $series.console | grep -cx running)" 1
		is "$lab $series: gcc, and what it made" "$(said $series.console | grep -E '^(gcc: |primes)')" \
			$'gcc: 0\nprimes below 20000: 21171191, a tenth of it 2117119.100\nprimes: 0'
		like "$lab $series: shut down" "$(<"$F/$series.console")" 'reboot: Power down'
		is "$lab $series: nothing warns in the guest" "$(grep -E 'WARNING|BUG|Oops|Call Trace|stall|lockup' "$F/$series".{log,console})" ''
	done
	is "$lab the console says the same ($(wc -l <"$F/patched.console") lines)" "$(diff <(said stock.console) <(said patched.console))" ''
	is "$lab the guest's kernel logs the same ($(wc -l <"$F/patched.log") lines)" "$(diff <(logged stock.log) <(logged patched.log))" ''
	is "$lab the account agrees with itself" "$(contradictions vm)" ''
	note "$("$EXITDUMP" -i "$F/vm" -n 5)"
}

for one in $LABS; do
	boot_guest_lab "$one" || continue
	judge
done
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# host.sh - the report's part on the KVM host: starts the VM through run-vm.sh and takes its
# tables at each stop of the guest. Prints the recording, from which scripts/boot-report.sh
# makes the report.
#
# Usage: host.sh KERNEL INITRD RUNS [RUN-VM-OPTION...]
#
# The recording has sections, each after a line `== NAME`: about (lines KEY TAB VALUE); boot
# and boot_hist, ready and ready_hist, run1 and run1_hist and so on (the tables); keys and
# slow (of the boot and all runs together); console (the guest's output); reads (what the
# guest read).

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/guest/stops.sh
. "${BASH_SOURCE[0]%/*}/stops.sh"

about() {
	echo "== about"
	printf 'host kernel\tLinux %s\n' "$(uname -r)"
	printf 'host CPU\t%s\n' "$(sed -n 's/^model name[[:space:]]*: *//p' /proc/cpuinfo | head -n 1)"
	printf 'QEMU\t%s\n' "$(qemu-system-x86_64 --version | sed -n '1s/.*version //p')"
	printf 'firmware\t%s\n' "${FIRMWARE:-seabios}"
	printf 'runs\t%s\n' "$1"
}

# take NAME: prints both tables of this moment.
take() {
	echo "== $1"
	cat "$table"
	echo "== $1_hist"
	cat "${table}_hist"
}

# take_more NAME: prints the keys, or the slow exits, if the kernel keeps them.
take_more() {
	[[ -e ${table}_$1 ]] || return 0
	echo "== $1"
	cat "${table}_$1"
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	local status=$?
	end_vm
	((status == 0)) || { grep "^report: " "$tmp/console"; tail -n 3 "$tmp/errors"; } >&2 || true
	rm -rf "$tmp"
	exit "$status"
}

main() {
	local kernel=$1 initrd=$2 runs=$3 run
	shift 3
	vm_options=("$@")
	check_kernel
	tmp=$(mktemp -d)
	trap clean_up EXIT
	trap 'exit 130' INT TERM

	about "$runs"
	start_vm "$kernel" "$initrd" "RUNS=$runs" -serial "file:$tmp/reads" >"$tmp/console" 2>"$tmp/errors"
	wait_stopped
	find_table
	take boot
	let_run
	wait_stopped
	take ready
	for ((run = 1; run <= runs; run++)); do
		let_run
		wait_stopped
		take "run$run"
	done
	take_more keys
	take_more slow
	let_run
	wait_ended
	echo "== console"
	tr -d '\r\0' <"$tmp/console"
	echo "== reads"
	tr -d "\r\0" <"$tmp/reads"
}

main "$@"

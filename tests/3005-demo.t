#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: in a real VM with two vCPUs, the guest reads through CPUID exactly the host's
# numbers, to the exit and to the cycle. On a kernel without the series the demo says so
# and fails. LONG=1 in the environment boots the VM with OVMF, too.
. "${BASH_SOURCE[0]%/*}/lib.sh"

skip_gone
for lab in $(available | sed 's/.*/svm:& vmx:&/'); do
	machine=${lab%:*} kernel=${lab#*:}
	run "$TOP/scripts/demo.sh" -m "$machine" -k "$kernel" -f seabios
	is "$lab: the demo succeeds" "$status" 0
	like "$lab: both views are identical" "$out" $'\nidentical: all 12 reads'
	like "$lab: of a VM with two vCPUs" "$out" "Linux $kernel\\.[0-9]+ is up, booted by BIOS, 2 CPUs"
	like "$lab: the host's table is shown" "$out" $'\n# exit_cycles 1\tvendor='"$machine"
	like "$lab: and exitdump's" "$out" $'host# exitdump.*\nNAME +EXITS'
	((!status)) || note "$(tail -n 17 "$T/.out"; tail -n 3 "$T/.err")"
done

if [[ $LONG ]]; then
	run "$TOP/scripts/demo.sh" -m vmx -f ovmf
	is "OVMF: the demo succeeds" "$status" 0
	like "OVMF: both views are identical" "$out" $'\nidentical: all 12 reads'
	like "OVMF: booted by it" "$out" 'booted by UEFI, 2 CPUs'
else
	skip "OVMF: both views are identical" "takes minutes, LONG=1 runs it"
fi

run "$TOP/scripts/lab.sh" -m svm -s stock -a "$(type -P bash)" -a "$TOP/scripts/common.sh" -a "$TOP/scripts/guest/stops.sh" \
	-a "$TOP/scripts/demo/host.sh" -- bash ./host.sh none none
is "an unpatched kernel: 1" "$status" 1
is "and one line that says it" "$out" \
	'host.sh: /sys/kernel/debug/kvm/exit_cycles: No such file (is this kernel patched, debugfs mounted?)'

run "$TOP/scripts/demo.sh" -f coreboot
is "no such firmware" "$status $err" '1 demo.sh: -f coreboot: no such firmware (one of: seabios ovmf)'

done_testing

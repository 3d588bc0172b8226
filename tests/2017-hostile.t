#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump never hangs, crashes or takes much memory, whatever it finds in place of
# debugfs, and whatever disappears while it reads. It leaves out a VM that has ended, and
# refuses a file that is not an account.
# 20,000 files: in memory, if possible.
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

tree "$T/tree" 3 2
kvm=$T/tree/sys/kernel/debug/kvm

# within TITLE ARGUMENT...: exitdump ends by itself and needs at most 64 MiB.
within() {
	run bash -c 'ulimit -v 65536; exec timeout 20 "$@"' - "$EXITDUMP" -S "$T/tree" "${@:2}"
	ok "$1: ends by itself" test "$status" -lt 2
}

# A VM that ends: its folder exists, but its files do not exist, or give EIO (as a file does
# if its VM ended after the file was opened).
rm "$kvm/1001-11/exit_cycles"
within 'a VM ended before it was opened' -a --raw -o vmname,exits
is 'the others are shown' "$status:$out" "0:$(lines 'vm0 110' 'vm2 110')"
ln -s /proc/self/mem "$kvm/1001-11/exit_cycles"
within 'a VM ended before it was read' -a --raw -o vmname,exits
is 'the others are shown' "$status:$out" "0:$(lines 'vm0 110' 'vm2 110')"
within 'it was the one that is asked for' --vm vm1
is 'that is said' "$status:$err" \
	'1:exitdump: no VM vm1 (exitdump list shows all VMs)'
rm "$kvm/1000-11/vcpu0/exit_cycles"
within 'its vCPU ended' --vm vm0 --vcpu 0-1 -o exits --raw
is 'the other is summed' "$status:$(awk '{ n += $1 } END { print n }' <<<"$out")" 0:55
within 'one vCPU ended' --all-vcpus --raw -o vm,vcpu --vm vm0
is 'the other is shown' "$status:$out" "0:$(lines '1000-11 1')"
rm "$kvm/1002-11/exit_cycles_hist"
ln -s /proc/self/mem "$kvm/1002-11/exit_cycles_hist"
within 'a VM ended between table and histogram' -a --raw -o vmname,p99
is 'it is left out' "$status:$out" "0:$(lines 'vm0 3900')"

# Look-alikes: things with the name of an account.
rm "$kvm/1001-11/exit_cycles"
mkfifo "$kvm/1001-11/exit_cycles"
within 'a FIFO' -a
like 'is refused' "$status:$out:$err" '^1::exitdump: .*/1001-11/exit_cycles: not a regular file$'
rm "$kvm/1001-11/exit_cycles"
ln -s /dev/zero "$kvm/1001-11/exit_cycles"
within 'a device' -a
like 'is refused' "$status:$out:$err" '^1::.*not a regular file$'
rm "$kvm/1001-11/exit_cycles"
mkdir "$kvm/1001-11/exit_cycles"
within 'a folder' -a
like 'is refused' "$status:$out:$err" '^1::.*not a regular file$'
rmdir "$kvm/1001-11/exit_cycles"
ln -s exit_cycles "$kvm/1001-11/exit_cycles"
within 'a link to itself' -a
like 'is refused' "$status:$out:$err" '^1::.*symbolic links$'
rm "$kvm/1001-11/exit_cycles"
truncate -s 100G "$kvm/1001-11/exit_cycles"
within 'an enormous file' -a
like 'is refused' "$status:$out:$err" '^1::.*not an exit_cycles file .more than 1048576 bytes'
rm -r "$kvm/1001-11"
: >"$kvm/1001-11"
within 'a file where a VM should be' -a
like 'is refused' "$status:$out:$err" '^1::.*Not a directory$'
rm "$kvm/1001-11"
mkdir "$kvm/9999999999999-11" "$kvm/1001-11x" "$kvm/-1-1" "$kvm/vcpu0"
within 'folders of other names' -a --raw -o vmname
is 'are none of ours' "$status:$out" $'0:vm0\nvm2'
mkfifo "$T/tree/proc/1000/fifo"
mv "$T/tree/proc/1000/fifo" "$T/tree/proc/1000/cmdline"
within 'a FIFO for a command line' --vm 1000 -a --raw -o vm,vmname
is 'gives no name' "$status:$out" "0:$(lines '1000-11 -')"

# 10,000 vCPUs with 55 exits each in 100 VMs.
rm -r "$T/tree"
tree "$T/tree" 100 100
run "$EXITDUMP" -S "$T/tree" --all-vcpus --raw -o exits
is '10,000 vCPU files' "$status:$(wc -l <"$T/.out"):$(sort -u "$T/.out")" 0:10000:55
run "$EXITDUMP" -S "$T/tree" --openmetrics --all-vcpus
is 'as metrics' "$status:$(grep -c '^kvm_exits_total{' "$T/.out")" 0:100000
run "$EXITDUMP" -S "$T/tree" --vcpu 0-99 -o exits
is 'as one sum' "$status:${out%%$'\n'*}:$(tail -n 1 "$T/.out")" \
	'0:overhead 33.3%: 100 VMs, 10000 vCPUs, vmx; by lost:550000'
run "$EXITDUMP" run -S "$T/tree" --all-vcpus --raw --output exits -- \
	rm -r "$T/tree/sys/kernel/debug/kvm/1000-11"
is '100 of them end' "$status:$(wc -l <"$T/.out"):$err" \
	'0:9900:exitdump: 100 vCPUs ended in this interval, their last figures are lost'

done_testing

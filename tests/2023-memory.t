#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: when it reads only once, exitdump keeps no more than its output needs. If each VM
# or vCPU is one line, it does not keep their rows by reason; if it shows a sum of VMs or
# vCPUs, it keeps only the sum. And it closes each file that it opens.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

# An account with 60 reasons takes 10 KiB, and 25 KiB with histograms.
tree "$T/few" 20 4 -v reasons=60
tree "$T/many" 200 4 -v reasons=60

# least TREE ARGUMENT...: prints the memory that exitdump needs, in KiB, rounded up to 32.
least() {
	local low=0 high=65536 middle tree=$1
	shift
	[[ $1 == list ]] || set -- '' "$@"
	while ((high - low > 32)); do
		middle=$(((low + high) / 2))
		# shellcheck disable=SC2086 # a command, or none
		if (ulimit -d "$middle" && "$EXITDUMP" $1 -S "$tree" "${@:2}" >/dev/null 2>&1); then
			high=$middle
		else
			low=$middle
		fi
	done
	echo "$high"
}

# a_vm ARGUMENT...: prints the KiB that one more VM needs.
a_vm() {
	echo $((($(least "$T/many" "$@") - $(least "$T/few" "$@")) / 180))
}

# within KIB ARGUMENT...: one more VM needs at most KIB.
within() {
	local kib
	kib=$(a_vm "${@:2}")
	ok "exitdump ${*:2}: $kib KiB a VM" test "$kib" -le "$1"
}
within 3 -a
within 3 -a --csv
within 3 list --json
within 3 -a --openmetrics -o exits,lost,guest
within 4 -a --openmetrics -o exits,lost,guest --buckets
within 50 -a --openmetrics --buckets
within 9 --all-vcpus --raw
within 9 --all-vcpus --openmetrics -o exits,lost,guest
within 0 --vm 'vm*'
within 0 --vcpu 0-3
within 0 --vm 'vm*' --json
within 0 --vcpu 1-2 --openmetrics --buckets
within 3 -a --vcpu 1-2
kib=$(a_vm -a --raw -o +name)
ok "rows by reason are kept where they are sorted: $kib KiB a VM, so it can be told" test "$kib" -ge 9

run bash -c 'ulimit -d 1200; exec "$@"' - "$EXITDUMP" -S "$T/many" --all-vcpus --raw -o name
is 'too little memory: said in one line' "$status:$out:$err" '1::exitdump: memory: Cannot allocate memory'

# Adding up early gives the same sum.
exitdump -S "$T/few" --vcpu 0-3 --json
sums() { jq '[.vms, .vcpus, .rows, .totals]' "$T/.out" >"$1"; }
sums "$T/early"
mkdir -p "$T/zero/sys/kernel/debug/kvm"
: >"$T/zero/sys/kernel/debug/kvm/exit_cycles"
exitdump diff "$T/zero" "$T/few" --vcpu 0-3 --json
sums "$T/late"
ok 'early or late, the sum is the same' cmp "$T/early" "$T/late"
is 'and there is one' "$(jq -c '[.[0], .[1], (.[2] | length)]' "$T/early")" "[20,80,60]"

# The names of keys are there once, whatever the number of keys.
{
	lines '#~exit_cycles~1 vendor=svm' 'reason name key exits cycles total max'
	for key in {0..1999}; do
		printf '123\tio\t0x%x\t1\t1\t1\t1\n' "$key"
	done
} >"$T/keys"
run bash -c 'ulimit -d 8192; exec "$@"' - "$EXITDUMP" why -i "$T/keys" --raw -o what
is 'names of 2000 keys' "$status:$(wc -l <"$T/.out"):$err" 0:2000:

# With few files to open.
mkdir -p "$T/few/sys/module/kvm/parameters"
echo Y | tee "$T/few/sys/module/kvm/parameters/exit_cycles" >"$T/few/sys/module/kvm/parameters/exit_cycles_keys"
for args in '--raw 0.01 20' 'list --raw 0.01 20'; do
	# shellcheck disable=SC2086,SC2016 # words; bash expands it
	run bash -c 'ulimit -n 12; exec "$@"' - "$EXITDUMP" -S "$T/few" $args
	is "$args, with 12 files" "$status:$err" 0:
done

# However long it runs.
some=$(least "$T/many" -a 0.01 2)
is 'an interval that lasts needs no more' "$(($(least "$T/many" -a 0.01 40) <= some + 300))" 1

done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: in every format exitdump takes at most three times the instructions of a plain
# program that only opens, reads and parses the same files. The keys of many vCPUs add up
# in instructions that grow with their number, not with its square.
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

command -v valgrind >/dev/null || skip_all 'valgrind is not installed'
"${CC:-cc}" -O2 -o "$T/read-and-parse" "$TOP/tests/fixtures/read-and-parse.c"

instructions() {
	valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null |
		awk '/Collected/ { print $4 }'
}

# Enough files to make the programs' start negligible.
tree "$T/tree" 60 2 -v reasons=25
find "$T/tree" -path '*-11/exit_cycles' >"$T/tables"
find "$T/tree" -path '*-11/exit_cycles*' >"$T/both"
tables=$(instructions "$T/read-and-parse" <"$T/tables")
both=$(instructions "$T/read-and-parse" <"$T/both")

# within BASE ARGUMENT...
within() {
	local own
	own=$(instructions "$EXITDUMP" -S "$T/tree" -a "${@:2}")
	ok "exitdump -a ${*:2}: $((own * 100 / $1)) hundredths" test "$((own <= 3 * $1))" = 1
}
for format in '' --raw --csv --openmetrics '-o +name' '--raw -o +name'; do
	# shellcheck disable=SC2086 # words
	within "$tables" $format
done
within "$both" --json
within "$both" --openmetrics --buckets

# own_keys VCPUS: a VM; each of its vCPUs has 64 keys that no other has. Prints the instructions.
own_keys() {
	tree "$T/keys$1" 1 "$1"
	awk -v vm="$T/keys$1/sys/kernel/debug/kvm/1000-11" -v vcpus="$1" 'BEGIN {
		OFS = "\t"
		for (v = 0; v < vcpus; v++) {
			file = vm "/vcpu" v "/exit_cycles_keys"
			print "# exit_cycles 1", "vendor=vmx", "tsc_khz=2000000", "replaced=0" >file
			print "reason", "name", "key", "exits", "total" >file
			for (k = 0; k < 64; k++)
				print 30, "IO_INSTRUCTION", sprintf("0x%x", k * vcpus + v), 7, 700 >file
		}
	}'
	instructions "$EXITDUMP" -S "$T/keys$1" why --vcpu 0-999 -n 1
}
few=$(own_keys 100) many=$(own_keys 200)
ok "the keys of 200 vCPUs take $((many * 100 / few)) hundredths of those of 100" test "$((many * 10 < few * 23))" = 1

done_testing

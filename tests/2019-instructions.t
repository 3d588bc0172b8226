#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: in every format exitdump takes at most three times the instructions of a plain
# program that only opens, reads and parses the same files.
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

done_testing

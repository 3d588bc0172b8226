#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: output that did not arrive is never reported as success.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

lines '#~exit_cycles~1 vendor=vmx' 'reason name exits cycles' \
	'10 CPUID 23 46000' '- TOTAL 23 46000' >"$T/good"

run bash -c '"$0" -i "$1" >/dev/full' "$EXITDUMP" "$T/good"
is 'a full disk: status 1' "$status" 1
is 'and one line that says so' "$err" \
	'exitdump: standard output: No space left on device'

run bash -c '"$0" -i "$1" >&-' "$EXITDUMP" "$T/good"
is 'standard output closed: status 1' "$status" 1

run bash -c '"$0" --help >&-' "$EXITDUMP"
is 'and so with the help: status 1' "$status" 1

# The reader is gone before anything is written.
run bash -c 'exec 3> >(exec true); wait $!; "$0" -i "$1" >&3' "$EXITDUMP" "$T/good"
ok 'a closed pipe: no success' test "$status" -ne 0
ok 'and no crash, at most the signal' test "$status" -eq 1 -o "$status" -eq 141

done_testing

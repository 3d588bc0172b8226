#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump turns a saved exit_cycles file into a table, sorted by lost time, with
# exactly the file's numbers, whatever columns and keys a later kernel adds.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

lines '#~exit_cycles~1 vendor=vmx' 'reason name exits cycles' \
	'10 CPUID 23 46000' '30 IO_INSTRUCTION 17 153000' '- OTHER 1 1000' \
	'- TOTAL 41 200000' >"$T/vmx"
exitdump -i "$T/vmx"
is 'it succeeds' "$status" 0
is 'rows by the time in KVM, with average and share; the sums last' "$out" \
'vmx; by KVM, in cycles
NAME           EXITS SHARE    KVM  AVG
IO_INSTRUCTION    17 76.5% 153000 9000
CPUID             23 23.0%  46000 2000
OTHER              1  0.5%   1000 1000
TOTAL             41  100% 200000 4878'
is 'and nothing on standard error' "$err" ''

exitdump -i - <"$T/vmx"
like 'and as "-"' "$status:$out" '^0:vmx; by KVM.*TOTAL +41 '
run bash -c '(sleep 0.2 && cat "$1") | "$0" -i /dev/stdin --raw -o exits' "$EXITDUMP" "$T/vmx"
is 'a pipe into which nothing comes at first' "$status:$out:$err" "0:$(lines 17 23 1):"
exitdump -i - </dev/null
is '"-" by its name where it is none' "$status:$out:$err" '1::exitdump: standard input: empty'
exitdump --input /dev/stdin <"$T/vmx"
is 'standard input works as a file' "$status" 0

lines '#~exit_cycles~1 vendor=svm new=thing tsc_khz=2000000' \
	'reason name more exits max cycles last' \
	'78 PF~excp x 3 9 30 y' '114 cpuid x 23 9 70 y' \
	'- TOTAL x 26 9 100 y' >"$T/svm"
exitdump -i "$T/svm" -u cycles
is 'columns go by name, unknown ones are passed over, names have blanks' "$out" \
'svm; by KVM, in cycles
NAME    EXITS SHARE KVM AVG
cpuid      23 70.0%  70   3
PF excp     3 30.0%  30  10
TOTAL      26  100% 100   4'

lines '#~exit_cycles~1' 'reason name exits cycles' '- TOTAL 0 0' >"$T/none"
exitdump -i "$T/none"
is 'nothing counted yet: only the sums, no division by zero, and no share of nothing' "$out" \
'by KVM, in cycles
NAME  EXITS SHARE KVM AVG
TOTAL     0     -   0   -'

# Only OTHER and TOTAL have no number, so a reason of that name is one like any other.
lines '#~exit_cycles~1' 'reason name exits' '7 TOTAL 3' '- OTHER 2' '- TOTAL 5' >"$T/named"
exitdump --raw -o reason,name,exits -i "$T/named"
is 'a reason that is named TOTAL' "$status:$out:$err" "0:$(lines '7 TOTAL 3' '- OTHER 2'):"

# 2^64 - 1 is an ordinary number, and sums wrap as they do in the kernel.
lines '#~exit_cycles~1' 'reason name exits cycles' \
	'1 A 1 18446744073709551615' '2 B 1 3' '- TOTAL 2 2' >"$T/wrap"
exitdump --raw -o name,exits,cycles -i "$T/wrap"
is 'counters up to 2^64 - 1' "$status" 0
like 'and printed as they are' "$out" $'A\t1\t18446744073709551615'

exitdump --version
like '--version' "$status $out" '^0 exitdump [0-9.]+$'
exitdump --help
like '--help goes to standard output and ends with examples' "$status $out" \
	'^0 Usage: .*Examples:'


# Numbers and names of the largest size.
lines '#~exit_cycles~1 vendor=vmx' 'reason name exits cycles total' '1 A 1 18446744073709551615 5' \
	'- TOTAL 1 18446744073709551615 5' >"$T/largest"
exitdump -i "$T/largest" -o name,cycles,avg
is 'an average of 2^64 - 1' "$(tail -n 1 <<<"$out" | tr -s ' ')" 'TOTAL 18.45E 18.45E'
name=$(printf '%0252d' 0)
cp "$T/largest" "$T/$name"
exitdump -i "$T/$name" --raw -o p50,exits
is 'a name that has no room for _hist: no histogram' "$status:$out:$err" $'0:-\t1:'
tree "$T/long" 1 1
printf 'qemu\0-name\0%s\0' "$name" >"$T/long/proc/1000/cmdline"
exitdump -S "$T/long" --vm 1000-11 -u us
like 'the headline of a VM with a long name ends with the unit' "${out%%$'\n'*}" 'in us$'

done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: bad input never causes a crash or a wrong number. There is one line on standard
# error, which names the file and says what is wrong with it; nothing on standard output;
# and status 1.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

# refused TITLE FILE REGEX: checks the whole promise, and the reason in the error line.
refused() {
	exitdump -i "$2"
	ok "$1: status 1, no output, one line" \
		test "$status:$out:$(wc -l <"$T/.err")" = 1::1
	like "$1: says so" "$err" "^exitdump: $2: $3"
}

HEAD='#~exit_cycles~1 vendor=vmx' COLS='reason name exits cycles'

# bad TITLE REGEX LINE...: a file of these lines is refused.
bad() {
	lines "${@:3}" >"$T/bad"
	refused "$1" "$T/bad" "$2"
}

refused 'no such file' "$T/none" 'No such file'
unlike 'a saved copy is not the kernel' "$err" 'patched'
long=$T$(printf '/%0200d' 0 0 0)
refused 'no such file, with a long path' "$long" 'No such file or directory$'
refused 'a folder' "$T" 'Is a directory \(--sysroot takes one\)$'
refused 'a read error' /proc/self/mem 'Input/output error'

# Root may read everything, so root tries this as another user.
: >"$T/secret"
chmod 0 "$T/secret"
if [[ $(id -u) == 0 ]]; then
	chmod 755 "$T"
	cp "$EXITDUMP" "$T/exitdump"
	run setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$T/exitdump" -i "$T/secret"
else
	exitdump -i "$T/secret"
fi
is 'not permitted: says so and what to try' "$status:$out:$err" \
	"1::exitdump: $T/secret: Permission denied (try as root)"
tree "$T/tree" 1 1
chmod 0 "$T/tree/sys/kernel/debug"
if [[ $(id -u) == 0 ]]; then
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$T/exitdump" -S "$T/tree" list
else
	exitdump -S "$T/tree" list
fi
is 'and so for the list of VMs' "$status:$out:$err" "1::exitdump: $T/tree/sys/kernel/debug/kvm/exit_cycles: Permission denied (try as root)"
chmod 755 "$T/tree/sys/kernel/debug"

: >"$T/empty"
refused 'empty' "$T/empty" 'empty'
refused 'endless' /dev/zero 'not an exit_cycles file'
head -c 3000000 /dev/zero | tr '\0' x >"$T/huge"
refused 'huge' "$T/huge" 'not an exit_cycles file'
head -c 100000 "$BASH" >"$T/binary"
refused 'a program' "$T/binary" 'not an exit_cycles file'
{ lines "$HEAD" "$COLS" '- TOTAL 0 0' && printf '\0'; } >"$T/nul"
refused 'a NUL behind the last line' "$T/nul" 'not an exit_cycles file'

bad 'foreign text' 'not an exit_cycles file' 'root:x:0:0' 'more'
bad 'a later version' 'has a later version' '#~exit_cycles~2' "$COLS" '- TOTAL 0 0'
bad 'version 0' 'not an exit_cycles file' '#~exit_cycles~0' "$COLS" '- TOTAL 0 0'
bad 'lines of another system' 'has lines that end in CR LF' "$HEAD"$'\r' "$COLS"$'\r' $'- TOTAL 0 0\r'
bad 'no columns' 'lacks one of the columns' "$HEAD" 'what ever' '- TOTAL'
bad 'no column exits' 'lacks one of the columns reason, name and exits' "$HEAD" 'reason name cycles' '- TOTAL 0'
bad 'a column twice' 'has a column' "$HEAD" "$COLS exits" '- TOTAL 0 0 0'
bad '129 columns' 'has more columns' "$HEAD" "$COLS $(echo x{1..125})" "- TOTAL$(printf ' 0%.0s' {1..127})"
lines "$HEAD" "$COLS $(echo x{1..124})" "- TOTAL$(printf ' 0%.0s' {1..126})" >"$T/wide"
exitdump -i "$T/wide" --raw
is 'but 128 are read' "$status:$err" 0:
bad 'a key that is no number' 'has a number' '#~exit_cycles~1 guest=x' "$COLS" '- TOTAL 0 0'
bad 'a field that is none' 'its first line has a field' "$HEAD tsc_khz" "$COLS" '- TOTAL 0 0'
bad 'two vendors' 'has a key twice' "$HEAD vendor=svm" "$COLS" '- TOTAL 0 0'
bad 'a histogram of keys' 'has a histogram of keys' "$HEAD" "$COLS key $(echo {0..31})" "10 A 1 1 0x1$(printf ' 1%.0s' {0..31})"
bad 'no row of sums' 'cut off' "$HEAD" "$COLS" '10 CPUID 23 46000'
bad 'only the head' 'cut off' "$HEAD" "$COLS"
bad 'sums that do not match' 'its rows do not add up' \
	"$HEAD" "$COLS" '10 CPUID 23 46000' '- TOTAL 24 46000'
bad 'a sum of cycles that does not match' 'its rows do not add up' \
	"$HEAD" "$COLS" '10 CPUID 23 46000' '- TOTAL 23 46001'
bad 'lines behind the sums' 'has lines' "$HEAD" "$COLS" '- TOTAL 0 0' '1 A 0 0'
bad 'a reason twice' 'its reasons are not in rising order' \
	"$HEAD" "$COLS" '10 A 1 1' '10 A 1 1' '- TOTAL 2 2'
bad 'a short row' 'has a row with fewer' "$HEAD" "$COLS" '10 A 1' '- TOTAL 1 0'
bad 'a short last row' 'cut off' "$HEAD" "$COLS" '10 A 1 0' '- TOTAL 1'
bad 'a long row' 'has a row with more' "$HEAD" "$COLS" '10 A 1 0 0' '- TOTAL 1 0'
bad 'a name with an escape sequence' 'has a name' \
	"$HEAD" "$COLS" $'10 \e[2J 1 0' '- TOTAL 1 0'
bad 'a name with DEL' 'has a name' "$HEAD" "$COLS" $'10 a\x7fb 1 0' '- TOTAL 1 0'
bad 'no name' 'has a name' "$HEAD" "$COLS" $'10 \t1 0' '- TOTAL 1 0'
long=$(printf '%047d' 0)
bad 'a name of more than 47 characters' 'has a name' "$HEAD" "$COLS" "10 0$long 1 0" '- TOTAL 1 0'
lines "$HEAD" "$COLS" "10 $long 1 0" '- TOTAL 1 0' >"$T/long"
exitdump -i "$T/long" --raw -o name
is 'but one of 47 is none' "$status:$out:$err" "0:$long:"
bad 'a reason beyond 32 bits' 'has a reason' \
	"$HEAD" "$COLS" '4294967296 A 1 0' '- TOTAL 1 0'
for n in 18446744073709551616 99999999999999999999999 -1 +1 0x10 1e3 1.5 ''; do
	bad "a count of '$n'" 'has a number' "$HEAD" "$COLS" "10 A $n 0" "- TOTAL $n 0"
done

{
	lines "$HEAD" "$COLS"
	for ((i = 0; i < 5000; i++)); do
		printf '%d\tR%d\t1\t1\n' "$i" "$i"
	done
	lines '- TOTAL 5000 5000'
} >"$T/rows"
refused 'more rows than there are reasons' "$T/rows" 'has more rows'

# A good file that is cut short at any byte is refused.
lines "$HEAD" "$COLS" '10 CPUID 23 46000' '30 IO_INSTRUCTION 17 153000' \
	'- TOTAL 40 199000' >"$T/good"
exitdump -i "$T/good"
is 'the uncut file is good' "$status" 0
size=$(wc -c <"$T/good")
wrong=
for ((i = 0; i < size; i++)); do
	head -c "$i" "$T/good" >"$T/cut"
	exitdump -i "$T/cut"
	[[ $status$out == 1 ]] || wrong+=" $i"
done
is 'each of its cuts is refused' "$wrong" ''

exitdump unknown
is 'an unknown argument is an error' "$status" 1
exitdump --unknown
is 'an unknown option is an error' "$status$out" 1

# A wrong option gives one line, like any other mistake.
while IFS="|" read -r words why; do
	# shellcheck disable=SC2086 # words
	exitdump $words
	is "exitdump $words: refused in one line" "$status:$out:$err" "1::exitdump: $why"
done <<'EOF2'
--foo|--foo: no such option (exitdump --help lists them)
-aZ|-Z: no such option (exitdump --help lists them)
--all|--all: no such option (exitdump --help lists them)
-n|-n: its value is missing (exitdump --help shows them)
--csv=3|--csv: takes no value
list --all-vms=|--all-vms: takes no value
--csv -Za|-Z: no such option (exitdump --help lists them)
-a=1|-=: no such option (exitdump --help lists them)
-ü|-?: no such option (exitdump --help lists them)
--al=1|--al=1: no such option (exitdump --help lists them)
top --vm|--vm: its value is missing (exitdump --help shows them)
EOF2

# What the user wrote is quoted in one line, and does not reach the terminal as a command.
two=$'a\nb\e[2J\x7f'
for word in -i diff compare -o --than --names --vm set -x; do
	exitdump "$word" "$two" "$two"
	is "exitdump $word, with a line break: refused in one line" "$status:$out:$(wc -l <"$T/.err"):${err//[[:print:]]}" 1::1:
done
exitdump "$two"
is 'and so as an interval' "$status:$out:$(wc -l <"$T/.err"):${err//[[:print:]]}" 1::1:
exitdump -i "$T/good" -O "$T/none/$two"
is 'and so as an output file' "$status:$out:$err" "1::exitdump: $T/none/a?b?[2J?: No such file or directory"
exitdump -i "$T/good" --raw -o exits -r "$two"
is 'and so as a reason that is none' "$status:$out:$err" $'0::exitdump: a?b?[2J?: no such exit so far (exitdump -o name lists all)'

# A histogram of another moment: its counts differ from those of the table.
lines "$HEAD" 'reason name exits' '10 CPUID 10' '- TOTAL 10' >"$T/stale"
for n in 1000 9; do
	lines "$HEAD" "reason name $(echo {0..31})" "10 CPUID $n$(printf ' 0%.0s' {1..31})" \
		"- TOTAL $n$(printf ' 0%.0s' {1..31})" >"$T/stale_hist"
	exitdump -i "$T/stale" -o p99
	if ((n == 1000)); then
		is 'a histogram of another time' "$status:$out:$err" \
			"1::exitdump: $T/stale_hist: was not copied together with its table (copy both again)"
	else
		is 'a histogram of a moment before: taken' "$status:$err" 0:
	fi
done
n=18446744073709551610
lines "$HEAD" 'reason name exits' "10 CPUID $n" "- TOTAL $n" >"$T/most"
sed "s/\<9\>/$n/" "$T/stale_hist" >"$T/most_hist"
sed -i "2s/$n/9/" "$T/most_hist"
exitdump -i "$T/most" -o p99
is 'a histogram of the largest counts: taken' "$status:$err" 0:
# same EXITS COUNT: whether a histogram of COUNT exits is taken for one of a table of EXITS.
same() {
	lines "$HEAD" 'reason name exits' "10 CPUID $1" "- TOTAL $1" >"$T/other"
	lines "$HEAD" "reason name $(echo {0..31})" "10 CPUID $2$(printf ' 0%.0s' {1..31})" \
		"- TOTAL $2$(printf ' 0%.0s' {1..31})" >"$T/other_hist"
	exitdump -i "$T/other" -o p99
	echo -n "$status "
}
is 'a histogram of twice or half as many exits and 200: taken, and no other' \
	"$(same 10 223; same 10 224; same 203 0; same 204 0; same 403 100; same 404 100)" '0 1 0 1 0 1 '

sed '1s/vmx/svm/' "$T/stale_hist" >"$T/svm_hist"
cp "$T/stale" "$T/svm"
exitdump -i "$T/svm" -o p99
is 'a histogram of another vendor' "$status:$out:$err" \
	"1::exitdump: $T/svm_hist: has another vendor or scope than its table"
for file in svm svm_hist; do
	cp "$T/stale_hist" "$T/svm_hist"
	cp "$T/stale" "$T/svm"
	sed -i '1s/\tvendor=[a-z]*//' "$T/$file"
	exitdump -i "$T/svm" -o p99
	is "it is not known from ${file/svm/table}: taken" "$status:$err" 0:
done

# A histogram whose rows do not add up to its TOTAL, in a bucket that the table cannot show.
lines "$HEAD" "reason name $(echo {0..31})" "10 CPUID 8 2$(printf ' 0%.0s' {1..30})" \
	"- TOTAL 7 3$(printf ' 0%.0s' {1..30})" >"$T/stale_hist"
exitdump -i "$T/stale" -o p99
is 'a histogram that does not add up' "$status:$out:$err" \
	"1::exitdump: $T/stale_hist: its rows do not add up to its row TOTAL (copy it again)"

done_testing

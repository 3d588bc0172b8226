#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: make install puts program, manual page and completion where DESTDIR
# and PREFIX say; the page is clean and names every option and column; completion
# offers what there is.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

page=$TOP/tools/exitdump.8
run make -s -C "$TOP/tools" install DESTDIR="$T/root" PREFIX=/opt/x
is 'make install' "$status:$(cd "$T/root" && find . -type f | sort)" \
'0:./opt/x/bin/exitdump
./opt/x/share/bash-completion/completions/exitdump
./opt/x/share/man/man8/exitdump.8'
run make -s -C "$TOP/tools" uninstall DESTDIR="$T/root" PREFIX=/opt/x
is 'make uninstall' "$status:$(find "$T/root" -type f)" 0:

if command -v mandoc >/dev/null; then
	run mandoc -T lint -W warning "$page"
	is 'the manual page is clean' "$status:$out" 0:
else
	skip 'the manual page is clean' 'mandoc is not installed'
fi

# What --help lists stands in the page, and the other way round.
exitdump --help
in_help=$(grep -o -e '--[a-z][a-z-]*' "$T/.out" | sort -u)
in_page=$(grep -E '^\.It Fl' "$page" | grep -o -e ' -[a-z][a-z-]*' | sed 's/^ /-/' | sort -u)
is 'the options of --help and of the page' "$in_page" "$in_help"
missing=
while read -r col; do
	grep -Eq "^\.It Cm .*\b$col\b" "$page" || missing+=" $col"
done < <(awk '/^Columns:/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' "$T/.out")
is 'every column stands in the page' "$missing" ''
ok '--help fits 80 columns' awk 'length > 80 { bad = 1 } END { exit bad }' "$T/.out"

# completes TITLE WORDS EXPECTED: what Tab offers behind the words.
completes() {
	local -a COMP_WORDS COMPREPLY=()
	read -ra COMP_WORDS <<<"$2"
	[[ $2 != *' ' ]] || COMP_WORDS+=('')
	local COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_exitdump_complete
	is "completion: $1" "${COMPREPLY[*]}" "$3"
}
# The completion runs the program, not the function of the tests.
unset -f exitdump
PATH=$TOP/tools:$PATH
# shellcheck source=../tools/exitdump.bash
. "$TOP/tools/exitdump.bash"
completes 'commands' 'exitdump ' 'diff hist list run top'
completes 'options' 'exitdump --op' --openmetrics
completes 'columns' 'exitdump -s p99' 'p99 p99.9'
completes 'a list of columns' 'exitdump -o +name,kep' '+name,kept'
completes 'units' 'exitdump -u n' ns

done_testing

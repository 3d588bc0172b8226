#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2016 # units and stand-ins expand it
# Promise: make install puts the program, the manual page and the completion into the places
# of DESTDIR and PREFIX, and make uninstall removes all of it. The other targets of make run
# what they say, and fail if it fails. The page is clean and names every option and column.
# Completion offers all possible words.
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
run make -s -C "$TOP/tools" install install-fleet DESTDIR="$T/root" PREFIX=/opt/x
is 'make install-fleet' "$status:$(cd "$T/root/opt/x" && find . -type f | sort | paste -sd ' ')" \
	'0:./bin/exitdump ./bin/exitdump-textfile ./lib/systemd/system/exitdump-serve.service ./lib/systemd/system/exitdump-textfile.service ./lib/systemd/system/exitdump-textfile.timer ./share/bash-completion/completions/exitdump ./share/exitdump/README.md ./share/exitdump/exit-cycles.dashboard.json ./share/exitdump/exit-cycles.rules.yml ./share/exitdump/exitdump-serve-bpf.conf ./share/man/man8/exitdump.8'
is 'its units start what will be there' "$(grep -h ^ExecStart "$T"/root/opt/x/lib/systemd/system/*.service | paste -sd ' ')" \
	'ExecStart=/opt/x/bin/exitdump serve $BPF $EXITDUMP_OPTIONS ExecStart=/opt/x/bin/exitdump-textfile $EXITDUMP_OPTIONS'
is 'with the right to run them, or to read them' "$(cd "$T/root/opt/x" && find . -type f -printf '%m %p\n' | grep -v ^644 | sort | paste -sd ' ')" '755 ./bin/exitdump 755 ./bin/exitdump-textfile'
run make -s -C "$TOP/tools" uninstall DESTDIR="$T/root" PREFIX=/opt/x
is 'make uninstall: that, too' "$status:$(find "$T/root" -type f):$(ls "$T/root/opt/x/share")" $'0::bash-completion\nman'
mkdir "$T/fresh"
cp -R "$TOP"/tools/{Makefile,*.[ch],key-names.txt,bpf} "$T/fresh/"
like 'make install builds what is not built' "$(make -n -C "$T/fresh" install)" ' -o exitdump .* exitdump /usr/local/bin/exitdump'
mkdir "$T/fresh/build"
touch "$T/fresh/exitdump" "$T/fresh/build/main.o"
run make -s -C "$T/fresh" clean
is 'make clean: what was built, and nothing else' "$status:$(cd "$T/fresh" && ls -d build exitdump Makefile 2>/dev/null)" 0:Makefile
like "a change of key-names.txt is built" "$(make -n -C "$TOP/tools" -W key-names.txt)" '-c -o build/key_names\.o '

# What the targets run, with stand-ins for the scripts.
mkdir -p "$T"/top/{scripts,tests/bench,tools,patches/6.1}
cp "$TOP/Makefile" "$T/top/"
printf 'tool:\n\t@echo tool\n' >"$T/top/tools/Makefile"
touch "$T"/top/tests/{0001-a,2001-b,3001-c}.t
for script in scripts/{deps,prove,kernel,stress,mutants,bench,boot-report,demo,lint,install} tests/bench/exitdump; do
	printf '#!/bin/sh\necho "%s $* $FIRMWARE" | xargs\n[ "$2" != gone ] || exit 3\n[ "$2" != bad ] || exit 2\nexit "${STATUS:-0}"\n' \
		"${script##*/}" >"$T/top/$script.sh"
	chmod +x "$T/top/$script.sh"
done
# makes TARGET... EXPECTED: what the target runs, but for what comes first.
makes() {
	run make -s -C "$T/top" "${@:1:$#-1}"
	is "make ${*:1:$#-1}" "$status:$(grep -v '^deps\|^tool$' <<<"$out" | paste -sd,)" "${*: -1}"
}
makes test '0:prove tests/0001-a.t tests/2001-b.t tests/3001-c.t'
makes check '0:prove tests/0001-a.t tests/2001-b.t'
makes stress STRESS='-q -n' '0:stress -q -n'
makes mutants MUTANTS=-c 0:mutants\ -c
makes report REPORT='-m host' '0:boot-report -m host'
makes demo FIRMWARE=ovmf '0:demo ovmf'
makes lint 0:lint
makes bench '0:bench,exitdump'
makes bench BENCH=scale '0:bench scale'
makes kernel '0:kernel -k 6.1 build'
makes kernel KERNELS='gone 6.1' '0:kernel -k gone build,kernel -k 6.1 build'
makes kernel KERNELS='bad 6.1' '2:kernel -k bad build'
makes install-kvm '0:install install'
makes uninstall-kvm '0:install uninstall'
for target in demo test check stress mutants bench kernel; do
	echo "$target: $(make -s -C "$T/top" "$target" | grep '^deps\|^tool$' | paste -sd,)"
done >"$T/first"
is 'what comes first: the packages, and exitdump where it is needed' "$(<"$T/first")" 'demo: deps
test: deps,tool
check: deps,tool
stress: deps
mutants: deps,tool
bench: deps build lab tool bench plot,tool
kernel: deps'
for target in test check stress mutants report demo lint kernel install-kvm; do
	run env STATUS=1 make -s -C "$T/top" "$target"
	is "make $target fails with its script" "$status" 2
done

run make -s -C "$TOP" help
like 'make help' "$status:$out:$err" '^0:make .*make clean [^:]*:$'

if command -v mandoc >/dev/null; then
	run mandoc -T lint -W warning "$page"
	is 'the manual page is clean' "$status:$out" 0:
else
	skip 'the manual page is clean' 'mandoc is not installed'
fi

# The page has everything that --help lists, and the other way round.
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

# completes TITLE WORDS EXPECTED: what Tab offers after WORDS.
completes() {
	local -a COMP_WORDS COMPREPLY=()
	read -ra COMP_WORDS <<<"$2"
	[[ $2 != *' ' ]] || COMP_WORDS+=('')
	local COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_exitdump_complete
	is "completion: $1" "${COMPREPLY[*]}" "$3"
}
# The completion must run the program, not the test's function of the same name.
unset -f exitdump
PATH=$TOP/tools:$PATH
# shellcheck source=../tools/exitdump.bash
. "$TOP/tools/exitdump.bash"
completes 'commands' 'exitdump ' 'compare diff hist list off on reset run serve set slow top why'
completes 'options' 'exitdump --op' --openmetrics
completes 'columns' 'exitdump -s p99' 'p99 p99.9'
completes 'columns for the long option' 'exitdump --sort p99' 'p99 p99.9'
completes 'nothing of --help that is no column' 'exitdump -o Exa' ''
completes 'a list of columns' 'exitdump -o +name,overh' '+name,overhead'
completes 'a column behind +' 'exitdump -o +overh' '+overhead'
completes 'a column backwards' 'exitdump -s vm,-overh' 'vm,-overhead'
completes 'units' 'exitdump -u n' ns
completes 'a unit behind =' 'exitdump --unit = u' us
completes 'behind = alone' 'exitdump --unit =' 'cycles ns us auto'
completes 'files for diff' 'exitdump diff ' ''
completes 'files for --input' 'exitdump -i ' ''
completes 'options behind a command' 'exitdump list --vm' --vm
completes 'no command for an argument' 'exitdump -v top li' list
completes 'nor for a folder' 'exitdump -S / li' list
completes 'but none of its options' 'exitdump run -- --vers' ''
completes 'commands for run' 'exitdump run -- compge' compgen
completes 'and then files' 'exitdump run -- ls --he' ''
completes 'files for the command of run' 'exitdump run -- ls compge' ''
completes 'nor commands behind an option of none' 'exitdump run -- -v ls compge' ''
completes 'files for run -o' 'exitdump run -o na' ''
completes 'columns for run --output' 'exitdump run --output na' name
# Each option of --help: behind it, and behind its value if it has one, comes the command.
options=$(exitdump --help | sed -n '/^Options:/,/^$/s/^ *\(-[A-Za-z]\)\?,\? *\(--[a-z-]*\)\( [A-Z[][A-Z+[]*\]*[A-Z]*\)\? .*/\1\3\n\2\3/p' | grep '^-')
wrong=''
while read -r option value; do
	COMP_WORDS=(exitdump "$option" ${value:+7} li)
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_exitdump_complete
	[[ ${COMPREPLY[*]} == list ]] || wrong+=" $option"
done <<<"$options"
is 'completion: each option, with a value or without' "$(($(grep -c " " <<<"$options") > 20)):$wrong" 1:

# The shell must not expand the names of VMs: neither in the completion nor after Enter, when
# each word must be exactly the VM's name again.
tree "$T/tree" 4 1
mkdir "$T/bin"
printf '#!/bin/sh\nexec "%s" -S "%s" "$@"\n' "$EXITDUMP" "$T/tree" >"$T/bin/exitdump"
chmod +x "$T/bin/exitdump"
PATH=$T/bin:$PATH
named() { printf 'qemu\0-name\0guest=%s\0' "$2" >"$T/tree/proc/$1/cmdline"; }
evil="\$(touch\${IFS}$T/pwned)"
named 1000 "$evil"
named 1001 'my web server'
named 1002 "it's \`touch $T/pwned\`; *"
printf 'qemu\0' >"$T/tree/proc/1003/cmdline"
COMP_WORDS=(exitdump -v '')
COMP_CWORD=2
_exitdump_complete
inserted=()
eval "inserted=(${COMPREPLY[*]})"
is 'completion: VMs, each whole' "$(printf '%s\n' "${inserted[@]}")" \
	"1000-11
$evil
1001-11
my web server
1002-11
it's \`touch $T/pwned\`; *
1003-11"
ok 'completion: runs nothing of a name' test ! -e "$T/pwned"
completes 'a name with blanks' 'exitdump --vm my' 'my\ web\ server'
COMP_WORDS=(exitdump --vm 'my\ w')
_exitdump_complete
is 'completion: and begun with one' "${COMPREPLY[*]}" 'my\ web\ server'
completes 'a list of reasons' 'exitdump -r REASON_1,REASON_2' 'REASON_1,REASON_2'
completes 'reasons for hist' 'exitdump hist REASON_3' 'REASON_3'
completes 'for hist, too' 'exitdump hist REASON_1,REASON_2' 'REASON_1,REASON_2'
completes 'for why, too' 'exitdump why REASON_1,REASON_2' 'REASON_1,REASON_2'
completes 'reasons for the long option' 'exitdump --reason REASON_3' REASON_3
completes 'slow' 'exitdump slow --fol' --follow
completes 'files for --symbols' 'exitdump slow --symbols ' ''
completes 'a command behind --qmp SOCKET' 'exitdump --qmp /run/x li' list
completes 'no command for --than' 'exitdump slow --than ' ''
completes 'reasons for why' 'exitdump why REASON_3' 'REASON_3'
completes 'parameters for set' 'exitdump set ' 'guest keys slow'
completes 'VMs for compare' 'exitdump compare 1001' 1001-11
completes 'no VMs behind a file whose name is an option' 'exitdump diff -- -v 1001' ''
completes 'a second VM for compare' 'exitdump compare 1000 1001' 1001-11
mkdir "$T/bin2"
cp "$T/bin/exitdump" "$T/bin/at-two-places"
cp "$T/bin/exitdump" "$T/bin2/at-two-places"
PATH=$T/bin2:$PATH
completes 'a command only once' 'exitdump run -- at-two-pl' at-two-places
printf '#!/bin/sh\necho refused >&2\nexit 1\n' >"$T/bin2/exitdump"
chmod +x "$T/bin2/exitdump"
hash -r
for words in '-v ' '-r ' 'hist ' 'compare '; do
	completes "$words, where exitdump is refused: nothing" "exitdump $words" '' 2>>"$T/noise"
done
is 'completion: and nothing is said' "$(cat "$T/noise")" ''
is 'completion: what it does not know is a file' "$(complete -p exitdump)" 'complete -o default -F _exitdump_complete exitdump'

done_testing

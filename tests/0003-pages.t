#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: everything that a page names exists: each file of scripts/, tests/, docs/, tools/
# and patches/, each target of make, each command and option of exitdump, each option and
# verb of a script. The command beside README's picture draws exactly that picture. The
# newest entry of CHANGELOG.md is the current version.
# shellcheck disable=SC2016 # the backquotes belong to the pages
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

cd "$TOP"
exitdump --help
cp "$T/.out" "$T/help"

# code PAGE: prints its quoted code and its blocks, one a line; of the manual, its examples.
code() {
	if [[ $1 == *.8 ]]; then
		sed -n -e 's/\\(cq/'"'"'/g' -e 's/^\.Dl \$ //p' -e 's/^\$ //p' "$1"
		return
	fi
	awk '
		function spans(   n, i, part) {
			n = split(text, part, "`")
			for (i = 2; i <= n; i += 2) print part[i]
			text = ""
		}
		/^(    |\t)/ { spans(); block = block $0; if (sub(/\\$/, "", block)) next; print block; block = ""; next }
		/^ *$/ { spans(); next }
		{ sub(/^ */, ""); text = text " " $0 }
		END { spans() }' "$1"
}

# absent_files PAGE: prints the files that do not exist. NNNN, NAME and 6.18 are placeholders.
absent_files() {
	local path
	grep -oE '(^|[^[:alnum:]_./])(scripts|tests|docs|tools|patches)/[][[:alnum:]_.*{},/-]*[[:alnum:]*}/]' "$1" |
		grep -oE '(scripts|tests|docs|tools|patches)/.*' | grep -vE 'NNNN|NAME|6\.18' | sort -u |
		while read -r path; do
			compgen -G "$path" >/dev/null || echo "$path"
		done
}

# commands NAME PAGE: prints the arguments of each use of this command, wherever it begins.
commands() {
	code "$2" | sed -e 's/^ *[#$] //' -e 's/[;|&]/\n/g' | sed 's/[>#].*//' |
		sed -nE "s,^.*(^|[[:space:](])(tools/)?$1(\$|[[:space:]](.*)\$),\\4,p"
}

absent_targets() {
	local words word
	commands make "$1" | while read -ra words; do
		for word in "${words[@]}"; do
			[[ $word =~ ^[a-z][a-z-]*$ ]] || break
			grep -qE "^([a-z-]+ )*$word( [a-z-]+)*:" Makefile || echo "make $word"
		done
	done
}

absent_of_exitdump() {
	commands exitdump "$1" | awk '
		FNR == NR {
			if (/^[A-Z]/) part = $1
			if (part == "Commands:") known[$1] = 1
			if (part == "Options:" && match($0, /--[a-z-]+/)) {
				option = substr($0, RSTART, RLENGTH)
				known[option] = 1
				takes[option] = substr($0, RSTART + RLENGTH) ~ /^ \[?\+?\]?[A-Z]/
				if (match($0, /^  -[A-Za-z]/)) {
					known["-" substr($0, 4, 1)] = 1
					takes["-" substr($0, 4, 1)] = takes[option]
				}
			}
			next
		}
		{
			command = ""
			for (i = 1; i <= NF && $i != "--"; i++) {
				if ($i ~ /^-/) {
					option = $i
					sub(/=.*/, "", option)
					if (!(option in known)) print "exitdump " option
					i += takes[option] && option == $i
				} else if (command == "") {
					command = $i
					if (command ~ /^[a-z]/ && !(command in known)) print "exitdump " command
				}
			}
		}' "$T/help" -
}

# absent_of_scripts PAGE: prints words and options that the head of their script does not have.
absent_of_scripts() {
	local script words word head
	for script in scripts/*.sh; do
		head=$(sed -n '2,/^[^#]/p' "$script")
		commands "$script" "$1" | while read -ra words; do
			for word in "${words[@]}"; do
				[[ $word != -- && $word != *[\"\'\`]* ]] || break
				[[ $word =~ ^(--?)?[a-z][a-z-]*$ ]] || continue
				grep -qE -e "(^|[^[:alnum:]])${word#-}([^[:alnum:]]|\$)" <<<"$head" ||
					[[ $word =~ ^-[a-z]$ && $head =~ \[-[a-z]*${word#-}[a-z]*\] ]] || echo "$script $word"
			done
		done
	done
}

absent() {
	absent_files "$1"
	absent_targets "$1"
	absent_of_exitdump "$1"
	absent_of_scripts "$1"
}

PAGES="README.md CHANGELOG.md docs/*.md patches/README.md tools/fleet/README.md tools/exitdump.8"
for page in $PAGES; do
	is "$page: what it names is there" "$(absent "$page")" ''
done
ok 'there is much to look at' test "$(for page in $PAGES; do commands exitdump "$page"; done | wc -l)" -gt 60

# Each of these faults is reported.
told() { # LINE FAULT
	echo "$1" >"$T/page.md"
	is "told: $2" "$(absent "$T/page.md" | tr '\n' ' ')" "$2 "
}
told 'See scripts/nothing.sh, or tests/9*.t.' 'scripts/nothing.sh tests/9*.t'
told '![it](docs/none.svg)' docs/none.svg
told 'First `make nothing`, then `make demo`.' 'make nothing'
told '    make install install-nothing && true' 'make install-nothing'
told 'Try `exitdump where`.' 'exitdump where'
told '    # exitdump --vm web nothing 1' 'exitdump nothing'
told '    exitdump why --nothing --vm web 1 | less' 'exitdump --nothing'
told $'It is in `exitdump\nslow --longer 5ms`.' 'exitdump --longer'
told 'With `exitdump -x`.' 'exitdump -x'
told 'Do `scripts/kernel.sh -k 6.1 retree`.' 'scripts/kernel.sh retree'
told '    scripts/lab.sh -q -m svm -- ls' 'scripts/lab.sh -q'
printf '.Dl $ exitdump nothing\n' >"$T/page.8"
is 'told: in the manual' "$(absent "$T/page.8")" 'exitdump nothing'
echo 'And `exitdump run -- nothing`, `tests/NNNN-name.t`, `exitdump why REASON 1`, `make -s`.' >"$T/page.md"
is 'and nothing where nothing is wrong' "$(absent "$T/page.md")" ''

exitdump --version
is 'the newest entry of CHANGELOG.md is the version' "$(grep -m 1 '^## ' CHANGELOG.md | cut -d ' ' -f 2 | tr -d ,)" "${out#exitdump }"
ok 'README.md is one page to read: 150 lines' test "$(wc -l <README.md)" -le 150

# The words and numbers of a picture. Their order, and other lines, depend on gnuplot's
# release.
words() { sed -n 's/.*<tspan[^>]*>\([^<]*\).*/\1/p; s/.*<text>\([^<]*\)<.*/\1/p' "$1" | sort; }
if command -v gnuplot >/dev/null; then
	awk '/^    sed .*== boot/ { on = 1 } /^$/ { on = 0 } on' docs/contributing.md >"$T/draw"
	sed -i "s,docs/boot.svg,$T/boot.svg," "$T/draw"
	run bash "$T/draw"
	is "README's picture is drawn by its command" "$status:$err" 0:
	is 'and says the same' "$(words "$T/boot.svg")" "$(words docs/boot.svg)"
else
	skip "README's picture" 'gnuplot is not installed'
fi

# The table describes each folder that people change. Folders inside fixtures, modules and
# such belong to the line of their parent.
while read -r folder; do
	ok "contributing.md says what belongs into $folder/" grep -q "^| .*\`$folder/\`.* |" docs/contributing.md
done < <(git ls-files -co --exclude-standard | sed -nE 's,^((docs|tools|scripts|tests|patches)(/[a-z]+)?)/[^/]+$,\1,p' | sort -u)

# No file is too long to read, except data and kernel code.
long=$(git ls-files -co --exclude-standard scripts tests tools | grep -E '\.(sh|t|c|h|S|awk)$' |
	xargs wc -l | awk '$1 > 400 && $2 != "total"')
is "no file of code has more than 400 lines" "$long" ""

done_testing

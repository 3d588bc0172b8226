#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the boot report says what the recording says, as Markdown and as one
# well-formed page that refers to nothing outside itself; it says so where guest
# and host do not agree; and a recording that is cut or spoilt makes one line and
# no report. The recording is of the SVM lab, five runs.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/exitdump.sh"

for program in gnuplot xmllint; do
	command -v $program >/dev/null || skip_all "$program is not installed"
done
export EXITDUMP
RECORDING=$TOP/tests/fixtures/report/svm-6.1

report() { run "$TOP/scripts/boot-report.sh" "$@"; }

# table NAME REASON COLUMN: a cell of the recording's own text.
table() {
	awk -F'\t' -v name="== $1" -v reason="$2" -v want="$3" '
		/^== / { on = $0 == name }
		on && $1 == "reason" { for (i = 1; i <= NF; i++) if ($i == want) column = i }
		on && (reason == "all" ? $2 == "TOTAL" : $1 == reason) { print $column }' "$RECORDING"
}

# told RUN LEAF: what the guest read, in decimal; LEAF as the cpuid program prints it.
told() {
	local ebx ecx
	read -r _ _ _ ebx ecx _ < <(sed -n "/^== reads/,\$p" "$RECORDING" | sed -n "/^run $1\$/,/^run $(($1 + 1))\$/p" | grep "$2:")
	echo $((${ebx#ebx=} + (${ecx#ecx=} << 32)))
}

group() { printf "%s" "$1" | sed ':a; s/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/; ta'; }

report -i "$RECORDING" -o "$T/new/page"
is 'a report is made of a recording, and its folder' "$status $out" '0 '
is 'with these files' "$(cd "$T/new/page" && echo *)" 'cycles.svg latency.svg recording report.html report.md runs.svg where.svg'
cd "$T/new/page"
md=$(<report.md)
html=$(<report.html)
ok 'the page is well-formed' xmllint --noout report.html
is 'and refers to nothing outside itself' \
	"$(grep -oE '(src|href) *= *.[^#]|url\([^#]|@import' report.html || :)$(grep -oE 'https?://[^"]*' report.html | grep -v '^http://www.w3.org/' || :)" ''
is 'no name stands in it twice' "$(grep -oE "\bid=['\"][^'\"]*" report.html | sort | uniq -d)" ''
is 'its pictures are in it' "$(grep -c '<svg' report.html)" 4
like 'for light and for dark' "$html" 'prefers-color-scheme: dark'
for picture in cycles where latency runs; do
	like "the Markdown shows $picture" "$md" "\\]\\($picture.svg\\)"
done

like 'the total after boot' "$md" "After boot: $(group "$(table boot all exits)") exits\\."
like 'the total in the end' "$md" "$(group "$(table run5 all exits)") exits and $(group "$(table run5 all cycles)") cycles"
like 'the most frequent reasons' "$md" "Most frequent after boot: npf $(group "$(table boot 1024 exits)"), io "
like 'the least frequent' "$md" 'Least frequent, of the 17 reasons that happened: .*rsm 1'
like 'and how many never happened' "$md" "; $(($(grep -c '^   0x4ffffffd' "$RECORDING") / 5 - 17)) more that the kernel names never happened"
one=$(told 1 '0x4ffffffd 0x72') two=$(told 2 '0x4ffffffd 0x72')
like 'each run, and what it has more than the one before' "$md" \
	"cpuid \\| 114 \\| $(table boot 114 exits) \\| $(group "$one") \\| $(group "$two") \\(\\+$((two - one))\\) \\|"
one=$(told 1 '0x4fffffff 0x00') two=$(told 2 '0x4fffffff 0x00')
like 'and of all reasons' "$md" "\\| \\*\\*$(group "$one")\\*\\* \\| \\*\\*$(group "$two") \\(\\+$((two - one))\\)\\*\\*"
like 'the same on the page' "$html" "<td class=\"n\">$(group "$two") <small>\\+$((two - one))</small></td>"
guest=$(sed -n '/^== run5$/{n; s/.*guest=//p}' "$RECORDING")
like 'where the time went: the guest' "$md" "in the guest \\| $(group "$guest") \\| $(awk -v g="$guest" -v t="$(table run5 all total)" 'BEGIN { printf "%.1f", 100 * g / (g + t) }') %"
like 'and its share, with halts and without' "$md" "The guest ran $(awk -v g="$guest" -v t="$(table run5 all total)" -v h="$(table run5 all halt)" \
	'BEGIN { printf "%.1f %% of its time; without the time it had halted, %.1f %%", 100 * g / (g + t), 100 * g / (g + t - h) }')\\."
like 'halted' "$md" "halted \\| $(group "$(table run5 all halt)") \\|"
like 'and user space' "$md" "user space \\(QEMU\\) \\| $(group "$(table run5 all user)") \\|"
like 'how many numbers lie where they must' "$md" "Consistent: all $(grep -c '^   0x4fffff' "$RECORDING") numbers"

# What the guest says it read, changed: 1 more in a table's highest half.
sed '0,/^   0x4ffffffd 0x72: /s/\(0x4ffffffd 0x72: .*\) ecx=0x00000000/\1 ecx=0x00000001/' "$RECORDING" >"$T/changed"
report -i "$T/changed" -o "$T/changed.page"
like 'a number that cannot be is not hidden' "$status $(<"$T/changed.page/report.md")" '^0 .*NOT consistent: of [0-9]* numbers that the guest read, 1 do not lie'

cp "$RECORDING" "$T/recording"
report -i "$T/recording" -o "$T/new/page"
is 'again, into the same folder' "$status $(<report.md)" "0 $md"
is 'nothing else stays there' "$(find . -mindepth 1 | wc -l)" 7

# What is wrong makes one line, and no folder.
fails() { # TITLE REGEX
	report -i "$T/bad" -o "$T/none/page"
	like "$1" "$status:$out:$err" "^1::boot-report.sh: $T/bad: $2\$"
	ok "$1: no report" test ! -e "$T/none"
}
: >"$T/bad"
fails 'empty' 'not a recording, or cut short \(no when in it\)'
sed '/^== reads/,$d' "$RECORDING" >"$T/bad"
fails 'without what was read' 'not a recording, or cut short \(no reads in it\)'
sed '/^== run3$/,/^== run4$/d' "$RECORDING" >"$T/bad"
fails 'without a run' 'cut short \(no run3 in it\)'
sed '$d' "$RECORDING" >"$T/bad"
fails 'without its end' 'the guest has told of 5 runs of 5, or no end'
sed 's/^run 4$/run 5/' "$RECORDING" >"$T/bad"
fails 'runs out of their order' "the guest's run 5 does not follow its run 3"
sed '/^== run2$/,/^== run2_hist/s/^114\tcpuid\t.*/114\tcpuid\tmany/' "$RECORDING" >"$T/bad"
fails 'a table that is none' 'run2: [^:]*'
sed 's/^   0x4ffffffd 0x7b: eax=.*/   0x4ffffffd 0x7b: nothing/' "$RECORDING" >"$T/bad"
fails 'an answer that is none' 'the guest read what is no answer of a leaf: +0x4ffffffd 0x7b: nothing'
head -c 100000 /dev/urandom >"$T/bad"
fails 'noise' 'not a recording, or cut short \(no when in it\)'

# The command line.
wrong() { # LINE ARGUMENT...
	report "${@:2}"
	is "${*:2}" "$status:$out:$err" "1::boot-report.sh: $1"
}
wrong '-m moon: no such machine (host, vmx, svm or kvm)' -m moon
wrong "-k 5.10: no such kernel (one of: $KERNELS)" -k 5.10
wrong '-f coreboot: no such firmware (seabios or ovmf)' -f coreboot
wrong '-r 0: not a number from 1 to 9' -r 0
wrong '-c many: not a number from 1 to 99' -c many
wrong 'none: no such file, or not readable' -i none
wrong 'now: not understood (-h shows the usage)' now
: >"$T/file"
wrong "$T/file/page: cannot be made, or not written to" -i "$RECORDING" -o "$T/file/page"
# Before the minutes of a VM's boot, that is: nothing else is said.
run timeout 10 "$TOP/scripts/boot-report.sh" -m svm -o "$T/file/page"
is 'nowhere to put the report of a VM: before it boots' "$status:$out:$err" "1::boot-report.sh: $T/file/page: cannot be made, or not written to"
mkdir "$T/empty"
report -i "$T/bad" -o "$T/empty"
is 'a folder that was there stays, and as it was' "$status:$(ls -A "$T/empty" && echo there)" 1:there

done_testing

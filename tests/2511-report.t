#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the page of a capture has exitdump's numbers, one by one, and `-` for unknown
# ones. It is well-formed, refers to nothing outside itself and runs nothing, whatever the
# names of the VMs. The boot report is such a page with the recording's data beside it, and
# it says if guest and host do not agree. Input that is cut or spoilt gives one line and no
# page. The recording is from the SVM lab, five runs; `boot` is the account of another boot.
# shellcheck disable=SC2317 # functions that ok calls
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/exitdump.sh"

for program in gnuplot xmllint jq; do
	command -v $program >/dev/null || skip_all "$program is not installed"
done
export EXITDUMP
RECORDING=$TOP/tests/fixtures/report/svm-6.1

report() { run timeout 120 "$TOP/scripts/boot-report.sh" "$@"; }

# table NAME REASON COLUMN: prints a cell from the recording's own text.
table() {
	awk -F'\t' -v name="== $1" -v reason="$2" -v want="$3" '
		/^== / { on = $0 == name }
		on && $1 == "reason" { for (i = 1; i <= NF; i++) if ($i == want) column = i }
		on && (reason == "all" ? $2 == "TOTAL" : $1 == reason) { print $column }' "$RECORDING"
}

# told RUN LEAF: prints the guest's read, in decimal; LEAF is in the cpuid program's form.
told() {
	local ebx ecx
	read -r _ _ _ ebx ecx _ < <(sed -n "/^== reads/,\$p" "$RECORDING" | sed -n "/^run $1\$/,/^run $(($1 + 1))\$/p" | grep "$2:")
	echo $((${ebx#ebx=} + (${ecx#ecx=} << 32)))
}

group() { printf "%s" "$1" | sed ':a; s/\([0-9]\)\([0-9]\{3\}\)\($\|,\)/\1,\2\3/; ta'; }

# --- the page of a capture

CAPTURES=$TOP/tests/fixtures/captures
# page ARGUMENT...: makes $T/page.html. The last line on standard error says that; $err is the rest.
page() {
	TZ=XXX-5 run env --default-signal=HUP,INT "$TOP/scripts/report.sh" -o "$T/page.html" "$@"
	written=$(grep -c "report: $T/page.html is written$" <<<"$err") || :
	err=$(grep -v " is written$" <<<"$err") || :
}

# outside PAGE: prints everything in it that a browser would fetch or run.
outside() {
	grep -oiE '(src|href) *= *.[^#]|url\([^#]|@import|<(script|link|iframe|object|embed|img|form)|<[^>]* on[a-z]+ *=' "$1" || :
	grep -oE 'https?://[^"]*' "$1" | grep -v '^http://www.w3.org/' || :
}

sound() { # TITLE
	is "$1: the page is written, and that is said" "$status:$written" 0:1
	is "$1: a page, nothing said" "$status:$out$err" 0:
	ok "$1: well-formed" xmllint --noout "$T/page.html"
	is "$1: refers to nothing outside itself and runs nothing" "$(outside "$T/page.html")" ''
}

# rows HEADING: prints a section's table as text, a line a row, without separators of digits.
rows() {
	sed -n "/<h2>$1/,/<\/section>/p" "$T/page.html" | sed -n 's/^<tr><td//p' | sed 's/^[^>]*>//; s/<[^>]*>/ /g; s/\([0-9]\),\([0-9]\)/\1\2/g; s/  */ /g; s/ $//'
}

# cells ARGUMENT...: prints exitdump's table in the same form, without the `<=` of bounds.
cells() {
	TZ=UTC "$EXITDUMP" "$@" | sed "1,/^ *[A-Z]*  *[A-Z]/d; s/<=//g; s/  */ /g; s/^ //; s/ $//"
}

BY_REASON=name,exits,lost,share,cycles,avg,user,sched,other,halt,max,p99,slow
for capture in "$CAPTURES/vmx-6.1" "$CAPTURES/svm-6.1" "$TOP"/tests/fixtures/{slow,report/boot}; do
	name=${capture##*/}
	page "$capture"
	sound "$name"
	is "$name: exits by reason, as exitdump has them" "$(rows 'Exits by reason')" "$(cells -S "$capture" -o $BY_REASON)"
	overhead=$("$EXITDUMP" -S "$capture" | sed -n '1s/overhead \([^:]*\):.*/\1/p')
	like "$name: the overhead, if it is known" "$(<"$T/page.html")" \
		"$([[ $overhead ]] && echo "The guests? lost <strong>$overhead</strong> of the time" || echo "It is <strong>not known</strong> how much the guests lost: ")"
	run "$TOP/scripts/report.sh" -o "$T/page.md" "$capture"
	is "$name: as Markdown" "$status" 0
done
is 'in Markdown, all rows of a table are as wide as its head' "$(awk -F'[|]' '
	/^[|]/ { gsub(/\\[|]/, ""); if (!width) width = NF; if (NF != width) print; rows++ }
	!/^[|]/ { width = 0 }
	END { if (rows < 40) print "too few" }' "$T/page.md")" ''
SLOW=time,lost,mostly,vm,vcpu,name,key,what,cycles,user,sched,other,rip
is 'slow exits' "$(rows 'Slow exits')" "$(cells slow -S "$TOP/tests/fixtures/report/boot" -o $SLOW)"
is 'keys: the first eight of each reason' "$(rows 'Why: the keys' | grep -v '^\.\.\.' | sed 's/ [0-9.]*% / /' | sort)" \
	"$(cells why -S "$TOP/tests/fixtures/report/boot" -o name,key,what,exits,total,cycles,max | sed '/^TOTAL/d' | awk '++seen[$1] <= 8 { sub(/^[^ ]* /, ""); print }' | sort)"
like 'keys: how many more there are' "$(rows 'Why: the keys')" "\\.\\.\\. 14 more"
# In a table, all rows are as wide as the head, and a share is a bar as long.
is 'all rows are as wide as their head' "$(awk -F'<t[hd]' '
	/<thead>/ { getline; width = NF - 1; tables++ }
	/^<tr/ { n = NF - 1; if (match($0, /colspan="[0-9]+/)) { n = substr($0, RSTART + 9, RLENGTH - 9); groups++ } if (n != width) print }
	END { if (tables < 4 || groups < 3) print "too few" }' "$T/page.html")" ''
is 'each share has a bar' "$(sed -n 's/.*class="n share" style="--part:\([0-9.]*%\)">\1<.*/bar/p' "$T/page.html" | grep -c .)" \
	$(($(rows 'Exits by reason' | grep -vc '^TOTAL') + $(rows 'Why: the keys' | grep -c '[0-9]%')))
like 'a kernel that is told' "$(<"$T/page.html")" '<dt>Kernel</dt><dd>Linux 6\.1\.192</dd>'
page "$CAPTURES/vmx-6.1"
html=$(<"$T/page.html")
like 'the title: how many, of what' "$html" '<h1>VM exits: 2 VMs, 4 vCPUs on Intel VMX</h1>'
like 'several guests' "$html" 'how much the guests lost: the account lacks a column for that'
is 'the VMs' "$(rows VMs)" "$(cells -S "$CAPTURES/vmx-6.1" -a -o vm,vmname,vcpus,exits,lost,overhead,share,cycles,user,sched,halt -s vm | sed '/^TOTAL/d')"
like 'a kernel that nobody tells' "$html" '<dt>Kernel</dt><dd>-</dd>'
like 'what an older kernel does not tell apart' "$(rows 'Where the time')" $'user space \\(QEMU\\) [^ ]*ms [^ ]*% -\n no CPU - - -\n not told apart [^ ]*ms [^ ]*% -\n'
for part in keys slow; do
	like "no $part: said why, in one line" "$html" "<p>Not known here: there is no exit_cycles_$part beside this account\\. [^<]*</p>"
done
columns=$(grep -o '<i style="height:[^>]*' "$T/page.html")
is 'a column without exits is empty, and no other' "$(grep 'class="none"' <<<"$columns")" "$(grep ': 0 exits"' <<<"$columns")"
page "$TOP/tests/fixtures/report/boot"
html=$(<"$T/page.html")
like 'a percentile that is max is rounded as max, above a histogram as well' "$html" 'write_cr4</b> 63 exits, p50 28\.5us, p99 1\.66ms<'
like 'the largest part of what was lost' "$html" 'The largest part of it, [0-9.]*%, was waiting for a CPU of the host'
like 'a reason that lost next to nothing has no bar, and that is said' "$html" '<p>And [0-9]* more reasons, less than 0\.5% each\.</p>'
page "$CAPTURES/vmx-6.1"
html=$(<"$T/page.html")
like 'for light and for dark' "$html" 'prefers-color-scheme: dark'
like 'for a narrow screen' "$html" 'name="viewport".*max-width: 40rem.*<div class="wide"><table'
cp "$T/page.html" "$T/first.html"
page "$CAPTURES/vmx-6.1"
ok 'again: the same page' cmp "$T/page.html" "$T/first.html"
tree "$T/many" 33 1
page "$T/many"
sound 'many VMs'
like 'of many VMs, 32 are shown, and the rest is counted' "$(rows VMs | wc -l):$(<"$T/page.html")" '^32:.*<p>And 1 more VM that is not shown\.</p>'

# The account of one vCPU alone, without other files beside it; then an empty account.
cp "$TOP/tests/fixtures/slow/sys/kernel/debug/kvm/69-4/vcpu0/exit_cycles" "$T/one"
page "$T/one"
sound 'one file'
like 'one file: of a vCPU' "$(<"$T/page.html")" '<h1>VM exits: one vCPU on AMD SVM</h1>'
like 'one file: one guest' "$(<"$T/page.html")" 'The guest lost .* it wanted to run'
like 'one file: no histogram' "$(<"$T/page.html")" 'Not known here: there is no exit_cycles_hist'
sed '1s/tsc_khz=[0-9]*/tsc_khz=0/; 1s/	guest=[0-9]*//' "$T/one" >"$T/less"
page "$T/less"
sound 'no frequency, no time in the guest'
like 'no frequency: in cycles' "$(<"$T/page.html")" 'Times are in cycles of the TSC, whose frequency is not known'
is 'no frequency: as exitdump has it' "$(rows 'Exits by reason')" "$(cells -i "$T/less" -o $BY_REASON)"
like 'no time in the guest' "$(<"$T/page.html")" 'how long they ran is not known|how long it ran is not known'
sed '/^[0-9]/d; s/^\(-	TOTAL\).*/\1	0	0	0	0	0	0	0	0	0	0	0/' "$T/one" >"$T/none-yet"
page "$T/none-yet"
sound 'no exits'
like 'no exits: lost nothing' "$(<"$T/page.html")" 'lost <strong>no</strong> time to exits'

# Known numbers, and names that would break a page. Each reason has totals of 4000 cycles.
# 3400 of them are lost: 920 handler, 2000 user space, 200 no CPU, 280 other.
evil='<b>&"\|<script>'
mkdir "$T/<i>&"
tree "$T/<i>&" 2 2
printf 'qemu\0-name\0guest=%s\1\n\0' "$evil" >"$T/<i>&/proc/1000/cmdline"
mkdir -p "$T/<i>&/proc/sys/kernel"
printf '6.1<u>\1\xef\xbf\xbe\0\n7' >"$T/<i>&/proc/sys/kernel/osrelease"
kvm="$T/<i>&/sys/kernel/debug/kvm"
sed -i 's/REASON_8/<s>"8/' "$kvm"/exit_cycles{,_hist}
{
	lines '#~exit_cycles~1 vendor=vmx tsc_khz=2000000 tsc=stable scope=host vms=2 vcpus=4 guest=9000 replaced=3' \
		'reason name key exits cycles total max' '0 REASON_0 0x6e0 4 400 4000 1000' '0 REASON_0 0x8000000000000000 1 10 400 100' \
		'9 REASON_9 0x8000000000000007 20 1000 120000 3900' '9 REASON_9 - 20 500 40000 -'
} >"$kvm/exit_cycles_keys"
{
	lines '#~exit_cycles~1 vendor=vmx tsc_khz=2000000 tsc=stable scope=host vms=2 vcpus=4 guest=9000 threshold=1500 lost=1 monotonic=1000000000000 realtime=1700000001000000000 perf=500000000000' \
		'time vm vcpu cpu reason name key rip total cycles halt user sched hsched stop' \
		'999501000000 1000 1 3 30 IO_INSTRUCTION 0x3f8 0xffffffff81000040 22000000 1000 0 20000000 1000000 0 0'
} >"$kvm/exit_cycles_slow"
page -t "$evil" "$T/<i>&"
sound 'hostile names'
html=$(<"$T/page.html")
like 'a name is text' "$html" '<td class="what">&lt;b&gt;&amp;&quot;\\\|&lt;script&gt;\?\?</td>'
like 'so is the title' "$html" '<h1>&lt;b&gt;&amp;&quot;\\\|&lt;script&gt;</h1>'
like 'the capture, the kernel' "$html" '<dd>Linux 6\.1&lt;u&gt;\?\?</dd>.*<dd>&lt;i&gt;&amp;</dd>'
like "the TSC" "$html" '<dt>TSC</dt><dd>2\.000 GHz, stable</dd>'
like "a reason with a name" "$html" "<b>&lt;s&gt;&quot;8</b>.*<td>&lt;s&gt;&quot;8</td>"
like 'a bar and its parts' "$html" '<b>REASON_9</b>.*"kvm" style="width:27.059%".*"user" style="width:58.824%".*"sched" style="width:5.882%".*"other" style="width:8.235%".*>68.0us</span><span class="n dim">18.2%</span>'
is 'the parts of all the time and of what was lost' "$(rows 'Where the time' | sed 's,^ ,,' | paste -sd ,)" "in the guest 748us 63.0%,KVM's exit handler 101us 8.5% 27.1%,user space (QEMU) 220us 18.5% 58.8%,no CPU 22.0us 1.9% 5.9%,interrupts or entry 30.8us 2.6% 8.2%,halted 55.0us 4.6%,stopped 11.0us 0.9%"
like 'a histogram' "$html" '<b>REASON_9</b> 40 exits, p50 1.95us, p99 1.95us</figcaption><div class="columns"><i style="height:100.00%" title="1.02us to 2.05us: 40 exits">'
is 'keys under their reason, with their part of it' "$(sed -n '/Why: the keys/,/<\/section>/s/<[^>]*>/ /gp' "$T/page.html" | grep -A 2 REASON | sed 's/^ *//; s/  */ /g; s/ $//')" \
	$'REASON_9\nL2:0x7 L2 20 60.0us 75.0% 500ns 1.95us\n- other 20 20.0us 25.0% 250ns -\nREASON_0\n0x6e0 - 4 2.00us 25.0% 200ns 500ns\nL2:0x0 L2 1 200ns 2.5% 5.00ns 50.0ns'
like 'keys that were replaced' "$html" '3 keys replaced'
like 'a slow exit: of which VM, with a name' "$(rows 'Slow exits')" '^2023-11-14 22:13:20.501 11.0ms user space 1000.* 1 IO_INSTRUCTION 0x3f8 COM1, out 500ns 10.0ms 500us 500us 0xffffffff81000040$'
like 'slow exits: over what, and how many are gone' "$html" 'lost more than 1500us.*Overwritten since: 1\.'
run "$TOP/scripts/report.sh" -o "$T/page.md" "$T/<i>&"
like 'in Markdown they are text as well' "$(<"$T/page.md")" '\| \\<b>\\&"\\\\\\\|\\<script>'
mkdir "$T/here"
run env -C "$T/here" "$TOP/scripts/report.sh" "$T/one"
is 'without -o' "$status:$(ls "$T/here")" 0:report.html
rm "$T/here/report.html"
printf '#!/bin/sh\necho "exitdump: not this one" >&2\nexit 1\n' >"$T/here/exitdump"
chmod +x "$T/here/exitdump"
EXITDUMP=$T/here/exitdump page "$T/one"
is 'EXITDUMP names the program' "$status:$err" '1:report.sh: not this one'

for signal in INT:130 TERM:143 HUP:143; do
	# shellcheck disable=SC2016 # the stand-in expands it
	printf '#!/bin/sh\nkill -%s $PPID\nsleep 1\n' "${signal%:*}" >"$T/here/exitdump"
	EXITDUMP=$T/here/exitdump TMPDIR=$T/here page "$T/one"
	is "SIG${signal%:*} ends it: its status, and nothing is left" "$status:$(ls "$T/here")" "${signal#*:}:exitdump"
done
(cd "$CAPTURES/vmx-6.1" && page . && cp "$T/page.html" "$T/relative.html")
ok 'a capture by another path: the same page, with its name' cmp "$T/relative.html" "$T/first.html"
rm "$T/relative.html"

# A mistake gives one line, and the page from before stays.
no_page() { # TITLE LINE ARGUMENT...
	cp "$T/first.html" "$T/page.html"
	page "${@:3}"
	is "$1: one line" "$status:$out:$err" "1::report.sh: $2"
	ok "$1: what was there stays" cmp "$T/page.html" "$T/first.html"
}
no_page 'no capture' 'one capture is needed (-h shows the usage)'
no_page 'two' 'one capture is needed (-h shows the usage)' a b
no_page 'one that is not there' "$T/gone: no such file or folder, or not readable" "$T/gone"
no_page 'a folder without one' "$T/new/sys/kernel/debug/kvm/exit_cycles: No such file (not copied? man exitdump shows how to copy all files)" "$(mkdir -p "$T/new" && echo "$T/new")"
no_page 'a story that is not there' 'none: no such file, or not readable' -s none "$T/one"
no_page 'another name' '-o x.pdf: a name that ends in .html or .md is needed' -o x.pdf "$T/one"
no_page 'nowhere to put it' "$T/none/x.md: no such folder, or no right to write there" -o "$T/none/x.md" "$T/one"
no_page 'below a file' "$T/one/x.md: no such folder, or no right to write there" -o "$T/one/x.md" "$T/one"
mkdir "$T/dir.md"
no_page 'a folder in its place' "$T/dir.md: Is a directory" -o "$T/dir.md" "$T/one"
for part in '' _hist _keys _slow; do
	rm -rf "$T/bad"
	cp -r "$T/<i>&" "$T/bad"
	sed -i '3s/[0-9]$/x/' "$T/bad/sys/kernel/debug/kvm/exit_cycles$part"
	page "$T/bad"
	like "exit_cycles$part spoilt: one line" "$status:$out:$err" "^1::report.sh: $T/bad/[^:]*exit_cycles$part: [^"$'\n'']*$'
	ok "exit_cycles$part spoilt: what was there stays" cmp "$T/page.html" "$T/first.html"
done
is 'nothing else is left' "$(find "$T" -name '*.new' -o -name '*.html' ! -name page.html ! -name first.html)" ''
mkdir "$T/small"
if ((EUID == 0)) && mount -t tmpfs -o size=8k tmpfs "$T/small" 2>/dev/null; then
	echo old >"$T/small/page.html"
	run "$TOP/scripts/report.sh" -o "$T/small/page.html" "$T/one"
	left=$(grep -r '' "$T/small")
	umount "$T/small"
	like 'no space: one line' "$status:$out:$err" $'^1::report.sh: [^\n]*No space left on device$'
	is 'no space: what was there stays, and nothing else' "$left" "$T/small/page.html:old"
else
	skip 'no space' 'only root can mount a small disk'
fi
rm -rf "$T/new" "$T/bad"

# --- the boot report

report -i "$RECORDING" -o "$T/new/page"
is 'a report is made of a recording, and its folder' "$status $out" '0 '
is 'with these files' "$(cd "$T/new/page" && echo *)" 'cycles.svg latency.svg recording report.html report.md runs.svg where.svg'
cd "$T/new/page"
md=$(<report.md)
html=$(<report.html)
ok 'the page is well-formed' xmllint --noout report.html
is 'and refers to nothing outside itself' "$(outside report.html)" ''
is 'a column of one exit, beside many, is not empty' "$(grep -o '<i [^>]*class="none"[^>]*' report.html | grep -v ': 0 exits')" ''
for run in 2 5; do
	cost=$(($(table run$run all exits) - $(table run$((run - 1)) all exits)))
	like "run $run is a bar, with what it cost" "$html" "<b>run $run</b>[^"$'\n'"]*\"r1\" style=[^"$'\n'"]*<span class=\"n\">$(group $cost)</span>"
done
is 'the bar of the run that cost most is whole' "$(grep '<b>run 1<' report.html | grep -o 'width:[0-9.]*' | awk -F: '{ all += $2 } END { printf "%.1f", all }')" 100.0
for picture in cycles where latency runs; do
	like "the Markdown shows $picture" "$md" "\\]\\($picture.svg\\)"
done

is 'the picture of the runs has a bar for each of them' "$(sed -n 's/.*<text>\([^<]*\)<.*/\1/p; s/.*<tspan[^>]*>\([^<]*\).*/\1/p' runs.svg | grep -E '^(boot|ready|run)' | xargs)" 'run1 run2 run3 run4 run5'
like 'the total after boot' "$md" "After boot: $(group "$(table boot all exits)") exits\\."
like 'what that version of the patches cannot tell' "$md" 'It is \*\*not known\*\* how much the guest lost'
like 'the total in the end' "$md" "$(group "$(table run5 all exits)") exits and $(group "$(table run5 all cycles)") cycles"
like 'the most frequent reasons' "$md" "Most frequent after boot: npf $(group "$(table boot 1024 exits)"), io "
like 'the least frequent' "$md" 'Least frequent, of the 17 reasons that happened: rsm 1, [^,]* 1, [^,]* 1; '
like 'and how many never happened' "$md" "; $(($(grep -c '^   0x4ffffffd' "$RECORDING") / 5 - 17)) more that the kernel names never happened"
one=$(told 1 '0x4ffffffd 0x72') two=$(told 2 '0x4ffffffd 0x72')
like 'each run, and what it has more than the one before' "$md" \
	"cpuid \\| 114 \\| $(table boot 114 exits) \\| $(group "$one") \\| $(group "$two") \\(\\+$((two - one))\\) \\|"
differences=$(for run in 2 3 4 5; do echo $(($(told $run '0x4fffffff 0x00') - $(told $((run - 1)) '0x4fffffff 0x00'))); done | sort -n)
like 'the least and the most of all runs' "$md" "From run to run $(group "${differences%%$'\n'*}") to $(group "${differences##*$'\n'}") exits"
one=$(told 1 '0x4fffffff 0x00') two=$(told 2 '0x4fffffff 0x00')
like 'and of all reasons' "$md" "\\| \\*\\*$(group "$one")\\*\\* \\| \\*\\*$(group "$two") \\(\\+$((two - one))\\)\\*\\*"
like 'the same on the page' "$html" "<td class=\"n\">$(group "$two") <small>\\+$((two - one))</small></td>"
sed -n '/^== run5$/,/^== /{/^== /!p}' "$RECORDING" >"$T/run5"
sed -n '/^== run5_hist$/,/^== /{/^== /!p}' "$RECORDING" >"$T/run5_hist"
cp report.html "$T/page.html"
for fact in vCPUs:vcpus 'guest cycles:guest'; do
	like "where it ran: ${fact%:*}" "$md" "\\| ${fact%:*} \\| $(sed -n "1s/.*\t${fact#*:}=\([^\t]*\).*/\1/p" "$T/run5") \\|"
done
for picture in cycles where latency; do
	run "$TOP/scripts/plot.sh" $picture -o "$T/$picture.svg" "$T/run5"
	ok "the picture $picture is of the end" cmp "$T/$picture.svg" $picture.svg
done
is 'the account at the end, as exitdump has it' "$(rows 'Exits by reason')" "$(cells -i "$T/run5" -o $BY_REASON)"
like 'of the machine that it was' "$html" '<dd>Linux 6\.1\.192</dd>'
like 'an older recording: no keys' "$html" 'there is no exit_cycles_keys'
like 'how many numbers lie where they must' "$md" "Consistent: all $(grep -c '^   0x4fffff' "$RECORDING") numbers"

# A changed read of the guest: 1 more in the upper half of a number.
sed '/^== lab$/,+1s/^svm$/kvm/; 0,/^   0x4ffffffd 0x72: /s/\(0x4ffffffd 0x72: .*\) ecx=0x00000000/\1 ecx=0x00000001/' "$RECORDING" >"$T/changed"
report -i "$T/changed" -o "$T/changed.page"
like 'a number that cannot be is not hidden' "$status $(<"$T/changed.page/report.md")" '^0 .*NOT consistent: of [0-9]* numbers that the guest read, 1 do not lie'
like 'the machine is told' "$md" 'the lab: an AMD machine emulated by QEMU.s TCG'
like 'another as what it is' "$(<"$T/changed.page/report.md")" 'the lab: QEMU, with this host.s nested virtualization'

# A kernel that keeps keys and slow exits.
for part in keys slow; do
	echo "== $part"
	cat "$kvm/exit_cycles_$part"
done >"$T/more"
awk -v "more=$T/more" '$0 == "== console" { while ((getline line <more) > 0) print line } { print }' "$RECORDING" >"$T/newer"
report -i "$T/newer" -o "$T/newer.page"
cp "$T/newer.page/report.html" "$T/page.html"
like "keys and slow exits of a recording" "$status $(rows "Why: the keys") $(rows "Slow exits")" "^0 .*L2:0x7 L2 20 .*2023-11-14 22:13:20\\.501"
sed "s/^999501000000/x/" "$T/newer" >"$T/spoilt"
report -i "$T/spoilt" -o "$T/spoilt.page"
like "spoilt ones: one line, no page" "$status:$out:$err:$(ls "$T/spoilt.page" 2>&1)" "^1::boot-report.sh: $T/spoilt: exit_cycles_slow: [^:]*:ls: .*No such file"

cp "$RECORDING" "$T/recording"
report -i "$T/recording" -o "$T/new/page"
is 'again, into the same folder' "$status $(<report.md)" "0 $md"
like 'where it ran: which Linux the guest has' "$md" 'guest \| Linux [0-9.]+ is up, booted by BIOS, 2 CPUs'
is 'nothing else stays there' "$(find . -mindepth 1 | wc -l)" 7

# A recording of one run.
awk '/^== / { gone = /^== run[2-9]/ } /^run [2-9]$/ { gone = 1 } /^end$/ { gone = 0 } { sub(/^runs\t5$/, "runs\t1") } !gone' "$RECORDING" >"$T/single"
report -i "$T/single" -o "$T/single.page"
like 'one run' "$status $(<"$T/single.page/report.md")" '^0 # [^'$'\n'']* cpuid once.*Consistent: all'
unlike 'one run: no other to compare' "$(<"$T/single.page/report.md")" 'From run to run'
unlike 'one run: not in a row' "$(<"$T/single.page/report.md")" 'in a row'

# A bad recording gives one line and no folder.
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
fails 'without its end' 'the guest wrote 5 of 5 runs, or no end'
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
wrong '-m moon: no such machine (one of: host vmx svm kvm)' -m moon
wrong "-k 5.10: no such kernel (one of: $KERNELS)" -k 5.10
wrong '-f coreboot: no such firmware (one of: seabios ovmf)' -f coreboot
wrong '-r 0: not a number from 1 to 9' -r 0
wrong '-c many: not a number from 1 to 99' -c many
wrong '-c 100: not a number from 1 to 99' -c 100
wrong '-r 10: not a number from 1 to 9' -r 10
wrong '-o: the folder is missing' -o ''
wrong 'none: no such file, or not readable' -i none
wrong 'now: not understood (-h shows the usage)' now
: >"$T/file"
wrong "$T/file/page: cannot be made, or not written to" -i "$RECORDING" -o "$T/file/page"
# This is found before a VM is booted, which takes minutes; so nothing else is printed.
run timeout 10 "$TOP/scripts/boot-report.sh" -m svm -o "$T/file/page"
is 'nowhere to put the report of a VM: before it boots' "$status:$out:$err" "1::boot-report.sh: $T/file/page: cannot be made, or not written to"
mkdir "$T/empty"
report -i "$T/bad" -o "$T/empty"
is 'a folder that was there stays, and as it was' "$status:$(ls -A "$T/empty" && echo there)" 1:there

done_testing

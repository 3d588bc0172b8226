#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the words of a page follow from its numbers: how many VMs, which reasons, between
# which times, what is shown and how much is not. Colours and pictures are named where they
# are. Of the guest's reads, those that lie too low or too high are counted. (2511 has whole
# pages.)
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/exitdump.sh"

# told KIND <LINES: prints the elements of this kind that the page of these lines has.
told() {
	awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/account.awk" /dev/stdin | grep -E "^$1"
}

# account VMS LOST NAME=SHARE...: prints the lines of such an account, in ns. The histogram
# of each reason is $hist.
hist=-
account() {
	local one
	lines 'columns fact title capture kernel vendor scope tsc tsc_khz vms vcpus guest overhead' \
		"fact Its~title c - vmx host stable 1000000 $1 4 - -" 'columns row name lost share halt hist'
	for one in "${@:3}"; do
		lines "row ${one%=*} 5 ${one#*=} 3 $hist"
	done
	lines 'columns total exits lost halt' "total 12345 $2 9"
}

is 'a title of its own: then of what it is, and how many exits' "$(account 2 9 A=1 | told 'fact.(Of|Exits)' | paste -sd,)" \
	$'fact\tOf\t2 VMs, 4 vCPUs on Intel VMX,fact\tExits\t12,345'
is 'three reasons are named, or two, or one; the time lost, and all the time halted' \
	"$(for rows in 'A=0.5 B=0.3 C=0.1 D=0.1' 'A=0.7 B=0.3' A=0.9996; do
		# shellcheck disable=SC2086 # words
		account 1 1000000000000000 $rows | told 'text.That' | sed 's/.*That is \(.*\) The largest .*\( for .*\)/\1\2/'
	done)" '12d, most of it to A (50.0%), B (30.0%) and C (10.0%). for 9.00ns.
12d, most of it to A (70.0%) and B (30.0%). for 9.00ns.
12d, most of it to A (100%). for 9.00ns.'

# parts COLUMNS NUMBERS: prints the table of parts of an account of one VM with these sums, in ns.
parts() {
	{ account 1 9 | sed '$d;/^columns\ttotal/d'; lines "columns total exits $1" "total 9 $2"; } | told row | sed -n '2,7s/^row\t//p' | cut -f 1-2 | tr '\t' ' ' | paste -sd,
}
is 'the parts of what was lost: what is left is other' "$(parts 'lost total halt cycles hsched user sched other' '50 90 40 20 5 10 15 10')" \
	"KVM's exit handler 15.0ns,user space (QEMU) 10.0ns,no CPU 15.0ns,interrupts or entry 10.0ns,halted 40.0ns,stopped 0"
is 'of an older kernel, which does not tell what was lost: of all but the halts' "$(parts 'lost total halt cycles hsched user sched other' '- 90 40 20 - 10 - -')" \
	"KVM's exit handler 20.0ns,user space (QEMU) 10.0ns,no CPU -,not told apart 20.0ns,halted 40.0ns,stopped 0"
is 'never less than 0: an exit that has not ended has no total yet' "$(parts 'lost total halt cycles hsched user sched other' '10 10 0 20 0 0 0 0')" \
	"KVM's exit handler 20.0ns,user space (QEMU) 0,no CPU 0,interrupts or entry 0,halted 0,stopped 0"
is 'one guest was halted, two were' "$(for vms in 1 2; do account $vms 9 A=1 | told text.That | grep -o 'Besides, .* that is'; done | paste -sd:)" \
	'Besides, it was halted, that is:Besides, they were halted, that is'
is 'of two equal parts the first is named' "$({ account 1 9 A=1 | sed '$d;/^columns\ttotal/d'; lines 'columns total exits lost cycles user' 'total 9 8 4 4'; } | told text.That | grep -o 'was work of KVM')" 'was work of KVM'
is 'the bar of all the time, or of all exits if that in the guest is not known' "$(for guest in - 5; do account 1 9 A=1 | sed "/^fact/s/-\t-$/$guest\t-/" | told bar | sed -n 1p | cut -f 2; done | paste -sd:)" \
	'all exits:all of the time'
is 'times up to 99999s, then days, up to 99999d, then years' "$(for lost in 99999400000000 100000000000000 8639900000000000000 8640000000000000000; do
	account 1 $lost A=1 | told text.That | sed 's/.*That is \([^,]*\),.*/\1/'
done | paste -sd ' ')" '99999s 1d 99999d 274y'
is 'its sections' "$(account 1 9 A=1 | told section | cut -f 2 | paste -sd,)" \
	'Where the time went,Exits by reason,How long exits take,Why: the keys inside reasons,Slow exits'
is 'of one VM, no table of VMs' "$({ account 1 9 A=1; lines 'columns vm vm' 'vm 1-2'; } | told 'section.VMs' || echo none)" none

# of BUCKETS: prints a histogram with one exit in each of these.
of() { awk -v ones=" $1 " 'BEGIN { for (b = 0; b < 32; b++) printf "%s%d", (b ? "~" : ""), (index(ones, " " b " ") > 0) }'; }
is 'below a histogram: its ends and its middle, where columns end; its first and its last column' \
	"$(for buckets in '3 5' '5 4 3 6' '29 30' '30 31' 31; do
		hist=$(of "$buckets")
		account 1 9 A=1 | told columns | cut -f 4- | sed 's/\t[0-9.]*=/\t/g; s/^\(\([^\t]*\t\)\{4\}\).*\t/\1/; s/\t/, /g'
	done)" '4.00ns, 16.0ns, 64.0ns, 4.00ns to 8.00ns: 1 exit, 32.0ns to 64.0ns: 0 exits
4.00ns, 16.0ns, 64.0ns, 4.00ns to 8.00ns: 1 exit, 32.0ns to 64.0ns: 1 exit
268ms, 537ms, 1.07s, 268ms to 537ms: 1 exit, 537ms to 1.07s: 1 exit
537ms, 1.07s, more, 537ms to 1.07s: 1 exit, 1.07s to more: 1 exit
537ms, 1.07s, more, 537ms to 1.07s: 0 exits, 1.07s to more: 1 exit'
hist=$(of 3 | sed 's/1/100000/; s/0$/1/')
is 'a column of one exit of very many is not empty' "$(account 1 9 A=1 | told columns | grep -o '0.01=1.07s to more: 1 exit')" '0.01=1.07s to more: 1 exit'
hist=-
hist=$(of 3)
is 'nine histograms, and how many more there are' "$(account 1 9 {A..K}=0.1 | told '(columns|text.And)' | cut -f 1-2 | sed -n '1p; 9,$p' | paste -sd,)" \
	$'columns\tA,columns\tI,text\tAnd 2 more reasons that are not shown.'
hist=-

# slow THRESHOLD N: prints the lines of N slow exits.
slow() {
	account 1 9 A=1
	lines 'columns of_slow threshold overwritten' "of_slow $1 0" 'columns slow time lost vm vmname'
	for ((i = 0; i < $2; i++)); do lines 'slow 1 2 3-4 -'; done
}
is 'slow exits: the threshold, the recorder, and 32 of them' "$(for case in '1000 33' '1000 32' '2000000 0' '0 1' '0 0'; do
	# shellcheck disable=SC2086 # words
	slow $case | told . | sed -n '/section.Slow/,$p' | grep -E '^(row|text)' | cut -f 2 | sed 's/^Of each .* exits that/Those that/; s/ The newest .*//' | uniq -c | sed 's/^ *//'
done)" '1 Those that lost more than 1ms.
32 1
1 And 1 more slow exit that is not shown.
1 Those that lost more than 1ms.
32 1
1 Those that lost more than 2000ms: there were none.
1 The recorder is off now; these were recorded before.
1 1
1 None were recorded: the recorder was off (exitdump set slow).'
is 'keys: none' "$(account 1 9 A=1 | told . | sed -n '/section.Why/,/section.Slow/p' | cut -f 2 | paste -sd:)" \
	'Why: the keys inside reasons:No exit had a key.:Slow exits'
is 'keys: eight of a reason, and how many more' "$({ account 1 9 A=1; lines 'columns key name key what exits total cycles max'; for ((i = 0; i < 10; i++)); do lines "key A 0x$i x 1 1 1 1"; done; } |
	told . | sed -n '/^group/,/^end/p' | sed -n '1,2p; 9,10p' | cut -f 2-3 | tr "\t" " " | paste -sd,)" 'A,0x0 x,0x7 x,... 2 more'
is 'keys: how many were replaced, if any' "$(for replaced in - 0 1 1000; do { account 1 9 A=1; lines 'columns key name key what exits total cycles max' 'key A 0x1 x 1 1 1 1' 'columns of_keys replaced' "of_keys $replaced"; } |
	told 'text.*replaced' | cut -f 2; done)" $'1 key replaced; their exits may be in the rest (-).\n1,000 keys replaced; their exits may be in the rest (-).'
is 'a TSC of unknown frequency: cycles, up to 999999 in full' "$(for lost in 999999 12345678; do
	account 1 $lost A=1 | sed 's/stable\t1000000/stable\t-/' | told '(fact.TSC|text.That)' | cut -f 2- | sed 's/,.*cycles, .*/, .../; s/, most .*//'
done | paste -sd,)" $'TSC\t-, stable,That is 999999 cycles,TSC\t-, stable,That is 12.35M cycles'
is 'what was lost is not known: that is not nothing' "$(account 1 - A=- | told lead)" $'lead\tIt is\tnot known\thow much the guest lost: the account lacks a column for that.'
is 'a TSC below 1 GHz: in MHz' "$(for khz in 1000000 999900; do account 1 9 A=1 | sed "s/stable\t1000000/stable\t$khz/" | told fact.TSC | cut -f 3; done | paste -sd:)" '1.000 GHz, stable:999.9 MHz, stable'
is 'the VMs: each number is below its heading' "$({ account 2 9 A=1; lines 'columns vm vm vmname vcpus exits lost overhead share cycles user sched halt' 'vm 1-2 one 4 5 600 7 8 900 1000 1100 1200'{,}; } |
	told . | sed -n '/section.VMs/,/^end/p' | sed -n '2,3p' | cut -f 2- | sed 's/\t/ | /g')" 'vm | guest | vCPUs | exits | lost | overhead | share | KVM | user | sched | halt
1-2 | one | 4 | 5 | 600ns | 700% | 800% | 900ns | 1.00us | 1.10us | 1.20us'
# shellcheck disable=SC2016 # awk expands it
is 'CSV: marks and commas inside a field' "$(awk -f "$TOP/scripts/plot/csv.awk" -f <(echo '{ n = csv_split($0, f); print n, f[1], f[2] }') <<<'"a "",""b",5')" '2 a ","b 5'

lines 'title t' 'colour kvm In~KVM' 'bar all 9 - kvm=50' 'head part time' 'row In~KVM 9' 'row out In~KVM' end >"$T/content"
like 'HTML: a colour has its name in the bar, and beside that name in a table' \
	"$(awk -v style=/dev/null -f "$TOP/scripts/report/html.awk" "$T/content" | grep -E '^<div class="bars?"|^<tr>')" \
	'^<div class="bars">.*<i class="kvm" style="width:50%" title="In KVM"></i>.*<tr><td><i class="kvm"></i>In KVM</td><td class="n">9</td></tr>.*<td>out</td><td class="n">In KVM</td>'
is 'HTML: no text is taken for tags' "$(lines 'title a<b' 'section a<b' 'item a<b' | awk -v style=/dev/null -f "$TOP/scripts/report/html.awk" /dev/stdin | grep -c 'a<b'):$(lines 'item a<b' | awk -v style=/dev/null -f "$TOP/scripts/report/html.awk" /dev/stdin | grep -o '<li>.*')" '0:<li>a&lt;b</li>'
lines 'title t' 'picture gone None' 'picture there One' >"$T/content"
echo '<svg/>' >"$T/there.svg"
is 'Markdown: a picture that is there, and no other' "$(awk -v folder="$T" -f "$TOP/scripts/report/markdown.awk" "$T/content" | paste -sd ' ')" '# t  ![One](there.svg)'
lines 'title t' 'fact a b' 'fact c d' 'columns A x' 'columns B y' 'head name exits' 'row n 1' end 'text z' >"$T/content"
is 'Markdown: lists without empty lines between, numbers to the right' "$(awk -f "$TOP/scripts/report/markdown.awk" "$T/content" | paste -sd '~')" \
	'# t~~- a: b~- c: d~~- A: x~- B: y~~| name | exits |~| --- | ---: |~| n | 1 |~~z'
is 'HTML: a browser may fetch and run nothing' "$(awk -v style=/dev/null -f "$TOP/scripts/report/html.awk" "$T/content" | grep -o 'Content-Security-Policy.*')" \
	"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"

is 'a file of one VM: how many, of what' "$(account 1 9 A=1 | sed '/^fact/s/Its title/-/; /^fact/s/\thost\t/\tvm\t/' | told title)" $'title\tVM exits: 1 VM, 4 vCPUs on Intel VMX'
is 'reasons without a bar, if what was lost is known: one, two' "$(for rows in 'A=0.996 B=0.004' 'A=0.994 B=0.003 C=0.003'; do
	# shellcheck disable=SC2086 # words
	account 1 9 $rows | told '(caption|bar)' | cut -f 1-2 | sed 1d | paste -sd,
done; account 1 - A=- | told caption; account 1 0 A=0 | told caption)" $'caption\tWhat was lost, by exit reason:,bar\tA,caption\tAnd 1 more reason, less than 0.5%.
caption\tWhat was lost, by exit reason:,bar\tA,caption\tAnd 2 more reasons, less than 0.5% each.'
is 'a bound is rounded up, but for a round number and for the longest of all' "$({ account 1 9 A=1 | sed '/^columns\trow/,$d'; lines 'columns row name p99 max'; for one in 2000 2001 2009; do lines "row A $one 9999"; done; lines 'row A 2001 2001' 'columns total exits' 'total 9'; } |
	told . | sed -n '/Exits by reason/,/^sum/s/^row\tA\t.*\t\(2[^\t]*\)\t[^\t]*$/\1/p' | paste -sd ' ')" '2.00us 2.01us 2.01us 2.00us'
is 'slow exits: how many were overwritten, if any' "$(for over in 0 1 1000; do slow 1000 1 | sed "s/^\(of_slow\t1000\t\)0$/\1$over/" | told text.Of | grep -o 'UTC.*'; done)" $'UTC.\nUTC. Overwritten since: 1.\nUTC. Overwritten since: 1,000.'
is 'HTML: below a histogram stand its first edge, its middle and its last' "$(lines 'title t' 'columns A 5~exits 1ns 2ns 4ns 50=1ns~to~2ns' | awk -v style=/dev/null -f "$TOP/scripts/report/html.awk" /dev/stdin | grep -o '<div class="edges">.*')" \
	'<div class="edges"><span>1ns</span><span>2ns</span><span>4ns</span></div></figure>'
is 'HTML: none of the elements passes on tags' "$(lines 'title <b' 'lead <b <b <b' 'fact <b <b' 'section <b' 'text <b' 'item <b' 'code <b' 'caption <b' 'colour k <b' 'bar <b <b <b k=1' 'columns <b <b <b <b <b 1=<b' 'head <b' 'group <b' 'row <b' 'sum <b' |
	awk -v style=/dev/null -f "$TOP/scripts/report/html.awk" /dev/stdin | grep -oE '<b( |=|[^/a-z>]|$)|<b[^>]*<' || echo none)" none
is 'Markdown: a command is code' "$(lines 'title t' 'code a|*b' | awk -f "$TOP/scripts/report/markdown.awk" /dev/stdin | tail -n 1)" '    a|*b'
is 'how much more than in the run before, if both were read' "$(awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/story.awk" <(lines 'machine x') <(lines 'row 1 A 5 7 9' 'row 2 B 3 - -' 'total - all 8 8 9') |
	sed -n 's/^row\t\([AB]\t\)/\1/p' | tr '\t' ' ' | paste -sd,)" 'A 1 5 7 9 (+2),B 2 3 - -'

# Two runs, beside the tables before and after them.
for table in 5 10 20 30; do printf 'reason,name,exits,cycles\n1,A,%d,0\n' "$table" >"$T/table$table"; done
leaf() { printf '   0x4ffffffd 0x01: eax=0x00000000 ebx=0x%08x ecx=0x00000000 edx=0x00000000\n' "$1"; }
# judged FIRST SECOND: what is said of a guest that has read these numbers.
judged() {
	{ echo 'run 1'; leaf "$1"; echo 'run 2'; leaf "$2"; echo end; } >"$T/reads"
	run awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/runs.awk" -v runs=2 "$T"/{reads,table5,table10,table20,table30}
	sed -n 's/^check\t//p' <<<"$out"
}
is 'the numbers that the guest read lie between the tables, the ends included' \
	"$(for pair in '10 20' '20 30' '9 25' '21 25' '15 19' '15 31'; do
		# shellcheck disable=SC2086 # words
		judged $pair
	done | cut -f 2 | paste -sd ' ')" '0 0 1 1 1 1'
{ echo 'run 1'; leaf 15; leaf 16; } >"$T/reads"
run awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/runs.awk" -v runs=1 "$T"/{reads,table5,table10,table20}
is 'a number that was read twice is refused' "$status:$out:$err" '1::the guest read 0x4ffffffd of 1 twice in run 1'
printf 'reason,name,exits,cycles\n1,"A\tB\\",5,0\n' >"$T/odd"
{ echo 'run 1'; leaf 5; echo end; } >"$T/reads"
is 'no name breaks a line' "$(awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/runs.awk" -v runs=1 "$T/reads" "$T"/{odd,odd,odd} | grep -c 'A?B?')" 1
is 'the least frequent reasons are of those that happened' "$(awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/story.awk" <(lines "machine x") <(lines 'row 1 A 5 5' 'row 2 B 0 3' 'total - all 5 8' 'sum 8 9' 'never 4') |
	grep -o 'Least.*')" 'Least frequent, of the 1 reasons that happened: A 5; 4 more that the kernel names never happened.'
printf 'reason,name,exits,cycles\n1,A,5,0\n2,B,1,0\n' >"$T/early"
printf 'reason,name,exits,cycles\n1,A,6,0\n2,B,9,0\n' >"$T/late"
{ echo 'run 1'; leaf 6; echo end; } >"$T/reads"
runs() { run awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/runs.awk" -v runs=1 "$T/reads" "$@"; }
runs "$T"/{early,early,late}
is 'reasons: the most frequent at the end first' "$(sed -n 's/^row\t//p' <<<"$out" | cut -f 2 | paste -sd ' ')" 'B A'
runs "$T"/{early,late}
is 'a table that is missing is told' "$status:$out:$err" '1::3 tables are needed, and there are 2'
is 'what a tick is, by the machine' "$(for machine in 'emulated by Bochs' "emulated by QEMU's TCG" 'QEMU, with nested virtualization'; do
	awk -f "$TOP/scripts/plot/csv.awk" -f "$TOP/scripts/report/story.awk" <(printf 'machine\t%s\n' "$machine") /dev/null | sed -n 's/.*by the TSC\(,\|;\|\.\)\(.*\)/\1\2/p' | cut -d ' ' -f 1-7
done)" ', one tick an instruction, since the
; the host here is emulated by
.'

for table in 5 10 20; do printf 'reason,name,exits,cycles\n1,A,%d,0\n' $((table << 32)) >"$T/table$table"; done
{ echo 'run 1'; leaf 5 | sed 's/ecx=0x00000000/ecx=0x0000000f/'; leaf 0 | sed 's/0x01:/0x02:/'; echo end; } >"$T/reads"
runs "$T"/{table5,table10,table20}
is 'numbers above 32 bits' "$(sed -n 's/^\(row\|check\)\t//p' <<<"$out" | cut -f 2- | tr '\t' ' ' | paste -sd,)" 'A 21474836480 64424509445,0'

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: plot.sh draws the data of captures as SVG and PNG, with numbers and units, and so
# that they can be read without colour. It adds up what it does not show. Each mistake gives
# one line and leaves no file.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/exitdump.sh"

for program in gnuplot xmllint; do
	command -v $program >/dev/null || skip_all "$program is not installed"
done
export EXITDUMP
VMX=$TOP/tests/fixtures/captures/vmx-6.1/sys/kernel/debug/kvm
cd "$T"

plot() { run "$TOP/scripts/plot.sh" "$@"; }

# alike FILE: prints the pairs of fills that look the same in grey, and the number of fills.
alike() {
	grep -A 1 '<pattern id' "$1" | sed -n "s/.*rgb(\([0-9]*\),\([0-9]*\),\([0-9]*\)).* d='\([^']*\)'.*/\1 \2 \3 \4/p" | sort -u |
		command awk '{
			rest = $0; sub(/^[0-9]+ [0-9]+ [0-9]+ /, "", rest)
			grey = 0.3 * $1 + 0.59 * $2 + 0.11 * $3
			for (i in greys) if (hatch[i] == rest && (greys[i] - grey) ^ 2 < 40 ^ 2) pairs++
			greys[NR] = grey; hatch[NR] = rest
		} END { print pairs + 0, NR }'
}

# words FILE: prints the text of an SVG.
words() { sed -n 's/.*<tspan[^>]*>\([^<]*\).*/\1/p; s/.*<text>\([^<]*\)<.*/\1/p' "$1" | tr '\n' '|'; }

cp "$VMX/exit_cycles" now
cp "$VMX/exit_cycles_hist" now_hist
cp "$VMX/71-4/exit_cycles" vm
for picture in cycles where latency; do
	for format in svg png; do
		plot $picture -o $picture.$format now
		is "$picture: drawn as $format, nothing said" "$status $out$err" '0 '
	done
	ok "$picture: well-formed XML" xmllint --noout $picture.svg
	is "$picture: a PNG" "$(head -c 8 $picture.png | od -An -tx1)" ' 89 50 4e 47 0d 0a 1a 0a'
done
is 'nothing else is left' "$(echo *)" 'cycles.png cycles.svg latency.png latency.svg now now_hist vm where.png where.svg'

like 'cycles: each reason with its number and share' "$(words cycles.svg)" 'EPT_VIOLATION\|.*\|118k, 37\.9 %\|74\.7k, 24\.1 %\|47\.0k, 15\.1 %'
like 'cycles: the axis has a unit' "$(words cycles.svg)" "time in KVM's exit handler, TSC cycles"
like 'where: guest and exits, then all exits, then each by its total' "$(words where.svg)" \
	'guest and exits \(2\.2M\)\|.*all exits \(2\.0M\)\|.*HLT \(1\.3M\)\|.*EPT_MISCONFIG \(290k\)'
like 'where: a unit' "$(words where.svg)" 'share of the time, %.*TSC cycles'
like 'latency: a panel a reason, with its exits and bounds' "$(words latency.svg)" \
	'MSR_WRITE: 80 exits, half of them below 512, 99 % below 2\.0k'
like 'latency: cycles and time on the axis' "$(words latency.svg)" '512\|25\.6 us\|.*from exit to entry, TSC cycles'
is 'where: no two of the five fills look alike in grey' "$(alike where.svg)" '0 5'

# The widths of the bars, from known numbers: 3, 1 and 0 of 4.
lines 'name,exits,cycles,total,halt,user' | tr ' ' , >known.csv
printf '%s\n' A,3,3000,4000,0,0 B,1,1000,4000,1000,2000 C,1,0,0,0,0 >>known.csv
awk() { command awk -f "$TOP/scripts/plot/csv.awk" "$@"; }
is 'cycles: the data' "$(awk -f "$TOP/scripts/plot/reasons.awk" -v kind=cycles known.csv)" \
	$'A\t3000\t3.0k, 75.0 %\nB\t1000\t1.0k, 25.0 %\nC\t0\t0, 0.0 %'
is 'where: the data, the guest and all first' "$(awk -f "$TOP/scripts/plot/reasons.awk" -v kind=where -v guest=8000 known.csv)" \
	$'guest and exits (16.0k)\t50\t75\t81.25\t93.75\t100
all exits (8.0k)\t0\t50\t62.5\t87.5\t100
A (4.0k)\t0\t75\t75\t75\t100
B (4.0k)\t0\t25\t50\t100\t100'
like 'where: a guest that has not run yet has its bar as well' "$(awk -f "$TOP/scripts/plot/reasons.awk" -v kind=where -v guest=0 known.csv)" '^guest and exits \(8\.0k\)'
is 'where: an exit that has not ended: its parts end where its total does' \
	"$(printf '%s\n' name,exits,cycles,total,halt,user A,2,300,1000,100,900 B,2,1500,1000,0,0 | awk -f "$TOP/scripts/plot/reasons.awk" -v kind=where /dev/stdin | sed 1d)" \
	$'A (1.0k)\t0\t30\t40\t100\t100\nB (1.0k)\t0\t100\t100\t100\t100'
{
	echo name,exits,cycles
	for ((i = 1; i <= 20; i++)); do echo "R$i,1,$((i * 1000))"; done
} >many.csv
like 'cycles: what is beyond the first thirteen is one bar, not left out' \
	"$(awk -f "$TOP/scripts/plot/reasons.awk" -v kind=cycles many.csv | tail -n 1)" $'^7 others\t28000\t'
head -n 15 many.csv >fourteen.csv
is 'cycles: fourteen have a bar each' "$(awk -f "$TOP/scripts/plot/reasons.awk" -v kind=cycles fourteen.csv | sed -n '1p;$p;$=' | cut -f 1 | paste -sd ' ')" 'R14 R1 14'
sed '1s/$/,total,halt,user/; 2,$s/000$/,100,5,20/' many.csv >parts.csv
is 'where: so it is there, with all of its parts' \
	"$(awk -f "$TOP/scripts/plot/reasons.awk" -v kind=where parts.csv | tail -n 1)" $'others (700)\t0\t17\t22\t42\t100'
is 'where: fourteen have a bar each, below that of all' "$(head -n 15 parts.csv | awk -f "$TOP/scripts/plot/reasons.awk" -v kind=where /dev/stdin | sed -n '$p;$=' | cut -f 1 | paste -sd ' ')" 'R14 (100) 15'
is 'cycles: of two VMs, one bar a reason; of no cycles, none' "$(printf 'name,exits,cycles\nA,1,3\nB,1,4\nA,1,2\n' | awk -f "$TOP/scripts/plot/reasons.awk" -v kind=cycles /dev/stdin | cut -f 1,2 | xargs):$(
	printf 'name,exits,cycles\nA,1,0\n' | awk -f "$TOP/scripts/plot/reasons.awk" -v kind=cycles /dev/stdin)" $'A 5 B 4:A\t0\t0, 0.0 %'
printf 'name,exits,cycles\nA,1,3\nB,1,x\n' >wrong.csv
run awk -f "$TOP/scripts/plot/reasons.awk" -v kind=cycles wrong.csv
is 'a mistake in a line: only that is said, and nothing drawn' "$status:$out:$err" '1::line 3: cycles is no number: x'
plot cycles -u us -o us.svg known.csv
like 'the unit of a CSV is that of -u' "$(words us.svg)" 'exit handler, microseconds'
plot cycles -u ns -o ns.svg known.csv
like 'or nanoseconds' "$(words ns.svg)" 'exit handler, nanoseconds'
"$EXITDUMP" -i now --csv -u us >us.csv
plot cycles -u us -o real.svg us.csv
is 'what exitdump writes with -u: fractions as well' "$status $err" '0 '
like 'drawn with its numbers' "$(words real.svg)" 'EPT_MISCONFIG\|.*\|2\.3k, [0-9.]+ %'
printf '%s\n' name,exits,cycles A,1,18446744073709551615 B,1,999600 >large.csv
plot cycles -o large.svg large.csv
is 'cycles up to 2^64' "$status $err" '0 '
like 'drawn as well' "$(words large.svg)" 'A\|.*\|18\.4E, 100\.0 %\|1\.0M, 0\.0 %'

# Over time.
{
	echo time,name,exits,cycles
	for i in 1 2 4; do printf '%s\n' "$((100 + i)).500,A,$((i * 10)),1" "$((100 + i)).500,\"B,\"\"q\"\"\",5,1"; done
} >time.csv
is 'over time: a line a moment, a gap is a gap, and names as they were quoted' \
	"$(awk -f "$TOP/scripts/plot/spans.awk" time.csv)" \
	$'place\twidth\tA\tB,?q?
0.500000\t1.000000\t10\t5
1.500000\t1.000000\t20\t5
3.500000\t1.000000\t40\t5'
is 'over time: all VMs of a moment' "$(printf 'time,name,exits\n1,A,3\n1,A,4\n2,A,1\n' | awk -f "$TOP/scripts/plot/spans.awk" /dev/stdin | cut -f 3 | xargs)" 'A 7 1'
plot over-time -o time.svg time.csv
is 'over time: drawn' "$status $err" '0 '
like 'over time: units on both axes' "$(words time.svg)" 'exits in every 1 s\|.*time, s'
# earlier PARTS: prints an earlier capture, with one of so many parts of the counts in `now`.
earlier() {
	command awk -F'\t' -v OFS='\t' -v parts="$1" '
		$1 ~ /^[0-9]+$/ { for (i = 3; i < 8; i++) sum[i] += $i = int($i / parts) }
		$2 == "TOTAL" { for (i = 3; i < 8; i++) $i = sum[i] }
		{ print }' now
}
earlier 4 >quarter
earlier 2 >half
plot over-time -o steps.svg quarter half now
is 'over time: of captures' "$status $err" '0 '
like 'over time: what is between them, by name; half of all was in the last step' "$(words steps.svg)" '\|150\|200\|half\|now\|'
printf 'time,name,exits\n1,A,10\n3,A,30\n' >gap.csv
is 'over time: a step without exits is empty, and those after it stay where they are' \
	"$(awk -f "$TOP/scripts/plot/spans.awk" -v steps=4 gap.csv | cut -f 1,3 | tr '\t' ' ' | paste -sd,)" 'place A,1.000000 10,2.000000 0,3.000000 30,4.000000 0'
is 'over time: of nine reasons, two share a column' \
	"$(sed '1s/.*/time,name,exits/; 2,$s/^\(.*\),.*,\(.*\)/1,\1,\2/; 11,$d' many.csv | sed 10q | awk -f "$TOP/scripts/plot/spans.awk" | cut -f 3- | tr '\t' ' ' | paste -sd:)" \
	'R9 R8 R7 R6 R5 R4 R3 2 others:9000 8000 7000 6000 5000 4000 3000 3000'
is 'numbers: at most four digits' "$(awk -f /dev/stdin <<<'BEGIN { print short(7), short(1.234), short(999), short(1000), short(99949), short(99960), short(999499), short(999500), group(999), group(1234567) }')" \
	'7 1.23 999 1.0k 99.9k 100k 999k 1.0M 999 1,234,567'
like 'over time: nor do those of the reasons' "$(alike steps.svg)" '^0 8$'
plot over-time -o pipe.png /dev/stdin <time.csv
is 'a pipe will do' "$status $err" '0 '
for file in time steps; do ok "$file: well-formed XML" xmllint --noout $file.svg; done

# The bench's pictures.
{
	echo part,lab,way,item,metric,value
	for way in stock=840 off=845 on=888 hist=1600 events=2000 bpf=2400 perf=3600; do
		echo "exits,vmx 6.1,${way%=*},cpuid,smallest,${way#*=}"
		echo "exits,vmx 6.1,${way%=*},cpuid,mean,9999"
	done
} >bench.csv
for picture in patched ways; do
	plot $picture -o $picture.svg bench.csv
	is "$picture: drawn" "$status $err" '0 '
	ok "$picture: well-formed XML" xmllint --noout $picture.svg
done
like 'patched: stock, and what is added' "$(words patched.svg)" '840\|.*\+5\|.*\+48\|'
{
	echo part,lab,way,item,metric,value
	for lab in 1 2; do printf 'exits,vmx 6.%s,%s,cpuid,smallest,%s\n' $lab stock 84$lab $lab off 9 $lab on 9; done
	echo reads,vmx 6.1,on,cpuid,smallest,1
} >labs.csv
is 'patched: a file for each lab, of the round trips alone' "$(awk -f "$TOP/scripts/plot/bench.awk" -v kind=patched -v folder="$T" labs.csv | xargs):$(sed -s 1d vmx-6.1 vmx-6.2 | tr '\t' ' ' | paste -sd,)" \
	'vmx-6.1 vmx-6.2:cpuid 841 9 9,cpuid 842 9 9'
awk -f "$TOP/scripts/plot/bench.awk" -v kind=ways -v folder="$T" bench.csv >/dev/null
is 'ways: the data, above stock' "$(<vmx-6.1)" $'vmx 6.1\toff\ton\thist\tevents\tbpf\tperf\ncpuid\t5\t48\t760\t1160\t1560\t2760'
like 'ways: a unit' "$(words ways.svg)" 'instructions added to an exit'

# Ten reasons. The first of them halts, so it is the last by lost time.
for ((i = 1; i <= 10; i++)); do
	printf '{"name":"R%d","total":%d,"halt":%d,"hist":[0,%d%s]},\n' "$i" $((i == 1 ? 9000 : 100 * i)) \
		$((i == 1 ? 8999 : 0)) "$i" "$(printf ',0%.0s' {1..30})"
done >ten.json
awk -f "$TOP/scripts/plot/latency.awk" -v names="$T/ten.names" ten.json >ten.data
is 'latency: by what is lost, and what is beyond the first seven in one panel' "$(sed 's/:* .*//' ten.names | tr '\n' ' ')" \
	'R10 R9 R8 R7 R6 R5 R4 3 '
is 'with all of its exits' "$(command awk '$1 == 1 { print $2 }' ten.data | tr '\n' ' ')" '10 9 8 7 6 5 4 6 '
awk -f "$TOP/scripts/plot/latency.awk" -v names="$T/eight.names" <(head -n 8 ten.json) >eight.data
is 'latency: eight reasons have a panel each' "$(sed 's/:* .*//' eight.names | tr '\n' ' ')" 'R8 R7 R6 R5 R4 R3 R2 R1 '

# Two VMs, of which one has a reason without exits; and a unit that is not that of the histogram.
none=$(printf ',0%.0s' {1..31})
for hist in "R,3$none" "R,4$none" {H,H}",1$none" "S,0$none"; do echo "{\"name\":\"${hist%%,*}\",\"total\":5,\"halt\":$([[ $hist == H* ]] && echo 5 || echo 0),\"hist\":[${hist#*,}]},"; done >vms.json
awk -f "$TOP/scripts/plot/latency.awk" -v names="$T/vms.names" vms.json >vms.data
is 'latency: of two VMs, one panel a reason, also of one that has lost nothing; none without exits' "$(<vms.names)" $'R: 7 exits, half of them below 1, 99 % below 1\nH: 2 exits, half of them below 1, 99 % below 1'
"$EXITDUMP" -i now --json -u us >us.json
plot latency -o us.svg us.json
like 'latency: its buckets are of cycles, whatever the unit of the times' "$(words us.svg)" '512\|25\.6 us\|.*from exit to entry, TSC cycles'
# Two exits in buckets 1 and 3, and one in the last bucket.
for hist in "0,1,0,1$(printf ',0%.0s' {1..28})" "$(printf '0,%.0s' {1..31})1"; do
	printf '{"name":"R","total":%d,"halt":0,"hist":[%s]},\n' 1 "$hist" | sed "s/R/R${#hist}${hist: -1}/"
done >bounds.json
awk -f "$TOP/scripts/plot/latency.awk" -v names="$T/bounds.names" bounds.json >bounds.data
is 'latency: the bounds' "$(<bounds.names)" \
	$'R630: 2 exits, half of them below 2, 99 % below 8\nR631: 1 exit, half of them above 1.1G, 99 % above 1.1G'

is 'latency: a count that needs more than 32 bits' "$(printf '{"name":"R","total":1,"halt":0,"hist":[5000000000%s]}' "$(printf ',0%.0s' {1..31})" |
	awk -f "$TOP/scripts/plot/latency.awk" -v names=/dev/null /dev/stdin | sed -n 1p)" $'0\t5000000000'

# Titles, and what gnuplot or XML could take for its own.
plot cycles -t "a <b> & 'c' \$x" -o title.svg now
is 'any title' "$status $err" '0 '
ok 'is well-formed' xmllint --noout title.svg
like 'also for who does not see it' "$(grep '<title>' title.svg)" "<title>a &lt;b> &amp; 'c' .x</title>"
like 'and as it was' "$(words title.svg)" "a &lt;b> &amp; 'c' .x\\|"
{
	echo name,exits,cycles
	printf '<b>&\\%s`"",1,5\n' "'" | sed 's/^/"/; s/,1,5/",1,5/'
	printf '\xff\xc3,1,7\n'
} >odd.csv
plot cycles -o odd.svg odd.csv
is 'odd names' "$status $err" '0 '
ok 'are well-formed' xmllint --noout odd.svg

# Mistakes.
rm -f ./*.svg ./*.png
mkdir small.d
fails() { # TITLE LINE ARGUMENT...
	plot "${@:3}"
	is "$1" "$status:$out:$err" "1::plot.sh: $2"
}
fails 'no picture' "no picture named (one of: cycles where over-time latency patched ways; -h shows the usage)"
fails 'no such picture' 'pie: no such picture (one of: cycles where over-time latency patched ways)' pie
fails 'no OUT' '-o (missing): a name that ends in .svg or .png is needed' cycles now
fails 'another format' '-o x.pdf: a name that ends in .svg or .png is needed' cycles -o x.pdf now
fails 'no file' 'no file to draw (-h shows what there can be)' cycles -o x.svg
fails 'two files' 'vm: cycles draws one file' cycles -o x.svg now vm
fails 'no such file' 'none: no such file, or not readable' cycles -o x.svg none
fails 'a folder' 'small.d: no such file, or not readable' cycles -o x.svg small.d
fails 'no such option' '-q: no such option, or its value is missing (-h shows the usage)' cycles -q
fails 'no such unit' '-u ms: no such unit (cycles, ns or us)' cycles -u ms -o x.svg now
fails 'a unit for a capture' '-u ns: a capture is in cycles (exitdump -i now -u ns --csv turns it into a CSV)' cycles -u ns -o x.svg now
fails 'a title of two lines' '-t: a title is one line' cycles -t $'a\nb' -o x.svg now
fails 'a CSV among captures' 'known.csv: not a capture; of other files, over-time draws only one' over-time -o x.svg now known.csv
fails 'no such folder' 'none/x.svg: no such folder, or no right to write there' cycles -o none/x.svg now
# root may write anywhere, but not without its rights
rights=()
((EUID)) || rights=(setpriv --bounding-set=-all --inh-caps=-all)
chmod 555 small.d
run "${rights[@]}" "$TOP/scripts/plot.sh" cycles -o small.d/x.svg now
is 'a folder of others' "$status:$out:$err" '1::plot.sh: small.d/x.svg: no such folder, or no right to write there'
chmod 755 small.d
printf 'nonsense\n' >bad
: >empty
head -n 4 now >truncated
echo name,exits,cycles >none.csv
printf 'name,exits,cycles\nA,1,-5\n' >negative.csv
printf 'name,exits,cycles\nA,1\n' >short.csv
printf 'time,name,exits\n2,A,1\n1,A,1\n' >back.csv
fails 'a time that goes back' 'back.csv: line 3: the time goes back' over-time -o x.svg back.csv
fails 'not ours' 'bad: no column name (is it what exitdump --csv wrote? add it with -o)' cycles -o x.svg bad
fails 'empty' 'empty: no exits in it, nothing to draw' cycles -o x.svg empty
fails 'no exits' 'none.csv: no exits in it, nothing to draw' cycles -o x.svg none.csv
fails 'a negative number' 'negative.csv: line 2: cycles is no number: -5' cycles -o x.svg negative.csv
fails 'a short line' 'short.csv: line 2 has not the 3 fields of the heading' cycles -o x.svg short.csv
fails 'where of a CSV without total' 'many.csv: no column total (is it what exitdump --csv wrote? add it with -o)' where -o x.svg many.csv
plot cycles -o x.svg truncated
like 'a capture that is cut off: one line' "$status:$err" $'^1:plot.sh: truncated: [^\n]*$'
fails 'no histogram' 'vm_hist: no such file (a copy of exit_cycles_hist is needed beside vm)' latency -o x.svg vm
fails 'neither capture nor JSON' 'bad: neither a capture nor what exitdump --json wrote' latency -o x.svg bad
sed 's/^/{"version":2,/; q' vms.json | sed 's/,0]/]/' >few.json
fails 'a histogram that is cut short' 'few.json: a histogram in it has not 32 buckets' latency -o x.svg few.json
sed -n 's/^{/{"version":2,/; $p' vms.json >zero.json
fails 'a histogram without exits' 'zero.json: no histogram with exits in it, nothing to draw (exit_cycles_hist must lie beside exit_cycles)' latency -o x.svg zero.json
printf 'name,exits,cycles,total,halt,user\nA,1,5,0,0,0\n' >begun.csv
fails 'where of an exit that has not ended' 'begun.csv: no exit has ended in it, nothing to draw' where -o x.svg begun.csv
fails 'one capture over time' 'now: one capture shows no span of time (two are needed, or exitdump --csv INTERVAL)' over-time -o x.svg now
fails 'captures the wrong way round, both by name' 'half: has lower counters than now (wrong order? cleared in between?)' over-time -o x.svg now half
echo part,lab,way,item,metric,value >nothing.csv
fails 'a bench without round trips' 'nothing.csv: no round trips in it (scripts/bench.sh --csv exits measures them)' patched -o x.svg nothing.csv
grep -v ,perf, bench.csv >part.csv
fails 'a bench without perf' 'part.csv: vmx 6.1: no figure for cpuid under perf' ways -o x.svg part.csv
is "no picture is left of any of them" "$(echo ./*.{svg,png})" "./*.svg ./*.png"
plot cycles -o ./of.two.dots.svg now
is 'a name with more dots: drawn as its last one says' "$status:$out:$err:$(grep -c '<svg' of.two.dots.svg)" 0:::1
rm of.two.dots.svg
if ((EUID == 0)) && mkdir small && mount -t tmpfs -o size=4k tmpfs small 2>/dev/null; then
	plot cycles -o small/x.svg now
	left=$(echo small/*)
	umount small
	like 'no space: one line' "$status:$err" $'^1:plot.sh: [^\n]*No space left on device$'
	is 'and nothing is left' "$left" 'small/*'
else
	skip 'no space' 'only root can mount a small disk'
fi
echo old >x.svg
mkdir tmp
TMPDIR=$T/tmp plot cycles -o x.svg empty
is 'and an older one stays as it was' "$(<x.svg)" old
is 'and no temporary file stays' "$(ls tmp)" ''

done_testing

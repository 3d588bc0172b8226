#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the tables of bench.sh and bench-rtt.sh have the numbers that the labs measured,
# computed as their headings say. A lab that fails makes bench.sh, bench-rtt.sh and
# diagnose.sh fail, and nothing is written. The test has a stand-in for the lab, and known
# numbers. (3301 and 3133 have the real ones.)
# shellcheck disable=SC2016 # the stand-ins expand it
. "${BASH_SOURCE[0]%/*}/lib.sh"

export T XDG_CACHE_HOME=$T/cache
mkdir -p "$T"/{bin,top/{docs,tools,patches/{6.1,6.12},scripts},cache/exit_cycles/6.{1,12}/out}
touch "$T"/cache/exit_cycles/6.{1,12}/out/bzImage
cp -R "$TOP"/scripts/{bench.sh,bench-rtt.sh,diagnose.sh,common.sh,run-vm.sh,bench,guest,source,vmm} "$T/top/scripts/"
cp "$TOP/docs/diagnose.md" "$T/top/docs/"
PATH=$T/bin:$PATH
# stand_in FILE: makes a program; standard input is its text.
stand_in() {
	{ echo '#!/bin/bash'; cat; } >"$1"
	chmod +x "$1"
}
for name in deps kernel; do
	stand_in "$T/top/scripts/$name.sh" </dev/null
done
for name in vmm/build guest/initrd; do
	stand_in "$T/top/scripts/$name.sh" <<<'touch "$1"'
done
stand_in "$T/top/scripts/plot.sh" <<<'cp "${@: -1}" "$3"'
stand_in "$T/bin/make" <<<'for word; do [[ $word != PROG=* ]] || touch "${word#*=}"; done'
stand_in "$T/bin/clang" <<<'one=${@: -1}; echo "${one##*/}" >>"$T/compiled"; touch "${@: -2:1}"'
stand_in "$T/bin/perf" </dev/null
# A compiler whose programs say what the accounting step costs.
stand_in "$T/bin/gcc" <<'END'
while (($#)); do
	[[ $1 != -o ]] || out=$2
	shift
done
[[ $out ]] || exit 0
cat >"$out" <<'X'
#!/bin/sh
case $1 in
scale) printf '%s\t%s\t%s\n' none 1 10 none 2 11 account 1 40 account 2 44 global 1 60 global 2 300 slow 1 5 ;;
model) printf 'model\t%s\t%s\t%s\n' slow-path rdtsc 4 slow-path written 6 fast-path rdtsc 2 fast-path written 3 ;;
esac
X
chmod +x "$out"
END
stand_in "$T/bin/git" <<<'mkdir -p arch/x86/kvm; echo code >arch/x86/kvm/exit_cycles.h'
# The lab says what the file for its command has.
stand_in "$T/top/scripts/lab.sh" <<'END'
echo "$*" >>"$T/labs"
before=''
for word; do
	[[ $before != -a || -e $word ]] || { echo "no $word"; exit 1; }
	before=$word
done
case $* in
*boot.sh*) cat "$T/boot" ;;
*'bpf exitdump_bpf exitdump_keys') cat "$T/any" ;;
*bench*'sh exits'*) echo "== exits"; cat "$T/exits"; case $* in *' reads') echo "== reads"; cat "$T/reads" ;; esac ;;
*'sh commands') for word; do [[ $word != */commands ]] || cp "$word" "$T/script"; done; cat "$T/commands" ;;
*) cat "$T/reads" ;;
esac
exit "$(cat "$T/status")"
END
stand_in "$T/top/scripts/source/stock.sh" <<'END'
echo "stock.sh: gone" >&2
echo /stock
exit "$(cat "$T/stock-status")"
END
echo 0 | tee "$T/status" >"$T/stock-status"

# In each way a CPUID takes so much at least and twice as much on average; OUT in the kernel
# 1000 more. The account counts 3 CPUIDs too many and 3 HLTs too few.
for one in stock=800 off=805 on=840 keys=860 hist=1600 events=2000 bpf=2400 perf=3600 keyhist=1700 keybpf=2300; do
	way=${one%=*} n=${one#*=}
	printf "$way\\tstep\\t0\\t0\\t%s\\t100\\t%s\\t%s\\t9999\\n" cpuid 1 1 out-kernel 1 1 cpuid "$n" $((2 * n)) out-kernel $((n + 1000)) $((2 * n + 1000))
done >"$T/exits"
tr ' ' '\t' >>"$T/exits" <<-'END'
	stock virtual N
	on known 0 0 10 100
	on known 0 0 12 50
	on known 0 0 31 999
	on made 0 0 rdmsr 20
	on made 0 0 wrmsr 30
	on made 0 0 eoi 5
	on counted 10 103
	on counted 12 47
	on counted 31 20
	on counted 32 35
	on lost 0
	on bytes 0 1
	perf known 0 0 114 100
	perf known 0 0 120 50
	perf known 0 0 124 40
	perf made 0 0 rdmsr 40
	perf counted msr 40
	perf counted cpuid 90
	perf counted hlt 50
	perf lost 7
	perf bytes 5000 50
	keys key 4000
END
sed 's/ /\t/g' >"$T/any" <<-'END'
	stock step 0 0 cpuid 100 900 950 999
	bpf step 0 0 cpuid 100 2450 2500 9999
	exitdump step 0 0 cpuid 100 2300 2400 9999
	exitdumpkeys step 0 0 cpuid 100 2310 2400 9999
END
sed 's/ /\t/g' >"$T/reads" <<-'END'
	1 vm 5000
	1 host 6000
	1 absent 1000
	1 total 1040
	1 row 1055
	10 beside 7000
END
sed 's/ /\t/g' >"$T/boot" <<-'END'
	stock 2000000
	on 2030000
	stock 1000000
	on 1020000
	stock 4000000
	on 4000000
	exits 77
END

bench() {
	: >"$T/labs"
	run "$T/top/scripts/bench.sh" "$@"
}
# row FIRST [HEADING]: the table's row with that first word, after the heading.
row() {
	sed -n "/${2:-^}/,\$p" <<<"$out" | awk -v first="$1" '$1 == first { $1 = $1; print; exit }'
}

ROUNDS=7 bench -o "$T/folder" vmx:6.12
is 'it ends well' "$status" 0
is 'both of its BPF programs are compiled, and come along' "$(paste -sd, "$T/compiled"):$(grep -c '/kvmexits\.o .*/kvmkeys\.o ' "$T/labs")" kvmexits.bpf.c,kvmkeys.bpf.c:1
is 'exits: the smallest, and what each way adds' "$(row cpuid smallest)" 'cpuid 800 +5 +40 +800 +1200 +1600 +2800'
is 'exits: the mean, and what each way adds' "$(row cpuid mean)" 'cpuid 1600 +10 +80 +1600 +2400 +3200 +5600'
is 'exits: by key, where there is one' "$(row out-kernel 'by MSR'):$(sed -n '/by MSR/,/what each/p' <<<"$out" | grep -c cpuid)" 'out-kernel 1800 +5 +40 +60 +900 +1500 +2800:0'
is 'exits: what was counted wrong, too much or too little' "$(row on 'has to show')" 'on 0 0.0 6 of 205 1.0'
is 'exits: lost, bytes, and how many times the account' "$(row perf 'has to show')" 'perf 7 100.0 10 of 190 70.0'
is 'exits: of what is switched off, nothing' "$(row off 'has to show')" ''
is "any: Debian's own kernel" "$(row cpuid "Debian's own")" 'cpuid 900 +1550 +1400 +1410'
is 'reads: a leaf above the exit, the files' "$(row 1 'absent leaf')" '1 1000 +40 +55 5000 6000'
is 'reads: with VMs around' "$(row 10 'VMs around')" '10 7000'
is 'boot: the median of the rounds' "$(row vmx 'power off')" 'vmx 6.12 2.00 2.03 +1.500% 3, 77, 150.000%'
is 'scale' "$(sed -n '/^exit_cycles, one a vCPU/s/  */ /gp' <<<"$out")" 'exit_cycles, one a vCPU 40.0 44.0 1.10'
like 'model' "$out" 'RDTSCs added  *3  *2.*own  *6  *3.*model, vmx 6\.12: 40 instructions at 2 a cycle \+ 3 x 25 = 95 cycles; with all 7 lines from L2 \(14\) 193, from L3 \(50\) 445'
like 'ROUNDS' "$(<"$T/labs")" 'boot.sh 7 bzImage'
is 'each lab is of that kernel, and exact' "$(grep -vc -e '^-m vmx -k 6\.12 -x ' "$T/labs")" 0
is '-o: the numbers, with a heading, and the picture' "$(head -n 2 "$T/folder/bench.csv" | paste -sd ' '):$(cmp "$T/folder"/bench.{csv,svg})" \
	'part,lab,way,item,metric,value exits,vmx 6.12,on,-,lost,0:'
is '--csv: the same' "$(bench --csv vmx:6.12; diff <(echo "$out") "$T/folder/bench.csv")" ''
# an APIC that is virtualized: then an EOI is no exit
is 'exits: what was counted wrong, without EOIs' "$(sed 's/virtual	N/virtual	Y/' "$T/exits" | awk -v part=exits -v lab=l -f "$TOP/scripts/bench/facts.awk" | awk '$3 == "on" && /known|wrong/ { print $5, $6 }' | paste -sd,)" 'known 200,wrong 11'
is "exits: names of Intel's reasons are their numbers" "$(for one in 'known 0 0 10 100' 'known 0 0 30 70' 'known 0 0 12 50' 'made 0 0 rdmsr 20' 'counted CPUID 100' 'counted IO_INSTRUCTION 70' 'counted HLT 50' 'counted MSR_READ 15' 'counted MSR_WRITE 5'; do
	echo "events $one"; done | tr ' ' '\t' | awk -v part=exits -v lab=l -f "$TOP/scripts/bench/facts.awk" | awk '/known|wrong/ { print $5, $6 }' | paste -sd,)" 'known 240,wrong 0'
is 'exits: a way that ran twice has each number once' "$(awk -v part=exits -v lab=l -f "$TOP/scripts/bench/facts.awk" "$T"/exits{,} | grep -c '	keys	cpuid	smallest')" 1
is 'boot: the median of two rounds' "$(sed '5,6d; s/2030000/2040000/' "$T/boot" | awk -v part=boot -v lab='vmx 6.12' -f "$TOP/scripts/bench/facts.awk" |
	awk -f "$TOP/scripts/bench/table.awk" | sed -n '/^vmx/s/  */ /gp')" 'vmx 6.12 1.50 1.53 +2.000% 2, 77, 66.667%'
bench --csv scale vmx:6.12
is '--csv: one part' "$(paste -sd ' ' <<<"$out")" "part,lab,way,item,metric,value $(printf 'scale,host,%s ' none,1,cycles,10 none,2,cycles,11 account,1,cycles,40 account,2,cycles,44 global,1,cycles,60 global,2,cycles,300)scale,host,account,1,slow,5"
bench exits reads
is 'without a lab: all' "$(grep -o -e '^-m [a-z]* -k [0-9.]*' "$T/labs" | paste -sd,)" '-m vmx -k 6.1,-m svm -k 6.1,-m vmx -k 6.12,-m svm -k 6.12'
echo 3 >"$T/stock-status"
bench any exits vmx:6.1
like 'a kernel that Debian no longer has is left out' "$status:$err" '^0:.*any: left out, stock.sh: gone'
echo 1 >"$T/stock-status"
bench any vmx:6.1
like 'one that cannot be fetched fails' "$status:$err" '^1:.*vmx:6.1: stock.sh: gone'
echo 243 >"$T/status"
for part in exits reads boot; do
	bench -o "$T/other" $part vmx:6.1
	like "a lab that fails: $part" "$status:$out:$err" '^1::.*bench.sh: vmx:6.1: the lab failed'
done
is 'and writes nothing' "$(ls "$T/other")" ''
bench svm:2.6
is 'no such kernel' "$status:$err" '1:bench.sh: svm:2.6: no such kernel (one of: 6.1 6.12)'
stand_in "$T/top/scripts/plot.sh" <<<'kill -TERM $PPID'
echo 0 >"$T/status"
bench -o "$T/ended" exits vmx:6.1
is 'ended by a signal: that is no success' "$status" 130


# --- exits.sh, in the lab: what is on while each way is measured

mkdir -p "$T/sys/trace/events/kvm"/{kvm_exit,kvm_entry,kvm_msr,kvm_pio} "$T"/sys/trace/per_cpu/cpu0 "$T"/sys/module/{kvm,kvm_intel}/parameters "$T/inside"
sed "s,/sys/kernel/debug/tracing,$T/sys/trace,; s,/sys/kernel/debug/kvm,$T/sys,; s,/sys/module,$T&,g; s,/proc/sys/net/core/bpf_jit_enable,$T/jit," \
	"$TOP/scripts/bench/exits.sh" >"$T/inside/exits.sh"
printf '%s\n' 'entries: 200' 'overrun: 5' 'commit overrun: 2' 'bytes: 9000' 'dropped events: 1' >"$T/sys/trace/per_cpu/cpu0/stats"
printf '{ exit_reason:         12 } hitcount:         50\n    Dropped: 4\n' >"$T/sys/trace/events/kvm/kvm_exit/hist"
printf '{ ecx:        %s } hitcount:          %s\n' 139 6 140 5 >"$T/sys/trace/events/kvm/kvm_msr/hist"
printf '# exit_cycles 1\nreason\tname\texits\n10\tCPUID\t20\n' >"$T/sys/exit_cycles"
printf '10\tMSR\t0x8b\t7\n10\tMSR\t0x10000008b\t8\n' >"$T/sys/exit_cycles_keys"
touch "$T"/sys/module/kvm/parameters/exit_cycles{,_keys} "$T"/sys/trace/events/kvm/kvm_pio/hist
stand_in "$T/bin/lab-modules" <<<'echo "$2" >$T/series; echo Y | tee $T/sys/module/kvm/parameters/exit_cycles{,_keys} >/dev/null'
stand_in "$T/bin/bpf-exits" <<<'shift 2; "$@"; echo "counted	139	9" >bpf.out'
# perf: records while its last words run, and says what it is asked
stand_in "$T/bin/perf" <<'END'
case $* in
*record*) echo perf >"$T/watch"; sh loop; rm "$T/watch"; echo data >perf.data; exit "$(cat "$T/perf")" ;;
*--event=msr*) echo '0x8b:r 3' ;;
*report*) echo 'cpuid 60 50.0%' ;;
*script*) echo 'x PERF_RECORD_LOST 2'; echo 'x PERF_RECORD_LOST 3' ;;
esac
END
# vmm: notes what is on
stand_in "$T/bin/vmm" <<'END'
cd "$T/sys"
on=$(cat "$T/series")
on+=$(cat module/kvm/parameters/exit_cycles{,_keys} | tr -d '\n')
on+=$(grep -l '^hist' trace/events/kvm/*/trigger 2>/dev/null | cut -d / -f 4 | sed 's/^/ /' | tr -d '\n')
on+=$(grep -l 1 trace/events/kvm/*/enable 2>/dev/null | cut -d / -f 4 | sed 's/^/ +/' | tr -d '\n')
[[ ! -e exit_cycles_reset ]] || on+=" reset"
[[ ! -e $T/watch ]] || on+=" perf"
[[ $on != *+kvm_exit* ]] || printf " qemu-7 [000] 1.5: kvm_exit: vcpu 0 reason %s rip 0x1\n" EXIT_CPUID EXIT_CPUID HLT >trace/trace
[[ $1 != cpuid* ]] || echo "$on" >>"$T/on"
echo "step	0	0	${1%=*}	1	1	1	1"
[[ $1 != cpuid* ]] || printf '%s\t0\t0\tcpuid\t1\n' known made
END
inside() {
	: >"$T/on"
	(cd "$T/inside" && run sh exits.sh "$@" && echo "$status" && cat "$T/.out") >"$T/inside.out"
}
echo 0 >"$T/perf"
inside
is 'exits.sh: what is on during each way' "$(paste -sd, "$T/on")" \
	'stockYY,stockYY,stockYY kvm_exit,stockYY +kvm_entry +kvm_exit,stockYY,stockYY perf,stockYY kvm_msr kvm_pio,stockYY,patchedNY,patchedYN reset,patchedYY reset'
# says WAY: its lines but for vmm's
says() { grep "^$1	" "$T/inside.out" | grep -v '	\(step\|known\|made\)	' | cut -f 2- | tr '\t' ' ' | paste -sd,; }
is 'exits.sh: events' "$(says events | tr , '\n' | sort | paste -sd,)" 'bytes 9000 100,counted CPUID 2,counted HLT 1,lost 8'
is 'exits.sh: hist' "$(says hist)" 'counted 12 50,lost 4,bytes 0 1'
is 'exits.sh: hist by key: the accesses to that MSR' "$(says keyhist)" 'key 6'
is 'exits.sh: perf' "$(says perf)" 'counted cpuid 60,lost 5,bytes 5 60,key 3'
is 'exits.sh: the account, with its keys' "$(says on)|$(says keys)|$(says keybpf)" 'counted 10 20,lost 0,bytes 0 1|key 15|key 9'
echo 1 >"$T/perf"
inside
like 'exits.sh: perf fails' "$(head -n 1 "$T/inside.out")" '^[1-9]'
echo 0 >"$T/perf"
sed -i "s/^\*report.*/*report*) ;;/" "$T/bin/perf"
inside perf_stat
like 'exits.sh: perf that has seen no exit fails, too' "$(head -n 1 "$T/inside.out")" '^[1-9]'
sed -i "s/^\*report.*/*report*) echo 'cpuid 60 50.0%' ;;/" "$T/bin/perf"
inside off on
is 'exits.sh: some ways only' "$(cut -f 1 "$T/inside.out" | sort -u | paste -sd ' ')" '0 off on stock'
is 'exits.sh: all that vmm says of its exits' "$(sed -n 's/^off	\([a-z]*\).*/\1/p' "$T/inside.out" | sort -u | paste -sd ' ')" 'known made step'

# --- boot.sh, in the lab

mkdir "$T/boots"
sed "s,/sys/kernel/debug/kvm,$T/sys," "$TOP/scripts/bench/boot.sh" >"$T/boots/boot.sh"
cp "$TOP/scripts/common.sh" "$T/boots/"
stand_in "$T/boots/run-vm.sh" <<<'cat "$T/guest"'
stand_in "$T/bin/ticks" <<<'shift; "$@" && echo "$(cat "$T/series")" | sed "s/stock/100/; s/patched/103/" >&2'
boots() { (cd "$T/boots" && run bash ./boot.sh 2 bzImage initrd && echo "$status:$(paste -sd, "$T/.out" | tr '\t' ' '):$err"); }
echo 'guest: Linux 6.12 is up' >"$T/guest"
printf -- '-\tTOTAL\t77\n' >>"$T/sys/exit_cycles"
is 'boot.sh: by turns' "$(boots)" '0:stock 100,on 103,stock 100,on 103,exits 77:'
echo 'Kernel panic' >"$T/guest"
is 'boot.sh: a guest that does not come up' "$(boots)" '1::boot.sh: the guest did not come up: Kernel panic'

# --- bench-rtt.sh

for one in stock=800 off=803 on=841 keys=859 slow=1000; do
	printf '%s\tstep\t0\t0\tcpuid\t5000\t%s\t0\t0\n' "${one%=*}" 1 "${one%=*}" "${one#*=}"
done >"$T/commands"
for one in stock-leaves=700 leaves=730; do
	for n in 1 2 3 4 5 6; do printf '%s\tstep\t0\t0\tcpuid\t5000\t%s\t0\t0\n' "${one%=*}" $((${one#*=} + n)); done
done >>"$T/commands"
echo 0 >"$T/status"
run "$T/top/scripts/bench-rtt.sh" svm:6.12
is 'rtt: the round trips, and what each adds to the one before' "$status:$(row svm leaf | cut -d' ' -f 2-)" '0:6.12 leaf 0x4fffffff 703 - 733 - - 30 - -'
is 'rtt: with keys, and recorded as slow' "$(awk '$3 == "cpuid" { $1 = $1; print }' <<<"$out")" 'svm 6.12 cpuid 800 803 841 859 3 41 18 141'
# what its script has switched on, in the lab
rm -f "$T/sys/exit_cycles_reset"
echo vmx >"$T/cpuinfo"
sed "s,/sys/module,$T&,; s,/proc/cpuinfo,$T/cpuinfo," "$T/script" >"$T/inside/script"
: >"$T/on"
(cd "$T/inside" && run sh script && cut -f 1 "$T/.out" | uniq | paste -sd ' ') >"$T/inside.out"
is 'rtt: what is on during each' "$(<"$T/inside.out"):$(paste -sd ' ' "$T/on")" \
	'stock stock-leaves off on leaves keys slow:stockYY stockYY patchedNY patchedYN patchedYN patchedYY patchedYY'
is 'rtt: the last is with every exit slow' "$(<"$T/sys/module/kvm/parameters/exit_cycles_slow")" 1

# --- reads.sh, in the lab

stand_in "$T/bin/vmm" <<'END'
[[ $1 != --hold ]] || { echo hold; exec sleep 30; }
echo "$*" >>"$T/vmms"
[[ $1 != --spare ]] || printf 'step\t0\t0\tcpuid\t300\t%s\n' 1 "$2"2 "$2"3 "$2"4
[[ $3 != --after ]] || VMM_DIRS=1-2 sh -c "$4"
END
stand_in "$T/bin/ticks" <<<'echo "${2#"$T/sys/"}"'
sed "s,/sys/kernel/debug/kvm,$T/sys,; s,/proc/cpuinfo,$T/cpuinfo," "$TOP/scripts/bench/reads.sh" >"$T/inside/reads.sh"
(cd "$T/inside" && run sh reads.sh && echo "$status:$(paste -sd, "$T/.out" | tr '\t' ' ')") >"$T/inside.out"
is 'reads.sh: of so many vCPUs, the leaves and the files; then beside other VMs' "$(<"$T/inside.out")" "0:$(for n in 1 10 100 1000; do
	s=$((n - 1))
	printf '%s,' "$n absent ${s}2" "$n total ${s}3" "$n row ${s}4" "$n vm 1-2/exit_cycles" "$n host exit_cycles"
done)10 beside 1-2/exit_cycles,1000 beside 1-2/exit_cycles"
like "reads.sh: an Intel's reason" "$(<"$T/vmms")" 'cpuid:0x4ffffffd:10=300'
stand_in "$T/bin/ticks" <<<'exit 1'
(cd "$T/inside" && rm no-end && run sh reads.sh && echo "$status:$(cut -f 2 "$T/.out" | sort -u | paste -sd,)") >"$T/inside.out"
is 'reads.sh: a file that cannot be read has no number' "$(<"$T/inside.out")" 0:absent,row,total

echo 241 >"$T/status"
run "$T/top/scripts/bench-rtt.sh" svm:6.12
like 'rtt: a lab that fails' "$status:$err" '^1:.*svm 6.12: the lab failed'

# --- diagnose.sh: writes the page

echo 0 >"$T/status"
page=$T/top/docs/diagnose.md
sed -n 's/^<!-- \(.*\) -->$/== \1\nnew \1\nand more/p' "$page" >"$T/commands"
grep -v '^    ' "$page" >"$T/text"
: >"$T/labs"
run "$T/top/scripts/diagnose.sh" -m svm -k 6.12
is 'diagnose: prints' "$status:$(diff "$T/commands" "$T/.out")" 0:
like 'diagnose: in the lab of -m and -k' "$(<"$T/labs")" '^-m svm -k 6\.12 -x '
: >"$T/labs"
run "$T/top/scripts/diagnose.sh" -m kvm
is 'diagnose: a machine that does not count instructions is refused, and no lab boots' "$status:$out:$err:$(<"$T/labs")" \
	'1::diagnose.sh: -m kvm: no such exact lab (one of: vmx svm):'
run "$T/top/scripts/diagnose.sh" -w
is 'diagnose -w: prints nothing' "$status:$out" 0:
is 'each example has its new output, and no other' "$(sed -n '/^<!-- /,/^[^ ]/{/^<!-- /s/.*<!-- \(.*\) -->/== \1/p; s/^    //p}' "$page" | diff "$T/commands" -)" ''
like 'and nothing of the old one stays' "$(sed -n '/^<!-- pm-timer -->/,/^[A-Z]/p' "$page" | paste -sd '|')" '^<!-- pm-timer -->\|\|    new pm-timer\|    and more\|\|[^ |]'
cp "$page" "$T/page"
sed -i '/^== freeze$/,+2d' "$T/commands"
run "$T/top/scripts/diagnose.sh" -w
is 'diagnose -w: an example that was not made: the page stays' "$status:$err:$(cmp "$page" "$T/page")" "1:diagnose.sh: $page: an output that is not made here:"
echo 244 >"$T/status"
run "$T/top/scripts/diagnose.sh" -w
like 'diagnose -w: a lab that fails: the page stays' "$status:$err:$(cmp "$page" "$T/page")" '^1:.*vmx 6.1: the lab failed .*:$'

# --- the programs that measure, really built

PATH=${PATH#*:}
gcc -o "$T/ticks" "$TOP/scripts/bench/ticks.c"
run "$T/ticks" run sh -c 'exit 7'
like 'ticks run: the status of its command' "$status:$out:$err" '^7::[1-9][0-9]*$'
run "$T/ticks" read "$T/none"
is 'ticks read: no file' "$status:$out:$err" "1::ticks: $T/none: No such file or directory"
sed '$d' "$TOP/scripts/bench.sh" >"$T/top/scripts/functions"
GIT_CEILING_DIRECTORIES=$T bash -c '. "$0"; TOP=$1 tmp=$T labs=("vmx:$2"); build_step' "$T/top/scripts/functions" "$TOP" "$(default_kernel)"
run "$T/step-run" model
is 'step: RDTSCs and written cache lines of an exit, and of one on a fast path' "$status:$(cut -f 4 <<<"$out" | paste -sd " ")" '0:4 4 3 4'

done_testing

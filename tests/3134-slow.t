#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exit_cycles_slow tells when. Among 10,000 quick exits and a slow one it has only the
# slow one, with its key, the RIP of its instruction and what it waited for: user space, a
# CPU, or a page of memory. A halt or a stop is not lost time. It keeps the last 16 of a vCPU
# and tells how many it dropped, also after the VM has ended; reset clears it. Its moment
# agrees to the millisecond with the host's clocks, and with the tracepoint in ftrace and
# perf. L2's exits have L2's RIP. The parameter takes microseconds and nothing else. The labs
# are exact, so only the guest's own work is slow.
# Stress: svm:kasan svm:kcsan svm:rt svm:clang
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

in_lab <<'EOF'
T=/sys/kernel/tracing
mkdir -p $T
mount -t tracefs nodev $T 2>/dev/null || :
khz=$(awk -F"[=\t]" "/^# / { print \$5 }" $K/exit_cycles)

# trace_vmm NAME ARGUMENT...: run_vmm; what the tracepoint tells meanwhile is section NAME.trace.
trace_vmm() {
	echo >$T/trace
	echo 1 >$T/events/kvm/kvm_exit_slow/enable
	run_vmm "$@"
	echo 0 >$T/events/kvm/kvm_exit_slow/enable
	section "$1.trace"
	cat $T/trace
}

section default
cat $P/exit_cycles_slow
run_vmm unset sleep-user:20=1
section bad
for value in -1 x 1x 99999999999 ''; do
	(echo "$value" >$P/exit_cycles_slow) 2>&1 | sed 's/.*: //'
done
cat $P/exit_cycles_slow

echo 15000 >$P/exit_cycles_slow
run_vmm one out-user=5000 sleep-user:20=1 out-user=5000
# the timer fires five milliseconds into the 30 for which the CPU is taken
trace_vmm hog hlt-late:$((khz * 5)):30=1
run_vmm halt hlt:$((khz * 1000))=1
# in Bochs no signal ends the turn of a guest that spins
if [ "$vendor" = svm ]; then
	run_vmm signal signal:50=1
	run_vmm stopped --at 'parent=$PPID; (sleep 0.1; kill -STOP $parent; sleep 0.1; kill -CONT $parent) &' shell=1 spin=$((khz * 300))
	# the stop begins while a process of the highest priority has the CPU
	trace_vmm waits --at 'export parent=$PPID; (sleep 0.1; chrt -f 1 sh -c ". ./words; kill -STOP \$parent; keeps_cpu 4"; sleep 0.1; kill -CONT $parent) &' shell=1 spin=$((khz * 400))
fi
run_vmm late --page-in 20 hlt:100000=1 ept-async=1

echo 1000 >$P/exit_cycles_slow
run_vmm many sleep-user:2=1000
account gone
vmm --quiet sleep-user:2=4
account after
# the exits that ended last are of the vCPU that is destroyed first
echo 0 >$K/exit_cycles_reset
vmm --quiet --vcpus 2 sleep-user:300=1 sleep-user:2=16 / sleep-user:2=16
account last
run_vmm pair --vcpus 2 sleep-user:2=20 / sleep-user:2=20
echo 0 >$K/exit_cycles_reset
account cleared

# the threshold falls in a VM that has lost more before
echo 15000 >$P/exit_cycles_slow
run_vmm lower --at 'echo 1000 >'$P/exit_cycles_slow sleep-user:20=1 shell=1 sleep-user:2=3
echo 0 >$K/exit_cycles_reset

for clock in mono perf; do
	echo $clock >$T/trace_clock
	trace_vmm $clock --vcpus 2 cpuid=1 / sleep-user:20=1
	echo 0 >$K/exit_cycles_reset
done
perf record -q -k CLOCK_MONOTONIC -a -e kvm:kvm_exit_slow -o data -- vmm --quiet sleep-user:20=1
account recorded.vm
section recorded.trace
perf script -i data
echo 0 >$K/exit_cycles_reset
section date
bash -c 'echo $EPOCHREALTIME'
account dated
section date.after
bash -c 'echo $EPOCHREALTIME'

echo 1 >$P/exit_cycles_slow
run_vmm each cpuid=20 nested=5
echo N >$P/exit_cycles_keys
run_vmm unkeyed nested=2
echo Y >$P/exit_cycles_keys
run_vmm l2-out nested-out=4
if [ "$vendor" = svm ]; then
	# the first thousands may come before the other vCPU is there
	echo 64 >$T/buffer_size_kb
	echo 10 >$P/exit_cycles_slow
	trace_vmm yields --vcpus 2 yield=5000
	echo 1 >$P/exit_cycles_slow
fi
# SVM's number of this reason is -1, and no other row has a name after it
trace_vmm refused --bad-entry
for us in 2 3 4 6; do
	echo $us >$P/exit_cycles_slow
	run_vmm above$us cpuid=20 out-kernel=20 rdmsr=20 vmcall=20 in=5 ept=5 mmio=5 out-user=5
done
echo 0 >$P/exit_cycles_slow
run_vmm none cpuid=20 sleep-user:20=1
EOF

# slow SECTION COLUMN...: prints these columns for each line of a file of slow exits.
slow() {
	awk -F'\t' -v columns="${*:2}" '
		/^# / { next }
		$1 == "time" { n = split(columns, c, " "); for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ for (i = 1; i <= n; i++) printf "%s%s", $at[c[i]], i < n ? " " : "\n" }' "$F/$1_slow"
}

# line_key SECTION KEY: prints a value from the first line of a file of slow exits.
line_key() {
	sed -n "1s/.*	$2=\([0-9]*\).*/\1/p" "$F/$1_slow"
}

# at RIP...: prints the instructions there; the guest's code is the monitor's own.
at() {
	local rip
	for rip; do
		objdump -d --no-show-raw-insn --start-address="$rip" --stop-address="$((rip + 15))" "$T/vmm" |
			sed -n "s/^ *${rip#0x}:\t\([a-z]*\).*/\1/p"
	done
}

# sane SECTION: prints lines whose parts are longer than their total, or that are out of order.
sane() {
	slow "$1" time total cycles halt user sched hsched stop |
		awk '$3 - $7 + $4 + $5 + $6 + $8 > $2 || NR > 1 && $1 > last { print } { last = $1 }'
}

judge_one() {
	local total user
	is "$lab the slow one of 10,001 alone, of its port" \
		"$(slow one.vm name key vcpu)" "$([[ $vendor == vmx ]] && echo IO_INSTRUCTION || echo io) 0x501 0"
	is "$lab at an OUT" "$(at "$(slow one.vm rip)")" out
	is "$lab line 1 has the threshold" "$(line_key one.vm threshold)" 15000
	read -r total user < <(slow one.vm total user)
	ok "$lab 20 ms in user space: $((user / khz)) of $((total / khz))" \
		test $((user / khz)) -ge 20 -a $((user * 100)) -ge $((total * 95))
	is "$lab the table counts it" "$(cell one.vm TOTAL slow)" 1
	is "$lab the same of the vCPU and of the host" "$(slow one.0 time total)" "$(slow one.vm time total)"
	is "$lab the VM is its process" "$(slow one.vm vm)" "$(sed -n 's/^vm\t0\t-\t\([0-9]*\)-.*/\1/p' "$F/one")"
}

judge_parts() {
	local name sched total stop column hlt=12
	[[ $vendor == vmx ]] || hlt=120
	read -r name sched total < <(slow hog.vm name sched total)
	is "$lab hog: the halt that was over while the CPU was taken" "${name,,}" hlt
	ok "$lab hog: without a CPU for $((sched / khz)) ms of $((total / khz))" test $((sched / khz)) -ge 20
	is "$lab hog: alone" "$(cell hog.vm TOTAL slow)" 1
	is "$lab hog: it has the parts of its row" "$(slow hog.vm total cycles halt user sched hsched stop)" \
		"$(for column in total cycles halt user sched hsched stop; do cell hog.vm $hlt $column; done | xargs)"
	like "$lab hog: and so has the tracepoint" "$(traced hog)" "$(in_trace hog.vm)\$"
	is "$lab a halt of a second is none" "$(slow halt.vm name) $(cell halt.vm TOTAL slow)" " 0"
	[[ $vendor == svm ]] || return 0
	is "$lab nor is a signal's handler" "$(slow signal.vm name)" ""
	is "$lab nor SIGSTOP" "$(slow stopped.vm name key | but_shell)" ""
	ok "$lab which was there: $(($(cell stopped.vm TOTAL stop) / khz)) ms" test "$(($(cell stopped.vm TOTAL stop) / khz))" -ge 90
	read -r name total sched stop _ < <(slow waits.vm name total sched stop key | but_shell)
	is "$lab waits: a wait for the CPU and a stop in one exit is one slow exit" "$(slow waits.vm name key | but_shell | cut -f 1 -d " ")" interrupt
	ok "$lab waits: it has both: $((sched / khz)) and $((stop / khz)) of $((total / khz)) ms" test \
		$((sched / khz)) -ge 20 -a $((stop / khz)) -ge 90 -a "$total" -ge $((sched + stop))
	like "$lab waits: and so has the tracepoint" "$(traced waits | but_shell)" "$(in_trace waits.vm | but_shell)\$"
}

# judge_late: two pages. For the first, KVM waits in the handler, since the guest's interrupts
# are off. For the second, KVM lets the vCPU wait; this is not a halt.
judge_late() {
	local fault total cycles total0 cycles0
	fault=$([[ $vendor == vmx ]] && echo EPT_VIOLATION || echo npf)
	is "$lab late: the pages that were written to" "$(slow late.vm name key)" "$fault 0x2"$'\n'"$fault 0x2"
	{ read -r total cycles; read -r total0 cycles0; } < <(slow late.vm total cycles)
	ok "$lab late: the handler waits $((cycles0 / khz)) ms of $((total0 / khz)) with interrupts off" \
		test $((cycles0 / khz)) -ge 20 -a $((cycles0 * 100)) -ge $((total0 * 95))
	ok "$lab late: the vCPU waits $((total / khz)) ms with interrupts on, $((cycles / khz)) in the handler" \
		test $((total / khz)) -ge 20 -a $((cycles * 10)) -le "$total"
	is "$lab late: it is not halted" "$(cell late.vm "$([[ $vendor == vmx ]] && echo 48 || echo 1024)" halt)" 0
}

judge_many() {
	local kept
	is "$lab many: the last 16 are kept" "$(slow many.vm key | sort | uniq -c | tr -s ' ')" " 16 0x501"
	is "$lab many: and all others lost" "$(($(line_key many.vm lost) + 16))" "$(cell many.vm TOTAL slow)"
	is "$lab many: the row has 1,000" "$(cell many.vm "$([[ $vendor == vmx ]] && echo 30 || echo 123)" slow)" 1000
	kept=$(slow many.vm time)
	is "$lab gone: the host has them still" "$(slow gone time | head -n 16)" "$kept"
	is "$lab gone: it keeps 16" "$(slow gone time | wc -l)" 16
	is "$lab gone: and lost all others" "$(($(line_key gone lost) + 16))" "$(cell gone TOTAL slow)"
	is "$lab gone: those of a later VM take the place of the oldest" "$(slow after time | tail -n 12)" "$(head -n 12 <<<"$kept")"
	is "$lab gone: the last exits are kept, whichever vCPU goes first" "$(slow last vcpu | sort | uniq -c | xargs)" "16 0"
	is "$lab gone: and the others are lost" "$(($(line_key last lost) + 16))" "$(cell last TOTAL slow)"
	is "$lab pair: of two vCPUs 16 each" "$(slow pair.vm vcpu | sort | uniq -c | xargs)" "16 0 16 1"
	is "$lab pair: the others are lost" "$(line_key pair.vm kept) $(($(line_key pair.vm lost) + 32))" "32 $(cell pair.vm TOTAL slow)"
	is "$lab pair: the newest is first" "$(sane pair.vm)" ''
	is "$lab reset: nothing is left" "$(slow cleared time) $(line_key cleared lost)" " 0"
	is "$lab lower: a threshold is that of rows with a larger max, too" \
		"$(slow lower.vm key | grep -c 0x501)" 4
}

# but_shell: leaves out the exit in which vmm starts a shell: slow on a debug kernel.
but_shell() {
	grep -vw 0x504
}

# traced SECTION: prints its lines of the tracepoint.
traced() {
	grep kvm_exit_slow: "$F/$1.trace"
}

# in_trace SECTION: prints a file's slow exits as the tracepoint has them, regular expressions.
in_trace() {
	slow "$1" vm vcpu name key rip total cycles halt user sched hsched stop | awk '{
		printf "vm %s vcpu %s reason %s key %s rip %s total %s cycles %s halt %s user %s sched %s hsched %s stop %s\n",
			$1, $2, $3, $4 == "-" ? "0xf+" : $4, $5, $6, $7, $8, $9, $10, $11, $12 }'
}

# judge_clock CLOCK NOW: compares the file's moment in that clock with the tracepoint's.
judge_clock() {
	local clock=$1 time offset traced
	time=$(slow "$clock.vm" time)
	offset=$(($(line_key "$clock.vm" "$2") - $(line_key "$clock.vm" monotonic)))
	traced=$(awk '/kvm_exit_slow: / { for (i = 1; i < NF; i++) if ($(i + 1) ~ /kvm_exit_slow:$/) { sub(/:$/, "", $i); printf "%.0f\n", $i * 1e6 } }' "$F/$clock.trace")
	ok "$lab $clock: $(((time + offset) / 1000)) us, traced at $traced" \
		test "${traced:-0}" -gt 0 -a $(((time + offset) / 1000 - traced)) -lt 1000 -a $((traced - (time + offset) / 1000)) -lt 1000
	like "$lab $clock: the tracepoint has what the file has" "$(traced "$clock")" "$(in_trace "$clock.vm")\$"
}

judge_dates() {
	local before after now
	before=$(tr -d . <"$F/date")
	after=$(tr -d . <"$F/date.after")
	now=$(($(line_key dated realtime) / 1000))
	ok "$lab the file's wall clock is date's" test "$before" -le "$now" -a "$now" -le "$after"
}

# l2 SECTION: prints the instructions at which L2 exited, without first touches of a page.
l2() {
	local rips
	mapfile -t rips < <(slow "$1" name key rip |
		awk 'tolower($1) ~ "^(cpuid|io|io_instruction|vmcall|hypercall)$" && $2 ~ /^0x8........+/ { print $3 }')
	at "${rips[@]}" | sort -u | tr '\n' ' '
}

# amiss SECTION US: prints rows with slow exits but no exit above the threshold, or the reverse.
amiss() {
	awk -v file="$F/$1" -v us="$2" "$ACCOUNT"'
		BEGIN {
			read_account(file)
			limit = int(us * key("tsc_khz") / 1000)
			for (i = 1; i <= rows; i++) {
				r = reasons[i]
				if (!cell[r, "halt"] && !cell[r, "stop"] && (cell[r, "slow"] > 0) != (cell[r, "max"] > limit))
					print r ": " cell[r, "slow"] " slow, the largest " cell[r, "max"] " of " limit
			}
		}'
}

# judge_each: at a threshold of a microsecond nearly all exits are slow.
judge_each() {
	local cpuid=10 hypercall=vmcall us
	[[ $vendor == vmx ]] || { cpuid=114; hypercall=vmmcall; }
	is "$lab each: CPUIDs are slow, each" "$(cell each.vm $cpuid slow)" "$(cell each.vm $cpuid exits)"
	is "$lab each: what is slow is kept or lost" "$(($(slow each.vm time | wc -l) + $(line_key each.vm lost)))" "$(cell each.vm TOTAL slow)"
	is "$lab each: L2's are at L2's instructions, reflected to L1" "$(l2 each.vm)" "cpuid $hypercall "
	is "$lab each: or not" "$(l2 l2-out.vm)" "out $hypercall "
	is "$lab each: without keys, L2's tell no RIP" \
		"$(slow unkeyed.vm name key rip | awk 'tolower($1) == "cpuid" { print $2, $3 }' | sort -u)" "- 0x0"
	is "$lab each: L1's entries into L2 tell no RIP" \
		"$(slow each.vm name rip | awk '$1 ~ /^(vmrun|VMLAUNCH|VMRESUME)$/ { print $2 }' | sort -u)" 0x0
	like "$lab refused: an entry that fails is in the tracepoint, too" "$(traced refused)" \
		"$(in_trace refused.vm)\$"
	[[ $vendor == vmx ]] ||
		is "$lab yields: a wait inside the handler is in the tracepoint, too" \
			"$(traced yields | grep -m 1 -cE "$(in_trace yields.vm | grep -v ' hsched 0 ' | head -n 1)\$")" 1
	is "$lab each: parts are within totals, the newest is first" "$(sane each.vm)" ''
	for us in 2 3 4 6; do
		is "$lab above $us us: slow is what took longer, to the cycle" "$(amiss above$us.vm $us)" ''
	done
	is "$lab none: with 0" "$(slow none.vm time) $(cell none.vm TOTAL slow) $(line_key none.vm threshold)" " 0 0"
}

for one in $LABS; do
	boot "$one" -x -a "$(type -P bash)" -a "$(type -P perf)" -a "$(type -P chrt)" || continue
	khz=$(key one.vm tsc_khz)
	is "$lab a millisecond is the default" "$(<"$F/default")" 1000
	is "$lab it holds before anybody sets it" "$(slow unset.vm key)" 0x501
	is "$lab what is no number of microseconds is refused" "$(sort "$F/bad" | uniq -c | tr -s ' ' | tr '\n' ,)" " 1 1000, 5 Invalid argument,"
	judge_one
	judge_parts
	judge_late
	judge_many
	judge_clock mono monotonic
	judge_clock perf perf
	judge_clock recorded monotonic
	judge_dates
	judge_each
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: over an interval exitdump list shows what a VM uses outside its vCPUs' exits: the
# CPU time of the vCPU threads; the CPU time of all other threads, vhost's included, with
# the name of the busiest; and the injected interrupts. An idle VM whose main loop uses 8 %
# of a CPU for a timer is easy to see. A value that cannot be seen is unknown, never 0.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

kvm=sys/kernel/debug/kvm

# stat TREE PID[/task/TID] NAME TICKS
stat() {
	mkdir -p "$T/$1/proc/$2"
	echo "${2##*/} ($3) S 1 1 1 0 -1 4194560 18446744073709551615 0 18446744073709551615 0 $(($4 / 2)) $(($4 - $4 / 2)) 0 0 20 0 1 0 5 1 1" \
		>"$T/$1/proc/$2/stat"
}
# moment TREE MAIN WORKER VCPU VHOST IRQS: makes VM 1000 at a moment, in ticks of 10 ms.
moment() {
	tree "$T/$1" 2 1
	stat "$1" 1000 'qemu) S 1' $(($2 + $3 + $4 + 500))	# 500 of threads that ended
	stat "$1" 1000/task/1000 'qemu) S 1' "$2"
	stat "$1" 1000/task/1001 worker "$3"
	stat "$1" 1000/task/1002 worker 300
	stat "$1" 1000/task/1003 'any name' "$4"
	stat "$1" 77 vhost-1000 "$5"
	stat "$1" 78 vhost-10001 $((9000 + 99 * $5))
	echo 1003 >"$T/$1/$kvm/1000-11/vcpu0/pid"
	echo "$6" >"$T/$1/$kvm/1000-11/irq_injections"
}
moment before 1000 100 5000 7 1000000
moment after 1008 100 5002 10 1001000

# over ARGUMENT...: runs list over $interval, half-way through which `before` becomes `after`. Repeats
# it if the machine was too busy.
over() {
	local i began half most
	half=$(awk "BEGIN { print $interval / 2 }") most=$(awk "BEGIN { print ($interval + 0.1) * 1000000 }")
	for ((i = 0; i < 20; i++)); do
		began=${EPOCHREALTIME/./}
		over_once "$@"
		((${EPOCHREALTIME/./} - began > most)) || break
	done
}

interval=1
over_once() {
	show before
	"$EXITDUMP" list -S "$T/root" "$interval" 1 "$@" >"$T/.out" 2>"$T/.err" &
	local pid=$!
	sleep "$half"
	show after
	status=0
	wait "$pid" || status=$?
	out=$(<"$T/.out") err=$(<"$T/.err")
}
over
like 'the idle VM that burns 8 % in its main loop' "$status:$out:$err" \
	$'^0:[0-9:]+ \+1\.0[0-9]* s: 2 VMs, 2 vCPUs, vmx\nVM +VMNAME VCPUS RATE OVERHEAD VCPUCPU VMMCPU +IRQS BUSIEST\n1000-11 vm0 +0 +0\.0 +- +(1\.[89]|2\.0)% +(9\.9|1[01]\.[0-9])% +(9[0-9][0-9]|1000) qemu\) S 1 (7\.[2-9]|8\.0)%, vhost-1000 (2\.[7-9]|3\.0)%\n1001-11 vm1 +0 +0\.0 +- +- +- +- -:$'
over --raw -o vm,vcpucpu,vmmcpu,irqs,busiest
is 'for programs: within a tenth' "$(awk -F '\t' -v OFS=: '{
	print $1, ($2 > 0.018 && $2 <= 0.02), ($3 > 0.099 && $3 <= 0.11), ($4 > 900 && $4 <= 1000), $2 == "-" }' "$T/.out")" \
	$'1000-11:1:1:1:0\n1001-11:0:0:0:1'
interval=0.5
over --raw -o vm,vcpucpu,vmmcpu,irqs -n 1
is 'of half a second: twice as much a second' "$(awk -F '\t' -v OFS=: '{
	print $1, ($2 > 0.03 && $2 <= 0.04), ($3 > 0.18 && $3 <= 0.22), ($4 > 1600 && $4 <= 2000) }' "$T/.out")" 1000-11:1:1:1
interval=1
stat before 1000/task/1002 'CPU 7/KVM' 100
stat after 1000/task/1002 'CPU 7/KVM' 150
over --raw -o vcpucpu -n 1
like 'a thread is a vCPU by what KVM says, not by its name' "$out" '^0\.0(18|19|20)'
stat before 1000/task/1002 worker 300
stat after 1000/task/1002 worker 300
if command -v jq >/dev/null; then
	over --json
	is 'in JSON' "$(jq -c '.totals | map([.vm, .vcpucpu > 0.018, .vmmcpu > 0.099, .irqs > 900, .busiest != null])' "$T/.out")" \
		'[["1000-11",true,true,true,true],["1001-11",false,false,false,false]]'
fi

# The number of a thread that has ended may be given to another thread.
stat before 1000/task/1004 old 900
stat after 1000/task/1004 young 5
over --raw -o busiest -n 1
like 'a thread with the number of one that ended' "$out" '^qemu\) S 1 (7\.[2-9]|8\.0)%, young (4\.[5-9]|5\.0)%$'
# One that is new has all its CPU, whatever the next one had.
stat after 1000/task/1002 fresh 320
rm -r "$T/before/proc/1000/task/1002"
stat before 1000/task/1004 old 310
stat after 1000/task/1004 old 310
over --raw -o busiest -n 1
like 'a thread that is new' "$out" '^fresh (3[0-9][0-9]|29[0-9])\.[0-9]%, qemu\) S 1 (7\.[2-9]|8\.0)%$'
stat before 1000/task/1002 worker 300
stat after 1000/task/1002 worker 300
rm -r "$T"/{before,after}/proc/1000/task/1004

# Before Linux 6.1, KVM does not name the vCPU threads; QEMU's thread names tell them.
rm "$T/before/$kvm/1000-11/vcpu0/pid" "$T/after/$kvm/1000-11/vcpu0/pid"
stat before 1000/task/1003 'CPU 0/KVM' 5000
stat after 1000/task/1003 'CPU 0/KVM' 5002
echo 5 >"$T/after/$kvm/1000-11/irq_injections"	# fewer than before
over --raw -o vcpucpu,irqs -n 1
like 'vCPUs by the name of their threads; a number of interrupts that fell is not known' "$out" $'^0\.0(18|19|20)[0-9]*\t-$'

# Without a span of time, these values are unknown.
exitdump list -S "$T/root" --raw -o vm,vcpucpu,vmmcpu,irqs,busiest
is 'a snapshot does not know' "$out" "$(lines '1000-11 - - - -' '1001-11 - - - -')"
show before
exitdump list -S "$T/root" 0.01 1 --raw -o vmmcpu,vcpucpu,irqs,busiest -n 1
is 'nothing happened: 0, which is known' "$out" "$(lines '0.000000 0.000000 0.000 -')"
exitdump list -S "$T/root" 0.01 2 --csv
is 'for programs: the time of each interval' "$status:$(sed -n 1p <<<"$out"):$(cut -d , -f 2 <<<"$out" | tr '\n' ' '):$(sed 1d <<<"$out" | cut -d , -f 1 | grep -cE '^[0-9]+\.[0-9]{3}$')" \
	'0:time,vm,vmname,vcpus,rate,overhead,vcpucpu,vmmcpu,irqs,busiest:vm 1000-11 1001-11 1000-11 1001-11 :4'
exitdump list -S "$T/root" --raw
is 'and not without one' "$(cut -f 1 <<<"$out")" $'1000-11\n1001-11'
# It is of a whole VM: of a reason it is not known.
cp -r "$T/after" "$T/more"
tree "$T/more" 2 1 -v step=2
show before
exitdump run -S "$T/root" -a --raw --output vmname,name,vcpucpu -n 1 -- ln -sfn more "$T/root"
is 'of a reason it is not known' "$status:$out:$err" "0:$(lines 'vm0 REASON_9 -'):"
show before
exitdump run -S "$T/root" -a --raw --output vmname,vcpucpu -n 1 -- ln -sfn more "$T/root"
like 'but of its VM' "$status:$out:$err" $'^0:vm0\t[0-9.]+:$'

# ticks TREE PROCESS MAIN WORKERS VCPU PIT
ticks() {
	tree "$T/$1" 1 1
	stat "$1" 1000 qemu "$2"
	stat "$1" 1000/task/1000 qemu "$3"
	stat "$1" 1000/task/1001 worker "$4"
	stat "$1" 1000/task/1002 worker "$4"
	stat "$1" 1000/task/1003 'CPU 0/KVM' "$5"
	stat "$1" 79 kvm-pit/1000 "$6"
	stat "$1" 80 kvm-pit/10001 $(($6 * 9))
}
# outside COLUMNS: what happened from `past` to `now`, without the percentages.
outside() {
	ln -sfn past "$T/at"
	exitdump run -S "$T/at" -a --raw --output "$1" -- ln -sfn now "$T/at"
	sed 's/ [0-9.]*%//g' "$T/.out"
}
ticks past 6000 1000 100 5000 900
ticks now 6010 1002 102 4000 903
is "a vCPU's thread of which the number was used again: not known" "$(outside vcpucpu,vmmcpu)" "$(lines '- -')"
is 'threads of a name together; the timer of this VM' "$(outside busiest)" 'worker, kvm-pit/1000'
ticks now 6010 1004 102 5001 900
is 'of the same time: by the alphabet' "$(outside busiest)" 'qemu, worker'
stat past 1000/task/1001 'CPU worker' 100
stat now 1000/task/1001 'CPU worker' 105
is 'a thread that is named after a CPU runs no vCPU' "$(outside busiest)" 'CPU worker, qemu'
# Two vCPUs, of which the one with less time is unplugged.
ticks past 6000 1000 100 5000 900
stat past 1000/task/1004 'CPU 1/KVM' 7
ticks now 6400 1002 102 5300 903
is 'a vCPU that was unplugged: its time is not known, nor that of the others' "$(outside vcpucpu,vmmcpu)" "$(lines '- -')"
is 'but the names of the others' "$(outside busiest)" 'worker, kvm-pit/1000'
stat now 1000/task/1004 'CPU 1/KVM' 7
stat now 1000/task/1005 'CPU 2/KVM' 20
ticks now 6400 1002 102 5080 903
outside vcpucpu,vmmcpu >"$T/cpus"
# shellcheck disable=SC2016 # awk's
ok 'a vCPU that was plugged in: all of its time' awk '{ exit !($1 > 0 && $2 / $1 > 3.02 && $2 / $1 < 3.04) }' "$T/cpus"
rm -r "$T"/{past/proc/1000/task/1004,now/proc/1000/task/100[45]}
stat past 1000/task/1001 starts 1
stat now 1000/task/1001 'CPU 1/KVM' 21
outside vcpucpu,vmmcpu >"$T/cpus"
# shellcheck disable=SC2016 # awk's
ok "a thread that has become a vCPU's meanwhile: it is known what it used" awk '{ exit !($1 > 0) }' "$T/cpus"
ticks past 6000 1000 100 5000 900
# KVM names two threads, both "worker"; the thread with a vCPU's name is none of them.
ticks now 6400 1002 150 5080 903
for moment in past now; do
	mkdir "$T/$moment/$kvm/1000-11/vcpu1"
	for vcpu in 0 1; do echo $((1001 + vcpu)) >"$T/$moment/$kvm/1000-11/vcpu$vcpu/pid"; done
done
is 'several vCPUs, as KVM names their threads' "$(outside busiest)" 'CPU 0/KVM, kvm-pit/1000'
rm -r "$T"/{past,now}/"$kvm/1000-11"/{vcpu1,vcpu0/pid}
ticks now 6001 1000 100 5002 900
is 'a vCPU that was read after its process: no less than 0' "$(outside vmmcpu)" 0.000000
ticks now 5990 1000 100 5000 900
is 'a process whose time fell: no less than 0' "$(outside vmmcpu)" 0.000000
ticks now 6200 1100 100 5100 900
rm -r "$T/now/proc/79"
outside vcpucpu,vmmcpu >"$T/cpus"
# shellcheck disable=SC2016 # awk's
ok 'a kernel thread that ended: its past is not taken from the others' awk '{ exit !($1 > 0 && $2 == $1) }' "$T/cpus"
echo 150 >"$T/now/$kvm/1000-11/irq_injections"
is 'interrupts that could not be read before: not known' "$(outside irqs)" -
echo 100 >"$T/past/$kvm/1000-11/irq_injections"
like 'that could be read before' "$(outside irqs)" '^[1-9]'
echo 150x >"$T/now/$kvm/1000-11/irq_injections"
is 'that are no number: not known' "$(outside irqs)" -
echo -5 >"$T/now/$kvm/1000-11/irq_injections"
is 'nor one below 0' "$(outside irqs)" -
cp -r "$T/now" "$T/later"
mv "$T/later/$kvm/1000-11" "$T/later/$kvm/1000-12"
ln -sfn past "$T/at"
echo 5 >"$T/later/$kvm/1000-12/irq_injections"
exitdump run -S "$T/at" -a --raw --output vm,vmmcpu,irqs -- ln -sfn later "$T/at"
is 'a VM that is new: not known' "$out" "$(lines '1000-12 - -')"
echo nonsense >"$T/past/proc/1000/stat"
is 'a process that could not be read before: not known' "$(outside vmmcpu)" -

echo 'nonsense' >"$T/after/proc/1000/stat"
over --raw -o vmmcpu -n 1
is 'a process that cannot be read: not known' "$status:$out" 0:-

# The order needs what is not shown.
stat before 1001 busy 0
stat after 1001 busy 50
interval=0.5
over --raw -o vm -s vmmcpu
is 'by a CPU time that is not shown' "$out" $'1001-11\n1000-11'

# In top, the column is read from the moment on when it is chosen, also for the time since then.
if has_terminal; then
	moment after 1108 100 5002 10 1001000
	show before
	tm new-session -d -x 80 -y 24 "'$EXITDUMP' -S '$T/root' top -a -o vm,exits 0.2; echo status \$?; read -r"
	sees 'VMs' $'\n1000-11 +0'
	tm send-keys t o End Up Up Up Up Up Up Space x
	sees 'the CPU time of other threads' $'since [^\n]*\nVM +EXITS +VMMCPU *\n1000-11 +0 +0\.0%'
	show after
	sees 'and on' $'\n1000-11 +0 +[0-9.]*[1-9][0-9.]*%'
	tm send-keys q
	sees 'q' 'status 0'
else
	skip top 'tmux is not installed'
fi

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a guest asks for any leaf with any ECX, as fast as it can, in every mode, at every
# privilege level, from a nested guest, with CPUID faulting and without. It gets answers by
# the rules and does no harm: nothing in the kernel's log, exact counts of another VM, and
# that VM's exits as quick as before. With the leaves off for guests, KVM answers as stock KVM,
# bit for bit.
#
# ADVERSARY=N in the environment: N CPUIDs by each kind of guest (default 400).
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/lab/labs.sh"

n=${ADVERSARY:-400} loads=1 again=some
((n < 10000)) || loads=20 again=all

in_lab < <(
	echo "n=$n loads=$loads again=$again"
	cat <<'EOF'
# attack NAME ARGUMENT...: like run_vmm, but without accounts.
attack() {
	section $1
	shift
	vmm "$@" 2>&1 || echo "status $?"
}

# some PREFIX, all PREFIX: run the kinds of attack, each in a VM of its own, on the last CPU.
some() {
	attack $1-long-0 random:1=$n
	attack $1-long-fault-3 --ring 3 --cpuid-fault random:24=$n
	attack $1-real --mode real random:41=$n
	attack $1-nested nested-random:44=$((n / 10))
	attack $1-two --vcpus 2 random:46=$n random:47=$n
}

all() {
	some $1
	for ring in 0 1 2 3; do
		[ $ring = 0 ] || attack $1-long-$ring --ring $ring random:$((ring + 1))=$n
		[ $ring = 3 ] || attack $1-long-fault-$ring --ring $ring --cpuid-fault random:$((ring + 21))=$n
		attack $1-protected-$ring --mode protected --ring $ring random:$((ring + 11))=$n
		attack $1-protected-fault-$ring --mode protected --ring $ring --cpuid-fault random:$((ring + 31))=$n
	done
	attack $1-real-fault --mode real --cpuid-fault random:42=$n
	attack $1-bigreal --mode bigreal random:43=$((n / 10))
	[ "$LAB_MACHINE" = vmx ] || attack $1-nested-pass nested-random-pass:45=$((n / 10))
}

# neighbour NAME COMMAND...: runs a VM on the first CPU until COMMAND has ended.
neighbour() {
	vm=$1
	shift
	rm -f neighbour
	# on a machine with one CPU, the attacks get most of its time
	taskset 1 vmm --stats --loop 0 --after ". ./words; accounts $vm" \
		cpuid=100 out-kernel=50 rdmsr=30 wrmsr-slow=30 vmcall=20 out-user=5 sleep-user:3=1 \
		leaf:0x4ffffffd=18,30,123,129 >neighbour &
	pid=$!
	while ! grep -qs ^vm neighbour; do sleep 0.01; done
	"$@"
	kill $pid
	wait $pid
	section $vm
	cat neighbour
}

taskset -p $((1 << ($(nproc) - 1))) $$ >/dev/null
lab-modules load patched
account host0
neighbour alone sleep 0.2
neighbour beside all vm
echo host >$P/exit_cycles_guest
neighbour beside-host $again host
account host1
echo vm >$P/exit_cycles_guest
# asked NAME ARGUMENT...: the time of a leaf that has an answer, and of one that has none.
asked() {
	section $1
	shift
	vmm "$@" cpuid:0x4fffffff=100 cpuid:0x40000100=100
}
asked ask-1
asked ask-65 --spare 64
hold held --spare 64 cpuid=1
asked ask-1-beside
echo host >$P/exit_cycles_guest
asked ask-66-host
release
echo vm >$P/exit_cycles_guest

# answers NAME KINDS: records the answers that guests see.
answers() {
	attack $1-leaves --ring 3 leaves=0-130,1024-1027,0xdead,0xffff,0x7fffffff,0x80000000,0xfffffffe,0xffffffff
	attack $1-sweep --loop $loads sweep:0:6=360 sweep:0x40000000:2=128 sweep:0x4ffffff0:130=4160 \
		sweep:0x80000000:3=150 sweep:0x8ffffffe:2=8 sweep:0xc0000000:2=16 sweep:0xfffffffe:2=4
	$2 $1
}
echo off >$P/exit_cycles_guest
answers off all
echo vm >$P/exit_cycles_guest
echo N >$P/exit_cycles
answers N $again
lab-modules load patched exit_cycles_guest=off
answers loaded-off $again
lab-modules load stock
answers stock all
EOF
)

# sections PREFIX: prints the names of the attacks, without the prefix.
sections() {
	local one
	for one in "$F/$1"-*; do
		echo "${one##*/"$1"-}"
	done
}

# answered SECTION: prints CPUID's answers to the guest.
answered() {
	grep -E '^(leaf|digest|fault|made|status)' "$F/$1" | cut -f 3-
}

field() {
	awk -v kind="$2" '$1 == kind { n += $5 } END { print n + 0 }' "$F/$1"
}

# slower NAME: prints the steps of a neighbour that the attacks slowed down. On CPUs that
# count instructions, the quickest step of each kind must be as quick as alone. Bochs runs 5
# instructions of each of its two CPUs in turn, so a step may end one turn later. There the
# neighbour has a CPU to itself, so its mean must not rise either, except for the interrupts
# that one CPU sends the other: 3 to 5 %, with stock KVM as well.
slower() {
	awk -v own="$([[ $machine == vmx ]] && echo 1)" '
		$1 != "step" || $4 == "leaf" || $4 == "sleep-user" { next }
		FNR == NR { least[$4] = $6; mean[$4] = $7; next }
		$6 > least[$4] + (own ? 5 : 0) { print $4 ": at least " $6 ", alone " least[$4] }
		own && $7 > mean[$4] * 1.1 { print $4 ": " $7 " in the mean, alone " mean[$4] }
	' "$F/alone" "$F/$1"
}

# asks SECTION: instructions that the answer takes beyond none.
asks() {
	awk '$1 == "step" { least[++n] = $6 } END { print least[1] - least[2] }' "$F/$1"
}

# judge_asks: a leaf takes a little for each vCPU that it is about, and for no other.
judge_asks() {
	local one vm host beside times=1
	# the checks of a debug kernel take 6 to 8 times as much
	[[ ! $debug ]] || times=10
	one=$(asks ask-1)
	vm=$(($(asks ask-65) - one))
	host=$(($(asks ask-66-host) - one))
	ok "$lab a leaf takes $((vm / 64)).$((vm * 10 / 64 % 10)) instructions for each vCPU of the VM, at most $((16 * times))" \
		test "$vm" -gt 64 -a "$vm" -le $((64 * 16 * times))
	ok "$lab scope host: $((host / 65)).$((host * 10 / 65 % 10)) for each of the host's, at most $((34 * times))" \
		test "$host" -gt 65 -a "$host" -le $((65 * 34 * times))
	# a turn of Bochs's two CPUs is 5
	beside=$(($(asks ask-1-beside) - one))
	ok "$lab and $beside for those of another VM" test "$beside" -ge -5 -a "$beside" -le 5
}

judge() {
	local cpuid=10 hypercall=18 io=30 prefix one wrong bad=0 asked faults this
	[[ $vendor == vmx ]] || cpuid=114 hypercall=129 io=123

	for prefix in vm host; do
		wrong=
		for one in $(sections $prefix); do
			bad=$((bad + $(field "$prefix-$one" bad)))
			case $one in
			*-fault-[1-3]) faults=$n ;;
			*) faults=0 ;;
			esac
			[[ $(field "$prefix-$one" fault) == "$faults" ]] || wrong+=" $one"
		done
		is "$lab $prefix: each CPUID is refused where it should be" "$wrong" ''
	done
	is "$lab no answer breaks the rules" "$bad" 0
	cat "$F"/{alone,beside,beside-host} "$F"/{vm,host}-* >"$F/all-made"
	is "$lab each CPUID in every mode is one exit in the host's account" \
		"$(($(cell host1 $cpuid exits) - $(cell host0 $cpuid exits)))" \
		"$(awk '$1 == "made" && $4 == "cpuid" { n += $5 } END { print n }' "$F/all-made")"
	asked=$(cat "$F"/{vm,host}-* | awk '$1 == "made" && $4 == "cpuid" { n += $5 } END { print n }')
	tried "CPUIDs of adversaries" "$asked"
	tried "answers compared with those of stock KVM" "$(cat "$F"/{off,N,loaded-off}-* | awk '$1 == "made" && $4 == "cpuid" { n += $5 } END { print n }')"
	note "$asked CPUIDs of adversaries, $(awk '$1 == "made" { n += $5 } END { print n }' "$F"/beside{,-host}) exits of their neighbour"

	for one in alone beside beside-host; do
		is "$lab $one: the neighbour's exits are exactly what it made" "$(account_says $one $one.vm)" "$(vmm_says $one)"
		is "$lab $one: all of them, as KVM counts, but for the last" "$(($(cell $one.vm TOTAL exits) + 1))" "$(kvm_stat $one exits)"
		is "$lab $one: its account agrees with itself" "$(contradictions $one.vm)" ''
	done
	for one in alone beside; do
		is "$lab $one: and it read that in its leaves" \
			"$(awk -v h=$hypercall -v io=$io '$1 == "leaf" && ($5 == h || $5 == io) { print $5, $6 }' "$F/$one")" \
			"$(vmm_says $one | awk -v h=$hypercall -v io=$io '$1 == h || $1 == io')"
	done
	is "$lab beside: its exits are as quick as alone" "$(slower beside)" ''
	is "$lab beside-host: its exits are as quick as alone" "$(slower beside-host)" ''

	for prefix in off N loaded-off; do
		wrong=
		for one in $(sections $prefix); do
			this=$(answered "$prefix-$one")
			[[ $this =~ cpuid && $this == "$(answered "stock-$one")" ]] || wrong+=" $one"
		done
		is "$lab $prefix: every answer is that of stock KVM" "$wrong" ''
	done
	wrong=
	for one in $(sections stock | grep -e '-fault-[1-3]'); do
		[[ $(answered "vm-$one") == "$(answered "stock-$one")" ]] || wrong+=" $one"
	done
	is "$lab vm: a CPUID that faults tells nothing either" "$wrong" ''
	ok "$lab vm: the others tell" test "$(answered vm-real)" != "$(answered stock-real)"
}

for one in $LABS; do
	# exact needs one CPU there
	boot "$one" -x -c "$([[ $one == svm:* ]] && echo 1 || echo 2)" -t $((600 + n / 5)) || continue
	judge_asks
	judge
done
done_testing

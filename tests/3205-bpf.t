#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: on Debian's own kernels, without the patches, exitdump --bpf counts exactly the
# exits that a guest makes, by reason and by vCPU. It splits their time: halted and polling
# (equal to KVM's own statistics), in user space, without a CPU. (LABS=vmx:6.1 runs it in
# Bochs, which takes some minutes.)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"
MACHINES=svm
. "$(dirname "$0")/lab/labs.sh"
. "$(dirname "$0")/fixtures/stock.sh"

[[ $("$EXITDUMP" --bpf 0.01 1 2>&1) != *'built without it'* ]] || skip_all 'this exitdump is built without --bpf'

serve=()
[[ $("$EXITDUMP" serve '' 2>&1) == *'built without it'* ]] || serve=(-a "$(gcc -print-file-name=libmicrohttpd.so.12)")

in_lab <<'EOF'
# during NAME COMMAND...: COMMAND's lines become section NAME; exitdump's report on the host
# during that time becomes NAME.json.
during() {
	name=$1
	shift
	section "$name"
	exitdump --bpf --json run -O bpf.out -- "$@" 2>&1
	section "$name.json"
	cat bpf.out
}
during known vmm --stats cpuid=23 out-kernel=17 out-user=19 rdmsr=7 wrmsr-slow=5 vmcall=3
during two vmm --stats --vcpus 2 --pin cpuid=5003 out-kernel=2003 rdmsr=101
during many sh -c "for i in 1 2 3 4 5 6 7 8; do vmm --stats --vcpus 2 cpuid=23 out-user=3; done"
during fast vmm --stats wrmsr-fast=200 cpuid=5
echo 0 >$P/halt_poll_ns
during halts vmm --stats hlt:2000000=20
echo 10000000 >$P/halt_poll_ns
during polls vmm --stats hlt:2000000=20
during sleeps vmm --stats sleep-user:20=5 cpuid=7
during stops vmm --stats signal:100=2 cpuid=5
hogs_only
# In Bochs no interrupt reaches a guest that spins.
[ "$vendor" = vmx ] || during hog vmm --stats --pin hog:40=1 cpuid=5
section why
exitdump --bpf --keys --raw --output reason,name,key,exits run -O bpf.out -- vmm --stats cpuid:2=7 cpuid:1=3 cpuid:0x80000000=5 cpuid:0x40000000=2 \
	rdmsr:0x8b=11 rdmsr:0x1b=3 wrmsr-slow:0x8b=4 wrmsr-slow:0x79=6 wrmsr-fast=9 \
	out-kernel=17 out-kernel:0x21=4 in=7 in:0x20=3 ins=5 out-user=9 \
	vmcall=4 vmcall:9=3 vmcall:77=2 mmio=8 cow=6 nested=13 nested-out=12 2>&1
section why_keys
cat bpf.out
section walk
exitdump --bpf --keys --raw --output reason,name,key,exits run -O bpf.out -- vmm --stats walk-port=2000 2>&1
section walk_keys
cat bpf.out
section slow
exitdump --bpf --raw --output reason,key,user slow 0.5 >slow.rows 2>&1 &
reader=$!
# it counts, and waits for its first interval to pass
i=0
until grep -qs nanosleep /proc/$reader/wchan || [ $((i += 1)) = 600 ]; do sleep 0.1; done
vmm --stats out-user=500 sleep-user:200=3 cpuid=500 2>&1
sleep 1
# the reader does not read meanwhile
kill -STOP $reader
vmm --stats --quiet sleep-user:2=40 2>&1
kill -CONT $reader
sleep 1
kill $reader
wait $reader 2>/dev/null || :
section slow.rows
cat slow.rows
section churn
exitdump --bpf --csv --output reason,exits 0.5 >churn.rows 2>&1 &
reader=$!
until [ -s churn.rows ]; do sleep 0.1; done
for i in 1 2 3 4 5; do
	vmm --stats --vcpus 2 cpuid=23 out-user=3 2>&1
	sleep 1
done
kill $reader
wait $reader 2>/dev/null || :
section churn.rows
cat churn.rows
section served
ip link set lo up
exitdump serve --bpf 0 2>serve.log &
server=$!
until [ -s serve.log ]; do sleep 0.1; done
url=$(sed 's/^exitdump: //' serve.log)
vmm cpuid=23 >/dev/null
vmm cpuid=19 >/dev/null
wget -q -O - "$url" 2>&1
kill $server
wait $server
echo "# status $?"
vmm --loop 0 --vcpus 3 cpuid=20 out-user=1 sleep-user:5=1 >/dev/null &
vm=$!
sleep 1
section vcpus
exitdump --bpf --raw --all-vcpus --output vm,vcpu,exits --sort -vcpu 1 1 2>&1
section head
exitdump --bpf --json 0.2 1 2>&1
section slow-vm
exitdump --bpf --output vcpu,key --vm $vm slow 1 >slow-vm.rows 2>&1 &
reader=$!
i=0
until [ "$(grep 0x501 slow-vm.rows | sort -u | wc -l)" = 3 ] || [ $((i += 1)) = 60 ]; do sleep 0.5; done
kill $reader
wait $reader 2>/dev/null || :
cat slow-vm.rows
section nobody
/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all,+bpf,+perfmon --ambient-caps -all,+bpf,+perfmon \
	exitdump --bpf --csv --all-vcpus --output vm,vcpu,exits,cycles,user --sort -vcpu 1 1 2>&1
section explain
exitdump --bpf --explain 2>&1
section explain-nobody
/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all,+bpf,+perfmon --ambient-caps -all,+bpf,+perfmon exitdump --bpf --explain 2>&1
section itself
exitdump --raw 0.5 1 2>&1
kill $vm
wait $vm 2>/dev/null || :
EOF

# account_of NAME: writes NAME.json in the form of the kernel's files, NAME.bpf and
# NAME.bpf_hist.
account_of() {
	jq -r '(["exits", "cycles", "total", "halt", "poll", "user", "sched", "hsched", "stop", "max"]) as $columns |
		"# exit_cycles 1\tvendor=\(.vendor)\ttsc_khz=\(.tsc_khz)",
		(["reason", "name"] + $columns | @tsv),
		(.rows | sort_by(.reason)[] | [.reason // "-", .name] + [.[$columns[]] // 0] | @tsv),
		(.totals[0] | ["-", "TOTAL"] + [.[$columns[]] // 0] | @tsv)' "$F/$1.json" >"$F/$1.bpf"
	jq -r '"# exit_cycles 1\tvendor=\(.vendor)", (["reason", "name", range(32)] | @tsv),
		(.rows | sort_by(.reason)[] | [.reason // "-", .name] + .hist | @tsv),
		(.totals[0] | ["-", "TOTAL"] + .hist | @tsv)' "$F/$1.json" >"$F/$1.bpf_hist"
}

# ms SECTION REASON COLUMN: prints a time in milliseconds, rounded down
ms() {
	echo $(($(cell "$1" "$2" "$3") / $(key "$1" tsc_khz)))
}

# lacks SECTION: prints what --explain says that BPF cannot tell.
lacks() { awk 'NR > 1 { print $1 }' "$F/$1" | sort -u | xargs; }

# between TITLE N LEAST MOST
between() {
	ok "$1: $2, of $3 to $4" test "$2" -ge "$3" -a "$2" -le "$4"
}

judge() {
	local section vcpus blind="key perf total" cpuid=114 io=123 hlt=120 hypercall=129 read=124 write=124 polled halts page=1024 written="0x10000008b 0x100000079 0x1000006e0"
	[[ $vendor == svm ]] || cpuid=10 io=30 hlt=12 hypercall=18 read=31 write=32 page=49 written="0x8b 0x79 0x6e0" blind="key perf rip"
	for section in known two many fast halts polls sleeps hog; do
		[[ -e $F/$section ]] || continue
		account_of "$section"
		is "$lab $section: the VM's rows are what its guest made" "$(account_says "$section" "$section.bpf")" "$(vmm_says "$section")"
		is "$lab $section: the account agrees with itself" "$(contradictions "$section.bpf")" ''
		# The last exit of each vCPU has no end.
		vcpus=$(awk '$1 == "stat" && $3 != "-" && $4 == "exits"' "$F/$section" | wc -l)
		is "$lab $section: all exits but the last are counted" "$(cell "$section.bpf" TOTAL exits)" \
			"$(($(kvm_stat "$section" exits) - vcpus))"
	done
	is "$lab churn: vCPUs come and go between readings" \
		"$(vmm_says churn | sort | join -o 1.1,2.2 - <(awk -F, '{ n[$1] += $2 } END { for (r in n) print r, n[r] }' "$F/churn.rows" | sort))" \
		"$(vmm_says churn | sort)"
	ok "$lab the handler's time is known" test "$(cell known.bpf TOTAL cycles)" -gt 0
	ok "$lab a fast path is counted, whatever this kernel traces of it" test "$(cell fast.bpf $write exits)" -ge 200

	halts=$(cell polls.bpf $hlt exits)
	is "$lab halts: nothing polled" "$(cell halts.bpf TOTAL poll)" 0
	is "$lab halts: only HLT halts" "$(cell halts.bpf TOTAL halt)" "$(cell halts.bpf $hlt halt)"
	ok "$lab halts: it halted" test "$(ms halts.bpf $hlt halt)" -ge 2
	polled=$(($(kvm_stat polls halt_poll_success_ns) + $(kvm_stat polls halt_poll_fail_ns)))
	polled=$((polled * $(key polls.bpf tsc_khz) / 1000000))
	between "$lab polls: as KVM's own statistics" "$(cell polls.bpf $hlt poll)" $((polled - 2 * halts)) "$polled"
	between "$lab sleeps: in user space, ms" "$(ms sleeps.bpf $io user)" 100 300
	is "$lab sleeps: no halt and no stop" "$(cell sleeps.bpf TOTAL halt) $(cell sleeps.bpf TOTAL stop)" '0 0'
	ok "$lab sleeps: each of them was slow" test "$(jq ".totals[0].slow" "$F/sleeps.json")" -ge 5
	account_of stops
	between "$lab stops: out of KVM_RUN for a signal, ms" "$(ms stops.bpf TOTAL stop)" 150 400
	[[ $vendor == vmx ]] ||
		between "$lab hog: without a CPU, ms" "$(ms hog.bpf TOTAL sched)" 20 75

	is "$lab why: the leaves" "$(keys_of why $cpuid | grep -v "^0x0 ")" \
		"$(printf '%s\n' '0x1 3' '0x2 7' '0x40000000 2' '0x8000000000000000 13' '0x80000000 5' | sort)"
	is "$lab why: ports, read or written, by string, by L2" "$(keys_of why $io)" \
		"$(printf '%s\n' '0xa1 17' '0x21 4' '0x100a1 7' '0x10020 3' '0x300a1 5' '0x500 9' '0x80000000000000a1 12' | sort)"
	is "$lab why: hypercalls" "$(exits_of why $hypercall 0x1 0x9 0x4d)" '4 3 2 '
	is "$lab why: MSRs that are read" "$(exits_of why $read 0x8b 0x1b)" '11 3 '
	# shellcheck disable=SC2086 # words
	is "$lab why: MSRs that are written" "$(exits_of why $write $written)" '4 6 10 '
	is "$lab why: MMIO: its page, but for the first access" "$(exits_of why $page 0xd0000)" '7 '
	[[ $vendor == vmx ]] ||
		is "$lab why: a write to what is mapped for reading" "$(exits_of why $page 0xa)" '6 '
	is "$lab walk: 64 keys of a vCPU and no more" "$(grep -c 0x "$F/walk_keys")" 64
	is "$lab walk: the rest is told" "$(awk -v io="$io" '$1 == io { n += $4 } END { print n }' "$F/walk_keys")" "$(vmm_says walk | awk -v io="$io" '$1 == io { print $2 }')"
	is "$lab slow: three exits of 200 ms in user space, with their port" \
		"$(awk -v limit=$((150 * $(key known.bpf tsc_khz))) '$1 ~ /^[0-9]+$/ && $3 >= limit { print $1, $2 }' "$F/slow.rows")" "$(printf "$io 0x501\n%.0s" 1 2 3)"
	local slow
	slow=$(awk -v limit=$((2 * $(key known.bpf tsc_khz))) -v io="$io" '$1 == io && $2 == "0x501" && $3 >= limit { n++ } END { print n }' "$F/slow.rows")
	is "$lab slow: of 40 others the last 16" "$slow" 19

	like "$lab each vCPU" "$(<"$F/vcpus")" $'^[0-9]+-[0-9]+\t0\t[1-9][0-9]*\n[0-9]+-[0-9]+\t1\t[1-9][0-9]*\n[0-9]+-[0-9]+\t2\t[1-9][0-9]*(\n|$)'
	is "$lab they are of one VM" "$(jq -c '[.vms, .vcpus]' "$F/head")" '[1,3]'
	ok "$lab many: the time in guests that have ended is known" test "$(jq '.totals[0].guest' "$F/many.json")" -gt 0
	is "$lab slow, of a VM: each vCPU's, though there are only two CPUs" "$(awk '/0x501/ { print $1, $2 }' "$F/slow-vm" | sort -u | xargs)" "0 0x501 1 0x501 2 0x501"
	like "$lab slow: over how long" "$(head -n 1 "$F/slow-vm")" ', over 1ms; '
	like "$lab with CAP_BPF and CAP_PERFMON alone: all but the time in the handler" "$(<"$F/nobody")" \
		$'\n[0-9]+-[0-9]+,0,[1-9][0-9]*,,[1-9][0-9]*\n[0-9]+-[0-9]+,1,[1-9][0-9]*,,[1-9][0-9]*\n[0-9]+-[0-9]+,2,[1-9][0-9]*,,[1-9][0-9]*(\n|$)'
	is "$lab explain: what cannot be told to root" "$(lacks explain)" "$blind"
	is "$lab explain: and without CAP_SYS_ADMIN" "$(lacks explain-nobody)" "cycles halt hsched $blind user"
	like "$lab explain: without CAP_SYS_ADMIN it is not" "$(<"$F/explain-nobody")" 'cycles +-  to trace a module.s functions takes CAP_SYS_ADMIN'
	((!${#serve[@]})) ||
		is "$lab served: from its start to its end" \
			"$(sed -n 's/^kvm_exits_total{reason="cpuid"} //Ip; s/^# status/status/p' "$F/served" | xargs)" '42 status 0'
	like "$lab by itself, which it says" "$(<"$F/itself")" $'^exitdump: counting by BPF [^\n]*\n.*\t'
}

for one in $LABS; do
	stock_of "$one" || continue
	boot "$one" -c 2 -b "$stock/lab" -a "$EXITDUMP" -a /usr/bin/setpriv "${serve[@]}" || continue
	judge
done
done_testing

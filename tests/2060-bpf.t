#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump --bpf counts on a kernel without the patches while it runs, and leaves
# nothing behind, however it ends. exitdump uses BPF on its own if a span of time is asked
# for and KVM keeps no account. If something prevents it, one line says what.
# shellcheck disable=SC2317 # run calls the functions
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

# refused TITLE REGEX ARGUMENT...: there is one line on standard error, and nothing else.
refused() {
	exitdump "${@:3}"
	like "$1" "$status:$out:$err" "^1::exitdump: [^"$'\n'"]*$2[^"$'\n'"]*\$"
}

# Options that make no sense together
refused 'without a span' 'so it needs an interval \(exitdump --bpf 1\), top or run' --bpf
for arguments in '--input -' --guest '--sysroot /'; do
	# shellcheck disable=SC2086 # an option and its value
	refused "not with $arguments" '--bpf: .*not with --input' --bpf $arguments 1
done
refused 'keys need a span too' 'so it needs an interval' --bpf why
refused 'and slow exits' 'so it needs an interval' slow --bpf
refused 'to explain something else' '--explain: only with --bpf' --explain
refused 'to explain into a file' '--explain: prints text' --bpf --explain -O "$T/explained"
refused 'to explain as JSON' '--explain: prints text' --bpf --explain --json
refused 'nothing to clear' 'reset: takes only' reset --bpf
refused 'nor to compare, without a span' 'compare --bpf: needs an interval too' compare --bpf 1 2

# What is made of the program's counts, which bpf-fake.c has made up. So it needs no right and no KVM.
if echo '#include <bpf/libbpf.h>' | "${CC:-cc}" -E - >/dev/null 2>&1; then
	sources=("$TOP/tests/fixtures/bpf-fake.c")
	for file in "$TOP"/tools/*.c; do
		[[ ${file##*/} == bpf_kernel.c ]] || sources+=("$file")
	done
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -DHAVE_BPF -I"$TOP/tools" -I"$TOP/tests/fixtures" -o "$T/fake" \
		"${sources[@]}" -lncurses -ltinfo
	fake() { run timeout 20 env FAKE_BPF="${vendor:-vmx}" "$T/fake" --bpf "$@"; }
	columns=name,exits,cycles,total,halt,poll,user,sched,hsched,stop,slow,max,p50
	fake --raw -o $columns -s -name 0.01 2
	is 'made-up counts: each in its column, in cycles; what ended is not counted again' "$status:$out:$err" "0:$(lines \
		'OTHER 1 20 20 0 0 0 0 0 0 0 20 15' 'IO_INSTRUCTION 3 1180 1590 0 0 400 0 0 0 0 800 511' \
		'HLT 3 200 2000 800 100 120 140 14 40 1 1200 1023' 'CPUID 5 500 500 0 0 0 0 0 0 0 120 63' \
		'HLT 1 0 20 0 0 0 0 0 0 0 - 7'):"
	fake --json 0.01 1
	is 'the sums' "$(jq -c '[.vms, .vcpus, .tsc_khz] + (.totals[0] | [.exits, .guest, .max])' "$T/.out")" '[2,2,2000000,12,16200,1200]'
	fake why --raw -o name,key,exits,cycles,total,max -s -name TOTAL 0.01 2
	is 'keys, and what has none' "$status:$out" "0:$(lines 'IO_INSTRUCTION 0x70 1 600 800 800' \
		'IO_INSTRUCTION - 1 400 600 -' 'IO_INSTRUCTION 0x71 1 180 190 190' 'CPUID - 5 500 500 -')"
	fake slow --raw 0.01
	is 'slow exits: only complete ones, of each vCPU that the thread ran' "$status:$(wc -l <"$T/.out"):$err" \
		'0:16:fake: 4 more were overwritten before they could be seen (a shorter interval or a higher threshold helps)'
	is 'each of their fields' "$(cut -f 3,5-11,13- <<<"$out" | sed -n '1,2p; 5p')" \
		"$(lines '8 1 2 10 CPUID - - - 4000000 4000000 0 0 0 0 0 0 4000000' \
		'7 0 3 30 IO_INSTRUCTION 0x70 RTC,~out 0x1234 18000000 17999948 200 40 6000 800 100 12 17993048' \
		'7 4 3 30 IO_INSTRUCTION 0x70 RTC,~out 0x1234 18000008 17999956 200 40 6000 800 100 12 17993056')"
	ok 'when it was, by the wall clock' test "$(sed -n '1s/\..*//p' <<<"$out")" -gt 1000000000
	FAKE_ENDS=1 fake slow --raw 0.01
	is 'when both threads end, each of the last 16 is shown once' "$status:$(wc -l <"$T/.out") $(sort -u "$T/.out" | wc -l):${err%% were*}" '0:18 18:fake: 4 more'
	FAKE_ENDS=soon fake slow --raw 0.01
	is 'when both end before a reading: the last 16, and how many are lost by that' "$status:$(wc -l <"$T/.out"):${err%% were*}" '0:16:fake: 6 more'
	FAKE_ENDS=soon fake --raw -o $columns -s -name 0.01 1
	is 'and all their counts' "$status:$out:$err" "0:$(lines \
		'OTHER 1 20 20 0 0 0 0 0 0 0 20 15' 'IO_INSTRUCTION 3 1180 1590 0 0 400 0 0 0 0 800 511' \
		'HLT 3 200 2000 800 100 120 140 14 40 1 1200 1023' 'CPUID 5 500 500 0 0 0 0 0 0 0 120 63'):"
	FAKE_ENDS=soon fake why --raw -o name,key,exits,cycles,total,max -s -name TOTAL 0.01 1
	is 'and their keys' "$status:$out" "0:$(lines 'IO_INSTRUCTION 0x70 1 600 800 800' \
		'IO_INSTRUCTION - 1 400 600 -' 'IO_INSTRUCTION 0x71 1 180 190 190' 'CPUID - 5 500 500 -')"
	FAKE_FREES=1 fake --raw 0.01 2
	is 'what ended gives back its place' "$status:$err" "0:key ID of row 4, key 1, slow exits of 1, row 2, row 3, row 4, thread ID $((1 << 30)), thread 1, "
	FAKE_TURNS=1 fake --json 0.01 1
	is 'and one vCPU if two threads run it in turn' "$(jq -c '[.vms, .vcpus, .totals[0].exits]' "$T/.out")" '[1,1,12]'
	FAKE_LOST=1 fake --raw -o exits 0.01 1
	is 'what was missed: exits without room, and skipped programs' "$err" \
		'fake: BPF missed 21 exits, wholly or in part (its memory is full, or its program was interrupted)'
	if [[ ! -e /sys/kernel/debug/kvm ]]; then
		fake --raw -a -o vm,exits,total,guest 0.01 2
		is 'by VM, without debugfs' "$out" "$(lines '7-1 5 3400 10000' '7-2 7 710 6000' '7-1 1 20 0')"
		fake --raw --all-vcpus -o vm,vcpu,exits -s vcpu,name 0.01 2
		is 'by vCPU' "$out" "$(lines '7-2 1 7' '7-1 0 5' '7-1 0 1')"
		FAKE_TURNS=1 fake --raw --all-vcpus -o vm,vcpu,exits 0.01 1
		is 'a vCPU that two threads run in turn' "$out" "$(lines '7-1 0 12')"
	fi
	FAKE_LOADS=3 fake --raw -o name,cycles,total -n 1 0.01 1
	is 'a kernel that refuses to trace functions: without the handler, then without functions' "$status:$out:$err" \
		"0:$(lines 'IO_INSTRUCTION - 1590'):+handler +handled +run +left +block +blocked -mmio -fast_mmio -userspace handler=handler handled=handler : mult 2097152, svm 0, keys 0, slow 1000000
-handler -handled +run +left +block +blocked -mmio -fast_mmio -userspace : mult 2097152, svm 0, keys 0, slow 1000000
-handler -handled -run -left -block -blocked -mmio -fast_mmio +userspace : mult 2097152, svm 0, keys 0, slow 1000000"
	for loads in 1 2 3; do
		FAKE_LOADS=$loads fake --explain
		absent[loads]=$(sed -n 's/ *-  .*//p' <<<"$out" | paste -sd ' ')
	done
	is 'what it lacks on Intel, without the handler, without functions' "$(printf '%s\n' "${absent[@]}")" \
		$'rip perf key\ncycles hsched rip perf key\ncycles hsched user halt rip perf key'
	vendor=svm
	fake --raw -o reason,name,exits -s reason -n 2 0.01 1
	is 'the high codes of AMD' "$status:$out" "0:$(lines '4294967295 invalid_guest_state 1' '1024 npf 5')"
	FAKE_LOADS=1 fake why --raw -o exits TOTAL 0.01 1
	like 'keys need more to be traced' "$err" '^\+handler .* \+mmio \+fast_mmio -userspace .* svm 1, keys 1, '
	fake --explain
	is 'what it lacks there' "$status:$(cut -c 1-10 <<<"$out" | xargs)" '0:svm, by tr total - perf - key -'
else
	skip 'made-up counts' 'libbpf-dev is not installed'
fi

# Without clang, bpftool or libbpf
make_without() {
	make -s -C "$TOP/tools" BUILD="$T/build" PROG="$T/without" BPFTOOL=
}
run make_without
is 'without bpftool exitdump is built and says what it lacks' "$status:$out:$err" \
	'0:exitdump is built without --bpf, which needs: bpftool:'
run "$T/without" --bpf 1
is 'and so does that exitdump' "$status:$out:$err" \
	'1::without: --bpf: this exitdump was built without it (to see what is missing: make clean tool)'

exitdump --bpf 0.01 1
if [[ $err == *'built without it'* ]]; then
	skip 'the rest' 'this exitdump is built without --bpf'
	done_testing
elif ((EUID)); then
	like 'without the right to: what it takes' "$status:$out:$err" '^1::exitdump: --bpf: needs root, or the capabilities'
	skip 'the rest' 'not root'
	done_testing
fi

# elsewhere COMMANDS [ARGUMENTS]: runs exitdump in its own mount namespace, after COMMANDS there.
elsewhere() { # COMMANDS [ARGUMENTS]
	local commands=$1
	shift
	(($#)) || set -- --bpf 0.01 1
	unshare -m sh -c "$commands"' && exec "$@"' sh "$EXITDUMP" "$@"
}
if run unshare -m true && ((!status)); then
	run elsewhere 'mount -t tmpfs none /sys/module'
	is 'no kvm' "$status:$out:$err" '1::exitdump: --bpf: kvm is not loaded'
	run elsewhere 'mount -t tmpfs none /sys/module && mkdir /sys/module/kvm && mount -t tmpfs none /sys/kernel'
	is 'no BTF' "$status:$out:$err" '1::exitdump: --bpf: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)'
	run elsewhere 'mount -t tmpfs none /sys/module && mkdir /sys/module/kvm && mount -t tmpfs none /sys/kernel &&
		mkdir /sys/kernel/btf /sys/kernel/security && touch /sys/kernel/btf/vmlinux &&
		echo none integrity [confidentiality] >/sys/kernel/security/lockdown'
	like 'locked down' "$status:$out:$err" '^1::exitdump: --bpf: this kernel is locked down [^'$'\n'']*$'
	run elsewhere 'mount -t tmpfs none /sys/module && mkdir /sys/module/kvm && mount -t tmpfs none /sys/kernel &&
		mkdir /sys/kernel/btf /sys/kernel/security && touch /sys/kernel/btf/vmlinux &&
		echo "[none] integrity confidentiality" >/sys/kernel/security/lockdown'
	like 'not locked down: that BTF is none' "$status:$out:$err" '^1::exitdump: --bpf: the BTF of this kernel cannot be read: [^'$'\n'']*$'
	run elsewhere 'mount -t tmpfs none /sys/module && mkdir /sys/module/kvm && mount -t tmpfs none /sys/kernel && mkdir /sys/kernel/btf &&
		printf "\237\353\1\0\30\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0" >/sys/kernel/btf/vmlinux'
	is 'a BTF without kvm' "$status:$out:$err" "1::exitdump: --bpf: this kernel's kvm has no BTF (CONFIG_DEBUG_INFO_BTF_MODULES)"
	# Why there is no account, of one that would be read; and what to do.
	file=/sys/kernel/debug/kvm/exit_cycles parameter=/sys/module/kvm/parameters/exit_cycles
	patched="mount -t tmpfs none /sys/module && mkdir -p ${parameter%/*} && echo Y >$parameter && mount -t tmpfs none /sys/kernel"
	why() { # ABOUT FILE HINT COMMANDS ARGUMENTS
		run elsewhere "${@:4}"
		is "$1" "$status:$out:$err" "1::exitdump: $2: No such file ($3)"
	}
	why 'patched, without debugfs' "$file" 'is debugfs mounted, and kvm_intel or kvm_amd loaded?' "$patched" list
	why 'an interval: not by BPF' "$file" 'is debugfs mounted, and kvm_intel or kvm_amd loaded?' "$patched" 0.01 1
	why 'patches without that parameter' "${parameter}_slow" "this kernel's patches have no such parameter" "$patched" set slow off
	unpatched="mount -t tmpfs none /sys/module && mkdir /sys/module/kvm && mount -t tmpfs none /sys/kernel"
	for args in list reset; do
		why "unpatched, $args" "$file" "this kernel's KVM is not patched; exitdump top, 1, why TOTAL 1 and slow 1 count by BPF" "$unpatched" "$args"
	done
	why 'unpatched, why' "${file}_keys" "this kernel's KVM is not patched; exitdump top, 1, why TOTAL 1 and slow 1 count by BPF" "$unpatched" why
	why 'unpatched, slow' "${file}_slow" "this kernel's KVM is not patched; exitdump top, 1, why TOTAL 1 and slow 1 count by BPF" "$unpatched" slow
	for args in '0.01 1' 'slow 0.01' 'slow --follow'; do
		# shellcheck disable=SC2086 # words
		run elsewhere "$unpatched" $args
		is "unpatched, $args: by BPF, which cannot count there either" "$status:$out:$err" \
			'1::exitdump: this is an unpatched kernel, whose KVM keeps no account, and --bpf: this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)'
	done
	if [[ -x $T/fake ]]; then
		FAKE_BPF=vmx FAKE_LOADS=1 EXITDUMP=$T/fake run elsewhere "$unpatched" slow 0.01 --raw -o vcpu
		like 'unpatched, slow: by BPF, with keys' "$status:$err" '^0:.* keys 1, slow 1000000.*counting by BPF while this runs'
	fi
	why 'unpatched: no switches' "$parameter" "this kernel's KVM is not patched; exitdump top, 1, why TOTAL 1 and slow 1 count by BPF" "$unpatched" set
	why 'no kvm' "$file" 'kvm is not loaded: modprobe kvm_intel or kvm_amd' 'mount -t tmpfs none /sys/module && mount -t tmpfs none /sys/kernel' list
else
	skip 'other kernels' 'no mount namespaces here'
fi

# nobody: runs exitdump as an unprivileged user with only these capabilities; in our folder.
install -m 755 "$EXITDUMP" "$T/exitdump"
chmod 755 "$T"
nobody() { # CAPABILITIES ARGUMENT...
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps "-all$1" --ambient-caps "-all$1" \
		"$T/exitdump" "${@:2}"
}
for capabilities in '' ,+bpf ,+perfmon; do
	run nobody "$capabilities" --bpf 0.01 1
	is "as nobody, with ${capabilities:-none}" "$status:$out:$err" \
		'1::exitdump: --bpf: needs root, or the capabilities CAP_BPF and CAP_PERFMON'
done

exitdump --bpf 0.2 2
if ((status)); then
	like 'it cannot count here: said in one line' "$status:$out:$err" $'^1::exitdump: --bpf: [^\n]*$'
	skip 'the rest' "${err#exitdump: }"
	done_testing
fi
like 'the host, twice' "$status:$out:$err" $'^0:[0-9:]* [+][^\n]*: host, .*by BPF; by lost\n.*TOTAL .*\n\n.*by BPF.*\nTOTAL [^\n]*:$'
run nobody ,+bpf,+perfmon --bpf 0.1 1
like 'as nobody with both capabilities' "$status:$out:$err" '^0:.*by BPF; by lost.*TOTAL .*:$'
# shellcheck disable=SC2016 # bash expands it
run bash -c 'ulimit -n 12; exec "$@"' bash "$EXITDUMP" --bpf 0.01 1
like 'a kernel that refuses it: why, in one line' "$status:$out:$err" $'^1::exitdump: --bpf: this kernel refuses its program: Too many open files \\([^\n?]*\\)$'

exitdump --bpf --explain
is 'explain: a line for all, then one for each thing that it lacks' "$status:$err:$(grep -cv '^[a-z]* *-  .' "$T/.out")" 0::1
lacks=$(awk '$1 == "cycles" { print "null" }' "$T/.out")
exitdump --bpf --json 0.1 1
is 'JSON: what cannot be known is null, what can is a number' "$status:$(jq -c \
	'.totals[0] | [(.cycles, .exits, .total, .halt, .poll, .user, .sched, .stop, .slow | type)]' "$T/.out")" \
	"0:[\"${lacks:-number}\",\"number\",\"number\",\"number\",\"number\",\"number\",\"number\",\"number\",\"number\"]"
for command in 'list 0.1 1' '--all-vms 0.1 1' '--all-vcpus --csv 0.1 1' 'hist TOTAL 0.1 1' '--raw 0.1 1'; do
	# shellcheck disable=SC2086 # more words
	exitdump --bpf $command
	is "$command" "$status:$err" 0:
done
exitdump --bpf run -- sh -c 'exit 7'
like 'run: with the status of the command' "$status:$out" '^7:.*by BPF.*TOTAL'
refused 'a VM that is not there' 'no VM 1 ' --bpf --vm 1 0.1 1

if [[ ! -e /sys/kernel/debug/kvm/exit_cycles ]]; then
	exitdump 0.1 1
	like 'by itself, as there is no account; and it says so' "$status:$out:$err" \
		$'^0:.*by BPF; .*:exitdump: counting by BPF while this runs, [^\n]*unpatched kernel[^\n]*$'
	exitdump
	unlike 'but not for what has been counted so far' "$status:$out:$err" '^0|counting by BPF'
fi

# None of exitdump's BPF programs is left.
if command -v "${BPFTOOL:=$(PATH=$PATH:/usr/sbin:/sbin type -P bpftool)}" >/dev/null; then
	programs() { # PID
		sed -n 's/^prog_id:[[:blank:]]*//p' /proc/"$1"/fdinfo/* 2>/dev/null | sort -u
	}
	there() { # ID
		"$BPFTOOL" prog show id "$1" >/dev/null 2>&1
	}
	gone() { # ID...
		local i
		for ((i = 0; i < 100 && $#; i++)); do
			there "$1" || { shift; continue; }
			sleep 0.1
		done
		((!$#))
	}
	# In top, keys are counted from the moment on when a view of them is chosen.
	if has_terminal; then
		keyed() { # PID
			local id
			for id in $(programs "$1"); do
				"$BPFTOOL" prog show id "$id"
			done | grep -c 'name on_mmio ' || :
		}
		tm new-session -d -x 80 -y 24 "exec '$EXITDUMP' --bpf top 0.2"
		pid=$(tm display-message -p '#{pane_pid}')
		sees 'by BPF' 'by BPF.*TOTAL'
		before=$(keyed "$pid")
		tm send-keys s
		for ((i = 0; i < 100; i++)); do
			[[ $(keyed "$pid") != "$before" ]] && break
			sleep 0.1
		done
		is 'top counts keys once they are asked for' "$before $(keyed "$pid")" '0 1'
		tm kill-server
	fi
	for signal in HUP TERM KILL; do
		env --default-signal=HUP "$EXITDUMP" --bpf 0.1 >"$T/$signal" &
		pid=$!
		until [[ -s $T/$signal ]]; do
			kill -0 "$pid" || break
			sleep 0.1
		done
		mapfile -t ids < <(programs "$pid")
		ok "before SIG$signal it counts" there "${ids[0]:-none}"
		kill -s "$signal" "$pid"
		wait "$pid" 2>/dev/null || :
		ok "after SIG$signal none of its ${#ids[@]} programs is left" gone "${ids[@]}"
	done
else
	skip 'nothing is left' 'bpftool is not installed'
fi

done_testing

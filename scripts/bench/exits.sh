#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash # that is, with local, as busybox has it
# exits.sh - runs in the lab: the same guest loop under each way to watch exits, and the
# numbers that each way delivers. Started by scripts/bench.sh. With arguments [WAY...] it
# tries only these ways.
#
# Prints lines of fields between tabs; the first field is the way:
#	WAY step|known|made ...		vmm's own lines (scripts/vmm/vmm.c)
#	WAY counted REASON N		counts of this way; REASON is a number or a name
#	WAY key N			accesses to MSR 0x8b, where the way counts by key
#	WAY virtual Y|N			Y: the APIC is virtualized, so an EOI is not an exit
#	WAY lost N			events that the way lost, by its own word
#	WAY bytes BYTES EXITS		bytes written for this many exits
set -e

TRACE=/sys/kernel/debug/tracing
ACCOUNT=/sys/kernel/debug/kvm/exit_cycles
SWITCH=/sys/module/kvm/parameters/exit_cycles
KEYS=${SWITCH}_keys
HIST=hist:keys=exit_reason

# The first step of a name warms up; the last step of that name counts.
cat >loop <<-X
	vmm cpuid=100 cpuid=20000 out-kernel=2000 out-user=2000 wrmsr-slow=2000 rdmsr=2000 wrmsr-fast=2000 ept=2000
	vmm hlt=30 hlt=300
X

say() {
	local way=$1
	shift
	printf '%s' "$way"
	printf '\t%s' "$@"
	echo
}

# run WAY [COMMAND...]: runs the loop; COMMAND gets it as its last words.
run() {
	local way=$1
	shift
	"$@" sh loop >out || return
	sed -n "s/^\(step\|known\|made\)/$way	&/p" out
}

hist() {
	echo "$HIST" >$TRACE/events/kvm/kvm_exit/trigger
	run hist
	sed -n 's/^{ exit_reason: *\([0-9]*\) } hitcount: *\([0-9]*\)$/hist	counted	\1	\2/p' \
		$TRACE/events/kvm/kvm_exit/hist
	say hist lost "$(sed -n 's/^ *Dropped: *//p' $TRACE/events/kvm/kvm_exit/hist)"
	say hist bytes 0 1
	echo "!$HIST" >$TRACE/events/kvm/kvm_exit/trigger
}

# events: nobody reads the trace in the meantime; the buffer has the kernel's default size.
events() {
	echo >$TRACE/trace
	echo 1 >$TRACE/events/kvm/kvm_exit/enable
	echo 1 >$TRACE/events/kvm/kvm_entry/enable
	run events
	echo 0 >$TRACE/events/kvm/kvm_exit/enable
	echo 0 >$TRACE/events/kvm/kvm_entry/enable
	awk '/ kvm_exit: / { sub(/.* reason (EXIT_)?/, ""); n[$1]++ }
		END { for (r in n) print "events\tcounted\t" r "\t" n[r] }' $TRACE/trace
	awk -F': ' '{ v[$1] = $2 }
		END {
			print "events\tlost\t" v["overrun"] + v["commit overrun"] + v["dropped events"]
			print "events\tbytes\t" v["bytes"] "\t" v["entries"] / 2
		}' $TRACE/per_cpu/cpu0/stats
	echo >$TRACE/trace
}

# keyhist: counts by key, without time, for the two reasons that have a tracepoint of keys.
keyhist() {
	echo hist:keys=ecx >$TRACE/events/kvm/kvm_msr/trigger
	echo hist:keys=port >$TRACE/events/kvm/kvm_pio/trigger
	run keyhist
	sed -n "s/^{ ecx: *139 } hitcount: */keyhist	key	/p" $TRACE/events/kvm/kvm_msr/hist
	echo "!hist:keys=ecx" >$TRACE/events/kvm/kvm_msr/trigger
	echo "!hist:keys=port" >$TRACE/events/kvm/kvm_pio/trigger
}

perf_stat() {
	local samples
	run perf perf kvm stat record -a -o perf.data 2>perf.log || { cat perf.log; exit 1; }
	perf kvm -i perf.data stat report >perf.txt 2>&1
	awk '$3 ~ /^[0-9.]+%$/ { print "perf\tcounted\t" $1 "\t" $2; n += $2 } END { print n + 0 >"samples" }' perf.txt
	samples=$(cat samples)
	[ "$samples" -gt 0 ] || { cat perf.txt; exit 1; }
	perf script -i perf.data --show-lost-events 2>/dev/null |
		awk '/PERF_RECORD_LOST/ { n += $NF } END { print "perf\tlost\t" n + 0 }'
	say perf bytes "$(stat -c %s perf.data)" "$samples"
	# perf's recording is the same for --event=vmexit, msr and ioport.
	perf kvm -i perf.data stat report --event=msr 2>&1 |
		awk '/0x8b:/ { n += $2 } END { print "perf\tkey\t" n + 0 }'
	rm -f perf.data
}

bpf() {
	run bpf bpf-exits kvmexits.o bpf.out
	sed 's/^/bpf	/' bpf.out
	say bpf bytes 0 1
}

keybpf() {
	run keybpf bpf-exits kvmkeys.o bpf.out
	sed -n "s/^counted	139	/keybpf	key	/p" bpf.out
}

exitdump_bpf() {
	run exitdump exitdump --bpf run -O bpf.out --
}

exitdump_keys() {
	run exitdumpkeys exitdump --bpf --keys run -O bpf.out --
}

off() {
	lab-modules load patched
	echo N >$SWITCH
	run off
}

on() {
	echo N >$KEYS
	echo Y >$SWITCH
	echo 0 >"${ACCOUNT}_reset"
	run on
	awk -F'\t' '$1 ~ /^[0-9]+$/ { print "on\tcounted\t" $1 "\t" $3 }' $ACCOUNT
	say on lost 0
	say on bytes 0 1
}

keys() {
	echo Y >$KEYS
	echo 0 >"${ACCOUNT}_reset"
	run keys
	awk -F'\t' '$3 ~ /^0x(1000000)?8b$/ { n += $4 } END { print "keys\tkey\t" n + 0 }' ${ACCOUNT}_keys
}

# Debian's own kernel has only one KVM; for that kernel the ways are given as arguments.
if [ $# = 0 ]; then
	lab-modules load stock
	set -- hist events bpf perf_stat keyhist keybpf off on keys
fi
# Without a virtualized APIC, each EOI is a WRMSR exit.
say stock virtual "$(cat /sys/module/kvm_intel/parameters/enable_apicv /sys/module/kvm_amd/parameters/avic 2>/dev/null)"
# One run whose result is dropped: the machine warms up.
sh loop >out
run stock
echo 1 >/proc/sys/net/core/bpf_jit_enable
for way; do
	$way
done

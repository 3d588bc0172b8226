#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# diagnose.sh - makes the outputs of docs/diagnose.md: in an exact lab it starts guests
# that have the trouble of each example, and runs exitdump beside them.
#
# Usage: scripts/diagnose.sh [-m vmx|svm] [-k KERNEL] [-w]
#
#   -m, -k   as in scripts/lab.sh (default: vmx, the first kernel)
#   -w       write the outputs into the page; else they go to standard output, each
#            after a line "== NAME"
#
# In the page, an output is the block of lines with four spaces after <!-- NAME -->.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

PAGE=$TOP/docs/diagnose.md

machine=vmx kernel=$(default_kernel) write=''

parse() {
	local option
	while getopts :m:k:wh option; do
		case $option in
		m) machine=$OPTARG ;;
		k) kernel=$OPTARG ;;
		w) write=1 ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	no_more "${@:OPTIND}"
	one_of m "exact lab" "$machine" "vmx svm"
	one_of k kernel "$kernel" "$KERNELS"
}

# commands: prints the script that the lab runs. The lab has one CPU, for one vCPU; only
# examples whose trouble is sharing a CPU use more vCPUs. The step spin makes no exits.
commands() {
	cat <<-'EOF'
		set -e
		cat >show <<-'X'
			for command; do
				echo "# $command"
				$command
			done
		X
		P=/sys/module/kvm/parameters
		ms=$(awk -F"[=\t]" "/^# / { print \$5 }" /sys/kernel/debug/kvm/exit_cycles)	# in cycles
		# example NAME COMMANDS STEP...: runs COMMANDS while the guest's VM exists
		example() {
			echo "== $1"
			echo 0 >/sys/kernel/debug/kvm/exit_cycles_reset
			after=$2
			shift 2
			vmm --quiet --after "sh show $after" "$@"
		}
		# alone NAME STEP: lists the VMs while a guest with STEP runs in a loop
		alone() {
			echo "== $1"
			vmm --quiet --loop 0 "$2" &
			sleep 0.2
			sh show "exitdump list 1 1"
			kill $!
			wait $!
		}
		# intel PARAMETER=VALUE...: loads KVM with these parameters, on Intel only
		intel() {
			[ $wrmsr = MSR_WRITE ] || return 0
			rmmod kvm_intel
			insmod "$LAB_MODULES/kvm-intel.ko" "$@"
		}
		if [ -d /sys/module/kvm_intel ]; then
			wrmsr=MSR_WRITE fault=EPT_VIOLATION turns=100
		else
			# QEMU is slow with PAUSE, and PAUSE makes no exit there
			wrmsr=msr fault=npf turns=10
		fi
		example pm-timer "exitdump 'exitdump why'" \
			in:0x608=9000 in:0x71=60 out-kernel=40 cpuid=200 spin=100000 hlt=200
		example pm-timer-after exitdump in:0x71=60 out-kernel=40 cpuid=200 spin=100000 hlt=200
		example msi-x "exitdump 'exitdump why'" \
			mmio:0xfebf0000=8000 mmio:0xfebd1000=50 out-kernel=40 cpuid=200 spin=100000 wrmsr-fast=200
		example msi-x-after exitdump mmio:0xfebd1000=50 out-kernel=40 cpuid=200 spin=100000 wrmsr-fast=200
		example ipi "exitdump 'exitdump why $wrmsr'" \
			ipi=1000 wrmsr-fast=799 out-kernel=40 cpuid=200 spin=1400000 hlt=200
		example ipi-after exitdump ipi=100 wrmsr-fast=799 out-kernel=40 cpuid=200 spin=1400000 hlt=200
		example freeze "exitdump 'exitdump slow'" hlt:50000=300 sleep-user:20=1 hlt:50000=300
		example freeze-after exitdump hlt:50000=300 out-user=1 hlt:50000=300

		passes="ept=1000 log-dirty=1 again=1000"
		example memory "exitdump 'exitdump why $fault'" $passes log-dirty=1 again=1000 log-dirty=1 again=1000 log-dirty=1 again=1000
		example memory-after "exitdump 'exitdump why $fault'" --populate $passes again=1000 again=1000 again=1000

		echo 20000000 >$P/halt_poll_ns
		example polling "'exitdump -o +poll'" spin=100000 hlt=200
		echo 0 >$P/halt_poll_ns
		example polling-after "'exitdump -o +poll'" spin=100000 hlt=200

		example overcommit "exitdump 'exitdump --all-vms --sort sched'" --together --vms 2 deadline:$((ms * 2 / 5))=500
		example overcommit-after "exitdump" deadline:$((ms * 2 / 5))=500

		example pause "'exitdump -o +hsched'" --vcpus 4 lock:$((ms * 2 / 5))=$turns
		example pause-after "'exitdump -o +hsched'" lock:$((ms * 2 / 5))=$((turns * 4))

		alone outside hlt-late:$((ms * 60)):30=1
		alone outside-after hlt:$((ms * 60))=1

		intel enable_shadow_vmcs=0
		example nested "'exitdump -n 5' 'exitdump why -n 2'" nested=500 nested-out=500
		intel
		example nested-after "'exitdump -n 5' 'exitdump why -n 2'" nested=500 nested-out=500
	EOF
}

# into_page OUTPUTS: prints the page with these outputs.
into_page() {
	awk '
		NR == FNR { if (/^== /) name = $2; else text[name] = text[name] "    " $0 "\n"; next }
		skip && /^(    .*)?$/ { next }
		skip { print ""; skip = 0 }
		{ print }
		/^<!-- [a-z-]+ -->$/ {
			if (!($2 in text)) exit 1
			printf "\n%s", text[$2]
			skip = 1
		}' "$1" "$PAGE"
}

main() {
	parse "$@"
	"$TOP/scripts/deps.sh" build lab tool >&2
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT TERM
	make -s -C "$TOP/tools" BUILD="$tmp/build" PROG="$tmp/exitdump" >&2
	"$TOP/scripts/vmm/build.sh" "$tmp/vmm"
	commands >"$tmp/commands"
	"$TOP/scripts/lab.sh" -m "$machine" -k "$kernel" -x -a "$tmp/vmm" -a "$tmp/exitdump" -a "$tmp/commands" \
		-- sh commands >"$tmp/out" || die "$machine $kernel: the lab failed (see above; $(tail -n 1 "$tmp/out"))"
	if [[ $write ]]; then
		into_page "$tmp/out" >"$tmp/page" || die "$PAGE: an output that is not made here"
		cat "$tmp/page" >"$PAGE"
	else
		cat "$tmp/out"
	fi
}

main "$@"

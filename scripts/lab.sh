#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# lab.sh - boots a kernel with KVM's modules in a machine that has virtualization, and runs
# a command in it.
#
# Usage: scripts/lab.sh [-m vmx|svm|kvm] [-k KERNEL] [-s stock|patched]
#                       [-d DEBUG] [-b DIR] [-c CPUS] [-x] [-a FILE]... [-M MIB]
#                       [-t SECONDS] [-l LOG] -- COMMAND [ARGUMENT]...
#
#   -m vmx      Bochs: slow, but one instruction is one tick of the TSC
#   -m svm      QEMU's TCG: boots in seconds
#   -m kvm      QEMU and this host's nested virtualization: fast. The default if it
#               really works here; else the default is vmx
#   -k KERNEL   a folder of patches/ (default: the first)
#   -s SERIES   the modules to load: patched (default) or stock
#   -d DEBUG    a debug kernel: kasan (checks memory, locks, RCU and leaks, and can make
#               allocations fail) or kcsan (looks for data races); or one built another
#               way: rt (PREEMPT_RT, checks locks) or clang (by clang, PREEMPT)
#   -c CPUS     1 (default) to 8
#   -x          the TSC counts instructions (vmx always does so; svm with one CPU)
#   -b DIR      boot another kernel: DIR/bzImage, with the modules and modprobe of
#               DIR/lib/modules (scripts/source/stock.sh makes such a folder from Debian's
#               own kernel). Then -k, -s and -d have no effect
#   -a FILE     bring a file along, and the libraries if it is a program. A file of
#               /usr keeps its path; any other goes to the command's folder
#   -M MIB      memory, 1024 (vmx: at most 2048)
#   -t SECONDS  after this time the lab counts as hung (default 600)
#   -l LOG      keep the machine's console in this file
#
# COMMAND starts in the folder of the files brought along. This folder is first on PATH, and
# busybox's tools follow. The modules are loaded and debugfs is mounted;
# `lab-modules load [stock|patched] [PARAMETER=VALUE]...` and `lab-modules unload` change
# that. LAB_MACHINE, LAB_KERNEL, LAB_SERIES and LAB_MODULES (the folder of the modules) are
# set, and LAB_DEBUG with -d. COMMAND's output appears here at once.
#
# Exit status
#   0-239  COMMAND's own (128 + N: signal N; 127: not found)
#     241  after the modules were loaded, the kernel's log got a WARNING, BUG, KASAN, UBSAN
#          or the like. A data race counts only if it is in the account's code
#     242  the kernel panicked, which it also does after an Oops
#     243  it hung: not done after -t SECONDS
#     244  the machine ended before COMMAND did (reboot, triple fault, a failure of
#          the emulator), or COMMAND's output could not be kept
#     245  the lab could not start, COMMAND did not run: usage, files, modules
#     246  this host cannot provide the machine of -m, or the kernel that of -d: a reason
#          to skip, not to fail
#
# LAB_PIN=no in the environment lets QEMU run on all CPUs. tests/lab/emulator-hang.sh shows
# why QEMU is pinned otherwise. LAB_APPEND is added to the kernel's command line.
# LAB_MODEL is Bochs' CPU model (default broadwell_ult).
#
# With status 241 to 244 the log goes to standard error. However the lab ends, even by
# SIGKILL, none of its processes and files remain.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"
# shellcheck source=scripts/lab/initramfs.sh
. "${BASH_SOURCE[0]%/*}/lab/initramfs.sh"
# shellcheck source=scripts/lab/root.sh
. "${BASH_SOURCE[0]%/*}/lab/root.sh"
# shellcheck source=scripts/lab/machines.sh
. "${BASH_SOURCE[0]%/*}/lab/machines.sh"
# shellcheck source=scripts/lab/verdict.sh
. "${BASH_SOURCE[0]%/*}/lab/verdict.sh"

BAD_LOG=241 PANIC=242 HANG=243 ENDED=244 NO_START=245 NO_MACHINE=246

machine='' kernel=$(default_kernel) boot='' debug='' series=patched cpus=1 exact='' megs=1024 seconds=600
files=() console=''

fail() {
	local status=$1
	shift
	echo "$PROGRAM: $*" >&2
	exit "$status"
}

die() {
	fail $NO_START "$@"
}

parse() {
	local option
	while getopts :m:k:s:d:b:c:xa:M:t:l:h option; do
		case $option in
		m) machine=$OPTARG ;;
		k) kernel=$OPTARG ;;
		s) series=$OPTARG ;;
		d) debug=$OPTARG ;;
		b) boot=$OPTARG ;;
		c) cpus=$OPTARG ;;
		x) exact=1 ;;
		a) files+=("$OPTARG") ;;
		M) megs=$OPTARG ;;
		t) seconds=$OPTARG ;;
		l) console=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	command=("$@")

	[[ ! $machine ]] || one_of m machine "$machine" "vmx svm kvm"
	one_of k kernel "$kernel" "$KERNELS"
	one_of s series "$series" "stock patched"
	[[ ! $debug ]] || one_of d "debug kernel" "$debug" "$DEBUGS"
	[[ ! $boot || -r $boot/bzImage && -d $boot/lib/modules ]] || die "-b $boot: no such folder, or without bzImage and lib/modules"
	positive c "$cpus"
	((cpus <= 8)) || die "-c $cpus: the lab's kernel has at most 8 CPUs"
	positive M "$megs"
	positive t "$seconds"
	((${#command[@]})) || die "no COMMAND to run (-h shows the usage)"

	[[ $exact ]] || return 0
	machine=${machine:-vmx}
	[[ $machine != kvm ]] || die "-x -m kvm: hardware does not count instructions (use vmx or svm)"
	[[ $machine != svm ]] || ((cpus == 1)) || die "-x -m svm: only with one CPU"
}

# why_not_kvm: prints why this host's own virtualization cannot be used, or nothing. The
# host's own claims are checked first, but they can be wrong. So a lab is booted too, once
# for each boot of the host.
why_not_kvm() {
	local tried why
	if [[ ! -c /dev/kvm ]]; then
		echo "no /dev/kvm"
	elif [[ ! -r /dev/kvm || ! -w /dev/kvm ]]; then
		echo "no permission for /dev/kvm"
	elif ! grep -Eqw 'vmx|svm' /proc/cpuinfo; then
		echo "this CPU offers neither VMX nor SVM, though there is a /dev/kvm"
	elif ! grep -qs "^[Y1]" /sys/module/kvm_{intel,amd}/parameters/nested; then
		echo "nested virtualization is switched off (kvm_intel, kvm_amd: parameter nested)"
	else
		tried=$CACHE/nested.$(</proc/sys/kernel/random/boot_id)
		if [[ ! -f $tried ]]; then
			step "trying this host's nested virtualization"
			why="a lab with it does not come up"
			! LAB_TRY=1 "${BASH_SOURCE[0]}" -m kvm -k "$kernel" -s stock -t 60 \
				-- test -c /dev/kvm >/dev/null 2>&1 || why=''
			rm -f "$CACHE"/nested.*
			echo "$why" >"$tried"
		fi
		cat "$tried"
	fi
}

choose_machine() {
	local why
	[[ $machine != vmx && $machine != svm && ! $LAB_TRY ]] || return 0
	why=$(why_not_kvm)
	if [[ $machine && $why ]]; then
		fail $NO_MACHINE "-m kvm: $why"
	fi
	machine=${machine:-$([[ $why ]] && echo vmx || echo kvm)}
}

# take_kernel: copies the kernel and its modules while no build, by any process, is running.
take_kernel() {
	local one dir=$CACHE/$kernel${debug:+/$debug}
	local out=$dir/out
	if [[ $boot ]]; then
		kernel='' series='' debug=''
		cp "$boot/bzImage" "$tmp/bzImage"
		return
	fi
	exec 9<"$dir/lock"
	"${mortal[@]}" flock -s 9 4>&- &
	wait $!
	[[ -f $out/$series/kvm.ko ]] || die "-s $series: no such modules in $out"
	mkdir "$tmp/modules"
	for one in stock patched; do
		[[ ! -d $out/$one ]] || cp -R "$out/$one" "$tmp/modules/"
	done
	cp "$out/bzImage" "$tmp/bzImage"
	[[ $debug != kcsan ]] || readelf -sW "$out/patched/kvm.ko" >"$tmp/symbols"
	exec 9<&-
}

# output_failed STATUS: STATUS is cat's. SIGPIPE is no error; any other error cat has reported.
output_failed() {
	(($1 > 128)) || fail $ENDED "standard output: cannot be written, so the machine was stopped"
	exit "$1"
}

# start_output: a pipe leads from the machine's parallel port to our standard output. We keep
# the pipe's writing end open, so that the output ends only when we close it.
start_output() {
	: >"$tmp/console"
	mkfifo "$tmp/output"
	# Open both ends now: opening only one end would wait for the other.
	exec 3<>"$tmp/output"
	exec 5<"$tmp/output"
	exec 3>"$tmp/output"
	"${mortal[@]}" cat <&5 3>&- 4>&- &
	reader=$!
	exec 5<&-
}

end_output() {
	local status=0
	exec 3>&-
	wait "$reader" || status=$?
	reader=''
	((status == 0)) || output_failed "$status"
}

# make_folder: makes the lab's temporary folder, and starts a process that removes it at the
# end. After a SIGKILL we cannot remove it ourselves, but the kernel closes our end of the
# pipe, and the process sees that.
make_folder() {
	tmp=$(mktemp -d) || exit $NO_START
	# shellcheck disable=SC2016 # for the other shell
	exec 4> >(
		trap '' INT TERM HUP
		exec setsid sh -c 'cat; until rm -rf "$1"; do sleep 1; done' sh "$tmp" >/dev/null 2>&1 3>&-
	)
	remover=$!
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	local status=$?
	trap '' INT TERM HUP
	[[ ! $running ]] || { kill -s "$stop" "$running" && wait "$running"; } 2>/dev/null || true
	[[ ! $reader ]] || { kill "$reader" && wait "$reader"; } 2>/dev/null || true
	exec 4>&-
	wait "$remover" || true
	# An error that nobody planned for has printed its reason, but has no status of the
	# lab's.
	if [[ ! $judged ]] && ((status > 0 && status < 129)); then
		echo "$PROGRAM: stopped half-way (is there space left in ${tmp%/*}?)" >&2
		status=$NO_START
		[[ ! $stop ]] || status=$ENDED
	fi
	exit "$status"
}

main() {
	local status=0
	parse "$@"
	[[ ! $console ]] || : >"$console" || exit $NO_START
	"$TOP/scripts/deps.sh" lab >&2 || exit $NO_START
	[[ $boot ]] || "${mortal[@]}" "$TOP/scripts/kernel.sh" -k "$kernel" ${debug:+-d "$debug"} build >&2 || exit $(($? == 3 ? NO_MACHINE : NO_START))
	choose_machine

	running='' stop='' reader='' judged=''
	make_folder
	trap clean_up EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	take_kernel
	build_runner
	make_root
	start_output
	if [[ $machine == vmx ]]; then
		start_bochs || status=$?
	else
		start_qemu || status=$?
	fi
	end_output
	[[ ! $console ]] || tr -d '\r' <"$tmp/console" >"$console"
	judge "$status"
}

main "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# lab.sh - boots a kernel with KVM's modules in a machine that has
# virtualization, and runs a command in it.
#
# Usage: scripts/lab.sh [-m vmx|svm|kvm] [-k KERNEL] [-s stock|patched]
#                       [-d kasan|kcsan] [-b DIR] [-c CPUS] [-x] [-a FILE]... [-M MIB]
#                       [-t SECONDS] [-l LOG] -- COMMAND [ARGUMENT]...
#
#   -m vmx      Bochs: slow, but one instruction is one tick of the TSC
#   -m svm      QEMU's TCG: boots in seconds
#   -m kvm      QEMU and this host's nested virtualization: fast; the default
#               where that really works, else vmx is
#   -k KERNEL   of those in patches/ (default: the first)
#   -s SERIES   the modules loaded: patched (default) or stock
#   -d DEBUG    a kernel that watches itself: kasan (memory, locks, RCU, leaks, and
#               allocations that can fail) or kcsan (data races)
#   -c CPUS     1 (default) to 8
#   -x          the TSC counts instructions (vmx always does so; svm with one CPU)
#   -b DIR      boot another kernel: DIR/bzImage, with the modules of
#               DIR/lib/modules and modprobe (scripts/source/stock.sh makes such a
#               folder of Debian's own); -k, -s and -d have no meaning then
#   -a FILE     bring a file along: a program comes with its libraries. One of
#               /usr keeps its path, any other stands in the command's folder
#   -M MIB      memory, 1024 (vmx: at most 2048)
#   -t SECONDS  until the lab counts as hung, 600
#   -l LOG      keep the machine's console in this file
#
# COMMAND starts in a folder that holds the files brought along and is first on
# PATH, with busybox's tools. The modules are loaded and debugfs is mounted;
# `lab-modules load [stock|patched] [PARAMETER=VALUE]...` and `lab-modules
# unload` change that. LAB_MACHINE, LAB_KERNEL, LAB_SERIES and LAB_MODULES (the
# folder of the modules) are set, and LAB_DEBUG with -d. What it writes comes out
# here as it comes.
#
# Exit status
#   0-239  COMMAND's own (128 + N: signal N; 127: not found)
#     241  the kernel's log, since the modules were loaded, has a WARNING, BUG,
#          Oops, KASAN, UBSAN or the like; of data races only the account's
#     242  the kernel panicked
#     243  it hung: not done after -t SECONDS
#     244  the machine ended before COMMAND did (reboot, triple fault, a
#          failure of the emulator), or what it wrote could not be kept
#     245  the lab could not start, COMMAND did not run: usage, files, modules
#     246  this host cannot be the machine of -m: a reason to skip, not to fail
#
# LAB_PIN=no in the environment leaves QEMU on all CPUs: tests/lab/emulator-hang.sh shows why
# it is not.
#
# From 241 to 244 the log goes to standard error. However it ends, by SIGKILL
# as well, no process and no file of it stays.

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

# why_not_kvm: why this host's own virtualization cannot be used, or nothing.
# What the host says of itself is asked first, but it can be wrong: so a lab is
# booted, once for each boot of the host.
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

# take_kernel: while no build, whoever runs it, is at work.
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

# output_failed STATUS: of cat. SIGPIPE is nobody's fault, the rest it has said.
output_failed() {
	(($1 > 128)) || fail $ENDED "standard output: cannot be written, so the machine was stopped"
	exit "$1"
}

# What the machine writes to its parallel port is a pipe to our standard output.
# We hold its other end, so that it ends when we say so.
start_output() {
	: >"$tmp/console"
	mkfifo "$tmp/output"
	# Open at both ends before anyone else is there to wait for one of them.
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

# make_folder: for all of it, and who removes it at the end: SIGKILL leaves us
# no time, but closes our end of a pipe as well.
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
	# What ends us unforeseen has said why, but has no status of ours.
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
	[[ $boot ]] || "${mortal[@]}" "$TOP/scripts/kernel.sh" -k "$kernel" ${debug:+-d "$debug"} build >&2 || exit $NO_START
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

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# lab.sh - boots a kernel with KVM's modules in a machine that has
# virtualization, and runs a command in it.
#
# Usage: scripts/lab.sh [-m vmx|svm|kvm] [-k KERNEL] [-s stock|patched]
#                       [-d DEBUG] [-b DIR] [-c CPUS] [-x] [-a FILE]... [-M MIB]
#                       [-t SECONDS] [-l LOG] -- COMMAND [ARGUMENT]...
#
#   -m vmx      Bochs: slow, but one instruction is one tick of the TSC
#   -m svm      QEMU's TCG: boots in seconds
#   -m kvm      QEMU and this host's nested virtualization: fast; the default
#               where that really works, else vmx is
#   -k KERNEL   of those in patches/ (default: the first)
#   -s SERIES   the modules loaded: patched (default) or stock
#   -d DEBUG    a kernel that watches itself: kasan (memory, locks, RCU, leaks, and
#               allocations that can fail) or kcsan (data races); or one made another
#               way: rt (PREEMPT_RT, and locks) or clang (and preempted anywhere)
#   -c CPUS     1 (default) to 8
#   -x          the TSC counts instructions (vmx always does so; svm with one CPU)
#   -b DIR      boot another kernel: DIR/bzImage, with the modules of
#               DIR/lib/modules and modprobe (scripts/stock.sh makes such a
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
#     246  this host cannot be the machine of -m, or there is no such kernel for -d: a
#          reason to skip, not to fail
#
# LAB_PIN=no in the environment leaves QEMU on all CPUs: tests/emulator-hang.sh shows why
# it is not. LAB_APPEND is words more for the kernel's command line.
#
# From 241 to 244 the log goes to standard error. However it ends, by SIGKILL
# as well, no process and no file of it stays.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/kernels.sh
. "${BASH_SOURCE[0]%/*}/kernels.sh"
# shellcheck source=scripts/initramfs.sh
. "${BASH_SOURCE[0]%/*}/initramfs.sh"

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

positive() {
	[[ $2 =~ ^[1-9][0-9]{0,6}$ ]] || die "-$1 $2: not a number above 0"
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
		*) die "-$OPTARG: no such option, or its value is missing (-h shows them)" ;;
		esac
	done
	shift $((OPTIND - 1))
	command=("$@")

	[[ " vmx svm kvm " == *" ${machine:-vmx} "* ]] || die "-m $machine: no such machine (vmx, svm or kvm)"
	[[ " $KERNELS " == *" $kernel "* ]] || die "-k $kernel: no such kernel (one of: $KERNELS)"
	[[ " stock patched " == *" $series "* ]] || die "-s $series: no such series (stock or patched)"
	[[ " $DEBUGS " == *" ${debug:-kasan} "* ]] || die "-d $debug: no such debug kernel (one of: $DEBUGS)"
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

build_runner() {
	local source=$TOP/scripts/lab/run.c
	[[ ! -x $CACHE/lab-run || $source -nt $CACHE/lab-run ]] || return 0
	gcc -O2 -static -o "$tmp/lab-run" "$source" || die "$source: does not build"
	mv "$tmp/lab-run" "$CACHE/lab-run"
}

# make_root OUT: the lab's root file system.
make_root() {
	local root=$tmp/root file one
	mkdir "$root"
	stage_base "$root"
	mkdir -p "$root/lab" "$root/usr/lib/lab"
	cp "$TOP/scripts/lab/init" "$root/init"
	cp "$TOP/scripts/lab/modules" "$root/usr/bin/lab-modules"
	cp "$CACHE/lab-run" "$root/usr/bin/lab-run"
	if [[ $boot ]]; then
		cp -R "$boot/lib/modules" "$root/usr/lib/"
		for one in modprobe insmod rmmod modinfo depmod lsmod; do
			file=$(PATH=$PATH:/usr/sbin:/sbin type -P "$one") || die "$one: not found (apt-get install kmod)"
			stage_file "$root" "$file"
		done
	else
		mv "$tmp"/modules/* "$root/usr/lib/lab/"
	fi
	stage_files "$root" lab "${files[@]}"
	for file in "${files[@]}"; do
		[[ -e $root/lab/${file##*/} ]] ||
			ln -s "/$(staged_path "$file")" "$root/lab/${file##*/}"
	done
	{
		echo "export LAB_MACHINE=$machine LAB_KERNEL=$kernel LAB_DEBUG=$debug LAB_SERIES=$series"
		echo "export LAB_MODULES=${series:+/usr/lib/lab/$series}"
		echo "set --$(quote "${command[@]}")"
	} >"$root/lab.command"
	pack "$root" >"$tmp/initrd"
	rm -rf "$root"
}

# Instructions a second of the lab's own time: fewer, and timer interrupts take
# a larger part of them; more, and each byte on the serial port takes more.
IPS=50000000

# With mwait idle an IPI never wakes Bochs' second CPU, and the TSC frequency in
# its CPUID is not that of Bochs.
append() {
	local words="console=ttyS0,115200 quiet nokaslr norandmaps panic=-1 reboot=t printk.devkmsg=on ${LAB_APPEND-}"
	[[ ! $debug ]] || words+=" kasan_multi_shot"
	# look at more accesses, and longer: an emulated CPU does little in KCSAN's 80 us
	[[ $debug != kcsan || $exact ]] || words+=" kcsan.skip_watch=500 kcsan.udelay_task=500 kcsan.udelay_interrupt=100"
	[[ $debug != rt ]] || words+=" setcpuid=constant_tsc"
	[[ ! $boot ]] || words+=" printk.time=0"
	[[ $machine != vmx ]] || words+=" idle=halt tsc_early_khz=$((IPS / 1000))"
	echo "$words"
}

start_bochs() {
	local smp=count=1
	if ((megs > 2048)); then
		echo "$PROGRAM: -M $megs: Bochs has at most 2048 MiB, which it gets" >&2
		megs=2048
	fi
	((cpus == 1)) || smp=count=$cpus:1:1
	mkdir "$tmp/cd"
	cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$tmp/cd/"
	mv "$tmp/bzImage" "$tmp/cd/linux"
	mv "$tmp/initrd" "$tmp/cd/initrd"
	printf '%s\n' "DEFAULT lab" "LABEL lab" "KERNEL linux" \
		"APPEND initrd=initrd $(append)" >"$tmp/cd/isolinux.cfg"
	touch -h -d "@$EPOCH" "$tmp"/cd{/*,}
	quietly "$tmp/iso.log" env SOURCE_DATE_EPOCH="$EPOCH" xorriso -as mkisofs -quiet -o "$tmp/cd.iso" -b isolinux.bin \
		-c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$tmp/cd"
	rm -rf "$tmp/cd"

	# Not every model will do: a VM with two vCPUs hangs on ivy_bridge, and
	# skylake_x draws a warning from the kernel at boot.
	# The term display needs neither a terminal nor a port.
	cat >"$tmp/bochsrc" <<-EOF
		display_library: term
		cpu: model=broadwell_ult, $smp, ips=$IPS, reset_on_triple_fault=0
		memory: guest=$megs, host=$megs
		clock: sync=none, time0=$EPOCH
		romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
		vgaromimage: file=/usr/share/vgabios/vgabios.bin
		ata0-master: type=cdrom, path=$tmp/cd.iso, status=inserted
		boot: cdrom
		com1: enabled=1, mode=file, dev=$tmp/console
		parport1: enabled=1, file=$tmp/output
		log: $tmp/machine.log
		panic: action=fatal
		error: action=ignore
		info: action=ignore
		debug: action=ignore
	EOF
	# Debian's Bochs waits at its debugger's prompt otherwise.
	echo c >"$tmp/debugger"
	# Interrupted, it goes back to that prompt, finds no more commands, and ends
	# with its files written.
	TERM=dumb run_machine INT bochs -f "$tmp/bochsrc" -rc "$tmp/debugger"
}

# pin: in $pinned, what has a command run on one of our CPUs, where no other lab is if
# there is such a one. The lock is open until the last process of the lab ends.
pin() {
	local allowed cpu lock
	allowed=$(taskset -cp $$ | sed 's/.*: //; s/,/\n/g' | while IFS=- read -r from to; do seq "$from" "${to:-$from}"; done)
	for cpu in $allowed; do
		exec {lock}>"$CACHE/lab-cpu.$cpu"
		! flock -n "$lock" || break
		exec {lock}>&-
	done
	pinned=(taskset -c "$cpu")
}

start_qemu() {
	local threads=multi pinned=() options=(-nodefaults -no-user-config -no-reboot -display none
		-smp "$cpus" -m "$megs" -kernel "$tmp/bzImage" -initrd "$tmp/initrd"
		-append "$(append)" -serial "file:$tmp/console"
		-chardev "file,id=output,path=$tmp/output"
		-device "isa-parallel,chardev=output")
	if [[ $machine == kvm ]]; then
		options+=(-accel kvm -cpu host)
	else
		# One thread for all CPUs: with one for each, a CPU may translate an instruction
		# that another is patching, and execute the int3 in it for good, which panics.
		# KCSAN's kernel patches none, and wants to see CPUs at the same time.
		if [[ $debug != kcsan || $exact ]]; then
			threads=single
			# A VMRUN with a virtual interrupt adds that to what is pending, by one
			# instruction without a lock. If QEMU's timers add theirs at the same
			# time, it is lost, and the lab's Linux waits for it for ever. On one
			# CPU, no other thread comes in between.
			[[ ${LAB_PIN-} == no ]] || pin
		fi
		options+=(-accel "tcg,thread=$threads" -cpu max)
	fi
	[[ ! $exact ]] || options+=(-icount "shift=0,sleep=off" -rtc "base=$(date -u -d "@$EPOCH" +%FT%T),clock=vm")
	run_machine TERM "${pinned[@]}" qemu-system-x86_64 "${options[@]}"
}

# run_machine SIGNAL COMMAND...: until it ends, in the background so that a
# signal to us is taken meanwhile. Its status, 124 where time was up. When
# nobody reads our output any more, that is the end of all of it.
run_machine() {
	local status=0 ended='' begin=$SECONDS
	stop=$1
	shift
	# shellcheck disable=SC2016 # for the other shell: we may be gone before it is mortal
	"${mortal[@]}" sh -c '[ "$PPID" = "$1" ] && shift && exec "$@"' sh $$ \
		timeout -s "$stop" -k 5 "$seconds" "${mortal[@]}" "$@" \
		</dev/null >"$tmp/machine.out" 2>&1 3>&- &
	running=$!
	# An emulator that crashes is judged by how far it came, not told by the shell.
	wait -n -p ended "$running" "$reader" 2>/dev/null || status=$?
	if [[ $ended == "$reader" ]]; then
		reader=''
		output_failed "$status"
	fi
	running=''
	# KILL came from us when INT or TERM did not help, else from elsewhere.
	((status != 137 || SECONDS - begin < seconds)) || status=124
	return "$status"
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

# Of data races only the account's count; what is the kernel's own has another name.
log_since_modules() {
	tr -d '\r\0' <"$tmp/console" | sed -n '/^lab: modules$/,$p' |
		if [[ $debug == kcsan ]]; then
			awk -f "$TOP/scripts/lab/races.awk" "$tmp/symbols" -
		else
			cat
		fi
}

# show_log TEXT: why, and the first thing that is bad in the log, and its end; of all
# of it before the modules were loaded.
show_log() {
	echo "$PROGRAM: $*" >&2
	if grep -aq '^lab: modules' "$tmp/console"; then
		log_since_modules
	else
		tr -d '\r\0' <"$tmp/console"
	fi | BAD=$BAD awk '{ line[NR] = $0; if (!bad && $0 ~ ENVIRON["BAD"]) bad = NR }
		END { for (i = 1; i <= NR; i++) if (i > NR - 200 || bad && i >= bad && i < bad + 60) print line[i] }' >&2
	{
		tail -n 5 "$tmp/machine.out"
		grep -a ">>PANIC<<" "$tmp/machine.log" || true
	} >&2 2>/dev/null
}

# tell_races: which of the kernel's own were seen, and how often.
tell_races() {
	[[ $debug == kcsan ]] || return 0
	log_since_modules | sed -n "s/.*lab: data race of the kernel's own: //p" | sort | uniq -c |
		while read -r times where; do
			echo "$PROGRAM: not the account's: data race in $where ($times)" >&2
		done
}

# judge STATUS: that of the machine, into that of the lab.
judge() {
	local status bad
	tell_races
	judged=1
	if ! { head -c 4096 /dev/zero >"$tmp/full"; } 2>/dev/null; then
		show_log "${tmp%/*}: no space left, so the log is not whole"
		exit $ENDED
	elif grep -aq '^Kernel panic' "$tmp/console"; then
		show_log "the kernel panicked"
		exit $PANIC
	elif (($1 == 124)); then
		show_log "it hung: not done after $seconds s"
		exit $HANG
	fi
	bad=$(log_since_modules | grep -aE "$BAD" | head -n 1 || true)
	if [[ $bad ]]; then
		show_log "the kernel's log has: $bad"
		exit $BAD_LOG
	fi
	status=$(log_since_modules | sed -n 's/^lab: exit //p' | tail -n 1)
	if [[ $status ]]; then
		exit "$status"
	fi
	status=$(log_since_modules | sed -n 's/^lab: failed: //p')
	[[ ! $status ]] || die "$machine: $status"
	show_log "the machine ended before the command did"
	exit $ENDED
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

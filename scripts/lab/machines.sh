# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with lab.sh
# machines.sh - the machines of lab.sh: Bochs, and QEMU with TCG or KVM. Sourced by it.

# IPS: the instructions in one second of the lab's own time. With a lower value, timer
# interrupts take a larger part of them; with a higher value, each byte on the serial port
# takes more of them.
IPS=50000000

# append: prints the kernel's command line. An Oops ends the lab: else it would wait for the rest
# of its time, for a thread that is gone. Bochs needs two words: with mwait idle, an IPI never
# wakes its second CPU; and the TSC frequency in its CPUID is wrong.
append() {
	local words="console=ttyS0,115200 quiet nokaslr norandmaps oops=panic panic=-1 reboot=t printk.devkmsg=on ${LAB_APPEND-}"
	# With five levels of page tables, a timer interrupt while Linux identifies the boot CPU has
	# KASAN report good addresses, without an end.
	[[ $debug ]] && words+=" kasan_multi_shot no5lvl"
	# watch more accesses, and longer: an emulated CPU does little in KCSAN's default of
	# 80 us
	[[ $debug != kcsan || $exact ]] || words+=" kcsan.skip_watch=500 kcsan.udelay_task=500 kcsan.udelay_interrupt=100"
	[[ $debug == rt ]] && words+=" setcpuid=constant_tsc"
	[[ $boot ]] && words+=" printk.time=0"
	# Our Linux measures its APIC timer for a tenth of a second of the lab; counting, QEMU needs
	# 7 s of CPU for it. Debian's keeps it: 3206 has bounds of some ticks, for that timer.
	[[ $machine != svm || ! $exact || $boot ]] || words+=" nolapic_timer"
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

	# Not every CPU model works: on ivy_bridge a VM with two vCPUs hangs. skylake_x scales the
	# TSC of guests, but makes the kernel print a warning at boot. The display "term" needs
	# neither a terminal nor a port.
	cat >"$tmp/bochsrc" <<-EOF
		display_library: term
		cpu: model=${LAB_MODEL:-broadwell_ult}, $smp, ips=$IPS, reset_on_triple_fault=0
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
	# Without this command, Debian's Bochs waits at its debugger's prompt.
	echo c >"$tmp/debugger"
	# When interrupted, Bochs returns to that prompt, finds no more commands, and ends with its
	# files written.
	TERM=dumb run_machine INT bochs -f "$tmp/bochsrc" -rc "$tmp/debugger"
}

# pin: sets $pinned, the words that run a command on one of our CPUs; on a CPU without another
# lab, if there is one. The lock is held until the last process of the lab ends.
pin() {
	local allowed cpu lock
	allowed=$(taskset -cp $$ | sed 's/.*: //; s/,/\n/g' | while IFS=- read -r from to; do seq "$from" "${to:-$from}"; done)
	for cpu in $allowed; do
		exec {lock}>"$CACHE/lab-cpu.$cpu"
		flock -n "$lock" && break
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
		# All CPUs share one thread. With a thread for each CPU, one CPU may translate an
		# instruction while another patches it. It then runs the int3 in it for ever, and
		# the kernel panics. KCSAN's kernel patches no code, and needs CPUs that run at the
		# same time.
		if [[ $debug != kcsan || $exact ]]; then
			threads=single
			# A VMRUN with a virtual interrupt adds this interrupt to the pending ones
			# by a plain instruction without a lock. If QEMU's timer thread adds one at
			# the same time, that one is lost, and the lab's Linux waits for it for
			# ever. On one CPU, no other thread can come in between.
			[[ ${LAB_PIN-} == no ]] || pin
		fi
		options+=(-accel "tcg,thread=$threads" -cpu max)
	fi
	[[ $exact ]] && options+=(-icount "shift=0,sleep=off" -rtc "base=$(date -u -d "@$EPOCH" +%FT%T),clock=vm")
	run_machine TERM "${pinned[@]}" qemu-system-x86_64 "${options[@]}"
}

# run_machine SIGNAL COMMAND...: runs COMMAND until it ends; in the background, so that bash
# handles a signal to us meanwhile. Returns COMMAND's status, or 124 if the time was over. If
# the reader of our output goes away, the lab ends.
run_machine() {
	local status=0 ended='' begin=$SECONDS
	stop=$1
	shift
	# shellcheck disable=SC2016 # for the other shell: we may be gone before it is mortal
	"${mortal[@]}" sh -c '[ "$PPID" = "$1" ] && shift && exec "$@"' sh $$ \
		timeout -s "$stop" -k 5 "$seconds" "${mortal[@]}" "$@" \
		</dev/null >"$tmp/machine.out" 2>&1 3>&- &
	running=$!
	# The log decides about an emulator that crashes; hide the shell's message about it.
	wait -n -p ended "$running" "$reader" 2>/dev/null || status=$?
	if [[ $ended == "$reader" ]]; then
		reader=''
		output_failed "$status"
	fi
	running=''
	# A KILL after all the seconds is timeout's, because INT or TERM did not help.
	((status != 137 || SECONDS - begin < seconds)) || status=124
	return "$status"
}

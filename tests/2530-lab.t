#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: lab.sh boots the kernel, the series and the command that it is asked for, and its
# status says how the lab ended, whatever else the log says. The log of -l is complete
# however the lab ends. The test has a stand-in for QEMU, which writes what a machine would
# write. (3002 has the real machine.)
# shellcheck disable=SC2016 # the stand-in, or the lab's shell, expands it
. "${BASH_SOURCE[0]%/*}/lib.sh"

for program in busybox cpio taskset; do
	type -P $program >/dev/null || skip_all "$program is not installed"
done

export XDG_CACHE_HOME=$T/cache T
CACHE=$T/cache/exit_cycles
mkdir -p "$T"/{top/patches/{6.1,6.12},bin,tmp}
cp -R "$TOP/scripts" "$T/top/"
printf '#!/bin/sh\n' | tee "$T"/top/scripts/{deps,kernel}.sh >/dev/null
for build in 6.1 6.12 6.12/kasan 6.12/kcsan; do
	mkdir -p "$CACHE/$build/out"/{stock,patched}
	echo "kernel $build" >"$CACHE/$build/out/bzImage"
	for series in stock patched; do
		echo "$series $build" >"$CACHE/$build/out/$series/kvm.ko"
	done
	: >"$CACHE/$build/lock"
done
runner=$CACHE/lab-run.$(cksum <"$TOP/scripts/lab/run.c" | cut -d" " -f1)
printf "#!/bin/sh\n" >"$runner"
chmod +x "$runner"
# The machine: it keeps what it was given, and does what the file `machine` says.
cat >"$T/bin/qemu-system-x86_64" <<'END'
#!/bin/bash
echo "$*" >"$T/given"
taskset -cp $$ | sed 's/.*: //' >"$T/pinned"
while (($#)); do
	case $1 in
	-kernel) cp "$2" "$T/kernel" ;;
	-initrd) cp "$2" "$T/initrd" ;;
	-serial) console=${2#file:} ;;
	file,id=output,path=*) output=${1##*=} ;;
	esac
	shift
done
. "$T/machine"
END
chmod +x "$T/bin/qemu-system-x86_64"
PATH=$T/bin:$PATH

# lab MACHINE [WORD]...: runs lab.sh with that machine, which also has a log of its boot.
lab() {
	printf '%s\n' 'echo "WARNING: of the boot" >"$console"' "$1" >"$T/machine"
	shift
	TMPDIR=$T/tmp run "$T/top/scripts/lab.sh" -m svm "$@"
}
log() { printf 'printf "%%s\\n" %s >>"$console"\n' "$(printf '%q ' "$@")"; }
# inside: unpacks what the machine has got.
inside() {
	rm -rf "$T/root"
	mkdir "$T/root"
	(cd "$T/root" && cpio -i --quiet <"$T/initrd")
}

# --- what it boots

ended=$(log 'lab: modules' 'lab: exit 0')
echo brought >"$T/file"
lab "$ended"$'\necho out >"$output"' -k 6.12 -a "$T/file" -- show "it's" '' $'two\nlines' '$HOME *'
is "it ends well, with its output" "$status:$out:$err" 0:out:
is "nothing stays" "$(ls -A "$T/tmp")" ''
like "memory, CPUs, and one thread for them" "$(<"$T/given")" ' -smp 1 -m 1024 .* -accel tcg,thread=single '
is "all files are of the same time, so that the same lab is the same" "$(TZ=UTC cpio -tv --quiet <"$T/initrd" | grep -vc 'Nov 14  *2023')" 0
inside
is "and in the order of their names" "$(cpio -t --quiet <"$T/initrd" | sort -c 2>&1)" ''
is "the kernel" "$(<"$T/kernel")" 'kernel 6.12'
is "the words" "$(sh -c '. "$0"; for word; do echo "[$word]"; done' "$T/root/lab.command")" $'[show]\n[it\'s]\n[]\n[two\nlines]\n[$HOME *]'
is "the file" "$(<"$T/root/lab/file")" brought
# set_in NAME...: prints what the lab's command finds in its environment.
set_in() { sh -c '. "$0"; for name in '"$*"'; do eval "echo \$$name"; done' "$T/root/lab.command" | paste -sd ' '; }
is "without -s: patched" "$(set_in LAB_MACHINE LAB_KERNEL LAB_SERIES LAB_MODULES)" 'svm 6.12 patched /usr/lib/lab/patched'
is "both series are there" "$(cat "$T"/root/usr/lib/lab/{stock,patched}/kvm.ko)" $'stock 6.12\npatched 6.12'
lab "$ended" -s stock -- true
inside
is "-s stock; and the first kernel" "$(set_in LAB_KERNEL LAB_SERIES LAB_MODULES):$(<"$T/kernel")" '6.1 stock /usr/lib/lab/stock:kernel 6.1'
lab "$ended" -k 6.12 -d kasan -- true
inside
is "-d kasan: its kernel, its modules" "$(set_in LAB_DEBUG):$(<"$T/kernel"):$(<"$T/root/usr/lib/lab/patched/kvm.ko")" 'kasan:kernel 6.12/kasan:patched 6.12/kasan'
like "-d kasan: with all that it finds, on four levels of page tables" "$(<"$T/given")" ' kasan_multi_shot no5lvl'
LAB_APPEND='extra=1 more' lab "$ended" -k 6.12 -c 8 -M 1234 -- true
like "LAB_APPEND, CPUs and memory" "$(<"$T/given")" '-smp 8 -m 1234 .*-append console=.* extra=1 more'
unlike "its TSC is not that of instructions" "$(<"$T/given")" icount
like "it has one CPU of the host" "$(<"$T/pinned")" '^[0-9]+$'
LAB_PIN=no lab "$ended" -- true
is "LAB_PIN=no: or all" "$(<"$T/pinned")" "$(taskset -cp $$ | sed 's/.*: //')"
lab "$ended" -x -- true
like "-x: its TSC is, and its clock" "$(<"$T/given")" '-icount shift=0,sleep=off -rtc base=2023-11-14T22:13:20,clock=vm'
lab "$ended" -x -c 2 -- true
is "-x with two CPUs: refused" "$status:$err" '245:lab.sh: -x -m svm: only with one CPU'
lab "$ended" -x -m kvm -- true
is "-x, where no machine counts instructions: refused" "$status:$err" '245:lab.sh: -x -m kvm: hardware does not count instructions (use vmx or svm)'
sed '$d' "$T/top/scripts/lab.sh" >"$T/top/scripts/functions"
is "-x without a machine: never this host's KVM" "$(bash -c '. "$1"; parse -x -- true; echo "$machine"' lab.sh "$T/top/scripts/functions")" vmx
lab "$ended" -t 0 -- true
is "no time at all, which timeout takes for no limit: refused" "$status:$err" '245:lab.sh: -t 0: not a number above 0'
lab "$ended" -c 9 -- true
is "nine CPUs: refused" "$status:$err" "245:lab.sh: -c 9: the lab's kernel has at most 8 CPUs"
lab "$ended" -k 6 -- true
is "a part of a kernel's name: refused" "$status:$err" '245:lab.sh: -k 6: no such kernel (one of: 6.1 6.12)'
for result in "3:246" "1:245"; do
	printf '#!/bin/sh\nexit %s\n' "${result%:*}" >"$T/top/scripts/kernel.sh"
	lab "$ended" -- true
	is "a kernel that cannot be built: status $result" "${result%:*}:$status" "$result"
done
printf '#!/bin/sh\n' >"$T/top/scripts/kernel.sh"
lab "$ended" -M 10000000 -- true
is "a number of eight digits: refused" "$status:$err" '245:lab.sh: -M 10000000: not a number above 0'
program=$(type -P env)
ln -s "$program" "$T/link"
lab "$ended" -a "$program" -a "$T/link" -- true
inside
is "a program of /usr: in its place, and in the command's folder" "$(readlink "$T/root/lab/env"):$(cmp "$T/root/lab/../usr/bin/env" "$program")" "/usr/bin/env:"
ok "a link: the file itself" test -f "$T/root/lab/link" -a ! -L "$T/root/lab/link"
# A library by a link, as ldd names it.
mkdir "$T/lib"
echo library >"$T/lib/libx.so.1.2"
ln -s libx.so.1.2 "$T/lib/libx.so.1"
printf '#!/bin/sh\necho "	libx.so.1 => %s/lib/libx.so.1 (0x1)"\n' "$T" >"$T/bin/ldd"
chmod +x "$T/bin/ldd"
lab "$ended" -a "$program" -- true
inside
rm "$T/bin/ldd"
is "its libraries, whole" "$(find "$T/root" -name 'libx.so*' -type f -exec cat {} +)" library
# A build has the lock, and writes another kernel before it ends.
flock "$CACHE/6.12/lock" sh -c 'touch "$T/locked"; sleep 1; echo "kernel 6.12, built now" >"$0"' "$CACHE/6.12/out/bzImage" &
until [[ -e $T/locked ]]; do sleep 0.02; done
lab "$ended" -k 6.12 -- true
wait
is "a build under way is waited for" "$status:$(<"$T/kernel")" '0:kernel 6.12, built now'
# A folder with another kernel.
for name in modprobe insmod rmmod modinfo depmod lsmod; do
	printf '#!/bin/sh\n' >"$T/bin/$name"
	chmod +x "$T/bin/$name"
done
mkdir -p "$T/boot/lib/modules/6.1.0-1-amd64"
lab "$ended" -b "$T/boot" -- true
is "-b: no kernel there" "$status:$err" "245:lab.sh: -b $T/boot: no such folder, or without bzImage and lib/modules"
echo "kernel of Debian" >"$T/boot/bzImage"
lab "$ended" -b "$T/boot" -s stock -- true
inside
is "-b: that kernel with its modules, and none of ours" "$(<"$T/kernel"):$(cd "$T/root/usr/lib" && echo modules/* lab/*):$(set_in LAB_KERNEL LAB_SERIES LAB_MODULES)" \
	"kernel of Debian:modules/6.1.0-1-amd64 lab/*:  "

# --- the other machines: Bochs; and a host without KVM

mkdir "$T/iso"
touch "$T"/iso/{isolinux.bin,ldlinux.c32}
sed -i "s,/usr/lib/ISOLINUX/,$T/iso/,; s,/usr/lib/syslinux/modules/bios/,$T/iso/," "$T/top/scripts/lab/machines.sh"
sed -i "s,! -c /dev/kvm \]\],! -c $T/kvm ]]," "$T/top/scripts/lab.sh"
printf '#!/bin/sh\nfor folder; do :; done\ncp "$folder/isolinux.cfg" "$T/"\n' >"$T/bin/xorriso"
cat >"$T/bin/bochs" <<'END'
#!/bin/bash
cp "$2" "$T/bochsrc"
console=$(sed -n 's/^com1:.*dev=//p' "$2") output=$(sed -n 's/^parport1:.*file=//p' "$2")
. "$T/machine"
END
chmod +x "$T"/bin/{xorriso,bochs}
lab "$ended"$'\necho out >"$output"' -m vmx -k 6.12 -c 2 -M 4096 -- true
is "-m vmx: as it was asked for, and what it cannot have is told" "$status:$out:$err" '0:out:lab.sh: -M 4096: Bochs has at most 2048 MiB, which it gets'
like "-m vmx: its CPUs, its memory" "$(<"$T/bochsrc")" 'cpu: model=broadwell_ult, count=2:1:1, ips=50000000, .*memory: guest=2048, host=2048'
like "-m vmx: its TSC, on the command line" "$(<"$T/isolinux.cfg")" 'APPEND initrd=initrd .* idle=halt tsc_early_khz=50000$'
LAB_MODEL=other lab "$ended" -m vmx -- true
like "LAB_MODEL: its model" "$(<"$T/bochsrc")" 'cpu: model=other, '
lab "$ended" -m kvm -- true
is "-m kvm, where there is none: a reason to skip" "$status:$err" '246:lab.sh: -m kvm: no /dev/kvm'
rm "$T/bochsrc"
TMPDIR=$T/tmp run "$T/top/scripts/lab.sh" -k 6.12 -- true
ok "without -m: Bochs there" test "$status" = 0 -a -e "$T/bochsrc"

# --- how it ended

# verdict TITLE STATUS REASON LINE...: the log has these lines.
verdict() {
	lab "$(log "${@:4}")" -k 6.12 -- true
	like "$1" "$status:${err%%$'\n'*}" "^$2:$3\$"
}
verdict "the command's status" 7 '' 'lab: modules' 'lab: exit 7'
verdict "the last word counts: a command can log the same" 7 '' 'lab: modules' 'lab: exit 0' 'lab: exit 7'
verdict "a warning counts" 241 "lab.sh: the kernel's log has: WARNING: real" 'lab: modules' 'WARNING: real' 'lab: exit 0'
verdict "a panic counts more" 242 'lab.sh: the kernel panicked' 'lab: modules' 'WARNING: real' 'lab: exit 0' 'Kernel panic - not syncing'
verdict "no word: it ended too early" 244 'lab.sh: the machine ended before the command did' 'lab: modules'
verdict "nor before the modules" 244 'lab.sh: the machine ended before the command did' 'lab: exit 0'
lab 'echo "qemu: no such machine" >&2; exit 1' -k 6.12 -- true
like "a machine that does not start: its own words" "$status:$err" '^244:lab.sh: the machine ended before the command did.*qemu: no such machine$'
verdict "no KVM: the command was not tried" 245 'lab.sh: svm: no modules' 'lab: modules' 'lab: failed: no modules'
lab "$(log 'lab: modules')"$'\nexec sleep 100' -k 6.12 -t 3 -l "$T/log" -- true
like "a hang" "$status:$err" '^243:lab.sh: it hung: not done after 3 s'
# what timeout says of an emulator that ignores TERM, after so many seconds
mkdir "$T/killed"
printf '#!/bin/sh\nexit 137\n' >"$T/killed/timeout"
chmod +x "$T/killed/timeout"
killed() { PATH=$T/killed:$PATH bash -c '. "$1"; tmp=$2 seconds=$3; sleep 9 & reader=$!; run_machine TERM true || echo $?; kill $reader' lab.sh "$T/top/scripts/functions" "$T" "$1"; }
is "an emulator that is killed when its time is over has hung, one that is killed before has not" "$(killed 0) $(killed 600)" '124 137'
is "-l: its log, from the beginning" "$(<"$T/log")" $'WARNING: of the boot\nlab: modules'
lab "$(log $'lab: modules\r' $'lab: exit 0\r')" -k 6.12 -l "$T/log" -- true
is "-l: and after a good end" "$(<"$T/log")" $'WARNING: of the boot\nlab: modules\nlab: exit 0'
# The output comes only when the machine has ended.
lab "$ended"$'\nexec 8>"$output"\n{ sleep 0.5; echo late; } >&8 2>/dev/null &' -k 6.12 -- true
is "late output comes, too" "$status:$out" 0:late
run sh -c '"$@" >/dev/full' sh env TMPDIR="$T/tmp" "$T/top/scripts/lab.sh" -m svm -k 6.12 -- true
like "late output that cannot be written" "$status:$err" '^244:.*standard output: cannot be written'
echo 'echo more >"$output"; sleep 20; touch "$T/ran-on"' >"$T/machine"
{ TMPDIR=$T/tmp "$T/top/scripts/lab.sh" -m svm -k 6.12 -- true || echo $? >"$T/gone"; } 2>/dev/null | true
is "a reader that goes away ends it, at once" "$(<"$T/gone"):$(ls "$T/ran-on" 2>/dev/null)" 141:

mkdir "$T/small"
if ((EUID == 0)) && mount -t tmpfs -o size=16m tmpfs "$T/small" 2>/dev/null; then
	printf '%s\n' "$ended" 'head -c 99999999 /dev/zero >"${console%/*}/more"' >"$T/machine"
	TMPDIR=$T/small run "$T/top/scripts/lab.sh" -m svm -k 6.12 -- true
	umount "$T/small"
	like "no space: the log may be cut, so it says nothing" "$status:${err%%$'\n'*}" '^244:lab.sh: .*/small: no space left, so the log is not whole$'
else
	skip "no space" "only root can mount a small disk"
fi
is "each of the kernel's complaints is one" "$(grep -vE "$(bash -c '. "$0"; echo "$BAD"' "$TOP/scripts/common.sh")" <<-'EOF'
	WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2
	BUG: kernel NULL pointer dereference, address: 0000000000000000
	Oops: general protection fault
	invalid opcode: 0000 [#1] PREEMPT SMP
	UBSAN: shift-out-of-bounds in a.c:1:1
	rcu: INFO: rcu_preempt self-detected stall on CPU
	rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
	INFO: task vmm:71 blocked for more than 120 seconds.
	kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
	kmemleak: Kernel memory leak detector disabled
	refcount_t: underflow; use-after-free.
	ODEBUG: free active (active state 0) object
	possible recursive locking detected
	inconsistent lock state
	suspicious RCU usage
	INFO: trying to register non-static key.
	turning off the locking correctness validator.
	list_add corruption. prev->next should be next
	list_del corruption. prev->next should be next
EOF
)" ''

# why FLAG NESTED LAB: prints why such a host does not do; LAB is the status of the lab that tries.
why() {
	printf '%s' "flags : $1" >"$T/cpuinfo"
	printf 'echo try >>"$T/tries"\nexit %s\n' "$3" >"$T/try"
	echo "$2" >"$T/module/kvm_intel/parameters/nested"
	bash -c 'CACHE=$0 kernel=6.1; step() { :; }; . "$T/why"; why_not_kvm' "$CACHE"
}
mkdir -p "$T/module/kvm_intel/parameters"
touch "$T/there"
sed -n '/^why_not_kvm() {/,/^}/p' "$TOP/scripts/lab.sh" | sed "s,-c /dev/kvm ]],-e $T/there ]],; s,/dev/kvm ,$T/there ,g; s,/proc/cpuinfo,$T/cpuinfo,; s,/sys/module,$T/module,; s,\"\${BASH_SOURCE\[0\]}\",sh $T/try," >"$T/why"
is "why this host has no nested virtualization" "$(why vmxx Y 0; why vmx N 0)$(ls "$T/tries" 2>/dev/null)" \
	$'this CPU offers neither VMX nor SVM, though there is a /dev/kvm\nnested virtualization is switched off (kvm_intel, kvm_amd: parameter nested)'
is "a lab tries it, once" "$(why vmx 1 1; why svm Y 0):$(cat "$T/tries")" $'a lab with it does not come up\na lab with it does not come up:try'
rm "$CACHE"/nested.*
is "and if it comes up, there is no reason" "$(why vmx Y 0)" ''
lab "$(log 'lab: modules' {1..30} 'WARNING: it' {31..400})" -k 6.12 -- true
is "what is shown of a long log: 60 lines from the first complaint on, and the last 200" "$(sed '1d' <<<"$err" | sed -n '1p; 2p; 60p; 61p; $p' | paste -sd,):$(wc -l <<<"$err")" 'WARNING: it,31,89,201,400:261'

# --- data races: reports about the account's code, and about other code

cat >"$T/symbols" <<'EOF'
     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS mmu.c
     2: 0000000000001234    56 FUNC    LOCAL  DEFAULT    1 mmu_helper
     3: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS exit_cycles.c
     4: 0000000000001234    56 FUNC    LOCAL  DEFAULT    1 show_scope
     5: 0000000000001234    56 FUNC    GLOBAL DEFAULT    1 kvm_exit_cycles_reset
     6: 0000000000001234    56 FUNC    GLOBAL DEFAULT    1 kvm_vcpu_kick
     7: 0000000000001234    56 FUNC    GLOBAL DEFAULT    1 kvm_arch_vcpu_update_stats
     8: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS exit_cycles_cpuid.c
     9: 0000000000001234    56 FUNC    LOCAL  DEFAULT    1 row_answer
    10: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS exit_cycles_keys.c
    11: 0000000000001234    56 FUNC    LOCAL  DEFAULT    1 find_key
EOF
cat >"$T/races" <<'EOF'
1 BUG: KCSAN: data-race in show_scope [kvm] / vcpu_enter_guest [kvm]
2 BUG: KCSAN: data-race in mmu_helper [kvm] / kvm_exit_cycles_reset [kvm]
3 BUG: KCSAN: data-race in vcpu_enter_guest [kvm] / vcpu_enter_guest [kvm]
4 BUG: KCSAN: data-race in vcpu_enter_guest [kvm]
5 BUG: KCSAN: data-race in kvm_vcpu_kick [kvm] / vcpu_enter_guest [kvm]
6 BUG: KCSAN: data-race in mmu_helper [kvm]
7 BUG: KCSAN: data-race in tick_sched_do_timer / tick_sched_do_timer
8 BUG: KCSAN: data-race in show_scope+0x12/0x340 [kvm]
9 BUG: KCSAN: data-race in _find_first_bit+0x37/0x60
10 WARNING: CPU: 0 PID: 73 at kernel/kcsan/report.c:343 replace_stack_entry.constprop.0+0xdc/0xe0
11 WARNING: CPU: 0 PID: 73 at arch/x86/kvm/x86.c:343 vcpu_enter_guest+0xdc/0xe0
12 BUG: KCSAN: data-race in kvm_arch_vcpu_update_stats [kvm] / _copy_to_user
13 BUG: KCSAN: data-race in svm_exit_handlers_fastpath [kvm_amd] / vcpu_enter_guest [kvm]
14 BUG: KCSAN: data-race in kvm_get_stat_per_vcpu [kvm] / vcpu_enter_guest [kvm]
15 BUG: KCSAN: data-race in mmu_helper [kvm] / row_answer [kvm]
16 BUG: KCSAN: data-race in find_key [kvm]
EOF
is "races are the account's, or the kernel's own" \
	"$(awk -f "$TOP/scripts/lab/races.awk" "$T/symbols" "$T/races" | sed -n 's/ \(BUG: KCSAN\|WARNING\).*//p' | xargs)" "1 2 3 4 8 11 12 13 15 16"
printf '#!/bin/sh\ncat "$T/symbols"\n' >"$T/bin/readelf"
chmod +x "$T/bin/readelf"
lab "$(log 'lab: modules' "$(sed -n 's/^7 //p' "$T/races")"{,} 'lab: exit 0')" -k 6.12 -d kcsan -- true
is "-d kcsan: a race of other code is told, and is no failure" "$status:$err" \
	"0:lab.sh: not the account's: data race in tick_sched_do_timer / tick_sched_do_timer (2)"
like "-d kcsan: its CPUs run at the same time" "$(<"$T/given")" 'kcsan.skip_watch=500 .*thread=multi'
lab "$(log 'lab: modules' "$(sed -n 's/^1 //p' "$T/races")" 'lab: exit 0')" -k 6.12 -d kcsan -- true
like "-d kcsan: the account's is one" "$status:$err" "^241:lab.sh: the kernel's log has: BUG: KCSAN: data-race in show_scope"

# --- the modules inside

mkdir -p "$T/modules"/usr/lib/lab/{stock,patched}
touch "$T/modules"/usr/lib/lab/{stock,patched}/kvm{,-intel,-amd}.ko
sed "s,/usr/lib/lab,$T/modules&,; s,/proc/,$T/proc/,; s,-c /dev/kvm,-c /dev/null," "$TOP/scripts/lab/modules" >"$T/lab-modules"
mkdir "$T/proc"
echo 'flags : svm' >"$T/proc/cpuinfo"
for name in insmod rmmod modprobe; do
	printf '#!/bin/sh\necho "%s ${1##*/}${2:+ $2}${3:+ $3}" >>"$T/done"\n' $name >"$T/bin/$name"
	chmod +x "$T/bin/$name"
done
modules() {
	: >"$T/done"
	LAB_MODULES=${folder-$T/modules/usr/lib/lab/patched} run sh "$T/lab-modules" "$@"
	done=$(paste -sd, "$T/done")
}
: >"$T/proc/modules"
modules load stock halt_poll_ns=0
is "modules: loaded" "$status:$done" '0:insmod kvm.ko tsc_tolerance_ppm=10000 halt_poll_ns=0,insmod kvm-amd.ko'
printf '%s\n' 'kvm_amd 1 0' 'kvm 1 1' >"$T/proc/modules"
modules load
is "modules: those that are loaded go first" "$status:$done" '0:rmmod kvm-amd,rmmod kvm,insmod kvm.ko tsc_tolerance_ppm=10000,insmod kvm-amd.ko'
touch "$T/modules/usr/lib/lab/patched/irqbypass.ko"
modules load
is "modules: irqbypass first, if it is one" "${done#*rmmod kvm,}" 'insmod irqbypass.ko,insmod kvm.ko tsc_tolerance_ppm=10000,insmod kvm-amd.ko'
folder='' modules load halt_poll_ns=0
is "modules: of the kernel itself, with parameters" "$status:${done#*rmmod kvm,}" '0:modprobe kvm halt_poll_ns=0,modprobe kvm-amd'
sed -i "s,-c /dev/null,-c $T/no-kvm," "$T/lab-modules"
modules load
is "modules: loaded, and there is no KVM" "$status:$err" '1:lab-modules: kvm-amd is loaded, but there is no /dev/kvm'
rm "$T/modules/usr/lib/lab/stock/kvm.ko"
modules load stock
like "modules: none there" "$status:$err:$done" '^1:lab-modules: no modules in .*/stock:$'

# the end of process 1
sed -n '/^say() {$/,/^}$/p; /^\. \/lab\.command$/,$p' "$TOP/scripts/lab/init" | sed "s,/lab\.command,$T&,; s,/dev/kmsg,$T/kmsg,; s,cd /lab,cd $T," >"$T/init"
echo 'set -- one two' >"$T/lab.command"
for name in dmesg poweroff lab-run lab-modules; do
	printf '#!/bin/sh\necho "%s $*"\n' $name >"$T/bin/$name"
	chmod +x "$T/bin/$name"
done
is "inside: the modules, then the command" "$(sh "$T/init" | paste -sd,)" 'dmesg -n 8,lab-run one two,poweroff -f'
echo 'echo "no VMX here" >&2; exit 1' >>"$T/bin/lab-modules"
sed -i 2d "$T/bin/lab-modules"
is "inside: no modules: why, and no command" "$(sh "$T/init" | paste -sd,):$(<"$T/kmsg")" 'dmesg -n 8,poweroff -f:lab: failed: no VMX here'
# --- the command inside: lab-run, with a file for the parallel port

{
	echo '#include <stdio.h>'
	echo 'static FILE *port;'
	echo 'static int ioperm(unsigned long from, unsigned long n, int on) { port = fopen(getenv("PORT"), "w"); return !port; }'
	# the byte is there when it is strobed
	echo 'static void outb(unsigned char byte, int at) { static int data; if (at == 0x378) data = byte; else if (byte & 1) { putc(data, port); fflush(port); } }'
} >"$T/port.h"
sed "s,<sys/io.h>,\"$T/port.h\",; s,/dev/kmsg,$T/kmsg," "$TOP/scripts/lab/run.c" >"$T/run.c"
gcc -std=gnu11 -O1 -w -o "$T/lab-run" "$T/run.c"
# ran WORD...: what lab-run says of this command, and its output.
ran() {
	: >"$T/kmsg"
	PORT=$T/port run "$T/lab-run" "$@"
	echo "$status:$(<"$T/kmsg"):$(<"$T/port")"
}
is "inside: the command's status and output" "$(ran sh -c 'echo one; echo two >&2; exit 7')" $'0:lab: exit 7:one\ntwo'
is "inside: a signal" "$(ran sh -c 'kill -9 $$')" '0:lab: exit 137:'
like "inside: not found" "$(ran no-such-command)" '^0:lab: exit 127:.*no-such-command: No such file'
like "inside: not to be run" "$(ran "$T/run.c")" '^0:lab: exit 126:.*run.c: Permission denied'
is "inside: what still runs holds nothing up, and all of the output comes" \
	"$(ran sh -c 'sleep 100 & head -c 300000 /dev/zero | tr "\0" a; echo end' | tail -c 5):$(wc -c <"$T/port")" aend:300004

rm "$T/kmsg"
mkdir "$T/kmsg"
PORT=$T/port run "$T/lab-run" true
is "inside: no log to write to" "$status:$err" "1:lab-run: $T/kmsg: Is a directory"
rmdir "$T/kmsg"
PORT=$T/none/port run "$T/lab-run" true
is "inside: no port: the log says why" "$status:$(<"$T/kmsg")" '1:lab: failed: ioperm: No such file or directory'
run "$T/lab-run"
is "inside: no command" "$status:$err" '1:lab-run: usage: lab-run COMMAND [ARGUMENT]...'

done_testing

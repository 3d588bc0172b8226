# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# shellcheck disable=SC2034 # the commands read what is set here
# inside.sh - words for the commands that in_lab (labs.sh) runs in a lab. The commands write
# facts, in sections that begin with "== NAME".

K=/sys/kernel/debug/kvm
P=/sys/module/kvm/parameters

section() {
	echo "== $1"
}

# account NAME [FOLDER]: writes the files of a folder of KVM's (default: the host's) as sections
# NAME, NAME_keys, NAME_slow and NAME_hist.
account() {
	section "$1"
	cat "$K/$2/exit_cycles"
	section "$1_keys"
	cat "$K/$2/exit_cycles_keys"
	section "$1_slow"
	cat "$K/$2/exit_cycles_slow"
	section "$1_hist"
	cat "$K/$2/exit_cycles_hist"
}

# accounts NAME: writes the accounts of a VM (NAME.vm) and its vCPUs (NAME.0, NAME.1, ...).
accounts() {
	account "$1.vm" "$VMM_DIRS"
	for vcpu in "$K/$VMM_DIRS"/vcpu*; do
		account "$1.${vcpu##*/vcpu}" "$VMM_DIRS/${vcpu##*/}"
	done
}

# reset_file SCOPE: prints the reset file of the host, the VM or its vCPU 0; a shell expands it.
reset_file() {
	case $1 in
	host) echo exit_cycles_reset ;;
	vm) echo '$VMM_DIRS/exit_cycles_reset' ;;
	vcpu) echo '$VMM_DIRS/vcpu0/exit_cycles_reset' ;;
	esac
}

# run_vmm NAME ARGUMENT...: writes vmm's own lines as section NAME, then the accounts of its
# VM, taken after its guests have ended. If vmm fails, the section's last line is "status N".
run_vmm() {
	name=$1
	shift
	section "$name"
	vmm --stats --after ". ./words; accounts $name" "$@" 2>&1 || {
		status=$?
		section "$name.status"
		echo "$status"
	}
}

# hold NAME ARGUMENT...: starts vmm in the background. Its VM stays after its guests have ended,
# until release; $held is its folder. vmm's lines are section NAME.
hold() {
	stays=$1
	shift
	[ -e no-end ] || mkfifo no-end
	# the last hold's lines must not be taken for those of this one
	rm -f stays held
	vmm --hold --after 'echo "$VMM_DIRS" >held' "$@" <>no-end >stays &
	holder=$!
	until grep -qs ^hold stays; do sleep 0.02; done
	held=$(cat held)
	section "$stays"
	cat stays
}

release() {
	kill $holder
	wait $holder
}

# leaks: writes as section leaks the objects to which kmemleak finds no pointer, or "unwatched"
# if the kernel has no kmemleak. Only objects older than five seconds count, and only if two
# scans agree.
leaks() {
	section leaks
	if [ ! -e /sys/kernel/debug/kmemleak ]; then
		echo unwatched
		return
	fi
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	sleep 1
	echo scan >/sys/kernel/debug/kmemleak
	cat /sys/kernel/debug/kmemleak
}

# hogs_only: gives a process of real-time priority the CPU for itself. It is not throttled, and
# others do not get a part of each second (as they do in Linux 6.12 and later).
hogs_only() {
	echo -1 >/proc/sys/kernel/sched_rt_runtime_us
	for server in /sys/kernel/debug/sched/fair_server/cpu*/runtime; do
		[ ! -e "$server" ] || echo 0 >"$server"
	done
}

# keeps_cpu N: passes N ticks of 10 ms in /proc/uptime without sleeping.
keeps_cpu() {
	passed=0 last=
	until [ $passed = "$1" ]; do
		read -r up rest </proc/uptime
		[ "$up" = "$last" ] || passed=$((passed + 1)) last=$up
	done
}

# --- end of words ---

sed '/^# --- end of words/,$d' "$0" >words
# boot counts it as a failure if a command writes to standard error outside any section.
exec 2>errors
trap 'section errors; cat errors' EXIT
vendor=svm
[ ! -d /sys/module/kvm_intel ] || vendor=vmx
section vendor
echo "$vendor"

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# shellcheck disable=SC2034 # the commands read what is set here
# inside.sh - the words of the commands that in_lab (labs.sh) runs in a
# lab: they write facts, in sections that begin with "== NAME".

K=/sys/kernel/debug/kvm
P=/sys/module/kvm/parameters

section() {
	echo "== $1"
}

# account NAME [FOLDER]: the files of a folder of KVM's, the host's without one, as
# sections NAME, NAME_keys, NAME_slow and NAME_hist.
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

# accounts NAME: those of a VM (NAME.vm) and its vCPUs (NAME.0, NAME.1, ...).
accounts() {
	account "$1.vm" "$VMM_DIRS"
	for vcpu in "$K/$VMM_DIRS"/vcpu*; do
		account "$1.${vcpu##*/vcpu}" "$VMM_DIRS/${vcpu##*/}"
	done
}

# reset_file SCOPE: that of the host, the VM or its vCPU 0, for a shell that knows VMM_DIRS.
reset_file() {
	case $1 in
	host) echo exit_cycles_reset ;;
	vm) echo '$VMM_DIRS/exit_cycles_reset' ;;
	vcpu) echo '$VMM_DIRS/vcpu0/exit_cycles_reset' ;;
	esac
}

# run_vmm NAME ARGUMENT...: vmm's own lines as section NAME, then the accounts of
# its VM, taken when its guests have ended. The section's last line is
# "status N" when it failed.
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

# hold NAME ARGUMENT...: vmm in the background, whose VM stays when its guests have
# ended, until release; its folder is $held. Its lines are section NAME.
hold() {
	stays=$1
	shift
	[ -e no-end ] || mkfifo no-end
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

# leaks: as section leaks, the objects that kmemleak knows no pointer to, where the
# kernel has it, else "unwatched". Only what is five seconds old counts, and what two scans agree on.
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

# hogs_only: a process of real-time priority has the CPU for itself: neither is it throttled, nor
# do others get their part of each second (Linux 6.12 and later).
hogs_only() {
	echo -1 >/proc/sys/kernel/sched_rt_runtime_us
	for server in /sys/kernel/debug/sched/fair_server/cpu*/runtime; do
		[ ! -e "$server" ] || echo 0 >"$server"
	done
}

# --- end of words ---

sed '/^# --- end of words/,$d' "$0" >words
# What a command says on standard error, and no section takes, boot counts a failure.
exec 2>errors
trap 'section errors; cat errors' EXIT
vendor=svm
[ ! -d /sys/module/kvm_intel ] || vendor=vmx
section vendor
echo "$vendor"

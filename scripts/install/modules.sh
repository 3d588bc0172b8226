# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with install.sh
# modules.sh - loads and unloads KVM's modules, and keeps their parameters. Sourced by
# install.sh.

loaded() {
	grep -q "^$1 " /proc/modules
}

ours_loaded() {
	[[ -e /sys/module/kvm/parameters/exit_cycles ]]
}

# users: prints the processes that have /dev/kvm or a VM open.
users() {
	find /proc/[0-9]*/fd '(' -lname /dev/kvm -o -lname 'anon_inode:kvm-v*' ')' 2>/dev/null |
		cut -d/ -f3 | sort -un | while read -r pid; do
			echo "$(cat "/proc/$pid/comm" 2>/dev/null) ($pid)"
		done | tail -n 5 | paste -sd' '
}

# in_use: prints why the loaded modules cannot be unloaded; nothing if they can.
in_use() {
	local one
	for one in /sys/module/kvm{,_intel,_amd}/holders/*; do
		[[ -e $one && " $MODULES " != *" ${one##*/} "* ]] || continue
		echo "${one##*/} is loaded, which uses KVM and is built for the stock one (rmmod ${one##*/} first; it does not go together with these modules)"
		return
	done
	for one in kvm_intel kvm_amd; do
		[[ $(cat "/sys/module/$one/refcnt" 2>/dev/null || echo 0) != 0 ]] || continue
		echo "VMs are running, or KVM is in use otherwise: $(users) (shut them down first)"
		return
	done
}

refuse_in_use() {
	local why
	why=$(in_use)
	[[ ! $why ]] || die "$why"
}

# remember: notes which modules are loaded and their parameters.
remember() {
	local one
	before=()
	for one in $MODULES; do
		! loaded "$one" || before+=("$one")
	done
	for one in /sys/module/{kvm,kvm_intel,kvm_amd}/parameters/*; do
		[[ ! -r $one ]] || parameters[$one]=$(cat "$one" 2>/dev/null) || true
	done
}

set_parameters() {
	local one
	for one in "${!parameters[@]}"; do
		[[ -e $one && $(cat "$one") != "${parameters[$one]}" ]] || continue
		{ echo "${parameters[$one]}" >"$one"; } 2>/dev/null || true
		[[ $(cat "$one") == "${parameters[$one]}" ]] ||
			echo "$PROGRAM: $one was ${parameters[$one]} and is now $(cat "$one") (set it in /etc/modprobe.d)" >&2
	done
}

unload() {
	local one
	for one in kvm_intel kvm_amd kvm; do
		! loaded "$one" || rmmod "$one"
	done
}

# load_indexed: loads the modules that were loaded before, from where modprobe finds them.
load_indexed() {
	local one
	for one in "${before[@]}"; do
		modprobe "$one" || return 1
	done
	set_parameters
}

# options MODULE: prints the module's options from /etc/modprobe.d.
options() {
	modprobe -c | sed -n "s/^options ${1/_/[-_]} //p" | paste -sd' '
}

vendor() {
	if grep -qw vmx /proc/cpuinfo; then
		echo kvm_intel
	elif grep -qw svm /proc/cpuinfo; then
		echo kvm_amd
	else
		die "this CPU offers neither VMX nor SVM (is virtualization on in the firmware?)"
	fi
}

file_of() {
	echo "$modules/${1/_/-}.ko"
}

# load_ours: kvm first. Other modules that these need are the kernel's own.
load_ours() {
	local one need
	for one in kvm "$(vendor)"; do
		for need in $(modinfo -F depends "$(file_of "$one")" | tr , ' '); do
			[[ $need == kvm ]] || modprobe "$need"
		done
		# shellcheck disable=SC2046 # words of their own
		insmod "$(file_of "$one")" $(options "$one")
	done
	set_parameters
}

verify() {
	local table=/sys/kernel/debug/kvm/exit_cycles
	ours_loaded || die "$(file_of kvm): has no parameter exit_cycles, now that it is loaded: an empty shell (built without CONFIG_KVM_EXIT_CYCLES?)"
	[[ -c /dev/kvm ]] || die "$(file_of "$(vendor)"): is loaded, but there is no /dev/kvm"
	[[ ! -d ${table%/*} ]] || grep -q '^# exit_cycles 1' "$table" || die "$table: not there, or not an account"
}

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# install.sh - installs the patched KVM on this host and removes it again. For Debian on
# amd64, with a stock kernel for which there are patches.
#
# Usage: scripts/install.sh [-m DIR] install
#        scripts/install.sh uninstall
#        scripts/install.sh follow VERSION | leave VERSION	(for apt's hooks)
#
#   -m DIR   modules that host-modules.sh has made, here or on another machine, perhaps
#            signed since; without -m they are built now
#
# install unloads the stock modules, loads the patched ones, and checks that they really
# keep the account. Only then does it copy them into /lib/modules/VERSION/updates, where
# modprobe prefers them at the next boot. If it fails or is interrupted, the host is as
# before, with the same modules loaded; one line on standard error says why, and the status
# is 1. No VM may run, and kvmgt may not be loaded: a stock module that uses KVM does not
# fit the patched modules. The parameters of kvm, kvm_intel and kvm_amd keep their values.
# Needs root, kmod, and all that host-modules.sh needs.
#
# Hooks in /etc/kernel follow updates of the kernel: they build the modules for the new
# kernel from a copy in /usr/local/lib/exit_cycles. DKMS is not used, because it builds one
# source for every kernel. KVM's source belongs to its kernel: an old source in a new kernel
# would undo the fixes for which the kernel was updated. The hooks build from the source of
# exactly the new kernel's version. If that is impossible, the new kernel keeps its stock
# modules; so also under Secure Boot, as there is no key to sign with. Apt never sees an
# error from the hooks; it does see one when a build in DKMS fails.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"
# shellcheck source=scripts/install/files.sh
. "${BASH_SOURCE[0]%/*}/install/files.sh"
# shellcheck source=scripts/install/modules.sh
. "${BASH_SOURCE[0]%/*}/install/modules.sh"
# shellcheck source=scripts/install/check.sh
. "${BASH_SOURCE[0]%/*}/install/check.sh"

LIB=/usr/local/lib/exit_cycles
HOOKS=(/etc/kernel/{postinst,header_postinst,postrm}.d/exit_cycles)
MODULES="kvm kvm_intel kvm_amd"
BTF=/sys/kernel/btf/vmlinux

modules=''		# the folder they come from
placed=() removed=()	# new files and folders; old ones that are set aside
made=() coming=()	# folders made for them; places where new ones are prepared
before=() touched=''	# the modules loaded at the start; whether that was changed
declare -A parameters

installed() {
	echo "/lib/modules/$1/updates/exit_cycles"
}

# finish: undoes everything if the script ends before all is done.
# shellcheck disable=SC2317 # called by the trap
finish() {
	local status=$?
	trap '' INT TERM HUP
	set +e
	if [[ $touched || ${placed[*]} || ${removed[*]} || ${made[*]} || ${coming[*]} ]]; then
		((status)) || status=1
		undo_files
		if [[ $touched ]] && ! { unload && load_indexed; }; then
			echo "$PROGRAM: and the modules that were loaded could not be loaded again: ${before[*]} (see dmesg, then: modprobe ${before[*]: -1})" >&2
		else
			echo "$PROGRAM: the host is as it was" >&2
		fi
	fi
	rm -f "$answer"
	exit "$status"
}

begin() {
	exec 8>/run/exit_cycles.lock
	flock -n 8 || die "another $PROGRAM is at work"
	answer=$(mktemp)
	trap finish EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# put_modules VERSION: installs the modules for that kernel.
put_modules() {
	local place new
	place=$(installed "$1")
	prepare "$place"
	mkdir "$new"
	cp "$modules"/*.ko "$modules/kernel" "$new/"
	put "$place"
	index
	[[ $(modinfo -k "$1" -n kvm) == "$place/kvm.ko" ]] ||
		die "modprobe would take $(modinfo -k "$1" -n kvm) and not $place/kvm.ko (look into /etc/depmod.d)"
}

put_hooks() {
	local hook verb new
	make_folder "${LIB%/*}"
	prepare "$LIB"
	mkdir -p "$new/scripts/source"
	cp -R "$TOP"/scripts/{common.sh,host-modules.sh,install.sh,install} "$new/scripts/"
	cp "$TOP/scripts/source/kernels.sh" "$new/scripts/source/"
	cp -R "$TOP/patches" "$new/"
	put "$LIB"
	for hook in "${HOOKS[@]}"; do
		verb=follow
		[[ $hook != */postrm.d/* ]] || verb=leave
		make_folder "${hook%/*}"
		prepare "$hook"
		# shellcheck disable=SC2016 # the hook expands it
		printf '%s\n' '#!/bin/sh' \
			'# Of exit_cycles: its KVM modules for the kernel $1. "make uninstall-kvm" removes this.' \
			"$LIB/scripts/install.sh $verb \"\$1\" || true" >"$new"
		chmod 755 "$new"
		put "$hook"
	done
}

install() {
	local given=$modules
	check_host
	begin
	recover
	if [[ ! $given ]]; then
		# In the background: bash handles a signal at once during wait.
		"${mortal[@]}" "$TOP/scripts/host-modules.sh" >"$answer" &
		wait $! || exit 1
		modules=$(<"$answer")
	fi
	modules=$(cd "$modules" 2>/dev/null && pwd) || die "-m $given: No such folder"
	check_modules
	refuse_in_use

	remember
	touched=1
	unload
	load_ours
	verify
	put_modules "$(uname -r)"
	put_hooks
	keep
	step "KVM keeps its account now, and after the next boot (cat /sys/kernel/debug/kvm/exit_cycles; make uninstall-kvm undoes it)"
}

uninstall() {
	local place
	((EUID == 0)) || die "not root (sudo make uninstall-kvm)"
	! ours_loaded || refuse_in_use
	begin
	recover
	remember
	for place in "$LIB" "${HOOKS[@]}" /lib/modules/*/updates/exit_cycles; do
		remove "$place"
	done
	if [[ ! ${removed[*]} ]] && ! ours_loaded; then
		step "nothing is installed"
		return
	fi
	index
	if ours_loaded; then
		touched=1
		unload
		load_indexed
		! ours_loaded || die "the modules that modprobe finds keep an account as well: $(modinfo -n kvm) (not installed by this script)"
	fi
	keep
	rm -rf /var/cache/exit_cycles
	for place in /lib/modules/*/updates "${HOOKS[@]%/*}" /etc/kernel; do
		[[ ! -d $place ]] || dpkg-query -S "$place" >/dev/null 2>&1 || rmdir --ignore-fail-on-non-empty "$place"
	done
	step "the stock KVM is back"
}

# follow VERSION: called when a kernel or its headers were installed.
follow() {
	local version=$1 why=''
	begin
	recover
	if signed_only; then
		why="Secure Boot wants modules signed (scripts/install.sh says how, once $version runs)"
	elif [[ ! -d /usr/src/linux-headers-$version ]]; then
		why="no linux-headers-$version yet"
	elif XDG_CACHE_HOME=/var/cache "$LIB/scripts/host-modules.sh" -k "$version" >"$answer"; then
		modules=$(<"$answer")
		put_modules "$version"
		keep
		step "Linux $version will have its account"
		return
	else
		why="no modules could be built for it (when its linux-source is there: $LIB/scripts/install.sh follow $version)"
	fi
	remove "$(installed "$version")"
	index
	keep
	step "Linux $version gets its stock KVM: $why"
}

# leave VERSION: called when a kernel was removed.
leave() {
	begin
	recover
	[[ ! -d /lib/modules/$1/kernel ]] || return 0
	rm -rf "$(installed "$1")"
	[[ ! -d /lib/modules/$1/updates ]] || rmdir --ignore-fail-on-non-empty "/lib/modules/$1/updates"
}

main() {
	local option
	while getopts :m:h option; do
		case $option in
		m) modules=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	answer=''
	case $1:$# in
	install:1 | uninstall:1) "$1" ;;
	follow:2 | leave:2) "$1" "$2" ;;
	*) die "install or uninstall? (-h shows the usage)" ;;
	esac
}

main "$@"

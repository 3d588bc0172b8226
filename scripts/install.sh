#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# install.sh - puts the patched KVM on this host and takes it off again: Debian with a
# stock kernel of amd64 that there are patches for.
#
# Usage: scripts/install.sh [-m DIR] install
#        scripts/install.sh uninstall
#        scripts/install.sh follow VERSION | leave VERSION	(for apt's hooks)
#
#   -m DIR   modules that host-modules.sh has made, here or on another machine, or
#            that were signed since; without it they are built now
#
# install loads the modules in place of the stock ones, sees that they really keep
# the account, and only then puts them into /lib/modules/VERSION/updates, where
# modprobe prefers them at the next boot. Whatever fails or interrupts it, the
# host is as before, with the modules it had loaded; the reason is one line on
# standard error and status 1. No VM may run, and no kvmgt: a stock
# module that uses KVM does not go together with these. Parameters of kvm,
# kvm_intel and kvm_amd keep their values. Needs root and kmod, and what
# host-modules.sh needs.
#
# It follows updates of the kernel by hooks in /etc/kernel, which build for the
# new one from a copy in /usr/local/lib/exit_cycles. Not by DKMS, which builds one
# source for every kernel: KVM's source is the kernel's own, and an old one in a
# new kernel would undo the fixes that the update was for. Ours builds from the
# source of the new kernel's very version or leaves it its stock modules, also
# under Secure Boot (it has no key to sign with), and is never an error to
# apt, which a build that fails in DKMS is.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/kernels.sh
. "${BASH_SOURCE[0]%/*}/kernels.sh"

LIB=/usr/local/lib/exit_cycles
HOOKS=(/etc/kernel/{postinst,header_postinst,postrm}.d/exit_cycles)
MODULES="kvm kvm_intel kvm_amd"
BTF=/sys/kernel/btf/vmlinux

modules=''		# where they come from
placed=() removed=()	# files and folders that are new, and that wait aside
made=() coming=()	# folders made for them, and where new ones are prepared
before=() touched=''	# what was loaded, and whether that has been changed
declare -A parameters

installed() {
	echo "/lib/modules/$1/updates/exit_cycles"
}

# --- files, in a way that can be undone ---

# aside PLACE: where it waits meanwhile. Not in a folder that depmod looks into.
aside() {
	case $1 in
	/lib/modules/*) echo "/lib/modules/.exit_cycles$(tr / - <<<"${1#/lib/modules}")" ;;
	*) echo "$1.old" ;;
	esac
}

# fresh PLACE: where what is to be there is prepared.
fresh() {
	case $1 in
	/lib/modules/*) echo "$(aside "$1").new" ;;
	*) echo "$1.new" ;;
	esac
}

# recover: what a power cut left.
recover() {
	local place version places=("$LIB" "${HOOKS[@]}")
	for version in /lib/modules/*/; do
		places+=("$(installed "$(basename "$version")")")
	done
	for place in "${places[@]}"; do
		rm -rf "$(fresh "$place")"
		if [[ -e $place ]]; then
			rm -rf "$(aside "$place")"
		elif [[ -e $(aside "$place") ]]; then
			mv "$(aside "$place")" "$place"
		fi
	done
}

# What is about to be done is noted before, so that no signal comes between.
make_folder() {
	[[ ! -d $1 ]] || return 0
	[[ -d ${1%/*} || ! ${1%/*} ]] || make_folder "${1%/*}"
	made+=("$1")
	mkdir "$1"
}

remove() {
	[[ -e $1 ]] || return 0
	removed+=("$1")
	mv -T "$1" "$(aside "$1")"
}

# prepare PLACE: sets new, of which nothing is there yet.
prepare() {
	new=$(fresh "$1")
	coming+=("$new")
	rm -rf "$new"
}

# put PLACE: what was prepared for it.
put() {
	make_folder "${1%/*}"
	remove "$1"
	placed+=("$1")
	mv -T "$(fresh "$1")" "$1"
}

# index: modprobe's, of the kernels whose modules were changed.
index() {
	local place version
	for place in "${removed[@]}" "${placed[@]}"; do
		version=${place#/lib/modules/}
		version=${version%%/*}
		[[ $place != /lib/modules/* || ! -d /lib/modules/$version ]] || depmod "$version"
	done
}

# Only what we have put goes, and what is not aside was not touched.
undo_files() {
	local i place
	rm -rf "${coming[@]}" "${placed[@]}"
	for place in "${removed[@]}"; do
		[[ ! -e $(aside "$place") ]] || mv -T "$(aside "$place")" "$place"
	done
	for ((i = ${#made[@]} - 1; i >= 0; i--)); do
		rmdir "${made[i]}" 2>/dev/null
	done
	index
}

# keep: all is as it should be, and a signal comes too late.
keep() {
	local place
	trap '' INT TERM HUP
	for place in "${removed[@]}"; do
		rm -rf "$(aside "$place")"
	done
	placed=() removed=() made=() coming=() touched=''
}

# --- modules ---

loaded() {
	grep -q "^$1 " /proc/modules
}

ours_loaded() {
	[[ -e /sys/module/kvm/parameters/exit_cycles ]]
}

# users: who has /dev/kvm or a VM open.
users() {
	find /proc/[0-9]*/fd '(' -lname /dev/kvm -o -lname 'anon_inode:kvm-v*' ')' 2>/dev/null |
		cut -d/ -f3 | sort -un | while read -r pid; do
			echo "$(cat "/proc/$pid/comm" 2>/dev/null) ($pid)"
		done | tail -n 5 | paste -sd' '
}

# in_use: why the modules that are loaded cannot be taken out.
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

# remember: what is loaded and how it is set.
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

# load_indexed: those that were loaded, as modprobe finds them.
load_indexed() {
	local one
	for one in "${before[@]}"; do
		modprobe "$one" || return 1
	done
	set_parameters
}

# options MODULE: as /etc/modprobe.d has them.
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

# Bottom up: what these need beside one another comes from the kernel's own.
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

# --- what can be known before anything is changed ---

signed_only() {
	[[ $(cat /sys/module/module/parameters/sig_enforce 2>/dev/null) == Y ]] ||
		grep -Eqs '\[(integrity|confidentiality)\]' /sys/kernel/security/lockdown
}

say_how_to_sign() {
	cat >&2 <<-EOF
		To sign them, once: make a key and have the firmware know it
		  openssl req -new -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=$(uname -n)/ \\
		      -outform DER -keyout MOK.priv -out MOK.der
		  mokutil --import MOK.der        (then reboot, and enroll it when asked)
		Then each time:
		  for m in $modules/*.ko; do /usr/src/linux-headers-$(uname -r)/scripts/sign-file sha256 MOK.priv MOK.der \$m; done
		  scripts/install.sh -m $modules install
	EOF
}

check_host() {
	local place
	((EUID == 0)) || die "not root (sudo make install-kvm)"
	[[ -d /lib/modules/$(uname -r)/kernel ]] || die "/lib/modules/$(uname -r)/kernel: No such folder (the running kernel's package was removed, or this is a container)"
	type -P modprobe insmod rmmod modinfo depmod >/dev/null || die "modprobe: not found (apt-get install kmod)"
	for place in "/lib/modules/$(uname -r)" /usr/local/lib /etc; do
		[[ ! -d $place || -w $place ]] || die "$place: read-only"
	done
	vendor >/dev/null
	refuse_in_use
}

check_modules() {
	local one version package configuration types again="build them again: scripts/host-modules.sh"
	for one in kvm "$(vendor)"; do
		[[ -r $(file_of "$one") ]] || die "$(file_of "$one"): No such file (scripts/host-modules.sh makes them)"
	done
	read -r version package configuration types <"$modules/kernel" || die "$modules/kernel: No such file (scripts/host-modules.sh makes it)"
	[[ $version == "$(uname -r)" ]] || die "$modules: for the kernel $version, and $(uname -r) is running"
	[[ " $(uname -v) " == *" Debian $package "* ]] ||
		die "$modules: from the source of $package, and \"$(uname -v)\" is running (boot the installed kernel, or build for this one)"
	# Without CONFIG_MODVERSIONS nobody else looks.
	for one in "/boot/config-$version" "/lib/modules/$version/config"; do
		[[ ! -f $one || $(defines "$one" | sha256sum) == "$configuration "* ]] ||
			die "$modules: of another configuration than this kernel's, $one ($again)"
	done
	if [[ ${types:--} != - ]]; then
		[[ -r $BTF ]] || die "$BTF: No such file, so the types in $modules cannot be compared (boot Debian's own kernel)"
		[[ $(sha256sum <"$BTF") == "$types "* ]] || die "$modules: of other types than this kernel's, $BTF ($again)"
	else
		[[ $(modinfo -F vermagic "$(file_of kvm)") == *modversions* ]] ||
			die "$modules/kernel: does not say of which types they are, and this kernel does not check ($again)"
	fi
	for one in kvm "$(vendor)"; do
		if signed_only && ! tail -c 28 "$(file_of "$one")" | grep -aq '~Module signature appended~'; then
			echo "$PROGRAM: $(file_of "$one"): not signed, and this kernel takes signed modules only (Secure Boot)" >&2
			say_how_to_sign
			exit 1
		fi
	done

	# The kernel looks at signature, version and kind of a module before it says
	# that one of this name is there: so its verdict can be had for nothing.
	loaded kvm || return 0
	one=$(insmod "$(file_of kvm)" 2>&1) || true
	[[ $one == *"File exists"* ]] && return
	echo "$PROGRAM: $(file_of kvm): this kernel would not take it: ${one##*: }" >&2
	! signed_only || say_how_to_sign
	exit 1
}

# --- verbs ---

# Whatever ends us before all is done: as it was.
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

# put_modules VERSION
put_modules() {
	local place new
	place=$(installed "$1")
	prepare "$place"
	mkdir "$new"
	cp "$modules"/*.ko "$modules/kernel" "$new/"
	put "$place"
	index
	[[ $(modinfo -k "$1" -n kvm) == "$place/kvm.ko" ]] ||
		die "modprobe would not take $place/kvm.ko but $(modinfo -k "$1" -n kvm) (look into /etc/depmod.d)"
}

put_hooks() {
	local hook verb new
	make_folder "${LIB%/*}"
	prepare "$LIB"
	mkdir -p "$new/scripts"
	cp "$TOP"/scripts/{common,kernels,host-modules,install}.sh "$new/scripts/"
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
		# In the background, so that a signal to us need not wait.
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

# follow VERSION: a kernel or its headers were installed.
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

# leave VERSION: a kernel was removed.
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
		*) die "-$OPTARG: no such option, or its value is missing (-h shows them)" ;;
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

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with install.sh
# check.sh - checks before any change whether this host and these modules fit each other.
# Sourced by install.sh.

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
	read -r version package configuration types 2>/dev/null <"$modules/kernel" || die "$modules/kernel: No such file (scripts/host-modules.sh makes it)"
	[[ $version == "$(uname -r)" ]] || die "$modules: for the kernel $version, and $(uname -r) is running"
	[[ " $(uname -v) " == *" Debian $package "* ]] ||
		die "$modules: from the source of $package, and \"$(uname -v)\" is running (boot the installed kernel, or build for this one)"
	# A kernel without CONFIG_MODVERSIONS does not check this itself.
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

	# The kernel checks signature, version and kind of a module before it reports that a module
	# of this name is loaded. So insmod gives its verdict without changing anything.
	loaded kvm || return 0
	one=$(insmod "$(file_of kvm)" 2>&1) || true
	[[ $one == *"File exists"* ]] && return
	echo "$PROGRAM: $(file_of kvm): this kernel would not take it: ${one##*: }" >&2
	signed_only && say_how_to_sign
	exit 1
}

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# deps.sh - installs what is missing of the packages that this project needs.
#
#	scripts/deps.sh [GROUP]...	(build lab tool test lint; bench, plot, host when asked)
#
# With apt-get it installs (sudo when not root), without recommended packages;
# elsewhere it names what is missing, by Debian's names, and exits with 1.
# Nothing missing: nothing is done or printed.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

# What each is needed for, its package, and a program or file that shows it is
# there where there is no dpkg to ask.
needs() {
	cat <<-'EOF'
	build	gcc			gcc
	build	make			make
	build	libc6-dev		/usr/include/stdio.h
	build	flex			flex
	build	bison			bison
	build	bc			bc
	build	libelf-dev		/usr/include/gelf.h
	build	libssl-dev		/usr/include/openssl/ssl.h
	build	perl			perl
	build	cpio			cpio
	build	xz-utils		xz
	build	lz4			lz4
	build	git			git
	build	linux-source-6.1	/usr/src/linux-source-6.1.tar.xz
	build	linux-source-6.12	/usr/src/linux-source-6.12.tar.xz
	lab	gcc			gcc
	lab	libc6-dev		/usr/include/stdio.h
	lab	cpio			cpio
	lab	busybox-static		busybox
	lab	bochs			bochs
	lab	bochs-term		bochs
	lab	bochsbios		/usr/share/bochs/BIOS-bochs-latest
	lab	vgabios			/usr/share/vgabios/vgabios.bin
	lab	qemu-system-x86		qemu-system-x86_64
	lab	seabios			/usr/share/seabios/bios-256k.bin
	lab	ovmf			/usr/share/OVMF/OVMF_CODE_4M.fd
	lab	cpuid			cpuid
	lab	isolinux		/usr/lib/ISOLINUX/isolinux.bin
	lab	syslinux-common		/usr/lib/syslinux/modules/bios/ldlinux.c32
	lab	xorriso			xorriso
	tool	gcc			gcc
	tool	make			make
	tool	libc6-dev		/usr/include/stdio.h
	tool	libsmartcols-dev	/usr/include/libsmartcols/libsmartcols.h
	tool	libncurses-dev		/usr/include/ncurses.h
	tool	linux-libc-dev		/usr/include/linux/kvm.h
	test	perl			prove
	test	git			git
	test	gcc			gcc
	test	jq			jq
	test	tmux			tmux
	test	mandoc			mandoc
	test	prometheus		promtool
	test	prometheus-node-exporter	prometheus-node-exporter
	test	curl			curl
	test	busybox-static		busybox
	test	gnuplot-nox		gnuplot
	test	libxml2-utils		xmllint
	test	clang			clang
	test	libclang-rt-14-dev	/usr/lib/llvm-14
	test	python3			python3
	host	linux-source-6.1	/usr/src/linux-source-6.1.tar.xz
	host	linux-source-6.12	/usr/src/linux-source-6.12.tar.xz
	host	gcc-12			gcc-12
	host	make			make
	host	git			git
	host	xz-utils		xz
	host	binutils		strip
	host	kmod			modprobe
	host	pahole			pahole
	host	openssl			openssl
	lint	shellcheck		shellcheck
	lint	perl			perl
	lint	sparse			sparse
	bench	gcc			gcc
	bench	libc6-dev		/usr/include/stdio.h
	bench	git			git
	bench	clang			clang
	bench	libbpf-dev		/usr/include/bpf/libbpf.h
	bench	linux-perf		perf
	bench	time			/usr/bin/time
	plot	gnuplot-nox		gnuplot
	EOF
}

# missing_packages GROUP...: those of these groups that are not installed.
missing_packages() {
	local group package probe
	declare -A has=()
	# shellcheck disable=SC2016 # dpkg-query expands what stands in quotes
	if command -v dpkg-query >/dev/null; then
		while read -r package group; do
			[[ $group != "install ok installed" ]] || has[$package]=1
		done < <(needs | awk '{ print $2 }' | sort -u |
			xargs dpkg-query -W -f '${Package} ${Status}\n' 2>/dev/null)
	else
		while read -r group package probe; do
			if [[ $probe == /* ]]; then
				[[ ! -e $probe ]] || has[$package]=1
			else
				! command -v "$probe" >/dev/null || has[$package]=1
			fi
		done < <(needs)
	fi
	while read -r group package probe; do
		[[ " $* " != *" $group "* || ${has[$package]} ]] || echo "$package"
	done < <(needs) | sort -u
}

# as_root COMMAND...
as_root() {
	if ((EUID == 0)); then
		"$@"
	else
		sudo "$@"
	fi
}

install_packages() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q \
		-o DPkg::Lock::Timeout=600 install --no-install-recommends "$@"
}

# Prometheus and its exporter come as services that start; the tests run their own.
quiet_services() {
	local package
	for package; do
		[[ $package != prometheus* || ! -d /run/systemd/system ]] ||
			as_root systemctl -q disable --now "$package" ||
			step "$package runs as a service now"
	done
}

main() {
	local groups=("$@") group log missing
	if [[ $1 == -h ]]; then
		usage
		exit
	fi
	((${#groups[@]})) || groups=(build lab tool test lint)
	for group in "${groups[@]}"; do
		needs | grep -q "^$group	" ||
			die "$group: no such group (build lab tool test lint bench plot host)"
	done

	missing=$(missing_packages "${groups[@]}")
	[[ $missing ]] || return 0
	mapfile -t missing <<<"$missing"
	command -v apt-get >/dev/null ||
		die "no apt-get here, please install: ${missing[*]} (Debian's names)"
	((EUID == 0)) || command -v sudo >/dev/null ||
		die "not root and no sudo, please run: apt-get install ${missing[*]}"

	log=$CACHE/deps.log
	mkdir -p "$CACHE"
	step "installing ${missing[*]}"
	# The lists of packages may be older than the mirror, or none yet.
	if ! install_packages "${missing[@]}" >"$log" 2>&1 &&
		! { as_root apt-get -q update &&
			install_packages "${missing[@]}"; } >>"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "apt-get could not install ${missing[*]} (all of it: $log)"
	fi
	quiet_services "${missing[@]}"
}

main "$@"

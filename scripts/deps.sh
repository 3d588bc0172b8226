#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# deps.sh - installs the packages that this project needs and this machine does not have.
#
#	scripts/deps.sh [GROUP]...	(default: build lab tool test lint;
#					others: bench, clang, plot, report, host)
#
# Installs with apt-get (through sudo when not root), without recommended packages. A system
# without apt-get gets a list of the missing packages, by Debian's names, and status 1. If
# this system's apt does not know a kernel's source, it is fetched from Debian's archive
# into the cache (scripts/source/fetch.sh). Does and prints nothing if nothing is missing.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

# needs: a line for each package: its group, its name, and a program or file that shows on a
# system without dpkg that it is installed. a|b means the first of both that apt knows; a?
# means optional: a is installed if apt knows it.
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
	build	debian-archive-keyring	/usr/share/keyrings/debian-archive-keyring.gpg
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
	lab	kmod			modprobe
	lab	cpuid			cpuid
	lab	isolinux		/usr/lib/ISOLINUX/isolinux.bin
	lab	syslinux-common		/usr/lib/syslinux/modules/bios/ldlinux.c32
	lab	xorriso			xorriso
	tool	gcc			gcc
	tool	make			make
	tool	libc6-dev		/usr/include/stdio.h
	tool	libncurses-dev		/usr/include/ncurses.h
	tool	linux-libc-dev		/usr/include/linux/kvm.h
	tool	clang			clang
	tool	bpftool|linux-tools-common	bpftool
	tool	libbpf-dev		/usr/include/bpf/libbpf.h
	tool	libmicrohttpd-dev	/usr/include/microhttpd.h
	test	perl			prove
	test	git			git
	test	gcc			gcc
	test	jq			jq
	test	tmux			tmux
	test	valgrind		valgrind
	test	uuid-dev		/usr/include/uuid/uuid.h
	test	mandoc			mandoc
	test	prometheus		promtool
	test	prometheus-node-exporter	prometheus-node-exporter
	test	curl			curl
	test	busybox-static		busybox
	test	gnuplot-nox		gnuplot
	test	libxml2-utils		xmllint
	test	clang			clang
	test	libclang-rt-dev|libclang-rt-14-dev	/usr/lib/clang
	test	python3			python3
	test	debootstrap		debootstrap
	test	systemd			systemd-analyze
	test	linux-perf|linux-tools-generic	perf
	test	e2fsprogs		mke2fs
	host	gcc-12			gcc-12
	host	gcc-14?		gcc-14
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
	bench	linux-perf|linux-tools-generic	perf
	bench	time			/usr/bin/time
	bench	valgrind		valgrind
	clang	clang-19		clang-19
	clang	lld-19			ld.lld-19
	clang	llvm-19			llvm-nm-19
	plot	gnuplot-nox		gnuplot
	report	jq			jq
	EOF
	local kernel
	for kernel in $KERNELS; do
		printf 'build\tlinux-source-%s\t%s\n' "$kernel" "$(tarball "$kernel")"
	done
	# Debian's source of the kernel that runs here.
	kernel=$(series_of "$(uname -r)")
	[[ ! $kernel ]] || printf 'host\tlinux-source-%s\t%s\n' "$kernel" "$(tarball "$kernel")"
}

# missing_packages GROUP...: prints the packages of these groups that are not installed. A
# source in the cache counts as installed.
missing_packages() {
	local group package probe lacking=()
	has=' '
	# shellcheck disable=SC2016 # dpkg-query expands what stands in quotes
	if command -v dpkg-query >/dev/null; then
		has+=$(needs | awk '{ print $2 }' | tr -d '?' | tr '|' '\n' | sort -u |
			xargs dpkg-query -W -f '${Package} ${Status}\n' 2>/dev/null |
			sed -n 's/ install ok installed$//p' | tr '\n' ' ' || true)
	fi
	while read -r group package probe; do
		if [[ $probe == "$CACHE"/* ]] || ! command -v dpkg-query >/dev/null; then
			[[ ! -e $probe ]] && ! command -v "$probe" >/dev/null || has+="$package "
		fi
		[[ " $* " != *" $group "* ]] || is_there "$package" || lacking+=("$package")
	done < <(needs)
	printf "%s\n" "${lacking[@]}" | sort -u
}

# is_there PACKAGE: whether PACKAGE is installed; for a|b, whether a or b is.
is_there() {
	local one
	for one in "$1" ${1//[|?]/ }; do
		[[ $has != *" $one "* ]] || return 0
	done
	return 1
}

# exists PACKAGE: whether apt can install a package of exactly this name. apt-cache takes a
# dot for any character, so it would find 6.12 for 6.1.
exists() {
	[[ $(apt-cache policy "$1" 2>/dev/null) =~ ^"$1":.*Candidate:\ [^\(] ]]
}

# resolve PACKAGE...: sets packages (apt-get can install these), sources (kernels whose
# source apt does not know), and unknown (all other packages that apt does not know).
resolve() {
	local package one found
	packages=() sources=() unknown=()
	for package; do
		found=''
		for one in $(tr -d '?' <<<"${package//|/ }"); do
			[[ $found ]] && break
			! exists "$one" || found=$one
		done
		if [[ $found ]]; then
			packages+=("$found")
		elif [[ $package == linux-source-* ]]; then
			sources+=("${package#linux-source-}")
		elif [[ $package != *\? ]]; then
			unknown+=("$package")
		fi
	done
}

update_lists() {
	as_root apt-get -q update >>"$log" 2>&1
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

# Debian starts Prometheus and its exporter as services. The tests start their own.
quiet_services() {
	local package
	for package; do
		[[ $package != prometheus* || ! -d /run/systemd/system ]] ||
			as_root systemctl -q disable --now "$package" ||
			step "$package runs as a service now"
	done
}

main() {
	local groups=("$@") group log missing kernel packages sources unknown
	if [[ $1 == -h ]]; then
		usage
		exit
	fi
	((${#groups[@]})) || groups=(build lab tool test lint)
	for group in "${groups[@]}"; do
		[[ $'\n'$(needs) == *$'\n'"$group	"* ]] ||
			die "$group: no such group (build lab tool test lint bench clang plot report host)"
	done

	missing=$(missing_packages "${groups[@]}")
	[[ $missing ]] || return 0
	mapfile -t missing <<<"$missing"
	command -v apt-get >/dev/null ||
		die "no apt-get here, please install: ${missing[*]%%[|?]*} (Debian's names)"
	((EUID == 0)) || command -v sudo >/dev/null ||
		die "not root and no sudo, please run: apt-get install ${missing[*]%%[|?]*}"

	log=$CACHE/deps.log
	mkdir -p "$CACHE"
	: >"$log"
	# The lists of packages may be older than the mirror, or not fetched yet.
	resolve "${missing[@]}"
	if ((${#sources[@]} + ${#unknown[@]})); then
		update_lists || true
		resolve "${missing[@]}"
	fi
	if ((${#unknown[@]})); then
		tail -n 20 "$log" >&2
		die "${unknown[*]}: apt-get does not know these packages here, please install them another way (Debian's names)"
	fi
	if ((${#packages[@]})); then
		step "installing ${packages[*]}"
		if ! install_packages "${packages[@]}" >>"$log" 2>&1 &&
			! { update_lists && install_packages "${packages[@]}" >>"$log" 2>&1; }; then
			tail -n 20 "$log" >&2
			die "apt-get could not install ${packages[*]} (all of it: $log)"
		fi
		quiet_services "${packages[@]}"
	fi
	for kernel in "${sources[@]}"; do
		# Status 3: Debian no longer has this source. fetch.sh has said so, and it
		# is no error.
		"$TOP/scripts/source/fetch.sh" -k "$kernel" >/dev/null || (($? == 3)) || exit 1
	done
}

main "$@"

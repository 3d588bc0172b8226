#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# host-modules.sh - builds the patched kvm.ko, kvm-intel.ko and kvm-amd.ko for a
# stock kernel of Debian 12, 6.1 or 6.12, and prints the folder they are in.
#
# Usage: scripts/host-modules.sh [-k VERSION] [-r ROOT]
#
#   -k VERSION  of the kernel, as uname -r prints it; else the running one
#   -r ROOT     its linux-headers packages are unpacked here (dpkg -x), not
#               installed
#
# Only KVM is built, in a minute or two: its source is linux-source-6.1's or
# 6.12's, of the very version that the kernel has, with patches/; all else is
# what linux-headers-VERSION brings, configuration, vermagic and Module.symvers
# included. Debian's configuration does not know CONFIG_KVM_EXIT_CYCLES, so make
# and the compiler are told. The debugging information is stripped.
#
# Needs: linux-headers-VERSION, linux-source-6.1 or 6.12, gcc, make, git, kmod; no
# root. Writes only to $CACHE/host/VERSION. Beside the modules a file, kernel,
# says what they are for: VERSION and the version of its package. An interrupted
# build is taken up where it stopped. What does not fit is refused, status 1.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/kernels.sh
. "${BASH_SOURCE[0]%/*}/kernels.sh"

# depmod, modinfo: not on the path of everybody
PATH+=:/usr/sbin:/sbin

MODULES="kvm kvm-intel kvm-amd"

version=$(uname -r) root=''

parse() {
	local option
	while getopts :k:r:h option; do
		case $option in
		k) version=$OPTARG ;;
		r) root=$OPTARG ;;
		h) usage; exit 0 ;;
		*) die "-$OPTARG: no such option, or its value is missing (-h shows them)" ;;
		esac
	done
	((OPTIND > $#)) || die "${!OPTIND}: not understood (-h shows the usage)"
}

# generated FILE NAME: what the headers' include/generated/FILE defines NAME as.
generated() {
	sed -n "s/^#define $2[[:blank:]]*\"[[:blank:]]*\(.*\)\"$/\1/p" "$headers/include/generated/$1"
}

# Sets series, headers and package: the version of the kernel's package, the same
# for the image, its headers and its source.
check() {
	local source program
	case $version in
	6.1.0-*-amd64) series=6.1 ;;
	6.12.*+deb12-amd64 | 6.12.*+deb12-cloud-amd64 | 6.12.*+deb12-rt-amd64) series=6.12 ;;
	*) die "$version: not a stock kernel of Debian 12, 6.1 or 6.12 for amd64 (for others: git am patches/)" ;;
	esac
	headers=$root/usr/src/linux-headers-$version
	[[ -f $headers/Module.symvers && -f $headers/include/generated/package.h ]] ||
		die "$headers: No such headers (apt-get install linux-headers-$version)"
	[[ $(generated utsrelease.h UTS_RELEASE) == "$version" ]] ||
		die "$headers: not the headers of $version (apt-get install --reinstall linux-headers-$version)"
	package=$(generated package.h LINUX_PACKAGE_ID)
	package=${package#Debian }
	if [[ ! $root && $version == "$(uname -r)" && " $(uname -v) " != *" Debian $package "* ]]; then
		die "the kernel that runs is \"$(uname -v)\", its headers are of $package (boot the installed kernel, or apt-get install linux-headers-$version of its version)"
	fi

	# Amid an upgrade, when the hook of the headers runs, it may be unpacked only.
	# shellcheck disable=SC2016 # dpkg-query expands what stands in quotes
	source=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "linux-source-$series" 2>/dev/null) || true
	[[ ${source% *} == @(installed|unpacked|half-configured|triggers-*) && -f /usr/src/linux-source-$series.tar.xz ]] ||
		die "linux-source-$series: not installed (apt-get install linux-source-$series=$package)"
	[[ ${source#* } == "$package" ]] ||
		die "linux-source-$series is of ${source#* }, the kernel $version of $package (apt-get install linux-source-$series=$package, or boot the newer kernel)"

	compiler=$(sed -n 's/^CC = .*(CROSS_COMPILE)//p' "$headers/.kernelvariables" 2>/dev/null) || true
	compiler=${compiler:-gcc}
	for program in "$compiler" make git xz modinfo strip; do
		type -P "$program" >/dev/null || die "$program: not found (apt-get install $(package_of "$program"))"
	done
	# Where the headers have a vmlinux, types for BPF are made from it.
	[[ ! -f $headers/vmlinux ]] || type -P pahole >/dev/null || die "pahole: not found (apt-get install pahole)"
	compgen -G "$TOP/patches/$series/[0-9]*.patch" >/dev/null || die "$TOP/patches/$series: no patches there"
}

package_of() {
	case $1 in
	xz) echo xz-utils ;;
	modinfo) echo kmod ;;
	strip) echo binutils ;;
	*) echo "$1" ;;
	esac
}

# All that goes into the modules.
key() {
	echo "$version $package $headers"
	"$compiler" --version | head -n 1
	{ declare -f unpack compile && cat "$TOP/patches/$series"/[0-9]*.patch; } | sha256sum
}

# The source: KVM's folders, and the headers elsewhere that the series changes.
unpack() {
	local patch touched=()
	step "Linux $version: unpacking KVM's source, of $package"
	rm -rf "$dir/src" "$dir/modules"
	mkdir -p "$dir/src/include/trace"
	mapfile -t touched < <(sed -n 's|^--- a/\(arch/x86/include/.*\)|*/\1|p; s|^--- a/\(include/.*\)|*/\1|p' \
		"$TOP/patches/$series"/[0-9]*.patch | sort -u)
	"${mortal[@]}" tar -xf "/usr/src/linux-source-$series.tar.xz" -C "$dir/src" --strip-components=1 --wildcards \
		'*/arch/x86/kvm/*' '*/virt/kvm/*' "${touched[@]}"
	for patch in "$TOP/patches/$series"/[0-9]*.patch; do
		# Outside of any repository: one above the cache is not meant.
		(cd "$dir/src" && GIT_CEILING_DIRECTORIES=$dir git apply --include='arch/x86/kvm/*' \
			--include='arch/x86/include/*' --include='virt/*' --include='include/*' "$patch") ||
			die "$patch: does not apply to linux-source-$series $package"
	done
	# What stands under srctree is the headers' own, and KVM is not among it.
	# shellcheck disable=SC2016 # for make to expand
	sed -i 's|$(srctree)/virt/kvm/|$(src)/../../../virt/kvm/|' "$dir/src/arch/x86/kvm/Makefile"
}

compile() {
	local module src=$dir/src new=$dir/modules.new common
	common=$(sed -n 's/^include //p' "$headers/Makefile")
	step "Linux $version: building kvm, kvm-intel, kvm-amd (a minute or two; log: $dir/build.log)"
	# Patched headers go before those of the headers package, and the
	# trace events' own (../../arch/x86/kvm/trace.h) are found from include/trace.
	quietly "$dir/build.log" make -C "$headers" -f "$root$common" -j"$(nproc)" M="$src/arch/x86/kvm" \
		CONFIG_KVM_EXIT_CYCLES=y NOSTDINC_FLAGS="-nostdinc $(printf -- ' -I%s' "$src"/{arch/x86/,}include{,/uapi})" \
		KCFLAGS="-DCONFIG_KVM_EXIT_CYCLES=1 -I$src/arch/x86/kvm -I$src/include/trace" modules
	rm -rf "$new"
	mkdir "$new"
	for module in $MODULES; do
		cp "$src/arch/x86/kvm/$module.ko" "$new/"
		strip --strip-debug "$new/$module.ko"
		[[ $(modinfo -F vermagic "$new/$module.ko") == "$version "* ]] ||
			die "$module.ko: came out for $(modinfo -F vermagic "$new/$module.ko"), not for $version"
	done
	modinfo -F parm "$new/kvm.ko" | grep -q '^exit_cycles:' ||
		die "kvm.ko: came out without the parameter exit_cycles, an empty shell"
	echo "$version $package" >"$new/kernel"
	mv "$new" "$dir/modules"
}

build() {
	if [[ ! -f $dir/key || $(<"$dir/key") != "$key" ]]; then
		rm -f "$dir/key" "$dir/build.log"
		unpack
		echo "$key" >"$dir/key"
	fi
	[[ -d $dir/modules ]] || compile
}

main() {
	parse "$@"
	check
	dir=$CACHE/host/$version
	if ! mkdir -p "$dir" 2>/dev/null || [[ ! -w $dir ]]; then
		die "$dir: cannot be written to (XDG_CACHE_HOME names another place)"
	fi
	dir=$(cd "$dir" && pwd -P)
	key=$(key)
	locked "$dir/lock" build
	echo "$dir/modules"
}

main "$@"

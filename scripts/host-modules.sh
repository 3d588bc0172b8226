#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# host-modules.sh - builds the patched kvm.ko, kvm-intel.ko and kvm-amd.ko for a stock
# kernel of Debian for which there are patches, and prints the folder that has them.
#
# Usage: scripts/host-modules.sh [-k VERSION] [-r ROOT]
#
#   -k VERSION  the kernel, as uname -r prints it (default: the running one)
#   -r ROOT     the folder into which its linux-headers packages are unpacked (dpkg -x);
#               without -r they are installed
#
# Builds only KVM, in a minute or two. KVM's source comes from linux-source of exactly the
# kernel's version (the installed package, or what scripts/source/fetch.sh fetched), plus
# patches/. Everything else comes from linux-headers-VERSION: configuration, vermagic and
# Module.symvers. Debian's configuration does not know CONFIG_KVM_EXIT_CYCLES, so the
# command line of make and of the compiler sets it. Debugging information is stripped.
#
# A kernel without CONFIG_MODVERSIONS loads modules that do not match it, and crashes
# later. So configuration, compiler and types (BTF) must be exactly the kernel's. The script
# compares them in the headers, in the kernel if it runs here, and in the built modules.
#
# Needs: linux-headers-VERSION, linux-source, the kernel's compiler, make, git, kmod,
# pahole; no root. Writes only to $CACHE/host/VERSION. The file `kernel` beside the modules
# says which kernel they fit: VERSION, the version of its package, and the checksums of its
# configuration and of its types. An interrupted build continues where it stopped. Anything
# that does not fit is refused with status 1.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

# depmod and modinfo are not on every user's PATH
PATH+=:/usr/sbin:/sbin

MODULES="kvm kvm-intel kvm-amd"
BTF=/sys/kernel/btf/vmlinux

version=$(uname -r) root=''

parse() {
	local option
	while getopts :k:r:h option; do
		case $option in
		k) version=$OPTARG ;;
		r) root=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	no_more "${@:OPTIND}"
}

# generated FILE NAME: prints the value of NAME in the headers' include/generated/FILE.
generated() {
	sed -n "s/^#define $2[[:blank:]]*\(\"[[:blank:]]*\(.*\)\"\|\([^\"].*\)\)$/\2\3/p" "$headers/include/generated/$1"
}

# check: sets series, headers and package, the version of the kernel's package; image,
# headers and source must have the same version. Dies if something does not fit.
check() {
	series=$(series_of "$version")
	[[ $series ]] ||
		die "$version: not a stock kernel of Debian, ${KERNELS// /, } for amd64 (for others: git am patches/)"
	headers=$root/usr/src/linux-headers-$version anew="apt-get install --reinstall linux-headers-$version"
	[[ -f $headers/Module.symvers && -f $headers/include/generated/package.h ]] ||
		die "$headers: No such headers (apt-get install linux-headers-$version)"
	[[ $(generated utsrelease.h UTS_RELEASE) == "$version" ]] || die "$headers: not the headers of $version ($anew)"
	package=$(generated package.h LINUX_PACKAGE_ID)
	package=${package#Debian }
	if [[ $version == "$running" && " $(uname -v) " != *" Debian $package "* ]]; then
		die "the kernel that runs is \"$(uname -v)\", its headers are of $package (boot the installed kernel, or apt-get install linux-headers-$version of its version)"
	fi
	check_source
	check_tools
	check_match
}

# check_source: the hook of the headers runs in the middle of an upgrade; at that moment a
# package can be unpacked but not yet configured.
check_source() {
	local state=installed which how
	how="apt-get install linux-source-$series=$package, or scripts/source/fetch.sh -k $series"
	source=$(tarball "$series")
	# shellcheck disable=SC2016 # dpkg-query expands what stands in quotes
	[[ $source == "$CACHE"/* ]] ||
		state=$(dpkg-query -W -f '${db:Status-Status}' "linux-source-$series" 2>/dev/null) || true
	[[ -f $source && $state == @(installed|unpacked|half-configured|triggers-*) ]] ||
		die "linux-source-$series: not installed ($how)"
	which=$(source_version "$series")
	[[ $which == "$package" ]] ||
		die "linux-source-$series is of $which, but the kernel $version is of $package ($how, or boot the newer kernel)"
	compgen -G "$TOP/patches/$series/[0-9]*.patch" >/dev/null || die "$TOP/patches/$series: no patches there"
}

check_tools() {
	local program has wants
	has=$("$headers/scripts/mod/modpost.real-lsb-64" -h 2>&1) || true
	[[ $has != *GLIBC_* ]] ||
		die "$headers/scripts: programs of a newer Debian, which do not run here (scripts/on.sh runs commands on one)"
	compiler=$(generated autoconf.h CONFIG_CC_VERSION_TEXT)
	compiler=${compiler%% *}
	for program in "$compiler" make git xz modinfo strip readelf pahole; do
		# Types for BPF are made only where the headers have a vmlinux.
		[[ $program != pahole || -f $headers/vmlinux ]] || continue
		type -P "$program" >/dev/null || die "$program: not found (apt-get install $(package_of "$program"))"
	done
	has=$("$compiler" -dumpversion)
	wants=$(($(generated autoconf.h CONFIG_GCC_VERSION) / 10000))
	[[ ${has%%.*} == "$wants" ]] ||
		die "$compiler: is version $has, and the kernel is of $wants (apt-get install --reinstall $(package_of "$compiler"))"
	[[ -f $headers/vmlinux ]] || return 0
	has=$(pahole --numeric_version)
	wants=$(generated autoconf.h CONFIG_PAHOLE_VERSION)
	((has >= wants)) || die "pahole: is version $has, and the kernel is of $wants (apt-get install pahole)"
}

package_of() {
	case $1 in
	xz) echo xz-utils ;;
	modinfo) echo kmod ;;
	strip | readelf) echo binutils ;;
	*-gcc-*) echo "gcc-${1##*-}" ;;
	*) echo "$1" ;;
	esac
}

# check_match: sets the checksums configuration and types; types is - if the headers have no
# types. Dies if the headers are not those of the kernel.
check_match() {
	local file differs
	for file in "$root/boot/config-$version" "$root/usr/lib/modules/$version/config" "$headers/.config"; do
		[[ -f $file ]] || continue
		differs=$(comm -3 <(defines "$file") <(defines "$headers/include/generated/autoconf.h") | sed -n 1p)
		[[ ! $differs ]] ||
			die "$headers/include/generated/autoconf.h: not of the configuration of $file:${differs/*#define/} ($anew)"
	done
	configuration=$(defines "$headers/include/generated/autoconf.h" | sha256sum)
	configuration=${configuration%% *} types=-
	if [[ -f $headers/vmlinux ]]; then
		types=$(types_in "$headers/vmlinux" | sha256sum)
		types=${types%% *}
	elif [[ ! $(generated autoconf.h CONFIG_MODVERSIONS) ]]; then
		die "$headers/vmlinux: No such file ($anew)"
	fi
	[[ $version == "$running" && $types != - ]] || return 0
	[[ -r $BTF ]] || die "$BTF: No such file, and this kernel's types are to be compared (boot the installed kernel)"
	[[ $(sha256sum <"$BTF") == "$types "* ]] || die "$headers/vmlinux: not the types of the kernel that runs, $BTF ($anew)"
}

# types_in FILE: prints its section .BTF.
types_in() {
	local offset size
	read -r offset size < <(readelf -SW "$1" |
		sed -n 's/.* [.]BTF  *PROGBITS  *[^ ]*  *\([^ ]*\)  *\([^ ]*\) .*/0x\1 0x\2/p') || true
	dd if="$1" bs=1M iflag=skip_bytes,count_bytes skip=$((offset)) count=$((size)) status=none
}

# key: prints everything on which the modules depend.
key() {
	echo "$version $package $configuration $types $headers"
	"$compiler" --version | head -n 1
	{ declare -f unpack compile && cat "$TOP/patches/$series"/[0-9]*.patch; } | sha256sum
}

# unpack: the source is KVM's folders, and the other headers that the series changes.
unpack() {
	local patch touched=()
	step "Linux $version: unpacking KVM's source, of $package"
	rm -rf "$dir/src" "$dir/modules"
	mkdir -p "$dir/src/include/trace"
	mapfile -t touched < <(sed -n 's|^--- a/\(arch/x86/include/.*\)|*/\1|p; s|^--- a/\(include/.*\)|*/\1|p' \
		"$TOP/patches/$series"/[0-9]*.patch | sort -u)
	"${mortal[@]}" tar -xf "$source" -C "$dir/src" --strip-components=1 --wildcards \
		'*/arch/x86/kvm/*' '*/virt/kvm/*' "${touched[@]}"
	for patch in "$TOP/patches/$series"/[0-9]*.patch; do
		# git must not take a repository above the cache for the one to patch.
		(cd "$dir/src" && GIT_CEILING_DIRECTORIES=$dir git apply --include='arch/x86/kvm/*' \
			--include='arch/x86/include/*' --include='virt/*' --include='include/*' "$patch") ||
			die "$patch: does not apply to linux-source-$series $package"
	done
	# srctree is the folder of the headers, which has no source of KVM.
	# shellcheck disable=SC2016 # for make to expand
	sed -i 's|$(srctree)/virt/kvm/|$(src)/../../../virt/kvm/|' "$dir/src/arch/x86/kvm/Makefile"
}

compile() {
	local module src=$dir/src new=$dir/modules.new common
	common=$(sed -n 's/^include //p' "$headers/Makefile")
	step "Linux $version: building kvm, kvm-intel, kvm-amd (a minute or two; log: $dir/build.log)"
	# Patched headers must come before the same headers of the package. The second -I lets
	# include/trace find the trace events' own header (../../arch/x86/kvm/trace.h).
	quietly "$dir/build.log" make -C "$headers" -f "$root$common" KBUILD_OUTPUT="$headers" -j"$(nproc)" M="$src/arch/x86/kvm" \
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
	[[ $(modinfo -F parm "$new/kvm.ko") == *exit_cycles:* ]] ||
		die "kvm.ko: came out without the parameter exit_cycles, an empty shell"
	[[ $types == - ]] || check_types "$new"
	echo "$version $package $configuration $types" >"$new/kernel"
	mv "$new" "$dir/modules"
}

# check_types FOLDER: dies if a structure of the kernel came out in another size: the series
# changes only KVM's own structures.
check_types() {
	local module differs
	for module in $MODULES; do
		differs=$(awk -F'\t' '
			NR == FNR { sizes[$1] = sizes[$1] " " $2 " "; all = FNR; next }
			$1 in sizes && $1 !~ /^kvm/ && !index(sizes[$1], " " $2 " ") { other = $1 }
			END { print (FNR > all ? other : "of any kind") }' <(sizes_in "$headers/vmlinux") \
			<(sizes_in --btf_base "$headers/vmlinux" "$1/$module.ko"))
		[[ ! $differs ]] || die "$module.ko: came out without the kernel's own struct $differs ($anew)"
	done
}

sizes_in() {
	pahole -F btf --sizes "$@" 2>/dev/null
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
	local running=""
	parse "$@"
	# If the kernel does not run here, only its headers can be checked.
	[[ $root ]] || running=$(uname -r)
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

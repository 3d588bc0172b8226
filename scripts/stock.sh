#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# stock.sh - fetches a stock kernel of Debian 12 for the lab and prints its
# folder; nothing is installed.
#
# Usage: scripts/stock.sh [-k 6.1|6.12] [-f FLAVOUR]
#
#   -k KERNEL   6.1 (default) or 6.12: of the very version of the linux-source
#               package that is installed
#   -f FLAVOUR  amd64 (default), cloud-amd64 or rt-amd64
#
# The folder, $CACHE/stock/VERSION, has: `version`, as uname -r prints it; lab/,
# with bzImage and lib/modules/VERSION/, the modules of a KVM host and what they depend
# on (lab.sh -b boots it); headers/, the linux-headers packages unpacked
# (host-modules.sh -r builds against them). Downloads 30 to 120 MB once, by apt-get.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

# depmod, modinfo: not on the path of everybody
PATH+=:/usr/sbin:/sbin

# A KVM host's, and for a guest with a disk of FAT.
MODULES="kvm-intel kvm-amd kvmgt virtio-pci virtio-blk vfat nls-ascii nls-cp437 nls-utf8"

kernel=6.1 flavour=amd64

parse() {
	local option
	while getopts :k:f:h option; do
		case $option in
		k) kernel=$OPTARG ;;
		f) flavour=$OPTARG ;;
		h) usage; exit 0 ;;
		*) die "-$OPTARG: no such option, or its value is missing (-h shows them)" ;;
		esac
	done
	((OPTIND > $#)) || die "${!OPTIND}: not understood (-h shows the usage)"
	[[ " $KERNELS " == *" $kernel "* ]] || die "-k $kernel: no such kernel (one of: $KERNELS)"
	[[ " amd64 cloud-amd64 rt-amd64 " == *" $flavour "* ]] || die "-f $flavour: no such flavour (amd64, cloud-amd64 or rt-amd64)"
}

# depends PACKAGE=VERSION PATTERN: those of its dependencies that match.
depends() {
	apt-cache show "$1" 2>/dev/null | sed -n 's/^Depends: //p' | tr -s ',|' '\n' |
		sed 's/^ *//; s/ .*//' | grep -Ex "$2" || true
}

# Sets package, the version of the packages, version, that of the kernel, and
# debs, what to fetch.
choose() {
	local meta=linux-headers-$flavour headers
	[[ $kernel == 6.1 ]] || meta=linux-headers-$kernel-$flavour
	type -P apt-get >/dev/null || die "no apt-get here, and so no stock kernel"
	# shellcheck disable=SC2016 # dpkg-query expands what stands in quotes
	package=$(dpkg-query -W -f '${Version}' "linux-source-$kernel" 2>/dev/null) ||
		die "linux-source-$kernel: not installed (scripts/deps.sh build)"
	headers=$(depends "$meta=$package" "linux-headers-.*-$flavour")
	[[ $headers ]] || die "$meta: apt-get has none of $package, the version of linux-source-$kernel (apt-get update, or upgrade linux-source-$kernel)"
	version=${headers#linux-headers-}
	debs=("linux-image-$version=$package" "$headers=$package")
	mapfile -t -O 2 debs < <(depends "$headers=$package" 'linux-(headers-.*-common|kbuild-.*)' | sed "s/$/=$package/")
}

# with_needs NAME...: these modules and all they depend on, as paths.
with_needs() {
	local tree=$new/image/lib/modules/$version
	awk -v names="$*" '
		{
			sub(":", "", $1)
			name = $1
			sub(".*/", "", name)
			sub("[.]ko.*", "", name)
			gsub("_", "-", name)
			all[name] = $0
		}
		END {
			n = split(names, wanted, " ")
			for (i = 1; i <= n; i++) {
				m = split(all[wanted[i]], paths, " ")
				for (j = 1; j <= m; j++) print paths[j]
			}
		}' "$tree/modules.dep" | sort -u
}

fetch() {
	local deb new=$dir.new module modules files=()
	[[ ! -f $dir/version || $(<"$dir/version") != "$version" || $(<"$dir/key") != "$key" ]] || return 0
	step "Linux $version: fetching Debian's packages of $package"
	rm -rf "$dir" "$new"
	mkdir -p "$new"/{debs,image,headers} "$new/lab/lib/modules/$version"
	# As root, apt-get would rather be another user, who may not be let in here.
	(cd "$new/debs" && quietly "$new/log" apt-get -q -o APT::Sandbox::User=root download "${debs[@]}")
	for deb in "$new"/debs/*.deb; do
		case $deb in
		*/linux-image-*) dpkg-deb -x "$deb" "$new/image" ;;
		*) dpkg-deb -x "$deb" "$new/headers" ;;
		esac
	done
	modules=lib/modules/$version
	cp "$new/image/boot/vmlinuz-$version" "$new/lab/bzImage"
	depmod -b "$new/image" "$version"
	# shellcheck disable=SC2086 # a list of names
	mapfile -t files < <(with_needs $MODULES)
	[[ "${files[*]}" == *kvm-amd.ko* ]] || die "linux-image-$version: has no KVM"
	for module in "${files[@]}"; do
		mkdir -p "$new/lab/$modules/${module%/*}"
		cp "$new/image/$modules/$module" "$new/lab/$modules/$module"
	done
	cp "$new/image/$modules"/modules.{builtin,builtin.modinfo,order} "$new/lab/$modules/"
	depmod -b "$new/lab" "$version"
	rm -rf "$new"/{debs,image}
	echo "$key" >"$new/key"
	echo "$version" >"$new/version"
	mv "$new" "$dir"
}

main() {
	parse "$@"
	choose
	dir=$CACHE/stock/$version
	key="$package $MODULES"
	locked "$dir.lock" fetch
	echo "$dir"
}

main "$@"

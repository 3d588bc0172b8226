#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# stock.sh - fetches a stock kernel of Debian for the lab and prints its folder;
# nothing is installed.
#
# Usage: scripts/source/stock.sh [-k KERNEL] [-f FLAVOUR]
#
#   -k KERNEL   a folder of patches/ (default: the first). The stock kernel has exactly the
#               version of this KERNEL's source
#   -f FLAVOUR  amd64 (default), cloud-amd64 or rt-amd64
#
# The folder, $CACHE/stock/VERSION, has: `version`, as uname -r prints it; lab/, with bzImage
# and lib/modules/VERSION/, the modules of a KVM host and those that they need (lab.sh -b
# boots it); headers/, the unpacked linux-headers packages and the kernel's config
# (host-modules.sh -r builds against them). Downloads 30 to 120 MB once, from Debian's
# archive, from any release that has it. Status 3 if Debian no longer has it.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/../common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/kernels.sh"
# shellcheck source=scripts/source/archive.sh
. "${BASH_SOURCE[0]%/*}/archive.sh"

# depmod and modinfo are not on every user's PATH
PATH+=:/usr/sbin:/sbin

# Modules for a KVM host, and for a guest that has a disk with FAT.
MODULES="kvm-intel kvm-amd kvmgt virtio-pci virtio-blk vfat nls-ascii nls-cp437 nls-utf8"

kernel=$(default_kernel) flavour=amd64

parse() {
	local option
	while getopts :k:f:h option; do
		case $option in
		k) kernel=$OPTARG ;;
		f) flavour=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	no_more "${@:OPTIND}"
	one_of k kernel "$kernel" "$KERNELS"
	one_of f flavour "$flavour" "amd64 cloud-amd64 rt-amd64"
}

# siblings PACKAGE: prints the packages of the same source that PACKAGE depends on.
siblings() {
	archive cache show "$1=$package" 2>/dev/null | sed -n 's/^Depends: //p' | tr -s ',|' '\n' |
		sed 's/^ *//; s/ .*//' | grep -E '^linux-[a-z]+-[0-9]' | grep -v -e '-unsigned$' || true
}

# in_archive NAME...: prints these packages. Debian signs a kernel later than it publishes it,
# at times by days: until then there is only NAME-unsigned, the same kernel.
in_archive() {
	local name
	for name; do
		archive cache madison "$name" | awk -F' *[|] *' -v want="$package" '$2 == want { found = 1 } END { exit !found }' ||
			name+=-unsigned
		echo "$name"
	done
}

# choose: sets version, the version of these packages' kernel, and debs, the packages to
# fetch. From 7.3 on, an image is three packages.
choose() {
	local names=() name
	locked "$CACHE/apt.lock" update_archive
	mapfile -t names < <(archive cache search --names-only "^linux-headers-${kernel}[.].*-$flavour\$" | cut -d' ' -f1)
	version=$(archive cache madison "${names[@]}" |
		awk -F' *[|] *' -v want="$package" -v flavour="$flavour" '
			{ sub(/^ *linux-headers-/, "", $1); name = $1 }
			# flavour amd64 must not match cloud-amd64. Read all lines:
			# apt-cache fails if its reader ends early.
			$2 == want && sub("-" flavour "$", "", name) && name !~ /-(cloud|rt)$/ && !found++ { print $1 }')
	if [[ ! $version ]]; then
		echo "$PROGRAM: Debian's archive no longer has a linux-image of version $package, which is that of linux-source-$kernel here (for a newer source, remove $CACHE/source, or upgrade the package)" >&2
		exit 3
	fi
	mapfile -t names < <(
		names=("linux-image-$version" "linux-headers-$version")
		while ((${#names[@]})); do
			mapfile -t names < <(in_archive "${names[@]}")
			printf '%s\n' "${names[@]}"
			mapfile -t names < <(for name in "${names[@]}"; do siblings "$name"; done)
		done | sort -u)
	debs=("${names[@]/%/=$package}")
}

# with_needs NAME...: prints the paths of these modules and of all that they depend on.
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
		}' "$tree/modules.dep"
}

fetch() {
	local deb file new=$dir.new module modules files=()
	[[ ! -f $dir/version || $(<"$dir/version") != "$version" || $(<"$dir/key") != "$key" ]] || return 0
	step "Linux $version: fetching Debian's packages of $package"
	rm -rf "$dir" "$new"
	mkdir -p "$new"/{debs,image,headers} "$new/lab/lib/modules/$version"
	(cd "$new/debs" && archive get download "${debs[@]}") >"$new/log" 2>&1 ||
		die "linux-image-$version: cannot be fetched: $(grep '^E:' "$new/log" | tail -n 1)"
	for deb in "$new"/debs/*.deb; do
		case $deb in
		*/linux-headers-* | */linux-kbuild-*) dpkg-deb -x "$deb" "$new/headers" ;;
		*) dpkg-deb -x "$deb" "$new/image" ;;
		esac || die "$deb: cannot be unpacked (is there space in $CACHE?)"
	done
	modules=lib/modules/$version
	# Debian's modules are under /usr today, and from 7.3 on also the kernel
	[[ -d $new/image/lib ]] || ln -s usr/lib "$new/image/lib"
	for file in "$new/image"/{boot/vmlinuz-$version,$modules/vmlinuz}; do
		[[ ! -f $file ]] || cp "$file" "$new/lab/bzImage"
	done
	for file in "boot/config-$version" "usr/lib/modules/$version/config"; do
		[[ ! -f $new/image/$file ]] || install -D -m 644 "$new/image/$file" "$new/headers/$file"
	done
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
	local known
	parse "$@"
	"$TOP/scripts/source/fetch.sh" -k "$kernel" >/dev/null || exit
	package=$(source_version "$kernel")
	key="$package config $MODULES"
	# already fetched: do not ask the archive
	known=$CACHE/stock/$kernel-$flavour
	if [[ -L $known && $(cat "$known/key" 2>/dev/null) == "$key" ]]; then
		realpath "$known"
		return
	fi
	choose
	dir=$CACHE/stock/$version
	locked "$dir.lock" fetch
	ln -sfn "$version" "$known"
	echo "$dir"
}

main "$@"

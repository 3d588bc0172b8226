#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# fetch.sh - gets Debian's source of a kernel and prints the path of its tarball.
#
# Usage: scripts/source/fetch.sh -k KERNEL
#
# If the package linux-source-KERNEL is installed, it is that tarball. Else the package is
# taken from Debian's archive, from any release that has it, and unpacked into
# $CACHE/source; nothing is installed.
#
# Exit status: 0; 1 it cannot be fetched now (no network, no space); 3 Debian no longer has
# it, and this kernel is skipped. One line on standard error says why.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/../common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/kernels.sh"
# shellcheck source=scripts/source/archive.sh
. "${BASH_SOURCE[0]%/*}/archive.sh"

GONE=3

# fetch: an error or a signal never leaves half a tarball.
fetch() {
	local name=linux-source-$kernel dir=$CACHE/source version deb
	[[ -f $(tarball "$kernel") ]] && return 0
	mkdir -p "$dir" 2>/dev/null || die "$dir: cannot be made"
	update_archive
	version=$(archive cache madison "$name" | awk -F' *[|] *' -v name="$name" '{ sub(/^ */, "") } $1 == name && !found++ { print $2 }')
	if [[ ! $version ]]; then
		echo "$name: no longer in Debian's archive, so Linux $kernel is skipped" >"$dir/$name.gone"
		return
	fi
	step "Linux $kernel: fetching Debian's $name $version"
	rm -rf "$dir/$name.new"
	mkdir "$dir/$name.new"
	trap 'rm -rf "$CACHE/source/linux-source-$kernel.new"' EXIT
	(cd "$dir/$name.new" && archive get download "$name=$version") >"$CACHE/apt/log" 2>&1 ||
		die "$name: cannot be fetched: $(grep '^E:' "$CACHE/apt/log" | tail -n 1)"
	deb=$(echo "$dir/$name.new"/*.deb)
	dpkg-deb --fsys-tarfile "$deb" 2>/dev/null | tar -xO "./usr/src/$name.tar.xz" >"$dir/$name.new/tar" 2>/dev/null ||
		die "$deb: cannot be unpacked (is there space in $CACHE?)"
	echo "$version" >"$dir/$name.version"
	rm -f "$dir/$name.gone"
	mv "$dir/$name.new/tar" "$dir/$name.tar.xz"
}

kernel=''
while getopts :k:h option; do
	case $option in
	k) kernel=$OPTARG ;;
	h) usage; exit 0 ;;
	*) bad_option ;;
	esac
done
no_more "${@:OPTIND}"
one_of k kernel "$kernel" "$KERNELS"
locked "$CACHE/source.lock" fetch
if why=$(gone "$kernel"); then
	echo "$PROGRAM: $why" >&2
	exit $GONE
fi
tarball "$kernel"

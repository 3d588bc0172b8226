#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# initrd.sh - makes the initrd of a small Linux guest: busybox, the ordinary cpuid program,
# and the files brought along.
#
# Usage: scripts/guest/initrd.sh [-a FILE]... OUT [COMMAND [ARGUMENT]...]
#
#   -a FILE   bring a file along, and the libraries if it is a program. A file of /usr
#             keeps its path; any other goes to /guest, where COMMAND starts
#
# The guest boots to user space, says so on its console, runs COMMAND (default: a shell) and
# powers off.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/../common.sh"
# shellcheck source=scripts/lab/initramfs.sh
. "${BASH_SOURCE[0]%/*}/../lab/initramfs.sh"

main() {
	local files=() option out cpuid
	while getopts :a:h option; do
		case $option in
		a) files+=("$OPTARG") ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	(($#)) || die "no OUT to write (-h shows the usage)"
	out=$1
	shift
	cpuid=$(type -P cpuid) || die "cpuid: not found (scripts/deps.sh installs it)"

	root=$(mktemp -d)
	trap 'rm -rf "$root"' EXIT
	trap 'exit 130' INT TERM HUP
	stage_base "$root"
	mkdir "$root/guest"
	cp "$TOP/scripts/guest/init" "$root/init"
	stage_files "$root" guest "$cpuid" "${files[@]}"
	((!$#)) || echo "set --$(quote "$@")" >"$root/guest.command"
	pack "$root" >"$out.new"
	mv "$out.new" "$out"
}

main "$@"

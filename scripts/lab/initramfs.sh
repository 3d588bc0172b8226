# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# initramfs.sh - makes root file systems in memory, for the lab and for its guests. Sourced
# after common.sh.
#
# All files lie under usr/. /bin, /sbin, /lib and /lib64 are links into it, as distributions
# have it today; so a path from an older distribution works too.

# The time of every file and of the lab's clock. Exact labs repeat to the instruction only
# if all bytes are the same.
EPOCH=1700000000

# stage_base ROOT: makes the folders that every root has, and adds busybox.
stage_base() {
	local busybox name
	busybox=$(type -P busybox) || die "busybox: not found (scripts/deps.sh installs it)"
	mkdir -p "$1"/{usr/{bin,sbin,lib,lib64},dev,proc,sys,etc,tmp,run,root}
	for name in bin sbin lib lib64; do
		ln -s "usr/$name" "$1/$name"
	done
	cp -L "$busybox" "$1/usr/bin/busybox"
	ln -s busybox "$1/usr/bin/sh"
}

# staged_path FILE: prints FILE's place under the root.
staged_path() {
	local path
	path=$(realpath -s "$1")
	case $path in
	/bin/* | /sbin/* | /lib/* | /lib64/*) echo "usr$path" ;;
	*) echo "${path#/}" ;;
	esac
}

# stage_libraries ROOT PROGRAM: copies the libraries that the loader would load, and the loader.
stage_libraries() {
	local library place
	while read -r library; do
		place=$1/$(staged_path "$library")
		[[ -e $place ]] && continue
		mkdir -p "${place%/*}"
		cp -L "$library" "$place"
	done < <(ldd "$2" 2>/dev/null | grep -o '/[^ ]*')
}

# stage_file ROOT FILE [PLACE]: copies a file or folder to its own path, or to PLACE under the
# root. If it is a program, its libraries come along.
stage_file() {
	local place=${3:-$(staged_path "$2")}
	mkdir -p "$1/$(dirname "$place")"
	cp -LR "$2" "$1/$place"
	[[ ! -f $2 ]] || stage_libraries "$1" "$2"
}

# stage_files ROOT FOLDER FILE...: copies files of /usr to their own paths, and others to
# FOLDER under the root.
stage_files() {
	local root=$1 folder=$2 file
	shift 2
	for file; do
		[[ -r $file ]] || die "$file: no such file, or not readable"
		case $(realpath -s "$file") in
		/usr/* | /bin/* | /sbin/* | /lib/* | /lib64/*) stage_file "$root" "$file" ;;
		*) stage_file "$root" "$file" "$folder/$(basename "$file")" ;;
		esac
	done
}

# quote WORD...: prints the words quoted for a shell.
quote() {
	local word
	for word; do
		printf " '%s'" "${word//\'/\'\\\'\'}"
	done
}

# pack ROOT: writes a cpio to standard output; the same files give the same bytes. It is not
# compressed: an emulated CPU copies faster than it unpacks.
pack() {
	(
		cd "$1" || exit
		find . -exec touch -h -d "@$EPOCH" {} +
		find . -mindepth 1 -print0 | sort -z |
			cpio -0 -o -H newc -R 0:0 --reproducible --quiet
	)
}

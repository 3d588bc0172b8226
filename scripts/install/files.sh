# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with install.sh
# files.sh - puts and removes files in a way that can be undone. Sourced by install.sh.

# aside PLACE: prints where the old file waits. depmod must not look into that folder.
aside() {
	case $1 in
	/lib/modules/*) echo "/lib/modules/.exit_cycles$(tr / - <<<"${1#/lib/modules}")" ;;
	*) echo "$1.old" ;;
	esac
}

# fresh PLACE: prints where the new file for PLACE is prepared.
fresh() {
	case $1 in
	/lib/modules/*) echo "$(aside "$1").new" ;;
	*) echo "$1.new" ;;
	esac
}

# recover: cleans up after a run that a power cut ended.
recover() {
	local place version places=("$LIB" "${HOOKS[@]}")
	for version in /lib/modules/*/; do
		places+=("$(installed "$(basename "$version")")")
	done
	for place in "${places[@]}"; do
		rm -rf "$(fresh "$place")"
		if [[ -e $place ]]; then
			rm -rf "$(aside "$place")"
		elif [[ -e $(aside "$place") ]]; then
			mv "$(aside "$place")" "$place"
		fi
	done
}

# make_folder FOLDER: notes the folder before it makes it, so that a signal in between cannot
# leave a folder that nobody removes.
make_folder() {
	[[ -d $1 ]] && return 0
	[[ -d ${1%/*} || ! ${1%/*} ]] || make_folder "${1%/*}"
	made+=("$1")
	mkdir "$1"
}

remove() {
	[[ -e $1 ]] || return 0
	removed+=("$1")
	mv -T "$1" "$(aside "$1")"
}

# prepare PLACE: sets new, the place where PLACE's new file is prepared, and empties it.
prepare() {
	new=$(fresh "$1")
	coming+=("$new")
	rm -rf "$new"
}

# put PLACE: moves the prepared file to PLACE.
put() {
	make_folder "${1%/*}"
	remove "$1"
	placed+=("$1")
	mv -T "$(fresh "$1")" "$1"
}

# index: rebuilds modprobe's index for each kernel whose modules were changed.
index() {
	local place version
	for place in "${removed[@]}" "${placed[@]}"; do
		version=${place#/lib/modules/}
		version=${version%%/*}
		[[ $place != /lib/modules/* || ! -d /lib/modules/$version ]] || depmod "$version"
	done
}

# undo_files: removes only what this run has put, and restores what it has set aside.
undo_files() {
	local i place
	rm -rf "${coming[@]}" "${placed[@]}"
	for place in "${removed[@]}"; do
		[[ ! -e $(aside "$place") ]] || mv -T "$(aside "$place")" "$place"
	done
	for ((i = ${#made[@]} - 1; i >= 0; i--)); do
		rmdir "${made[i]}" 2>/dev/null
	done
	index
}

# keep: the work is done; from here on nothing is undone, and signals are ignored.
keep() {
	local place
	trap '' INT TERM HUP
	for place in "${removed[@]}"; do
		rm -rf "$(aside "$place")"
	done
	placed=() removed=() made=() coming=() touched=''
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with lab.sh
# root.sh - makes the root file system of a lab. Sourced by lab.sh, after initramfs.sh.

# build_runner: builds run.c, once for each state of its source; sets $runner.
build_runner() {
	local source=$TOP/scripts/lab/run.c
	runner=$CACHE/lab-run.$(cksum <"$source" | cut -d" " -f1)
	[[ ! -x $runner ]] || return 0
	gcc -O2 -static -o "$tmp/lab-run" "$source" || die "$source: does not build"
	mv "$tmp/lab-run" "$runner"
}

# make_root OUT: the lab's root file system.
make_root() {
	local root=$tmp/root file one
	mkdir "$root"
	stage_base "$root"
	mkdir -p "$root/lab" "$root/usr/lib/lab"
	cp "$TOP/scripts/lab/init" "$root/init"
	cp "$TOP/scripts/lab/modules" "$root/usr/bin/lab-modules"
	cp "$runner" "$root/usr/bin/lab-run"
	if [[ $boot ]]; then
		cp -R "$boot/lib/modules" "$root/usr/lib/"
		for one in modprobe insmod rmmod modinfo depmod lsmod; do
			file=$(PATH=$PATH:/usr/sbin:/sbin type -P "$one") || die "$one: not found (apt-get install kmod)"
			stage_file "$root" "$file"
		done
	else
		mv "$tmp"/modules/* "$root/usr/lib/lab/"
	fi
	stage_files "$root" lab "${files[@]}"
	for file in "${files[@]}"; do
		[[ -e $root/lab/${file##*/} ]] ||
			ln -s "/$(staged_path "$file")" "$root/lab/${file##*/}"
	done
	{
		echo "export LAB_MACHINE=$machine LAB_KERNEL=$kernel LAB_DEBUG=$debug LAB_SERIES=$series"
		echo "export LAB_MODULES=${series:+/usr/lib/lab/$series}"
		echo "set --$(quote "${command[@]}")"
	} >"$root/lab.command"
	pack "$root" >"$tmp/initrd"
	rm -rf "$root"
}

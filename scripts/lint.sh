#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# lint.sh - runs shellcheck on every script and test, checkpatch --strict on every patch,
# and the compiler with warnings as errors on the C files of tools/, tests/ and scripts/
# that need no kernel or kernel headers.
#
# Usage: scripts/lint.sh
#
# Status 1 if one of them reports something. Leaves no files but a copy of checkpatch in the
# cache.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

scripts() {
	git -C "$TOP" ls-files -co --exclude-standard |
		while read -r file; do
			[[ $file != *.patch && -f $TOP/$file ]] || continue
			head -c 32 "$TOP/$file" | head -n 1 | grep -Eq '^#!.*(bash|/sh)$' && echo "$file"
		done
}

# checkpatch_dir KERNEL: prints the folder of that kernel's checkpatch; unpacks it once.
checkpatch_dir() {
	local dir=$CACHE/$1/checkpatch
	if [[ ! -f $dir/done ]]; then
		mkdir -p "$dir"
		tar -xf "$(tarball "$1")" -C "$dir" --strip-components=2 --wildcards \
			"*/scripts/checkpatch.pl" "*/scripts/spelling.txt" \
			"*/scripts/const_structs.checkpatch"
		touch "$dir/done"
	fi
	echo "$dir"
}

lint_scripts() {
	local files
	mapfile -t files < <(scripts)
	step "shellcheck: ${#files[@]} scripts"
	(cd "$TOP" && printf "%s\0" "${files[@]}" | xargs -0 -P "$(nproc)" -n 6 shellcheck -x)
}

# lint_patches: FILE_PATH_CHANGES is off, since it asks for an entry in MAINTAINERS, and a
# series outside the tree has none.
lint_patches() {
	local kernel dir
	for kernel in $(available); do
		step "checkpatch --strict: patches/$kernel"
		dir=$(checkpatch_dir "$kernel")
		# Run outside the checkout: checkpatch takes a file that git tracks for source.
		(cd "$dir" && printf "%s\0" "$TOP/patches/$kernel"/*.patch | xargs -0 -P "$(nproc)" -n 4 \
			perl ./checkpatch.pl --strict --no-tree --quiet --terse --ignore FILE_PATH_CHANGES)
	done
}

lint_c() {
	local file bad=''
	step "compiler warnings: tools/, tests/, scripts/"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	make -s -C "$TOP/tools" BUILD="$tmp/tools" PROG="$tmp/exitdump" CFLAGS="-O2 -Werror"
	shopt -s nullglob
	for file in "$TOP"/tests/{,stress/,fuzz/,fixtures/}*.c "$TOP"/scripts/{lab,demo,vmm}/*.c; do
		cc -std=gnu11 -I"$TOP/tools" -O2 -Wall -Wextra -Werror -c -o "$tmp/object" "$file" || bad=1
	done
	[[ ! $bad ]]
}

if (($#)); then
	usage
	[[ $* == -h ]] && exit 0 || exit 2
fi
"$TOP/scripts/deps.sh" build lint tool
lint_scripts
lint_patches
lint_c

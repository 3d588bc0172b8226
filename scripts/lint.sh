#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# lint.sh - runs shellcheck on every script and test, checkpatch --strict on every patch,
# and the compiler with warnings as errors on the C files of tools/, tests/ and scripts/
# that need no kernel or kernel headers.
#
# Usage: scripts/lint.sh
#
# What has passed is not checked again until it changes, except the C files. Status 1 if one
# of them reports something. Leaves in the cache checkpatch, and marks of what has passed.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

# all_files: prints the files of the checkout, but for those that git would ignore.
all_files() {
	local file
	git -C "$TOP" ls-files -co --exclude-standard |
		while read -r file; do
			[[ ! -f $TOP/$file ]] || echo "$file"
		done
}

scripts() {
	all_files |
		while read -r file; do
			[[ $file != *.patch ]] || continue
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

# mark: prints the path of the mark that says that standard input has passed.
mark() {
	echo "$CACHE/lint/$(cat "$TOP/scripts/lint.sh" - | sha1sum | cut -d' ' -f1)"
}

# lint_scripts: a script has passed together with all that scripts source.
lint_scripts() (
	cd "$TOP"
	mapfile -t files < <(scripts)
	sourced=$(all_files | grep '\.sh$' | grep -vxFf <(printf '%s\n' "${files[@]}") | xargs cat |
		cat - <(shellcheck --version) | sha1sum)
	step "shellcheck: ${#files[@]} scripts"
	# shellcheck disable=SC2016 # for the shells inside
	for file in "${files[@]}"; do
		passed=$(cat - "$file" <<<"$sourced$file" | mark)
		[[ -e $passed ]] || printf '%s\0' "$file" "$passed"
	done | xargs -0 -r -P "$(nproc)" -n 2 sh -c 'shellcheck -x "$1" && touch "$2"' sh
)

# lint_patches: FILE_PATH_CHANGES is off, since it asks for an entry in MAINTAINERS, and a
# series outside the tree has none.
lint_patches() {
	local kernel dir passed
	for kernel in $(available); do
		step "checkpatch --strict: patches/$kernel"
		dir=$(checkpatch_dir "$kernel")
		passed=$(cat "$dir"/* "$TOP/patches/$kernel"/*.patch | mark)
		[[ ! -e $passed ]] || continue
		# Run outside the checkout: checkpatch takes a file that git tracks for source.
		(cd "$dir" && printf "%s\0" "$TOP/patches/$kernel"/*.patch | xargs -0 -P "$(nproc)" -n 10 \
			perl ./checkpatch.pl --strict --no-tree --quiet --terse --ignore FILE_PATH_CHANGES)
		touch "$passed"
	done
}

lint_c() {
	local bad=''
	step "compiler warnings: tools/, tests/, scripts/"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	make -s -j"$(nproc)" -C "$TOP/tools" BUILD="$tmp/tools" PROG="$tmp/exitdump" CFLAGS="-O2 -Werror" || bad=1
	shopt -s nullglob
	printf "%s\0" "$TOP"/tests/{,stress/,fuzz/,fixtures/}*.c "$TOP"/scripts/{lab,demo,vmm}/*.c |
		xargs -0 -P "$(nproc)" -n 1 cc -std=gnu11 -I"$TOP/tools" -O2 -Wall -Wextra -Werror -S -o /dev/null || bad=1
	[[ ! $bad ]]
}

if (($#)); then
	usage
	[[ $* == -h ]] && exit 0 || exit 2
fi
"$TOP/scripts/deps.sh" build lint tool
mkdir -p "$CACHE/lint"
find "$CACHE/lint" -type f -mtime +30 -delete
lint_scripts
lint_patches
lint_c

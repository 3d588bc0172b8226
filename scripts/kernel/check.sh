# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with kernel.sh
# check.sh - whether the series applies, and whether each of its patches builds alone.
# Sourced by kernel.sh.

# same_base: whether the series was made from source like this one, not from that of
# another point release.
same_base() {
	local file before
	# shellcheck disable=SC2016 # awk's fields
	series | xargs awk '
		/^diff --git / { file = substr($3, 3) }
		/^index / { split($2, blob, "[.][.]"); if (!seen[file]++ && blob[1] !~ /^0*$/) print file, blob[1] }' |
		while read -r file before; do
			[[ $(git_src rev-parse "base-commit:$file") == "$before" ]] || exit 1
		done
}

# but_for_lines FOLDER: the patches, without what changes when the source moves on.
but_for_lines() {
	local file
	for file in "$1"/*.patch; do
		echo "${file##*/}"
		sed -E '/^index [0-9a-f]{40}/d; s/^@@ .*/@@/' "$file"
	done
}

# applies: on a branch-less checkout of clean source; the tree is left as the
# build wants it.
applies() {
	local again
	unpack
	again=$(mktemp -d)
	# shellcheck disable=SC2064 # the name of now
	trap "rm -rf '$again'" EXIT
	apply_series
	format_series "$again" HEAD
	if same_base; then
		diff -r "$PATCHES" "$again"
	else
		step "Linux $KERNEL: patches/$KERNEL is of another point release: numbers of lines may differ"
		diff <(but_for_lines "$PATCHES") <(but_for_lines "$again")
	fi
}

# without SYMBOL: all of the series, but for what that brings.
without() {
	[[ -f $SRC/.config.whole ]] || cp "$SRC/.config" "$SRC/.config.whole"
	cp "$SRC/.config.whole" "$SRC/.config"
	"$SRC/scripts/config" --file "$SRC/.config" -d "$1"
	forget_objects
	modules
	grep -qx "# CONFIG_$1 is not set" "$SRC/.config" || die "$SRC/.config: CONFIG_$1 is still set"
	echo "without $1: builds"
}

# keep FOLDER: a copy of the modules as they are now.
keep() {
	mkdir -p "$1"
	# shellcheck disable=SC2086 # a list of paths
	(cd "$SRC" && cp $MODULES "$1/")
}

# sparse_says: of KVM as it is now, a line each, without numbers of lines. All that
# is said of a file stays together (-O), as CPUs take files side by side.
sparse_says() {
	local before
	: >>"$LOG"
	before=$(wc -c <"$LOG")
	modules -O C=2
	tail -c "+$((before + 1))" "$LOG" | sed -nE 's/:[0-9]+:[0-9]+: (warning|error): /: /p' | sort
}

each() {
	local commit commits n=0 stock='' says=''
	unpack
	stock
	rm -f "$OUT/patched.key"
	apply_series
	commits=$(git_src rev-list --reverse base..HEAD)
	if type -p sparse >/dev/null; then
		git_src checkout -q --detach base
		stock=$(sparse_says)
	fi
	for commit in $commits; do
		git_src checkout -q --detach "$commit"
		modules
		((++n))
		[[ ! $1 ]] || keep "$1/$n"
		echo "builds: $(git_src show -s --format=%s "$commit")"
	done
	if type -p sparse >/dev/null; then
		says=$(sparse_says)
		says=$(comm -13 <(echo "$stock") <(echo "$says"))
		[[ ! $says ]] || die "sparse: $says"
		echo "sparse: no more than of stock"
	fi
	without DEBUG_FS
	without KVM_EXIT_CYCLES
	whole
	modules
	install_modules patched
	series_key >"$OUT/patched.key"
}

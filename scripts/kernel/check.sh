# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with kernel.sh
# check.sh - checks whether the series applies, and whether each of its patches builds
# alone. Sourced by kernel.sh.

# same_base: whether this source has the files from which the series was made. Another point
# release may have changed them.
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

# but_for_lines FOLDER: prints the patches without the lines that depend on the point release.
but_for_lines() {
	local file
	for file in "$1"/*.patch; do
		echo "${file##*/}"
		sed -E '/^index [0-9a-f]{40}/d; s/^@@ .*/@@/' "$file"
	done
}

# applies: works on a detached checkout of clean source, and leaves the tree as the build
# needs it.
applies() {
	local again same=1
	unpack
	again=$(mktemp -d)
	# shellcheck disable=SC2064 # the name of now
	trap "rm -rf '$again'" EXIT
	apply_series
	format_series "$again" HEAD
	if same_base; then
		diff -r "$PATCHES" "$again" || same=''
	else
		step "Linux $KERNEL: patches/$KERNEL is of another point release: numbers of lines may differ"
		diff <(but_for_lines "$PATCHES") <(but_for_lines "$again") || same=''
	fi
	if [[ ! $same ]]; then
		go_back
		exit 1
	fi
}

# without SYMBOL: builds the whole series with the configuration symbol SYMBOL off.
without() {
	[[ -f $SRC/.config.whole ]] || cp "$SRC/.config" "$SRC/.config.whole"
	cp "$SRC/.config.whole" "$SRC/.config"
	"$SRC/scripts/config" --file "$SRC/.config" -d "$1"
	forget_objects
	modules
	grep -qx "# CONFIG_$1 is not set" "$SRC/.config" || die "$SRC/.config: CONFIG_$1 is still set"
	echo "without $1: builds"
}

# sparse_says: prints sparse's reports on KVM as it is now, one a line, without line numbers.
# make builds several files at once; -O keeps the reports of one file together.
sparse_says() {
	local before
	: >>"$LOG"
	before=$(wc -c <"$LOG")
	modules -O C=2
	tail -c "+$((before + 1))" "$LOG" | sed -nE 's/:[0-9]+:[0-9]+: (warning|error): /: /p' | sort
}

# each_key PATCH...: prints a checksum of these patches, and of all else that decides what
# `each` finds.
each_key() {
	{
		base_key
		cat "$TOP"/scripts/kernel/*.sh "$@"
		! type -p sparse || sparse --version
	} | sha256sum | cut -d' ' -f1
}

# one_by_one PATCH...: the work of `each`. After a change of the series, the cache still has
# the modules after the patches before.
one_by_one() {
	local n key tip stock='' says=''
	rm -f "$OUT/patched.key"
	clean
	if type -p sparse >/dev/null; then
		stock=$(sparse_says)
	fi
	apply_series
	tip=$(git_src rev-parse HEAD)
	for ((n = 1; n <= $#; n++)); do
		key=$(each_key "${@:1:n}")
		if ! has_key "$EACH/$n/key" "$key"; then
			git_src checkout -q --detach "$tip~$(($# - n))"
			step "Linux $KERNEL: building the modules after patch $n of $#"
			modules
			rm -rf "${EACH:?}/$n"
			mkdir -p "$EACH/$n"
			# shellcheck disable=SC2086 # a list of paths
			(cd "$SRC" && cp $MODULES "$EACH/$n/")
			echo "$key" >"$EACH/$n/key"
		fi
		echo "builds: $(basename "${!n}")"
	done
	git_src checkout -q --detach "$tip"
	if type -p sparse >/dev/null; then
		says=$(sparse_says)
		says=$(comm -13 <(echo "$stock") <(echo "$says"))
		[[ $says ]] && die "sparse: $says"
		echo "sparse: no more than of stock"
	else
		modules
	fi
	install_modules patched
	without DEBUG_FS
	without KVM_EXIT_CYCLES
	whole
	series_key >"$OUT/patched.key"
}

each() {
	local key patches
	unpack
	stock
	mapfile -t patches < <(series)
	key=$(each_key "${patches[@]}")
	has_key "$EACH/key" "$key" && {
		cat "$EACH/says"
		return
	}
	mkdir -p "$EACH"
	rm -f "$EACH/key"
	one_by_one "${patches[@]}" >"$EACH/says"
	echo "$key" >"$EACH/key"
	cat "$EACH/says"
}

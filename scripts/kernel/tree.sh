# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with kernel.sh
# tree.sh - a kernel's source under git, with the series as commits of a branch. Sourced
# by kernel.sh.

unpack() {
	local version key tar
	tar=$("$TOP/scripts/source/fetch.sh" -k "$KERNEL") || exit
	version=$(source_version "$KERNEL")
	key="$version $(cksum <<<"$TRACKED")"
	has_key "$SRC/.exit_cycles" "$key" && return
	[[ ! -d $SRC/.git ]] || refuse_to_lose_work
	step "Linux $KERNEL: unpacking $tar"
	rm -rf "$SRC" "$SRC.new" "$OUT"
	mkdir -p "$SRC.new"
	tar -xf "$tar" -C "$SRC.new" --strip-components=1
	(
		cd "$SRC.new"
		git init -q -b base .
		git config user.name exit_cycles
		git config user.email exit_cycles@localhost
		git config status.showUntrackedFiles no
		# shellcheck disable=SC2086 # a list of paths
		git add -f $TRACKED
		git commit -q -m "Debian's linux-source-$KERNEL $version"
		git tag base-commit
	)
	echo "$key" >"$SRC.new/.exit_cycles"
	mv "$SRC.new" "$SRC"
}

# A new point release unpacks anew: not over commits that are nowhere else.
refuse_to_lose_work() {
	! holds_work ||
		die "$SRC: holds work on branch exit_cycles that patches/ has not (scripts/kernel.sh refresh, or remove the directory)"
}

# tree.key: the branch as patches/KERNEL had it last, and those patches.
tree_key() {
	git_src rev-parse 'exit_cycles^{tree}'
	series | xargs -r cat | sha256sum | cut -d' ' -f1
}

has_branch() {
	git_src rev-parse -q --verify exit_cycles >/dev/null
}

# holds_work: whether the branch has what patches/KERNEL never had.
holds_work() {
	has_branch && [[ -n $(git_src status --porcelain) || $(tree_key | head -n 1) != "$(head -n 1 "$DIR/tree.key" 2>/dev/null)" ]]
}

# overtaken: whether patches/KERNEL has changed since the branch was made of it.
overtaken() {
	[[ $(tree_key | tail -n 1) != "$(sed -n 2p "$DIR/tree.key" 2>/dev/null)" ]]
}

# keep_edits: before the source is made something else. Committed, they are safe.
keep_edits() {
	[[ ! -d $SRC/.git/rebase-merge ]] ||
		die "$SRC: a rebase is under way there (git rebase --continue or --abort)"
	[[ $(git_src symbolic-ref -q --short HEAD) != exit_cycles ]] || {
		[[ -z $(git_src status --porcelain) ]] ||
			die "$SRC: branch exit_cycles has changes that are not committed (git commit, or git checkout -f)"
		worked_on=1
	}
}

# go_back: to the branch, for whoever was at work there.
go_back() {
	[[ ! $worked_on ]] || git_src checkout -q exit_cycles
}

apply_series() {
	local files
	files=$(series)
	keep_edits
	git_src am -q --abort 2>/dev/null || true
	# what an interrupted `each` left
	[[ ! -f $SRC/.config.whole ]] || whole
	git_src checkout -q -f --detach base
	[[ -n $files ]] || die "$PATCHES: no patches there"
	# shellcheck disable=SC2086 # one name a line, and none has a blank
	git_src am -q --committer-date-is-author-date $files ||
		die "$PATCHES: does not apply to Debian's linux-source-$KERNEL"
}

tree() {
	unpack
	if ! has_branch || overtaken; then
		! holds_work ||
			die "$SRC: patches/$KERNEL has changed since branch exit_cycles was made of it, and that holds work (git branch -m exit_cycles NAME; make it anew; git cherry-pick)"
		apply_series
		git_src branch -f exit_cycles
		tree_key >"$DIR/tree.key"
	fi
	git_src checkout -q exit_cycles
	echo "$SRC"
}

format_series() {
	git_src format-patch -q -N --zero-commit --no-signature --full-index \
		-o "$1" "base..$2"
}

refresh() {
	has_branch || die "$SRC: no branch exit_cycles (scripts/kernel.sh tree makes it)"
	! overtaken || die "$SRC: patches/$KERNEL has changed since branch exit_cycles was made of it (scripts/kernel.sh tree)"
	rm -rf "$PATCHES.new"
	format_series "$PATCHES.new" exit_cycles
	rm -rf "$PATCHES"
	mv "$PATCHES.new" "$PATCHES"
	tree_key >"$DIR/tree.key"
}

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # shared with kernel.sh
# tree.sh - a kernel's source under git; the series is a branch of commits. Sourced by
# kernel.sh.

# supported TARBALL: exits with 3 if Linux KERNEL cannot be the debug kernel. A real-time KVM
# needs a TSC of constant rate, which QEMU's TCG does not promise. Linux 7.3 can be told that
# it has one; 6.12 cannot, and 6.1 has no PREEMPT_RT.
supported() {
	[[ $DEBUG == rt ]] || return 0
	tar -xOf "$1" --occurrence=1 "linux-source-$KERNEL/arch/x86/kernel/cpu/common.c" | grep '"setcpuid"' >/dev/null && return
	echo "$PROGRAM: Linux $KERNEL: no real-time kernel for this lab (-d rt)" >&2
	exit 3
}

unpack() {
	local version key tar
	tar=$("$TOP/scripts/source/fetch.sh" -k "$KERNEL") || exit
	version=$(source_version "$KERNEL")
	key="$version $(cksum <<<"$TRACKED")"
	has_key "$SRC/.exit_cycles" "$key" && return
	[[ -d $SRC/.git ]] && refuse_to_lose_work
	supported "$tar"
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

# refuse_to_lose_work: unpacking a new point release must not delete commits that exist
# nowhere else.
refuse_to_lose_work() {
	! holds_work ||
		die "$SRC: branch exit_cycles has work that patches/ does not have (scripts/kernel.sh refresh, or remove the directory)"
}

# tree_key: the contents of the file tree.key: the tree of the branch that last matched
# patches/KERNEL, and a checksum of those patches.
tree_key() {
	git_src rev-parse 'exit_cycles^{tree}'
	series | xargs -r cat | sha256sum | cut -d' ' -f1
}

has_branch() {
	git_src rev-parse -q --verify exit_cycles >/dev/null
}

# holds_work: whether the branch has changes that patches/KERNEL never had.
holds_work() {
	has_branch && [[ -n $(git_src status --porcelain) || $(tree_key | head -n 1) != "$(head -n 1 "$DIR/tree.key" 2>/dev/null)" ]]
}

# overtaken: whether patches/KERNEL has changed since the branch was made from it.
overtaken() {
	[[ $(tree_key | tail -n 1) != "$(sed -n 2p "$DIR/tree.key" 2>/dev/null)" ]]
}

# keep_edits: dies if the source has edits that are not committed: the next step would
# overwrite them. Commits are safe.
keep_edits() {
	[[ ! -d $SRC/.git/rebase-merge ]] ||
		die "$SRC: a rebase is under way there (git rebase --continue or --abort)"
	[[ $(git_src symbolic-ref -q --short HEAD) != exit_cycles ]] || {
		[[ -z $(git_src status --porcelain) ]] ||
			die "$SRC: branch exit_cycles has changes that are not committed (git commit, or git checkout -f)"
		worked_on=1
	}
}

# go_back: checks the branch out again if it was checked out before.
go_back() {
	[[ ! $worked_on ]] || git_src checkout -q exit_cycles
}

# clean: checks out the source without the series. Commits stay on their branch.
clean() {
	keep_edits
	git_src am -q --abort 2>/dev/null || true
	# what an interrupted `each` left
	[[ ! -f $SRC/.config.whole ]] || whole
	git_src checkout -q -f --detach base
}

apply_series() {
	local files
	files=$(series)
	clean
	[[ -n $files ]] || die "$PATCHES: no patches there"
	# shellcheck disable=SC2086 # one name a line, and none has a blank
	git_src am -q --committer-date-is-author-date $files ||
		die "$PATCHES: does not apply to Debian's linux-source-$KERNEL"
}

tree() {
	unpack
	if ! has_branch || overtaken; then
		! holds_work ||
			die "$SRC: patches/$KERNEL has changed since branch exit_cycles was made from it, and the branch has work of its own (git branch -m exit_cycles NAME; make it anew; git cherry-pick)"
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
	overtaken && die "$SRC: patches/$KERNEL has changed since branch exit_cycles was made from it (scripts/kernel.sh tree)"
	rm -rf "$PATCHES.new"
	format_series "$PATCHES.new" exit_cycles
	rm -rf "$PATCHES"
	mv "$PATCHES.new" "$PATCHES"
	tree_key >"$DIR/tree.key"
}

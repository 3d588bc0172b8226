#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a developer who works on the series as commits loses nothing. No build and no
# test overwrites the branch or uncommitted changes. refresh does not overwrite patches/ if
# they have changed since the branch was made. The test uses a source of a few files; the
# script is kernel.sh itself, only the path of Debian's source differs.
. "${BASH_SOURCE[0]%/*}/lib.sh"

export XDG_CACHE_HOME=$T/cache HOME=$T/home GIT_CONFIG_GLOBAL=/dev/null
mkdir -p "$T/top" "$T/src" "$T/linux" "$T/home"
cp -R "$TOP/scripts" "$T/top/"
sed -i "s,/usr/src/,$T/src/," "$T/top/scripts/source/kernels.sh"
PATCHES=$T/top/patches/6.1

# kernel VERB
kernel() {
	run "$T/top/scripts/kernel.sh" "$@"
}

# edit TEXT: changes a file in the tree.
edit() { echo "$1" >>"$tree/virt/file"; }

# commit TEXT
commit() {
	edit "$1"
	git -C "$tree" -c user.name=n -c user.email=e@example.org commit -qam "$1"
}

branch() { git -C "$tree" symbolic-ref -q --short HEAD || echo none; }

# shellcheck disable=SC2013 # no name there has a blank
for path in $(sed -n '/^TRACKED=/,/"$/p' "$TOP/scripts/kernel.sh" | tr -d '"' | sed 's/TRACKED=//'); do
	mkdir -p "$T/linux/${path%/*}"
	case $path in
	*.*) echo base >"$T/linux/$path" ;;
	*) mkdir -p "$T/linux/$path"; seq 5 >"$T/linux/$path/file" ;;
	esac
done
tar -cJf "$T/src/linux-source-6.1.tar.xz" -C "$T" linux
tree=$T/cache/exit_cycles/6.1/src

# The first patch is made by hand, as in any series.
mkdir -p "$PATCHES"
kernel applies
like 'no patches yet: said so' "$status:$err" '^1:.*no patches there$'
git -C "$tree" checkout -qb first
commit first
git -C "$tree" format-patch -q -N --zero-commit --no-signature --full-index -o "$PATCHES" base..first

kernel clean
is 'a function of the script is no verb' "$status:$out" 2:
kernel tree
is 'the series is a branch, and where is said' "$status:$out:$(branch)" "0:$tree:exit_cycles"
edit mine
kernel applies
like 'changes that are not committed stop what would take them' "$status:$err" \
	'^1:kernel.sh: .*src: branch exit_cycles has changes that are not committed \('
is 'and are there still' "$(tail -n 1 "$tree/virt/file")" mine
git -C "$tree" checkout -q -f
commit second
kernel applies
is 'what is committed: nothing stops, and the branch is where it was' \
	"$status:$err:$(branch):$(tail -n 1 "$tree/virt/file")" 0::exit_cycles:second
kernel refresh
is 'the patches are generated' "$status:$err:$(cd "$PATCHES" && echo *)" '0::0001-first.patch 0002-second.patch'
kernel applies
is 'and generate themselves' "$status:$err$out" 0:
cp "$PATCHES"/0002* "$T/0002"
sed -i 's/^---$/&\nby hand/' "$PATCHES"/0002*
kernel applies
like 'a patch that is not what its commit gives is told' "$status:$out" '^1:.*by hand'
is 'and the branch is checked out again' "$(branch)" exit_cycles
cat "$T/0002" >"$(echo "$PATCHES"/0002*)"
kernel -d kasan tree
is 'nobody works in the source of a debug kernel' "$status:$err" '1:kernel.sh: -d kasan: only for the verbs build and module'

# In the meantime patches/ lose the second patch, as after a git pull.
mkdir "$T/aside"
mv "$PATCHES"/0002* "$T/aside/"
kernel refresh
like 'patches that changed since are not overwritten' "$status:$err" '^1:kernel.sh: .*6.1 has changed since branch'
is 'but as they were' "$(cd "$PATCHES" && echo *)" 0001-first.patch
commit third
kernel tree
like 'nor is a branch that holds work' "$status:$err" '^1:kernel.sh: .*and the branch has work of its own'
is 'it holds it still' "$(git -C "$tree" log -1 --format=%s exit_cycles)" third
cp "$tree/.exit_cycles" "$T/key"
echo 'another point release' >"$tree/.exit_cycles"
kernel tree
like 'nor is it for a new point release' "$status:$err" '^1:kernel.sh: .*branch exit_cycles has work that patches/ does not have'
cp "$T/key" "$tree/.exit_cycles"
mkdir "$tree/.git/rebase-merge"
kernel applies
like 'a rebase that is under way is not disturbed' "$status:$err" '^1:kernel.sh: .*src: a rebase is under way there'
rmdir "$tree/.git/rebase-merge"
git -C "$tree" branch -qm exit_cycles mine
kernel tree
is 'moved away, it makes room for the patches' "$status:$(branch):$(tail -n 1 "$tree/virt/file")" 0:exit_cycles:first
edit loose
echo 'another point release' >"$tree/.exit_cycles"
kernel tree
like 'nor does a new point release take changes that are not committed' "$status:$err" '^1:kernel.sh: .*branch exit_cycles has work that patches/ does not have'
git -C "$tree" checkout -q -f
cp "$T/key" "$tree/.exit_cycles"
mv "$T/aside"/* "$PATCHES/"
kernel tree
is 'a branch without work follows the patches' "$status:$(branch):$(tail -n 1 "$tree/virt/file")" 0:exit_cycles:second
git -C "$tree" reset -q --hard HEAD~
kernel refresh
is 'the patch of a commit that is gone goes' "$status:$err:$(cd "$PATCHES" && echo *)" 0::0001-first.patch
sed -i 's/^TRACKED="/& /' "$T/top/scripts/kernel.sh"
kernel tree
like 'other files are to be tracked: the source is unpacked again' "$status:$err" "^0:.*unpacking $T"
ok 'and no other copy of it stays' test ! -e "$tree.new"
sed -i 's/^TRACKED="/& /' "$T/top/scripts/kernel.sh"
kernel build
like 'so it is before a build' "$err" "unpacking $T"

# A new point release changes other lines of a file.
sed -i '1s/$/ of another point release/' "$T/linux/virt/file"
tar -cJf "$T/src/linux-source-6.1.tar.xz" -C "$T" linux
echo "another point release" >"$tree/.exit_cycles"
kernel applies
like 'another point release: the same patches but for numbers of lines are the same' "$status:$out:$err" '^0::.*6.1 is of another point release'
sed -i 's/^---$/&\nby hand/' "$PATCHES"/0001*
kernel applies
like 'and others are not' "$status:$out" '^1:.*by hand'

done_testing

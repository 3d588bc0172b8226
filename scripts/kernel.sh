#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernel.sh - the lab's kernels: sources, series, builds.
#
# Usage: scripts/kernel.sh [-k KERNEL] [-d DEBUG] VERB
#
#   build    the lab's bzImage, its stock modules and its patched ones, in
#            $CACHE/KERNEL/out/{bzImage,stock/,patched/} (the default; quick
#            when nothing changed)
#            with -d, those of a kernel for tests, from a source of its own: with
#            scripts/lab-kasan.config and so on, all in $CACHE/KERNEL/kasan/
#   tree     make the series commits of a git branch, exit_cycles, on Debian's
#            source, and print where: work there
#   refresh  regenerate patches/KERNEL/ from that branch
#   edited   build the patched modules of the source as it stands, edits included: labs take
#            them for those of patches/, so in a cache of one's own (scripts/mutants.sh)
#   module FOLDER OUT  build the module in FOLDER for the patched modules, and put
#            it into the folder OUT
#   each [FOLDER]  build the modules after each patch alone, warnings are errors, and
#            all of it without debugfs and without KVM_EXIT_CYCLES, where sparse has
#            nothing to say that it does not say of stock; those after the Nth patch
#            are kept in FOLDER/N
#   applies  apply the series to clean source, regenerate it, compare bytes
#
# Needs what scripts/deps.sh installs; status 3 where Debian has the kernel's source no
# longer (scripts/source.sh), or -d makes nothing of it. Writes only to the cache, and for refresh to patches/. An interrupted build is taken up
# where it stopped. Nothing here touches the running kernel.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/kernels.sh
. "${BASH_SOURCE[0]%/*}/kernels.sh"

MODULES="arch/x86/kvm/kvm.ko arch/x86/kvm/kvm-intel.ko arch/x86/kvm/kvm-amd.ko"
# What git tracks of the source: all that the series could touch.
TRACKED="arch/x86/include arch/x86/kvm include/linux include/uapi/linux/kvm.h
	virt Documentation/virt Documentation/admin-guide/kernel-parameters.txt
	tools/kvm tools/testing/selftests/kvm"

use_kernel() {
	KERNEL=$1
	[[ " $KERNELS " == *" $KERNEL "* ]] || die "-k $KERNEL: no such kernel (one of: $KERNELS)"
	[[ " $DEBUGS " == *" ${DEBUG:-kasan} "* ]] || die "-d $DEBUG: no such debug kernel (one of: $DEBUGS)"
	DIR=$CACHE/$KERNEL${DEBUG:+/$DEBUG}
	SRC=$DIR/src
	OUT=$DIR/out
	LOG=$DIR/build.log
	PATCHES=$TOP/patches/$KERNEL
	CONFIGS=(lab.config ${DEBUG:+"lab-$DEBUG.config"})
	compiler=gcc
	if [[ $DEBUG == clang ]]; then
		"$TOP/scripts/deps.sh" clang >&2
		compiler=clang-19
		export LLVM=-19
	fi
}

# LOCALVERSION is set, if to nothing, in every make: or a tree under git would call
# itself 6.1.192+ and refuse its own modules.
git_src() {
	git -C "$SRC" -c user.name=exit_cycles -c user.email=exit_cycles@localhost \
		-c advice.detachedHead=false -c commit.gpgsign=false "$@"
}

# settings: of all fragments, the last word on each symbol.
settings() {
	(cd "$TOP/scripts" && cat "${CONFIGS[@]}") |
		awk -F= '/^CONFIG_/ { if (!($1 in value)) order[++n] = $1; value[$1] = $2 }
			END { for (i = 1; i <= n; i++) print order[i] "=" value[order[i]] }'
}

# The source a build stands on, and all that goes into the stock build.
base_key() {
	{
		source_version "$KERNEL"
		settings
		"$compiler" --version | head -n 1
	} | sha256sum | cut -d' ' -f1
}

series() {
	find "$PATCHES" -name '[0-9]*.patch' 2>/dev/null | sort
}

series_key() {
	local files
	files=$(series)
	[[ -n $files ]] || return 0
	# shellcheck disable=SC2086 # one name a line, and none has a blank
	{ base_key; cat $files; } | sha256sum | cut -d' ' -f1
}

has_key() {
	[[ -f $1 && $(<"$1") == "$2" ]]
}

# supported TARBALL: a real-time KVM wants a TSC of constant rate, which QEMU's TCG does not
# promise. Linux 7.3 can be told so; 6.12 cannot, and 6.1 has no PREEMPT_RT.
supported() {
	[[ $DEBUG == rt ]] || return 0
	tar -xOf "$1" --occurrence=1 "linux-source-$KERNEL/arch/x86/kernel/cpu/common.c" | grep '"setcpuid"' >/dev/null && return
	echo "$PROGRAM: Linux $KERNEL: no real-time kernel for this lab (-d rt)" >&2
	exit 3
}

unpack() {
	local version key tar
	tar=$("$TOP/scripts/source.sh" -k "$KERNEL") || exit
	version=$(source_version "$KERNEL")
	key="$version $(cksum <<<"$TRACKED")"
	has_key "$SRC/.exit_cycles" "$key" && return
	[[ ! -d $SRC/.git ]] || refuse_to_lose_work
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

configure() {
	local line
	settings | tr -d '?' >"$DIR/config"
	rm -f "$SRC/.config.whole"
	(
		cd "$SRC"
		quietly "$LOG" make LOCALVERSION= tinyconfig
		quietly "$LOG" scripts/kconfig/merge_config.sh -m .config "$DIR/config"
		quietly "$LOG" make LOCALVERSION= olddefconfig
		while read -r line; do
			[[ $line == CONFIG_*=[ym] ]] || continue
			grep -qx "$line" .config || die "${CONFIGS[*]}: $line: Linux $KERNEL does not take it"
		done < <(settings)
	)
}

# install WHERE: the modules as they are now, all or none.
install_modules() {
	local module
	rm -rf "$OUT/$1.new"
	mkdir -p "$OUT/$1.new"
	for module in $MODULES; do
		cp "$SRC/$module" "$OUT/$1.new/"
	done
	[[ ! -f $SRC/virt/lib/irqbypass.ko ]] || cp "$SRC/virt/lib/irqbypass.ko" "$OUT/$1.new/"
	rm -rf "${OUT:?}/$1"
	[[ $1 != patched ]] || series_headers >"$OUT/patched.headers"
	mv "$OUT/$1.new" "$OUT/$1"
}

stock() {
	local key
	key=$(base_key)
	has_key "$OUT/stock.key" "$key" && return
	step "Linux $KERNEL${DEBUG:+ $DEBUG}: building the lab's kernel (minutes; log: $LOG)"
	rm -f "$OUT/stock.key" "$OUT/patched.key"
	: >"$LOG"
	git_src checkout -q --detach base
	configure
	quietly "$LOG" make LOCALVERSION= -C "$SRC" -j"$(nproc)" bzImage modules
	mkdir -p "$OUT"
	cp "$SRC/arch/x86/boot/bzImage" "$OUT/bzImage"
	cp "$SRC/vmlinux" "$OUT/vmlinux"
	install_modules stock
	echo "$key" >"$OUT/stock.key"
	step "Linux $KERNEL${DEBUG:+ $DEBUG}: built"
}

# modules [OPTION]...: kbuild goes by times alone, so see whether it built what
# .config says. The options are make's.
modules() {
	local wanted built
	# The series has a Kconfig symbol that the stock .config does not know.
	quietly "$LOG" make LOCALVERSION= -C "$SRC" olddefconfig
	quietly "$LOG" make LOCALVERSION= -C "$SRC" modules_prepare
	quietly "$LOG" make LOCALVERSION= -C "$SRC" -j"$(nproc)" M=arch/x86/kvm "$@" modules
	wanted=$(grep -cx CONFIG_KVM_EXIT_CYCLES=y "$SRC/.config" || true)
	built=$(nm "$SRC/arch/x86/kvm/kvm.ko" | grep -c ' kvm_exit_cycles_init$' || true)
	((wanted == built)) || die "$SRC/arch/x86/kvm/kvm.ko: not what .config says (remove $DIR to build it anew)"
}

# forget_objects: since 6.13, make M= does not see that .config is another.
forget_objects() {
	find "$SRC/arch/x86/kvm" "$SRC/virt/kvm" -name '*.o' -delete
}

# whole: what `without` took away is there again, and newer than all that was made.
whole() {
	forget_objects
	cp "$SRC/.config.whole" "$SRC/.config"
	rm "$SRC/.config.whole"
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

patched() {
	local key
	key=$(series_key)
	[[ -n $key ]] || return 0
	has_key "$OUT/patched.key" "$key" && return
	step "Linux $KERNEL${DEBUG:+ $DEBUG}: building the patched modules"
	rm -f "$OUT/patched.key"
	apply_series
	modules
	install_modules patched
	echo "$key" >"$OUT/patched.key"
}

# edited: whoever edited it.
edited() {
	modules
	install_modules patched
}

# series_headers: what tells whether a module built now would fit the patched ones.
series_headers() {
	git_src hash-object arch/x86/{kvm/exit_cycles,include/asm/kvm_host}.h
}

module() {
	local build=$DIR/module
	build
	[[ $(series_headers) == "$(<"$OUT/patched.headers")" ]] ||
		die "$SRC: not as in patches/$KERNEL (remove $OUT/patched.key to build it anew)"
	rm -rf "$build"
	cp -R "$1" "$build"
	quietly "$LOG" make LOCALVERSION= -C "$SRC" M="$build" modules
	cp "$build"/*.ko "$2/"
}

build() {
	unpack
	stock
	patched
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

# verb NAME [ARGUMENT]...
verb() {
	"$@"
	go_back
}

kernel=$(default_kernel) DEBUG='' worked_on=''
while getopts k:d:h option; do
	case $option in
	k) kernel=$OPTARG ;;
	d) DEBUG=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
use_kernel "$kernel"
case ${1:-build} in
build | tree | refresh | applies | edited) ;;
each) (($# <= 2)) || { usage >&2; exit 2; } ;;
module) (($# == 3)) || { usage >&2; exit 2; } ;;
*) usage >&2; exit 2 ;;
esac
[[ ! $DEBUG || " build module " == *" ${1:-build} "* ]] || die "-d $DEBUG: build and module are all that it can do"
mkdir -p "$DIR"
locked "$DIR/lock" verb "${@:-build}"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernel.sh - the lab's kernels: sources, series, builds.
#
# Usage: scripts/kernel.sh [-k KERNEL] [-d kasan|kcsan] VERB
#
#   build    the lab's bzImage, its stock modules and its patched ones, in
#            $CACHE/KERNEL/out/{bzImage,stock/,patched/} (the default; quick
#            when nothing changed)
#            with -d, those of a kernel that watches itself, from a source of
#            its own: all in $CACHE/KERNEL/kasan/ (scripts/kernel/kasan.config)
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
# longer (scripts/source/fetch.sh). Writes only to the cache, and for refresh to patches/. An interrupted build is taken up
# where it stopped. Nothing here touches the running kernel.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"
# shellcheck source=scripts/kernel/tree.sh
. "${BASH_SOURCE[0]%/*}/kernel/tree.sh"
# shellcheck source=scripts/kernel/build.sh
. "${BASH_SOURCE[0]%/*}/kernel/build.sh"
# shellcheck source=scripts/kernel/check.sh
. "${BASH_SOURCE[0]%/*}/kernel/check.sh"

MODULES="arch/x86/kvm/kvm.ko arch/x86/kvm/kvm-intel.ko arch/x86/kvm/kvm-amd.ko"
# What git tracks of the source: all that the series could touch.
TRACKED="arch/x86/include arch/x86/kvm include/linux include/uapi/linux/kvm.h
	virt Documentation/virt Documentation/admin-guide/kernel-parameters.txt
	tools/kvm tools/testing/selftests/kvm"

use_kernel() {
	KERNEL=$1
	one_of k kernel "$KERNEL" "$KERNELS"
	[[ ! $DEBUG ]] || one_of d "debug kernel" "$DEBUG" "$DEBUGS"
	DIR=$CACHE/$KERNEL${DEBUG:+/$DEBUG}
	SRC=$DIR/src
	OUT=$DIR/out
	LOG=$DIR/build.log
	PATCHES=$TOP/patches/$KERNEL
	CONFIGS=(lab.config ${DEBUG:+"$DEBUG.config"})
}

# LOCALVERSION is set, if to nothing, in every make: or a tree under git would call
# itself 6.1.192+ and refuse its own modules.
git_src() {
	git -C "$SRC" -c user.name=exit_cycles -c user.email=exit_cycles@localhost \
		-c advice.detachedHead=false -c commit.gpgsign=false "$@"
}

# settings: of all fragments, the last word on each symbol.
settings() {
	(cd "$TOP/scripts/kernel" && cat "${CONFIGS[@]}") |
		awk -F= '/^CONFIG_/ { if (!($1 in value)) order[++n] = $1; value[$1] = $2 }
			END { for (i = 1; i <= n; i++) print order[i] "=" value[order[i]] }'
}

# The source a build stands on, and all that goes into the stock build.
base_key() {
	{
		source_version "$KERNEL"
		settings
		gcc --version | head -n 1
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

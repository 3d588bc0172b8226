#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernel.sh - the lab's kernels: sources, series, builds.
#
# Usage: scripts/kernel.sh [-k KERNEL] [-d DEBUG] VERB
#
#   build    the lab's bzImage, its stock modules and its patched ones, in
#            $CACHE/KERNEL/out/{bzImage,stock/,patched/} (the default verb; quick
#            if nothing changed)
#            with -d: a debug kernel (kasan, kcsan, rt or clang), built from a source tree
#            of its own, all in $CACHE/KERNEL/DEBUG/ (scripts/kernel/DEBUG.config)
#   tree     make the series commits of the git branch exit_cycles on Debian's
#            source, and print the path of this source: work there
#   refresh  regenerate patches/KERNEL/ from that branch
#   edited   build the patched modules from the source as it is now, edits included. Labs
#            take these modules for those of patches/, so use a cache of your own
#            (as scripts/mutants.sh does)
#   module FOLDER OUT  build the module in FOLDER for the patched modules, and put
#            it into the folder OUT
#   each     build the modules after each patch alone, with warnings as errors; then
#            the whole series without debugfs, and without KVM_EXIT_CYCLES. sparse must
#            report nothing that it does not report for the stock source. Keeps the modules
#            after patch N in $CACHE/KERNEL/each/N, and builds only what has changed
#   applies  apply the series to clean source, regenerate it, compare the bytes
#
# Needs what scripts/deps.sh installs. Status 3: Debian no longer has the kernel's source
# (scripts/source/fetch.sh), or the kernel cannot be the one of -d. Writes only to the cache,
# and with refresh to patches/. An interrupted build continues where it stopped. Nothing here
# touches the running kernel.

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
# The files that git tracks: all that the series could touch.
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
	EACH=$DIR/each
	LOG=$DIR/build.log
	PATCHES=$TOP/patches/$KERNEL
	CONFIGS=(lab.config ${DEBUG:+"$DEBUG.config"})
	compiler=gcc
	if [[ $DEBUG == clang ]]; then
		"$TOP/scripts/deps.sh" clang >&2
		compiler=clang-19
		export LLVM=-19
	fi
}

# git_src ARGUMENT...: git in the source. Every make sets LOCALVERSION to nothing: else a tree
# under git would call itself 6.1.192+ and refuse its own modules.
git_src() {
	git -C "$SRC" -c user.name=exit_cycles -c user.email=exit_cycles@localhost \
		-c advice.detachedHead=false -c commit.gpgsign=false "$@"
}

# settings: merges all fragments of the configuration; the last value of a symbol counts.
settings() {
	(cd "$TOP/scripts/kernel" && cat "${CONFIGS[@]}") |
		awk -F= '/^CONFIG_/ { if (!($1 in value)) order[++n] = $1; value[$1] = $2 }
			END { for (i = 1; i <= n; i++) print order[i] "=" value[order[i]] }'
}

# base_key: a checksum of the source and of all that goes into the stock build.
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

# verb NAME [ARGUMENT]...: runs the verb, then goes back to the branch.
verb() {
	"$@"
	go_back
}

kernel=$(default_kernel) DEBUG='' worked_on=''
while getopts :k:d:h option; do
	case $option in
	k) kernel=$OPTARG ;;
	d) DEBUG=$OPTARG ;;
	h) usage; exit 0 ;;
	*) misused ;;
	esac
done
shift $((OPTIND - 1))
use_kernel "$kernel"
case ${1:-build} in
build | tree | refresh | applies | edited | each) ;;
module) (($# == 3)) || misused "module: takes FOLDER and OUT" ;;
*) misused "$1: no such verb" ;;
esac
[[ ! $DEBUG || " build module " == *" ${1:-build} "* ]] || die "-d $DEBUG: only for the verbs build and module"
mkdir -p "$DIR"
locked "$DIR/lock" verb "${@:-build}"

# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034 # the tests read what is set here
# lib.sh - TAP for the tests, run by prove. A test sources it, calls cases and ends with
# done_testing. Failure is the default: a test that stops before done_testing prints no plan
# and exits with 1.
#
# Sets: TOP (the checkout), CACHE, VIRTIO_ROM, T (a folder that is removed at the end);
# status, out and err after each `run`; and all that scripts/source/kernels.sh sets.

set -e -o pipefail
export LC_ALL=C
TOP=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/exit_cycles
# QEMU's ROM for virtio-net: in its own folder, or in that of ipxe-qemu
VIRTIO_ROM=/usr/share/qemu/efi-virtio.rom
[[ -r $VIRTIO_ROM ]] || VIRTIO_ROM=/usr/lib/ipxe/qemu/efi-virtio.rom
# shellcheck source=scripts/source/kernels.sh
. "$TOP/scripts/source/kernels.sh"
T=$(mktemp -d)
TAP_CASES=0 TAP_FAILED=0 TAP_DONE=

tap_end() {
	local status=$?
	rm -rf "$T"
	[[ $TAP_DONE ]] && exit $((TAP_FAILED > 0))
	echo "# stopped before done_testing"
	exit $((status ? status : 1))
}
trap tap_end EXIT
trap 'exit 130' INT TERM

# note TEXT...: prints lines for the reader, at most 20; they are not results.
note() {
	sed -e "s/^/# /" -e 20q <<<"$*"
}

# ok TITLE COMMAND...: passes if the command succeeds.
ok() {
	local title=$1 not=''
	shift
	"$@" || not='not '
	((++TAP_CASES))
	[[ $not ]] && ((++TAP_FAILED))
	echo "${not}ok $TAP_CASES - $title"
}

# is TITLE GOT EXPECTED: passes if both are the same text.
is() {
	ok "$1" test "$2" = "$3"
	[[ $2 == "$3" ]] || note "got:      $2"$'\n'"expected: $3"
}

# like TITLE GOT REGEX: passes if GOT matches; unlike TITLE GOT REGEX: if it does not.
like() {
	ok "$1" matches "$2" "$3"
	[[ $2 =~ $3 ]] || note "got:        $2"$'\n'"unlike:     $3"
}

unlike() {
	ok "$1" lacks "$2" "$3"
	[[ ! $2 =~ $3 ]] || note "got:        $2"$'\n'"but not:    $3"
}

matches() { [[ $1 =~ $2 ]]; }
# status 2: REGEX is not valid
lacks() {
	local status=0
	[[ $1 =~ $2 ]] || status=$?
	((status == 1))
}

# run COMMAND...: keeps COMMAND's exit status and output for the cases that follow.
run() {
	status=0
	"$@" >"$T/.out" 2>"$T/.err" || status=$?
	out=$(tr -d '\0' <"$T/.out")
	err=$(tr -d '\0' <"$T/.err")
}

# skip TITLE REASON: skips one case that this machine cannot run.
skip() {
	((++TAP_CASES))
	echo "ok $TAP_CASES - $1 # SKIP $2"
}

# skip_gone: skips a case for each kernel whose source Debian no longer has.
skip_gone() {
	local kernel why
	for kernel in $KERNELS; do
		! why=$(gone "$kernel") || skip "Linux $kernel" "$why"
	done
}

# skip_all REASON: skips the whole file.
skip_all() {
	echo "1..0 # SKIP $*"
	TAP_DONE=1
	exit
}

# gcc_adds: prints how many more instructions the hooks of an exit may take than with gcc 12.
# gcc 14 moves the results of the handler and of the fast path out of the way of RDTSC and
# back, even if the hook is switched off.
gcc_adds() {
	case $(gcc -dumpversion) in
	12*) echo 0 ;;
	*) echo 6 ;;
	esac
}

done_testing() {
	echo "1..$TAP_CASES"
	TAP_DONE=1
	exit
}

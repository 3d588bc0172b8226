#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# on.sh - runs a command on another release of Debian, in a fresh clone of this checkout's
# last commit.
#
# Usage: scripts/on.sh [-b DIR] RELEASE COMMAND [ARGUMENT]...
#
#   -b DIR   make this machine's folder DIR visible there, at the same path
#
#   scripts/on.sh trixie make check
#
# RELEASE is Debian's name (bookworm, trixie). debootstrap makes the release's root once, in
# $CACHE/on/RELEASE, with only git and make added. The packages that a command installs
# there and its cache stay for the next command; the clone is removed. The kernel is this
# machine's.
#
# Needs root, debootstrap and git. Mounts only in a namespace of its own. Exit status: the
# command's; 125 if it did not run.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/archive.sh
. "${BASH_SOURCE[0]%/*}/source/archive.sh"

PATH+=:/usr/sbin:/sbin

die() {
	echo "$PROGRAM: $*" >&2
	exit 125
}

# make_root: makes a root with that release, completely or not at all.
make_root() {
	local line
	[[ -d $root ]] && return 0
	step "making a Debian root, $release (a minute or two; log: $root.log)"
	rm -rf "$root.new"
	mkdir -p "$root.new"
	line=$(sources "$release")
	line=${line#* http} line=http${line%% *}
	debootstrap --variant=minbase --keyring="$KEYRING" --include=ca-certificates,git,make \
		"$release" "$root.new" "$line" >"$root.log" 2>&1 ||
		die "debootstrap $release failed: $(grep -E '^[EW]:|No space' "$root.log" | tail -n 1) (all of it: $root.log)"
	sources "$release" "$release-updates" "$release-security" | sed 's/ \[[^]]*\]//' >"$root.new/etc/apt/sources.list"
	apt-config dump 2>/dev/null | grep -i '^Acquire::https\?::Proxy' >"$root.new/etc/apt/apt.conf.d/90proxy" || true
	mv "$root.new" "$root"
}

# in_root COMMAND...: runs COMMAND in the root; /dev, /proc and /sys are mounted meanwhile.
in_root() {
	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	# shellcheck disable=SC2016 # for the shells inside
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child sh -c '
		root=$1 folder=$2 bind=$3
		shift 3
		mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount --rbind /sys "$root/sys" &&
			if [ "$bind" ]; then mkdir -p "$root$bind" && mount --bind "$bind" "$root$bind"; fi &&
			exec chroot "$root" sh -c "cd $folder && exec \"\$@\"" sh "$@"' sh "$root" "$folder" "$bind" \
		env -i HOME=/root ON_RELEASE="$release" TERM="${TERM:-dumb}" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		"${proxies[@]}" "$@"
}

bind=''
while getopts :b:h option; do
	case $option in
	b) bind=$OPTARG ;;
	h) usage; exit ;;
	*) bad_option ;;
	esac
done
shift $((OPTIND - 1))
(($# >= 2)) || die "RELEASE and COMMAND? (-h shows the usage)"
release=$1
shift
((EUID == 0)) || die "only root can make a root of another release and change into it"
type -P debootstrap >/dev/null || die "debootstrap: not found (scripts/deps.sh test)"
[[ -e /usr/share/debootstrap/scripts/$release && " $SUITES " == *" $release "* ]] ||
	die "$release: no such release (one of: $(releases))"
[[ ! $bind || -d $bind ]] || die "-b $bind: No such folder"
[[ ! $bind ]] || bind=$(cd "$bind" && pwd -P)

root=$CACHE/on/$release
mapfile -t proxies < <(env | grep -iE '^(https?|no)_proxy=' || true)
locked "$root.lock" make_root
work=$(mktemp -d "$root/tmp/clone.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
folder=${work#"$root"}/exit_cycles
git clone -q "$TOP" "$root$folder" || die "$TOP: cannot be cloned"
# in the background, so that bash handles a signal at once; a signal ends all processes there
in_root "$@" &
wait $!

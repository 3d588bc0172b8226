#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: everything that needs no lab works on every supported release of Debian, with only
# git and make installed: `make check` in a fresh clone, on each release that this machine
# does not run. RELEASES_COMMANDS are other commands to try there, one a line.
. "${BASH_SOURCE[0]%/*}/lib.sh"
# shellcheck source=scripts/source/archive.sh
. "$TOP/scripts/source/archive.sh"

# inside such a root, do not try the other releases again
[[ $ON_RELEASE ]] && skip_all "this is such a root already"
((EUID == 0)) || skip_all "only root can make a root of another release"
PATH+=:/usr/sbin
type -P debootstrap >/dev/null || skip_all "debootstrap is not installed"
mapfile -t commands <<<"${RELEASES_COMMANDS:-make check}"
# shellcheck source=/dev/null
here=$(. /etc/os-release && echo "$VERSION_CODENAME")
for release in $(releases); do
	[[ $release != "$here" ]] || continue
	for command in "${commands[@]}"; do
		# shellcheck disable=SC2086 # words
		run "$TOP/scripts/on.sh" "$release" $command
		is "$command on $release" "$status" 0
		((status == 0)) || note "$(grep -E '^not ok|Failed|^# ' <<<"$out" | tail -n 15; tail -n 5 <<<"$err")"
		note "$(grep -E '^Files=|^Result:' <<<"$out")"
	done
done
done_testing

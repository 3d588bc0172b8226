#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: each script prints its usage if it is asked for it (-h), and does nothing else. It
# refuses an option that it does not know: in one line, or with its usage.
. "${BASH_SOURCE[0]%/*}/lib.sh"

# A copy in which no script can start another one that works for long.
export XDG_CACHE_HOME=$T/cache
mkdir -p "$T"/{top/patches/6.1,whole}
cp -R "$TOP/scripts" "$T/top/"
cp -R "$TOP/scripts" "$T/whole/"
for script in deps kernel lab prove host-modules guest/initrd source/fetch source/stock; do
	printf '#!/bin/sh\nexit 99\n' >"$T/top/scripts/$script.sh"
done
cp -R "$T/top/scripts" "$T/none"

# asks SCRIPT WORD...: runs the script, in that copy.
asks() {
	cp "$T/whole/scripts/$1" "$T/top/scripts/$1"
	run timeout 20 "$T/top/scripts/$1" "${@:2}" </dev/null
	cp "$T/none/$1" "$T/top/scripts/$1"
}

cd "$T/whole/scripts"
mapfile -t all < <(find . -name '*.sh' -perm -100 -print0 | xargs -0 grep -lE 'usage; exit|usage$|-h \]\]' | cut -c 3- | sort)
ok "there are ${#all[@]} scripts" test "${#all[@]}" -ge 20
for script in "${all[@]}"; do
	name=${script##*/}
	asks "$script" -h
	is "$script -h" "$status:$err:${out%% *}:$(grep -c "scripts/$script" <<<"$out" | sed 's/[1-9].*/its command/')" "0::$name:its command"
	usage=$out
	grep -q getopts "$script" || continue
	words=()
	[[ $name != plot.sh ]] || words=(cycles)
	asks "$script" "${words[@]}" -Z
	refusal="$name: -Z: no such option, or its value is missing (-h shows the usage)"
	! grep -q 'usage >&2; exit 2' "$script" || { refusal=$usage; err=${err: -${#usage}}; }
	is "$script -Z" "$out:$err" ":$refusal"
	case $name in
	lab.sh) fails=245 ;;
	on.sh) fails=125 ;;
	*) fails='[12]' ;;
	esac
	like "$script -Z fails as it says" "$status" "^$fails$"
done

done_testing

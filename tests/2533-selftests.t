#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: selftests.sh fails if a selftest fails, hangs, leaves processes or makes the kernel
# complain, or if stock and patched really differ, and says which one it was. The test has a
# stand-in for the lab, which says the results. (3204 has the real ones.)
# shellcheck disable=SC2016 # the shell of the lab expands it
. "${BASH_SOURCE[0]%/*}/lib.sh"

export XDG_CACHE_HOME=$T/cache T
mkdir -p "$T"/top/patches/6.12 "$T/cache/exit_cycles/6.12/selftests/bin"
cp -R "$TOP/scripts" "$T/top/"
printf '#!/bin/sh\n' >"$T/top/scripts/deps.sh"
printf '%s\n' '--- /dev/null' '+++ b/tools/testing/selftests/kvm/x86_64/ours.c' >"$T/top/patches/6.12/0001.patch"
sed -i 's/^locked "\$DIR\/lock" build$/:/' "$T/top/scripts/selftests.sh"
printf '%s\n' a b c ours unbuilt >"$T/cache/exit_cycles/6.12/selftests/names"
mkdir "$T"/cache/exit_cycles/6.12/selftests/bin/x86{,_64}
for name in a x86_64/b x86/c ours; do
	printf '#!/bin/sh\n' >"$T/cache/exit_cycles/6.12/selftests/bin/$name"
done
# The lab: for each TEST, the next word of the file SERIES.TEST is its result, the last one
# again and again. A word of the lab's ends it.
cat >"$T/top/scripts/lab.sh" <<'END'
#!/bin/bash
echo "$*" >>"$T/labs"
while [[ $1 != inside ]]; do
	[[ $1 != -s ]] || series=$2
	shift
done
echo "$2" >"$T/seconds"
shift 2
for name; do
	echo "start $name"
	results=($(cat "$T/$series.$name" 2>/dev/null || echo pass))
	((${#results[@]} == 1)) || echo "${results[@]:1}" >"$T/$series.$name"
	case $results in
	panic) exit 242 ;;
	hang) exit 243 ;;
	end) exit 244 ;;
	broken) echo "lab.sh: broken" >&2; exit 245 ;;
	interrupt) kill -INT "$(cat "$T/pid")"; exit 0 ;;
	nothing) exit 0 ;;
	*) echo "result $name $results $RANDOM words of $name" ;;
	esac
done
exit "$(cat "$T/status")"
END
echo 0 >"$T/status"

selftests() {
	: >"$T/labs"
	run timeout 60 "$T/top/scripts/selftests.sh" -k 6.12 "$@"
}
# results SERIES NAME=RESULTS...: sets the results in that series.
results() {
	local one
	for one in "${@:2}"; do
		tr , ' ' <<<"${one#*=}" >"$T/$1.${one%%=*}"
	done
}
# rows: the results that `run` printed.
rows() { awk '{ print $1 "=" $2 }' <<<"$out" | paste -sd ' '; }

results patched a=pass b=skip
selftests run a b
is "run: pass and skip are good" "$status:$(rows)" '0:a=pass b=skip'
like "run: with the last words" "$out" 'a  *pass  *[0-9]+  words of a'
like "run: in QEMU's lab, on patched, with one CPU" "$(<"$T/labs")" '^-m svm -k 6\.12 -s patched -c 1 '
for result in fail=1 timeout pass+left pass+log panic hang end; do
	results patched b=$result
	selftests run a b c
	is "run: $result is not" "$status:$(rows)" "1:a=pass b=$result c=pass"
done
results patched b=broken
selftests run a b
like "run: a lab that cannot start" "$status:$err" '^245:.*lab.sh: broken$'
results patched a=nothing
selftests run a b
is "run: a lab that runs none, again and again" "$status:$(tail -n 1 <<<"$err")" '1:selftests.sh: the lab runs no selftest (the first one: a)'
results patched a=interrupt
run env --default-signal=INT bash -c 'echo $$ >"$T/pid"; exec "$T/top/scripts/selftests.sh" -k 6.12 run a'
is "run: interrupted, that is no success" "$status" 130
results patched a=pass
results patched b=pass
echo 241 >"$T/status"
selftests run a b
is "run: a complaint of the kernel is a TEST's own result" "$status" 0
echo 0 >"$T/status"
selftests -t 7 -s stock -m vmx run a b
like "options: the limit, for each; the series, the machine" "$(<"$T/seconds"):$(<"$T/labs")" '^7:-m vmx -k 6\.12 -s stock -c 2 .* -t 2680 '
selftests -d kasan run a
like "-d: that kernel" "$(<"$T/labs")" '-s patched -d kasan -c 1 '
selftests run unbuilt
is "run: not built" "$status:$(rows)" '1:unbuilt=none'
selftests run nobody
is "no such TEST" "$status:$err" '1:selftests.sh: nobody: no such selftest in Linux 6.12'
rm -f "$T"/patched.*
selftests run
is "without names: all" "$status:$(rows)" '1:a=pass b=pass c=pass ours=pass unbuilt=none'
selftests build nobody
is "nor to build" "$status:$err" '1:selftests.sh: nobody: no such selftest in Linux 6.12'
selftests build a unbuilt
like "build: what does not build" "$status:$out:$err" '^1:.*/bin/a:selftests.sh: unbuilt: does not build'
selftests
is "all that there are, with no verb" "$status:$err" '1:selftests.sh: no VERB: build, run or compare (-h shows the usage)'

results stock a=pass b=fail=1 c=skip
results patched a=pass b=fail=1 c=skip ours=pass
selftests compare a b c
is "compare: the same is no difference" "$status:${out##*$'\n'}" '0:stock and patched: no difference'
like "compare: what does not pass on stock is told" "$out" 'not passed on stock: b  *fail=1  *words of b'
like "compare: and how many" "$out" $'^Linux 6\\.12, svm: 2 KVM selftests of its own tree, and 1 not built or skipped\n.*stock: .*1 fail[,\n]'
is "compare: both series" "$(grep -o -e '-s [a-z]*' "$T/labs" | paste -sd ' ')" '-s stock -s patched'
results patched a=fail=1
selftests compare a b c
like "compare: one that fails on patched" "$status:$out" $'^1:.*\ndiffers: a($|\n)'
results patched a=fail=1,pass,pass
selftests compare a b c
like "compare: once of three times is none" "$status:$out" $'^0:.*\ndiffered once: a\nstock and patched: no difference$'
results patched a=fail=1,pass,fail=1
selftests compare a b c
like "compare: twice is one" "$status:$out" $'^1:.*\ndiffers: a($|\n)'
results patched a=fail=1,fail=1,pass
selftests compare a b c
like "compare: nor does a pass at the end make it none" "$status:$out" $'^1:.*\ndiffers: a($|\n)'
results patched a=fail=1,fail=1,fail=1
results stock a=pass,pass,fail=1
selftests compare a b c
like "compare: what stock does, too, is none" "$status:$out" $'^0:.*\nstock and patched: no difference$'
results stock a=pass ours=fail=1
results patched a=pass ours=pass
selftests compare ours
like "compare: the series' own passes on patched only" "$status:$out" $'^0:.*\nours, patched: pass [^\n]*\nstock and patched: no difference$'
results patched ours=fail=1
selftests compare ours
like "compare: it fails on both: no difference, but a failure" "$status:$out" $'^1:.*\nours, patched: fail=1'
results patched ours=skip
selftests compare ours
is "compare: nor may it be skipped" "$status" 1

# What the programs are built of.
sed '/^use_kernel "\$(default_kernel)"$/,$d' "$T/top/scripts/selftests.sh" >"$T/top/scripts/functions"
sed -i "s,/usr/src/,$T/none/," "$T/top/scripts/source/kernels.sh"
mkdir -p "$T/cache/exit_cycles/source"
echo 6.12.1-1 >"$T/cache/exit_cycles/source/linux-source-6.12.version"
key() { bash -c '. "$0"; use_kernel 6.12; build_key' "$T/top/scripts/functions"; }
printf '%s\n' 'diff --git a/arch/x86/kvm/x86.c b/arch/x86/kvm/x86.c' +kvm 'diff --git a/tools/one.c b/tools/one.c' +tool >"$T/top/patches/6.12/0001.patch"
before=$(key)
sed -i s/+kvm/+other/ "$T/top/patches/6.12/0001.patch"
is "another patch of KVM: the programs stay" "$(key)" "$before"
sed -i s/+tool/+other/ "$T/top/patches/6.12/0001.patch"
ok "one of the selftests: they are built anew" test "$(key)" != "$before" -a -n "$before"

# How they are built: all that the Makefile has but its scripts, once.
cat >"$T/build" <<'END'
use_kernel 6.12
unpack() { :; }
git_src() { echo "$1" >>"$T/made"; }
strip() { echo "strip ${1##*/}" >>"$T/made"; }
selftests_make() {
	case $* in
	*emit_tests) printf "%s\n" TEST_GEN_PROGS:two TEST_GEN_PROGS:one TEST_GEN_PROGS:unbuilt TEST_PROGS:three.sh ;;
	*) echo make >>"$T/made"; mkdir "$BIN/x86"; touch "$BIN/one" "$BIN/x86/two" ;;
	esac
}
build
END
build() {
	: >"$T/made"
	run bash -c '. "$0"; . "$T/build"' "$T/top/scripts/functions"
}
build
is "built: all but scripts, without debugging symbols" "$status:$(paste -sd, "$T/made"):$(paste -sd, "$T/cache/exit_cycles/6.12/selftests/names")" \
	"0:checkout,clean,apply,make,strip one,strip two:one,two,unbuilt"
build
is "and not again" "$status:$err:$(<"$T/made")" 0::

# The script in the lab: how it judges a TEST.
sed -n '/^inside() {$/,/^}$/p' "$TOP/scripts/selftests.sh" >"$T/functions"
# shellcheck source=/dev/null
(. "$T/functions" && inside) >"$T/inside"
mkdir "$T/lab" "$T/bin"
cd "$T/lab"
echo 'arguments() { :; }' >arguments
echo WARNING >bad
printf '#!/bin/sh\ncat %s/log 2>/dev/null; : >%s/log\n' "$T" "$T" >"$T/bin/dmesg"
chmod +x "$T/bin/dmesg"
# judged TEXT [SECONDS]: what the script says of a TEST that does this.
judged() {
	printf '#!/bin/sh\n%s\n' "$1" >one
	chmod +x one
	PATH=$T/bin:$PATH sh "$T/inside" "${2:-60}" one | sed -n 's/^result one //p' | sed 's/ [0-9]* / /; s/ $//'
}
is "inside: 0" "$(judged 'exit 0')" pass
is "inside: 4 is skip" "$(judged 'echo "1..0 # SKIP - no such CPU"; exit 4')" 'skip no such CPU'
is "inside: any other is a failure" "$(judged 'echo "==== Test Assertion Failure ===="; echo "  x.c:1: a == b"; echo end; exit 254')" 'fail=254 x.c:1: a == b'
is "inside: or its last words" "$(judged 'echo one; echo last; echo "# "; exit 1')" 'fail=1 last'
is "inside: too long" "$(judged 'exec sleep 100' 1)" timeout
cat >"$T/forks.c" <<'END'
#include <unistd.h>
#include <signal.h>
int main(void) { signal(SIGTERM, SIG_IGN); if (!fork()) for (;;) pause(); return 0; }
END
gcc -o one "$T/forks.c"
PATH=$T/bin:$PATH run sh "$T/inside" 60 one
left=$(readlink /proc/[0-9]*/exe | grep -cx "$T/lab/one" || :)
like "inside: what a TEST has left is ended" "$left:$out" '^0:.*result one pass'
is "inside: the kernel complains" "$(judged "echo 'WARNING: it' >$T/log")" pass+log

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: stress.sh fails if a test or a build fails, and says what was tried, all of it. The
# next run continues with what has not passed, and tries again what has changed. The test has
# stand-ins for the builds, and tests that need no lab. (3601 has the real ones.)
. "${BASH_SOURCE[0]%/*}/lib.sh"

export XDG_CACHE_HOME=$T/cache
mkdir -p "$T"/top/{patches/{6.1,6.12},tests/{lab,stress,mutants}}
touch "$T/top/tests/lib.sh"
cp -R "$TOP/scripts" "$T/top/"
for kernel in 6.1 6.12; do echo patch >"$T/top/patches/$kernel/0001.patch"; done
cat >"$T/top/scripts/kernel.sh" <<END
#!/bin/sh
echo "\$*" >>"$T/built"
exit "\$(cat "$T/status")"
END
# toy NAME STRESS-LABS TEXT: a test, which says what it tried.
toy() {
	printf '%s\n' '#!/bin/sh' "# Stress: $2" "echo \"$1 \$LABS \$STRESS_SIZE\" >>$T/ran" "$3" >"$T/top/tests/$1.t"
	chmod +x "$T/top/tests/$1.t"
}
# shellcheck disable=SC2016 # the test expands it
good='echo 1..2; echo ok 1 - a; echo ok 2 - b; echo "exits made 100" >>"$STRESS_TRIED"'
toy stress/4199-good 'svm:kasan svm:kcsan' "$good"
toy 3198-plain 'svm' "$good"
toy 3199-other 'vmx' "$good"
sed -i '/^# Stress/d' "$T/top/tests/3199-other.t"
stress() {
	: >"$T/built"
	: >"$T/ran"
	run "$T/top/scripts/stress.sh" "$@"
	ran=$(sort "$T/ran" | sed 's/ *$//' | paste -sd,)
}
# tried: the list at the end of it.
tried() { sed -n '/^Tried/,/^[NS]/{/^  */s///p}' <<<"$out" | sed 's/  */ /' | paste -sd,; }

echo 0 >"$T/status"
stress
is "all pass" "$status:${out##*$'\n'}" '0:No findings.'
is "each in its labs, for each kernel; without the line, not at all" "$ran" \
	"3198-plain svm:6.1,3198-plain svm:6.12,stress/4199-good svm:6.12:kasan,stress/4199-good svm:6.12:kcsan,stress/4199-good svm:6.1:kasan,stress/4199-good svm:6.1:kcsan"
is "their kernels are built" "$(sort "$T/built" | paste -sd,)" \
	'-k 6.1 -d kasan build,-k 6.1 -d kcsan build,-k 6.1 build,-k 6.12 -d kasan build,-k 6.12 -d kcsan build,-k 6.12 build'
is "all that was tried is added up" "$(tried)" '600 exits made,12 checks'
is "and then nothing of it stays" "$(cd "$T/cache/exit_cycles/stress" && echo *)" lock
stress -q -k 6.12
is "-q: the stress tests, on the ordinary kernel; -k: of this one" "$status:$ran" "0:stress/4199-good svm:6.12 small"
is "-q: what was tried" "$(tried)" '100 exits made,2 checks'
toy stress/4197-second vmx "$good"
stress -q
is "-q: each test on one kernel, in turn" "$status:$ran" "0:stress/4197-second svm:6.1 small,stress/4199-good svm:6.12 small"
rm "$T/top/tests/stress/4197-second.t"
echo 3 >"$T/status"
stress -q -k 6.12
is "a kernel that cannot be had is no failure" "$status" 0
toy stress/4197-none vmx 'echo 1..1; echo "ok 1 - all # SKIP no such kernel"'
stress -q -k 6.12
like "a lab that there is not: skipped, with the reason; and nothing was tried" "$status:$err" '^0:.*4197-none.t svm:6.12: skipped: no such kernel, [0-9]+ s'
stress -q -k 6.12
like "and the next run tries it again" "$ran" "4197-none svm:6.12"
is "it is not counted" "$(tried)" '100 exits made,2 checks'
rm "$T/top/tests/stress/4197-none.t"
echo 1 >"$T/status"
stress -q -k 6.12
is "a kernel that does not build is one" "$status:$ran" 1:
echo 0 >"$T/status"

toy stress/4198-bad svm 'echo 1..1; echo not ok 1 - it does not work; exit 1'
stress -q -k 6.12
is "a test that fails: 1" "$status:${out##*$'\n'}" '1:Something failed: see above.'
like "with what it said, and what the others tried" "$out" $'not ok 1 - it does not work\n.* 2  checks'
stress -q -k 6.12 "$T/top/tests/3198-plain.t" "$T/top/tests/stress/4198-bad.t"
stress -k 6.12 "$T/top/tests/3198-plain.t"
is "what has passed in its small form has not passed in its full one" "$status:$ran" "0:3198-plain svm:6.12"
stress -k 6.12 "$T/top/tests/3199-other.t"
is "a test without the line, by name: in the labs of all" "$status:$ran" "0:3199-other svm:6.12:kasan,3199-other svm:6.12:kcsan"
# shellcheck disable=SC2016 # the test expands it
toy stress/4194-twice svm 'echo "exits made 100" >>"$STRESS_TRIED"; echo 1..1; [ -e "$0.mended" ] || { echo not ok 1 - it; exit 1; }; echo ok 1 - it'
stress -q -k 6.12 "$T/top/tests/stress/4194-twice.t"
touch "$T/top/tests/stress/4194-twice.t.mended"
stress -q -k 6.12 "$T/top/tests/stress/4194-twice.t"
is "what a run that failed has tried does not count" "$status:$(tried)" '0:100 exits made,1 checks'
rm "$T"/top/tests/stress/4194-twice.t*
echo name >"$T/top/tests/mutants/kernel"
stress -q -k 6.12
is "again, after a change that no lab sees: only that one" "$status:$ran" "1:stress/4198-bad svm:6.12 small"
like "and the other is told" "$err" '4199-good.*: passed before'
echo '# a change' >>"$T/top/tests/stress/4199-good.t"
stress -q -k 6.12
is "and a test that has changed" "$ran" "stress/4198-bad svm:6.12 small,stress/4199-good svm:6.12 small"
stress -q -n -k 6.12
is "-n: all" "$ran" "stress/4198-bad svm:6.12 small,stress/4199-good svm:6.12 small"
echo '# a change' >>"$T/top/patches/6.12/0001.patch"
stress -q -k 6.12
is "a series that has changed: all" "$ran" "stress/4198-bad svm:6.12 small,stress/4199-good svm:6.12 small"
toy stress/4198-bad svm "$good"
stress -q -k 6.12
is "mended: nothing failed, and all that was tried is told" "$status:$ran:$(tried)" "0:stress/4198-bad svm:6.12 small:200 exits made,4 checks"
stress -q -k 6.12 "$T/top/tests/3198-plain.t"
is "a test by name" "$status:$ran" "0:3198-plain svm:6.12 small"
mkdir "$T"/cache/exit_cycles/stress/{old,young}
touch -d "29 days ago" "$T/cache/exit_cycles/stress/young"
touch -d '31 days ago' "$T/cache/exit_cycles/stress/old"
stress -q -k 6.12 "$T/top/tests/3198-plain.t"
is "results of old series go" "$(cd "$T/cache/exit_cycles/stress" && echo old* young*)" 'old* young'
stress -q -j 0
is 'no labs at once' "$status:$ran" 2:
exec 7>"$T/cache/exit_cycles/stress/lock-small"
flock 7
stress -q
like 'another run is under way' "$status:$ran:$err" '^1::stress.sh: .*lock-small: another run holds it'
exec 7>&-
toy stress/4101-long vmx "$good"
stress -k 6.12 "$T/top/tests/stress/4101-long.t"
is "a long test in Bochs: in its small form" "$status:$ran" "0:stress/4101-long vmx:6.12 small"
toy stress/4196-host host "$good"
stress "$T/top/tests/stress/4196-host.t"
is "a test without a lab: once, and nothing is built for it" "$status:$ran:$(<"$T/built")" "0:stress/4196-host host:"
toy stress/4196-host host 'echo "it died"; exit 3'
stress "$T/top/tests/stress/4196-host.t"
like "a test that dies: its last words" "$status:$out" '^1:.*it died'
# shellcheck disable=SC2016 # the test expands it
toy stress/4196-host host "echo \$\$ >$T/pid; exec sleep 60"
for signal in TERM HUP; do
	rm -f "$T/pid"
	env --default-signal="$signal" "$T/top/scripts/stress.sh" "$T/top/tests/stress/4196-host.t" >/dev/null 2>&1 &
	run=$! status=0
	until [[ -s $T/pid ]]; do sleep 0.05; done
	kill -s $signal "$run"
	wait "$run" || status=$?
	for ((i = 0; i < 50; i++)); do kill -0 "$(<"$T/pid")" 2>/dev/null || break; sleep 0.1; done
	is "SIG$signal ends it, and what it runs" "$status:$(kill "$(<"$T/pid")" 2>/dev/null && echo it runs)" 130:
done
rm "$T"/top/tests/stress/{4101,4196}*
# What decides whether a test runs again: also the program that the fuzzer tests.
sed '$d' "$T/top/scripts/stress.sh" >"$T/top/scripts/functions"
mkdir -p "$T"/top/{tools,tests/fuzz}
touch "$T/top/tools/row.c" "$T/top/tests/fuzz/fuzz.h"
toy stress/4195-fuzz host "$good"
kept() { bash -c '. "$1"; state=; kept "$2" host' stress.sh "$T/top/scripts/functions" "$T/top/tests/stress/$1.t"; }
fuzz=$(kept 4195-fuzz) good=$(kept 4199-good)
echo change >>"$T/top/tools/row.c"
ok "another exitdump: it is fuzzed again" test "$(kept 4195-fuzz)" != "$fuzz"
is "and no other test runs again for it" "$(kept 4199-good)" "$good"
sed -i "s,/usr/src/,$T/none/," "$T/top/scripts/source/kernels.sh"
mkdir -p "$T/cache/exit_cycles/source"
echo 'Debian has no more of it' >"$T/cache/exit_cycles/source/linux-source-6.1.gone"
stress "$T/top/tests/3198-plain.t"
is "a kernel whose source is gone: the others" "$status:$ran" "0:3198-plain svm:6.12"
stress -q "$T/top/tests/none.t"
is "no such test" "$status:$err" "1:stress.sh: $T/top/tests/none.t: no such test"

done_testing

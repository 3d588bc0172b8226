#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: no mistake in a test can make it pass. A test exits non-zero if a case fails, if
# the test dies, or if it forgets its done_testing.
# shellcheck disable=SC2016 # the inner tests expand their own variables
. "$(dirname "$0")/lib.sh"

# try LINE...: runs a test made of these lines, for its status and output.
try() {
	{
		echo ". '$TOP/tests/lib.sh'"
		printf '%s\n' "$@"
	} >"$T/test"
	run bash "$T/test"
}

try 'ok good true' done_testing
is 'a passing test exits 0' "$status" 0
is 'and prints its case and the plan' "$out" $'ok 1 - good\n1..1'

try 'ok bad false' 'ok good true' done_testing
is 'a failing case makes it exit 1' "$status" 1
is 'the plan counts all cases' "$out" $'not ok 1 - bad\nok 2 - good\n1..2'

try 'is same a b' done_testing
is 'is: a difference fails' "$status" 1
like 'is: and is shown' "$out" 'got: +a.*expected: b'

try 'is same a a' 'like x abc "b." ' 'unlike x abc "c." ' done_testing
is 'is, like, unlike pass' "$status" 0
try 'like x abc "c."' done_testing
is 'like: no match fails' "$status" 1
try 'like x "" "c"' done_testing
is 'like: nor is no text a match' "$status" 1
try 'unlike x abc "b."' done_testing
is 'unlike: a match fails' "$status" 1
try 'unlike x abc "["' done_testing
is 'unlike: a regex that is none fails' "$status" 1

try 'ok good true'
is 'no done_testing: exits 1' "$status" 1
unlike 'and prints no plan' "$out" '1\.\.'

try 'ok good true' 'false' 'done_testing'
is 'a command that fails outside a case ends the test' "$status" 1
unlike 'and prints no plan then' "$out" '1\.\.'

try 'ok good true' 'exit 0'
is 'exit 0 before the plan is a failure' "$status" 1

try 'run bash -c "echo 1; echo 2 >&2; exit 3"' 'echo "$status $out $err"' \
	done_testing
like 'run keeps status, out and err' "$out" '^3 1 2'

try 'skip thing "no such machine"' done_testing
is 'a skipped case is marked' "$out" $'ok 1 - thing # SKIP no such machine\n1..1'
try 'skip_all no lab' 'ok bad false'
is 'a skipped file is marked and exits 0' "$status $out" '0 1..0 # SKIP no lab'


try 'echo "$T"' 'ok good true' done_testing
ok 'its folder goes away' test ! -e "${out%%$'\n'*}"


{
	printf "#!/bin/bash\n. %q\n" "$TOP/tests/lib.sh"
	echo "ok first true; note who; is same a b; ok good true; note later; done_testing"
} >"$T/fails.t"
chmod +x "$T/fails.t"
run "$TOP/scripts/prove.sh" "$T/fails.t"
is "make test: a test that fails fails it" "$status" 1
like "and behind the summary stands the case, with why" "$out" 'Result: FAIL.*fails.t:# who.*fails.t:not ok 2 - same.*got: +a.*expected: b'
unlike "and no other" "${out#*Result:}" 'ok 1|ok 3|later'
printf '#!/bin/bash\n. %q\nok good true\nfalse\ndone_testing\n' "$TOP/tests/lib.sh" >"$T/stops.t"
chmod +x "$T/stops.t"
run "$TOP/scripts/prove.sh" "$T/stops.t"
like "one that stops half-way does, too, and is named" "$status:$out" '^1:.*stops.t:# stopped before done_testing'
printf '#!/bin/bash\necho 1..1\necho ok 1\nexit 3\n' >"$T/ends.t"
chmod +x "$T/ends.t"
mkdir "$T/tmp"
TMPDIR=$T/tmp run "$TOP/scripts/prove.sh" "$T/ends.t"
is "one that ends with an error does, though all its cases are ok; and nothing is left" "$status:$(ls "$T/tmp")" 1:
# shellcheck disable=SC2016 # the test expands it
printf '#!/bin/bash\necho $$ >%q\nexec sleep 60\n' "$T/pid" >"$T/long.t"
chmod +x "$T/long.t"
TMPDIR=$T/tmp "$TOP/scripts/prove.sh" "$T/long.t" >/dev/null 2>&1 &
prove=$! status=0
until [[ -s $T/pid ]]; do sleep 0.05; done
kill "$prove"
kill "$(<"$T/pid")"
wait "$prove" || status=$?
is "a signal: 130, and nothing is left" "$status:$(ls "$T/tmp")" 130:


done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: each small bug of tests/mutants/ can still be planted, in one place, and the tests
# notice all of ten bugs. scripts/mutants.sh says if a bug survives, changes nothing, or
# cannot be planted. It tries survivors again, but not mutants that were killed.
# shellcheck disable=SC2016 # sed's addresses
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

command -v jq >/dev/null || skip_all "jq is not installed"

run "$TOP/scripts/mutants.sh" -c
is 'all can be planted' "$status:$err" 0:
[[ $out ]] && skip 'all of them seen' "$(tail -n 1 <<<"$out")"
names=$(cat "$TOP"/tests/mutants/* | grep -c '^name ')
ok "there are $names, at least 60" test "$names" -ge 60

# The tests of these ten run here at the same time as this test.
export XDG_CACHE_HOME=$T/cache
run "$TOP/scripts/mutants.sh" -q -n 10
is 'ten are killed' "$status:$(grep -c ': killed by' <<<"$err")" 0:10
((!status)) || note "$err"

# A small project: a program, its test, and mutants of the program.
mkdir -p "$T/top/tests/mutants" "$T/top/patches/6.12"
cp -R "$TOP/scripts" "$T/top/"
printf '%s\n' '#!/bin/sh' 'echo one' 'echo two' 'echo one' >"$T/top/program.sh"
printf '%s\n' '#!/bin/sh' 'cd "$(dirname "$0")/.."' 'git clone -q . clone || exit' 'rm -rf clone' 'echo 1..1' \
	'[ "$(sh program.sh | tail -n 1)" = one ] && echo ok 1 - it ends || echo not ok 1 - it ends' >"$T/top/tests/2001-one.t"
chmod +x "$T/top/tests/2001-one.t"
: >"$T/top/tests/mutants/exitdump"
: >"$T/top/tests/mutants/kernel"
git -C "$T/top" init -q

# mutant NAME SED [FIELD]: adds a mutant.
mutant() {
	printf '%s\n' "name $1" 'file program.sh' "sed $2" 'tests 2001' 'breaks it.' ${3:+"$3"} '' >>"$T/top/tests/mutants/scripts"
}
mutants() { run "$T/top/scripts/mutants.sh" "$@"; }

mutant last '$s/one/three/'
mutant middle 2s/one/three/
mutants
is 'one is killed, one survives' "$status:$(sed -n 's/.* mutants: //; s/, [0-9]* s: /: /; p' <<<"$err")" \
	$'1:last: killed by 2001: not ok 1 - it ends\nmiddle: SURVIVED 2001: it.\n2 mutants, survived: 1 middle'
mutants
like 'again: what was killed is not tried' "$err" 'last: killed before, by 2001'
like 'what survived is' "$err" 'middle: SURVIVED'
mutants -f last
like '-f: it is' "$status:$err" '^0:.*last: killed by 2001'
echo '# another test' >>"$T/top/tests/2001-one.t"
mutants last
like 'of another test than before, it is tried' "$status:$err" '^0:.*last: killed by 2001'
sed -i 's/= one/= uno/' "$T/top/tests/2001-one.t"
mutants last
like 'a test that fails without any bug kills none' "$status:$err" '^1:.*2001: fails without any bug'
sed -i 's/= uno/= one/' "$T/top/tests/2001-one.t"

: >"$T/top/tests/mutants/scripts"
mutant argued 2s/one/three/ 'lives it is the same.'
mutants
like 'what is argued away is not tried' "$status:$err" '^0:.*argued: argued away: it is the same\.'
mutants -a
like 'unless asked for' "$status:$err" '^1:.*argued: SURVIVED'
for one in 's/four/three/:changes 0 places' 's/one/three/:changes 2 places' 's/one:sed fails' \
	'$s/one/"/:does not build'; do
	: >"$T/top/tests/mutants/scripts"
	mutant wrong "${one%%:*}"
	mutants
	like "no mutant: ${one%%:*}" "$status:$err" "^1:.*wrong: ${one#*:}"
done
: >"$T/top/tests/mutants/scripts"
mutant wrong 's/four/three/'
mutant last '$s/one/three/'
mutants -c
is '-c: says which of them cannot be planted, and fails' "$status:$out:$err" '1::mutants.sh: wrong: changes 0 places of program.sh, not one'
: >"$T/top/tests/mutants/scripts"
mutant middle 2s/one/three/
mutant last '$s/one/three/'
sed -i 's/^cd .*/&\n! grep -q "^name middle" tests\/mutants\/scripts || echo not ok 0 - it is in the table/' "$T/top/tests/2001-one.t"
mutants -q
is 'what is planted is not in the table of the copy, all others are' "$(sed -n 's/.* mutants: \([a-z]*: [a-zA-Z]*\) .*/\1/p' <<<"$err" | paste -sd,)" 'middle: SURVIVED,last: killed'
mutant middle 3s/two/three/
mutants -c
is 'two of one name' "$status:$err" '1:mutants.sh: scripts: middle: this name appears twice'
: >"$T/top/tests/mutants/scripts"
mutant middle 2s/one/three/
mutant again '2s/one$/three/'
mutants -c
is 'one bug, two names' "$status:$err" '1:mutants.sh: again: the same bug as middle'
: >"$T/top/tests/mutants/scripts"
mutant middle 2s/one/three/
sed -i 's/^tests/tets/' "$T/top/tests/mutants/scripts"
mutants -c
is 'no such field' "$status:$err" '1:mutants.sh: scripts: middle: tets: no such field'
sed -i 's/^tets/tests/' "$T/top/tests/mutants/scripts"
sed -i 's/^tests 2001/tests 2001 2002/' "$T/top/tests/mutants/scripts"
mutants -c
is 'no such test' "$status:$err" '1:mutants.sh: middle: 2002: no such test'
sed -i 's/^tests 2001 2002/tests 2001/' "$T/top/tests/mutants/scripts"
# shellcheck source=/dev/null
. <(sed -n '/^sample() {$/,/^}$/p' "$TOP/scripts/mutants.sh")
is '-n: spread over all, and each only once' "$(seq 10 | sample 3 | xargs):$(seq 3 | sample 5 | xargs)" '1 4 7:1 2 3'
mutants nobody
like 'no such mutant' "$status:$err" '^1:mutants.sh: nobody: no such mutant'

done_testing

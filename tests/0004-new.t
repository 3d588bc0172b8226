#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: tests/new.sh makes a test that runs at once, and never overwrites a file.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "$TOP/tests/fixtures/exitdump.sh"

mkdir "$T/top"
cp -R "$TOP/scripts" "$TOP/tests" "$T/top/"
mkdir "$T/top/patches"
export EXITDUMP
cd "$T/top"

run tests/new.sh 2999-first-try
is 'a test without a lab' "$status:$out" 0:
run tests/2999-first-try.t
is 'it runs and passes' "$status:$out" $'0:ok 1 - each VM is listed once\n1..1'
run tests/new.sh 2999-other
is 'a number that is there: refused' "$status:$err" '1:new.sh: 2999-other: there is a test of this number (ls tests/2999-*)'

run tests/new.sh 3999-lab
is 'a test of a booted kernel' "$status:$out" 0:
ok 'as far as shellcheck sees it would run' shellcheck -x tests/3999-lab.t
for name in name 3x-name 3998 3998-Name ../3998-name; do
	run tests/new.sh "$name"
	is "$name: usage" "$status" 2
done

done_testing

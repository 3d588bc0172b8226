#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: shellcheck finds nothing in any script, checkpatch --strict nothing in any patch,
# and the compiler nothing in any C file that builds without a kernel. And lint.sh reports a
# fault of each of these three kinds.
. "${BASH_SOURCE[0]%/*}/lib.sh"

type -p shellcheck >/dev/null || skip_all "shellcheck is not installed"

run "$TOP/scripts/lint.sh"
is "lint is content" "$status" 0
[[ $status == 0 ]] || note "$out"$'\n'"$err"

# A copy with few files; it gets one fault at a time.
git clone -q "$TOP" "$T/copy"
cd "$T/copy"
cp -R "$TOP/scripts" .
find scripts tests \( -name '*.sh' -o -name '*.t' \) ! -name lint.sh ! -name common.sh ! -name deps.sh ! -path 'scripts/source/*' -delete
find patches -name '*.patch' ! -name '0001-*' -delete
run scripts/lint.sh
is "a copy with no fault" "$status" 0

# What has passed is not looked at again, until it or what scripts source changes.
mkdir "$T/bin"
cat >"$T/bin/shellcheck" <<EOF
#!/bin/sh
[ "\$1" != --version ] || exec $(type -P shellcheck) --version
echo "again: \$2"
exit 1
EOF
chmod +x "$T/bin/shellcheck"
printf '#!/bin/sh\necho "again: $*"\nexit 1\n' >"$T/bin/perl"
chmod +x "$T/bin/perl"
PATH=$T/bin:$PATH run scripts/lint.sh
is "what has passed" "$status$(grep again <<<"$out")" 0
sed -i.real 's/exec .*--version/{ echo another; exit; }/' "$T/bin/shellcheck"
PATH=$T/bin:$PATH run scripts/lint.sh
like "but by another shellcheck, each script is" "$out" "again: scripts/deps.sh.*again: "
mv "$T/bin/shellcheck.real" "$T/bin/shellcheck"
echo "# $T" >>scripts/deps.sh
PATH=$T/bin:$PATH run scripts/lint.sh
ok "a change: the status" test "$status" -ne 0
is "only what has changed" "$(grep again <<<"$out")" "again: scripts/deps.sh"
echo "# $T" >>scripts/common.sh
PATH=$T/bin:$PATH run scripts/lint.sh
like "others too, if what they source has changed" "$out" "again: scripts/source/fetch.sh"

# shellcheck disable=SC2016 # the shell there expands it
mark() { bash -c '. <(sed -n "/^mark() {\$/,/^}\$/p" scripts/lint.sh); TOP=. CACHE=; mark' <<<text; }
before=$(mark)
is "the same text has the same mark" "$(mark)" "$before"
echo "# $T" >>scripts/lint.sh
ok "all is looked at again if lint.sh changes" test "$(mark)" != "$before"
sed -i '$d' scripts/lint.sh

# tells FAULT REGEX: lint.sh reports the fault.
tells() {
	run scripts/lint.sh
	ok "$1: the status" test "$status" -ne 0
	like "$1: what it is" "$out$err" "$2"
}

printf '#!/bin/bash\n%s\n' "cat \$1" >tests/faulty.t
printf '#!/bin/sh\n%s\n' "cat \$1" >tests/unsound
tells "a word unquoted" 'faulty.t.*SC2086'
like "also in a script of another shell, which has no suffix" "$out" 'tests/unsound.*SC2086'
rm tests/{faulty.t,unsound}

kernel=$(default_kernel)
sed '0,/^+$/s//+ /' patches/"$kernel"/0001-* >"patches/$kernel/0002-faulty.patch"
sed '0,/^+struct .*;$/s//+#define FAULT (1<<2)/' patches/"$kernel"/0001-* >"patches/$kernel/0003-lax.patch"
tells "a blank at the end of a line" '0002-faulty.patch:[0-9]+: ERROR: trailing whitespace'
like "and what only --strict finds" "$out" '0003-lax.patch:[0-9]+: CHECK: spaces preferred'
rm patches/"$kernel"/000[23]-*

places=(tests{,/stress,/fuzz,/fixtures} scripts/{lab,demo,vmm})
for place in "${places[@]}"; do
	echo 'int main(void) { int unused; return 0; }' >"$place/faulty.c"
done
tells "a variable unused" 'faulty.c:.*Werror=unused-variable'
is "in all folders at once" "$(grep -c 'faulty.c:.*Werror=unused-variable' <<<"$err")" "${#places[@]}"
rm "${places[@]/%//faulty.c}"
echo 'static int unused;' >>tools/fail.c
tells "one in exitdump" 'fail.c:.*Werror=unused-variable'

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# new.sh - begins a test: makes a file that runs at once, for you to change.
#
# Usage: tests/new.sh NUMBER-NAME (such as 2071-sort: lower case, words joined by hyphens)
#
# From 3000 on it is a test of a booted kernel, below 3000 one without a lab; the table in
# docs/contributing.md tells which number is for what. Exit status: 0, 1 if the file cannot
# be written or already exists, 2 usage.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/../scripts/common.sh"

head_of_test() {
	cat <<'END'
#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: (what users rely on, in a sentence or two; not how it is tested.)
. "${BASH_SOURCE[0]%/*}/lib.sh"
END
}

without_lab() {
	head_of_test
	cat <<'END'
. "$TOP/tests/fixtures/exitdump.sh"

# A host of 3 VMs with 2 vCPUs each; fixtures/tree.awk describes their counts.
tree "$T/host" 3 2

exitdump -S "$T/host" list --raw -o vm
is 'each VM is listed once' "$status:$out:$err" $'0:1000-11\n1001-11\n1002-11:'

done_testing
END
}

in_a_lab() {
	head_of_test
	cat <<'END'
. "$TOP/tests/lab/labs.sh"

# What happens in each lab, with the words of lab/inside.sh ...
in_lab <<'EOF'
run_vmm plain cpuid=23
EOF

# ... and how it is judged afterwards, with the words of lab/labs.sh.
for one in $LABS; do
	boot "$one" -c 1 || continue
	is "$lab 23 exits are 23" "$(account_says plain plain.vm)" "$(vmm_says plain)"
	is "$lab the account agrees with itself" "$(contradictions plain.vm)" ''
done

done_testing
END
}

[[ $* != -h ]] || { usage; exit 0; }
[[ $# == 1 && $1 =~ ^[0-9]{4}(-[a-z0-9]+)+$ ]] || misused "${*:-no name}: not NUMBER-NAME"
file=$TOP/tests/$1.t
[[ $1 != 41* ]] || die "$1: tests of 41xx stand in tests/stress; copy one of those"
compgen -G "$TOP/tests/${1%%-*}-*.t" >/dev/null && die "$1: there is a test of this number (ls tests/${1%%-*}-*)"
if ((10#${1%%-*} >= 3000)); then
	in_a_lab
else
	without_lab
fi >"$file"
chmod +x "$file"
step "tests/$1.t: change it, then: prove -v tests/$1.t"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: `make stress`, in its small form, finds nothing and says what it tried;
# and where a test fails it says so, with status 1.
. "${BASH_SOURCE[0]%/*}/lib.sh"

run "$TOP/scripts/stress.sh" -q -k 6.1
is "it ends well" "$status" 0
like "and says so" "$out" $'\nNo findings\\.$'
for what in VMs exits resets "flips of the switch" "reads of the host's files" "reads of VMs' files" \
	"reads of vCPUs' files" "uses of files whose VM has gone" "loads of the modules" "stops of vCPU threads" \
	"exits made and found" "reads through CPUID" "vCPUs created late" "boots of a kernel"; do
	like "tried: $what" "$out" "[1-9][0-9]*  $what"
done
note "$(sed -n '/^Tried/,$p' <<<"$out")"
((status == 0)) || note "$(grep -v '^ok' <<<"$out" | tail -n 15)"

cat >"$T/fails.t" <<'EOF'
echo 1..1
echo not ok 1 - it does not work
EOF
run "$TOP/scripts/stress.sh" -q -k 6.1 "$T/fails.t"
is "a test that fails: 1" "$status" 1
like "and it is told" "$out" $'\nSomething failed: see above\\.$'
run "$TOP/scripts/stress.sh" -z
is "misuse: 2" "$status" 2
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: `make stress`, in its small form, finds nothing and prints what it tried. If a test
# fails, it says so, with status 1, and the next run continues with the rest. If it is
# interrupted, no process of it goes on.
. "${BASH_SOURCE[0]%/*}/lib.sh"

run "$TOP/scripts/stress.sh" -q -n
is "it ends well" "$status" 0
like "and says so" "$out" $'\nNo findings\\.$'
for what in checks VMs exits resets "flips of the switch" "reads of the host's files" "reads of VMs' files" \
	"reads of vCPUs' files" "uses of files whose VM has gone" "loads of the modules" "stops of vCPU threads" \
	"exits made and found" "reads through CPUID" "vCPUs created late" "boots of a kernel" "CPUIDs of adversaries" \
	"selftests of KVM compared"; do
	like "tried: $what" "$out" "[1-9][0-9]*  $what"
done
note "$(sed -n '/^Tried/,$p' <<<"$out")"
((status == 0)) || note "$(grep -v '^ok' <<<"$out" | tail -n 15)"

cat >"$T/passes.t" <<'EOF2'
#!/bin/sh
echo 1..1
echo ok 1 - it works
EOF2
cat >"$T/fails.t" <<EOF2
#!/bin/sh
echo 1..1
[ ! -f $T/mended ] || echo ok 1 - it works
[ -f $T/mended ] || echo not ok 1 - it does not work
EOF2
kernel=$(default_kernel)
again=(-q -k "$kernel" "$T/passes.t" "$T/fails.t")
run "$TOP/scripts/stress.sh" -n "${again[@]}"
is "a test that fails: 1" "$status" 1
like "it is told" "$err" "fails.t svm:$kernel: failed"
like "with what it said" "$out" 'not ok 1 - it does not work'
like "and in the end" "$out" $'\nSomething failed: see above\\.$'
touch "$T/mended"
run "$TOP/scripts/stress.sh" "${again[@]}"
is "the next run: 0" "$status" 0
like "it goes on with what has not passed" "$err" "fails.t svm:$kernel: passed, .*"
like "only" "$err" "passes.t svm:$kernel: passed before"
like "and tells all" "$out" ' 2  checks'
run "$TOP/scripts/stress.sh" "${again[@]}"
like "after that it begins anew" "$err" "passes.t svm:$kernel: passed, "

cat >"$T/waits.t" <<EOF2
#!/bin/sh
echo \$\$ >$T/waits
exec sleep 600
EOF2
env --default-signal=INT "$TOP/scripts/stress.sh" -q -k "$kernel" "$T/waits.t" >/dev/null 2>&1 &
stress=$!
for ((i = 0; i < 1200; i++)); do
	[[ -s $T/waits ]] && break
	sleep 0.1
done
ok "interrupted: it was at work" kill -0 "$(<"$T/waits")"
kill "$stress"
status=0
wait "$stress" || status=$?
is "its status is 130" "$status" 130
for ((i = 0; i < 50; i++)); do
	kill -0 "$(<"$T/waits")" 2>/dev/null || break
	sleep 0.1
done
ok "and nothing of it runs on" test "$i" -lt 50
rm -f "${XDG_CACHE_HOME:-$HOME/.cache}"/exit_cycles/stress/*-small/waits.t.*

run "$TOP/scripts/stress.sh" "$T/none.t"
is "no such test: 1" "$status" 1
run "$TOP/scripts/stress.sh" -z
is "misuse: 2" "$status" 2
run "$TOP/scripts/stress.sh" -j 0
is "no labs at once: 2" "$status" 2
done_testing

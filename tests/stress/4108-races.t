#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the account has no data race while a shell turns the switch off and on as fast as it
# can, vCPUs run without a pause, and files are read and reset. KCSAN must report nothing: the
# log must be clean.
# Stress: svm:kcsan
. "$(dirname "$0")/../lib.sh"
: "${LABS=svm:$(default_kernel):kcsan}"
. "$(dirname "$0")/stress.sh"

FLIPS=$(size 2000 100)

in_lab <<EOF
flips=$FLIPS
EOF
cat >>"$T/commands" <<'EOF'
lab-modules load tsc_tolerance_ppm=10000
watch=/sys/module/kcsan/parameters/skip_watch
[ ! -e $watch ] || echo 100 >$watch
vmm --quiet --vcpus 2 --loop 0 --after ". ./words; accounts races" cpuid=2000 out-user=20 hlt:20000=2 >races &
storm=$!
sleep 2
files -r over >files-out 2>&1 &
files=$!
n=0 flipped=0
while [ $n -lt $flips ]; do
	n=$((n + 1))
	echo N >$P/exit_cycles && echo Y >$P/exit_cycles && flipped=$((flipped + 2))
done
>over
section files
wait $files || echo "files failed"
cat files-out
echo "by-hand $flipped"
kill $storm
wait $storm || echo "the VM failed"
cat races
run_vmm end --vcpus 2 cpuid=211 out-user=23
EOF

for one in $LABS; do
	stress "$one" -c "$(cpus "$one")" || continue
	is "$lab every file read as a whole, or EIO" "$(grep -vE '^[a-z-]+ [0-9]+$' "$F/files" || true)" ''
	for section in races.vm races.0 races.1; do
		is "$lab $section: the account agrees with itself" "$(contradictions "$section")" ''
	done
	is "$lab then: exact" "$(account_says end end.vm)" "$(vmm_says end)"
	tried_files files
	is "$lab flips of the switch" "$(sum files by-hand)" "$((2 * FLIPS))"
	tried "flips of the switch" "$(sum files by-hand)"
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Fuzzes exitdump's parser and what follows it with libFuzzer, under ASan and
# UBSan. A finding ends it with a status other than 0 and stays beside the
# corpus as crash-*: keep it there, under a name that says what it showed.
#
# Usage: tests/fuzz/run.sh [RUNS]	(1000000 inputs unless told)
# Needs: clang with its libFuzzer runtime (Debian: clang, libclang-rt-14-dev)

set -e -o pipefail
export LC_ALL=C
cd "$(dirname "$0")"
RUNS=${1:-1000000}
TOOLS=../../tools
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM

# All of exitdump but its main() and what needs a terminal.
SOURCES=()
for file in "$TOOLS"/*.c; do
	[[ ${file##*/} == @(exitdump|options|output|commands|compare|control|diff|run|slow|top*).c ]] || SOURCES+=("$file")
done

clang -std=gnu11 -D_GNU_SOURCE -g -O1 -I"$TOOLS" \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
	-o "$WORK/fuzz" parser.c "${SOURCES[@]}"
mkdir "$WORK/corpus"
set +e
"$WORK/fuzz" -runs="$RUNS" -max_len=4096 -dict=exit_cycles.dict \
	-timeout=10 -print_final_stats=1 -artifact_prefix=corpus/ -verbosity=0 \
	"$WORK/corpus" corpus 2>&1 | tee "$WORK/log" | grep -E 'ERROR|SUMMARY|runtime error|number_of_executed|crash-'
status=${PIPESTATUS[0]}
set -e
if ((status)) || ! grep -q "^stat::number_of_executed_units: *$RUNS" "$WORK/log"; then
	tail -n 40 "$WORK/log"
	exit 1
fi

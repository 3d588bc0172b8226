#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Fuzzes exitdump's parsers and what follows them with libFuzzer, under ASan and UBSan. A
# finding ends it with a status other than 0 and stays in the parser's folder of the corpus
# as crash-*. Keep it there, under a name that says which bug it found.
#
# Usage: tests/fuzz/run.sh [RUNS [PARSER]...]	(1000000 inputs of each, unless told)
#        tests/fuzz/run.sh -r			only the corpus, once
# Needs: clang with its libFuzzer runtime (scripts/deps.sh test); -r any compiler
[[ $1 != -h ]] || { awk 'NR > 2 { if (!/^#/ || /shellcheck/) exit; sub(/^# ?/, ""); print }' "$0"; exit; }

set -e -o pipefail
export LC_ALL=C
cd "$(dirname "$0")"
RUNS=${1:-1000000} HERE=$PWD
TOOLS=../../tools
# files of each input: in memory, where that can be had
[[ ! -w /dev/shm ]] || export TMPDIR=/dev/shm
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM

# All of exitdump but its main(), what needs a terminal, and what parser.c includes.
SOURCES=()
for file in "$TOOLS"/*.c; do
	[[ ${file##*/} == @(exitdump|top*|symbols|key_names).c ]] || SOURCES+=("$file")
done

# build COMPILER OPTION...
build() {
	"$@" -std=gnu11 -D_GNU_SOURCE -g -I"$TOOLS" -fno-sanitize-recover=undefined \
		-o "$WORK/fuzz" parser.c accounts.c "${SOURCES[@]}"
	mkdir "$WORK/root"
	cd "$WORK/root"
}

if [[ $1 == -r ]]; then
	build "${CC:-cc}" -DREPLAY -fsanitize=address,undefined
	# compare ends with the program, which gives back what it took
	ASAN_OPTIONS=detect_leaks=0 "$WORK/fuzz" "$HERE"/corpus/compare/*
	find "$HERE/corpus" -type f ! -path '*/compare/*' -print0 | xargs -0 "$WORK/fuzz"
	exit
fi

# fuzz PARSER: in turns, as what compare takes is given back when it ends.
fuzz() {
	local corpus=$WORK/$1 done=0 turn=$RUNS leaks=1
	[[ $1 != compare ]] || turn=20000 leaks=0
	mkdir "$corpus"
	while ((done < RUNS)); do
		((turn <= RUNS - done)) || turn=$((RUNS - done))
		if ! PARSER=$1 ASAN_OPTIONS=detect_leaks=$leaks "$WORK/fuzz" -runs="$turn" -max_len=4096 -dict="$HERE/exit_cycles.dict" \
			-timeout=10 -detect_leaks=$leaks -print_final_stats=1 -artifact_prefix="$HERE/corpus/$1/" -verbosity=0 \
			"$corpus" "$HERE/corpus/$1" >"$WORK/log" 2>&1 ||
			! grep -q "^stat::number_of_executed_units: *$turn" "$WORK/log"; then
			grep -E 'ERROR|SUMMARY|runtime error|crash-' "$WORK/log"
			tail -n 40 "$WORK/log"
			exit 1
		fi
		((done += turn))
	done
	echo "$1: $done inputs"
}

build clang -O2 -fsanitize=fuzzer,address,undefined
if (($# > 1)); then
	PARSERS=("${@:2}")
else
	PARSERS=("$HERE"/corpus/*)
fi
for parser in "${PARSERS[@]}"; do
	fuzz "${parser##*/}"
done

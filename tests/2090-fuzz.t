#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a bug that the fuzzer found once stays fixed: the inputs in tests/fuzz/corpus/ pass
# the parser, differences and every printer, with ASan and UBSan.
. "$(dirname "$0")/lib.sh"

sources=()
for file in "$TOP"/tools/*.c; do
	[[ ${file##*/} == @(exitdump|options|output|commands|compare|control|diff|run|slow|top*).c ]] || sources+=("$file")
done
if ! run "${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -g -DREPLAY -I"$TOP/tools" \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-o "$T/replay" "$TOP/tests/fuzz/parser.c" "${sources[@]}" ||
	((status)); then
	is 'the fuzzer'\''s target builds' "$err" ''
	done_testing
fi
run "$T/replay" "$TOP"/tests/fuzz/corpus/*
is 'the corpus' "$status:$out" "0:$(find "$TOP/tests/fuzz/corpus" -type f | wc -l) inputs"
[[ $status == 0 ]] || note "$err"

done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a bug that the fuzzer found once stays fixed: the inputs in tests/fuzz/corpus/ pass
# each parser of text that others write, differences and every printer, with ASan and UBSan.
. "$(dirname "$0")/lib.sh"

run "$TOP/tests/fuzz/run.sh" -r
is 'the corpus' "$status:$(awk '{ n += $1 } END { print n }' <<<"$out")" \
	"0:$(find "$TOP/tests/fuzz/corpus" -type f | wc -l)"
[[ $status == 0 ]] || note "$err"

# A parser that is new has a folder, or nobody fuzzes it.
is 'each parser has inputs' "$(find "$TOP"/tests/fuzz/corpus/* -type f -printf '%h\n' | sort -u | xargs -n 1 basename | xargs)" \
	"$(sed -n 's/^\t{ "\([a-z]*\)", try_.*/\1/p' "$TOP/tests/fuzz/parser.c" | xargs)"

done_testing

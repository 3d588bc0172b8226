#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: libFuzzer, with ASan and UBSan, finds nothing wrong in each of exitdump's parsers
# with a million inputs. It needs no lab.
# Stress: host
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

INPUTS=$(size 1000000 5000)
run "$TOP/tests/fuzz/run.sh" "$INPUTS"
parsers=$(find "$TOP"/tests/fuzz/corpus/* -maxdepth 0 -printf "%f: $INPUTS inputs\n" | sort)
is "$INPUTS inputs of each parser, no finding" "$status:$out" "0:$parsers"
((status == 0)) || note "$out"
tried "inputs of exitdump's parsers" $((INPUTS * $(wc -l <<<"$parsers")))
done_testing

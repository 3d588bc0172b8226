#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: libFuzzer, with ASan and UBSan, finds nothing wrong in exitdump with a million
# inputs that it makes from accounts. It needs no lab.
# Stress: host
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

INPUTS=$(size 1000000 20000)
run "$TOP/tests/fuzz/run.sh" "$INPUTS"
is "$INPUTS inputs, no finding" "$status" 0
((status == 0)) || note "$out"
tried "inputs of exitdump's parser" "$INPUTS"
done_testing

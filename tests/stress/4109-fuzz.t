#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump takes a million inputs, which libFuzzer makes of accounts with
# ASan and UBSan watching, without a finding. No lab.
# Stress: host
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

INPUTS=$(size 1000000 20000)
run "$TOP/tests/fuzz/run.sh" "$INPUTS"
is "$INPUTS inputs, no finding" "$status" 0
((status == 0)) || note "$out"
tried "inputs of exitdump's parser" "$INPUTS"
done_testing

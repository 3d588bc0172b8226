#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: what 3204 shows is also true for all of KVM's selftests for x86 that build.
# Stress: svm svm:kasan
HERE=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
export LABS
[[ $STRESS_SIZE == small ]] || export ALL_SELFTESTS=1
exec "$HERE/3204-selftests.t"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Each patch of the series builds alone, as modules, with warnings as errors,
# on both kernels; and the whole without debugfs, and without the feature.
. "${BASH_SOURCE[0]%/*}/lib.sh"

for kernel in 6.1 6.12; do
	patches=("$TOP/patches/$kernel"/*.patch)
	run "$TOP/scripts/kernel.sh" -k "$kernel" each
	is "$kernel: every patch builds" "$(grep -c '^builds: ' <<<"$out")" "${#patches[@]}"
	for symbol in DEBUG_FS KVM_EXIT_CYCLES; do
		like "$kernel: the series builds without $symbol" "$out" "without $symbol: builds"
	done
	is "$kernel: and no more is said" "$status" 0
done

done_testing

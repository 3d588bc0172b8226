#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Each patch of the series builds alone, as modules, with warnings as errors,
# on both kernels; and the whole without the feature.
. "${BASH_SOURCE[0]%/*}/lib.sh"

for kernel in 6.1 6.12; do
	patches=("$TOP/patches/$kernel"/*.patch)
	run "$TOP/scripts/kernel.sh" -k "$kernel" each
	is "$kernel: every patch builds" "$(grep -c '^builds: ' <<<"$out")" "${#patches[@]}"
	like "$kernel: the series builds without it" "$out" "without KVM_EXIT_CYCLES: builds"
	is "$kernel: and no more is said" "$status" 0
done

done_testing

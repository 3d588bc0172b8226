#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: what 3501 shows is also true for millions of CPUIDs, and on debug kernels.
# Stress: vmx svm svm:kasan
HERE=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
export LABS
if [[ $STRESS_SIZE != small ]]; then
	# CPUIDs by each of some 120 guests; of 80 guests on slow labs
	export ADVERSARY=20000
	[[ $LABS != vmx:* && $LABS != *:k?san* ]] || ADVERSARY=5000
fi
exec "$HERE/3501-adversary.t"

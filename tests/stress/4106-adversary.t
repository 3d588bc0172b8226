#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: what 3501 shows holds by the million, and on kernels that watch
# themselves.
# Stress: vmx svm svm:kasan
HERE=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
export LABS
if [[ $STRESS_SIZE != small ]]; then
	# CPUIDs by each of some 120 guests; of 80 where all is slow
	export ADVERSARY=20000
	[[ $LABS != vmx:* && $LABS != *:k?san* ]] || ADVERSARY=5000
fi
exec "$HERE/3501-adversary.t"

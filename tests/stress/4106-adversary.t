#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: what 3501 shows holds by the million, and on kernels that watch
# themselves.
HERE=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
: "${LABS=svm:6.1:kasan}"
export LABS
if [[ $STRESS != small ]]; then
	# CPUIDs by each of some 45 guests
	export ADVERSARY=50000
	[[ $LABS != *:k?san* ]] || ADVERSARY=10000
fi
exec "$HERE/3501-adversary.t"

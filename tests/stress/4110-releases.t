#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the newcomer's two commands do all their work on the other releases of Debian, with
# only git and make installed. make test repeats a part of what 3701 runs there.
# Stress: host
HERE=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
[[ $STRESS_SIZE == small ]] && { echo "1..0 # SKIP hours, so not in the small form"; exit; }
RELEASES_COMMANDS="make demo
make test" exec "$HERE/3701-releases.t"

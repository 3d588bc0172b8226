#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# build.sh - the VMM of the labs as one program, for any of them: without libraries,
# and low in memory, where its guests find it as well.
#
# Usage: scripts/vmm/build.sh PROGRAM
set -e

dir=${BASH_SOURCE[0]%/*}
exec gcc -static -no-pie -O2 -Wall -Wextra -o "$1" "$dir"/*.[cS] -pthread

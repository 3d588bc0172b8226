#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# build.sh - builds vmm, one program for all labs. It is static, as a lab has no libraries,
# and it is linked at low addresses, which its guests can map as well.
#
# Usage: scripts/vmm/build.sh PROGRAM
set -e

[[ $# == 1 && $1 != -* ]] || { sed -n "/^# Usage/s/^# //p" "$0"; exit 2; }
dir=${BASH_SOURCE[0]%/*}
# The guest's code is C as well, and interrupts come on its stack.
exec gcc -static -no-pie -mno-red-zone -O2 -Wall -Wextra -o "$1" "$dir"/*.[cS] -pthread

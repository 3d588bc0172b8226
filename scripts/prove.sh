#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# prove.sh - prove, two tests at a time; behind its summary the cases that failed, with
# what they say.
#
# Usage: scripts/prove.sh TEST...
#
# Exit status: prove's.
set -e -o pipefail

# one TEST: what prove calls, which keeps what the test says.
if [[ $PROVE_KEEPS && $# == 1 ]]; then
	env -u PROVE_KEEPS "$1" | tee "$PROVE_KEEPS/${1##*/}"
	exit
fi

kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
trap 'exit 130' INT TERM
PROVE_KEEPS=$kept prove -j2 --exec "$0" "$@" || status=$?
((!status)) || (cd "$kept" && grep -H -A 12 -E '^not ok|^# stopped' ./* | cut -c 3-) || :
exit "${status:-0}"

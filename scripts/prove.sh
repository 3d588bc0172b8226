#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# prove.sh - runs prove, two tests at a time, and shows how long each took; after prove's
# summary it shows the failed cases with the comments around them.
#
# Usage: scripts/prove.sh TEST...
#
# Exit status: prove's.
set -e -o pipefail

[[ $# != 0 && $1 != -h ]] || { sed -n "/^# prove/,/^set/s/^# \{0,1\}//p" "$0"; exit; }

# Called by prove for one TEST: keeps a copy of the test's output.
if [[ $PROVE_KEEPS && $# == 1 ]]; then
	env -u PROVE_KEEPS "$1" | tee "$PROVE_KEEPS/${1##*/}"
	exit
fi

kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
trap 'exit 130' INT TERM
PROVE_KEEPS=$kept prove -j2 --timer --exec "$0" "$@" || status=$?
((!status)) || (cd "$kept" && awk '
	{ line = FILENAME ":" $0 }
	FNR == 1 || /^ok/ { shown = before = "" }
	/^not ok|^# stopped before done_testing$/ { printf "%s", before; before = ""; shown = 1 }
	shown { print line; next }
	/^#/ { before = before line "\n" }' ./* | cut -c 3-) || :
exit "${status:-0}"

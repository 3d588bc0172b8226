#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# stress.sh - the kernel tests on kernels that watch themselves, and stress, at
# length; at the end, the numbers of what was tried.
#
# Usage: scripts/stress.sh [-q] [-k KERNELS] [TEST]...
#
#   -q          small: minutes, on the ordinary kernel in QEMU's TCG alone
#   -k KERNELS  "6.1 6.12" (default)
#   TEST        only these, of tests/ and tests/stress/
#
# The first run builds two kernels more for each of KERNELS, a quarter of an
# hour each on 2 cores, into the cache. All of it takes hours. Exit status: 0
# when every test passed, 1 if not, 2 usage.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

# one TEST LABS: prove it there. What it tries is added to the numbers.
one() {
	step "${1##*/}: $2"
	LABS=$2 prove "$1" || failed=1
}

# svm [SUFFIX]: the SVM labs of the kernels chosen.
svm() {
	local kernel
	for kernel in $kernels; do
		printf 'svm:%s%s ' "$kernel" "$1"
	done
}

# exact: those in which millions of exits are made.
exact() {
	local kernel
	for kernel in $kernels; do
		printf 'vmx:%s svm:%s ' "$kernel" "$kernel"
	done
}

main() {
	local tests=("$TOP"/tests/310[1-57]-*.t "$TOP"/tests/3201-*.t "$TOP"/tests/stress/*.t)
	local kernels=$KERNELS option small='' test

	while getopts qk:h option; do
		case $option in
		q) small=1 ;;
		k) kernels=$OPTARG ;;
		h) usage; exit 0 ;;
		*) usage >&2; exit 2 ;;
		esac
	done
	shift $((OPTIND - 1))
	if (($#)); then
		tests=("$@")
	elif [[ $small ]]; then
		tests=("$TOP"/tests/stress/*.t)
	fi

	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	export STRESS_TRIED=$tmp/tried STRESS=${small:+small}
	failed=0
	for test in "${tests[@]}"; do
		if [[ $small ]]; then
			one "$test" "$(svm)"
		elif [[ $test == *exact* ]]; then
			one "$test" "$(exact)$(svm :kcsan)"
		elif [[ $test == *adversary* ]]; then
			one "$test" "$(exact)$(svm :kasan)"
		elif [[ $test == *selftests* ]]; then
			one "$test" "$(svm)$(svm :kasan)"
		elif [[ $test == *races* ]]; then
			one "$test" "$(svm :kcsan)"
		elif [[ $test == *wrap* || $test == *creation* ]]; then
			one "$test" "$(svm :kasan)"
		else
			one "$test" "$(svm :kasan)$(svm :kcsan)"
		fi
	done

	echo
	echo "Tried, on Linux $kernels${small:+, small}:"
	[[ ! -f $STRESS_TRIED ]] || awk '{ n = $NF; sub(/ [0-9]+$/, ""); if (!($0 in sum)) order[++names] = $0; sum[$0] += n }
		END { for (i = 1; i <= names; i++) printf "%12d  %s\n", sum[order[i]], order[i] }' "$STRESS_TRIED"
	((failed)) && echo "Something failed: see above." || echo "No findings."
	exit $failed
}

main "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# stress.sh - the kernel tests on kernels that watch themselves, and stress, at
# length; at the end, the numbers of what was tried.
#
# Usage: scripts/stress.sh [-nq] [-j JOBS] [-k KERNELS] [TEST]...
#
#   -n          anew: run what an interrupted run has passed as well
#   -q          small: minutes, on the ordinary kernel in QEMU's TCG alone
#   -j JOBS     labs at once (as many as CPUs)
#   -k KERNELS  a list; else all that patches/ has
#   TEST        only these, of tests/ and tests/stress/
#
# The first run builds four kernels more for each of KERNELS, ten minutes or more
# each on 2 cores, into the cache. All of it takes hours; a run that was interrupted,
# or in which something failed, goes on with what has not passed, unless the series,
# the scripts or the test have changed. Exit status: 0 when every test passed, 1 if
# not, 2 usage.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/kernels.sh
. "${BASH_SOURCE[0]%/*}/kernels.sh"

# kept TEST LAB: where its result is; another place when the test has changed, or one
# that it names, or what the fuzzer is fed to.
kept() {
	local also
	mapfile -t also < <(sed -nE 's|.*/([0-9]{4}-[a-z-]+\.t).*|\1|p' "$1" | sed "s|^|$TOP/tests/|")
	[[ $1 != *fuzz* ]] || also+=("$TOP"/tools/*.[ch])
	echo "$state/${1##*/}.${2//:/-}.$(cat "$1" "${also[@]}" | sha1sum | cut -c -12)"
}

# one "TEST LAB": prove it there, in a shell of its own. What it tried is left in
# $state, when it passes.
one() {
	local test=${1% *} lab=${1##* } since
	local out title="${test##*/} $lab" form=$STRESS_SIZE

	out=$(kept "$test" "$lab")
	since=$(date +%s)
	SECONDS=$((since - began))
	if [[ -f $out.passed ]]; then
		step "$title: passed before"
		return
	fi
	# Bochs is slow; the tests behind these divide by themselves
	[[ $lab:${test##*/} != vmx:*:410[1-4]* ]] || form=small
	rm -f "$out.tried"
	if STRESS_SIZE=$form STRESS_TRIED=$out.tried LABS=$lab prove -v "$test" >"$out.log" 2>&1; then
		sed -n 's/.*Tests=\([0-9]*\).*/checks \1/p' "$out.log" >>"$out.tried"
		mv "$out.tried" "$out.passed"
		step "$title: passed, $((SECONDS + began - since)) s"
	else
		step "$title: failed, $((SECONDS + began - since)) s"
		grep -A 9 '^not ok' "$out.log" || tail -n 20 "$out.log"
		return 1
	fi
}

# labs_of TEST: where it wants to be tried, by its line "# Stress: MACHINE[:DEBUG] ...", on
# each of the kernels chosen. "host" is no lab.
labs_of() {
	local wanted kernel lab machine debug
	wanted=$(sed -n "s/^# Stress: //p" "$1")
	: "${wanted:=svm:kasan svm:kcsan}"
	[[ $wanted == host ]] && { echo host; return; }
	[[ ! $small ]] || wanted=svm
	for lab in $wanted; do
		IFS=: read -r machine debug <<<"$lab"
		for kernel in $kernels; do
			echo "$machine:$kernel${debug:+:$debug}"
		done
	done
}

# build JOB...: the kernels of these, one after the other.
build() {
	local kernel debug
	printf '%s\n' "${jobs[@]##* }" | sed -n 's/^[^:]*://p' | sort -u | while IFS=: read -r kernel debug; do
		"$TOP/scripts/kernel.sh" -k "$kernel" ${debug:+-d "$debug"} build </dev/null || (($? == 3))
	done
}

# what_is_tried: changes when that does, the tests themselves aside.
what_is_tried() {
	(cd "$TOP" && find patches scripts/{common,initramfs,kernel,lab,selftests}* tests -type f ! -name '*.t' -print0 |
		sort -z | xargs -0 cat | sha1sum | cut -c -12)
}

main() {
	# those that take longest first, so that no CPU waits for another at the end
	local tests=("$TOP"/tests/stress/*.t)
	local kernels option small='' anew='' width test lab lock jobs=() failed='' running job results=()

	kernels=$(available | xargs)
	width=$(nproc)
	while getopts nqj:k:h option; do
		case $option in
		n) anew=1 ;;
		q) small=1 ;;
		j) width=$OPTARG ;;
		k) kernels=$OPTARG ;;
		h) usage; exit 0 ;;
		*) usage >&2; exit 2 ;;
		esac
	done
	[[ $width =~ ^[1-9][0-9]{0,2}$ ]] || { usage >&2; exit 2; }
	shift $((OPTIND - 1))
	if (($#)); then
		tests=("$@")
	elif [[ ! $small ]]; then
		mapfile -t -O "${#tests[@]}" tests < <(grep -l "^# Stress: " "$TOP"/tests/[0-9]*.t)
	fi
	for test in "${tests[@]}"; do
		[[ -f $test ]] || die "$test: no such test"
		for lab in $(labs_of "$test"); do
			jobs+=("$test $lab")
		done
	done

	build
	state=$CACHE/stress/$(what_is_tried)${small:+-small}
	mkdir -p "$CACHE/stress"
	lock=$CACHE/stress/lock${small:+-small}
	exec 9>"$lock"
	flock -n 9 || die "$lock: another run is on: wait for it"
	find "$CACHE/stress" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
	[[ ! $anew ]] || rm -rf "$state"
	mkdir -p "$state"
	began=$(($(date +%s) - SECONDS))
	export STRESS_SIZE=${small:+small} state PROGRAM TOP began
	export -f one kept step
	step "${#jobs[@]} labs to run, $width at a time"
	# a process group: who ends us ends what is on
	set -m
	"${mortal[@]}" xargs -d '\n' -P "$width" -n 1 bash -c 'one "$@"' one 9>&- < <(printf '%s\n' "${jobs[@]}") &
	running=$!
	set +m
	trap 'kill -- "-$running" 2>/dev/null || true; wait; exit 130' INT TERM HUP
	wait "$running" || failed=1
	trap - INT TERM HUP
	echo
	echo "Tried, on Linux $kernels${small:+, small}:"
	for job in "${jobs[@]}"; do
		results+=("$(kept "${job% *}" "${job##* }")")
	done
	{ cat "${results[@]/%/.passed}" 2>/dev/null || true; } |
		awk '{ n = $NF; sub(/ [0-9]+$/, ""); if (!($0 in sum)) order[++names] = $0; sum[$0] += n }
		END { for (i = 1; i <= names; i++) printf "%12d  %s\n", sum[order[i]], order[i] }'
	if [[ $failed ]]; then
		echo "Something failed: see above."
		exit 1
	fi
	rm -f "${results[@]/%/.passed}" "${results[@]/%/.log}"
	rmdir "$state" 2>/dev/null || true
	echo "No findings."
}

main "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# stress.sh - runs the kernel tests on debug kernels, and the stress tests at full length;
# at the end it prints how much was tried.
#
# Usage: scripts/stress.sh [-nq] [-j JOBS] [-k KERNELS] [TEST]...
#
#   -n          start anew: also run tests that an interrupted run has passed
#   -q          small: takes minutes; in QEMU's TCG, each test on one of KERNELS, in turn
#   -j JOBS     number of labs at the same time (default: number of CPUs)
#   -k KERNELS  a list of kernels (default: all of patches/)
#   TEST        only these files of tests/ and tests/stress/
#
# The first run builds three more kernels for each of KERNELS into the cache, and a real-time
# one of 7.3. Each takes ten minutes or more on 2 cores. Everything takes hours. After an
# interruption or a failure, the next run continues with the tests that have not passed; it
# starts anew if the series, the scripts or the test have changed. Exit status: 0 if every
# test passed, 1 if not, 2 usage.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

# kept TEST LAB: prints the path of the test's result. The path changes if the test changes, or
# a test that it names, or the program that the fuzzer tests.
kept() {
	local also
	mapfile -t also < <(sed -nE 's|.*/([0-9]{4}-[a-z-]+\.t).*|\1|p' "$1" | sed "s|^|$TOP/tests/|")
	[[ $1 != *fuzz* ]] || also+=("$TOP"/tools/*.[ch] "$TOP"/tests/fuzz/*.[ch])
	echo "$state/${1##*/}.${2//:/-}.$(cat "$1" "${also[@]}" | sha1sum | cut -c -12)"
}

# one "TEST LAB": runs the test in that lab; called in a shell of its own. If it passes, the
# list of what it tried stays in $state.
one() {
	local test=${1% *} lab=${1##* } since
	local out title="${test##*/} $lab" form=$STRESS_SIZE verdict=passed

	out=$(kept "$test" "$lab")
	since=$(date +%s)
	SECONDS=$((since - began))
	if [[ -f $out.passed ]]; then
		step "$title: passed before"
		return
	fi
	# Bochs is slow; the tests with higher numbers reduce their own work
	[[ $lab:${test##*/} != vmx:*:410[1-4]* ]] || form=small
	rm -f "$out.tried"
	if STRESS_SIZE=$form STRESS_TRIED=$out.tried LABS=$lab prove -v "$test" >"$out.log" 2>&1; then
		if grep -v '# SKIP' "$out.log" | grep -q '^ok [0-9]'; then
			sed -n 's/.*Tests=\([0-9]*\).*/checks \1/p' "$out.log" >>"$out.tried"
			mv "$out.tried" "$out.passed"
		else
			verdict="skipped: $(sed -n 's/.*# SKIP //p' "$out.log" | head -n 1)"
		fi
		step "$title: $verdict, $((SECONDS + began - since)) s"
	else
		step "$title: failed, $((SECONDS + began - since)) s"
		grep -A 9 '^not ok' "$out.log" || tail -n 20 "$out.log"
		return 1
	fi
}

# labs_of TEST KERNEL...: prints the labs of a test, from its line "# Stress: MACHINE[:DEBUG] ...",
# for each of these kernels. "host" means no lab.
labs_of() {
	local wanted kernel lab machine debug
	wanted=$(sed -n "s/^# Stress: //p" "$1")
	: "${wanted:=svm:kasan svm:kcsan}"
	[[ $wanted == host ]] && { echo host; return; }
	[[ $small ]] && wanted=svm
	for lab in $wanted; do
		IFS=: read -r machine debug <<<"$lab"
		for kernel in "${@:2}"; do
			echo "$machine:$kernel${debug:+:$debug}"
		done
	done
}

# build: builds the kernels of all jobs, one after the other.
build() {
	local kernel debug
	printf '%s\n' "${jobs[@]##* }" | sed -n 's/^[^:]*://p' | sort -u | while IFS=: read -r kernel debug; do
		"$TOP/scripts/kernel.sh" -k "$kernel" ${debug:+-d "$debug"} build </dev/null || (($? == 3))
	done
}

# what_is_tried: prints a checksum of all that takes part in a lab, but for the tests themselves.
what_is_tried() {
	(cd "$TOP" && find patches/*/ scripts/{common.sh,guest,kernel,lab,source,vmm,selftests}* tests/{lib.sh,lab,stress} -type f ! -name '*.t' -print0 |
		sort -z | xargs -0 cat | sha1sum | cut -c -12)
}

main() {
	# the longest tests come first, so that at the end no CPU waits for another
	local tests=("$TOP"/tests/stress/*.t)
	local kernels option small='' anew='' width test lab lock jobs=() failed='' running job results=() all turn=0

	kernels=$(available | xargs)
	width=$(nproc)
	while getopts :nqj:k:h option; do
		case $option in
		n) anew=1 ;;
		q) small=1 ;;
		j) width=$OPTARG ;;
		k) kernels=$OPTARG ;;
		h) usage; exit 0 ;;
		*) misused ;;
		esac
	done
	[[ $width =~ ^[1-9][0-9]{0,2}$ ]] || misused "-j $width: not a number above 0"
	shift $((OPTIND - 1))
	if (($#)); then
		tests=("$@")
	elif [[ ! $small ]]; then
		mapfile -t -O "${#tests[@]}" tests < <(grep -l "^# Stress: " "$TOP"/tests/[0-9]*.t)
	fi
	for test in "${tests[@]}"; do
		[[ -f $test ]] || die "$test: no such test"
		read -ra all <<<"$kernels"
		[[ ! $small ]] || all=("${all[turn++ % ${#all[@]}]}")
		for lab in $(labs_of "$test" "${all[@]}"); do
			jobs+=("$test $lab")
		done
	done

	build
	state=$CACHE/stress/$(what_is_tried)${small:+-small}
	mkdir -p "$CACHE/stress"
	lock=$CACHE/stress/lock${small:+-small}
	exec 9>"$lock"
	flock -n 9 || die "$lock: another run holds it (wait until it ends)"
	find "$CACHE/stress" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
	[[ $anew ]] && rm -rf "$state"
	mkdir -p "$state"
	began=$(($(date +%s) - SECONDS))
	export STRESS_SIZE=${small:+small} state PROGRAM TOP began
	export -f one kept step
	step "${#jobs[@]} labs to run, $width at a time"
	# a process group, so that a signal can end all running jobs
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

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# selftests.sh - builds the KVM selftests of the kernel's own tree, including those that the
# series adds, and runs them in the lab.
#
# Usage: scripts/selftests.sh [-k KERNEL] [-m MACHINE] [-s stock|patched]
#                             [-d DEBUG] [-t SECONDS] VERB [TEST]...
#
#   build     prints the path of each TEST's program. Standard error names the TESTs
#             that do not build with this compiler
#   run       prints a line for each TEST: its name, its result, its time (s) and its
#             last words. Fails if a TEST fails
#   compare   runs the TESTs on stock and on patched modules. Prints the number of each
#             result; each TEST that does not pass on stock, with its result and last
#             words; and each TEST whose results differ. Fails if most of a TEST's three
#             results on patched never appear on stock, or if a TEST that the series
#             adds does not pass on patched
#
#   -k KERNEL   a folder of patches/ (default: the first)
#   -m MACHINE  as in lab.sh (default svm; on vmx all TESTs take hours)
#   -s SERIES   for run: patched (default) or stock
#   -d DEBUG    as in lab.sh: run on a debug kernel
#   -t SECONDS  the limit for one TEST, 300; then its result is timeout
#
# TEST is a name such as exit_cycles_test. Default: all that the Makefile has for x86, except
# its shell scripts. A result is pass, skip, timeout, fail=STATUS, none (not built), panic,
# hang or end. The last three are results of the lab; the remaining TESTs run in a new lab.
# +left is added if a process of the TEST could not be ended, and +log if the kernel's log
# has something that lab.sh takes for bad.
#
# Builds in $CACHE/KERNEL/selftests, again if patches/KERNEL changed. Needs:
# linux-source-KERNEL and what scripts/deps.sh installs. Runs everything in the lab, nothing
# here.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"

machine=svm series=patched debug='' seconds=300

use_kernel() {
	KERNEL=$1
	one_of k kernel "$KERNEL" "$KERNELS"
	DIR=$CACHE/$KERNEL/selftests
	SRC=$DIR/src
	BIN=$DIR/bin
	LOG=$DIR/build.log
	PATCHES=$TOP/patches/$KERNEL
}

build_key() {
	{
		source_version "$KERNEL"
		gcc --version | head -n 1
		# shellcheck disable=SC2016 # fields of awk
		awk '/^diff --git / { tools = $3 ~ "^a/tools/" } tools' "$PATCHES"/[0-9]*.patch
	} | sha256sum | cut -d' ' -f1
}

has_key() {
	[[ -f $1 && $(<"$1") == "$2" ]]
}

# git_src ARGUMENT...: git in the source; it tracks Debian's tools/.
git_src() {
	git -C "$SRC" -c user.name=exit_cycles -c user.email=exit_cycles@localhost \
		-c commit.gpgsign=false -c core.autocrlf=false "$@"
}

# unpack: unpacks the part of the source that the selftests need: a tree of our own, with the
# headers for user space, and the drivers' headers to which tools/ has links. The series does
# not change these headers.
unpack() {
	local tar
	has_key "$SRC/.key" "$(source_version "$KERNEL")" && return
	tar=$("$TOP/scripts/source/fetch.sh" -k "$KERNEL") || exit
	step "Linux $KERNEL: unpacking the selftests"
	rm -rf "$SRC"
	mkdir -p "$SRC"
	: >"$LOG"
	tar -xf "$tar" -C "$SRC" --strip-components=1 --wildcards --no-wildcards-match-slash \
		'*/Makefile' '*/Kbuild' '*/arch/x86' '*/include' '*/scripts' '*/tools' '*/usr' \
		'*/drivers/dma/*/*.h' '*/drivers/net/ethernet/intel/igb/*.h'
	quietly "$LOG" make -C "$SRC" headers
	git_src init -q .
	git_src add -f tools
	git_src commit -q -m "tools of Debian's linux-source-$KERNEL"
	source_version "$KERNEL" >"$SRC/.key"
}

selftests_make() {
	make -C "$SRC/tools/testing/selftests/kvm" OUTPUT="$BIN" "$@"
}

# build: a TEST that does not build is reported later, by its name.
build() {
	local key program
	unpack
	key=$(build_key)
	has_key "$DIR/key" "$key" && return
	step "Linux $KERNEL: building the selftests (log: $LOG)"
	rm -rf "$BIN" "$DIR/key"
	mkdir -p "$BIN"
	git_src checkout -q -f .
	git_src clean -q -f -d -x tools
	git_src apply --include='tools/*' "$PATCHES"/[0-9]*.patch
	selftests_make -k -j"$(nproc)" >"$LOG" 2>&1 || true
	selftests_make -s emit_tests 2>/dev/null | sed -n '/\.sh$/!s/.*://p' | sort >"$DIR/names"
	while read -r program; do
		# Debugging symbols are most of it.
		[[ ! -f $program ]] || strip "$program"
	done < <(programs)
	echo "$key" >"$DIR/key"
}

# added: prints the TESTs that the series adds.
added() {
	sed -n '/^--- \/dev\/null$/{n;s|^+++ b/tools/testing/selftests/kvm/.*/\(.*\)\.c$|\1|p}' \
		"$PATCHES"/[0-9]*.patch
}

# programs [NAME]...: prints the path of each program, even if it is not built.
programs() {
	local name path
	if (($#)); then
		printf '%s\n' "$@"
	else
		cat "$DIR/names"
	fi | while read -r name; do
		path=$BIN/$name
		[[ -f $path ]] || path=$BIN/x86_64/$name
		[[ -f $path ]] || path=$BIN/x86/$name
		echo "$path"
	done
}

known() {
	local name
	for name; do
		grep -qx "$name" "$DIR/names" || die "$name: no such selftest in Linux $KERNEL"
	done
}

print_built() {
	local path status=0
	while read -r path; do
		if [[ -f $path ]]; then
			echo "$path"
		else
			echo "$PROGRAM: ${path##*/}: does not build (see $LOG)" >&2
			status=1
		fi
	done < <(programs "$@")
	return $status
}

# arguments NAME: prints arguments that make a long measurement short enough for an emulated
# CPU.
arguments() {
	case $1 in
	demand_paging_test | dirty_log_perf_test) echo "-b 64M" ;;
	kvm_page_table_test) echo "-b 16M" ;;
	memslot_modification_stress_test) echo "-i 20" ;;
	memslot_perf_test) echo "-s 64 -l 1" ;;
	xapic_ipi_test) echo "-s 1" ;;
	esac
}

# inside: prints the script for the lab, which writes "start NAME" and then
# "result NAME RESULT SECONDS WORDS".
inside() {
	cat <<-'INSIDE'
		seconds=$1
		shift
		# end_forks NAME: ends the processes that a killed TEST has forked: they would run
		# on and slow down all TESTs that follow. Fails if one of them does not end.
		end_forks() {
			for _ in 1 2 3 4 5 6 7 8 9 10; do
				forks=$(ls -l /proc/[0-9]*/exe 2>/dev/null |
					sed -n "s|.* /proc/\([0-9]*\)/exe -> $PWD/$1\$|\1|p")
				[ "$forks" ] || return 0
				kill -KILL $forks
				sleep 1
			done
			return 1
		}

		dmesg -c >/dev/null
		. ./arguments
		for name; do
			echo "start $name"
			before=$(date +%s)
			status=0
			timeout -s KILL "$seconds" "./$name" $(arguments "$name") >out 2>&1 || status=$?
			took=$(($(date +%s) - before))
			words=
			case $status in
			0)
				result=pass
				;;
			4)
				result=skip
				words=$(sed -n 's/.*SKIP[ -]*//p' out | head -n 1)
				;;
			137)
				result=timeout
				;;
			*)
				result=fail=$status
				words=$(sed -n '/Test Assertion Failure/{n;s/^ *//p;q}' out)
				[ "$words" ] || words=$(grep -v '^# *$' out | tail -n 1)
				;;
			esac
			end_forks "$name" || result=$result+left
			! dmesg -c | grep -Eqf bad || result=$result+log
			echo "result $name $result $took $words"
		done
	INSIDE
}

# lab SERIES NAME...: runs one lab and adds its results to $tmp/results. A TEST that ends the
# lab gets the lab's result; the TESTs after it get none.
lab() {
	local series=$1 status=0 files=(-a "$tmp/inside" -a "$tmp/arguments" -a "$tmp/bad") slow=1 cpus=2 path
	shift
	while read -r path; do
		files+=(-a "$path")
	done < <(programs "$@")
	[[ $machine != vmx ]] || slow=20
	# With two CPUs, QEMU's TCG can run code while another CPU patches it.
	[[ $machine != svm ]] || cpus=1
	"$TOP/scripts/lab.sh" -m "$machine" -k "$KERNEL" -s "$series" ${debug:+-d "$debug"} -c "$cpus" -M 2048 \
		-t $((slow * (seconds * $# + 120))) "${files[@]}" \
		-- sh inside "$seconds" "$@" >"$tmp/out" 2>"$tmp/err" || status=$?
	sed -n 's/^result //p' "$tmp/out" >>"$tmp/results"
	case $status in
	0 | 241) return ;;
	242) status=panic ;;
	243) status=hang ;;
	244) status=end ;;
	*)
		tail -n 3 "$tmp/err" >&2
		exit "$status"
		;;
	esac
	awk -v status="$status" '
		{ name = $1 == "start" ? $2 : "" }
		END { if (name) print name, status, 0 }' "$tmp/out" >>"$tmp/results"
}

# run_on SERIES NAME...: prints the results, sorted by name.
run_on() {
	local series=$1 name before rest
	shift
	: >"$tmp/results"
	for name; do
		[[ -f $(programs "$name") ]] || echo "$name none 0 does not build" >>"$tmp/results"
	done
	before=-1
	while :; do
		mapfile -t rest < <(printf '%s\n' "$@" | grep -vxFf <(cut -d' ' -f1 "$tmp/results"))
		((${#rest[@]})) || break
		((${#rest[@]} != before)) || die "the lab runs no selftest (the first one: ${rest[0]})"
		before=${#rest[@]}
		step "Linux $KERNEL, $machine${debug:+, $debug}, $series: ${#rest[@]} selftests"
		lab "$series" "${rest[@]}"
	done
	sort "$tmp/results"
}

run() {
	run_on "$series" "$@" | tee "$tmp/run" | awk '
		{ result = $2; took = $3; name = $1; sub(/^[^ ]+ [^ ]+ [^ ]+ ?/, "") }
		{ printf "%-42s %-10s %5d  %s\n", name, result, took, $0 }'
	awk '$2 !~ /^(pass|skip)$/ { bad = 1 } END { exit bad }' "$tmp/run"
}

# sizes SERIES: prints how many TESTs had each result.
sizes() {
	awk -v series="$1" '
		{ n[$2 ~ /^fail/ ? "fail" : $2]++ }
		END {
			for (result in n) list = list sprintf(", %d %s", n[result], result)
			printf "%-8s %s\n", series ":", substr(list, 3)
		}' "$tmp/$1"
}

# differing: prints the names for which most of the patched results never appear on stock.
# Last words count as part of a result, except after a pass; the time does not count.
differing() {
	awk '
		{
			result = $0
			sub(/^[^ ]+ /, "", result)
			sub(/ [0-9]+/, "", result)
		}
		FILENAME ~ /stock$/ { stock[$1, result] = 1; next }
		{ runs[$1]++; unlike[$1] += !(($1, result) in stock) }
		END {
			for (name in runs)
				if (2 * unlike[name] > runs[name]) print name
		}' "$tmp/stock" "$tmp/patched" | sort | grep -vxFf "$tmp/added" || true
}

compare() {
	local series different=() bad=0 name ran
	for series in stock patched; do
		run_on "$series" "$@" >"$tmp/$series"
	done
	ran=$(grep -vcE '^[^ ]+ (none|skip) ' "$tmp/patched" || true)
	echo "Linux $KERNEL, $machine${debug:+, $debug}: $ran KVM selftests of its own tree, and $(($(wc -l <"$tmp/patched") - ran)) not built or skipped"
	sizes stock
	sizes patched
	awk '$2 != "pass" {
		result = $2; name = $1
		sub(/^[^ ]+ [^ ]+ [^ ]+ ?/, "")
		printf "not passed on stock: %-42s %-10s %s\n", name, result, $0
	}' "$tmp/stock"

	mapfile -t different < <(differing)
	if ((${#different[@]})); then
		grep -hE "^($(IFS='|' && echo "${different[*]}")) " "$tmp/stock" "$tmp/patched" | sort
		for _ in 1 2; do
			for series in stock patched; do
				run_on "$series" "${different[@]}" >>"$tmp/$series"
			done
		done
		echo "differed once: ${different[*]}"
		mapfile -t different < <(differing)
	fi
	for name in "${different[@]}"; do
		echo "differs: $name"
		bad=1
	done
	while read -r name; do
		grep -q "^$name " "$tmp/patched" || continue
		grep "^$name " "$tmp/stock" "$tmp/patched" | sed 's|.*/\([^:]*\):\([^ ]*\)|\2, \1:|'
		grep -q "^$name pass " "$tmp/patched" || bad=1
	done <"$tmp/added"
	((bad)) || echo "stock and patched: no difference"
	return $bad
}

use_kernel "$(default_kernel)"
while getopts :k:m:s:d:t:h option; do
	case $option in
	k) use_kernel "$OPTARG" ;;
	m) machine=$OPTARG ;;
	s) series=$OPTARG ;;
	d) debug=$OPTARG ;;
	t) seconds=$OPTARG ;;
	h) usage; exit 0 ;;
	*) bad_option ;;
	esac
done
shift $((OPTIND - 1))
positive t "$seconds"
one_of s series "$series" "stock patched"
verb=${1:-}
[[ " build run compare " == *" $verb "* && $verb ]] || die "no VERB: build, run or compare (-h shows the usage)"
shift
[[ -d $PATCHES ]] || die "$PATCHES: No such directory"

"$TOP/scripts/deps.sh" build >&2
locked "$DIR/lock" build
known "$@"
if [[ $verb == build ]]; then
	print_built "$@"
	exit
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
inside >"$tmp/inside"
echo "$BAD" >"$tmp/bad"
added >"$tmp/added"
declare -f arguments >"$tmp/arguments"
(($#)) || mapfile -t names <"$DIR/names"
"$verb" "$@" "${names[@]}"

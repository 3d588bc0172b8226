#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# mutants.sh - plants small bugs (mutants) one at a time, and checks that the tests fail.
#
# Usage: scripts/mutants.sh [-acfq] [-n N] [MUTANT]...
#
#   -a      also try the mutants with a line `lives`, which says why no test can see them
#   -c      only check that each mutant still changes exactly one place of its file
#   -f      also try the mutants that these very tests have killed before
#   -n N    try only N of the quick mutants, always the same, spread over the tables
#   -q      do not check first that a test passes without any bug
#   MUTANT  a name, a pattern of names, or a table of tests/mutants/ (exitdump, scripts or
#           kernel); default: all
#
# Each bug is planted in a copy of this checkout as it is now, uncommitted changes included.
# Bugs in the kernel get a cache of their own, $CACHE/mutants, which starts as a copy of the
# kernels that scripts/kernel.sh builds. A mutant is killed when one of its tests fails; it
# has survived when all of them pass. An interrupted run continues where it stopped.
# docs/contributing.md tells how to add a mutant.
#
# Exit status: 0 if all were killed, 1 if not, 2 usage.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

TABLES=(exitdump scripts kernel)
OWN_CACHE=$CACHE/mutants
LIMIT=1800		# seconds; a test that hangs has failed
LONG='(^| )(0002|2012|2016|2025|205.|206.|230.|2503|2511|2520|3...)'	# tests that take more than a few seconds

declare -A TABLE FILE SED TESTS BREAKS LAB LIVES
names=()

# read_table TABLE: reads a table: a line "FIELD VALUE" for each field, first the field name.
read_table() {
	local field value name=''
	while read -r field value; do
		case $field in
		'' | '#'*) ;;
		name)
			name=$value
			[[ ${TABLE[$name]} ]] && die "$1: $name: this name appears twice"
			names+=("$name")
			TABLE[$name]=$1 LAB[$name]=svm:6.12
			;;
		file) FILE[$name]=$value ;;
		sed) SED[$name]+=$value$'\n' ;;
		tests) TESTS[$name]=$value ;;
		breaks) BREAKS[$name]=$value ;;
		lab) LAB[$name]=$value ;;
		lives) LIVES[$name]=$value ;;
		*) die "$1: $name: $field: no such field" ;;
		esac
	done <"$TOP/tests/mutants/$1"
	for name in "${names[@]}"; do
		[[ ${FILE[$name]} && ${SED[$name]} && ${TESTS[$name]} && ${BREAKS[$name]} ]] ||
			die "$1: $name: needs file, sed, tests and breaks"
	done
}

# chosen PATTERN...: prints the names that match, in the order of the patterns.
chosen() {
	local name pattern
	for pattern in "${@:-*}"; do
		for name in "${names[@]}"; do
			# shellcheck disable=SC2053 # a pattern
			[[ ${TABLE[$name]} != "$pattern" && $name != $pattern ]] || echo "$name"
		done
	done | awk '!seen[$0]++'
}

# sample N: prints N of the names on standard input, spread evenly.
sample() {
	local all picked n=$1
	mapfile -t all
	((n < ${#all[@]})) || n=${#all[@]}
	for ((picked = 0; picked < n; picked++)); do
		echo "${all[picked * ${#all[@]} / n]}"
	done
}

copy_tree() {
	mkdir -p "$tree"
	git -C "$TOP" ls-files -coz --exclude-standard |
		tar -C "$TOP" --null -T - --ignore-failed-read -cf - 2>/dev/null | tar -C "$tree" -xf -
	# tests that copy the checkout again ask git for its files, or clone it
	git -C "$tree" init -q
	git -C "$tree" add -A
	git -C "$tree" -c user.name=mutants -c user.email=mutants@localhost commit -qm copy
	# what is built already need not be built again
	[[ ! -d $TOP/tools/build ]] || cp -a "$TOP/tools/build" "$TOP/tools/exitdump" "$tree/tools/"
}

# series_files KERNEL: puts the kernel's code, with the series, into $work/KERNEL. If Debian's
# source is not unpacked, only the files that the series adds.
series_files() {
	local only=(--include='arch/x86/kvm/exit_cycles*') src=$CACHE/$1/src
	[[ -d $work/$1 ]] && return 0
	mkdir "$work/$1"
	if git -C "$src" rev-parse -q --verify base-commit >/dev/null 2>&1; then
		git -C "$src" archive base-commit arch/x86/kvm arch/x86/include virt/kvm include/linux | tar -C "$work/$1" -xf -
		only=(--include='arch/*' --include='virt/*' --include='include/*')
	fi
	(cd "$work/$1" && GIT_CEILING_DIRECTORIES=$work git apply "${only[@]}" "$TOP/patches/$1"/[0-9]*.patch)
}

# source_of NAME: prints the path of the file that the mutant changes.
source_of() {
	if [[ ${TABLE[$1]} == kernel ]]; then
		echo "$work/$(kernel_of "$1")/${FILE[$1]}"
	else
		echo "$TOP/${FILE[$1]}"
	fi
}

kernel_of() {
	cut -d: -f2 <<<"${LAB[$1]}"
}

# change NAME FILE OUT: writes FILE with the bug to OUT; dies unless exactly one place changes.
change() {
	local places
	sed "${SED[$1]}" "$2" >"$3" || die "$1: sed fails"
	places=$(diff "$2" "$3" | grep -c '^[0-9]' || true)
	((places == 1)) || die "$1: changes $places places of ${FILE[$1]}, not one"
}

# check NAME: dies if the mutant cannot be planted any more, or is one that was checked before.
check() {
	local file test same
	[[ ${TABLE[$1]} != kernel ]] || series_files "$(kernel_of "$1")"
	file=$(source_of "$1")
	for test in ${TESTS[$1]}; do
		compgen -G "$TOP/tests/$test-*.t" >/dev/null || die "$1: $test: no such test"
	done
	if [[ ${TABLE[$1]} == kernel && ! -e $file && ${FILE[$1]} != */exit_cycles* ]]; then
		echo "$1: not seen: scripts/kernel.sh -k $(kernel_of "$1") has not unpacked its source"
		return
	fi
	[[ -f $file ]] || die "$1: ${FILE[$1]}: no such file"
	change "$1" "$file" "$work/changed"
	same=$work/$(echo "${LAB[$1]}" | cat - "$work/changed" | sha1sum | cut -d' ' -f1)
	[[ ! -f $same ]] || die "$1: the same bug as $(<"$same")"
	echo "$1" >"$same"
}

# one_test TEST [VARIABLE=VALUE]...: runs a test in the copy of the checkout.
one_test() {
	local test=$1
	shift
	(cd "$tree" && env "$@" timeout -k 30 "$LIMIT" "$TOP/scripts/prove.sh" "tests/$test"-*.t) >"$work/log" 2>&1 </dev/null
}

# variables NAME: prints the environment for the mutant's tests.
variables() {
	echo "LABS=${LAB[$1]}"
	[[ ${TABLE[$1]} != kernel ]] || echo "XDG_CACHE_HOME=$OWN_CACHE"
}

# passes NAME TEST: dies if the test fails without a bug: then its failure says nothing.
passes() {
	local seen=$state/$2.${LAB[$1]//:/-}.$trees_key
	[[ $quick || -f $seen ]] && return
	restore
	# shellcheck disable=SC2046 # a word each
	one_test "$2" $(variables "$1") || die "$2: fails without any bug: $(grep -m 1 '^not ok\|:not ok' "$work/log")"
	touch "$seen"
}

# --- the kernel: built in a cache of its own, from a source tree with the bug

own_kernel() {
	XDG_CACHE_HOME=$OWN_CACHE "$tree/scripts/kernel.sh" -k "$kernel" "$1" >&2
}

# use_own_kernel KERNEL: makes the own cache's source the series without any bug.
use_own_kernel() {
	local key
	[[ $kernel != "$1" ]] || return 0
	kernel=$1
	if [[ ! -d $OWN_CACHE/exit_cycles/$1 ]]; then
		"$TOP/scripts/kernel.sh" -k "$1" build >&2
		step "Linux $1: a copy of what was built"
		mkdir -p "$OWN_CACHE/exit_cycles"
		cp -a --reflink=auto "$CACHE/$1" "$OWN_CACHE/exit_cycles/$1.new"
		mv "$OWN_CACHE/exit_cycles/$1.new" "$OWN_CACHE/exit_cycles/$1"
	fi
	own_kernel build
	key=$(cat "$tree/patches/$1"/* | sha1sum)
	# somebody may have worked on the branch that was copied: it is not the series
	git -C "$OWN_CACHE/exit_cycles/$1/src" checkout -q -f --detach
	if [[ $(cat "$state/$1.series" 2>/dev/null) != "$key" ]]; then
		own_kernel applies
		echo "$key" >"$state/$1.series"
	fi
	own_kernel edited
}

# plant NAME: plants the bug and builds; false if it does not build.
plant() {
	restore "${TABLE[$1]}"
	planted=$tree/${FILE[$1]}
	if [[ ${TABLE[$1]} == kernel ]]; then
		use_own_kernel "$(kernel_of "$1")"
		planted=$OWN_CACHE/exit_cycles/$kernel/src/${FILE[$1]}
	fi
	cat "$planted" >"$work/original"
	# a bug that does not fit this source must not end all without a word
	(change "$1" "$work/original" "$work/changed") || return
	cat "$work/changed" >"$planted"
	# 2503 checks the table: what is planted already could not be planted again
	sed -i "/^name *$1\$/,/^\$/d" "$tree/tests/mutants/${TABLE[$1]}"
	case $planted in
	*/arch/* | */virt/* | */include/*) own_kernel edited ;;
	*/tools/*.[ch]) make -s -C "$tree/tools" >&2 ;;
	*.sh) bash -n "$planted" ;;
	esac
}

# restore [TABLE]: removes the bug; TABLE is that of the bug that comes next. Another bug of a
# kernel builds it anyway.
restore() {
	[[ $planted ]] || return 0
	cat "$work/original" >"$planted"
	cp "$TOP"/tests/mutants/* "$tree/tests/mutants/"
	case $planted in
	*/arch/* | */virt/* | */include/*) [[ $1 == kernel ]] || own_kernel edited ;;
	esac
	planted=''
}

# key_of NAME: prints a checksum of all that decides whether the tests kill the mutant.
key_of() {
	local test
	{
		echo "${SED[$1]}${TESTS[$1]}${LAB[$1]}"
		cat "$(source_of "$1")"
		for test in ${TESTS[$1]}; do
			cat "$TOP/tests/$test"-*.t
		done
	} | sha1sum | cut -c -12
}

# one NAME: tries one mutant; fails if it survives.
one() {
	local test since=$SECONDS killed=''
	check "$1" >/dev/null
	local seen
	seen=$state/$1.$(key_of "$1")
	if [[ -f $seen && ! $anew ]]; then
		step "$1: killed before, by $(<"$seen")"
		return
	fi
	if [[ ${LIVES[$1]} && ! $argued ]]; then
		step "$1: argued away: ${LIVES[$1]}"
		return
	fi
	if ! plant "$1" 2>"$work/build"; then
		tail -n 20 "$work/build" >&2
		step "$1: does not build"
		return 1
	fi
	for test in ${TESTS[$1]}; do
		# shellcheck disable=SC2046 # a word each
		if ! one_test "$test" $(variables "$1"); then
			killed=$test
			cp "$work/log" "$work/killed"
			break
		fi
	done
	if [[ ! $killed ]]; then
		step "$1: SURVIVED ${TESTS[$1]}, $((SECONDS - since)) s: ${BREAKS[$1]}"
		grep -hi skip "$work/log" >&2 || true
		return 1
	fi
	step "$1: killed by $killed, $((SECONDS - since)) s: $(grep -m 1 -o 'not ok.*\|stopped before.*' "$work/killed")"
	passes "$1" "$killed"
	echo "$killed" >"$seen"
}

argued='' only_check='' anew='' quick='' number='' kernel='' planted=''
while getopts :acfn:qh option; do
	case $option in
	a) argued=1 ;;
	c) only_check=1 ;;
	f) anew=1 ;;
	n) number=$OPTARG ;;
	q) quick=1 ;;
	h) usage; exit ;;
	*) misused ;;
	esac
done
shift $((OPTIND - 1))
[[ ${number:-1} =~ ^[1-9][0-9]*$ ]] || misused "-n $number: not a number above 0"
for table in "${TABLES[@]}"; do
	read_table "$table"
done
mapfile -t some < <(chosen "$@")
[[ $number ]] && mapfile -t some < <(for name in "${some[@]}"; do
	[[ ${TABLE[$name]} == kernel || ${LIVES[$name]} || ${TESTS[$name]} =~ $LONG ]] || echo "$name"
done | sample "$number")
((${#some[@]})) || die "$*: no such mutant"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if [[ $only_check ]]; then
	for name in "${some[@]}"; do
		(check "$name") || wrong=1
	done
	exit "${wrong:-0}"
fi
tree=$work/tree
state=$OWN_CACHE/state
mkdir -p "$state"
copy_tree
trees_key=$(cd "$tree" && find . -type f ! -path './.git/*' ! -path './tools/build/*' ! -name exitdump -print0 | sort -z | xargs -0 sha1sum | sha1sum | cut -c -12)
survived=()
for name in "${some[@]}"; do
	one "$name" || survived+=("$name")
done
restore
step "${#some[@]} mutants, survived: ${#survived[@]} ${survived[*]}"
((!${#survived[@]}))

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a clean log of a debug kernel means something. A module (misbehave/) makes the
# mistakes that the kernel must notice; it notices each of them, and the lab fails.
# Stress: svm:kasan svm:kcsan
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

"$TOP/scripts/vmm/build.sh" "$T/vmm"
cat "$TOP/tests/lab/inside.sh" - >"$T/commands" <<'EOF'
if [ "$LAB_DEBUG" = kcsan ]; then
	all=race
else
	# in this order: after the first report, the watch over locks is off
	all="rcu recursion leak freed beyond shift sleep refcount object list"
fi
for what in $all; do
	insmod ./misbehave.ko what=$what
	rmmod misbehave
done
leaks
EOF

# watches WHAT: the log has the report.
watches() {
	local what=$1 says
	case $what in
	leak) says='kmemleak: [0-9]* new suspected memory leak' ;;
	freed) says='KASAN: use-after-free|KASAN: slab-use-after-free' ;;
	beyond) says='KASAN: slab-out-of-bounds' ;;
	shift) says='UBSAN: shift-out-of-bounds' ;;
	sleep) says='BUG: sleeping function called from invalid context' ;;
	rcu) says='WARNING: suspicious RCU usage' ;;
	refcount) says='refcount_t: ' ;;
	object) says='ODEBUG: free active' ;;
	list) says='list_add (corruption|double add)' ;;
	recursion) says='WARNING: possible recursive locking detected' ;;
	esac
	ok "$lab notices: $what" grep -qE "$says" "$T/log"
	tried "kinds of misbehaviour noticed" 1
}

for one in $LABS; do
	IFS=: read -r machine kernel debug <<<"$one"
	lab="${one//:/ }:" status=0
	if [[ ! $debug ]]; then
		skip "$lab all" "an ordinary kernel watches nothing"
		continue
	fi
	"$TOP/scripts/kernel.sh" -k "$kernel" -d "$debug" module "$TOP/tests/lab/misbehave" "$T" 2>"$T/build"
	"$TOP/scripts/lab.sh" -m "$machine" -k "$kernel" -d "$debug" -c "$(cpus "$one")" -t 3000 -a "$T/commands" \
		-a "$T/misbehave.ko" -l "$T/console" -- sh commands >"$T/out" 2>"$T/err" || status=$?
	if [[ $debug == kcsan ]]; then
		is "$lab a race that is not the account's is no failure" "$status" 0
		like "$lab but is told" "$(<"$T/err")" "not the account's: data race in writes"
		tried "kinds of misbehaviour noticed" 1
		continue
	fi
	is "$lab the lab fails" "$status" 241
	cp "$T/console" "$T/log"
	for what in leak freed beyond shift sleep rcu refcount object list recursion; do
		watches "$what"
	done
done

done_testing

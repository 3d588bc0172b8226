#!/bin/bash
# build.sh KERNEL: branch exit_cycles of that cache, from the marked sources. Made in a
# work tree of its own, so that only what differs gets newer for make.
set -e
K=$1 S=/work/cache17/exit_cycles/$1/src W=/tmp/w/s17
B=$(mktemp -d /tmp/w/wt.XXXX)
trap 'git -C $S worktree remove -f $B 2>/dev/null || true; rm -rf $B' EXIT
git -C $S worktree add -q -f --detach $B base
cd $B
T=tools/testing/selftests/kvm/x86_64/exit_cycles_test.c
[ -d tools/testing/selftests/kvm/x86_64 ] || T=tools/testing/selftests/kvm/x86/exit_cycles_test.c
put() { # from to n
	awk -v N=$3 -f $W/strip.awk "$1" >"$2.new"
	if [ -s "$2.new" ]; then
		cmp -s "$2.new" "$2" && rm "$2.new" || { [ -x "$2" ] && chmod +x "$2.new"; mv "$2.new" "$2"; }
	else rm "$2.new"; fi
}
for n in $(seq 1 17); do
	for f in exit_cycles.c exit_cycles.h; do put $W/$f arch/x86/kvm/$f $n; done
	[ $n -lt 13 ] || put $W/exit_cycles_keys.c arch/x86/kvm/exit_cycles_keys.c $n
	[ $n -lt 17 ] || put $W/exit_cycles_cpuid.c arch/x86/kvm/exit_cycles_cpuid.c $n
	for f in $W/$K/*; do p=$(basename $f); put $f ${p//%//} $n; done
	[ $n -lt 15 ] || put "$W/Documentation%virt%kvm%x86%exit-cycles.rst" Documentation/virt/kvm/x86/exit-cycles.rst $n
	[ $n -lt 16 ] || { if [ $K = 7.3 ]; then sed "/ \/\/K61*$/d; s, //K7$,,"; else sed "/ \/\/K7$/d; $([ $K = 6.1 ] && echo "s; //K61$;;" || echo "/ \/\/K61$/d"); s, //K6$,,"; fi <$W/exit_cycles_test.c >/tmp/w/test.$K.c; put /tmp/w/test.$K.c $T $n; }
	git add -f arch/x86/kvm/exit_cycles*.[ch]
	git add -f -- $(cd $W/$K; ls | sed 's,%,/,g')
	[ $n -lt 15 ] || git add -f Documentation/virt/kvm/x86/exit-cycles.rst
	[ $n -lt 16 ] || git add -f $T
	d="$(printf '2026-11-26 15:%02d:00 +0000' $n)"
	{ cat $W/m/$n; echo; echo "Signed-off-by: exit_cycles maintainers <maintainers@exit-cycles.example>"; } |
		GIT_AUTHOR_DATE="$d" GIT_COMMITTER_DATE="$d" GIT_AUTHOR_NAME="exit_cycles maintainers" GIT_AUTHOR_EMAIL=maintainers@exit-cycles.example \
		git -c commit.gpgsign=false commit -q -F -
done
new=$(git rev-parse HEAD)
cd $S
git checkout -q exit_cycles
git reset -q --hard $new
git log --oneline base.. | cat

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

# KCSAN's reports: about the account's code, and about other code.
cat >"$T/symbols" <<'EOF'
     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS mmu.c
     2: 0000000000001234    56 FUNC    LOCAL  DEFAULT    1 mmu_helper
     3: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS exit_cycles.c
     4: 0000000000001234    56 FUNC    LOCAL  DEFAULT    1 show_scope
     5: 0000000000001234    56 FUNC    GLOBAL DEFAULT    1 kvm_exit_cycles_reset
     6: 0000000000001234    56 FUNC    GLOBAL DEFAULT    1 kvm_vcpu_kick
     7: 0000000000001234    56 FUNC    GLOBAL DEFAULT    1 kvm_arch_vcpu_update_stats
EOF
cat >"$T/races" <<'EOF'
1 BUG: KCSAN: data-race in show_scope [kvm] / vcpu_enter_guest [kvm]
2 BUG: KCSAN: data-race in mmu_helper [kvm] / kvm_exit_cycles_reset [kvm]
3 BUG: KCSAN: data-race in vcpu_enter_guest [kvm] / vcpu_enter_guest [kvm]
4 BUG: KCSAN: data-race in vcpu_enter_guest [kvm]
5 BUG: KCSAN: data-race in kvm_vcpu_kick [kvm] / vcpu_enter_guest [kvm]
6 BUG: KCSAN: data-race in mmu_helper [kvm]
7 BUG: KCSAN: data-race in tick_sched_do_timer / tick_sched_do_timer
8 BUG: KCSAN: data-race in show_scope+0x12/0x340 [kvm]
9 BUG: KCSAN: data-race in _find_first_bit+0x37/0x60
10 WARNING: CPU: 0 PID: 73 at kernel/kcsan/report.c:343 replace_stack_entry.constprop.0+0xdc/0xe0
11 WARNING: CPU: 0 PID: 73 at arch/x86/kvm/x86.c:343 vcpu_enter_guest+0xdc/0xe0
12 BUG: KCSAN: data-race in kvm_arch_vcpu_update_stats [kvm] / _copy_to_user
13 BUG: KCSAN: data-race in svm_exit_handlers_fastpath [kvm_amd] / vcpu_enter_guest [kvm]
14 BUG: KCSAN: data-race in kvm_get_stat_per_vcpu [kvm] / vcpu_enter_guest [kvm]
EOF
is "races are the account's, or the kernel's own" \
	"$(awk -f "$TOP/scripts/lab/races.awk" "$T/symbols" "$T/races" | sed -n 's/ \(BUG: KCSAN\|WARNING\).*//p' | xargs)" "1 2 3 4 8 11 12 13"
done_testing

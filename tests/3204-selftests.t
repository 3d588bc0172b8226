#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: KVM's own selftests, from the same kernel source, find no difference between stock
# and patched. Here only the quick ones run; ALL_SELFTESTS=1 in the environment runs all for
# x86 that build.
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/lab/labs.sh"

QUICK="cpuid_test cr4_cpuid_sync_test exit_cycles_test feature_msrs_test fix_hypercall_test get_msr_index_features
	kvm_binary_stats_test kvm_pv_test nested_exceptions_test platform_info_test set_boot_cpu_id
	set_sregs_test smm_test state_test sync_regs_test triple_fault_event_test tsc_msrs_test
	userspace_io_test userspace_msr_exit_test"
SVM="svm_int_ctl_test svm_nested_shutdown_test svm_vmcall_test"
VMX="cpuid_test cr4_cpuid_sync_test exit_cycles_test kvm_binary_stats_test set_sregs_test sync_regs_test
	vmx_apic_access_test vmx_close_while_nested_test nested_close_kvm_test vmx_tsc_adjust_test nested_tsc_adjust_test"

for one in $LABS; do
	IFS=: read -r machine kernel debug <<<"$one"
	# in Bochs one test takes a minute
	seconds=60
	[[ $debug ]] && seconds=300
	[[ $machine != vmx ]] || seconds=$((seconds * 5))
	tests="$QUICK $SVM"
	[[ $machine != vmx ]] || tests=$VMX
	[[ $ALL_SELFTESTS ]] && tests=
	# shellcheck disable=SC2086 # names
	[[ ! $tests ]] || {
		# newer kernels have other names for some of them
		"$TOP/scripts/selftests.sh" -k "$kernel" build exit_cycles_test >"$T/build" 2>&1 || note "$(tail -n 3 "$T/build")"
		tests=$(tr ' \t' '\n' <<<"$tests" | grep -xFf "$CACHE/$kernel/selftests/names" | paste -sd' ')
		ok "${one//:/ }: most of them are there" test "$(wc -w <<<"$tests")" -ge 8
		run "$TOP/scripts/selftests.sh" -k "$kernel" build $tests
		is "${one//:/ }: all of them build" "$status" 0
	}
	# shellcheck disable=SC2086 # names
	run "$TOP/scripts/selftests.sh" -k "$kernel" -m "$machine" ${debug:+-d "$debug"} -t "$seconds" compare $tests
	is "${one//:/ }: stock and patched agree" "$status" 0
	like "${one//:/ }: exit_cycles_test passes" "$out" $'\nexit_cycles_test, patched: pass '
	tried "selftests of KVM compared" "$(sed -n 's/^Linux .*: \([0-9]*\) KVM selftests.*/\1/p' <<<"$out")"
	note "$(sed -n '/^not passed/!p' <<<"$out")"
	((status == 0)) || note "$(tail -n 5 <<<"$err")"
	[[ $ALL_SELFTESTS ]] && sed -n 's/^not passed/# &/p' <<<"$out"
	# its children spin, and would take the CPU from all tests that follow
	[[ $machine != svm || $debug ]] || {
		run "$TOP/scripts/selftests.sh" -k "$kernel" -t 5 run hardware_disable_test
		like "${one//:/ }: a TEST that runs out of its time leaves no process" "$out" \
			'^hardware_disable_test +timeout +[0-9]+ '
	}
done
done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: each patch of the series builds alone, as modules, with warnings as errors, on all
# kernels. So does the whole series without debugfs, and without the feature. sparse reports
# nothing that it does not report for the stock source. After each patch, the account is
# right as far as it exists, also for exits that a fast path handles.
. "${BASH_SOURCE[0]%/*}/lib.sh"
LABS=none
. "${BASH_SOURCE[0]%/*}/lab/labs.sh"

"$TOP/scripts/vmm/build.sh" "$T/vmm"
cat >"$T/commands" <<'EOF'
vendor=intel
[ "$LAB_MACHINE" = vmx ] || vendor=amd
tar xf modules.tar
for n in $(ls | grep -x '[0-9]*' | sort -n); do
	rmmod kvm_$vendor
	rmmod kvm
	insmod "$n/kvm.ko"
	insmod "$n/kvm-$vendor.ko"
	vmm --quiet cpuid=101 wrmsr-fast=211 cpuid=23 wrmsr-fast=17 cpuid=23 || echo "== $n failed"
	echo "== $n"
	cat /sys/kernel/debug/kvm/exit_cycles 2>/dev/null
done
EOF

# sums N: prints the exits of CPUID and of MSR_WRITE that patch N shows.
sums() {
	awk -F'\t' -v n="$1" '
		/^== / { on = $0 == "== " n }
		on && tolower($2) == "cpuid" { cpuid = $3 }
		on && $2 == "MSR_WRITE" { wrmsr = $3 }
		END { print cpuid + 0, wrmsr + 0 }' "$T/out"
}

skip_gone
for kernel in $(available); do
	patches=("$TOP/patches/$kernel"/*.patch)
	run "$TOP/scripts/kernel.sh" -k "$kernel" each
	is "$kernel: every patch builds" "$(grep -c '^builds: ' <<<"$out")" "${#patches[@]}"
	for symbol in DEBUG_FS KVM_EXIT_CYCLES; do
		like "$kernel: the series builds without $symbol" "$out" "without $symbol: builds"
	done
	if type -p sparse >/dev/null; then
		like "$kernel: sparse has no more to say than of stock" "$out" "sparse: no more than of stock"
	else
		skip "$kernel: sparse has no more to say than of stock" "sparse is not installed"
	fi
	is "$kernel: and no more is said" "$status" 0

	# the patches that change the modules: not those of pages and tools
	changed=()
	for ((n = 1; n <= ${#patches[@]}; n++)); do
		diff -rq -x key "$CACHE/$kernel/each/"{$((n - 1)),$n} >/dev/null 2>&1 || changed+=("$n")
	done
	for machine in vmx svm; do
		title="$machine $kernel" vendor=intel
		[[ $machine == vmx ]] || vendor=amd
		tar -C "$CACHE/$kernel/each" -cf "$T/modules.tar" "${changed[@]/%//kvm.ko}" "${changed[@]/%//kvm-$vendor.ko}"
		run "$TOP/scripts/lab.sh" -m "$machine" -k "$kernel" -a "$T/vmm" -a "$T/modules.tar" -a "$T/commands" -- sh commands
		is "$title: VMs run after each patch, and the log is clean" "$status$(grep failed <<<"$out")" 0
		cp "$T/.out" "$T/out"
		# from patch 10 on there is a table; VMX's fast path handles this WRMSR
		for n in "${changed[@]}"; do
			((n >= 10)) || continue
			read -r cpuid wrmsr <<<"$(sums "$n")"
			is "$title: after patch $n: CPUID exits" "$cpuid" 147
			[[ $machine != vmx ]] || ok "$title: after patch $n: and WRMSR" test "$wrmsr" -ge 228
		done
	done
done
done_testing

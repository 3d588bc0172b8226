#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the series applies to Debian's clean source of each kernel. Regenerated from the
# commits, it is the same to the byte. All kernels have the same patches, by number, name
# and subject.
. "${BASH_SOURCE[0]%/*}/lib.sh"

subjects() {
	sed -n '/^Subject: /{N;s/\n //;p;}' "$TOP/patches/$1"/*.patch | sed 's/^Subject: //; s/\n.*//'
}

skip_gone
for kernel in $(available); do
	ok "$kernel: applies, and regenerates byte for byte" \
		"$TOP/scripts/kernel.sh" -k "$kernel" applies
done

read -r first others <<<"$KERNELS"
for kernel in $others; do
	is "$kernel: the same files as $first" "$(cd "$TOP/patches/$kernel" && ls)" "$(cd "$TOP/patches/$first" && ls)"
	is "$kernel: the same subjects" "$(subjects "$kernel")" "$(subjects "$first")"
done

# All kernels share the code of the feature; only the places of its hooks may differ. The
# selftest does less where the library of selftests does more: on 7.3 the library gives L2 a
# stack, and on 6.12 it gives each vCPU its descriptor tables.
file() {
	cat "$TOP/patches/$1"/*.patch | awk -v file="$2" '
		/^diff --git / { on = $0 ~ ("/" file "$") }
		on && /^[+-]/ && !/^(\+\+\+|---)/ && !/(\(svm, l2_svm|\(vmx, l2_vmx| l2_stack|_init_descriptor_tables)/'
}
for file in exit_cycles.c exit_cycles.h exit_cycles_keys.c exit_cycles_slow.c exit_cycles_cpuid.c exit_cycles_test.c; do
	for kernel in $others; do
		is "$kernel: $file is the same as $first's" "$(file "$kernel" "$file")" "$(file "$first" "$file")"
	done
	ok "$file is there" test -n "$(file "$first" "$file")"
done

done_testing

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# The series applies to Debian's clean source of each kernel and, regenerated
# from the commits, is the same to the byte; both kernels have the same patches
# by number, name and subject.
. "${BASH_SOURCE[0]%/*}/lib.sh"

subjects() {
	sed -n '/^Subject: /{N;s/\n //;p;}' "$TOP/patches/$1"/*.patch | sed 's/^Subject: //; s/\n.*//'
}

for kernel in 6.1 6.12; do
	if [[ ! -f /usr/src/linux-source-$kernel.tar.xz ]]; then
		skip "$kernel" "linux-source-$kernel is not installed"
		continue
	fi
	ok "$kernel: applies, and regenerates byte for byte" \
		"$TOP/scripts/kernel.sh" -k "$kernel" applies
done

is "the same files" "$(cd "$TOP/patches/6.1" && ls)" "$(cd "$TOP/patches/6.12" && ls)"
is "the same subjects" "$(subjects 6.1)" "$(subjects 6.12)"

# What the feature is, both kernels share; only what it hooks into may differ.
file() {
	cat "$TOP/patches/$1"/*.patch | awk -v file="$2" '
		/^diff --git / { on = index($0, "b/" file) > 0 }
		on && /^[+-]/ && !/^(\+\+\+|---)/'
}
for file in arch/x86/kvm/exit_cycles.c arch/x86/kvm/exit_cycles.h \
	Documentation/virt/kvm/x86/exit-cycles.rst \
	tools/testing/selftests/kvm/x86_64/exit_cycles_test.c; do
	is "$file is the same in both" "$(file 6.1 "$file" | sha256sum)" "$(file 6.12 "$file" | sha256sum)"
done

done_testing

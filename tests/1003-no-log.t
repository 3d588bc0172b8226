#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: no guest can make the series write into the kernel's log, or stop the kernel: the
# series adds no printk() in any form, no WARN() and no BUG().
. "${BASH_SOURCE[0]%/*}/lib.sh"

# added KERNEL: the lines of code that the series adds to the kernel itself.
added() {
	cat "$TOP/patches/$1"/*.patch | awk '
		/^diff --git / { on = $0 ~ /\.[chS]$/ && $0 !~ / b\/tools\// }
		on && /^\+/ && !/^\+\+\+/'
}

for kernel in $KERNELS; do
	is "$kernel: nothing that logs" "$(added "$kernel" |
		grep -E '(^|[^A-Z_a-z])(printk|pr_[a-z]+|vcpu_[a-z]*(unimpl|err|debug)[a-z]*|(dev|netdev)_(err|warn|info)|[A-Z_]*WARN[A-Z_]*|BUG|BUG_ON|KVM_BUG[A-Z_]*|dump_stack|panic)(_[a-z]+)* *\(')" ''
	ok "$kernel: there is much to look at" test "$(added "$kernel" | wc -l)" -gt 1500
done
done_testing

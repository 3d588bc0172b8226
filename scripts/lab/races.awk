# SPDX-License-Identifier: GPL-2.0-only
# races.awk - separates KCSAN's reports about the account's code from its reports about
# other kernel code, in a kernel's log.
#
#	awk -f races.awk SYMBOLS LOG
#
# SYMBOLS is the output of readelf -sW on kvm.ko. A report names two functions, or only one
# if the other is unknown. A report is about the account if one of them is in a file
# exit_cycles*.c, or if all of them are functions in which exit_cycles.h has its hooks. Any
# other report gets a new title, "lab: data race of the kernel's own: ...". So does KCSAN's
# warning about a stack that it could not read for a report. The rest of the log is passed
# on unchanged.

BEGIN {
	split("vcpu_enter_guest vcpu_run vcpu_block kvm_arch_vcpu_ioctl_run kvm_cpuid " \
		"svm_handle_exit svm_vcpu_run svm_exit_handlers_fastpath " \
		"vmx_handle_exit __vmx_handle_exit vmx_vcpu_run vmx_exit_handlers_fastpath", names)
	for (i in names)
		hook[names[i]] = 1
}

# 42: 0000000000001234   56 FUNC    LOCAL  DEFAULT    1 show_scope
FNR == NR {
	if ($4 == "FILE")
		file = $8
	if ($4 == "FUNC" && ($5 == "LOCAL" && file ~ /^exit_cycles(_[a-z]+)?\.c$/ || $8 ~ /kvm_exit_cycles|kvm_arch_vcpu_update_stats/))
		account[$8] = 1
	next
}

# BUG: KCSAN: data-race in show_scope [kvm] / vcpu_enter_guest [kvm]
# BUG: KCSAN: data-race in show_scope+0x12/0x340 [kvm]
/BUG: KCSAN: data-race in / {
	title = $0
	sub(/.*data-race in /, "", title)
	n = split(title, names, " / ")
	ours = 0
	hooks = 0
	for (i = 1; i <= n; i++) {
		sub(/[ +].*/, "", names[i])
		ours += names[i] in account
		hooks += names[i] in hook
	}
	if (!ours && hooks < n)
		sub(/BUG: KCSAN: data-race in/, "lab: data race of the kernel's own:")
}

# WARNING: CPU: 0 PID: 73 at kernel/kcsan/report.c:343
/WARNING: .* at kernel\/kcsan\// {
	sub(/WARNING/, "lab: the watcher of races about itself")
}

{ print }

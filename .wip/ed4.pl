undef $/; $_ = <STDIN>;
s/#include <linux\/err.h> \/\/\@10\n//; s/#include <linux\/math64.h> \/\/\@5\n//; s/#include <linux\/mutex.h> \/\/\@8\n//;
s/#include <linux\/slab.h>\n//; s/#include <linux\/string.h>\n//; s/#include <linux\/sysfs.h> \/\/\@15\n//;s/#include <linux\/sched.h>\n//;
s/IS_ERR_OR_NULL/IS_ERR_OR_NULL/;
# parts in a struct of their own
s/\taccount->user = 0;\n\taccount->halt = 0;\n\taccount->poll = 0;\n\taccount->sched = 0;\n\taccount->hsched = 0;\n\taccount->stop = 0;\n\taccount->fastpath_exit = 0;\n/\tmemset(&account->parts, 0, sizeof(account->parts));\n/g;
s/account->(user|halt|poll|sched|hsched|stop|fastpath_exit|fastpath_cycles)\b/account->parts.$1/g;
s/stamps->account->parts.fastpath/stamps->account->parts.fastpath/g;
# map
s/static unsigned int code_to_row.*?\n\}\n\n//s;
s/\tfor \(i = 0; i < KVM_EXIT_CYCLES_MASK; i\+\+\)\n\t\tkvm_exit_cycles_map\[i\] = row_to_offset\(code_to_row\(i\)\);\n\tkvm_exit_cycles_map\[i\] = row_to_offset\(code_to_row\(~0U\)\);\n/\tfor (i = 0; i <= KVM_EXIT_CYCLES_MASK; i++)\n\t\tkvm_exit_cycles_map[i] = row_to_offset(nr_rows - 1);\n\tfor (i = 0; i < nr_rows - 1; i++)\n\t\tkvm_exit_cycles_map[exit_names[i].code & KVM_EXIT_CYCLES_MASK] = row_to_offset(i);\n/;
# switch
s/static void switch_counting\(bool on\)\n\{.*?\n\}\n\nstatic bool enabled = true;\n\nstatic int set_enabled\(const char \*val, const struct kernel_param \*kp\)\n\{\n\tbool was = enabled;\n\tint ret = param_set_bool\(val, kp\);\n\n\tif \(!ret && enabled != was\)\n\t\tswitch_counting\(enabled\);\n\treturn ret;\n\}\n/static int set_enabled(const char *val, const struct kernel_param *kp)\n{\n\tbool was = enabled;\n\tint ret = param_set_bool(val, kp);\n\n\tif (ret || enabled == was)\n\t\treturn ret;\n\n\tif (enabled) {\n\t\tstatic_branch_enable(&kvm_exit_cycles_stamp);\n\t\trequest_scope(&host_scope);\n\t\tstatic_branch_enable(&kvm_exit_cycles_close);\n\t} else {\n\t\tstatic_branch_disable(&kvm_exit_cycles_close);\n\t\tstatic_branch_disable(&kvm_exit_cycles_stamp);\n\t}\n\treturn 0;\n}\n/s;
s/\/\/\@\{12\n\n\/\*\n \* Sites of a key/\/\/\@{12\n\nstatic bool enabled = true;\n\n\/*\n * Sites of a key/;
# handled: key inside
s/void __kvm_exit_cycles_fastpath_handled\(struct kvm_vcpu \*vcpu\)\n\{\n\tstruct kvm_exit_stamps \*stamps = &vcpu->arch.exit_stamps;\n\n/void kvm_exit_cycles_fastpath_handled(struct kvm_vcpu *vcpu)\n{\n\tstruct kvm_exit_stamps *stamps = &vcpu->arch.exit_stamps;\n\n\tif (!static_branch_likely(&kvm_exit_cycles_stamp))\n\t\treturn;\n\n/;
s/__kvm_exit_cycles_fastpath_handled/kvm_exit_cycles_fastpath_handled/g;
print;

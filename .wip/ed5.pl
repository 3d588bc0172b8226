undef $/; $_ = <STDIN>;
s/\t\/\* Of the exit in progress.  Any.*?\*\/\n\tu64 user;\n.*?\tu64 fastpath_cycles;\n/\t\/* Of the exit in progress.  Any of these has it closed out of line. *\/\n\tstruct {\n\t\tu64 user;\n\t\tu64 halt;\n\t\tu64 poll;\n\t\tu64 sched;\n\t\tu64 hsched;\n\t\tu64 stop;\n\t\t\/* Of a fast path that handled it, but did not enter the guest again. *\/\n\t\tu64 fastpath_exit;\n\t\tu64 fastpath_cycles;\n\t} parts;\n/s;
s/\/\* A fast path handled an exit, and the guest is not entered again at once. \*\/\nstatic __always_inline void kvm_exit_cycles_fastpath_handled.*?\n\}\n\n//s;
s/__kvm_exit_cycles_fastpath_handled/kvm_exit_cycles_fastpath_handled/g;
print;

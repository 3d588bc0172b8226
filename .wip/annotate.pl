# annotate.pl KERNELSRC FILE...: final hook files with the number of their patch
use strict;
my $src = shift;
for my $file (@ARGV) {
	my @d = `git -C $src diff -U100000 base -- $file`;
	my @out; my $in = 0; my $ln = 0; my @pend;
	for (@d) {
		if (/^@@/) { $in = 1; next }
		next unless $in;
		next if /^\\/;
		chomp; my $c = substr($_, 0, 1); my $t = substr($_, 1); $ln++;
		if ($c eq ' ') { push @out, $t; next }
		my $n = rule($file, $t, \@out, $c);
		push @out, $t . " //\@" . ($c eq '-' ? "-" : "") . $n;
	}
	@out = split /\n/, `git -C $src show HEAD:$file` unless $in;
	(my $name = $file) =~ s,/,%,g;
	# blocks of ifdef and blank lines take the number of what is in them
	open my $o, '>', "/tmp/w/s/$ENV{K}/$name" or die; print $o "$_\n" for @out; close $o;
}
my $inblock = 0;
sub rule {
	my ($f, $t, $out, $c) = @_;
	if ($f =~ m,asm/kvm_host.h,) {
		return 11 if $t =~ /KVM_REQ_EXIT_CYCLES|KVM_ARCH_REQ_FLAGS\(/;
		return 8 if $t =~ /UPDATE_STATS|Filled in when|exit_\w+_cycles|guest_cycles/;
		if ($t =~ /^#(ifdef CONFIG_KVM_EXIT|endif)/) {
			my $prev = join("\n", @$out[-14 .. -1]);
			return 8 if $prev =~ /VCPU_DEBUGFS\n?.*\z/s && $prev !~ /KVM_MAX_VCPUS/ && $prev =~ /DEBUGFS/;
			return 8 if $prev =~ /notify_window_exits|exit_total_cycles_hist|guest_cycles/;
		}
		return 1;
	}
	return 1 if $f =~ /kvm_types.h|Makefile$|Kconfig$/ && $f !~ /selftests/;
	return 15 if $f =~ /cpuid.c/;
	return 10 if $f =~ /debugfs.c|vmx.main.c/;
	return 7 if $f =~ m,include/linux/kvm_host.h|kvm_main.c,;
	return 9 if $f =~ /kvm_stat/;
	if ($f =~ /svm.c|vmx.c|tdx.c/) {
		return 10 if $t =~ /create_debugfs/;
		return $f =~ /svm.c/ ? 4 : 3;
	}
	if ($f =~ /x86.c/) {
		return 8 if $t =~ /STATS_DESC/;
		if ($t =~ /^#(ifdef CONFIG_KVM_EXIT|endif)/) { return 8 }
		return 11 if $t =~ /KVM_REQ_EXIT_CYCLES|serve/;
		return 2 if $t =~ /exit_cycles_(entry|end|exit|fastpath_handled)|last_guest_tsc/;
		return 5 if $t =~ /halt_begin|halt_end|run_begin|run_end/;
		return 6 if $t =~ /sched_in/;
		return 1;
	}
	return 13 if $f =~ /Documentation/;
	return 14 if $f =~ /selftests/;
	die "$f: $t";
}

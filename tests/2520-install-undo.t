#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: if any step of install.sh fails, halfway or completely, or is interrupted, all
# files of the host are the same, byte for byte, as before. The next run repairs what a power
# cut leaves. It refuses modules that do not fit the host; uninstall leaves nothing. A kernel
# that apt installs later gets its account, and takes it along when it goes. The test uses a
# stand-in for the host: the script is install.sh itself with other paths, and a list stands
# for the loaded modules. (2522 has more of it, 3401 the real host.)
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/host.sh"

# every STATE HOWS VERB COMMAND...: tries each step of COMMAND in each of the ways HOWS.
every() {
	local state=$1 hows=$2 verb=$3 how at steps before after wrong='' points=0
	shift 3
	host "$state"
	before=$(files)
	try no 0 "$@"
	steps=$(<"$COUNT")
	after=$(files)
	[[ $status == 0 && $before != "$after" ]] || wrong="it does not work at all: $err"
	for how in $hows; do
		for ((at = 1; at <= steps; at++)); do
			host "$state"
			try "$how" "$at" "$@"
			((status)) || continue # too late: the work was done
			((++points))
			if [[ $how == kill ]]; then
				try no 0 "$@"
				[[ $status == 0 && $(files) == "$after" ]] || wrong+="$how $at: $err: $(diff <(echo "$after") <(files) || :)"$'\n'
			else
				[[ $(files) == "$before" ]] || wrong+="$how $at: $(diff <(echo "$before") <(files) || :)"$'\n'
				[[ $err == *'the host is as it was' ]] || wrong+="$how $at: $err"$'\n'
			fi
		done
	done
	((points >= steps)) || wrong+="of $steps steps only $points failed"
	is "$state, $verb: $hows, at $points points" "$wrong" ''
}

host bare
bare=$(files)
try no 0 "${install[@]}"
is 'installed' "$status:$(<"$R/lib/modules/$OLD/updates/exit_cycles/kvm.ko")" 0:kvm
ok 'modules that are given are not built' test ! -e "$T/built"
is 'what they need is loaded' "$(sort -u "$R/probed")" irqbypass
try no 0 "$R/etc/kernel/header_postinst.d/exit_cycles" "$NEW"
like 'a kernel that apt brings' "$status:$err" "^0:.*Linux $NEW will have its account\$"
is 'has the modules built for it' "$(cat "$R/lib/modules/$NEW/updates/exit_cycles/kvm.ko")" kvm
rm -r "$R/usr/src/linux-headers-$NEW"
try no 0 "$R/etc/kernel/postinst.d/exit_cycles" "$NEW"
like 'one that cannot be followed' "$status:$err" "^0:.*Linux $NEW gets its stock KVM: no linux-headers-$NEW yet\$"
ok 'has none' test ! -e "$R/lib/modules/$NEW/updates/exit_cycles"
mkdir -p "$R/usr/src/linux-headers-$NEW" "$R/sys/kernel/security"
echo 'none [integrity] confidentiality' >"$R/sys/kernel/security/lockdown"
try no 0 "$R/etc/kernel/header_postinst.d/exit_cycles" "$NEW"
like 'under Secure Boot, a new kernel' "$status:$err:$(ls "$R/lib/modules/$NEW/updates" 2>/dev/null)" "^0:.*Linux $NEW gets its stock KVM: Secure Boot wants modules signed [^"$'\n'"]*:\$"
rm -r "$R/usr/src/linux-headers-$NEW" "$R/sys/kernel/security"
mkdir "$R/usr/src/linux-headers-$NEW"
cp "$R/usr/local/lib/exit_cycles/scripts/host-modules.sh" "$T/host-modules"
printf '#!/bin/sh\nexit 1\n' >"$R/usr/local/lib/exit_cycles/scripts/host-modules.sh"
try no 0 "$R/etc/kernel/header_postinst.d/exit_cycles" "$NEW"
like 'one for which nothing can be built: what to do later' "$status:$err" \
	"^0:.*Linux $NEW gets its stock KVM: no modules could be built for it \\(when its linux-source is there: [^ ]*/install.sh follow $NEW\\)\$"
cp "$T/host-modules" "$R/usr/local/lib/exit_cycles/scripts/host-modules.sh"
echo Y >"$R/sys/module/kvm/parameters/exit_cycles"
try no 0 "${uninstall[@]}"
is 'uninstalled: as before' "$status:$(diff <(echo "$bare") <(files | grep -v " usr/local/lib "))" 0:
unlike 'and no word of a parameter that is gone with them' "$err" 'parameters/exit_cycles'

# What the kernels and the hooks have.
stub dpkg-query <<'END'
case $2 in */postrm.d) ;; *) exit 1 ;; esac
END
host earlier
mkdir -p "$R/var/cache/exit_cycles/host"
# what a power cut during another install leaves half-prepared
mkdir "$R"/{usr/local/lib/exit_cycles.new,lib/modules/.exit_cycles-$OLD-updates-exit_cycles.new}
touch "$R/etc/kernel/postinst.d/exit_cycles.new"
try no 0 "${uninstall[@]}"
is 'uninstalled: nothing stays, of no kernel' "$status:$(find "$R" -name '*exit_cycles*' ! -name '*.lock')" 0:
is 'and modprobe finds none, for no kernel' "$(sort -u "$R/indexed" | paste -sd,)" "$OLD,$NEW"
is 'a folder of a package stays' "$(ls "$R/etc/kernel")" postrm.d
rm "$T/bin/dpkg-query"
host bare
printf '%s\n' 'options kvm_intel nested=0' 'options other x=1' 'options kvm-intel ept=0' >"$R/options"
try no 0 "${install[@]}"
is 'the options of modprobe.d are given' "$status:$(paste -sd, "$R/inserted")" '0:kvm.ko,kvm.ko,kvm-intel.ko nested=0 ept=0'
try no 0 "$R/etc/kernel/postinst.d/exit_cycles" "$NEW"
ok 'without -m they are built' test -e "$T/built"
try no 0 "$R/etc/kernel/postrm.d/exit_cycles" "$NEW"
ok 'the hook for a kernel that is there still: its modules stay' test -e "$R/lib/modules/$NEW/updates/exit_cycles/kvm.ko"
# what a power cut has left of it
mkdir "$R/lib/modules/.exit_cycles-$NEW-updates-exit_cycles.new"
rm -r "$R/lib/modules/$NEW/kernel"
try no 0 "$R/etc/kernel/postrm.d/exit_cycles" "$NEW"
is 'the hook for one that is gone: they go' "$status:$err:$(ls "$R/lib/modules/$NEW"):$(cd "$R/lib/modules" && ls -d .exit* 2>/dev/null)" 0:::
cp "$T/good/kvm.ko" "$T/kvm.ko"
echo newer >"$T/good/kvm.ko"
try no 0 "${install[@]}"
is 'installed again: the new ones, and no old file' "$status:$(cat "$R/lib/modules/$OLD/updates/exit_cycles/kvm.ko"):$(find "$R" -name '*.old' -o -name '.exit*')" 0:newer:
cp "$T/kvm.ko" "$T/good/kvm.ko"
# what a power cut leaves of an install over an earlier one: old files that wait
host earlier
mv "$R/usr/local/lib/exit_cycles" "$R/usr/local/lib/exit_cycles.old"
mkdir "$R/lib/modules/.exit_cycles-$NEW-updates-exit_cycles"
try no 0 "${install[@]}"
is 'and none that waits' "$status:$(find "$R" -name '*.old' -o -name '.exit*')" 0:

host bare
exec 7>"$R/run/exit_cycles.lock"
flock 7
refused 'another run is at work' 'another install.sh is at work$' "${install[@]}"
flock -u 7
try no 0 "${install[@]}"
flock 7
try no 0 "$R/etc/kernel/postinst.d/exit_cycles" "$NEW"
is 'but apt sees no error of the hook' "$status" 0
exec 7>&-
host bare
for module in kvm_intel kvm_amd; do
	mkdir -p "$R/sys/module/$module"
	echo 1 >"$R/sys/module/$module/refcnt"
	refused "$module is in use" 'VMs are running' "${install[@]}"
	rm -r "$R/sys/module/$module"
done
refused 'no such folder' '-m .*/none: No such folder' "$T/top/scripts/install.sh" -m "$T/none" install
mv "$T/good/kvm-intel.ko" "$T/"
refused 'half of the modules' '.*/good/kvm-intel.ko: No such file' "${install[@]}"
mv "$T/kvm-intel.ko" "$T/good/"
echo 'SMP ' >"$R/vermagic"
refused 'of unknown types, and nobody checks' '.*/good/kernel: does not say of which types they are' "${install[@]}"
rm -f "$R/vermagic" "$T/built"
echo 'flags : fpu' >"$R/proc/cpuinfo"
refused 'no virtualization' 'this CPU offers neither VMX nor SVM' "$T/top/scripts/install.sh" install
ok 'no virtualization: before anything is built' test ! -e "$T/built"
host bare
mkdir -p "$R/proc/77/fd" "$R/sys/module/kvm_intel"
ln -s anon_inode:kvm-vcpu:0 "$R/proc/77/fd/5"
ln -s anon_inode:kvm-vcpu:1 "$R/proc/77/fd/6"
echo qemu >"$R/proc/77/comm"
echo 1 >"$R/sys/module/kvm_intel/refcnt"
refused 'in use: by whom' '.*KVM is in use otherwise: qemu \(77\) \(shut' "${install[@]}"
for ((pid = 78; pid < 84; pid++)); do cp -R "$R/proc/77" "$R/proc/$pid"; done
refused 'in use: by five of them' '.*KVM is in use otherwise: (qemu \([0-9]*\) ){4}qemu \(83\) \(shut' "${install[@]}"
host earlier
mkdir "$R/sys/module/kvm_intel"
echo 1 >"$R/sys/module/kvm_intel/refcnt"
refused 'uninstall, while VMs run' 'VMs are running' "${uninstall[@]}"
host earlier
touch "$R/others"
refused 'uninstall, where other modules keep an account' 'the modules that modprobe finds keep an account as well: .*not installed by this script' "${uninstall[@]}"
host bare
echo /elsewhere/kvm.ko >"$R/elsewhere"
refused 'others that modprobe prefers' 'modprobe would take /elsewhere/kvm.ko and not ' "${install[@]}"
host bare
try no 0 "${uninstall[@]}"
like 'nothing to uninstall' "$status:$err" '^0:[^'$'\n'']*nothing is installed$'
mkdir -p "$R/sys/kernel/security"
for mode in integrity confidentiality; do
	echo "none $mode" | sed "s/$mode/[&]/" >"$R/sys/kernel/security/lockdown"
	refused "not signed, $mode" '.*kvm.ko: not signed, and this kernel takes signed modules only' "${install[@]}"
	like "not signed, $mode: how to sign" "$err" 'mokutil --import MOK\.der'
done
for module in kvm kvm-intel; do
	echo $module >"$T/good/$module.ko"
	echo '~Module signature appended~' >>"$T/good/$module.ko"
done
try no 0 "${install[@]}"
is 'but signed ones are taken' "$status" 0
echo kvm-intel >"$T/good/kvm-intel.ko"
cp "$T/kvm.ko" "$T/good/kvm.ko"
host bare
mkdir -p "$R/sys/module/module/parameters" "$R/sys/kernel/security"
echo Y >"$R/sys/module/module/parameters/sig_enforce"
refused 'not signed, by a parameter' '.*kvm.ko: not signed' "${install[@]}"
echo N >"$R/sys/module/module/parameters/sig_enforce"
rm -r "$R/sys/kernel/security"
echo "$OLD 6.1.2-1" >"$T/good/kernel"
refused 'of another point release' '.*from the source of 6.1.2-1, and "#1 SMP Debian 6.1.1-1 \(2026-01-01\)" is running' "${install[@]}"
echo "$NEW 6.1.1-1" >"$T/good/kernel"
refused 'of another kernel' '.*for the kernel 6.1.0-2-amd64, and 6.1.0-1-amd64 is running' "${install[@]}"
echo "$OLD 6.1.1-1" >"$T/good/kernel"
echo empty >"$T/good/kvm.ko"
refused 'an empty shell' '.*has no parameter exit_cycles' "${install[@]}"
cp "$T/kvm.ko" "$T/good/kvm.ko"

host bare
rm -r "$R/lib/modules/$OLD/kernel"
refused 'a kernel whose package is gone' '.*/kernel: No such folder \(the running' "${install[@]}"
host bare
rm "$R/dev/kvm"
refused 'modules with which there is no /dev/kvm' '.*/kvm-intel.ko: is loaded, but there is no .*/dev/kvm' "${install[@]}"
is 'and those that were unloaded: kvm last' "$(paste -sd, "$R/removed")" kvm_intel,kvm,kvm_intel,kvm
host bare
touch "$R/broken"
echo empty >"$T/good/kvm.ko"
try no 0 "${install[@]}"
cp "$T/kvm.ko" "$T/good/kvm.ko"
like 'the stock ones cannot be loaded again: that is said' "$status:$err" '^1:.*could not be loaded again: kvm kvm_intel \(see dmesg, then: modprobe kvm_intel\)$'
host bare
echo 'flags : svm' >"$R/proc/cpuinfo"
refused 'on AMD, modules for Intel' '.*/good/kvm-amd.ko: No such file' "${install[@]}"
mv "$T/good/kernel" "$T/kernel"
host bare
refused 'modules without a word for which kernel' '.*/good/kernel: No such file' "${install[@]}"
mv "$T/kernel" "$T/good/kernel"

config=$(sed -n 's/^CONFIG_A=y$/#define CONFIG_A 1/p' <<<CONFIG_A=y | sha256sum | cut -d' ' -f1)
types=$(echo types | sha256sum | cut -d' ' -f1)
mkdir -p "$R"/{boot,sys/kernel/btf}
echo CONFIG_A=y >"$R/boot/config-$OLD"
echo "$OLD 6.1.1-1 $config $types" >"$T/good/kernel"
refused 'of types that cannot be compared' '.*/vmlinux: No such file, so the types in ' "${install[@]}"
echo types >"$R/sys/kernel/btf/vmlinux"
echo "$OLD 6.1.1-1 $config ${types#??}ff" >"$T/good/kernel"
refused 'of other types' '.*of other types than this kernel.s' "${install[@]}"
echo "$OLD 6.1.1-1 ${config#??}ff $types" >"$T/good/kernel"
refused 'of another configuration' '.*of another configuration than this kernel.s' "${install[@]}"
echo CONFIG_A=m >"$R/lib/modules/$OLD/config"
echo "$OLD 6.1.1-1 $config $types" >"$T/good/kernel"
refused 'of another configuration than the one beside the modules' ".*of another configuration than this kernel's, .*/lib/modules/$OLD/config" "${install[@]}"
rm "$R/lib/modules/$OLD/config"
mkdir -p "$R/sys/module/kvm/holders/kvmgt"
echo "$OLD 6.1.1-1 $config $types" >"$T/good/kernel"
refused 'a module that uses KVM' 'kvmgt is loaded' "${install[@]}"
rm -r "$R/sys/module/kvm/holders"
echo foreign >"$T/good/kvm.ko"
rm -f "$R/removed"
refused 'the kernel would not take it' '.*this kernel would not take it: Invalid module format$' "${install[@]}"
unlike 'and not for its signature' "$err" mokutil
is 'and the stock ones were not unloaded' "$(cat "$R/removed" 2>/dev/null)" ''
cp "$T/kvm.ko" "$T/good/kvm.ko"
mkdir -p "$R/sys/kernel/debug/kvm"
echo nothing >"$R/sys/kernel/debug/kvm/exit_cycles"
refused 'no account' '.*exit_cycles: not there, or not an account' "${install[@]}"
echo '# exit_cycles 1' >"$R/sys/kernel/debug/kvm/exit_cycles"
echo 12345 >"$R/sys/module/kvm/parameters/halt_poll_ns"
echo never >"$R/sys/module/kvm/parameters/nx_huge_pages"
try no 0 "${install[@]}"
is 'all is right: installed, and parameters are kept' "$status:$(<"$R/sys/module/kvm/parameters/halt_poll_ns")" 0:12345
like 'one that cannot be kept is named' "$err" 'parameters/nx_huge_pages was never and is now  \(set it in [^ ]*/etc/modprobe\.d\)'
echo "$OLD 6.1.1-1" >"$T/good/kernel"

echo 54321 >"$R/sys/module/kvm/parameters/halt_poll_ns"
try no 0 "${uninstall[@]}"
is 'uninstalled: parameters are kept as well' "$status:$(<"$R/sys/module/kvm/parameters/halt_poll_ns")" 0:54321
host bare
mkdir "$R/sys/module/kvm/parameters/odd"
try no 0 "${install[@]}"
is 'a parameter that cannot be read' "$status:$(<"$R/lib/modules/$OLD/updates/exit_cycles/kvm.ko")" 0:kvm
# a signal after the last step
stub rm <<END
for last; do :; done
[ ! -e "\$last" ] || case \$last in *.old | */.exit_cycles*) kill -TERM \$PPID; echo once >>$R/late ;; esac
exec $(type -P rm) "\$@"
END
host earlier
try no 0 "${install[@]}"
rm "$T/bin/rm"
is 'a signal when the work is done: it is not undone' "$(sort -u "$R/late"):$status:$(<"$R/lib/modules/$OLD/updates/exit_cycles/kvm.ko"):$(find "$R" -name '*.old' -o -name '.exit*')" once:0:kvm:

every bare 'no half term kill' install "${install[@]}"
every earlier half install "${install[@]}"
every earlier 'no half term kill' follow "${follow[@]}"
every earlier 'no half term kill' uninstall "${uninstall[@]}"

done_testing

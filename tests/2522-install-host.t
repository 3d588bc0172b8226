#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: install.sh asks for modules of the right kernel, in the right cache, with all that
# they are built from; it looks for VMs again after the build; modules that it did not replace
# stay loaded; parameters of all modules are kept, and modprobe's index follows each change. A
# signal ends it with its own status, and nothing stays in /tmp. The host is 2520's stand-in.
# shellcheck disable=SC2016,SC2154 # the stand-ins expand it; fixtures/host.sh sets them
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/fixtures/host.sh"

# builder LINE...: what host-modules.sh does, in the checkout and where it is installed.
builder() {
	printf '%s\n' '#!/bin/sh' "$@" >"$T/top/scripts/host-modules.sh"
}
builder 'echo "$XDG_CACHE_HOME:$*" >>$R/built' "echo '$T/good'"

host bare
try no 0 "${install[@]}"
is 'installed, with what later builds need: the patches, and all scripts' \
	"$status:$(cd "$R/usr/local/lib/exit_cycles" && echo patches/*/* scripts/{common,source/kernels}.sh)" '0:patches/6.1/0001.patch scripts/common.sh scripts/source/kernels.sh'
is 'and modprobe finds the new ones' "$(cat "$R/indexed")" "$OLD"
rm -f "$R/indexed"
try no 0 "$R/etc/kernel/postinst.d/exit_cycles" "$NEW"
is 'for a kernel that apt brings: built for that one, in a cache of the system' "$status:$(cat "$R/built")" "0:$R/var/cache:-k $NEW"
is 'and modprobe finds these, too' "$(cat "$R/indexed")" "$NEW"
rm -r "$R/indexed" "$R/usr/src/linux-headers-$NEW"
try no 0 "$R/etc/kernel/postinst.d/exit_cycles" "$NEW"
is 'when they are removed again, modprobe does not look for them' "$status:$(cat "$R/indexed")" "0:$NEW"

# a step after the index was made fails
host bare
echo /elsewhere/kvm.ko >"$R/elsewhere"
refused 'others that modprobe prefers' 'modprobe would take' "${install[@]}"
is 'undone: so is the index' "$(paste -sd, "$R/indexed")" "$OLD,$OLD"

# the build
host bare
builder 'echo "host-modules.sh: no headers" >&2' 'exit 1'
try no 0 "$T/top/scripts/install.sh" install
is 'what cannot be built is said, and nothing else' "$status:$err" '1:host-modules.sh: no headers'
builder 'mkdir $R/sys/module/kvm_intel' 'echo 1 >$R/sys/module/kvm_intel/refcnt' "echo '$T/good'"
refused 'a VM that starts meanwhile' 'VMs are running' "$T/top/scripts/install.sh" install
is 'a VM that starts meanwhile: keeps its modules' "$(cat "$R/removed" 2>/dev/null)" ''
for signal in HUP:129 INT:130 TERM:143; do
	host bare
	builder "kill -${signal%:*} \$PPID" 'sleep 1'
	try no 0 "$T/top/scripts/install.sh" install
	is "SIG${signal%:*} ends it, with its status" "$status" "${signal#*:}"
done
is 'nothing stays in /tmp' "$(ls "$R/tmp")" ''

# uninstall
host earlier
rm "$R/sys/module/kvm/parameters/exit_cycles"
mkdir "$R/sys/module/kvm_intel"
echo 1 >"$R/sys/module/kvm_intel/refcnt"
try no 0 "${uninstall[@]}"
is "installed, but the stock modules are loaded: they stay, though VMs run" "$status:$(cat "$R/removed" 2>/dev/null):$(ls "$R/usr/local/lib")" 0::
host bare
touch "$R/sys/module/kvm/parameters/exit_cycles"
try no 0 "${uninstall[@]}"
is 'loaded, but not installed: unloaded' "$status:$(paste -sd, "$R/removed")" 0:kvm_intel,kvm
like 'which is said' "$err" 'the stock KVM is back$'

# the parameters of kvm_intel, which loading resets
host bare
mkdir -p "$R"/sys/module/kvm_intel/{parameters,holders/other}
echo N >"$R/sys/module/kvm_intel/parameters/nested"
cp "$T/bin/insmod" "$T/insmod"
sed -i '2i case $1 in */kvm-intel.ko) echo Y >$R/sys/module/kvm_intel/parameters/nested ;; esac' "$T/bin/insmod"
refused 'a module that uses kvm_intel' 'other is loaded, which uses KVM' "${install[@]}"
rm -r "$R/sys/module/kvm_intel/holders"
try no 0 "${install[@]}"
is 'parameters of kvm_intel are kept' "$status:$(<"$R/sys/module/kvm_intel/parameters/nested")" 0:N
cp "$T/insmod" "$T/bin/insmod"

host bare
echo 'flags : fpu v_vmsave_vmload svm_lock' >"$R/proc/cpuinfo"
refused 'a flag that only begins like it' 'this CPU offers neither VMX nor SVM' "${install[@]}"
for words in 'install x' 'uninstall x' follow 'leave 1 2' ''; do
	# shellcheck disable=SC2086 # words
	refused "install.sh $words" 'install or uninstall\?' "$T/top/scripts/install.sh" $words
done

done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a file that is held open outlives its VM and the vendor's module, and then gives EIO,
# again and again. It pins neither of them. It does pin kvm.ko; after the file is closed,
# kvm.ko unloads and leaves nothing behind. Modules can be loaded and unloaded any number of
# times, and begin with nothing counted.
# Stress: vmx svm svm:kasan svm:kcsan
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/stress.sh"

LOADS=$(size 50 4)

in_lab <<EOF
loads=$LOADS
EOF
cat >>"$T/commands" <<'EOF'
module=kvm_amd
[ $vendor = svm ] || module=kvm_intel

# users MODULE: prints the number of its users in /proc/modules.
users() {
	awk -v module=$1 '$1 == module { print $3 }' /proc/modules
}

# try WORD...: prints "ok", or why the command failed.
try() {
	if "$@" >out 2>out-errors; then echo ok; else tail -n 1 out-errors | sed 's/.*: //'; fi
}

section held
mkfifo hold-in
vmm --hold cpuid=23 <hold-in >vm &
pid=$!
exec 3>hold-in
while ! grep -qs '^hold' vm; do sleep 0.1; done
dir=$(awk '$1 == "vm" { print $4 }' vm)
before=$(users $module)
exec 4<$K/exit_cycles 5<$K/$dir/exit_cycles_hist 6<$K/$dir/vcpu0/exit_cycles 7>$K/$dir/exit_cycles_reset 8>$K/$dir/vcpu0/exit_cycles_reset 9>$K/exit_cycles_reset
echo "users of the vendor's module more: $(($(users $module) - before))"
exec 3>&-
wait $pid
echo "users after the VM: $(users $module)"
echo "read of the VM's: $(try cat <&5)"
echo "read of the vCPU's: $(try cat <&6)"
echo "reset of the VM's: $(try sh -c 'echo 0 >&7')"
echo "reset of the vCPU's: $(try sh -c 'echo 0 >&8')"
echo "unload the vendor's: $(try rmmod $module)"
echo "read of the host's: $(try cat <&4)"
echo "reset of the host's: $(try sh -c 'echo 0 >&9')"
echo "the folder: $(ls $K 2>/dev/null || echo gone)"
echo "kvm.ko unloads: $(try rmmod kvm)"
exec 4<&- 5<&- 6<&- 7>&- 8>&- 9>&-
echo "kvm.ko unloads, files closed: $(try rmmod kvm)"

section loads
n=0
while [ $n -lt $loads ]; do
	n=$((n + 1))
	lab-modules load exit_cycles=$([ $((n % 3)) = 0 ] && echo N || echo Y)
	awk '$2 == "TOTAL" && $3 { print "not zero:", $0 }' $K/exit_cycles
	exec 4<$K/exit_cycles 5<$K/exit_cycles_hist 6>$K/exit_cycles_reset
	files -r -s -t 30 never >files-out 2>&1 || cat files-out
	vmm --quiet --vcpus 2 --vms 2 cpuid=23 out-user=3 || echo "load $n: vmm failed"
	rmmod $module
	for how in "cat <&4" "cat <&5" "echo 0 >&6"; do
		[ "$(try sh -c "$how")" = "Input/output error" ] || echo "load $n: host's file, $how: not EIO"
	done
	exec 4<&- 5<&- 6>&-
done
lab-modules load
leaks
run_vmm end --vcpus 2 cpuid=211 out-user=23
EOF

judge() {
	local eio='Input/output error'
	is "$lab files held open pin neither VM nor vendor's module, and are EIO" "$(<"$F/held")" "users of the vendor's module more: 0
users after the VM: 0
read of the VM's: $eio
read of the vCPU's: $eio
reset of the VM's: $eio
reset of the vCPU's: $eio
unload the vendor's: ok
read of the host's: $eio
reset of the host's: $eio
the folder: gone
kvm.ko unloads: Resource temporarily unavailable
kvm.ko unloads, files closed: ok"
	is "$lab $LOADS times loaded and unloaded" "$(<"$F/loads")" ''
	judge_leaks
	is "$lab then: exact" "$(account_says end end.vm)" "$(vmm_says end)"
	tried "loads of the modules" "$LOADS"
	tried VMs $((2 * LOADS + 1))
}

for one in $LABS; do
	stress "$one" -c "$(cpus "$one")" || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump reset, on, off and set write the right value to the right file of the
# kernel, and to no other file. If that is impossible, one line says why.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

kvm=sys/kernel/debug/kvm
tree "$T/tree" 2 2
find "$T/tree/$kvm" -type d -exec sh -c 'for d; do : >"$d/exit_cycles_reset"; done' - {} +
parameters=$T/tree/sys/module/kvm/parameters
mkdir -p "$parameters"
for name in '' _guest _keys _slow; do
	echo before >"$parameters/exit_cycles$name"
done

# reset_by ARGUMENT...: prints the files to which exitdump writes a 0.
reset_by() {
	find "$T/tree/$kvm" -name exit_cycles_reset -exec truncate -s 0 {} +
	exitdump reset -S "$T/tree" "$@"
	(cd "$T/tree/$kvm" && find . -name exit_cycles_reset -exec grep -lx 0 {} + | sort | tr '\n' ' ')
}
is 'reset: the host' "$(reset_by)" './exit_cycles_reset '
is 'reset: a VM' "$(reset_by --vm vm1)" './1001-11/exit_cycles_reset '
is 'reset: VMs of a pattern' "$(reset_by --vm 'vm*')" './1000-11/exit_cycles_reset ./1001-11/exit_cycles_reset '
is 'reset: a vCPU' "$(reset_by --vm vm0 --vcpu 1)" './1000-11/vcpu1/exit_cycles_reset '
is 'reset: both, the first one included' "$(reset_by --vm vm0 --vcpu 0-1)" './1000-11/vcpu0/exit_cycles_reset ./1000-11/vcpu1/exit_cycles_reset '
tree "$T/many" 1 20
find "$T/many/$kvm" -type d -exec sh -c 'for d; do : >"$d/exit_cycles_reset"; done' - {} +
run sh -c 'ulimit -n 12; exec "$0" reset -S "$1" --vcpu 0-19' "$EXITDUMP" "$T/many"
is 'reset: of more vCPUs than files can be open' "$status:$out:$err:$(cat "$T/many/$kvm"/*/*/exit_cycles_reset | grep -c 0)" 0:::20
is 'reset: no such VM: nothing' "$(reset_by --vm vm7)" ''
for args in '--vm vm0' '--vm vm*' '--vm vm0 --vcpu 0-1'; do
	file=$T/tree/$kvm/1000-11/exit_cycles_reset
	[[ $args != *vcpu* ]] || file=$T/tree/$kvm/1000-11/vcpu0/exit_cycles_reset
	rm "$file"
	# shellcheck disable=SC2086 # words
	exitdump reset -S "$T/tree" $args
	is "reset $args, without its file: nothing was cleared, so no success" "$status:$out:$err" \
		"1::exitdump: $file: No such file (not copied? man exitdump shows how to copy all files)"
	: >"$file"
done
# A VM ends while it is reset: its folder goes away just before the file in it is opened.
gcc -shared -fPIC -o "$T/ends.so" "$TOP/tests/fixtures/vm-ends.c"
one_ends() {
	exitdump() { run env LD_PRELOAD="$T/ends.so" ENDS="$T/tree/$kvm/1000-11/exit_cycles_reset" GONE="$T/gone" "$EXITDUMP" "$@"; }
	reset_by "$@"
	echo "$status:$err"
}
is 'reset: a VM that has ended meanwhile: the others' "$(one_ends --vm 'vm*')" './1001-11/exit_cycles_reset 0:'
mv "$T/gone" "$T/tree/$kvm/1000-11"
for args in "-i $T/none" -g; do
	# shellcheck disable=SC2086 # words
	exitdump reset $args
	is "reset ${args%% *}: refused" "$status:$out:$err" '1::exitdump: reset: takes only --sysroot, --vm and --vcpu'
done
exitdump reset -S "$T/tree" --vm vm7
is 'and it is said' "$status:$out:$err" '1::exitdump: no VM vm7 (exitdump list shows all VMs)'

set_to() { # FILE ARGUMENT...: what stands there then, and what is said
	exitdump "${@:2}" -S "$T/tree"
	echo "$status:$out:$err:$(head -n 1 "$parameters/$1")"
}
is 'off' "$(set_to exit_cycles off)" 0:::N
is 'on' "$(set_to exit_cycles on)" 0:::Y
is 'set guest off' "$(set_to exit_cycles_guest set guest off)" 0:::offore
is 'set guest host' "$(set_to exit_cycles_guest set guest host)" 0:::hostre
is 'set keys off' "$(set_to exit_cycles_keys set keys off)" 0:::Nefore
is 'set keys on' "$(set_to exit_cycles_keys set keys on)" 0:::Yefore
is 'set slow 2ms' "$(set_to exit_cycles_slow set slow 2ms)" 0:::2000re
is 'set slow 0.003s' "$(set_to exit_cycles_slow set slow 0.003s)" 0:::3000re
is 'set slow 2500' "$(set_to exit_cycles_slow set slow 2500)" 0:::2500re
is 'set slow off' "$(set_to exit_cycles_slow set slow off)" 0:::0500re
for value in "" 0.5us 1.5us; do
	exitdump set slow "$value" -S "$T/tree"
	is "set slow '$value': refused" "$status:$out:$err" '1::exitdump: set slow: takes microseconds, a time such as 2ms, or off'
done
printf 'vm\n' >"$parameters/exit_cycles_guest"
rm "$parameters/exit_cycles_slow"
exitdump set -S "$T/tree"
is 'set: what there is' "$status:$out" '0:guest  vm         off, vm or host
keys   Yefore     on or off
slow   -          microseconds, a time such as 2ms, or off'
echo Y >"$parameters/exit_cycles_keys"
echo 2000 >"$parameters/exit_cycles_slow"
exitdump set -S "$T/tree"
like 'set: on as it is set, and a time with its unit' "$status:$out" $'^0:.*\nkeys   on         on or off\nslow   2000us     micro'
echo N >"$parameters/exit_cycles_keys"
echo 0 >"$parameters/exit_cycles_slow"
exitdump set -S "$T/tree"
like 'set: off as it is set' "$status:$out" $'^0:.*\nkeys   off        on or off\nslow   off        micro'
echo Yefore >"$parameters/exit_cycles_keys"
rm "$parameters/exit_cycles_slow"
printf '\e[2J\n' >"$parameters/exit_cycles_guest"
exitdump set -S "$T/tree"
like 'set: nothing that a terminal obeys' "$status:$out" '^0:guest  \?\[2J       off'
printf 'vm\n' >"$parameters/exit_cycles_guest"
exitdump set slow 5 -S "$T/tree"
is 'a parameter that this kernel has not: nothing is made' "$status:$out:$err:$(ls "$parameters")" \
	"1::exitdump: $parameters/exit_cycles_slow: No such file (not copied? man exitdump shows how to copy all files):exit_cycles
exit_cycles_guest
exit_cycles_keys"
while IFS='|' read -r words why; do
	# shellcheck disable=SC2086 # words
	exitdump $words -S "$T/tree"
	is "exitdump $words: refused" "$status:$out:$err" "1::exitdump: $why"
done <<'END'
set guest all|set guest: takes off, vm or host
set keys 1|set keys: takes on or off
set slow 1m|set slow: takes microseconds, a time such as 2ms, or off
set slow 99999999999|set slow: takes microseconds, a time such as 2ms, or off
set slow 1000000000|set slow: takes microseconds, a time such as 2ms, or off
set slow 999ns|set slow: takes microseconds, a time such as 2ms, or off
set slow 0.9us|set slow: takes microseconds, a time such as 2ms, or off
set slow 1000s|set slow: takes microseconds, a time such as 2ms, or off
set slow 1 2|set slow: takes microseconds, a time such as 2ms, or off
set slow|set slow: takes microseconds, a time such as 2ms, or off
set fast 1|set: fast: not one of guest, keys, slow
off 1|1: off takes options only
on --vm vm0|on: takes only --sysroot
off --vcpu 0|off: takes only --sysroot
set --json|set: takes only --sysroot
reset now|now: reset takes options only
reset -a|reset: takes only --sysroot, --vm and --vcpu
reset -r CPUID|reset: takes only --sysroot, --vm and --vcpu
reset -n 1|reset: takes only --sysroot, --vm and --vcpu
on -o exits|on: takes only --sysroot
off -s exits|off: takes only --sysroot
set -u ns|set: takes only --sysroot
set --tsc-khz 1|set: takes only --sysroot
END
exitdump set --bpf
is 'set --bpf: refused' "$status:$out:$err" '1::exitdump: set: takes only --sysroot'
is 'and nothing was written' "$(head -qn 1 "$parameters"/*)" $'Y\nvm\nYefore'
for command in on off set reset; do
	exitdump "$command" -S "$T/tree/$(printf './%.0s' {1..2040})"
	like "$command, a path too long: refused, not cut" "$status:$out:$err" '^1::exitdump: .{60}\.\.\.: File name too long$'
done

if [[ $(id -u) != 0 ]]; then
	skip 'an unprivileged user' 'not root: no second user to try as'
else
	chmod 755 "$T"
	chmod -R a+rX "$T/tree"
	cp "$EXITDUMP" "$T/exitdump"
	for args in 'reset' 'reset --vm vm0' off on 'set keys off'; do
		# shellcheck disable=SC2086 # words
		run setpriv --reuid=65534 --regid=65534 --clear-groups "$T/exitdump" $args -S "$T/tree"
		like "an unprivileged user, $args: one line with the remedy" "$status:$out:$(wc -l <"$T/.err"):$err" \
			'^1::1:exitdump: .*: Permission denied \(try as root\)$'
	done
fi

done_testing

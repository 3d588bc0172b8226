#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: the demo and the boot report start the VM that they are asked for, read the table
# of that VM, and fail if the VM or its lab fails, or if guest and host do not agree. A read
# that something fell into is made again. The guest's initrd has all that it was given. The
# test has stand-ins for the lab and the VM. (3005 and 3402 have the real ones.)
# shellcheck disable=SC2016 # the stand-ins expand it
. "${BASH_SOURCE[0]%/*}/lib.sh"

for program in busybox cpio cpuid; do
	type -P $program >/dev/null || skip_all "$program is not installed"
done
export T XDG_CACHE_HOME=$T/cache
mkdir -p "$T"/{bin,tmp,kvm,flat,top/{tools,patches/{6.1,6.12}},cache/exit_cycles/6.12/out}
cp -R "$TOP/scripts" "$T/top/"
program() {
	{ echo '#!/bin/bash'; cat; } >"$1"
	chmod +x "$1"
}

# --- on the host: the VM is a stand-in, which stops when it would, and counts its exits

cp "$TOP"/scripts/{common,demo/host,guest/stops}.sh "$TOP/scripts/demo/compare.awk" "$T/flat/"
cp "$TOP/scripts/report/host.sh" "$T/flat/report.sh"
sed -i "s,^KVM=.*,KVM=$T/kvm,; s,^PATIENCE=1800,PATIENCE=60,; s,read -r -t 5 -u,read -r -t 1 -u," "$T/flat/stops.sh"
program "$T/flat/exitdump" <<<'echo "exitdump $*"'
# table CPUID IO: the account of a VM that made so many exits of 300 and 500 cycles.
cat >"$T/table" <<'END'
table() {
	printf '# exit_cycles 1\tvendor=svm\ttsc_khz=1000\ttsc=stable\tscope=vm\nreason\tname\texits\tcycles\n'
	printf '114\tcpuid\t%s\t%s\n123\tio\t%s\t%s\n120\thlt\t7\t7000\n-\tTOTAL\t%s\t%s\n' \
		"$1" $(($1 * 300)) "$2" $(($2 * 500)) $(($1 + $2 + 7)) $(($1 * 300 + $2 * 500 + 7000))
}
END
program "$T/flat/run-vm.sh" <<'END'
. "$T/table"
[[ ! -e $T/no-start ]] || { echo "qemu: no KVM" >&2; exit 1; }
echo "$*" >"$T/started"
while (($#)); do
	case $1 in
	-pidfile) echo $$ >"$2" ;;
	-p) IFS=, read -ra reads <<<"${2#*=}"; runs=$2 ;;
	*id=qmp*) qmp=${1##*=} ;;
	*id=answers*) answers=${1##*=} ;;
	file:*) serial=${1#file:} ;;
	esac
	shift
done
exec 5<"$qmp.in" 6>"$qmp.out"
mkdir -p "$T/kvm/$$-7"
trap '[[ ! -e $T/slowly ]] || sleep 0.3; rm -rf "$T/kvm/$$-7"' EXIT
cpuid=100 io=50 n=0
now() {
	table $cpuid $io >"$T/kvm/$$-7/exit_cycles"
	echo "hist of $$" >"$T/kvm/$$-7/exit_cycles_hist"
	[[ ! -e $T/more ]] || touch "$T/kvm/$$-7"/exit_cycles_{keys,slow}
	echo '{"event": "RESUME"}'
	echo '{"timestamp": {}, "event": "STOP"}'
} >&6
go() {
	until [[ $line == *cont* ]]; do
		read -r -u 5 line || exit 0
		[[ $line != *quit* ]] || exit 0
	done
	line=''
}
# answer: prints what the guest has read; its own CPUID is not in it.
answer() {
	local leaf=${1%:*} reason=- exits=0 cycles=0
	[[ $1 != *:* ]] || reason=${1#*:}
	case $reason in
	-) exits=$((cpuid + io + 6)) cycles=$((cpuid * 300 + io * 500 + 6700)) ;;
	114) exits=$((cpuid - 1)) cycles=$(((cpuid - 1) * 300)) ;;
	123) exits=$io cycles=$((io * 500)) ;;
	120) exits=7 cycles=7000 ;;
	esac
	[[ $leaf != *[ce] ]] || exits=$cycles
	[[ ! -e $T/wrong || $reason != 123 ]] || ((++exits))
	eax=$exits edx=00000000
	[[ $leaf != *[ce] ]] || eax=0
	[[ $reason != 0xfffffffe ]] || eax=0 edx=ffffffff
	printf '%s\t%s\t%s %s: eax=0x%08x ebx=0x%08x ecx=0x00000000 edx=0x%s\n' "$leaf" "$reason" "$leaf" "$reason" "$eax" "$exits" $edx
}
if [[ $serial ]]; then
	for ((n = 0; n < ${runs#*=} + 2; n++)); do
		now
		go
		((++cpuid))
	done
	echo "guest: Linux is up"
	echo "the reads" >"$serial"
	exit "$(cat "$T/qemu-status")"
fi
while :; do
	now
	go
	((++cpuid, ++io))
	# once, another exit falls into a read
	((++n != 4)) || ((++io))
	now
	go
	answer "${reads[(n - 1) % ${#reads[@]}]}" >"$answers"
done
END
# shellcheck source=/dev/null
(. "$T/table" && table 9999 9999) >"$T/kvm/exit_cycles"
echo "hist of all" >"$T/kvm/exit_cycles_hist"
export TMPDIR=$T/tmp

# host [WORD]...: the demo's part on the host
host() { run "$T/flat/host.sh" bzImage initrd; }
touch "$T/slowly"
host
is "the demo: 0" "$status" 0
like "the VM is that" "$(<"$T/started")" '^-k bzImage -i initrd -p READS='
is "what is read: all of an AMD's, with HLT and page faults" "$(grep -o 'READS=[^ ]*' "$T/started")" \
	"READS=0x4ffffffd:0xfffffffe,0x4ffffffe,0x4fffffff$(printf ',0x4ffffffc:%s,0x4ffffffd:%s' 114 114 123 123 1024 1024 120 120 124 124)"
like "all are identical, of the VM's table, though something fell into one" "$out" $'\nidentical: all 12 reads'
like "the table is shown" "$out" $'host# cat [^\n]*kvm/[0-9]*-7/exit_cycles\n# exit_cycles 1\tvendor=svm.*\nexitdump --input [^\n]*-7/exit_cycles'
is "nothing stays, though the VM takes time to end" "$(ls -A "$T/tmp")$(ls "$T/kvm")" $'exit_cycles\nexit_cycles_hist'
rm "$T/slowly"
sed '/^verbose=1$/,$d' "$T/flat/host.sh" >"$T/flat/functions"
is "what is read on Intel: with HLT and EPT violations" "$(bash -c '. "$0"; reads $(reasons vmx)' "$T/flat/functions")" \
	"0x4ffffffd:0xfffffffe,0x4ffffffe,0x4fffffff$(printf ',0x4ffffffc:%s,0x4ffffffd:%s' 10 10 30 30 48 48 12 12 32 32)"
touch "$T/wrong"
sed -i 's/^ROUNDS=[0-9]*/ROUNDS=2/' "$T/flat/host.sh"
host
is "the guest reads something else: 1" "$status" 1
like "and that is said" "$out" $'\nNOT identical: [12] of 12'
rm "$T/wrong"
touch "$T/no-start"
host
like "a VM that does not start: said soon" "$status:$err" $'^1:.*host.sh: the VM ended before its time$'
rm "$T/no-start"

report() { run "$T/flat/report.sh" bzImage initrd 2 -c 3; }
echo 0 >"$T/qemu-status"
report
is "the report's recording: 0, and its sections" "$status:$(sed -n 's/^== //p' <<<"$out" | paste -sd ' ')" \
	'0:about boot boot_hist ready ready_hist run1 run1_hist run2 run2_hist console reads'
like "its VM has the vCPUs" "$(<"$T/started")" '-p RUNS=2 -c 3 --'
is "each table is that of the VM at that time" "$(awk -F'\t' '/^== / { name = $1 } $1 == 114 { print name, $3 }' <<<"$out" | paste -sd,)" \
	'== boot 100,== ready 101,== run1 102,== run2 103'
unlike "so are the histograms" "$out" 'hist of all'
touch "$T/more"
report
is "the keys and the slow exits, where the kernel keeps them" "$(sed -n 's/^== //p' <<<"$out" | tail -n 5 | paste -sd ' ')" 'run2_hist keys slow console reads'
touch "$T/no-start"
report
like "the report's VM does not start: QEMU's own words" "$status:$err" '^1:.*qemu: no KVM$'
rm "$T/no-start"
echo 5 >"$T/qemu-status"
report
like "a VM that fails at its end: 1" "$status:$err" '^1:.*QEMU ended with status 5'

# --- outside of the lab

for name in deps kernel guest/initrd; do
	program "$T/top/scripts/$name.sh" <<<"echo \"$name \$*\" >>\$T/called"
done
program "$T/top/scripts/lab.sh" <<'END'
printf '%s\n' "$*" >"$T/lab"
echo "of the lab"
exit "$(cat "$T/status")"
END
for name in make gcc; do program "$T/bin/$name" </dev/null; done
PATH=$T/bin:$PATH
# demo [WORD]...
demo() {
	: >"$T/called"
	run "$T/top/scripts/demo.sh" "$@"
	lab=$(<"$T/lab")
}
echo 0 >"$T/status"
FIRMWARE='' demo -m svm -k 6.12
is "demo.sh: 0, and the lab's output" "$status:$out" '0:of the lab'
like "in that lab" "$lab" '^-t 600 -m svm -k 6.12 -M 3072 .* -- env FIRMWARE=seabios bash ./host.sh bzImage initrd$'
like "with that kernel for the guest, which is built" "$lab:$(<"$T/called")" "-a $T/cache/exit_cycles/6.12/out/bzImage .*kernel -k 6.12 build"
demo -f ovmf -k 6.12
like "with OVMF, in more time" "$lab" '^-t 3600 -k 6.12 .*OVMF_VARS_4M.fd .* env FIRMWARE=ovmf '
FIRMWARE=ovmf demo
like "or by the environment" "$lab" '^-t 3600 -k 6.1 .* env FIRMWARE=ovmf '
for one in 1 241 243; do
	echo $one >"$T/status"
	demo -k 6.12
	is "the lab's status is the demo's: $one" "$status" $one
done
is "nothing stays of it" "$(ls "$T/tmp")" ''

demo -f coreboot
is "no such firmware: said at once" "$status:$err:$(<"$T/called")" '1:demo.sh: -f coreboot: no such firmware (one of: seabios ovmf):'

# boot-report.sh, up to the recording
boot_report() { EXITDUMP=/bin/true run "$T/top/scripts/boot-report.sh" -o "$T/new/report" "$@"; }
boot_report -m svm -k 6.12 -c 3 -r 4
like "boot-report.sh: a lab that fails: one line" "$status:$out:$(grep -v '^\[' <<<"$err")" '^1::boot-report.sh: no report: the VM or its machine failed \(see above\)$'
ok "and no folder stays" test ! -e "$T/new"
like "it was that lab, with that VM" "$(<"$T/lab")" '^-t 1800 -k 6.12 -M 3072 .* -m svm -- .* env FIRMWARE=seabios bash ./host.sh bzImage initrd 4 -c 3$'
sed '$d' "$T/top/scripts/boot-report.sh" >"$T/top/scripts/functions"
is "the recording has the whole command" "$(bash -c '. "$0"; parse -m svm -k 6.12 -f ovmf -c 3 -r 4; tmp=$T; record_lab() { :; }; record; cat "$recording"' \
	"$T/top/scripts/functions" | tail -n 1)" 'scripts/boot-report.sh -m svm -k 6.12 -f ovmf -c 3 -r 4'
boot_report -m svm -f ovmf
like "with OVMF, in more time" "$(<"$T/lab")" '^-t 3600 .*OVMF_VARS_4M.fd .* env FIRMWARE=ovmf '
if ((EUID == 0)); then
	sed -i "s,^ACCOUNT=.*,ACCOUNT=$T/kvm/exit_cycles," "$T/top/scripts/boot-report.sh"
	cp "$T/flat/stops.sh" "$T/top/scripts/guest/"
	cp "$T/flat/run-vm.sh" "$T/top/scripts/"
	rm "$T/started"
	boot_report -k 6.12 -c 3 -r 1
	like "on a patched host: there, with that VM" "$(<"$T/started")" "^-k $T/cache/exit_cycles/6.12/out/bzImage -i .* -p RUNS=1 -c 3 --"
	rm "$T/started"
	sed -i "s,^ACCOUNT=.*,ACCOUNT=$T/kvm/none," "$T/top/scripts/boot-report.sh"
	boot_report -k 6.12 -c 3 -r 1 -m host
	is "on a host without an account: one line, and no VM" "$status:$(grep -v '^\[' <<<"$err"):$(ls "$T/started" 2>/dev/null)" \
		"1:boot-report.sh: $T/kvm/none: No such file (is this kernel patched, debugfs mounted? see README):"
else
	skip "on a patched host" "only root can read its account"
fi

# --- the guest

cp "$TOP/scripts/guest/initrd.sh" "$T/top/scripts/guest/"
echo one >"$T/one"
echo two >"$T/two"
initrd() { run "$T/top/scripts/guest/initrd.sh" -a "$T/one" -a "$T/two" "$T/initrd" "$@"; }
initrd show "it's"
is "initrd.sh" "$status:$out$err" 0:
mkdir "$T/root"
(cd "$T/root" && cpio -i --quiet <"$T/initrd")
is "all files and the command are in it" "$(cat "$T"/root/guest/{one,two}; sh -c '. "$0"; echo "$2"' "$T/root/guest.command")" $'one\ntwo\nit\'s'
ok "and cpuid" test -x "$T/root$(type -P cpuid)"
initrd
is "no command: none in it, for a shell" "$status:$(cpio -t --quiet <"$T/initrd" | grep -cx guest.command)" 0:0
cp "$T/initrd" "$T/before"
program "$T/bin/cpio" <<<'echo half; exit 1'
initrd show
ok "no space: the one from before stays" test "$status" -ne 0
ok "and is whole" cmp "$T/initrd" "$T/before"
is "nothing else stays" "$(ls "$T/tmp")" ''
# the end of the guest's init, in a folder of ours
sed -n '/^cd \/guest/,$p' "$TOP/scripts/guest/init" | sed "s,/guest,$T/root/guest," >"$T/init"
program "$T/bin/poweroff" <<<'echo off'
echo "set -- 'sh' '-c' 'exit 3'" >"$T/root/guest.command"
is "what the guest says in the end" "$(sh "$T/init")" $'guest: sh ended with status 3\noff'
# what the guest reads for a report: all reasons that the kernel names
for name in dd poweroff; do program "$T/bin/$name" </dev/null; done
program "$T/bin/cpuid" <<'END'
case $((${5:-0})) in
0 | 114 | 255 | 1024 | 1031) edx=00000000 ;;
*) edx=ffffffff ;;
esac
exits=5
[[ $5 != 255 && $edx == 00000000 ]] || exits=0
echo "   $3 $5: eax=0x00000000 ebx=0x0000000$exits ecx=0x00000000 edx=0x$edx"
END
sed "s,/dev/ttyS1,$T/read,; s,/tmp/run,$T/run,g" "$TOP/scripts/report/guest.sh" >"$T/guest"
RUNS=2 run sh "$T/guest"
one='0x4fffffff - 0x4ffffffe - 0x4ffffffd 0 0x4ffffffc 0 0x4ffffffd 114 0x4ffffffc 114 0x4ffffffd 255 0x4ffffffd 1024 0x4ffffffc 1024 0x4ffffffd 1031 0x4ffffffc 1031'
is "the guest reads each reason there is, and the cycles of those that happened" \
	"$status:$(sed 's/^ *\(0x4[^ ]*\) \([0-9]*\):.*/\1 \2/; s/ $/ -/' "$T/read" | paste -sd ' ')" "0:run 1 $one run 2 $one end"
program "$T/bin/cpuid" <<<'echo "   $3 $5: eax=0x0 ebx=0x00000000 ecx=0x00000000 edx=0x00000000"'
RUNS=2 run sh "$T/guest"
is "or says that there are none" "$status:$out" '1:report: the leaves are not there'

done_testing

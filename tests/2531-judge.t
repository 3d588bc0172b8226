#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a test in a lab fails if the lab fails, if the kernel complains, if a command
# complains, if nothing was counted, or if an account contradicts itself; it is skipped only
# if this host or Debian cannot have the lab. The test has a stand-in for the lab.
# shellcheck disable=SC2016 # for another shell
. "${BASH_SOURCE[0]%/*}/lib.sh"

mkdir -p "$T"/top/{patches/6.12,scripts/vmm,tests/stress} "$T/facts"
cp -R "$TOP/tests/lab" "$TOP/tests/lib.sh" "$T/top/tests/"
cp "$TOP/tests/stress/stress.sh" "$T/top/tests/stress/"
cp -R "$TOP/scripts/source" "$TOP/scripts/common.sh" "$T/top/scripts/"
printf '#!/bin/sh\n: >"$1"\n' >"$T/top/scripts/vmm/build.sh"
# The lab: sections from the folder `facts`, and the status in the file `status`.
cat >"$T/top/scripts/lab.sh" <<END
#!/bin/sh
cd "$T/facts"
for one in *; do echo "== \$one"; cat "\$one"; done
echo "lab.sh: why" >&2
exit "\$(cat "$T/status")"
END
chmod +x "$T"/top/scripts/{lab.sh,vmm/build.sh}
cat >"$T/top/tests/3999-toy.t" <<'END'
. "${BASH_SOURCE[0]%/*}/lib.sh"
. "${BASH_SOURCE[0]%/*}/lab/labs.sh"
in_lab </dev/null
for one in $LABS; do
	boot "$one" || continue
	is "counted" "$(account_says plain plain.vm)" "$(vmm_says plain)"
	is "agrees" "$(contradictions plain.vm)" ''
	is "statistics" "$(kvm_stat plain exits) $(kvm_stat plain exits 1)" '12 7'
	is "keys" "$(exits_of plain.vm 114 0x1 0x2)$(keys_of plain.vm 123)" '5 0 0x1 7'
done
done_testing
END

# The facts of a good lab. CPUID has two exits of 4 and 8 cycles, HLT one of 100, 60 of them
# halted; io one of 1000, of which 300 were stopped.
rows() {
	printf '# exit_cycles 1\tvendor=svm\ttsc_khz=1000\ttsc=stable\tscope=vm\n'
	tr ' ' '\t' <<-'END'
		reason name exits cycles total halt user max poll sched hsched stop slow
		114 cpuid 2 6 12 0 0 8 0 3 1 0 0
		120 hlt 1 10 100 60 0 100 20 30 5 0 0
		123 io 1 100 1000 0 500 700 0 100 10 300 1
		- TOTAL 4 116 1112 60 500 700 20 133 16 300 1
	END
}
# buckets REASON NAME B...: a row of the histogram with an exit in each bucket B.
buckets() {
	local i b row=$1$'\t'$2
	for ((i = 0; i < 32; i++)); do
		n=0
		for b in "${@:3}"; do ((b != i)) || ((++n)); done
		row+=$'\t'$n
	done
	echo "$row"
}
good() {
	rm -f "$T/facts"/*
	echo svm >"$T/facts/vendor"
	: >"$T/facts/errors"
	printf '%s\t0\t0\t%s\t%s\n' known 114 2 known 120 1 >"$T/facts/plain"
	printf 'stat\t0\t%s\texits\t%s\n' 0 5 1 7 - 12 >>"$T/facts/plain"
	printf '%s\t%s\t0x1\t%s\n' 114 cpuid 5 123 io 7 >"$T/facts/plain.vm_keys"
	rows >"$T/facts/plain.vm"
	{
		printf '# exit_cycles 1\tvendor=svm\nreason\tname'
		printf '\t%s' {0..31}
		echo
		buckets 114 cpuid 3 4
		buckets 120 hlt 7
		buckets 123 io 10
		buckets - TOTAL 3 4 7 10
	} >"$T/facts/plain.vm_hist"
	echo 0 >"$T/status"
}
# judged: runs the toy; $failed has the titles of its failed cases.
judged() {
	LABS=svm:6.12 run bash "$T/top/tests/3999-toy.t"
	failed=$(sed -n 's/^not ok [0-9]* - //p' <<<"$out" | paste -sd,)
}

good
judged
is "a good lab: all cases" "$status:$failed:$(tail -n 1 <<<"$out")" 0::1..6
for lab in 1 241 242 243 244 245; do
	echo $lab >"$T/status"
	judged
	is "a lab's status of $lab fails it" "$status:$failed" "1:svm 6.12: the commands ran and the kernel's log is clean"
	like "and the lab's reason is shown" "$out" '# lab.sh: why'
done
echo 246 >"$T/status"
judged
like "a machine that cannot be had is a reason to skip" "$status:$out" '^0:ok 1 - svm 6.12: all # SKIP lab.sh: why'
good
echo 'sh: vmm: not found' >"$T/facts/errors"
judged
is "a complaint" "$status:$failed" '1:svm 6.12: no command complained'
good
rm "$T/facts/errors"
judged
is "no word of complaints is no good word" "$status:$failed" '1:svm 6.12: no command complained'
good
sed -i /^known/d "$T/facts/plain"
judged
is "nothing known" "$status:$failed" 1:counted
good
sed -i '/^known/s/	2$/	3/' "$T/facts/plain"
judged
is "an exit that is not in the account" "$status:$failed" 1:counted

# contradicts TITLE FILE SED REGEX: this change of a good account is a contradiction.
contradicts() {
	good
	sed -i "$3" "$T/facts/$2"
	! cmp -s <(rows) "$T/facts/$2" || echo "# no change"
	judged
	is "contradiction: $1" "$failed" agrees
	like "contradiction: $1: named" "$out" "got: .*$4"
}
contradicts 'another format' plain.vm 's/^# exit_cycles 1/# exit_cycles 2/' 'first line'
contradicts 'exits' plain.vm_hist '/^114/s/	1/	2/' '114: 2 exits, in the histogram 3'
contradicts 'the parts' plain.vm '/^120/s/	30	5	/	36	5	/' '120: total below its parts'
contradicts 'the parts, without stop' plain.vm '/^123/s/	100	10	300/	100	10	311/' '123: total below its parts'
contradicts 'poll' plain.vm '/^120/s/	20	30/	61	30/' '120: poll above halt'
contradicts 'hsched' plain.vm '/^114/s/	3	1	/	3	4	/' '114: hsched above sched'
contradicts 'max' plain.vm '/^123/s/	700	/	701	/' '123: max above total'
contradicts "max's bucket" plain.vm '/^120/s/	100	20/	63	20/' '120: max is in bucket 6, the histogram ends at 7'
contradicts 'a sum' plain.vm '/TOTAL/s/	1112	/	1113	/' 'TOTAL total 1113, the rows make 1112'
contradicts 'the sum of slow' plain.vm '/TOTAL/s/1$/0/' 'TOTAL slow 0, the rows make 1'
contradicts 'the max of all' plain.vm '/TOTAL/s/	700	/	1000	/' 'TOTAL max 1000, of the rows 700'
contradicts 'the sum of the histogram' plain.vm_hist '/TOTAL/s/	1/	0/' 'TOTAL of the histogram 3'

# --- the words of the commands in the lab

mkdir -p "$T/bin" "$T/kvm/1-2/vcpu0" "$T/lab"
for folder in "$T/kvm/1-2" "$T/kvm/1-2/vcpu0"; do
	for part in '' _keys _slow _hist; do echo "${folder##*/}$part" >"$folder/exit_cycles$part"; done
done
cat >"$T/bin/vmm" <<'END'
#!/bin/sh
echo made
[ "$1 $2" != "--stats --after" ] || VMM_DIRS=1-2 sh -c "$3"
exit "$(cat ../vmm-status)"
END
printf '#!/bin/sh\n' >"$T/bin/sleep"
chmod +x "$T"/bin/*
sed "s,/sys/kernel/debug/kvm\$,$T/kvm,; s,/sys/kernel/debug/kmemleak,$T/kmemleak," "$TOP/tests/lab/inside.sh" >"$T/inside"
# words COMMAND: what a lab's command writes.
words() {
	(cd "$T/lab" && cat "$T/inside" - <<<"$1" >commands && PATH=$T/bin:$PATH sh commands)
}
echo 0 >"$T/vmm-status"
is "run_vmm: vmm's lines, then the accounts" "$(words 'run_vmm one cpuid=1' | paste -sd ' ')" \
	'== vendor svm == one made == one.vm 1-2 == one.vm_keys 1-2_keys == one.vm_slow 1-2_slow == one.vm_hist 1-2_hist == one.0 vcpu0 == one.0_keys vcpu0_keys == one.0_slow vcpu0_slow == one.0_hist vcpu0_hist == errors'
echo 77 >"$T/vmm-status"
like "run_vmm: a vmm that fails" "$(words 'run_vmm one cpuid=1' | paste -sd ' ')" ' == one.status 77 == errors$'
like "what a command complains about" "$(words 'no-such-command')" $'== errors\n.*no-such-command'
like "leaks: a kernel that does not look" "$(words leaks | paste -sd ' ')" '== leaks unwatched == errors$'
echo "unreferenced object" >"$T/kmemleak"
like "leaks: looked for, and told" "$(words leaks | paste -sd ' ')" '== leaks .*scan.* == errors$'

# leaks_are TEXT: how a stress test judges that.
leaks_are() {
	echo "$1" >"$T/leaks"
	# shellcheck disable=SC2016 # the shell there expands it
	run bash -c '. "$1/tests/lib.sh"; T2=$T; T=$2; LABS=svm:6.12; . "$TOP/tests/stress/stress.sh"; F=$T lab=lab; judge_leaks; T=$T2; done_testing' - "$T/top" "$T"
	echo "$status:$(grep -c SKIP <<<"$out")"
}
is "a leak fails a stress test" "$(leaks_are 'unreferenced object 0x1')" 1:0
is "no leak does not" "$(leaks_are '')" 0:0
is "nobody looked: skipped" "$(leaks_are unwatched)" 0:1
size() { STRESS_SIZE=$1 bash -c '. "$1/tests/lib.sh"; . "$TOP/tests/stress/stress.sh"; size 100 2; done_testing' - "$T/top" | head -n 1; }
is "the size of a stress test" "$(size full) $(size small)" "100 2"

done_testing

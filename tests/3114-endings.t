#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: while VMs end, the host's numbers never go backwards, not even for a moment, in the
# files and for a guest that reads them through CPUID. A reader of a file sees a reset as one step.
# Stress: svm:kasan svm:kcsan
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"

# If a vCPU ends while the host's numbers are added up, it could be missed or counted twice.
# Many vCPUs that never run make this adding-up slow, so that nearly every ending happens
# during it; the VMs that end come after them in the list. They do not change KVM's own
# static keys. So no code is patched meanwhile, and two CPUs work (see cpus in labs.sh).
in_lab <<'EOF'
idle=300 vms=30
[ ! "$LAB_DEBUG" ] || idle=100 vms=10
# at_shell NAME: runs a VM of 100 CPUID exits that then waits, until NAME.go is there, and again.
at_shell() {
	taskset 1 vmm --quiet --loop 0 --at ">$1.there; until [ -e $1.go ]; do sleep 0.02; done; rm $1.go" cpuid=100 shell=1 &
	until [ -e $1.there ]; do sleep 0.02; done
}
at_shell front
front=$!
hold idle --spare $idle cpuid=1

# ending NAME: runs VMs of 100 CPUID exits each, which end one after another.
ending() {
	section $1
	taskset 1 vmm --quiet --together --vms $vms --after 'echo >begin; sleep 0.5' cpuid=100
	echo ended >ended
}

# A reader of the file, on the second CPU.
cat >read-files <<'X'
	while [ ! -e begin ]; do sleep 0.02; done
	exec awk -v file=$K/exit_cycles 'BEGIN {
		do {
			last = (getline line <"ended") > 0
			close("ended")
			while ((getline line <file) > 0) {
				n = split(line, f, "\t")
				for (i = 3; i <= n && line !~ /^#/; i++) {
					if (f[i] + 0 < old[f[1] f[2], i] + 0)
						print "column " i " was " old[f[1] f[2], i] ", now " line
					old[f[1] f[2], i] = f[i]
				}
			}
			close(file)
			reads++
		} while (!last)
		print "reads", reads
	}'
X
taskset 2 sh -c '. ./words; . ./read-files' >reader &
reader=$!
account before
ending files
wait $reader
account after
section reader
cat reader

# A reader in a guest, on the second CPU.
rm begin ended
echo host >$P/exit_cycles_guest
taskset 2 vmm --loop 0 monotonic=100 >monotonic &
guest=$!
ending cpuid
kill $guest
wait $guest
section monotonic
cat monotonic

# Resets of the host, while a reader adds up VMs before and behind those many vCPUs.
at_shell back
back=$!
cat >read-reset <<'X'
	exec awk -v file=$K/exit_cycles 'BEGIN {
		do {
			n = 0
			while ((getline line <file) > 0)
				if (split(line, f) && f[1] == 114)
					n = f[3]
			close(file)
			if (!reads++) {
				print >"reading"
				close("reading")
			}
			if (n && n != 200)
				print "half of a reset:", n
		} while (n)
		print "reads", reads
	}'
X
section resets
echo 0 >$K/exit_cycles_reset
for round in 1 2 3 4 5 6 7 8 9 10; do
	rm *.there
	>front.go >back.go
	until [ -e front.there ] && [ -e back.there ]; do sleep 0.02; done
	taskset 2 sh -c '. ./words; . ./read-reset' >reads &
	reader=$!
	until [ -e reading ]; do sleep 0.02; done
	echo 0 >$K/exit_cycles_reset
	wait $reader
	cat reads
	rm reading
done
kill $front $back
>front.go >back.go
wait $front $back
release
EOF

judge() {
	local cpuid=10 reads asked
	[[ $vendor == vmx ]] || cpuid=114

	reads=$(sed -n 's/^reads //p' "$F/reader")
	asked=$(awk '$1 == "made" && $4 == "cpuid" { print $5 }' "$F/monotonic")
	is "$lab nothing went backwards in the host's file" "$(grep -v '^reads' "$F/reader" || true)" ''
	note "$reads reads of the file, $asked of the leaves"
	ok "$lab it was read meanwhile" test "$reads" -gt 20
	is "$lab all of the VMs that ended are there" "$(($(cell after $cpuid exits) - $(cell before $cpuid exits)))" \
		"$([[ $debug ]] && echo 1000 || echo 3000)"
	is "$lab the host's account agrees with itself" "$(contradictions after)" ''
	is "$lab nothing went backwards for a guest that reads the host's" \
		"$(awk '$1 == "bad" { print $5 }' "$F/monotonic")" 0
	ok "$lab it read meanwhile" test "$asked" -gt 100
	is "$lab a reader sees a reset as one step" "$(grep -v ^reads "$F/resets" || true)" ''
	is "$lab it read before and after each" "$(awk "\$2 > 1" "$F/resets" | wc -l)" 10
}

for one in $LABS; do
	boot "$one" -c 2 || continue
	judge
done
done_testing

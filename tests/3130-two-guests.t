#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: a healthy guest and a sick one do the same work; the sick one makes more of one
# exit, or has a slow one. The first line of exitdump compare names that exit: for VMs as they
# are, for their captures, and over an interval in which both run. For that interval, list
# shows the CPU time of their vCPU threads, and that the VMs use no other.
MACHINES=svm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lab/labs.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

in_lab <<'EOF'
# more NAME STEP...: makes a VM that did the work and these steps; the VM stays.
more() {
	guest=$1
	shift
	rm -f stays
	hold "$guest" spin=3000000 cpuid=500 out-kernel=300 wrmsr-slow=100 hlt=20 out-user=20 "$@"
	eval "$guest=$held"
	holders="$holders $holder"
}
more healthy
more exits out-user=6000
more hypercalls vmcall=20000
more slow sleep-user:20=3
for sick in exits hypercalls slow; do
	section "$sick.compare"
	eval exitdump compare "\$healthy" "\$$sick" --csv -n 1
	eval cat "$K/\$$sick/exit_cycles" >"$sick.saved"
	section "$sick.saved"
	cat "$K/$healthy/exit_cycles" >healthy.saved
	exitdump compare healthy.saved "$sick.saved" --csv -n 1
done
section table
exitdump compare $healthy $exits
section json
exitdump compare $healthy $exits --json
kill $holders
wait
# Both VMs run while exitdump looks at them.
vmm --loop 1000000 spin=200000 cpuid=20 sleep-user:1=1 >/dev/null &
healthy=$!
vmm --loop 1000000 spin=200000 cpuid=20 sleep-user:30=1 >/dev/null &
sick=$!
until [ "$(exitdump list --raw | wc -l)" = 2 ]; do sleep 0.1; done
section live
exitdump compare $healthy $sick 1 --csv -n 1
section list
exitdump list 1 1 --csv -o vcpucpu,vmmcpu
kill $healthy $sick
wait
EOF

# first SECTION: prints the reason in the first line.
first() {
	sed -n 2p "$F/$1" | cut -d, -f1
}

judge() {
	local io=IO_INSTRUCTION hypercall=VMCALL sick
	[[ $vendor == vmx ]] || io=io hypercall=hypercall

	for sick in exits:$io hypercalls:$hypercall slow:$io; do
		is "$lab many, or slow (${sick%:*}): the first line is the cause" "$(first "${sick%:*}.compare")" "${sick#*:}"
		is "$lab ${sick%:*}: of captures the same" "$(<"$F/${sick%:*}.saved")" "$(<"$F/${sick%:*}.compare")"
	done
	like "$lab many: more often, and more of its time" \
		"$(awk -F, 'NR == 2 { print ($3 > 1.5 * $2), ($5 > 1.5 * $4), ($6 > 0), ($7 > 1.5) }' "$F/exits.compare")" '^1 1 1 1$'
	like "$lab slow: about as often, and far more of its time" \
		"$(awk -F, 'NR == 2 { print ($3 < 1.5 * $2), ($5 > 3 * $4), ($7 > 3) }' "$F/slow.compare")" '^1 1 1$'
	is "$lab the table: the same, first below its heads" "$(sed -n 5p "$F/table" | cut -d' ' -f1)" "$io"
	is "$lab JSON: the same" "$(jq -r '.rows[0].name' "$F/json")" "$io"
	is "$lab over an interval: the first line is the cause" "$(first live)" "$io"
	is "$lab over an interval: the CPU of the vCPUs of both, and next to none besides" \
		"$(awk -F, 'NR > 1 { print ($1 > 0.3), ($2 < 0.1) }' "$F/list" | sort)" $'0 1\n1 1'
}

for one in $LABS; do
	boot "$one" -x -a "$EXITDUMP" || continue
	judge
done
done_testing

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Promise: exitdump reads the files of real kernels unchanged: every number of every file (awk
# checks them), and the known counts of the guests' exits.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fixtures/exitdump.sh"

for tree in "$TOP"/tests/fixtures/captures/*/; do
	name=$(basename "$tree")
	kvm=$tree/sys/kernel/debug/kvm
	wrong='' files=0
	while read -r file; do
		((++files))
		exitdump -i "$file" --raw -s reason -o reason,name,exits,cycles,total,halt,user,max
		# By name, because columns may move; a max of 0 means that there is none.
		is "$name: ${file#"$kvm/"}" "$status:$(sort -n "$T/.out")" "0:$(awk -F '\t' '
			NR == 2 { for (i = 1; i <= NF; i++) at[$i] = i }
			NR > 2 && $2 != "TOTAL" {
				print $1 "\t" $2 "\t" $at["exits"] "\t" $at["cycles"] "\t" \
					$at["total"] "\t" $at["halt"] "\t" $at["user"] "\t" \
					($at["max"] > 0 ? $at["max"] : "-")
			}' "$file" | sort -n)"
		exitdump -i "$file" --json
		[[ $status == 0 && $out == *'"hist":['* ]] || wrong+=" $file"
	done < <(find "$kvm" -name exit_cycles | sort)
	is "$name: 7 files, and their histograms" "$files:$wrong" 7:

	exitdump -S "$tree" --raw -r cpuid -o exits
	is "$name: the host: 3 CPUIDs and 23 of each of 4 vCPUs" "$out" 95
	exitdump -S "$tree" --raw -r cpuid --all-vcpus -o exits
	is "$name: each vCPU" "$out" $'23\n23\n23\n23'
	exitdump -S "$tree" --raw -r cpuid --all-vms -o exits
	is "$name: each VM" "$out" $'46\n46'
	# The guests halted 3 times each; each halt is a part of its total.
	exitdump -S "$tree" --raw -r hlt --vcpu 0-1 -o exits,name,share
	like "$name: their sum" "$out" $'^12\t(HLT|hlt)\t0\\.'
	exitdump -S "$tree"
	ok "$name: the usual table fits 80 columns" \
		awk 'length > 80 { bad = 1 } END { exit bad }' "$T/.out"
	exitdump -S "$tree" --openmetrics --all-vcpus --buckets
	is "$name: metrics" "$status:$(grep -c '^kvm_exits_total.*reason="\(cpuid\|CPUID\)"} 23$' "$T/.out")" 0:4
done

done_testing

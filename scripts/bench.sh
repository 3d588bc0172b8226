#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# bench.sh - measures the cost of the account of exits, beside the tools that people would
# use instead.
#
# Usage: scripts/bench.sh [--csv] [-o FOLDER] [PART]... [MACHINE:KERNEL]...
#
#   exits   the same guest loop in exact labs: on stock modules; on patched ones (off, on,
#           and on with keys); and on stock ones watched by ftrace, BPF and perf. Shows
#           what each way adds to an exit, and what it delivers
#   any     what exitdump --bpf adds to an exit on Debian's own kernel without the
#           patches, beside kvmexits.bt
#   reads   the cost of reading a leaf and a file, with 1 to 1000 vCPUs
#   boot    the same Linux guest boots in real QEMU, stock and patched (vmx only)
#   scale   the accounting step, compiled from the series' own header, on this machine's
#           CPUs: 1 and 2 threads
#   model   the RDTSCs and cache lines of that step
#
# Default: all parts in all labs (vmx and svm, each kernel). Prints tables, or with --csv
# the numbers: part, lab, way, item, metric, value. -o keeps the numbers as bench.csv and
# draws exits as bench.svg. In the labs one tick of the TSC is one instruction. Only scale
# is in cycles, and depends on the machine. ROUNDS in the environment: how often each lab
# boots (default 3).

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"
# shellcheck source=scripts/guest/files.sh
. "${BASH_SOURCE[0]%/*}/guest/files.sh"

BENCH=$TOP/scripts/bench
parts=() labs=() csv='' folder=''

parse() {
	local kernel
	while (($#)); do
		case $1 in
		--csv) csv=1 ;;
		-o) folder=${2:?-o: the folder is missing}; shift ;;
		-h | --help) usage; exit 0 ;;
		exits | any | reads | boot | scale | model) parts+=("$1") ;;
		vmx:* | svm:*)
			[[ " $KERNELS " == *" ${1#*:} "* ]] || die "$1: no such kernel (one of: $KERNELS)"
			labs+=("$1") ;;
		*) die "$1: not understood (-h shows the usage)" ;;
		esac
		shift
	done
	((${#parts[@]})) || parts=(exits any reads boot scale model)
	if ((!${#labs[@]})); then
		for kernel in $(available); do
			labs+=("vmx:$kernel" "svm:$kernel")
		done
	fi
	((${#labs[@]})) || die "patches/: no series there"
	[[ ! $folder ]] || mkdir -p "$folder"
}

has() {
	[[ " ${parts[*]} " == *" $1 "* ]]
}

build_lab_programs() {
	local warn=(-O2 -Wall -Wextra -Werror) program
	"$TOP/scripts/vmm/build.sh" "$tmp/vmm"
	gcc "${warn[@]}" -static -o "$tmp/ticks" "$BENCH/ticks.c"
	has exits || has any || return 0
	# The compiler of this machine knows where the kernel's headers are.
	for program in kvmexits kvmkeys; do
		clang "${warn[@]}" -g -target bpf "-I/usr/include/$(gcc -print-multiarch)" -c \
			-o "$tmp/$program.o" "$BENCH/$program.bpf.c"
	done
	gcc "${warn[@]}" -o "$tmp/bpf-exits" "$BENCH/bpf-exits.c" -lbpf
	! has any || make -s -C "$TOP/tools" BUILD="$tmp/build" PROG="$tmp/exitdump" >&2
}

# build_step: compiles the accounting step from the header as the series makes it.
build_step() {
	local header=arch/x86/kvm/exit_cycles.h shims=$tmp/step name
	mkdir -p "$shims"/{linux,asm}
	for name in linux/{jump_label,kvm_host,seqlock}.h asm/{local64,tsc}.h; do
		: >"$shims/$name"
	done
	(cd "$shims" && git apply --include=$header "$TOP/patches/${labs[0]#*:}"/*.patch)
	[[ -s $shims/$header ]] || die "patches/${labs[0]#*:}: no $header in the series"
	set -- -std=gnu11 -O2 -Wall -Wextra -Werror -I"$shims" -I"$shims/${header%/*}" -I"$BENCH" "$BENCH/step.c" -pthread
	gcc "$@" -o "$tmp/step-run"
}

# run_lab LAB OUT LAB-OPTION... -- COMMAND...
run_lab() {
	local lab=$1 out=$2
	shift 2
	"$TOP/scripts/lab.sh" -m "${lab%:*}" -k "${lab#*:}" -x "$@" >"$out" ||
		die "$lab: the lab failed (see above; $(tail -n 1 "$out"))"
}

facts() {
	awk -v part="$1" -v lab="$2" -f "$BENCH/facts.awk" >>"$tmp/facts"
}

# bench_exits LAB: runs the parts exits and reads in one boot.
bench_exits() {
	local lab=$1 part inside=() file
	for part in exits reads; do
		! has "$part" || inside+=("$part")
	done
	((${#inside[@]})) || return 0
	step "$lab: ${inside[*]}"
	set -- -t 1200 -a "$tmp/vmm" -a "$tmp/ticks" -a "$BENCH/exits.sh" -a "$BENCH/reads.sh"
	if has exits; then
		set -- "$@" -a "$tmp/bpf-exits" -a "$tmp/kvmexits.o" -a "$tmp/kvmkeys.o" -a "$(type -P perf)"
	fi
	# shellcheck disable=SC2016 # the lab's shell expands it
	run_lab "$lab" "$tmp/out" "$@" -- \
		sh -e -c 'for part; do echo "== $part"; sh "$part.sh"; done' sh "${inside[@]}"
	for part in "${inside[@]}"; do
		sed -n "/^== $part\$/,/^== /{/^== /!p}" "$tmp/out" | facts "$part" "${lab/:/ }"
	done
}

# bench_any LAB: runs the part any on Debian's stock kernel, which has BTF.
bench_any() {
	local lab=$1 stock status=0
	stock=$("$TOP/scripts/source/stock.sh" -k "${lab#*:}" 2>"$tmp/stock") || status=$?
	if ((status == 3)); then
		step "$lab: any: left out, $(tail -n 1 "$tmp/stock")"
		return
	fi
	((!status)) || die "$lab: $(tail -n 1 "$tmp/stock")"
	step "$lab: any"
	run_lab "$lab" "$tmp/out" -b "$stock/lab" -t 1200 -a "$tmp/vmm" -a "$BENCH/exits.sh" -a "$tmp/bpf-exits" \
		-a "$tmp/kvmexits.o" -a "$tmp/exitdump" -- sh -e exits.sh bpf exitdump_bpf exitdump_keys
	facts any "${lab/:/ }" <"$tmp/out"
}

# bench_boot LAB: left out on svm. There one instruction takes a nanosecond of the clock by
# which the guest waits: a first boot was not finished after nine minutes.
bench_boot() {
	local lab=$1 kernel=${1#*:} bring
	if [[ $lab == svm:* ]]; then
		step "$lab: boot: left out, too slow in this lab"
		return
	fi
	step "$lab: boot, ${ROUNDS:-3} rounds"
	bring_vm "$CACHE/$kernel/out/bzImage" "$tmp/initrd" seabios "$tmp/ticks" "$BENCH/boot.sh"
	run_lab "$lab" "$tmp/out" -M 1536 -t 1800 "${bring[@]}" -- bash ./boot.sh "${ROUNDS:-3}" bzImage initrd
	facts boot "${lab/:/ }" <"$tmp/out"
}

main() {
	local lab
	parse "$@"
	"$TOP/scripts/deps.sh" lab tool bench plot >&2
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT TERM
	: >"$tmp/facts"
	if has exits || has any || has reads || has boot; then
		build_lab_programs
	fi
	if has scale || has model; then
		build_step
	fi
	has boot && "$TOP/scripts/guest/initrd.sh" "$tmp/initrd" true
	for lab in "${labs[@]}"; do
		bench_exits "$lab"
		has any && bench_any "$lab"
		! has boot || bench_boot "$lab"
	done
	if has scale; then
		step "scale"
		"$tmp/step-run" scale 3000 >"$tmp/out"
		facts scale host <"$tmp/out"
	fi
	has model && "$tmp/step-run" model | sed 's/^model	//' | facts model host

	{
		printf 'part\tlab\tway\titem\tmetric\tvalue\n'
		cat "$tmp/facts"
	} | tr '\t' , >"$tmp/bench.csv"
	if [[ $csv ]]; then
		cat "$tmp/bench.csv"
	else
		awk -f "$BENCH/table.awk" "$tmp/facts"
	fi
	if [[ $folder ]]; then
		cp "$tmp/bench.csv" "$folder/"
		! has exits || "$TOP/scripts/plot.sh" ways -o "$folder/bench.svg" "$folder/bench.csv"
	fi
}

main "$@"

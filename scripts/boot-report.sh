#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# boot-report.sh - boots a VM, runs the cpuid program on the leaves in it five times, and
# makes a report.
#
# Usage: scripts/boot-report.sh [-m host|vmx|svm|kvm] [-k KERNEL]
#                               [-f seabios|ovmf] [-c VCPUS] [-r RUNS] [-o FOLDER]
#        scripts/boot-report.sh -i RECORDING [-o FOLDER]
#
#   -m MACHINE   host: this machine, whose kernel is patched (needs root); vmx, svm or
#                kvm: a lab of scripts/lab.sh. Default: host if this kernel has the
#                account, else the lab that lab.sh chooses
#   -k KERNEL    the kernel of the guest and of the lab, a folder of patches/ (default:
#                the first)
#   -f FIRMWARE  seabios or ovmf (default: FIRMWARE of the environment, else seabios)
#   -c VCPUS     vCPUs of the VM (default 2)
#   -r RUNS      runs of the cpuid program (default 5)
#   -o FOLDER    the folder of the report (default ./report); made if it does not exist
#   -i RECORDING starts no VM: makes the report again from the file `recording` of an
#                earlier report
#   -h           this text
#
# Writes three things: report.html, one page with everything in it (report.sh); report.md
# with its pictures (*.svg); and recording, the data of both. Never leaves half a file. In
# the lab vmx one cycle of the TSC is one instruction. EXITDUMP of the environment names
# the exitdump to use. Exit status: 0, or 1.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"
# shellcheck source=scripts/source/kernels.sh
. "${BASH_SOURCE[0]%/*}/source/kernels.sh"
# shellcheck source=scripts/guest/files.sh
. "${BASH_SOURCE[0]%/*}/guest/files.sh"

REPORT=$TOP/scripts/report
ACCOUNT=/sys/kernel/debug/kvm/exit_cycles

machine='' kernel=$(default_kernel) firmware=${FIRMWARE:-seabios} vcpus=2 runs=5 folder=report recording=''

parse() {
	local option
	while getopts :m:k:f:c:r:o:i:h option; do
		case $option in
		m) machine=$OPTARG ;;
		k) kernel=$OPTARG ;;
		f) firmware=$OPTARG ;;
		c) vcpus=$OPTARG ;;
		r) runs=$OPTARG ;;
		o) folder=$OPTARG ;;
		i) recording=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	no_more "${@:OPTIND}"
	[[ $machine ]] && one_of m machine "$machine" "host vmx svm kvm"
	one_of k kernel "$kernel" "$KERNELS"
	one_of f firmware "$firmware" "seabios ovmf"
	[[ $vcpus =~ ^[1-9][0-9]?$ ]] || die "-c $vcpus: not a number from 1 to 99"
	[[ $runs =~ ^[1-9]$ ]] || die "-r $runs: not a number from 1 to 9"
	[[ $folder ]] || die "-o: the folder is missing"
	[[ ! $recording || -f $recording && -r $recording ]] || die "$recording: no such file, or not readable"
}

build() {
	if [[ ! $EXITDUMP ]]; then
		EXITDUMP=$tmp/exitdump
		make -s -C "$TOP/tools" BUILD="$tmp/build" PROG="$EXITDUMP" >&2
	fi
	export EXITDUMP
	[[ $recording ]] && return 0
	"$TOP/scripts/kernel.sh" -k "$kernel" build >&2
	"$TOP/scripts/guest/initrd.sh" -a "$REPORT/guest.sh" "$tmp/initrd" sh guest.sh
}

check_host() {
	((EUID == 0)) || die "-m host: only root can read $ACCOUNT"
	[[ -r $ACCOUNT ]] || die "$ACCOUNT: No such file (is this kernel patched, debugfs mounted? see README)"
}

record_host() {
	local name
	mkdir "$tmp/flat"
	for name in common guest/stops run-vm report/host; do
		cp "$TOP/scripts/$name.sh" "$tmp/flat/"
	done
	step "starting the VM"
	FIRMWARE=$firmware "$tmp/flat/host.sh" "$CACHE/$kernel/out/bzImage" "$tmp/initrd" "$runs" -c "$vcpus"
}

record_lab() {
	local seconds=1800 bring
	bring_vm "$CACHE/$kernel/out/bzImage" "$tmp/initrd" "$firmware" "$TOP"/scripts/{guest/stops,report/host}.sh
	[[ $firmware != ovmf ]] || seconds=3600
	set -- -k "$kernel" -M 3072 "${bring[@]}"
	[[ $machine ]] && set -- "$@" -m "$machine"
	step "booting the lab"
	# shellcheck disable=SC2016 # the lab's shell expands it
	set -- "$@" -- sh -c 'printf "== lab\n%s\n" "$LAB_MACHINE"; exec "$@"' sh \
		env FIRMWARE="$firmware" bash ./host.sh bzImage initrd "$runs" -c "$vcpus"
	"$TOP/scripts/lab.sh" -t "$seconds" "$@"
}

# record: runs the VM and writes what it and its host say to $tmp/recording.
record() {
	{
		printf '== when\n%s\n' "$(date -u '+%F %H:%M UTC')"
		printf '== series\n%s\n' "$(git -C "$TOP" log -1 --format=%h -- "patches/$kernel" 2>/dev/null || true)"
		printf '== command\n%s\n' "scripts/boot-report.sh${machine:+ -m $machine} -k $kernel -f $firmware -c $vcpus -r $runs"
	} >"$tmp/recording"
	if [[ $machine == host ]]; then
		record_host
	else
		record_lab
	fi >>"$tmp/recording" || die "no report: the VM or its machine failed (see above)"
	recording=$tmp/recording
}

# split_recording: writes each section of the recording to a file of its own in $tmp/parts.
split_recording() {
	local name
	mkdir "$tmp/parts"
	awk -v folder="$tmp/parts" '
		/^== [a-z0-9_]+$/ { if (out) close(out); out = folder "/" $2; printf "" >out; next }
		out { print >out }' "$recording"
	for name in when command about boot ready console reads; do
		[[ -s $tmp/parts/$name ]] || die "$recording: not a recording, or cut short (no $name in it)"
	done
	runs=$(about runs)
	[[ $runs =~ ^[1-9]$ ]] || die "$recording: not a recording (its number of runs is not there)"
	last=run$runs
	[[ -s $tmp/parts/$last && -s $tmp/parts/${last}_hist ]] || die "$recording: cut short (no $last in it)"
}

about() {
	sed -n "s/^$1	//p" "$tmp/parts/about"
}

# first_line KEY: prints KEY's value from the first line of the last table.
first_line() {
	sed -n "1s/.*	$1=\([^	]*\).*/\1/p" "$tmp/parts/$last"
}

machine_name() {
	case $(cat "$tmp/parts/lab" 2>/dev/null) in
	vmx) echo "the lab: an Intel machine emulated by Bochs" ;;
	svm) echo "the lab: an AMD machine emulated by QEMU's TCG" ;;
	kvm) echo "the lab: QEMU, with this host's nested virtualization" ;;
	*) echo "this host" ;;
	esac
}

write_about() {
	printf '%s\t%s\n' when "$(<"$tmp/parts/when")" machine "$(machine_name)"
	grep '	' "$tmp/parts/about"
	printf '%s\t%s\n' guest "$(sed -n 's/^guest: //p' "$tmp/parts/console" | head -n 1)" \
		vCPUs "$(first_line vcpus)" TSC "$(first_line tsc_khz) kHz, $(first_line tsc)" \
		"guest cycles" "$(first_line guest)" series "$(cat "$tmp/parts/series" 2>/dev/null)" \
		command "$(<"$tmp/parts/command")"
}

# table NAME COLUMNS: writes one of the host's tables as CSV to $tmp/NAME.csv.
table() {
	"$EXITDUMP" --csv -i "$tmp/parts/$1" -o "$2" 2>"$tmp/why" >"$tmp/$1.csv" ||
		die "$recording: $(sed "1s/^exitdump: //; 1s|$tmp/parts/||; q" "$tmp/why")"
}

awks() {
	local program=$1
	shift
	awk -f "$TOP/scripts/plot/csv.awk" -f "$REPORT/$program" "$@" 2>"$tmp/why" ||
		die "$recording: $(head -n 1 "$tmp/why")"
}

draw() {
	local name=$1 picture=$2
	shift 2
	"$TOP/scripts/plot.sh" "$picture" -o "$tmp/page/$name.svg" "$@" ||
		die "$recording: no picture $name (see above)"
}

# as_capture FOLDER: writes the last account in the form that exitdump --sysroot reads.
as_capture() {
	local kvm=$1/sys/kernel/debug/kvm part
	mkdir -p "$kvm" "$1/proc/sys/kernel"
	about "host kernel" | sed 's/^Linux //' >"$1/proc/sys/kernel/osrelease"
	cp "$tmp/parts/$last" "$kvm/exit_cycles"
	cp "$tmp/parts/${last}_hist" "$kvm/exit_cycles_hist"
	for part in keys slow; do
		[[ ! -e $tmp/parts/$part ]] || cp "$tmp/parts/$part" "$kvm/exit_cycles_$part"
	done
}

tell() {
	"$TOP/scripts/report.sh" -s "$tmp/story" -o "$tmp/page/report.$1" "$tmp/of/recording" 2>"$tmp/why" ||
		die "$recording: $(sed "1s/^report.sh: //; 1s|$tmp/of/recording/sys/kernel/debug/kvm/||; q" "$tmp/why")"
}

write_report() {
	local tables=() names=(boot ready) run
	mkdir "$tmp/page"
	for ((run = 1; run <= runs; run++)); do
		names+=("run$run")
	done
	for run in "${names[@]}"; do
		[[ -s $tmp/parts/$run ]] || die "$recording: cut short (no $run in it)"
		table "$run" reason,name,exits,cycles
		tables+=("$tmp/$run.csv")
	done
	awks runs.awk -v "runs=$runs" "$tmp/parts/reads" "${tables[@]}" >"$tmp/runs"
	write_about >"$tmp/about"
	awks story.awk "$tmp/about" "$tmp/runs" >"$tmp/story"

	draw cycles cycles "$tmp/parts/$last"
	draw where where "$tmp/parts/$last"
	draw latency latency "$tmp/parts/$last"
	names=("${names[@]:1}")
	draw runs over-time "${names[@]/#/$tmp/parts/}"
	as_capture "$tmp/of/recording"
	tell html
	tell md
	cp "$recording" "$tmp/page/recording"
}

# make_place: makes the folder for the report first, since the rest takes minutes. Sets new,
# a folder in it, and made, the topmost folder that did not exist before.
make_place() {
	local above=$folder
	while [[ ! -e $above ]]; do
		made=$above
		above=$(dirname "$above")
	done
	if ! mkdir -p "$folder" 2>/dev/null || ! new=$(mktemp -d "$folder/.new-XXXXXX" 2>/dev/null); then
		die "$folder: cannot be made, or not written to"
	fi
}

# deliver: moves the whole report to its folder at once.
deliver() {
	cp "$tmp/page"/* "$new/" || die "$folder: could not be written"
	chmod 644 "$new"/*
	mv "$new"/* "$folder/"
	step "$folder/report.html and report.md are written"
}

# shellcheck disable=SC2317 # called by the trap
clean_up() {
	rm -rf "$tmp" ${new:+"$new"}
	[[ ! $made ]] || find "$made" -depth -type d -empty -delete 2>/dev/null || true
}

main() {
	parse "$@"
	[[ $machine || $recording || ! -r $ACCOUNT ]] || machine=host
	[[ $machine != host ]] || check_host
	tmp=$(mktemp -d) new='' made=''
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	make_place
	# shellcheck disable=SC2046 # a list of words
	"$TOP/scripts/deps.sh" $([[ $recording ]] || echo build lab) tool plot report >&2
	build
	[[ $recording ]] || record
	split_recording
	write_report
	deliver
}

main "$@"

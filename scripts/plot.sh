#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# plot.sh - draws with gnuplot where the time of exits goes.
#
# Usage: scripts/plot.sh PICTURE [-t TITLE] [-u UNIT] -o OUT.svg|OUT.png FILE...
#
#   cycles     cycles in the exit handler, by reason
#   where      where the time went: guest, handler, halted, user space, other
#   over-time  exits over time, stacked by reason
#   latency    the time from exit to entry: a histogram for each reason
#   patched    round trips of exits, patched modules beside stock ones
#   ways       what perf, ftrace, BPF and this account add to an exit
#
# FILE depends on the picture:
#   cycles, where   a capture (a copy of a debugfs file exit_cycles), or the output of
#                   exitdump --csv for a snapshot or a diff. where needs the columns
#                   total, halt and user
#   latency         a capture NAME with its copy of exit_cycles_hist beside it, called
#                   NAME_hist, or the output of exitdump --json
#   over-time       the output of `exitdump --csv INTERVAL`, or at least two captures of
#                   one VM or host, the earliest first
#   patched, ways   the output of scripts/bench.sh --csv
#
#   -o OUT     the picture: SVG or PNG, by the name; never half a file
#   -t TITLE   the title above the picture
#   -u UNIT    the unit of the times in a CSV, as in exitdump's -u: cycles (default), ns
#              or us. Captures are in cycles
#   -h         this text
#
# Needs gnuplot (scripts/deps.sh plot) and exitdump: EXITDUMP of the environment, the
# checkout's, or that on PATH. Exit status: 0, or 1 after an error in one line.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

PLOT=$TOP/scripts/plot
PICTURES="cycles where over-time latency patched ways"

parse() {
	local option
	[[ $1 != -h && $1 != --help ]] || { usage; exit 0; }
	(($#)) || die "no picture named (one of: $PICTURES; -h shows the usage)"
	picture=$1
	shift
	[[ " $PICTURES " == *" $picture "* ]] || die "$picture: no such picture (one of: $PICTURES)"
	head='' unit=cycles out=''
	while getopts :t:u:o:h option; do
		case $option in
		t) head=$OPTARG ;;
		u) unit=$OPTARG ;;
		o) out=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	files=("$@")

	[[ $out == *.svg || $out == *.png ]] || die "-o ${out:-(missing)}: a name that ends in .svg or .png is needed"
	format=${out##*.}
	[[ $head != *[[:cntrl:]]* ]] || die "-t: a title is one line"
	[[ " cycles ns us " == *" $unit "* ]] || die "-u $unit: no such unit (cycles, ns or us)"
	((${#files[@]})) || die "no file to draw (-h shows what there can be)"
	[[ $picture == over-time ]] || ((${#files[@]} == 1)) || die "${files[1]}: $picture draws one file"
}

find_gnuplot() {
	type -P gnuplot >/dev/null || die "gnuplot: not found (scripts/deps.sh plot installs it)"
}

is_capture() {
	[[ $(head -c 14 "$1" | tr -d '\0') == "# exit_cycles "* ]]
}

# read_files: copies the files, so that a pipe works and errors show early. A capture's
# histogram lies beside it.
read_files() {
	local i file
	for ((i = 0; i < ${#files[@]}; i++)); do
		file=${files[i]}
		[[ -r $file && ! -d $file ]] || die "$file: no such file, or not readable"
		mkdir "$tmp/$i"
		cat "$file" >"$tmp/$i/in"
		[[ ! -f ${file}_hist || ! -r ${file}_hist ]] || cat "${file}_hist" >"$tmp/$i/in_hist"
	done
}

# through NUMBER COMMAND...: runs COMMAND on file NUMBER. An error names the copy; it becomes
# one line that names the file.
through() {
	local file=${files[$1]} text i
	shift
	"$@" 2>"$tmp/why" || {
		text=$(head -n 1 "$tmp/why")
		text=${text#exitdump: }
		for ((i = 0; i < ${#files[@]}; i++)); do
			text=${text//"$tmp/$i/in"/"${files[i]}"}
		done
		die "$file: ${text#"$file: "}"
	}
}

# csv NUMBER COLUMNS: writes a file as CSV to $tmp/csv.
csv() {
	local in=$tmp/$1/in
	if is_capture "$in"; then
		find_exitdump
		[[ $unit == cycles ]] || die "-u $unit: a capture is in cycles (exitdump -i ${files[$1]} -u $unit --csv turns it into a CSV)"
		through "$1" "$EXITDUMP" -i "$in" --csv -o "$2" >"$tmp/csv"
	else
		cp "$in" "$tmp/csv"
	fi
}

gnuplot_why() {
	grep -v warning "$tmp/why" | grep -m 1 -E 'line [0-9]+:|[a-z]' || true
}

# name_svg: sets the title that a browser shows under the pointer and a screen reader says.
name_svg() {
	local title=${head:-$picture}
	[[ $format == svg ]] || return 0
	title=${title//&/\&amp;}
	TITLE=${title//</\&lt;} awk '
		$0 == "<title>Gnuplot</title>" { $0 = "<title>" ENVIRON["TITLE"] "</title>" }
		{ sub(/<title>gnuplot_plot_[0-9a-z]*<\/title>/, ""); print }' \
		"$tmp/picture" >"$tmp/named"
	mv "$tmp/named" "$tmp/picture"
}

# draw HEIGHT SETTING...: runs gnuplot on $tmp/data; the settings set its variables.
draw() {
	local height=$1 settings
	shift
	settings="data='data'; out='picture'; format='$format'; width=800; height=$height; head='${head//\'/\'\'}'"
	(cd "$tmp" && gnuplot -e "$settings$(printf '; %s' "$@")" "$PLOT/style.gp" "$gp") </dev/null >"$tmp/why" 2>&1 ||
		die "$out: gnuplot failed: $(gnuplot_why)"
	[[ -s $tmp/picture ]] || die "$out: gnuplot drew nothing: $(gnuplot_why)"
	name_svg
}

awks() {
	local program=$1
	shift
	awk "$@" -f "$PLOT/csv.awk" -f "$PLOT/$program"
}

# by_reason: draws the pictures cycles and where.
by_reason() {
	local guest='' columns=name,exits,cycles rows
	[[ $picture != where ]] || columns+=,total,halt,user
	csv 0 "$columns"
	is_capture "$tmp/0/in" && guest=$(sed -n '1s/.*\tguest=\([0-9]*\).*/\1/p' "$tmp/0/in")
	through 0 awks reasons.awk -v "kind=$picture" -v "guest=$guest" <"$tmp/csv" >"$tmp/data"
	rows=$(wc -l <"$tmp/data")
	draw $((90 + 26 * rows)) "rows=$rows" "most=$(cut -f 2 "$tmp/data" | sort -g | tail -n 1)" "guest=$((${#guest} > 0))" "unit='$(unit_name)'"
}

unit_name() {
	case $unit in
	cycles) echo "TSC cycles" ;;
	ns) echo nanoseconds ;;
	us) echo microseconds ;;
	esac
}

# steps: prints the differences between successive captures as CSV.
steps() {
	local i a b
	echo time,name,exits
	for ((i = 1; i < ${#files[@]}; i++)); do
		a=$tmp/$((i - 1))/in b=$tmp/$i/in
		through "$i" "$EXITDUMP" diff "$a" "$b" --csv -o name,exits >"$tmp/csv"
		sed "1d; s/^/$i,/" "$tmp/csv"
		basename "${files[i]}" | tr -dc ' -~\n' >>"$tmp/names"
	done
}

over_time() {
	local i steps=0 columns
	if ((${#files[@]} > 1)); then
		for ((i = 0; i < ${#files[@]}; i++)); do
			is_capture "$tmp/$i/in" || die "${files[i]}: not a capture; of other files, over-time draws only one"
		done
		find_exitdump
		steps=$((${#files[@]} - 1))
		steps >"$tmp/spans"
	else
		is_capture "$tmp/0/in" && die "${files[0]}: one capture shows no span of time (two are needed, or exitdump --csv INTERVAL)"
		cp "$tmp/0/in" "$tmp/spans"
	fi
	through 0 awks spans.awk -v "steps=${steps#0}" <"$tmp/spans" >"$tmp/data"
	columns=$(head -n 1 "$tmp/data" | tr '\t' '\n' | wc -l)
	draw 380 "steps=$steps" "columns=$columns"
}

latency() {
	local panels khz json=$tmp/0/in
	if is_capture "$json"; then
		find_exitdump
		[[ -f $tmp/0/in_hist ]] || die "${files[0]}_hist: no such file (a copy of exit_cycles_hist is needed beside ${files[0]})"
		json=$tmp/json
		through 0 "$EXITDUMP" -i "$tmp/0/in" --json >"$json"
	fi
	[[ $(head -c 11 "$json" | tr -d '\0') == '{"version":' ]] || die "${files[0]}: neither a capture nor what exitdump --json wrote"
	through 0 awks latency.awk -v "names=$tmp/names" <"$json" >"$tmp/data"
	panels=$(wc -l <"$tmp/names")
	khz=$(sed -n '1s/.*"tsc_khz":\([0-9]*\).*/\1/p' "$json")
	# The lowest and the highest bucket that are not empty.
	set -- "$(awk '$2 > 0 { if (n++ == 0 || $1 < low) low = $1; if ($1 > high) high = $1 } END { print low, high }' "$tmp/data")"
	draw $((120 + 100 * panels)) "panels=$panels" "low=${1% *}" "high=${1#* }" "khz=${khz:-0}"
}

bench() {
	local labs
	through 0 awks bench.awk -v "kind=$picture" -v "folder=$tmp" <"$tmp/0/in" >"$tmp/labs"
	mapfile -t labs <"$tmp/labs"
	draw $((40 + 300 * ${#labs[@]})) "kind='$picture'" "labs='${labs[*]}'"
}

# deliver: puts the whole picture in its place, or nothing.
deliver() {
	[[ -d $(dirname "$out") && -w $(dirname "$out") ]] || die "$out: no such folder, or no right to write there"
	trap 'rm -rf "$tmp" "$out.new"' EXIT
	cp "$tmp/picture" "$out.new" 2>"$tmp/why" || die "$(sed 's/^cp: //' "$tmp/why")"
	mv "$out.new" "$out"
}

main() {
	parse "$@"
	find_gnuplot
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	read_files
	gp=$PLOT/$picture.gp
	case $picture in
	cycles | where) by_reason ;;
	over-time) over_time ;;
	latency) latency ;;
	patched | ways) gp=$PLOT/bench.gp bench ;;
	esac
	deliver
}

main "$@"

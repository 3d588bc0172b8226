#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# report.sh - makes a page from a capture: where the time went, exits by reason, how long
# they took, the keys inside reasons, and the slow exits.
#
# Usage: scripts/report.sh [-o OUT.html|OUT.md] [-t TITLE] [-s STORY] CAPTURE
#
# CAPTURE is a folder for exitdump --sysroot (`/` is this host, now), or a saved file
# exit_cycles; exit_cycles_hist, exit_cycles_keys and exit_cycles_slow can lie beside it. The
# kernel's name comes from proc/sys/kernel/osrelease in the folder.
#
#   -o OUT     the page (default ./report.html): HTML or Markdown, by the name; never half
#              a file
#   -t TITLE   a title of your own
#   -s STORY   a file with more content, in the format that scripts/report/account.awk
#              prints. Its title and all before its first section come first on the page, the
#              rest comes last
#   -h         this text
#
# The HTML is one file. It refers to nothing outside itself and needs no JavaScript; it fits
# light and dark, phone, desktop and paper. Unknown values are `-`.
#
# Needs jq (scripts/deps.sh report) and exitdump: EXITDUMP of the environment, the
# checkout's, or that on PATH. Exit status: 0, or 1 after an error in one line.

# shellcheck source=scripts/common.sh
. "${BASH_SOURCE[0]%/*}/common.sh"

REPORT=$TOP/scripts/report
ROWS="name exits lost share cycles avg user sched hsched other halt stop total max p50 p99 slow hist"
VMS="vm vmname vcpus exits lost overhead share cycles user sched halt"
KEYS="name key what exits total cycles max"
SLOW="time lost mostly vm vmname vcpu name key what rip cycles user sched other"

parse() {
	local option
	out=report.html title='' story=''
	while getopts :o:t:s:h option; do
		case $option in
		o) out=$OPTARG ;;
		t) title=$OPTARG ;;
		s) story=$OPTARG ;;
		h) usage; exit 0 ;;
		*) bad_option ;;
		esac
	done
	shift $((OPTIND - 1))
	(($# == 1)) || die "one capture is needed (-h shows the usage)"
	capture=$1
	[[ $out == *.html || $out == *.md ]] || die "-o $out: a name that ends in .html or .md is needed"
	[[ -d $out ]] && die "$out: Is a directory"
	[[ ! $story || -f $story && -r $story ]] || die "$story: no such file, or not readable"
	[[ -r $capture && (-d $capture || -f $capture) ]] || die "$capture: no such file or folder, or not readable"
}

# ask NAME ARGUMENT...: runs exitdump on the capture; its JSON goes to $tmp/NAME.
ask() {
	local name=$1 option=-i
	shift
	[[ -d $capture ]] && option=-S
	"$EXITDUMP" "$@" "$option" "$capture" --json >"$tmp/$name" 2>"$tmp/why" ||
		die "$(sed '1s/^exitdump: //; q' "$tmp/why")"
}

# lines KIND LIST COLUMNS FILE: prints the objects of LIST in the JSON FILE, or FILE itself as
# one object, as lines for account.awk.
lines() {
	jq -r --arg kind "$1" --arg list "$2" --arg columns "$3" '
		def cell: if . == null or . == "" then "-" elif type == "array" then map(cell) | join(" ")
			else tostring | gsub("[[:cntrl:]\ufffe\uffff]"; "?") end;
		def when: (floor | strftime("%F %T.")) + ("00\((. - floor) * 1000 + 0.0005 | floor)" | .[-3:]);
		($columns | split(" ")) as $columns | ["columns", $kind] + $columns,
		(if $list == "" then . else .[$list][] end | (.time | numbers) |= when | [$kind, .[$columns[]]]) |
		map(cell) | join("\t")' "$4"
}

# facts: prints the facts of the account's head and of the capture.
facts() {
	local kernel
	kernel=$(head -c 200 "$capture/proc/sys/kernel/osrelease" 2>/dev/null | tr -d '\0' | head -n 1) || true
	jq --arg title "$title" --arg capture "$(basename -- "$(realpath -- "$capture")")" --arg kernel "${kernel:+Linux $kernel}" \
		'{ title: $title, capture: $capture, kernel: $kernel } + del(.rows, .totals) + (.totals[0] // {} | { guest, overhead })' \
		"$tmp/account" >"$tmp/facts"
	lines fact "" "title capture kernel vendor scope tsc tsc_khz vms vcpus guest overhead" "$tmp/facts"
}

# collect: prints all the data of the page.
collect() {
	local file=$capture part
	ask account
	facts
	lines row rows "$ROWS" "$tmp/account"
	lines total totals "$ROWS" "$tmp/account"
	if [[ -d $capture ]]; then
		ask vms --all-vms
		lines vm totals "$VMS" "$tmp/vms"
		file=$capture/sys/kernel/debug/kvm/exit_cycles
	fi
	for part in keys slow; do
		if [[ ! -e ${file}_$part ]]; then
			printf 'none\t%s\n' "$part"
			continue
		fi
		if [[ $part == keys ]]; then
			ask keys why
			lines key rows "$KEYS" "$tmp/keys"
			lines of_keys "" replaced "$tmp/keys"
		else
			ask slow slow
			lines slow rows "$SLOW" "$tmp/slow"
			lines of_slow "" "threshold overwritten" "$tmp/slow"
		fi
	done
}

# tell: turns the data into the content of the page.
tell() {
	collect >"$tmp/lines"
	awk -v "told=${story:+1}" -f "$TOP/scripts/plot/csv.awk" -f "$REPORT/account.awk" "$tmp/lines" >"$tmp/account.told"
	if [[ $story ]]; then
		sed '/^section/,$d' "$story"
		cat "$tmp/account.told"
		sed -n '/^section/,$p' "$story"
	else
		cat "$tmp/account.told"
	fi
}

write() {
	if [[ $out == *.md ]]; then
		awk -v "folder=$(dirname -- "$out")" -f "$REPORT/markdown.awk" "$1"
	else
		awk -v "style=$REPORT/style.css" -f "$REPORT/html.awk" "$1"
	fi
}

main() {
	parse "$@"
	type -P jq >/dev/null || die "jq: not found (scripts/deps.sh report installs it)"
	find_exitdump
	[[ -d $(dirname -- "$out") && -w $(dirname -- "$out") ]] || die "$out: no such folder, or no right to write there"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	tell >"$tmp/content"
	write "$tmp/content" >"$tmp/page"
	trap 'rm -rf "$tmp" "$out.new"' EXIT
	cp -- "$tmp/page" "$out.new" 2>"$tmp/why" || die "$(sed 's/^cp: //' "$tmp/why")"
	mv -- "$out.new" "$out"
	step "$out is written"
}

main "$@"

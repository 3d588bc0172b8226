# SPDX-License-Identifier: GPL-2.0-only
# markdown.awk - writes the content from account.awk as Markdown. Its bars are the pictures
# that lie beside it; without pictures they are left out.
#
# Usage: awk [-v folder=FOLDER] -f markdown.awk CONTENT

BEGIN {
	FS = "\t"
}

$1 == "colour" || $1 == "bar" || $1 == "caption" { next }
$1 == "picture" && (getline line <(folder "/" $2 ".svg")) <= 0 { next }

$1 !~ /^(row|sum|group|end)$/ && !($1 ~ /^(item|fact|columns)$/ && before == $1) && NR > 1 { print "" }
{ before = $1 }

$1 == "title" { print "# " escape($2) }
$1 == "section" { print "## " escape($2) }
$1 == "text" { print escape($2) }
$1 == "lead" { print escape($2) " **" escape($3) "** " escape($4) }
$1 == "fact" { print "- " escape($2) ": " escape($3) }
$1 == "columns" { print "- " escape($2) ": " escape($3) }
$1 == "item" { print "- " escape($2) }
$1 == "code" { print "    " $2 }
$1 == "picture" { print "![" escape($3) "](" $2 ".svg)" }
$1 == "head" {
	width = NF
	cells("")
	printf "|"
	for (i = 2; i <= NF; i++)
		printf " %s |", $i ~ /^(name|vm|guest|what|which|part|key|mostly|rip|when)$/ ? "---" : "---:"
	print ""
}
$1 == "row" { cells("") }
$1 == "sum" || $1 == "group" {
	$width = $width
	cells("**")
}

function cells(mark,    i) {
	printf "|"
	for (i = 2; i <= NF; i++)
		printf " %s |", $i == "" ? "" : mark escape($i) mark
	print ""
}

function escape(text) {
	gsub(/[\\|*`\[<&]/, "\\\\&", text)
	return text
}

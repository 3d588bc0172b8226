# SPDX-License-Identifier: GPL-2.0-only
# markdown.awk - content.awk's report as Markdown; its pictures lie beside it.
#
# Usage: awk -f markdown.awk CONTENT

BEGIN {
	FS = "\t"
}

$1 != "item" && $1 != "row" && $1 != "sum" && $1 != "end" && NR > 1 { print "" }
$1 == "item" && before != "item" { print "" }
{ before = $1 }

$1 == "title" { print "# " escape($2) }
$1 == "section" { print "## " escape($2) }
$1 == "text" { print escape($2) }
$1 == "item" { print "- " escape($2) }
$1 == "code" { print "    " $2 }
$1 == "picture" { print "![" escape($3) "](" $2 ".svg)" }
$1 == "head" {
	cells("")
	printf "|"
	for (i = 2; i <= NF; i++)
		printf " %s |", $i ~ /^(name|what|which|part)$/ ? "---" : "---:"
	print ""
}
$1 == "row" { cells("") }
$1 == "sum" { cells("**") }

function cells(mark,    i) {
	printf "|"
	for (i = 2; i <= NF; i++)
		printf " %s |", $i == "" ? "" : mark escape($i) mark
	print ""
}

function escape(text) {
	gsub(/[\\|*`\[<]/, "\\\\&", text)
	return text
}

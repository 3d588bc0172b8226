# SPDX-License-Identifier: GPL-2.0-only
# html.awk - content.awk's report as one page that refers to nothing outside
# itself; well-formed XML as well.
#
# Usage: awk -v folder=FOLDER -v style=FILE -f html.awk CONTENT
#
# FOLDER has the pictures, as gnuplot wrote them; FILE is the page's CSS.

BEGIN {
	FS = "\t"
}

$1 != "item" && list { print "</ul>"; list = 0 }

$1 == "title" {
	print "<!DOCTYPE html>"
	print "<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">"
	print "<head>"
	print "<meta charset=\"utf-8\"/>"
	print "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
	print "<meta name=\"color-scheme\" content=\"light dark\"/>"
	print "<title>" escape($2) "</title>"
	print "<style>"
	while ((getline line < style) > 0)
		print line
	print "</style>"
	print "</head>"
	print "<body>"
	print "<h1>" escape($2) "</h1>"
}
$1 == "section" { print "<h2>" escape($2) "</h2>" }
$1 == "text" { print "<p>" escape($2) "</p>" }
$1 == "code" { print "<pre>" escape($2) "</pre>" }
$1 == "item" {
	if (!list)
		print "<ul>"
	list = 1
	print "<li>" escape($2) "</li>"
}
$1 == "head" {
	print "<div class=\"wide\"><table>"
	print "<thead>"
	for (i = 2; i <= NF; i++)
		class[i] = $i ~ /^(name|what|which|part)$/ ? "" : " class=\"n\""
	cells("th")
	print "</thead>"
}
$1 == "row" { cells("td") }
$1 == "sum" {
	print "<tfoot>"
	cells("td")
	print "</tfoot>"
}
$1 == "end" { print "</table></div>" }
$1 == "picture" {
	print "<figure class=\"wide\">"
	inline(folder "/" $2 ".svg", $2, $3)
	print "</figure>"
}

END {
	if (list)
		print "</ul>"
	print "</body>"
	print "</html>"
}

function cells(tag,    i, text) {
	printf "<tr>"
	for (i = 2; i <= NF; i++) {
		text = escape($i)
		if (match(text, / \([-+][0-9]+\)$/))
			text = substr(text, 1, RSTART - 1) " <small>" substr(text, RSTART + 2, RLENGTH - 3) "</small>"
		printf "<%s%s>%s</%s>", tag, class[i], text, tag
	}
	print "</tr>"
}

# inline FILE NAME TEXT: the picture without its XML heading; what it names in
# itself begins with NAME, since a page has each name once.
function inline(file, name, text,    line, on) {
	while ((getline line < file) > 0) {
		if (line ~ /^<svg/) {
			on = 1
			line = line " role=\"img\" aria-label=\"" escape(text) "\""
		}
		if (!on)
			continue
		gsub(/id='/, "&" name "-", line)
		gsub(/id="/, "&" name "-", line)
		gsub(/href='#/, "&" name "-", line)
		gsub(/url\(#/, "&" name "-", line)
		print line
	}
	close(file)
}

function escape(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	gsub(/>/, "\\&gt;", text)
	gsub(/"/, "\\&quot;", text)
	return text
}

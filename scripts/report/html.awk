# SPDX-License-Identifier: GPL-2.0-only
# html.awk - writes the content from account.awk as one page, which refers to nothing
# outside itself and runs no code. The page is well-formed XML, too.
#
# Usage: awk -v style=FILE -f html.awk CONTENT
#
# FILE is the page's CSS.

BEGIN {
	FS = "\t"
}

# A list or a grid ends where another kind of element begins.
$1 != before {
	if (before in closing)
		print closing[before]
	if ($1 in opening)
		print opening[$1]
	before = $1
}
BEGIN {
	opening["item"] = "<ul>"
	closing["item"] = "</ul>"
	opening["fact"] = "<dl class=\"facts\">"
	closing["fact"] = "</dl>"
	opening["bar"] = "<div class=\"bars\">"
	opening["columns"] = "<div class=\"panels\">"
	closing["bar"] = closing["columns"] = "</div>"
}

$1 == "title" {
	print "<!DOCTYPE html>"
	print "<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">"
	print "<head>"
	print "<meta charset=\"utf-8\"/>"
	print "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
	print "<meta name=\"color-scheme\" content=\"light dark\"/>"
	print "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>"
	print "<title>" escape($2) "</title>"
	print "<style>"
	while ((getline line <style) > 0)
		print line
	print "</style>"
	print "</head>"
	print "<body>"
	print "<main>"
	print "<h1>" escape($2) "</h1>"
}
$1 == "fact" { print "<div><dt>" escape($2) "</dt><dd>" escape($3) "</dd></div>" }
$1 == "lead" { print "<p class=\"lead\">" escape($2) " <strong>" escape($3) "</strong> " escape($4) "</p>" }
$1 == "section" {
	print (sections++ ? "</section>\n" : "") "<section>"
	print "<h2>" escape($2) "</h2>"
}
$1 == "text" || $1 == "caption" { print "<p>" escape($2) "</p>" }
$1 == "code" { print "<pre>" escape($2) "</pre>" }
$1 == "item" { print "<li>" escape($2) "</li>" }

$1 == "head" {
	print "<div class=\"wide\"><table" (NF < 7 ? " class=\"small\"" : $2 == "when" ? " class=\"long\"" : "") ">"
	print "<thead>"
	width = NF
	for (i = 2; i <= NF; i++) {
		class[i] = $i ~ /^(name|vm|guest|what|which|part|key|mostly|rip|when)$/ ? "" : " class=\"n\""
		if ($i ~ /^(what|guest)$/)
			class[i] = " class=\"what\""
		meter[i] = $i == "share"
	}
	cells("th", 0)
	print "</thead>"
}
$1 == "row" { cells("td", 1) }
$1 == "group" { print "<tr class=\"group\"><th colspan=\"" width - 1 "\">" escape($2) "</th></tr>" }
$1 == "sum" {
	print "<tfoot>"
	cells("td", 0)
	print "</tfoot>"
}
$1 == "end" { print "</table></div>" }

$1 == "colour" {
	meaning[$2] = $3
	colour[$3] = $2
}
$1 == "bar" {
	printf "<div class=\"bar%s\"><b>%s</b><span class=\"track\">", ($4 == "" ? " whole" : ""), escape($2)
	for (i = 5; i <= NF; i++)
		printf "<i class=\"%s\" style=\"width:%s%%\" title=\"%s\"></i>", key($i), value($i), escape(meaning[key($i)])
	print "</span><span class=\"n\">" escape($3) "</span>" ($4 == "" ? "" : "<span class=\"n dim\">" escape($4) "</span>") "</div>"
}
$1 == "columns" {
	printf "<figure><figcaption><b>%s</b> %s</figcaption><div class=\"columns\">", escape($2), escape($3)
	for (i = 7; i <= NF; i++)
		printf "<i style=\"height:%s%%\"%s title=\"%s\"></i>", key($i), (key($i) + 0 > 0 ? "" : " class=\"none\""), escape(value($i))
	print "</div><div class=\"edges\"><span>" escape($4) "</span><span>" escape($5) "</span><span>" escape($6) "</span></div></figure>"
}

END {
	if (sections)
		print "</section>"
	print "</main>"
	print "</body>"
	print "</html>"
}

# KEY=VALUE
function key(text) {
	return substr(text, 1, index(text, "=") - 1)
}

function value(text) {
	return substr(text, index(text, "=") + 1)
}

# cells TAG BARS: prints the cells of a row; with BARS, a share gets a bar behind it.
function cells(tag, bars,    i, text, attributes) {
	printf "<tr>"
	for (i = 2; i <= NF; i++) {
		text = escape($i)
		if (match(text, / \([-+][0-9]+\)$/))
			text = substr(text, 1, RSTART - 1) " <small>" substr(text, RSTART + 2, RLENGTH - 3) "</small>"
		if (i == 2 && $i in colour)
			text = "<i class=\"" colour[$i] "\"></i>" text
		attributes = class[i]
		if (bars && meter[i] && $i ~ /^[0-9.]+%$/)
			attributes = " class=\"n share\" style=\"--part:" $i "\""
		printf "<%s%s>%s</%s>", tag, attributes, text, tag
	}
	print "</tr>"
}

function escape(text) {
	gsub(/&/, "\\&amp;", text)
	gsub(/</, "\\&lt;", text)
	gsub(/>/, "\\&gt;", text)
	gsub(/"/, "\\&quot;", text)
	return text
}

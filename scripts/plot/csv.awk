# SPDX-License-Identifier: GPL-2.0-only
# csv.awk - functions to read what exitdump --csv writes, by column names, and to
# put what was read into an order. Not a program: for awk -f, before another file.

# csv_split LINE: the fields of a line (RFC 4180, no line breaks in them) into
# f[1...]; returns how many.
function csv_split(line, f,    n, c, quoted, i, text) {
	split("", f)
	text = ""
	for (i = 1; i <= length(line); i++) {
		c = substr(line, i, 1)
		if (c == "\"") {
			if (quoted && substr(line, i + 1, 1) == "\"") {
				text = text c
				i++
			} else {
				quoted = !quoted
			}
		} else if (c == "," && !quoted) {
			f[++n] = text
			text = ""
		} else {
			text = text c
		}
	}
	f[++n] = text
	return n
}

# csv_heading LINE NEEDED: which column is where, into column[]; dies where one of
# the blank-separated NEEDED is not there.
function csv_heading(line, needed,    n, i, f, need) {
	split("", column)
	columns = csv_split(line, f)
	for (i = 1; i <= columns; i++)
		column[f[i]] = i
	n = split(needed, need, " ")
	for (i = 1; i <= n; i++)
		if (!(need[i] in column))
			die("no column " need[i] " (is it what exitdump --csv wrote? add it with -o)")
}

# csv_line LINE: a line's fields into field[]; dies where they are not as many as
# in the heading.
function csv_line(line) {
	if (csv_split(line, field) != columns)
		die("line " FNR " has not the " columns " fields of the heading")
}

# csv_number NAME: a column's number on this line; dies where it is none.
function csv_number(name) {
	if (field[column[name]] !~ /^[0-9]+(\.[0-9]+)?$/)
		die("line " FNR ": " name " is no number: " plain(field[column[name]]))
	return field[column[name]] + 0
}

# plain TEXT: what can stand in any picture, and in gnuplot's data.
function plain(text) {
	gsub(/[^ !#-~]|\\/, "?", text)
	return text
}

# short NUMBER: four digits at most, with k, M, G to E behind.
function short(n,    unit) {
	unit = 1
	if (n < 1000)
		return n == int(n) ? n "" : sprintf("%.3g", n)
	while (n >= 999.5 && unit < 7) {
		n /= 1000
		unit++
	}
	return sprintf(n < 99.95 ? "%.1f" : "%.0f", n) substr(" kMGTPE", unit, 1)
}

# group NUMBER: 1,234,567
function group(n,    text) {
	if (n == "-")
		return n
	n = sprintf("%.0f", n)
	while (n ~ /[0-9][0-9][0-9][0-9]/) {
		text = "," substr(n, length(n) - 2) text
		n = substr(n, 1, length(n) - 3)
	}
	return n text
}

# by_size VALUE ORDER N: the keys ORDER[1...N] of VALUE, the largest first; equal
# ones stay as they are.
function by_size(value, order, n,    i, j, key) {
	for (i = 2; i <= n; i++) {
		key = order[i]
		for (j = i - 1; j >= 1 && value[order[j]] < value[key]; j--)
			order[j + 1] = order[j]
		order[j + 1] = key
	}
}

# Not in END as well: exit goes there.
function die(text) {
	print text >"/dev/stderr"
	died = 1
	exit 1
}

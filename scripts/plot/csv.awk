# SPDX-License-Identifier: GPL-2.0-only
# csv.awk - functions that read the output of exitdump --csv by column names, and sort it.
# Not a program: give it to awk with -f before another file.

# csv_split LINE F: puts the fields of a line into F[1...], and returns their number (RFC 4180,
# without line breaks in fields).
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

# csv_heading LINE NEEDED: notes the place of each column in column[]; dies if one of NEEDED
# (names between blanks) does not exist.
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

# csv_line LINE: puts a line's fields into field[]; dies unless there are as many as in the
# heading.
function csv_line(line) {
	if (csv_split(line, field) != columns)
		die("line " FNR " has not the " columns " fields of the heading")
}

# csv_number NAME: returns the number in column NAME of this line; dies if it is not a number.
function csv_number(name) {
	if (field[column[name]] !~ /^[0-9]+(\.[0-9]+)?$/)
		die("line " FNR ": " name " is no number: " plain(field[column[name]]))
	return field[column[name]] + 0
}

# plain TEXT: returns TEXT with only characters that any picture and gnuplot's data can hold.
function plain(text) {
	gsub(/[^ !#-~]|\\/, "?", text)
	return text
}

# short NUMBER: returns at most four digits, with k, M, G to E behind them.
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

# by_size VALUE ORDER N: sorts the keys ORDER[1...N] by VALUE, the largest first; equal ones
# keep their order.
function by_size(value, order, n,    i, j, key) {
	for (i = 2; i <= n; i++) {
		key = order[i]
		for (j = i - 1; j >= 1 && value[order[j]] < value[key]; j--)
			order[j + 1] = order[j]
		order[j + 1] = key
	}
}

# END checks died, because awk runs END after exit.
function die(text) {
	print text >"/dev/stderr"
	died = 1
	exit 1
}

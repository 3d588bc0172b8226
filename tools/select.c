// SPDX-License-Identifier: GPL-2.0-only
/* select.c - matching reasons against a list of names, numbers and patterns. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "view.h"

/* reasons_valid() - whether it is a list with commas and without empty items. */
bool reasons_valid(const char *reasons)
{
	return *reasons && *reasons != ',' && !strstr(reasons, ",,") &&
		reasons[strlen(reasons) - 1] != ',';
}

static bool word_picks(const char *of, size_t len, const struct row *row)
{
	const char *word = strndupa(of, len);
	bool hex = !strncasecmp(word, "0x", 2);
	long long number;
	char *end;

	number = strtoll(word, &end, hex ? 16 : 10);
	if (*word && !*end)
		return number == row->key.reason && number <= UINT32_MAX;
	return !fnmatch(word, row->name, FNM_CASEFOLD);
}

/* reason_picked() - whether the list matches the row's reason. */
bool reason_picked(const char *reasons, const struct row *row)
{
	size_t len;

	for (; reasons; reasons = reasons[len] ? reasons + len + 1 : NULL) {
		len = strcspn(reasons, ",");
		if (word_picks(reasons, len, row))
			return true;
	}
	return false;
}

/* reason_there() - whether the list matches any row: a reason has a row once it has happened. */
bool reason_there(const char *reasons, const struct sample *s)
{
	for (size_t i = 0; i < s->nparts; i++) {
		for (size_t r = 0; r < s->parts[i].account.nrows; r++) {
			if (reason_picked(reasons, &s->parts[i].account.rows[r]))
				return true;
		}
	}
	return false;
}

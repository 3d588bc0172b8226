// SPDX-License-Identifier: GPL-2.0-only
/*
 * symbols.c - names for addresses of a guest's kernel, from its System.map or
 * kallsyms:
 *
 *	ffffffff81000000 T _stext
 *	ffffffffc0201000 t virtnet_poll	[virtio_net]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "files.h"
#include "symbols.h"

enum {
	LINE = 1024,		/* the longest name of 6.12 has 511 bytes */
	MAX_SYMBOLS = 1 << 22,	/* a kernel and its modules have some 200,000 */
	MAX_OFFSET = 1 << 20,	/* the most bytes behind the last symbol */
};

static struct symbol {
	uint64_t address;
	char *name;		/* NULL: a symbol of data, where no code runs */
} *symbols;
static size_t nsymbols;

/* Parse a line of the table. Returns what is wrong, or NULL. */
static const char *read_line(char *line)
{
	size_t digits = strspn(line, "0123456789abcdef");
	struct symbol symbol = { 0 };
	char *name = line + digits + 3;

	if (!digits || digits > 16 || line[digits] != ' ' || !line[digits + 1] || line[digits + 2] != ' ')
		return "not an address, a letter and a name";
	name[strcspn(name, " \t")] = '\0';	/* what follows is the module */
	if (!*name)
		return "not an address, a letter and a name";
	if (nsymbols == MAX_SYMBOLS)
		return "more symbols than any kernel has";
	symbol.address = strtoull(line, NULL, 16);
	if (strchr("tTwW", line[digits + 1])) {
		printable(name);
		symbol.name = need(strdup(name));
	}
	symbols = need_room(symbols, nsymbols, sizeof(*symbols));
	symbols[nsymbols++] = symbol;
	return NULL;
}

static const char *read_all(FILE *from, unsigned int *n)
{
	const char *why = NULL;
	char line[LINE];
	size_t len;

	for (*n = 1; !why && fgets(line, sizeof(line), from); ++*n) {
		len = strlen(line);
		if (!len || line[len - 1] != '\n')
			return feof(from) ? "cut off (copy it again)" : "too long, or not text";
		line[len - 1] = '\0';
		why = read_line(line);
	}
	--*n;
	return why;
}

/* By address; at one address, symbols with a name first, by the alphabet. */
static int by_address(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	if (!x->name || !y->name)
		return !x->name - !y->name;
	return strcmp(x->name, y->name);
}

/* symbols_read() - read a table of symbols. 0, or -1 with the reason in `failure`. */
int symbols_read(const char *path)
{
	FILE *from = fopen(path, "re");
	const char *why;
	unsigned int n;

	if (!from)
		return fail_errno(path);
	why = read_all(from, &n);
	if (ferror(from)) {
		fail_errno(path);
		fclose(from);
		return -1;
	}
	fclose(from);
	if (why)
		return fail("%s: line %u: %s", path, n, why);
	if (nsymbols)
		qsort(symbols, nsymbols, sizeof(*symbols), by_address);
	if (!nsymbols || !symbols[nsymbols - 1].address)
		return fail("%s: has no addresses (copy kallsyms as root: others read zeros)", path);
	return 0;
}

/*
 * symbol_name() - "symbol+0x1f", or NULL if the address is in no symbol. The text is
 * valid until the call after the next, so that two can be compared.
 */
const char *symbol_name(uint64_t address)
{
	static char texts[2][LINE + 24];
	static int turn;
	size_t low = 0, high = nsymbols, mid;
	char *text = texts[turn ^= 1];
	const struct symbol *symbol;

	while (low < high) {	/* low becomes the number of symbols at or before it */
		mid = (low + high) / 2;
		if (symbols[mid].address <= address)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return NULL;
	for (symbol = &symbols[low - 1]; symbol > symbols && symbol[-1].address == symbol->address; )
		symbol--;
	if (!symbol->name || (low == nsymbols && address - symbol->address >= MAX_OFFSET))
		return NULL;
	snprintf(text, sizeof(texts[0]), "%s+0x%lx", symbol->name, address - symbol->address);
	return text;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * owners.c - the owners of I/O ports and of pages, from QEMU's own map, `info mtree -f -o`:
 *
 *	FlatView #2
 *	 AS "I/O", root: io
 *	 Root memory region: io
 *	  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan owner:{dev path=/machine/...}
 *	  0000000000000008-000000000000003f (prio 0, i/o): io @0000000000000008 parent:{obj path=...}
 *	  000000000000c040-000000000000c05f (prio 1, i/o): virtio-pci owner:{dev id=net0}
 *
 * Address spaces that look the same share a view. An empty line ends each view. vCPUs use
 * the address spaces "memory" and "I/O". Ports of the root region belong to no device.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "files.h"
#include "out.h"
#include "owners.h"
#include "qmp.h"

/* Named for one page: a guest may have devices with any number of regions. */
enum { MOST_OWNERS = 16 };

struct range {
	uint64_t from, to;
	const char *name, *id;	/* id: the device's, or "" */
};

static struct map {
	const char *as;
	bool there;		/* QEMU has listed it */
	struct range *ranges;	/* rising */
	size_t n;
} maps[N_SPACES] = {
	[SPACE_MEMORY] = { .as = " AS \"memory\", root: " },
	[SPACE_PORTS] = { .as = " AS \"I/O\", root: " },
};

/* Parse an address of 16 hexadecimal digits. */
static bool address(char **at, uint64_t *n)
{
	char digits[17] = "";

	strncpy(digits, *at, 16);
	if (strspn(digits, "0123456789abcdef") < 16)
		return false;
	*n = strtoull(digits, NULL, 16);
	*at += 16;
	return true;
}

/* Parse a region's name, and its owner behind it. False if it has no name. */
static bool read_name(char *text, struct range *range, bool *owned)
{
	char *owner = strstr(text, " owner:{"), *parent = strstr(text, " parent:{");
	char *end = owner ?: parent ?: strstr(text, " orphan"), *offset;
	uint64_t n;

	*owned = owner;
	range->name = text;
	range->id = "";
	if (!end)
		return false;
	*end = '\0';
	offset = end - text > 18 ? end - 18 : "";
	if (!strncmp(offset, " @", 2) && (offset += 2, address(&offset, &n)))
		end[-18] = '\0';
	if (owner && !strncmp(owner + 8, "dev id=", 7)) {
		range->id = owner + 15;
		owner[15 + strcspn(range->id, "}")] = '\0';
	}
	return *text;
}

/* Parse "FROM-TO (prio N, KIND): NAME..." into the map, except regions of the root. */
static bool read_range(struct map *map, char *line, const char *root)
{
	const struct range *last = map->n ? &map->ranges[map->n - 1] : NULL;
	struct range range;
	bool owned;

	if (!address(&line, &range.from) || *line++ != '-' || !address(&line, &range.to) ||
	    strncmp(line, " (prio ", 7) || range.from > range.to || (last && range.from <= last->to))
		return false;
	line = strstr(line, "): ");
	if (!line || !read_name(line + 3, &range, &owned))
		return false;
	map->there = true;
	if (!owned && !strcmp(range.name, root))
		return true;
	map->ranges = need_room(map->ranges, map->n, sizeof(range));
	map->ranges[map->n++] = range;
	return true;
}

/* Parse a line of a view; false if it is none. */
static bool read_line(struct map **map, const char **root, char *line)
{
	if (!*line)
		*map = NULL;
	if (*map && !strncmp(line, "FlatView #", 10))
		return false;
	for (int i = 0; i < N_SPACES; i++) {
		if (strncmp(line, maps[i].as, strlen(maps[i].as)))
			continue;
		if (*map || maps[i].there)
			return false;
		*map = &maps[i];
	}
	if (!strncmp(line, " Root memory region: ", 21))
		*root = line + 21;
	return !*map || strncmp(line, "  ", 2) || read_range(*map, line + 2, *root);
}

/* owners_parse() - parse the map, and keep its text. 0, or -1 with the reason in `failure`. */
int owners_parse(const char *socket, char *text)
{
	static char *kept;
	const char *root = "";
	struct map *map = NULL;
	char *line;

	free(kept);
	kept = text;
	for (int i = 0; i < N_SPACES; i++) {
		maps[i].n = 0;
		maps[i].there = false;
	}
	while ((line = strsep(&text, "\n")) && text) {
		line[strcspn(line, "\r")] = '\0';
		printable(line);
		if (!read_line(&map, &root, line))
			return fail("%s: QEMU's `info mtree -f -o` has a line that exitdump cannot read: %.100s", socket, line);
	}
	for (int i = 0; i < N_SPACES; i++) {
		if (map || !maps[i].there)
			return fail("%s: QEMU's `info mtree -f -o` lacks a complete map of memory and I/O (it needs QEMU 3 or later)",
				    socket);
	}
	return 0;
}

static bool same_owner(const struct range *a, const struct range *b)
{
	return !strcmp(a->name, b->name) && !strcmp(a->id, b->id);
}

/* The first range that does not end before `from`. */
static const struct range *find(const struct map *map, uint64_t from)
{
	size_t low = 0, high = map->n, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (map->ranges[middle].to < from)
			low = middle + 1;
		else
			high = middle;
	}
	return map->ranges + low;
}

/*
 * owners_name() - who owns these addresses: "msix-table of net0 or msix-pba of net0",
 * "unassigned" if nobody does, "" if QEMU was not asked. Too long a text ends in "...".
 */
void owners_name(enum space space, uint64_t from, uint64_t to, char *name, size_t size)
{
	const struct map *map = &maps[space];
	const struct range *first, *r, *same;
	static struct out all = { .fd = -1 };

	*name = '\0';
	if (!map->there)
		return;
	all.len = 0;
	first = find(map, from);
	for (r = first; r < map->ranges + map->n && r->from <= to; r++) {
		for (same = first; !same_owner(same, r); same++)
			;
		if (same < r)
			continue;
		if (r - first >= MOST_OWNERS) {
			out_text(&all, " or ...");
			break;
		}
		out_format(&all, "%s%s%s%s", r > first ? " or " : "", r->name, *r->id ? " of " : "", r->id);
	}
	if (!all.len)
		out_text(&all, "unassigned");
	snprintf(name, size, "%s", out_string(&all));
	if (all.len >= size)
		strcpy(name + size - 4, "...");
}

/* owners_ask() - ask QEMU for its map, and pick its VM. 0, or -1 with the reason in `failure`. */
int owners_ask(struct pick *pick, const char *socket)
{
	char *text = NULL;
	pid_t peer;
	int fd = qmp_open(socket, &peer);

	if (fd < 0)
		return -1;
	if (!pick_one_vm(pick, socket, peer))
		text = qmp_ask(fd, socket, "info mtree -f -o");
	close(fd);
	return text ? owners_parse(socket, text) : -1;
}

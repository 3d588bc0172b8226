// SPDX-License-Identifier: GPL-2.0-only
/*
 * key_names.c - names for keys: from key-names.txt, which is built in, and from files of
 * --names, which come first.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "files.h"
#include "keys.h"
#include "owners.h"

extern const char key_names_txt[] __attribute__((visibility("hidden")));

__asm__(".pushsection .rodata\n"
	"key_names_txt:\n"
	".incbin \"key-names.txt\"\n"
	".byte 0\n"
	".popsection\n");

/* The kind of key that a reason has, for the reasons of both vendors. */
static const struct {
	const char *reason, *kind;
} kinds[] = {
	{ "MSR_READ", "msr" }, { "MSR_WRITE", "msr" }, { "msr", "msr" },
	{ "MSR_READ_IMM", "msr" }, { "MSR_WRITE_IMM", "msr" },
	{ "IO_INSTRUCTION", "port" }, { "io", "port" },
	{ "CPUID", "cpuid" }, { "cpuid", "cpuid" },
	{ "VMCALL", "hypercall" }, { "hypercall", "hypercall" },
	{ "EPT_MISCONFIG", "page" }, { "EPT_VIOLATION", "access" }, { "npf", "access" },
	{ "EXTERNAL_INTERRUPT", "interrupt" }, { "EXCEPTION_NMI", "exception" },
	{ "CR_ACCESS", "cr" }, { "DR_ACCESS", "dr" },
	{ "APIC_ACCESS", "apic" }, { "APIC_WRITE", "apic" }, { "EOI_INDUCED", "eoi" },
	{ "avic_unaccelerated_access", "apic" }, { "vmgexit", "vmgexit" },
};

enum { N_KINDS = sizeof(kinds) / sizeof(*kinds), NAME = 48, OWNER = 160 };

static struct name {
	char kind[16], name[NAME];
	uint64_t from, to;
} *names;
static size_t nnames;	/* those of --names first */

static bool known_kind(const char *kind)
{
	for (int i = 0; i < N_KINDS; i++) {
		if (!strcmp(kinds[i].kind, kind))
			return true;
	}
	return false;
}

/* Parse a decimal number, or a hexadecimal one with "0x". */
static bool number(const char *word, uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(word, &end, strncasecmp(word, "0x", 2) ? 10 : 16);
	return *word >= '0' && *word <= '9' && !*end && !errno;
}

/* Parse a line of a table; skip empty lines and comments. Returns what is wrong, or NULL. */
static const char *read_line(const char *line)
{
	char from[24], to[24];
	struct name name;
	int at = 0;

	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return NULL;
	if (sscanf(line, "%15s %23s %23s %n", name.kind, from, to, &at) != 3 || !at || !line[at])
		return "not a kind, two numbers and a name";
	if (!known_kind(name.kind))
		return "no such kind of key";
	if (!number(from, &name.from) || !number(to, &name.to) || name.from > name.to)
		return "not two numbers, or the first is the larger one";
	if (strlen(line + at) >= NAME)
		return "the name has more than 47 characters";
	strcpy(name.name, line + at);
	printable(name.name);
	names = need_room(names, nnames, sizeof(*names));
	names[nnames++] = name;
	return NULL;
}

/* key_names_read() - read a table of names. 0, or -1 with the reason in `failure`. */
int key_names_read(const char *path)
{
	const char *why = NULL;
	char *line = NULL;
	size_t size = 0;
	unsigned int n;
	ssize_t len;
	FILE *from = fopen(path, "re");

	if (!from)
		return fail_errno(path);
	for (n = 1; !why && (len = getline(&line, &size, from)) > 0; n++) {
		line[strcspn(line, "\r\n")] = '\0';
		why = read_line(line);
	}
	if (!why && ferror(from))
		fail_errno(path);
	else if (why)
		fail("%s: line %u: %s", path, n - 1, why);
	why = why ?: ferror(from) ? path : NULL;
	free(line);
	fclose(from);
	return why ? -1 : 0;
}

static void read_built_in(void)
{
	const char *at = key_names_txt;
	char line[128];
	size_t len;

	for (; *at; at += len + !!at[len]) {
		len = strcspn(at, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)len, at);
		read_line(line);
	}
}

static const char *find(const char *kind, uint64_t key)
{
	static bool built_in;

	if (!built_in)
		read_built_in();
	built_in = true;
	for (const struct name *n = names; n < names + nnames; n++) {
		if (key >= n->from && key <= n->to && !strcmp(n->kind, kind))
			return n->name;
	}
	return NULL;
}

/*
 * key_name() - the name of a row's key, with its owner in QEMU; "" if there is none. The
 * text is valid until the call after the next, so that two can be compared.
 */
const char *key_name(const struct row *row)
{
	static char texts[2][NAME + OWNER + 32];
	static int turn;
	uint64_t key = row->key.key & ~KEY_L2;
	const char *kind = "", *name, *more = "", *string = "";
	char *text = texts[turn ^= 1], address[24] = "", owner[OWNER] = "";

	if (row->key.key == KEY_REST)
		return "other";
	for (int i = 0; i < N_KINDS; i++) {
		if (!strcmp(kinds[i].reason, row->name))
			kind = kinds[i].kind;
	}
	if (!strcmp(kind, "port")) {
		more = key >> 16 & 1 ? "in" : "out";
		string = key >> 17 & 1 ? ", string" : "";
		key &= 0xffff;
		owners_name(SPACE_PORTS, key, key, owner, sizeof(owner));
	} else if (!strcmp(row->name, "msr")) {
		more = key >> 32 & 1 ? "write" : "read";
		key &= UINT32_MAX;
	} else if (!strcmp(kind, "page") || (!strcmp(row->name, "npf") && key > 15)) {
		kind = "page";
		snprintf(address, sizeof(address), "at 0x%lx", key << 12);
		more = address;
		owners_name(SPACE_MEMORY, key << 12, key << 12 | 0xfff, owner, sizeof(owner));
	}
	name = find(kind, key) ?: "";
	if (row->key.key & KEY_L2 || key >> 52)
		*owner = '\0';	/* L2: the guest itself may emulate this device */
	snprintf(text, sizeof(texts[0]), "%s%s%s%s%s%s%s%s", name, *name && *owner ? ": " : "",
		 owner, (*name || *owner) && *more ? ", " : "", more, string, row->key.key & KEY_L2 && (*name || *more) ? ", " : "",
		 row->key.key & KEY_L2 ? "L2" : "");
	return text;
}

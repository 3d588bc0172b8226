// SPDX-License-Identifier: GPL-2.0-only
/* names.c - the names of guests. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "files.h"

/* printable() - replace everything that is not printable ASCII by '?'. */
void printable(char *name)
{
	for (; *name; name++) {
		if (*name < ' ' || *name > '~')
			*name = '?';
	}
}

/* Copy NAME from "NAME" or "guest=NAME,KEY=VALUE,..." in any order; ",," means a comma. */
static void copy_guest(char *name, size_t size, const char *value)
{
	const char *p = value;
	size_t i = 0;
	bool guest;

	do {
		guest = p == value && p[strcspn(p, ",=")] != '=';
		if (!strncmp(p, "guest=", 6)) {
			guest = true;
			p += 6;
		}
		for (; *p && (*p != ',' || p[1] == ','); p++) {
			p += *p == ',';
			if (guest && i < size - 1)
				name[i++] = *p;
		}
	} while (!guest && *p++);
	name[i] = '\0';
	printable(name);
}

/*
 * guest_name() - the guest's name, from the command line of the VM's process: -name
 * (QEMU: "NAME" or "guest=NAME,...") or --name (kvmtool). "" if it has no name.
 */
void guest_name(const char *root, unsigned int pid, char *name, size_t size)
{
	char path[PATH_MAX], args[32768];
	const char *arg = args, *value = NULL;
	ssize_t len;

	*name = '\0';
	snprintf(path, sizeof(path), "%s/proc/%u/cmdline", root, pid);
	len = read_small(path, args, sizeof(args));
	if (len <= 0)
		return;
	for (; arg < args + len; arg += strlen(arg) + 1) {
		if (!strcmp(arg, "-name") || !strcmp(arg, "--name"))
			value = arg + strlen(arg) + 1;
	}
	/* The last argument may be cut off. Half a name is worse than none. */
	if (!value || value >= args + len || value + strlen(value) == args + len)
		return;
	copy_guest(name, size, value);
}

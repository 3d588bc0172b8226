// SPDX-License-Identifier: GPL-2.0-only
/*
 * exitdump - shows where a KVM host's, VM's or vCPU's time goes, by exit
 * reason: reads the files that the exit_cycles patches add to debugfs.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "account.h"

#define VERSION "0.1"

enum { MAX_FILE = 1 << 20 };	/* bytes; a full SVM table is some 100 KiB */

static const char default_path[] = "/sys/kernel/debug/kvm/exit_cycles";

static void hint(const char *path, int error)
{
	errno = error;
	if (error == ENOENT && !strcmp(path, default_path))
		errx(1, "%s: No such file (is this kernel patched and kvm loaded? see README)",
		     path);
	if (error == EACCES || error == EPERM)
		errx(1, "%s: %s (try as root)", path, strerror(error));
	err(1, "%s", path);
}

/* The file's text with a NUL behind it, to be freed; ends the program on errors. */
static char *read_file(const char *path, size_t *len)
{
	char *text = malloc(MAX_FILE + 2);
	ssize_t n = 1;
	int fd;

	if (!text)
		err(1, "%s", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		hint(path, errno);
	for (*len = 0; n && *len <= MAX_FILE; *len += n > 0 ? n : 0) {
		n = read(fd, text + *len, MAX_FILE + 1 - *len);
		if (n < 0 && errno != EINTR)
			hint(path, errno);
	}
	close(fd);
	if (*len > MAX_FILE)
		errx(1, "%s: not an exit_cycles file (more than %d bytes)",
		     path, MAX_FILE);
	text[*len] = '\0';
	return text;
}

static int by_cycles(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->n[C_CYCLES] != y->n[C_CYCLES])
		return x->n[C_CYCLES] < y->n[C_CYCLES] ? 1 : -1;
	if (x->n[C_EXITS] != y->n[C_EXITS])
		return x->n[C_EXITS] < y->n[C_EXITS] ? 1 : -1;
	return x->reason < y->reason ? -1 : 1;
}

static void add_line(struct libscols_table *table, const struct account *a,
		     const struct row *row)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	uint64_t exits = row->n[C_EXITS], cycles = row->n[C_CYCLES];
	char cell[5][48];

	if (!line)
		err(1, "table");
	snprintf(cell[0], sizeof(cell[0]), "%s", row->name);
	snprintf(cell[1], sizeof(cell[1]), "%lu", exits);
	snprintf(cell[2], sizeof(cell[2]), "%lu", cycles);
	snprintf(cell[3], sizeof(cell[3]), "%.0f",
		 exits ? (double)cycles / exits : 0);
	snprintf(cell[4], sizeof(cell[4]), "%.1f%%", a->sum.n[C_CYCLES] ?
		 100.0 * cycles / a->sum.n[C_CYCLES] : 0);
	for (int i = 0; i < 5; i++)
		if (scols_line_set_data(line, i, cell[i]))
			err(1, "table");
}

static void print_table(struct account *a)
{
	static const char *const heads[] = {
		"NAME", "EXITS", "CYCLES", "AVG", "SHARE"
	};
	struct libscols_table *table = scols_new_table();

	if (!table)
		err(1, "table");
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (!scols_table_new_column(table, heads[i], 0,
					    i ? SCOLS_FL_RIGHT : 0))
			err(1, "table");
	qsort(a->rows, a->nrows, sizeof(*a->rows), by_cycles);
	for (size_t i = 0; i < a->nrows; i++)
		add_line(table, a, &a->rows[i]);
	add_line(table, a, &a->sum);
	if (scols_print_table(table))
		err(1, "table");
	scols_unref_table(table);
}

static void usage(FILE *to)
{
	fputs("Usage: exitdump [-i FILE]\n"
	      "Where a KVM host's time goes, by exit reason.\n\n"
	      "  -h, --help          this text\n"
	      "  -i, --input FILE    a saved copy instead of the running kernel's\n"
	      "  -V, --version       the version\n\n"
	      "Examples:\n"
	      "  exitdump\n"
	      "  cat /sys/kernel/debug/kvm/exit_cycles >saved; exitdump -i saved\n",
	      to);
}

static void close_stdout(void)
{
	if (fflush(stdout) || ferror(stdout) || (fclose(stdout) && errno != EBADF)) {
		warn("standard output");
		_exit(1);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "input", required_argument, NULL, 'i' },
		{ "version", no_argument, NULL, 'V' },
		{ }
	};
	const char *path = default_path, *why;
	struct account account;
	size_t len;
	char *text;
	int c;

	atexit(close_stdout);
	while ((c = getopt_long(argc, argv, "hi:V", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			usage(stdout);
			return 0;
		case 'i':
			path = optarg;
			break;
		case 'V':
			puts("exitdump " VERSION);
			return 0;
		default:
			usage(stderr);
			return 1;
		}
	}
	if (optind < argc)
		errx(1, "%s: not an option (see --help)", argv[optind]);

	text = read_file(path, &len);
	if (account_parse(&account, text, len, &why))
		errx(1, "%s: %s", path, why);
	free(text);
	print_table(&account);
	account_free(&account);
	return 0;
}

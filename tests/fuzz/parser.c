// SPDX-License-Identifier: GPL-2.0-only
/*
 * parser.c - the functions that the fuzzer calls: one for each parser that exitdump has of
 * text that others write. The parser is chosen by the name of its folder in corpus/, or by
 * PARSER in the environment:
 *
 * account	a table, a later one of the same account, and its histogram; or keys, or slow
 *		exits. If they can be read, the result goes through sums, differences and
 *		every printer.
 * compare	two captures side by side, or two spans between four
 * qmp, map	the answers of QEMU's socket, and its map of owners
 * cmdline	the command line of a process, with the name of its guest, printed
 * threads	the files of /proc and KVM about a VM, at two moments, printed
 * symbols	a System.map
 * names	a file for --names
 *
 * If an input has several files, NUL bytes separate them. Beside crashes it finds wrong
 * numbers, sums that differ from the sums of their rows, and output that a terminal would not
 * show as it is. Files are written below ".".
 *
 * With -DREPLAY it has a main() of its own that takes files, for regressions.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "fuzz.h"
#include "owners.h"
#include "qmp.h"
#include "recorded.h"

/* What these read is kept for good; here it is forgotten again. */
#include "symbols.c"
#define read_line read_line_of_names
#include "key_names.c"
#undef read_line

/* Some ports and pages, and the ends of all. */
static void try_map(char *text, size_t len)
{
	static const uint64_t at[] = { 0, 0x70, 0x510, 0xc040, 0xffff, 0xfee00000, ~0xfffULL };
	char name[40], *map = need(strndup(text, len));

	*failure = '\0';
	if (owners_parse("map", map)) {
		if (!*failure)
			abort();
		return;
	}
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		for (int space = 0; space < N_SPACES; space++) {
			owners_name(space, at[i], at[i] | 0xfff, name, sizeof(name));
			if (!*name)
				abort();
			check_printable(name);
		}
	}
}

/* The socket takes it all at once, as libFuzzer's inputs are small. */
static void try_socket(char *text, size_t len)
{
	int ends[2];
	char *map;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) || write(ends[0], text, len) < 0)
		err(1, "socketpair");
	shutdown(ends[0], SHUT_WR);
	*failure = '\0';
	map = qmp_ask(ends[1], "socket", "info");
	if (!map && !*failure)
		abort();
	if (map)
		try_map(map, strlen(map));
	free(map);
	close(ends[0]);
	close(ends[1]);
}

/* A part of the input, up to a NUL byte, as a file; where there is none the file stays. */
static void write_part(const char *path, const char **at, const char *end)
{
	size_t len;
	int fd;

	if (*at >= end)
		return;
	len = strnlen(*at, end - *at);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, *at, len) != (ssize_t)len)
		err(1, "%s", path);
	close(fd);
	*at += len + 1;
}

/* All of it, NUL bytes as well. */
static void write_all(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len)
		err(1, "%s", path);
	close(fd);
}

/* A VM of this name and with these threads, in one format: printing takes longest. */
static void print_vm(const char *vmname, const struct outside *outside)
{
	char text[] = "# exit_cycles 1\ttsc_khz=1000\nreason\tname\texits\n10\tCPUID\t1\n-\tTOTAL\t1\n";
	int format = FORMAT_TABLE + (strlen(vmname) + outside->all_ticks) % (FORMAT_METRICS + 1);
	struct sample sample;

	if (!sample_of(&sample, text, strlen(text), 1))
		abort();
	strcpy(sample.parts[0].vm, "1-1");
	snprintf(sample.parts[0].vmname, sizeof(sample.parts[0].vmname), "%s", vmname);
	sample.parts[0].outside = *outside;
	sample.seconds = 1;
	print_formats(&sample, format, format);
	sample_free(&sample);
}

static void try_cmdline(char *text, size_t len)
{
	char name[256];

	write_all("proc/1/cmdline", text, len);
	guest_name(".", 1, name, sizeof(name));
	check_printable(name);
	print_vm(name, &(struct outside){ 0 });
}

/* What /proc and KVM tell of a VM at a moment, and at a later one. */
static void try_threads(char *text, size_t len)
{
	static const char *const paths[] = {
		"proc/1/stat", "proc/1/task/1/stat", "proc/1/task/2/stat", "proc/3/stat",
		"sys/kernel/debug/kvm/1-1/irq_injections", "sys/kernel/debug/kvm/1-1/vcpu0/pid",
	};
	const char *at = text;
	struct outside moment[2];

	for (int m = 0; m < 2; m++) {
		for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
			if (!m)
				unlink(paths[i]);
			write_part(paths[i], &at, text + len);
		}
		outside_read(&moment[m], ".", 1, "1-1");
		for (size_t i = 0; i < moment[m].nthreads; i++)
			check_printable(moment[m].threads[i].name);
	}
	outside_subtract(&moment[1], &moment[0], 0.01);
	check_printable(moment[1].busiest);
	outside_free(&moment[0]);
	print_vm("", &moment[1]);
}

/* Addresses between those there are, and at the ends of all. */
static void try_symbols(char *text, size_t len)
{
	static const uint64_t some[] = { 0, 1, 0x1000, 0xffffffff81000010, ~0ULL };
	const char *name;

	write_all("symbols", text, len);
	*failure = '\0';
	if (symbols_read("symbols")) {
		if (!*failure)
			abort();
	} else {
		for (size_t i = 0; i < nsymbols + sizeof(some) / sizeof(*some); i++) {
			name = symbol_name(i < nsymbols ? symbols[i].address + i % 3 : some[i - nsymbols]);
			check_printable(name ?: "");
		}
	}
	for (size_t i = 0; i < nsymbols; i++)
		free(symbols[i].name);
	free(symbols);
	symbols = NULL;
	nsymbols = 0;
}

/* Those of one's own, and the built-in ones behind them. */
static void try_names(char *text, size_t len)
{
	static const char *const reasons[] = { "msr", "io", "CPUID", "npf", "HLT" };
	struct row row = { 0 };

	write_all("names", text, len);
	nnames = 0;
	*failure = '\0';
	if (key_names_read("names") && !*failure)
		abort();
	for (size_t i = 0; i < 4 * sizeof(reasons) / sizeof(*reasons); i++) {
		strcpy(row.name, reasons[i / 4]);
		row.key.key = (uint64_t[]){ 0x10, 0x100000010, 0x8000000000000070, KEY_REST }[i % 4];
		check_printable(key_name(&row));
	}
}

/* Two captures, or with four two spans between captures. */
static void try_compare(char *text, size_t len)
{
	static char a[] = "a", b[] = "b", from_a[] = "a,b", from_c[] = "c,d";
	const char *at = text;
	struct options opt = { .pick.root = "", .file = "/dev/null" };
	int parts = 0;

	for (; at < text + len && parts < 4; parts++)
		write_part((const char *[]){ "a", "b", "c", "d" }[parts], &at, text + len);
	if (parts < 2)
		return;
	opt.format = parts & 1 ? FORMAT_JSON : FORMAT_TABLE;
	*failure = '\0';
	if (cmd_compare(&opt, 2, parts < 4 ? (char *[]){ a, b, NULL } : (char *[]){ from_a, from_c, NULL }) &&
	    !*failure)
		abort();
}

/* exitdump.c has them. */
void usage(void) { }
void version(void) { }

static const struct parser {
	const char *name;
	void (*try)(char *text, size_t len);
} parsers[] = {
	{ "account", try_account },
	{ "cmdline", try_cmdline },
	{ "compare", try_compare },
	{ "map", try_map },
	{ "names", try_names },
	{ "qmp", try_socket },
	{ "symbols", try_symbols },
	{ "threads", try_threads },
};

static const struct parser *parser;

/* By its name, as its folder of the corpus has it; and the folders that it reads below ".". */
static void choose(const char *name)
{
	static const char *const folders[] = {
		"proc", "proc/1", "proc/1/task", "proc/1/task/1", "proc/1/task/2", "proc/3",
		"sys", "sys/kernel", "sys/kernel/debug", "sys/kernel/debug/kvm",
		"sys/kernel/debug/kvm/1-1", "sys/kernel/debug/kvm/1-1/vcpu0",
	};

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		mkdir(folders[i], 0700);
	for (parser = parsers; parser < parsers + sizeof(parsers) / sizeof(*parsers); parser++)
		if (!strcmp(parser->name, name))
			return;
	errx(1, "%s: no such parser", name);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *copy = need(malloc(size + 1));

	if (!parser)
		choose(getenv("PARSER") ?: "");
	sink.fd = -1;
	sink.len = 0;
	memcpy(copy, data, size);
	copy[size] = '\0';
	parser->try(copy, size);
	free(copy);
	return 0;
}

#ifdef REPLAY
int main(int argc, char **argv)
{
	static unsigned char data[1 << 20];
	char *name;
	size_t size;
	FILE *from;

	for (int i = 1; i < argc; i++) {
		from = fopen(argv[i], "r");
		if (!from)
			err(1, "%s", argv[i]);
		size = fread(data, 1, sizeof(data), from);
		fclose(from);
		*strrchr(argv[i], '/') = '\0';	/* .../PARSER/NAME */
		name = strrchr(argv[i], '/');
		choose(name ? name + 1 : argv[i]);
		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%d inputs\n", argc - 1);
	return 0;
}
#endif

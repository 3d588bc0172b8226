// SPDX-License-Identifier: GPL-2.0-only
/*
 * bpf-exits.c - loads the BPF program kvmexits.bpf.c, runs a command, and writes what the
 * program counted in that time.
 *
 *	bpf-exits OBJECT OUT COMMAND [ARGUMENT]...
 *
 * OUT gets lines of fields between tabs: "counted REASON N" for each reason (N is the sum of
 * its histogram), and "lost N". Exit status: the command's, or 1 when BPF fails. Needs root,
 * a kernel with BPF_EVENTS, and kvm loaded.
 */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kvmexits.h"

#define MAX_REASON	0x1000

static void attach(struct bpf_object *object)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object)
		if (!bpf_program__attach(program))
			err(1, "%s: cannot be attached", bpf_program__name(program));
}

static int run(char **argv)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		execvp(argv[0], argv);
		err(127, "%s", argv[0]);
	}
	if (waitpid(pid, &status, 0) < 0)
		err(1, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void write_counts(struct bpf_object *object, FILE *out)
{
	int hist = bpf_object__find_map_fd_by_name(object, "hist");
	int lost = bpf_object__find_map_fd_by_name(object, "lost");
	static unsigned long long counts[MAX_REASON];
	struct slot slot, *last = NULL;
	int cpus = libbpf_num_possible_cpus();
	__u64 n[cpus > 0 ? cpus : 1];
	__u32 zero = 0;

	for (; !bpf_map_get_next_key(hist, last, &slot); last = &slot) {
		if (bpf_map_lookup_elem(hist, &slot, n))
			err(1, "hist");
		for (int i = 0; i < cpus; i++)
			counts[slot.reason % MAX_REASON] += n[i];
	}
	for (int i = 0; i < MAX_REASON; i++)
		if (counts[i])
			fprintf(out, "counted\t%d\t%llu\n", i, counts[i]);
	if (bpf_map_lookup_elem(lost, &zero, n))
		err(1, "lost");
	fprintf(out, "lost\t%llu\n", (unsigned long long)n[0]);
}

int main(int argc, char **argv)
{
	struct bpf_object *object;
	FILE *out;
	int status;

	if (argc < 4)
		errx(2, "usage: bpf-exits OBJECT OUT COMMAND [ARGUMENT]...");
	object = bpf_object__open_file(argv[1], NULL);
	if (!object || bpf_object__load(object))
		err(1, "%s: cannot be loaded", argv[1]);
	out = fopen(argv[2], "w");
	if (!out)
		err(1, "%s", argv[2]);
	attach(object);
	status = run(argv + 3);
	write_counts(object, out);
	if (fclose(out))
		err(1, "%s", argv[2]);
	return status;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * source.h - where accounts come from: KVM's files, one saved file, CPUID in a guest,
 * or BPF. The callers need not know which.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "files.h"
#include "sample.h"

struct source {
	/* Called before a sample is read; may be NULL. 0, or -1 with the reason in `failure`. */
	int (*begin)(struct sample *s, const struct pick *pick);
	/* Read one account. dir is "" for the host, "PID-FD" for a VM, "PID-FD/vcpuN" for a vCPU. */
	enum read_result (*read)(const struct pick *pick, const char *dir, enum read_what what,
				 struct account *a);
	/* As list_vms() and list_vcpus(); NULL if the source has a single account. */
	int (*vms)(const struct pick *pick, struct vm_id **vms, size_t *n);
	enum read_result (*vcpus)(const struct pick *pick, struct vm_id vm, unsigned int **vcpus,
				  size_t *n);
	/* As switched_off(), or NULL. */
	const char *(*off)(const struct pick *pick, enum read_what what);
};

const struct source *source_of(const struct pick *pick);
void source_for_span(struct pick *pick);

/* bpf.c */
extern const struct source source_bpf;
int bpf_attach(bool keys);
int bpf_explain(void);

#endif

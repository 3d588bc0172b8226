/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * source.h - where accounts come from: KVM's files, one saved file, CPUID in a guest,
 * or BPF. What is above it does not know which.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include "files.h"
#include "sample.h"

struct source {
	/* Before all of a sample is read, or NULL. 0, or -1 with the failure told. */
	int (*begin)(struct sample *s, const struct pick *pick);
	/* Of a folder: "" is the host's, "PID-FD" a VM's, "PID-FD/vcpuN" a vCPU's. */
	enum read_result (*read)(const struct pick *pick, const char *dir, enum read_what what,
				 struct account *a);
	/* As list_vms() and list_vcpus(); NULL where there is one account and no more. */
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

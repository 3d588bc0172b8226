// SPDX-License-Identifier: GPL-2.0-only
/*
 * recorded.c - accounts of slow exits: which exits are new, and which VM each belongs to.
 * KVM keeps the last ones of each vCPU, and counts how many it has overwritten.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "files.h"
#include "recorded.h"

static int by_exit(const void *a, const void *b)
{
	const struct slow *x = ((const struct row *)a)->slow, *y = ((const struct row *)b)->slow;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	if (x->vm != y->vm)
		return x->vm < y->vm ? -1 : 1;
	if (x->vcpu != y->vcpu)
		return x->vcpu < y->vcpu ? -1 : 1;
	return x->rip < y->rip ? -1 : x->rip > y->rip;
}

static int by_vm(const void *a, const void *b)
{
	const struct slow *x = ((const struct row *)a)->slow, *y = ((const struct row *)b)->slow;

	return x->vm < y->vm ? -1 : x->vm > y->vm;
}

/* Keep only the rows for which keep() is true. */
static void keep_rows(struct account *a, bool (*keep)(const struct row *row, const void *arg),
		      const void *arg)
{
	size_t left = 0;

	for (size_t i = 0; i < a->nrows; i++) {
		if (keep(&a->rows[i], arg))
			a->rows[left++] = a->rows[i];
		else
			row_free(&a->rows[i]);
	}
	a->nrows = left;
}

static bool is_new(const struct row *row, const void *seen)
{
	const struct account *before = seen;

	return !bsearch(row, before->rows, before->nrows, sizeof(*row), by_exit);
}

/*
 * recorded_subtract() - leave only the slow exits that are not in `before`. K_LOST becomes
 * the number of exits that were recorded and overwritten in between, so nobody saw them.
 */
void recorded_subtract(struct account *a, const struct account *before)
{
	uint64_t now = a->key[K_LOST] + a->nrows, then = before->key[K_LOST] + before->nrows;
	struct account seen = { .rows = need(calloc(before->nrows + 1, sizeof(*seen.rows))) };

	/* A `before` of another kind has no slow exits. */
	if (before->recorded && before->nrows) {
		memcpy(seen.rows, before->rows, before->nrows * sizeof(*seen.rows));
		seen.nrows = before->nrows;
		qsort(seen.rows, seen.nrows, sizeof(*seen.rows), by_exit);
	}
	keep_rows(a, is_new, &seen);
	free(seen.rows);
	if (now >= then)	/* else the counters were cleared */
		a->key[K_LOST] = now - then > a->nrows ? now - then - a->nrows : 0;
}

static bool is_of(const struct row *row, const void *pid)
{
	char own[12];

	snprintf(own, sizeof(own), "%u", row->slow->vm);
	return !strcmp(own, pid);
}

/* recorded_of_gone() - take a VM that has ended, by its PID, from the host's slow exits. */
int recorded_of_gone(struct sample *s, const struct pick *pick)
{
	struct part *part = sample_add(s);

	if (read_dir_account(pick->root, "", READ_SLOW, &part->account) != READ_OK) {
		sample_drop(s);
		return -1;
	}
	part->account.keys &= (1u << K_VMS) - 1;	/* the VM's own are not known */
	keep_rows(&part->account, is_of, pick->vm);
	snprintf(part->vm, sizeof(part->vm), "%.23s", pick->vm);
	if (part->account.nrows)
		return 0;
	sample_drop(s);
	return fail("no VM %s (exitdump list shows all VMs)", pick->vm);
}

/* Name the part after the VM of the process, or after the process if it has several or none. */
static void name_part(struct part *part, const struct pick *pick, uint32_t pid,
		      const struct vm_id *vms, size_t nvms)
{
	const struct vm_id *own = NULL;
	size_t n = 0;

	for (size_t i = 0; i < nvms; i++) {
		if (vms[i].pid == pid) {
			own = &vms[i];
			n++;
		}
	}
	if (n == 1)
		snprintf(part->vm, sizeof(part->vm), "%u-%u", own->pid, own->fd);
	else
		snprintf(part->vm, sizeof(part->vm), "%u", pid);
	if (n)
		guest_name(pick->root, pid, part->vmname, sizeof(part->vmname));
}

/*
 * recorded_by_vm() - split the host's slow exits by VM, one part each. The first part
 * keeps the first line of the host's file, and no exits.
 */
void recorded_by_vm(struct sample *s, const struct pick *pick)
{
	struct account rest = s->nparts ? s->parts[0].account : (struct account){ 0 };
	struct account *host = s->parts ? &s->parts[0].account : NULL;
	struct vm_id *vms;
	struct part *part;
	size_t nvms, n;

	if (s->nparts != 1 || *s->parts[0].vm || pick->input || !rest.nrows)
		return;
	qsort(rest.rows, rest.nrows, sizeof(*rest.rows), by_vm);
	list_vms(pick->root, &vms, &nvms);	/* if this fails, VMs have no names */
	host->rows = NULL;
	host->nrows = 0;
	for (size_t i = 0; i < rest.nrows; i += n) {
		part = sample_add(s);
		part->account = s->parts[0].account;
		memset(&part->account.key[K_VMS], 0, (N_KEYS - K_VMS) * sizeof(*part->account.key));
		name_part(part, pick, rest.rows[i].slow->vm, vms, nvms);
		for (n = 0; i + n < rest.nrows && !by_vm(&rest.rows[i], &rest.rows[i + n]); n++)
			*account_insert(&part->account, n) = rest.rows[i + n];
	}
	free(rest.rows);
	free(vms);
}

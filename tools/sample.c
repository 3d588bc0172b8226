// SPDX-License-Identifier: GPL-2.0-only
/* sample.c - samples in memory: their differences and sums. */
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "sample.h"

/* sample_add() - add an empty part, and return it. */
struct part *sample_add(struct sample *s)
{
	struct part *part;

	s->parts = need_room(s->parts, s->nparts, sizeof(*s->parts));
	part = &s->parts[s->nparts++];
	memset(part, 0, sizeof(*part));
	part->vcpu = -1;
	return part;
}

static void free_part(struct part *part)
{
	account_free(&part->account);
	outside_free(&part->outside);
	free(part->vcpus);
}

/* sample_drop() - remove the part that was added last. */
void sample_drop(struct sample *s)
{
	free_part(&s->parts[--s->nparts]);
}

/* Search from *at on, then from the start: both samples mostly have the same order. */
static const struct part *find_part(const struct sample *s, size_t *at,
				    const struct part *like)
{
	const struct part *part;

	for (size_t i = 0; i < s->nparts; i++) {
		part = &s->parts[(*at + i) % s->nparts];
		if (part->vcpu == like->vcpu && !strcmp(part->vm, like->vm)) {
			*at += i + 1;
			return part;
		}
	}
	return NULL;
}

/* sample_copy() - make `s` a copy of another sample. */
void sample_copy(struct sample *s, const struct sample *from)
{
	struct part *part;

	*s = *from;
	s->nparts = 0;
	s->parts = NULL;
	for (size_t i = 0; i < from->nparts; i++) {
		part = sample_add(s);
		*part = from->parts[i];
		account_copy(&part->account, &from->parts[i].account);
		outside_copy(&part->outside, &from->parts[i].outside);
		if (part->vcpus)
			part->vcpus = need(strdup(part->vcpus));
	}
}

/*
 * sample_between() - what happened between two samples of the same pick. A new
 * part started at zero. A part that was cleared is marked so, and empty.
 */
void sample_between(struct sample *s, const struct sample *after,
		    const struct sample *before)
{
	size_t found = 0, at = 0;
	const struct part *old;
	struct part *part;

	sample_copy(s, after);
	s->seconds = s->clock.tv_sec - before->clock.tv_sec +
		(s->clock.tv_nsec - before->clock.tv_nsec) / 1e9;
	for (size_t i = 0; i < s->nparts; i++) {
		part = &s->parts[i];
		old = find_part(before, &at, part);
		if (!old) {
			part->outside.known = false;
			continue;
		}
		found++;
		part->cleared = !account_subtract(&part->account, &old->account);
		outside_subtract(&part->outside, &old->outside, s->seconds);
	}
	s->gone = before->nparts - found;
	s->own_exits = after->own_exits - before->own_exits;
	s->uncounted = after->uncounted - before->uncounted;
}

/*
 * sample_count() - set in `sum` how many VMs and vCPUs the parts belong to. Adding
 * up the parts would count a VM once for each of its vCPUs.
 */
void sample_count(const struct sample *s, struct account *sum)
{
	uint64_t vms = 0;

	if (!s->nparts || !*s->parts[0].vm)
		return;
	for (size_t i = 0; i < s->nparts; i++)
		vms += !i || strcmp(s->parts[i].vm, s->parts[i - 1].vm);
	sum->key[K_VMS] = vms;
	sum->keys |= 1u << K_VMS;
	if (s->parts[0].vcpu < 0)
		return;
	sum->key[K_VCPUS] = s->nparts;
	sum->keys |= 1u << K_VCPUS;
}

/*
 * Add up n parts into one. A cleared part is left out, so that the sum of the others
 * is still known.
 */
static struct part merge(struct part *parts, size_t n)
{
	const struct sample of = { .parts = parts, .nparts = n };
	struct part all = { .vcpu = -1 };
	bool one_vm = true;

	for (size_t i = 0; i < n; i++) {
		if (!parts[i].cleared)
			account_add(&all.account, &parts[i].account);
		all.cleared |= parts[i].cleared;
		one_vm &= !strcmp(parts[i].vm, parts[0].vm);
	}
	if (!all.account.counters)
		account_add(&all.account, &parts[0].account);
	if (all.account.keyed)
		keys_settle(&all.account);
	sample_count(&of, &all.account);
	if (one_vm) {
		strcpy(all.vm, parts[0].vm);
		strcpy(all.vmname, parts[0].vmname);
	}
	for (size_t i = 0; i < n; i++)
		free_part(&parts[i]);
	return all;
}

/* sample_merge() - add up parts: all into one, or by VM, as `split` says. */
void sample_merge(struct sample *s, enum split split)
{
	size_t left = 0, n;

	if (split == SPLIT_VCPUS || (split == SPLIT_NONE && s->nparts < 2))
		return;
	for (size_t i = 0; i < s->nparts; i += n) {
		for (n = 1; i + n < s->nparts; n++) {
			if (split == SPLIT_VMS &&
			    strcmp(s->parts[i + n].vm, s->parts[i].vm))
				break;
		}
		s->parts[left++] = n > 1 || s->parts[i].vcpu >= 0 ?
			merge(&s->parts[i], n) : s->parts[i];
	}
	s->nparts = left;
}

/* sample_free() - free all memory of the sample, and make it empty. */
void sample_free(struct sample *s)
{
	for (size_t i = 0; i < s->nparts; i++)
		free_part(&s->parts[i]);
	free(s->parts);
	memset(s, 0, sizeof(*s));
}

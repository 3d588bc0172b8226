// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "files.h"
#include "guest.h"
#include "sample.h"

/* The next "N" or "N-M" of a list; its end in *list. False: no such thing. */
static bool next_range(const char **list, unsigned long *from, unsigned long *to)
{
	char *end;

	if (!isdigit(**list))
		return false;
	*from = *to = strtoul(*list, &end, 10);
	if (*end == '-') {
		if (!isdigit(*++end))
			return false;
		*to = strtoul(end, &end, 10);
	}
	if (*end && (*end != ',' || !*++end))
		return false;
	*list = end;
	return *from <= *to;
}

/* pick_vcpus_valid() - whether it reads as "0,2-3". */
bool pick_vcpus_valid(const char *vcpus)
{
	unsigned long from, to;

	do {
		if (!next_range(&vcpus, &from, &to))
			return false;
	} while (*vcpus);
	return true;
}

static bool vcpu_picked(const char *list, unsigned int vcpu)
{
	unsigned long from, to;

	if (!list)
		return true;
	while (*list && next_range(&list, &from, &to)) {
		if (vcpu >= from && vcpu <= to)
			return true;
	}
	return false;
}

static struct part *add_part(struct sample *s)
{
	size_t n = s->nparts++;

	if (!(n & (n - 1)))
		s->parts = need(reallocarray(s->parts, n ? n * 2 : 1,
					     sizeof(*s->parts)));
	memset(&s->parts[n], 0, sizeof(*s->parts));
	s->parts[n].vcpu = -1;
	return &s->parts[n];
}

static void drop_part(struct sample *s)
{
	free(s->parts[--s->nparts].vcpus);
}

/* Whether the VM is asked for, by PID or PID-FD or else by its guest's name. */
static bool vm_picked(const struct pick *pick, struct vm_id vm, bool by_number,
		      const char *vmname)
{
	char pid[12], id[24];

	if (!pick->vm)
		return true;
	if (!by_number)
		return !strcmp(pick->vm, vmname) || !fnmatch(pick->vm, vmname, 0);
	snprintf(pid, sizeof(pid), "%u", vm.pid);
	snprintf(id, sizeof(id), "%u-%u", vm.pid, vm.fd);
	return !strcmp(pick->vm, pid) || !strcmp(pick->vm, id);
}

/* "0-3,5" of rising numbers, to be freed. */
static char *range_list(const unsigned int *numbers, size_t n)
{
	char *text = NULL;
	size_t size, last;
	FILE *to = need(open_memstream(&text, &size));

	for (size_t i = 0; i < n; i = last + 1) {
		for (last = i; last + 1 < n && numbers[last + 1] == numbers[last] + 1; )
			last++;
		fprintf(to, "%s%u", i ? "," : "", numbers[i]);
		if (last > i)
			fprintf(to, "-%u", numbers[last]);
	}
	if (fclose(to))
		need(NULL);
	return text;
}

static int take_vcpus(struct sample *s, const struct pick *pick, struct vm_id vm,
		      const char *vmname, const unsigned int *vcpus, size_t n)
{
	struct part *part;
	char dir[64];
	int ret;

	for (size_t i = 0; i < n; i++) {
		if (!vcpu_picked(pick->vcpu, vcpus[i]))
			continue;
		part = add_part(s);
		snprintf(part->vm, sizeof(part->vm), "%u-%u", vm.pid, vm.fd);
		snprintf(part->vmname, sizeof(part->vmname), "%s", vmname);
		part->vcpu = vcpus[i];
		snprintf(dir, sizeof(dir), "%s/vcpu%u", part->vm, vcpus[i]);
		ret = read_dir_account(pick->root, dir, pick->hist, &part->account);
		if (ret)
			drop_part(s);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int take_vm(struct sample *s, const struct pick *pick, struct vm_id vm,
		   const char *vmname)
{
	bool by_vcpu = pick->vcpu || pick->split == SPLIT_VCPUS;
	unsigned int *vcpus = NULL;
	struct part *part;
	size_t n = 0;
	int ret = 0;

	if (by_vcpu || pick->vcpu_lists)
		ret = list_vcpus(pick->root, vm, &vcpus, &n);
	if (!ret && by_vcpu) {
		ret = take_vcpus(s, pick, vm, vmname, vcpus, n);
	} else if (!ret) {
		part = add_part(s);
		snprintf(part->vm, sizeof(part->vm), "%u-%u", vm.pid, vm.fd);
		snprintf(part->vmname, sizeof(part->vmname), "%s", vmname);
		if (pick->vcpu_lists)
			part->vcpus = range_list(vcpus, n);
		ret = read_dir_account(pick->root, part->vm, pick->hist, &part->account);
		if (ret)
			drop_part(s);
	}
	free(vcpus);
	return ret < 0 ? ret : 0;	/* a VM that went away is none */
}

/* All VMs that are picked: by number where a number is one of theirs, else by name. */
static int take_vms(struct sample *s, const struct pick *pick)
{
	char vmname[sizeof(((struct part *)0)->vmname)];
	struct vm_id *vms;
	bool any = false;
	size_t n;
	int ret = list_vms(pick->root, &vms, &n);

	for (int by_number = !!pick->vm; by_number >= 0 && !any; by_number--) {
		for (size_t i = 0; !ret && i < n; i++) {
			guest_name(pick->root, vms[i].pid, vmname, sizeof(vmname));
			if (!vm_picked(pick, vms[i], by_number, vmname))
				continue;
			any = true;
			ret = take_vm(s, pick, vms[i], vmname);
		}
	}
	free(vms);
	if (!ret && !s->nparts && pick->vm && any && pick->vcpu)
		return fail("no vCPU %s in VM %s (exitdump list names them)",
			    pick->vcpu, pick->vm);
	if (!ret && !s->nparts && pick->vm)
		return fail("no VM %s (exitdump list names those there are)", pick->vm);
	return ret;
}

/*
 * sample_take() - read all that is picked. 0, or -1 with the failure told.
 * VMs and vCPUs that go away meanwhile are left out.
 */
int sample_take(struct sample *s, const struct pick *pick)
{
	struct part *part;
	int ret;

	memset(s, 0, sizeof(*s));
	/* The longest name below it has 70 bytes. */
	if (strlen(pick->root) > PATH_MAX - 100)
		return fail("%.60s...: File name too long", pick->root);
	clock_gettime(CLOCK_REALTIME, &s->when);
	clock_gettime(CLOCK_MONOTONIC, &s->clock);
	if (pick->vm || pick->vcpu || pick->split != SPLIT_NONE) {
		ret = take_vms(s, pick);
	} else {
		part = add_part(s);
		if (pick->guest)
			ret = guest_read(&part->account);
		else if (pick->input)
			ret = read_account(pick->input, true, pick->hist, &part->account);
		else
			ret = read_dir_account(pick->root, "", pick->hist, &part->account);
	}
	s->own_exits = guest_own_exits;
	s->off = !pick->input && !pick->guest && switched_off(pick->root);
	if (ret)
		sample_free(s);
	return ret;
}

/*
 * sample_first() - sample_take() of what is there: a vCPU that nobody has is a
 * failure. Later it may go away, as may its VM.
 */
int sample_first(struct sample *s, const struct pick *pick)
{
	int ret = sample_take(s, pick);

	if (ret || !pick->vcpu || s->nparts)
		return ret;
	sample_free(s);
	return fail("no vCPU %s in any VM (exitdump list names them)", pick->vcpu);
}

/* From *at on, then from the start: both samples have mostly the same order. */
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

/*
 * sample_between() - what happened between two samples of the same pick. A
 * part that is new began with zeros; one that was cleared is marked and empty.
 */
void sample_between(struct sample *s, const struct sample *after,
		    const struct sample *before)
{
	size_t found = 0, at = 0;
	const struct part *old;
	struct part *part;

	*s = (struct sample){ .when = after->when, .clock = after->clock,
			      .off = after->off };
	for (size_t i = 0; i < after->nparts; i++) {
		part = add_part(s);
		*part = after->parts[i];
		memset(&part->picked, 0, sizeof(part->picked));
		account_copy(&part->account, &after->parts[i].account);
		if (part->vcpus)
			part->vcpus = need(strdup(part->vcpus));
		old = find_part(before, &at, part);
		if (!old)
			continue;
		found++;
		part->cleared = !account_subtract(&part->account, &old->account);
	}
	s->gone = before->nparts - found;
	s->own_exits = after->own_exits - before->own_exits;
	s->seconds = s->clock.tv_sec - before->clock.tv_sec +
		(s->clock.tv_nsec - before->clock.tv_nsec) / 1e9;
}

/*
 * sample_count() - put the numbers of VMs and vCPUs that the parts are of into
 * their sum: added up, a VM would count once for each of its vCPUs.
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

/* Make one part of n: their sum. */
static struct part merge(struct part *parts, size_t n)
{
	const struct sample of = { .parts = parts, .nparts = n };
	struct part all = { .vcpu = -1 };
	bool one_vm = true;

	for (size_t i = 0; i < n; i++) {
		account_add(&all.account, &parts[i].account);
		all.cleared |= parts[i].cleared;
		one_vm &= !strcmp(parts[i].vm, parts[0].vm);
	}
	sample_count(&of, &all.account);
	if (one_vm) {
		strcpy(all.vm, parts[0].vm);
		strcpy(all.vmname, parts[0].vmname);
	}
	for (size_t i = 0; i < n; i++) {
		account_free(&parts[i].account);
		free(parts[i].picked.hist);
		free(parts[i].vcpus);
	}
	return all;
}

/* sample_merge() - what is asked for as one account, or as one a VM, becomes one. */
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

/* sample_free() - give back all of it; it is empty after it. */
void sample_free(struct sample *s)
{
	for (size_t i = 0; i < s->nparts; i++) {
		account_free(&s->parts[i].account);
		free(s->parts[i].picked.hist);
		free(s->parts[i].vcpus);
	}
	free(s->parts);
	memset(s, 0, sizeof(*s));
}

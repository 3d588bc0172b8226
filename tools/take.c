// SPDX-License-Identifier: GPL-2.0-only
/* take.c - taking a sample: reading everything that is picked, at one moment. */
#include <ctype.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "guest.h"
#include "recorded.h"
#include "source.h"

/* Parse the next "N" or "N-M" of a list, and move *list behind it. False if it is neither. */
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

/* Whether the VM is asked for by PID or PID-FD. */
static bool number_picked(const char *pick, struct vm_id vm)
{
	char pid[12], id[24];

	snprintf(pid, sizeof(pid), "%u", vm.pid);
	snprintf(id, sizeof(id), "%u-%u", vm.pid, vm.fd);
	return !strcmp(pick, pid) || !strcmp(pick, id);
}

static bool name_picked(const char *pick, const char *vmname)
{
	return !strcmp(pick, vmname) || !fnmatch(pick, vmname, 0);
}

/* Rising numbers as text such as "0-3,5"; the caller frees it. */
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

static enum read_what what_of(const struct pick *pick)
{
	return pick->keys ? READ_KEYS : pick->slow ? READ_SLOW : pick->hist ? READ_HIST : READ_TABLE;
}

static int take_vcpus(struct sample *s, const struct pick *pick, struct vm_id vm,
		      const char *vmname, const unsigned int *vcpus, size_t n)
{
	enum read_result result;
	struct part *part;
	char dir[64];

	for (size_t i = 0; i < n; i++) {
		if (!vcpu_picked(pick->vcpu, vcpus[i]))
			continue;
		part = sample_add(s);
		snprintf(part->vm, sizeof(part->vm), "%u-%u", vm.pid, vm.fd);
		snprintf(part->vmname, sizeof(part->vmname), "%s", vmname);
		part->vcpu = vcpus[i];
		snprintf(dir, sizeof(dir), "%s/vcpu%u", part->vm, vcpus[i]);
		result = source_of(pick)->read(pick, dir, what_of(pick), &part->account);
		if (result)
			sample_drop(s);
		if (result == READ_FAILED)
			return -1;
	}
	return 0;
}

static int take_vm(struct sample *s, const struct pick *pick, struct vm_id vm,
		   const char *vmname)
{
	bool by_vcpu = pick->vcpu || pick->split == SPLIT_VCPUS;
	unsigned int *vcpus = NULL;
	struct part *part;
	enum read_result result = READ_OK;
	size_t n = 0;

	if (by_vcpu || pick->vcpu_lists)
		result = source_of(pick)->vcpus(pick, vm, &vcpus, &n);
	if (!result && by_vcpu) {
		if (take_vcpus(s, pick, vm, vmname, vcpus, n))
			result = READ_FAILED;
	} else if (!result) {
		part = sample_add(s);
		snprintf(part->vm, sizeof(part->vm), "%u-%u", vm.pid, vm.fd);
		snprintf(part->vmname, sizeof(part->vmname), "%s", vmname);
		if (pick->vcpu_lists)
			part->vcpus = range_list(vcpus, n);
		if (pick->outside)
			outside_read(&part->outside, pick->root, vm.pid, part->vm);
		result = source_of(pick)->read(pick, part->vm, what_of(pick), &part->account);
		if (result)
			sample_drop(s);
	}
	free(vcpus);
	return result == READ_FAILED ? -1 : 0;	/* a VM that has ended is no failure */
}

/*
 * Of the VM that was just read (the parts from `from` on) keep only what the output
 * needs. So a sum over all VMs needs the memory of one VM.
 */
static void reduce(struct sample *s, const struct pick *pick, size_t from)
{
	struct sample vm = { .parts = s->parts + from, .nparts = s->nparts - from };

	if (!pick->once || pick->slow)
		return;
	if (pick->split != SPLIT_VCPUS) {
		sample_merge(&vm, SPLIT_NONE);
		s->nparts = from + vm.nparts;
	}
	if (pick->split == SPLIT_NONE)
		sample_merge(s, SPLIT_NONE);
	for (size_t i = from; pick->sums && i < s->nparts; i++)
		account_drop_rows(&s->parts[i].account);
}

/* The VMs that --vm picks, in *vms, which the caller frees: by PID or PID-FD if any has it, else by name. */
static int picked_vms(const struct pick *pick, struct vm_id **vms, size_t *n)
{
	char vmname[sizeof(((struct part *)0)->vmname)];
	size_t all;
	int ret = source_of(pick)->vms(pick, vms, &all);

	*n = pick->vm ? 0 : all;
	for (size_t i = 0; pick->vm && i < all; i++) {
		if (number_picked(pick->vm, (*vms)[i]))
			(*vms)[(*n)++] = (*vms)[i];
	}
	if (*n)
		return ret;
	for (size_t i = 0; i < all; i++) {
		guest_name(pick->root, (*vms)[i].pid, vmname, sizeof(vmname));
		if (name_picked(pick->vm, vmname))
			(*vms)[(*n)++] = (*vms)[i];
	}
	return ret;
}

static int fail_no_vm(const struct pick *pick)
{
	return fail("no VM %s (exitdump list shows all VMs)", pick->vm);
}

static int take_vms(struct sample *s, const struct pick *pick)
{
	char vmname[sizeof(((struct part *)0)->vmname)];
	struct vm_id *vms;
	size_t n, from;
	int ret = picked_vms(pick, &vms, &n);

	for (size_t i = 0; !ret && i < n; i++) {
		guest_name(pick->root, vms[i].pid, vmname, sizeof(vmname));
		from = s->nparts;
		ret = take_vm(s, pick, vms[i], vmname);
		reduce(s, pick, from);
	}
	free(vms);
	if (!ret && !s->nparts && n && pick->vm && pick->vcpu)
		return fail("no vCPU %s in VM %s (exitdump list shows them)",
			    pick->vcpu, pick->vm);
	if (!ret && !s->nparts && pick->vm)
		return pick->slow && pick->once && !pick->vcpu ? recorded_of_gone(s, pick) : fail_no_vm(pick);
	return ret;
}

/*
 * sample_take() - read everything that is picked. 0, or -1 with the reason in
 * `failure`. VMs and vCPUs that end meanwhile are left out.
 */
int sample_take(struct sample *s, const struct pick *pick)
{
	const struct source *source = source_of(pick);
	int ret;

	memset(s, 0, sizeof(*s));
	/* The longest path below the root has 70 bytes. */
	if (strlen(pick->root) > PATH_MAX - 100)
		return fail("%.60s...: File name too long", pick->root);
	ret = source->begin ? source->begin(s, pick) : 0;
	clock_gettime(CLOCK_REALTIME, &s->when);
	clock_gettime(CLOCK_MONOTONIC, &s->clock);
	if (!ret && (pick->vm || pick->vcpu || pick->split != SPLIT_NONE))
		ret = take_vms(s, pick);
	else if (!ret)
		ret = -(source->read(pick, "", what_of(pick), &sample_add(s)->account) != READ_OK);
	s->own_exits = guest_own_exits;
	if (source->off)
		s->off = source->off(pick, what_of(pick));
	if (ret)
		sample_free(s);
	return ret;
}

/*
 * sample_first() - sample_take() for the first sample. It fails if no VM has the picked
 * vCPU. In later samples that is no failure: the vCPU or its VM may have ended.
 */
int sample_first(struct sample *s, const struct pick *pick)
{
	int ret = sample_take(s, pick);

	if (ret || !pick->vcpu || s->nparts)
		return ret;
	sample_free(s);
	return fail("no vCPU %s in any VM (exitdump list shows them)", pick->vcpu);
}

/*
 * pick_one_vm() - pick the VM behind a socket that the process `peer` made: the VM of
 * that process, else the only VM, or the only one picked. libvirt makes sockets for
 * QEMU, so the process may have no VM; but it must not be another VM's process.
 */
int pick_one_vm(struct pick *pick, const char *socket, pid_t peer)
{
	struct vm_id *vms, own = { 0 };
	static char vm[24];
	size_t n, owns = 0;
	int ret = list_vms(pick->root, &vms, &n);

	for (size_t i = 0; i < n; i++) {
		if (vms[i].pid == (unsigned int)peer) {
			own = vms[i];
			owns++;
		}
	}
	free(vms);
	snprintf(vm, sizeof(vm), "%u-%u", own.pid, own.fd);
	if (owns == 1 && !pick->vm)
		pick->vm = vm;
	if (ret || picked_vms(pick, &vms, &n))
		return -1;
	if (!n && pick->vm)
		ret = fail_no_vm(pick);
	else if (n != 1)
		ret = fail("--qmp: asks one VM, but there are %zu (choose one by --vm)", n);
	else if (owns && vms[0].pid != own.pid)
		ret = fail("%s: belongs to VM %s, not to VM %u-%u", socket, vm, vms[0].pid, vms[0].fd);
	if (!ret) {
		snprintf(vm, sizeof(vm), "%u-%u", vms[0].pid, vms[0].fd);
		pick->vm = vm;
	}
	free(vms);
	return ret;
}

// SPDX-License-Identifier: GPL-2.0-only
/* headline.c - the line above a table, and notes about what its figures lack. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "view.h"

static void count(struct out *to, const char **before, uint64_t n, const char *what)
{
	out_format(to, "%s%lu %s%s", *before, n, what, n == 1 ? "" : "s");
	*before = ", ";
}

/* A part of the VM that all parts belong to, or NULL. */
static const struct part *one_vm(const struct sample *sample)
{
	for (size_t i = 1; i < sample->nparts; i++) {
		if (strcmp(sample->parts[i].vm, sample->parts[0].vm))
			return NULL;
	}
	return sample->nparts && *sample->parts[0].vm ? &sample->parts[0] : NULL;
}

/* Slow exits: the time from which on they are recorded, and how many were overwritten. */
static void recorder(const struct account *a, struct out *to)
{
	uint64_t us = a->key[K_THRESHOLD], lost = account_knows(a, K_LOST) ? a->key[K_LOST] : 0;

	if (us)
		out_format(to, ", over %lu%s", us % 1000 ? us : us / 1000, us % 1000 ? "us" : "ms");
	if (lost)
		out_format(to, ", %lu older one%s overwritten", lost, lost == 1 ? "" : "s");
}

/* Whose account it is, as far as the file says: "VM 71-4 (web), 2 vCPUs, vmx". */
static void whose(const struct view *view, struct out *to)
{
	const struct sample *sample = view->sample;
	const struct part *vm = one_vm(sample);
	const struct part *part = sample->nparts == 1 ? &sample->parts[0] : &view->all;
	const struct account *a = &part->account;
	bool host = !strcmp(a->scope, "host");
	const char *before = vm || host ? ", " : "";

	if (part->vcpu >= 0)
		out_format(to, "vCPU %ld of ", (long)part->vcpu);
	if (vm)
		out_format(to, "VM %s", vm->vm);
	else if (host)
		out_text(to, "host");
	if (vm && *vm->vmname)
		out_format(to, " (%s)", vm->vmname);
	if (!vm && account_knows(a, K_VMS))
		count(to, &before, a->key[K_VMS], "VM");
	if (part->vcpu < 0 && account_knows(a, K_VCPUS))
		count(to, &before, a->key[K_VCPUS], "vCPU");
	if (*a->vendor)
		out_format(to, "%s%s", before, a->vendor);
	if (view->opt.pick.bpf)
		out_format(to, "%sby BPF", *a->vendor || *before ? ", " : "");
	if (*a->tsc && strcmp(a->tsc, "stable"))
		out_format(to, ", TSC %s", a->tsc);
	if (account_knows(a, K_REPLACED) && a->key[K_REPLACED])
		out_format(to, ", %lu key%s replaced", a->key[K_REPLACED], a->key[K_REPLACED] == 1 ? "" : "s");
	if (a->recorded)
		recorder(a, to);
}

/* The order of the lines, and the unit if the numbers do not show it. */
static void how(const struct view *view, struct out *to, const char *before)
{
	const struct column *sorted = view_sorted_by(view);

	if (sorted) {
		out_format(to, "%sby %s%s", before, view->opt.nsorts && view->opt.sorts[0].reversed ? "-" : "",
			   sorted->title ?: sorted->name);
		before = ", ";
	}
	if (view->unit != UNIT_AUTO)
		out_format(to, "%sin %s", before, unit_names[view->unit]);
}

/*
 * view_headline() - one line: when, how much is lost, whose account, and how the lines are
 * sorted. The most important comes first, because a narrow screen cuts the rest.
 */
void view_headline(const struct view *view, struct out *to)
{
	const struct column *overhead = column_find("overhead");
	struct cell cell = overhead->get(&view->total, overhead->arg);
	size_t start = to->len;
	char when[32];
	struct tm tm;

	if (view->headline) {
		out_text(to, view->headline);
		return;
	}
	if (view->sample->seconds > 0) {
		localtime_r(&view->sample->when.tv_sec, &tm);
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
		out_format(to, "%s +%.3f s", when, view->sample->seconds);
	}
	if (cell.kind == CELL_SHARE)
		out_format(to, "%soverhead %.1f%%", to->len > start ? ", " : "", cell.d * 100);
	if (to->len > start)
		out_text(to, ": ");
	whose(view, to);
	how(view, to, to->len > start && to->text[to->len - 1] != ' ' ? "; " : "");
}

/* Append a note to those in `to`. */
__attribute__((format(printf, 2, 3)))
static void note(char to[NOTES], const char *format, ...)
{
	size_t length = strlen(to);
	va_list args;

	if (length)
		length += sprintf(to + length, "; ");
	va_start(args, format);
	vsnprintf(to + length, NOTES - length, format, args);
	va_end(args);
}

static void note_cleared(const struct sample *sample, char to[NOTES])
{
	const struct part *one = NULL;
	const char *some = "";
	size_t cleared = 0;
	char of[64] = "";

	for (size_t i = 0; i < sample->nparts; i++) {
		if (!sample->parts[i].cleared)
			continue;
		cleared++;
		one = &sample->parts[i];
		if (one->account.counters)	/* a sum that has the figures of the others */
			some = "some of the ";
	}
	if (one && one->vcpu >= 0)
		snprintf(of, sizeof(of), " of vCPU %ld of VM %s", (long)one->vcpu, one->vm);
	else if (one && *one->vm)
		snprintf(of, sizeof(of), " of VM %s", one->vm);
	if (cleared == 1)
		note(to, "%scounters%s were cleared in this interval, so %s figures are left out",
		     some, of, *some ? "their" : "its");
	else if (cleared)
		note(to, "%scounters of %zu %ss were cleared in this interval, so their figures are left out",
		     some, cleared, sample->parts[0].vcpu >= 0 ? "vCPU" : "VM");
}

/* view_notes() - what the view's figures lack, as one line; or "". */
void view_notes(const struct view *view, char to[NOTES])
{
	const struct sample *sample = view->sample;
	const struct pick *pick = &view->opt.pick;
	bool by_vcpu = pick->vcpu || pick->split == SPLIT_VCPUS;
	bool keys_off = sample->off && strcmp(sample->off, SWITCH);

	*to = '\0';
	note_cleared(sample, to);
	if (sample->gone)
		note(to, "%zu %s%s ended in this interval, %s last figures are lost",
		     sample->gone, by_vcpu ? "vCPU" : "VM", sample->gone == 1 ? "" : "s",
		     sample->gone == 1 ? "its" : "their");
	if (sample->off)
		note(to, "%s at present (%s is N; exitdump %s starts it)",
		     keys_off ? "no keys are kept" : "nothing is counted", sample->off,
		     keys_off ? "set keys on" : "on");
	if (account_knows(&view->all.account, K_THRESHOLD) &&
	    !view->all.account.key[K_THRESHOLD])
		note(to, "no slow exits are recorded at present (exitdump set slow 1000: those over 1 ms)");
	if (sample->uncounted)
		note(to, "BPF missed %lu exits, wholly or in part (its memory is full, or its program was interrupted)", sample->uncounted);
	if (sample->own_exits)
		note(to, "%lu of the CPUID exits were made by this reading",
		     sample->own_exits);
}

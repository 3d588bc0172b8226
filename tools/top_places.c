// SPDX-License-Identifier: GPL-2.0-only
/* top_places.c - going into a VM, a vCPU or a reason, and back. */
#include <stdio.h>
#include <string.h>

#include "top.h"

/* line_name() - identifies a line, also in the next interval: VM, vCPU and row. */
void line_name(const struct line *line, char *name, size_t size)
{
	const struct slow *slow = line->row->slow;

	snprintf(name, size, "%s/%ld/%s/%lx/%lx", line->part->vm, slow ? slow->vcpu : (long)line->part->vcpu,
		 line->row->name, line->row->key.key, slow ? slow->time : 0);
}

/* cursor() - the number of the chosen line, or the first if that line is gone. */
int cursor(const struct top *top)
{
	char name[sizeof(top->at->chosen)];

	for (size_t i = 0; i < top->view.nlines; i++) {
		line_name(&top->view.lines[i], name, sizeof(name));
		if (!strcmp(name, top->at->chosen))
			return i;
	}
	return 0;
}

/*
 * A copy of the current place, as the next one. What it has picked can stay in the texts of
 * the places before it. NULL if there are MAX_PLACES already.
 */
static struct place *next_place(struct top *top)
{
	struct place *next = top->at + 1;

	if (next == top->places + MAX_PLACES)
		return NULL;
	*next = *top->at;
	next->hist = false;
	next->opt.pick.keys = next->opt.pick.slow = false;
	*next->chosen = '\0';
	next->top_line = 0;
	return next;
}

/* The command line's columns and order apply only to places with the same kind of lines. */
static void default_columns(struct place *place, const struct options *given)
{
	enum split split = place->opt.pick.split;
	const char *vm = place->opt.pick.vm, *vcpu = place->opt.pick.vcpu;

	if (split == given->pick.split) {
		place->opt = *given;
	} else {
		place->opt.ncols = 0;
		place->opt.nsorts = 0;
		place->opt.pick.hist = false;
	}
	place->opt.pick.vm = vm;
	place->opt.pick.vcpu = vcpu;
	place->opt.pick.hist |= split == SPLIT_NONE;
	place->opt.pick.outside = split == SPLIT_VMS;
}

/* Pick the VM and vCPU of a line. */
static void pick_line(struct place *place, const struct line *line)
{
	if (*line->part->vm) {
		snprintf(place->vm, sizeof(place->vm), "%s", line->part->vm);
		place->opt.pick.vm = place->vm;
	}
	if (line->part->vcpu >= 0) {
		snprintf(place->vcpu, sizeof(place->vcpu), "%ld", (long)line->part->vcpu);
		place->opt.pick.vcpu = place->vcpu;
	}
}

/* Go to a place. If it cannot be read, stay; the reason is shown until the next key. */
static void go(struct top *top, struct place *next)
{
	struct place *from = top->at;

	top->at = next;
	top->refused = top_begin(top);
	if (top->refused)
		top->at = from;
}

/*
 * place_lines() - go to the VM and vCPU of a line, or to the host if it is NULL. `split`
 * says whether to show one account, or a line per VM or vCPU.
 */
void place_lines(struct top *top, const struct line *line, enum split split)
{
	struct place *next = next_place(top);

	if (!next)
		return;
	if (line) {
		pick_line(next, line);
	} else {
		next->opt.pick.vm = top->places->opt.pick.vm;
		next->opt.pick.vcpu = NULL;
	}
	if (split == SPLIT_VMS)
		next->opt.pick.vm = NULL;
	next->opt.pick.split = split;
	default_columns(next, &top->places->opt);
	go(top, next);
}

/* The next place, with only the reason of this line. NULL as of next_place(). */
static struct place *reason_place(struct top *top, const struct line *line)
{
	struct place *next = next_place(top);

	if (!next)
		return NULL;
	line_name(line, top->at->chosen, sizeof(top->at->chosen));
	if (line->row->key.reason == REASON_OTHER)
		strcpy(next->reasons, "OTHER");
	else
		snprintf(next->reasons, sizeof(next->reasons), "%ld",
			 (long)line->row->key.reason);
	next->opt.reasons = next->reasons;
	return next;
}

/* place_hist() - go to the histogram of a line's reason, from the same samples. */
void place_hist(struct top *top, const struct line *line)
{
	struct place *next = reason_place(top, line);

	if (!next)
		return;
	next->hist = true;
	top->at = next;
	top_update(top);
}

/* place_keys() - go to the keys of a line's reason, or to its histogram if it has no keys. */
void place_keys(struct top *top, const struct line *line)
{
	struct place *next = reason_place(top, line);
	struct sample sample;
	bool any = false;

	if (!next)
		return;
	next->opt.pick.keys = true;
	next->opt.ncols = next->opt.nsorts = 0;
	if (!next->opt.pick.guest && !sample_take(&sample, &next->opt.pick)) {
		any = reason_there(next->reasons, &sample);
		sample_free(&sample);
	}
	if (!any) {
		place_hist(top, line);
		return;
	}
	go(top, next);
}

/* place_slow() - go to the slow exits of the current place, or of a line's VM or vCPU. */
void place_slow(struct top *top, const struct line *line)
{
	struct place *next = next_place(top);

	if (!next)
		return;
	if (line)
		pick_line(next, line);
	next->opt.pick.slow = true;
	next->opt.pick.split = SPLIT_NONE;
	next->opt.ncols = next->opt.nsorts = 0;
	go(top, next);
}

/* place_back() - go back to the place before. If its VM has ended, go further back. */
void place_back(struct top *top)
{
	bool same = top->at->hist;

	while (top->at > top->places) {
		top->at--;
		if (same) {
			top_update(top);
			return;
		}
		if (!top_begin(top))
			return;
	}
}

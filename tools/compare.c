// SPDX-License-Identifier: GPL-2.0-only
/*
 * compare.c - two accounts side by side: two VMs, two vCPUs, two captures, or two spans
 * between captures. Numbers are per second of guest time, so that the two may have
 * different lengths. The largest difference comes first.
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "fail.h"
#include "files.h"
#include "source.h"

/* One of the two. */
struct side {
	const char *name;		/* as the user wrote it */
	char *words;			/* the name split up: VM and vCPU, or two captures */
	const char *from, *to;		/* captures; NULL: a VM, read now */
	struct pick pick;
	struct sample sample;		/* of one part */
	struct line line;		/* the sum of all reasons */
	const char *reasons;		/* --reason */
	bool happened;			/* one of them has happened so far */
};

static struct cell other_gexits(const struct line *line, int arg)
{
	return get_gexits(line->other, arg);
}

static struct cell other_glost(const struct line *line, int arg)
{
	return get_glost(line->other, arg);
}

static struct cell get_change(const struct line *line, int arg)
{
	struct cell a = get_glost(line, arg), b = get_glost(line->other, arg);

	if (a.kind == CELL_NONE || b.kind == CELL_NONE)
		return cell_none;
	return (struct cell){ .kind = CELL_CHANGE, .d = b.d - a.d };
}

static struct cell get_factor(const struct line *line, int arg)
{
	struct cell a = get_glost(line, arg), b = get_glost(line->other, arg);

	if (a.kind == CELL_NONE || b.kind == CELL_NONE || a.d <= 0)
		return cell_none;
	return (struct cell){ .kind = CELL_FACTOR, .d = b.d / a.d };
}

static const struct column pair_columns[] = {
	{ "name", NULL, "", get_name, 0, .flags = COLUMN_REASON | COLUMN_LEFT },
	{ "a_exits", "A EXITS/S", "", get_gexits, 0, .flags = 0 },
	{ "b_exits", "B EXITS/S", "", other_gexits, 0, .flags = 0 },
	{ "a_lost", "A LOST", "", get_glost, 0, .flags = 0 },
	{ "b_lost", "B LOST", "", other_glost, 0, .flags = 0 },
	{ "change", NULL, "", get_change, 0, .flags = 0 },
	{ "factor", NULL, "", get_factor, 0, .flags = 0 },
};

enum { N_PAIR_COLUMNS = sizeof(pair_columns) / sizeof(*pair_columns) };

/* Parse "VM", "VM/VCPU", "CAPTURE" or "BEFORE,AFTER". A name that exists as a file is a capture. */
static int parse_side(struct side *side, const struct options *opt, const char *name)
{
	char *second;

	*side = (struct side){ .name = name, .words = need(strdup(name)), .pick = opt->pick,
			       .reasons = opt->reasons };
	side->to = side->words;
	if (!access(name, F_OK))
		return 0;
	second = strchr(side->words, ',');
	if (second && (*second++ = '\0', !access(side->words, F_OK))) {
		side->from = side->words;
		side->to = second;
		return 0;
	}
	strcpy(side->words, name);
	printable(side->words);
	if (!*name || *name == '/' || *name == '.')	/* a path, though a VM may be named "rack/web" */
		return fail("%s: neither a file nor VM/VCPU", *name ? name : "''");
	if (opt->pick.vm)
		return fail("compare: --vm: only with captures, but %s is none", name);
	side->to = NULL;
	side->pick.vm = side->words;
	second = strrchr(side->words, '/');
	if (second && pick_vcpus_valid(second + 1)) {
		*second++ = '\0';
		side->pick.vcpu = second;
	}
	return 0;
}

static int take_side(struct side *side, struct sample *sample)
{
	int ret;

	if (side->to && !is_folder(side->to))
		side->pick.vm = NULL;
	if (side->to)
		ret = take_capture(sample, &side->pick, side->to);
	else
		ret = sample_first(sample, &side->pick);
	if (!ret)
		side->happened = reason_there(side->reasons, sample);
	return ret;
}

/*
 * Subtract the earlier sample, and free it. Each VM or vCPU is subtracted from itself, and
 * only then are they added up: a sum would hide that one of them has ended or was cleared.
 */
static int subtract_side(struct side *side, struct sample *before)
{
	struct sample between;

	sample_between(&between, &side->sample, before);
	sample_free(&side->sample);
	sample_free(before);
	side->sample = between;
	for (size_t i = 0; i < between.nparts; i++) {
		if (between.parts[i].cleared)
			return fail("%s: counters were cleared in between", side->name);
	}
	return 0;
}

static int take_span(struct side *side)
{
	struct sample before = { 0 };
	struct side first = *side;
	int ret;

	first.to = side->from;
	ret = side->from ? take_side(&first, &before) : 0;
	ret = ret ?: take_side(side, &side->sample);
	if (!ret && side->from)
		ret = captures_fit(side->from, &before, side->to, &side->sample);
	if (!ret && side->from) {
		ret = subtract_side(side, &before);
		side->sample.seconds = 0;	/* the files do not say how long it was */
		return ret;
	}
	sample_free(&before);
	return ret;
}

/* Read both sides; with an interval, at its begin and end, for what happened between. */
static int take_both(struct side *sides, double interval)
{
	struct sample before[2] = { };
	struct timespec next;
	int ret = 0;

	for (int i = 0; i < 2 && interval > 0 && !ret; i++)
		ret = take_side(&sides[i], &before[i]);
	clock_gettime(CLOCK_MONOTONIC, &next);
	if (!ret && interval > 0)
		sleep_until(&next, interval);
	for (int i = 0; i < 2 && !ret; i++) {
		ret = take_span(&sides[i]);
		if (!ret && interval > 0)
			ret = subtract_side(&sides[i], &before[i]);
		if (!ret)
			sample_merge(&sides[i].sample, SPLIT_NONE);
	}
	sample_free(&before[0]);
	sample_free(&before[1]);
	return ret;
}

static int check_side(struct side *side, const struct options *opt)
{
	struct part *part = side->sample.parts;

	if (!side->sample.nparts)
		return fail("%s: has no account", side->name);
	if (opt->tsc_khz)
		part->account.key[K_TSC_KHZ] = opt->tsc_khz;
	side->line = (struct line){ .sample = &side->sample, .part = part,
				    .row = &part->account.sum };
	if (opt->unit > UNIT_CYCLES && !part->account.key[K_TSC_KHZ])
		return fail("%s: --unit: the TSC's frequency is not known here (--tsc-khz tells it)", side->name);
	if (get_glost(&side->line, 0).kind == CELL_NONE)
		return fail("%s: cannot be compared: %s", side->name,
			    !account_knows(&part->account, K_GUEST) ? "its time inside the guest is not known" :
			    !part->account.key[K_GUEST] ? "it spent no time inside the guest" :
			    "its lost time is not known (no column total, halt or stop)");
	return 0;
}

/* The account's row like `row`; a row of zeros if the reason did not happen there. */
static const struct row *row_like(const struct account *a, const struct row *row)
{
	const struct row *found = account_row((struct account *)a, row->key, NULL);
	struct row *empty;

	if (found)
		return found;
	empty = need(calloc(1, sizeof(*empty)));
	empty->key = row->key;
	strcpy(empty->name, row->name);
	return empty;
}

static void add_pair(struct view *view, const struct side *sides, struct line *others,
		     const struct row *row)
{
	const struct account *a = &sides[0].line.part->account, *b = &sides[1].line.part->account;
	struct line *line = &view->lines[view->nlines], *other = &others[view->nlines];

	if (view->opt.reasons && !reason_picked(view->opt.reasons, row))
		return;
	view->nlines++;
	*line = sides[0].line;
	line->row = row_like(a, row);
	line->other = other;
	*other = sides[1].line;
	other->row = row_like(b, row);
}

static int by_change(const void *x, const void *y)
{
	double a = get_change(x, 0).d, b = get_change(y, 0).d;

	a = a < 0 ? -a : a;
	b = b < 0 ? -b : b;
	return a < b ? 1 : a > b ? -1 :
		row_key_compare(((const struct line *)x)->row->key, ((const struct line *)y)->row->key);
}

/* "A: web, overhead 3.1%" for both, and what the numbers mean. */
static void pair_headline(const struct side *sides, struct out *to)
{
	const struct column *overhead = column_find("overhead");
	struct cell cell;

	for (int i = 0; i < 2; i++) {
		cell = overhead->get(&sides[i].line, 0);
		out_format(to, "%c: %s", 'A' + i, sides[i].name);
		if (*sides[i].sample.parts->vmname && strcmp(sides[i].sample.parts->vmname, sides[i].name))
			out_format(to, " (%s)", sides[i].sample.parts->vmname);
		out_format(to, ", overhead %.1f%%\n", cell.d * 100);
	}
	out_text(to, "per second of guest time; the largest change first");
}

/* The TSCs of the two may differ. */
static void json_side(struct out *to, const struct view *view, const struct side *side)
{
	static const char *const names[] = { "vm", "vmname", "vcpu", "guest", "overhead" };
	struct view own = { .unit = view->unit, .tsc_khz = side->line.part->account.key[K_TSC_KHZ] };
	const struct column *col;
	struct cell cell;

	out_text(to, "{\"name\":");
	json_text(to, side->name);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		col = column_find(names[i]);
		cell = col->get(&side->line, col->arg);
		out_format(to, ",\"%s\":", names[i]);
		json_cell(to, &own, &cell);
	}
	out_char(to, '}');
}

static void json_pair(struct out *to, const struct view *view, const struct line *line)
{
	const struct column *reason = column_find("reason");
	struct cell cell = reason->get(line, 0);

	out_text(to, "{\"reason\":");
	json_cell(to, view, &cell);
	for (int i = 0; i < N_PAIR_COLUMNS; i++) {
		cell = pair_columns[i].get(line, 0);
		out_format(to, ",\"%s\":", pair_columns[i].name);
		json_cell(to, view, &cell);
	}
	out_char(to, '}');
}

/* The table as one JSON object. */
static void print_json_pair(struct out *to, const struct view *view, const struct side *sides)
{
	json_opening(to, &sides[1].sample);
	json_unit(to, view);
	out_text(to, ",\"a\":");
	json_side(to, view, &sides[0]);
	out_text(to, ",\"b\":");
	json_side(to, view, &sides[1]);
	out_text(to, ",\"rows\":[");
	for (size_t i = 0; i < view->nlines; i++) {
		if (i)
			out_char(to, ',');
		json_pair(to, view, &view->lines[i]);
	}
	out_text(to, "],\"total\":");
	json_pair(to, view, &view->total);
	out_text(to, "}\n");
}

static void print_pair(const struct options *opt, const struct side *sides)
{
	const struct account *a = &sides[0].line.part->account, *b = &sides[1].line.part->account;
	struct view view = { .opt = *opt, .layout.ncols = N_PAIR_COLUMNS, .unit = opt->unit ?: UNIT_CYCLES,
			     .sample = &sides[0].sample };
	size_t most = a->nrows + b->nrows;
	struct out head = { .fd = -1 };
	struct line *others = need(calloc(most + 1, sizeof(*others)));

	for (int i = 0; i < N_PAIR_COLUMNS; i++)
		view.layout.cols[i] = &pair_columns[i];
	view.lines = need(calloc(most + 1, sizeof(*view.lines)));
	for (size_t i = 0; i < a->nrows; i++)
		add_pair(&view, sides, others, &a->rows[i]);
	for (size_t i = 0; i < b->nrows; i++) {
		if (!account_row((struct account *)a, b->rows[i].key, NULL))
			add_pair(&view, sides, others, &b->rows[i]);
	}
	if (view.nlines)
		qsort(view.lines, view.nlines, sizeof(*view.lines), by_change);
	if (opt->limit && view.nlines > opt->limit)
		view.nlines = opt->limit;
	view.total = sides[0].line;
	view.total.other = &sides[1].line;
	pair_headline(sides, &head);
	view.headline = out_string(&head);
	if (opt->format == FORMAT_JSON)
		print_json_pair(output_open(opt), &view, sides);
	else
		print_view(&view, output_open(opt), true);
	output_done(opt);
}

/* What the figures of a side lack: a VM that ended, say. JSON has no key for it. */
static void warn_side(const struct side *side)
{
	const struct view view = { .opt.pick = side->pick, .sample = &side->sample };
	char notes[NOTES];

	view_notes(&view, notes);
	if (*notes)
		warnx("%s: %s", side->name, notes);
}

/* cmd_compare() - A B [INTERVAL] */
int cmd_compare(struct options *opt, int argc, char **argv)
{
	struct side sides[2];
	const char *a, *b;
	double interval;
	int ret;

	if (argc < 2 || argc > 3)
		return fail("compare: takes two of VM, VM/VCPU, CAPTURE or BEFORE,AFTER, then maybe an interval");
	if (opt->pick.input || opt->pick.guest || opt->pick.split != SPLIT_NONE ||
	    opt->ncols || opt->nsorts)
		return fail("compare: not with --input, --guest, --all-vms, --all-vcpus, --output or --sort");
	if (opt->format == FORMAT_HIST || opt->format == FORMAT_METRICS)
		return fail("compare: prints a table, --csv, --json or --raw");
	interval = argc == 3 ? interval_seconds(argv[2]) : 0;
	if (opt->pick.bpf && !interval)
		return fail("compare --bpf: needs an interval too");
	ret = parse_side(&sides[0], opt, argv[0]) ?: parse_side(&sides[1], opt, argv[1]);
	if (!ret && opt->pick.vm && !is_folder(sides[0].to) && !is_folder(sides[1].to))
		ret = fail("compare: --vm: chooses a VM of a folder, but neither %s nor %s is one", argv[0], argv[1]);
	for (int i = 0; i < 2 && interval > 0 && !ret; i++) {
		if (sides[i].to)
			ret = fail("%s: a capture has no interval", sides[i].name);
	}
	if (!ret && interval > 0) {
		source_for_span(&opt->pick);
		sides[0].pick.bpf = sides[1].pick.bpf = opt->pick.bpf;
	}
	ret = ret ?: take_both(sides, interval);
	ret = ret ?: check_side(&sides[0], opt) ?: check_side(&sides[1], opt);
	if (ret)
		return ret;
	printable(argv[0]);
	printable(argv[1]);
	a = sides[0].line.part->account.vendor;
	b = sides[1].line.part->account.vendor;
	if (*a && *b && strcmp(a, b))
		return fail("%s, %s: one is of %s, the other of %s", argv[0], argv[1], a, b);
	print_pair(opt, sides);
	warn_side(&sides[0]);
	warn_side(&sides[1]);
	if (!sides[0].happened && !sides[1].happened)
		warn_absent(opt, &sides[1].sample);
	return 0;
}

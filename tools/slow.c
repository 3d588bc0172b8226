// SPDX-License-Identifier: GPL-2.0-only
/* slow.c - slow exits: those that KVM has kept, or new ones as they happen. */
#include <err.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "fail.h"
#include "source.h"

/* Ctrl-C may end it at once: all output is written already. */
static void end(int signal)
{
	(void)signal;
	_exit(0);
}

static void end_on_interrupt(void)
{
	struct sigaction action = { .sa_handler = end }, before;

	sigaction(SIGINT, NULL, &before);
	if (before.sa_handler != SIG_IGN)
		sigaction(SIGINT, &action, NULL);
}

/* What has been printed so far. */
struct so_far {
	bool rows;
	int widths[MAX_COLS];
	char notes[NOTES];
};

static void print_headline(const struct view *view)
{
	struct out *to = output_open(&view->opt);

	view_headline(view, to);
	out_char(to, '\n');
	output_done(&view->opt);
}

static void say_notes(const struct view *view, struct so_far *so_far)
{
	char notes[NOTES];

	view_notes(view, notes);
	if (*notes && strcmp(notes, so_far->notes))
		warnx("%s", notes);
	strcpy(so_far->notes, notes);
}

/* Print new slow exits, if any, and how many more were overwritten unseen. */
static void print_new(const struct view *view, struct so_far *so_far)
{
	struct out *to = output_open(&view->opt);
	uint64_t unseen = view->all.account.key[K_LOST];
	bool json = view->opt.format == FORMAT_JSON;

	if (view->opt.format == FORMAT_TABLE && view->nlines)
		print_table_more(view, to, so_far->widths, !so_far->rows);
	else if (view->opt.format != FORMAT_TABLE && (view->nlines || (json && unseen)))
		print_view(view, to, !so_far->rows);
	so_far->rows |= view->nlines;
	output_done(&view->opt);
	if (unseen && !json)
		warnx("%lu more %s overwritten before %s could be seen (a shorter interval or a higher threshold helps)",
		      unseen, unseen == 1 ? "was" : "were", unseen == 1 ? "it" : "they");
}

static int follow(struct options *opt, double interval)
{
	struct sample before, after, between;
	struct so_far so_far = { 0 };
	struct layout layout;
	struct timespec next;
	struct view view;
	int ret;

	source_for_span(&opt->pick);
	ret = sample_first(&before, &opt->pick);
	if (ret)
		return ret;
	end_on_interrupt();
	warn_absent(opt, &before);
	opt->sorts[opt->nsorts++] = (struct sort_key){ column_find("time"), true };
	layout_choose(&layout, opt, &before, false);
	next = before.clock;
	sample_between(&between, &before, &before);
	ret = view_make(&view, &between, opt, &layout);
	if (!ret && opt->format == FORMAT_TABLE)
		print_headline(&view);
	while (!ret) {
		say_notes(&view, &so_far);
		view_free(&view);
		sample_free(&between);
		sleep_until(&next, interval);
		ret = sample_take(&after, &opt->pick);
		if (ret)
			break;
		sample_between(&between, &after, &before);
		sample_free(&before);
		before = after;
		ret = view_make(&view, &between, opt, &layout);
		if (!ret)
			print_new(&view, &so_far);
	}
	sample_free(&before);
	return ret;
}

/* cmd_slow() - [INTERVAL] */
int cmd_slow(struct options *opt, int argc, char **argv)
{
	if (argc > 1)
		return fail("%s: slow takes an interval only", argv[1]);
	opt->follow |= argc;
	options_check(opt);
	if (!opt->follow)
		return cmd_show(opt, 0, argv);
	return follow(opt, argc ? interval_seconds(argv[0]) : 1);
}

// SPDX-License-Identifier: GPL-2.0-only
/* top.c - the live view: taking samples, and starting and ending the screen. */
#include <curses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source.h"
#include "top.h"

static volatile sig_atomic_t ended_by;

static void end_by(int signal)
{
	ended_by = signal;
}

static void restore_terminal(void)
{
	if (!isendwin())
		endwin();
}

/* top_update() - make the view that is shown from the samples that were read. */
void top_update(struct top *top)
{
	const struct layout *layout;

	view_free(&top->view);
	sample_free(&top->shown);
	/* Before the first interval has passed, only all counts so far can be shown. */
	top->shown_span = top->intervals && !top->at->opt.pick.slow ? top->span : SPAN_ALL;
	if (top->shown_span == SPAN_ALL)
		sample_copy(&top->shown, &top->last);
	else
		sample_between(&top->shown, &top->last, top->span == SPAN_START ? &top->first : &top->before);
	layout = top->shown_span == SPAN_ALL ? &top->all_layout : &top->interval_layout;
	top->at->opt.unit = top->unit;
	if (view_make(&top->view, &top->shown, &top->at->opt, layout)) {
		top->at->opt.unit = top->unit = UNIT_DEFAULT;
		view_make(&top->view, &top->shown, &top->at->opt, layout);
	}
}

/* top_layout() - choose the columns of the current place. */
void top_layout(struct top *top)
{
	layout_choose(&top->interval_layout, &top->at->opt, &top->last, true);
	layout_choose(&top->all_layout, &top->at->opt, &top->last, false);
}

static void take(struct top *top)
{
	struct sample now;

	if (!top->refused)
		*top->trouble = '\0';
	if (sample_take(&now, &top->at->opt.pick)) {
		memcpy(top->trouble, failure, sizeof(top->trouble));
		return;
	}
	sample_free(&top->before);
	top->before = top->last;
	top->last = now;
	top->intervals++;
	top_update(top);
}

/*
 * top_begin() - read the current place, and start its counts now. Returns 0, or -1 with
 * the reason in top->trouble: then the samples of the place before are still there.
 */
int top_begin(struct top *top)
{
	struct sample now;

	*top->trouble = '\0';
	if (sample_take(&now, &top->at->opt.pick)) {
		memcpy(top->trouble, failure, sizeof(top->trouble));
		return -1;
	}
	sample_free(&top->first);
	sample_free(&top->before);
	sample_free(&top->last);
	top->last = now;
	sample_copy(&top->first, &now);
	top->intervals = 0;
	top_layout(top);
	top_update(top);
	return 0;
}

static bool due(struct top *top)
{
	struct timespec now;
	double late;

	clock_gettime(CLOCK_MONOTONIC, &now);
	late = now.tv_sec - top->next.tv_sec + (now.tv_nsec - top->next.tv_nsec) / 1e9;
	timeout(late < -3600 ? 3600000 : late < 0 ? (int)(-late * 1000) + 1 : 0);
	return late >= 0;
}

static void plan_next(struct top *top)
{
	clock_gettime(CLOCK_MONOTONIC, &top->next);
	top->next = later(top->next, top->interval);
}

static int start_screen(void)
{
	const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction action = { .sa_handler = end_by };	/* no SA_RESTART: getch() must return */
	struct sigaction before;

	if (!newterm(NULL, stdout, stdin))
		return fail("top: the terminal type %s is not known here", getenv("TERM") ?: "\"\"");
	atexit(restore_terminal);
	if (!tigetstr("cup"))
		return fail("top: the terminal type %s cannot move its cursor", getenv("TERM") ?: "\"\"");
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		sigaction(ends[i], NULL, &before);
		if (before.sa_handler != SIG_IGN)
			sigaction(ends[i], &action, NULL);
	}
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	set_escdelay(25);
	return 0;
}

/* Run until q or a signal. Ctrl-C quits as q does; other signals end the program as usual. */
static void loop(struct top *top)
{
	int c;

	plan_next(top);
	while (!top->quit && !ended_by) {
		top_draw(top);
		if (due(top)) {
			if (!top->paused)
				take(top);
			plan_next(top);
			continue;
		}
		c = getch();
		if (c == ERR && !isatty(STDIN_FILENO))
			break;		/* the terminal is gone: no key can come */
		if (c != ERR)
			top_key(top, c);
	}
	if (ended_by && ended_by != SIGINT) {
		restore_terminal();
		signal(ended_by, SIG_DFL);
		raise(ended_by);
	}
}

/* cmd_top() - [INTERVAL] */
int cmd_top(struct options *opt, int argc, char **argv)
{
	static struct top top;	/* static: it is large and must be zero */
	struct layout layout = { 0 };

	if (argc > 1)
		return fail("%s: top takes an interval only", argv[1]);
	top.interval = argc ? interval_seconds(argv[0]) : 1;
	if (opt->format != FORMAT_TABLE || opt->file)
		return fail("top: shows a screen: not with --csv, --hist, --json, --openmetrics, --output-file or --raw");
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fail("top: needs a terminal (exitdump INTERVAL needs none)");
	source_for_span(&opt->pick);
	top.unit = opt->unit;
	top.at = top.places;
	top.at->opt = *opt;
	top.at->opt.pick.hist |= opt->pick.split == SPLIT_NONE;
	top.at->opt.pick.outside |= opt->pick.split == SPLIT_VMS;
	if (sample_first(&top.last, &top.at->opt.pick))
		return -1;
	/* If this fails, it must do so before the screen starts. */
	if (view_make(&top.view, &top.last, opt, &layout) || start_screen())
		return -1;
	if (!top_begin(&top))
		loop(&top);
	view_free(&top.view);
	sample_free(&top.shown);
	sample_free(&top.first);
	sample_free(&top.before);
	sample_free(&top.last);
	if (*top.trouble && !top.quit && !ended_by)
		return fail("%s", top.trouble);
	return 0;
}

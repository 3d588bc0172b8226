// SPDX-License-Identifier: GPL-2.0-only
/*
 * top.c - the live view: the lines of an interval, drawn by ncurses. All VMs
 * side by side are its VM picker; the histogram is that of `exitdump hist`.
 */
#include <curses.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "fail.h"
#include "view.h"

enum span { SPAN_INTERVAL, SPAN_START, SPAN_ALL, N_SPANS };
enum page { PAGE_LINES, PAGE_HIST, PAGE_HELP };

static const char *const span_names[N_SPANS] = {
	"the last interval", "since the view began", "all that is counted",
};

struct top {
	const struct options *given;	/* on the command line */
	struct options opt;		/* as keys have changed it */
	double interval;
	struct timespec next;
	char vm[24];			/* what opt.pick.vm points to once chosen */
	char chosen[96];		/* the cursor's line: see line_name() */
	char reasons[16];		/* the histogram's, for opt.reasons */
	enum span span, shown_span;
	unsigned long intervals;	/* passed since the first sample */
	enum page page;
	bool paused, quit, begin;
	char trouble[sizeof(failure)];	/* why the last reading failed, or "" */
	struct sample first, before, last;	/* as read */
	struct sample shown;		/* a difference of these */
	struct view view;		/* of shown */
	int top_line;			/* the first line on the screen */
};

static const char help[] =
	"up, down, PgUp, PgDn, Home   choose a line\n"
	"Enter, h       the histogram of the chosen reason, and back;\n"
	"               among VMs: that VM\n"
	"v              all VMs, to choose from; again: the host (without --vcpu)\n"
	"<, >           sort by the column to the left, to the right\n"
	"p, space       pause and go on\n"
	"t              the last interval, since the view began, all that is counted\n"
	"z              let the view begin now\n"
	"u              unit: cycles, exact cycles, ns, us, automatic\n"
	"q              quit\n";

static void restore_terminal(void)
{
	if (!isendwin())
		endwin();
}

/* What makes a line the same in the next interval: VM, vCPU and reason. */
static void line_name(const struct line *line, char *name, size_t size)
{
	snprintf(name, size, "%s/%ld/%s", line->part->vm, (long)line->part->vcpu,
		 line->row->name);
}

static int cursor(const struct top *top)
{
	char name[sizeof(top->chosen)];

	for (size_t i = 0; i < top->view.nlines; i++) {
		line_name(&top->view.lines[i], name, sizeof(name));
		if (!strcmp(name, top->chosen))
			return i;
	}
	return 0;
}

static void move_cursor(struct top *top, int by)
{
	int at = cursor(top) + by, last = (int)top->view.nlines - 1;

	if (last < 0)
		return;
	at = at < 0 ? 0 : at > last ? last : at;
	line_name(&top->view.lines[at], top->chosen, sizeof(top->chosen));
}

/* What is shown, from the samples as they are. */
static void update(struct top *top)
{
	static const struct sample none;
	const struct sample *from = &none;

	view_free(&top->view);
	sample_free(&top->shown);
	top->shown_span = top->span;
	/* Until a first interval has passed there is none to show. */
	if (!top->intervals)
		top->shown_span = SPAN_ALL;
	if (top->shown_span != SPAN_ALL)
		from = top->span == SPAN_START ? &top->first : &top->before;
	sample_between(&top->shown, &top->last, from);
	if (from == &none)
		top->shown.seconds = 0;
	if (view_make(&top->view, &top->shown, &top->opt)) {
		top->opt.unit = UNIT_SHORT;
		view_make(&top->view, &top->shown, &top->opt);
	}
}

/* The next sample; the first one of a new choice when `begin` is set. */
static void take(struct top *top)
{
	static const struct sample none;
	struct sample now;

	*top->trouble = '\0';
	if (sample_take(&now, &top->opt.pick)) {
		memcpy(top->trouble, failure, sizeof(top->trouble));
		return;
	}
	sample_free(&top->before);
	top->before = top->last;
	top->last = now;
	top->intervals++;
	if (top->begin) {
		sample_free(&top->before);
		sample_free(&top->first);
		sample_between(&top->before, &now, &none);
		sample_between(&top->first, &now, &none);
		top->begin = false;
		top->intervals = 0;
	}
	update(top);
}

/* Read what has just been chosen, or all from now on. */
static void begin(struct top *top)
{
	top->begin = true;
	take(top);
}

static void choose_vm(struct top *top, const char *vm, enum split split)
{
	snprintf(top->vm, sizeof(top->vm), "%s", vm);
	top->opt.pick.vm = *vm ? top->vm : NULL;
	top->opt.pick.split = split;
	top->opt.pick.hist = split == SPLIT_NONE;
	top->opt.pick.vcpu = NULL;
	top->opt.sort = split == top->given->pick.split ? top->given->sort : NULL;
	top->opt.more_cols = true;
	top->opt.ncols = 0;
	if (split == top->given->pick.split) {
		memcpy(top->opt.cols, top->given->cols, sizeof(top->opt.cols));
		top->opt.ncols = top->given->ncols;
		top->opt.more_cols = top->given->more_cols || !top->given->ncols;
		top->opt.pick.hist |= top->given->pick.hist;
		top->opt.pick.vcpu_lists = top->given->pick.vcpu_lists;
	}
	top->top_line = 0;
	begin(top);
}

/* The column that is sorted by moves; from none, by the one that is lost most. */
static void move_sort(struct top *top, int by)
{
	struct view *view = &top->view;
	int at = by > 0 ? -1 : (int)view->ncols;

	for (size_t i = 0; i < view->ncols; i++) {
		if (view->cols[i] == top->opt.sort)
			at = i;
	}
	at += by;
	if (at >= 0 && at < (int)view->ncols)
		top->opt.sort = view->cols[at];
	update(top);
}

static void toggle_hist(struct top *top)
{
	const struct line *line = &top->view.lines[cursor(top)];

	if (top->page == PAGE_HIST) {
		top->opt.reasons = top->given->reasons;
		top->page = PAGE_LINES;
	} else if (top->view.nlines) {
		if (line->row->reason == REASON_OTHER)
			strcpy(top->reasons, "OTHER");
		else
			snprintf(top->reasons, sizeof(top->reasons), "%ld",
				 (long)line->row->reason);
		move_cursor(top, 0);
		top->opt.reasons = top->reasons;
		top->page = PAGE_HIST;
	}
	update(top);
}

static void enter(struct top *top)
{
	if (top->opt.pick.split == SPLIT_NONE)
		toggle_hist(top);
	else if (top->view.nlines)
		choose_vm(top, top->view.lines[cursor(top)].part->vm, SPLIT_NONE);
}

static void key(struct top *top, int c)
{
	int screenful = LINES > 8 ? LINES - 6 : 2;

	if (top->page == PAGE_HELP && c != ERR && c != KEY_RESIZE) {
		top->page = PAGE_LINES;
		return;
	}
	switch (c) {
	case 'q': top->quit = true; break;
	case '?':
		top->page = PAGE_HELP;
		top->opt.reasons = top->given->reasons;
		update(top);
		break;
	case 'p': case ' ': top->paused = !top->paused; break;
	case KEY_UP: move_cursor(top, -1); break;
	case KEY_DOWN: move_cursor(top, 1); break;
	case KEY_PPAGE: move_cursor(top, -screenful); break;
	case KEY_NPAGE: move_cursor(top, screenful); break;
	case KEY_HOME: *top->chosen = '\0'; top->top_line = 0; break;
	case '<': move_sort(top, -1); break;
	case '>': move_sort(top, 1); break;
	case 't': top->span = (top->span + 1) % N_SPANS; update(top); break;
	case 'z': begin(top); break;
	case 'u':
		top->opt.unit = top->opt.unit == UNIT_AUTO ? UNIT_SHORT : top->opt.unit + 1;
		update(top);
		break;
	case '\n': case KEY_ENTER: enter(top); break;
	case 'h':
		if (top->opt.pick.split == SPLIT_NONE)
			toggle_hist(top);
		break;
	case 'v':
		if (top->opt.pick.input || top->opt.pick.guest)
			break;
		top->page = PAGE_LINES;
		top->opt.reasons = top->given->reasons;
		choose_vm(top, "", top->opt.pick.split == SPLIT_VMS ? SPLIT_NONE : SPLIT_VMS);
		break;
	}
}

static void cell_text(const struct view *view, const struct line *line, size_t i,
		      char *to, size_t size)
{
	struct cell cell = view->cols[i]->get(line, view->cols[i]->arg);

	cell_format(to, size, &cell, view->opt->unit, view->tsc_khz, true);
	if (line == &view->total && cell.kind == CELL_NONE &&
	    view->cols[i]->flags & COLUMN_LEFT)
		strcpy(to, i ? "" : "TOTAL");
}

/* A line of text; that it is cut shows, as half a number is another one. */
static void draw_text(int y, const char *text, int len)
{
	mvaddnstr(y, 0, text, len < COLS ? len : COLS);
	if (len > COLS)
		mvaddch(y, COLS - 1, '>');
}

/*
 * The columns that fit, from the left: names may be cut, all else is whole or
 * not there. The last two places of a line are the cursor's.
 */
static size_t fit(const struct view *view, int *widths)
{
	enum { SHORTEST = 8 };	/* of a name that is cut */
	int room = COLS - 1, least, more, wanted[MAX_COLS];
	size_t n;

	for (n = 0; n < view->ncols; n++) {
		least = wanted[n] = widths[n];
		if (view->cols[n]->flags & COLUMN_CUT && least > SHORTEST)
			least = SHORTEST;
		if (room < least + 1)
			break;
		widths[n] = least;
		room -= least + 1;
	}
	for (size_t i = 0; i < n; i++) {
		more = wanted[i] - widths[i];
		more = more < room ? more : room;
		widths[i] += more;
		room -= more;
	}
	return n;
}

static void draw_cell(const struct view *view, size_t i, int width, int y, int x,
		      const char *text)
{
	bool cut = (int)strlen(text) > width;

	mvprintw(y, x, view->cols[i]->flags & COLUMN_LEFT ? "%-*.*s%s" : "%*.*s%s",
		 width - cut, width - cut, text, cut ? ">" : "");
}

static void draw_line(const struct view *view, const struct line *line,
		      const int *widths, size_t n, int y)
{
	char text[128];
	int x = 0;

	for (size_t i = 0; i < n; i++) {
		cell_text(view, line, i, text, sizeof(text));
		draw_cell(view, i, widths[i], y, x, text);
		x += widths[i] + 1;
	}
}

static void draw_heads(const struct view *view, const int *widths, size_t n, int y)
{
	char title[32];
	int x = 0;

	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	for (size_t i = 0; i < n; i++) {
		snprintf(title, sizeof(title), "%s", view->cols[i]->name);
		for (char *c = title; *c; c++)
			*c = toupper(*c);
		if (view->cols[i] == view->opt->sort)
			attron(A_BOLD | A_UNDERLINE);
		draw_cell(view, i, widths[i], y, x, title);
		attroff(A_BOLD | A_UNDERLINE);
		x += widths[i] + 1;
	}
	if (n < view->ncols)
		mvaddch(y, COLS - 1, '>');	/* others do not fit */
	attroff(A_REVERSE);
}

static void draw_lines(struct top *top)
{
	const struct view *view = &top->view;
	int widths[MAX_COLS], at = cursor(top), room = LINES - 5, n;
	char text[128];
	size_t cols;

	for (size_t i = 0; i < view->ncols; i++) {
		widths[i] = strlen(view->cols[i]->name);
		for (size_t l = 0; l <= view->nlines; l++) {
			cell_text(view, l < view->nlines ? &view->lines[l] : &view->total,
				  i, text, sizeof(text));
			n = strlen(text);
			widths[i] = n > widths[i] ? n : widths[i];
		}
	}
	cols = fit(view, widths);
	if (room < 1)
		room = 1;
	if (at < top->top_line)
		top->top_line = at;
	if (at >= top->top_line + room)
		top->top_line = at - room + 1;

	draw_heads(view, widths, cols, 2);
	n = 0;
	for (size_t l = top->top_line; l < view->nlines && n < room; l++, n++) {
		if ((int)l == at)
			attron(A_BOLD);
		draw_line(view, &view->lines[l], widths, cols, 3 + n);
		if ((int)l == at)
			attroff(A_BOLD);
		if ((int)l == at)
			mvaddch(3 + n, COLS - 1, '<');
	}
	draw_line(view, &view->total, widths, cols, 3 + n);
}

/* Text of several lines, from line 2 on; where it ends too early, the last says so. */
static void draw_page(const char *text)
{
	static const char more[] = "(more on a taller terminal)";
	int len;

	for (int y = 2; *text && y < LINES - 1; y++) {
		len = strcspn(text, "\n");
		if (y == LINES - 2 && text[len] && text[len + 1])
			draw_text(y, more, sizeof(more) - 1);
		else
			draw_text(y, text, len);
		text += len + !!text[len];
	}
}

static void draw_hist(const struct top *top)
{
	char *text = NULL;
	size_t size;
	FILE *to = need(open_memstream(&text, &size));

	/* Two lines of head above the page, two of its own, and the keys. */
	print_hist_within(&top->view, to, LINES > 6 ? LINES - 5 : 1);
	fclose(to);
	draw_page(*text ? text : "no such exit in this span");
	free(text);
}

static void draw(struct top *top)
{
	static const char *const units[] = { "cycles", "exact cycles", "ns", "us", "auto" };
	static const char keys[] =
		"q quit  ? help  v VMs  Enter histogram  < > sort  p pause  t span  u unit";
	char head[512], notes[sizeof(failure)];

	erase();
	view_headline(&top->view, head, sizeof(head));
	view_notes(&top->view, notes, sizeof(notes));
	draw_text(0, head, strlen(head));
	if (*top->trouble)
		snprintf(notes, sizeof(notes), "%s", top->trouble);
	else if (!*notes)
		snprintf(notes, sizeof(notes), "%severy %g s, %s, in %s",
			 top->paused ? "PAUSED, " : "", top->interval,
			 span_names[top->shown_span], units[top->opt.unit]);
	draw_text(1, notes, strlen(notes));
	if (top->page == PAGE_HELP)
		draw_page(help);
	else if (top->page == PAGE_HIST)
		draw_hist(top);
	else
		draw_lines(top);
	draw_text(LINES - 1, keys, sizeof(keys) - 1);
	refresh();
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
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &top->next);
	seconds = top->next.tv_nsec / 1e9 + top->interval;
	top->next.tv_sec += (time_t)seconds;
	top->next.tv_nsec = (seconds - (time_t)seconds) * 1e9;
}

/* cmd_top() - [INTERVAL] */
int cmd_top(struct options *opt, int argc, char **argv)
{
	struct top top = { .given = opt, .opt = *opt, .interval = 1 };
	int c;

	if (argc > 1)
		return fail("%s: top takes an interval only", argv[1]);
	if (argc)
		top.interval = interval_seconds(argv[0]);
	if (opt->format != FORMAT_TABLE)
		return fail("top: a view for people, not --csv, --json, --openmetrics or --raw");
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fail("top: needs a terminal (exitdump INTERVAL needs none)");
	top.opt.pick.hist |= opt->pick.split == SPLIT_NONE;
	if (sample_first(&top.last, &top.opt.pick))
		return -1;
	if (opt->unit > UNIT_CYCLES)	/* refuse now what cannot be had */
		if (view_make(&top.view, &top.last, &top.opt))
			return -1;
	if (!newterm(NULL, stdout, stdin))
		return fail("top: the terminal %s is not known here", getenv("TERM") ?: "\"\"");
	atexit(restore_terminal);
	if (!tigetstr("cup"))
		return fail("top: the terminal %s cannot move its cursor", getenv("TERM") ?: "\"\"");
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	begin(&top);
	plan_next(&top);
	while (!top.quit) {
		draw(&top);
		if (due(&top)) {
			if (!top.paused)
				take(&top);
			plan_next(&top);
			continue;
		}
		c = getch();
		if (c == ERR && !isatty(STDIN_FILENO))
			break;		/* the terminal went away: no key will ever come */
		key(&top, c);
	}
	view_free(&top.view);
	sample_free(&top.shown);
	sample_free(&top.first);
	sample_free(&top.before);
	sample_free(&top.last);
	return 0;
}

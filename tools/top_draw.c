// SPDX-License-Identifier: GPL-2.0-only
/* top_draw.c - drawing the screen: two lines of head, a page, a line of keys. */
#include <curses.h>
#include <stdio.h>
#include <string.h>

#include "table.h"
#include "top.h"

/* Draw a line of text. ">" marks a cut: half a number would look like another number. */
static void draw_text(int y, const char *text, int len)
{
	mvaddnstr(y, 0, text, len < COLS ? len : COLS);
	if (len > COLS)
		mvaddch(y, COLS - 1, '>');
}

static void draw_row(const struct table *table, size_t line, int y)
{
	struct out text = { .fd = -1 };

	table_line(table, line, &text);
	mvaddstr(y, 0, out_string(&text));
	out_free(&text);
}

static void draw_heads(const struct table *table, int y)
{
	const struct view *view = table->view;
	const struct column *sorted = view_sorted_by(view);

	attron(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	draw_row(table, 0, y);
	if (table->ncols < view->layout.ncols)
		mvaddch(y, COLS - 1, '>');	/* some columns do not fit */
	attroff(A_REVERSE);
	for (size_t i = 0; i < table->ncols; i++) {
		if (view->layout.cols[i] == sorted)
			mvchgat(y, table_place(table, i), table->widths[i],
				A_REVERSE | A_BOLD | A_UNDERLINE, 0, NULL);
	}
}

/* The cursor needs the last two characters of a line. */
static void draw_lines(struct top *top)
{
	const struct view *view = &top->view;
	int at = cursor(top), room = LINES > 5 ? LINES - 5 : 1, n = 0;
	int *first = &top->at->top_line;
	bool sums = !view->opt.pick.slow;
	struct table table;

	table_make(&table, view, sums);
	table_fit(&table, COLS - 2, true);
	if (at < *first)
		*first = at;
	if (at >= *first + room)
		*first = at - room + 1;
	draw_heads(&table, 2);
	for (size_t l = *first; l < view->nlines && n < room; l++, n++) {
		if ((int)l == at)
			attron(A_BOLD);
		draw_row(&table, l + 1, 3 + n);
		attroff(A_BOLD);
		if ((int)l == at)
			mvaddch(3 + n, COLS - 1, '<');
	}
	if (sums)
		draw_row(&table, view->nlines + 1, 3 + n);
	table_free(&table);
}

/* Draw text from line 2 on. If it does not fit, the last line says so. */
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
	struct out text = { .fd = -1 };

	/* 5 lines are taken: two of the screen's head, two of the histogram's, the keys. */
	print_hist_within(&top->view, &text, LINES > 6 ? LINES - 5 : 1);
	draw_page(out_string(&text));
	out_free(&text);
}

static bool column_shown(const struct top *top, const struct column *col)
{
	for (size_t i = 0; i < top->view.layout.ncols; i++) {
		if (top->view.layout.cols[i] == col)
			return true;
	}
	return false;
}

static void draw_columns(const struct top *top)
{
	int room = LINES > 4 ? LINES - 3 : 1, first = top->column < room ? 0 : top->column - room + 1;
	char text[160];

	for (int i = first; i < (int)ncolumns && i < first + room; i++) {
		snprintf(text, sizeof(text), "%c [%c] %-8s  %s", i == top->column ? '>' : ' ',
			 column_shown(top, &columns[i]) ? 'x' : ' ', columns[i].name, columns[i].help);
		draw_text(2 + i - first, text, strlen(text));
	}
}

static void draw_head(const struct top *top)
{
	static const char *const span_names[N_SPANS] = {
		"the last interval", "since the view began", "all counts so far",
	};
	const char *span = span_names[top->shown_span];
	struct out head = { .fd = -1 };
	char notes[sizeof(failure)];

	view_headline(&top->view, &head);
	draw_text(0, out_string(&head), head.len);
	out_free(&head);
	view_notes(&top->view, notes);
	if (top->shown_span == SPAN_INTERVAL && !top->view.total.row->n[C_EXITS])
		span = "no exit in the last interval (t: other spans)";
	if (*top->trouble)
		snprintf(notes, sizeof(notes), "%s", top->trouble);
	else if (!*notes)
		snprintf(notes, sizeof(notes), "%severy %g s, %s, in %s",
			 top->paused ? "PAUSED, " : "", top->interval,
			 span, top->view.unit == UNIT_AUTO ? "units that fit" : unit_names[top->view.unit]);
	draw_text(1, notes, strlen(notes));
}

/* top_draw() - draw the whole screen. */
void top_draw(struct top *top)
{
	static const char keys[] =
		"q quit  ? help  Enter in  Esc out  v VMs  c vCPUs  < > r sort  o columns  t span";
	static const char column_keys[] = "space shows or hides the column, any other key goes back";

	erase();
	draw_head(top);
	if (top->page == PAGE_HELP)
		draw_page(top_help);
	else if (top->page == PAGE_COLUMNS)
		draw_columns(top);
	else if (top->at->hist)
		draw_hist(top);
	else
		draw_lines(top);
	if (top->page == PAGE_COLUMNS)
		draw_text(LINES - 1, column_keys, sizeof(column_keys) - 1);
	else
		draw_text(LINES - 1, keys, sizeof(keys) - 1);
	refresh();
}

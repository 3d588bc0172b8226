// SPDX-License-Identifier: GPL-2.0-only
/* top_keys.c - what each key does. */
#include <curses.h>
#include <string.h>

#include "top.h"

const char top_help[] =
	"up, down, PgUp, PgDn, Home, End   choose a line\n"
	"Enter          show what is inside: a VM, a vCPU, the keys of a reason\n"
	"Esc            go back\n"
	"v              all VMs\n"
	"c              the vCPUs of the VM or host\n"
	"h              the histogram of the chosen reason, and back\n"
	"s              the last slow exits, and back\n"
	"<, >           sort by the column to the left, to the right\n"
	"r              sort in the other direction\n"
	"o              choose the columns\n"
	"p, space       pause and go on\n"
	"t              show the last interval, all since the view began, all counts\n"
	"z              begin the view anew\n"
	"u              unit: fitting, cycles, ns, us\n"
	"q              quit\n";

static void move_cursor(struct top *top, int by)
{
	int at = cursor(top) + by, last = (int)top->view.nlines - 1;

	if (last < 0)
		return;
	at = at < 0 ? 0 : at > last ? last : at;
	line_name(&top->view.lines[at], top->at->chosen, sizeof(top->at->chosen));
}

static const struct line *chosen_line(const struct top *top)
{
	return top->view.nlines ? &top->view.lines[cursor(top)] : NULL;
}

/* The column to sort by; at first the one that the view was sorted by anyway. */
static struct sort_key *sort_key(struct top *top)
{
	struct options *opt = &top->at->opt;

	if (!opt->nsorts)
		opt->sorts[opt->nsorts++] = (struct sort_key){ view_sorted_by(&top->view), false };
	return &opt->sorts[0];
}

static void move_sort(struct top *top, int by)
{
	const struct layout *layout = &top->view.layout;
	struct sort_key *sort = sort_key(top);
	int at = by > 0 ? -1 : (int)layout->ncols;

	for (size_t i = 0; i < layout->ncols; i++) {
		if (layout->cols[i] == sort->col)
			at = i;
	}
	at += by;
	if (at >= 0 && at < (int)layout->ncols)
		sort->col = layout->cols[at];
	top->at->opt.nsorts = 1;
	top_update(top);
}

static void reverse_sort(struct top *top)
{
	struct sort_key *sort = sort_key(top);

	sort->reversed = !sort->reversed;
	top_update(top);
}

/* Show or hide the column. From then on the place has its own list of columns. */
static void toggle_column(struct top *top, const struct column *col)
{
	struct options *opt = &top->at->opt;
	const struct layout *layout = &top->view.layout;
	bool shown = false;
	size_t n = 0;

	for (size_t i = 0; i < layout->ncols; i++) {
		if (layout->cols[i] == col)
			shown = true;
		else if (n < MAX_CHOSEN)
			opt->cols[n++] = layout->cols[i];
	}
	if (!shown && n < MAX_CHOSEN)
		opt->cols[n++] = col;
	if (!n)
		return;		/* keep at least one column */
	opt->ncols = n;
	opt->more_cols = false;
	if (pick_column(&opt->pick, col) && !top_begin(top))
		return;
	top_layout(top);
	top_update(top);
}

static void column_key(struct top *top, int c)
{
	switch (c) {
	case KEY_UP:
		top->column -= top->column > 0;
		break;
	case KEY_DOWN:
		top->column += top->column + 1 < (int)ncolumns;
		break;
	case KEY_HOME:
		top->column = 0;
		break;
	case KEY_END:
		top->column = ncolumns - 1;
		break;
	case ' ': case '\n': case KEY_ENTER:
		toggle_column(top, &columns[top->column]);
		break;
	default:
		top->page = PAGE_LINES;
	}
}

/* Whether the place shows keys or a histogram of one reason, or slow exits. */
static bool in_reason(const struct top *top)
{
	return top->at->hist || top->at->opt.pick.keys || top->at->opt.pick.slow;
}

static void enter(struct top *top)
{
	const struct line *line = chosen_line(top);

	if (in_reason(top))
		place_back(top);
	else if (line && top->at->opt.pick.split == SPLIT_NONE)
		place_keys(top, line);
	else if (line)
		place_lines(top, line, SPLIT_NONE);
}

static void toggle_hist(struct top *top)
{
	bool hist = top->at->hist;

	if (in_reason(top))
		place_back(top);
	if (!hist && chosen_line(top) && top->at->opt.pick.split == SPLIT_NONE)
		place_hist(top, chosen_line(top));
}

/* Show the slow exits of the chosen VM or vCPU, or of the whole place; or go back. */
static void toggle_slow(struct top *top)
{
	bool slow = top->at->opt.pick.slow;

	if (top->at->opt.pick.guest)
		return;
	if (in_reason(top))
		place_back(top);
	if (!slow)
		place_slow(top, top->at->opt.pick.split == SPLIT_NONE ? NULL : chosen_line(top));
}

/* Show all VMs, or go back if they are shown. A file or a guest has no VMs. */
static void go_vms(struct top *top)
{
	const struct pick *pick = &top->at->opt.pick;

	if (pick->input || pick->guest)
		return;
	if (in_reason(top))
		place_back(top);
	if (top->at->opt.pick.split == SPLIT_VMS)
		place_lines(top, NULL, SPLIT_NONE);
	else
		place_lines(top, NULL, SPLIT_VMS);
}

/* Show the vCPUs of the chosen VM, of the place's VM, or of all VMs. */
static void go_vcpus(struct top *top)
{
	const struct pick *pick = &top->at->opt.pick;
	const struct line *line;

	if (pick->input || pick->guest || pick->split == SPLIT_VCPUS)
		return;
	if (in_reason(top))
		place_back(top);
	pick = &top->at->opt.pick;
	line = chosen_line(top);
	if (pick->split == SPLIT_VMS ? !!line : !!pick->vm)
		place_lines(top, line ?: &top->view.total, SPLIT_VCPUS);	/* an idle VM has no line */
	else
		place_lines(top, NULL, SPLIT_VCPUS);
}

static void line_key(struct top *top, int c)
{
	int screenful = LINES > 8 ? LINES - 6 : 2;

	switch (c) {
	case KEY_UP: move_cursor(top, -1); break;
	case KEY_DOWN: move_cursor(top, 1); break;
	case KEY_PPAGE: move_cursor(top, -screenful); break;
	case KEY_NPAGE: move_cursor(top, screenful); break;
	case KEY_HOME: move_cursor(top, -(1 << 24)); break;
	case KEY_END: move_cursor(top, 1 << 24); break;
	case '<': move_sort(top, -1); break;
	case '>': move_sort(top, 1); break;
	case 'r': reverse_sort(top); break;
	case 'o': top->page = PAGE_COLUMNS; break;
	}
}

/* top_key() - handle a key. */
void top_key(struct top *top, int c)
{
	if (c == KEY_RESIZE)
		return;
	top->refused = false;
	if (top->page == PAGE_HELP) {
		top->page = PAGE_LINES;
		return;
	}
	if (top->page == PAGE_COLUMNS) {
		column_key(top, c);
		return;
	}
	switch (c) {
	case 'q': top->quit = true; break;
	case '?': top->page = PAGE_HELP; break;
	case 'p': case ' ': top->paused = !top->paused; break;
	case 't': top->span = (top->span + 1) % N_SPANS; top_update(top); break;
	case 'z': top_begin(top); break;
	case 'u':
		top->unit = top->unit == UNIT_AUTO ? UNIT_CYCLES : (top->unit + 1) % UNIT_AUTO;
		top_update(top);
		break;
	case '\n': case KEY_ENTER: enter(top); break;
	case 'h': toggle_hist(top); break;
	case 's': toggle_slow(top); break;
	case 27: case KEY_BACKSPACE: place_back(top); break;
	case 'v': go_vms(top); break;
	case 'c': go_vcpus(top); break;
	default:
		if (!top->at->hist)
			line_key(top, c);
	}
}

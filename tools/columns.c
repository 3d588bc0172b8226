// SPDX-License-Identifier: GPL-2.0-only
/* columns.c - the columns of the output, except those about what a VM does outside its vCPUs. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "columns.h"
#include "keys.h"
#include "symbols.h"

static struct cell cycles(uint64_t n)
{
	return (struct cell){ .kind = CELL_CYCLES, .n = n };
}

/* The time of a slow exit's end by another clock: the file has the time of its reading by both. */
static uint64_t clock_at(const struct line *line, enum key clock)
{
	const uint64_t *key = line->part->account.key;

	return line->row->slow->time + (key[clock] - key[K_MONOTONIC]);
}

static struct cell get_time(const struct line *line, int arg)
{
	(void)arg;
	if (line->row->slow)
		return (struct cell){ .kind = CELL_WHEN, .n = clock_at(line, K_REALTIME) };
	return (struct cell){ .kind = CELL_TIME, .d = line->sample->when.tv_sec +
		line->sample->when.tv_nsec / 1e9 };
}

static struct cell get_vm(const struct line *line, int arg)
{
	static char pids[2][12];	/* two, as sorting compares two lines */
	static int turn;
	char *pid;

	(void)arg;
	if (!line->row->slow || *line->part->vm)
		return cell_text(line->part->vm);
	pid = pids[turn ^= 1];
	snprintf(pid, sizeof(pids[0]), "%u", line->row->slow->vm);
	return cell_text(pid);
}

static struct cell get_vmname(const struct line *line, int arg)
{
	(void)arg;
	return cell_text(line->part->vmname);
}

static struct cell get_vcpu(const struct line *line, int arg)
{
	(void)arg;
	if (line->row->slow)
		return (struct cell){ .kind = CELL_COUNT, .n = line->row->slow->vcpu };
	if (line->part->vcpu < 0)
		return cell_none;
	return (struct cell){ .kind = CELL_COUNT, .n = line->part->vcpu };
}

static struct cell get_vcpus(const struct line *line, int arg)
{
	(void)arg;
	return line->part->vcpus ? cell_text(line->part->vcpus) : cell_none;
}

static struct cell get_reason(const struct line *line, int arg)
{
	(void)arg;
	if (line->row->key.reason >= REASON_OTHER)
		return cell_none;
	return (struct cell){ .kind = CELL_COUNT, .n = line->row->key.reason };
}

struct cell get_name(const struct line *line, int arg)
{
	(void)arg;
	return cell_text(line->row->name);
}

/* Whether the line has a key. For a slow exit KEY_REST means that it has none. */
static bool has_key(const struct line *line)
{
	return line->part->account.keyed ||
		(line->row->slow && line->row->key.key != KEY_REST);
}

static struct cell get_key(const struct line *line, int arg)
{
	const struct row_key *key = &line->row->key;

	(void)arg;
	if (!has_key(line) || key->reason == REASON_SUM || key->key == KEY_REST)
		return cell_none;
	return (struct cell){ .kind = CELL_KEY, .n = key->key };
}

static struct cell get_what(const struct line *line, int arg)
{
	(void)arg;
	if (!has_key(line))
		return cell_none;
	return cell_text(key_name(line->row));
}

static struct cell get_counter(const struct line *line, int c)
{
	if (!account_has(&line->part->account, c))
		return cell_none;
	if (c == C_MAX && !row_max(line->row))
		return cell_none;
	return (struct cell){ .kind = c == C_EXITS || c == C_SLOW ? CELL_COUNT : CELL_CYCLES,
			      .n = line->row->n[c] };
}

static struct cell get_rate(const struct line *line, int arg)
{
	(void)arg;
	if (line->sample->seconds <= 0 || !account_has(&line->part->account, C_EXITS))
		return cell_none;
	return (struct cell){ .kind = CELL_RATE,
			      .d = line->row->n[C_EXITS] / line->sample->seconds };
}

static struct cell get_average(const struct line *line, int c)
{
	if (!line->row->n[C_EXITS] || !account_has(&line->part->account, c))
		return cell_none;
	return (struct cell){ .kind = CELL_AVERAGE,
			      .d = (double)line->row->n[c] / line->row->n[C_EXITS] };
}

static struct cell get_lost(const struct line *line, int arg)
{
	(void)arg;
	if (!account_has_lost(&line->part->account))
		return cell_none;
	return cycles(row_lost(line->row, &line->part->account));
}

/* A file may have an exit's cycles before it has its total: do not go below 0. */
static struct cell get_other(const struct line *line, int arg)
{
	const uint64_t *n = line->row->n;
	uint64_t known = n[C_CYCLES] - n[C_HSCHED] + n[C_HALT] + n[C_USER] +
		n[C_SCHED] + n[C_STOP];

	(void)arg;
	if (!account_has_all(&line->part->account, PARTS_OF_OTHER))
		return cell_none;
	return cycles(n[C_TOTAL] > known ? n[C_TOTAL] - known : 0);
}

static struct cell get_cpu_of_host(const struct line *line, int arg)
{
	(void)arg;
	if (!line->row->slow)
		return cell_none;
	return (struct cell){ .kind = CELL_COUNT, .n = line->row->slow->cpu };
}

static struct cell get_perf(const struct line *line, int arg)
{
	(void)arg;
	if (!line->row->slow || !account_knows(&line->part->account, K_PERF))
		return cell_none;
	return (struct cell){ .kind = CELL_CLOCK, .n = clock_at(line, K_PERF) };
}

/* The symbols are L1's, so they do not fit an address of L2. */
static struct cell get_rip(const struct line *line, int arg)
{
	const struct slow *slow = line->row->slow;
	const char *symbol = NULL;

	(void)arg;
	if (!slow || !slow->rip)
		return cell_none;
	if (!has_key(line) || !(line->row->key.key & KEY_L2))
		symbol = symbol_name(slow->rip);
	return symbol ? cell_text(symbol) : (struct cell){ .kind = CELL_HEX, .n = slow->rip };
}

/*
 * The largest part of the time that a slow exit lost. If a part is not known, it is known
 * to be smaller only if another one has half of that time.
 */
static struct cell get_mostly(const struct line *line, int arg)
{
	const struct account *a = &line->part->account;
	const uint64_t *n = line->row->n;
	const struct {
		const char *word;
		unsigned int needs;
		uint64_t cycles;
	} parts[] = {
		{ "user space", 1u << C_USER, n[C_USER] },
		{ "no CPU", 1u << C_SCHED, n[C_SCHED] },
		{ "handler", 1u << C_CYCLES | 1u << C_HSCHED, n[C_CYCLES] > n[C_HSCHED] ? n[C_CYCLES] - n[C_HSCHED] : 0 },
		{ "interrupts or entry", PARTS_OF_OTHER, get_other(line, 0).n },
	};
	uint64_t lost = account_has_lost(a) ? row_lost(line->row, a) : n[C_TOTAL], largest = 0;
	size_t most = 0;

	(void)arg;
	if (!line->row->slow)
		return cell_none;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (account_has_all(a, parts[i].needs) && parts[i].cycles > largest) {
			largest = parts[i].cycles;
			most = i;
		}
	}
	if (!largest || (!account_has_all(a, PARTS_OF_OTHER) && largest < lost - lost / 2))
		return cell_none;
	return cell_text(parts[most].word);
}

static struct cell get_percentile(const struct line *line, int per_100000)
{
	const struct account *a = &line->part->account;
	uint64_t bound;

	if (!row_percentile(line->row, a, per_100000, &bound))
		return cell_none;
	return (struct cell){ .kind = CELL_BOUND, .n = bound,
			      .is_max = account_has(a, C_MAX) && bound == row_max(line->row) };
}

static struct cell get_share(const struct line *line, int arg)
{
	uint64_t lost = row_lost(line->row, &line->part->account);

	(void)arg;
	if (!line->lost_by_all || !line->part->account.counters)
		return cell_none;
	return (struct cell){ .kind = CELL_SHARE, .d = (double)lost / line->lost_by_all };
}

/* Seconds inside the guest, of the row's whole account; 0 if they are not known. */
static double guest_seconds(const struct line *line)
{
	const struct account *a = &line->part->account;

	if (!account_knows(a, K_GUEST) || !a->key[K_TSC_KHZ])
		return 0;
	return a->key[K_GUEST] / 1e3 / a->key[K_TSC_KHZ];
}

/* get_gexits(), get_glost() - per second of guest time, to compare spans of different lengths. */
struct cell get_gexits(const struct line *line, int arg)
{
	double seconds = guest_seconds(line);

	(void)arg;
	if (seconds <= 0 || !account_has(&line->part->account, C_EXITS))
		return cell_none;
	return (struct cell){ .kind = CELL_RATE, .d = line->row->n[C_EXITS] / seconds };
}

struct cell get_glost(const struct line *line, int arg)
{
	const struct account *a = &line->part->account;

	(void)arg;
	if (!account_knows(a, K_GUEST) || !a->key[K_GUEST] || !account_has_lost(a))
		return cell_none;
	return (struct cell){ .kind = CELL_SHARE,
			      .d = (double)row_lost(line->row, a) / a->key[K_GUEST] };
}

static bool whole(const struct line *line)
{
	return line->row->key.reason == REASON_SUM &&
		account_knows(&line->part->account, K_GUEST) && !line->part->account.recorded;
}

static struct cell get_guest(const struct line *line, int arg)
{
	(void)arg;
	return whole(line) ? cycles(line->part->account.key[K_GUEST]) : cell_none;
}

static struct cell get_overhead(const struct line *line, int arg)
{
	const struct account *a = &line->part->account;
	double lost = row_lost(&a->sum, a), all = lost + a->key[K_GUEST];

	(void)arg;
	if (!whole(line) || !account_has_lost(a) || all <= 0)
		return cell_none;
	return (struct cell){ .kind = CELL_SHARE, .d = lost / all };
}

#define COUNTER_COLUMN(id, name, title, help, metric, metric_help) \
	{ name, title, help, get_counter, C_##id, COLUMN_COUNTER, metric, metric_help },

const struct column columns[] = {
	{ "time", NULL, "when it was read; of a slow exit, its end: seconds since 1970", get_time, 0,
	  .flags = 0 },
	{ "vm", NULL, "the VM: PID and file descriptor", get_vm, 0, .flags = COLUMN_LEFT | COLUMN_NUMBERS },
	{ "vmname", NULL, "the name of the VM's guest, from QEMU's -name", get_vmname, 0,
	  .flags = COLUMN_LEFT | COLUMN_CUT },
	{ "vcpu", NULL, "the vCPU's number", get_vcpu, 0, .flags = 0 },
	{ "vcpus", NULL, "the numbers of the VM's vCPUs", get_vcpus, 0,
	  .flags = COLUMN_LEFT | COLUMN_VCPUS | COLUMN_WHOLE },
	{ "reason", NULL, "the exit reason's number", get_reason, 0, .flags = COLUMN_REASON },
	{ "name", NULL, "the exit reason's name", get_name, 0, .flags = COLUMN_REASON | COLUMN_LEFT },
	{ "key", NULL, "the cause inside the reason (exitdump why)", get_key, 0,
	  .flags = COLUMN_REASON | COLUMN_LEFT | COLUMN_KEY },
	{ "what", NULL, "the name of the key", get_what, 0,
	  .flags = COLUMN_REASON | COLUMN_LEFT | COLUMN_CUT | COLUMN_KEY },
	COUNTERS(COUNTER_COLUMN)
	{ "rate", NULL, "exits per second, over an interval", get_rate, 0, .flags = COLUMN_INTERVAL },
	{ "avg", NULL, "cycles / exits", get_average, C_CYCLES, .flags = 0 },
	{ "avgtotal", NULL, "total / exits", get_average, C_TOTAL, .flags = 0 },
	{ "lost", NULL, "total - halt - stop: the guest wanted to run", get_lost, 0, COLUMN_LOST,
	  "kvm_exit_lost_cycles_total",
	  "TSC cycles in which guests wanted to run and could not: from exit to entry, without halt and stop." },
	{ "share", NULL, "part of all lost time; for keys, of all their totals", get_share, 0, .flags = 0 },
	{ "other", NULL, "part of lost: not in handler, user or sched (interrupts, entry)", get_other, 0,
	  .flags = COLUMN_LOST },
	{ "gexits", NULL, "exits per second of guest time", get_gexits, 0, .flags = COLUMN_GUEST },
	{ "glost", NULL, "lost / guest: lost time per second in the guest", get_glost, 0,
	  .flags = COLUMN_GUEST | COLUMN_LOST },
	{ "p50", NULL, "50 % of totals are at most this: a bucket's upper bound", get_percentile, 50000,
	  .flags = COLUMN_HIST },
	{ "p90", NULL, "90 % of totals are at most this", get_percentile, 90000, .flags = COLUMN_HIST },
	{ "p99", NULL, "99 % of totals are at most this", get_percentile, 99000, .flags = COLUMN_HIST },
	{ "p99.9", NULL, "99.9 % of totals are at most this", get_percentile, 99900, .flags = COLUMN_HIST },
	{ "guest", NULL, "time inside the guest", get_guest, 0, COLUMN_WHOLE | COLUMN_GUEST,
	  "kvm_guest_cycles_total", "TSC cycles inside the guest." },
	{ "overhead", NULL, "lost / (lost + guest)", get_overhead, 0,
	  .flags = COLUMN_WHOLE | COLUMN_GUEST | COLUMN_LOST },
	{ "vcpucpu", NULL, "CPU time of the vCPUs' threads, as a share of one CPU", get_cpu, CPU_VCPUS,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE },
	{ "vmmcpu", NULL, "CPU time of the VM's other threads", get_cpu, CPU_OTHERS,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE },
	{ "irqs", NULL, "interrupts that KVM injected, per second", get_irqs, 0,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE },
	{ "busiest", NULL, "the names of the busiest other threads", get_busiest, 0,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE | COLUMN_LEFT },
	{ "perf", NULL, "a slow exit's end, in seconds of perf's clock", get_perf, 0,
	  .flags = COLUMN_SLOW },
	{ "cpu", NULL, "the host's CPU on which a slow exit ended", get_cpu_of_host, 0, .flags = COLUMN_SLOW },
	{ "rip", NULL, "the guest's address at a slow exit (--symbols)", get_rip, 0,
	  .flags = COLUMN_LEFT | COLUMN_SLOW },
	{ "mostly", NULL, "the largest part of a slow exit's lost time", get_mostly, 0,
	  .flags = COLUMN_LEFT | COLUMN_SLOW },
};

const size_t ncolumns = sizeof(columns) / sizeof(*columns);

/* column_find() - find a column by its name or its heading in tables. NULL if there is none. */
const struct column *column_find(const char *name)
{
	for (size_t i = 0; i < ncolumns; i++) {
		if (!strcasecmp(columns[i].name, name) ||
		    (columns[i].title && !strcasecmp(columns[i].title, name)))
			return &columns[i];
	}
	return NULL;
}

/* column_known() - whether the account has what the column needs. */
bool column_known(const struct column *col, const struct account *a)
{
	return (!(col->flags & COLUMN_LOST) || account_has_lost(a)) &&
		(!(col->flags & COLUMN_KEY) || a->keyed || a->recorded) &&
		(!(col->flags & COLUMN_SLOW) || a->recorded) &&
		(!(col->flags & COLUMN_COUNTER) || account_has(a, col->arg)) &&
		(!(col->flags & COLUMN_GUEST) || account_knows(a, K_GUEST));
}

/* pick_column() - read what the column needs, too. Whether that is more than before. */
bool pick_column(struct pick *pick, const struct column *col)
{
	const struct pick before = *pick;

	pick->hist |= col->flags & COLUMN_HIST;
	pick->vcpu_lists |= col->flags & COLUMN_VCPUS;
	pick->outside |= col->flags & COLUMN_OUTSIDE;
	return pick->hist != before.hist || pick->vcpu_lists != before.vcpu_lists || pick->outside != before.outside;
}

/* column_heading() - print the column's heading in tables. */
void column_heading(const struct column *col, struct out *to)
{
	for (const char *c = col->title ? col->title : col->name; *c; c++)
		out_char(to, toupper(*c));
}

// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <string.h>

#include "columns.h"
#include "keys.h"

static const struct cell none = { .kind = CELL_NONE };

static struct cell text(const char *s)
{
	return *s ? (struct cell){ .kind = CELL_TEXT, .text = s } : none;
}

static struct cell cycles(uint64_t n)
{
	return (struct cell){ .kind = CELL_CYCLES, .n = n };
}

static struct cell get_time(const struct line *line, int arg)
{
	(void)arg;
	return (struct cell){ .kind = CELL_TIME, .d = line->sample->when.tv_sec +
		line->sample->when.tv_nsec / 1e9 };
}

static struct cell get_vm(const struct line *line, int arg)
{
	(void)arg;
	return text(line->part->vm);
}

static struct cell get_vmname(const struct line *line, int arg)
{
	(void)arg;
	return text(line->part->vmname);
}

static struct cell get_vcpu(const struct line *line, int arg)
{
	(void)arg;
	if (line->part->vcpu < 0)
		return none;
	return (struct cell){ .kind = CELL_COUNT, .n = line->part->vcpu };
}

static struct cell get_vcpus(const struct line *line, int arg)
{
	(void)arg;
	return line->part->vcpus ? text(line->part->vcpus) : none;
}

static struct cell get_reason(const struct line *line, int arg)
{
	(void)arg;
	if (line->row->key.reason >= REASON_OTHER)
		return none;
	return (struct cell){ .kind = CELL_COUNT, .n = line->row->key.reason };
}

static struct cell get_name(const struct line *line, int arg)
{
	(void)arg;
	return text(line->row->name);
}

static struct cell get_key(const struct line *line, int arg)
{
	const struct row_key *key = &line->row->key;

	(void)arg;
	if (!line->part->account.keyed || key->reason == REASON_SUM || key->key == KEY_REST)
		return none;
	return (struct cell){ .kind = CELL_KEY, .n = key->key };
}

static struct cell get_what(const struct line *line, int arg)
{
	(void)arg;
	if (!line->part->account.keyed || line->row->key.reason == REASON_SUM)
		return none;
	return text(key_name(line->row));
}

static struct cell get_counter(const struct line *line, int c)
{
	if (!account_has(&line->part->account, c))
		return none;
	if (c == C_MAX && !row_max(line->row))
		return none;
	return (struct cell){ .kind = c == C_EXITS ? CELL_COUNT : CELL_CYCLES,
			      .n = line->row->n[c] };
}

static struct cell get_rate(const struct line *line, int arg)
{
	(void)arg;
	if (line->sample->seconds <= 0 || !account_has(&line->part->account, C_EXITS))
		return none;
	return (struct cell){ .kind = CELL_RATE,
			      .d = line->row->n[C_EXITS] / line->sample->seconds };
}

static struct cell get_average(const struct line *line, int c)
{
	if (!line->row->n[C_EXITS] || !account_has(&line->part->account, c))
		return none;
	return (struct cell){ .kind = CELL_AVERAGE,
			      .d = (double)line->row->n[c] / line->row->n[C_EXITS] };
}

static struct cell get_lost(const struct line *line, int arg)
{
	(void)arg;
	if (!account_has_lost(&line->part->account))
		return none;
	return cycles(row_lost(line->row, &line->part->account));
}

/* An exit of the first edition that is not over has cycles and no total: never below 0. */
static struct cell get_other(const struct line *line, int arg)
{
	const uint64_t *n = line->row->n;
	uint64_t known = n[C_CYCLES] - n[C_HSCHED] + n[C_HALT] + n[C_USER] +
		n[C_SCHED] + n[C_STOP];

	(void)arg;
	if (!account_has_lost(&line->part->account))
		return none;
	return cycles(n[C_TOTAL] > known ? n[C_TOTAL] - known : 0);
}

static struct cell get_percentile(const struct line *line, int per_100000)
{
	uint64_t bound;

	if (!row_percentile(line->row, per_100000, &bound))
		return none;
	return (struct cell){ .kind = CELL_BOUND, .n = bound };
}

static struct cell get_share(const struct line *line, int arg)
{
	uint64_t lost = row_lost(line->row, &line->part->account);

	(void)arg;
	if (!line->lost_by_all || !line->part->account.counters)
		return none;
	return (struct cell){ .kind = CELL_SHARE, .d = (double)lost / line->lost_by_all };
}

/* Seconds inside the guest of all that the row is a part of; 0 where that is not known. */
static double guest_seconds(const struct line *line)
{
	const struct account *a = &line->part->account;

	if (!account_knows(a, K_GUEST) || !a->key[K_TSC_KHZ])
		return 0;
	return a->key[K_GUEST] / 1e3 / a->key[K_TSC_KHZ];
}

/* get_gexits(), get_glost() - per second of guest time, so that unlike spans compare. */
struct cell get_gexits(const struct line *line, int arg)
{
	double seconds = guest_seconds(line);

	(void)arg;
	if (seconds <= 0 || !account_has(&line->part->account, C_EXITS))
		return none;
	return (struct cell){ .kind = CELL_RATE, .d = line->row->n[C_EXITS] / seconds };
}

struct cell get_glost(const struct line *line, int arg)
{
	const struct account *a = &line->part->account;

	(void)arg;
	if (!account_knows(a, K_GUEST) || !a->key[K_GUEST] || !account_has_lost(a))
		return none;
	return (struct cell){ .kind = CELL_SHARE,
			      .d = (double)row_lost(line->row, a) / a->key[K_GUEST] };
}

static bool whole(const struct line *line)
{
	return line->row->key.reason == REASON_SUM &&
		account_knows(&line->part->account, K_GUEST);
}

static struct cell get_guest(const struct line *line, int arg)
{
	(void)arg;
	return whole(line) ? cycles(line->part->account.key[K_GUEST]) : none;
}

static struct cell get_overhead(const struct line *line, int arg)
{
	const struct account *a = &line->part->account;
	double lost = row_lost(&a->sum, a), all = lost + a->key[K_GUEST];

	(void)arg;
	if (!whole(line) || !account_has_lost(a) || all <= 0)
		return none;
	return (struct cell){ .kind = CELL_SHARE, .d = lost / all };
}

/* What the VM does outside its vCPUs; of a whole VM, over an interval. */
static const struct outside *outside_of(const struct line *line)
{
	const struct outside *o = &line->part->outside;

	return o->known && line->sample->seconds > 0 && line->row->key.reason == REASON_SUM ? o : NULL;
}

enum { CPU_VCPUS, CPU_OTHERS };

static struct cell get_cpu(const struct line *line, int whose)
{
	const struct outside *o = outside_of(line);
	uint64_t ticks;

	if (!o)
		return none;
	ticks = whose == CPU_VCPUS ? o->vcpu_ticks :
		o->all_ticks > o->vcpu_ticks ? o->all_ticks - o->vcpu_ticks : 0;
	return (struct cell){ .kind = CELL_SHARE, .d = outside_cpus(ticks, line->sample->seconds) };
}

static struct cell get_irqs(const struct line *line, int arg)
{
	const struct outside *o = outside_of(line);

	(void)arg;
	if (!o || !o->has_irqs)
		return none;
	return (struct cell){ .kind = CELL_RATE, .d = o->irqs / line->sample->seconds };
}

static struct cell get_busiest(const struct line *line, int arg)
{
	const struct outside *o = outside_of(line);

	(void)arg;
	return o ? text(o->busiest) : none;
}

#define COUNTER_COLUMN(id, name, title, help, metric, metric_help) \
	{ name, title, help, get_counter, C_##id, COLUMN_COUNTER, metric, metric_help },

const struct column columns[] = {
	{ "time", NULL, "when it was read, seconds since 1970", get_time, 0, .flags = COLUMN_WHOLE },
	{ "vm", NULL, "the VM: PID-FD of its process", get_vm, 0, .flags = COLUMN_LEFT | COLUMN_NUMBERS },
	{ "vmname", NULL, "the VM's guest name, as QEMU's -name gave it", get_vmname, 0,
	  .flags = COLUMN_LEFT | COLUMN_CUT },
	{ "vcpu", NULL, "the vCPU's number", get_vcpu, 0, .flags = 0 },
	{ "vcpus", NULL, "the numbers of the VM's vCPUs", get_vcpus, 0,
	  .flags = COLUMN_LEFT | COLUMN_VCPUS | COLUMN_WHOLE },
	{ "reason", NULL, "the exit reason's number", get_reason, 0, .flags = COLUMN_REASON },
	{ "name", NULL, "the exit reason's name", get_name, 0, .flags = COLUMN_REASON | COLUMN_LEFT },
	{ "key", NULL, "why, inside the reason (exitdump why)", get_key, 0,
	  .flags = COLUMN_REASON | COLUMN_LEFT | COLUMN_KEY },
	{ "what", NULL, "the key in words", get_what, 0,
	  .flags = COLUMN_REASON | COLUMN_LEFT | COLUMN_CUT | COLUMN_KEY },
	COUNTERS(COUNTER_COLUMN)
	{ "rate", NULL, "exits a second, over an interval", get_rate, 0, .flags = COLUMN_INTERVAL },
	{ "avg", NULL, "cycles / exits", get_average, C_CYCLES, .flags = 0 },
	{ "avgtotal", NULL, "total / exits", get_average, C_TOTAL, .flags = COLUMN_TOTAL },
	{ "lost", NULL, "total without halt and stop: the guest wanted to run", get_lost, 0, COLUMN_LOST,
	  "kvm_exit_lost_cycles_total",
	  "TSC cycles that guests wanted to run and could not: from exit to entry, neither halted nor stopped." },
	{ "share", NULL, "of all time lost; of keys: of all of their total", get_share, 0, .flags = 0 },
	{ "other", NULL, "of lost: not in KVM's handler, user or sched (interrupts, entry)", get_other, 0,
	  .flags = COLUMN_LOST },
	{ "gexits", NULL, "exits a second of guest time", get_gexits, 0, .flags = COLUMN_GUEST },
	{ "glost", NULL, "lost / guest: what a second in the guest costs beside it", get_glost, 0,
	  .flags = COLUMN_GUEST | COLUMN_LOST },
	{ "p50", NULL, "half of the totals are at most this: a bucket's upper bound", get_percentile, 50000,
	  .flags = COLUMN_HIST },
	{ "p90", NULL, "90 % are", get_percentile, 90000, .flags = COLUMN_HIST },
	{ "p99", NULL, "99 % are", get_percentile, 99000, .flags = COLUMN_HIST },
	{ "p99.9", NULL, "99.9 % are", get_percentile, 99900, .flags = COLUMN_HIST },
	{ "guest", NULL, "time inside the guest", get_guest, 0, COLUMN_WHOLE | COLUMN_GUEST,
	  "kvm_guest_cycles_total", "TSC cycles inside the guest." },
	{ "overhead", NULL, "share of its time that was lost: lost / (lost + guest)", get_overhead, 0,
	  .flags = COLUMN_WHOLE | COLUMN_GUEST | COLUMN_LOST },
	{ "vcpucpu", NULL, "CPU that the vCPUs' threads took, of one CPU", get_cpu, CPU_VCPUS,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE },
	{ "vmmcpu", NULL, "CPU that the VM's other threads took", get_cpu, CPU_OTHERS,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE },
	{ "irqs", NULL, "interrupts that KVM injected, a second", get_irqs, 0,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE },
	{ "busiest", NULL, "of the other threads those that took most, by name", get_busiest, 0,
	  .flags = COLUMN_OUTSIDE | COLUMN_WHOLE | COLUMN_LEFT },
};

const size_t ncolumns = sizeof(columns) / sizeof(*columns);

/* column_find() - by its name or what tables call it; NULL where there is none. */
const struct column *column_find(const char *name)
{
	for (size_t i = 0; i < ncolumns; i++) {
		if (!strcasecmp(columns[i].name, name) ||
		    (columns[i].title && !strcasecmp(columns[i].title, name)))
			return &columns[i];
	}
	return NULL;
}

/* column_known() - whether such an account can fill it. */
bool column_known(const struct column *col, const struct account *a)
{
	return (!(col->flags & COLUMN_TOTAL) || account_has(a, C_TOTAL)) &&
		(!(col->flags & COLUMN_LOST) || account_has_lost(a)) &&
		(!(col->flags & COLUMN_KEY) || a->keyed) &&
		(!(col->flags & COLUMN_COUNTER) || account_has(a, col->arg)) &&
		(!(col->flags & COLUMN_GUEST) || account_knows(a, K_GUEST));
}

/* column_heading() - what stands above it in a table. */
void column_heading(const struct column *col, struct out *to)
{
	for (const char *c = col->title ? col->title : col->name; *c; c++)
		out_char(to, toupper(*c));
}

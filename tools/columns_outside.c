// SPDX-License-Identifier: GPL-2.0-only
/*
 * columns_outside.c - the columns about what a VM does outside its vCPUs.
 */
#include "columns.h"

/* What the VM does outside its vCPUs. NULL if the line is not of a whole VM over an interval. */
static const struct outside *outside_of(const struct line *line)
{
	const struct outside *o = &line->part->outside;

	return o->known && line->sample->seconds > 0 && line->row->key.reason == REASON_SUM ? o : NULL;
}

struct cell get_cpu(const struct line *line, int whose)
{
	const struct outside *o = outside_of(line);
	uint64_t ticks;

	if (!o || !o->has_vcpus)
		return cell_none;
	ticks = whose == CPU_VCPUS ? o->vcpu_ticks :
		o->all_ticks > o->vcpu_ticks ? o->all_ticks - o->vcpu_ticks : 0;
	return (struct cell){ .kind = CELL_SHARE, .d = outside_cpus(ticks, line->sample->seconds) };
}

struct cell get_irqs(const struct line *line, int arg)
{
	const struct outside *o = outside_of(line);

	(void)arg;
	if (!o || !o->has_irqs)
		return cell_none;
	return (struct cell){ .kind = CELL_RATE, .d = o->irqs / line->sample->seconds };
}

struct cell get_busiest(const struct line *line, int arg)
{
	const struct outside *o = outside_of(line);

	(void)arg;
	return o ? cell_text(o->busiest) : cell_none;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * print.c - prints what a VM's guests have done. The head of vmm.c describes the lines.
 */
#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "monitor.h"

static const struct {
	const char *name;
	int vmx, svm;			/* reason, if the kind is all that reason has */
} kinds[KINDS] = {
	[CPUID]		= { "cpuid", 10, 0x72 },
	[IO]		= { "io", 30, 0x7b },
	[RDMSR]		= { "rdmsr", -1, -1 },
	[WRMSR]		= { "wrmsr", -1, -1 },
	[EOI]		= { "eoi", -1, -1 },
	[HLT]		= { "hlt", 12, 0x78 },
	[HYPERCALL]	= { "hypercall", 18, 0x81 },
	[EPT]		= { "ept", -1, -1 },
	[MMIO_ACCESS]	= { "mmio", -1, -1 },
	[EXCEPTION]	= { "exception", 0, 0x46 },
	[DEBUG_REG]	= { "debug register", 29, 0x27 },
	[CONTROL_REG]	= { "control register", 28, 0x14 },
	[CACHE]		= { "cache", 13, -1 }, /* QEMU's TCG takes an INVD for a WBINVD */
	[TRIPLE]	= { "triple", 2, 0x7f },
};

static const char *const users[USERS] = { "io", "sleep", "shell", "set", "wait", "log", "refused", "done", "mmio", "hlt", "shutdown", "fail-entry", "intr" };

/* Each by itself; they are the same when all are read at once. */
static void print_stats(int fd, int vm, const char *vcpu)
{
	static uint8_t all[1 << 16];
	int stats = CALL(fd, KVM_GET_STATS_FD, 0);
	struct kvm_stats_header header;
	struct kvm_stats_desc *desc;
	size_t size, at;
	uint64_t value;

	if (pread(stats, &header, sizeof(header), 0) != sizeof(header) || pread(stats, all, sizeof(all), 0) < 0)
		err(EX_FAILED, "KVM statistics");
	size = sizeof(*desc) + header.name_size;
	desc = malloc(size);
	if (!desc)
		err(EX_FAILED, "malloc");
	for (uint32_t i = 0; i < header.num_desc; i++) {
		if (pread(stats, desc, size, header.desc_offset + i * size) != (ssize_t)size)
			err(EX_FAILED, "KVM statistics");
		printf("stat\t%d\t%s\t%.*s", vm, vcpu, (int)header.name_size, desc->name);
		for (int j = 0; j < desc->size; j++) {
			at = header.data_offset + desc->offset + j * sizeof(value);
			if (pread(stats, &value, sizeof(value), at) != sizeof(value))
				err(EX_FAILED, "KVM statistics");
			if (memcmp(all + at, &value, sizeof(value)))
				errx(EX_FAILED, "KVM statistics: %s is another when all are read", desc->name);
			printf("\t%" PRIu64, value);
		}
		putchar('\n');
	}
	free(desc);
	close(stats);
}

static void count_made(const struct vcpu *v, uint64_t *made)
{
	const struct step *s;
	const struct made *m;
	int i, j;

	memset(made, 0, KINDS * sizeof(*made));
	if (opt.bad_entry)
		return;
	made[WRMSR] = made[EOI] = v->g->early;	/* again, after an early interrupt */
	made[opt.done_mmio ? MMIO_ACCESS : IO] = v->user[U_DONE];
	for (i = 0; i < v->script->steps; i++) {
		s = &v->script->step[i];
		for (j = 0; j < 3; j++) {
			m = &ops[v->script->op[i]].made[j];
			if (s->count && (m->each || m->once))
				made[m->kind] += ((uint64_t)m->each * s->count + m->once) *
						 (v->rounds + v->user[U_SHUTDOWN]);
		}
	}
}

static void print_known(const struct vcpu *v, uint64_t *made)
{
	/* an EOI need not exit, and a nested guest's setup has more MSRs */
	bool msrs = !made[EOI] && !(needs & NESTED);
	int i, reason;

	if (opt.mode == BIGREAL)	/* emulated, in few exits, or not */
		return;

	/* the vCPU does not enter its guest again after the last */
	if (v->user[U_DONE])
		made[opt.done_mmio ? MMIO_ACCESS : IO]--;
	else if (v->user[U_SHUTDOWN])
		made[TRIPLE]--;

	for (i = 0; i < KINDS; i++) {
		reason = svm ? kinds[i].svm : kinds[i].vmx;
		if (made[i] && reason >= 0)
			printf("known\t%d\t%d\t%d\t%" PRIu64 "\n", v->vm->number, v->index, reason, made[i]);
	}
	if (msrs && svm && made[RDMSR] + made[WRMSR])
		printf("known\t%d\t%d\t%d\t%" PRIu64 "\n", v->vm->number, v->index, 0x7c, made[RDMSR] + made[WRMSR]);
	if (msrs && !svm && made[RDMSR])
		printf("known\t%d\t%d\t31\t%" PRIu64 "\n", v->vm->number, v->index, made[RDMSR]);
	if (msrs && !svm && made[WRMSR])
		printf("known\t%d\t%d\t32\t%" PRIu64 "\n", v->vm->number, v->index, made[WRMSR]);
}

static void print_vcpu(const struct vcpu *v)
{
	const struct guest *g = v->g;
	uint64_t made[KINDS];
	char name[12];
	int i, vm = v->vm->number;

	for (i = 0; i < v->script->steps; i++) {
		const struct result *r = &g->result[i];

		if (r->count)
			printf("step\t%d\t%d\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n",
			       vm, v->index, ops[v->script->op[i]].name, r->count, r->min, r->sum / r->count, r->max);
	}
	for (i = 0; i < (int)g->nleaves; i++) {
		const struct leaf *l = &g->leaf[i];

		printf("leaf\t%d\t%d\t%#x\t%u\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n",
		       vm, v->index, l->leaf, l->ecx, l->reg[0], l->reg[1], l->reg[2], l->reg[3]);
	}
	count_made(v, made);
	for (i = 0; i < KINDS; i++)
		if (made[i])
			printf("made\t%d\t%d\t%s\t%" PRIu64 "\n", vm, v->index, kinds[i].name, made[i]);
	print_known(v, made);
	for (i = 0; i < USERS; i++)
		if (v->user[i])
			printf("user\t%d\t%d\t%s\t%" PRIu64 "\n", vm, v->index, users[i], v->user[i]);
	printf("time\t%d\t%d\trun\t%" PRIu64 "\n", vm, v->index, v->run_cycles);
	printf("time\t%d\t%d\tuser\t%" PRIu64 "\n", vm, v->index, v->user_cycles);
	if (g->faults)
		printf("fault\t%d\t%d\t-\t%" PRIu64 "\n", vm, v->index, g->faults);
	printf("bad\t%d\t%d\t-\t%" PRIu64 "\n", vm, v->index, g->bad);
	if (g->digest != NO_DIGEST)
		printf("digest\t%d\t%d\t-\t%" PRIu64 "\n", vm, v->index, g->digest);
	if (opt.stats) {
		snprintf(name, sizeof(name), "%d", v->index);
		print_stats(v->fd, vm, name);
	}
}

void print_vm(const struct vm *vm)
{
	int i;

	for (i = 0; i < opt.vcpus; i++)
		print_vcpu(&vm->vcpu[i]);
	if (opt.stats)
		print_stats(vm->fd, vm->number, "-");
}

// SPDX-License-Identifier: GPL-2.0-only
/* outside.c - reading the CPU time of a VM's threads, and its injected interrupts. */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "files.h"
#include "outside.h"

static bool read_number(const char *path, uint64_t *n)
{
	char text[32], *end;

	if (read_small(path, text, sizeof(text)) <= 0 || !isdigit(*text))
		return false;
	*n = strtoull(text, &end, 10);
	return !*end || *end == '\n';
}

/* "TID (NAME) S ...": the name may have any characters; fields 14 and 15 are CPU ticks. */
static bool read_stat(const char *path, char *name, size_t size, uint64_t *ticks)
{
	char text[1024], *open, *close;
	unsigned long user, system;

	if (read_small(path, text, sizeof(text)) <= 0)
		return false;
	open = strchr(text, '(');
	close = strrchr(text, ')');
	if (!open || !close || close < open ||
	    sscanf(close + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu",
		   &user, &system) != 2)
		return false;
	*close = '\0';
	snprintf(name, size, "%s", open + 1);
	printable(name);
	*ticks = user + system;
	return true;
}

static int is_number(const struct dirent *entry)
{
	return strspn(entry->d_name, "0123456789") == strlen(entry->d_name);
}

static int is_vcpu_folder(const struct dirent *entry)
{
	return !strncmp(entry->d_name, "vcpu", 4);
}

/* The threads that run vCPUs, from KVM's debugfs, in *tids, which the caller frees. */
static size_t read_vcpu_tids(const char *root, const char *vm, uint64_t **tids)
{
	struct dirent **names;
	char path[PATH_MAX];
	size_t n = 0;
	int found;

	*tids = NULL;
	snprintf(path, sizeof(path), "%s" KVM_DIR "/%s", root, vm);
	found = scandir(path, &names, is_vcpu_folder, NULL);
	for (int i = 0; i < found; i++) {
		snprintf(path, sizeof(path), "%s" KVM_DIR "/%s/%.20s/pid", root, vm, names[i]->d_name);
		*tids = need_room(*tids, n, sizeof(**tids));
		n += read_number(path, &(*tids)[n]);
		free(names[i]);
	}
	if (found >= 0)
		free(names);
	return n;
}

/* KVM lists the threads of vCPUs. If it does not, QEMU's names for them must do. */
static bool runs_vcpu(const struct thread *thread, const uint64_t *tids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (tids[i] == thread->tid)
			return true;
	}
	return !n && !strncmp(thread->name, "CPU ", 4) && strstr(thread->name, "/KVM");
}

static void add_thread(struct outside *o, const struct thread *thread)
{
	o->threads = need_room(o->threads, o->nthreads, sizeof(*o->threads));
	o->threads[o->nthreads++] = *thread;
}

static void read_threads(struct outside *o, const char *root, unsigned int pid, const char *vm)
{
	struct dirent **names;
	struct thread thread = { };
	char path[PATH_MAX];
	uint64_t *tids;
	size_t ntids = read_vcpu_tids(root, vm, &tids);
	int found;

	snprintf(path, sizeof(path), "%s/proc/%u/task", root, pid);
	found = scandir(path, &names, is_number, versionsort);
	for (int i = 0; i < found; i++) {
		thread.tid = strtoul(names[i]->d_name, NULL, 10);
		snprintf(path, sizeof(path), "%s/proc/%u/task/%.10s/stat", root, pid, names[i]->d_name);
		free(names[i]);
		if (!read_stat(path, thread.name, sizeof(thread.name), &thread.ticks))
			continue;
		thread.vcpu = runs_vcpu(&thread, tids, ntids);
		add_thread(o, &thread);
	}
	if (found >= 0)
		free(names);
	free(tids);
}

/* Kernel threads that work only for this VM: "vhost-PID" (before Linux 6.4), "kvm-pit/PID". */
static void read_kernel_threads(struct outside *o, const char *root, unsigned int pid)
{
	char path[PATH_MAX], vhost[20], pit[20];
	struct dirent **names;
	struct thread thread = { .kernel = true };
	int found;

	snprintf(vhost, sizeof(vhost), "vhost-%u", pid);
	snprintf(pit, sizeof(pit), "kvm-pit/%u", pid);
	snprintf(path, sizeof(path), "%s/proc", root);
	found = scandir(path, &names, is_number, versionsort);
	for (int i = 0; i < found; i++) {
		thread.tid = strtoul(names[i]->d_name, NULL, 10);
		snprintf(path, sizeof(path), "%s/proc/%.10s/stat", root, names[i]->d_name);
		free(names[i]);
		if (!read_stat(path, thread.name, sizeof(thread.name), &thread.ticks) ||
		    (strcmp(thread.name, vhost) && strcmp(thread.name, pit)))
			continue;
		add_thread(o, &thread);
	}
	if (found >= 0)
		free(names);
}

static int by_tid(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/*
 * outside_read() - read it for the VM "PID-FD". `known` is false if its process cannot be
 * seen. The threads are sorted by TID: a process may have very many.
 */
void outside_read(struct outside *o, const char *root, unsigned int pid, const char *vm)
{
	char path[PATH_MAX], name[20];

	*o = (struct outside){ };
	snprintf(path, sizeof(path), "%s/proc/%u/stat", root, pid);
	if (!read_stat(path, name, sizeof(name), &o->all_ticks))
		return;
	o->known = true;
	read_threads(o, root, pid, vm);
	read_kernel_threads(o, root, pid);
	if (o->nthreads)
		qsort(o->threads, o->nthreads, sizeof(*o->threads), by_tid);
	snprintf(path, sizeof(path), "%s" KVM_DIR "/%s/irq_injections", root, vm);
	o->has_irqs = read_number(path, &o->irqs);
}

void outside_copy(struct outside *o, const struct outside *from)
{
	*o = *from;
	if (!from->nthreads)
		return;
	o->threads = need(malloc(from->nthreads * sizeof(*o->threads)));
	memcpy(o->threads, from->threads, from->nthreads * sizeof(*o->threads));
}

/* outside_cpus() - how many CPUs were busy for these ticks in these seconds. */
double outside_cpus(uint64_t ticks, double seconds)
{
	return ticks / seconds / sysconf(_SC_CLK_TCK);
}

static int by_ticks(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	return x->ticks < y->ticks ? 1 : x->ticks > y->ticks ? -1 : strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct thread *)a)->name, ((const struct thread *)b)->name);
}

/* Add up threads of the same name. There is at least one thread. */
static void add_up_names(struct outside *o)
{
	struct thread *last = o->threads;

	qsort(o->threads, o->nthreads, sizeof(*o->threads), by_name);
	for (size_t i = 1; i < o->nthreads; i++) {
		if (strcmp(last->name, o->threads[i].name))
			*++last = o->threads[i];
		else
			last->ticks += o->threads[i].ticks;
	}
	o->nthreads = last - o->threads + 1;
}

static void name_busiest(struct outside *o, double seconds)
{
	char *to = o->busiest;
	size_t size = sizeof(o->busiest);
	int n;

	if (!o->nthreads)
		return;
	add_up_names(o);
	qsort(o->threads, o->nthreads, sizeof(*o->threads), by_ticks);
	for (size_t i = 0; i < o->nthreads && i < 2 && o->threads[i].ticks; i++) {
		n = snprintf(to, size, "%s%s %.1f%%", i ? ", " : "", o->threads[i].name,
			     100 * outside_cpus(o->threads[i].ticks, seconds));
		to += n;
		size -= n;
	}
}

/*
 * outside_subtract() - turn it into the difference to an earlier reading of the same VM. A
 * new thread started at 0. A thread that has ended counts only in the process's sum; if it
 * ran a vCPU, nobody knows how much of that is its own. A kernel thread is in no such sum.
 */
void outside_subtract(struct outside *o, const struct outside *before, double seconds)
{
	const struct thread *old = before->threads;
	uint64_t kernel = 0;
	size_t at = 0, left = 0, ended = 0;

	o->known &= before->known && seconds > 0;
	o->has_irqs &= before->has_irqs && o->irqs >= before->irqs;
	if (!o->known)
		return;
	for (size_t i = 0; i < before->nthreads; i++)
		ended += old[i].vcpu;
	for (size_t i = 0; i < o->nthreads; i++) {
		while (at < before->nthreads && old[at].tid < o->threads[i].tid)
			at++;
		if (at < before->nthreads && old[at].tid == o->threads[i].tid && old[at].ticks <= o->threads[i].ticks) {
			o->threads[i].ticks -= old[at].ticks;
			ended -= old[at].vcpu;
		}
		if (o->threads[i].kernel)
			kernel += o->threads[i].ticks;
		if (o->threads[i].vcpu)
			o->vcpu_ticks += o->threads[i].ticks;
		else
			o->threads[left++] = o->threads[i];
	}
	o->nthreads = left;
	o->has_vcpus = !ended;
	o->irqs -= before->irqs;
	o->all_ticks -= o->all_ticks >= before->all_ticks ? before->all_ticks : o->all_ticks;
	o->all_ticks += kernel;
	name_busiest(o, seconds);
}

void outside_free(struct outside *o)
{
	free(o->threads);
	o->threads = NULL;
	o->nthreads = 0;
}

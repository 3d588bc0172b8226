// SPDX-License-Identifier: GPL-2.0-only
/* source.c - the sources of samples, and the choice among them. */
#include <err.h>
#include <errno.h>

#include "fail.h"
#include "guest.h"
#include "source.h"

static enum read_result read_debugfs(const struct pick *pick, const char *dir, enum read_what what,
				     struct account *a)
{
	return read_dir_account(pick->root, dir, what, a);
}

static int debugfs_vms(const struct pick *pick, struct vm_id **vms, size_t *n)
{
	return list_vms(pick->root, vms, n);
}

static enum read_result debugfs_vcpus(const struct pick *pick, struct vm_id vm,
				      unsigned int **vcpus, size_t *n)
{
	return list_vcpus(pick->root, vm, vcpus, n);
}

static const char *debugfs_off(const struct pick *pick, enum read_what what)
{
	return switched_off(pick->root, what);
}

static enum read_result read_saved(const struct pick *pick, const char *dir, enum read_what what,
				   struct account *a)
{
	(void)dir;
	return read_account(pick->input, what, a);
}

static enum read_result read_guest(const struct pick *pick, const char *dir, enum read_what what,
				   struct account *a)
{
	(void)pick;
	(void)dir;
	(void)what;
	return guest_read(a) ? READ_FAILED : READ_OK;
}

static const struct source debugfs = {
	.read = read_debugfs, .vms = debugfs_vms, .vcpus = debugfs_vcpus, .off = debugfs_off,
};

static const struct source saved = { .read = read_saved };
static const struct source guest = { .read = read_guest };

/* source_of() - the source that the options ask for. */
const struct source *source_of(const struct pick *pick)
{
	return pick->input ? &saved : pick->guest ? &guest : pick->bpf ? &source_bpf : &debugfs;
}

/*
 * source_for_span() - for a span of time: count by BPF if this kernel's KVM keeps no
 * account. If BPF cannot count here either, the program ends and says why.
 */
void source_for_span(struct pick *pick)
{
	if (pick->bpf || pick->input || pick->guest || *pick->root ||
	    file_there(SWITCH) || file_there(KVM_DIR "/exit_cycles") || errno != ENOENT)
		return;
	if (bpf_attach(pick->keys || pick->slow))
		errx(1, "this is an unpatched kernel, whose KVM keeps no account, and %s", failure);
	pick->bpf = true;
	warnx("counting by BPF while this runs, at some 1500 instructions an exit, as this is an unpatched kernel (the exit_cycles patches need 59, and count always)");
}

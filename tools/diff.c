// SPDX-License-Identifier: GPL-2.0-only
/* diff.c - what happened between two captures. */
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "fail.h"

/* take_capture() - take a sample from a saved file or folder. */
int take_capture(struct sample *sample, const struct pick *pick, const char *path)
{
	struct pick capture = *pick;
	struct stat st;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		capture.root = path;
	else if (pick->vm || pick->vcpu || pick->split != SPLIT_NONE)
		return fail("%s: one file has one account: not with --vm, --vcpu, --all-vms or --all-vcpus", path);
	else
		capture.input = path;
	return sample_take(sample, &capture);
}

/* captures_fit() - 0 if both captures are of one kind, as far as both say, else -1 with the reason in `failure`. */
int captures_fit(const char *a_path, const struct sample *a_sample,
		 const char *b_path, const struct sample *b_sample)
{
	static const struct account none;
	const struct account *a = a_sample->nparts ? &a_sample->parts[0].account : &none;
	const struct account *b = b_sample->nparts ? &b_sample->parts[0].account : &none;
	const struct { const char *a, *b; } words[] = {
		{ a->vendor, b->vendor }, { a->scope, b->scope },
	};
	uint64_t x = a->key[K_TSC_KHZ], y = b->key[K_TSC_KHZ];

	for (int i = 0; i < 2; i++) {
		if (*words[i].a && *words[i].b && strcmp(words[i].a, words[i].b))
			return fail("%s, %s: one is of %s, the other of %s", a_path, b_path,
				    words[i].a, words[i].b);
	}
	if (x && y && x != y)
		return fail("%s, %s: the TSC of one has %lu kHz, that of the other %lu kHz",
			    a_path, b_path, x, y);
	return 0;
}

/* cmd_diff() - A B */
int cmd_diff(struct options *opt, int argc, char **argv)
{
	struct sample a, b, between;
	struct layout layout;
	int ret;

	if (argc != 2)
		return fail("diff: takes two captures, the earlier first");
	if (opt->pick.input || opt->pick.guest || opt->pick.bpf || *opt->pick.root)
		return fail("diff: not with --input, --guest, --bpf or --sysroot");
	opt->diff = true;
	ret = no_metrics(opt) ?: take_capture(&a, &opt->pick, argv[0]);
	if (ret)
		return ret;
	ret = take_capture(&b, &opt->pick, argv[1]);
	if (ret) {
		sample_free(&a);
		return ret;
	}
	sample_between(&between, &b, &a);
	between.seconds = 0;	/* the files do not say how long it was */
	if (!a.nparts && !b.nparts && opt->pick.vcpu)
		ret = fail("%s, %s: no vCPU %s in any VM", argv[0], argv[1], opt->pick.vcpu);
	ret = ret ?: captures_fit(argv[0], &a, argv[1], &b);
	for (size_t i = 0; !ret && i < between.nparts; i++) {
		if (between.parts[i].cleared)
			ret = fail("%s: has lower counters than %s (wrong order? cleared in between?)",
				   argv[1], argv[0]);
	}
	layout_choose(&layout, opt, &between, false);
	ret = ret ?: check_hist(opt, &between);
	if (!ret)
		ret = print_sample(opt, &layout, &between, true);
	if (!ret)
		warn_absent(opt, &b);
	sample_free(&between);
	sample_free(&b);
	sample_free(&a);
	return ret;
}

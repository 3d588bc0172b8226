// SPDX-License-Identifier: GPL-2.0-only
/* control.c - the commands that control KVM's counting: reset, on, off and set. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "fail.h"
#include "files.h"

#define PARAMETERS "/sys/module/kvm/parameters/"

static const struct parameter {
	const char *name, *file, *values;
} parameters[] = {
	{ "guest", "exit_cycles_guest", "off, vm or host" },
	{ "keys", "exit_cycles_keys", "on or off" },
	{ "slow", "exit_cycles_slow", "microseconds, a time such as 2ms, or off" },
};

enum { N_PARAMETERS = sizeof(parameters) / sizeof(*parameters) };

/* Write to a file of the kernel, which takes all or nothing; never create one. */
static int write_value(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		error = errno;
	close(fd);
	return -error;
}

static int fail_write(const char *path, int error)
{
	errno = -error;
	return errno == ENOENT ? fail_absent(path) : fail_errno(path);
}

static int only_picks(const char *command, const struct options *opt, bool vms)
{
	const struct pick *pick = &opt->pick;

	if (pick->input || pick->guest || pick->bpf || pick->split != SPLIT_NONE || opt->reasons ||
	    opt->format != FORMAT_TABLE || opt->ncols || opt->nsorts || opt->limit || opt->unit || opt->tsc_khz || (!vms && (pick->vm || pick->vcpu)))
		return fail("%s: takes only --sysroot%s", command, vms ? ", --vm and --vcpu" : "");
	if (strlen(pick->root) > PATH_MAX - 200)
		return fail("%.60s...: File name too long", pick->root);
	return 0;
}

/* cmd_reset() - clear the counters of the host, or of the VMs and vCPUs that are picked. */
int cmd_reset(struct options *opt, int argc, char **argv)
{
	const struct pick *pick = &opt->pick;
	char path[PATH_MAX], folder[PATH_MAX], dir[64];
	const struct part *part;
	struct sample sample = { 0 };
	int ret;

	if (argc)
		return fail("%s: reset takes options only", argv[0]);
	ret = only_picks("reset", opt, true) ?: sample_first(&sample, pick);
	for (size_t i = 0; !ret && i < sample.nparts; i++) {
		part = &sample.parts[i];
		*dir = '\0';
		if (*part->vm)
			snprintf(dir, sizeof(dir), "/%s", part->vm);
		if (part->vcpu >= 0)
			snprintf(dir + strlen(dir), 32, "/vcpu%ld", (long)part->vcpu);
		snprintf(folder, sizeof(folder), "%s" KVM_DIR "%s", pick->root, dir);
		snprintf(path, sizeof(path), "%s" KVM_DIR "%s/exit_cycles_reset", pick->root, dir);
		ret = write_value(path, "0\n");
		if (ret == -ENOENT && *part->vm && !file_there(folder))
			ret = 0;	/* the VM has ended */
		if (ret)
			ret = fail_write(path, ret);
	}
	sample_free(&sample);
	return ret;
}

static int turn(const char *command, const struct options *opt, int argc, char **argv,
		const char *value)
{
	char path[PATH_MAX];
	int ret;

	if (argc)
		return fail("%s: %s takes options only", argv[0], command);
	if (only_picks(command, opt, false))
		return -1;
	snprintf(path, sizeof(path), "%s" SWITCH, opt->pick.root);
	ret = write_value(path, value);
	return ret ? fail_write(path, ret) : 0;
}

/* cmd_on(), cmd_off() - start or stop KVM's counting. Stopped, it costs next to nothing. */
int cmd_on(struct options *opt, int argc, char **argv)
{
	return turn("on", opt, argc, argv, "Y\n");
}

int cmd_off(struct options *opt, int argc, char **argv)
{
	return turn("off", opt, argc, argv, "N\n");
}

/* The value as the kernel's parameter takes it, or NULL if it is wrong. */
static const char *kernel_value(const struct parameter *p, const char *value)
{
	bool off = !strcmp(value, "off"), bare = strspn(value, "0123456789") == strlen(value);
	static char us[24];
	uint64_t ns;

	if (!strcmp(p->name, "guest"))
		return off || !strcmp(value, "vm") || !strcmp(value, "host") ? value : NULL;
	if (!strcmp(p->name, "keys"))
		return off ? "N" : !strcmp(value, "on") ? "Y" : NULL;
	if (off)
		return "0";
	if (bare)
		return *value && strlen(value) < 10 ? value : NULL;
	ns = time_ns(value);
	snprintf(us, sizeof(us), "%lu", ns / 1000);
	return ns && ns % 1000 == 0 && strlen(us) < 10 ? us : NULL;
}

/* Change the kernel's value to the words that set takes: on, off, a time with its unit. */
static void words_of_value(const struct parameter *p, char value[64])
{
	size_t len = strlen(value);

	if (!strcmp(p->name, "keys") && (!strcmp(value, "Y") || !strcmp(value, "N")))
		strcpy(value, *value == 'Y' ? "on" : "off");
	else if (!strcmp(p->name, "slow") && !strcmp(value, "0"))
		strcpy(value, "off");
	else if (!strcmp(p->name, "slow") && len && len < 60 && strspn(value, "0123456789") == len)
		strcat(value, "us");
}

/* Print all parameters, with their values and what they take. */
static int show_parameters(const struct options *opt)
{
	struct out *to;
	char path[PATH_MAX], value[64];

	snprintf(path, sizeof(path), "%s" SWITCH, opt->pick.root);
	if (!file_there(path))
		return fail_absent(path);
	to = output_open(opt);
	for (int i = 0; i < N_PARAMETERS; i++) {
		snprintf(path, sizeof(path), "%s" PARAMETERS "%s", opt->pick.root,
			 parameters[i].file);
		if (read_small(path, value, sizeof(value)) < 0)
			strcpy(value, "-");
		value[strcspn(value, "\n")] = '\0';
		words_of_value(&parameters[i], value);
		printable(value);
		out_format(to, "%-6s %-10s %s\n", parameters[i].name, value, parameters[i].values);
	}
	output_done(opt);
	return 0;
}

/* cmd_set() - [NAME VALUE] */
int cmd_set(struct options *opt, int argc, char **argv)
{
	const struct parameter *p;
	char path[PATH_MAX];
	const char *value;
	int ret;

	if (only_picks("set", opt, false))
		return -1;
	if (!argc)
		return show_parameters(opt);
	for (p = parameters; p < parameters + N_PARAMETERS && strcmp(p->name, argv[0]); p++)
		;
	if (p == parameters + N_PARAMETERS)
		return fail("set: %s: not one of guest, keys, slow", argv[0]);
	value = argc == 2 ? kernel_value(p, argv[1]) : NULL;
	if (!value)
		return fail("set %s: takes %s", p->name, p->values);
	snprintf(path, sizeof(path), "%s" PARAMETERS "%s", opt->pick.root, p->file);
	ret = write_value(path, value);
	return ret ? fail_write(path, ret) : 0;
}

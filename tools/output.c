// SPDX-License-Identifier: GPL-2.0-only
/* output.c - the output of a command: opening it, and printing samples to it. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "fail.h"

static struct out output = { .fd = STDOUT_FILENO };

static const char *output_name(const struct options *opt)
{
	return opt->file ?: "standard output";
}

/* output_open() - standard output or --output-file; ends the program if it cannot be opened. */
struct out *output_open(const struct options *opt)
{
	if (!opt->file || output.fd != STDOUT_FILENO)
		return &output;
	output.fd = open(opt->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
	if (output.fd < 0)
		die("%s: %s", opt->file, strerror(errno));
	return &output;
}

/* output_done() - write the rest; if that fails, tell why and end the program. */
void output_done(const struct options *opt)
{
	if (out_flush(&output))
		die("%s: %s", output_name(opt), strerror(output.error));
}

/* print_sample() - print and flush a sample; notes about it go to standard error. */
int print_sample(const struct options *opt, const struct layout *layout,
		 struct sample *sample, bool first)
{
	struct view view;
	char notes[NOTES];

	if (view_make(&view, sample, opt, layout))
		return -1;
	print_view(&view, output_open(opt), first);
	output_done(opt);
	view_notes(&view, notes);
	if (*notes && opt->format != FORMAT_JSON)
		warnx("%s", notes);
	view_free(&view);
	return 0;
}

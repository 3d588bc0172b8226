/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * commands.h - exitdump's commands. Each gets the arguments behind its name, and
 * returns 0, or -1 with the reason in `failure`.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "view.h"

int cmd_show(struct options *opt, int argc, char **argv);
int cmd_list(struct options *opt, int argc, char **argv);
int cmd_hist(struct options *opt, int argc, char **argv);
int cmd_compare(struct options *opt, int argc, char **argv);
int cmd_diff(struct options *opt, int argc, char **argv);
int cmd_run(struct options *opt, int argc, char **argv);
int cmd_serve(struct options *opt, int argc, char **argv);
int cmd_reset(struct options *opt, int argc, char **argv);
int cmd_on(struct options *opt, int argc, char **argv);
int cmd_off(struct options *opt, int argc, char **argv);
int cmd_slow(struct options *opt, int argc, char **argv);
int cmd_set(struct options *opt, int argc, char **argv);
int cmd_top(struct options *opt, int argc, char **argv);
int cmd_why(struct options *opt, int argc, char **argv);

void usage(void);
void version(void);

/* What the commands share. */
int no_metrics(const struct options *opt);
double interval_seconds(const char *arg);
struct timespec later(struct timespec t, double seconds);
void sleep_until(struct timespec *next, double interval);
struct out *output_open(const struct options *opt);
void output_done(const struct options *opt);
int take_snapshot(struct sample *sample, const struct options *opt);
int take_capture(struct sample *sample, const struct pick *pick, const char *path);
int captures_fit(const char *a_path, const struct sample *a_sample,
		 const char *b_path, const struct sample *b_sample);
int check_hist(const struct options *opt, const struct sample *sample);
int print_sample(const struct options *opt, const struct layout *layout,
		 struct sample *sample, bool first);
void warn_absent(const struct options *opt, const struct sample *sample);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * commands.h - what exitdump can be told to do. Each gets the words behind its
 * own; 0, or -1 with the failure told.
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "options.h"

int cmd_show(struct options *opt, int argc, char **argv);
int cmd_list(struct options *opt, int argc, char **argv);
int cmd_hist(struct options *opt, int argc, char **argv);
int cmd_diff(struct options *opt, int argc, char **argv);
int cmd_run(struct options *opt, int argc, char **argv);
int cmd_top(struct options *opt, int argc, char **argv);

double interval_seconds(const char *arg);

#endif

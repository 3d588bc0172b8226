/* SPDX-License-Identifier: GPL-2.0-only */
/* qmp.h - asking QEMU about its VM, through a monitor socket (-qmp unix:PATH). */
#ifndef QMP_H
#define QMP_H

#include <sys/types.h>

int qmp_open(const char *path, pid_t *peer);
char *qmp_ask(int fd, const char *path, const char *command);

#endif

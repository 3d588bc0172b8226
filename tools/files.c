// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "files.h"

enum { MAX_FILE = 1 << 20 };	/* bytes; a full SVM table is some 100 KiB */

static int fail_errno(const char *path)
{
	int error = errno;

	if (error == EACCES || error == EPERM)
		return fail("%s: %s (try as root)", path, strerror(error));
	return fail("%s: %s", path, strerror(error));
}

static int fail_unpatched(const char *path)
{
	return fail("%s: No such file (is this kernel patched and kvm loaded? see README)",
		    path);
}

/*
 * The file's text with a NUL behind it, good until the next call; NULL and
 * errno, or errno 0 and the failure told. Only a saved copy may be a pipe.
 */
static char *read_text(const char *path, bool saved, size_t *len)
{
	static char *text;
	static size_t room;
	struct stat st;
	ssize_t n = 1;
	int fd, error;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (saved ? 0 : O_NONBLOCK));
	if (fd < 0)
		return NULL;
	if (!saved && !fstat(fd, &st) && !S_ISREG(st.st_mode)) {
		close(fd);
		fail("%s: not a regular file", path);
		errno = 0;
		return NULL;
	}
	for (*len = 0; n && *len <= MAX_FILE; *len += n) {
		if (room < *len + 32768) {
			room = *len * 2 + 65536;
			text = need(realloc(text, room));
		}
		n = TEMP_FAILURE_RETRY(read(fd, text + *len, room - *len - 1));
		if (n < 0)
			break;
	}
	error = errno;
	close(fd);
	errno = error;
	if (n < 0)
		return NULL;
	if (n) {
		fail("%s: not an exit_cycles file (more than %d bytes)", path, MAX_FILE);
		errno = 0;
		return NULL;
	}
	text[*len] = '\0';
	return text;
}

static int read_one(const char *path, bool saved, struct account *a)
{
	const char *why;
	size_t len;
	char *text = read_text(path, saved, &len);

	if (!text)
		return errno ? fail_errno(path) : -1;
	if (account_parse(a, text, len, &why)) {
		errno = 0;
		return fail("%s: %s", path, why);
	}
	return 0;
}

/* Where both tell. */
static bool differ(const char *a, const char *b)
{
	return *a && *b && strcmp(a, b);
}

/*
 * read_account() - a table and, where wanted and there, the histogram beside
 * it. 0, or -1 with the failure told; errno is 0 where the content is bad.
 */
int read_account(const char *path, bool saved, bool hist, struct account *a)
{
	char hist_path[PATH_MAX + 8];
	struct account h;
	int ret = read_one(path, saved, a), error;

	if (ret)
		return ret;
	if (!account_has(a, C_EXITS)) {
		account_free(a);
		errno = 0;
		return fail("%s: a histogram alone (its table is the file without _hist)",
			    path);
	}
	if (!hist || a->has_hist)
		return 0;
	snprintf(hist_path, sizeof(hist_path), "%s_hist", path);
	if (read_one(hist_path, saved, &h)) {
		if (errno == ENOENT || errno == ENAMETOOLONG)	/* there is none */
			return 0;
		error = errno;
		account_free(a);
		errno = error;
		return -1;
	}
	if (differ(a->vendor, h.vendor) || differ(a->scope, h.scope)) {
		account_free(&h);
		account_free(a);
		errno = 0;
		return fail("%s: of another vendor or scope than its table", hist_path);
	}
	if (h.has_hist)
		account_take_hist(a, &h);
	account_free(&h);
	return 0;
}

/*
 * read_dir_account() - the account of a folder below KVM_DIR, or with "" of
 * the host. 0, GONE where such a folder or its VM went away, or -1 with the
 * failure told.
 */
int read_dir_account(const char *root, const char *dir, bool hist,
		     struct account *a)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" KVM_DIR "%s%s/exit_cycles", root,
		 *dir ? "/" : "", dir);
	if (!read_account(path, false, hist, a))
		return 0;
	if (*dir && (errno == ENOENT || errno == EIO))
		return GONE;
	return errno == ENOENT ? fail_unpatched(path) : -1;
}

static int by_pid(const void *a, const void *b)
{
	const struct vm_id *x = a, *y = b;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static int by_number(const void *a, const void *b)
{
	unsigned int x = *(const unsigned int *)a, y = *(const unsigned int *)b;

	return x < y ? -1 : x > y;
}

/*
 * list_vms() - the VMs there are, by pid, to be freed. 0, or -1 with the
 * failure told, as on a kernel that keeps no accounts.
 */
int list_vms(const char *root, struct vm_id **vms, size_t *n)
{
	char path[PATH_MAX], name[24];
	struct dirent *entry;
	struct vm_id vm;
	DIR *dir;

	*vms = NULL;
	*n = 0;
	snprintf(path, sizeof(path), "%s" KVM_DIR "/exit_cycles", root);
	if (access(path, F_OK))
		return errno == ENOENT ? fail_unpatched(path) : fail_errno(path);
	*strrchr(path, '/') = '\0';
	dir = opendir(path);
	if (!dir)
		return fail_errno(path);
	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "%u-%u", &vm.pid, &vm.fd) != 2)
			continue;
		snprintf(name, sizeof(name), "%u-%u", vm.pid, vm.fd);
		if (strcmp(name, entry->d_name))
			continue;	/* "01-2", or more than 32 bits */
		if (!(*n & (*n - 1)))
			*vms = need(reallocarray(*vms, *n ? *n * 2 : 1, sizeof(vm)));
		(*vms)[(*n)++] = vm;
	}
	closedir(dir);
	if (*n)
		qsort(*vms, *n, sizeof(vm), by_pid);
	return 0;
}

/* list_vcpus() - the vCPUs of a VM by number, to be freed. 0, GONE or -1. */
int list_vcpus(const char *root, struct vm_id vm, unsigned int **vcpus, size_t *n)
{
	char path[PATH_MAX], name[24];
	struct dirent *entry;
	unsigned int vcpu;
	DIR *dir;

	*vcpus = NULL;
	*n = 0;
	snprintf(path, sizeof(path), "%s" KVM_DIR "/%u-%u", root, vm.pid, vm.fd);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? GONE : fail_errno(path);
	while ((entry = readdir(dir))) {
		if (sscanf(entry->d_name, "vcpu%u", &vcpu) != 1)
			continue;
		snprintf(name, sizeof(name), "vcpu%u", vcpu);
		if (strcmp(name, entry->d_name))
			continue;
		if (!(*n & (*n - 1)))
			*vcpus = need(reallocarray(*vcpus, *n ? *n * 2 : 1,
						   sizeof(vcpu)));
		(*vcpus)[(*n)++] = vcpu;
	}
	closedir(dir);
	if (*n)
		qsort(*vcpus, *n, sizeof(vcpu), by_number);
	return 0;
}

/* switched_off() - whether KVM says that it counts no exits at present. */
bool switched_off(const char *root)
{
	char path[PATH_MAX], value = 0;
	int fd;

	snprintf(path, sizeof(path), "%s" SWITCH, root);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return false;
	if (read(fd, &value, 1) < 0)
		value = 0;
	close(fd);
	return value == 'N';
}

/* printable() - a name as it is shown: what is not printable ASCII is '?'. */
void printable(char *name)
{
	for (; *name; name++) {
		if (*name < ' ' || *name > '~')
			*name = '?';
	}
}

/* Of "NAME" or "guest=NAME,KEY=VALUE,...", in any order; ",," is a comma in it. */
static void copy_guest(char *name, size_t size, const char *value)
{
	const char *p = value;
	size_t i = 0;
	bool guest;

	do {
		guest = p == value && p[strcspn(p, ",=")] != '=';
		if (!strncmp(p, "guest=", 6)) {
			guest = true;
			p += 6;
		}
		for (; *p && (*p != ',' || p[1] == ','); p++) {
			p += *p == ',';
			if (guest && i < size - 1)
				name[i++] = *p;
		}
	} while (!guest && *p++);
	name[i] = '\0';
	printable(name);
}

/*
 * guest_name() - what the VM's process calls its guest: the argument of -name
 * (QEMU: "NAME" or "guest=NAME,...") or --name (kvmtool); "" where none.
 */
void guest_name(const char *root, unsigned int pid, char *name, size_t size)
{
	char path[PATH_MAX], args[32768];
	const char *arg = args, *value = NULL;
	ssize_t len;
	int fd;

	*name = '\0';
	snprintf(path, sizeof(path), "%s/proc/%u/cmdline", root, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return;
	len = read(fd, args, sizeof(args) - 1);
	close(fd);
	if (len <= 0)
		return;
	args[len] = '\0';
	for (; arg < args + len; arg += strlen(arg) + 1) {
		if (!strcmp(arg, "-name") || !strcmp(arg, "--name"))
			value = arg + strlen(arg) + 1;
	}
	/* The last argument may be cut off: no name rather than half of one. */
	if (!value || value >= args + len || value + strlen(value) == args + len)
		return;
	copy_guest(name, size, value);
}

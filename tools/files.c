// SPDX-License-Identifier: GPL-2.0-only
/* files.c - finding and reading KVM's files of accounts. */
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

/* In bytes. A full SVM table has some 100 KiB. 4000 vCPUs with 64 keys each have 16 MiB of them. */
enum { MAX_TABLE = 1 << 20, MAX_KEYS = 1 << 24 };

/* fail_errno() - fail() with the file's name and the text for errno. */
int fail_errno(const char *path)
{
	int error = errno;

	if (error == EACCES || error == EPERM)
		return fail("%s: %s (try as root)", path, strerror(error));
	return fail("%s: %s", path, strerror(error));
}

static enum read_result failed(const char *path)
{
	enum read_result result = errno == ENOENT || errno == ENAMETOOLONG ? READ_ABSENT :
		errno == EIO ? READ_GONE : READ_FAILED;

	fail_errno(path);
	return result;
}

/*
 * file_there() - whether the file exists. access() would ignore the capabilities of a
 * service that is not root.
 */
bool file_there(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

/* read_small() - read the beginning of a small file, and add a NUL. Its length, or -1. */
ssize_t read_small(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t len = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[len < 0 ? 0 : len] = '\0';
	return len;
}

/* fail_absent() - put into `failure` that a file of KVM's account is not there, and why. -1. */
int fail_absent(const char *path)
{
	const char *hint = "is debugfs mounted, and kvm_intel or kvm_amd loaded?";

	if (strncmp(path, "/sys/", 5))
		hint = "not copied? man exitdump shows how to copy all files";
	else if (!file_there("/sys/module/kvm"))
		hint = "kvm is not loaded: modprobe kvm_intel or kvm_amd";
	else if (!file_there(SWITCH))
		hint = "this kernel's KVM is not patched; exitdump top, 1, why TOTAL 1 and slow 1 count by BPF";
	else if (strncmp(path, KVM_DIR, strlen(KVM_DIR)))
		hint = "this kernel's patches have no such parameter";
	return fail("%s: No such file (%s)", path, hint);
}

/* Read a file's text, at most `most` bytes, and add a NUL. The text is valid until the next call. */
static enum read_result read_text(const char *name, int fd, size_t most, char **to, size_t *len)
{
	static char *text;
	static size_t room;
	ssize_t n = 1;

	for (*len = 0; n && *len <= most; *len += n) {
		if (room < *len + 32768) {
			room = *len * 2 + 65536;
			text = need(realloc(text, room));
		}
		n = TEMP_FAILURE_RETRY(read(fd, text + *len, room - *len - 1));
		if (n < 0)
			return failed(name);
	}
	if (n) {
		fail("%s: not an exit_cycles file (more than %zu bytes)", name, most);
		return READ_FAILED;
	}
	text[*len] = '\0';
	*to = text;
	return READ_OK;
}

/* A saved copy may be a pipe, or "-" for standard input. KVM's are regular files. */
static enum read_result read_one(const char *path, bool saved, size_t most, struct account *a)
{
	const char *why, *name = path;
	enum read_result result;
	struct stat st;
	size_t len;
	char *text;
	int fd;

	if (!strcmp(path, "-")) {
		fd = STDIN_FILENO;
		name = "standard input";
	} else {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (saved ? 0 : O_NONBLOCK));
	}
	if (fd < 0)
		return failed(name);
	if (!saved && !fstat(fd, &st) && !S_ISREG(st.st_mode)) {
		fail("%s: not a regular file", name);
		result = READ_FAILED;
	} else if (saved && !fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		fail("%s: Is a directory (--sysroot takes one)", name);
		result = READ_FAILED;
	} else {
		result = read_text(name, fd, most, &text, &len);
	}
	if (fd != STDIN_FILENO)
		close(fd);
	if (!result && account_parse(a, text, len, &why)) {
		fail("%s: %s", name, why);
		result = READ_FAILED;
	}
	return result;
}

/* Whether both are known and differ. */
static bool differ(const char *a, const char *b)
{
	return *a && *b && strcmp(a, b);
}

/*
 * Whether the histogram counts about as many exits as its table. Somebody copied one after
 * the other, while exits went on. A large difference means copies of different times.
 */
static bool same_time(const struct account *a, const struct account *h)
{
	uint64_t exits = a->sum.n[C_EXITS], counted = 0;

	for (int i = 0; h->sum.hist && i < BUCKETS; i++)
		counted += h->sum.hist[i];
	return exits / 4 <= counted / 2 + 50 && counted / 4 <= exits / 2 + 50;
}

static enum read_result refuse(struct account *a, const char *path, const char *why)
{
	account_free(a);
	fail("%s: %s", path, why);
	return READ_FAILED;
}

/* Take the histogram beside a table, if there is one. If the table is gone as well, its VM has ended. */
static enum read_result take_hist(const char *table, bool saved, bool live,
				  struct account *a)
{
	char path[PATH_MAX + 8];
	enum read_result result;
	struct account h;

	snprintf(path, sizeof(path), "%s_hist", table);
	result = read_one(path, saved, MAX_TABLE, &h);
	if (result == READ_ABSENT && (saved || file_there(table)))
		return READ_OK;
	if (result) {
		account_free(a);
		return result;
	}
	if (differ(a->vendor, h.vendor) || differ(a->scope, h.scope))
		result = refuse(a, path, "has another vendor or scope than its table");
	else if (!live && h.has_hist && !same_time(a, &h))
		result = refuse(a, path, "was not copied together with its table (copy both again)");
	else if (h.has_hist)
		account_take_hist(a, &h);
	account_free(&h);
	return result;
}

/* Read a table and, if wanted, the histogram beside it if there is one. */
static enum read_result read_both(const char *path, bool saved, bool live, enum read_what what,
				  struct account *a)
{
	enum read_result result = read_one(path, saved, MAX_TABLE, a);

	if (result)
		return result;
	if (a->keyed)
		return refuse(a, path, "has only keys (exitdump why and --keys show them)");
	if (a->recorded)
		return refuse(a, path, "has only slow exits (exitdump slow shows them)");
	if (!account_has(a, C_EXITS))
		return refuse(a, path, "has only a histogram (its table is the file without _hist)");
	if (what != READ_HIST || a->has_hist || !strcmp(path, "-"))
		return READ_OK;
	return take_hist(path, saved, live, a);
}

static const char *suffix(enum read_what what)
{
	return what == READ_KEYS ? "_keys" : what == READ_SLOW ? "_slow" : "";
}

/* Read keys or slow exits: from this file, or from the one beside it if this is a table. */
static enum read_result read_rows(const char *path, bool saved, enum read_what what,
				  struct account *a)
{
	enum read_result result = read_one(path, saved, MAX_KEYS, a);
	char beside[PATH_MAX + 8];

	if (!result && !a->keyed && !a->recorded && saved && strcmp(path, "-")) {
		account_free(a);
		snprintf(beside, sizeof(beside), "%s%s", path, suffix(what));
		path = beside;
		result = read_one(path, saved, MAX_KEYS, a);
	}
	if (!result && what == READ_KEYS && !a->keyed)
		return refuse(a, path, "has no keys (they are in exit_cycles_keys)");
	if (!result && what == READ_SLOW && !a->recorded)
		return refuse(a, path, "has no slow exits (they are in exit_cycles_slow)");
	return result;
}

static enum read_result read_any(const char *path, bool saved, bool live, enum read_what what,
				  struct account *a)
{
	return *suffix(what) ? read_rows(path, saved, what, a) :
		read_both(path, saved, live, what, a);
}

/* read_account() - read a saved copy with any name; "-" is standard input. */
enum read_result read_account(const char *path, enum read_what what, struct account *a)
{
	enum read_result result = read_any(path, true, false, what, a);

	return result == READ_OK ? READ_OK : READ_FAILED;
}

/* Whether this kernel's patches are older than keys or slow exits; `failure` then says so. */
static bool is_older(const char *root, enum read_what what)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" KVM_DIR "/exit_cycles", root);
	if (!*suffix(what) || !file_there(path))
		return false;
	strcat(path, suffix(what));
	if (file_there(path))
		return false;
	fail("%s: No such file (%sthis kernel's exit_cycles patches are older than %s)", path,
	     *root ? "not copied, or " : "", what == READ_KEYS ? "keys" : "slow exits");
	return true;
}

/* read_dir_account() - read the account of a folder below KVM_DIR; "" is the host's. */
enum read_result read_dir_account(const char *root, const char *dir, enum read_what what,
				  struct account *a)
{
	enum read_result result;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" KVM_DIR "%s%s/exit_cycles%s", root,
		 *dir ? "/" : "", dir, suffix(what));
	result = read_any(path, false, !*root, what, a);
	if (result == READ_ABSENT && is_older(root, what))
		return READ_FAILED;
	if (*dir)
		return result == READ_ABSENT ? READ_GONE : result;
	if (result == READ_ABSENT)
		fail_absent(path);
	return result == READ_OK ? READ_OK : READ_FAILED;
}

/* Whether it is exactly "PID-FD": "01-2" is not, nor a number above 32 bits. */
static bool vm_of(const char *name, struct vm_id *vm)
{
	char same[24];

	if (sscanf(name, "%u-%u", &vm->pid, &vm->fd) != 2)
		return false;
	snprintf(same, sizeof(same), "%u-%u", vm->pid, vm->fd);
	return !strcmp(same, name);
}

static bool vcpu_of(const char *name, unsigned int *vcpu)
{
	char same[24];

	if (sscanf(name, "vcpu%u", vcpu) != 1)
		return false;
	snprintf(same, sizeof(same), "vcpu%u", *vcpu);
	return !strcmp(same, name);
}

static int is_vm(const struct dirent *entry)
{
	struct vm_id vm;

	return vm_of(entry->d_name, &vm);
}

static int is_vcpu(const struct dirent *entry)
{
	unsigned int vcpu;

	return vcpu_of(entry->d_name, &vcpu);
}

/* list_vm_dirs() - as list_vms(), but also for a KVM without accounts. */
int list_vm_dirs(const char *root, struct vm_id **vms, size_t *n)
{
	struct dirent **names;
	char path[PATH_MAX];
	int found;

	*vms = NULL;
	*n = 0;
	snprintf(path, sizeof(path), "%s" KVM_DIR, root);
	found = scandir(path, &names, is_vm, versionsort);
	if (found < 0)
		return fail_errno(path);
	*vms = need(calloc(found + 1, sizeof(**vms)));
	for (*n = 0; *n < (size_t)found; (*n)++) {
		vm_of(names[*n]->d_name, &(*vms)[*n]);
		free(names[*n]);
	}
	free(names);
	return 0;
}

/* list_vms() - all VMs by PID, in *vms, which the caller frees. 0, or -1 with the reason in `failure`. */
int list_vms(const char *root, struct vm_id **vms, size_t *n)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s" KVM_DIR "/exit_cycles", root);
	if (file_there(path))
		return list_vm_dirs(root, vms, n);
	*vms = NULL;
	*n = 0;
	return errno == ENOENT ? fail_absent(path) : fail_errno(path);
}

/* list_vcpus() - the vCPUs of a VM by number, in *vcpus, which the caller frees. */
enum read_result list_vcpus(const char *root, struct vm_id vm, unsigned int **vcpus,
			    size_t *n)
{
	struct dirent **names;
	char path[PATH_MAX];
	int found;

	*vcpus = NULL;
	*n = 0;
	snprintf(path, sizeof(path), "%s" KVM_DIR "/%u-%u", root, vm.pid, vm.fd);
	found = scandir(path, &names, is_vcpu, versionsort);
	if (found < 0)
		return failed(path) == READ_ABSENT ? READ_GONE : READ_FAILED;
	*vcpus = need(calloc(found + 1, sizeof(**vcpus)));
	for (*n = 0; *n < (size_t)found; (*n)++) {
		vcpu_of(names[*n]->d_name, &(*vcpus)[*n]);
		free(names[*n]);
	}
	free(names);
	return READ_OK;
}

static bool is_off(const char *root, const char *parameter)
{
	char path[PATH_MAX], value[2];

	snprintf(path, sizeof(path), "%s%s", root, parameter);
	return read_small(path, value, sizeof(value)) > 0 && *value == 'N';
}

/* switched_off() - the parameter that keeps KVM from counting this at present, or NULL. */
const char *switched_off(const char *root, enum read_what what)
{
	if (is_off(root, SWITCH))
		return SWITCH;
	return what == READ_KEYS && is_off(root, SWITCH_KEYS) ? SWITCH_KEYS : NULL;
}

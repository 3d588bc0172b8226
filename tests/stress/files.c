// SPDX-License-Identifier: GPL-2.0-only
/*
 * files.c - holds and reads KVM's exit_cycles files, of all scopes, while VMs start and end.
 *
 *	files [-r] [-s] [-t TRIES] UNTIL
 *
 * Opens files in KVM's debugfs at random, keeps the last 256 open, and reads some of them,
 * until the file UNTIL exists or TRIES are done. -r also resets accounts, -s also switches
 * counting off and on.
 *
 * While its VM exists, a file must read as a whole account; afterwards it must always fail with
 * EIO. Anything else is reported on standard error, and the exit status is 1. At the end it
 * prints lines "NAME N": what it has done.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KVM	"/sys/kernel/debug/kvm"
#define SWITCH	"/sys/module/kvm/parameters/exit_cycles"
#define HELD	256
/* the inode number of no folder */
#define GONE	((ino_t)-1)

enum { TABLE, HIST, KEYS, SLOW, RESET, KINDS };
static const char *const names[KINDS] = {
	"exit_cycles", "exit_cycles_hist", "exit_cycles_keys", "exit_cycles_slow", "exit_cycles_reset"
};

static struct held {
	int fd, kind;
	/* inodes of the file and of its VM's folder; 0 for the host's */
	ino_t inode, vm;
	char path[128];
} held[HELD];

static struct {
	unsigned long opened, host, vm, vcpu, gone, resets, flips;
} done;

static bool bad;
static unsigned int seed = 1;

static unsigned int random_below(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

static void complain(const char *what, const struct held *h)
{
	warn("%s: %s", h->path, what);
	bad = true;
}

/* Adds to `path` a folder in it whose name begins with `begin`; false if there is none. */
static bool random_folder(char *path, size_t size, const char *begin)
{
	size_t length = strlen(path);
	struct dirent *d;
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return false;
	while ((d = readdir(dir))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		if (strncmp(d->d_name, begin, strlen(begin)))
			continue;
		if (!random_below(++n))
			snprintf(path + length, size - length, "/%s", d->d_name);
	}
	closedir(dir);
	return n;
}

static void hold_one(void)
{
	struct held *h = &held[random_below(HELD)];
	int scope = random_below(8);	/* 0: the host */
	char folder[sizeof(h->path)], *slash;
	struct stat st;

	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
	h->kind = random_below(KINDS);
	strcpy(h->path, KVM);
	if (scope && !random_folder(h->path, sizeof(h->path) - 32, ""))
		return;
	if (scope > 4 && !random_folder(h->path, sizeof(h->path) - 32, "vcpu"))
		return;
	strcat(h->path, "/");
	strcat(h->path, names[h->kind]);
	h->fd = open(h->path, h->kind == RESET ? O_WRONLY : O_RDONLY);
	if (h->fd < 0) {		/* with its VM, or not yet there */
		if (errno != ENOENT)
			complain("open", h);
		return;
	}
	if (fstat(h->fd, &st))
		complain("fstat", h);
	h->inode = st.st_ino;
	h->vm = 0;
	/* a file without its folder: its VM has just ended */
	strcpy(folder, h->path);
	slash = strchr(folder + strlen(KVM) + 1, '/');
	if (slash) {
		*slash = '\0';
		h->vm = stat(folder, &st) ? GONE : st.st_ino;
	}
	done.opened++;
}

/*
 * Whether the VM of a file is gone. Its folder disappears after all files in it; from then on
 * none of its files may work.
 */
static bool gone(const struct held *h)
{
	char folder[sizeof(h->path)];
	struct stat st;

	if (!h->vm)
		return false;
	strcpy(folder, h->path);
	*strchr(folder + strlen(KVM) + 1, '/') = '\0';
	return stat(folder, &st) || st.st_ino != h->vm;
}

/* EIO is right only for a file that no longer exists. */
static void went(const struct held *h)
{
	struct stat st;

	if (errno != EIO)
		complain("not EIO", h);
	else if (!stat(h->path, &st) && st.st_ino == h->inode)
		complain("is there", h);
	else
		done.gone++;
}

/* Whether the text has as many rows, or keys, below its two head lines as the head says. */
static bool counted(const char *text, const char *word)
{
	const char *says = strstr(text, word), *line = strchr(text, '\n');
	unsigned long n = 0;
	char key[3];

	if (!says || says > line)
		return false;
	line = strchr(line + 1, '\n');
	while (line && line[1]) {
		/* the line without a key is not counted */
		n += sscanf(line + 1, "%*[^\t\n]\t%*[^\t\n]\t%2[^\n]", key) == 1 && strcmp(key, "-\t");
		line = strchr(line + 1, '\n');
	}
	return line && n == strtoul(says + strlen(word), NULL, 10);
}

static bool whole(const struct held *h, const char *text, size_t size)
{
	static const char *const ends[KINDS] = { [KEYS] = "\tkeys=", [SLOW] = "\tkept=" };
	char first[16], scope[24];
	const char *last;

	snprintf(first, sizeof(first), "# exit_cycles 1");
	snprintf(scope, sizeof(scope), "\tscope=%s\t", strstr(h->path, "/vcpu") ? "vcpu" :
		 h->path[strlen(KVM) + 1] == 'e' ? "host" : "vm");
	if (strncmp(text, first, strlen(first)) || !strstr(text, scope))
		return false;
	if (ends[h->kind])
		return counted(text, ends[h->kind]);
	last = strstr(text, "\n-\tTOTAL\t");
	return last && strchr(last + 1, '\n') == text + size - 1;
}

static void read_one(const struct held *h)
{
	static char text[1 << 18];
	bool was_gone = gone(h);
	ssize_t n = pread(h->fd, text, sizeof(text) - 1, 0);

	if (n < 0) {
		went(h);
		return;
	}
	text[n] = '\0';
	errno = 0;
	if (was_gone)
		complain("can be read, its VM is gone", h);
	if (!whole(h, text, n))
		complain(text, h);
	if (strstr(text, "\tscope=host\t"))
		done.host++;
	else if (strstr(text, "\tscope=vm\t"))
		done.vm++;
	else
		done.vcpu++;
}

static void reset_one(const struct held *h)
{
	bool was_gone = gone(h);

	if (write(h->fd, "0", 1) != 1) {
		went(h);
		return;
	}
	errno = 0;
	if (was_gone)
		complain("can be reset, its VM is gone", h);
	done.resets++;
}

static void flip(void)
{
	static bool off;
	int fd = open(SWITCH, O_WRONLY);

	off = !off;
	if (fd < 0 || write(fd, off ? "N" : "Y", 1) != 1)
		err(1, SWITCH);
	close(fd);
	done.flips++;
}

int main(int argc, char **argv)
{
	bool resets = false, flips = false;
	long tries = -1;
	int option;

	while ((option = getopt(argc, argv, "rst:")) != -1) {
		switch (option) {
		case 'r': resets = true; break;
		case 's': flips = true; break;
		case 't': tries = atol(optarg); break;
		default: return 2;
		}
	}
	if (optind != argc - 1)
		errx(2, "usage: files [-r] [-s] [-t TRIES] UNTIL");
	seed = getpid();
	for (int i = 0; i < HELD; i++)
		held[i].fd = -1;

	while (tries-- && access(argv[optind], F_OK)) {
		hold_one();
		for (int i = 0; i < 4; i++) {
			const struct held *h = &held[random_below(HELD)];

			if (h->fd < 0)
				continue;
			if (h->kind != RESET)
				read_one(h);
			else if (resets)
				reset_one(h);
		}
		if (flips && !random_below(8))
			flip();
	}
	if (flips && done.flips % 2)
		flip();
	printf("opened %lu\nhost-reads %lu\nvm-reads %lu\nvcpu-reads %lu\neio %lu\nresets %lu\nflips %lu\n",
	       done.opened, done.host, done.vm, done.vcpu, done.gone, done.resets, done.flips);
	return bad;
}

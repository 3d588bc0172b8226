// SPDX-License-Identifier: GPL-2.0-only
/*
 * qmp.c - run a command of QEMU's human monitor, through QMP. The other side may be
 * broken or hostile, so its answer is limited in time and in size.
 *
 *	{"QMP": {...}}
 *		{"execute": "qmp_capabilities"}
 *	{"return": {}}
 *		{"execute": "human-monitor-command", ...}
 *	{"return": "its output"}
 *
 * Events, {"event": ...}, may come in between and are skipped.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "files.h"
#include "qmp.h"

enum { SECONDS = 5, MOST = 16 << 20 };

struct qmp {
	const char *path;
	int fd;
	int64_t deadline;	/* in ms */
	char *text;		/* all that was received */
	size_t len, room, at;	/* the text up to `at` was read */
};

/* Text within a message. */
struct span {
	const char *at, *end;
};

/* The position inside JSON. A message ends when depth is 0 again. */
struct scan {
	unsigned int depth;
	bool string, escaped;
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int no_qmp(const struct qmp *q)
{
	return fail("%s: not a QMP socket (start QEMU with -qmp unix:PATH,server=on,wait=off)", q->path);
}

/* Take one more byte. True if it ends a string, object or list at depth 0. */
static bool scan_byte(struct scan *s, char c)
{
	if (s->string) {
		s->string = s->escaped || c != '"';
		s->escaped = !s->escaped && c == '\\';
	} else if (c == '"') {
		s->string = true;
	} else if (c == '{' || c == '[') {
		s->depth++;
		return false;
	} else if (c == '}' || c == ']') {
		s->depth--;
	} else {
		return false;
	}
	return !s->string && !s->depth;
}

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct span *s)
{
	while (s->at < s->end && space(*s->at))
		s->at++;
}

static bool skip(struct span *s, char c)
{
	skip_space(s);
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

/* Cut the next value off `s`; false if there is no whole one. */
static bool next_value(struct span *s, struct span *value)
{
	struct scan scan = { 0 };

	skip_space(s);
	value->at = s->at;
	if (s->at < s->end && strchr("\"{[", *s->at)) {
		while (s->at < s->end && !scan_byte(&scan, *s->at))
			s->at++;
		if (s->at == s->end)
			return false;
		s->at++;
	} else {
		while (s->at < s->end && !strchr(",}] \t\r\n", *s->at))
			s->at++;
	}
	value->end = s->at;
	return value->end > value->at;
}

/* Find an object's member by its name; false if it is missing, or this is no object. */
static bool member(struct span object, const char *name, struct span *value)
{
	struct span key;

	if (!skip(&object, '{'))
		return false;
	do {
		if (!next_value(&object, &key) || !skip(&object, ':') || !next_value(&object, value))
			return false;
		if ((size_t)(key.end - key.at) == strlen(name) + 2 && *key.at == '"' &&
		    !memcmp(key.at + 1, name, strlen(name)))
			return true;
	} while (skip(&object, ','));
	return false;
}

/* Decode "uXXXX" to a character. Only ASCII is needed; all else becomes '?'. */
static bool unescape_code(struct span *s, char *c)
{
	char hex[5] = "";
	unsigned long code;

	if (s->end - s->at < 5)
		return false;
	memcpy(hex, s->at + 1, 4);
	if (strspn(hex, "0123456789abcdefABCDEF") < 4)
		return false;
	code = strtoul(hex, NULL, 16);
	*c = code && code < 0x80 ? code : '?';
	s->at += 4;
	return true;
}

/* The text of a JSON string, which the caller frees; NULL if it is no valid string. */
static char *string_text(struct span s)
{
	static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
	char *text, *to;
	const char *e;

	if (s.end - s.at < 2 || *s.at != '"')
		return NULL;
	to = text = need(malloc(s.end - s.at));
	for (s.at++, s.end--; s.at < s.end; s.at++) {
		*to = *s.at ?: '?';
		if (*s.at == '\\') {
			s.at++;		/* a byte follows: an escaped quote does not end a string */
			for (e = escapes; *e && *e != *s.at; e += 2)
				;
			*to = e[!!*e];
			if (!*e && (*s.at != 'u' || !unescape_code(&s, to))) {
				free(text);
				return NULL;
			}
		}
		to++;
	}
	*to = '\0';
	return text;
}

/* Receive more bytes. 0, or -1 with the reason in `failure`, also if none come in time. */
static int receive(struct qmp *q)
{
	struct pollfd poll_fd = { .fd = q->fd, .events = POLLIN };
	int64_t left = q->deadline - now();
	ssize_t n;

	if (q->len >= MOST)
		return fail("%s: the answer is larger than %d MiB", q->path, MOST >> 20);
	if (q->room == q->len) {
		q->room = q->room * 2 + 65536;
		q->text = need(realloc(q->text, q->room));
	}
	if (left <= 0 || !poll(&poll_fd, 1, left))
		return fail("%s: no answer within %d seconds (a monitor answers one client at a time)",
			    q->path, SECONDS);
	n = read(q->fd, q->text + q->len, q->room - q->len);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		return fail_errno(q->path);
	if (!n)
		return fail("%s: closed before it answered", q->path);
	q->len += n > 0 ? n : 0;
	return 0;
}

/* The next whole message. */
static int next_message(struct qmp *q, struct span *message)
{
	struct scan scan = { 0 };
	size_t from;

	for (;; q->at++) {
		while (q->at == q->len)
			if (receive(q))
				return -1;
		if (!space(q->text[q->at]))
			break;
	}
	if (q->text[q->at] != '{')
		return no_qmp(q);
	for (from = q->at; ; q->at++) {
		while (q->at == q->len)
			if (receive(q))
				return -1;
		if (scan_byte(&scan, q->text[q->at]))
			break;
	}
	q->at++;
	*message = (struct span){ q->text + from, q->text + q->at };
	return 0;
}

static int fail_error(const struct qmp *q, struct span error)
{
	struct span value;
	char *text = member(error, "desc", &value) ? string_text(value) : NULL;

	if (!text)
		return no_qmp(q);
	printable(text);
	fail("%s: QEMU refuses: %.200s", q->path, text);
	free(text);
	return -1;
}

/* The member of that name in the next message that is not an event. */
static int answer(struct qmp *q, const char *name, struct span *value)
{
	struct span message;

	do {
		if (next_message(q, &message))
			return -1;
	} while (member(message, "event", value));
	if (member(message, "error", value))
		return fail_error(q, *value);
	return member(message, name, value) ? 0 : no_qmp(q);
}

static int tell(const struct qmp *q, const char *text)
{
	size_t len = strlen(text);

	if (send(q->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len)
		return 0;
	return fail("%s: closed before it answered", q->path);
}

/* qmp_ask() - the output of a command, which the caller frees; or NULL with the reason in `failure`. */
char *qmp_ask(int fd, const char *path, const char *command)
{
	struct qmp q = { .path = path, .fd = fd, .deadline = now() + SECONDS * 1000 };
	char text[128], *output = NULL;
	struct span value;

	snprintf(text, sizeof(text),
		 "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s\"}}\n", command);
	if (!answer(&q, "QMP", &value) && !tell(&q, "{\"execute\":\"qmp_capabilities\"}\n") &&
	    !answer(&q, "return", &value) && !tell(&q, text) && !answer(&q, "return", &value)) {
		output = string_text(value);
		if (!output)
			no_qmp(&q);
	}
	free(q.text);
	return output;
}

/*
 * qmp_open() - connect. *peer is the process that made the socket: QEMU, or the program
 * that started it. Returns the socket, or -1 with the reason in `failure`.
 */
int qmp_open(const char *path, pid_t *peer)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int fd;

	if (strlen(path) >= sizeof(to.sun_path))
		return fail("%.60s...: File name too long for a socket", path);
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_errno(path);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		fail_errno(path);
		close(fd);
		return -1;
	}
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	*peer = cred.pid;
	return fd;
}

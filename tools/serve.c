// SPDX-License-Identifier: GPL-2.0-only
/* serve.c - the counters for Prometheus over HTTP, until the program is ended. */
#include "commands.h"
#include "fail.h"

#ifndef HAVE_MICROHTTPD

int cmd_serve(struct options *opt, int argc, char **argv)
{
	(void)opt;
	(void)argc;
	(void)argv;
	return fail("serve: this exitdump was built without it (to see what is missing: make clean tool)");
}

#else

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <malloc.h>
#include <microhttpd.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "source.h"

#define LIBRARY "libmicrohttpd.so.12"
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Loaded only here: the library needs 9 MB of TLS libraries, too slow for other commands. */
#define CALLS(X) \
	X(MHD_add_response_header) \
	X(MHD_create_response_from_buffer) \
	X(MHD_destroy_response) \
	X(MHD_get_connection_info) \
	X(MHD_queue_response) \
	X(MHD_start_daemon) \
	X(MHD_stop_daemon)

#define CALL_POINTER(name) __typeof__(name) *name;
static struct { CALLS(CALL_POINTER) } http;

static int load_library(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

#define CALL_LOAD(name) \
	if (library) \
		http.name = (__typeof__(http.name))dlsym(library, #name);
#define CALL_THERE(name) && http.name
	CALLS(CALL_LOAD)
	if (!(library CALLS(CALL_THERE)))
		return fail("serve: %s", dlerror());
	return 0;
}

/* Parse [ADDRESS:]PORT, both as numbers; an IPv6 address has brackets. NULL if it is wrong. */
static struct addrinfo *address_of(const char *where)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	const char *colon = strrchr(where, ':'), *port = colon ? colon + 1 : where;
	struct addrinfo *info;
	char host[64] = "127.0.0.1";
	bool brackets = colon && *where == '[' && colon[-1] == ']';

	if (!*port || strlen(port) > 5 || strspn(port, "0123456789") < strlen(port) || atoi(port) > 65535)
		return NULL;
	if (colon)
		snprintf(host, sizeof(host), "%.*s", (int)(colon - where - 2 * brackets), where + brackets);
	return getaddrinfo(host, port, &hints, &info) ? NULL : info;
}

/* A socket that listens there (port 0: any port), and its URL; or -1 with the reason in `failure`. */
static int listen_at(const char *where, char *url, size_t size)
{
	struct addrinfo *info = address_of(where);
	struct sockaddr_storage at;
	socklen_t at_len = sizeof(at);
	char host[64], port[8];
	int fd, ret = 0, on = 1;

	if (!info)
		return fail("serve: %s: not [ADDRESS:]PORT", where);
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, info->ai_addr, info->ai_addrlen) || listen(fd, SOMAXCONN) ||
	    getsockname(fd, (struct sockaddr *)&at, &at_len))
		ret = fail("serve: %s: %s", where, strerror(errno));
	freeaddrinfo(info);
	if (ret)
		return ret;
	getnameinfo((struct sockaddr *)&at, at_len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(url, size, at.ss_family == AF_INET6 ? "http://[%s]:%s/metrics" : "http://%s:%s/metrics",
		 host, port);
	return fd;
}

/* Print on standard error, unless it was printed last time. */
static void say(const char *what)
{
	static char said[sizeof(failure)];

	if (*what && strcmp(what, said))
		warnx("%s", what);
	snprintf(said, sizeof(said), "%s", what);
}

static int metrics(const struct options *opt, struct out *to)
{
	struct layout layout;
	struct sample sample;
	struct view view;
	char notes[NOTES];
	int ret = take_snapshot(&sample, opt);

	if (ret)
		return ret;
	layout_choose(&layout, opt, &sample, false);
	ret = view_make(&view, &sample, opt, &layout);
	if (!ret) {
		print_view(&view, to, true);
		view_notes(&view, notes);
		say(notes);
		view_free(&view);
	}
	sample_free(&sample);
	return ret;
}

/*
 * Slow clients must not keep others out: if there are more than MOST connections, the
 * oldest is shut down. The library's limit, LIMIT, also counts those that are closing.
 * Nor must they fill the memory: if the answers have more than ANSWER_BYTES, the oldest
 * that still has one is shut down.
 */
enum { MOST = 16, LIMIT = 2 * MOST, IDLE_SECONDS = 10, HEADER_BYTES = 8192, ANSWER_BYTES = 64 << 20 };

static struct connection {
	int fd;		/* 0: none */
	size_t bytes;	/* of its answer */
} connections[MOST];
static int next;	/* the oldest, if all are in use */

static int fd_of(struct MHD_Connection *connection)
{
	return http.MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

static void limit_connections(void *unused, struct MHD_Connection *connection, void **context,
			      enum MHD_ConnectionNotificationCode code)
{
	int fd = fd_of(connection);

	(void)unused;
	(void)context;
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		if (connections[next].fd)
			shutdown(connections[next].fd, SHUT_RDWR);
		connections[next].fd = fd;
		connections[next].bytes = 0;
		next = (next + 1) % MOST;
	} else {
		for (int i = 0; i < MOST; i++) {
			if (connections[i].fd == fd)
				memset(&connections[i], 0, sizeof(connections[i]));
		}
	}
}

static void limit_answers(int fd, size_t bytes)
{
	struct connection *oldest;
	size_t sum = bytes;

	for (int i = 0; i < MOST; i++)
		sum += connections[i].bytes;
	for (int i = next; sum > ANSWER_BYTES && i < next + MOST; i++) {
		oldest = &connections[i % MOST];
		if (oldest->bytes)
			shutdown(oldest->fd, SHUT_RDWR);
		sum -= oldest->bytes;
		oldest->bytes = 0;
	}
	for (int i = 0; i < MOST; i++) {
		if (connections[i].fd == fd)
			connections[i].bytes = bytes;
	}
}

/* Answer one request. One thread answers all of them, one after the other. */
static enum MHD_Result answer(void *opt, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *body,
			      size_t *body_size, void **request)
{
	const char *type = "text/plain; charset=utf-8";
	struct out text = { .fd = -1 };
	unsigned int status = MHD_HTTP_OK;
	struct MHD_Response *response;
	enum MHD_Result ret = MHD_NO;

	(void)version;
	(void)body;
	(void)body_size;
	(void)request;
	if (strcmp(method, "GET") && strcmp(method, "HEAD")) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
		out_text(&text, "Only GET and HEAD are served.\n");
	} else if (!strcmp(path, "/")) {
		out_text(&text, "exitdump: the counters are at /metrics\n");
	} else if (strcmp(path, "/metrics")) {
		status = MHD_HTTP_NOT_FOUND;
		out_text(&text, "The counters are at /metrics\n");
	} else if (metrics(opt, &text)) {
		status = MHD_HTTP_SERVICE_UNAVAILABLE;
		out_text(&text, failure);
		out_char(&text, '\n');
		say(failure);
	} else {
		type = OPENMETRICS;
	}
	limit_answers(fd_of(connection), text.len);
	response = http.MHD_create_response_from_buffer(text.len, text.text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		out_free(&text);
		return MHD_NO;
	}
	if (http.MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) &&
	    http.MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") &&
	    (status != MHD_HTTP_METHOD_NOT_ALLOWED ||
	     http.MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD")))
		ret = http.MHD_queue_response(connection, status, response);
	http.MHD_destroy_response(response);
	return ret;
}

/* cmd_serve() - [[ADDRESS:]PORT] */
int cmd_serve(struct options *opt, int argc, char **argv)
{
	struct MHD_Daemon *daemon;
	sigset_t end;
	char url[128];
	int fd, signal;

	if (argc > 1)
		return fail("%s: one argument too many (see --help)", argv[1]);
	if (opt->pick.input || opt->pick.guest || opt->file || opt->format != FORMAT_METRICS)
		return fail("serve: serves a host's OpenMetrics: not with --input, --guest, --output-file or another format");
	fd = listen_at(argc ? argv[0] : "9913", url, sizeof(url));
	if (fd < 0 || load_library() || (opt->pick.bpf && bpf_attach(opt->pick.keys)))
		return -1;
	mallopt(M_MMAP_THRESHOLD, 1 << 17);	/* answers go back to the system when they are freed */
	/* Block them before the library starts its thread, so that only sigwait() gets them. */
	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	daemon = http.MHD_start_daemon(MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, answer, opt,
				       MHD_OPTION_LISTEN_SOCKET, fd,
				       MHD_OPTION_NOTIFY_CONNECTION, limit_connections, NULL,
				       MHD_OPTION_CONNECTION_LIMIT, (unsigned int)LIMIT,
				       MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_SECONDS,
				       MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES,
				       MHD_OPTION_END);
	if (!daemon)
		return fail("serve: %s: %s", url, strerror(errno));
	warnx("%s", url);
	sigwait(&end, &signal);
	http.MHD_stop_daemon(daemon);
	return 0;
}

#endif

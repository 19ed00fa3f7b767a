/* metrics_http.c - /metrics by HTTP (libmicrohttpd), one request after the other. */
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <microhttpd.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include "common/ctl/metrics.h"

#define TIMEOUT_S       10
#define MAX_CONNECTIONS 16

static struct {
	struct peers *peers;
	bool summary;
} g; /* there is one server, with one thread */

static enum MHD_Result respond(
	struct MHD_Connection *c, unsigned status, char *text, size_t size, bool ours)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		size, text, ours ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	enum MHD_Result ok;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET, HEAD");
	ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **state)
{
	static char see[] = "metrics are at /metrics\n", only[] = "GET only\n";
	char *text = NULL;
	size_t size = 0;
	FILE *f;

	(void)arg, (void)version, (void)upload, (void)upload_size, (void)state;
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return respond(c, MHD_HTTP_METHOD_NOT_ALLOWED, only, strlen(only), false);
	if (strcmp(url, "/metrics") != 0)
		return respond(c, MHD_HTTP_NOT_FOUND, see, strlen(see), false);
	f = open_memstream(&text, &size);
	if (!f)
		return MHD_NO;
	metrics_write(g.peers, g.summary, f); /* without a daemon too: nemo_up tells */
	fclose(f);
	return respond(c, MHD_HTTP_OK, text, size, true);
}

static int fail(const char *where, const char *why)
{
	fprintf(stderr, "nemoctl: %s: %s\n", where, why);
	return -1;
}

static int listen_path(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;
	mode_t mask;
	int r;

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		return fail(path, fd < 0 ? strerror(errno) : "the path is too long");
	strcpy(a.sun_path, path);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) { /* of a run that crashed? */
		if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 || errno == EAGAIN)
			return fail(path, strerror(EADDRINUSE));
		unlink(path);
	}
	mask = umask(0117);
	r = bind(fd, (const struct sockaddr *)&a, sizeof(a));
	umask(mask);
	return r == 0 && listen(fd, 16) == 0 ? fd : fail(path, strerror(errno));
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)a;

		return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
	}
	return a->sa_family == AF_INET &&
	       ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
}

/* "127.0.0.1:9639", "[::1]:9639". */
static int listen_tcp(const char *where, bool anywhere)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				.ai_socktype = SOCK_STREAM},
			*found = NULL;
	const char *colon = strrchr(where, ':');
	bool bracket = *where == '[' && colon && colon > where + 1 && colon[-1] == ']';
	char host[128];
	int fd, one = 1;

	if (!colon || colon == where)
		return fail(where, "neither ADDRESS:PORT nor a path");
	snprintf(host, sizeof(host), "%.*s", (int)(colon - where) - (bracket ? 2 : 0),
		where + bracket);
	/* getaddrinfo() takes 99999, for 34463. */
	if (strtoul(colon + 1, NULL, 10) > UINT16_MAX ||
		getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return fail(where, "no numeric address and port ([ADDRESS]:PORT for IPv6)");
	if (!anywhere && !is_loopback(found->ai_addr)) {
		freeaddrinfo(found);
		return fail(where, "not a loopback address: anybody could read there who is where, "
				   "say --anywhere if that is wanted");
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 16) < 0) {
		int e = errno;

		freeaddrinfo(found);
		if (fd >= 0)
			close(fd);
		return fail(where, strerror(e));
	}
	freeaddrinfo(found);
	return fd;
}

/* Where daemons are looked for: it would be asked as one of them, by itself too. */
static bool among_daemons(const struct peers *peers, const char *path)
{
	char pattern[PATH_MAX];

	snprintf(pattern, sizeof(pattern), "%s/*.sock", peers->run);
	return fnmatch(pattern, path, FNM_PATHNAME) == 0;
}

int metrics_serve(struct peers *peers, bool summary, const char *where, bool anywhere)
{
	struct MHD_Daemon *d;
	sigset_t set;
	int fd, got;

	if (among_daemons(peers, where))
		fd = fail(
			where, "*.sock in that folder is a daemon's socket: another name, please");
	else
		fd = *where == '/' ? listen_path(where) : listen_tcp(where, anywhere);
	if (fd < 0)
		return EXIT_REFUSED;
	g.peers = peers;
	g.summary = summary;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL); /* before the thread: it inherits that */
	d = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, on_request, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)TIMEOUT_S,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_END);
	if (!d) {
		close(fd);
		fail(where, "no HTTP server could be started");
		return EXIT_REFUSED;
	}
	sd_notifyf(0, "READY=1\nSTATUS=metrics at %s", where);
	sigwait(&set, &got);
	MHD_stop_daemon(d);
	if (*where == '/')
		unlink(where);
	return 0;
}

/* peers.c - finds daemons by their control sockets and asks them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "common/ctl/peers.h"

#define TIMEOUT_S 10

static void set_timeout(int fd, unsigned s)
{
	struct timeval t = {.tv_sec = s};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

static int get_timeout(int fd)
{
	struct timeval t = {0};
	socklen_t size = sizeof(t);

	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &size);
	return (int)t.tv_sec;
}

int peers_dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	set_timeout(fd, TIMEOUT_S);
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
		return fd;
	fprintf(stderr, "nemoctl: %s: %s: %s\n", path, strerror(errno),
		errno == EACCES ? "only root may ask the daemons" : "is its daemon running?");
	close(fd);
	return -1;
}

json_t *peers_next(int fd)
{
	json_t *o = json_loadfd(fd, JSON_DISABLE_EOF_CHECK, NULL);
	char newline;

	if (o && read(fd, &newline, 1) == 1)
		return o;
	json_decref(o);
	return NULL;
}

/* One object, quickly; what follows it is lost. */
static json_t *only_object(int fd)
{
	FILE *f = fdopen(dup(fd), "r");
	json_t *o = f ? json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL) : NULL;

	if (f)
		fclose(f);
	return o;
}

json_t *peers_ask(int fd, const char *path, const json_t *request, json_t *(*next)(int), int *code)
{
	char *text = json_dumps(request, JSON_COMPACT);
	json_t *answer, *data = NULL;
	const char *why;

	/* Who is not let in is told so before he has said anything: read the answer in any case. */
	if (text && send(fd, text, strlen(text), MSG_NOSIGNAL) > 0)
		send(fd, "\n", 1, MSG_NOSIGNAL);
	answer = text ? next(fd) : NULL;
	why = json_string_value(json_object_get(answer, "error"));
	if (json_is_true(json_object_get(answer, "ok")))
		data = json_incref(json_object_get(answer, "data"));
	*code = answer ? EXIT_REFUSED : EXIT_NO_DAEMON;
	if (!answer)
		fprintf(stderr, "nemoctl: %s: no answer of a nemo daemon in %d s\n", path,
			get_timeout(fd));
	else if (!data)
		fprintf(stderr, "nemoctl: %s: %s\n", path, why ? why : "refused without a reason");
	free(text);
	json_decref(answer);
	return data;
}

/* 'wait_s' 0: as long as usual. */
static json_t *ask_within(const char *path, unsigned wait_s, const json_t *request, int *code)
{
	int fd = peers_dial(path);
	json_t *data = NULL;

	*code = EXIT_NO_DAEMON;
	if (fd >= 0) {
		if (wait_s)
			set_timeout(fd, wait_s);
		data = peers_ask(fd, path, request, only_object, code);
		close(fd);
	}
	return data;
}

json_t *peers_ask_at(const char *path, const json_t *request, int *code)
{
	return ask_within(path, 0, request, code);
}

int peers_find(struct peers *p, const char *kind)
{
	json_t *request = json_pack("{s:s}", "cmd", "status");
	char pattern[256];
	int code = 0, e;

	snprintf(pattern, sizeof(pattern), "%s/*.sock", p->run);
	if (!p->named && glob(pattern, 0, NULL, &p->found) == 0)
		for (size_t i = 0; i < p->found.gl_pathc && p->n_paths < PEERS_MAX; i++)
			p->paths[p->n_paths++] = p->found.gl_pathv[i];
	for (size_t i = 0; i < p->n_paths; i++) {
		struct peer one = {.path = p->paths[i],
			.status = ask_within(p->paths[i], p->wait_s, request, &e)};

		one.kind = json_string_value(json_object_get(one.status, "daemon"));
		one.name = json_string_value(json_object_get(one.status, "name"));
		if (one.kind && one.name && (!kind || strcmp(kind, one.kind) == 0))
			p->v[p->n++] = one;
		else
			json_decref(one.status);
		if (!one.status && p->named) /* else a socket that a crash left is no failure */
			code = e;
	}
	json_decref(request);
	if (p->n || code)
		return code;
	fprintf(stderr,
		"nemoctl: no %s found at %s; start it, or name its socket with -s or its folder "
		"with --run\n",
		kind ? kind : "daemon", p->named ? "the sockets given" : pattern);
	return EXIT_NO_DAEMON;
}

void peers_forget(struct peers *p)
{
	for (size_t i = 0; i < p->n; i++)
		json_decref(p->v[i].status);
	p->n = 0;
	if (p->named)
		return;
	globfree(&p->found);
	p->found = (glob_t){0};
	p->n_paths = 0;
}

json_t *peers_collect(const struct peers *p, const json_t *request, int *code)
{
	json_t *doc = json_array(), *data;
	int e;

	for (const struct peer *one = p->v; one < p->v + p->n; one++) {
		data = peers_ask_at(one->path, request, &e);
		if (data)
			json_array_append_new(doc, json_pack("{s:s, s:s, s:o}", "daemon", one->kind,
							   "name", one->name, "data", data));
		else
			*code = e;
	}
	return doc;
}

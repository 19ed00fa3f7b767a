/* ctl.c - control socket.  A client has at most one answer in the making: while it has not read
 * that, nothing more is read from it, and when it does not read for STALL_S it is cut off. Monitors
 * are cut off when their backlog exceeds BACKLOG_MAX. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utlist.h>
#include "common/os/ctl.h"
#include "common/os/log.h"

#define MAX_CLIENTS 64
#define MAX_READERS 48         /* of them: who may only look does not keep the others out */
#define REQUEST_MAX (64 << 10) /* octets of a line */
#define BACKLOG_MAX (1 << 20)  /* octets not yet read by a monitor */
#define STALL_S     10
#define ERR_SIZE    256
#define NO_GROUP    ((gid_t)-1)
#define MAX_GROUPS  1024
#define ACCEPT_US   100000 /* without descriptors left, one try in that time */

struct client {
	struct ctl *ctl;               /* borrowed */
	int fd;                        /* owned */
	sd_event_source *io, *stalled; /* owned */
	bool monitor;
	bool reader;              /* may only look */
	bool closing;             /* after what is in 'out' */
	char *in, *out;           /* owned; 'in' has room for REQUEST_MAX + 1 */
	size_t n_in, n_out, room; /* octets in them, and of 'out' */
	struct client *prev, *next;
};

struct ctl {
	sd_event *event;         /* borrowed */
	sd_event_source *source; /* owned */
	int fd;                  /* owned; -1 */
	bool bound;              /* the socket's file is ours to remove */
	struct sockaddr_un addr;
	gid_t control, readers; /* NO_GROUP: nobody's */
	const struct ctl_cmd *cmds;
	void *arg;
	struct client *clients; /* owned */
	unsigned n_clients, n_readers, n_monitors;
	bool is_short; /* nothing is accepted, for want of descriptors */
};

static void client_free(struct client *c)
{
	struct ctl *ctl = c->ctl;

	DL_DELETE(ctl->clients, c);
	ctl->n_clients--;
	ctl->n_readers -= c->reader;
	ctl->n_monitors -= c->monitor;
	sd_event_source_disable_unref(c->io);
	sd_event_source_disable_unref(c->stalled);
	close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

static int on_stalled(sd_event_source *s, uint64_t usec, void *arg)
{
	(void)s, (void)usec;
	log_info("control: client cut off: it did not read its answer for %d s", STALL_S);
	client_free(arg);
	return 0;
}

/* Writes what the socket takes and asks for the events that matter next.  False: the client is
 * gone, or has to go. */
static bool client_flush(struct client *c)
{
	size_t done = 0;
	ssize_t n = 0;

	while (done < c->n_out) {
		n = send(c->fd, c->out + done, c->n_out - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			break;
		done += (size_t)n;
	}
	if (n < 0 && errno != EAGAIN)
		return false;
	memmove(c->out, c->out + done, c->n_out - done);
	c->n_out -= done;
	if (c->closing && !c->n_out)
		return false;
	sd_event_source_set_io_events(
		c->io, (c->n_out ? EPOLLOUT : 0) | (c->n_out && !c->monitor ? 0 : EPOLLIN));
	if (!c->n_out || c->monitor) {
		sd_event_source_set_enabled(c->stalled, SD_EVENT_OFF);
	} else if (done || !sd_event_source_get_enabled(c->stalled, NULL)) {
		sd_event_source_set_time_relative(c->stalled, STALL_S * 1000000ULL);
		sd_event_source_set_enabled(c->stalled, SD_EVENT_ONESHOT);
	}
	return true;
}

/* Appends 'text' and a newline. */
static bool client_queue(struct client *c, const char *text, size_t size)
{
	size_t need = c->n_out + size + 1;

	if (need > c->room) {
		char *out = realloc(c->out, need * 2);

		if (!out)
			return false;
		c->out = out;
		c->room = need * 2;
	}
	memcpy(c->out + c->n_out, text, size);
	c->out[need - 1] = '\n';
	c->n_out = need;
	return true;
}

/* --- requests --- */

static json_t *command_list(const struct ctl_cmd *cmds)
{
	static const struct ctl_cmd built_in[] = {
		{.name = "help", .help = "the commands"},
		{.name = "monitor", .help = "events from now on, one object a line"},
		{0},
	};
	json_t *list = json_array();

	for (int i = 0; i < 2; i++)
		for (const struct ctl_cmd *c = i ? built_in : cmds; c->name; c++)
			json_array_append_new(
				list, json_pack("{s:s, s:s}", "name", c->name, "help", c->help));
	return list;
}

static void unknown_command(const struct ctl_cmd *cmds, const char *name, char *err)
{
	int n = snprintf(err, ERR_SIZE, "unknown command \"%s\"; there are: help, monitor",
		strlen(name) <= 40 ? name : "...");

	for (; cmds->name && n < ERR_SIZE; cmds++)
		n += snprintf(err + n, (size_t)(ERR_SIZE - n), ", %s", cmds->name);
}

static json_t *request_run(struct client *c, const json_t *req, char *err)
{
	const char *name = json_string_value(json_object_get(req, "cmd"));
	const struct ctl_cmd *cmd = c->ctl->cmds;

	if (!name) {
		snprintf(err, ERR_SIZE, "a request is an object with a string \"cmd\"");
		return NULL;
	}
	if (strcmp(name, "help") == 0)
		return command_list(cmd);
	if (strcmp(name, "monitor") == 0) {
		c->monitor = true;
		c->ctl->n_monitors++;
		return json_object();
	}
	while (cmd->name && strcmp(cmd->name, name) != 0)
		cmd++;
	if (cmd->name && cmd->changes && c->reader) {
		snprintf(err, ERR_SIZE, "not permitted: your group may only look");
		return NULL;
	}
	if (cmd->name)
		return cmd->run(c->ctl->arg, req, err);
	unknown_command(c->ctl->cmds, name, err);
	return NULL;
}

static bool answer(struct client *c, json_t *data, const char *err)
{
	json_t *a = data ? json_pack("{s:b, s:o}", "ok", 1, "data", data)
			 : json_pack("{s:b, s:s}", "ok", 0, "error", err);
	if (!a) /* the text is not UTF-8, or memory is short */
		a = json_pack("{s:b, s:s}", "ok", 0, "error", "the answer can't be written");
	char *text = a ? json_dumps(a, JSON_COMPACT) : NULL;
	bool ok = text && client_queue(c, text, strlen(text));

	free(text);
	json_decref(a);
	return ok;
}

static bool request(struct client *c, const char *line, size_t size)
{
	char err[ERR_SIZE] = "";
	json_error_t e;
	json_t *req = json_loadb(line, size, JSON_REJECT_DUPLICATES, &e), *data = NULL;

	if (req) {
		data = request_run(c, req, err);
		if (!data && !*err)
			snprintf(err, sizeof(err), "failed");
	} else {
		snprintf(err, sizeof(err), "malformed JSON at column %d: %s", e.column, e.text);
		c->closing = true; /* the next line's start is anyone's guess */
	}
	json_decref(req);
	return answer(c, data, err);
}

/* Runs the complete lines in 'in' until an answer has to wait.  False: the client has to go. */
static bool client_requests(struct client *c)
{
	size_t done = 0;
	bool ok = true;
	char *end;

	while (ok && !c->monitor && !c->closing && !c->n_out &&
		(end = memchr(c->in + done, '\n', c->n_in - done))) {
		ok = request(c, c->in + done, (size_t)(end - c->in) - done) && client_flush(c);
		done = (size_t)(end - c->in) + 1;
	}
	if (!ok)
		return false;
	if (c->monitor || c->closing)
		done = c->n_in;
	memmove(c->in, c->in + done, c->n_in - done);
	c->n_in -= done;
	if (c->n_in <= REQUEST_MAX || memchr(c->in, '\n', c->n_in))
		return true;
	c->closing = true;
	return answer(c, NULL, "request is longer than 65536 octets") && client_flush(c);
}

static int on_client(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct client *c = arg;
	bool ok = true;
	ssize_t n;

	(void)s;
	if (revents & EPOLLOUT)
		ok = client_flush(c) && client_requests(c);
	if (ok && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
		n = recv(fd, c->in + c->n_in, REQUEST_MAX + 1 - c->n_in, MSG_DONTWAIT);
		if (n > 0) {
			c->n_in += (size_t)n;
			ok = client_requests(c);
		} else {
			ok = n < 0 && errno == EAGAIN;
		}
	}
	if (!ok)
		client_free(c);
	return 0;
}

/* --- listening --- */

enum right { NOTHING, LOOK, ALL };

/* What the process at the other end may do, by its user and groups when it connected. */
static enum right peer_right(const struct ctl *ctl, int fd)
{
	static gid_t groups[MAX_GROUPS];
	struct ucred peer;
	socklen_t size = sizeof(peer);
	enum right may = NOTHING;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return NOTHING;
	if (peer.uid == 0 || peer.uid == geteuid())
		return ALL;
	size = sizeof(groups) - sizeof(groups[0]);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return NOTHING;
	groups[size / sizeof(groups[0])] = peer.gid;
	for (size_t i = 0; i <= size / sizeof(groups[0]); i++) {
		if (groups[i] == NO_GROUP)
			continue;
		if (groups[i] == ctl->control)
			return ALL;
		if (groups[i] == ctl->readers)
			may = LOOK;
	}
	return may;
}

static void client_new(struct ctl *ctl, int fd, bool reader)
{
	struct client *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (c)
		c->in = malloc(REQUEST_MAX + 1);
	if (c && c->in) {
		c->ctl = ctl;
		c->fd = fd;
		c->reader = reader;
		r = sd_event_add_io(ctl->event, &c->io, fd, EPOLLIN, on_client, c);
	}
	if (r >= 0)
		r = sd_event_add_time_relative(ctl->event, &c->stalled, CLOCK_MONOTONIC,
			STALL_S * 1000000ULL, 0, on_stalled, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->stalled, SD_EVENT_OFF);
	if (r >= 0) {
		DL_APPEND(ctl->clients, c);
		ctl->n_clients++;
		ctl->n_readers += reader;
		return;
	}
	log_warn("control: client refused: %s", strerror(-r));
	if (c) {
		sd_event_source_disable_unref(c->io);
		sd_event_source_disable_unref(c->stalled);
		free(c->in);
	}
	free(c);
	close(fd);
}

static int on_connect(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	static const char full[] = "{\"ok\":false,\"error\":\"too many clients\"}\n",
			  no[] = "{\"ok\":false,\"error\":\"not permitted\"}\n";
	struct ctl *ctl = arg;
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)revents;
	if (client < 0) {
		if (errno == EAGAIN || errno == ECONNABORTED || ctl->is_short)
			return 0;
		ctl->is_short = true;
		log_warn("control: client refused: %s", strerror(errno));
		sd_event_source_set_ratelimit(s, ACCEPT_US, 1); /* it stays ready */
		return 0;
	}
	if (ctl->is_short)
		sd_event_source_set_ratelimit(s, 0, 0);
	ctl->is_short = false;
	enum right may = peer_right(ctl, client);

	if ((may == ALL && ctl->n_clients < MAX_CLIENTS) ||
		(may == LOOK && ctl->n_clients < MAX_CLIENTS && ctl->n_readers < MAX_READERS)) {
		client_new(ctl, client, may == LOOK);
		return 0;
	}
	if (may == NOTHING)
		send(client, no, sizeof(no) - 1, MSG_NOSIGNAL);
	else
		send(client, full, sizeof(full) - 1, MSG_NOSIGNAL);
	close(client);
	return 0;
}

/* Makes way for a socket at the path: 0, or -EADDRINUSE if someone listens there. */
static int clear_path(const struct sockaddr_un *addr)
{
	char dir[sizeof(addr->sun_path)];
	char *slash;
	struct stat st;
	int fd, live;

	memcpy(dir, addr->sun_path, sizeof(dir));
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		if (mkdir(dir, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK; /* somebody's file: not ours to remove */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	live = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN;
	close(fd);
	if (live)
		return -EADDRINUSE;
	return unlink(addr->sun_path) < 0 ? -errno : 0;
}

static int listen_at(struct ctl *ctl)
{
	int r = clear_path(&ctl->addr);
	mode_t mask;

	if (r < 0)
		return r;
	ctl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ctl->fd < 0)
		return -errno;
	/* The file never has another mode, whatever the umask. */
	mask = umask(0117);
	r = bind(ctl->fd, (const struct sockaddr *)&ctl->addr, sizeof(ctl->addr)) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return r;
	ctl->bound = true;
	if (listen(ctl->fd, 16) < 0)
		return -errno;
	return sd_event_add_io(ctl->event, &ctl->source, ctl->fd, EPOLLIN, on_connect, ctl);
}

int ctl_open(struct ctl **out, sd_event *e, const char *path, const struct ctl_cmd *cmds, void *arg)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	*out = NULL;
	if (!ctl)
		return -ENOMEM;
	*ctl = (struct ctl){.event = e,
		.fd = -1,
		.control = NO_GROUP,
		.readers = NO_GROUP,
		.addr = {.sun_family = AF_UNIX},
		.cmds = cmds,
		.arg = arg};
	if (strlen(path) < sizeof(ctl->addr.sun_path)) {
		memcpy(ctl->addr.sun_path, path, strlen(path) + 1);
		r = listen_at(ctl);
	} else {
		r = -ENAMETOOLONG;
	}
	if (r < 0) {
		log_err("control: %s: %s", path, strerror(-r));
		ctl_close(ctl);
		return r;
	}
	*out = ctl;
	return 0;
}

static int find_group(const char *name, gid_t *out)
{
	const struct group *g = *name ? getgrnam(name) : NULL;

	if (*name && !g) {
		log_err("control: there is no group %s", name);
		return -EINVAL;
	}
	*out = g ? g->gr_gid : NO_GROUP;
	return 0;
}

int ctl_groups(struct ctl *ctl, const char *control, const char *readers)
{
	int r = find_group(control, &ctl->control);
	gid_t file;

	if (r == 0)
		r = find_group(readers, &ctl->readers);
	if (r < 0)
		return r;
	file = ctl->readers != NO_GROUP ? ctl->readers : ctl->control;
	if (file != NO_GROUP && chown(ctl->addr.sun_path, (uid_t)-1, file) < 0) {
		r = -errno;
		log_err("control: %s: %s", ctl->addr.sun_path, strerror(-r));
	}
	return r;
}

bool ctl_listened(const struct ctl *ctl)
{
	return ctl && ctl->n_monitors;
}

void ctl_publish(struct ctl *ctl, json_t *event)
{
	char *text = ctl_listened(ctl) ? json_dumps(event, JSON_COMPACT) : NULL;
	struct client *c, *next;

	if (text)
		DL_FOREACH_SAFE(ctl->clients, c, next)
		{
			if (!c->monitor)
				continue;
			if (c->n_out + strlen(text) > BACKLOG_MAX) {
				log_info("control: monitor cut off: it does not read");
				client_free(c);
			} else if (!client_queue(c, text, strlen(text)) || !client_flush(c)) {
				client_free(c);
			}
		}
	free(text);
	json_decref(event);
}

void ctl_close(struct ctl *ctl)
{
	if (!ctl)
		return;
	while (ctl->clients)
		client_free(ctl->clients);
	sd_event_source_disable_unref(ctl->source);
	if (ctl->fd >= 0)
		close(ctl->fd);
	if (ctl->bound)
		unlink(ctl->addr.sun_path);
	free(ctl);
}

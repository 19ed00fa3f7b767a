/* ctl.h - control socket: JSON lines over a unix stream socket (doc/control.md).  A request is one
 * object {"cmd": NAME, ...}; the answer {"ok": true, "data": ...} or {"ok": false, "error": TEXT}.
 * "monitor" turns the connection into a stream of events.  Requests over 64 KiB, malformed ones and
 * readers that never read are cut off, never waited for. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

struct ctl_cmd {
	const char *name; /* "bindings" */
	const char *help; /* one line */
	/* Returns the data (a new reference), or NULL with 'err' (256 octets) filled. */
	json_t *(*run)(void *arg, const json_t *req, char *err);
	bool changes; /* not for those who may only look */
};
struct ctl;

/* Listens on 'path' (mode 0660; its folder is made if missing; a dead socket there is replaced, a
 * live one is -EADDRINUSE).  'cmds' ends with a NULL name and is borrowed.  "help" and "monitor"
 * are built in.  0, or -errno after a line in the log. */
int ctl_open(struct ctl **, sd_event *, const char *path, const struct ctl_cmd *cmds, void *arg);
/* Who else may connect than root and the daemon's own user: members of 'control' may do all, those
 * of 'readers' may look; "": nobody.  The socket's file gets the latter group, or the former if
 * there is no other.  0, or -errno after a line in the log. */
int ctl_groups(struct ctl *, const char *control, const char *readers);
bool ctl_listened(const struct ctl *); /* is there a monitor? false for NULL */
void ctl_publish(
	struct ctl *, json_t *event); /* to every monitor; steals the reference; ctl may be NULL */
void ctl_close(struct ctl *);         /* removes the socket; accepts NULL */

/* edge.h - the translator's I/O: device, programs, routes, commands. */
#pragma once
#include <systemd/sd-event.h>
#include "common/os/daemon.h"
#include "nat64/conf.h"
#include "nat64/keep.h"

struct nat64_edge;
/* Sets everything up.  Takes 'file' (of malloc), which was read from
 * 'path', and what an earlier run left, over in any case; 'path' is borrowed.  0, or -errno after a
 * line in the log; nat64_edge_close() in any case. */
int nat64_edge_open(struct nat64_edge **, sd_event *, const char *path, struct nat64_file *file,
	const struct nat64_kept *);
/* Gives up the rights that only opening needed, and starts to translate.  0, or -errno after a line
 * in the log. */
int nat64_edge_start(struct nat64_edge *);
/* Reads the configuration again: from some packet on all of it counts.  Or -errno and 'why':
 * nothing has changed. */
int nat64_edge_reload(struct nat64_edge *, char why[WHY_SIZE]);
void nat64_edge_ready(struct nat64_edge *); /* tells it to systemd and the log */
/* keep: device, routes and programs stay for the next run, if a service manager holds them; else
 * nothing stays.  Accepts NULL. */
void nat64_edge_close(struct nat64_edge *, bool keep);
/* Takes what an earlier run left away: there is no successor. */
void nat64_edge_give_up(struct nat64_kept *);

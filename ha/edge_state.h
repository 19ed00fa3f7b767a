/* edge_state.h - between the parts of the edge: edge.c (events in, actions out, start and stop),
 * edge_keep.c (the state file), edge_cmd.c (commands), edge_links.c (interfaces); nobody else's. */
#pragma once
#include "common/os/mhio.h"
#include "common/os/net.h"
#include "common/os/protect.h"
#include "common/os/store.h"
#include "common/os/tell.h"
#include "ha/edge.h"
#include "ha/home.h"
#include "ha/homeio.h"
#include "ha/routeio.h"

struct ha_edge {
	struct ha_file *file;
	sd_event *event;
	struct ha *ha;
	struct net *net;
	struct mhio *io;
	struct homeio *home; /* NULL: the home link is virtual */
	struct routeio *routes;
	struct store *store;   /* the state file */
	enum store_state kept; /* how it was found */
	bool keep_failed;      /* told that it can't be written */
	struct protect *protect;
	struct esptun *esptun; /* NULL: payload = "none" */
	struct ctl *ctl;
	const struct tunnel_engine *engine;
	struct tunnel_set *tunnels;
	sd_event_source *timer;
	struct undone *undone;
	unsigned *ifindexes; /* of 'interfaces', owned; 0: not there now */
	uint64_t started;    /* ms */
	struct ha_out out;
};

/* One step, what it asks for, and the timer. */
void ha_edge_run(struct ha_edge *, const struct ha_event *);
void ha_edge_do(struct ha_edge *);    /* performs e->out */
int ha_edge_routes(struct ha_edge *); /* begins to listen to the routing daemon; 0 or -errno */
/* home_routes of routers that were in 'was' and are no more go, those of all others are there. */
void ha_home_routes_changed(struct ha_edge *, const struct ha_file *was);
/* Key exchange, if some router of 'f' is to have keys by it and there is none yet.  0, or -errno
 * after a line in the log. */
int ha_edge_keying(struct ha_edge *, const struct ha_file *f);
extern const struct ctl_cmd ha_commands[];

/* edge_keep.c */
/* Opens the state file; 'forget': drops the bindings in it.  0, or -errno after a line in the log.
 */
int ha_keep_open(struct ha_edge *, bool forget);
void ha_keep_changed(struct ha_edge *, enum store_how); /* writes what the last step changed */
/* The same of 'old', whose routers are gone. */
void ha_keep_of(struct ha_edge *, struct ha *old, enum store_how);
void ha_keep_own(struct ha_edge *); /* the same of the home agent's own */
/* Takes over what an earlier run knew and puts the kernel's state right.  0 or -errno. */
int ha_keep_restore(struct ha_edge *);

/* edge_links.c */
/* Opens e->net, listens for interfaces that go and come again, and for forwarding that is switched
 * off.  0 or -errno. */
int ha_links_open(struct ha_edge *);
void ha_links_close(struct ha_edge *);

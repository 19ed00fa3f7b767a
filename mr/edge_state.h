/* edge_state.h - between the parts of the edge: edge.c (events in, start and stop), edge_do.c
 * (actions out), edge_phases.c (what a handover's phases took), edge_tell.c (notes), edge_cmd.c
 * (commands), edge_reload.c, edge_undone.c (what others take away); nobody else's. */
#pragma once
#include "common/os/mhio.h"
#include "common/os/nd.h"
#include "common/os/net.h"
#include "common/os/protect.h"
#include "common/os/tell.h"
#include "mr/edge.h"
#include "mr/handover.h"

struct uplink {
	const char *name;       /* borrowed from the configuration */
	unsigned ifindex;       /* 0 = no such interface now */
	struct in6_addr lladdr; /* own link-local address; :: = none yet */
	bool optimistic; /* it is; then it may not be the source of a probe (RFC 4429 s3.2) */
	uint8_t mac[6];
	unsigned mtu;
	uint32_t carrier_downs; /* as last told */
	bool routed;            /* its default route has been put by this run */
	bool was_inside;        /* before a reload: rules about its addresses may be left */
	bool router;            /* there, at home */
	struct in6_addr coa;    /* care-of address put last; :: = none */
	bool undone, coa_gone;  /* somebody removed its default route, or that address */
};

#define MR_LATER 32

struct later { /* notes that wait */
	sd_event_source *timer;
	bool held; /* not told at the end of this step: a move is under way */
	unsigned n;
	struct {
		struct note note;
		struct timespec at; /* CLOCK_REALTIME */
	} v[MR_LATER];
};

struct mr_edge {
	struct mr_file *file;
	sd_event *event;
	struct mr *mr;
	struct net *net;
	struct nd *nd;
	struct mhio *io;
	struct store *store;    /* the state file */
	enum store_state kept;  /* how it was found */
	struct mr_kept written; /* to it, last */
	bool left;              /* a tunnel of the run before is there */
	struct protect *protect;
	struct esptun *esptun; /* NULL: payload = "none" */
	struct ctl *ctl;
	const struct tunnel_engine *engine;
	struct tunnel_set *tunnels;
	struct uplink uplinks[MR_MAX_UPLINKS];
	sd_event_source *timer, *watch;
	struct undone *undone;
	sd_event_source *undone_timer;    /* what was removed is put again */
	uint64_t told_routes, told_rules; /* that they were removed, ms; 0: never */
	struct later later;
	struct handovers handovers;
	uint64_t watch_rx;      /* packets received through the tunnel when the watch began */
	uint64_t watch_until;   /* us */
	uint64_t ra_us;         /* the event being worked on is this RA's; 0 = another */
	uint64_t step_us;       /* when the event being worked on came */
	uint64_t coa_us, bu_us; /* of such actions in this step; 0 = none */
	uint64_t started;       /* ms */
	bool keep;
	bool former; /* rules of home agents that are no longer in the list may be left */
	struct mr_out out;
};

void mr_edge_run(struct mr_edge *, const struct mr_event *); /* one step, and what it asks for */
void mr_edge_do(struct mr_edge *, struct mr_action *);       /* failures are logged */
void mr_edge_finish(struct mr_edge *); /* what can wait until the step's packets have gone */
void mr_edge_tell_interfaces(const struct mr_file *); /* which are not there, or small */
extern const struct ctl_cmd mr_commands[];

/* edge_undone.c */
int mr_undone_open(struct mr_edge *); /* 0 or -errno */
/* An address of an uplink is gone; or it has a link-local one again. */
void mr_undone_addr(struct mr_edge *, unsigned uplink, const struct net_addr *);
void mr_undone_close(struct mr_edge *);

/* edge_phases.c */
uint64_t mr_now_us(void);                                   /* CLOCK_BOOTTIME */
int mr_phases_open(struct mr_edge *);                       /* 0 or -errno */
void mr_phases_note(struct mr_edge *, const struct note *); /* begins a handover, or marks one */

/* edge_tell.c */
int mr_tell_open(struct mr_edge *);                  /* 0 or -errno */
void mr_tell(struct mr_edge *, const struct note *); /* at the end of this step, or of the move */
void mr_tell_due(struct mr_edge *);                  /* a step ends */
void mr_tell_release(struct mr_edge *);              /* tells what waits */

/* home.h - the home link of a home agent that has one (RFC 6275 s10.3.1, s10.4.1; RFC 4861 s7.2,
 * RFC 4862 s5.4): duplicate address detection before a first registration, proxy for bound home
 * addresses, lifetimes of the home prefixes.  Pure.
 *
 * The kernel's proxy answers solicitations; what it does not do is decided here.  A home address:
 *
 *           first update            nobody answered for dad_ms             binding ends
 *     NONE ---------------> PROBE -----------------------------> PROXY ---------------> NONE
 *       ^                     |
 *       +--- in use: 134 -----+
 *
 * An update that comes during PROBE takes the place of the one before: it is the one answered. */
#pragma once
#include "common/core/heap.h"
#include "ha/ha.h"

enum home_state { HOME_NONE, HOME_PROBE, HOME_PROXY };

struct home { /* of one home address; part of its struct ha_peer */
	enum home_state state;
	bool router;            /* R of its advertisements (RFC 3963 s6.2); with PROXY */
	bool link_local;        /* L: its link-local address, too */
	unsigned announce;      /* PROXY: announcements still to be sent */
	struct mh_env *bu;      /* PROBE: the update to be answered; owned */
	struct heap_node timer; /* end of PROBE, or next announcement */
	uint64_t defended;      /* ms; last time that someone else's claim was answered */
};

struct home_prefix { /* what is known of conf->home[] from advertisements; UINT64_MAX: forever */
	uint64_t valid_until, preferred_until; /* ms */
	bool heard;
};

struct ha_peer;
int home_init(struct ha *); /* 0 or -ENOMEM */
void home_free(struct ha *);
/* In a home prefix whose valid lifetime is not over? */
bool home_subnet(const struct ha *, const struct in6_addr *hoa, uint64_t now);
/* Has to be probed before a first registration, and proxied: an address of a real home link. */
bool home_on_link(const struct ha *, const struct in6_addr *hoa);
/* Caps '*lifetime_s' to what is left of the home prefix (s10.3.1) and returns the status of the
 * acknowledgement: MH_ST_ACCEPTED or MH_ST_ACCEPTED_PREFIX. */
int home_grant(const struct ha *, const struct in6_addr *hoa, uint64_t now, uint32_t *lifetime_s);
/* Begins the detection for 'bu', or puts it in the place of the update that waits for its end.  0,
 * or a status: MH_ST_RESOURCES, MH_ST_DAD_FAILED. */
int home_probe(
	struct ha *, struct ha_peer *, const struct mh_env *bu, uint64_t now, struct ha_out *);
/* The binding was accepted: begins or goes on to intercept what is sent to the home address. */
void home_serve(struct ha *, struct ha_peer *, uint64_t now, struct ha_out *);
void home_stop(struct ha *, struct ha_peer *, struct ha_out *); /* back to NONE */
void home_nd(struct ha *, const struct ha_event *, uint64_t now, struct ha_out *);
void home_tick(struct ha *, uint64_t now, struct ha_out *);
uint64_t home_deadline(const struct ha *); /* ms; UINT64_MAX: never */
#define HOME_MAX_STOP 2                    /* actions that home_stop() may add */

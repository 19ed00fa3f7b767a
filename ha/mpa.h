/* mpa.h - Mobile Prefix Advertisements: what routers away from home are told of the home prefixes,
 * on their solicitation or when something has changed (RFC 6275 s6.8, s10.6).  Pure.
 *
 * To one router, while it is bound:
 *
 *            change, or nothing sent for       random delay       3, 6, 12 s, three times
 *            mpa_max_s                         (s10.6.2)
 *     QUIET -------------------------> DUE ---------------> SENT --------> given up: again with
 *       ^                                                    |             its next update
 *       +----- solicitation: answered at once, at most one --+
 *              a second
 */
#pragma once
#include "common/core/heap.h"
#include "ha/ha.h"

struct mpa_prefix {          /* a prefix of the home link, configured or heard of there */
	struct ndp_prefix p; /* flags; lifetimes as last told */
	bool configured, heard;
	uint64_t valid_until, preferred_until; /* ms; UINT64_MAX: forever */
};

struct mpa { /* of one router; part of its struct ha_peer */
	struct heap_node timer;
	uint64_t at;   /* ms; when the next one is due, or, with left = 0, made due; UINT64_MAX */
	unsigned left; /* transmissions to go */
	uint64_t wait; /* ms; after the next one */
	bool unacked;  /* all of them in vain */
	uint64_t free; /* ms; none may leave before: one a second (s6.8) */
	bool asked;    /* a solicitation is to be answered at 'free' */
	uint16_t id;   /* its Identifier */
	struct in6_addr src;
};

struct ha_peer;
void mpa_init(struct ha *);
/* A Router Advertisement on the home link, of ours or another's router. */
void mpa_ra(struct ha *, const struct ndp_msg *, uint64_t now);
/* A Mobile Prefix Solicitation: answered, or dropped and counted. */
void mpa_request(struct ha *, const struct icmp6_msg *, uint64_t now, struct ha_out *);
void mpa_bound(struct ha *, struct ha_peer *, uint64_t now); /* an update was accepted */
void mpa_end(struct ha *, struct ha_peer *);                 /* it is not bound any more */
void mpa_tick(struct ha *, uint64_t now, struct ha_out *);   /* as far as 'out' has room */

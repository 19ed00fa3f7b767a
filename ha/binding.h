/* binding.h - one router's entry in the binding cache (RFC 6275 s9.1, RFC 3963 s6.1.1).  Pure. */
#pragma once
#include <uthash.h>
#include "common/core/heap.h"
#include "ha/home.h"
#include "ha/table.h"

enum binding_state { BINDING_NONE, BINDING_BOUND, BINDING_CLOSED };

struct binding {
	enum binding_state state;
	struct in6_addr coa, local; /* care-of address; our address that the BU went to */
	uint16_t seq;               /* last one that passed the sequence test; not in NONE */
	uint32_t mnps;              /* bit i: the router's prefix i is forwarded */
	bool r, explicit_;          /* mobile router; prefixes came in the BU */
	bool l;                     /* L of the update that made it */
	uint32_t lifetime_s;        /* granted */
	uint64_t registered, refreshed, ends; /* ms */
	uint64_t moves;                       /* care-of address changes since 'registered' */
};

struct ha_peer { /* a configured router and what is known of it; one per table line, never freed
		    alone */
	const struct ha_router *conf;
	struct binding b;
	struct home home;
	struct heap_node timer; /* end of the lifetime (BOUND), or of CLOSED */
	int last_status;        /* of the last answer; -1: never heard */
	uint64_t last_seen;     /* ms; with last_status >= 0 */
	UT_hash_handle hh;      /* by conf->hoa */
};

#define BINDING_CLOSED_MS 10000 /* MAX_DELETE_BCE_TIMEOUT, RFC 6275 s12 */

/* The only place where a binding changes state: sets the timer that the state needs.  'ends' must
 * be set for BOUND.  0 or -ENOMEM: nothing changed. */
int binding_enter(struct ha_peer *, struct heap *timers, enum binding_state, uint64_t now);
void binding_tunnel(
	const struct ha_peer *, struct tunnel *out); /* the tunnel that a BOUND one wants */

struct ha { /* the binding cache and what it needs; private to ha.c and bu.c */
	const struct ha_conf *conf;
	struct table table;
	struct ha_peer *peers;  /* owned; conf->n_routers of them, in its order */
	struct ha_peer *by_hoa; /* uthash */
	struct heap timers;
	struct heap probes;           /* of the home link */
	struct home_prefix *prefixes; /* owned; conf->n_home of them */
	unsigned n_bound;
	uint64_t counters[HA_N_COUNTERS];
	struct in6_addr *own; /* owned; n_own addresses of this host */
	unsigned n_own;
	uint64_t notes_since;         /* ms; when 'notes' was last lowered */
	unsigned notes;               /* level of a leaky bucket: rejections told lately */
	struct {                      /* what a failed TUNNEL_PUT has to give back */
		struct ha_peer *peer; /* NULL: nothing asked for */
		bool restoring;       /* the put that failed was already the one that gives back */
		struct binding before;
		struct mh_env bu;
	} undo;
};

struct ha_action *ha_action(struct ha_out *, enum ha_action_type); /* next one, zeroed */
void ha_note(struct ha_out *, enum note_type, const struct ha_peer *, const struct in6_addr *hoa,
	int status, const char *text);
struct ha_peer *ha_peer_find(const struct ha *, const struct in6_addr *hoa);
void ha_unbind(struct ha *, struct ha_peer *, enum binding_state to, uint64_t now, struct ha_out *);

/* bu.c: a Binding Update from its checks to its answer (RFC 6275 s9.5, s10.3; RFC 3963 s6.2, s6.7).
 */
void bu_receive(struct ha *, const struct mh_env *, uint64_t now, struct ha_out *);
/* The detection that 'bu' waited for is over: applies it, or rejects it with 'status' if not 0. */
void bu_resume(struct ha *, const struct mh_env *bu, int status, uint64_t now, struct ha_out *);
void bu_answer(struct ha *, const struct mh_env *bu, int status, uint16_t seq, uint32_t lifetime_s,
	uint64_t now, struct ha_out *);

/* binding.h - one router's entry in the binding cache (RFC 6275 s9.1, RFC 3963 s6.1.1).  Pure. */
#pragma once
#include <uthash.h>
#include "common/core/heap.h"
#include "ha/agents.h"
#include "ha/home.h"
#include "ha/mpa.h"
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

/* What the home agent says to a router of its own accord; all of it ends with the binding, but for
 * 'barred' and the router's restart counter. */
struct ha_control {
	struct heap_node timer; /* the earliest of the three times below */
	bool barred;            /* revoked: no registrations until an operator allows them */
	bool revoking;          /* an indication is outstanding */
	uint16_t bri_seq;
	unsigned bri_left; /* retransmissions */
	uint64_t bri_at;   /* ms; next one, or the end of waiting; UINT64_MAX: none, as below */
	uint64_t bri_wait; /* ms */
	uint64_t has_at;   /* next Home Agent Switch */
	uint64_t has_wait;
	uint64_t hb_at; /* next Heartbeat request */
	uint32_t hb_seq;
	bool hb_waiting; /* the last request has no answer yet */
	bool hb_silent;  /* told */
	bool hb_heard;   /* the bound router knows heartbeats; since it last fell silent */
	unsigned hb_missed;
	bool has_restart; /* 'restart' is the router's counter as last told */
	uint32_t restart;
	uint64_t hb_since; /* ms; start of the second that 'hb_n' answers were sent in */
	unsigned hb_n;
};

#define LEARN_MAX (TUNNEL_MAX_ROUTES - 1) /* with the registered ones */

/* What the routing daemon says to be behind a router that may announce: the kernel's routes by way
 * of its home address.  Bound or not; the tunnel takes it when there is one. */
struct learned {
	unsigned n;
	struct learned_route {
		struct prefix6 prefix;
		bool refused; /* may not announce it; kept so that it is told once */
	} v[2 * LEARN_MAX];
};

struct ha_refusals {    /* of updates: how many were spent, less those that time gave back */
	uint64_t since; /* ms; when 'n' was last lowered */
	unsigned n;
};

struct ha_twin {               /* signs of a second router with this identity; twin.c */
	struct in6_addr stale; /* where the last update came from, if its number was an old one */
	uint32_t spi;          /* of the ESP of the last update; 0 = none */
	unsigned claims;       /* of the binding, in a row, after such an update or with new keys */
	uint64_t claimed;      /* ms; the last of them, */
	struct in6_addr last;  /* to where, */
	struct in6_addr other; /* and from where */
};

struct ha_peer { /* a configured router and what is known of it; one per table line, never freed
		    alone */
	const struct ha_router *conf;
	struct binding b;
	struct home home;
	struct mpa mpa;
	struct heap_node timer; /* end of the lifetime (BOUND), or of CLOSED */
	int last_status;        /* of the last answer; -1: never heard */
	uint64_t last_seen;     /* ms; with last_status >= 0 */
	struct ha_control c;
	struct ha_refusals answers;
	struct ha_twin twin;
	struct learned *learned; /* owned; NULL: may announce nothing */
	bool reloaded;           /* its tunnel is not yet what a reload makes of it */
	bool changed;            /* in the list of those whose record is to be written */
	struct ha_peer *next_changed;
	struct in6_addr hoa; /* conf's: beside the handle, where it is compared */
	UT_hash_handle hh;
};

#define BINDING_CLOSED_MS 10000 /* MAX_DELETE_BCE_TIMEOUT, RFC 6275 s12 */

/* The only place where a binding changes state: sets the timer that the state needs.  'ends' must
 * be set for BOUND.  0 or -ENOMEM: nothing changed. */
int binding_enter(struct ha_peer *, struct heap *timers, enum binding_state, uint64_t now);
void binding_tunnel(
	const struct ha_peer *, struct tunnel *out); /* the tunnel that a BOUND one wants */

struct ha { /* the binding cache and what it needs; private to its core */
	const struct ha_conf *conf;
	struct table table;
	struct ha_peer *peers;  /* owned; conf->n_routers of them, in its order */
	struct ha_peer *by_hoa; /* uthash */
	struct heap timers;
	struct heap probes;           /* of the home link */
	struct home_prefix *prefixes; /* owned; conf->n_home of them */
	struct heap mpa_timers;       /* of the peers' 'mpa.timer' */
	unsigned n_home_link;
	struct mpa_prefix home_link[NDP_MAX_PREFIX];
	struct heap control_timers; /* of the peers' 'c.timer' */
	unsigned n_bound;
	struct ha_peer *changed; /* list */
	uint32_t restart;        /* own restart counter */
	uint16_t bri_seq;        /* last one used */
	bool draining;           /* no new bindings */
	bool drained;            /* told that the last one has left */
	uint64_t switch_free;    /* ms; when the next Home Agent Switch may leave */
	struct mh_has others;    /* home agents to name in it */
	uint64_t counters[HA_N_COUNTERS];
	uint64_t rejects[256]; /* of HA_C_bu_rejected, by status */
	struct in6_addr *own;  /* owned; n_own addresses of this host */
	unsigned n_own;
	uint64_t rng; /* splitmix64 state */
	struct agents agents;
	uint64_t replies_since;       /* ms; when 'replies' was last lowered */
	unsigned replies;             /* level of a leaky bucket: discovery replies sent lately */
	struct ha_refusals answers;   /* to unknown home addresses */
	struct ha_refusals notes;     /* of all */
	struct {                      /* what a failed TUNNEL_PUT has to give back */
		struct ha_peer *peer; /* NULL: nothing asked for */
		struct ha_peer *learning; /* the put is because of its routes; NULL: it is not */
		bool restoring; /* the put that failed was already the one that gives back */
		struct binding before;
		struct mh_env bu;
	} undo;
};

struct ha_action *ha_action(struct ha_out *, enum ha_action_type); /* next one, zeroed */
void ha_note(struct ha_out *, enum note_type, const struct ha_peer *, const struct in6_addr *hoa,
	int status, const char *text);
struct ha_peer *ha_peer_find(const struct ha *, const struct in6_addr *hoa); /* NULL: none */
void ha_unbind(struct ha *, struct ha_peer *, enum binding_state to, uint64_t now, struct ha_out *);

/* keep.c: its record in the state file is no longer true. */
void ha_changed(struct ha *, struct ha_peer *);

/* bu.c: a Binding Update from its checks to its answer (RFC 6275 s9.5, s10.3; RFC 3963 s6.2, s6.7).
 */
void bu_receive(struct ha *, const struct mh_env *, uint64_t now, struct ha_out *);
/* The detection that 'bu' waited for is over: applies it, or rejects it with 'status' if not 0. */
void bu_resume(struct ha *, const struct mh_env *bu, int status, uint64_t now, struct ha_out *);
/* Its care-of address is one that an update would be refused with (174). */
bool bu_misplaced(struct ha *, struct ha_peer *, uint64_t now);
void bu_answer(struct ha *, const struct mh_env *bu, int status, uint16_t seq, uint32_t lifetime_s,
	uint64_t now, struct ha_out *);

/* twin.c */
void ha_twin_refused(
	struct ha_peer *, const struct in6_addr *coa); /* with status 135, from there */
/* An update that came in ESP with 'spi' was; the binding had 'from' before.  May tell. */
void ha_twin_accepted(struct ha *, struct ha_peer *, const struct in6_addr *from, uint32_t spi,
	uint64_t now, struct ha_out *);
/* The other care-of address, if there is a second router with this identity; else NULL. */
const struct in6_addr *ha_twin_at(const struct ha_peer *, uint64_t now);

/* control.c: revocation and home agent switch (RFC 5846, RFC 5142). */
void ha_control_init(struct ha_peer *);
void ha_control_bound(struct ha *, struct ha_peer *, uint64_t now); /* a BU was accepted */
void ha_control_end(struct ha *, struct ha_peer *);                 /* it is not bound any more */
bool ha_control_arm(struct ha *, struct ha_peer *); /* its times were changed; false: no memory */
void ha_control_revoke(struct ha *, struct ha_peer *, uint64_t now, struct ha_out *);
void ha_control_allow(struct ha *, struct ha_peer *, struct ha_out *);
void ha_control_drain(struct ha *, const struct mh_has *others, uint64_t now, struct ha_out *);
void ha_control_undrain(struct ha *, struct ha_out *);
void ha_control_drained(struct ha *, struct ha_out *); /* after each step: tells it once */
/* The message is one of control's (Binding Revocation, Heartbeat, Binding Error 2 to one of them)
 * and was dealt with. */
bool ha_control_receive(struct ha *, const struct mh_env *, uint64_t now, struct ha_out *);
void ha_control_tick(struct ha *, uint64_t now, struct ha_out *); /* as far as 'out' has room */
struct mh_env *ha_control_message(struct ha_out *, const struct ha_peer *, uint8_t type);
static inline uint64_t ha_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* learn.c: networks behind a router that a routing daemon tells of (RFC 3963 s8). */
int ha_learn_init(struct ha_peer *);                                  /* 0 or -ENOMEM */
void ha_learn(struct ha *, const struct ha_event *, struct ha_out *); /* HA_EV_ROUTES */
/* The put that ha_learn() asked for failed: the router's tunnel does without such routes. */
void ha_learn_failed(struct ha *, int error, struct ha_out *);
/* Adds to 'out' what is learned of the router. */
void ha_learn_tunnel(const struct ha_peer *, struct tunnel *out);

/* heartbeat.c: RFC 5847. */
void ha_heartbeat_bound(struct ha *, struct ha_peer *, uint64_t now);
void ha_heartbeat_due(struct ha *, struct ha_peer *, uint64_t now, struct ha_out *);
void ha_heartbeat_receive(struct ha *, const struct mh_env *, uint64_t now, struct ha_out *);

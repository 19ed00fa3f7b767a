/* ha.h - home agent protocol core (RFC 6275 s9.5, s10.3; RFC 3963 s6).  Pure: it never reads a
 * clock, opens a socket or logs.  edge.c feeds events in and carries the actions out, in order.
 *
 *            accepted BU             lifetime 0             10 s
 *     NONE ---------------> BOUND ----------------> CLOSED -------> NONE
 *       ^                    | ^                      |
 *       +---- expired -------+ +---- accepted BU -----+
 *
 * CLOSED keeps only the sequence number, so that a late old BU gets 135 (RFC 6275 s10.3.2).  What
 * is rejected never changes the rest of a binding. */
#pragma once
#include <jansson.h>
#include "common/core/note.h"
#include "common/tunnel/tunnel.h"
#include "common/wire/icmp6.h"
#include "common/wire/mh.h"
#include "common/wire/ndp.h"

#define HA_NAME_SIZE 64
#define HA_PATH_SIZE 256

struct ha_router { /* a line of the prefix table (RFC 3963 s6.1.2) */
	char name[HA_NAME_SIZE], tenant[HA_NAME_SIZE];
	struct in6_addr hoa;
	unsigned n_prefixes; /* 0..MH_MAX_MNP; 0 = a mobile host */
	struct prefix6 *prefixes;
	unsigned n_learn;        /* 0 = takes no part in dynamic routing */
	struct prefix6 *learn;   /* what it may announce by a routing protocol: these and parts */
	unsigned max_lifetime_s; /* 0 = the home agent's */
	bool mobile_router;      /* may use R = 1; if not: status 140 */
	bool no_mpd;             /* no prefix discovery: it can't be protected (RFC 4285 s2) */
	int protection;          /* of its signalling, for the edge: 0 = the home agent's */
	char keys[HA_PATH_SIZE]; /* key file, for the edge */
	char identity[HA_PATH_SIZE]; /* of its certificate, for the edge; "" = none */
	unsigned line;               /* of the configuration file */
	uint32_t tenant_id; /* >= 1, one number per tenant name; set by ha_new()'s caller */
};

struct ha_agent_conf { /* another home agent of the home link */
	struct in6_addr address;
	unsigned preference; /* 0..65535 */
	bool mobile_routers; /* it serves them */
	unsigned line;
};

struct ha_conf { /* borrowed by the core: must outlive it */
	struct in6_addr address;
	unsigned n_home; /* prefixes that home addresses may come from */
	struct prefix6 *home;
	unsigned n_aggregates; /* what the home agent answers for as a whole */
	struct prefix6 *aggregates;
	unsigned n_routers;
	struct ha_router *routers;
	unsigned max_lifetime_s;           /* 4..262140 */
	unsigned heartbeat_s;              /* requests to bound routers this often; 0: none */
	unsigned heartbeat_misses;         /* so many in a row may stay unanswered */
	unsigned revoke_ms, revoke_max_ms; /* wait for a revocation's answer: first, doubled to */
	unsigned revoke_retries;
	unsigned switch_rate; /* Home Agent Switch messages a second, over all routers; 0: 1 */
	bool home_link;  /* real: home addresses are probed and proxied there; false: virtual */
	unsigned dad_ms; /* duplicate address detection on it; 0: none */
	bool mpa;        /* prefix advertisements are sent and solicitations answered */
	unsigned mpa_min_s, mpa_max_s; /* MinMobPfxAdvInterval, MaxMobPfxAdvInterval (RFC 6275) */
	unsigned preference; /* own one in the home agents list: 0..65535, higher is better */
	unsigned n_agents;
	struct ha_agent_conf *agents;
};

#define HA_COUNTERS(X) \
	X(bu_rx, "Binding Updates received") \
	X(bu_accepted, "Binding Updates accepted, refreshes and de-registrations included") \
	X(bu_rejected, "Binding Updates answered with a status of 128 or more") \
	X(bu_source, "silently dropped: source address not unicast routable") \
	X(bu_home_address, "silently dropped: home address not unicast routable") \
	X(bu_care_of, "silently dropped: care-of address not unicast routable (RFC 6275 s6.1.7)") \
	X(bu_no_hao, "silently dropped: registration without a Home Address option") \
	X(bu_nonce, "silently dropped: Nonce Indices option in a home registration") \
	X(bu_auth_place, "silently dropped: Binding Authorization Data not the last option") \
	X(bu_correspondent, "silently dropped: meant for a correspondent node (H = 0)") \
	X(mh_unexpected, "Mobility Header messages that a home agent has no use for") \
	X(bri_tx, "Binding Revocation Indications sent (RFC 5846)") \
	X(bra_rx, "Binding Revocation Acknowledgements that answer one of these") \
	X(revoked, "bindings that a revocation ended") \
	X(has_tx, "Home Agent Switch messages sent (RFC 5142)") \
	X(hb_tx, "Heartbeat requests sent (RFC 5847)") \
	X(hb_rx, "Heartbeat requests answered") \
	X(hb_missed, "Heartbeat requests that stayed without an answer") \
	X(hb_limited, "Heartbeat requests not answered: too many of one router") \
	X(control_foreign, "Heartbeats and revocation answers ignored: not from a known router's " \
			   "care-of address, or to nothing that was asked") \
	X(expired, "bindings that ended without a refresh") \
	X(contested, "bindings taken by one of two routers with the same identity from the other") \
	X(dad, "duplicate address detections begun on the home link") \
	X(dad_failed, "home addresses refused because they are in use there (status 134)") \
	X(home_conflicts, "advertisements of others for a bound home address on the home link") \
	X(home_ra, "Router Advertisements seen on the home link") \
	X(dhaad_rx, "home agent discovery requests received") \
	X(dhaad_tx, "of these, answered") \
	X(dhaad_bad, "of these, dropped: not to the anycast address of a home prefix, or from no " \
		     "unicast routable address") \
	X(dhaad_limited, "of these, dropped: too many at once") \
	X(mps_rx, "prefix solicitations received") \
	X(mps_dropped, "of these, dropped: no binding of that home and care-of address (Binding " \
		       "Error 1), or switched off") \
	X(mpa_tx, "prefix advertisements sent") \
	X(icmp6_unexpected, "home agent and prefix discovery messages that a home agent has no " \
			    "use for") \
	X(learned, "routes taken over from the routing daemon (RFC 3963 s8)") \
	X(learn_refused, "routes of the routing daemon that a router may not announce, or too " \
			 "many of them") \
	X(answers_limited, "rejections without an answer: too many of one home address, or of " \
			   "unknown ones") \
	X(notes_limited, "rejections without a line in the log: too many at once") \
	X(tunnel_failed, \
		"registrations refused because the tunnel could not be set up (status 130)")
enum ha_counter {
#define X(name, text) HA_C_##name,
	HA_COUNTERS(X)
#undef X
		HA_N_COUNTERS
};

enum ha_event_type {
	HA_EV_MH,
	HA_EV_ICMP6,
	HA_EV_ND, /* solicitation or advertisement on the home link */
	HA_EV_TICK,
	HA_EV_TUNNEL_FAILED,
	HA_EV_REVOKE, /* operator: end this router's binding and take no other from it */
	HA_EV_ALLOW,  /* take it back */
	HA_EV_DRAIN,  /* send all routers to other home agents, take no new bindings */
	HA_EV_UNDRAIN,
	HA_EV_ROUTES, /* what the kernel's table has by way of a router that may announce: all */
};
struct ha_event {
	enum ha_event_type type;
	union {
		struct mh_env mh; /* HA_EV_MH */
		struct icmp6_msg icmp6;
		struct { /* HA_EV_ND */
			struct ndp_msg msg;
			uint8_t mac[6]; /* of the sender; advertisements of this host's
					 * routing daemon come, too */
			bool own;       /* it is one of these */
		} nd;
		int error;               /* HA_EV_TUNNEL_FAILED: -errno of the put just asked for */
		unsigned router;         /* REVOKE, ALLOW: index into conf->routers */
		struct mh_has has;       /* DRAIN: the others, in order of choice; may be none */
		struct {                 /* ROUTES */
			unsigned router; /* index into conf->routers, with n_learn > 0 */
			unsigned n;
			const struct prefix6 *v; /* in any order, also twice; borrowed */
		} routes;
	};
};

enum ha_home_op {          /* on the home link */
	HA_HOME_PROBE,     /* join the address' solicited-node group, ask who has it (RFC 4862) */
	HA_HOME_PROBE_END, /* leave the group */
	HA_HOME_PROXY,     /* answer solicitations for it (RFC 4861 s7.2.8) */
	HA_HOME_PROXY_END,
	HA_HOME_ANNOUNCE, /* unsolicited advertisement to all nodes (RFC 6275 s10.4.1) */
};
enum ha_action_type {
	HA_DO_SEND,
	HA_DO_SEND_ICMP6,
	HA_DO_HOME,
	HA_DO_TUNNEL_PUT,
	HA_DO_TUNNEL_DROP,
	HA_DO_NOTE,
};
struct ha_action {
	enum ha_action_type type;
	bool on_link; /* SEND: out of the home link, to a node that is there (s10.3.2) */
	union {
		struct {
			enum ha_home_op op;
			struct in6_addr addr;
			bool router; /* R flag of advertisements (RFC 3963 s6.2) */
		} home;
		struct mh_env mh;
		struct icmp6_msg icmp6;
		struct tunnel tunnel; /* TUNNEL_DROP: only id is set */
		struct note note;
	};
};
#define HA_MAX_ACTIONS 16
struct ha_out {
	unsigned n;
	struct ha_action v[HA_MAX_ACTIONS];
};

struct ha;
struct ha *ha_new(const struct ha_conf *); /* NULL: no memory */
void ha_seed(struct ha *, uint64_t seed);  /* of its random numbers; before the first step */
/* Addresses of this host ('n' of them, copied): no care-of address can be one of them.  0 or
 * -ENOMEM. */
int ha_set_own(struct ha *, const struct in6_addr *own, unsigned n);
/* Applies 'ev' at 'now' (ms of CLOCK_BOOTTIME, never decreasing).  Resets 'out', then fills it; the
 * caller performs the actions in order.  If a TUNNEL_PUT fails it leaves out the rest and steps at
 * once with HA_EV_TUNNEL_FAILED: the binding is as it was before, the answer is status 130. */
void ha_step(struct ha *, const struct ha_event *, uint64_t now, struct ha_out *out);
/* What tells one run of this home agent from the next that does not know its bindings (RFC 5847
 * s3.2): greater each time.  Before the first step. */
void ha_set_restart(struct ha *, uint32_t counter);
int ha_find_router(const struct ha *, const char *name); /* its index, or -1 */
bool ha_draining(const struct ha *);
uint64_t ha_deadline(const struct ha *); /* ms at which HA_EV_TICK is due; UINT64_MAX: never */
unsigned ha_n_bound(const struct ha *);
/* Is 'hoa' bound to care-of address 'coa' (RFC 6275 s9.3.1)? */
bool ha_bound_at(const struct ha *, const struct in6_addr *hoa, const struct in6_addr *coa);
const struct ha_router *ha_router_of(const struct ha *, const struct in6_addr *hoa); /* or NULL */
bool ha_is_bound(const struct ha *, const struct in6_addr *hoa);
uint64_t ha_counter(const struct ha *, enum ha_counter);
const uint64_t *ha_rejects(const struct ha *); /* bu_rejected by status, 256 of them */
/* Next bound router in table order from index '*i' on, which is moved past it: its home address and
 * the tunnel it wants; false at the end.  For audits and tests. */
bool ha_next_tunnel(const struct ha *, unsigned *i, struct tunnel *out);
/* As ha_next_tunnel(), for what is proxied on the home link: 'n' addresses, with this R flag. */
bool ha_next_proxy(
	const struct ha *, unsigned *i, struct in6_addr out[2], unsigned *n, bool *router);
json_t *ha_show_bindings(
	const struct ha *, uint64_t now);          /* schema: doc/control.md; NULL: no memory */
json_t *ha_show_agents(struct ha *, uint64_t now); /* the home agents list */
json_t *ha_show_routers(const struct ha *, uint64_t now);
/* Another configuration: 'ha', made of it, takes over what 'old' knows, router by router.  'old'
 * was made of 'old_conf' (moved there, maybe); home prefixes, address and home link are the same.
 */
void ha_inherit(struct ha *, struct ha *old, const struct ha_conf *old_conf);
/* The next of old's routers, '*i' from 0 on, each twice: first what it loses, so that others can
 * have it, then the rest.  Actions to be performed, as of ha_step().  False: that were all, 'old'
 * is to be freed.  What 'old' then has to be kept (ha_next_changed()) are those that are gone. */
bool ha_reload_next(struct ha *, struct ha *old, unsigned *i, uint64_t now, struct ha_out *out);
void ha_free(struct ha *); /* accepts NULL */

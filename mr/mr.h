/* mr.h - mobile router protocol core (RFC 3963 s5, RFC 6275 s11, RFC 6059).  Pure: it never reads a
 * clock, opens a socket or logs.  edge.c feeds events in and carries the actions out, in order.
 * Movement detection of one uplink is in link.c, the binding with the home agent in bul.c. */
#pragma once
#include <jansson.h>
#include "common/core/note.h"
#include "common/tunnel/tunnel.h"
#include "common/wire/icmp6.h"
#include "common/wire/mh.h"
#include "common/wire/ndp.h"
#include "common/wire/quote.h"

#define MR_NAME_SIZE   64
#define MR_MAX_UPLINKS 8
#define MR_MAX_HAS     8

enum mr_mode {
	MR_EXPLICIT,
	MR_IMPLICIT,
	MR_AUTO
}; /* RFC 3963 s5.2; auto: explicit, else implicit */
enum mr_dad { MR_DAD_OPTIMISTIC, MR_DAD_OFF };

struct mr_uplink_conf {
	char interface[IFNAMSIZ];
	unsigned preference; /* higher is better */
	unsigned line;
};
struct mr_network_conf {
	struct prefix6 prefix;
	char interface[IFNAMSIZ];
	unsigned line;
};
struct mr_known_conf { /* a link that may be visited: RFC 6059 for links never seen */
	char uplink[IFNAMSIZ];
	struct in6_addr router; /* link-local */
	uint8_t mac[6];
	struct prefix6 prefix; /* /64 */
	unsigned line;
};

struct mr_conf { /* what it points to is borrowed by the core: must outlive it */
	char name[MR_NAME_SIZE];
	struct in6_addr hoa;
	struct prefix6 home_prefix; /* where home agents are looked for; len 0: nowhere */
	bool no_mpd;                /* no prefix discovery: it can't be protected (RFC 4285 s2) */
	bool return_home;           /* where it is advertised the router is at home */
	unsigned n_has;             /* 0: they are looked for */
	struct in6_addr *has;       /* home agents, in order of preference */
	unsigned n_uplinks;
	struct mr_uplink_conf *uplinks;
	unsigned n_networks;
	struct mr_network_conf *networks;
	unsigned n_announce;      /* with n_networks at most MH_MAX_MNP */
	struct prefix6 *announce; /* behind the networks, told of by a routing protocol */
	unsigned n_known;
	struct mr_known_conf *known;
	unsigned lifetime_s;       /* asked for: 4..262140 */
	unsigned retransmit_ms;    /* first BU timer, doubling up to 32 s */
	unsigned next_ha_ms;       /* a home agent has this time before the next one is asked */
	unsigned check_ms;         /* the default router is probed this often; 0: never */
	unsigned heartbeat_s;      /* the home agent is asked this often; 0: never */
	unsigned heartbeat_misses; /* so many in a row may stay unanswered */
	int mode, dad;             /* enum mr_mode, enum mr_dad */
};

#define MR_COUNTERS(X) \
	X(bu_tx, "Binding Updates sent") \
	X(bu_retransmitted, "of these, retransmissions") \
	X(bu_delayed, "Binding Updates held back by the limit of 3 per second (RFC 6275 s11.8)") \
	X(ba_rx, "Binding Acknowledgements received") \
	X(ba_unmatched, "ignored: no Binding Update outstanding with that number") \
	X(ba_auth_place, "silently dropped: Binding Authorization Data not the last option") \
	X(ba_rejected, "Binding Acknowledgements with a status of 128 or more") \
	X(error_rx, "ICMPv6 errors about an update that waits for its answer") \
	X(error_ignored, \
		"ICMPv6 errors about updates, ignored: none outstanding with that number, " \
		"home agent, home and care-of address") \
	X(mh_foreign, "ignored: Mobility Header not from the home agent in use, or not for us") \
	X(bri_rx, "Binding Revocation Indications answered (RFC 5846)") \
	X(bri_refused, "of these, with a status of 128 or more") \
	X(has_rx, "Home Agent Switch messages from the home agent (RFC 5142)") \
	X(hb_tx, "Heartbeat requests sent (RFC 5847)") \
	X(hb_rx, "Heartbeat requests answered") \
	X(hb_missed, "Heartbeat requests that stayed without an answer") \
	X(hb_unmatched, "ignored: answer to no Heartbeat request outstanding") \
	X(control_limited, "Heartbeat requests not answered: too many") \
	X(mh_unexpected, "Mobility Header messages that a mobile router has no use for") \
	X(dhaad_tx, "home agent discovery requests sent") \
	X(dhaad_rx, "home agent discovery replies received") \
	X(dhaad_ignored, "of these, ignored: not ours, no Identifier in use, R = 0, or no usable " \
			 "address") \
	X(mps_tx, "prefix solicitations sent") \
	X(mpa_rx, "prefix advertisements received") \
	X(mpa_ignored, \
		"of these, ignored: not from the home agent that holds the binding, not for " \
		"our home address, or without a prefix") \
	X(mpa_unasked, "of these, not an answer to the last solicitation: led to another one") \
	X(icmp6_unexpected, \
		"home agent and prefix discovery messages that a mobile router has no " \
		"use for") \
	X(rs_tx, "Router Solicitations sent") \
	X(probes_tx, "Neighbour Solicitations to known routers sent (RFC 6059)") \
	X(ra_rx, "Router Advertisements received on uplinks") \
	X(ra_unusable, "of these, without a prefix that a care-of address can be made of") \
	X(hints, "hints of a possible move") \
	X(false_alarms, "hints after which the current link was confirmed") \
	X(moves, "changes of the care-of address") \
	X(dad_failed, "care-of addresses given up because someone else uses them")
enum mr_counter {
#define X(name, text) MR_C_##name,
	MR_COUNTERS(X)
#undef X
		MR_N_COUNTERS
};

enum mr_event_type {
	MR_EV_LINK,     /* interface state, or NOTIFY_PEERS */
	MR_EV_MIGRATED, /* NOTIFY_PEERS of an interface that is no uplink: may be the whole guest */
	MR_EV_ND,       /* router or neighbour advertisement */
	MR_EV_SOURCE,   /* the uplink has a link-local address to send from: addr */
	MR_EV_LEFT,     /* a care-of address of an earlier run is there: addr */
	MR_EV_ADDR,     /* duplicate address detection of a care-of address failed */
	MR_EV_NEIGH,    /* the kernel could not reach the default router */
	MR_EV_UNDONE,   /* somebody removed the care-of address addr, or the default route: :: */
	MR_EV_MH,
	MR_EV_ICMP6,
	MR_EV_ERROR,  /* an ICMPv6 error about an update; protection may have sent that */
	MR_EV_REHOME, /* operator or orchestrator says: look again */
	MR_EV_LEAVE,  /* before RELOAD: gives up the uplinks that the configuration to come has not
		       */
	MR_EV_RELOAD, /* another configuration; name, home address and home prefix are the same */
	MR_EV_STOP,
	MR_EV_TICK,
};
struct mr_event {
	enum mr_event_type type;
	/* index into conf->uplinks: LINK, ND, SOURCE, LEFT, ADDR, NEIGH, UNDONE, REHOME */
	unsigned uplink;
	union {
		struct {
			bool running, notify_peers;
			uint8_t mac[6];
		} link;
		struct {
			uint8_t mac[6];
			struct ndp_msg msg;
		} nd;
		struct in6_addr addr; /* SOURCE, LEFT, ADDR, NEIGH, UNDONE */
		struct mh_env mh;
		struct icmp6_msg icmp6;
		struct quote_update error;
		bool keep; /* STOP: leave the binding for a restart */
		struct {
			const struct mr_conf *conf; /* LEAVE, RELOAD */
			bool new_keys;              /* RELOAD: of the signalling, too */
		} reload;
	};
};

enum mr_home_op {      /* on the home link */
	MR_HOME_ASK,   /* solicitation from ::, target addr (RFC 6275 s11.5.5) */
	MR_HOME_LINK,  /* route to the prefix; 'router' is the home agent, with 'verified' at mac */
	MR_HOME_ADDR,  /* addr on the uplink; verified: no detection of duplicates */
	MR_HOME_ROUTE, /* the networks' traffic through router, and to them from the link */
	MR_HOME_ANNOUNCE, /* advertisements for addr and the link-local address to all nodes */
	MR_HOME_END,      /* undo all of it */
};
enum mr_action_type {
	MR_DO_SEND_MH,    /* mh, out of uplink */
	MR_DO_SEND_ICMP6, /* icmp6, out of uplink */
	MR_DO_SEND_RS,    /* uplink */
	MR_DO_SEND_PROBE, /* uplink, router, mac: unicast NS */
	MR_DO_COA_PUT,    /* uplink, addr/64; verified: no DAD */
	MR_DO_COA_DROP,
	MR_DO_ROUTER_PUT, /* uplink, router, mac, addr (preferred source), metric: default route */
	MR_DO_ROUTER_DROP,
	MR_DO_HOME, /* home: uplink, addr (home address), router */
	MR_DO_TUNNEL_PUT,
	MR_DO_TUNNEL_DROP,
	MR_DO_PREFIXES, /* withdraw: stop advertising our prefixes; else they are good again */
	MR_DO_NOTE,
	MR_DO_EXIT, /* the stop asked for is done */
};
struct mr_action {
	enum mr_action_type type;
	unsigned uplink;
	struct in6_addr addr, router;
	uint8_t mac[6];
	bool verified, withdraw;
	unsigned metric;
	uint32_t mtu; /* of the route; 0 = the device's */
	union {
		struct mh_env mh;
		struct icmp6_msg icmp6;
		struct {
			enum mr_home_op op;
			struct prefix6 prefix;
		} home;
		struct tunnel tunnel;
		struct note note;
	};
};
#define MR_MAX_ACTIONS \
	320 /* 8 uplinks, each a hint, probes, a lost and a new link, and the binding */
struct mr_out {
	unsigned n;
	struct mr_action v[MR_MAX_ACTIONS];
};

/* Index of the uplink on this interface; -1: it is none. */
int mr_conf_uplink(const struct mr_conf *, const char *interface);

struct mr;
/* The i-th prefix behind the router: its networks, then what is announced; NULL: no more. */
const struct prefix6 *mr_behind(const struct mr_conf *, unsigned i);
struct mr *mr_new(const struct mr_conf *, uint64_t seed); /* NULL: no memory */
/* Before the first step: a tunnel of an earlier run goes on (-k) and is the core's from now on. */
void mr_adopt(struct mr *, uint64_t now);
/* What tells one run of this router from the next that does not know its binding (RFC 5847 s3.2):
 * greater each time.  Before the first step. */
void mr_set_restart(struct mr *, uint32_t counter);
#define MR_KEPT_FORMAT 0         /* of struct mr_kept: another layout is another number */
struct mr_kept {                 /* what a later run is to know; no padding */
	struct in6_addr ha, coa; /* who holds the binding, of which care-of address */
	uint64_t ends;           /* ms of CLOCK_BOOTTIME */
	int64_t wall;            /* wall clock less CLOCK_BOOTTIME when this was written, ms */
	uint32_t lifetime_s, restart;
	uint16_t seq; /* none beyond it was used */
	uint8_t live; /* there is a binding */
	uint8_t zero[5];
};
_Static_assert(sizeof(struct mr_kept) == 64, "MR_KEPT_FORMAT");
void mr_keep(const struct mr *, struct mr_kept *out); /* as it is now; 'wall' left 0 */
/* Takes it over, after mr_adopt() and before the first step.  'wall': as in the record, now;
 * 'same_boot': the host has not booted since. */
void mr_restore(struct mr *, const struct mr_kept *, bool same_boot, int64_t wall, uint64_t now);
/* Applies 'ev' at 'now' (ms of CLOCK_BOOTTIME, never decreasing).  Resets 'out', then fills it. The
 * same state, event and time always give the same actions; the caller performs them in order. */
void mr_step(struct mr *, const struct mr_event *ev, uint64_t now, struct mr_out *out);
uint64_t mr_deadline(const struct mr *); /* ms at which MR_EV_TICK is due; UINT64_MAX: never */
bool mr_bound(const struct mr *, uint64_t now); /* a binding is granted and not over */
/* The care-of address in use, :: if there is no usable uplink (the rest is then uplink 0, false and
 * "start"); '*known': the link had been visited (or configured) before; '*cause': static text of
 * the hint that led to it. */
struct in6_addr mr_care_of(const struct mr *, unsigned *uplink, bool *known, const char **cause);
/* Something goes on with a home agent that is no longer in the list. */
bool mr_holds_former(const struct mr *);
uint64_t mr_counter(const struct mr *, enum mr_counter);
const uint64_t *mr_rejects(const struct mr *);    /* ba_rejected by status, 256 of them */
json_t *mr_show(const struct mr *, uint64_t now); /* schema: doc/control.md; NULL: no memory */
void mr_free(struct mr *);                        /* accepts NULL */

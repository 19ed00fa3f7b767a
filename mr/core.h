/* core.h - the mobile router's state, private to its core.  Pure. */
#pragma once
#include "mr/mr.h"

#define LINK_MAX_KNOWN 16
#define BUL_MAX_SENT   8
#define MR_MAX_HELD    5                          /* home agents that are no longer to be asked */
#define MR_NO_HA       (MR_MAX_HAS + MR_MAX_HELD) /* an index of none */

/* One uplink:
 *
 *             carrier                RA, or NA of a known router
 *      DOWN ----------> SEARCH ------------------------------------> READY <--+
 *       ^                 ^                                            |       | confirmed, or
 *       |                 | nobody answered for 500 ms            hint |       | another router
 *   no carrier            +-------------------------- SUSPECT <--------+       | adopted
 *                                                        +---------------------+
 */
enum link_state { LINK_DOWN, LINK_SEARCH, LINK_READY, LINK_SUSPECT };

struct attachment {             /* a link as its router and prefix show it */
	bool home, from_ha;     /* the home link: its 'coa' is the home address; the router is the
				 * home agent */
	struct in6_addr router; /* link-local */
	uint8_t mac[6];
	struct prefix6 prefix; /* /64 */
	struct in6_addr coa;
	uint32_t mtu;         /* as its router says; 0 = the device's */
	uint32_t interval_ms; /* between its router's advertisements, as it says; 0 = it does not */
	bool verified;        /* care-of address was in use there: no second DAD (RFC 6059 s5.8) */
	uint64_t router_until;    /* ms; end of the router's lifetime; UINT64_MAX = not known */
	uint64_t prefix_until;    /* ms; end of the prefix's valid lifetime */
	uint64_t preferred_until; /* ms; end of its preferred lifetime; UINT64_MAX = over, too */
	uint64_t seen;            /* ms; last advertisement, 0 = configured only */
	uint64_t passed_over;     /* ms; was a candidate then, but the current link was confirmed */
	unsigned outdone; /* left without a strong hint, for another prefix of the same router */
};

struct link {
	enum link_state state;
	unsigned index;         /* into conf->uplinks */
	struct in6_addr lladdr; /* own link-local address; :: = none so far */
	bool running;
	uint8_t mac[6];
	unsigned dad_failures;
	bool has_current; /* care-of address configured; in READY and SUSPECT always */
	struct attachment current;
	bool has_old; /* left behind, still accepted until old_until; UINT64_MAX: until a move */
	struct attachment old;
	uint64_t old_until;
	bool has_candidate; /* SUSPECT after a weak hint: taken at candidate_at */
	struct attachment candidate;
	uint64_t candidate_at;
	unsigned turns; /* advertisements of another of the router's prefixes since the current's */
	unsigned n_known;
	struct attachment known[LINK_MAX_KNOWN]; /* most recent first */
	const char *cause;                       /* of the last hint; static text */
	bool leaving;                            /* the next configuration has it not */
	bool strong;                             /* the last hint all but proves a move */
	bool from_known;                         /* the current attachment came from known[] */
	uint64_t hinted;                         /* ms of the hint being worked on */
	uint64_t hint_at; /* a hint held back for the rate limit; UINT64_MAX = none */
	const char *hint_cause;
	bool hint_strong;
	uint64_t suspect_until; /* SUSPECT: gives up then */
	unsigned n_rs;          /* solicitations since the hint */
	uint64_t rs_at;         /* next one; UINT64_MAX = none */
	uint64_t rs_wait;       /* ms; RFC 7559's RT, after the fast burst */
	uint64_t ra_due;        /* ms; advertisements are missing then; UINT64_MAX = never */
	unsigned ra_missed;     /* so often in a row */
	uint64_t check_at;      /* next probe of the router; UINT64_MAX = none */
	unsigned check_missed;
};

/* The binding with the home agent:
 *
 *     IDLE --care-of address--> REGISTERING --BA 0--> BOUND --refresh, move--> REGISTERING
 *                                 |    ^
 *                        rejected |    | back-off over, new care-of address, rehome
 *                                 v    |
 *                               RETRY -+      REFUSED (operator)     CLOSING (stop, or to start
 * anew)
 *
 * DISCOVERY comes before REGISTERING when no home agent is configured and none is known yet, or
 * when those known would not have us.
 *
 * REVOKED: the home agent ended the binding (RFC 5846).  It is as REFUSED, but for a try now and
 * then: nothing tells a router that it is allowed again.
 *
 *     any --home link--> CLOSING --answer--> HOME --another link--> REGISTERING
 */
enum bul_state {
	BUL_IDLE,
	BUL_DISCOVERY,
	BUL_REGISTERING,
	BUL_BOUND,
	BUL_RETRY,
	BUL_REFUSED,
	BUL_REVOKED,
	BUL_CLOSING,
	BUL_HOME
};

/* What is left to do once no home agent accepts, mildest first (RFC 3963 s5.4). */
enum bul_verdict { BUL_LATER, BUL_OTHER_MODE, BUL_STOP };

struct bul_sent {
	uint16_t seq;
	uint32_t lifetime_s; /* asked for */
	uint64_t at;         /* ms */
};

struct bul { /* Binding Update List of one destination: the home agent (RFC 6275 s11.1) */
	enum bul_state state;
	struct in6_addr coa; /* care-of address being registered or bound */
	unsigned uplink;
	unsigned ha;            /* index into conf->has */
	unsigned has_tried;     /* home agents asked in this round, but for the first */
	enum bul_verdict worst; /* of their answers */
	uint64_t next_ha_at;    /* ms; nothing to 'ha' before: the former one has its time */
	bool implicit, both_modes_tried;
	bool prefix_refused;                /* 141 or 142 of explicit mode since the last success */
	bool withdrawn;                     /* so they are no longer advertised */
	uint16_t seq;                       /* last one sent */
	struct bul_sent sent[BUL_MAX_SENT]; /* outstanding, for 'coa' only */
	unsigned n_sent;
	unsigned resyncs;          /* answers 144 since the back-off began anew */
	uint64_t tx[3];            /* times of the last three BUs, any destination: rate limit */
	unsigned n_tx;             /* ever sent, up to 3 */
	bool first_tx;             /* the next BU is not a retransmission */
	uint64_t send_at;          /* next BU; UINT64_MAX = none */
	uint64_t timeout_ms;       /* retransmission timer, doubling */
	uint64_t retry_ms;         /* back-off after a rejection, doubling */
	bool live;                 /* granted and not over, as far as we know */
	bool acked;                /* no update was sent since the last acknowledgement */
	int then_ha;               /* CLOSING to register there then; -1 = no */
	bool elsewhere;            /* CLOSING because this home agent serves no mobile routers */
	uint64_t refresh_at;       /* ms; with 'live' */
	bool tunnel;               /* a tunnel is put */
	unsigned bound_ha;         /* index into conf->has: the one that acknowledged last */
	struct in6_addr bound_coa; /* care-of address that the home agent has acknowledged */
	uint64_t ends;             /* ms; of the last binding, also if it is not 'live' any more */
	uint32_t lifetime_s;       /* granted */
	bool rediscover;           /* RETRY: then look for home agents first */
	unsigned closing_left;     /* BUs still to be sent in CLOSING */
	bool closing_exit;         /* then end, instead of trying elsewhere */
	int last_status;           /* -1 = none yet */
	unsigned told_error;       /* type and code of the last one told; 0: none since an answer */
};

/* What home agents say of their own accord, and heartbeats (RFC 5142, 5846, 5847). */
struct mr_control {
	uint32_t restart;    /* own restart counter */
	struct {             /* heartbeats with the home agent that holds the binding */
		unsigned ha; /* index into conf->has: the one that the rest is about */
		uint32_t seq;
		bool waiting; /* the last request has no answer yet */
		bool silent;  /* too many had none; told */
		unsigned missed;
		bool heard; /* it answers heartbeats at all; since it last fell silent */
		bool known; /* 'counter' is that home agent's */
		uint32_t counter;
		uint64_t at;         /* ms; next request; UINT64_MAX: none */
		uint64_t off_until;  /* ms; it does not know heartbeats */
		uint64_t deaf_until; /* ms; a restart was acted upon: no further one before */
	} hb;
	struct { /* the binding that a former home agent still holds */
		bool active;
		bool keep; /* until another one has accepted; else it is to be deleted */
		unsigned ha;
		uint16_t first_seq, seq; /* sent so far; first_seq only after one was */
		bool sent;
		uint64_t sent_at;           /* ms; the first of these */
		uint64_t at, wait_ms, ends; /* ms; next update, its timer, end of the binding */
	} left;
	struct { /* the last revocation: its indication may come again */
		uint16_t seq;
		unsigned ha;
		uint64_t until; /* ms; 0 = none */
	} revoked;
	uint64_t switch_told;   /* ms; last note that there is no other home agent */
	uint64_t answers_since; /* ms; start of the second that 'answers' were sent in */
	unsigned answers;
};

struct dhaad {               /* looking for home agents; states at the head of dhaad.c */
	bool running, ever;  /* a round is on; last_tx counts */
	uint16_t id;         /* of this round's requests */
	struct in6_addr coa; /* their source */
	unsigned n_tx;       /* sent in this round */
	uint64_t wait_ms;    /* after the next one */
	uint64_t at;      /* ms; next request, end of the round or of a pause; UINT64_MAX = none */
	uint64_t last_tx; /* ms */
};

struct mps {         /* the home prefixes, as the home agent tells of them */
	bool asking; /* a solicitation waits for its answer, or to be sent */
	bool sent;   /* it was sent at least once */
	uint16_t id; /* its Identifier */
	uint64_t wait_ms, last_tx;
	uint64_t at; /* ms; next solicitation; UINT64_MAX = none */
	uint64_t valid_until,
		preferred_until; /* ms; of the home address; UINT64_MAX = no end known */
	uint64_t taken;          /* ms; when told of last; 0 = never */
	unsigned n_prefix;       /* all prefixes of the home link ever told */
	struct ndp_prefix prefix[NDP_MAX_PREFIX];
};

/* Towards the home link:
 *
 *     AWAY --home prefix--> RETURNING --de-registered--> THERE --address in use--> DUPLICATE
 *       ^                       |                          |                           |
 *       +---- another link -----+--------------------------+---------------------------+
 */
enum athome_state { ATHOME_AWAY, ATHOME_RETURNING, ATHOME_THERE, ATHOME_DUPLICATE };

struct athome {
	enum athome_state state;
	unsigned uplink;      /* not in AWAY */
	uint64_t ask_until;   /* ms; RETURNING: how long the home agent is waited for */
	uint64_t announce_at; /* ms; next announcement */
	unsigned announce;    /* THERE: announcements still to be sent */
};

struct mr {
	const struct mr_conf *conf; /* now_conf */
	struct mr_conf now_conf;    /* the configuration, with the home agents that are known now */
	/* conf->n_has home agents to register with, then up to n_known those that something still
	 * goes on with. */
	struct in6_addr has[MR_NO_HA];
	unsigned n_known;
	bool discovers; /* home agents are looked for */
	struct dhaad dhaad;
	struct mps mps;
	unsigned n_links;
	struct link links[MR_MAX_UPLINKS];
	int active; /* uplink in use, -1 = none */
	struct bul bul;
	struct mr_control control;
	struct athome home;
	uint64_t rng; /* splitmix64 state */
	uint64_t counters[MR_N_COUNTERS];
	uint64_t rejects[256]; /* of MR_C_ba_rejected, by status */
	struct mr_out *out;    /* of the step being done */
	uint64_t now;
};

struct mr_action *mr_action(struct mr *, enum mr_action_type);
struct note *mr_note(struct mr *, enum note_type, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void mr_exit(struct mr *, bool keep); /* the end: what the uplinks hold goes, unless kept */
uint64_t mr_random(struct mr *);
void mr_select(struct mr *);      /* an uplink's state changed: choose one, register, tell */
void mr_select_anew(struct mr *); /* the same, since the configuration is another */
static inline uint64_t mr_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* link.c */
void link_init(struct mr *, struct link *, unsigned index);
void link_carrier(struct mr *, struct link *, bool running, const uint8_t mac[6]);
void link_hint(struct mr *, struct link *, bool strong, const char *cause);
void link_ra(struct mr *, struct link *, const struct ndp_msg *, const uint8_t mac[6]);
void link_na(struct mr *, struct link *, const struct ndp_msg *, const uint8_t mac[6]);
void link_dad_failed(struct mr *, struct link *, const struct in6_addr *);
/* An address that an earlier run had there, or one of this run that is told of late. */
void link_left(struct mr *, struct link *, const struct in6_addr *);
void link_neigh_failed(struct mr *, struct link *, const struct in6_addr *);
/* Somebody removed the uplink's care-of address 'addr', or (::) its default route: put again. */
void link_undone(struct mr *, struct link *, const struct in6_addr *addr);
void link_close(struct mr *, struct link *);  /* takes its addresses and route back */
void link_source(struct mr *, struct link *); /* what could not be sent before, now can */
void link_tick(struct mr *, struct link *);
void link_leave(struct mr *, struct link *); /* for good: 'leaving' was set before */
/* Goes on as uplink 'index' of mr->conf; it was 'l->index' of 'was'. */
void link_reload(struct mr *, struct link *, const struct mr_conf *was, unsigned index);
uint64_t link_deadline(const struct link *);
bool link_usable(const struct link *);
const char *link_state_str(enum link_state);

/* bul.c */
void bul_init(struct mr *);
void bul_move(struct mr *, const struct in6_addr *coa, unsigned uplink); /* register this one */
void bul_lost(struct mr *); /* no uplink: nothing can be sent */
void bul_receive(struct mr *, const struct mh_env *);
void bul_error(struct mr *, const struct quote_update *); /* ICMPv6, about an update */
void bul_restart(struct mr *); /* operator: try again from the first mode and home agent */
void bul_adopt(struct mr *, uint64_t now);
void bul_stop(struct mr *, bool keep);
void bul_tick(struct mr *);
void bul_put_tunnel(struct mr *);
void bul_home_ended(struct mr *); /* the home address is no longer valid */
void bul_discover(struct mr *);   /* look for home agents; the binding stays till then */
void bul_discovered(struct mr *); /* register with the first of the home agents known now */
void bul_return(struct mr *);     /* de-register from the home link: the core of returning home */
void bul_leave_home(struct mr *); /* what was begun there is of no interest any more */
/* After a reload: another is 'changed', what an update says or to whom; 'tunnel', what it carries.
 */
void bul_reload(struct mr *, bool changed, bool tunnel);
void bul_advertise_again(struct mr *); /* the networks, if they were withdrawn */
/* The home agent that holds the binding may be asked: it is still one of ours. */
static inline bool bul_has_holder(const struct mr *mr)
{
	return mr->bul.live && mr->bul.bound_ha < mr->conf->n_has;
}
uint64_t bul_deadline(const struct mr *);
const char *bul_state_str(enum bul_state);
void bul_again(struct mr *);                     /* the home agent may have lost the binding */
void bul_unbind(struct mr *);                    /* no home agent holds it any more */
void bul_switch(struct mr *, unsigned ha);       /* register there; the binding stays till then */
void bul_revoked(struct mr *, uint64_t wait_ms); /* stop using it, don't try before that time */
/* An update, or a de-registration, for home agent 'ha', which is not the one in use; its number in
 * '*seq'.  False: it can't be sent before '*at' (MAX_UPDATE_RATE, or no uplink). */
bool bul_update_at(struct mr *, unsigned ha, bool closing, uint16_t *seq, uint64_t *at);

/* control.c */
void mr_control_init(struct mr *);
void mr_control_bound(struct mr *, bool was_live, unsigned old_ha, uint64_t old_ends);
void mr_control_moved(struct mr *); /* before the home agents of the list are told */
bool mr_control_receive(struct mr *, const struct mh_env *); /* true: it was one of control's */
void mr_control_tick(struct mr *);
uint64_t mr_control_deadline(const struct mr *);
struct mh_env *mr_control_message(struct mr *, unsigned ha, uint8_t type);

/* heartbeat.c */
void mr_heartbeat_bound(struct mr *);
void mr_heartbeat_receive(struct mr *, const struct mh_env *, unsigned ha);
void mr_heartbeat_unknown(struct mr *); /* the home agent does not know the message */
void mr_heartbeat_tick(struct mr *);
void mr_heartbeat_reload(struct mr *); /* the interval may be another */

/* reload.c */
void mr_leave(struct mr *, const struct mr_conf *to);
void mr_reload(struct mr *, const struct mr_conf *to, bool new_keys);
/* 'n' home agents instead of those known so far, up to MR_MAX_HAS; those that something goes on
 * with (one that holds our binding: the tunnel leads there) stay known behind them.  How many come
 * first: conf->n_has is the caller's. */
unsigned mr_take_agents(struct mr *, const struct in6_addr *v, unsigned n);
/* Where 'a' is among 'n' addresses; n: nowhere. */
unsigned mr_find_agent(const struct in6_addr *v, unsigned n, const struct in6_addr *a);

/* dhaad.c: dynamic home agent address discovery.  It ends in bul_discovered(). */
void dhaad_init(struct mr *);
void dhaad_start(struct mr *); /* at once; a round from the same care-of address goes on */
void dhaad_stop(struct mr *);
void dhaad_receive(struct mr *, const struct icmp6_msg *);
void dhaad_tick(struct mr *);

/* mps.c: prefix discovery. */
void mps_init(struct mr *);
void mps_ask(struct mr *); /* now, or as soon as a home agent has acknowledged where we are */
void mps_bound(struct mr *, uint8_t status); /* an update was accepted with it */
void mps_receive(struct mr *, const struct icmp6_msg *);
void mps_tick(struct mr *);
uint64_t mps_deadline(const struct mr *);
json_t *mps_show(const struct mr *, uint64_t now);

/* athome.c */
bool athome_is(const struct mr *, const struct ndp_prefix *); /* says this that we are at home? */
bool athome_agent_told(const struct mr *, const struct ndp_ra *); /* an advertisement of it? */
void athome_arrive(struct mr *, unsigned uplink); /* its current attachment is the home link */
void athome_leave(struct mr *);                   /* before that goes; nothing if it is another */
void athome_send(struct mr *);                    /* before an update leaves */
void athome_na(struct mr *, const struct link *, const struct ndp_msg *, const uint8_t mac[6]);
void athome_closed(struct mr *, bool was_bound); /* de-registered: there was a binding, or none */
void athome_router(struct mr *);                 /* another router of the home link */
void athome_dad_failed(struct mr *);
void athome_restart(struct mr *); /* operator: try again */
void athome_tick(struct mr *);
uint64_t athome_deadline(const struct mr *);

/* sim_net.h - the simulator's world: mobile routers against home agents over a network that delays,
 * loses, reorders and duplicates, in virtual time.
 *
 *   MR 0..2 ---(one of LINKS sites, router each)--- bad network --- HA 0, HA 1
 *
 * Each node has its own clock: one that was stopped (a virtual machine that is being moved) lags
 * behind the world's afterwards; while a node sleeps its clock may go on as well (a suspended
 * host).  Everything is made of a seed: on failure the seed and the events are printed. */
#pragma once
#include <errno.h>
#include "common/core/seq16.h"
#include "common/wire/t/packet.h"
#include "ha/binding.h"
#include "ha/keep.h"
#include "mr/core.h"

#define N_MRS     3
#define N_HAS     2
#define N_LINKS   4
#define N_FLIGHT  4096
#define SETTLE_MS 70000 /* longer than any lifetime */
#define LOG_SIZE  (1 << 20)

enum flight_type { TO_HA, TO_MR, ND_TO_MR, ICMP6_TO_HA, ICMP6_TO_MR };
struct flight { /* something on its way */
	uint64_t at;
	enum flight_type type;
	unsigned mr, link; /* whom it is for or from, and where it was when that was sent */
	unsigned size;
	uint8_t pkt[512];
	struct mr_event nd;
};

struct clock {
	uint64_t lag;   /* ms behind the world */
	uint64_t sleep; /* ms; end of the sleep in the world's time; 0: awake */
	uint64_t slept; /* ms; what its clock will have missed then */
};

struct sim_mr {
	struct mr_conf conf;
	struct in6_addr has[N_HAS];
	struct mr_uplink_conf uplinks[1];
	struct mr_network_conf networks[1];
	struct mr *mr;
	struct clock clock;
	unsigned link; /* site it is at */
	bool tunnel;
	struct tunnel put; /* as last put */
	uint64_t bu_at[3];
	unsigned n_bu, lives;
	uint64_t born;
	bool adopted; /* its tunnel is an earlier life's, and nobody answered yet */
	uint64_t granted_until[N_HAS]; /* at the most, by its own clock */
	struct mr_kept kept;           /* its state file */
	uint64_t request_at; /* by its own clock; last discovery request of this life; 0 = none */
};

struct sim_ha {
	struct ha_conf conf;
	struct ha *ha;
	struct clock clock;
	bool tunnel[N_MRS]; /* what an engine would hold */
	struct tunnel put[N_MRS];
	uint64_t granted_until[N_MRS]; /* by its own clock; 0: it knows nothing of that one */
	bool has_number[N_MRS];        /* of the last accepted update within a binding */
	uint16_t number[N_MRS];
	uint64_t mpa_at[N_MRS]; /* by its own clock; last prefix advertisement of this life; 0 =
				   none */
	struct ha_agent_conf agents[1];
	unsigned n_restarted; /* notes that a router has restarted */
	uint32_t restart;
	struct ha_kept kept[N_MRS]; /* its state file */
};

static struct {
	uint64_t seed, rng, now, ends_chaos;
	struct ha_router routers[N_MRS];
	struct prefix6 prefixes[N_MRS], home;
	struct sim_ha has[N_HAS];
	struct sim_mr mrs[N_MRS];
	unsigned n_mrs;                     /* of them take part */
	unsigned loss, delay_ms, duplicate; /* per cent, ms, per cent */
	unsigned remembers;                 /* per cent of restarts that find the state file */
	unsigned delay_chaos_ms;            /* delay_ms before the network became perfect */
	bool (*meddle)(unsigned n); /* before each step: flight 'n' arrives, N_FLIGHT: a timer
				     * does; true: it does not, what is next has changed */
	struct flight flight[N_FLIGHT];
	unsigned n_flight;
	char log[LOG_SIZE];
	size_t log_size;
	uint64_t n_packets, n_moves, n_lost;
} s;

static inline uint64_t rnd(uint64_t below)
{
	s.rng ^= s.rng << 13;
	s.rng ^= s.rng >> 7;
	s.rng ^= s.rng << 17;
	return (s.rng * 0x2545f4914f6cdd1du >> 16) % below;
}

static inline bool chance(unsigned per_cent)
{
	return rnd(100) < per_cent;
}

__attribute__((format(printf, 1, 2))) static inline void event(const char *fmt, ...)
{
	va_list ap;

	if (s.log_size + 300 > LOG_SIZE)
		return;
	s.log_size += (size_t)snprintf(s.log + s.log_size, 32, "%8.3f ", (double)s.now / 1000);
	va_start(ap, fmt);
	s.log_size += (size_t)vsnprintf(s.log + s.log_size, 200, fmt, ap);
	va_end(ap);
	s.log[s.log_size++] = '\n';
	s.log[s.log_size] = '\0';
}

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s\nseed %lu: not true: %s (line %d)\n", s.log, s.seed, \
				#cond, __LINE__); \
			fail(); \
		} \
	} while (0)

static inline const char *text(const struct in6_addr *a)
{
	static char buf[4][INET6_ADDRSTRLEN];
	static unsigned i;

	return addr6_str(a, buf[i++ % 4]);
}

static inline struct prefix6 site(unsigned link)
{
	struct prefix6 p = P("2001:db8:a00::/64");

	p.addr.s6_addr[5] = (uint8_t)link;
	return p;
}

/* --- clocks --- */

static inline uint64_t local(const struct clock *c)
{
	return s.now - c->lag;
}

/* When a node has something to do, in the world's time. */
static inline uint64_t due(const struct clock *c, uint64_t deadline)
{
	if (c->sleep)
		return c->sleep;
	return deadline == UINT64_MAX ? UINT64_MAX : deadline + c->lag;
}

static inline void fall_asleep(struct clock *c, uint64_t ms, bool clock_stops)
{
	c->sleep = s.now + ms;
	c->slept = clock_stops ? ms : 0;
}

static inline void wake(struct clock *c)
{
	if (c->sleep && s.now >= c->sleep)
		c->lag += c->slept;
	c->sleep = 0;
}

/* --- the network --- */

static inline struct flight *send_off(enum flight_type type, unsigned mr, uint64_t at)
{
	CHECK(s.n_flight < N_FLIGHT);
	struct flight *f = &s.flight[s.n_flight++];

	f->type = type;
	f->mr = mr;
	f->link = s.mrs[mr].link;
	f->at = at;
	return f;
}

static inline uint64_t arrival(void)
{
	return s.now + 1 + rnd(s.delay_ms);
}

/* Through encoder and decoder: what arrives is what the wire can carry. */
static inline void send_mh(enum flight_type type, unsigned mr, const struct mh_env *e)
{
	unsigned copies = chance(s.loss) ? 0 : 1 + chance(s.duplicate);

	s.n_packets++;
	s.n_lost += copies == 0;
	while (copies-- > 0) {
		struct flight *f = send_off(type, mr, arrival());
		int n = mh_encode_packet(e, f->pkt, sizeof(f->pkt));

		CHECK(n > 0);
		f->size = (unsigned)n;
	}
}

static inline void send_icmp6(enum flight_type type, unsigned mr, const struct icmp6_msg *m)
{
	unsigned copies = chance(s.loss) ? 0 : 1 + chance(s.duplicate);

	while (copies-- > 0) {
		struct flight *f = send_off(type, mr, arrival());
		int n = icmp6_encode(m, f->pkt, sizeof(f->pkt));

		CHECK(n > 0);
		f->size = (unsigned)n;
	}
}

/* At most one a second (RFC 6275 s6.8, and for requests what we promise ourselves). */
static inline void check_second(uint64_t *last, uint64_t now)
{
	CHECK(*last == 0 || now >= *last + 1000);
	*last = now;
}

/* The site's router answers; now and then it is slow. */
static inline void answer_nd(unsigned mr, uint8_t type, const struct mr_action *a)
{
	unsigned link = s.mrs[mr].link;
	struct flight *f;
	struct ndp_msg *m;

	if (chance(s.loss / 2))
		return;
	if (type == NDP_NA && a->mac[5] != link + 1)
		return; /* that router is not here */
	f = send_off(ND_TO_MR, mr, s.now + 1 + (chance(90) ? 0 : rnd(100)));
	memset(&f->nd, 0, sizeof(f->nd));
	f->nd.type = MR_EV_ND;
	f->nd.nd.mac[0] = 2;
	f->nd.nd.mac[5] = (uint8_t)(link + 1);
	m = &f->nd.nd.msg;
	m->type = type;
	m->src = m->target = A("fe80::1"); /* the same everywhere */
	if (type == NDP_NA) {
		m->na = (struct ndp_na){true, true, true};
		return;
	}
	m->ra.lifetime_s = 1800;
	m->ra.n_prefix = 1;
	m->ra.prefix[0] = (struct ndp_prefix){.prefix = site(link),
		.on_link = true,
		.autonomous = true,
		.valid_s = 86400,
		.preferred_s = 14400};
}

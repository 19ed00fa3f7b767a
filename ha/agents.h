/* agents.h - the home agents list of the home link (RFC 6275 s10.1, s10.5.1; RFC 3963 s7), and
 * dynamic home agent address discovery by it.  Pure.
 *
 * On a real home link the others come from their Router Advertisements; the configuration's
 * (home_agents) and this home agent itself never end. */
#pragma once
#include "ha/ha.h"

#define AGENTS_MAX      32 /* more are ignored: whoever is on the link could send them */
#define AGENTS_MAX_ADDR 8  /* addresses of one */

struct agent {
	struct in6_addr lladdr; /* on the home link; :: = of the configuration, or ourselves */
	uint16_t preference;    /* higher is better */
	bool mobile_router;     /* serves mobile routers (RFC 3963 s7.3) */
	uint64_t until;         /* ms; end of its lifetime; UINT64_MAX: none, here and below */
	unsigned n_addr;
	struct {
		struct in6_addr addr;
		uint64_t until; /* of its prefix' valid lifetime */
	} addr[AGENTS_MAX_ADDR];
};
struct agents {
	unsigned n;
	struct agent v[AGENTS_MAX]; /* [0]: ourselves */
};

void agents_init(struct agents *, const struct ha_conf *);
/* A valid advertisement of another router on the home link. */
void agents_ra(struct agents *, const struct ndp_msg *, uint64_t now);
/* Whose time is over goes; so does an address whose prefix' valid lifetime is.  The others do it
 * themselves. */
void agents_expire(struct agents *, uint64_t now);
/* What a reply lists: decreasing preference, equals and the addresses of one in an order of their
 * own each time, cut to what fits.  'mobile_routers': only of those that serve them.  Returns their
 * number, 0..ICMP6_MAX_HA. */
unsigned agents_list(struct agents *, bool mobile_routers, uint64_t now, uint64_t *rng,
	struct in6_addr out[ICMP6_MAX_HA]);
/* Not too many answers to what is not authenticated: a leaky bucket. */
bool agents_may_reply(struct ha *, uint64_t now);
/* Answers a discovery request, or drops it and counts why. */
void agents_request(struct ha *, const struct icmp6_msg *, uint64_t now, struct ha_out *);

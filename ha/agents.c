/* agents.c - home agents list, and the reply to a discovery request. */
#include <stdlib.h>
#include "common/core/rng.h"
#include "ha/binding.h"

#define REPLIES_PER_S 20 /* in the long run: requests are not authenticated, */
#define REPLIES_BURST 50 /* and a reply is up to 25 times as long */

static void add_addr(struct agent *a, const struct in6_addr *addr, uint64_t until)
{
	for (unsigned i = 0; i < a->n_addr; i++) {
		if (addr6_eq(&a->addr[i].addr, addr)) {
			a->addr[i].until = until;
			return;
		}
	}
	if (a->n_addr == AGENTS_MAX_ADDR)
		return;
	a->addr[a->n_addr].addr = *addr;
	a->addr[a->n_addr++].until = until;
}

static struct agent *add(struct agents *l, uint16_t preference, bool mobile_router)
{
	struct agent *a = &l->v[l->n++];

	memset(a, 0, sizeof(*a));
	a->preference = preference;
	a->mobile_router = mobile_router;
	a->until = UINT64_MAX;
	return a;
}

void agents_init(struct agents *l, const struct ha_conf *conf)
{
	l->n = 0;
	add_addr(add(l, (uint16_t)conf->preference, true), &conf->address, UINT64_MAX);
	for (unsigned i = 0; i < conf->n_agents && l->n < AGENTS_MAX; i++) {
		const struct ha_agent_conf *c = &conf->agents[i];

		add_addr(add(l, (uint16_t)c->preference, c->mobile_routers), &c->address,
			UINT64_MAX);
	}
}

static void drop(struct agents *l, unsigned i)
{
	l->v[i] = l->v[--l->n];
}

void agents_expire(struct agents *l, uint64_t now)
{
	for (unsigned i = l->n; i-- > 0;) {
		struct agent *a = &l->v[i];

		for (unsigned k = a->n_addr; k-- > 0;)
			if (a->addr[k].until <= now)
				a->addr[k] = a->addr[--a->n_addr];
		if (a->until <= now)
			drop(l, i);
	}
}

static unsigned find(const struct agents *l, const struct in6_addr *lladdr)
{
	unsigned i = 0;

	while (i < l->n && !addr6_eq(&l->v[i].lladdr, lladdr))
		i++;
	return i;
}

static uint64_t end_of(uint32_t valid_s, uint64_t now)
{
	return valid_s == UINT32_MAX ? UINT64_MAX : now + valid_s * 1000ull;
}

void agents_ra(struct agents *l, const struct ndp_msg *m, uint64_t now)
{
	const struct ndp_ra *ra = &m->ra;
	unsigned lifetime_s = ra->has_ha_info ? ra->ha_lifetime_s : ra->lifetime_s, i;
	struct agent *a;

	agents_expire(l, now);
	i = find(l, &m->src);
	if (!ra->home_agent || lifetime_s == 0) {
		if (i < l->n)
			drop(l, i);
		return;
	}
	if (i == AGENTS_MAX)
		return;
	a = i < l->n ? &l->v[i] : add(l, 0, false);
	a->lladdr = m->src;
	a->preference = ra->has_ha_info ? ra->ha_preference : 0;
	a->mobile_router = ra->has_ha_info && ra->ha_nemo;
	a->until = now + lifetime_s * 1000ull;
	for (unsigned k = 0; k < ra->n_prefix; k++) {
		const struct ndp_prefix *p = &ra->prefix[k];

		/* With no host bits it is every router's anycast address (RFC 4291 s2.6.1). */
		if (p->router_addr && addr6_is_routable(&p->addr) &&
			!addr6_eq(&p->addr, &p->prefix.addr))
			add_addr(a, &p->addr, end_of(p->valid_s, now));
	}
	agents_expire(l, now); /* a prefix with valid lifetime 0 */
}

struct entry { /* an address to be listed, and where */
	struct in6_addr addr;
	uint16_t preference;
	uint64_t agent, own; /* random: order of equals, and among the addresses of one */
};

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->preference != y->preference)
		return x->preference > y->preference ? -1 : 1;
	if (x->agent != y->agent)
		return x->agent < y->agent ? -1 : 1;
	return x->own < y->own ? -1 : x->own > y->own;
}

unsigned agents_list(struct agents *l, bool mobile_routers, uint64_t now, uint64_t *rng,
	struct in6_addr out[ICMP6_MAX_HA])
{
	struct entry v[AGENTS_MAX * AGENTS_MAX_ADDR];
	unsigned n = 0, n_out = 0;

	agents_expire(l, now);
	for (unsigned i = 0; i < l->n; i++) {
		const struct agent *a = &l->v[i];
		uint64_t order = rng_next(rng);

		if (mobile_routers && !a->mobile_router)
			continue;
		for (unsigned k = 0; k < a->n_addr; k++)
			v[n++] = (struct entry){
				a->addr[k].addr, a->preference, order, rng_next(rng)};
	}
	qsort(v, n, sizeof(*v), entry_cmp);
	for (unsigned i = 0; i < n && n_out < ICMP6_MAX_HA; i++) {
		bool twice = false; /* configured, and heard of as well */

		for (unsigned k = 0; k < n_out; k++)
			twice |= addr6_eq(&out[k], &v[i].addr);
		if (!twice)
			out[n_out++] = v[i].addr;
	}
	return n_out;
}

static bool serves(const struct ha_conf *c, const struct in6_addr *anycast)
{
	for (unsigned i = 0; i < c->n_home; i++) {
		struct in6_addr a = icmp6_anycast(&c->home[i]);

		if (addr6_eq(&a, anycast))
			return true;
	}
	return false;
}

bool agents_may_reply(struct ha *ha, uint64_t now)
{
	uint64_t refill = (now - ha->replies_since) * REPLIES_PER_S / 1000;

	if (refill) {
		ha->replies_since = now;
		ha->replies -= refill < ha->replies ? (unsigned)refill : ha->replies;
	}
	return ha->replies < REPLIES_BURST && ++ha->replies;
}

void agents_request(struct ha *ha, const struct icmp6_msg *q, uint64_t now, struct ha_out *out)
{
	struct icmp6_msg *r;

	ha->counters[HA_C_dhaad_rx]++;
	if (!serves(ha->conf, &q->dst) || !addr6_is_routable(&q->src)) {
		ha->counters[HA_C_dhaad_bad]++;
		return;
	}
	if (!agents_may_reply(ha, now)) {
		ha->counters[HA_C_dhaad_limited]++;
		return;
	}
	r = &ha_action(out, HA_DO_SEND_ICMP6)->icmp6;
	r->type = ICMP6_DHAAD_REPLY;
	r->src = ha->conf->address;
	r->dst = q->src;
	r->id = q->id;
	/* R asks for those that serve mobile routers, and says that these do (RFC 3963 s7.2); we
	 * are one ourselves. */
	r->mobile_router = q->mobile_router;
	r->n_ha = agents_list(&ha->agents, q->mobile_router, now, &ha->rng, r->ha);
	ha->counters[HA_C_dhaad_tx]++;
}

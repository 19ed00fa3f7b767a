/* mpa.c - prefixes of the home link, and when routers away are told of them. */
#include "common/core/rng.h"
#include "ha/binding.h"

#define MPA_PEER(node) ((struct ha_peer *)((char *)(node)-offsetof(struct ha_peer, mpa.timer)))
#define FIRST_WAIT_MS  3000 /* PREFIX_ADV_TIMEOUT, RFC 6275 s12 */
#define TRANSMISSIONS  4    /* the first, and PREFIX_ADV_RETRIES */
#define GAP_MS         1000 /* between any two to one router, s6.8 */
#define SAME_MS        2000 /* a lifetime that ends this close to where it did is counted down */

/* Is it told of prefixes at all? */
static bool serves(const struct ha *ha, const struct ha_peer *p)
{
	return ha->conf->mpa && !p->conf->no_mpd;
}

void mpa_init(struct ha *ha)
{
	const struct ha_conf *c = ha->conf;

	for (unsigned i = 0; i < c->n_home && ha->n_home_link < NDP_MAX_PREFIX; i++) {
		struct mpa_prefix *p = &ha->home_link[ha->n_home_link++];

		p->p.prefix = c->home[i];
		p->p.valid_s = p->p.preferred_s = UINT32_MAX;
		p->configured = true;
		p->valid_until = p->preferred_until = UINT64_MAX;
	}
	for (unsigned i = 0; i < c->n_routers; i++)
		ha->peers[i].mpa.at = UINT64_MAX;
}

/* --- when --- */

static void arm(struct ha *ha, struct ha_peer *p)
{
	uint64_t at = p->mpa.asked ? ha_min(p->mpa.at, p->mpa.free) : p->mpa.at;

	if (at == UINT64_MAX)
		heap_drop(&ha->mpa_timers, &p->mpa.timer);
	else /* without memory: nothing unsolicited until its next update */
		heap_put(&ha->mpa_timers, &p->mpa.timer, at);
}

/* The longest that the home address is in; NULL: it is of a mobile network. */
static const struct mpa_prefix *prefix_of(const struct ha *ha, const struct in6_addr *hoa)
{
	const struct mpa_prefix *best = NULL;

	for (unsigned i = 0; i < ha->n_home_link; i++) {
		const struct mpa_prefix *p = &ha->home_link[i];

		if (prefix6_has(&p->p.prefix, hoa) &&
			(!best || p->p.prefix.len > best->p.prefix.len))
			best = p;
	}
	return best;
}

static uint32_t left_s(uint64_t until, uint64_t now)
{
	if (until == UINT64_MAX)
		return UINT32_MAX;
	return until > now ? (uint32_t)ha_min((until - now) / 1000, UINT32_MAX - 1) : 0;
}

/* RAND_ADV_DELAY of s10.6.2.  It is for changes that don't deprecate the home address; where that
 * is nearer than the formula's shortest delay, the advertisement has to come before. */
static uint64_t delay_ms(struct ha *ha, const struct ha_peer *p, uint64_t now)
{
	const struct mpa_prefix *x = prefix_of(ha, &p->conf->hoa);
	uint64_t min_s = ha->conf->mpa_min_s, max_s = ha->conf->mpa_max_s;

	if (x)
		max_s = ha_min(max_s, left_s(x->preferred_until, now));
	if (max_s < min_s)
		return rng_next(&ha->rng) % (max_s * 500 + 1);
	return (min_s + (max_s > min_s ? rng_next(&ha->rng) % (max_s - min_s) : 0)) * 1000;
}

/* One that is due already, or was sent and not acknowledged, says the new things at its own time.
 */
static void schedule(struct ha *ha, struct ha_peer *p, uint64_t now)
{
	if (p->mpa.left == 0)
		p->mpa.at = now + delay_ms(ha, p, now);
	p->mpa.left = TRANSMISSIONS;
	p->mpa.wait = FIRST_WAIT_MS;
	p->mpa.unacked = false;
	arm(ha, p);
}

void mpa_bound(struct ha *ha, struct ha_peer *p, uint64_t now)
{
	if (!serves(ha, p))
		return;
	if (p->mpa.unacked) { /* begins again (s10.6.2) */
		p->mpa.left = TRANSMISSIONS;
		p->mpa.at = p->mpa.free > now ? p->mpa.free : now;
		schedule(ha, p, now);
	} else if (p->mpa.at == UINT64_MAX) { /* told nothing so far */
		schedule(ha, p, now);
	}
}

void mpa_end(struct ha *ha, struct ha_peer *p)
{
	p->mpa.at = UINT64_MAX;
	p->mpa.left = 0;
	p->mpa.unacked = p->mpa.asked = false;
	arm(ha, p);
}

/* --- what --- */

static void advertise(struct ha *ha, struct ha_peer *p, const struct in6_addr *dst, uint16_t id,
	uint64_t now, struct ha_out *out)
{
	struct icmp6_msg *m = &ha_action(out, HA_DO_SEND_ICMP6)->icmp6;

	m->type = ICMP6_MPA;
	m->src = p->b.local;
	m->dst = *dst;
	m->hoa = p->conf->hoa;
	m->id = id;
	/* M and O stay 0: there is no DHCPv6 for those away (s6.8). */
	for (unsigned i = 0; i < ha->n_home_link; i++) {
		const struct mpa_prefix *x = &ha->home_link[i];
		struct ndp_prefix *o = &m->prefix[m->n_prefix];

		if (!x->configured && x->valid_until <= now)
			continue;
		*o = x->p;
		o->valid_s = left_s(x->valid_until, now);
		o->preferred_s = (uint32_t)ha_min(left_s(x->preferred_until, now), o->valid_s);
		o->router_addr = prefix6_has(&o->prefix, &p->b.local);
		o->addr = o->router_addr ? p->b.local : o->prefix.addr;
		m->n_prefix++;
	}
	p->mpa.free = now + GAP_MS;
	ha->counters[HA_C_mpa_tx]++;
}

void mpa_request(struct ha *ha, const struct icmp6_msg *q, uint64_t now, struct ha_out *out)
{
	struct ha_peer *p = addr6_is_any(&q->hoa) ? NULL : ha_peer_find(ha, &q->hoa);
	bool bound = p && p->b.state == BINDING_BOUND && addr6_eq(&p->b.coa, &q->src) &&
		     addr6_eq(&p->b.local, &q->dst);

	ha->counters[HA_C_mps_rx]++;
	if (!bound || !serves(ha, p)) {
		ha->counters[HA_C_mps_dropped]++;
		/* s9.3.1, for what has a Home Address option */
		if (!bound && !addr6_is_any(&q->hoa) && addr6_is_routable(&q->src) &&
			agents_may_reply(ha, now)) {
			struct mh_env *e = &ha_action(out, HA_DO_SEND)->mh;

			e->src = ha->conf->address;
			e->dst = q->src;
			e->m.type = MH_BE;
			e->m.be.status = 1;
			e->m.be.hoa = q->hoa;
		}
		return;
	}
	/* It acknowledges what was sent unasked; the answer has all there is to say. */
	p->mpa.left = 0;
	p->mpa.unacked = false;
	p->mpa.at = now + ha->conf->mpa_max_s * 1000ull;
	p->mpa.asked = p->mpa.free > now;
	if (p->mpa.asked) {
		p->mpa.id = q->id;
		p->mpa.src = q->src;
	} else {
		advertise(ha, p, &q->src, q->id, now, out);
	}
	arm(ha, p);
}

static void due(struct ha *ha, struct ha_peer *p, uint64_t now, struct ha_out *out)
{
	struct mpa *m = &p->mpa;

	if (!serves(ha, p)) { /* a reload has switched them off */
		mpa_end(ha, p);
		return;
	}
	if (m->asked && m->free <= now) {
		m->asked = false;
		advertise(ha, p, &m->src, m->id, now, out);
	} else if (m->left == 0) {
		schedule(ha, p, now);
	} else if (m->free > now) {
		m->at = m->free;
	} else {
		advertise(ha, p, &p->b.coa, (uint16_t)rng_next(&ha->rng), now, out);
		m->left--;
		m->at = now + (m->left ? m->wait : ha->conf->mpa_max_s * 1000ull);
		m->wait *= 2;
		m->unacked = m->left == 0;
	}
	arm(ha, p);
}

void mpa_tick(struct ha *ha, uint64_t now, struct ha_out *out)
{
	struct heap_node *node;

	while (out->n + 2 <= HA_MAX_ACTIONS && (node = heap_first(&ha->mpa_timers)) &&
		node->at <= now)
		due(ha, MPA_PEER(node), now, out);
}

/* --- changes on the home link --- */

static bool same_lifetime(uint32_t told_s, uint32_t before_s, uint64_t until, uint64_t now)
{
	uint64_t end = ndp_until(now, told_s);

	if (told_s == before_s)
		return true;
	return until != UINT64_MAX && end < until + SAME_MS && until < end + SAME_MS;
}

/* Something else than time has changed it; '*x' then has it. */
static bool changed(struct mpa_prefix *x, const struct ndp_prefix *told, uint64_t now)
{
	bool differs = x->p.on_link != told->on_link || x->p.autonomous != told->autonomous ||
		       !same_lifetime(told->valid_s, x->p.valid_s, x->valid_until, now) ||
		       !same_lifetime(told->preferred_s, x->p.preferred_s, x->preferred_until, now);

	x->valid_until = x->heard ? ndp_valid_until(now, x->valid_until, told->valid_s)
				  : ndp_until(now, told->valid_s);
	x->preferred_until = ndp_until(now, told->preferred_s);
	x->heard = true;
	x->p = *told;
	return differs;
}

static void tell(struct ha *ha, const struct mpa_prefix *of, uint64_t now)
{
	for (unsigned i = 0; i < ha->conf->n_routers; i++) {
		struct ha_peer *p = &ha->peers[i];

		if (p->b.state == BINDING_BOUND && serves(ha, p) &&
			(!of || prefix_of(ha, &p->conf->hoa) == of))
			schedule(ha, p, now);
	}
}

static void learn(struct ha *ha, const struct ndp_prefix *told, uint64_t now)
{
	struct mpa_prefix *x;

	for (unsigned i = 0; i < ha->n_home_link; i++) {
		x = &ha->home_link[i];
		if (prefix6_eq(&x->p.prefix, &told->prefix)) {
			if (changed(x, told, now))
				tell(ha, x, now);
			return;
		}
	}
	if (told->valid_s == 0 || ha->n_home_link == NDP_MAX_PREFIX)
		return;
	x = &ha->home_link[ha->n_home_link++];
	memset(x, 0, sizeof(*x));
	changed(x, told, now);
	tell(ha, NULL, now);
}

void mpa_ra(struct ha *ha, const struct ndp_msg *m, uint64_t now)
{
	for (unsigned i = ha->n_home_link; i-- > 0;)
		if (!ha->home_link[i].configured && ha->home_link[i].valid_until <= now)
			ha->home_link[i] = ha->home_link[--ha->n_home_link];
	for (unsigned i = 0; i < m->ra.n_prefix; i++)
		learn(ha, &m->ra.prefix[i], now);
}

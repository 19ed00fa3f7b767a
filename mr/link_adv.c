/* link_adv.c - what router and neighbour advertisements say about the link an uplink is on: which
 * prefix a care-of address comes from (RFC 6275 s11.5.3), and whether it is another link (RFC 6059
 * s5.7). */
#include "mr/link.h"

#define LINK_PROBE_MS  30   /* the current router's time to answer before a candidate is taken */
#define LINK_PASSED_MS 5000 /* another router of the same link, for this long */
#define LINK_OUTDONE   2    /* left so often: the link it is on was not left */
#define LINK_TURNS     3    /* a link's prefixes in turn: so many of another one in a row */

/* A prefix that a care-of address can come from: not our own home or mobile network.  Or that of
 * the home link, as such. */
static bool prefix_usable(const struct mr *mr, const struct ndp_prefix *p)
{
	const struct prefix6 *own;

	if (mr->conf->return_home && prefix6_eq(&p->prefix, &mr->conf->home_prefix))
		return athome_is(mr, p);
	if (!p->autonomous || p->prefix.len != 64 || p->valid_s == 0 ||
		!addr6_is_routable(&p->prefix.addr) || prefix6_has(&p->prefix, &mr->conf->hoa))
		return false;
	for (unsigned i = 0; (own = mr_behind(mr->conf, i)); i++)
		if (prefix6_overlaps(&p->prefix, own))
			return false;
	return true;
}

static bool is_current(const struct link *l, const struct prefix6 *p)
{
	return l->has_current && prefix6_eq(p, &l->current.prefix);
}

/* Deprecated prefixes and unique-local ones only for want of better ones (RFC 6275 s11.5.3, s4.6).
 */
static unsigned rank(const struct ndp_prefix *p)
{
	return 2u * (p->preferred_s > 0) + !addr6_is_unique_local(&p->prefix.addr);
}

/* The best one; among equals the current one stays. */
static const struct ndp_prefix *pick_prefix(
	const struct mr *mr, const struct link *l, const struct ndp_ra *ra)
{
	const struct ndp_prefix *best = NULL;

	for (unsigned i = 0; i < ra->n_prefix; i++) {
		const struct ndp_prefix *p = &ra->prefix[i];

		if (!prefix_usable(mr, p))
			continue;
		if (athome_is(mr, p)) /* whatever else is on that link */
			return p;
		if (!best || rank(p) > rank(best) ||
			(rank(p) == rank(best) && is_current(l, &p->prefix)))
			best = p;
	}
	return best;
}

static bool lists_current(const struct link *l, const struct ndp_ra *ra)
{
	for (unsigned i = 0; i < ra->n_prefix; i++)
		if (is_current(l, &ra->prefix[i].prefix))
			return true;
	return false;
}

/* A router may tell of one prefix now and of another then, and answers solicitations with one of
 * them only (RFC 4861 s6.2.3, s6.3.4: what is missing means nothing).  That looks as a move
 * between two links whose routers look the same does, which no hint came with; but nobody moves to
 * and fro like that.  So the second time it is one link, and the current prefix stays as long as it
 * has its turns, which is asked for. */
static bool takes_turns(struct mr *mr, struct link *l, const struct attachment *a)
{
	const struct attachment *k = link_known_find(l, a);

	if (!link_usable(l) || (l->state == LINK_SUSPECT && l->strong) || !k ||
		k->outdone < LINK_OUTDONE || !link_same_router(a, &l->current))
		return false;
	l->current.router_until = a->router_until;
	if (++l->turns == 1 && l->state == LINK_READY)
		link_solicit(mr, l);
	return l->turns < LINK_TURNS;
}

/* RA of another link or router than the current one. */
static void consider(struct mr *mr, struct link *l, const struct attachment *a)
{
	struct attachment *k = link_known_find(l, a);
	bool beside = k && k->passed_over && mr->now - k->passed_over < LINK_PASSED_MS;
	bool lookalike = l->has_current && link_same_router(a, &l->current);

	if (l->state == LINK_SEARCH) {
		link_adopt(mr, l, a);
	} else if (l->state == LINK_SUSPECT && l->strong && !beside) {
		link_adopt(mr, l, a);
	} else if (l->state == LINK_READY && lookalike && l->hinted && mr->now - l->hinted < 1000 &&
		   l->rs_at != UINT64_MAX) {
		link_adopt(mr, l, a); /* a probe had confirmed it, but the RA is definitive */
	} else if (l->state == LINK_READY && !beside) {
		link_hint(mr, l, false, "new router");
	}
	if (l->state == LINK_SUSPECT && !l->has_candidate) {
		l->has_candidate = true;
		l->candidate = *a;
		l->candidate_at = mr->now + LINK_PROBE_MS;
		if (!link_known_find(l, a) && l->n_known < LINK_MAX_KNOWN)
			l->known[l->n_known++] = *a; /* at the end: not visited yet */
	}
}

/* The current router's word on the link's MTU (RFC 4861 s6.3.4); 0: it says nothing, and what it
 * said before holds.  'k': what is remembered of the link, or NULL. */
static void take_mtu(struct mr *mr, struct link *l, struct attachment *k, uint32_t mtu)
{
	if (!mtu || mtu == l->current.mtu)
		return;
	l->current.mtu = mtu;
	if (k)
		k->mtu = mtu;
	link_put_router(mr, l);
	bul_put_tunnel(mr); /* it looks at the route */
}

/* When to look for another one. */
static uint64_t preferred_until(uint64_t now, const struct ndp_prefix *p)
{
	return p->preferred_s ? ndp_until(now, p->preferred_s) : UINT64_MAX;
}

void link_ra(struct mr *mr, struct link *l, const struct ndp_msg *m, const uint8_t mac[6])
{
	const struct ndp_prefix *p = pick_prefix(mr, l, &m->ra);
	bool from_current = l->has_current && addr6_eq(&m->src, &l->current.router) &&
			    memcmp(mac, l->current.mac, 6) == 0;

	mr->counters[MR_C_ra_rx]++;
	if (l->state == LINK_DOWN)
		return;
	if (m->ra.lifetime_s == 0) { /* no default router; a stranger's word is of no interest */
		if (from_current && l->state == LINK_READY) {
			l->current.router_until = mr->now;
			link_hint(mr, l, false, "router withdrew");
		}
		return;
	}
	if (!p) {
		mr->counters[MR_C_ra_unusable]++;
		return;
	}
	if (from_current && is_current(l, &p->prefix)) {
		struct attachment *k = link_known_find(l, &l->current);

		l->current.router_until = ndp_until(mr->now, m->ra.lifetime_s);
		l->current.prefix_until = ndp_valid_until(
			mr->now, l->current.prefix_until, p->valid_s);
		l->current.preferred_until = preferred_until(mr->now, p);
		if (k)
			k->prefix_until = l->current.prefix_until;
		l->current.interval_ms = m->ra.interval_ms;
		l->ra_missed = 0;
		l->turns = p->preferred_s ? 0 : LINK_TURNS; /* another one is better */
		link_expect_ra(mr, l);
		take_mtu(mr, l, k, m->ra.mtu);
		link_confirm(mr, l, true);
		return;
	}
	if (l->state == LINK_READY && prefix6_eq(&p->prefix, &l->current.prefix))
		return; /* another router of this link */
	struct attachment a = {
		.router = m->src,
		.prefix = p->prefix,
		.mtu = m->ra.mtu,
		.interval_ms = m->ra.interval_ms,
		.router_until = ndp_until(mr->now, m->ra.lifetime_s),
		.prefix_until = ndp_until(mr->now, p->valid_s),
		.preferred_until = preferred_until(mr->now, p),
		.seen = mr->now,
		.home = athome_is(mr, p),
		.from_ha = athome_agent_told(mr, &m->ra),
	};

	memcpy(a.mac, mac, 6);
	if (from_current && lists_current(l, &m->ra) &&
		!a.home) { /* the same link, a better prefix */
		l->cause = "deprecated or local prefix";
		link_adopt(mr, l, &a);
		return;
	}
	if (takes_turns(mr, l, &a))
		return;
	consider(mr, l, &a);
	if (l->state == LINK_READY && link_same(&l->current, &a))
		l->rs_at = UINT64_MAX;
}

void link_na(struct mr *mr, struct link *l, const struct ndp_msg *m, const uint8_t mac[6])
{
	struct attachment from = {.router = m->src};

	memcpy(from.mac, mac, 6);
	if (!m->na.solicited || !addr6_eq(&m->src, &m->target))
		return;
	if (l->has_current && link_same_router(&from, &l->current)) {
		bool lookalike = l->has_candidate && link_same_router(&l->candidate, &l->current);

		if (!lookalike && l->current.router_until > mr->now)
			link_confirm(mr, l, false);
		return;
	}
	if (l->state != LINK_SEARCH && !(l->state == LINK_SUSPECT && l->strong))
		return;
	for (unsigned i = 0; i < l->n_known; i++) {
		const struct attachment *k = &l->known[i];

		if (link_same_router(&from, k) && link_can_return(mr, k)) {
			struct attachment a = *k;

			if (a.router_until <= mr->now) /* its lifetime is told by the next RA */
				a.router_until = mr->now + RS_IRT_MS;
			link_adopt(mr, l, &a);
			return;
		}
	}
}

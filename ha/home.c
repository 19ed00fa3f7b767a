/* home.c - the home link: duplicate address detection, proxy, lifetimes of home prefixes.  The
 * states are drawn in home.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/core/seq16.h"
#include "ha/binding.h"

#define HOME_PEER(node) ((struct ha_peer *)((char *)(node)-offsetof(struct ha_peer, home.timer)))
#define ANNOUNCEMENTS   3    /* MAX_NEIGHBOR_ADVERTISEMENT, RFC 4861 s10 */
#define ANNOUNCE_MS     1000 /* RetransTimer */
#define TICK_ACTIONS    10   /* of an update answered at the end of its detection */
#define IID_SIZE        8
static const struct prefix6 link_local = {{.s6_addr = {0xfe, 0x80}}, 64};

int home_init(struct ha *ha)
{
	const struct ha_conf *c = ha->conf;

	ha->prefixes = calloc(c->n_home ? c->n_home : 1, sizeof(*ha->prefixes));
	for (unsigned i = 0; ha->prefixes && i < c->n_home; i++)
		ha->prefixes[i].valid_until = ha->prefixes[i].preferred_until = UINT64_MAX;
	return ha->prefixes ? 0 : -ENOMEM;
}

void home_free(struct ha *ha)
{
	for (size_t i = 0; i < ha->probes.n; i++)
		free(HOME_PEER(ha->probes.v[i])->home.bu);
	heap_free(&ha->probes);
	free(ha->prefixes);
}

/* --- home prefixes --- */

/* The longest home prefix with 'hoa' in it; NULL: none. */
static struct home_prefix *prefix_of(const struct ha *ha, const struct in6_addr *hoa)
{
	const struct ha_conf *c = ha->conf;
	int best = -1;

	for (unsigned i = 0; i < c->n_home; i++)
		if (prefix6_has(&c->home[i], hoa) &&
			(best < 0 || c->home[i].len > c->home[best].len))
			best = (int)i;
	return best < 0 ? NULL : &ha->prefixes[best];
}

bool home_subnet(const struct ha *ha, const struct in6_addr *hoa, uint64_t now)
{
	const struct home_prefix *p = prefix_of(ha, hoa);

	return p && p->valid_until > now;
}

bool home_on_link(const struct ha *ha, const struct in6_addr *hoa)
{
	return ha->conf->home_link && prefix_of(ha, hoa);
}

/* Seconds left, in units of 4 s (RFC 6275 s10.3.1). */
static uint64_t units_left(uint64_t until, uint64_t now)
{
	if (until == UINT64_MAX)
		return UINT64_MAX;
	return until > now ? (until - now) / 4000 : 0;
}

int home_grant(const struct ha *ha, const struct in6_addr *hoa, uint64_t now, uint32_t *lifetime_s)
{
	const struct home_prefix *p = prefix_of(ha, hoa);
	uint64_t valid, preferred;

	if (!p)
		return MH_ST_ACCEPTED;
	valid = units_left(p->valid_until, now);
	preferred = units_left(p->preferred_until, now);
	if (*lifetime_s / 4 > valid)
		*lifetime_s = (uint32_t)valid * 4;
	return preferred < *lifetime_s / 4 || valid == *lifetime_s / 4 ? MH_ST_ACCEPTED_PREFIX
								       : MH_ST_ACCEPTED;
}

/* A lifetime was cut: no binding outlives its home prefix (s10.3.1). */
static void cut_bindings(struct ha *ha, const struct home_prefix *prefix)
{
	for (unsigned i = 0; i < ha->conf->n_routers; i++) {
		struct ha_peer *p = &ha->peers[i];

		if (p->b.state != BINDING_BOUND || p->b.ends <= prefix->valid_until ||
			prefix_of(ha, &p->conf->hoa) != prefix)
			continue;
		p->b.ends = prefix->valid_until;
		binding_enter(p, &ha->timers, BINDING_BOUND, p->b.ends);
		ha_changed(ha, p);
	}
}

static void receive_ra(struct ha *ha, const struct ha_event *ev, uint64_t now)
{
	const struct ha_conf *c = ha->conf;

	ha->counters[HA_C_home_ra]++;
	for (unsigned k = 0; k < ev->nd.msg.ra.n_prefix; k++) {
		const struct ndp_prefix *told = &ev->nd.msg.ra.prefix[k];

		for (unsigned i = 0; i < c->n_home; i++) {
			struct home_prefix *p = &ha->prefixes[i];
			uint64_t old = p->valid_until;

			if (!prefix6_eq(&told->prefix, &c->home[i]))
				continue;
			p->valid_until = p->heard ? ndp_valid_until(now, old, told->valid_s)
						  : ndp_until(now, told->valid_s);
			p->preferred_until = ndp_until(now, told->preferred_s);
			p->heard = true;
			if (p->valid_until < old)
				cut_bindings(ha, p);
		}
	}
}

/* --- actions --- */

static void op(struct ha_out *out, enum ha_home_op what, const struct in6_addr *addr, bool router)
{
	struct ha_action *a = ha_action(out, HA_DO_HOME);

	a->home.op = what;
	a->home.addr = *addr;
	a->home.router = router;
}

static struct in6_addr link_local_of(const struct in6_addr *hoa)
{
	return addr6_join(&link_local, hoa->s6_addr + IID_SIZE);
}

/* For the home address, and with L = 1 for the link-local address made of it. */
static void ops(struct ha_out *out, enum ha_home_op what, const struct ha_peer *p)
{
	struct in6_addr ll = link_local_of(&p->conf->hoa);

	op(out, what, &p->conf->hoa, p->home.router);
	if (p->home.link_local)
		op(out, what, &ll, p->home.router);
}

/* --- detection --- */

static bool is_own(const struct ha *ha, const struct in6_addr *a)
{
	for (unsigned i = 0; i < ha->n_own; i++)
		if (addr6_eq(&ha->own[i], a))
			return true;
	return false;
}

/* The one whose home address, or link-local address with L = 1, this is; NULL: nobody. */
static struct ha_peer *claimed_by(const struct ha *ha, const struct in6_addr *a)
{
	const struct ha_conf *c = ha->conf;
	struct ha_peer *p;

	if (!addr6_is_link_local(a)) {
		p = ha_peer_find(ha, a);
		return p && p->home.state != HOME_NONE ? p : NULL;
	}
	for (unsigned i = 0; i < c->n_home; i++) {
		struct in6_addr hoa = c->home[i].addr;

		memcpy(hoa.s6_addr + IID_SIZE, a->s6_addr + IID_SIZE, IID_SIZE);
		p = ha_peer_find(ha, &hoa);
		if (p && p->home.state != HOME_NONE && p->home.link_local)
			return p;
	}
	return NULL;
}

int home_probe(
	struct ha *ha, struct ha_peer *p, const struct mh_env *bu, uint64_t now, struct ha_out *out)
{
	struct home *h = &p->home;
	struct in6_addr ll = link_local_of(&p->conf->hoa);
	bool l = bu->m.bu.flags & MH_BU_L;

	if (h->state == HOME_PROBE && h->link_local == l) {
		if (seq16_newer(bu->m.bu.seq, h->bu->m.bu.seq))
			*h->bu = *bu;
		return 0;
	}
	home_stop(ha, p, out);
	if (is_own(ha, &p->conf->hoa) || (l && (is_own(ha, &ll) || claimed_by(ha, &ll)))) {
		ha->counters[HA_C_dad_failed]++;
		return MH_ST_DAD_FAILED;
	}
	h->bu = malloc(sizeof(*h->bu));
	if (!h->bu || heap_put(&ha->probes, &h->timer, now + ha->conf->dad_ms) < 0) {
		free(h->bu);
		h->bu = NULL;
		return MH_ST_RESOURCES;
	}
	*h->bu = *bu;
	h->state = HOME_PROBE;
	h->link_local = l;
	ha->counters[HA_C_dad]++;
	ops(out, HA_HOME_PROBE, p);
	return 0;
}

/* Ends the detection with 'status', 0 if nobody answered. */
static void probe_over(
	struct ha *ha, struct ha_peer *p, int status, uint64_t now, struct ha_out *out)
{
	struct mh_env *bu = p->home.bu;

	p->home.bu = NULL;
	home_stop(ha, p, out);
	bu_resume(ha, bu, status, now, out);
	free(bu);
}

/* --- proxy --- */

void home_serve(struct ha *ha, struct ha_peer *p, uint64_t now, struct ha_out *out)
{
	struct home *h = &p->home;

	if (!home_on_link(ha, &p->conf->hoa) || h->state == HOME_PROXY)
		return;
	h->state = HOME_PROXY;
	h->router = p->b.r;
	h->link_local = p->b.l;
	h->announce = ANNOUNCEMENTS - 1;
	h->defended = 0;
	if (heap_put(&ha->probes, &h->timer, now + ANNOUNCE_MS) < 0)
		h->announce = 0; /* repeating it is a MAY (s10.4.1) */
	ops(out, HA_HOME_PROXY, p);
	ops(out, HA_HOME_ANNOUNCE, p);
}

void home_stop(struct ha *ha, struct ha_peer *p, struct ha_out *out)
{
	struct home *h = &p->home;

	switch (h->state) {
	case HOME_NONE: return;
	case HOME_PROBE: ops(out, HA_HOME_PROBE_END, p); break;
	case HOME_PROXY: ops(out, HA_HOME_PROXY_END, p); break;
	}
	heap_drop(&ha->probes, &h->timer);
	free(h->bu);
	h->bu = NULL;
	h->state = HOME_NONE;
}

/* Someone else says that the address is his.  The binding stays; neighbours are told again. */
static void defend(
	struct ha *ha, struct ha_peer *p, const uint8_t mac[6], uint64_t now, struct ha_out *out)
{
	char text[64];

	ha->counters[HA_C_home_conflicts]++;
	if (p->home.defended && now - p->home.defended < ANNOUNCE_MS)
		return;
	p->home.defended = now;
	ops(out, HA_HOME_ANNOUNCE, p);
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x says that it has it", mac[0],
		mac[1], mac[2], mac[3], mac[4], mac[5]);
	ha_note(out, NOTE_HOME_CONFLICT, p, &p->conf->hoa, -1, text);
}

void home_nd(struct ha *ha, const struct ha_event *ev, uint64_t now, struct ha_out *out)
{
	const struct ndp_msg *m = &ev->nd.msg;
	struct ha_peer *p;

	if (m->type == NDP_RA) {
		receive_ra(ha, ev, now);
		return;
	}
	p = m->type == NDP_NS || m->type == NDP_NA ? claimed_by(ha, &m->target) : NULL;
	if (!p)
		return;
	/* Of an address under detection, a solicitation from :: is another node's detection; one
	 * with a source only wants to resolve it (RFC 4862 s5.4.3). */
	if (p->home.state == HOME_PROBE && (m->type == NDP_NA || addr6_is_any(&m->src))) {
		ha->counters[HA_C_dad_failed]++;
		probe_over(ha, p, MH_ST_DAD_FAILED, now, out);
	} else if (p->home.state == HOME_PROXY && m->type == NDP_NA) {
		defend(ha, p, ev->nd.mac, now, out);
	}
}

void home_tick(struct ha *ha, uint64_t now, struct ha_out *out)
{
	struct heap_node *node;

	while (out->n + TICK_ACTIONS <= HA_MAX_ACTIONS && (node = heap_first(&ha->probes)) &&
		node->at <= now) {
		struct ha_peer *p = HOME_PEER(node);

		if (p->home.state == HOME_PROBE) {
			probe_over(ha, p, 0, now, out);
			return; /* one tunnel a step: it may fail, and the rest with it */
		}
		p->home.announce--;
		ops(out, HA_HOME_ANNOUNCE, p);
		if (p->home.announce)
			heap_put(&ha->probes, node, now + ANNOUNCE_MS);
		else
			heap_drop(&ha->probes, node);
	}
}

uint64_t home_deadline(const struct ha *ha)
{
	const struct heap_node *node = heap_first(&ha->probes);

	return node ? node->at : UINT64_MAX;
}

bool ha_next_proxy(const struct ha *ha, unsigned *i, struct in6_addr out[2], unsigned *n, bool *r)
{
	for (; *i < ha->conf->n_routers; (*i)++) {
		const struct ha_peer *p = &ha->peers[*i];

		if (p->home.state != HOME_PROXY)
			continue;
		out[0] = p->conf->hoa;
		out[1] = link_local_of(&p->conf->hoa);
		*n = 1 + p->home.link_local;
		*r = p->home.router;
		(*i)++;
		return true;
	}
	return false;
}

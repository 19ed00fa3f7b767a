/* reload.c - another configuration for a home agent that runs: routers come, go and change, and the
 * bindings of the others are not touched. */
#include <stdio.h>
#include <stdlib.h>
#include "ha/binding.h"

void ha_inherit(struct ha *ha, struct ha *old, const struct ha_conf *old_conf)
{
	struct home_prefix *prefixes = ha->prefixes;

	old->conf = old_conf;
	ha->prefixes = old->prefixes; /* of the same home prefixes: those a restart changes only */
	old->prefixes = prefixes;
	ha->n_home_link = old->n_home_link;
	memcpy(ha->home_link, old->home_link, sizeof(ha->home_link));
	ha->restart = old->restart;
	ha->bri_seq = old->bri_seq;
	ha->draining = old->draining;
	ha->drained = old->drained;
	ha->switch_free = old->switch_free;
	ha->others = old->others;
	memcpy(ha->counters, old->counters, sizeof(ha->counters));
	memcpy(ha->rejects, old->rejects, sizeof(ha->rejects));
	free(ha->own);
	ha->own = old->own;
	ha->n_own = old->n_own;
	old->own = NULL;
	old->n_own = 0;
	ha->rng = old->rng;
	ha->agents = old->agents;
	ha->replies_since = old->replies_since;
	ha->replies = old->replies;
	ha->answers = old->answers;
	ha->notes = old->notes;
}

/* The timer goes on in the other heap.  False: no memory. */
static bool move_timer(
	struct heap *from, struct heap_node *was, struct heap *to, struct heap_node *is)
{
	bool queued = was->pos;
	uint64_t at = was->at;

	heap_drop(from, was);
	is->pos = 0;
	return !queued || heap_put(to, is, at) == 0;
}

static bool move_peer(struct ha *ha, struct ha_peer *p, struct ha *old, struct ha_peer *o)
{
	bool ok;

	p->b = o->b;
	p->home = o->home;
	p->mpa = o->mpa;
	p->c = o->c;
	p->answers = o->answers;
	p->twin = o->twin;
	p->last_status = o->last_status;
	p->last_seen = o->last_seen;
	o->home.bu = NULL;
	ok = move_timer(&old->timers, &o->timer, &ha->timers, &p->timer);
	ok &= move_timer(&old->probes, &o->home.timer, &ha->probes, &p->home.timer);
	ok &= move_timer(&old->mpa_timers, &o->mpa.timer, &ha->mpa_timers, &p->mpa.timer);
	ok &= move_timer(&old->control_timers, &o->c.timer, &ha->control_timers, &p->c.timer);
	ha->n_bound += p->b.state == BINDING_BOUND;
	old->n_bound -= p->b.state == BINDING_BOUND;
	o->b.state = BINDING_NONE;
	return ok;
}

/* Registered prefixes that are still the router's; implicit ones as the table now has them. */
static uint32_t translate(const struct ha_peer *p, const struct ha_router *was)
{
	uint32_t mnps = 0;

	for (unsigned i = 0; i < p->conf->n_prefixes; i++) {
		bool had = !p->b.explicit_;

		for (unsigned k = 0; k < was->n_prefixes && !had; k++)
			had = (p->b.mnps & 1u << k) &&
			      prefix6_eq(&p->conf->prefixes[i], &was->prefixes[k]);
		mnps |= had ? 1u << i : 0;
	}
	return p->b.r ? mnps : 0;
}

/* What the daemon was told of may still be announced?  What may not goes; the rest stays. */
static void filter_learned(struct ha_peer *p, const struct ha_peer *o)
{
	for (unsigned i = 0; p->learned && o->learned && i < o->learned->n; i++) {
		struct learned_route r = o->learned->v[i];
		bool may = false;

		for (unsigned k = 0; k < p->conf->n_learn && !may; k++)
			may = prefix6_covers(&p->conf->learn[k], &r.prefix);
		r.refused |= !may;
		if (p->learned->n + p->conf->n_prefixes < LEARN_MAX)
			p->learned->v[p->learned->n++] = r;
	}
}

static bool same_tunnel(const struct tunnel *a, const struct tunnel *b)
{
	bool same = a->tenant == b->tenant && a->n_routes == b->n_routes;

	for (unsigned i = 0; i < a->n_routes && same; i++)
		same = prefix6_eq(&a->routes[i], &b->routes[i]);
	return same; /* the ends are the binding's */
}

/* Those that 'of' has, too. */
static void keep_routes(struct tunnel *t, const struct tunnel *of)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_routes; i++) {
		bool has = false;

		for (unsigned k = 0; k < of->n_routes && !has; k++)
			has = prefix6_eq(&t->routes[i], &of->routes[k]);
		if (has)
			t->routes[n++] = t->routes[i];
	}
	t->n_routes = n;
}

static void put_tunnel(struct ha *ha, struct ha_peer *p, const struct tunnel *t, struct ha_out *out)
{
	ha_changed(ha, p);
	ha->undo.peer = p;
	ha->undo.restoring = true; /* if the tunnel fails the binding is gone */
	ha_action(out, HA_DO_TUNNEL_PUT)->tunnel = *t;
}

static bool acceptable(struct ha *ha, struct ha_peer *p, uint64_t now)
{
	if (p->b.r && (!p->conf->mobile_router || (!p->b.mnps && !p->conf->n_learn)))
		return false;
	return !bu_misplaced(ha, p, now);
}

static void end(struct ha *ha, struct ha_peer *p, const char *why, uint64_t now, struct ha_out *out)
{
	struct in6_addr coa = p->b.coa;

	ha_unbind(ha, p, BINDING_NONE, now, out);
	ha_note(out, NOTE_BINDING_REVOKED, p, &p->conf->hoa, -1, why);
	out->v[out->n - 1].note.coa = coa;
}

static void reload_router(
	struct ha *ha, struct ha *old, struct ha_peer *o, uint64_t now, struct ha_out *out)
{
	struct ha_peer *p = ha_peer_find(ha, &o->conf->hoa);
	bool bound = o->b.state == BINDING_BOUND;
	struct tunnel before, after, left;

	out->n = 0;
	if (!p) {
		if (bound)
			end(old, o, "no longer in the configuration", now, out);
		else
			home_stop(old, o, out);
		o->b.state = BINDING_NONE;
		o->c.barred = false;
		ha_changed(old, o);
		return;
	}
	if (bound)
		binding_tunnel(o, &before);
	if (!move_peer(ha, p, old, o) && bound) {
		end(ha, p, "no memory", now, out);
		return;
	}
	filter_learned(p, o);
	if (!bound)
		return;
	p->b.mnps = translate(p, o->conf);
	if (!acceptable(ha, p, now)) {
		end(ha, p, "the configuration allows it no longer", now, out);
		return;
	}
	binding_tunnel(p, &after);
	p->reloaded = !same_tunnel(&before, &after);
	left = after;
	keep_routes(&left, &before);
	if (left.n_routes < before.n_routes)
		put_tunnel(ha, p, &left, out);
}

/* All have given up what they lose: a prefix may have moved from one to another. */
static void complete(struct ha *ha, struct ha_peer *p, struct ha_out *out)
{
	struct tunnel t;

	out->n = 0;
	if (!p || !p->reloaded || p->b.state != BINDING_BOUND)
		return;
	p->reloaded = false;
	binding_tunnel(p, &t);
	put_tunnel(ha, p, &t, out);
}

bool ha_reload_next(struct ha *ha, struct ha *old, unsigned *i, uint64_t now, struct ha_out *out)
{
	unsigned n = old->conf->n_routers;

	if (*i == 2 * n)
		return false;
	if (*i < n)
		reload_router(ha, old, &old->peers[*i], now, out);
	else
		complete(ha, ha_peer_find(ha, &old->peers[*i - n].conf->hoa), out);
	(*i)++;
	return true;
}

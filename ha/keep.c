/* keep.c - records of the state file: made of bindings, and bindings made of them. */
#include "ha/binding.h"
#include "ha/keep.h"

#define MAX_LIFETIME_S 262140
#define ROUNDING_MS    4000 /* a promised end may lie this far behind the granted lifetime */

void ha_changed(struct ha *ha, struct ha_peer *p)
{
	if (p->changed)
		return;
	p->changed = true;
	p->next_changed = ha->changed;
	ha->changed = p;
}

static uint32_t hash(const struct prefix6 *p)
{
	uint8_t text[sizeof(p->addr) + 1];
	uint32_t h;

	memcpy(text, &p->addr, sizeof(p->addr));
	text[sizeof(p->addr)] = p->len;
	HASH_JEN(text, sizeof(text), h);
	return h;
}

static void fill(const struct ha_peer *p, struct ha_kept *k)
{
	const struct binding *b = &p->b;

	memset(k, 0, sizeof(*k));
	k->flags = p->c.barred ? KEEP_BARRED : 0;
	k->state = (uint8_t)b->state;
	if (b->state == BINDING_NONE)
		return;
	k->coa = b->coa;
	k->local = b->local;
	k->registered = b->registered;
	k->refreshed = b->refreshed;
	k->ends = b->ends;
	k->moves = (uint32_t)b->moves;
	k->lifetime_s = b->lifetime_s;
	k->seq = b->seq;
	k->flags |= (b->r ? KEEP_R : 0) | (b->explicit_ ? KEEP_EXPLICIT : 0) | (b->l ? KEEP_L : 0);
	for (unsigned i = 0; i < p->conf->n_prefixes; i++)
		if (b->mnps & (1u << i))
			k->mnp[k->n_mnp++] = hash(&p->conf->prefixes[i]);
}

bool ha_next_changed(struct ha *ha, struct in6_addr *hoa, struct ha_kept *out)
{
	struct ha_peer *p = ha->changed;

	if (!p)
		return false;
	ha->changed = p->next_changed;
	p->changed = false;
	*hoa = p->conf->hoa;
	fill(p, out);
	return true;
}

bool ha_keep_order(struct ha_kept *k)
{
	*k = (struct ha_kept){.flags = k->flags & KEEP_BARRED};
	return k->flags;
}

void ha_keep_agent(const struct ha *ha, struct ha_kept_agent *out)
{
	memset(out, 0, sizeof(*out));
	out->restart = ha->restart;
	out->draining = ha->draining;
	out->n_others = (uint8_t)ha->others.n;
	memcpy(out->others, ha->others.ha, ha->others.n * sizeof(out->others[0]));
}

/* --- back again --- */

/* Explicit prefixes as far as they are still the router's; implicit ones as the table has them. */
static uint32_t find_mnps(const struct ha_peer *p, const struct ha_kept *k)
{
	unsigned n = p->conf->n_prefixes;
	uint32_t mnps = 0;

	if (!(k->flags & KEEP_R))
		return 0;
	if (!(k->flags & KEEP_EXPLICIT))
		return (uint32_t)((1ull << n) - 1);
	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < k->n_mnp && j < MH_MAX_MNP; j++)
			if (k->mnp[j] == hash(&p->conf->prefixes[i]))
				mnps |= 1u << i;
	return mnps;
}

/* Times that no clock that ran on can have given: then nobody knows how much is left. */
static bool plausible(const struct ha_kept *k, int64_t shift, uint64_t now)
{
	int64_t refreshed = (int64_t)k->refreshed + shift, ends = (int64_t)k->ends + shift;

	return k->state <= BINDING_CLOSED && k->lifetime_s <= MAX_LIFETIME_S &&
	       refreshed <= (int64_t)now && refreshed <= ends &&
	       ends - refreshed <= k->lifetime_s * INT64_C(1000) + ROUNDING_MS;
}

static uint64_t at(uint64_t then, int64_t shift)
{
	int64_t t = (int64_t)then + shift;

	return t > 0 ? (uint64_t)t : 0; /* before this boot */
}

static bool fits(const struct ha *ha, const struct ha_peer *p, const struct ha_kept *k)
{
	bool r = k->flags & KEEP_R;

	if (!addr6_is_routable(&k->coa) || (r && !p->conf->mobile_router) ||
		!addr6_eq(&k->local, &ha->conf->address))
		return false;
	return !r || find_mnps(p, k) || p->conf->n_learn;
}

static void bind_again(struct ha *ha, struct ha_peer *p, uint64_t now, struct ha_out *out)
{
	ha->n_bound++;
	ha_control_bound(ha, p, now);
	mpa_bound(ha, p, now);
	ha->undo.peer = p;
	ha->undo.restoring = true; /* if the tunnel fails the binding is gone */
	binding_tunnel(p, &ha_action(out, HA_DO_TUNNEL_PUT)->tunnel);
	home_serve(ha, p, now, out);
}

static enum ha_restored restore(struct ha *ha, struct ha_peer *p, const struct ha_kept *k,
	int64_t shift, uint64_t now, struct ha_out *out)
{
	struct binding *b = &p->b;

	if (!plausible(k, shift, now))
		return HA_RESTORED_REFUSED;
	if (at(k->ends, shift) <= now)
		return HA_RESTORED_EXPIRED;
	*b = (struct binding){
		.coa = k->coa,
		.local = k->local,
		.seq = k->seq,
		.mnps = find_mnps(p, k),
		.r = k->flags & KEEP_R,
		.explicit_ = k->flags & KEEP_EXPLICIT,
		.l = k->flags & KEEP_L,
		.lifetime_s = k->lifetime_s,
		.registered = at(k->registered, shift),
		.refreshed = at(k->refreshed, shift),
		.ends = at(k->ends, shift),
		.moves = k->moves,
	};
	if (k->state == BINDING_BOUND && (!fits(ha, p, k) || bu_misplaced(ha, p, now)))
		return HA_RESTORED_REFUSED;
	if (binding_enter(p, &ha->timers, (enum binding_state)k->state, now) < 0)
		return HA_RESTORED_REFUSED;
	if (k->state == BINDING_CLOSED)
		return HA_RESTORED_NONE;
	bind_again(ha, p, now, out);
	return HA_RESTORED;
}

enum ha_restored ha_restore(struct ha *ha, const struct in6_addr *hoa, const struct ha_kept *k,
	bool same_boot, int64_t wall, uint64_t now, struct ha_out *out)
{
	struct ha_peer *p = ha_peer_find(ha, hoa);
	enum ha_restored r;

	out->n = 0;
	if (!p)
		return HA_RESTORED_UNKNOWN;
	p->c.barred = k->flags & KEEP_BARRED;
	if (k->state == BINDING_NONE)
		return HA_RESTORED_NONE;
	r = restore(ha, p, k, same_boot ? 0 : k->wall - wall, now, out);
	if (p->b.state == BINDING_NONE) {
		memset(&p->b, 0, sizeof(p->b));
		ha_changed(ha, p);
	}
	return r;
}

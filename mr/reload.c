/* reload.c - another configuration for a mobile router that runs.  What it does not touch goes on:
 * uplinks with their care-of addresses, the binding and its tunnel, home agents that are still in
 * the list.  What updates say is told to the home agent at once. */
#include "mr/core.h"

/* --- home agents --- */

unsigned mr_find_agent(const struct in6_addr *v, unsigned n, const struct in6_addr *a)
{
	unsigned i = 0;

	while (i < n && !addr6_eq(&v[i], a))
		i++;
	return i;
}

unsigned mr_take_agents(struct mr *mr, const struct in6_addr *v, unsigned n)
{
	struct mr_control *c = &mr->control;
	struct {
		unsigned *ha; /* index into has[] */
		bool keep;
		struct in6_addr addr;
	} refs[MR_MAX_HELD] = {
		{&mr->bul.ha, mr->bul.state == BUL_CLOSING, in6addr_any},
		{&mr->bul.bound_ha, mr->bul.live, in6addr_any},
		{&c->hb.ha, mr->bul.live, in6addr_any},
		{&c->left.ha, c->left.active, in6addr_any},
		{&c->revoked.ha, c->revoked.until > mr->now, in6addr_any},
	};
	struct in6_addr list[MR_NO_HA];
	unsigned n_list = 0, n_own;

	for (unsigned i = 0; i < MR_MAX_HELD; i++)
		if (*refs[i].ha < mr->n_known) /* else none yet */
			refs[i].addr = mr->has[*refs[i].ha];
	for (unsigned i = 0; i < n && n_list < MR_MAX_HAS; i++)
		if (mr_find_agent(list, n_list, &v[i]) == n_list)
			list[n_list++] = v[i];
	n_own = n_list;
	for (unsigned i = 0; i < MR_MAX_HELD; i++)
		if (refs[i].keep && !addr6_is_any(&refs[i].addr) &&
			mr_find_agent(list, n_list, &refs[i].addr) == n_list)
			list[n_list++] = refs[i].addr;
	for (unsigned i = 0; i < MR_MAX_HELD; i++) {
		unsigned at = mr_find_agent(list, n_list, &refs[i].addr);

		if (*refs[i].ha < mr->n_known)
			*refs[i].ha = at < n_list ? at : 0;
	}
	memcpy(mr->has, list, n_list * sizeof(list[0]));
	mr->n_known = n_list;
	return n_own;
}

bool mr_holds_former(const struct mr *mr)
{
	const struct mr_control *c = &mr->control;
	const struct bul *b = &mr->bul;
	unsigned n = mr->conf->n_has;

	return (b->live && b->bound_ha >= n) || (b->state == BUL_CLOSING && b->ha >= n) ||
	       (c->left.active && c->left.ha >= n);
}

/* True: the one that is being registered with is not in the list any more. */
static bool take_configured(struct mr *mr, const struct mr_conf *to)
{
	struct bul *b = &mr->bul;
	struct in6_addr now = mr->has[b->ha], then = mr->has[b->then_ha >= 0 ? b->then_ha : 0];

	mr->discovers = to->n_has == 0;
	if (mr->discovers) /* those known so far do until there are others */
		return false;
	mr->now_conf.n_has = mr_take_agents(mr, to->has, to->n_has);
	if (b->then_ha >= 0)
		b->then_ha = (int)(mr_find_agent(to->has, to->n_has, &then) % to->n_has);
	return mr_find_agent(to->has, to->n_has, &now) == to->n_has;
}

/* --- uplinks --- */

/* The same prefixes in the same order, at the same interfaces if that is asked for? */
static bool same_networks(const struct mr_conf *a, const struct mr_conf *b, bool interfaces)
{
	bool same = a->n_networks == b->n_networks;

	for (unsigned i = 0; i < a->n_networks && same; i++) {
		const struct mr_network_conf *p = &a->networks[i], *q = &b->networks[i];

		same = prefix6_eq(&p->prefix, &q->prefix) &&
		       (!interfaces || strcmp(p->interface, q->interface) == 0);
	}
	return same;
}

void mr_leave(struct mr *mr, const struct mr_conf *to)
{
	/* Who was told to withdraw them knows them by their old names only; the next answer
	 * decides. */
	if (!same_networks(mr->conf, to, true))
		bul_advertise_again(mr);
	for (unsigned i = 0; i < mr->n_links; i++)
		mr->links[i].leaving = mr_conf_uplink(to, mr->conf->uplinks[i].interface) < 0;
	mr_select_anew(mr); /* over to another one before it goes */
	for (unsigned i = 0; i < mr->n_links; i++)
		if (mr->links[i].leaving)
			link_leave(mr, &mr->links[i]);
}

/* mr->conf is the new one. */
static void take_uplinks(struct mr *mr, const struct mr_conf *was)
{
	struct link old[MR_MAX_UPLINKS];
	int active = -1, uplink = 0, home = 0;

	memcpy(old, mr->links, sizeof(old));
	memset(mr->links, 0, sizeof(mr->links));
	mr->n_links = mr->conf->n_uplinks;
	for (unsigned i = 0; i < mr->n_links; i++) {
		int k = mr_conf_uplink(was, mr->conf->uplinks[i].interface);

		if (k < 0) {
			link_init(mr, &mr->links[i], i);
			continue;
		}
		mr->links[i] = old[k];
		active = k == mr->active ? (int)i : active;
		uplink = k == (int)mr->bul.uplink ? (int)i : uplink;
		home = k == (int)mr->home.uplink ? (int)i : home;
	}
	mr->active = active;
	mr->bul.uplink = (unsigned)uplink;
	mr->home.uplink = (unsigned)home;
	for (unsigned i = 0; i < mr->n_links; i++) {
		int k = mr_conf_uplink(was, mr->conf->uplinks[i].interface);

		if (k >= 0)
			link_reload(mr, &mr->links[i], was, i);
	}
}

/* --- all of it --- */

static bool same_behind(const struct mr_conf *a, const struct mr_conf *b)
{
	const struct prefix6 *p, *q;

	for (unsigned i = 0;; i++) {
		p = mr_behind(a, i);
		q = mr_behind(b, i);
		if (!p || !q || !prefix6_eq(p, q))
			return !p && !q;
	}
}

void mr_reload(struct mr *mr, const struct mr_conf *to, bool new_keys)
{
	struct mr_conf was = mr->now_conf;
	struct bul *b = &mr->bul;
	bool implicit = b->implicit, changed, tunnel = !same_behind(&was, to);
	unsigned n_has = was.n_has;

	mr->now_conf = *to;
	mr->now_conf.has = mr->has;
	mr->now_conf.n_has = n_has;
	changed = take_configured(mr, to);
	take_uplinks(mr, &was);
	if (to->mode != MR_AUTO || was.mode != MR_AUTO) {
		b->implicit = to->mode == MR_IMPLICIT;
		b->both_modes_tried = false;
	}
	changed |= new_keys || to->lifetime_s != was.lifetime_s || b->implicit != implicit ||
		   (!b->implicit && !same_networks(&was, to, false));
	if (tunnel && mr->home.state == ATHOME_THERE)
		athome_router(mr);
	bul_reload(mr, changed, tunnel);
	mr_heartbeat_reload(mr);
	mr_select_anew(mr); /* preferences may be others */
}

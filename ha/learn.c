/* learn.c - networks behind a mobile router that a routing protocol tells of (RFC 3963 s8).  The
 * protocol is a routing daemon's; what it says stands in the kernel's table as routes by way of the
 * router's home address.  Decided here: which of them the router may announce.  Those go into its
 * tunnel, as the registered prefixes do, for as long as there are both: binding and route. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "ha/binding.h"

int ha_learn_init(struct ha_peer *p)
{
	if (!p->conf->n_learn)
		return 0;
	p->learned = calloc(1, sizeof(*p->learned));
	return p->learned ? 0 : -ENOMEM;
}

static const struct learned_route *find(const struct learned *l, const struct prefix6 *p)
{
	for (unsigned i = 0; i < l->n; i++)
		if (prefix6_eq(&l->v[i].prefix, p))
			return &l->v[i];
	return NULL;
}

static bool may_announce(const struct ha_router *r, const struct prefix6 *p)
{
	for (unsigned i = 0; i < r->n_learn; i++)
		if (prefix6_covers(&r->learn[i], p))
			return true;
	return false;
}

/* What was taken before goes first: no newcomer drives it out. */
static void sort_out(const struct ha_peer *p, const struct ha_event *ev, struct learned *new)
{
	unsigned room = LEARN_MAX - p->conf->n_prefixes;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < ev->routes.n; i++) {
			struct prefix6 route = prefix6_mask(ev->routes.v[i]);
			const struct learned_route *old = find(p->learned, &route);
			bool held = old && !old->refused;

			if (held != (pass == 0) || find(new, &route) ||
				new->n == sizeof(new->v) / sizeof(new->v[0]))
				continue;
			bool ok = room && may_announce(p->conf, &route);

			new->v[new->n++] = (struct learned_route){route, !ok};
			room -= ok;
		}
	}
}

/* One note about the routes of 'now' that are not among those of 'before' in the same way. */
static unsigned tell(const struct ha_peer *p, const struct learned *now,
	const struct learned *before, bool refused, enum note_type type, struct ha_out *out)
{
	char text[sizeof(((struct note *)0)->text)] = "", s[PREFIX6_STRLEN];
	unsigned n = 0;
	size_t at = 0;

	for (unsigned i = 0; i < now->n; i++) {
		const struct learned_route *r = &now->v[i], *was = find(before, &r->prefix);

		if (r->refused != refused || (was && was->refused == refused))
			continue;
		n++;
		if (at + PREFIX6_STRLEN + 16 < sizeof(text)) /* room for how many more there are */
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", at ? ", " : "",
				prefix6_str(&r->prefix, s));
		else
			snprintf(text + at, sizeof(text) - at, " and more");
	}
	if (n)
		ha_note(out, type, p, &p->conf->hoa, -1, text);
	return n;
}

void ha_learn(struct ha *ha, const struct ha_event *ev, struct ha_out *out)
{
	struct ha_peer *p = &ha->peers[ev->routes.router];
	struct learned before = *p->learned, new = {0};
	unsigned learned, withdrawn;

	sort_out(p, ev, &new);
	*p->learned = new;
	learned = tell(p, &new, &before, false, NOTE_ROUTE_LEARNED, out);
	withdrawn = tell(p, &before, &new, false, NOTE_ROUTE_WITHDRAWN, out);
	ha->counters[HA_C_learn_refused] += tell(p, &new, &before, true, NOTE_ROUTE_REFUSED, out);
	ha->counters[HA_C_learned] += learned;
	if (p->b.state != BINDING_BOUND || !(learned || withdrawn))
		return;
	ha->undo.peer = NULL; /* what an update asked for is done */
	ha->undo.learning = p;
	binding_tunnel(p, &ha_action(out, HA_DO_TUNNEL_PUT)->tunnel);
}

void ha_learn_failed(struct ha *ha, int error, struct ha_out *out)
{
	struct ha_peer *p = ha->undo.learning;

	ha->undo.learning = NULL;
	p->learned->n = 0; /* until the routes change again */
	ha_note(out, NOTE_ROUTE_REFUSED, p, &p->conf->hoa, -1, strerror(-error));
	binding_tunnel(p, &ha_action(out, HA_DO_TUNNEL_PUT)->tunnel);
}

void ha_learn_tunnel(const struct ha_peer *p, struct tunnel *t)
{
	if (!p->learned || !p->b.r)
		return;
	for (unsigned i = 0; i < p->learned->n; i++)
		if (!p->learned->v[i].refused)
			t->routes[t->n_routes++] = p->learned->v[i].prefix;
}

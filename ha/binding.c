/* binding.c - the states of a binding (drawn in ha.h) and the tunnel that it stands for. */
#include <errno.h>
#include "ha/binding.h"

int binding_enter(struct ha_peer *p, struct heap *timers, enum binding_state to, uint64_t now)
{
	switch (to) {
	case BINDING_BOUND:
		if (heap_put(timers, &p->timer, p->b.ends) < 0)
			return -ENOMEM;
		break;
	case BINDING_CLOSED:
		if (heap_put(timers, &p->timer, now + BINDING_CLOSED_MS) < 0)
			return -ENOMEM;
		break;
	case BINDING_NONE: heap_drop(timers, &p->timer); break;
	}
	p->b.state = to;
	return 0;
}

void binding_tunnel(const struct ha_peer *p, struct tunnel *t)
{
	const struct ha_router *r = p->conf;

	memset(t, 0, sizeof(*t));
	t->id = r->hoa;
	t->local = p->b.local;
	t->remote = p->b.coa;
	t->seq = p->b.seq;
	t->tenant = r->tenant_id;
	t->routes[t->n_routes++] = prefix6_host(&r->hoa);
	for (unsigned i = 0; i < r->n_prefixes; i++)
		if (p->b.mnps & (1u << i))
			t->routes[t->n_routes++] = r->prefixes[i];
	ha_learn_tunnel(p, t);
}

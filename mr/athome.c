/* athome.c - at home and on the way there (RFC 6275 s11.5.5, RFC 3963 s5.6-5.8).  The order is the
 * point of it:
 *
 *     home prefix on a link
 *       -> the home agent's link-layer address: from its advertisement, else asked for from :: with
 *          our own home address as target, which the home agent's proxy answers
 *       -> a Binding Update with lifetime 0 from the home address; at that moment the home address
 *          gets onto the interface, without detection of duplicates: the home agent still defends
 *          it
 *       -> acknowledged: the tunnel goes, the networks' traffic takes the home router, neighbours
 *          are told by advertisements.  Was there no binding any more, the address is tested now.
 *
 * Until that answer the networks' traffic keeps to the tunnel, or goes nowhere. */
#include "mr/core.h"

#define ASK_MS        200  /* for the home agent's link-layer address; it is a neighbour */
#define ANNOUNCEMENTS 3    /* MAX_NEIGHBOR_ADVERTISEMENT, RFC 4861 s10 */
#define ANNOUNCE_MS   1000 /* RetransTimer */

static struct mr_action *home_op(struct mr *mr, enum mr_home_op op)
{
	struct mr_action *a = mr_action(mr, MR_DO_HOME);
	const struct attachment *at = &mr->links[mr->home.uplink].current;

	a->uplink = mr->home.uplink;
	a->home.op = op;
	a->home.prefix = at->prefix;
	a->addr = mr->conf->hoa;
	a->router = at->router;
	return a;
}

static const struct in6_addr *home_agent(const struct mr *mr)
{
	return &mr->conf->has[mr->bul.ha];
}

bool athome_is(const struct mr *mr, const struct ndp_prefix *p)
{
	return mr->conf->return_home && p->on_link && p->valid_s &&
	       prefix6_eq(&p->prefix, &mr->conf->home_prefix);
}

/* The sender of an advertisement is the home agent if one of its prefixes carries that address (R
 * flag, RFC 6275 s7.2). */
bool athome_agent_told(const struct mr *mr, const struct ndp_ra *ra)
{
	for (unsigned i = 0; i < ra->n_prefix; i++)
		for (unsigned k = 0; ra->prefix[i].router_addr && k < mr->conf->n_has; k++)
			if (addr6_eq(&ra->prefix[i].addr, &mr->conf->has[k]))
				return true;
	return false;
}

static void deregister(struct mr *mr, const uint8_t *mac)
{
	struct mr_action *a;

	mr->home.ask_until = UINT64_MAX;
	a = home_op(mr, MR_HOME_LINK);
	if (mac) {
		a->router = *home_agent(mr);
		a->verified = true;
		memcpy(a->mac, mac, 6);
	}
	bul_return(mr);
}

/* Just before the update, not earlier: its answer may be here, or asked for, before the kernel has
 * done anything that was told to it afterwards.  The update is the first packet that uses the
 * address. */
void athome_send(struct mr *mr)
{
	if (mr->home.state == ATHOME_RETURNING)
		home_op(mr, MR_HOME_ADDR)->verified = true;
}

void athome_arrive(struct mr *mr, unsigned uplink)
{
	const struct attachment *at = &mr->links[uplink].current;
	struct athome *h = &mr->home;

	dhaad_stop(mr);
	mps_init(mr); /* here advertisements tell of the home prefix */
	mr->mps.asking = false;
	mr->bul.coa = mr->conf->hoa;
	mr->bul.uplink = uplink;
	if (mr->bul.state == BUL_REFUSED) /* this address must not be used: an operator's turn */
		return;
	h->state = ATHOME_RETURNING;
	h->uplink = uplink;
	h->announce_at = UINT64_MAX;
	if (mr->bul.live)
		mr->bul.ha = mr->bul.bound_ha;
	/* Off the link it is reached through the router.  Without one there is no binding. */
	if (!mr->conf->n_has || at->from_ha || !prefix6_has(&at->prefix, home_agent(mr))) {
		deregister(mr, mr->conf->n_has && at->from_ha ? at->mac : NULL);
		return;
	}
	h->ask_until = mr->now + ASK_MS;
	home_op(mr, MR_HOME_ASK);
}

void athome_leave(struct mr *mr)
{
	struct athome *h = &mr->home;

	if (h->state == ATHOME_AWAY)
		return;
	home_op(mr, MR_HOME_END);
	h->state = ATHOME_AWAY;
	h->ask_until = h->announce_at = UINT64_MAX;
	bul_leave_home(mr);
}

void athome_na(struct mr *mr, const struct link *l, const struct ndp_msg *m, const uint8_t mac[6])
{
	const struct athome *h = &mr->home;

	if (h->state == ATHOME_RETURNING && h->ask_until != UINT64_MAX && h->uplink == l->index &&
		addr6_eq(&m->target, &mr->conf->hoa))
		deregister(mr, m->has_lladdr ? m->lladdr : mac);
}

static void announce(struct mr *mr)
{
	struct athome *h = &mr->home;

	home_op(mr, MR_HOME_ANNOUNCE);
	h->announce_at = --h->announce ? mr->now + ANNOUNCE_MS : UINT64_MAX;
}

void athome_closed(struct mr *mr, bool was_bound)
{
	struct athome *h = &mr->home;

	h->state = ATHOME_THERE;
	if (!was_bound && mr->conf->dad != MR_DAD_OFF) /* s11.5.5: all bindings have expired */
		home_op(mr, MR_HOME_ADDR)->verified = false;
	home_op(mr, MR_HOME_ROUTE);
	h->announce = ANNOUNCEMENTS;
	announce(mr);
	mr_note(mr, NOTE_MR_HOME, "uplink %s: an ordinary router here",
		mr->conf->uplinks[h->uplink].interface);
}

void athome_router(struct mr *mr)
{
	if (mr->home.state == ATHOME_THERE)
		home_op(mr, MR_HOME_ROUTE);
}

void athome_dad_failed(struct mr *mr)
{
	mr->counters[MR_C_dad_failed]++;
	mr_note(mr, NOTE_MR_DAD_FAILED,
		"%s: somebody on the home link has the home address; after removing one of them "
		"run: nemoctl mr rehome",
		mr->conf->uplinks[mr->home.uplink].interface)
		->coa = mr->conf->hoa;
	home_op(mr, MR_HOME_END);
	mr->home.announce_at = UINT64_MAX;
	mr->home.state = ATHOME_DUPLICATE;
}

void athome_restart(struct mr *mr)
{
	if (mr->home.state == ATHOME_DUPLICATE)
		athome_arrive(mr, mr->home.uplink);
}

void athome_tick(struct mr *mr)
{
	struct athome *h = &mr->home;

	if (h->ask_until <= mr->now)
		deregister(mr, NULL); /* nobody proxies our address: by ordinary resolution */
	if (h->announce_at <= mr->now)
		announce(mr);
}

uint64_t athome_deadline(const struct mr *mr)
{
	return mr_min(mr->home.ask_until, mr->home.announce_at);
}

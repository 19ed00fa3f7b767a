/* edge_do.c - the core's actions, carried out: packets, addresses, routes, the tunnel, what is due
 * on the home link. */
#include <errno.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include "common/os/log.h"
#include "mr/edge_state.h"
#include "mr/hook.h"
#include "mr/policy.h"

static int send_nd(struct mr_edge *e, const struct mr_action *a)
{
	const struct uplink *u = &e->uplinks[a->uplink];
	struct ndp_msg m = {.type = NDP_RS, .src = u->lladdr};

	if (a->type == MR_DO_SEND_RS) { /* no SLLAO: RFC 6059 s5.6.2 */
		if (addr6_is_any(&u->lladdr))
			return 0; /* from :: the answer would be a late multicast: MR_EV_SOURCE
				     comes */
		m.dst = (struct in6_addr){.s6_addr = {0xff, 2, [15] = 2}};
		handover_rs(&e->handovers, mr_now_us());
		return nd_send(e->nd, &m, NULL, u->ifindex);
	}
	if (addr6_is_any(&u->lladdr) || u->optimistic)
		return 0; /* a probe needs a source that can be answered */
	m.type = NDP_NS;
	m.dst = m.target = a->router;
	m.has_lladdr = true;
	memcpy(m.lladdr, u->mac, 6);
	return nd_send(e->nd, &m, a->mac, u->ifindex);
}

static int put_coa(struct mr_edge *e, const struct mr_action *a)
{
	struct uplink *u = &e->uplinks[a->uplink];
	uint32_t flags = IFA_F_NOPREFIXROUTE | (a->verified ? IFA_F_NODAD : IFA_F_OPTIMISTIC);
	int r = net_addr_put(e->net, u->ifindex, &a->addr, 128, flags);

	e->coa_us = mr_now_us();
	u->coa = a->addr;
	u->coa_gone = r < 0;
	return r < 0 ? r : sig_local_put(mhio_sig(e->io), &a->addr);
}

static int drop_coa(struct mr_edge *e, const struct mr_action *a)
{
	struct uplink *u = &e->uplinks[a->uplink];

	if (addr6_eq(&a->addr, &u->coa))
		u->coa = in6addr_any;
	sig_local_drop(mhio_sig(e->io), &a->addr);
	policy_coa_drop(e->net, &a->addr);
	return net_addr_drop(e->net, u->ifindex, &a->addr, 128);
}

static int put_router(struct mr_edge *e, const struct mr_action *a)
{
	struct uplink *u = &e->uplinks[a->uplink];
	bool first = !u->routed;
	struct net_route r = {
		.table = 254,
		.via = a->router,
		.oif = u->ifindex,
		.metric = a->metric,
		.src = a->addr,
		/* More than the device takes would be believed. */
		.mtu = a->mtu < u->mtu ? a->mtu : 0,
	};

	u->routed = true;
	net_neigh_put(e->net, u->ifindex, &a->router, a->mac);
	/* Only an earlier run can have left it; a move has no time to ask. */
	return (first ? net_route_keep : net_route_put)(e->net, &r);
}

static int drop_router(struct mr_edge *e, const struct mr_action *a)
{
	struct net_route r = {
		.table = 254,
		.via = a->router,
		.oif = e->uplinks[a->uplink].ifindex,
		.metric = a->metric,
	};

	return r.oif ? net_route_drop(e->net, &r) : 0;
}

/* --- the home link --- */

static int put_home_addr(struct mr_edge *e, const struct mr_action *a)
{
	unsigned ifindex = e->uplinks[a->uplink].ifindex;

	if (a->verified)
		return net_addr_put(
			e->net, ifindex, &a->addr, 128, IFA_F_NOPREFIXROUTE | IFA_F_NODAD);
	net_addr_drop(e->net, ifindex, &a->addr, 128); /* only a new one is tested */
	return net_addr_put(e->net, ifindex, &a->addr, 128, IFA_F_NOPREFIXROUTE | IFA_F_OPTIMISTIC);
}

static int advertise(struct mr_edge *e, const struct uplink *u, const struct in6_addr *addr)
{
	struct ndp_msg m = {.type = NDP_NA, .src = *addr, .target = *addr, .has_lladdr = true};

	m.dst = (struct in6_addr){.s6_addr = {0xff, 2, [15] = 1}};
	m.na.router = m.na.override = true;
	memcpy(m.lladdr, u->mac, 6);
	return nd_send(e->nd, &m, NULL, u->ifindex);
}

static int home(struct mr_edge *e, const struct mr_action *a)
{
	struct uplink *u = &e->uplinks[a->uplink];
	struct policy_home h = {
		.ifindex = u->ifindex, .prefix = a->home.prefix, .router = a->router};
	struct ndp_msg ask = {
		.type = NDP_NS, .dst = ndp_solicited_node(&a->addr), .target = a->addr};
	int r;

	snprintf(h.interface, sizeof(h.interface), "%s", u->name);
	switch (a->home.op) {
	case MR_HOME_ASK: return nd_send(e->nd, &ask, NULL, u->ifindex);
	case MR_HOME_LINK:
		r = policy_home_link(e->net, &h);
		if (r == 0 && a->verified)
			r = net_neigh_put(e->net, u->ifindex, &a->router, a->mac);
		return r;
	case MR_HOME_ADDR: return put_home_addr(e, a);
	case MR_HOME_ROUTE: u->router = true; return policy_home_put(e->net, e->file, &h);
	case MR_HOME_ANNOUNCE:
		if (!addr6_is_any(&u->lladdr))
			advertise(e, u, &u->lladdr);
		return advertise(e, u, &a->addr);
	case MR_HOME_END:
		u->router = false;
		r = policy_home_drop(e->net, e->file, &h);
		net_addr_drop(e->net, u->ifindex, &a->addr, 128);
		return r;
	}
	return 0;
}

static int put_tunnel(struct mr_edge *e, struct mr_action *a)
{
	const struct tunnel *t = &a->tunnel;
	struct esptun_put p = {t->remote, t->id, t->local, t->old_local, 0};
	int r = e->esptun ? esptun_put(e->esptun, &p) : 0;

	a->tunnel.oif = e->uplinks[a->tunnel.oif].ifindex;
	return r < 0 ? r : e->engine->put(e->tunnels, t);
}

static int drop_tunnel(struct mr_edge *e, const struct in6_addr *id)
{
	int r = e->engine->drop(e->tunnels, id), r2 = e->esptun ? esptun_drop(e->esptun, id) : 0;

	return r < 0 ? r : r2;
}

static int send_mh(struct mr_edge *e, const struct mr_action *a)
{
	const struct mh_env *m = &a->mh;
	int r;

	if (m->m.type == MH_BU && e->esptun)
		esptun_update(e->esptun, &m->dst, &e->file->core.hoa, &m->src, m->m.bu.seq);
	r = mhio_send(e->io, m, e->uplinks[a->uplink].ifindex);
	if (m->m.type == MH_BU) {
		e->bu_us = mr_now_us();
		handover_mark(&e->handovers, HANDOVER_bu, e->bu_us);
	}
	return r;
}

static int send_icmp6(struct mr_edge *e, const struct mr_action *a)
{
	return mhio_send_icmp6(e->io, &a->icmp6, e->uplinks[a->uplink].ifindex);
}

static int perform(struct mr_edge *e, struct mr_action *a)
{
	switch (a->type) {
	case MR_DO_SEND_MH: return send_mh(e, a);
	case MR_DO_SEND_ICMP6: return send_icmp6(e, a);
	case MR_DO_SEND_RS:
	case MR_DO_SEND_PROBE: return send_nd(e, a);
	case MR_DO_COA_PUT: return put_coa(e, a);
	case MR_DO_COA_DROP: return drop_coa(e, a);
	case MR_DO_ROUTER_PUT: return put_router(e, a);
	case MR_DO_ROUTER_DROP: return drop_router(e, a);
	case MR_DO_HOME: return home(e, a);
	case MR_DO_TUNNEL_PUT: return put_tunnel(e, a);
	case MR_DO_TUNNEL_DROP: return drop_tunnel(e, &a->tunnel.id);
	case MR_DO_PREFIXES: return hook_prefixes(e->file, a->withdraw);
	case MR_DO_NOTE:
		mr_phases_note(e, &a->note);
		mr_tell(e, &a->note);
		return 0;
	case MR_DO_EXIT: return sd_event_exit(e->event, 0);
	}
	return 0;
}

static const char *const action_names[] = {
	[MR_DO_SEND_MH] = "send a Mobility Header message",
	[MR_DO_SEND_ICMP6] = "send a discovery message",
	[MR_DO_SEND_RS] = "send a Router Solicitation",
	[MR_DO_SEND_PROBE] = "probe a router",
	[MR_DO_COA_PUT] = "add the care-of address",
	[MR_DO_COA_DROP] = "remove a care-of address",
	[MR_DO_ROUTER_PUT] = "set the default route",
	[MR_DO_ROUTER_DROP] = "remove the default route",
	[MR_DO_HOME] = "do what is due on the home link",
	[MR_DO_TUNNEL_PUT] = "set the tunnel",
	[MR_DO_TUNNEL_DROP] = "remove the tunnel",
	[MR_DO_PREFIXES] = "run prefix_hook",
};

void mr_edge_do(struct mr_edge *e, struct mr_action *a)
{
	int r = perform(e, a);

	/* Messages are repeated by the protocol's timers, the tunnel is put again with each
	 * acknowledgement; address and route come again with the next hint. */
	if (r < 0 && r != -ENODEV && r != -EADDRNOTAVAIL)
		log_warn("could not %s on %s: %s", action_names[a->type],
			e->uplinks[a->uplink].name, strerror(-r));
}

void mr_edge_finish(struct mr_edge *e)
{
	for (unsigned i = 0; i < e->out.n; i++) {
		const struct mr_action *a = &e->out.v[i];
		int r = a->type == MR_DO_COA_PUT ? policy_coa_put(e->net, &a->addr) : 0;

		if (r < 0)
			log_warn("%s: rule for a care-of address: %s", e->uplinks[a->uplink].name,
				strerror(-r));
	}
}

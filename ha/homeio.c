/* homeio.c - the home link's I/O.  Solicitations are answered by the kernel's proxy: O = 0, R as
 * told, unicast, without delay, and unicast ones of neighbours that check reachability too; packets
 * to a proxied link-local address get Destination Unreachable 3 (RFC 6275 s10.4.2). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/os/log.h"
#include "common/os/nd.h"
#include "common/os/net.h"
#include "ha/homeio.h"

struct homeio {
	const char *ifname;
	const struct ha *ha;
	struct homeio_handlers on;
	struct net *net;
	struct nd *nd;
	unsigned ifindex; /* 0 = not there */
	uint8_t mac[6];
	struct in6_addr lladdr; /* own link-local address; :: = none yet */
};

/* all/proxy_ndp: unicast solicitations and link-local addresses are looked at only with it. */
static int prepare(struct homeio *h)
{
	char delay[64];
	int r = net_sysctl6(h->ifname, "proxy_ndp", "1");

	if (r == 0)
		r = net_sysctl6("all", "proxy_ndp", "1");
	snprintf(delay, sizeof(delay), "neigh/%s/proxy_delay", h->ifname);
	if (r == 0)
		r = net_sysctl6(NULL, delay, "0"); /* not needed with one proxy: RFC 4861 s7.2.8 */
	if (r == 0)
		r = nd_attach(h->nd, h->ifindex);
	return r == 0 ? net_proxy_sweep(h->net, h->ifindex) : r;
}

static void put_again(struct homeio *h)
{
	struct in6_addr a[2];
	unsigned i = 0, n;
	bool router;

	while (ha_next_proxy(h->ha, &i, a, &n, &router))
		for (unsigned k = 0; k < n; k++)
			net_proxy_put(h->net, h->ifindex, &a[k], router);
}

static void on_link(void *arg, const struct net_link *l)
{
	struct homeio *h = arg;
	int r;

	if (l->gone ? l->ifindex != h->ifindex : strcmp(l->name, h->ifname) != 0)
		return;
	if (l->gone) {
		h->ifindex = 0;
		h->lladdr = in6addr_any;
		return;
	}
	memcpy(h->mac, l->mac, 6);
	if (l->ifindex == h->ifindex)
		return;
	h->ifindex = l->ifindex;
	r = prepare(h);
	if (r < 0)
		log_err("home link %s: %s", h->ifname, strerror(-r));
	put_again(h);
	h->on.up(h->on.arg, h->ifindex);
}

static void on_addr(void *arg, const struct net_addr *a)
{
	struct homeio *h = arg;

	if (a->ifindex != h->ifindex || !addr6_is_link_local(&a->addr))
		return;
	if (!a->gone && !a->tentative && !a->dad_failed)
		h->lladdr = a->addr;
	else if (addr6_eq(&a->addr, &h->lladdr))
		h->lladdr = in6addr_any;
}

static void on_nd(void *arg, const struct ndp_msg *m, const uint8_t *mac, unsigned ifindex)
{
	struct homeio *h = arg;
	struct ha_event ev = {.type = HA_EV_ND};

	if (ifindex != h->ifindex || (!mac && !addr6_eq(&m->src, &h->lladdr)))
		return; /* what is not our own comes by the packet socket, too */
	ev.nd.msg = *m;
	ev.nd.own = !mac;
	memcpy(ev.nd.mac, mac ? mac : h->mac, 6);
	h->on.event(h->on.arg, &ev);
}

int homeio_open(struct homeio **out, sd_event *event, const char *ifname, const struct ha *ha,
	const struct homeio_handlers *on)
{
	struct homeio *h = calloc(1, sizeof(*h));
	struct net_handlers events = {.link = on_link, .addr = on_addr, .arg = h};
	int r;

	*out = h;
	if (!h)
		return -ENOMEM;
	h->ifname = ifname;
	h->ha = ha;
	h->on = *on;
	r = nd_open(&h->nd, event, true, on_nd, h);
	if (r == 0)
		r = net_open(&h->net, event, &events);
	if (r == 0)
		r = net_dump(h->net);
	if (r == 0 && !h->ifindex)
		log_warn("home_link: %s does not exist yet: no home address is defended there",
			ifname);
	return r;
}

static int probe(struct homeio *h, const struct in6_addr *addr)
{
	struct ndp_msg m = {.type = NDP_NS, .dst = ndp_solicited_node(addr), .target = *addr};
	int r = nd_join(h->nd, h->ifindex, addr);

	if (r < 0) /* an answer comes to all nodes; only another's detection may be missed */
		log_debug("home link %s: joining a group: %s", h->ifname, strerror(-r));
	return nd_send(h->nd, &m, NULL, h->ifindex);
}

static int announce(struct homeio *h, const struct in6_addr *addr, bool router)
{
	struct ndp_msg m = {.type = NDP_NA, .src = h->lladdr, .target = *addr, .has_lladdr = true};

	if (addr6_is_any(&h->lladdr))
		return -EADDRNOTAVAIL;
	m.dst = (struct in6_addr){.s6_addr = {0xff, 2, [15] = 1}};
	m.na.router = router;
	m.na.override = true;
	memcpy(m.lladdr, h->mac, 6);
	return nd_send(h->nd, &m, NULL, h->ifindex);
}

int homeio_do(struct homeio *h, const struct ha_action *a)
{
	const struct in6_addr *addr = &a->home.addr;

	if (!h->ifindex)
		return -ENODEV;
	switch (a->home.op) {
	case HA_HOME_PROBE: return probe(h, addr);
	case HA_HOME_PROBE_END: nd_leave(h->nd, h->ifindex, addr); return 0;
	case HA_HOME_PROXY: return net_proxy_put(h->net, h->ifindex, addr, a->home.router);
	case HA_HOME_PROXY_END: return net_proxy_drop(h->net, h->ifindex, addr);
	case HA_HOME_ANNOUNCE: return announce(h, addr, a->home.router);
	}
	return 0;
}

int homeio_anycast(struct homeio *h, const struct in6_addr *addr)
{
	return nd_join_anycast(h->nd, h->ifindex, addr);
}

unsigned homeio_ifindex(const struct homeio *h)
{
	return h->ifindex;
}

void homeio_serve(struct homeio *h, const struct ha *ha)
{
	h->ha = ha;
}

void homeio_close(struct homeio *h, bool keep)
{
	if (!h)
		return;
	if (h->net && h->ifindex && !keep)
		net_proxy_sweep(h->net, h->ifindex);
	nd_close(h->nd);
	net_close(h->net);
	free(h);
}

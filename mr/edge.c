/* edge.c - the mobile router's I/O: events from the kernel, packets, timers and commands in;
 * packets, addresses, routes, the tunnel and notes out.  No protocol decision is made here. */
#include <errno.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "common/os/mhio.h"
#include "common/os/nd.h"
#include "common/os/net.h"
#include "common/os/protect.h"
#include "common/os/tell.h"
#include "mr/edge.h"
#include "mr/handover.h"
#include "mr/hook.h"
#include "mr/policy.h"

#define DEV_NAME        "nemo0"
#define DEFAULT_MTU     1500
#define MAX_UPDATE_RATE 3       /* messages a second, RFC 6275 s12 */
#define WATCH_US        1000    /* how often the tunnel is looked at for the first packet */
#define WATCH_MAX       3000000 /* and how long after the move, microseconds */

struct uplink {
	const char *name;       /* borrowed from the configuration */
	unsigned ifindex;       /* 0 = no such interface now */
	struct in6_addr lladdr; /* own link-local address; :: = none yet */
	bool optimistic; /* it is; then it may not be the source of a probe (RFC 4429 s3.2) */
	uint8_t mac[6];
	uint32_t carrier_downs; /* as last told */
};

struct mr_edge {
	const struct mr_file *file;
	sd_event *event;
	struct mr *mr;
	struct net *net;
	struct nd *nd;
	struct mhio *io;
	struct protect *protect;
	struct ctl *ctl;
	const struct tunnel_engine *engine;
	struct tunnel_set *tunnels;
	struct uplink uplinks[MR_MAX_UPLINKS];
	sd_event_source *timer, *watch;
	struct handovers handovers;
	uint64_t watch_rx;      /* packets received through the tunnel when the watch began */
	uint64_t watch_until;   /* us */
	uint64_t ra_us;         /* the event being worked on is this RA's; 0 = another */
	uint64_t step_us;       /* when the event being worked on came */
	uint64_t coa_us, bu_us; /* of such actions in this step; 0 = none */
	uint64_t started;       /* ms */
	bool keep, exiting;
	struct mr_out out;
};

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* --- actions --- */

static int send_nd(struct mr_edge *e, const struct mr_action *a)
{
	const struct uplink *u = &e->uplinks[a->uplink];
	struct ndp_msg m = {.type = NDP_RS, .src = u->lladdr};

	if (a->type == MR_DO_SEND_RS) { /* no SLLAO: RFC 6059 s5.6.2 */
		if (addr6_is_any(&u->lladdr))
			return 0; /* from :: the answer would be a late multicast: MR_EV_SOURCE
				     comes */
		m.dst = (struct in6_addr){.s6_addr = {0xff, 2, [15] = 2}};
		handover_rs(&e->handovers, now_us());
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
	const struct uplink *u = &e->uplinks[a->uplink];
	uint32_t flags = IFA_F_NOPREFIXROUTE | (a->verified ? IFA_F_NODAD : IFA_F_OPTIMISTIC);
	int r = net_addr_put(e->net, u->ifindex, &a->addr, 128, flags);

	e->coa_us = now_us();
	if (r == 0)
		r = policy_coa_put(e->net, &a->addr);
	if (r < 0)
		return r;
	return sig_local_put(mhio_sig(e->io), &a->addr);
}

static int drop_coa(struct mr_edge *e, const struct mr_action *a)
{
	sig_local_drop(mhio_sig(e->io), &a->addr);
	policy_coa_drop(e->net, &a->addr);
	return net_addr_drop(e->net, e->uplinks[a->uplink].ifindex, &a->addr, 128);
}

static int put_router(struct mr_edge *e, const struct mr_action *a)
{
	unsigned ifindex = e->uplinks[a->uplink].ifindex;
	struct net_route r = {
		.table = 254,
		.via = a->router,
		.oif = ifindex,
		.metric = a->metric,
		.src = a->addr,
		/* More than the device takes would be believed. */
		.mtu = a->mtu < net_mtu(e->uplinks[a->uplink].name) ? a->mtu : 0,
	};

	net_neigh_put(e->net, ifindex, &a->router, a->mac);
	return net_route_put(e->net, &r);
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
	const struct uplink *u = &e->uplinks[a->uplink];
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
	case MR_HOME_ROUTE: return policy_home_put(e->net, e->file, &h);
	case MR_HOME_ANNOUNCE:
		if (!addr6_is_any(&u->lladdr))
			advertise(e, u, &u->lladdr);
		return advertise(e, u, &a->addr);
	case MR_HOME_END:
		r = policy_home_drop(e->net, e->file, &h);
		net_addr_drop(e->net, u->ifindex, &a->addr, 128);
		return r;
	}
	return 0;
}

static int put_tunnel(struct mr_edge *e, struct mr_action *a)
{
	a->tunnel.oif = e->uplinks[a->tunnel.oif].ifindex;
	return e->engine->put(e->tunnels, &a->tunnel);
}

static int send_mh(struct mr_edge *e, const struct mr_action *a)
{
	int r = mhio_send(e->io, &a->mh, e->uplinks[a->uplink].ifindex);

	if (a->mh.m.type == MH_BU) {
		e->bu_us = now_us();
		handover_mark(&e->handovers, HANDOVER_bu, e->bu_us);
	}
	return r;
}

/* --- phases of a move --- */

static uint64_t tunnel_rx(struct mr_edge *e)
{
	struct tunnel_stats st = {0};

	e->engine->stats(e->tunnels, &e->file->core.hoa, &st);
	return st.rx_packets;
}

static void watch_traffic(struct mr_edge *e)
{
	e->watch_rx = tunnel_rx(e);
	e->watch_until = now_us() + WATCH_MAX;
	sd_event_source_set_time(e->watch, now_us() + WATCH_US);
	sd_event_source_set_enabled(e->watch, SD_EVENT_ONESHOT);
}

static void tell_handover(struct mr_edge *e)
{
	const struct handover *v = handover_last(&e->handovers);
	struct note n = {
		.type = NOTE_HANDOVER_DONE,
		.name = e->file->core.name,
		.hoa = e->file->core.hoa,
		.coa = v->to,
		.old_coa = v->from,
		.status = -1,
	};

	handover_text(v, n.text, sizeof(n.text));
	tell_note(e->ctl, "nemo-mr", &n);
}

static int on_watch(sd_event_source *s, uint64_t usec, void *arg)
{
	struct mr_edge *e = arg;
	uint64_t now = now_us();

	(void)usec;
	if (tunnel_rx(e) != e->watch_rx) {
		handover_mark(&e->handovers, HANDOVER_first_packet, now);
		tell_handover(e);
	} else if (now >= e->watch_until) {
		tell_handover(e); /* nobody talks to the network */
	} else {
		sd_event_source_set_time(s, now + WATCH_US);
		sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	}
	return 0;
}

static void begin_handover(struct mr_edge *e, const struct note *n)
{
	struct handover *v = handover_begin(&e->handovers, e->step_us);
	struct timespec ts;
	const char *cause;
	unsigned uplink;
	struct in6_addr coa = mr_care_of(e->mr, &uplink, &v->known_link, &cause);

	clock_gettime(CLOCK_REALTIME, &ts);
	v->wall_ms = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	v->from = n->old_coa;
	v->to = addr6_is_any(&coa) ? n->coa : coa; /* lost again in the same step */
	snprintf(v->cause, sizeof(v->cause), "%s", cause);
	snprintf(v->uplink, sizeof(v->uplink), "%s", e->uplinks[uplink].name);
	v->us[HANDOVER_ra] = e->ra_us;
	v->us[HANDOVER_coa] = e->coa_us;
	v->us[HANDOVER_bu] = e->bu_us;
	watch_traffic(e);
}

static void take_note(struct mr_edge *e, const struct note *n)
{
	switch (n->type) {
	case NOTE_MR_HINT: handover_hint(&e->handovers, e->step_us); break;
	case NOTE_MR_CONFIRMED: handover_forget(&e->handovers); break;
	case NOTE_MR_MOVED: begin_handover(e, n); break;
	case NOTE_MR_HOME: handover_mark(&e->handovers, HANDOVER_ba, now_us()); break;
	case NOTE_MR_REGISTERED:
		handover_mark(&e->handovers, HANDOVER_ba, now_us());
		if (handover_last(&e->handovers) &&
			!handover_last(&e->handovers)->us[HANDOVER_first_packet])
			watch_traffic(e);
		break;
	case NOTE_BINDING_ACCEPTED:
	case NOTE_BINDING_MOVED:
	case NOTE_BINDING_REFRESHED:
	case NOTE_BINDING_CLOSED:
	case NOTE_BINDING_EXPIRED:
	case NOTE_BINDING_REJECTED:
	case NOTE_ROUTE_LEARNED:
	case NOTE_ROUTE_WITHDRAWN:
	case NOTE_ROUTE_REFUSED:
	case NOTE_HOME_CONFLICT:
	case NOTE_BINDING_REVOKED:
	case NOTE_HA_BARRED:
	case NOTE_HA_ALLOWED:
	case NOTE_HA_DRAINING:
	case NOTE_HA_DRAINED:
	case NOTE_HA_SERVING:
	case NOTE_PEER_RESTARTED:
	case NOTE_PEER_SILENT:
	case NOTE_PEER_ANSWERS:
	case NOTE_MR_REVOKED:
	case NOTE_MR_SWITCH:
	case NOTE_MR_LEFT:
	case NOTE_MR_LINK:
	case NOTE_MR_DISCOVERED:
	case NOTE_MR_PREFIX:
	case NOTE_MR_HOME_ENDS:
	case NOTE_MR_LOST:
	case NOTE_MR_REFRESHED:
	case NOTE_MR_RETRY:
	case NOTE_MR_ASKED:
	case NOTE_MR_REFUSED:
	case NOTE_MR_EXPIRED:
	case NOTE_MR_CLOSED:
	case NOTE_MR_DAD_FAILED:
	case NOTE_HANDOVER_DONE:
	case NOTE_N: break;
	}
	tell_note(e->ctl, "nemo-mr", n);
}

static int send_icmp6(struct mr_edge *e, const struct mr_action *a)
{
	return mhio_send_icmp6(e->io, &a->icmp6, e->uplinks[a->uplink].ifindex);
}

static int perform_one(struct mr_edge *e, struct mr_action *a)
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
	case MR_DO_TUNNEL_DROP: return e->engine->drop(e->tunnels, &a->tunnel.id);
	case MR_DO_PREFIXES: return hook_prefixes(e->file, a->withdraw);
	case MR_DO_NOTE: take_note(e, &a->note); return 0;
	case MR_DO_EXIT: e->exiting = true; return sd_event_exit(e->event, 0);
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

static void run(struct mr_edge *e, const struct mr_event *ev)
{
	uint64_t at;

	e->coa_us = e->bu_us = 0;
	e->step_us = now_us();
	mr_step(e->mr, ev, daemon_now(), &e->out);
	for (unsigned i = 0; i < e->out.n; i++) {
		struct mr_action *a = &e->out.v[i];
		int r = perform_one(e, a);

		/* Messages are repeated by the protocol's timers, the tunnel is put again with each
		 * acknowledgement; address and route come again with the next hint. */
		if (r < 0 && r != -ENODEV && r != -EADDRNOTAVAIL)
			log_warn("could not %s on %s: %s", action_names[a->type],
				e->uplinks[a->uplink].name, strerror(-r));
	}
	at = mr_deadline(e->mr);
	if (at != UINT64_MAX)
		sd_event_source_set_time(e->timer, at * 1000);
	sd_event_source_set_enabled(e->timer, at == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* --- events --- */

static int find_uplink(const struct mr_edge *e, unsigned ifindex)
{
	for (unsigned i = 0; i < e->file->core.n_uplinks; i++)
		if (ifindex && e->uplinks[i].ifindex == ifindex)
			return (int)i;
	return -1;
}

/* Towards the visited network a mobile router is a host: it takes RAs (we do, not the kernel), is
 * no member of the all-routers groups (RFC 3963 s5.7), and may use an address while DAD runs. */
static void prepare_uplink(struct mr_edge *e, struct uplink *u)
{
	static const struct {
		const char *key, *value;
	} sysctls[] = {
		{"accept_ra", "0"},
		{"autoconf", "0"},
		{"forwarding", "0"},
		{"optimistic_dad", "1"},
		{"use_optimistic", "1"},
	};
	int r;

	for (size_t i = 0; i < sizeof(sysctls) / sizeof(sysctls[0]); i++) {
		r = net_sysctl6(u->name, sysctls[i].key, sysctls[i].value);
		if (r < 0)
			log_warn("uplink %s: sysctl %s: %s", u->name, sysctls[i].key, strerror(-r));
	}
	/* Away, a home agent with an address of the home link is no neighbour. */
	policy_home_forget(e->net, e->file, u->ifindex);
	r = e->engine->attach(e->tunnels, u->ifindex);
	if (r == 0)
		r = sig_attach(mhio_sig(e->io), u->ifindex);
	if (r < 0)
		log_err("uplink %s: engine %s: %s", u->name, e->engine->name, strerror(-r));
}

static void on_link(void *arg, const struct net_link *l)
{
	struct mr_edge *e = arg;

	for (unsigned i = 0; i < e->file->core.n_uplinks; i++) {
		struct uplink *u = &e->uplinks[i];
		struct mr_event ev = {.type = MR_EV_LINK, .uplink = i};

		if (l->gone ? u->ifindex != l->ifindex : strcmp(u->name, l->name) != 0)
			continue;
		memcpy(ev.link.mac, l->mac, 6);
		/* Down in between: another interface of that name, or a flap short enough for the
		 * kernel to tell of both ends in one message. */
		if (u->ifindex && !l->gone &&
			(u->ifindex != l->ifindex || u->carrier_downs != l->carrier_downs))
			run(e, &ev);
		u->carrier_downs = l->carrier_downs;
		memcpy(u->mac, l->mac, 6);
		if (!l->gone && u->ifindex != l->ifindex) {
			u->ifindex = l->ifindex;
			u->lladdr = in6addr_any;
			prepare_uplink(e, u);
		}
		ev.link.running = l->running && !l->gone;
		ev.link.notify_peers = l->notify_peers;
		run(e, &ev);
		if (l->gone) {
			u->ifindex = 0;
			u->lladdr = in6addr_any;
		}
	}
}

/* The kernel's DAD of a link-local address takes a second after each loss of carrier.  It is made
 * of the MAC, so it may be optimistic meanwhile; solicitations then have a source that is answered.
 */
static void on_link_local(struct mr_edge *e, unsigned i, const struct net_addr *a)
{
	struct uplink *u = &e->uplinks[i];
	bool had = !addr6_is_any(&u->lladdr), tentative = a->tentative;

	u->optimistic = a->optimistic;
	if (tentative && e->file->core.dad == MR_DAD_OPTIMISTIC &&
		net_addr_put(e->net, u->ifindex, &a->addr, 64, IFA_F_OPTIMISTIC) == 0) {
		tentative = false; /* the kernel sends no message about this change */
		u->optimistic = true;
	}
	if (a->gone || a->dad_failed || tentative) {
		u->lladdr = in6addr_any;
		return;
	}
	u->lladdr = a->addr;
	if (!had) {
		struct mr_event ev = {.type = MR_EV_SOURCE, .uplink = i};

		run(e, &ev);
	}
}

/* An address of ours in a mobile network: nobody else there may use it as source. */
static void on_inside_addr(struct mr_edge *e, const struct net_addr *a)
{
	char name[IFNAMSIZ];
	int r = 0;

	if (addr6_is_link_local(&a->addr) || !if_indextoname(a->ifindex, name))
		return;
	for (unsigned i = 0; i < e->file->core.n_networks && r == 0; i++)
		if (strcmp(e->file->core.networks[i].interface, name) == 0)
			r = (a->gone ? policy_inside_drop : policy_inside_put)(
				e->net, name, &a->addr);
	if (r < 0)
		log_warn("%s: rule against forged sources: %s", name, strerror(-r));
}

static void on_addr(void *arg, const struct net_addr *a)
{
	struct mr_edge *e = arg;
	int i = find_uplink(e, a->ifindex);

	if (i < 0) {
		on_inside_addr(e, a);
		return;
	}
	if (addr6_is_link_local(&a->addr)) {
		on_link_local(e, (unsigned)i, a);
	} else if (a->dad_failed) {
		struct mr_event ev = {.type = MR_EV_ADDR, .uplink = (unsigned)i, .addr = a->addr};

		run(e, &ev);
	}
}

static void on_neigh(void *arg, const struct net_neigh *n)
{
	struct mr_edge *e = arg;
	int i = find_uplink(e, n->ifindex);
	struct mr_event ev = {.type = MR_EV_NEIGH, .uplink = (unsigned)i, .addr = n->addr};

	if (i >= 0 && n->failed)
		run(e, &ev);
}

static void on_nd(void *arg, const struct ndp_msg *m, const uint8_t *mac, unsigned ifindex)
{
	struct mr_edge *e = arg;
	int i = find_uplink(e, ifindex);
	struct mr_event ev = {.type = MR_EV_ND, .uplink = (unsigned)i};

	if (i < 0)
		return;
	e->ra_us = m->type == NDP_RA ? now_us() : 0;
	memcpy(ev.nd.mac, mac, 6);
	ev.nd.msg = *m;
	run(e, &ev);
	e->ra_us = 0;
}

static void on_message(void *arg, const struct mh_env *m)
{
	struct mr_event ev = {.type = MR_EV_MH, .mh = *m};

	run(arg, &ev);
}

static void on_icmp6(void *arg, const struct icmp6_msg *m)
{
	struct mr_event ev = {.type = MR_EV_ICMP6, .icmp6 = *m};

	run(arg, &ev);
}

static bool on_routing_header(void *arg, const struct in6_addr *hoa, const struct in6_addr *coa)
{
	const struct mr_edge *e = arg;

	(void)coa;
	return addr6_eq(hoa, &e->file->core.hoa);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct mr_event ev = {.type = MR_EV_TICK};

	(void)s;
	(void)usec;
	run(arg, &ev);
	return 0;
}

/* --- commands --- */

static json_t *cmd_status(void *arg, const json_t *req, char *err)
{
	struct mr_edge *e = arg;
	const struct handover *last = handover_last(&e->handovers);
	json_t *s = mr_show(e->mr, daemon_now());

	(void)req;
	(void)err;
	json_object_set_new(s, "daemon", json_string("nemo-mr"));
	json_object_set_new(s, "version", json_string(NEMO_VERSION));
	json_object_set_new(s, "engine", json_string(e->engine->name));
	json_object_set_new(s, "protection", json_string(sec_modes[e->file->protection]));
	json_object_set_new(
		s, "uptime_s", json_integer((json_int_t)((daemon_now() - e->started) / 1000)));
	json_object_set_new(s, "handovers", json_integer((json_int_t)e->handovers.n));
	json_object_set_new(s, "last_handover", last ? handover_show(last) : json_null());
	return s;
}

static json_t *cmd_handovers(void *arg, const json_t *req, char *err)
{
	struct mr_edge *e = arg;

	(void)req;
	(void)err;
	return handovers_show(&e->handovers);
}

static json_t *cmd_rehome(void *arg, const json_t *req, char *err)
{
	struct mr_edge *e = arg;
	const char *want = json_string_value(json_object_get(req, "uplink"));
	json_t *done = json_array();

	for (unsigned i = 0; i < e->file->core.n_uplinks; i++) {
		struct mr_event ev = {.type = MR_EV_REHOME, .uplink = i};

		if (want && strcmp(want, e->uplinks[i].name) != 0)
			continue;
		run(e, &ev);
		json_array_append_new(done, json_string(e->uplinks[i].name));
	}
	if (json_array_size(done))
		return json_pack("{so}", "uplinks", done);
	json_decref(done);
	snprintf(err, 256, "no uplink is called %s; `nemoctl mr status` lists them", want);
	return NULL;
}

static json_t *cmd_stop(void *arg, const json_t *req, char *err)
{
	(void)err;
	mr_edge_stop(arg, json_is_true(json_object_get(req, "keep")));
	return json_object();
}

static json_t *cmd_stats(void *arg, const json_t *req, char *err)
{
	static const struct {
		const char *name, *help;
	} c[] = {
#define X(name, text) {#name, text},
		MR_COUNTERS(X)
#undef X
	};
	struct mr_edge *e = arg;
	json_t *list = json_array();

	(void)req;
	(void)err;
	for (unsigned i = 0; i < MR_N_COUNTERS; i++)
		tell_counter(list, "protocol", c[i].name, mr_counter(e->mr, i), c[i].help);
	tell_counter(list, "protocol", "nd_bad", nd_dropped(e->nd),
		"router and neighbour advertisements that failed the checks of RFC 4861");
	tell_mhio(list, e->io);
	protect_stats(e->protect, list);
	tell_tunnel(list, e->engine, e->tunnels);
	return json_pack("{so}", "counters", list);
}

static const struct ctl_cmd commands[] = {
	{"status", "what this daemon is and does", cmd_status, false},
	{"handovers", "the last moves and their phases", cmd_handovers, false},
	{"rehome", "look for the link anew: {\"uplink\": NAME} or all", cmd_rehome, true},
	{"stop", "end; {\"keep\": true} leaves the binding for a restart", cmd_stop, true},
	{"stats", "every counter with its meaning", cmd_stats, false},
	{0},
};

/* --- start and stop --- */

static unsigned inner_mtu(const struct mr_file *f)
{
	unsigned least = 65495 + TUNNEL_OVERHEAD;

	for (unsigned i = 0; i < f->core.n_uplinks; i++) {
		const char *name = f->core.uplinks[i].interface;
		unsigned m = net_mtu(name);

		if (!m)
			m = DEFAULT_MTU; /* not there yet */
		if (m < 1280 + TUNNEL_OVERHEAD)
			log_info(TUNNEL_MTU_NOTE, name, m, m - TUNNEL_OVERHEAD);
		if (m < least)
			least = m;
	}
	return f->mtu ? f->mtu : tunnel_mtu(least);
}

static int open_protection(struct mr_edge *e)
{
	const struct mr_file *f = e->file;
	int r = protect_open(&e->protect, false, (enum sec_mode)f->protection, f->replay_file);

	if (r == 0 && f->protection == SEC_ESP)
		r = protect_keying(e->protect, e->event, NULL, f->key_port);
	/* Of every home agent: they may be found later. */
	return r < 0 ? r
		     : protect_add_any(e->protect, &f->core.hoa, f->core.name,
			       (enum sec_mode)f->protection, &f->keys);
}

static int open_tunnel(struct mr_edge *e)
{
	struct tunnel_conf tc = {
		.role = TUNNEL_MR,
		.event = e->event,
		.encap_limit = e->file->encap_limit,
		.dev = DEV_NAME,
		.table = e->file->table,
		.mtu = inner_mtu(e->file),
	};
	enum sig_mode mode;
	char why[256] = "";
	int r = tunnel_open(mr_conf_engine(e->file), &tc, &e->engine, &e->tunnels, why);

	if (r < 0) {
		log_err("engine: %s can't be used here: %s", mr_conf_engine(e->file),
			why[0] ? why : strerror(-r));
		return r;
	}
	mode = e->engine == &tunnel_ip6tnl ? SIG_PACKET : SIG_BPF;
	r = mhio_open(&e->io, mode, e->event, on_message, e, why);
	if (r < 0) {
		log_err("signalling capture: %s", why[0] ? why : strerror(-r));
		return r;
	}
	protect_attach(e->protect, e->io);
	mhio_limit_errors(e->io, MAX_UPDATE_RATE);
	mhio_on_icmp6(e->io, on_icmp6);
	/* What the home agent says to the home address: it comes out of the tunnel. */
	r = sig_attach(mhio_sig(e->io), if_nametoindex(DEV_NAME));
	if (r == 0)
		r = sig_local_put(mhio_sig(e->io), &e->file->core.hoa);
	if (r == 0)
		r = mhio_take(e->io, SIG_TAKE_RH2, on_routing_header);
	if (r == 0)
		r = net_addr_put(
			e->net, if_nametoindex(DEV_NAME), &e->file->core.hoa, 128, IFA_F_NODAD);
	if (r < 0) {
		log_err("device %s: %s", DEV_NAME, strerror(-r));
		return r;
	}
	log_info("engine %s, device %s, inner MTU %u", e->engine->name, DEV_NAME, tc.mtu);
	return 0;
}

/* Messages were lost and a dump can't show what is gone. */
static void on_resync(void *arg)
{
	struct mr_edge *e = arg;
	char name[IFNAMSIZ];

	for (unsigned i = 0; i < e->file->core.n_uplinks; i++) {
		struct net_link gone = {.ifindex = e->uplinks[i].ifindex, .gone = true};

		if (gone.ifindex && !if_indextoname(gone.ifindex, name))
			on_link(e, &gone);
	}
}

static int open_kernel(struct mr_edge *e)
{
	struct net_handlers on = {
		.link = on_link, .addr = on_addr, .neigh = on_neigh, .resync = on_resync, .arg = e};
	int r = net_open(&e->net, e->event, &on);

	if (r == 0)
		r = policy_put(e->net, e->file); /* before anything could leak */
	if (r == 0)
		r = net_sysctl6("all", "forwarding", "1");
	if (r == 0)
		r = nd_open(&e->nd, e->event, false, on_nd, e);
	if (r < 0)
		log_err("kernel: %s", strerror(-r));
	return r;
}

int mr_edge_open(struct mr_edge **out, sd_event *event, const struct mr_file *file)
{
	struct mr_edge *e = calloc(1, sizeof(*e));
	uint64_t seed;
	int r;

	if (!e)
		return -ENOMEM;
	*out = e;
	e->file = file;
	e->event = event;
	e->started = daemon_now();
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	e->mr = mr_new(&file->core, seed);
	if (!e->mr)
		return -ENOMEM;
	mr_set_restart(e->mr, daemon_restart_counter());
	for (unsigned i = 0; i < file->core.n_uplinks; i++)
		e->uplinks[i].name = file->core.uplinks[i].interface;
	r = sd_event_add_time(event, &e->timer, CLOCK_BOOTTIME, UINT64_MAX, 1, on_timer, e);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &e->watch, CLOCK_BOOTTIME, UINT64_MAX, 1, on_watch, e);
	if (r < 0)
		return r;
	sd_event_source_set_enabled(e->watch, SD_EVENT_OFF);
	/* First of all: a second mobile router must not take the first one's tunnels. */
	r = ctl_open(&e->ctl, event, file->control, commands, e);
	if (r < 0) {
		log_err("control: %s: %s", file->control, strerror(-r));
		return r;
	}
	r = ctl_groups(e->ctl, file->control_group, file->control_readers);
	if (r < 0)
		return r;
	r = daemon_lock(DEV_NAME);
	if (r < 0)
		return r;
	r = open_kernel(e);
	if (r < 0)
		return r;
	r = open_protection(e);
	if (r < 0)
		return r;
	r = open_tunnel(e);
	if (r < 0)
		return r;
	/* A tunnel of an earlier run (-k) goes on; that of another home address does not. */
	r = tunnel_sweep(e->engine, e->tunnels, &file->core.hoa);
	if (r < 0)
		return r;
	if (r == 1)
		mr_adopt(e->mr, daemon_now());
	return net_dump(e->net);
}

void mr_edge_stop(struct mr_edge *e, bool keep)
{
	struct mr_event ev = {.type = MR_EV_STOP, .keep = keep};

	e->keep = keep;
	run(e, &ev);
}

void mr_edge_close(struct mr_edge *e)
{
	if (!e)
		return;
	sd_event_source_disable_unref(e->timer);
	sd_event_source_disable_unref(e->watch);
	ctl_close(e->ctl);
	mhio_close(e->io);
	protect_close(e->protect);
	if (e->engine)
		e->engine->close(e->tunnels, e->keep);
	nd_close(e->nd);
	net_close(e->net);
	mr_free(e->mr);
	free(e);
}

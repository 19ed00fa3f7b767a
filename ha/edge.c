/* edge.c - the home agent's I/O: packets, timers and commands in; packets, tunnels, routes and
 * notes out.  No protocol decision is made here. */
#include <errno.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "ha/edge_state.h"

#define DEV_NAME    "nemo0"
#define METRIC_LAST 0xfffffff0u /* of the unreachable aggregate: anything else goes first */
#define METRIC_HOME 0xffffff00u /* of networks at home: tunnels go first */

static int put_tunnel(struct ha_edge *e, const struct tunnel *t)
{
	struct esptun_put p = {t->local, t->id, t->remote, in6addr_any, t->seq};
	int r = e->esptun ? esptun_put(e->esptun, &p) : 0;

	return r < 0 ? r : e->engine->put(e->tunnels, t);
}

static int drop_tunnel(struct ha_edge *e, const struct in6_addr *id)
{
	int r = e->engine->drop(e->tunnels, id), r2 = e->esptun ? esptun_drop(e->esptun, id) : 0;

	return r < 0 ? r : r2;
}

/* What has to survive is written first: an answer says that it is kept. */
static void step(struct ha_edge *e, const struct ha_event *ev)
{
	bool order = ev->type == HA_EV_REVOKE || ev->type == HA_EV_ALLOW;

	ha_step(e->ha, ev, daemon_now(), &e->out);
	ha_keep_changed(e, order ? STORE_SYNC : STORE_FAST);
	if (ev->type == HA_EV_DRAIN || ev->type == HA_EV_UNDRAIN)
		ha_keep_own(e);
	ha_edge_do(e);
}

void ha_edge_do(struct ha_edge *e)
{
	for (unsigned i = 0; i < e->out.n; i++) {
		struct ha_action *a = &e->out.v[i];
		int r = 0;

		switch (a->type) {
		case HA_DO_SEND:
			mhio_send(e->io, &a->mh, a->on_link ? homeio_ifindex(e->home) : 0);
			break;
		case HA_DO_SEND_ICMP6: mhio_send_icmp6(e->io, &a->icmp6, 0); break;
		case HA_DO_HOME:
			if (e->home)
				r = homeio_do(e->home, a);
			break;
		case HA_DO_TUNNEL_DROP: r = drop_tunnel(e, &a->tunnel.id); break;
		case HA_DO_NOTE: tell_note(e->ctl, "nemo-ha", &a->note); break;
		case HA_DO_TUNNEL_PUT:
			r = put_tunnel(e, &a->tunnel);
			if (r < 0) {
				struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = r};

				log_err("tunnel: engine %s: %s", e->engine->name, strerror(-r));
				step(e, &failed);
				return;
			}
			break;
		}
		if (r < 0 && a->type == HA_DO_HOME)
			log_warn("home link %s: %s", e->file->home_link, strerror(-r));
		else if (r < 0)
			log_err("tunnel: engine %s: %s", e->engine->name, strerror(-r));
	}
}

static void rearm(struct ha_edge *e)
{
	uint64_t at = ha_deadline(e->ha);

	if (at == UINT64_MAX) {
		sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(e->timer, at * 1000);
	sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

void ha_edge_run(struct ha_edge *e, const struct ha_event *ev)
{
	step(e, ev);
	rearm(e);
}

static void on_message(void *arg, const struct mh_env *m)
{
	struct ha_event ev = {.type = HA_EV_MH, .mh = *m};

	ha_edge_run(arg, &ev);
}

static void on_event(void *arg, const struct ha_event *ev)
{
	ha_edge_run(arg, ev);
}

/* Networks of routers that are at home, or nowhere (RFC 3963 s3).  While one is bound its tunnel's
 * routes go first. */
static int home_routes(struct ha_edge *e, int (*change)(struct net *, const struct net_route *))
{
	const struct ha_conf *c = &e->file->core;
	int r = 0;

	for (unsigned i = 0; i < c->n_routers && e->file->home_routes && r == 0; i++) {
		const struct ha_router *router = &c->routers[i];

		for (unsigned k = 0; k < router->n_prefixes && r == 0; k++) {
			struct net_route route = {
				.dst = router->prefixes[k],
				.table = RT_TABLE_MAIN,
				.via = router->hoa,
				.oif = homeio_ifindex(e->home),
				.metric = METRIC_HOME,
			};

			if (home_on_link(e->ha, &router->hoa))
				r = change(e->net, &route);
		}
	}
	return r;
}

void ha_home_routes_changed(struct ha_edge *e, const struct ha_file *was)
{
	struct ha_file now = *e->file;
	int r;

	if (!e->home || !homeio_ifindex(e->home))
		return;
	*e->file = *was;
	home_routes(e, net_route_drop); /* a moment only: who is bound has a better route */
	*e->file = now;
	r = home_routes(e, net_route_put);
	if (r < 0)
		log_err("home_routes: %s: %s", e->file->home_link, strerror(-r));
}

/* A router that comes home de-registers from there. */
static void on_home_up(void *arg, unsigned ifindex)
{
	struct ha_edge *e = arg;
	int r = sig_attach(mhio_sig(e->io), ifindex);

	if (r < 0)
		log_err("home link %s: signalling capture: %s", e->file->home_link, strerror(-r));
	r = home_routes(e, net_route_put);
	if (r < 0)
		log_err("home_routes: %s: %s", e->file->home_link, strerror(-r));
	/* Its routers ask there who has the anycast address (RFC 6275 s10.5.1). */
	for (unsigned i = 0; i < e->file->core.n_home; i++) {
		struct in6_addr anycast = icmp6_anycast(&e->file->core.home[i]);

		r = homeio_anycast(e->home, &anycast);
		if (r < 0)
			log_warn("home link %s: anycast address: %s", e->file->home_link,
				strerror(-r));
	}
}

static void on_icmp6(void *arg, const struct icmp6_msg *m)
{
	struct ha_event ev = {.type = HA_EV_ICMP6, .icmp6 = *m};

	ha_edge_run(arg, &ev);
}

static bool on_home_option(void *arg, const struct in6_addr *hoa, const struct in6_addr *coa)
{
	const struct ha_edge *e = arg;

	return ha_bound_at(e->ha, hoa, coa);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct ha_event ev = {.type = HA_EV_TICK};

	(void)s;
	(void)usec;
	ha_edge_run(arg, &ev);
	return 0;
}

/* --- start and stop --- */

static int check_interfaces(const struct ha_file *f, unsigned *mtu)
{
	unsigned least = 65495 + TUNNEL_OVERHEAD;
	int bad = 0;

	for (unsigned i = 0; i < f->n_interfaces; i++) {
		unsigned m = net_mtu(f->interfaces[i]);

		if (!m) {
			log_err("interfaces: %s does not exist; `ip link` shows those that do",
				f->interfaces[i]);
			bad = -ENODEV;
			continue;
		}
		if (m < 1280 + TUNNEL_OVERHEAD)
			log_info(TUNNEL_MTU_NOTE, f->interfaces[i], m, m - TUNNEL_OVERHEAD);
		if (m < least)
			least = m;
	}
	if (f->payload == SEC_PAYLOAD_ESP)
		least -= ESPTUN_OVERHEAD;
	*mtu = f->mtu ? f->mtu : tunnel_mtu(least);
	return bad;
}

/* Tells the core which addresses are ours; ours must be among them. */
static int own_addresses(struct ha_edge *e)
{
	struct in6_addr own[256]; /* more are not refused as care-of addresses */
	struct ifaddrs *all, *a;
	char s[INET6_ADDRSTRLEN];
	bool found = false;
	unsigned n = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (a = all; a && n < sizeof(own) / sizeof(own[0]); a = a->ifa_next) {
		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET6)
			continue;
		own[n] = ((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr;
		found |= addr6_eq(&own[n++], &e->file->core.address);
	}
	freeifaddrs(all);
	if (!found)
		log_warn("address: %s is on no interface of this host: routers can't reach it; add "
			 "it with `ip -6 addr add`",
			addr6_str(&e->file->core.address, s));
	return ha_set_own(e->ha, own, n);
}

static int open_tunnels(struct ha_edge *e, unsigned mtu)
{
	struct tunnel_conf tc = {
		.role = TUNNEL_HA,
		.event = e->event,
		.encap_limit = e->file->encap_limit,
		.dev = DEV_NAME,
		.table = RT_TABLE_MAIN,
		.mtu = mtu,
		.n_allow = e->file->n_allow,
		.allow = e->file->allow_ids,
		.esp = e->file->payload == SEC_PAYLOAD_ESP,
	};
	char why[256] = "";
	int r = tunnel_open(ha_conf_engine(e->file), &tc, &e->engine, &e->tunnels, why);

	if (r < 0) {
		log_err("engine: %s can't be used here: %s", ha_conf_engine(e->file),
			why[0] ? why : strerror(-r));
		return r;
	}
	for (unsigned i = 0; i < e->file->n_interfaces && r == 0; i++)
		r = e->engine->attach(e->tunnels, if_nametoindex(e->file->interfaces[i]));
	if (r < 0)
		log_err("engine %s: %s", e->engine->name, strerror(-r));
	return r;
}

int ha_edge_keying(struct ha_edge *e, const struct ha_file *f)
{
	const struct ha_file *own = e->file; /* whose keys for this only a restart changes */
	bool exchange = f->protection == SEC_ESP;

	for (unsigned i = 0; i < f->core.n_routers; i++)
		exchange |= ha_conf_protection(f, &f->core.routers[i]) == SEC_ESP;
	return exchange ? protect_keying(e->protect, e->event, &own->core.address, own->key_port,
				  &own->certs)
			: 0;
}

static int open_protection(struct ha_edge *e)
{
	const struct ha_file *f = e->file;
	int r = protect_open(&e->protect, true, (enum sec_mode)f->protection, e->store,
		e->kept != STORE_WHOLE, f->session_file);

	if (r == 0 && f->payload == SEC_PAYLOAD_ESP)
		r = protect_open_payload(e->protect, &e->esptun);
	if (r == 0)
		r = ha_edge_keying(e, f);
	for (unsigned i = 0; i < f->core.n_routers && r == 0; i++) {
		const struct ha_router *m = &f->core.routers[i];

		r = protect_add(e->protect, &f->core.address, &m->hoa, m->name,
			ha_conf_protection(f, m), &f->keys[i]);
	}
	return r;
}

static int put_homes(struct ha_edge *e)
{
	const struct ha_conf *c = &e->file->core;
	struct in6_addr *hoas = calloc(c->n_routers + 1, sizeof(*hoas));
	int r;

	if (!hoas)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n_routers; i++)
		hoas[i] = c->routers[i].hoa;
	r = sig_homes_put(mhio_sig(e->io), hoas, c->n_routers);
	free(hoas);
	return r;
}

static int open_signalling(struct ha_edge *e)
{
	enum sig_mode mode = e->engine == &tunnel_ip6tnl ? SIG_PACKET : SIG_BPF_HA;
	char why[256] = "";
	int r = mhio_open(&e->io, mode, e->event, on_message, e, why);

	if (r == 0)
		protect_attach(e->protect, e->io);
	for (unsigned i = 0; i < e->file->n_interfaces && r == 0; i++)
		r = sig_attach(mhio_sig(e->io), if_nametoindex(e->file->interfaces[i]));
	if (r == 0) /* of a router behind a router: out of the latter's tunnel */
		r = sig_attach(mhio_sig(e->io), if_nametoindex(DEV_NAME));
	if (r == 0)
		r = sig_attach(mhio_sig(e->io), e->engine->inside(e->tunnels));
	if (r == 0)
		r = sig_local_put(mhio_sig(e->io), &e->file->core.address);
	for (unsigned i = 0; i < e->file->core.n_home && r == 0; i++) {
		struct in6_addr anycast = icmp6_anycast(&e->file->core.home[i]);

		r = sig_local_put(mhio_sig(e->io), &anycast);
	}
	if (r == 0)
		r = put_homes(e);
	if (r == 0)
		mhio_on_icmp6(e->io, on_icmp6);
	if (r == 0)
		r = mhio_take(e->io, SIG_TAKE_HAO, on_home_option);
	if (r < 0)
		log_err("signalling capture: %s", why[0] ? why : strerror(-r));
	return r;
}

static int open_home(struct ha_edge *e)
{
	struct homeio_handlers on = {on_event, on_home_up, e};
	int r;

	if (!e->file->core.home_link)
		return 0;
	r = homeio_open(&e->home, e->event, e->file->home_link, e->ha, &on);
	if (r < 0)
		log_err("home link %s: %s", e->file->home_link, strerror(-r));
	return r;
}

/* What is not bound in an aggregate is unreachable, or packets for it would loop. */
static int aggregate_routes(
	struct ha_edge *e, int (*change)(struct net *, const struct net_route *))
{
	int r = 0;

	for (unsigned i = 0; i < e->file->core.n_aggregates && r == 0; i++) {
		struct net_route route = {
			.dst = e->file->core.aggregates[i],
			.table = RT_TABLE_MAIN,
			.type = NET_UNREACHABLE,
			.metric = METRIC_LAST,
		};

		r = change(e->net, &route);
	}
	if (r < 0)
		log_err("aggregates: %s", strerror(-r));
	return r;
}

int ha_edge_routes(struct ha_edge *e)
{
	return routeio_open(&e->routes, e->event, &e->file->core, DEV_NAME, on_event, e);
}

struct keeping {
	struct ha_edge *e;
	bool forget;
	int r;
};

static void *open_keep(void *arg)
{
	struct keeping *k = arg;

	k->r = ha_keep_open(k->e, k->forget);
	return NULL;
}

/* What an earlier run left: the state file, which is read on another processor, and tunnels. */
static int open_state(struct ha_edge *e, unsigned mtu, bool forget)
{
	struct keeping keep = {.e = e, .forget = forget};
	pthread_t reader;
	int r, alone = pthread_create(&reader, NULL, open_keep, &keep);

	if (alone)
		open_keep(&keep);
	r = open_tunnels(e, mtu);
	if (!alone)
		pthread_join(reader, NULL);
	if (keep.r < 0) { /* then what the kernel has of an earlier run is to stay there */
		if (e->engine)
			e->engine->close(e->tunnels, true);
		e->engine = NULL;
		net_close(e->net);
		e->net = NULL;
	}
	return keep.r < 0 ? keep.r : r;
}

int ha_edge_open(struct ha_edge **out, sd_event *event, struct ha_file *file, bool flush)
{
	struct ha_edge *e = calloc(1, sizeof(*e));
	unsigned mtu;
	uint64_t seed;
	int r;

	if (!e)
		return -ENOMEM;
	*out = e;
	e->file = file;
	e->event = event;
	e->started = daemon_now();
	e->ha = ha_new(&file->core);
	if (!e->ha)
		return -ENOMEM;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -EIO;
	ha_seed(e->ha, seed);
	r = check_interfaces(file, &mtu);
	if (r < 0)
		return r;
	r = own_addresses(e);
	if (r < 0)
		return r;
	/* First of all: a second home agent must not take the first one's tunnels. */
	r = ctl_open(&e->ctl, event, file->control, ha_commands, e);
	if (r < 0)
		return r;
	r = ctl_groups(e->ctl, file->control_group, file->control_readers);
	if (r < 0)
		return r;
	r = daemon_lock(DEV_NAME);
	if (r < 0)
		return r;
	r = ha_links_open(e);
	if (r < 0)
		return r;
	r = net_sysctl6("all", "forwarding", "1");
	if (r < 0)
		return r;
	r = aggregate_routes(e, net_route_put);
	if (r < 0)
		return r;
	r = open_state(e, mtu, flush);
	if (r < 0)
		return r;
	r = open_protection(e);
	if (r < 0)
		return r;
	r = open_signalling(e);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &e->timer, CLOCK_BOOTTIME, UINT64_MAX, 1, on_timer, e);
	if (r < 0)
		return r;
	r = open_home(e);
	if (r < 0)
		return r;
	r = ha_edge_routes(e);
	if (r < 0)
		return r;
	r = ha_keep_restore(e);
	if (r < 0)
		return r;
	rearm(e);
	log_info("engine %s, device %s, inner MTU %u", e->engine->name, DEV_NAME, mtu);
	return 0;
}

void ha_edge_close(struct ha_edge *e, bool keep)
{
	if (!e)
		return;
	sd_event_source_disable_unref(e->timer);
	ctl_close(e->ctl);
	if (e->home && homeio_ifindex(e->home) && !keep)
		home_routes(e, net_route_drop);
	homeio_close(e->home, keep);
	routeio_close(e->routes);
	mhio_close(e->io);
	protect_close(e->protect);
	store_close(e->store);
	if (e->engine)
		e->engine->close(e->tunnels, keep);
	esptun_close(e->esptun, keep);
	if (e->net && !keep)
		aggregate_routes(e, net_route_drop);
	ha_links_close(e);
	ha_free(e->ha);
	free(e);
}

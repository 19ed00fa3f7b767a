/* edge.c - the mobile router's I/O: events from the kernel, packets and timers in, start and stop.
 * What the core answers is carried out in edge_do.c.  No protocol decision is made here. */
#include <errno.h>
#include <linux/if_addr.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "mr/edge_state.h"
#include "mr/policy.h"

#define DEV_NAME        "nemo0"
#define DEFAULT_MTU     1500
#define MAX_UPDATE_RATE 3 /* messages a second, RFC 6275 s12 */

static struct store_key kept_key(const struct mr_edge *e)
{
	return (struct store_key){
		.kind = KEPT_ROUTER, .format = MR_KEPT_FORMAT, .a = e->file->core.hoa};
}

/* What has to survive is written before anything leaves. */
static void keep(struct mr_edge *e)
{
	const struct store_key key = kept_key(e);
	struct mr_kept k;
	int r;

	mr_keep(e->mr, &k);
	k.wall = e->written.wall;
	if (!e->store || memcmp(&k, &e->written, sizeof(k)) == 0)
		return;
	k.wall = daemon_wall();
	e->written = k;
	r = store_put(e->store, &key, &k, sizeof(k), STORE_FAST);
	if (r < 0)
		log_warn("state_file: %s: %s", e->file->state_file, strerror(-r));
}

/* Of the run before; nobody is told of a restart that lost nothing (RFC 5847 s3.2). */
static void restore(struct mr_edge *e)
{
	const struct store_key key = kept_key(e);
	struct mr_kept k;
	bool known = store_get(e->store, &key, &k, sizeof(k));

	if (e->left)
		mr_adopt(e->mr, daemon_now());
	if (known)
		mr_restore(e->mr, &k, store_same_boot(e->store), daemon_wall(), daemon_now());
	mr_set_restart(
		e->mr, known && e->kept == STORE_WHOLE ? k.restart : daemon_restart_counter());
	keep(e);
}

/* Rules of home agents that nothing goes on with any more. */
static void forget_former(struct mr_edge *e)
{
	int r;

	if (!e->former || mr_holds_former(e->mr))
		return;
	e->former = false;
	r = policy_agents(e->net, e->file);
	if (r < 0)
		log_warn("reload: rules of former home agents: %s", strerror(-r));
}

void mr_edge_run(struct mr_edge *e, const struct mr_event *ev)
{
	uint64_t at;

	e->coa_us = e->bu_us = 0;
	e->step_us = mr_now_us();
	mr_step(e->mr, ev, daemon_now(), &e->out);
	keep(e);
	for (unsigned i = 0; i < e->out.n; i++)
		mr_edge_do(e, &e->out.v[i]);
	mr_edge_finish(e);
	forget_former(e);
	mr_tell_due(e);
	at = mr_deadline(e->mr);
	if (at != UINT64_MAX)
		sd_event_source_set_time(e->timer, at * 1000);
	sd_event_source_set_enabled(e->timer, at == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

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
		{"accept_redirects", "0"}, /* of anybody's who can use the router's address */
		{"autoconf", "0"},
		{"forwarding", "0"},
		{"optimistic_dad", "1"},
		{"use_optimistic", "1"},
	};
	int r;

	if (!net_is_ethernet(u->name)) {
		log_err("uplink %s: not of Ethernet's kind: no router advertisements are taken "
			"there",
			u->name);
		return;
	}
	for (size_t i = 0; i < sizeof(sysctls) / sizeof(sysctls[0]); i++) {
		r = net_sysctl6(u->name, sysctls[i].key, sysctls[i].value);
		if (r < 0)
			log_warn("uplink %s: sysctl %s: %s", u->name, sysctls[i].key, strerror(-r));
	}
	r = nd_attach(e->nd, u->ifindex);
	if (r < 0)
		log_err("uplink %s: Neighbour Discovery: %s", u->name, strerror(-r));
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
	bool uplink = false;

	for (unsigned i = 0; i < e->file->core.n_uplinks; i++) {
		struct uplink *u = &e->uplinks[i];
		struct mr_event ev = {.type = MR_EV_LINK, .uplink = i};

		if (l->gone ? u->ifindex != l->ifindex : strcmp(u->name, l->name) != 0)
			continue;
		uplink = true;
		memcpy(ev.link.mac, l->mac, 6);
		/* Down in between: another interface of that name, or a flap short enough for the
		 * kernel to tell of both ends in one message. */
		if (u->ifindex && !l->gone &&
			(u->ifindex != l->ifindex || u->carrier_downs != l->carrier_downs))
			mr_edge_run(e, &ev);
		u->carrier_downs = l->carrier_downs;
		memcpy(u->mac, l->mac, 6);
		u->mtu = l->mtu;
		if (!l->gone && u->ifindex != l->ifindex) {
			u->ifindex = l->ifindex;
			u->lladdr = in6addr_any;
			prepare_uplink(e, u);
		}
		ev.link.running = l->running && !l->gone;
		ev.link.notify_peers = l->notify_peers;
		mr_edge_run(e, &ev);
		if (l->gone) {
			u->ifindex = 0;
			u->lladdr = in6addr_any;
		}
	}
	/* A guest's interfaces are told one after the other, tens of milliseconds apart. */
	if (!uplink && l->notify_peers) {
		struct mr_event ev = {.type = MR_EV_MIGRATED};

		mr_edge_run(e, &ev);
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
		struct mr_event ev = {.type = MR_EV_SOURCE, .uplink = i, .addr = a->addr};

		mr_edge_run(e, &ev);
	}
}

/* An address of ours in a mobile network: nobody else there may use it as source. */
static void on_inside_addr(struct mr_edge *e, const struct net_addr *a)
{
	char name[IFNAMSIZ];
	bool inside = false;
	int r;

	if (addr6_is_link_local(&a->addr) || !if_indextoname(a->ifindex, name))
		return;
	for (unsigned i = 0; i < e->file->core.n_networks; i++)
		inside |= strcmp(e->file->core.networks[i].interface, name) == 0;
	/* It may have been one before a reload. */
	r = (a->gone || !inside ? policy_inside_drop : policy_inside_put)(e->net, name, &a->addr);
	if (r < 0)
		log_warn("%s: rule against forged sources: %s", name, strerror(-r));
}

static void on_addr(void *arg, const struct net_addr *a)
{
	struct mr_edge *e = arg;
	int i = find_uplink(e, a->ifindex);

	if (i < 0 || e->uplinks[i].was_inside)
		on_inside_addr(e, a);
	if (i < 0)
		return;
	mr_undone_addr(e, (unsigned)i, a);
	if (addr6_is_link_local(&a->addr)) {
		on_link_local(e, (unsigned)i, a);
	} else if (a->ours && !a->gone && !a->dad_failed &&
		   !addr6_eq(&a->addr, &e->file->core.hoa)) {
		struct mr_event ev = {.type = MR_EV_LEFT, .uplink = (unsigned)i, .addr = a->addr};

		mr_edge_run(e, &ev);
	} else if (a->dad_failed) {
		struct mr_event ev = {.type = MR_EV_ADDR, .uplink = (unsigned)i, .addr = a->addr};

		mr_edge_run(e, &ev);
	}
}

static void on_neigh(void *arg, const struct net_neigh *n)
{
	struct mr_edge *e = arg;
	int i = find_uplink(e, n->ifindex);
	struct mr_event ev = {.type = MR_EV_NEIGH, .uplink = (unsigned)i, .addr = n->addr};

	if (i >= 0 && n->failed)
		mr_edge_run(e, &ev);
}

static void on_nd(void *arg, const struct ndp_msg *m, const uint8_t *mac, unsigned ifindex)
{
	struct mr_edge *e = arg;
	int i = find_uplink(e, ifindex);
	struct mr_event ev = {.type = MR_EV_ND, .uplink = (unsigned)i};

	if (i < 0)
		return;
	e->ra_us = m->type == NDP_RA ? mr_now_us() : 0;
	memcpy(ev.nd.mac, mac, 6);
	ev.nd.msg = *m;
	mr_edge_run(e, &ev);
	e->ra_us = 0;
}

static void on_message(void *arg, const struct mh_env *m)
{
	struct mr_event ev = {.type = MR_EV_MH, .mh = *m};

	mr_edge_run(arg, &ev);
}

static void on_icmp6(void *arg, const struct icmp6_msg *m)
{
	struct mr_event ev = {.type = MR_EV_ICMP6, .icmp6 = *m};

	mr_edge_run(arg, &ev);
}

static void on_error(void *arg, const struct quote_update *q)
{
	struct mr_event ev = {.type = MR_EV_ERROR, .error = *q};

	mr_edge_run(arg, &ev);
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
	mr_edge_run(arg, &ev);
	return 0;
}

/* --- start and stop --- */

/* It may come later; what is misspelt never does. */
static void tell_missing(const char *key, const char *name)
{
	if (if_nametoindex(name) == 0)
		log_info("%s: %s does not exist yet", key, name);
}

void mr_edge_tell_interfaces(const struct mr_file *f)
{
	for (unsigned i = 0; i < f->core.n_uplinks; i++) {
		const char *name = f->core.uplinks[i].interface;
		unsigned m = net_mtu(name);

		tell_missing("uplinks", name);
		if (m && m < 1280 + TUNNEL_OVERHEAD)
			log_info(TUNNEL_MTU_NOTE, name, m, m - TUNNEL_OVERHEAD);
	}
	for (unsigned i = 0; i < f->core.n_networks; i++)
		tell_missing("networks", f->core.networks[i].interface);
}

static unsigned inner_mtu(const struct mr_file *f)
{
	unsigned least = 65495 + TUNNEL_OVERHEAD;

	for (unsigned i = 0; i < f->core.n_uplinks; i++) {
		unsigned m = net_mtu(f->core.uplinks[i].interface);

		if (!m)
			m = DEFAULT_MTU; /* not there yet */
		if (m < least)
			least = m;
	}
	if (f->payload == SEC_PAYLOAD_ESP)
		least -= ESPTUN_OVERHEAD;
	return f->mtu ? f->mtu : tunnel_mtu(least);
}

static int open_protection(struct mr_edge *e)
{
	const struct mr_file *f = e->file;
	int r = store_open(&e->store, f->state_file, false, &e->kept);

	if (r < 0) {
		log_err("state_file: %s: %s", f->state_file,
			r == -EAGAIN ? "in use by another process" : strerror(-r));
		return r;
	}
	r = protect_open(&e->protect, false, (enum sec_mode)f->protection, e->store,
		e->kept != STORE_WHOLE, f->session_file);
	if (r == 0 && f->payload == SEC_PAYLOAD_ESP)
		r = protect_open_payload(e->protect, &e->esptun);
	if (r == 0 && f->protection == SEC_ESP)
		r = protect_keying(e->protect, e->event, NULL, f->key_port, &f->certs);
	if (r == 0)
		protect_rekey(e->protect, f->rekey_s);
	/* Of every home agent: they may be found later. */
	return r < 0 ? r
		     : protect_add_any(e->protect, &f->core.hoa, f->core.name,
			       (enum sec_mode)f->protection, &f->keys);
}

static bool is_ours(void *arg, const struct in6_addr *id)
{
	struct mr_edge *e = arg;
	bool ours = addr6_eq(id, &e->file->core.hoa);

	e->left |= ours;
	return ours;
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
		.esp = e->file->payload == SEC_PAYLOAD_ESP,
	};
	enum sig_mode mode;
	char why[256] = "";

	mr_edge_tell_interfaces(e->file);
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
	r = mhio_on_error(e->io, e->event, on_error);
	if (r < 0) {
		log_err("ICMPv6 errors: %s", strerror(-r));
		return r;
	}
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
		r = mr_undone_open(e);
	if (r == 0)
		r = net_sysctl6("all", "forwarding", "1");
	if (r == 0)
		r = nd_open(&e->nd, e->event, false, on_nd, e);
	if (r < 0)
		log_err("kernel: %s", strerror(-r));
	return r;
}

int mr_edge_open(struct mr_edge **out, sd_event *event, struct mr_file *file)
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
	for (unsigned i = 0; i < file->core.n_uplinks; i++)
		e->uplinks[i].name = file->core.uplinks[i].interface;
	r = sd_event_add_time(event, &e->timer, CLOCK_BOOTTIME, UINT64_MAX, 1, on_timer, e);
	if (r < 0)
		return r;
	r = mr_phases_open(e);
	if (r == 0)
		r = mr_tell_open(e);
	if (r < 0)
		return r;
	/* First of all: a second mobile router must not take the first one's tunnels. */
	r = ctl_open(&e->ctl, event, file->control, mr_commands, e);
	if (r < 0)
		return r;
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
	r = tunnel_sweep(e->engine, e->tunnels, is_ours, e);
	if (r < 0)
		return r;
	restore(e);
	return net_dump(e->net);
}

void mr_edge_stop(struct mr_edge *e, bool keep)
{
	struct mr_event ev = {.type = MR_EV_STOP, .keep = keep};

	e->keep = keep;
	mr_edge_run(e, &ev);
}

void mr_edge_close(struct mr_edge *e)
{
	if (!e)
		return;
	sd_event_source_disable_unref(e->timer);
	sd_event_source_disable_unref(e->watch);
	mr_undone_close(e);
	if (e->later.timer)
		mr_tell_release(e);
	sd_event_source_disable_unref(e->later.timer);
	ctl_close(e->ctl);
	mhio_close(e->io);
	protect_close(e->protect);
	store_close(e->store);
	if (e->engine)
		e->engine->close(e->tunnels, e->keep);
	esptun_close(e->esptun, e->keep);
	nd_close(e->nd);
	net_close(e->net);
	mr_free(e->mr);
	free(e);
}

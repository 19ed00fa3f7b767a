/* routeio.c - routes of others through the tunnel's device.  Netlink's messages are hints only: the
 * table itself is read, so lost or strange ones (replaced, appended) do no harm. */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "common/os/net.h"
#include "ha/routeio.h"

#define WAIT_MS 20 /* routing daemons change many routes at once */

struct routeio {
	const struct ha_conf *conf;
	struct net *net;
	const char *dev;
	sd_event_source *timer; /* enabled: the table has to be read */
	routeio_fn *fn;
	void *arg;
};

struct routes { /* as they come */
	unsigned n, size;
	struct route {
		struct prefix6 dst;
		struct in6_addr via;
	} * v; /* owned */
	bool no_memory;
};

static void later(void *arg)
{
	struct routeio *io = arg;
	int on;

	if (sd_event_source_get_enabled(io->timer, &on) >= 0 && on != SD_EVENT_OFF)
		return;
	sd_event_source_set_time(io->timer, (daemon_now() + WAIT_MS) * 1000);
	sd_event_source_set_enabled(io->timer, SD_EVENT_ONESHOT);
}

/* A replaced route is told of with its new gateway only, so what may be one of ours counts, too. */
static void on_route(void *arg, const struct prefix6 *dst, const struct in6_addr *via)
{
	struct routeio *io = arg;

	for (unsigned i = 0; i < io->conf->n_routers; i++) {
		const struct ha_router *r = &io->conf->routers[i];
		bool ours = r->n_learn && addr6_eq(&r->hoa, via);

		for (unsigned k = 0; k < r->n_learn && !ours; k++)
			ours = prefix6_covers(&r->learn[k], dst);
		if (ours) {
			later(io);
			return;
		}
	}
}

static void on_listed(void *arg, const struct prefix6 *dst, const struct in6_addr *via)
{
	struct routes *all = arg;

	if (all->n == all->size) {
		struct route *v = reallocarray(all->v, all->size + 256, sizeof(*v));

		if (!v) {
			all->no_memory = true;
			return;
		}
		all->v = v;
		all->size += 256;
	}
	all->v[all->n++] = (struct route){*dst, *via};
}

static void tell(struct routeio *io, const struct routes *all, struct prefix6 *own)
{
	for (unsigned i = 0; i < io->conf->n_routers; i++) {
		struct ha_event ev = {.type = HA_EV_ROUTES, .routes = {.router = i, .v = own}};

		if (!io->conf->routers[i].n_learn)
			continue;
		for (unsigned k = 0; k < all->n; k++)
			if (addr6_eq(&all->v[k].via, &io->conf->routers[i].hoa))
				own[ev.routes.n++] = all->v[k].dst;
		io->fn(io->arg, &ev);
	}
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct routeio *io = arg;
	struct routes all = {0};
	struct prefix6 *own;
	int r = net_routes(io->net, if_nametoindex(io->dev), on_listed, &all);

	(void)s, (void)usec;
	own = calloc(all.n + 1, sizeof(*own));
	if (r == 0 && own && !all.no_memory) {
		tell(io, &all, own);
	} else {
		log_err("learned routes: %s", strerror(r < 0 ? -r : ENOMEM));
		later(io);
	}
	free(own);
	free(all.v);
	return 0;
}

int routeio_open(struct routeio **out, sd_event *event, const struct ha_conf *conf, const char *dev,
	routeio_fn *fn, void *arg)
{
	struct net_handlers on = {.route = on_route, .resync = later};
	struct routeio *io;
	unsigned n = 0;
	int r;

	*out = NULL;
	for (unsigned i = 0; i < conf->n_routers; i++)
		n += conf->routers[i].n_learn;
	if (!n)
		return 0;
	io = calloc(1, sizeof(*io));
	if (!io)
		return -ENOMEM;
	*out = io;
	io->conf = conf;
	io->dev = dev;
	io->fn = fn;
	io->arg = arg;
	on.arg = io;
	r = sd_event_add_time(event, &io->timer, CLOCK_BOOTTIME, 0, 1, on_timer, io);
	if (r >= 0)
		r = net_open(&io->net, event, &on);
	if (r < 0) {
		routeio_close(io);
		*out = NULL;
	}
	return r;
}

void routeio_close(struct routeio *io)
{
	if (!io)
		return;
	sd_event_source_disable_unref(io->timer);
	net_close(io->net);
	free(io);
}

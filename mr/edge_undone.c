/* edge_undone.c - somebody else takes away what this daemon has put into the kernel: it is put
 * again. Rules at once, since without them traffic of the networks could leak; addresses and routes
 * of the uplinks when it is clear whether the uplink went with them. */
#include <linux/rtnetlink.h>
#include <string.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "common/os/undone.h"
#include "mr/edge_state.h"
#include "mr/policy.h"

#define SOON_US 50000 /* a flush takes one after the other */
#define TOLD_MS 1000  /* is told so often at most */

static void soon(struct mr_edge *e, unsigned uplink)
{
	e->uplinks[uplink].undone = true;
	sd_event_source_set_time_relative(e->undone_timer, SOON_US);
	sd_event_source_set_enabled(e->undone_timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	struct mr_edge *e = arg;

	(void)s, (void)usec;
	for (unsigned i = 0; i < e->file->core.n_uplinks; i++) {
		struct mr_event ev = {.type = MR_EV_UNDONE, .uplink = i};
		struct uplink *u = &e->uplinks[i];

		if (u->coa_gone)
			ev.addr = u->coa;
		if (u->undone)
			mr_edge_run(e, &ev);
	}
	return 0;
}

void mr_undone_addr(struct mr_edge *e, unsigned uplink, const struct net_addr *a)
{
	struct uplink *u = &e->uplinks[uplink];

	if (a->gone && addr6_eq(&a->addr, &u->coa)) {
		u->coa_gone = true;
		soon(e, uplink);
	} else if (!a->gone && addr6_is_link_local(&a->addr) && u->undone) {
		soon(e, uplink); /* what was refused meanwhile may succeed now */
	}
}

/* 'told': when that was, ms. */
static void restore(struct mr_edge *e, const char *what, uint64_t *told)
{
	int r = policy_restore(e->net, e->file);
	uint64_t now = daemon_now();

	if (*told && now - *told < TOLD_MS)
		return;
	*told = now;
	if (r < 0)
		log_err("somebody deleted %s that keep the networks' traffic in the tunnel: not "
			"all could be put again: %s",
			what, strerror(-r));
	else
		log_warn("somebody deleted %s that keep the networks' traffic in the tunnel: they "
			 "are back",
			what);
}

static void on_route(void *arg, const struct net_route *r)
{
	struct mr_edge *e = arg;

	if (policy_wants(e->file, r)) {
		restore(e, "routes", &e->told_routes);
		return;
	}
	for (unsigned i = 0; i < e->file->core.n_uplinks; i++)
		if (r->type == NET_UNICAST && r->table == RT_TABLE_MAIN && r->dst.len == 0 &&
			r->oif && r->oif == e->uplinks[i].ifindex)
			soon(e, i);
}

static void on_rule(void *arg)
{
	struct mr_edge *e = arg;

	restore(e, "rules", &e->told_rules);
}

/* For all interfaces at once; towards a visited network this is a host. */
static void on_forwarding(void *arg)
{
	struct mr_edge *e = arg;

	undone_forwarding();
	for (unsigned i = 0; i < e->file->core.n_uplinks; i++)
		if (e->uplinks[i].ifindex && !e->uplinks[i].router)
			net_sysctl6(e->uplinks[i].name, "forwarding", "0");
}

static void on_lost(void *arg)
{
	struct mr_edge *e = arg;

	restore(e, "much, perhaps also routes and rules", &e->told_rules);
	for (unsigned i = 0; i < e->file->core.n_uplinks; i++)
		soon(e, i);
}

int mr_undone_open(struct mr_edge *e)
{
	const struct undone_handlers on = {.route = on_route,
		.rule = on_rule,
		.forwarding = on_forwarding,
		.lost = on_lost,
		.arg = e,
		.own = e->net};
	int r = sd_event_add_time(
		e->event, &e->undone_timer, CLOCK_BOOTTIME, UINT64_MAX, 0, on_timer, e);

	return r < 0 ? r : undone_open(&e->undone, e->event, &on);
}

void mr_undone_close(struct mr_edge *e)
{
	undone_close(e->undone);
	sd_event_source_disable_unref(e->undone_timer);
}

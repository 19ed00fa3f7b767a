/* watch.c - the device and the routes of the tunnels, as others change them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/log.h"
#include "common/os/undone.h"
#include "common/tunnel/watch.h"

#define SOON_US  50000   /* a flush tells of one route after the other */
#define AGAIN_US 1000000 /* and may go on */

struct tunnel_watch {
	struct tunnel_watch_handlers on;
	sd_event *event; /* borrowed */
	unsigned ifindex;
	uint32_t table;
	struct net *links;     /* owned */
	struct undone *undone; /* owned */
	sd_event_source *put;  /* owned: routes are missing */
	uint64_t put_us;       /* when they were put last */
};

void tunnel_watch_end(sd_event *event, const char *what, const char *how)
{
	log_err("%s was %s: the networks are cut off, this run ends, the next one makes it anew",
		what, how);
	sd_event_exit(event, EXIT_FAILURE);
}

static void on_link(void *arg, const struct net_link *l)
{
	const struct tunnel_watch *w = arg;
	char what[IFNAMSIZ + 8];

	if (l->ifindex != w->ifindex || l->running)
		return;
	snprintf(what, sizeof(what), "device %s", l->name);
	tunnel_watch_end(w->event, what, l->gone ? "deleted" : "switched off");
}

static void on_table(void *arg, const char *name)
{
	const struct tunnel_watch *w = arg;

	if (strcmp(name, w->on.nft_table) == 0)
		tunnel_watch_end(w->event, "the nftables table of the tunnels", "deleted");
}

static int on_put(sd_event_source *s, uint64_t usec, void *arg)
{
	struct tunnel_watch *w = arg;
	int r = 0;

	(void)s, (void)usec;
	for (struct entry *e = w->on.book->entries; e; e = e->hh.next) {
		int r1 = w->on.routes_put(w->on.set, e);

		r = r ? r : r1;
	}
	sd_event_now(w->event, CLOCK_BOOTTIME, &w->put_us);
	if (r < 0)
		log_err("tunnel: somebody deleted routes, and not all could be put again: %s",
			strerror(-r));
	else
		log_warn("tunnel: somebody deleted routes, they are back");
	return 0;
}

static void put_soon(struct tunnel_watch *w)
{
	uint64_t at = 0;

	if (sd_event_source_get_enabled(w->put, NULL) > 0)
		return;
	sd_event_now(w->event, CLOCK_BOOTTIME, &at);
	at += SOON_US;
	if (w->put_us && at < w->put_us + AGAIN_US)
		at = w->put_us + AGAIN_US;
	sd_event_source_set_time(w->put, at);
	sd_event_source_set_enabled(w->put, SD_EVENT_ONESHOT);
}

static void on_route(void *arg, const struct net_route *r)
{
	struct key key = key_prefix(KEY_ROUTES, &r->dst);
	struct tunnel_watch *w = arg;

	if (r->type == NET_UNICAST && r->oif == w->ifindex && r->table == w->table &&
		book_has(w->on.book, &key))
		put_soon(w);
}

static void on_programs(void *arg, unsigned ifindex)
{
	const struct tunnel_watch *w = arg;

	w->on.programs(w->on.set, ifindex);
}

static void on_lost(void *arg)
{
	put_soon(arg);
}

/* Messages were lost, among them perhaps the device's last one; a dump tells only what is there. */
static void on_resync(void *arg)
{
	const struct tunnel_watch *w = arg;
	char name[IFNAMSIZ];

	if (!if_indextoname(w->ifindex, name))
		tunnel_watch_end(w->event, "the device of the tunnels", "deleted");
}

int tunnel_watch_open(struct tunnel_watch **out, sd_event *event, const struct tunnel_dev *dev,
	uint32_t table, const struct tunnel_watch_handlers *on)
{
	struct tunnel_watch *w = calloc(1, sizeof(*w));
	const struct net_handlers links = {.link = on_link, .resync = on_resync, .arg = w};
	const struct undone_handlers undone = {.route = on_route,
		.programs = on->programs ? on_programs : NULL,
		.table = on->nft_table ? on_table : NULL,
		.lost = on_lost,
		.arg = w,
		.own = dev->net};
	int r;

	*out = w;
	if (!w)
		return -ENOMEM;
	w->on = *on;
	w->event = event;
	w->ifindex = dev->ifindex;
	w->table = table;
	r = net_open(&w->links, event, &links);
	if (r >= 0)
		r = undone_open(&w->undone, event, &undone);
	if (r >= 0)
		r = sd_event_add_time(event, &w->put, CLOCK_BOOTTIME, 0, 0, on_put, w);
	return r < 0 ? r : sd_event_source_set_enabled(w->put, SD_EVENT_OFF);
}

void tunnel_watch_close(struct tunnel_watch *w)
{
	if (!w)
		return;
	sd_event_source_disable_unref(w->put);
	undone_close(w->undone);
	net_close(w->links);
	free(w);
}

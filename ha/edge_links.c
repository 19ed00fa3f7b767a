/* edge_links.c - the interfaces by which tunnel packets come: one that is deleted and made again (a
 * VLAN's, a bond's, a virtual machine's) is another one for the kernel, without our programs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/log.h"
#include "common/os/undone.h"
#include "ha/edge_state.h"

static void come(struct ha_edge *e, unsigned i, const struct net_link *l)
{
	int r = e->engine->attach(e->tunnels, l->ifindex);

	if (r == 0)
		r = sig_attach(mhio_sig(e->io), l->ifindex);
	if (r < 0 && r != -ENODEV)
		log_err("interfaces: %s is another one now and can't be used: %s", l->name,
			strerror(-r));
	if (r < 0)
		return;
	e->ifindexes[i] = l->ifindex;
	log_info("interfaces: %s is there again", l->name);
}

static void on_link(void *arg, const struct net_link *l)
{
	struct ha_edge *e = arg;

	for (unsigned i = 0; i < e->file->n_interfaces; i++) {
		if (l->gone && l->ifindex == e->ifindexes[i]) {
			e->ifindexes[i] = 0;
			log_warn("interfaces: %s was deleted: nothing is heard there until it is "
				 "there again",
				l->name);
		} else if (!l->gone && l->ifindex != e->ifindexes[i] &&
			   strcmp(l->name, e->file->interfaces[i]) == 0) {
			come(e, i, l);
		}
	}
}

/* Messages were lost, and a dump tells only what is there. */
static void on_resync(void *arg)
{
	struct ha_edge *e = arg;
	char name[IFNAMSIZ];

	for (unsigned i = 0; i < e->file->n_interfaces; i++)
		if (!if_indextoname(e->ifindexes[i], name))
			e->ifindexes[i] = 0;
}

static void on_forwarding(void *arg)
{
	(void)arg;
	undone_forwarding();
}

void ha_links_close(struct ha_edge *e)
{
	undone_close(e->undone);
	net_close(e->net);
	free(e->ifindexes);
}

int ha_links_open(struct ha_edge *e)
{
	const struct net_handlers on = {.link = on_link, .resync = on_resync, .arg = e};
	const struct undone_handlers undone = {.forwarding = on_forwarding};
	unsigned n = e->file->n_interfaces;
	int r;

	e->ifindexes = calloc(n, sizeof(*e->ifindexes));
	if (!e->ifindexes)
		return -ENOMEM;
	for (unsigned i = 0; i < n; i++)
		e->ifindexes[i] = if_nametoindex(e->file->interfaces[i]);
	r = net_open(&e->net, e->event, &on);
	return r < 0 ? r : undone_open(&e->undone, e->event, &undone);
}

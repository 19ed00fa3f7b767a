/* homeio.h - the home link's I/O: Neighbour Discovery in and out, the kernel's proxy entries. */
#pragma once
#include <systemd/sd-event.h>
#include "ha/ha.h"

struct homeio;
struct homeio_handlers {
	/* HA_EV_ND; borrowed during the call */
	void (*event)(void *arg, const struct ha_event *);
	/* the interface is there, for the first time or again */
	void (*up)(void *arg, unsigned ifindex);
	void *arg;
};

/* Starts to listen on 'ifname', now or when it appears; drops proxy entries of an earlier run.
 * 'ha' is borrowed: its proxied addresses are put again when the interface was away.  0 or -errno.
 */
int homeio_open(struct homeio **, sd_event *, const char *ifname, const struct ha *ha,
	const struct homeio_handlers *);
int homeio_do(struct homeio *, const struct ha_action *); /* an HA_DO_HOME; 0 or -errno */
/* Makes the kernel answer solicitations for an anycast address there; ends with homeio_close().  0
 * or -errno. */
int homeio_anycast(struct homeio *, const struct in6_addr *);
unsigned homeio_ifindex(const struct homeio *);        /* 0: no such interface now */
void homeio_serve(struct homeio *, const struct ha *); /* another one, borrowed, from now on */
void homeio_close(struct homeio *, bool keep); /* keeps the proxy entries or not; accepts NULL */

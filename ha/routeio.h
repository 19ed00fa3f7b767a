/* routeio.h - what a routing daemon on this host has learned of mobile routers (RFC 3963 s8), read
 * from the kernel's main table: routes through the tunnel's device by way of a home address. */
#pragma once
#include <systemd/sd-event.h>
#include "ha/ha.h"

struct routeio;
typedef void routeio_fn(void *arg, const struct ha_event *); /* HA_EV_ROUTES; borrowed */

/* Tells of all such routes soon, and again whenever they have changed.  Without a router that may
 * announce there is nothing to be told: '*out' is NULL.  0 or -errno. */
int routeio_open(struct routeio **out, sd_event *, const struct ha_conf *, const char *dev,
	routeio_fn *, void *arg);
void routeio_close(struct routeio *); /* accepts NULL */

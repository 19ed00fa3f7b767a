/* net_state.h - a handle of net.h, for net.c (events, addresses, neighbours, interfaces) and
 * net_route.c (routes and rules) alone. */
#pragma once
#include <netlink/addr.h>
#include <netlink/socket.h>
#include "common/os/net.h"

struct net {
	struct nl_sock *req, *event; /* owned; event is NULL in a request-only handle */
	sd_event_source *source;     /* owned */
	struct nl_addr *addr[3];     /* owned: those of the object under construction */
	struct net_handlers on;
	int refused;        /* -errno of the request under way */
	uint8_t addr_proto; /* of the address being read */
};

/* libnl's result as 0 or -errno: the kernel's own if it has refused. */
int net_result(struct net *, int e);
/* A socket for a dump, the caller's to free, also after an error; the result is libnl's. */
int net_sock_open(struct net *, struct nl_sock **);
/* An address for libnl's setters.  Their objects refer to it until they go: one slot (0..2) each.
 */
struct nl_addr *net_slot(struct net *, unsigned i, const struct in6_addr *, uint8_t len);
/* False if there is none, or not of IPv6. */
bool net_addr6(struct in6_addr *out, const struct nl_addr *);

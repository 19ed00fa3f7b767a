/* dev.h - the tunnel device, whichever engine runs: one, with a fixed name, so that routes,
 * tcpdump and nftables see moving networks like any other.  Private to the engines. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "common/os/net.h"

enum tunnel_dev_kind {
	TUNNEL_DEV_SINK,   /* dummy or ifb: its egress runs tc, what gets past is discarded */
	TUNNEL_DEV_IP6TNL, /* ip6tnl in external mode: the route says where to */
};

struct tunnel_dev {
	struct net *net; /* for requests; net_close() is the engine's, whatever happened */
	unsigned ifindex;
	uint8_t mac[6]; /* zero for ip6tnl */
};

/* Makes the device, or takes over the one of that name if it is of this kind (else replaces it);
 * sets the MTU, no addresses of its own, forwarding, up.  0; -EOPNOTSUPP if the kernel lacks the
 * kind; or another -errno.  'why' (WHY_SIZE) then tells. */
int tunnel_dev_open(
	struct tunnel_dev *, enum tunnel_dev_kind, const char *name, unsigned mtu, char *why);
/* The route that leads packets for 'dst' into the device.  All of one prefix share a next hop
 * there, so that the kernel keeps one neighbour for it and not one for each destination: more than
 * its table takes (1024) would be thousands of hosts behind one home agent. */
struct net_route tunnel_dev_route(
	const struct tunnel_dev *, const struct prefix6 *dst, uint32_t table);
/* Takes all IPv6 routes off the device (by taking it down and up).  0 or -errno. */
int tunnel_dev_flush(const struct tunnel_dev *);
int tunnel_dev_delete(const struct tunnel_dev *); /* with its routes; 0 or -errno */
/* Brings up another device, that is there, without addresses; 'ethernet': with the MAC address of
 * 'dev'.  0 with '*ifindex', or -errno with 'why'. */
int tunnel_dev_second(const struct tunnel_dev *dev, const char *name, bool ethernet,
	unsigned *ifindex, char *why);

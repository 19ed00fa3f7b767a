/* policy.h - the rules that keep the mobile networks' traffic in the tunnel (RFC 3963 s3, s5.5,
 * s9):
 *
 *     from an uplink, to be forwarded            -> dropped: in through the tunnel only; but at
 *                                                   home, from the home link, to a mobile network
 *     from a mobile network's interface, source
 *       an address of this router                -> dropped: forged
 *     to a mobile network                        -> main table; unreachable if the link is down
 *     from a mobile network                      -> table of the tunnel; unreachable without one
 *     to and from what is announced behind the mobile networks: as these two
 *     own, from the home address                 -> table of the tunnel; unreachable without one
 *     own, to a home agent or from a care-of one -> main table: signalling, the tunnel itself
 *     own ICMPv6 errors about tunnelled packets  -> table of the tunnel: they quote those packets
 *     from a mobile network's interface, else    -> dropped: spoofed source
 *
 * They are put before anything else and stay when the daemon ends, however it ends: a mobile
 * network without a tunnel is cut off, never leaked onto the visited network. */
#pragma once
#include "common/os/net.h"
#include "mr/conf.h"

/* Puts the rules, then removes those that an earlier configuration left, but for those about
 * addresses that this host still has.  Idempotent; 0 or -errno. */
int policy_put(struct net *, const struct mr_file *);
/* Somebody deleted some of them: puts those that are missing, but for those at home.  0 or -errno.
 */
int policy_restore(struct net *, const struct mr_file *);
/* Was this route, which is gone, one of policy_put()'s? */
bool policy_wants(const struct mr_file *, const struct net_route *);
/* From one configuration to the next: what is new comes before what is no more goes.  0 or -errno:
 * the other way round it is undone. */
int policy_change(struct net *, const struct mr_file *was, const struct mr_file *now);
/* Removes the rules of home agents that are not in the list.  0 or -errno. */
int policy_agents(struct net *, const struct mr_file *);
/* Own address 'addr' at the mobile network's 'interface'.  0 or -errno. */
int policy_inside_put(struct net *, const char *interface, const struct in6_addr *addr);
int policy_inside_drop(struct net *, const char *interface, const struct in6_addr *addr);
int policy_coa_put(struct net *, const struct in6_addr *coa); /* 0 or -errno */
int policy_coa_drop(struct net *, const struct in6_addr *coa);

struct policy_home { /* the home link */
	char interface[IFNAMSIZ];
	unsigned ifindex;
	struct prefix6 prefix;
	struct in6_addr router; /* default router there */
};
/* Removes what the kernel learned of the home link before it was told not to. */
void policy_home_forget(struct net *, const struct mr_file *, unsigned ifindex);
/* Neighbours on the home link are reached directly by this host.  0 or -errno. */
int policy_home_link(struct net *, const struct policy_home *);
/* At home, de-registered: the networks' traffic takes the home link.  Idempotent; 0 or -errno. */
int policy_home_put(struct net *, const struct mr_file *, const struct policy_home *);
int policy_home_drop(struct net *, const struct mr_file *, const struct policy_home *);

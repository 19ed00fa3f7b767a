/* net.h - rtnetlink for the daemons (libnl): link and address events, and idempotent changes of
 * addresses, routes, rules and neighbours.  Everything installed carries protocol NET_PROTO, so
 * that `ip -6 route show proto nemo` lists it and a restart finds it.  An int that says nothing
 * else is 0 or -errno, the kernel's own. */
#pragma once
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include "common/core/addr.h"

#define NET_PROTO 139 /* rtm_protocol of our routes and rules */

struct net_link { /* one interface, as the kernel told it */
	unsigned ifindex;
	char name[IFNAMSIZ];
	bool running;           /* up and with carrier */
	bool gone;              /* RTM_DELLINK */
	uint32_t carrier_downs; /* times the carrier went, ever: one message may stand for a flap */
	bool notify_peers;      /* IFLA_EVENT says NOTIFY_PEERS: the guest was just migrated */
	unsigned mtu;
	uint8_t mac[6];
};
struct net_addr {
	unsigned ifindex;
	struct in6_addr addr;
	bool tentative;  /* DAD runs and the address can't be used */
	bool optimistic; /* DAD runs meanwhile, RFC 4429 */
	bool dad_failed, gone;
	bool ours; /* of NET_PROTO: this run's or an earlier one's (Linux 5.18) */
};
struct net_neigh {
	unsigned ifindex;
	struct in6_addr addr;
	bool failed;
};

struct net_handlers { /* any may be NULL: the kernel is not asked to tell of that */
	void (*link)(void *arg, const struct net_link *);
	void (*addr)(void *arg, const struct net_addr *);
	void (*neigh)(void *arg, const struct net_neigh *);
	/* a route of others came or went in the main table; via is :: if it has no gateway or
	 * several */
	void (*route)(void *arg, const struct prefix6 *dst, const struct in6_addr *via);
	void (*resync)(void *arg); /* messages were lost (ENOBUFS): everything was dumped again */
	void *arg;
};

struct net;
/* Without an event loop (NULL), requests and net_dump() only. */
int net_open(struct net **, sd_event *, const struct net_handlers *);
int net_dump(struct net *); /* calls link() and addr() for everything there is */
void net_close(struct net *);

int net_addr_put(struct net *, unsigned ifindex, const struct in6_addr *, uint8_t len,
	uint32_t flags); /* IFA_F_* */
/* 0 also if it was not there. */
int net_addr_drop(struct net *, unsigned ifindex, const struct in6_addr *, uint8_t len);
int net_neigh_put(struct net *, unsigned ifindex, const struct in6_addr *,
	const uint8_t mac[6]); /* STALE, is a router */

/* Answers solicitations for an address on an interface in another node's stead (RFC 4861 s7.2.8):
 * O = 0, R = 'router'; joins the address' solicited-node group.  The sysctls proxy_ndp and
 * forwarding have to be on.  Idempotent; drop: 0 also if it was not there. */
int net_proxy_put(struct net *, unsigned ifindex, const struct in6_addr *, bool router);
int net_proxy_drop(struct net *, unsigned ifindex, const struct in6_addr *);
int net_proxy_sweep(
	struct net *, unsigned ifindex); /* drops those of NET_PROTO: an earlier run's */

enum net_route_type { NET_UNICAST, NET_UNREACHABLE, NET_BLACKHOLE };
struct net_route {
	struct prefix6 dst;
	uint32_t table; /* 254 = main */
	enum net_route_type type;
	struct in6_addr via; /* :: = on link */
	bool onlink;         /* 'via' is taken for a neighbour whatever other routes say */
	unsigned oif;        /* 0 for the discarding types */
	uint32_t metric;     /* 0 = the kernel's default */
	struct in6_addr src; /* preferred source; :: = none */
	unsigned mtu;        /* 0 = the device's */
	uint8_t proto;       /* 0 = NET_PROTO */
};
int net_route_put(struct net *, const struct net_route *); /* creates or replaces */
/* The same, but leaves one alone that is there as wanted, and with it what the kernel has learned
 * of paths by it.  Reads all of ours through that interface: for tables that have few. */
int net_route_keep(struct net *, const struct net_route *);
int net_route_drop(struct net *, const struct net_route *); /* 0 also if it was not there */

/* Tells of every unicast route of others (not NET_PROTO) in the main table that leads to a gateway
 * on interface 'oif'; those to several are left out. */
typedef void net_route_fn(void *arg, const struct prefix6 *dst, const struct in6_addr *via);
int net_routes(struct net *, unsigned oif, net_route_fn *, void *arg);
/* The same of our own ones in a table, with or without a gateway (then via is ::). */
int net_own_routes(struct net *, uint32_t table, unsigned oif, net_route_fn *, void *arg);

struct net_rule {
	uint32_t priority;
	struct prefix6 from, to; /* len 0 = any */
	char iif[IFNAMSIZ];      /* "" = any */
	uint32_t mark;           /* 0 = any */
	uint32_t table;          /* looked up if 'blackhole' is false */
	bool blackhole;
};
int net_rule_put(struct net *, const struct net_rule *); /* idempotent */
/* Removes the rules of NET_PROTO with a priority of lo..hi that are not among the 'n' wanted. */
int net_rule_sweep(
	struct net *, uint32_t lo, uint32_t hi, const struct net_rule *wanted, unsigned n);
int net_rule_drop(struct net *, const struct net_rule *); /* 0 also if it was not there */

/* For what is not above: requests made with libnl's functions. */
struct nl_msg;
struct rtnl_link;
/* Sends and frees 'msg'; 'made' is libnl's result of making it.  0 or -errno, the kernel's own. */
int net_request(struct net *, int made, struct nl_msg *msg);
/* The request of net_route_put(), to be added to.  0 or libnl's error, for net_request(). */
int net_route_make(struct net *, const struct net_route *, struct nl_msg **);
bool net_is_own(const struct net *, uint32_t port);  /* does it ask the kernel from there? */
int net_link_delete(struct net *, unsigned ifindex); /* 0 or -errno */
/* 0 and '*out', for rtnl_link_put(); -ENODEV: there is none; or another -errno. */
int net_link_find(struct net *, const char *name, struct rtnl_link **out);

/* MTU of an interface, octets; 0: there is none of that name. */
unsigned net_mtu(const char *ifname);
/* Do its packets have Ethernet's header?  Those of PPP, of many a modem, of a tunnel have none. */
bool net_is_ethernet(const char *ifname);
/* Writes /proc/sys/net/ipv6/conf/IFNAME/KEY, or /proc/sys/net/ipv6/KEY if ifname is NULL.  0 or
 * -errno. */
int net_sysctl6(const char *ifname, const char *key, const char *value);

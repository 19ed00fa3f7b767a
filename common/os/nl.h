/* nl.h - rtnetlink for the daemons (libmnl): link and address events, and idempotent changes of
 * addresses, routes, rules and neighbours.  Everything installed carries protocol NL_PROTO, so that
 * `ip -6 route show proto nemo` lists it and a restart finds it. */
#pragma once
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include "common/core/addr.h"

/* libnl has functions of the same names: should it ever be loaded (by another library), it must not
 * find ours. */
#pragma GCC visibility push(hidden)

#define NL_PROTO 139 /* rtm_protocol of our routes and rules */

struct nl_link { /* one interface, as the kernel told it */
	unsigned ifindex;
	char name[IFNAMSIZ];
	bool running;      /* up and with carrier */
	bool gone;         /* RTM_DELLINK */
	bool notify_peers; /* IFLA_EVENT says NOTIFY_PEERS: the guest was just migrated */
	unsigned mtu;
	uint8_t mac[6];
};
struct nl_addr {
	unsigned ifindex;
	struct in6_addr addr;
	bool tentative;  /* DAD runs and the address can't be used */
	bool optimistic; /* DAD runs meanwhile, RFC 4429 */
	bool dad_failed, gone;
};
struct nl_neigh {
	unsigned ifindex;
	struct in6_addr addr;
	bool failed;
};

struct nl_handlers { /* any may be NULL */
	void (*link)(void *arg, const struct nl_link *);
	void (*addr)(void *arg, const struct nl_addr *);
	void (*neigh)(void *arg, const struct nl_neigh *);
	void (*resync)(void *arg); /* messages were lost (ENOBUFS): everything was dumped again */
	void *arg;
};

struct nl;
int nl_open(struct nl **, sd_event *, const struct nl_handlers *); /* 0 or -errno */
int nl_dump(struct nl *); /* calls link() and addr() for everything there is */
void nl_close(struct nl *);

int nl_addr_put(struct nl *, unsigned ifindex, const struct in6_addr *, uint8_t len,
	uint32_t flags); /* IFA_F_* */
int nl_addr_drop(struct nl *, unsigned ifindex, const struct in6_addr *, uint8_t len);
int nl_neigh_put(struct nl *, unsigned ifindex, const struct in6_addr *,
	const uint8_t mac[6]); /* STALE, is a router */

enum nl_route_type { NL_UNICAST, NL_UNREACHABLE, NL_BLACKHOLE };
struct nl_route {
	struct prefix6 dst;
	uint32_t table; /* 254 = main */
	enum nl_route_type type;
	struct in6_addr via; /* :: = on link */
	unsigned oif;        /* 0 for the discarding types */
	uint32_t metric;     /* 0 = the kernel's default */
	struct in6_addr src; /* preferred source; :: = none */
	unsigned mtu;        /* 0 = the device's */
};
int nl_route_put(struct nl *, const struct nl_route *);  /* creates or replaces */
int nl_route_drop(struct nl *, const struct nl_route *); /* 0 also if it was not there */

struct nl_rule {
	uint32_t priority;
	struct prefix6 from, to; /* len 0 = any */
	char iif[IFNAMSIZ];      /* "" = any */
	uint32_t table;          /* looked up if 'blackhole' is false */
	bool blackhole;
};
int nl_rule_put(struct nl *, const struct nl_rule *);  /* idempotent */
int nl_rule_drop(struct nl *, const struct nl_rule *); /* 0 also if it was not there */

/* Writes /proc/sys/net/ipv6/conf/IFNAME/KEY.  0 or -errno. */
int nl_sysctl6(const char *ifname, const char *key, const char *value);

#pragma GCC visibility pop

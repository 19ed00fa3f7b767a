/* policy.c - the rules that keep the mobile networks' traffic in the tunnel. */
#include <assert.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/tunnel/tunnel.h"
#include "mr/policy.h"

#define PRIO_AT_HOME  990
#define PRIO_UPLINK   1000
#define PRIO_FORGED   1005
#define PRIO_INSIDE   1010
#define PRIO_NETWORK  1011 /* each packet of the networks passes the rules before it */
#define PRIO_HOME     1012
#define PRIO_OUTER    1015
#define PRIO_ERRORS   1020
#define PRIO_SPOOFED  1030
#define METRIC_KERNEL 256 /* of prefixes on a link */
#define METRIC_HOME   0x1390u
#define METRIC_LAST   0xfffffff0u /* behind the tunnel's default and a network's own route */
#define MAX_RULES     (MR_MAX_UPLINKS + MR_MAX_HAS + 4 * MH_MAX_MNP + 4)

struct rules {
	unsigned n;
	struct net_rule v[MAX_RULES];
};

static struct net_rule *add(struct rules *rules, uint32_t priority, uint32_t table)
{
	assert(rules->n < MAX_RULES);
	struct net_rule *r = &rules->v[rules->n++];

	*r = (struct net_rule){.priority = priority, .table = table, .blackhole = table == 0};
	return r;
}

/* For packets of this host, not for what it forwards. */
static struct net_rule *own(struct net_rule *r)
{
	memcpy(r->iif, "lo", sizeof("lo"));
	return r;
}

/* RFC 3963 s9: nobody in a mobile network sends with an address of the router. */
static struct net_rule forged_rule(const char *interface, const struct in6_addr *addr)
{
	struct net_rule r = {
		.priority = PRIO_FORGED, .from = prefix6_host(addr), .blackhole = true};

	snprintf(r.iif, sizeof(r.iif), "%s", interface);
	return r;
}

static struct net_rule coa_rule(const struct in6_addr *coa)
{
	struct net_rule r = {
		.priority = PRIO_OUTER, .from = prefix6_host(coa), .table = RT_TABLE_MAIN};

	return *own(&r);
}

static void make_rules(struct rules *rules, const struct mr_file *f)
{
	const struct mr_conf *c = &f->core;
	const struct prefix6 *p;

	for (unsigned i = 0; i < c->n_uplinks; i++)
		memcpy(add(rules, PRIO_UPLINK, 0)->iif, c->uplinks[i].interface, IFNAMSIZ);
	for (unsigned i = 0; i < c->n_has; i++)
		own(add(rules, PRIO_OUTER, RT_TABLE_MAIN))->to = prefix6_host(&c->has[i]);
	own(add(rules, PRIO_HOME, f->table))->from = prefix6_host(&c->hoa);
	own(add(rules, PRIO_ERRORS, f->table))->mark = TUNNEL_MARK;
	for (unsigned i = 0; i < c->n_networks; i++) {
		*add(rules, PRIO_FORGED, 0) = forged_rule(c->networks[i].interface, &c->hoa);
		memcpy(add(rules, PRIO_SPOOFED, 0)->iif, c->networks[i].interface, IFNAMSIZ);
	}
	for (unsigned i = 0; (p = mr_behind(c, i)); i++) {
		add(rules, PRIO_INSIDE, RT_TABLE_MAIN)->to = *p;
		add(rules, PRIO_NETWORK, f->table)->from = *p;
	}
}

static int put_unreachable(struct net *net, struct prefix6 dst, uint32_t table)
{
	struct net_route r = {
		.dst = dst, .table = table, .type = NET_UNREACHABLE, .metric = METRIC_LAST};

	return net_route_put(net, &r);
}

static int drop_home_routes(struct net *net, const struct mr_file *f, struct prefix6 prefix)
{
	struct net_route v[] = {
		{.table = f->table, .metric = METRIC_HOME},
		{.table = f->table, .metric = METRIC_HOME, .dst = prefix},
		{.table = RT_TABLE_MAIN, .metric = METRIC_HOME, .dst = prefix},
	};
	int r = 0;

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]) && r == 0; i++)
		r = net_route_drop(net, &v[i]);
	return r;
}

static bool is_uplink(const struct mr_file *f, const char *interface)
{
	for (unsigned i = 0; i < f->core.n_uplinks; i++)
		if (strcmp(f->core.uplinks[i].interface, interface) == 0)
			return true;
	return false;
}

static bool is_inside(const struct mr_file *f, const char *interface)
{
	for (unsigned i = 0; i < f->core.n_networks; i++)
		if (strcmp(f->core.networks[i].interface, interface) == 0)
			return true;
	return false;
}

/* Adds the rules about addresses that this host has: an earlier run's are still needed. */
static struct net_rule *add_addresses(
	const struct mr_file *f, const struct rules *rules, const struct ifaddrs *all, unsigned *n)
{
	struct net_rule *v;

	*n = rules->n;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next)
		++*n;
	v = calloc(*n, sizeof(*v));
	if (!v)
		return NULL;
	memcpy(v, rules->v, rules->n * sizeof(*v));
	*n = rules->n;
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		struct sockaddr_in6 sa;

		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET6)
			continue;
		memcpy(&sa, a->ifa_addr, sizeof(sa));
		if (is_uplink(f, a->ifa_name))
			v[(*n)++] = coa_rule(&sa.sin6_addr);
		else if (is_inside(f, a->ifa_name))
			v[(*n)++] = forged_rule(a->ifa_name, &sa.sin6_addr);
	}
	return v;
}

static int sweep(struct net *net, const struct mr_file *f, const struct rules *rules, uint32_t lo,
	uint32_t hi)
{
	struct ifaddrs *all;
	struct net_rule *v;
	unsigned n;
	int r;

	if (getifaddrs(&all) < 0)
		return -errno;
	v = add_addresses(f, rules, all, &n);
	r = v ? net_rule_sweep(net, lo, hi, v, n) : -ENOMEM;
	free(v);
	freeifaddrs(all);
	return r;
}

/* The routes and rules that need no more than the configuration. */
static int put_all(struct net *net, const struct mr_file *f, const struct rules *rules)
{
	int r = put_unreachable(net, (struct prefix6){0}, f->table);
	const struct prefix6 *p;

	for (unsigned i = 0; r == 0 && (p = mr_behind(&f->core, i)); i++)
		r = put_unreachable(net, *p, RT_TABLE_MAIN);
	for (unsigned i = 0; i < rules->n && r == 0; i++)
		r = net_rule_put(net, &rules->v[i]);
	return r;
}

int policy_put(struct net *net, const struct mr_file *f)
{
	struct rules rules = {0};
	int r;

	make_rules(&rules, f);
	r = put_all(net, f, &rules);
	if (r == 0 && f->core.return_home) /* a run that was killed at home left them */
		r = drop_home_routes(net, f, f->core.home_prefix);
	if (r == 0)
		r = net_sysctl6(NULL, "fwmark_reflect", "1");
	return r == 0 ? sweep(net, f, &rules, PRIO_AT_HOME, PRIO_SPOOFED) : r;
}

int policy_agents(struct net *net, const struct mr_file *f)
{
	struct rules rules = {0};

	make_rules(&rules, f);
	return sweep(net, f, &rules, PRIO_OUTER, PRIO_OUTER);
}

int policy_restore(struct net *net, const struct mr_file *f)
{
	struct rules rules = {0};
	struct ifaddrs *all;
	struct net_rule *v;
	unsigned n;
	int r;

	make_rules(&rules, f);
	r = put_all(net, f, &rules);
	if (r < 0)
		return r;
	if (getifaddrs(&all) < 0)
		return -errno;
	v = add_addresses(f, &rules, all, &n);
	r = v ? 0 : -ENOMEM;
	for (unsigned i = rules.n; v && i < n && r == 0; i++)
		if (!addr6_is_link_local(&v[i].from.addr))
			r = net_rule_put(net, &v[i]);
	free(v);
	freeifaddrs(all);
	return r;
}

bool policy_wants(const struct mr_file *f, const struct net_route *r)
{
	const struct prefix6 *p;

	if (r->type != NET_UNREACHABLE)
		return false;
	if (r->table == f->table && r->dst.len == 0)
		return true;
	for (unsigned i = 0; r->table == RT_TABLE_MAIN && (p = mr_behind(&f->core, i)); i++)
		if (prefix6_eq(p, &r->dst))
			return true;
	return false;
}

static bool has_rule(const struct rules *rules, const struct net_rule *r)
{
	for (unsigned i = 0; i < rules->n; i++) {
		const struct net_rule *o = &rules->v[i];

		if (o->priority == r->priority && o->table == r->table && o->mark == r->mark &&
			prefix6_eq(&o->from, &r->from) && prefix6_eq(&o->to, &r->to) &&
			strcmp(o->iif, r->iif) == 0)
			return true;
	}
	return false;
}

static bool is_behind(const struct mr_conf *c, const struct prefix6 *prefix)
{
	const struct prefix6 *p;

	for (unsigned i = 0; (p = mr_behind(c, i)); i++)
		if (prefix6_eq(p, prefix))
			return true;
	return false;
}

static struct net_rule home_rule(const char *interface, const struct prefix6 *network)
{
	struct net_rule r = {.priority = PRIO_AT_HOME, .to = *network, .table = RT_TABLE_MAIN};

	snprintf(r.iif, sizeof(r.iif), "%s", interface);
	return r;
}

/* A network that is no more. */
static int forget_network(struct net *net, const struct mr_conf *was, const struct prefix6 *p)
{
	struct net_route route = {
		.dst = *p, .table = RT_TABLE_MAIN, .type = NET_UNREACHABLE, .metric = METRIC_LAST};
	int r = net_route_drop(net, &route);

	for (unsigned i = 0; i < was->n_uplinks && r == 0; i++) {
		struct net_rule home = home_rule(was->uplinks[i].interface, p);

		r = net_rule_drop(net, &home);
	}
	return r;
}

int policy_change(struct net *net, const struct mr_file *was, const struct mr_file *now)
{
	struct rules old = {0}, new = {0};
	const struct prefix6 *p;
	int r = 0;

	make_rules(&old, was);
	make_rules(&new, now);
	for (unsigned i = 0; r == 0 && (p = mr_behind(&now->core, i)); i++)
		r = put_unreachable(net, *p, RT_TABLE_MAIN);
	for (unsigned i = 0; i < new.n &&r == 0; i++)
		r = net_rule_put(net, &new.v[i]);
	/* Home agents that were left may hold the binding yet: policy_agents(). */
	for (unsigned i = 0; i < old.n && r == 0; i++)
		if (old.v[i].priority != PRIO_OUTER && !has_rule(&new, &old.v[i]))
			r = net_rule_drop(net, &old.v[i]);
	for (unsigned i = 0; r == 0 && (p = mr_behind(&was->core, i)); i++)
		if (!is_behind(&now->core, p))
			r = forget_network(net, &was->core, p);
	return r;
}

int policy_coa_put(struct net *net, const struct in6_addr *coa)
{
	struct net_rule r = coa_rule(coa);

	return net_rule_put(net, &r);
}

int policy_coa_drop(struct net *net, const struct in6_addr *coa)
{
	struct net_rule r = coa_rule(coa);

	return net_rule_drop(net, &r);
}

int policy_inside_put(struct net *net, const char *interface, const struct in6_addr *addr)
{
	struct net_rule r = forged_rule(interface, addr);

	return net_rule_put(net, &r);
}

int policy_inside_drop(struct net *net, const char *interface, const struct in6_addr *addr)
{
	struct net_rule r = forged_rule(interface, addr);

	return net_rule_drop(net, &r);
}

void policy_home_forget(struct net *net, const struct mr_file *f, unsigned ifindex)
{
	struct net_route r = {.table = RT_TABLE_MAIN,
		.dst = f->core.home_prefix,
		.oif = ifindex,
		.metric = METRIC_KERNEL,
		.proto = RTPROT_KERNEL};

	if (f->core.return_home)
		net_route_drop(net, &r);
}

int policy_home_link(struct net *net, const struct policy_home *h)
{
	struct net_route r = {
		.table = RT_TABLE_MAIN, .dst = h->prefix, .oif = h->ifindex, .metric = METRIC_HOME};

	return net_route_put(net, &r);
}

int policy_home_put(struct net *net, const struct mr_file *f, const struct policy_home *h)
{
	struct net_route link = {.table = f->table,
				 .dst = h->prefix,
				 .oif = h->ifindex,
				 .metric = METRIC_HOME},
			 any = {.table = f->table,
				 .via = h->router,
				 .oif = h->ifindex,
				 .metric = METRIC_HOME};
	const struct prefix6 *p;
	int r = net_route_put(net, &link);

	if (r == 0)
		r = net_route_put(net, &any);
	for (unsigned i = 0; r == 0 && (p = mr_behind(&f->core, i)); i++) {
		struct net_rule in = home_rule(h->interface, p);

		r = net_rule_put(net, &in);
	}
	/* A router here: member of the all-routers groups (RFC 3963 s5.7), R flag in its answers.
	 */
	return r == 0 ? net_sysctl6(h->interface, "forwarding", "1") : r;
}

int policy_home_drop(struct net *net, const struct mr_file *f, const struct policy_home *h)
{
	int r = net_sysctl6(h->interface, "forwarding", "0"), e;
	const struct prefix6 *p;

	for (unsigned i = 0; (p = mr_behind(&f->core, i)); i++) {
		struct net_rule in = home_rule(h->interface, p);

		e = net_rule_drop(net, &in);
		r = r == 0 ? e : r;
	}
	e = drop_home_routes(net, f, h->prefix);
	return r == 0 || r == -ENOENT ? e : r; /* the interface may be gone */
}

/* net_route.c - routes and rules: the half of net.h that writes tables, and what it reads of them.
 */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/route/rtnl.h>
#include <netlink/route/rule.h>
#include <string.h>
#include "common/os/net_state.h"

#define DUMP_BUF       65536 /* octets: the kernel sends up to 32 KB at once */
#define METRIC_DEFAULT 1024  /* the kernel's for IPv6 */

static struct rtnl_route *route_of(struct net *net, const struct net_route *route)
{
	static const uint8_t types[] = {[NET_UNICAST] = RTN_UNICAST,
		[NET_UNREACHABLE] = RTN_UNREACHABLE,
		[NET_BLACKHOLE] = RTN_BLACKHOLE};
	struct in6_addr dst = prefix6_mask(route->dst).addr;
	struct rtnl_route *r = rtnl_route_alloc();
	struct rtnl_nexthop *hop = r ? rtnl_route_nh_alloc() : NULL;

	if (!hop) {
		rtnl_route_put(r);
		return NULL;
	}
	rtnl_route_set_dst(r, net_slot(net, 0, &dst, route->dst.len));
	rtnl_route_set_protocol(r, route->proto ? route->proto : NET_PROTO);
	rtnl_route_set_table(r, route->table);
	rtnl_route_set_type(r, types[route->type]);
	/* said even if it is the default: in a deletion, none would match any metric */
	rtnl_route_set_priority(r, route->metric ? route->metric : METRIC_DEFAULT);
	rtnl_route_nh_set_ifindex(hop, (int)route->oif);
	if (!addr6_is_any(&route->via))
		rtnl_route_nh_set_gateway(hop, net_slot(net, 1, &route->via, 128));
	if (route->onlink)
		rtnl_route_nh_set_flags(hop, RTNH_F_ONLINK);
	rtnl_route_add_nexthop(r, hop);
	if (!addr6_is_any(&route->src))
		rtnl_route_set_pref_src(r, net_slot(net, 2, &route->src, 128));
	if (route->mtu)
		rtnl_route_set_metric(r, RTAX_MTU, route->mtu);
	return r;
}

int net_route_make(struct net *net, const struct net_route *route, struct nl_msg **msg)
{
	struct rtnl_route *r = route_of(net, route);
	int e = r ? rtnl_route_build_add_request(r, NLM_F_REPLACE, msg) : -NLE_NOMEM;

	rtnl_route_put(r);
	return e;
}

int net_route_put(struct net *net, const struct net_route *route)
{
	struct nl_msg *msg = NULL;
	int made = net_route_make(net, route, &msg);

	return net_request(net, made, msg);
}

int net_route_drop(struct net *net, const struct net_route *route)
{
	struct rtnl_route *r = route_of(net, route);
	int e = net_result(net, r ? rtnl_route_delete(net->req, r, 0) : -NLE_NOMEM);

	rtnl_route_put(r);
	return e == -ESRCH || e == -ENOENT || e == -ENODEV ? 0 : e;
}

struct routes { /* who asked for them */
	unsigned oif;
	uint32_t table;
	bool ours;
	net_route_fn *fn;
	void *arg;
};

struct wanted { /* is it there? */
	const struct net_route *route;
	bool there;
};

static void on_wanted(struct nl_object *o, void *arg)
{
	struct rtnl_route *r = (struct rtnl_route *)o;
	struct in6_addr via = IN6ADDR_ANY_INIT, src = IN6ADDR_ANY_INIT;
	struct nl_addr *a = rtnl_route_get_dst(r);
	struct wanted *w = arg;
	const struct net_route *is = w->route;
	struct rtnl_nexthop *hop = rtnl_route_get_nnexthops(r) == 1 ? rtnl_route_nexthop_n(r, 0)
								    : NULL;
	struct prefix6 dst = {.len = a ? (uint8_t)nl_addr_get_prefixlen(a) : 0};
	uint32_t mtu = 0;

	if (!hop || rtnl_route_get_type(r) != RTN_UNICAST ||
		rtnl_route_get_protocol(r) != NET_PROTO || rtnl_route_get_table(r) != is->table)
		return;
	net_addr6(&dst.addr, a);
	net_addr6(&via, rtnl_route_nh_get_gateway(hop));
	net_addr6(&src, rtnl_route_get_pref_src(r));
	rtnl_route_get_metric(r, RTAX_MTU, &mtu);
	w->there |= prefix6_eq(&dst, &is->dst) &&
		    (unsigned)rtnl_route_nh_get_ifindex(hop) == is->oif &&
		    addr6_eq(&via, &is->via) && addr6_eq(&src, &is->src) && mtu == is->mtu &&
		    rtnl_route_get_priority(r) == (is->metric ? is->metric : METRIC_DEFAULT);
}

static int on_wanted_message(struct nl_msg *msg, void *arg)
{
	nl_msg_parse(msg, on_wanted, arg);
	return NL_OK;
}

/* libnl's object of a route takes ten times as long, and a home agent starts with 10^5 of them. */
static int on_listed(struct nl_msg *msg, void *arg)
{
	static const struct nla_policy policy[RTA_MAX + 1] = {
		[RTA_DST] = {.minlen = sizeof(struct in6_addr)},
		[RTA_GATEWAY] = {.minlen = sizeof(struct in6_addr)},
		[RTA_TABLE] = {.type = NLA_U32},
		[RTA_OIF] = {.type = NLA_U32}, /* missing if there are several */
	};
	const struct rtmsg *rtm = nlmsg_data(nlmsg_hdr(msg));
	struct prefix6 dst = {.len = rtm->rtm_dst_len};
	struct in6_addr via = IN6ADDR_ANY_INIT;
	const struct routes *want = arg;
	struct nlattr *tb[RTA_MAX + 1];

	if (nlmsg_hdr(msg)->nlmsg_type != RTM_NEWROUTE ||
		nlmsg_parse(nlmsg_hdr(msg), sizeof(*rtm), tb, RTA_MAX, policy) < 0 ||
		rtm->rtm_family != AF_INET6 || rtm->rtm_type != RTN_UNICAST ||
		(rtm->rtm_protocol == NET_PROTO) != want->ours || !tb[RTA_OIF] ||
		nla_get_u32(tb[RTA_OIF]) != want->oif || (!tb[RTA_GATEWAY] && !want->ours) ||
		(tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table) != want->table)
		return NL_OK;
	if (tb[RTA_DST])
		nla_memcpy(&dst.addr, tb[RTA_DST], sizeof(dst.addr));
	if (tb[RTA_GATEWAY])
		nla_memcpy(&via, tb[RTA_GATEWAY], sizeof(via));
	want->fn(want->arg, &dst, &via);
	return NL_OK;
}

/* The request of net_routes(); a kernel that checks strictly sends only what is asked for. */
static int ask_routes(struct nl_sock *s, uint32_t table, unsigned oif)
{
	struct rtmsg rtm = {.rtm_family = AF_INET6,
		.rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
	int strict = 1, e = -NLE_NOMEM;

	setsockopt(nl_socket_get_fd(s), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict,
		sizeof(strict)); /* before Linux 4.20 it sends all of them */
	if (msg)
		e = nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO);
	if (e >= 0)
		e = nla_put_u32(msg, RTA_OIF, oif);
	if (e >= 0)
		e = nla_put_u32(msg, RTA_TABLE, table);
	if (e >= 0)
		e = nl_send_auto(s, msg);
	nlmsg_free(msg);
	return e;
}

static int list_routes(struct net *net, uint32_t table, unsigned oif,
	nl_recvmsg_msg_cb_t on_route_message, void *arg)
{
	struct nl_sock *s;
	int e = net_sock_open(net, &s);

	if (e >= 0) {
		nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_route_message, arg);
		nl_socket_set_msg_buf_size(s, DUMP_BUF);
		nl_socket_disable_msg_peek(s);
		e = ask_routes(s, table, oif);
	}
	if (e >= 0)
		e = nl_recvmsgs_default(s);
	nl_socket_free(s);
	return net_result(net, e);
}

int net_routes(struct net *net, unsigned oif, net_route_fn *fn, void *arg)
{
	struct routes want = {oif, RT_TABLE_MAIN, false, fn, arg};

	return list_routes(net, RT_TABLE_MAIN, oif, on_listed, &want);
}

int net_own_routes(struct net *net, uint32_t table, unsigned oif, net_route_fn *fn, void *arg)
{
	struct routes want = {oif, table, true, fn, arg};

	return list_routes(net, table, oif, on_listed, &want);
}

int net_route_keep(struct net *net, const struct net_route *route)
{
	struct wanted w = {.route = route};
	int e = list_routes(net, route->table, route->oif, on_wanted_message, &w);

	return e == 0 && w.there ? 0 : net_route_put(net, route);
}

static struct rtnl_rule *rule_of(struct net *net, const struct net_rule *rule)
{
	struct in6_addr from = prefix6_mask(rule->from).addr, to = prefix6_mask(rule->to).addr;
	struct rtnl_rule *r = rtnl_rule_alloc();

	if (!r)
		return NULL;
	rtnl_rule_set_family(r, AF_INET6);
	rtnl_rule_set_prio(r, rule->priority);
	rtnl_rule_set_protocol(r, NET_PROTO);
	rtnl_rule_set_action(r, rule->blackhole ? FR_ACT_BLACKHOLE : FR_ACT_TO_TBL);
	if (!rule->blackhole)
		rtnl_rule_set_table(r, rule->table);
	if (rule->from.len)
		rtnl_rule_set_src(r, net_slot(net, 0, &from, rule->from.len));
	if (rule->to.len)
		rtnl_rule_set_dst(r, net_slot(net, 1, &to, rule->to.len));
	if (rule->iif[0])
		rtnl_rule_set_iif(r, rule->iif);
	if (rule->mark) {
		rtnl_rule_set_mark(r, rule->mark);
		rtnl_rule_set_mask(r, UINT32_MAX);
	}
	return r;
}

int net_rule_put(struct net *net, const struct net_rule *rule)
{
	struct rtnl_rule *r = rule_of(net, rule);
	/* without NLM_F_EXCL the kernel takes the same rule twice */
	int e = net_result(net, r ? rtnl_rule_add(net->req, r, NLM_F_EXCL) : -NLE_NOMEM);

	rtnl_rule_put(r);
	return e == -EEXIST ? 0 : e;
}

static bool same_addr(const struct nl_addr *a, const struct nl_addr *b)
{
	return a && b ? nl_addr_cmp(a, b) == 0 : a == b;
}

static bool same_rule(struct rtnl_rule *a, struct rtnl_rule *b)
{
	const char *ia = rtnl_rule_get_iif(a), *ib = rtnl_rule_get_iif(b);

	return rtnl_rule_get_prio(a) == rtnl_rule_get_prio(b) &&
	       rtnl_rule_get_action(a) == rtnl_rule_get_action(b) &&
	       rtnl_rule_get_table(a) == rtnl_rule_get_table(b) &&
	       rtnl_rule_get_mark(a) == rtnl_rule_get_mark(b) &&
	       strcmp(ia ? ia : "", ib ? ib : "") == 0 &&
	       same_addr(rtnl_rule_get_src(a), rtnl_rule_get_src(b)) &&
	       same_addr(rtnl_rule_get_dst(a), rtnl_rule_get_dst(b));
}

/* 1, 0 or -ENOMEM */
static int is_wanted(
	struct net *net, struct rtnl_rule *r, const struct net_rule *wanted, unsigned n)
{
	bool same = false;

	for (unsigned i = 0; i < n && !same; i++) {
		struct rtnl_rule *w = rule_of(net, &wanted[i]);

		if (!w)
			return -ENOMEM;
		same = same_rule(r, w);
		rtnl_rule_put(w);
	}
	return same;
}

int net_rule_sweep(
	struct net *net, uint32_t lo, uint32_t hi, const struct net_rule *wanted, unsigned n)
{
	struct nl_cache *cache;
	struct nl_object *o;
	int e = net_result(net, rtnl_rule_alloc_cache(net->req, AF_INET6, &cache));

	if (e < 0)
		return e;
	for (o = nl_cache_get_first(cache); o && e >= 0; o = nl_cache_get_next(o)) {
		struct rtnl_rule *r = (struct rtnl_rule *)o;
		uint32_t prio = rtnl_rule_get_prio(r);
		uint8_t proto = 0;

		if (rtnl_rule_get_protocol(r, &proto) < 0 || proto != NET_PROTO || prio < lo ||
			prio > hi)
			continue;
		e = is_wanted(net, r, wanted, n);
		if (e == 0)
			e = net_result(net, rtnl_rule_delete(net->req, r, 0));
	}
	nl_cache_free(cache);
	return e < 0 ? e : 0;
}

int net_rule_drop(struct net *net, const struct net_rule *rule)
{
	struct rtnl_rule *r = rule_of(net, rule);
	int e = net_result(net, r ? rtnl_rule_delete(net->req, r, 0) : -NLE_NOMEM);

	rtnl_rule_put(r);
	return e == -ENOENT ? 0 : e;
}

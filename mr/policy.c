/* policy.c - the rules that keep the mobile networks' traffic in the tunnel. */
#include "mr/policy.h"

#define PRIO_UPLINK  1000
#define PRIO_INSIDE  1010
#define PRIO_TUNNEL  1020
#define PRIO_SPOOFED 1030
#define MAIN_TABLE   254
#define METRIC_LAST  0xfffffff0u /* behind the tunnel's default and a network's own route */

static int put_unreachable(struct net *net, struct prefix6 dst, uint32_t table)
{
	struct net_route r = {
		.dst = dst, .table = table, .type = NET_UNREACHABLE, .metric = METRIC_LAST};

	return net_route_put(net, &r);
}

static int put_network(struct net *net, const struct mr_file *f, const struct mr_network_conf *n)
{
	struct net_rule inside = {.priority = PRIO_INSIDE, .to = n->prefix, .table = MAIN_TABLE};
	struct net_rule out = {.priority = PRIO_TUNNEL, .from = n->prefix, .table = f->table};
	struct net_rule spoofed = {.priority = PRIO_SPOOFED, .blackhole = true};
	int r = put_unreachable(net, n->prefix, MAIN_TABLE);

	memcpy(spoofed.iif, n->interface, IFNAMSIZ);
	if (r == 0)
		r = net_rule_put(net, &inside);
	if (r == 0)
		r = net_rule_put(net, &out);
	return r == 0 ? net_rule_put(net, &spoofed) : r;
}

int policy_put(struct net *net, const struct mr_file *f)
{
	struct net_rule own = {
		.priority = PRIO_TUNNEL, .from = prefix6_host(&f->core.hoa), .table = f->table};
	int r = put_unreachable(net, (struct prefix6){0}, f->table);

	if (r == 0)
		r = net_rule_put(net, &own);
	for (unsigned i = 0; i < f->core.n_uplinks && r == 0; i++) {
		struct net_rule in = {.priority = PRIO_UPLINK, .blackhole = true};

		memcpy(in.iif, f->core.uplinks[i].interface, IFNAMSIZ);
		r = net_rule_put(net, &in);
	}
	for (unsigned i = 0; i < f->core.n_networks && r == 0; i++)
		r = put_network(net, f, &f->core.networks[i]);
	return r;
}

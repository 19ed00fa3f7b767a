/* policy.c - the rules that keep the mobile networks' traffic in the tunnel. */
#include "mr/policy.h"

#define PRIO_UPLINK  1000
#define PRIO_INSIDE  1010
#define PRIO_TUNNEL  1020
#define PRIO_SPOOFED 1030
#define MAIN_TABLE   254
#define METRIC_LAST  0xfffffff0u /* behind the tunnel's default and a network's own route */

static int put_unreachable(struct nl *nl, struct prefix6 dst, uint32_t table)
{
	struct nl_route r = {
		.dst = dst, .table = table, .type = NL_UNREACHABLE, .metric = METRIC_LAST};

	return nl_route_put(nl, &r);
}

static int put_network(struct nl *nl, const struct mr_file *f, const struct mr_network_conf *n)
{
	struct nl_rule inside = {.priority = PRIO_INSIDE, .to = n->prefix, .table = MAIN_TABLE};
	struct nl_rule out = {.priority = PRIO_TUNNEL, .from = n->prefix, .table = f->table};
	struct nl_rule spoofed = {.priority = PRIO_SPOOFED, .blackhole = true};
	int r = put_unreachable(nl, n->prefix, MAIN_TABLE);

	memcpy(spoofed.iif, n->interface, IFNAMSIZ);
	if (r == 0)
		r = nl_rule_put(nl, &inside);
	if (r == 0)
		r = nl_rule_put(nl, &out);
	return r == 0 ? nl_rule_put(nl, &spoofed) : r;
}

int policy_put(struct nl *nl, const struct mr_file *f)
{
	struct nl_rule own = {
		.priority = PRIO_TUNNEL, .from = prefix6_host(&f->core.hoa), .table = f->table};
	int r = put_unreachable(nl, (struct prefix6){0}, f->table);

	if (r == 0)
		r = nl_rule_put(nl, &own);
	for (unsigned i = 0; i < f->core.n_uplinks && r == 0; i++) {
		struct nl_rule in = {.priority = PRIO_UPLINK, .blackhole = true};

		memcpy(in.iif, f->core.uplinks[i].interface, IFNAMSIZ);
		r = nl_rule_put(nl, &in);
	}
	for (unsigned i = 0; i < f->core.n_networks && r == 0; i++)
		r = put_network(nl, f, &f->core.networks[i]);
	return r;
}

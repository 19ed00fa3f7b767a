/* dev.c - the tunnel device: a few rtnetlink requests. */
#include <errno.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/route/link.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "common/os/log.h"
#include "common/os/net.h"
#include "common/tunnel/dev.h"
#include <linux/if_tunnel.h> /* after net/if.h, whose names it then leaves alone */

/* A device that gets its addresses from each packet's route: rtnl_link_ip6_tnl has no way to say
 * IFLA_IPTUN_COLLECT_METADATA. */
static int add_external_ip6tnl(struct nl_msg *msg)
{
	struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO), *data;
	int e = info ? nla_put_string(msg, IFLA_INFO_KIND, "ip6tnl") : -NLE_NOMEM;

	if (e < 0)
		return e;
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	e = data ? nla_put_flag(msg, IFLA_IPTUN_COLLECT_METADATA) : -NLE_NOMEM;
	if (e >= 0)
		e = nla_put_u8(msg, IFLA_IPTUN_PROTO, IPPROTO_IPV6);
	if (e < 0)
		return e;
	nla_nest_end(msg, data);
	return nla_nest_end(msg, info);
}

static int link_create(
	const struct tunnel_dev *dev, const char *name, const char *kind, unsigned mtu)
{
	bool external = !strcmp(kind, "ip6tnl");
	/* One that the kernel had chosen would be replaced by systemd-udevd a moment later, and the
	 * engine's programs write it into what they decapsulate. */
	uint8_t mac[6] = {0x02, 'n', 'e', 'm', 'o', '0'};
	struct nl_addr *address = nl_addr_build(AF_LLC, mac, sizeof(mac));
	struct rtnl_link *l = rtnl_link_alloc();
	struct nl_msg *msg = NULL;
	int e = -NLE_NOMEM;

	if (l && address) {
		rtnl_link_set_name(l, name);
		rtnl_link_set_mtu(l, mtu);
		if (!external)
			rtnl_link_set_addr(l, address);
		e = external ? 0 : rtnl_link_set_type(l, kind);
	}
	if (e >= 0)
		e = rtnl_link_build_add_request(l, NLM_F_CREATE | NLM_F_EXCL, &msg);
	if (e >= 0 && external)
		e = add_external_ip6tnl(msg);
	rtnl_link_put(l);
	nl_addr_put(address);
	return net_request(dev->net, e, msg);
}

static int link_set(
	const struct tunnel_dev *dev, unsigned ifindex, bool up, unsigned mtu, const uint8_t *mac)
{
	struct nl_addr *lladdr = NULL;
	struct rtnl_link *l = rtnl_link_alloc();
	struct nl_msg *msg = NULL;
	int e = -NLE_NOMEM;

	if (l) {
		rtnl_link_set_ifindex(l, (int)ifindex);
		if (mac && (lladdr = nl_addr_build(AF_LLC, mac, 6)))
			rtnl_link_set_addr(l, lladdr);
		if (up)
			rtnl_link_set_flags(l, IFF_UP);
		else
			rtnl_link_unset_flags(l, IFF_UP);
		if (mtu)
			rtnl_link_set_mtu(l, mtu);
		e = rtnl_link_build_add_request(l, 0, &msg); /* creates nothing */
	}
	nl_addr_put(lladdr);
	rtnl_link_put(l);
	return net_request(dev->net, e, msg);
}

int tunnel_dev_delete(const struct tunnel_dev *dev)
{
	return net_link_delete(dev->net, dev->ifindex);
}

/* 0 with '*dev' filled, and '*mtu' if it is up, else 0; -ENODEV: there is none, or no longer one
 * (it was another engine's). */
static int take_over(
	struct tunnel_dev *dev, enum tunnel_dev_kind kind, const char *name, unsigned *mtu)
{
	struct rtnl_link *l;
	const struct nl_addr *mac;
	const char *type;
	bool is_ip6tnl;
	int rc = net_link_find(dev->net, name, &l);

	if (rc < 0)
		return rc;
	dev->ifindex = (unsigned)rtnl_link_get_ifindex(l);
	mac = rtnl_link_get_addr(l);
	if (mac && nl_addr_get_len(mac) == sizeof(dev->mac))
		memcpy(dev->mac, nl_addr_get_binary_addr(mac), sizeof(dev->mac));
	*mtu = rtnl_link_get_flags(l) & IFF_UP ? rtnl_link_get_mtu(l) : 0;
	type = rtnl_link_get_type(l);
	is_ip6tnl = type && !strcmp(type, "ip6tnl");
	rtnl_link_put(l);
	if (is_ip6tnl == (kind == TUNNEL_DEV_IP6TNL))
		return 0;
	rc = tunnel_dev_delete(dev);
	return rc < 0 ? rc : -ENODEV;
}

static int find_or_make(struct tunnel_dev *dev, enum tunnel_dev_kind kind, const char *name,
	unsigned mtu, unsigned *has)
{
	int rc = take_over(dev, kind, name, has);

	if (rc != -ENODEV)
		return rc;
	if (kind == TUNNEL_DEV_IP6TNL) {
		rc = link_create(dev, name, "ip6tnl", mtu);
	} else {
		rc = link_create(dev, name, "dummy", mtu);
		if (rc == -EOPNOTSUPP)
			rc = link_create(dev, name, "ifb", mtu);
	}
	return rc < 0 ? rc : take_over(dev, kind, name, has);
}

/* Before the device comes up. */
static int settings(const char *name, char *why)
{
	static const char *const sysctls[][2] = {
		{"addr_gen_mode", "1"}, /* none */
		{"accept_ra", "0"},
		{"forwarding", "1"}, /* what comes out of a tunnel is to be forwarded */
	};
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < sizeof(sysctls) / sizeof(sysctls[0]); i++) {
		rc = net_sysctl6(name, sysctls[i][0], sysctls[i][1]);
		if (rc < 0)
			snprintf(why, WHY_SIZE, "%s of %s: %s", sysctls[i][0], name, strerror(-rc));
	}
	return rc;
}

int tunnel_dev_open(struct tunnel_dev *dev, enum tunnel_dev_kind kind, const char *name,
	unsigned mtu, char *why)
{
	unsigned has = 0;
	int rc;

	memset(dev, 0, sizeof(*dev));
	rc = net_open(&dev->net, NULL, NULL);
	if (rc < 0) {
		snprintf(why, WHY_SIZE, "rtnetlink: %s", strerror(-rc));
		return rc;
	}
	rc = find_or_make(dev, kind, name, mtu, &has);
	if (rc == -EOPNOTSUPP)
		snprintf(why, WHY_SIZE, "kernel has no %s devices",
			kind == TUNNEL_DEV_IP6TNL ? "ip6tnl" : "dummy or ifb");
	else if (rc < 0)
		snprintf(why, WHY_SIZE, "device %s: %s", name, strerror(-rc));
	if (rc >= 0)
		rc = settings(name, why);
	if (rc >= 0 && has != mtu) { /* the kernel would look at all routes for nothing */
		rc = link_set(dev, dev->ifindex, true, mtu, NULL);
		if (rc < 0)
			snprintf(why, WHY_SIZE, "%s up, MTU %u: %s", name, mtu, strerror(-rc));
	}
	return rc;
}

struct net_route tunnel_dev_route(
	const struct tunnel_dev *dev, const struct prefix6 *dst, uint32_t table)
{
	struct net_route r = {
		.dst = *dst, .table = table, .type = NET_UNICAST, .oif = dev->ifindex};

	/* A single address is its own next hop, and may be the gateway of others (routing daemons'
	 * routes to a home address). */
	if (dst->len < 128) {
		r.via = (struct in6_addr){{{0xfe, 0x80, [15] = 1}}};
		r.onlink = true; /* routing daemons see no subnet that it is in */
	}
	return r;
}

int tunnel_dev_flush(const struct tunnel_dev *dev)
{
	int rc = link_set(dev, dev->ifindex, false, 0, NULL);

	return rc < 0 ? rc : link_set(dev, dev->ifindex, true, 0, NULL);
}

int tunnel_dev_second(
	const struct tunnel_dev *dev, const char *name, bool ethernet, unsigned *ifindex, char *why)
{
	int rc = settings(name, why);

	*ifindex = if_nametoindex(name);
	if (rc < 0)
		return rc;
	rc = *ifindex ? link_set(dev, *ifindex, true, 0, ethernet ? dev->mac : NULL) : -ENODEV;
	if (rc < 0)
		snprintf(why, WHY_SIZE, "%s up: %s", name, strerror(-rc));
	return rc;
}

/* dev.c - the tunnel device: a few rtnetlink requests on libmnl. */
#include <net/if.h> /* before linux/if_tunnel.h, which then leaves its names alone */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "common/os/nl.h"
#include "common/tunnel/dev.h"

#define WHY_SIZE 256
#define BUF_SIZE 32768

struct found { /* a device as the kernel describes it */
	struct tunnel_dev *dev;
	bool is_ip6tnl;
};

static struct nlmsghdr *link_msg(char *buf, uint16_t type, uint16_t flags, unsigned ifindex)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));
	ifi->ifi_index = (int)ifindex;
	return h;
}

/* Sends 'h' on a socket of its own and reads the answer into 'buf'. */
static int ask(struct nlmsghdr *h, char *buf, mnl_cb_t on_link, void *arg)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	ssize_t n = -1;
	int rc = 0;

	if (!s)
		return -errno;
	if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ||
		mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		rc = -errno;
	else
		n = mnl_socket_recvfrom(s, buf, BUF_SIZE);
	if (rc == 0 && n < 0)
		rc = -errno;
	if (rc == 0 && mnl_cb_run(buf, (size_t)n, 0, mnl_socket_get_portid(s), on_link, arg) < 0)
		rc = -errno;
	mnl_socket_close(s);
	return rc;
}

static int link_create(const char *name, const char *kind, unsigned mtu)
{
	char buf[BUF_SIZE];
	struct nlmsghdr *h = link_msg(buf, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
	struct nlattr *info, *data;

	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_str(h, IFLA_INFO_KIND, kind);
	if (!strcmp(kind, "ip6tnl")) {
		data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
		mnl_attr_put(h, IFLA_IPTUN_COLLECT_METADATA, 0, NULL);
		mnl_attr_put_u8(h, IFLA_IPTUN_PROTO, IPPROTO_IPV6);
		mnl_attr_nest_end(h, data);
	}
	mnl_attr_nest_end(h, info);
	return ask(h, buf, NULL, NULL);
}

static int link_set(unsigned ifindex, bool up, unsigned mtu)
{
	char buf[BUF_SIZE];
	struct nlmsghdr *h = link_msg(buf, RTM_NEWLINK, NLM_F_ACK, ifindex);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);

	ifi->ifi_flags = up ? IFF_UP : 0;
	ifi->ifi_change = IFF_UP;
	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	return ask(h, buf, NULL, NULL);
}

static int link_delete(unsigned ifindex)
{
	char buf[BUF_SIZE];

	return ask(link_msg(buf, RTM_DELLINK, NLM_F_ACK, ifindex), buf, NULL, NULL);
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *in;
	struct found *found = arg;

	found->dev->ifindex = (unsigned)ifi->ifi_index;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_ADDRESS &&
			mnl_attr_get_payload_len(a) == sizeof(found->dev->mac))
			memcpy(found->dev->mac, mnl_attr_get_payload(a), sizeof(found->dev->mac));
		if (mnl_attr_get_type(a) != IFLA_LINKINFO)
			continue;
		mnl_attr_for_each_nested(in, a)
		{
			if (mnl_attr_get_type(in) == IFLA_INFO_KIND)
				found->is_ip6tnl = !strcmp(mnl_attr_get_str(in), "ip6tnl");
		}
	}
	return MNL_CB_STOP;
}

/* 0 with '*dev' filled; -ENODEV: there is none, or no longer one (it was another engine's). */
static int take_over(struct tunnel_dev *dev, enum tunnel_dev_kind kind, const char *name)
{
	char buf[BUF_SIZE];
	struct nlmsghdr *h = link_msg(buf, RTM_GETLINK, 0, 0);
	struct found found = {.dev = dev};
	int rc;

	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	rc = ask(h, buf, on_link, &found);
	if (rc >= 0 && found.is_ip6tnl != (kind == TUNNEL_DEV_IP6TNL)) {
		rc = link_delete(dev->ifindex);
		rc = rc < 0 ? rc : -ENODEV;
	}
	return rc;
}

static int find_or_make(
	struct tunnel_dev *dev, enum tunnel_dev_kind kind, const char *name, unsigned mtu)
{
	int rc = take_over(dev, kind, name);

	if (rc != -ENODEV)
		return rc;
	if (kind == TUNNEL_DEV_IP6TNL) {
		rc = link_create(name, "ip6tnl", mtu);
	} else {
		rc = link_create(name, "dummy", mtu);
		if (rc == -EOPNOTSUPP)
			rc = link_create(name, "ifb", mtu);
	}
	return rc < 0 ? rc : take_over(dev, kind, name);
}

int tunnel_dev_open(struct tunnel_dev *dev, enum tunnel_dev_kind kind, const char *name,
	unsigned mtu, char *why)
{
	static const char *const sysctls[][2] = {
		{"addr_gen_mode", "1"}, /* none: before the device comes up */
		{"accept_ra", "0"},
		{"forwarding", "1"}, /* what comes out of a tunnel is to be forwarded */
	};
	int rc;

	memset(dev, 0, sizeof(*dev));
	rc = find_or_make(dev, kind, name, mtu);
	if (rc == -EOPNOTSUPP)
		snprintf(why, WHY_SIZE, "kernel has no %s devices",
			kind == TUNNEL_DEV_IP6TNL ? "ip6tnl" : "dummy or ifb");
	else if (rc < 0)
		snprintf(why, WHY_SIZE, "device %s: %s", name, strerror(-rc));
	for (size_t i = 0; rc >= 0 && i < sizeof(sysctls) / sizeof(sysctls[0]); i++) {
		rc = nl_sysctl6(name, sysctls[i][0], sysctls[i][1]);
		if (rc < 0)
			snprintf(why, WHY_SIZE, "%s of %s: %s", sysctls[i][0], name, strerror(-rc));
	}
	if (rc >= 0) {
		rc = link_set(dev->ifindex, true, mtu);
		if (rc < 0)
			snprintf(why, WHY_SIZE, "%s up, MTU %u: %s", name, mtu, strerror(-rc));
	}
	return rc;
}

int tunnel_dev_flush(const struct tunnel_dev *dev)
{
	int rc = link_set(dev->ifindex, false, 0);

	return rc < 0 ? rc : link_set(dev->ifindex, true, 0);
}

int tunnel_dev_delete(const struct tunnel_dev *dev)
{
	return link_delete(dev->ifindex);
}

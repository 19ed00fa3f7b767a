/* nl.c - rtnetlink on libmnl: a synchronous request socket, a socket for events, and one more per
 * dump, so that a handler may make requests while a dump is being read.  libnl would clash: it
 * exports nl_close(), nl_dump(), nl_addr_put() and a struct nl_addr of its own, does not parse
 * IFLA_EVENT and cuts address flags to eight bits. */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/nl.h"

#define EVENT_RCVBUF   (8 << 20)  /* octets: a site with 10^4 addresses comes up at once */
#define EVENT_BATCH    256        /* datagrams read per loop turn */
#define BUF_SIZE       (64 << 10) /* the kernel fills dump datagrams up to 32 KiB */
#define REQ_SIZE       512
#define DUMP_TRIES     5
#define METRIC_DEFAULT 1024 /* the kernel's for IPv6 */

struct nl {
	struct mnl_socket *req, *event; /* owned; event is NULL in a request-only handle */
	sd_event_source *source;        /* owned */
	struct nl_handlers on;
	uint32_t seq;
	bool lost; /* ENOBUFS seen, dump to be done once the queue is drained */
	_Alignas(NLMSG_ALIGNTO) char buf[BUF_SIZE];
	_Alignas(NLMSG_ALIGNTO) char event_buf[BUF_SIZE];
};

struct req { /* one request under construction */
	struct nlmsghdr *h;
	_Alignas(NLMSG_ALIGNTO) char buf[REQ_SIZE];
};

/* Reads one datagram of the kernel's.  0: it came from someone else. */
static ssize_t recv_kernel(struct mnl_socket *s, void *buf, size_t size)
{
	struct sockaddr_nl from = {0};
	struct iovec iov = {buf, size};
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(mnl_socket_get_fd(s), &m, 0);

	if (n < 0)
		return -errno;
	if (m.msg_flags & MSG_TRUNC)
		return -ENOSPC;
	return from.nl_family == AF_NETLINK && from.nl_pid == 0 ? n : 0;
}

static struct mnl_socket *sock_open(int flags)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);

	if (s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0) {
		int e = errno;

		mnl_socket_close(s);
		errno = e;
		return NULL;
	}
	return s;
}

/* --- events --- */

static int collect(const struct nlattr *attr, void *data, uint16_t max)
{
	const struct nlattr **tb = data;

	if (mnl_attr_get_type(attr) <= max)
		tb[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}
static int collect_link(const struct nlattr *a, void *tb)
{
	return collect(a, tb, IFLA_MAX);
}
static int collect_addr(const struct nlattr *a, void *tb)
{
	return collect(a, tb, IFA_MAX);
}
static int collect_neigh(const struct nlattr *a, void *tb)
{
	return collect(a, tb, NDA_MAX);
}

static void on_link(struct nl *nl, const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[IFLA_MAX + 1] = {0};
	struct nl_link l = {.gone = h->nlmsg_type == RTM_DELLINK};

	/* AF_BRIDGE: a port joins or leaves a bridge; its RTM_DELLINK removes no interface */
	if (!nl->on.link || ifi->ifi_family != AF_UNSPEC)
		return;
	mnl_attr_parse(h, sizeof(*ifi), collect_link, tb);
	if (!tb[IFLA_IFNAME])
		return; /* wireless events bring nothing else */
	l.ifindex = (unsigned)ifi->ifi_index;
	l.running = (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_RUNNING) && !l.gone;
	snprintf(l.name, sizeof(l.name), "%.*s", (int)mnl_attr_get_payload_len(tb[IFLA_IFNAME]),
		mnl_attr_get_str(tb[IFLA_IFNAME]));
	if (tb[IFLA_MTU] && mnl_attr_get_payload_len(tb[IFLA_MTU]) >= sizeof(uint32_t))
		l.mtu = mnl_attr_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_ADDRESS] && mnl_attr_get_payload_len(tb[IFLA_ADDRESS]) == sizeof(l.mac))
		memcpy(l.mac, mnl_attr_get_payload(tb[IFLA_ADDRESS]), sizeof(l.mac));
	if (tb[IFLA_EVENT] && mnl_attr_get_payload_len(tb[IFLA_EVENT]) >= sizeof(uint32_t))
		l.notify_peers = mnl_attr_get_u32(tb[IFLA_EVENT]) == IFLA_EVENT_NOTIFY_PEERS;
	nl->on.link(nl->on.arg, &l);
}

static void on_addr(struct nl *nl, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[IFA_MAX + 1] = {0}, *own;
	struct nl_addr a = {.ifindex = ifa->ifa_index, .gone = h->nlmsg_type == RTM_DELADDR};
	uint32_t flags = ifa->ifa_flags;

	if (!nl->on.addr || ifa->ifa_family != AF_INET6)
		return;
	mnl_attr_parse(h, sizeof(*ifa), collect_addr, tb);
	/* with a peer, ADDRESS is the peer's */
	own = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
	if (!own || mnl_attr_get_payload_len(own) != sizeof(a.addr))
		return;
	memcpy(&a.addr, mnl_attr_get_payload(own), sizeof(a.addr));
	if (tb[IFA_FLAGS] && mnl_attr_get_payload_len(tb[IFA_FLAGS]) >= sizeof(flags))
		flags = mnl_attr_get_u32(tb[IFA_FLAGS]);
	/* an optimistic address may be used at once (RFC 4429 s3.1) */
	a.optimistic = (flags & IFA_F_TENTATIVE) && (flags & IFA_F_OPTIMISTIC);
	a.tentative = (flags & IFA_F_TENTATIVE) && !a.optimistic;
	a.dad_failed = flags & IFA_F_DADFAILED;
	nl->on.addr(nl->on.arg, &a);
}

static void on_neigh(struct nl *nl, const struct nlmsghdr *h)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(h);
	const struct nlattr *tb[NDA_MAX + 1] = {0};
	struct nl_neigh n = {
		.ifindex = (unsigned)nd->ndm_ifindex, .failed = nd->ndm_state & NUD_FAILED};

	if (!nl->on.neigh || nd->ndm_family != AF_INET6)
		return;
	mnl_attr_parse(h, sizeof(*nd), collect_neigh, tb);
	if (!tb[NDA_DST] || mnl_attr_get_payload_len(tb[NDA_DST]) != sizeof(n.addr))
		return;
	memcpy(&n.addr, mnl_attr_get_payload(tb[NDA_DST]), sizeof(n.addr));
	nl->on.neigh(nl->on.arg, &n);
}

static int on_message(const struct nlmsghdr *h, void *arg)
{
	size_t size = mnl_nlmsg_get_payload_len(h);

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (size >= sizeof(struct ifinfomsg))
			on_link(arg, h);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (size >= sizeof(struct ifaddrmsg))
			on_addr(arg, h);
		break;
	case RTM_NEWNEIGH: /* RTM_DELNEIGH only means that garbage was collected */
		if (size >= sizeof(struct ndmsg))
			on_neigh(arg, h);
		break;
	}
	return MNL_CB_OK;
}

static int on_event(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct nl *nl = arg;
	ssize_t n = 0;

	(void)s, (void)fd, (void)revents;
	for (unsigned i = 0; i < EVENT_BATCH || nl->lost; i++) {
		n = recv_kernel(nl->event, nl->event_buf, sizeof(nl->event_buf));
		if (n == -ENOBUFS || n == -ENOSPC)
			nl->lost = true;
		else if (n > 0)
			mnl_cb_run(nl->event_buf, (size_t)n, 0, 0, on_message, nl);
		else if (n < 0)
			break;
	}
	/* what stood in the queue is older than the dump: only now is the dump the last word */
	if (nl->lost) {
		nl->lost = false;
		log_warn("netlink: events were lost, reading everything again");
		int e = nl_dump(nl);

		if (e < 0)
			log_err("netlink: dump failed: %s", strerror(-e));
		if (nl->on.resync)
			nl->on.resync(nl->on.arg);
	}
	return 0;
}

/* --- dumps --- */

/* 0, or -errno; -EINTR: the tables changed meanwhile, and the dump may be inconsistent. */
static int dump_once(struct nl *nl, uint16_t type, uint8_t family)
{
	_Alignas(NLMSG_ALIGNTO) char msg[MNL_NLMSG_HDRLEN + 64];
	char *buf = malloc(BUF_SIZE);
	struct mnl_socket *s = buf ? sock_open(0) : NULL;
	struct nlmsghdr *h = mnl_nlmsg_put_header(msg);
	int left = -1;
	ssize_t n = s ? 0 : buf ? -errno : -ENOMEM;

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	h->nlmsg_seq = 1;
	/* the headers of links and addresses both start with the family */
	*(uint8_t *)mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg)) = family;
	if (s && mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
		n = -errno;
	while (n >= 0 && left != MNL_CB_STOP) {
		n = recv_kernel(s, buf, BUF_SIZE);
		if (n <= 0)
			continue;
		left = mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(s), on_message, nl);
		if (left < 0)
			n = -errno;
	}
	if (s)
		mnl_socket_close(s);
	free(buf);
	return n < 0 ? (int)n : 0;
}

static int dump(struct nl *nl, uint16_t type, uint8_t family)
{
	int e = -EINTR;

	for (unsigned i = 0; e == -EINTR && i < DUMP_TRIES; i++)
		e = dump_once(nl, type, family);
	return e;
}

int nl_dump(struct nl *nl)
{
	int e = dump(nl, RTM_GETLINK, AF_UNSPEC);

	return e < 0 ? e : dump(nl, RTM_GETADDR, AF_INET6);
}

/* --- open and close --- */

static int event_open(struct nl *nl, sd_event *ev)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV6_IFADDR, RTNLGRP_NEIGH};
	int size = EVENT_RCVBUF, fd;

	nl->event = sock_open(SOCK_NONBLOCK);
	if (!nl->event)
		return -errno;
	fd = mnl_socket_get_fd(nl->event);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		if (mnl_socket_setsockopt(nl->event, NETLINK_ADD_MEMBERSHIP, (void *)&groups[i],
			    sizeof(groups[i])) < 0)
			return -errno;
	return sd_event_add_io(ev, &nl->source, fd, EPOLLIN, on_event, nl);
}

int nl_open(struct nl **out, sd_event *ev, const struct nl_handlers *on)
{
	struct nl *nl = calloc(1, sizeof(*nl));
	int e = 0;

	*out = NULL;
	if (!nl)
		return -ENOMEM;
	if (on)
		nl->on = *on;
	nl->req = sock_open(0);
	if (!nl->req)
		e = -errno;
	if (e >= 0 && ev)
		e = event_open(nl, ev);
	if (e < 0) {
		nl_close(nl);
		return e;
	}
	*out = nl;
	return 0;
}

void nl_close(struct nl *nl)
{
	if (!nl)
		return;
	sd_event_source_disable_unref(nl->source);
	if (nl->event)
		mnl_socket_close(nl->event);
	if (nl->req)
		mnl_socket_close(nl->req);
	free(nl);
}

/* --- requests --- */

static void *req_init(struct req *r, uint16_t type, uint16_t flags, size_t header)
{
	r->h = mnl_nlmsg_put_header(r->buf);
	r->h->nlmsg_type = type;
	r->h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return mnl_nlmsg_put_extra_header(r->h, header);
}

static void put_addr(struct req *r, uint16_t type, const struct in6_addr *a)
{
	mnl_attr_put(r->h, type, sizeof(*a), a);
}

/* Sends and waits for the kernel's answer: 0 or -errno. */
static int req_run(struct nl *nl, struct req *r)
{
	unsigned port = mnl_socket_get_portid(nl->req);
	ssize_t n;

	r->h->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->req, r->h, r->h->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		n = recv_kernel(nl->req, nl->buf, sizeof(nl->buf));
		if (n == -EINTR || n == 0)
			continue;
		if (n < 0)
			return (int)n;
		int left = mnl_cb_run(nl->buf, (size_t)n, nl->seq, port, NULL, NULL);

		return left < 0 ? -errno : 0;
	}
}

static int addr_run(struct nl *nl, struct req *r, struct ifaddrmsg *ifa, unsigned ifindex,
	const struct in6_addr *addr, uint8_t len)
{
	ifa->ifa_family = AF_INET6;
	ifa->ifa_prefixlen = len;
	ifa->ifa_index = ifindex;
	put_addr(r, IFA_LOCAL, addr);
	return req_run(nl, r);
}

int nl_addr_put(
	struct nl *nl, unsigned ifindex, const struct in6_addr *addr, uint8_t len, uint32_t flags)
{
	struct req r;
	struct ifaddrmsg *ifa = req_init(
		&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*ifa));

	mnl_attr_put_u32(r.h, IFA_FLAGS, flags);
	mnl_attr_put_u8(r.h, IFA_PROTO, NL_PROTO);
	return addr_run(nl, &r, ifa, ifindex, addr, len);
}

int nl_addr_drop(struct nl *nl, unsigned ifindex, const struct in6_addr *addr, uint8_t len)
{
	struct req r;
	struct ifaddrmsg *ifa = req_init(&r, RTM_DELADDR, 0, sizeof(*ifa));
	int e = addr_run(nl, &r, ifa, ifindex, addr, len);

	return e == -EADDRNOTAVAIL || e == -ENODEV ? 0 : e;
}

int nl_neigh_put(struct nl *nl, unsigned ifindex, const struct in6_addr *addr, const uint8_t mac[6])
{
	struct req r;
	struct ndmsg *nd = req_init(&r, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*nd));

	nd->ndm_family = AF_INET6;
	nd->ndm_ifindex = (int)ifindex;
	nd->ndm_state = NUD_STALE;
	nd->ndm_flags = NTF_ROUTER;
	put_addr(&r, NDA_DST, addr);
	mnl_attr_put(r.h, NDA_LLADDR, 6, mac);
	mnl_attr_put_u8(r.h, NDA_PROTOCOL, NL_PROTO);
	return req_run(nl, &r);
}

static void route_fill(struct req *r, struct rtmsg *rt, const struct nl_route *route)
{
	struct in6_addr dst = prefix6_mask(route->dst).addr;

	rt->rtm_family = AF_INET6;
	rt->rtm_dst_len = route->dst.len;
	rt->rtm_protocol = NL_PROTO;
	rt->rtm_table = RT_TABLE_UNSPEC; /* RTA_TABLE has all 32 bits */
	rt->rtm_scope = RT_SCOPE_UNIVERSE;
	switch (route->type) {
	case NL_UNICAST: rt->rtm_type = RTN_UNICAST; break;
	case NL_UNREACHABLE: rt->rtm_type = RTN_UNREACHABLE; break;
	case NL_BLACKHOLE: rt->rtm_type = RTN_BLACKHOLE; break;
	}
	put_addr(r, RTA_DST, &dst);
	mnl_attr_put_u32(r->h, RTA_TABLE, route->table);
	/* said even if it is the default: in a deletion, none would match any metric */
	mnl_attr_put_u32(r->h, RTA_PRIORITY, route->metric ? route->metric : METRIC_DEFAULT);
	if (route->oif)
		mnl_attr_put_u32(r->h, RTA_OIF, route->oif);
	if (!addr6_is_any(&route->via))
		put_addr(r, RTA_GATEWAY, &route->via);
}

int nl_route_put(struct nl *nl, const struct nl_route *route)
{
	struct req r;
	struct rtmsg *rt = req_init(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*rt));

	route_fill(&r, rt, route);
	if (!addr6_is_any(&route->src))
		put_addr(&r, RTA_PREFSRC, &route->src);
	if (route->mtu) {
		struct nlattr *metrics = mnl_attr_nest_start(r.h, RTA_METRICS);

		mnl_attr_put_u32(r.h, RTAX_MTU, route->mtu);
		mnl_attr_nest_end(r.h, metrics);
	}
	return req_run(nl, &r);
}

int nl_route_drop(struct nl *nl, const struct nl_route *route)
{
	struct req r;
	struct rtmsg *rt = req_init(&r, RTM_DELROUTE, 0, sizeof(*rt));

	route_fill(&r, rt, route);
	int e = req_run(nl, &r);

	return e == -ESRCH || e == -ENOENT || e == -ENODEV ? 0 : e;
}

static int rule_run(struct nl *nl, uint16_t type, uint16_t flags, const struct nl_rule *rule)
{
	struct req r;
	struct fib_rule_hdr *h = req_init(&r, type, flags, sizeof(*h));
	struct in6_addr from = prefix6_mask(rule->from).addr, to = prefix6_mask(rule->to).addr;

	h->family = AF_INET6;
	h->src_len = rule->from.len;
	h->dst_len = rule->to.len;
	h->table = RT_TABLE_UNSPEC;
	h->action = rule->blackhole ? FR_ACT_BLACKHOLE : FR_ACT_TO_TBL;
	mnl_attr_put_u32(r.h, FRA_PRIORITY, rule->priority);
	mnl_attr_put_u8(r.h, FRA_PROTOCOL, NL_PROTO);
	if (!rule->blackhole)
		mnl_attr_put_u32(r.h, FRA_TABLE, rule->table);
	if (h->src_len)
		put_addr(&r, FRA_SRC, &from);
	if (h->dst_len)
		put_addr(&r, FRA_DST, &to);
	if (rule->iif[0])
		mnl_attr_put_strz(r.h, FRA_IIFNAME, rule->iif);
	return req_run(nl, &r);
}

int nl_rule_put(struct nl *nl, const struct nl_rule *rule)
{
	/* without NLM_F_EXCL the kernel takes the same rule twice */
	int e = rule_run(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, rule);

	return e == -EEXIST ? 0 : e;
}

int nl_rule_drop(struct nl *nl, const struct nl_rule *rule)
{
	int e = rule_run(nl, RTM_DELRULE, 0, rule);

	return e == -ENOENT ? 0 : e;
}

int nl_sysctl6(const char *ifname, const char *key, const char *value)
{
	char path[128];
	size_t size = strlen(value);
	int n = snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", ifname, key), fd,
	    e = 0;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, value, size) != (ssize_t)size)
		e = -errno;
	close(fd);
	return e;
}

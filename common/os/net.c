/* net.c - rtnetlink on libnl: a socket for requests, one for events, and one more per dump, so that
 * a handler may make requests while a dump is being read.
 *
 * What libnl-route 3.7 leaves out is read or added attribute by attribute: IFLA_EVENT (struct
 * rtnl_link has no place for it), IFA_PROTO, NDA_PROTOCOL. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/msg.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <netlink/route/rtnl.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/net_state.h"

#define EVENT_RCVBUF (8 << 20) /* octets: a site with 10^4 addresses comes up at once */
#define EVENT_BATCH  256       /* datagrams read per loop turn */
#define EVENT_DRAIN  65536     /* more than the socket holds */
#define DUMP_TRIES   5

/* libnl makes one code of several errnos (ESRCH and ENOENT, for one), so the kernel's own is
 * remembered by on_refused(). */
int net_result(struct net *net, int e)
{
	int refused = net->refused;

	net->refused = 0;
	if (e >= 0)
		return 0;
	return refused ? refused : e == -NLE_NOMEM ? -ENOMEM : -EIO;
}

static int on_refused(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	struct net *net = arg;

	(void)from;
	net->refused = e->error;
	return NL_STOP;
}

/* --- events --- */

/* rtnl_link would do but for IFLA_EVENT. */
static void on_link(struct net *net, struct nlmsghdr *h)
{
	static const struct nla_policy policy[IFLA_MAX + 1] = {
		[IFLA_IFNAME] = {.type = NLA_STRING, .maxlen = IFNAMSIZ},
		[IFLA_MTU] = {.type = NLA_U32},
		[IFLA_EVENT] = {.type = NLA_U32},
		[IFLA_CARRIER_DOWN_COUNT] = {.type = NLA_U32},
	};
	const struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *tb[IFLA_MAX + 1];
	struct net_link l = {.gone = h->nlmsg_type == RTM_DELLINK};

	if (!net->on.link || nlmsg_parse(h, sizeof(*ifi), tb, IFLA_MAX, policy) < 0)
		return;
	/* AF_BRIDGE: a port joins or leaves a bridge; its RTM_DELLINK removes no interface.
	 * Without a name: wireless events bring nothing else. */
	if (ifi->ifi_family != AF_UNSPEC || !tb[IFLA_IFNAME])
		return;
	l.ifindex = (unsigned)ifi->ifi_index;
	l.running = (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_RUNNING) && !l.gone;
	nla_strlcpy(l.name, tb[IFLA_IFNAME], sizeof(l.name));
	if (tb[IFLA_MTU])
		l.mtu = nla_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == sizeof(l.mac))
		nla_memcpy(l.mac, tb[IFLA_ADDRESS], sizeof(l.mac));
	if (tb[IFLA_CARRIER_DOWN_COUNT])
		l.carrier_downs = nla_get_u32(tb[IFLA_CARRIER_DOWN_COUNT]);
	if (tb[IFLA_EVENT])
		l.notify_peers = nla_get_u32(tb[IFLA_EVENT]) == IFLA_EVENT_NOTIFY_PEERS;
	net->on.link(net->on.arg, &l);
}

bool net_addr6(struct in6_addr *out, const struct nl_addr *a)
{
	if (!a || nl_addr_get_family(a) != AF_INET6 || nl_addr_get_len(a) != sizeof(*out))
		return false;
	memcpy(out, nl_addr_get_binary_addr(a), sizeof(*out));
	return true;
}

/* libnl 3.7 has no place for it. */
static void read_addr_proto(struct net *net, struct nlmsghdr *h)
{
	struct nlattr *a = nlmsg_find_attr(h, sizeof(struct ifaddrmsg), IFA_PROTO);

	net->addr_proto = a ? nla_get_u8(a) : 0;
}

static void on_addr(struct nl_object *o, void *arg)
{
	struct rtnl_addr *ra = (struct rtnl_addr *)o;
	struct net *net = arg;
	unsigned flags = rtnl_addr_get_flags(ra);
	struct net_addr a = {.ifindex = (unsigned)rtnl_addr_get_ifindex(ra),
		.gone = nl_object_get_msgtype(o) == RTM_DELADDR};

	if (!net->on.addr || !net_addr6(&a.addr, rtnl_addr_get_local(ra)))
		return;
	/* an optimistic address may be used at once (RFC 4429 s3.1) */
	a.optimistic = (flags & IFA_F_TENTATIVE) && (flags & IFA_F_OPTIMISTIC);
	a.tentative = (flags & IFA_F_TENTATIVE) && !a.optimistic;
	a.dad_failed = flags & IFA_F_DADFAILED;
	a.ours = net->addr_proto == NET_PROTO;
	net->on.addr(net->on.arg, &a);
}

static void on_neigh(struct nl_object *o, void *arg)
{
	struct rtnl_neigh *rn = (struct rtnl_neigh *)o;
	struct net *net = arg;
	struct net_neigh n = {.ifindex = (unsigned)rtnl_neigh_get_ifindex(rn),
		.failed = rtnl_neigh_get_state(rn) & NUD_FAILED};

	if (net->on.neigh && net_addr6(&n.addr, rtnl_neigh_get_dst(rn)))
		net->on.neigh(net->on.arg, &n);
}

/* False if it is none of the main table, or ours. */
static bool route_dst(struct rtnl_route *r, struct prefix6 *dst)
{
	struct nl_addr *a = rtnl_route_get_dst(r);

	if (rtnl_route_get_family(r) != AF_INET6 || rtnl_route_get_table(r) != RT_TABLE_MAIN ||
		rtnl_route_get_protocol(r) == NET_PROTO)
		return false;
	*dst = (struct prefix6){.len = a ? (uint8_t)nl_addr_get_prefixlen(a) : 0};
	return !a || nl_addr_get_len(a) == 0 || net_addr6(&dst->addr, a);
}

static void on_route(struct nl_object *o, void *arg)
{
	struct rtnl_route *r = (struct rtnl_route *)o;
	struct net *net = arg;
	struct in6_addr via = IN6ADDR_ANY_INIT;
	struct prefix6 dst;

	if (!net->on.route || !route_dst(r, &dst))
		return;
	if (rtnl_route_get_nnexthops(r) == 1)
		net_addr6(&via, rtnl_route_nh_get_gateway(rtnl_route_nexthop_n(r, 0)));
	net->on.route(net->on.arg, &dst, &via);
}

static int on_message(struct nl_msg *msg, void *arg)
{
	switch (nlmsg_hdr(msg)->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK: on_link(arg, nlmsg_hdr(msg)); break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		read_addr_proto(arg, nlmsg_hdr(msg));
		nl_msg_parse(msg, on_addr, arg);
		break;
	case RTM_NEWNEIGH: /* RTM_DELNEIGH only means that garbage was collected */
		nl_msg_parse(msg, on_neigh, arg);
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE: nl_msg_parse(msg, on_route, arg); break;
	}
	return NL_OK;
}

static int on_event(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct net *net = arg;
	bool lost = false;
	int e = 0;

	(void)s, (void)fd, (void)revents;
	for (unsigned i = 0; e >= 0 && i < (lost ? EVENT_DRAIN : EVENT_BATCH); i++) {
		e = nl_recvmsgs_default(net->event);
		if (e == -NLE_NOMEM) { /* ENOBUFS: the socket was full */
			lost = true;
			e = 0;
		}
	}
	/* what stood in the queue is older than the dump: only now is the dump the last word */
	if (lost) {
		log_warn("netlink: events were lost, reading everything again");
		e = net_dump(net);
		if (e < 0)
			log_err("netlink: dump failed: %s", strerror(-e));
		if (net->on.resync)
			net->on.resync(net->on.arg);
	}
	return 0;
}

/* --- sockets --- */

/* As nl_recv(), but what other processes send is passed over. */
static int recv_kernel(
	struct nl_sock *s, struct sockaddr_nl *from, unsigned char **buf, struct ucred **creds)
{
	int n;

	while ((n = nl_recv(s, from, buf, creds)) > 0 && from->nl_pid != 0)
		free(*buf);
	return n;
}

int net_sock_open(struct net *net, struct nl_sock **out)
{
	struct nl_sock *s = *out = nl_socket_alloc();
	struct nl_cb *cb;

	if (!s)
		return -NLE_NOMEM;
	cb = nl_socket_get_cb(s);
	nl_cb_overwrite_recv(cb, recv_kernel);
	nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, on_message, net);
	nl_cb_err(cb, NL_CB_CUSTOM, on_refused, net);
	nl_cb_put(cb);
	return nl_connect(s, NETLINK_ROUTE);
}

static int dump(struct net *net, int type, int family)
{
	struct nl_sock *s;
	int e = net_sock_open(net, &s);

	if (e >= 0)
		e = -NLE_DUMP_INTR; /* the tables changed meanwhile: it may be inconsistent */
	for (unsigned i = 0; e == -NLE_DUMP_INTR && i < DUMP_TRIES; i++) {
		e = nl_rtgen_request(s, type, family, NLM_F_DUMP);
		if (e >= 0)
			e = nl_recvmsgs_default(s);
	}
	nl_socket_free(s);
	return net_result(net, e);
}

int net_dump(struct net *net)
{
	int e = dump(net, RTM_GETLINK, AF_UNSPEC);

	return e < 0 ? e : dump(net, RTM_GETADDR, AF_INET6);
}

static int event_open(struct net *net, sd_event *ev)
{
	const int groups[] = {net->on.link ? RTNLGRP_LINK : 0,
		net->on.addr ? RTNLGRP_IPV6_IFADDR : 0, net->on.neigh ? RTNLGRP_NEIGH : 0,
		net->on.route ? RTNLGRP_IPV6_ROUTE : 0};
	int size = EVENT_RCVBUF, fd;
	int e = net_sock_open(net, &net->event);

	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]) && e >= 0; i++)
		if (groups[i])
			e = nl_socket_add_membership(net->event, groups[i]);
	if (e >= 0)
		e = nl_socket_set_nonblocking(net->event);
	if (e < 0)
		return net_result(net, e);
	nl_socket_disable_seq_check(net->event);
	fd = nl_socket_get_fd(net->event);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		nl_socket_set_buffer_size(net->event, size, 0);
	return sd_event_add_io(ev, &net->source, fd, EPOLLIN, on_event, net);
}

int net_open(struct net **out, sd_event *ev, const struct net_handlers *on)
{
	struct net *net = calloc(1, sizeof(*net));
	int e;

	*out = NULL;
	if (!net)
		return -ENOMEM;
	if (on)
		net->on = *on;
	e = net_result(net, net_sock_open(net, &net->req));
	for (unsigned i = 0; e >= 0 && i < sizeof(net->addr) / sizeof(net->addr[0]); i++) {
		net->addr[i] = nl_addr_alloc(sizeof(struct in6_addr));
		if (!net->addr[i])
			e = -ENOMEM;
	}
	if (e >= 0 && ev)
		e = event_open(net, ev);
	if (e < 0) {
		net_close(net);
		return e;
	}
	*out = net;
	return 0;
}

void net_close(struct net *net)
{
	if (!net)
		return;
	sd_event_source_disable_unref(net->source);
	nl_socket_free(net->event);
	nl_socket_free(net->req);
	for (unsigned i = 0; i < sizeof(net->addr) / sizeof(net->addr[0]); i++)
		nl_addr_put(net->addr[i]);
	free(net);
}

/* --- requests --- */

int net_request(struct net *net, int made, struct nl_msg *msg)
{
	if (made < 0)
		nlmsg_free(msg);
	return net_result(net, made < 0 ? made : nl_send_sync(net->req, msg));
}

struct nl_addr *net_slot(struct net *net, unsigned i, const struct in6_addr *a, uint8_t len)
{
	nl_addr_set_family(net->addr[i], AF_INET6);
	nl_addr_set_binary_addr(net->addr[i], a, sizeof(*a));
	nl_addr_set_prefixlen(net->addr[i], len);
	return net->addr[i];
}

static struct rtnl_addr *addr_of(
	struct net *net, unsigned ifindex, const struct in6_addr *addr, uint8_t len)
{
	struct rtnl_addr *a = rtnl_addr_alloc();

	if (!a)
		return NULL;
	rtnl_addr_set_ifindex(a, (int)ifindex);
	rtnl_addr_set_local(a, net_slot(net, 0, addr, len));
	return a;
}

int net_addr_put(
	struct net *net, unsigned ifindex, const struct in6_addr *addr, uint8_t len, uint32_t flags)
{
	struct rtnl_addr *a = addr_of(net, ifindex, addr, len);
	struct nl_msg *msg = NULL;
	int e = -NLE_NOMEM;

	if (a) {
		rtnl_addr_set_flags(a, flags);
		e = rtnl_addr_build_add_request(a, NLM_F_REPLACE, &msg);
	}
	if (e >= 0)
		e = nla_put_u8(msg, IFA_PROTO, NET_PROTO);
	rtnl_addr_put(a);
	return net_request(net, e, msg);
}

int net_addr_drop(struct net *net, unsigned ifindex, const struct in6_addr *addr, uint8_t len)
{
	struct rtnl_addr *a = addr_of(net, ifindex, addr, len);
	int e = net_result(net, a ? rtnl_addr_delete(net->req, a, 0) : -NLE_NOMEM);

	rtnl_addr_put(a);
	return e == -EADDRNOTAVAIL || e == -ENODEV ? 0 : e;
}

static struct rtnl_neigh *neigh_of(
	struct net *net, unsigned ifindex, const struct in6_addr *addr, int state, unsigned flags)
{
	struct rtnl_neigh *n = rtnl_neigh_alloc();

	if (!n)
		return NULL;
	rtnl_neigh_set_ifindex(n, (int)ifindex);
	rtnl_neigh_set_state(n, state);
	rtnl_neigh_set_flags(n, flags);
	rtnl_neigh_set_dst(n, net_slot(net, 0, addr, 128));
	return n;
}

/* 'mac' may be NULL. */
static int neigh_put(struct net *net, struct rtnl_neigh *n, const uint8_t *mac)
{
	struct nl_msg *msg = NULL;
	int e = n ? rtnl_neigh_build_add_request(n, NLM_F_CREATE | NLM_F_REPLACE, &msg)
		  : -NLE_NOMEM;

	if (e >= 0 && mac)
		e = nla_put(msg, NDA_LLADDR, 6, mac);
	if (e >= 0)
		e = nla_put_u8(msg, NDA_PROTOCOL, NET_PROTO);
	rtnl_neigh_put(n);
	return net_request(net, e, msg);
}

int net_neigh_put(
	struct net *net, unsigned ifindex, const struct in6_addr *addr, const uint8_t mac[6])
{
	return neigh_put(net, neigh_of(net, ifindex, addr, NUD_STALE, NTF_ROUTER), mac);
}

int net_proxy_put(struct net *net, unsigned ifindex, const struct in6_addr *addr, bool router)
{
	unsigned flags = NTF_PROXY | (router ? NTF_ROUTER : 0);

	return neigh_put(net, neigh_of(net, ifindex, addr, NUD_PERMANENT, flags), NULL);
}

int net_proxy_drop(struct net *net, unsigned ifindex, const struct in6_addr *addr)
{
	struct rtnl_neigh *n = neigh_of(net, ifindex, addr, NUD_PERMANENT, NTF_PROXY);
	int e = net_result(net, n ? rtnl_neigh_delete(net->req, n, 0) : -NLE_NOMEM);

	rtnl_neigh_put(n);
	return e == -ENOENT || e == -ENODEV ? 0 : e;
}

struct proxies { /* those found, to be dropped when the dump is over */
	unsigned ifindex, n, size;
	struct in6_addr *v; /* owned */
};

static int on_proxy(struct nl_msg *msg, void *arg)
{
	const struct ndmsg *ndm = nlmsg_data(nlmsg_hdr(msg));
	struct nlattr *tb[NDA_MAX + 1];
	struct proxies *p = arg;

	if (nlmsg_parse(nlmsg_hdr(msg), sizeof(*ndm), tb, NDA_MAX, NULL) < 0 || !tb[NDA_DST] ||
		!tb[NDA_PROTOCOL] || nla_get_u8(tb[NDA_PROTOCOL]) != NET_PROTO ||
		(unsigned)ndm->ndm_ifindex != p->ifindex || ndm->ndm_family != AF_INET6)
		return NL_OK;
	if (p->n == p->size) {
		struct in6_addr *v = reallocarray(p->v, p->size + 64, sizeof(*v));

		if (!v)
			return NL_STOP;
		p->v = v;
		p->size += 64;
	}
	nla_memcpy(&p->v[p->n++], tb[NDA_DST], sizeof(*p->v));
	return NL_OK;
}

int net_proxy_sweep(struct net *net, unsigned ifindex)
{
	struct ndmsg ndm = {.ndm_family = AF_INET6, .ndm_flags = NTF_PROXY};
	struct proxies p = {.ifindex = ifindex};
	struct nl_sock *s;
	int e = net_sock_open(net, &s);

	if (e >= 0) {
		nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_proxy, &p);
		e = nl_send_simple(s, RTM_GETNEIGH, NLM_F_DUMP, &ndm, sizeof(ndm));
	}
	if (e >= 0)
		e = nl_recvmsgs_default(s);
	nl_socket_free(s);
	e = net_result(net, e);
	for (unsigned i = 0; i < p.n && e >= 0; i++)
		e = net_proxy_drop(net, ifindex, &p.v[i]);
	free(p.v);
	return e;
}

bool net_is_own(const struct net *net, uint32_t port)
{
	return nl_socket_get_local_port(net->req) == port;
}

int net_link_find(struct net *net, const char *name, struct rtnl_link **out)
{
	int e = rtnl_link_get_kernel(net->req, 0, name, out); /* has an error handler of its own */

	return e == -NLE_NODEV ? -ENODEV : net_result(net, e);
}

int net_link_delete(struct net *net, unsigned ifindex)
{
	struct rtnl_link *l = rtnl_link_alloc();
	struct nl_msg *msg = NULL;
	int e = -NLE_NOMEM;

	if (l) {
		rtnl_link_set_ifindex(l, (int)ifindex);
		e = rtnl_link_build_delete_request(l, &msg);
	}
	rtnl_link_put(l);
	return net_request(net, e, msg);
}

int net_sysctl6(const char *ifname, const char *key, const char *value)
{
	char path[128], now[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/%s%s%s%s", ifname ? "conf/" : "",
		ifname ? ifname : "", ifname ? "/" : "", key);
	f = fopen(path, "r+e");
	if (!f)
		return -errno;
	/* all/forwarding would change interfaces that have their own word, though it is set. */
	if (fgets(now, sizeof(now), f) && strcspn(now, "\n") == strlen(value) &&
		strncmp(now, value, strlen(value)) == 0) {
		fclose(f);
		return 0;
	}
	rewind(f);
	fputs(value, f);
	return fclose(f) < 0 ? -errno : 0; /* it is written only now */
}

static bool ask_interface(const char *ifname, unsigned long what, struct ifreq *out)
{
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};
	bool ok = false;

	if (fd < 0)
		return false;
	if (strlen(ifname) < sizeof(r.ifr_name)) {
		memcpy(r.ifr_name, ifname, strlen(ifname));
		ok = ioctl(fd, what, &r) == 0;
	}
	close(fd);
	*out = r;
	return ok;
}

unsigned net_mtu(const char *ifname)
{
	struct ifreq r;

	return ask_interface(ifname, SIOCGIFMTU, &r) ? (unsigned)r.ifr_mtu : 0;
}

bool net_is_ethernet(const char *ifname)
{
	struct ifreq r;

	return ask_interface(ifname, SIOCGIFHWADDR, &r) && r.ifr_hwaddr.sa_family == ARPHRD_ETHER;
}

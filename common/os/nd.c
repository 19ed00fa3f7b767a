/* nd.c - packet socket for Neighbour Discovery.  Only what concerns this host is taken: frames to
 * other stations (a promiscuous interface, a foreign VLAN) and our own are not.
 *
 * Checksums: the kernel completes those of ICMPv6 before the packet leaves any socket (ndisc and
 * raw sockets never leave them to the device), so TP_STATUS_CSUMNOTREADY cannot occur here, veth
 * included, and ndp_decode() may check every message. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/os/nd.h"
#include "common/wire/ip6.h"

#define ND_BATCH 64 /* packets read per loop turn */

struct link {
	unsigned ifindex;        /* 0: a free place */
	sd_event_source *source; /* owned, and its socket */
};

struct nd {
	struct link links[ND_MAX_LINKS];
	sd_event *event; /* borrowed */
	bool home;
	int fd, raw_fd, group_fd; /* owned, -1 = none; sends; -; holds memberships */
	sd_event_source *raw;     /* owned */
	nd_rx_fn *rx;
	void *arg;
	uint64_t dropped;
};

static int on_packet(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct nd *nd = arg;
	uint8_t buf[NDP_MAX_SIZE];
	struct ndp_msg m;

	(void)s, (void)revents;
	for (unsigned i = 0; i < ND_BATCH; i++) {
		struct sockaddr_ll from = {0};
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), MSG_TRUNC, (void *)&from, &size);

		if (n < 0)
			break;
		if (from.sll_pkttype == PACKET_OTHERHOST || from.sll_halen != ETH_ALEN)
			continue;
		if ((size_t)n > sizeof(buf) || ndp_decode(buf, (size_t)n, &m) != NDP_OK) {
			nd->dropped++;
			continue;
		}
		nd->rx(nd->arg, &m, from.sll_addr, (unsigned)from.sll_ifindex);
	}
	return 0;
}

static int setup(int fd, bool home, unsigned ifindex)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6), /* next header */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 5),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, IP6_HDR_SIZE), /* ICMPv6 type */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NDP_RA, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, home ? NDP_NS : NDP_RA, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NDP_NA, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(*code), code};
	struct sockaddr_ll there = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IPV6),
		.sll_ifindex = (int)ifindex};
	int one = 1;

	/* the protocol comes last, with bind(): no packet gets past the filter before that */
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
		bind(fd, (const struct sockaddr *)&there, sizeof(there)) < 0)
		return -errno;
	return 0;
}

/* A multicast that loops back passes no packet socket, but a raw one, which gives the ICMPv6
 * message alone: the header is put in front of it again. */
static int on_raw(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct nd *nd = arg;
	uint8_t icmp[NDP_MAX_SIZE - IP6_HDR_SIZE], buf[NDP_MAX_SIZE];
	union {
		char buf[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct sockaddr_in6 from;
	struct iovec iov = {icmp, sizeof(icmp)};

	(void)s, (void)revents;
	for (unsigned i = 0; i < ND_BATCH; i++) {
		struct ip6_pkt head = {.proto = IPPROTO_ICMPV6};
		struct in6_pktinfo to = {.ipi6_ifindex = 0};
		struct msghdr msg = {.msg_name = &from,
			.msg_namelen = sizeof(from),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.buf,
			.msg_controllen = sizeof(control.buf)};
		ssize_t n = recvmsg(fd, &msg, 0);
		struct ndp_msg m;
		int hops = 0;

		if (n < 0)
			break;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			if (c->cmsg_type == IPV6_PKTINFO)
				memcpy(&to, CMSG_DATA(c), sizeof(to));
			else if (c->cmsg_type == IPV6_HOPLIMIT)
				memcpy(&hops, CMSG_DATA(c), sizeof(hops));
		}
		head.src = from.sin6_addr;
		head.dst = to.ipi6_addr;
		head.hop_limit = (uint8_t)hops;
		head.payload = icmp;
		head.payload_size = (size_t)n;
		n = ip6_encode(&head, buf, sizeof(buf));
		if (n > 0 && ndp_decode(buf, (size_t)n, &m) == NDP_OK)
			nd->rx(nd->arg, &m, NULL, to.ipi6_ifindex);
	}
	return 0;
}

static int open_raw(struct nd *nd, sd_event *e)
{
	struct icmp6_filter filter;
	int one = 1;

	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(NDP_RA, &filter);
	nd->raw_fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);
	if (nd->raw_fd < 0 ||
		setsockopt(nd->raw_fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0 ||
		setsockopt(nd->raw_fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one)) < 0 ||
		setsockopt(nd->raw_fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &one, sizeof(one)) < 0)
		return -errno;
	return sd_event_add_io(e, &nd->raw, nd->raw_fd, EPOLLIN, on_raw, nd);
}

static void detach(struct link *link)
{
	sd_event_source_disable_unref(link->source);
	*link = (struct link){0};
}

int nd_open(struct nd **out, sd_event *e, bool home, nd_rx_fn *rx, void *arg)
{
	struct nd *nd = calloc(1, sizeof(*nd));
	int r;

	*out = NULL;
	if (!nd)
		return -ENOMEM;
	nd->rx = rx;
	nd->arg = arg;
	nd->event = e;
	nd->home = home;
	nd->raw_fd = nd->group_fd = -1;
	nd->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = nd->fd < 0 ? -errno : 0;
	if (r >= 0 && home)
		r = open_raw(nd, e);
	if (r < 0) {
		nd_close(nd);
		return r;
	}
	*out = nd;
	return 0;
}

int nd_attach(struct nd *nd, unsigned ifindex)
{
	struct link *link = NULL;
	char name[IF_NAMESIZE];
	int fd, r;

	for (unsigned i = 0; i < ND_MAX_LINKS; i++) {
		struct link *l = &nd->links[i];

		if (l->ifindex == ifindex)
			return 0;
		if (!l->ifindex || !if_indextoname(l->ifindex, name)) /* or that has gone */
			link = l;
	}
	if (!link)
		return -ENOSPC;
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	detach(link);
	r = setup(fd, nd->home, ifindex);
	if (r >= 0)
		r = sd_event_add_io(nd->event, &link->source, fd, EPOLLIN, on_packet, nd);
	if (r < 0) {
		close(fd);
		return r;
	}
	sd_event_source_set_io_fd_own(link->source, 1);
	link->ifindex = ifindex;
	return 0;
}

void nd_detach(struct nd *nd, unsigned ifindex)
{
	for (unsigned i = 0; i < ND_MAX_LINKS; i++)
		if (nd->links[i].ifindex == ifindex)
			detach(&nd->links[i]);
}

int nd_send(struct nd *nd, const struct ndp_msg *m, const uint8_t *mac, unsigned ifindex)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IPV6),
		.sll_ifindex = (int)ifindex,
		.sll_halen = ETH_ALEN};
	uint8_t buf[NDP_MAX_SIZE];
	int size = ndp_encode(m, buf, sizeof(buf));

	if (size < 0)
		return size;
	if (mac) {
		memcpy(to.sll_addr, mac, ETH_ALEN);
	} else if (addr6_is_multicast(&m->dst)) { /* RFC 2464 s7 */
		to.sll_addr[0] = to.sll_addr[1] = 0x33;
		memcpy(to.sll_addr + 2, m->dst.s6_addr + 12, 4);
	} else {
		return -EINVAL;
	}
	if (sendto(nd->fd, buf, (size_t)size, 0, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return 0;
}

static int membership(struct nd *nd, int option, unsigned ifindex, const struct in6_addr *group)
{
	struct ipv6_mreq m = {*group, ifindex};

	if (nd->group_fd < 0)
		nd->group_fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (nd->group_fd < 0 || setsockopt(nd->group_fd, IPPROTO_IPV6, option, &m, sizeof(m)) < 0)
		return -errno;
	return 0;
}

int nd_join(struct nd *nd, unsigned ifindex, const struct in6_addr *addr)
{
	struct in6_addr group = ndp_solicited_node(addr);

	return membership(nd, IPV6_ADD_MEMBERSHIP, ifindex, &group);
}

int nd_leave(struct nd *nd, unsigned ifindex, const struct in6_addr *addr)
{
	struct in6_addr group = ndp_solicited_node(addr);

	return membership(nd, IPV6_DROP_MEMBERSHIP, ifindex, &group);
}

int nd_join_anycast(struct nd *nd, unsigned ifindex, const struct in6_addr *addr)
{
	return membership(nd, IPV6_JOIN_ANYCAST, ifindex, addr);
}

uint64_t nd_dropped(const struct nd *nd)
{
	return nd->dropped;
}

void nd_close(struct nd *nd)
{
	if (!nd)
		return;
	for (unsigned i = 0; i < ND_MAX_LINKS; i++)
		detach(&nd->links[i]);
	if (nd->fd >= 0)
		close(nd->fd);
	sd_event_source_disable_unref(nd->raw);
	if (nd->raw_fd >= 0)
		close(nd->raw_fd);
	if (nd->group_fd >= 0)
		close(nd->group_fd);
	free(nd);
}

/* undone.c - rtnetlink's deletions.  A filter keeps away all other messages, of which a host that
 * learns routes has very many. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/netconf.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "common/os/log.h"
#include "common/os/undone.h"

#define RCVBUF (8 << 20) /* octets: a flush tells of each route */
#define BATCH  1024      /* messages in one turn of the loop */

struct undone {
	struct undone_handlers on;
	struct nl_sock *sock, *nft;       /* owned */
	sd_event_source *source, *on_nft; /* owned */
};

static void on_route(const struct undone *u, struct nlmsghdr *h)
{
	const struct rtmsg *rtm = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1];
	struct net_route r = {.dst.len = rtm->rtm_dst_len};

	if (nlmsg_parse(h, sizeof(*rtm), tb, RTA_MAX, NULL) < 0 || rtm->rtm_family != AF_INET6)
		return;
	if (tb[RTA_DST])
		nla_memcpy(&r.dst.addr, tb[RTA_DST], sizeof(r.dst.addr));
	r.table = tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
	r.oif = tb[RTA_OIF] ? nla_get_u32(tb[RTA_OIF]) : 0;
	r.type = rtm->rtm_type == RTN_UNICAST       ? NET_UNICAST
		 : rtm->rtm_type == RTN_UNREACHABLE ? NET_UNREACHABLE
						    : NET_BLACKHOLE;
	u->on.route(u->on.arg, &r);
}

static void on_rule(const struct undone *u, struct nlmsghdr *h)
{
	struct nlattr *tb[FRA_MAX + 1];

	if (nlmsg_parse(h, sizeof(struct fib_rule_hdr), tb, FRA_MAX, NULL) >= 0 &&
		tb[FRA_PROTOCOL] && nla_get_u8(tb[FRA_PROTOCOL]) == NET_PROTO)
		u->on.rule(u->on.arg);
}

static void on_netconf(const struct undone *u, struct nlmsghdr *h)
{
	struct nlattr *tb[NETCONFA_MAX + 1];

	if (nlmsg_parse(h, sizeof(struct netconfmsg), tb, NETCONFA_MAX, NULL) >= 0 &&
		tb[NETCONFA_IFINDEX] && tb[NETCONFA_FORWARDING] &&
		(int)nla_get_u32(tb[NETCONFA_IFINDEX]) == NETCONFA_IFINDEX_ALL &&
		nla_get_u32(tb[NETCONFA_FORWARDING]) == 0)
		u->on.forwarding(u->on.arg);
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	const struct undone *u = arg;
	const struct tcmsg *tc = nlmsg_data(h);
	bool own = u->on.own && net_is_own(u->on.own, h->nlmsg_pid);

	switch (h->nlmsg_type) {
	case RTM_DELQDISC:
	case RTM_DELTFILTER:
		if (u->on.programs && nlmsg_datalen(h) >= (int)sizeof(*tc))
			u->on.programs(u->on.arg, (unsigned)tc->tcm_ifindex);
		break;
	case RTM_DELROUTE:
		if (u->on.route && !own)
			on_route(u, h);
		break;
	case RTM_DELRULE:
		if (u->on.rule && !own)
			on_rule(u, h);
		break;
	case RTM_NEWNETCONF:
		if (u->on.forwarding)
			on_netconf(u, h);
		break;
	}
	return NL_OK;
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct undone *u = arg;
	int e = 0;

	(void)s, (void)fd, (void)revents;
	for (unsigned i = 0; i < BATCH && e >= 0; i++)
		e = nl_recvmsgs_default(u->sock);
	if (e == -NLE_NOMEM && u->on.lost) /* ENOBUFS */
		u->on.lost(u->on.arg);
	return 0;
}

static int filter(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELQDISC), 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELTFILTER), 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNETCONF), 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELRULE), 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS,
			NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NET_PROTO, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

/* A full size one, non-blocking, with 'fn' for its messages and 'handler' for the loop. */
static int listen_at(struct nl_sock *sock, nl_recvmsg_msg_cb_t fn, sd_event_source **source,
	sd_event *event, sd_event_io_handler_t handler, struct undone *u)
{
	int size = RCVBUF, fd = nl_socket_get_fd(sock);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		nl_socket_set_buffer_size(sock, size, 0);
	if (nl_socket_set_nonblocking(sock) < 0)
		return -EIO;
	nl_socket_disable_seq_check(sock);
	nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, fn, u);
	return sd_event_add_io(event, source, fd, EPOLLIN, handler, u);
}

static int listen_to(struct undone *u, sd_event *event)
{
	const int groups[] = {u->on.programs ? RTNLGRP_TC : 0, u->on.route ? RTNLGRP_IPV6_ROUTE : 0,
		u->on.rule ? RTNLGRP_IPV6_RULE : 0, u->on.forwarding ? RTNLGRP_IPV6_NETCONF : 0};
	int r;

	if (nl_connect(u->sock, NETLINK_ROUTE) < 0)
		return -EIO;
	r = filter(nl_socket_get_fd(u->sock));
	for (unsigned i = 0; r == 0 && i < sizeof(groups) / sizeof(groups[0]); i++)
		if (groups[i] && nl_socket_add_membership(u->sock, groups[i]) < 0)
			r = -EIO;
	return r < 0 ? r : listen_at(u->sock, on_message, &u->source, event, on_readable, u);
}

/* --- nftables --- */

static int on_nft_message(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nlattr *tb[NFTA_TABLE_MAX + 1];
	const struct undone *u = arg;

	if (h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE) &&
		nlmsg_parse(h, sizeof(struct nfgenmsg), tb, NFTA_TABLE_MAX, NULL) >= 0 &&
		tb[NFTA_TABLE_NAME])
		u->on.table(u->on.arg, nla_get_string(tb[NFTA_TABLE_NAME]));
	return NL_OK;
}

static int on_nft_readable(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct undone *u = arg;

	(void)s, (void)fd, (void)revents;
	for (unsigned i = 0; i < BATCH && nl_recvmsgs_default(u->nft) >= 0; i++)
		;
	return 0;
}

static int listen_to_nft(struct undone *u, sd_event *event)
{
	u->nft = nl_socket_alloc();
	if (!u->nft)
		return -ENOMEM;
	if (nl_connect(u->nft, NETLINK_NETFILTER) < 0 ||
		nl_socket_add_membership(u->nft, NFNLGRP_NFTABLES) < 0)
		return -EIO;
	return listen_at(u->nft, on_nft_message, &u->on_nft, event, on_nft_readable, u);
}

int undone_open(struct undone **out, sd_event *event, const struct undone_handlers *on)
{
	struct undone *u = calloc(1, sizeof(*u));
	int r = -ENOMEM;

	*out = NULL;
	if (!u)
		return r;
	u->on = *on;
	u->sock = nl_socket_alloc();
	if (u->sock)
		r = listen_to(u, event);
	if (r >= 0 && on->table)
		r = listen_to_nft(u, event);
	if (r < 0) {
		undone_close(u);
		return r;
	}
	*out = u;
	return 0;
}

void undone_close(struct undone *u)
{
	if (!u)
		return;
	sd_event_source_disable_unref(u->source);
	sd_event_source_disable_unref(u->on_nft);
	nl_socket_free(u->sock);
	nl_socket_free(u->nft);
	free(u);
}

void undone_forwarding(void)
{
	int r = net_sysctl6("all", "forwarding", "1");

	if (r < 0)
		log_err("net.ipv6.conf.all.forwarding was switched off, and can't be switched on "
			"again: %s",
			strerror(-r));
	else
		log_warn("net.ipv6.conf.all.forwarding was switched off, it is on again");
}

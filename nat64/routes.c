/* routes.c - what the configuration draws, as kernel routes.  One that somebody else deletes is put
 * back: without it, some of the traffic would silently not be translated. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "common/os/log.h"
#include "common/os/net.h"
#include "nat64/draw.h"
#include "nat64/routes.h"

#define DRAIN      1000 /* reads of deletions in one turn of the loop */
#define DUMP_TRIES 5

struct nat64_routes {
	struct net *net; /* owned */
	uint32_t ifindex;
	struct draws now, staged; /* owned */
	size_t n_installed;       /* of the staged ones: to know which to take back */
	char *why;                /* borrowed during a change */
	struct nl_sock *watch;    /* owned: deletions */
	sd_event_source *source;
	unsigned n_again; /* put back in this turn of the loop */
};

static int request(struct nat64_routes *r, int type, int flags, const struct draw *d)
{
	struct rtmsg rtm = {.rtm_family = d->is6 ? AF_INET6 : AF_INET,
		.rtm_dst_len = d->len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = NAT64_ROUTE_PROTO,
		.rtm_scope = d->is6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST};
	struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
	int e = msg ? nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO) : -NLE_NOMEM;

	if (e >= 0)
		e = nla_put(msg, RTA_DST, d->is6 ? 16 : 4, d->addr);
	if (e >= 0)
		e = nla_put_u32(msg, RTA_OIF, r->ifindex);
	return net_request(r->net, e, msg);
}

static void print(const struct draw *d, char *text, size_t size)
{
	char addr[INET6_ADDRSTRLEN] = "";

	inet_ntop(d->is6 ? AF_INET6 : AF_INET, d->addr, addr, sizeof(addr));
	snprintf(text, size, "%s/%u", addr, d->len);
}

static int put(void *arg, const struct draw *d)
{
	struct nat64_routes *r = arg;
	int e = request(r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, d);
	char text[64];

	if (e == 0) {
		r->n_installed++;
		return 0;
	}
	print(d, text, sizeof(text));
	snprintf(r->why, WHY_SIZE, "route %s: %s%s%s%s", text, strerror(-e),
		e == -EEXIST ? ": another one must go first; `ip route show exact " : "",
		e == -EEXIST ? text : "", e == -EEXIST ? "` shows it" : "");
	return e;
}

static int put_again(void *arg, const struct draw *d)
{
	int e = put(arg, d);

	return e == -EEXIST ? 0 : e;
}

static int drop(void *arg, const struct draw *d)
{
	struct nat64_routes *r = arg;
	int e = request(r, RTM_DELROUTE, 0, d);
	char text[64];

	if (e < 0 && e != -ESRCH) {
		print(d, text, sizeof(text));
		log_warn("route %s can't be removed: %s", text, strerror(-e));
	}
	return 0;
}

/* As drop(), as long as the route is one that was installed. */
static int take_back(void *arg, const struct draw *d)
{
	struct nat64_routes *r = arg;

	if (!r->n_installed)
		return 1;
	r->n_installed--;
	return drop(r, d);
}

/* Is the message about a route of ours in the main table?  Which, and where to. */
static bool read_route(struct nl_msg *msg, uint32_t *oif, struct draw *d)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	const struct rtmsg *rtm = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1];

	*d = (struct draw){0};
	if (nlmsg_parse(h, sizeof(*rtm), tb, RTA_MAX, NULL) < 0 ||
		rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_protocol != NAT64_ROUTE_PROTO)
		return false;
	d->is6 = rtm->rtm_family == AF_INET6;
	d->len = rtm->rtm_dst_len;
	if (tb[RTA_DST])
		nla_memcpy(d->addr, tb[RTA_DST], d->is6 ? 16 : 4);
	*oif = tb[RTA_OIF] ? nla_get_u32(tb[RTA_OIF]) : 0;
	return true;
}

/* --- of an earlier run --- */

static int on_left(struct nl_msg *msg, void *arg)
{
	struct nat64_routes *r = arg;
	struct draw d;
	uint32_t oif;

	if (!read_route(msg, &oif, &d) || oif != r->ifindex)
		return NL_OK;
	return draws_append(&r->now, &d) < 0 ? -NLE_NOMEM : NL_OK;
}

/* Adds those of a family to 'now'.  A kernel that checks strictly sends only these. */
static int dump(struct nat64_routes *r, uint8_t family)
{
	struct rtmsg rtm = {.rtm_family = family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = NAT64_ROUTE_PROTO};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETROUTE, NLM_F_DUMP);
	struct nl_sock *s = nl_socket_alloc();
	int strict = 1, e = msg && s ? nl_connect(s, NETLINK_ROUTE) : -NLE_NOMEM;

	if (e >= 0) {
		setsockopt(nl_socket_get_fd(s), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &strict,
			sizeof(strict));
		nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_left, r);
		e = nlmsg_append(msg, &rtm, sizeof(rtm), NLMSG_ALIGNTO);
	}
	if (e >= 0)
		e = nla_put_u32(msg, RTA_OIF, r->ifindex);
	if (e >= 0)
		e = nl_send_auto(s, msg);
	if (e >= 0)
		e = nl_recvmsgs_default(s);
	nlmsg_free(msg);
	nl_socket_free(s);
	return e;
}

int nat64_routes_left(struct nat64_routes *r)
{
	int e = -NLE_DUMP_INTR; /* somebody changed the tables meanwhile */

	for (unsigned i = 0; i < DUMP_TRIES && e == -NLE_DUMP_INTR; i++) {
		draws_release(&r->now);
		e = dump(r, AF_INET);
		if (e >= 0)
			e = dump(r, AF_INET6);
	}
	draws_sort(&r->now);
	return e >= 0 ? 0 : e == -NLE_NOMEM ? -ENOMEM : -EIO;
}

/* --- deletions --- */

/* Those that we asked for are not in 'now', or will not be.  If the device is down, all come back
 * with it. */
static int on_deleted(struct nl_msg *msg, void *arg)
{
	struct nat64_routes *r = arg;
	char why[WHY_SIZE];
	struct draw d;
	uint32_t oif;

	if (!read_route(msg, &oif, &d))
		return NL_OK;
	r->why = why;
	if (draws_has(&r->now, &d) && put(r, &d) == 0)
		r->n_again++;
	return NL_OK;
}

static int on_watch(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct nat64_routes *r = arg;
	char why[WHY_SIZE];
	int e = 0;

	(void)s, (void)fd, (void)revents;
	r->n_again = 0;
	for (unsigned i = 0; i < DRAIN && e >= 0; i++)
		e = nl_recvmsgs_default(r->watch);
	if (e == -NLE_NOMEM) /* there were too many to be told */
		nat64_routes_restore(r, why);
	if (r->n_again || e == -NLE_NOMEM)
		log_warn("somebody deleted routes to the translator: they are back");
	return 0;
}

/* Whatever a routing daemon does to the tables, only deletions of routes of ours wake us. */
static int filter_deletions(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELROUTE), 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS,
			NLMSG_HDRLEN + offsetof(struct rtmsg, rtm_protocol)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NAT64_ROUTE_PROTO, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

static int watch(struct nat64_routes *r, sd_event *event)
{
	int e;

	r->watch = nl_socket_alloc();
	if (!r->watch)
		return -ENOMEM;
	nl_socket_disable_seq_check(r->watch);
	nl_socket_modify_cb(r->watch, NL_CB_VALID, NL_CB_CUSTOM, on_deleted, r);
	if (nl_connect(r->watch, NETLINK_ROUTE) < 0)
		return -EIO;
	e = filter_deletions(nl_socket_get_fd(r->watch));
	if (e < 0)
		return e;
	if (nl_socket_add_memberships(
		    r->watch, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NONE) < 0 ||
		nl_socket_set_nonblocking(r->watch) < 0)
		return -EIO;
	return sd_event_add_io(event, &r->source, nl_socket_get_fd(r->watch), EPOLLIN, on_watch, r);
}

int nat64_routes_open(struct nat64_routes **out, sd_event *event, unsigned ifindex)
{
	struct nat64_routes *r = calloc(1, sizeof(*r));
	int e = r ? net_open(&r->net, NULL, NULL) : -ENOMEM;

	*out = NULL;
	if (e >= 0)
		e = watch(r, event);
	if (e < 0) {
		nat64_routes_close(r);
		return e;
	}
	r->ifindex = ifindex;
	*out = r;
	return 0;
}

int nat64_routes_stage(struct nat64_routes *r, const struct nat64 *n, char *why)
{
	int e = draws_of(n, &r->staged);

	if (e < 0) {
		snprintf(why, WHY_SIZE, "routes: %s", strerror(-e));
		return e;
	}
	r->n_installed = 0;
	r->why = why;
	e = draws_minus(&r->staged, &r->now, put, r);
	if (e < 0)
		nat64_routes_revert(r);
	return e;
}

void nat64_routes_commit(struct nat64_routes *r)
{
	draws_minus(&r->now, &r->staged, drop, r);
	draws_release(&r->now);
	r->now = r->staged;
	r->staged = (struct draws){0};
}

void nat64_routes_revert(struct nat64_routes *r)
{
	draws_minus(&r->staged, &r->now, take_back, r);
	draws_release(&r->staged);
}

int nat64_routes_restore(struct nat64_routes *r, char *why)
{
	const struct draws none = {0};

	r->why = why;
	return draws_minus(&r->now, &none, put_again, r);
}

size_t nat64_routes_count(const struct nat64_routes *r, bool is6)
{
	size_t n = 0;

	for (size_t i = 0; i < r->now.n; i++)
		n += r->now.v[i].is6 == is6;
	return n;
}

void nat64_routes_close(struct nat64_routes *r)
{
	if (!r)
		return;
	sd_event_source_disable_unref(r->source);
	nl_socket_free(r->watch);
	draws_release(&r->now);
	draws_release(&r->staged);
	net_close(r->net);
	free(r);
}

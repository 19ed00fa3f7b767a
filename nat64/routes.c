/* routes.c - what the configuration draws, as kernel routes. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/log.h"
#include "common/os/net.h"
#include "nat64/draw.h"
#include "nat64/routes.h"

#define WHY_SIZE 256

struct nat64_routes {
	struct net *net; /* owned */
	uint32_t ifindex;
	struct draws now, staged; /* owned */
	size_t n_installed;       /* of the staged ones: to know which to take back */
	char *why;                /* borrowed during a change */
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

int nat64_routes_open(struct nat64_routes **out, unsigned ifindex)
{
	struct nat64_routes *r = calloc(1, sizeof(*r));
	int e = r ? net_open(&r->net, NULL, NULL) : -ENOMEM;

	*out = NULL;
	if (e < 0) {
		free(r);
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
	draws_release(&r->now);
	draws_release(&r->staged);
	net_close(r->net);
	free(r);
}

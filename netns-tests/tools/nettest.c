/* nettest.c - drives common/os/net.h and nd.h from commands on stdin, one per line, and prints what
 * happens as JSON lines: {"result": N} per command (0 or -errno), {"event": ...} in between. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <arpa/inet.h>
#include "common/os/nd.h"
#include "common/os/net.h"

#define MAX_ARGS 12

static struct net *net;
static struct nd *nd;
static sd_event *loop;

static void emit(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(o);
}

static const char *text(const struct in6_addr *a)
{
	static char buf[INET6_ADDRSTRLEN];

	return addr6_str(a, buf);
}

static void on_link(void *arg, const struct net_link *l)
{
	char mac[18];

	(void)arg;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", l->mac[0], l->mac[1], l->mac[2],
		l->mac[3], l->mac[4], l->mac[5]);
	emit(json_pack("{s:s, s:i, s:s, s:b, s:b, s:b, s:i, s:s}", "event", "link", "ifindex",
		(int)l->ifindex, "name", l->name, "running", l->running, "gone", l->gone,
		"notify_peers", l->notify_peers, "mtu", (int)l->mtu, "mac", mac));
}

static void on_addr(void *arg, const struct net_addr *a)
{
	(void)arg;
	emit(json_pack("{s:s, s:i, s:s, s:b, s:b, s:b}", "event", "addr", "ifindex",
		(int)a->ifindex, "addr", text(&a->addr), "tentative", a->tentative, "dad_failed",
		a->dad_failed, "gone", a->gone));
}

static void on_neigh(void *arg, const struct net_neigh *n)
{
	(void)arg;
	emit(json_pack("{s:s, s:i, s:s, s:b}", "event", "neigh", "ifindex", (int)n->ifindex, "addr",
		text(&n->addr), "failed", n->failed));
}

static void on_resync(void *arg)
{
	(void)arg;
	emit(json_pack("{s:s}", "event", "resync"));
}

static void on_nd(void *arg, const struct ndp_msg *m, const uint8_t *mac, unsigned ifindex)
{
	char hex[13];

	(void)arg;
	snprintf(hex, sizeof(hex), "%02x%02x%02x%02x%02x%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
	emit(json_pack("{s:s, s:i, s:s, s:s, s:i}", "event", "nd", "type", m->type, "src",
		text(&m->src), "mac", hex, "ifindex", (int)ifindex));
}

static unsigned dev(const char *name)
{
	return strcmp(name, "-") == 0 ? 0 : if_nametoindex(name);
}

static struct in6_addr addr(const char *s)
{
	struct in6_addr a = {0};

	if (strcmp(s, "-") != 0 && inet_pton(AF_INET6, s, &a) != 1)
		fprintf(stderr, "bad address %s\n", s);
	return a;
}

static struct prefix6 prefix(const char *s)
{
	struct prefix6 p = {0};

	if (strcmp(s, "-") != 0 && prefix6_parse(s, &p) < 0)
		fprintf(stderr, "bad prefix %s\n", s);
	return p;
}

/* route put|drop DST TABLE TYPE VIA DEV METRIC SRC MTU */
static int cmd_route(char **a)
{
	struct net_route r = {
		.dst = prefix(a[2]),
		.table = (uint32_t)atoi(a[3]),
		.type = strcmp(a[4], "unreachable") == 0 ? NET_UNREACHABLE
			: strcmp(a[4], "blackhole") == 0 ? NET_BLACKHOLE
							 : NET_UNICAST,
		.via = addr(a[5]),
		.oif = dev(a[6]),
		.metric = (uint32_t)atoi(a[7]),
		.src = addr(a[8]),
		.mtu = (unsigned)atoi(a[9]),
	};

	return strcmp(a[1], "put") == 0 ? net_route_put(net, &r) : net_route_drop(net, &r);
}

/* rule put|drop PRIORITY FROM TO IIF TABLE|blackhole */
static int cmd_rule(char **a)
{
	struct net_rule r = {
		.priority = (uint32_t)atoi(a[2]),
		.from = prefix(a[3]),
		.to = prefix(a[4]),
		.table = (uint32_t)atoi(a[6]),
		.blackhole = *a[6] == 'b',
	};

	if (strcmp(a[5], "-") != 0)
		snprintf(r.iif, sizeof(r.iif), "%s", a[5]);
	return strcmp(a[1], "put") == 0 ? net_rule_put(net, &r) : net_rule_drop(net, &r);
}

/* flood N TABLE DEV: N route puts, for the rate */
static int cmd_flood(char **a)
{
	struct net_route r = {.table = (uint32_t)atoi(a[2]), .oif = dev(a[3])};
	int e = 0;

	r.dst = prefix("2001:db8:f000::/64");
	for (unsigned i = 0; i < (unsigned)atoi(a[1]) && e == 0; i++) {
		r.dst.addr.s6_addr[6] = (uint8_t)(i >> 8);
		r.dst.addr.s6_addr[7] = (uint8_t)i;
		e = net_route_put(net, &r);
	}
	return e;
}

/* rs DEV SRC: to all routers.  ns DEV SRC TARGET MAC: to a neighbour's MAC */
static int cmd_nd(char **a)
{
	struct ndp_msg m = {
		.type = *a == NULL || a[0][0] != 'r' ? NDP_NS : NDP_RS, .src = addr(a[2])};
	uint8_t mac[6];

	if (m.type == NDP_RS) {
		m.dst = addr("ff02::2");
		return nd_send(nd, &m, NULL, dev(a[1]));
	}
	m.dst = m.target = addr(a[3]);
	if (strcmp(a[4], "-") == 0)
		return nd_send(nd, &m, NULL, dev(a[1]));
	sscanf(a[4], "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4,
		mac + 5);
	return nd_send(nd, &m, mac, dev(a[1]));
}

static int run(char **a, int n)
{
	struct in6_addr ip;
	uint8_t mac[6];

	if (strcmp(a[0], "dump") == 0 && n == 1)
		return net_dump(net);
	if (strcmp(a[0], "route") == 0 && n == 10)
		return cmd_route(a);
	if (strcmp(a[0], "rule") == 0 && n == 7)
		return cmd_rule(a);
	if (strcmp(a[0], "flood") == 0 && n == 4)
		return cmd_flood(a);
	if (strcmp(a[0], "sysctl") == 0 && n == 4)
		return net_sysctl6(a[1], a[2], a[3]);
	if ((strcmp(a[0], "rs") == 0 && n == 3) || (strcmp(a[0], "ns") == 0 && n == 5))
		return cmd_nd(a);
	if (strcmp(a[0], "dropped") == 0 && n == 1)
		return (int)nd_dropped(nd);
	if (strcmp(a[0], "addr") == 0 && n == 6) { /* addr put|drop DEV ADDRESS LEN FLAGS */
		ip = addr(a[3]);
		if (strcmp(a[1], "put") != 0)
			return net_addr_drop(net, dev(a[2]), &ip, (uint8_t)atoi(a[4]));
		return net_addr_put(
			net, dev(a[2]), &ip, (uint8_t)atoi(a[4]), (uint32_t)strtoul(a[5], NULL, 0));
	}
	if (strcmp(a[0], "neigh") == 0 && n == 4) { /* neigh DEV ADDRESS MAC */
		ip = addr(a[2]);
		sscanf(a[3], "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3,
			mac + 4, mac + 5);
		return net_neigh_put(net, dev(a[1]), &ip, mac);
	}
	return -EINVAL;
}

/* Lines are read one at a time, in the loop: "wait" in the test is a line of output. */
static int on_stdin(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	static char buf[4096];
	static size_t have;
	char *end;
	ssize_t got = read(fd, buf + have, sizeof(buf) - 1 - have);

	(void)s, (void)revents, (void)arg;
	if (got <= 0)
		return sd_event_exit(loop, 0);
	have += (size_t)got;
	buf[have] = '\0';
	while ((end = strchr(buf, '\n'))) {
		char *args[MAX_ARGS], *save = NULL;
		int n = 0;

		*end = '\0';
		for (char *p = strtok_r(buf, " ", &save); p && n < MAX_ARGS;
			p = strtok_r(NULL, " ", &save))
			args[n++] = p;
		int r = n ? run(args, n) : -EINVAL;

		emit(json_pack("{s:i}", "result", r));
		have -= (size_t)(end + 1 - buf);
		memmove(buf, end + 1, have + 1);
	}
	return 0;
}

int main(void)
{
	static const struct net_handlers handlers = {
		.link = on_link, .addr = on_addr, .neigh = on_neigh, .resync = on_resync};
	int r = sd_event_new(&loop);

	if (r >= 0)
		r = net_open(&net, loop, &handlers);
	if (r >= 0)
		r = nd_open(&nd, loop, false, on_nd, NULL);
	for (struct if_nameindex *i = if_nameindex(); r >= 0 && i && i->if_index; i++)
		r = nd_attach(nd, i->if_index);
	if (r >= 0)
		r = sd_event_add_io(loop, NULL, STDIN_FILENO, EPOLLIN, on_stdin, NULL);
	if (r < 0) {
		fprintf(stderr, "nettest: %s\n", strerror(-r));
		return 1;
	}
	emit(json_pack("{s:s}", "event", "ready"));
	r = sd_event_loop(loop);
	nd_close(nd);
	net_close(net);
	sd_event_unref(loop);
	return r < 0;
}

/* ip6tnl.c - the tunnel engine without BPF: one kernel ip6tnl device in external mode, routes that
 * carry the outer addresses, and an nftables table that checks what is to be decapsulated.
 *
 * Before decapsulation the table turns the outer address pair into the packet's mark (the number of
 * the path, that is of the far end's address); the inner packet, coming in on the device, still has
 * it, and its source must be of a tunnel on that path.  The mark is zero again when the table is
 * done.
 *
 * The kernel itself puts fragments together (RFC 2473 s7).  The rest is not in Linux, as of 6.1
 * net/ipv6/ip6_tunnel.c:
 *  - no fragments go out: ip6_tnl_xmit() leaves "ignore_df" clear, so ip6_fragment() refuses;
 *  - no encapsulation limit: with external mode ipxip6_tnl_xmit() neither looks for one nor sends
 *    one;
 *  - no tunnel in a tunnel: ip6_tnl_xmit() drops what its outer route leads to the device itself,
 *    and a namespace can have one external device only;
 *  - no check of errors: ip6ip6_err() believes what quotes any packet of the device.
 * So a second table, at the device's egress, forwards what takes more than a header to a TUN device
 * (slow.h) and from there to user space, and errors are hidden from the kernel and read by us
 * (path.h).  Without user space (no /dev/net/tun) the engine says at start what is missing.
 *
 * What it cannot do: choose the outgoing interface (tunnel.oif), give each flow inside a flow label
 * of its own (the kernel's is of the outer addresses).  A packet of one tenant that did not come
 * through its tunnel reaches no tenant at all. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/lwtunnel.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/log.h"
#include "common/os/net.h"
#include "common/tunnel/book.h"
#include "common/tunnel/dev.h"
#include "common/tunnel/ip6tnl_nft.h"
#include "common/tunnel/path.h"
#include "common/tunnel/watch.h"

#define HOP_LIMIT 64 /* RFC 2473 s6.3 */

struct tunnel_set {
	struct tunnel_dev dev;
	char dev_name[IFNAMSIZ];
	enum tunnel_role role;
	uint32_t table;
	struct book book;
	struct ip6tnl_sets sets;
	struct path *path;          /* NULL: no user space */
	struct tunnel_watch *watch; /* NULL: no event loop */
	unsigned encap_limit;       /* 0: none */
};

/* --- keys and routes --- */

static struct net_route route_of(const struct tunnel_set *set, const struct key *key)
{
	struct prefix6 dst = key_prefix6(key);

	return tunnel_dev_route(&set->dev, &dst, set->table);
}

/* Of an earlier run's tunnel: does this follow from it, and is it made anew with the rules? */
static bool is_derived(const struct key *key)
{
	return key->table == KEY_ROUTES || key->table == KEY_REMOTES || key->table == KEY_LARGE ||
	       key->table == KEY_ALL;
}

static int on_key(struct tunnel_set *set, const struct key *key, const struct entry *e, bool first)
{
	if (first && (!set->sets.taking_over || is_derived(key)))
		ip6tnl_sets_key(&set->sets, "add", key, e);
	return 0;
}

static void on_key_gone(struct tunnel_set *set, const struct key *key, const struct entry *e)
{
	if (key->table == KEY_ROUTES) {
		struct net_route r = route_of(set, key);

		net_route_drop(set->dev.net, &r);
	}
	ip6tnl_sets_key(&set->sets, "delete", key, e);
}

/* libnl-route's next hops know no encapsulation but MPLS. */
static int add_encap(struct nl_msg *msg, const struct map_info *info)
{
	struct nlattr *encap;
	int e = nla_put_u16(msg, RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_IP6);

	if (e < 0)
		return e;
	encap = nla_nest_start(msg, RTA_ENCAP);
	e = encap ? nla_put(msg, LWTUNNEL_IP6_DST, sizeof(info->remote), &info->remote)
		  : -NLE_NOMEM;
	if (e >= 0)
		e = nla_put(msg, LWTUNNEL_IP6_SRC, sizeof(info->local), &info->local);
	if (e >= 0)
		e = nla_put_u8(msg, LWTUNNEL_IP6_HOPLIMIT, HOP_LIMIT);
	return e >= 0 ? nla_nest_end(msg, encap) : e;
}

static int route_put(struct tunnel_set *set, const struct key *key, const struct entry *entry)
{
	struct net_route r = route_of(set, key);
	struct nl_msg *msg = NULL;
	int e;

	r.mtu = path_route_mtu(set->path, entry);
	e = net_route_make(set->dev.net, &r, &msg);
	if (e >= 0)
		e = add_encap(msg, &entry->info);
	return net_request(set->dev.net, e, msg);
}

static int routes_put(struct tunnel_set *set, const struct entry *e)
{
	int rc = 0;

	for (unsigned i = 0; rc >= 0 && i < e->n_keys; i++) {
		if (e->keys[i].table == KEY_ROUTES)
			rc = route_put(set, &e->keys[i], e);
	}
	return rc;
}

/* --- tunnels --- */

static bool covers(const struct key *outer, const struct key *inner)
{
	struct prefix6 o = key_prefix6(outer), i = key_prefix6(inner);

	return outer->table == inner->table && prefix6_covers(&o, &i);
}

/* nftables has no nested intervals in a set: a prefix inside another of the same tunnel goes. */
static void drop_covered(struct entry *e)
{
	unsigned n = 0;

	for (unsigned i = 0; i < e->n_keys; i++) {
		bool covered = false;

		for (unsigned j = 0; j < e->n_keys && !covered; j++)
			covered = i != j &&
				  (e->keys[i].table == KEY_ROUTES ||
					  e->keys[i].table == KEY_INNER) &&
				  covers(&e->keys[j], &e->keys[i]) &&
				  (j < i || e->keys[j].prefix.len < e->keys[i].prefix.len);
		if (!covered)
			e->keys[n++] = e->keys[i];
	}
	e->n_keys = n;
}

/* From 'old' (may be NULL) to 'e': all or nothing. */
static int change(struct tunnel_set *set, const struct entry *old, const struct entry *e)
{
	int rc;

	ip6tnl_sets_tunnel(&set->sets, "add", e);
	rc = book_hold(&set->book, e);
	if (rc < 0) {
		ip6tnl_nft_discard(set->sets.nft);
		return rc;
	}
	rc = ip6tnl_nft_run(set->sets.nft);
	if (rc >= 0)
		rc = routes_put(set, e);
	if (rc >= 0) {
		if (old)
			book_release(&set->book, old);
		return ip6tnl_nft_run(set->sets.nft);
	}
	book_release(&set->book, e);
	if (!old)
		ip6tnl_sets_tunnel(&set->sets, "delete", e);
	ip6tnl_nft_run(set->sets.nft);
	if (old)
		routes_put(set, old);
	return rc;
}

/* Is the tunnel's far end in a network behind another tunnel? */
static bool is_nested(const struct tunnel_set *set, const struct entry *e)
{
	struct in6_addr remote;

	memcpy(&remote, &e->info.remote, sizeof(remote));
	return set->role == TUNNEL_HA && book_route(&set->book, &remote) != NULL;
}

/* Which packets to its prefixes have to go by user space: KEY_ALL, KEY_LARGE, or KEY_ROUTES: none.
 */
static enum key_table by_user_space(const struct tunnel_set *set, const struct entry *e)
{
	if (!set->path)
		return KEY_ROUTES;
	if (set->encap_limit || is_nested(set, e))
		return KEY_ALL;
	return e->info.mtu && e->info.mtu < TUNNEL_MIN_MTU + path_overhead(set->path) ? KEY_LARGE
										      : KEY_ROUTES;
}

/* A copy of 'e' with the keys that this engine wants besides; NULL: no memory. */
static struct entry *with_own_keys(struct tunnel_set *set, const struct entry *e)
{
	enum key_table slow = by_user_space(set, e);
	struct entry *n = entry_new(&e->info, e->number, 1 + 3 * e->n_keys);

	if (!n)
		return NULL;
	n->path = e->path ? e->path : book_path(&set->book, &e->info.remote);
	n->told_mtu = e->told_mtu;
	n->told_until = e->told_until;
	n->lost_since = e->lost_since;
	n->lost_last = e->lost_last;
	n->slow = slow;
	n->keys[n->n_keys++] = key_remote(&e->info.remote);
	for (unsigned i = 0; i < e->n_keys; i++) {
		struct key k = e->keys[i];

		if (k.table != KEY_ROUTES && k.table != KEY_INNER)
			continue;
		n->keys[n->n_keys++] = k;
		if (k.table == KEY_INNER)
			continue;
		k.table = slow;
		if (slow != KEY_ROUTES)
			n->keys[n->n_keys++] = k;
		k.table = KEY_SOURCES;
		k.path = n->path;
		n->keys[n->n_keys++] = k;
	}
	return n;
}

/* Puts 'n', of with_own_keys(), in the place of 'old' (NULL: none): all or nothing. */
static int replace(struct tunnel_set *set, struct entry *old, struct entry *n)
{
	int rc = n ? change(set, old, n) : -ENOMEM;

	if (rc < 0)
		free(n);
	else
		book_enter(&set->book, n, old);
	return rc;
}

/* The tunnel is what it was, but what goes by user space, or its routes' MTU, is not. */
static struct entry *on_path(struct tunnel_set *set, struct entry *e)
{
	uint32_t number = e->number;
	int rc = replace(set, e, with_own_keys(set, e));

	if (rc < 0)
		log_warn("tunnel: another path MTU could not be set: %s", strerror(-rc));
	return book_number(&set->book, number);
}

/* Routes have come or gone: some far end may be behind another tunnel now, or no longer. */
static void look_again(struct tunnel_set *set)
{
	struct entry *e, *next;

	HASH_ITER (hh, set->book.entries, e, next) {
		if (by_user_space(set, e) != e->slow)
			on_path(set, e);
	}
}

/* Does 'a' have a prefix that 'b' has not? */
static bool has_more(const struct entry *a, const struct entry *b)
{
	bool more = false;

	for (unsigned i = 0; i < a->n_keys && !more; i++)
		more = a->keys[i].table == KEY_ROUTES && !entry_has(b, &a->keys[i]);
	return more;
}

static int ip6tnl_drop(struct tunnel_set *set, const struct in6_addr *id)
{
	struct entry *e = book_find(&set->book, id);
	int rc;

	if (!e)
		return 0;
	book_release(&set->book, e);
	ip6tnl_sets_tunnel(&set->sets, "delete", e);
	rc = ip6tnl_nft_run(set->sets.nft);
	book_strike(&set->book, e);
	look_again(set);
	return rc;
}

static int ip6tnl_put(struct tunnel_set *set, const struct tunnel *t)
{
	struct entry *old = book_find(&set->book, &t->id), *e, *n, *other;
	bool others;
	int rc;

	if (old && old->info.tenant != t->tenant) { /* other elements under the same keys */
		ip6tnl_drop(set, &t->id);
		old = NULL;
	}
	e = book_entry(&set->book, t);
	if (!e)
		return -ENOMEM;
	if (!set->path && is_nested(set, e)) {
		free(e);
		return -ELOOP;
	}
	drop_covered(e);
	while ((other = book_in_the_way(&set->book, e))) {
		struct in6_addr id;

		memcpy(&id, &other->info.id, sizeof(id));
		ip6tnl_drop(set, &id);
	}
	path_set(set->path, e, old);
	others = !old || has_more(old, e) || has_more(e, old);
	n = with_own_keys(set, e);
	free(e);
	if (old && n)
		old->info.oif = n->info.oif; /* nothing in the kernel depends on it */
	if (old && n && entry_same(n, old)) {
		old->left = false;
		free(n);
		return 0;
	}
	rc = replace(set, old, n);
	if (rc >= 0 && others)
		look_again(set);
	return rc;
}

static int ip6tnl_attach(struct tunnel_set *set, unsigned ifindex)
{
	(void)set, (void)ifindex; /* the kernel decapsulates on every interface */
	return 0;
}

static void ip6tnl_detach(struct tunnel_set *set, unsigned ifindex)
{
	(void)set, (void)ifindex;
}

static unsigned ip6tnl_inside(struct tunnel_set *set)
{
	return set->dev.ifindex;
}

static int ip6tnl_stats(struct tunnel_set *set, const struct in6_addr *id, struct tunnel_stats *out)
{
	struct entry *e = book_find(&set->book, id);
	int rc;

	memset(out, 0, sizeof(*out));
	if (!e)
		return -ENOENT;
	rc = ip6tnl_nft_count(set->sets.nft, "rx", e->number, &out->rx_packets, &out->rx_bytes);
	if (rc >= 0)
		rc = ip6tnl_nft_count(
			set->sets.nft, "tx", e->number, &out->tx_packets, &out->tx_bytes);
	return rc;
}

struct refused { /* of the tunnels that stand, by their place in the book */
	struct tunnel_set *set;
	struct of_one {
		uint64_t drop[TUNNEL_N_DROPS];
	} * v;
};

static void on_refused(void *arg, uint32_t number, enum tunnel_drop why, uint64_t packets)
{
	struct refused *r = arg;
	size_t i = 0;

	for (struct entry *e = r->set->book.entries; e; e = e->hh.next, i++)
		if (e->number == number)
			r->v[i].drop[why] += packets;
}

/* The table knows numbers: what was dropped of a tunnel is told as long as it stands. */
static int ip6tnl_refused(struct tunnel_set *set, tunnel_refused_fn *fn, void *arg)
{
	struct refused r = {set, calloc(HASH_COUNT(set->book.entries) + 1, sizeof(*r.v))};
	static const struct of_one none;
	struct in6_addr id;
	size_t i = 0;
	int rc;

	if (!r.v)
		return -ENOMEM;
	rc = ip6tnl_nft_refused(set->sets.nft, on_refused, &r);
	for (struct entry *e = set->book.entries; e; e = e->hh.next, i++) {
		memcpy(&id, &e->info.id, sizeof(id));
		if (memcmp(&r.v[i], &none, sizeof(none)))
			fn(arg, &id, r.v[i].drop);
	}
	free(r.v);
	return rc;
}

static uint64_t device_counter(const struct tunnel_set *set, const char *name)
{
	char path[96];
	unsigned long long n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", set->dev_name, name);
	f = fopen(path, "re");
	if (f && fscanf(f, "%llu", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

/* What the device refused to encapsulate: its errors, of which it tells two kinds apart; and to
 * decapsulate (IP6_ECN_decapsulate()). */
static int ip6tnl_counters(struct tunnel_set *set, struct tunnel_counters *out)
{
	int rc = ip6tnl_nft_counters(set->sets.nft, out);
	uint64_t no_route = device_counter(set, "tx_carrier_errors");
	uint64_t loop = device_counter(set, "collisions");

	if (rc < 0)
		return rc;
	out->drop[TUNNEL_DROP_tx_no_route] += no_route;
	out->drop[TUNNEL_DROP_tx_loop] += loop;
	out->drop[TUNNEL_DROP_rx_congestion] += device_counter(set, "rx_frame_errors");
	out->drop[TUNNEL_DROP_tx_error] += device_counter(set, "tx_errors") - no_route - loop;
	slow_add_counters(path_slow(set->path), out);
	return rc;
}

static unsigned ip6tnl_audit(struct tunnel_set *set, tunnel_seen_fn *seen, void *arg)
{
	return book_audit(&set->book, seen, arg);
}

/* --- open and close --- */

/* Enters a tunnel that an earlier run left; its elements are in the table, and those that follow
 * from it and from the configuration join the batch. */
static int on_left(void *arg, const struct tunnel *t, uint32_t number, uint32_t path)
{
	struct tunnel_set *set = arg;
	struct entry *e = book_entry(&set->book, t), *n;
	int rc;

	if (!e)
		return -ENOMEM;
	e->number = number;
	e->path = path;
	path_set(set->path, e, NULL);
	n = with_own_keys(set, e);
	free(e);
	if (n)
		n->left = true;
	rc = n ? book_hold(&set->book, n) : -ENOMEM;
	if (rc < 0)
		free(n);
	else
		book_enter(&set->book, n, NULL);
	return rc;
}

struct stray { /* routes of no tunnel */
	struct tunnel_set *set;
	size_t n;
	struct net_route *v; /* owned */
};

static void on_route(void *arg, const struct prefix6 *dst, const struct in6_addr *via)
{
	struct stray *s = arg;
	struct key key = key_prefix(KEY_ROUTES, dst);
	struct net_route *v;

	(void)via;
	if (book_has(&s->set->book, &key))
		return;
	v = reallocarray(s->v, s->n + 1, sizeof(*v));
	if (!v)
		return;
	s->v = v;
	v[s->n] = route_of(s->set, &key);
	v[s->n++].via = in6addr_any; /* whatever it has */
}

/* Each route says where its tunnel leads to, so all are put again, in the place of the same. */
static int take_over_routes(struct tunnel_set *set)
{
	struct stray stray = {.set = set};
	int rc = 0;

	for (struct entry *e = set->book.entries; e && rc >= 0; e = e->hh.next)
		rc = routes_put(set, e);
	if (rc >= 0)
		rc = net_own_routes(set->dev.net, set->table, set->dev.ifindex, on_route, &stray);
	for (size_t i = 0; i < stray.n; i++)
		net_route_drop(set->dev.net, &stray.v[i]);
	free(stray.v);
	return rc;
}

/* All in one transaction: at no moment does a packet find old tunnels without their rules. */
static int take_over(struct tunnel_set *set)
{
	int rc;

	set->sets.taking_over = true;
	rc = ip6tnl_left(set->sets.nft, on_left, set);
	set->sets.taking_over = false;
	if (rc >= 0)
		rc = ip6tnl_nft_run(set->sets.nft);
	if (rc < 0) {
		ip6tnl_nft_discard(set->sets.nft);
		book_free(&set->book);
	}
	return rc < 0 ? rc : take_over_routes(set);
}

static int begin(struct tunnel_set *set)
{
	int rc = ip6tnl_nft_run(set->sets.nft);

	return rc < 0 ? rc : tunnel_dev_flush(&set->dev);
}

static void set_free(struct tunnel_set *set)
{
	tunnel_watch_close(set->watch);
	path_close(set->path);
	book_free(&set->book);
	ip6tnl_nft_close(set->sets.nft);
	net_close(set->dev.net);
	free(set->sets.allow);
	free(set);
}

/* What takes user space. */
static int open_path(struct tunnel_set *set, const struct tunnel_conf *conf, char *why)
{
	int rc;

	if (conf->esp) { /* a raw socket's packets get past the policies */
		snprintf(why, WHY_SIZE, "with payload = \"esp\" all is left to the kernel");
		return -EOPNOTSUPP;
	}
	rc = path_open(&set->path, &set->book, &set->dev, SLOW_TUN, conf, on_path, why);
	if (rc >= 0 && conf->encap_limit)
		log_warn("tunnel: the kernel's tunnel sends no encapsulation limits: with "
			 "encap_limit every packet goes through user space, which is slow; engine "
			 "ebpf does not need it");
	return rc;
}

static int watch(struct tunnel_set *set, const struct tunnel_conf *conf)
{
	const struct tunnel_watch_handlers on = {
		set, &set->book, routes_put, IP6TNL_NFT_NAME, NULL};

	return conf->event ? tunnel_watch_open(&set->watch, conf->event, &set->dev, set->table, &on)
			   : 0;
}

static int start(struct tunnel_set *set, const struct tunnel_conf *conf, char *why)
{
	unsigned slow;
	bool left;
	int rc;

	rc = tunnel_dev_open(&set->dev, TUNNEL_DEV_IP6TNL, conf->dev, conf->mtu, why);
	if (rc < 0)
		return rc;
	rc = open_path(set, conf, why);
	if (rc < 0)
		log_warn("tunnel: no packets in fragments, no encapsulation limit, no router "
			 "behind a router, errors not checked: %s",
			why);
	rc = ip6tnl_nft_open(&set->sets.nft, &left);
	if (rc < 0) {
		snprintf(why, WHY_SIZE, "nftables: %s", strerror(-rc));
		return rc;
	}
	slow = slow_ifindex(path_slow(set->path));
	ip6tnl_nft_rules(set->sets.nft, conf, slow, left);
	rc = left ? take_over(set) : begin(set);
	if (rc < 0 && left) { /* another version's sets are of another kind */
		log_warn("tunnel: what an earlier run left can't be taken over, it is made anew: "
			 "%.200s",
			ip6tnl_nft_error(set->sets.nft));
		ip6tnl_nft_rules(set->sets.nft, conf, slow, false);
		rc = begin(set);
	}
	if (rc < 0) {
		snprintf(why, WHY_SIZE, "nftables: %.200s", ip6tnl_nft_error(set->sets.nft));
		return rc;
	}
	ip6tnl_nft_whole(set->sets.nft);
	look_again(set);
	rc = watch(set, conf);
	if (rc < 0)
		snprintf(why, WHY_SIZE, "rtnetlink: %s", strerror(-rc));
	return rc;
}

static int ip6tnl_open(struct tunnel_set **out, const struct tunnel_conf *conf, char *why)
{
	struct tunnel_set *set = calloc(1, sizeof(*set));
	int rc;

	if (set && conf->n_allow) {
		set->sets.n_allow = conf->n_allow;
		set->sets.allow = malloc(conf->n_allow * sizeof(*set->sets.allow));
	}
	if (!set || (conf->n_allow && !set->sets.allow)) {
		free(set);
		snprintf(why, WHY_SIZE, "out of memory");
		return -ENOMEM;
	}
	if (conf->n_allow)
		memcpy(set->sets.allow, conf->allow, conf->n_allow * sizeof(*set->sets.allow));
	set->role = conf->role;
	set->table = conf->table;
	set->encap_limit = conf->encap_limit;
	snprintf(set->dev_name, sizeof(set->dev_name), "%s", conf->dev);
	set->book = (struct book){.set = set,
		.add = on_key,
		.del = on_key_gone,
		.keep_locals = conf->role == TUNNEL_HA};
	rc = start(set, conf, why);
	if (rc < 0) {
		set_free(set);
		return rc;
	}
	*out = set;
	return 0;
}

static void ip6tnl_close(struct tunnel_set *set, bool keep)
{
	if (!set)
		return;
	if (!keep) {
		tunnel_dev_delete(&set->dev); /* with its routes */
		ip6tnl_nft_remove(set->sets.nft);
	}
	set_free(set);
}

const struct tunnel_engine tunnel_ip6tnl = {
	.name = "ip6tnl",
	.open = ip6tnl_open,
	.attach = ip6tnl_attach,
	.detach = ip6tnl_detach,
	.inside = ip6tnl_inside,
	.put = ip6tnl_put,
	.drop = ip6tnl_drop,
	.stats = ip6tnl_stats,
	.refused = ip6tnl_refused,
	.counters = ip6tnl_counters,
	.audit = ip6tnl_audit,
	.close = ip6tnl_close,
};

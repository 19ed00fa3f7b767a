/* ebpf.c - the tunnel engine on tc eBPF: fills the maps of bpf/tunnel.bpf.c and keeps the kernel's
 * routes beside them.  Nothing is pinned: what an earlier run left is found through the program at
 * the device's egress, whose maps are taken over, so traffic flows on through a restart. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/net.h"
#include "common/tunnel/ebpf.h"

#define TC_HANDLE     1
#define TC_PRIORITY   139    /* after the signalling capture */
#define MAX_TUNNELS   262144 /* at the home agent; memory is taken only as maps fill */
#define MAX_ROUTES    1048576
#define MAX_WAIT_MS   50   /* for the kernel's memory */
#define MAX_MR        1024 /* of everything, at a mobile router */
#define MAX_HA_LOCALS 4096

/* --- keys and entries --- */

int ebpf_map_fd(const struct tunnel_set *set, enum key_table table)
{
	const struct bpf_map *maps[] = {
		[KEY_LOCALS] = set->bpf->maps.locals,
		[KEY_PAIRS] = set->bpf->maps.pairs,
		[KEY_ROUTES] = set->bpf->maps.routes,
		[KEY_INNER] = set->bpf->maps.inner,
	};

	return bpf_map__fd(maps[table]);
}

struct net_route ebpf_route_of(const struct tunnel_set *set, const struct key *key)
{
	struct prefix6 dst = {.len = (uint8_t)key->prefix.len};

	memcpy(&dst.addr, &key->prefix.addr, sizeof(dst.addr));
	return tunnel_dev_route(&set->dev, &dst, set->table);
}

/* The kernel takes elements out of a small reserve that it fills up behind our back: hundreds of
 * new bindings within a millisecond outrun it, and wait for it then. */
static int map_put(int fd, const void *key, const void *value, uint64_t flags)
{
	for (unsigned waited_ms = 0;; waited_ms++) {
		if (bpf_map_update_elem(fd, key, value, flags) == 0)
			return 0;
		if (errno != ENOMEM || waited_ms == MAX_WAIT_MS)
			return -errno;
		usleep(1000);
	}
}

static int on_key(struct tunnel_set *set, const struct key *key, const struct entry *e, bool first)
{
	/* There already: of an earlier run, which put them before their tunnel; or a local address,
	 * which is nobody's in particular.  The others name the tunnel that asked last. */
	if (set->taking_over || (key->table == KEY_LOCALS && !first))
		return 0;
	return map_put(ebpf_map_fd(set, key->table), &key->local, &e->number, BPF_ANY);
}

static void on_key_gone(struct tunnel_set *set, const struct key *key, const struct entry *e)
{
	(void)e;
	if (key->table == KEY_ROUTES) {
		struct net_route r = ebpf_route_of(set, key);

		net_route_drop(set->dev.net, &r);
	}
	bpf_map_delete_elem(ebpf_map_fd(set, key->table), &key->local);
}

static int info_put(struct tunnel_set *set, const struct entry *e)
{
	int fd = bpf_map__fd(set->bpf->maps.infos);

	return map_put(fd, &e->number, &e->info, BPF_ANY);
}

void ebpf_info_drop(struct tunnel_set *set, uint32_t number)
{
	bpf_map_delete_elem(bpf_map__fd(set->bpf->maps.infos), &number);
	bpf_map_delete_elem(bpf_map__fd(set->bpf->maps.cpu), &number);
}

/* Counters from zero, unless they run already. */
static int stats_start(struct tunnel_set *set, uint32_t number)
{
	struct map_cpu *zero = calloc((size_t)set->n_cpus, sizeof(*zero));
	int rc;

	if (!zero)
		return -ENOMEM;
	rc = map_put(bpf_map__fd(set->bpf->maps.cpu), &number, zero, BPF_NOEXIST);
	free(zero);
	return rc == -EEXIST ? 0 : rc;
}

/* Routes of the tunnel, with its MTU; idempotent. */
static int routes_put(struct tunnel_set *set, const struct entry *e)
{
	int rc = 0;

	for (unsigned i = 0; rc >= 0 && i < e->n_keys; i++) {
		struct net_route r;

		if (e->keys[i].table != KEY_ROUTES)
			continue;
		r = ebpf_route_of(set, &e->keys[i]);
		r.mtu = path_route_mtu(set->path, e);
		rc = net_route_put(set->dev.net, &r);
	}
	return rc;
}

/* Are the prefixes those of 'old', in its order? */
static bool same_routes(
	const struct tunnel_set *set, const struct entry *e, const struct entry *old)
{
	return e->n_keys == old->n_keys &&
	       !memcmp(e->keys, old->keys, e->n_keys * sizeof(e->keys[0])) &&
	       path_route_mtu(set->path, e) == path_route_mtu(set->path, old);
}

/* Another path MTU. */
static struct entry *on_path(struct tunnel_set *set, struct entry *e)
{
	info_put(set, e);
	routes_put(set, e);
	return e;
}

/* Prefixes and outer addresses first, then the entry that joins them, then the routes: at no moment
 * does a packet find less than it found before. */
static int install(struct tunnel_set *set, const struct entry *e, const struct entry *old)
{
	int rc = book_hold(&set->book, e);

	if (rc < 0)
		return rc;
	rc = old ? 0 : stats_start(set, e->number);
	if (rc >= 0)
		rc = info_put(set, e);
	/* They lead to the device: a handover does not change them. */
	if (rc >= 0 && !(old && !old->incomplete && same_routes(set, e, old)))
		rc = routes_put(set, e);
	if (rc >= 0)
		return 0;
	book_release(&set->book, e);
	if (old)
		info_put(set, old);
	else
		ebpf_info_drop(set, e->number);
	return rc;
}

static void strike(struct tunnel_set *set, struct entry *e)
{
	book_release(&set->book, e);
	ebpf_info_drop(set, e->number);
	book_strike(&set->book, e);
}

static int ebpf_put(struct tunnel_set *set, const struct tunnel *t)
{
	struct entry *old = book_find(&set->book, &t->id), *e = book_entry(&set->book, t), *other;
	int rc;

	if (!e)
		return -ENOMEM;
	path_set(set->path, e, old);
	if (old && !old->incomplete && entry_same(e, old)) {
		old->left = false;
		free(e);
		return 0;
	}
	while ((other = book_in_the_way(&set->book, e)))
		strike(set, other);
	rc = install(set, e, old);
	if (rc < 0) {
		free(e);
		return rc;
	}
	if (old)
		book_release(&set->book, old);
	book_enter(&set->book, e, old);
	return 0;
}

static int ebpf_drop(struct tunnel_set *set, const struct in6_addr *id)
{
	struct entry *e = book_find(&set->book, id);

	if (e)
		strike(set, e);
	return 0;
}

static int ebpf_stats(struct tunnel_set *set, const struct in6_addr *id, struct tunnel_stats *out)
{
	struct entry *e = book_find(&set->book, id);
	struct map_cpu *cpu;
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (!e)
		return -ENOENT;
	cpu = calloc((size_t)set->n_cpus, sizeof(*cpu));
	if (!cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(set->bpf->maps.cpu), &e->number, cpu) < 0)
		rc = -errno;
	for (int i = 0; rc >= 0 && i < set->n_cpus; i++) {
		out->rx_packets += cpu[i].rx_packets;
		out->rx_bytes += cpu[i].rx_bytes;
		out->tx_packets += cpu[i].tx_packets;
		out->tx_bytes += cpu[i].tx_bytes;
	}
	free(cpu);
	return rc;
}

static int ebpf_refused(struct tunnel_set *set, tunnel_refused_fn *fn, void *arg)
{
	int fd = bpf_map__fd(set->bpf->maps.refused);
	struct map_refused r;
	struct in6_addr id;
	bool first = true;

	for (; bpf_map_get_next_key(fd, first ? NULL : &id, &id) == 0; first = false)
		if (bpf_map_lookup_elem(fd, &id, &r) == 0)
			fn(arg, &id, (const uint64_t *)r.n);
	return 0;
}

static int ebpf_counters(struct tunnel_set *set, struct tunnel_counters *out)
{
	__u64 *cpu = calloc((size_t)set->n_cpus, sizeof(*cpu));
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (!cpu)
		return -ENOMEM;
	for (uint32_t d = 0; rc >= 0 && d < TUNNEL_N_DROPS; d++) {
		if (bpf_map_lookup_elem(bpf_map__fd(set->bpf->maps.drops), &d, cpu) < 0)
			rc = -errno;
		for (int i = 0; rc >= 0 && i < set->n_cpus; i++)
			out->drop[d] += cpu[i];
	}
	slow_add_counters(set->slow, out);
	free(cpu);
	return rc;
}

static unsigned ebpf_inside(struct tunnel_set *set)
{
	return set->slow ? slow_ifindex(set->slow) : set->dev.ifindex;
}

static unsigned ebpf_audit(struct tunnel_set *set, tunnel_seen_fn *seen, void *arg)
{
	return book_audit(&set->book, seen, arg);
}

/* --- programs --- */

static int tc_attach(
	unsigned ifindex, enum bpf_tc_attach_point where, const struct bpf_program *prog)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = where);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY,
		.prog_fd = bpf_program__fd(prog), .flags = BPF_TC_F_REPLACE);
	int rc = bpf_tc_hook_create(&hook);

	return rc < 0 && rc != -EEXIST ? rc : bpf_tc_attach(&hook, &opts);
}

static void tc_detach(unsigned ifindex)
{
	DECLARE_LIBBPF_OPTS(
		bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	if (ifindex)
		bpf_tc_detach(&hook, &opts);
}

/* Of the program that is there, this engine's by its place; 0: none. */
static unsigned prog_id(unsigned ifindex, enum bpf_tc_attach_point where)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = where);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	return bpf_tc_query(&hook, &opts) < 0 ? 0 : opts.prog_id;
}

static int ebpf_attach(struct tunnel_set *set, unsigned ifindex)
{
	char name[IFNAMSIZ];
	unsigned i;
	int rc;

	if (if_indextoname(ifindex, name) && !net_is_ethernet(name)) {
		log_err("engine ebpf: interface %s is not of Ethernet's kind, as the programs "
			"need it; engine ip6tnl does not",
			name);
		return -EOPNOTSUPP;
	}
	/* Its own place, or that of an interface that is gone: a NIC may come and go at each move.
	 */
	for (i = 0; i < set->n_links && set->links[i] != ifindex; i++)
		if (!if_indextoname(set->links[i], name))
			break;
	if (i == TUNNEL_MAX_LINKS)
		return -ENOSPC;
	rc = tc_attach(ifindex, BPF_TC_INGRESS, set->bpf->progs.tunnel_decap);
	if (rc < 0)
		return rc;
	set->links[i] = ifindex;
	if (i == set->n_links)
		set->n_links++;
	return 0;
}

static void ebpf_detach(struct tunnel_set *set, unsigned ifindex)
{
	for (unsigned i = 0; i < set->n_links; i++) {
		if (set->links[i] != ifindex)
			continue;
		tc_detach(ifindex);
		set->links[i] = 0; /* a place for another */
	}
}

/* --- what others undo --- */

static void on_programs(struct tunnel_set *set, unsigned ifindex)
{
	bool dev = ifindex == set->dev.ifindex, ours = dev || ifindex == slow_ifindex(set->slow);
	enum bpf_tc_attach_point where = dev ? BPF_TC_EGRESS : BPF_TC_INGRESS;
	char name[IFNAMSIZ];
	int rc;

	for (unsigned i = 0; i < set->n_links; i++)
		ours |= set->links[i] == ifindex;
	if (!ours || prog_id(ifindex, where))
		return;
	rc = tc_attach(
		ifindex, where, dev ? set->bpf->progs.tunnel_encap : set->bpf->progs.tunnel_decap);
	if (rc >= 0)
		log_warn("tunnel: somebody removed the program at %s, it is back",
			if_indextoname(ifindex, name) ? name : "an interface");
	else if (rc != -ENODEV)
		log_err("tunnel: somebody removed the program at %s, and it can't be put again: %s",
			if_indextoname(ifindex, name) ? name : "an interface", strerror(-rc));
}

static int watch(struct tunnel_set *set, const struct tunnel_conf *conf)
{
	const struct tunnel_watch_handlers on = {set, &set->book, routes_put, NULL, on_programs};

	return conf->event ? tunnel_watch_open(&set->watch, conf->event, &set->dev, set->table, &on)
			   : 0;
}

/* --- open and close --- */

static bool is_allowed(const struct tunnel_conf *conf, const struct map_allow *key)
{
	for (unsigned i = 0; i < conf->n_allow; i++)
		if (conf->allow[i].from == key->from && conf->allow[i].to == key->to)
			return true;
	return false;
}

/* An earlier run's traffic goes on meanwhile. */
static int allowed_set(struct tunnel_set *set, const struct tunnel_conf *conf)
{
	int fd = bpf_map__fd(set->bpf->maps.allowed);
	struct map_allow key, next;
	uint32_t yes = 1;
	bool more = bpf_map_get_next_key(fd, NULL, &next) == 0;

	while (more) {
		key = next;
		more = bpf_map_get_next_key(fd, &key, &next) == 0;
		if (!is_allowed(conf, &key))
			bpf_map_delete_elem(fd, &key);
	}
	for (unsigned i = 0; i < conf->n_allow; i++) {
		key = (struct map_allow){conf->allow[i].from, conf->allow[i].to};
		if (bpf_map_update_elem(fd, &key, &yes, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level, (void)fmt, (void)ap; /* errors come back as results */
	return 0;
}

static void size_maps(struct tunnel_bpf *bpf, enum tunnel_role role)
{
	bool ha = role == TUNNEL_HA;

	bpf_map__set_max_entries(bpf->maps.routes, ha ? MAX_ROUTES : MAX_MR);
	bpf_map__set_max_entries(bpf->maps.inner, MAX_MR);
	bpf_map__set_max_entries(bpf->maps.infos, ha ? MAX_TUNNELS : MAX_MR);
	bpf_map__set_max_entries(bpf->maps.pairs, ha ? 2 * MAX_TUNNELS : MAX_MR);
	bpf_map__set_max_entries(bpf->maps.locals, ha ? MAX_HA_LOCALS : MAX_MR);
	bpf_map__set_max_entries(bpf->maps.cpu, ha ? MAX_TUNNELS : MAX_MR);
	bpf_map__set_max_entries(bpf->maps.refused, ha ? MAX_TUNNELS : MAX_MR);
}

/* Loads the programs, on the maps of an earlier run if they fit.  '*fresh': they did not. */
static int load(struct tunnel_set *set, bool *fresh)
{
	unsigned old = prog_id(set->dev.ifindex, BPF_TC_EGRESS);
	struct bpf_map *map;
	int rc;

	set->bpf = tunnel_bpf__open();
	if (!set->bpf)
		return -errno;
	set->bpf->rodata->is_ha = set->role == TUNNEL_HA;
	set->bpf->rodata->mr_mark = set->role == TUNNEL_MR ? TUNNEL_MARK : 0;
	set->bpf->rodata->dev_ifindex = set->dev.ifindex;
	memcpy((void *)(uintptr_t)set->bpf->rodata->dev_mac, set->dev.mac, sizeof(set->dev.mac));
	set->bpf->rodata->slow_ifindex = slow_ifindex(set->slow);
	set->bpf->rodata->encap_limit = (__u8)set->encap_limit;
	size_maps(set->bpf, set->role);
	*fresh = !old || !ebpf_reuse_maps(set, old);
	rc = tunnel_bpf__load(set->bpf);
	if (rc < 0)
		return rc;
	/* The next run looks for all maps at this program, whether it uses them or not. */
	bpf_object__for_each_map(map, set->bpf->obj)
	{
		int prog = bpf_program__fd(set->bpf->progs.tunnel_encap);

		rc = bpf_prog_bind_map(prog, bpf_map__fd(map), NULL);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void set_free(struct tunnel_set *set)
{
	tunnel_watch_close(set->watch);
	path_close(set->path);
	book_free(&set->book);
	net_close(set->dev.net);
	tunnel_bpf__destroy(set->bpf);
	free(set);
}

static int start(struct tunnel_set *set, const struct tunnel_conf *conf, char *why)
{
	bool fresh = true;
	int rc;

	rc = tunnel_dev_open(&set->dev, TUNNEL_DEV_SINK, conf->dev, conf->mtu, why);
	if (rc < 0)
		return rc;
	rc = path_open(&set->path, &set->book, &set->dev, SLOW_TAP, conf, on_path, why);
	if (rc < 0)
		log_warn("tunnel: no packets in fragments, no errors relayed, no router behind a "
			 "router: %s",
			why);
	set->slow = path_slow(set->path);
	rc = load(set, &fresh);
	if (rc < 0) {
		snprintf(why, WHY_SIZE, "loading the BPF programs: %s", strerror(-rc));
		return rc;
	}
	rc = fresh ? tunnel_dev_flush(&set->dev) : 0; /* routes without tunnels */
	if (rc >= 0)
		rc = allowed_set(set, conf);
	if (rc >= 0 && !fresh)
		ebpf_take_over(set);
	if (rc >= 0)
		rc = tc_attach(set->dev.ifindex, BPF_TC_EGRESS, set->bpf->progs.tunnel_encap);
	if (rc >= 0 && set->slow)
		rc = tc_attach(
			slow_ifindex(set->slow), BPF_TC_INGRESS, set->bpf->progs.tunnel_decap);
	if (rc >= 0)
		rc = watch(set, conf);
	if (rc < 0)
		snprintf(why, WHY_SIZE, "starting on %s: %s", conf->dev, strerror(-rc));
	return rc;
}

static int ebpf_open(struct tunnel_set **out, const struct tunnel_conf *conf, char *why)
{
	struct tunnel_set *set = calloc(1, sizeof(*set));
	int rc;

	if (!set) {
		snprintf(why, WHY_SIZE, "out of memory");
		return -ENOMEM;
	}
	libbpf_set_print(quiet);
	set->role = conf->role;
	set->table = conf->table;
	set->mtu = conf->mtu;
	set->encap_limit = conf->encap_limit;
	set->book = (struct book){.set = set,
		.add = on_key,
		.del = on_key_gone,
		/* A home agent's address stays its own: tunnel packets without a binding are
		   counted. */
		.keep_locals = conf->role == TUNNEL_HA,
		.by_number = true};
	set->n_cpus = libbpf_num_possible_cpus();
	rc = set->n_cpus;
	if (rc < 0)
		snprintf(why, WHY_SIZE, "counting processors: %s", strerror(-rc));
	else
		rc = start(set, conf, why);
	if (rc < 0) {
		set_free(set);
		return rc;
	}
	*out = set;
	return 0;
}

static void ebpf_close(struct tunnel_set *set, bool keep)
{
	if (!set)
		return;
	if (!keep) {
		for (unsigned i = 0; i < set->n_links; i++)
			tc_detach(set->links[i]);
		tunnel_dev_delete(&set->dev); /* with its routes */
	}
	set_free(set);
}

const struct tunnel_engine tunnel_ebpf = {
	.name = "ebpf",
	.open = ebpf_open,
	.attach = ebpf_attach,
	.detach = ebpf_detach,
	.inside = ebpf_inside,
	.put = ebpf_put,
	.drop = ebpf_drop,
	.stats = ebpf_stats,
	.refused = ebpf_refused,
	.counters = ebpf_counters,
	.audit = ebpf_audit,
	.close = ebpf_close,
};

/* ebpf_left.c - what an earlier run of the eBPF engine left: its maps, and the tunnels in them. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/tunnel/ebpf.h"

#define N_MAPS 9

static bool same_map(const struct bpf_map *map, const struct bpf_map_info *old)
{
	return bpf_map__type(map) == old->type && bpf_map__key_size(map) == old->key_size &&
	       bpf_map__value_size(map) == old->value_size &&
	       bpf_map__max_entries(map) == old->max_entries &&
	       bpf_map__map_flags(map) == old->map_flags;
}

bool ebpf_reuse_maps(struct tunnel_set *set, unsigned prog_id)
{
	struct bpf_object *obj = set->bpf->obj;
	__u32 ids[2 * N_MAPS], size, n = 0;
	struct bpf_prog_info prog = {.nr_map_ids = 2 * N_MAPS, .map_ids = (__u64)(uintptr_t)ids};
	struct bpf_map *maps[N_MAPS];
	int fds[N_MAPS], fd = bpf_prog_get_fd_by_id(prog_id);
	bool ok;

	size = sizeof(prog);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &prog, &size) < 0)
		prog.nr_map_ids = 0;
	for (__u32 i = 0; i < prog.nr_map_ids && i < 2 * N_MAPS && n < N_MAPS; i++) {
		struct bpf_map_info info = {0};

		size = sizeof(info);
		fds[n] = bpf_map_get_fd_by_id(ids[i]);
		if (fds[n] < 0)
			continue;
		maps[n] = NULL;
		/* Constants (.rodata) are each run's own. */
		if (bpf_obj_get_info_by_fd(fds[n], &info, &size) >= 0 && !strchr(info.name, '.'))
			maps[n] = bpf_object__find_map_by_name(obj, info.name);
		if (maps[n] && same_map(maps[n], &info))
			n++;
		else
			close(fds[n]);
	}
	ok = n == N_MAPS;
	for (__u32 i = 0; i < n; i++) {
		ok = ok && bpf_map__reuse_fd(maps[i], fds[i]) >= 0;
		close(fds[i]);
	}
	if (fd >= 0)
		close(fd);
	return ok;
}

/* --- maps --- */

#define BATCH 4096 /* elements read by one call */

typedef void element_fn(void *arg, const void *key, const void *value);

/* Linux before 5.13 has no batches of prefixes. */
static void each_alone(int fd, size_t key_size, void *key, void *value, element_fn *fn, void *arg)
{
	char *next = (char *)key + key_size;
	bool more = bpf_map_get_next_key(fd, NULL, next) == 0;

	while (more) {
		memcpy(key, next, key_size);
		more = bpf_map_get_next_key(fd, key, next) == 0;
		if (bpf_map_lookup_elem(fd, key, value) == 0)
			fn(arg, key, value);
	}
}

/* Every element of a map, which stays as it is meanwhile. */
static void each(int fd, size_t key_size, size_t value_size, element_fn *fn, void *arg)
{
	char *keys = calloc(BATCH, key_size), *values = calloc(BATCH, value_size);
	char *at = NULL, *pos = calloc(2, key_size);
	int r = keys && values && pos ? 0 : -ENOMEM;

	while (r == 0) {
		__u32 n = BATCH;

		r = bpf_map_lookup_batch(fd, at, pos, keys, values, &n, NULL);
		if (r < 0 && errno != ENOENT) {
			if (!at)
				each_alone(fd, key_size, keys, values, fn, arg);
			break;
		}
		for (__u32 i = 0; i < n; i++)
			fn(arg, keys + i * key_size, values + i * value_size);
		at = pos;
	}
	free(keys);
	free(values);
	free(pos);
}

/* --- tunnels --- */

#define ROOM 2 /* keys of most tunnels */

struct left {
	uint32_t number;
	struct entry *e;
};
struct lefts { /* by number */
	size_t n, room;
	struct left *v;
};

static int by_number(const void *a, const void *b)
{
	const struct left *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static void on_info(void *arg, const void *key, const void *value)
{
	struct lefts *all = arg;
	struct left *l;

	if (all->n == all->room) {
		struct left *more = realloc(all->v, (all->room * 2 + 16) * sizeof(*more));

		if (!more)
			return;
		all->v = more;
		all->room = all->room * 2 + 16;
	}
	l = &all->v[all->n];
	memcpy(&l->number, key, sizeof(l->number));
	l->e = entry_new(value, l->number, ROOM);
	if (!l->e)
		return;
	l->e->left = true;
	all->n++;
}

static bool entry_add(struct entry **e, const struct key *key)
{
	unsigned n = (*e)->n_keys;
	struct entry *more = *e;

	if (n >= ROOM && (n & (n - 1)) == 0) /* full, as it doubles */
		more = realloc(*e, sizeof(**e) + 2 * n * sizeof(*key));
	if (!more)
		return false;
	more->keys[more->n_keys++] = *key;
	*e = more;
	return true;
}

/* The one of that number, or NULL.  Numbers have few gaps: it is mostly where it would be without
 * any. */
static struct left *left_find(const struct lefts *all, uint32_t number)
{
	const struct left wanted = {.number = number};
	size_t guess;

	if (!all->n || number < all->v[0].number)
		return NULL;
	guess = number - all->v[0].number;
	if (guess < all->n && all->v[guess].number == number)
		return &all->v[guess];
	return bsearch(&wanted, all->v, all->n, sizeof(wanted), by_number);
}

struct prefixes {
	struct lefts *all;
	struct key key; /* of that table */
	size_t n_gone, room;
	struct map_prefix *gone; /* of no tunnel */
};

static void on_prefix(void *arg, const void *key, const void *value)
{
	struct prefixes *p = arg;
	struct left *l;
	uint32_t number;

	memcpy(&p->key.prefix, key, sizeof(p->key.prefix));
	memcpy(&number, value, sizeof(number));
	l = left_find(p->all, number);
	if (l && entry_add(&l->e, &p->key))
		return;
	if (p->n_gone == p->room) {
		struct map_prefix *more = realloc(p->gone, (p->room * 2 + 16) * sizeof(*more));

		if (!more)
			return; /* the next run finds it again */
		p->gone = more;
		p->room = p->room * 2 + 16;
	}
	p->gone[p->n_gone++] = p->key.prefix;
}

/* Gives the tunnels their prefixes back, and removes those of no tunnel. */
static void read_prefixes(struct tunnel_set *set, enum key_table table, struct lefts *all)
{
	struct prefixes p = {.all = all};
	int fd = ebpf_map_fd(set, table);

	p.key.table = table;
	each(fd, sizeof(p.key.prefix), sizeof(__u32), on_prefix, &p);
	for (size_t i = 0; i < p.n_gone; i++)
		bpf_map_delete_elem(fd, &p.gone[i]);
	free(p.gone);
}

/* --- the kernel's routes --- */

struct routes { /* through the device, sorted by their octets */
	struct tunnel_set *set;
	size_t n, room;
	struct key *v;
	bool failed;
};

static int by_octets(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct key));
}

static void on_route(void *arg, const struct prefix6 *dst, const struct in6_addr *via)
{
	struct routes *r = arg;

	(void)via;
	if (r->n == r->room) {
		struct key *more = realloc(r->v, (r->room * 2 + 64) * sizeof(*more));

		if (!more) {
			r->failed = true;
			return;
		}
		r->v = more;
		r->room = r->room * 2 + 64;
	}
	r->v[r->n++] = key_prefix(KEY_ROUTES, dst);
}

static void *read_routes(void *arg)
{
	struct routes *r = arg;
	const struct tunnel_dev *dev = &r->set->dev;

	if (net_own_routes(dev->net, r->set->table, dev->ifindex, on_route, r) < 0)
		r->failed = true;
	if (r->n)
		qsort(r->v, r->n, sizeof(*r->v), by_octets);
	return NULL;
}

/* Which tunnels lack a route: their put makes it again.  Routes of no tunnel go. */
static void check_routes(struct routes *r, const struct lefts *all)
{
	bool *used = calloc(r->n + 1, sizeof(*used));

	for (size_t i = 0; i < all->n; i++) {
		struct entry *e = all->v[i].e;

		for (unsigned k = 0; k < e->n_keys; k++) {
			const struct key *key = &e->keys[k], *at = NULL;

			if (key->table != KEY_ROUTES)
				continue;
			if (r->n && used)
				at = bsearch(key, r->v, r->n, sizeof(*key), by_octets);
			if (at)
				used[at - r->v] = true;
			else
				e->incomplete = true;
		}
	}
	for (size_t i = 0; i < r->n && used && !r->failed; i++) {
		struct net_route gone = ebpf_route_of(r->set, &r->v[i]);

		gone.via = in6addr_any; /* whatever it has */
		if (!used[i])
			net_route_drop(r->set->dev.net, &gone);
	}
	free(used);
	free(r->v);
}

/* What the maps have, and meanwhile, on another processor, what the kernel's table has: each takes
 * tenths of a second for 10^5 tunnels. */
static void read_left(struct tunnel_set *set, struct lefts *all, struct routes *routes)
{
	pthread_t reader;
	int alone = pthread_create(&reader, NULL, read_routes, routes);

	each(bpf_map__fd(set->bpf->maps.infos), sizeof(__u32), sizeof(struct map_info), on_info,
		all);
	if (all->n)
		qsort(all->v, all->n, sizeof(*all->v), by_number);
	read_prefixes(set, KEY_ROUTES, all);
	read_prefixes(set, KEY_INNER, all);
	if (alone)
		read_routes(routes);
	else
		pthread_join(reader, NULL);
}

void ebpf_take_over(struct tunnel_set *set)
{
	struct routes routes = {.set = set};
	struct lefts all = {0};

	read_left(set, &all, &routes);
	check_routes(&routes, &all);
	set->taking_over = true;
	for (size_t i = 0; i < all.n; i++) {
		struct entry *e = all.v[i].e;

		path_adopt(set->path, e);
		if (book_hold(&set->book, e) >= 0) {
			book_enter(&set->book, e, NULL);
		} else {
			ebpf_info_drop(set, e->number);
			free(e);
		}
	}
	set->taking_over = false;
	free(all.v);
}

/* ebpf_left.c - what an earlier run of the eBPF engine left: its maps, and the tunnels in them. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
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

#define ROOM 2 /* keys of most tunnels */

struct left {
	uint32_t number;
	struct entry *e;
};

static int by_number(const void *a, const void *b)
{
	const struct left *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* All tunnels in the map, by number; '*n' of them. */
static struct left *read_infos(struct tunnel_set *set, size_t *n)
{
	int fd = bpf_map__fd(set->bpf->maps.infos);
	struct left *v = NULL;
	__u32 number, *prev = NULL;
	size_t cap = 0;

	for (*n = 0; bpf_map_get_next_key(fd, prev, &number) == 0; prev = &number) {
		struct map_info info;

		if (*n == cap) {
			struct left *more = realloc(v, (cap * 2 + 16) * sizeof(*v));

			if (!more)
				break;
			v = more;
			cap = cap * 2 + 16;
		}
		if (bpf_map_lookup_elem(fd, &number, &info) < 0)
			continue;
		v[*n] = (struct left){number, entry_new(&info, number, ROOM)};
		if (v[*n].e)
			v[(*n)++].e->left = true;
	}
	if (*n)
		qsort(v, *n, sizeof(*v), by_number);
	return v;
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

/* Gives the tunnels their prefixes back, and removes those of no tunnel. */
static void read_prefixes(struct tunnel_set *set, enum key_table table, struct left *v, size_t n)
{
	int fd = ebpf_map_fd(set, table);
	struct key key, next;
	bool more;

	memset(&next, 0, sizeof(next));
	next.table = table;
	more = bpf_map_get_next_key(fd, NULL, &next.prefix) == 0;
	while (more) {
		struct left wanted = {0}, *l = NULL;

		key = next;
		more = bpf_map_get_next_key(fd, &key.prefix, &next.prefix) == 0;
		if (n && bpf_map_lookup_elem(fd, &key.prefix, &wanted.number) == 0)
			l = bsearch(&wanted, v, n, sizeof(*v), by_number);
		if (!l || !entry_add(&l->e, &key))
			bpf_map_delete_elem(fd, &key.prefix);
	}
}

/* --- the kernel's routes --- */

struct routes { /* through the device, sorted by their octets */
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

/* Which tunnels lack a route: their put makes it again.  Routes of no tunnel go. */
static void check_routes(struct tunnel_set *set, struct left *v, size_t n)
{
	struct routes r = {0};
	bool *used;

	if (net_own_routes(set->dev.net, set->table, set->dev.ifindex, on_route, &r) < 0)
		r.failed = true;
	if (r.n)
		qsort(r.v, r.n, sizeof(*r.v), by_octets);
	used = calloc(r.n + 1, sizeof(*used));
	for (size_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < v[i].e->n_keys; k++) {
			const struct key *key = &v[i].e->keys[k], *at = NULL;

			if (key->table != KEY_ROUTES)
				continue;
			if (r.n && used)
				at = bsearch(key, r.v, r.n, sizeof(*key), by_octets);
			if (at)
				used[at - r.v] = true;
			else
				v[i].e->incomplete = true;
		}
	}
	for (size_t i = 0; i < r.n && used && !r.failed; i++) {
		struct net_route gone = ebpf_route_of(set, &r.v[i]);

		gone.via = in6addr_any; /* whatever it has */
		if (!used[i])
			net_route_drop(set->dev.net, &gone);
	}
	free(used);
	free(r.v);
}

void ebpf_take_over(struct tunnel_set *set)
{
	size_t n;
	struct left *v = read_infos(set, &n);

	read_prefixes(set, KEY_ROUTES, v, n);
	read_prefixes(set, KEY_INNER, v, n);
	check_routes(set, v, n);
	set->taking_over = true;
	for (size_t i = 0; i < n; i++) {
		path_adopt(set->path, v[i].e);
		if (book_hold(&set->book, v[i].e) >= 0) {
			book_enter(&set->book, v[i].e, NULL);
		} else {
			ebpf_info_drop(set, v[i].number);
			free(v[i].e);
		}
	}
	set->taking_over = false;
	free(v);
}

/* ip6tnl_left.c - the tunnels that an earlier run of the engine left, put together from the sets of
 * its table of checks, each of which is read once. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "common/tunnel/ip6tnl_nft.h"

static bool read_addr(const json_t *j, struct in6_addr *out)
{
	const char *text = json_string_value(j);

	return text && inet_pton(AF_INET6, text, out) == 1;
}

/* "ADDR" or {"prefix": {"addr": "ADDR", "len": LEN}}. */
static bool read_prefix(const json_t *j, struct prefix6 *out)
{
	const json_t *p = json_object_get(j, "prefix");

	out->len = p ? (uint8_t)json_integer_value(json_object_get(p, "len")) : 128;
	return read_addr(p ? json_object_get(p, "addr") : j, &out->addr);
}

/* One of them, while it is put together from several sets. */
struct left {
	uint32_t number, path;
	struct tunnel t;
	UT_hash_handle hh; /* by number */
};
struct first_route { /* of a tunnel: its path stands with its prefixes */
	struct prefix6 prefix;
	struct left *left;
	UT_hash_handle hh;
};
struct lefts {
	struct left *by_number;
	struct first_route *by_route;
	bool failed;
};

static struct prefix6 blank_prefix(void)
{
	struct prefix6 p;

	memset(&p, 0, sizeof(p)); /* its padding, too: it is a key */
	return p;
}

/* [{"elem": {"val": NUMBER, "comment": "ID"}}, TENANT] */
static void read_tenants(json_t *tenants, struct lefts *all)
{
	json_t *e;
	size_t i;

	json_array_foreach (tenants, i, e) {
		json_t *elem = json_object_get(json_array_get(e, 0), "elem");
		struct left *l = calloc(1, sizeof(*l));

		all->failed |= !l;
		if (!l)
			return;
		l->number = (uint32_t)json_integer_value(json_object_get(elem, "val"));
		l->t.tenant = (uint32_t)json_integer_value(json_array_get(e, 1));
		if (read_addr(json_object_get(elem, "comment"), &l->t.id))
			HASH_ADD(hh, all->by_number, number, sizeof(l->number), l);
		else
			free(l);
	}
}

/* [PREFIX, NUMBER] */
static void read_routes(json_t *senders, struct lefts *all)
{
	json_t *e;
	size_t i;

	json_array_foreach (senders, i, e) {
		uint32_t number = (uint32_t)json_integer_value(json_array_get(e, 1));
		struct prefix6 p = blank_prefix();
		struct first_route *first;
		struct left *l;

		HASH_FIND(hh, all->by_number, &number, sizeof(number), l);
		if (!l || l->t.n_routes == TUNNEL_MAX_ROUTES ||
			!read_prefix(json_array_get(e, 0), &p))
			continue;
		l->t.routes[l->t.n_routes++] = p;
		first = l->t.n_routes == 1 ? calloc(1, sizeof(*first)) : NULL;
		all->failed |= l->t.n_routes == 1 && !first;
		if (!first)
			continue;
		memcpy(&first->prefix, &p, sizeof(p)); /* its padding, too */
		first->left = l;
		HASH_ADD(hh, all->by_route, prefix, sizeof(first->prefix), first);
	}
}

/* {"concat": [PATH, PREFIX]} */
static void read_paths(json_t *sources, struct lefts *all)
{
	json_t *e;
	size_t i;

	json_array_foreach (sources, i, e) {
		json_t *concat = json_object_get(e, "concat");
		struct prefix6 p = blank_prefix();
		struct first_route *first;

		if (!read_prefix(json_array_get(concat, 1), &p))
			continue;
		HASH_FIND(hh, all->by_route, &p, sizeof(p), first);
		if (first)
			first->left->path = (uint32_t)json_integer_value(json_array_get(concat, 0));
	}
}

static int by_path(const struct left *a, const struct left *b)
{
	return (a->path > b->path) - (a->path < b->path);
}

struct pair {
	uint32_t path;
	struct in6_addr local, remote;
};

static int pair_by_path(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return (x->path > y->path) - (x->path < y->path);
}

/* [{"concat": ["LOCAL", "REMOTE"]}, PATH]: the first pair is the tunnel's, a second one has its
 * old local address, but which is which cannot be told: the next put() says. */
static void read_pairs(json_t *pairs, struct lefts *all)
{
	struct pair *v = calloc(json_array_size(pairs) + 1, sizeof(*v));
	size_t n = 0, from = 0, i;
	json_t *e;

	all->failed |= !v;
	if (!v)
		return;
	json_array_foreach (pairs, i, e) {
		json_t *concat = json_object_get(json_array_get(e, 0), "concat");

		v[n].path = (uint32_t)json_integer_value(json_array_get(e, 1));
		n += read_addr(json_array_get(concat, 0), &v[n].local) &&
		     read_addr(json_array_get(concat, 1), &v[n].remote);
	}
	qsort(v, n, sizeof(*v), pair_by_path);
	HASH_SORT(all->by_number, by_path);
	for (struct left *l = all->by_number; l; l = l->hh.next) {
		while (from < n && v[from].path < l->path)
			from++;
		for (i = from; i < n && v[i].path == l->path; i++) {
			*(i == from ? &l->t.local : &l->t.old_local) = v[i].local;
			l->t.remote = v[i].remote;
		}
	}
	free(v);
}

static void read_inner(json_t *inner, struct tunnel *t)
{
	json_t *e;
	size_t i;

	json_array_foreach (inner, i, e) {
		if (t->n_inner < TUNNEL_MAX_ROUTES && read_prefix(e, &t->inner[t->n_inner]))
			t->n_inner++;
	}
}

static void lefts_free(struct lefts *all)
{
	struct first_route *r, *next_r;
	struct left *l, *next_l;

	HASH_ITER (hh, all->by_route, r, next_r) {
		HASH_DEL(all->by_route, r);
		free(r);
	}
	HASH_ITER (hh, all->by_number, l, next_l) {
		HASH_DEL(all->by_number, l);
		free(l);
	}
}

int ip6tnl_left(struct ip6tnl_nft *n,
	int (*found)(void *arg, const struct tunnel *, uint32_t number, uint32_t path), void *arg)
{
	static const struct {
		const char *list;
		void (*read)(json_t *, struct lefts *);
	} steps[] = {
		{"list map " IP6TNL_NFT_TABLE " tenants", read_tenants},
		{"list map " IP6TNL_NFT_TABLE " senders", read_routes},
		{"list set " IP6TNL_NFT_TABLE " sources", read_paths},
		{"list map " IP6TNL_NFT_TABLE " pairs", read_pairs},
	};
	struct lefts all = {0};
	json_t *inner = ip6tnl_nft_list(n, "list set " IP6TNL_NFT_TABLE " inner");
	int rc;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		json_t *objects = ip6tnl_nft_list(n, steps[i].list);

		steps[i].read(ip6tnl_nft_elements(objects), &all);
		json_decref(objects);
	}
	rc = all.failed ? -ENOMEM : 0;
	for (struct left *l = all.by_number; l && rc >= 0; l = l->hh.next) {
		read_inner(ip6tnl_nft_elements(inner), &l->t);
		rc = found(arg, &l->t, l->number, l->path);
	}
	json_decref(inner);
	lefts_free(&all);
	return rc;
}

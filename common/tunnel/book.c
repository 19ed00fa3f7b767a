/* book.c - tunnels and the keys they want, in hash tables. */
/* A filter of 128 KB: that a key is not there is mostly told without a look at others. */
#define HASH_BLOOM 20
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/tunnel/book.h"

struct ref {
	struct key key;
	unsigned n;      /* tunnels that want it */
	uint32_t number; /* of the one that asked last */
	UT_hash_handle hh;
};

static struct ip6 ip6_of(const struct in6_addr *a)
{
	struct ip6 r;

	memcpy(&r, a, sizeof(r));
	return r;
}

static bool ip6_is_any(const struct ip6 *a)
{
	return !(a->w[0] | a->w[1] | a->w[2] | a->w[3]);
}

static struct key key_blank(enum key_table table)
{
	struct key k;

	memset(&k, 0, sizeof(k));
	k.table = table;
	return k;
}

struct key key_prefix(enum key_table table, const struct prefix6 *p)
{
	struct prefix6 masked = prefix6_mask(*p);
	struct key k = key_blank(table);

	k.prefix.len = p->len;
	k.prefix.addr = ip6_of(&masked.addr);
	return k;
}

struct prefix6 key_prefix6(const struct key *key)
{
	struct prefix6 p = {.len = (uint8_t)key->prefix.len};

	memcpy(&p.addr, &key->prefix.addr, sizeof(p.addr));
	return p;
}

static struct key key_local(const struct ip6 *local)
{
	struct key k = key_blank(KEY_LOCALS);

	k.local = *local;
	return k;
}

static struct key key_pair(const struct ip6 *local, const struct ip6 *remote)
{
	struct key k = key_blank(KEY_PAIRS);

	k.pair.local = *local;
	k.pair.remote = *remote;
	return k;
}

struct key key_remote(const struct ip6 *remote)
{
	struct key k = key_blank(KEY_REMOTES);

	k.local = *remote;
	return k;
}

/* --- keys --- */

static struct ref *ref_find(const struct book *b, const struct key *key)
{
	struct ref *ref;

	HASH_FIND(hh, b->refs, key, sizeof(*key), ref);
	return ref;
}

/* A prefix of this table more or less. */
static void count_len(struct book *b, const struct key *key, int n)
{
	if (key->table == KEY_ROUTES)
		b->n_routes[key->prefix.len] += (unsigned)n;
	else if (key->table == KEY_INNER)
		b->n_inner[key->prefix.len] += (unsigned)n;
}

/* The longest prefix of 'table' that has 'addr'; NULL: none. */
static struct ref *longest(const struct book *b, enum key_table table, const struct in6_addr *addr)
{
	const unsigned *n = table == KEY_ROUTES ? b->n_routes : b->n_inner;
	struct prefix6 p = {.addr = *addr};
	struct ref *ref = NULL;

	for (int len = 128; len >= 0 && !ref; len--) {
		struct key key;

		if (!n[len])
			continue;
		p.len = (uint8_t)len;
		key = key_prefix(table, &p);
		ref = ref_find(b, &key);
	}
	return ref;
}

struct entry *book_route(const struct book *b, const struct in6_addr *addr)
{
	struct ref *ref = longest(b, KEY_ROUTES, addr);

	return ref ? book_number(b, ref->number) : NULL;
}

bool book_inner(const struct book *b, const struct in6_addr *addr)
{
	return longest(b, KEY_INNER, addr) != NULL;
}

bool book_local(const struct book *b, const struct in6_addr *addr)
{
	struct ip6 local = ip6_of(addr);
	struct key key = key_local(&local);

	return ref_find(b, &key) != NULL;
}

uint32_t book_path(struct book *b, const struct ip6 *remote)
{
	struct key key = key_remote(remote);
	struct ref *ref = ref_find(b, &key);

	return ref ? ref->number : ++b->last_path;
}

bool book_has(const struct book *b, const struct key *key)
{
	return ref_find(b, key) != NULL;
}

struct entry *book_in_the_way(const struct book *b, const struct entry *e)
{
	for (unsigned i = 0; i < e->n_keys; i++) {
		struct ref *ref = e->keys[i].table == KEY_ROUTES ? ref_find(b, &e->keys[i]) : NULL;
		struct entry *owner = ref ? book_number(b, ref->number) : NULL;

		if (owner && owner->left && owner->number != e->number)
			return owner;
	}
	return NULL;
}

static int ref_get(struct book *b, const struct key *key, const struct entry *e)
{
	struct ref *ref;
	unsigned hash;
	int rc = 0;

	HASH_VALUE(key, sizeof(*key), hash);
	HASH_FIND_BYHASHVALUE(hh, b->refs, key, sizeof(*key), hash, ref);
	if (ref && ref->number != e->number && key->table == KEY_ROUTES)
		return -EEXIST;
	if (!ref) {
		ref = calloc(1, sizeof(*ref));
		if (!ref)
			return -ENOMEM;
		ref->key = *key;
		HASH_ADD_BYHASHVALUE(hh, b->refs, key, sizeof(ref->key), hash, ref);
	}
	if (!(b->by_number && ref->n && ref->number == e->number))
		rc = b->add(b->set, key, e, ref->n == 0);
	if (rc >= 0) {
		ref->number = key->table == KEY_REMOTES ? e->path : e->number;
		if (!ref->n++)
			count_len(b, key, 1);
	} else if (!ref->n) {
		HASH_DEL(b->refs, ref);
		free(ref);
	}
	return rc;
}

static void ref_put(struct book *b, const struct key *key, const struct entry *e)
{
	struct ref *ref = ref_find(b, key);

	if (!ref || (key->table == KEY_LOCALS && b->keep_locals) || --ref->n)
		return;
	b->del(b->set, key, e);
	count_len(b, key, -1);
	HASH_DEL(b->refs, ref);
	free(ref);
}

static unsigned n_outer(const struct entry *e)
{
	return ip6_is_any(&e->info.old_local) ? 2 : 4;
}

/* All keys of a tunnel: its addresses and their pairs, then keys[].  The former are made each time:
 * a home agent has very many tunnels. */
static struct key key_at(const struct entry *e, unsigned i)
{
	const struct ip6 *local = i < 2 ? &e->info.local : &e->info.old_local;

	if (i >= n_outer(e))
		return e->keys[i - n_outer(e)];
	return i % 2 ? key_pair(local, &e->info.remote) : key_local(local);
}

static void put_keys(struct book *b, const struct entry *e, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct key key = key_at(e, i);

		ref_put(b, &key, e);
	}
}

int book_hold(struct book *b, const struct entry *e)
{
	for (unsigned i = 0; i < n_outer(e) + e->n_keys; i++) {
		struct key key = key_at(e, i);
		int rc = ref_get(b, &key, e);

		if (rc < 0) {
			put_keys(b, e, i);
			return rc;
		}
	}
	return 0;
}

void book_release(struct book *b, const struct entry *e)
{
	put_keys(b, e, n_outer(e) + e->n_keys);
}

/* --- tunnels --- */

struct entry *book_find(struct book *b, const struct in6_addr *id)
{
	struct entry *e = b->found;

	/* After a restart it is one after the other, in the order they were entered in. */
	for (unsigned i = 0; e && i < 2; i++, e = e->hh.next)
		if (memcmp(&e->info.id, id, sizeof(*id)) == 0)
			return b->found = e;
	HASH_FIND(hh, b->entries, id, sizeof(*id), e);
	b->found = e;
	return e;
}

struct entry *book_number(const struct book *b, uint32_t number)
{
	struct entry *e;

	/* Numbers count up, so they are spread evenly without a hash, and the next one's place is
	 * near the last one's. */
	HASH_FIND_BYHASHVALUE(numbered, b->numbered, &number, sizeof(number), number, e);
	return e;
}

struct entry *entry_new(const struct map_info *info, uint32_t number, unsigned room)
{
	struct entry *e = calloc(1, sizeof(*e) + room * sizeof(e->keys[0]));

	if (e) {
		e->info = *info;
		e->number = number;
	}
	return e;
}

struct entry *book_entry(struct book *b, const struct tunnel *t)
{
	struct map_info info = {
		.id = ip6_of(&t->id),
		.local = ip6_of(&t->local),
		.remote = ip6_of(&t->remote),
		.old_local = ip6_of(&t->old_local),
		.oif = t->oif,
		.tenant = t->tenant,
	};
	struct entry *old = book_find(b, &t->id);
	struct entry *e = entry_new(
		&info, old ? old->number : b->last_number + 1, t->n_routes + t->n_inner);

	for (unsigned i = 0; e && i < t->n_routes; i++)
		e->keys[e->n_keys++] = key_prefix(KEY_ROUTES, &t->routes[i]);
	for (unsigned i = 0; e && i < t->n_inner; i++)
		e->keys[e->n_keys++] = key_prefix(KEY_INNER, &t->inner[i]);
	return e;
}

bool entry_has(const struct entry *e, const struct key *key)
{
	for (unsigned i = 0; i < e->n_keys; i++)
		if (memcmp(&e->keys[i], key, sizeof(*key)) == 0)
			return true;
	return false;
}

bool entry_same(const struct entry *a, const struct entry *b)
{
	if (a->number != b->number || a->n_keys != b->n_keys ||
		memcmp(&a->info, &b->info, sizeof(a->info)) != 0)
		return false;
	for (unsigned i = 0; i < a->n_keys; i++)
		if (!entry_has(b, &a->keys[i]) || !entry_has(a, &b->keys[i]))
			return false;
	return true;
}

void book_enter(struct book *b, struct entry *e, struct entry *old)
{
	if (old)
		book_strike(b, old);
	if (e->number > b->last_number)
		b->last_number = e->number;
	if (e->path > b->last_path)
		b->last_path = e->path;
	HASH_ADD(hh, b->entries, info.id, sizeof(e->info.id), e);
	HASH_ADD_BYHASHVALUE(numbered, b->numbered, number, sizeof(e->number), e->number, e);
}

void book_strike(struct book *b, struct entry *e)
{
	if (b->found == e)
		b->found = NULL;
	HASH_DEL(b->entries, e);
	HASH_DELETE(numbered, b->numbered, e);
	free(e);
}

unsigned book_audit(const struct book *b, tunnel_seen_fn *seen, void *arg)
{
	const struct entry *e;

	for (e = b->entries; e && seen; e = e->hh.next) {
		struct in6_addr id;

		memcpy(&id, &e->info.id, sizeof(id));
		seen(arg, &id);
	}
	return HASH_COUNT(b->entries);
}

void book_free(struct book *b)
{
	struct entry *e, *next_e;
	struct ref *ref, *next_ref;

	HASH_ITER (hh, b->entries, e, next_e)
		book_strike(b, e);
	HASH_ITER (hh, b->refs, ref, next_ref) {
		HASH_DEL(b->refs, ref);
		free(ref);
	}
	memset(b->n_routes, 0, sizeof(b->n_routes));
	memset(b->n_inner, 0, sizeof(b->n_inner));
}

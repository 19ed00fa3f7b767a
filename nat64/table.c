/* table.c - the mapping table: both prefixes of every mapping in one hash (RFC 7757 s3.1). */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#define HASH_NONFATAL_OOM 1 /* a reload that doesn't fit leaves the running table as it is */
#include <uthash.h>
#include "nat64/table.h"

struct entry {
	struct nat64_key key;
	const struct nat64_eam *eam;
	UT_hash_handle hh;
};
struct nat64_table {
	struct entry *hash;
	struct entry entries[]; /* two per mapping */
};

static int add(struct nat64_table *t, struct entry *e)
{
	struct entry *old;

	HASH_FIND(hh, t->hash, &e->key, sizeof(e->key), old);
	if (old)
		return -EEXIST;
	HASH_ADD(hh, t->hash, key, sizeof(e->key), e);
	return e->hh.tbl ? 0 : -ENOMEM;
}

static unsigned longest_first(const bool *used, unsigned max, uint8_t *lens)
{
	unsigned n = 0;

	for (unsigned len = max + 1; len-- > 0;)
		if (used[len])
			lens[n++] = (uint8_t)len;
	return n;
}

static void table_free(struct nat64_table *t)
{
	if (t)
		HASH_CLEAR(hh, t->hash);
	free(t);
}

int nat64_table_build(struct nat64 *n, size_t *bad)
{
	bool used4[33] = {0}, used6[129] = {0};
	struct nat64_table *t = calloc(1, sizeof(*t) + 2 * n->n_eams * sizeof(t->entries[0]));
	int err = t ? 0 : -ENOMEM;

	for (size_t i = 0; i < n->n_eams && !err; i++) {
		const struct nat64_eam *eam = &n->eams[i];
		struct entry *e4 = &t->entries[2 * i], *e6 = e4 + 1;

		*e4 = (struct entry){.key = {4, eam->v4.len, {{eam->v4.addr}}}, .eam = eam};
		*e6 = (struct entry){.key = {6, eam->v6.len, eam->v6.addr}, .eam = eam};
		used4[eam->v4.len] = used6[eam->v6.len] = true;
		err = add(t, e4);
		if (!err)
			err = add(t, e6);
		*bad = i;
	}
	if (err) {
		table_free(t);
		return err;
	}
	n->conf.n_lens4 = longest_first(used4, 32, n->conf.lens4);
	n->conf.n_lens6 = longest_first(used6, 128, n->conf.lens6);
	table_free(n->table);
	n->table = t;
	return 0;
}

const struct nat64_eam *nat64_table_find(const struct nat64_table *t, const struct nat64_key *key)
{
	struct entry *e = NULL;

	if (t)
		HASH_FIND(hh, t->hash, key, sizeof(*key), e);
	return e ? e->eam : NULL;
}

void nat64_release(struct nat64 *n)
{
	table_free(n->table);
	free(n->eams);
	n->table = NULL;
	n->eams = NULL;
	n->n_eams = 0;
}

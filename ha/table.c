/* table.c - sorted array of all mobile network prefixes. */
#include <errno.h>
#include <stdlib.h>
#include "ha/table.h"

static int entry_cmp(const void *a, const void *b)
{
	const struct table_entry *x = a, *y = b;
	int c = memcmp(&x->prefix.addr, &y->prefix.addr, sizeof(x->prefix.addr));

	return c ? c : (int)x->prefix.len - (int)y->prefix.len;
}

int table_build(struct table *t, const struct ha_conf *conf)
{
	size_t n = 0;

	for (unsigned i = 0; i < conf->n_routers; i++)
		n += conf->routers[i].n_prefixes + conf->routers[i].n_learn;
	t->n = 0;
	t->v = calloc(n ? n : 1, sizeof(*t->v));
	if (!t->v)
		return -ENOMEM;
	for (unsigned i = 0; i < conf->n_routers; i++) {
		const struct ha_router *r = &conf->routers[i];

		for (unsigned k = 0; k < r->n_prefixes; k++)
			t->v[t->n++] = (struct table_entry){prefix6_mask(r->prefixes[k]), i};
		for (unsigned k = 0; k < r->n_learn; k++)
			t->v[t->n++] = (struct table_entry){prefix6_mask(r->learn[k]), i};
	}
	qsort(t->v, t->n, sizeof(*t->v), entry_cmp);
	return 0;
}

const struct table_entry *table_find(const struct table *t, const struct in6_addr *addr)
{
	unsigned lo = 0, hi = t->n;

	while (lo < hi) { /* the last entry that doesn't begin after 'addr' */
		unsigned mid = lo + (hi - lo) / 2;

		if (memcmp(&t->v[mid].prefix.addr, addr, sizeof(*addr)) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 || !prefix6_has(&t->v[lo - 1].prefix, addr))
		return NULL;
	return &t->v[lo - 1];
}

void table_free(struct table *t)
{
	free(t->v);
	t->v = NULL;
	t->n = 0;
}

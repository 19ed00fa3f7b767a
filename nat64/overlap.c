/* overlap.c - nested prefixes among mappings: sorted, an enclosing one stands before what is inside
 * it, so one pass with a stack of what is open finds them all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "nat64/overlap.h"

struct span {
	unsigned char addr[16]; /* wire order */
	unsigned len;
	size_t i; /* of the mapping */
};

static int by_place(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int d = memcmp(x->addr, y->addr, sizeof(x->addr));

	if (d == 0)
		d = (x->len > y->len) - (x->len < y->len);
	return d ? d : (x->i > y->i) - (x->i < y->i);
}

static bool covers(const struct span *out, const struct span *in)
{
	unsigned octets = out->len / 8, bits = out->len % 8;

	if (out->len > in->len || memcmp(out->addr, in->addr, octets) != 0)
		return false;
	return bits == 0 || (out->addr[octets] ^ in->addr[octets]) >> (8 - bits) == 0;
}

static void scan(struct span *v, size_t n, bool is6,
	void (*each)(void *arg, const struct nat64_overlap *), void *arg)
{
	const struct span *open[130]; /* each longer than the one before: at most one per length,
				       * and a pair of identical ones at the top */
	size_t depth = 0;

	qsort(v, n, sizeof(*v), by_place);
	for (size_t k = 0; k < n; k++) {
		while (depth && !covers(open[depth - 1], &v[k]))
			depth--;
		if (depth) {
			const struct span *out = open[depth - 1];
			struct nat64_overlap o = {out->i, v[k].i, is6, out->len == v[k].len};

			each(arg, &o);
			if (o.same)
				continue;
		}
		open[depth++] = &v[k];
	}
}

int nat64_overlaps(const struct nat64_eam *eams, size_t n,
	void (*each)(void *arg, const struct nat64_overlap *), void *arg)
{
	struct span *v = calloc(n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct span){.len = eams[i].v4.len, .i = i};
		memcpy(v[i].addr, &eams[i].v4.addr, 4);
	}
	scan(v, n, false, each, arg);
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct span){.len = eams[i].v6.len, .i = i};
		memcpy(v[i].addr, &eams[i].v6.addr, 16);
	}
	scan(v, n, true, each, arg);
	free(v);
	return 0;
}

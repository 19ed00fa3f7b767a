/* draw.c - the destinations that are to be translated, as few prefixes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "nat64/draw.h"

static unsigned bits(const struct draw *d)
{
	return d->is6 ? 128 : 32;
}

/* Clears what is behind the first 'len' bits. */
static void mask(struct draw *d)
{
	for (unsigned i = 0; i < sizeof(d->addr); i++) {
		unsigned keep = d->len > 8 * i ? d->len - 8 * i : 0;

		if (keep < 8)
			d->addr[i] &= (uint8_t)(0xff00 >> keep);
	}
}

static bool covers(const struct draw *a, const struct draw *b)
{
	struct draw cut = *b;

	if (a->is6 != b->is6 || a->len > b->len)
		return false;
	cut.len = a->len;
	mask(&cut);
	return memcmp(&cut, a, sizeof(cut)) == 0;
}

/* Two halves of one prefix: 'a' becomes that. */
static bool merge(struct draw *a, const struct draw *b)
{
	struct draw whole = *a;

	if (a->len != b->len || !a->len || memcmp(a, b, sizeof(*a)) == 0)
		return false;
	whole.len--;
	mask(&whole);
	if (!covers(&whole, b))
		return false;
	*a = whole;
	return true;
}

static int by_address(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct draw));
}

int draws_append(struct draws *d, const struct draw *new)
{
	if (!(d->n & (d->n - 1))) { /* there is room up to the next power of two */
		struct draw *v = reallocarray(d->v, d->n ? 2 * d->n : 1, sizeof(*v));

		if (!v)
			return -ENOMEM;
		d->v = v;
	}
	d->v[d->n++] = *new;
	return 0;
}

void draws_sort(struct draws *d)
{
	if (d->n)
		qsort(d->v, d->n, sizeof(*d->v), by_address);
}

static void add(struct draws *d, bool is6, const void *addr, uint8_t len)
{
	struct draw *new = &d->v[d->n++];

	*new = (struct draw){.is6 = is6, .len = len};
	memcpy(new->addr, addr, bits(new) / 8);
	mask(new);
}

/* Sorted, a prefix stands before what it covers, and halves stand side by side once the halves of
 * each were put together: a stack does it in one pass. */
static void simplify(struct draws *d)
{
	size_t top = 0;

	draws_sort(d);
	for (size_t i = 0; i < d->n; i++) {
		if (top && covers(&d->v[top - 1], &d->v[i]))
			continue;
		d->v[top++] = d->v[i];
		while (top > 1 && merge(&d->v[top - 2], &d->v[top - 1]))
			top--;
	}
	d->n = top;
}

int draws_of(const struct nat64 *n, struct draws *out)
{
	const struct nat64_conf *c = &n->conf;

	out->n = 0;
	out->v = calloc(c->n_prefixes + c->n_hosts + 2 * n->n_eams + 1, sizeof(*out->v));
	if (!out->v)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n_prefixes; i++)
		add(out, true, &c->prefixes[i].net.addr, c->prefixes[i].net.len);
	for (unsigned i = 0; i < c->n_hosts; i++)
		add(out, false, &c->hosts[i].addr, c->hosts[i].len);
	for (size_t i = 0; i < n->n_eams; i++) {
		const struct nat64_eam *m = &n->eams[i];

		if (m->side & NAT64_IPV6_HOST)
			add(out, false, &m->v4.addr, m->v4.len);
		if (m->side & NAT64_IPV4_HOST)
			add(out, true, &m->v6.addr, m->v6.len);
	}
	simplify(out);
	return 0;
}

int draws_minus(const struct draws *a, const struct draws *b,
	int (*each)(void *arg, const struct draw *), void *arg)
{
	size_t j = 0;
	int r = 0;

	for (size_t i = 0; i < a->n && r == 0; i++) {
		while (j < b->n && by_address(&b->v[j], &a->v[i]) < 0)
			j++;
		if (j == b->n || by_address(&b->v[j], &a->v[i]) != 0)
			r = each(arg, &a->v[i]);
	}
	return r;
}

bool draws_has(const struct draws *a, const struct draw *d)
{
	return a->n && bsearch(d, a->v, a->n, sizeof(*d), by_address);
}

void draws_release(struct draws *d)
{
	free(d->v);
	*d = (struct draws){0};
}

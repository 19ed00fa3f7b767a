/* draw.h - which destinations the translator must be given: what its routes are for.  Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "nat64/table.h"

struct draw { /* a prefix; ordered by memcmp() */
	uint8_t is6;
	uint8_t addr[16]; /* IPv4: the first four octets */
	uint8_t len;
};
struct draws {
	size_t n;
	struct draw *v; /* owned; ascending, none overlaps another */
};
/* For a list of others' making: appends, and puts it in order.  0 or -ENOMEM. */
int draws_append(struct draws *, const struct draw *);
void draws_sort(struct draws *);

/* IPv6: every RFC 6052 prefix and the IPv6 side of mappings with an IPv4 host; IPv4: the IPv4 side
 * of mappings with an IPv6 host, and 'hosts'.  Neighbours are put together to shorter prefixes, so
 * exactly these addresses are covered.  0 or -ENOMEM. */
int draws_of(const struct nat64 *, struct draws *out);
/* Calls 'each' for what is in 'a' and not in 'b', until it returns an error, and returns that. */
int draws_minus(const struct draws *a, const struct draws *b,
	int (*each)(void *arg, const struct draw *), void *arg);
bool draws_has(const struct draws *, const struct draw *);
void draws_release(struct draws *);

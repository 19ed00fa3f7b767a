/* overlap.h - which explicit mappings lie inside others (RFC 7757 s5).  Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "nat64/core/conf.h"

struct nat64_overlap {       /* indices of mappings */
	size_t outer, inner; /* inner's prefix lies in outer's, the nearest around it */
	bool is6;            /* which prefixes */
	bool same;           /* they are identical: 'inner' is the later mapping */
};
/* Calls 'each' at most once per mapping and family.  0 or -ENOMEM. */
int nat64_overlaps(const struct nat64_eam *, size_t n,
	void (*each)(void *arg, const struct nat64_overlap *), void *arg);

/* table.h - the mapping table in user space: what the core looks addresses up in (uthash behind
 * it), and one complete, immutable configuration of a translator. */
#pragma once
#include <stddef.h>
#include "nat64/core/conf.h"

struct nat64_table;
struct nat64 { /* swapped as a whole */
	struct nat64_conf conf;
	struct nat64_table *table; /* owned; may be NULL: no explicit mappings */
	size_t n_eams;
	struct nat64_eam *eams; /* owned; as configured */
};

/* Fills table, lens4 and lens6 from eams.  0, -EEXIST ('*bad' = index of an entry whose IPv4 or
 * IPv6 prefix an earlier one has), or -ENOMEM. */
int nat64_table_build(struct nat64 *, size_t *bad);
const struct nat64_eam *nat64_table_find(const struct nat64_table *, const struct nat64_key *);
void nat64_release(struct nat64 *); /* frees what it owns */

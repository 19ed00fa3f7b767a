/* table.h - the prefix table as an index: which router owns an address (RFC 3963 s6.1.2),
 * by what it may register or announce.  Pure. */
#pragma once
#include "ha/ha.h"

struct table_entry {
	struct prefix6 prefix;
	unsigned router; /* index into conf->routers */
};
struct table {
	unsigned n;
	struct table_entry
		*v; /* owned; sorted by address; a covering prefix before what it covers */
};

int table_build(struct table *, const struct ha_conf *); /* 0 or -ENOMEM */
/* The entry that 'addr' lies in; NULL: nobody's. */
const struct table_entry *table_find(const struct table *, const struct in6_addr *addr);
void table_free(struct table *);

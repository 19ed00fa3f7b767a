/* link.h - between link.c and link_adv.c; nobody else's. */
#pragma once
#include "mr/core.h"

#define RS_IRT_MS 4000 /* RFC 7559 s2 */

bool link_same_router(const struct attachment *, const struct attachment *);
bool link_same(const struct attachment *, const struct attachment *); /* router and prefix */
struct attachment *link_known_find(struct link *, const struct attachment *); /* NULL: unknown */
/* Visited or configured, not only heard of: to be probed (RFC 6059 s5.5.2). */
bool link_can_return(const struct mr *, const struct attachment *known);
void link_expect_ra(struct mr *, struct link *); /* the current router's next advertisement */
void link_solicit(struct mr *, struct link *);   /* without a hint of a move */
void link_put_router(
	struct mr *, const struct link *); /* the default route through the current one */
void link_adopt(
	struct mr *, struct link *, const struct attachment *to); /* it is the current one */
/* The current link was confirmed: a candidate is another router of the same link. */
void link_confirm(struct mr *, struct link *, bool by_ra);

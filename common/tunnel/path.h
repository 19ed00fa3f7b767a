/* path.h - path MTU of each tunnel and errors from inside the paths (RFC 2473 s6.7, s8).  An error
 * counts only if it quotes what this tunnel can have sent; it never changes more than the tunnel's
 * MTU, never below 1280, and that for ten minutes (RFC 8201 s4).  Private to the engines. */
#pragma once
#include "common/tunnel/book.h"
#include "common/tunnel/slow.h"

struct path;

/* The tunnel's info.mtu is another now: to be carried out.  Returns its entry, which may be new. */
typedef struct entry *path_changed_fn(struct tunnel_set *, struct entry *);

/* 'book' is borrowed.  0, or -errno with 'why' (WHY_SIZE): there is no user space for this. */
int path_open(struct path **, struct book *book, const struct tunnel_dev *, enum slow_kind,
	const struct tunnel_conf *, path_changed_fn *, char *why);
struct slow *path_slow(struct path *); /* borrowed; NULL if the path is */
/* Fills in the path MTU of a tunnel that is to be put in the place of 'old' (NULL: none).  'p' may
 * be NULL. */
void path_set(struct path *, struct entry *, const struct entry *old);
/* Of a tunnel that an earlier run left: what errors had told of its path, nobody knows since when,
 * holds for another ten minutes. */
void path_adopt(struct path *, struct entry *);
unsigned path_overhead(const struct path *); /* of a packet without a limit of its own, octets */
/* What the routes of the tunnel are to say: octets; 0: the device's MTU. */
unsigned path_route_mtu(const struct path *, const struct entry *);
void path_close(struct path *); /* accepts NULL */

/* book.h - what an engine has installed: its tunnels, and for every key they put into the engine's
 * lookup tables how many of them want it.  Private to the engines. */
#pragma once
#include <uthash.h>
#include "common/tunnel/bpf/maps.h"
#include "common/tunnel/tunnel.h"

#define BOOK_OUTER_KEYS 4 /* at most, per tunnel */

enum key_table { KEY_LOCALS, KEY_PAIRS, KEY_ROUTES, KEY_INNER };

struct key { /* all octets are compared: made by the functions below only */
	enum key_table table;
	union {
		struct ip6 local;
		struct map_pair pair;
		struct map_prefix prefix; /* masked */
	};
};

struct entry { /* one tunnel */
	struct map_info info;
	uint32_t number; /* >= 1, its own while it is in the book */
	/* The engine's: what errors told of the path, octets, and until when it holds (ms of
	 * CLOCK_BOOTTIME); 0: nothing. */
	uint32_t told_mtu;
	uint64_t told_until;
	/* The engine's: the far end is said to be unreachable since then, and was last; ms. */
	uint64_t lost_since, lost_last;
	bool incomplete; /* the engine's: taken over from an earlier run, but not all was there */
	UT_hash_handle hh;
	unsigned n_keys;
	struct key keys[];
};

struct ref; /* private to book.c */

/* Called when a tunnel starts to want a key; 'first': none did before.  0, or -errno: refused. */
typedef int book_add_fn(struct tunnel_set *, const struct key *, const struct entry *, bool first);
/* Called when the last tunnel that wanted the key has gone. */
typedef void book_del_fn(struct tunnel_set *, const struct key *, const struct entry *);

struct book {
	struct entry *entries; /* owned, by info.id */
	struct ref *refs;      /* owned */
	uint32_t last_number;
	bool keep_locals;       /* a local address stays one when its last tunnel goes */
	bool by_number;         /* a key's value is its tunnel's number alone: put once */
	bool unique_pairs;      /* no two tunnels between the same outer addresses */
	struct tunnel_set *set; /* borrowed, for the functions */
	book_add_fn *add;
	book_del_fn *del;
};

struct key key_prefix(enum key_table, const struct prefix6 *);
struct entry *book_find(const struct book *, const struct in6_addr *id); /* NULL: none */
/* A tunnel that is not yet in the book, without prefixes, with 'room' for so many.  NULL: no
 * memory. */
struct entry *entry_new(const struct map_info *, uint32_t number, unsigned room);
/* The same from an engine's order; takes over the number of the tunnel it is to replace. */
struct entry *book_entry(const struct book *, const struct tunnel *);
bool entry_same(const struct entry *, const struct entry *); /* but for what the engine keeps */
/* Wants all keys of 'e', or none: -errno of add(), or -EEXIST for a prefix of another tunnel (or
 * its outer addresses, if unique_pairs). */
int book_hold(struct book *, const struct entry *e);
void book_release(struct book *, const struct entry *e); /* no longer wants them */
/* Enters 'e' (owned from now on) and strikes 'old' (NULL: none), which is freed. */
void book_enter(struct book *, struct entry *e, struct entry *old);
void book_strike(struct book *, struct entry *); /* and frees it */
int book_audit(const struct book *, tunnel_seen_fn *, void *arg);
void book_free(struct book *); /* calls nobody */

/* book.h - what an engine has installed: its tunnels, and for every key they put into the engine's
 * lookup tables how many of them want it.  Private to the engines. */
#pragma once
#include <uthash.h>
#include "common/tunnel/bpf/maps.h"
#include "common/tunnel/tunnel.h"

enum key_table {
	KEY_LOCALS,
	KEY_PAIRS,
	KEY_ROUTES,
	KEY_INNER,
	/* Of an engine that wants them, which adds them to its entries. */
	KEY_REMOTES, /* the far end: carries the path's number */
	KEY_SOURCES, /* a prefix, and the path it comes by */
	KEY_LARGE,   /* a prefix to which large packets go by user space */
	KEY_ALL,     /* all packets do */
};

struct key { /* all octets are compared: made by the functions below only */
	enum key_table table;
	union {
		struct ip6 local;
		struct map_pair pair;
		struct map_prefix prefix; /* masked */
	};
	uint32_t path; /* KEY_SOURCES: the path's number; else 0 */
};

struct entry { /* one tunnel */
	struct map_info info;
	uint32_t number; /* >= 1, its own while it is in the book */
	uint32_t path;   /* number of the far end's address; with KEY_REMOTES only, else 0 */
	/* The engine's: what errors told of the path, octets, and until when it holds (ms of
	 * CLOCK_BOOTTIME); 0: nothing. */
	uint32_t told_mtu;
	uint64_t told_until;
	/* The engine's: the far end is said to be unreachable since then, and was last; ms. */
	uint64_t lost_since, lost_last;
	bool left;       /* the engine's: as an earlier run left it, its MTU was asked for there */
	bool incomplete; /* and not all was there */
	enum key_table slow; /* the engine's: KEY_LARGE, KEY_ALL, else nothing goes by user space */
	UT_hash_handle hh, numbered;
	unsigned n_keys; /* without those of 'info': its addresses and their pairs */
	struct key keys[];
};

struct ref; /* private to book.c */

/* Called when a tunnel starts to want a key; 'first': none did before.  0, or -errno: refused. */
typedef int book_add_fn(struct tunnel_set *, const struct key *, const struct entry *, bool first);
/* Called when the last tunnel that wanted the key has gone. */
typedef void book_del_fn(struct tunnel_set *, const struct key *, const struct entry *);

struct book {
	struct entry *entries;                /* owned, by info.id */
	struct entry *numbered;               /* the same */
	struct entry *found;                  /* last; NULL: none, or it has gone */
	struct ref *refs;                     /* owned */
	unsigned n_routes[129], n_inner[129]; /* KEY_ROUTES, KEY_INNER by prefix length */
	uint32_t last_number, last_path;
	bool keep_locals;       /* a local address stays one when its last tunnel goes */
	bool by_number;         /* a key's value is its tunnel's number alone: put once */
	struct tunnel_set *set; /* borrowed, for the functions */
	book_add_fn *add;
	book_del_fn *del;
};

struct key key_prefix(enum key_table, const struct prefix6 *);
struct prefix6 key_prefix6(const struct key *);                    /* of one that has a prefix */
struct entry *book_find(struct book *, const struct in6_addr *id); /* NULL: none */
struct entry *book_number(const struct book *, uint32_t number);   /* NULL: none */
/* The tunnel behind which 'addr' is, by the longest of KEY_ROUTES' prefixes.  NULL: none. */
struct entry *book_route(const struct book *, const struct in6_addr *addr);
bool book_inner(const struct book *, const struct in6_addr *addr); /* in one of KEY_INNER's */
bool book_local(const struct book *, const struct in6_addr *addr); /* one of KEY_LOCALS */
bool book_has(const struct book *, const struct key *);            /* does any tunnel want it? */
/* Number of the path to 'remote', the same for all tunnels that want it (KEY_REMOTES). */
uint32_t book_path(struct book *, const struct ip6 *remote);
struct key key_remote(const struct ip6 *remote);
/* A tunnel that is not yet in the book, without prefixes, with 'room' for so many keys.  NULL: no
 * memory. */
struct entry *entry_new(const struct map_info *, uint32_t number, unsigned room);
/* The same from an engine's order; takes over the number of the tunnel it is to replace. */
struct entry *book_entry(struct book *, const struct tunnel *);
bool entry_has(const struct entry *, const struct key *);    /* among its keys[] */
bool entry_same(const struct entry *, const struct entry *); /* but for what the engine keeps */
/* A tunnel that an earlier run left, that nobody has asked for yet and that has a prefix of 'e':
 * that prefix has another owner now.  NULL: none. */
struct entry *book_in_the_way(const struct book *, const struct entry *e);
/* Wants all keys of 'e', or none: -errno of add(), or -EEXIST for a prefix of another tunnel. */
int book_hold(struct book *, const struct entry *e);
void book_release(struct book *, const struct entry *e); /* no longer wants them */
/* Enters 'e' (owned from now on) and strikes 'old' (NULL: none), which is freed. */
void book_enter(struct book *, struct entry *e, struct entry *old);
void book_strike(struct book *, struct entry *); /* and frees it */
unsigned book_audit(const struct book *, tunnel_seen_fn *, void *arg);
void book_free(struct book *); /* calls nobody */

/* ip6tnl_nft.h - the nftables side of the ip6tnl engine: its table of checks, changed in batches,
 * and read back.  Private to that engine.  An int is 0 or -errno. */
#pragma once
#include <jansson.h>
#include "common/tunnel/book.h"

#define IP6TNL_NFT_NAME  "nemo_tunnel"
#define IP6TNL_NFT_TABLE "ip6 " IP6TNL_NFT_NAME

struct ip6tnl_nft;

/* '*left': there is a table of checks of an earlier run.  0 or -errno. */
int ip6tnl_nft_open(struct ip6tnl_nft **, bool *left);
/* Adds to the batch today's rules.  'user_space': index of the device that leads to it, 0: none.
 * 'left': the table's sets stay, but for 'isolated', 'reachable' and 'owners', which are empty
 * then; else it is new, as the other one always is. */
void ip6tnl_nft_rules(
	struct ip6tnl_nft *, const struct tunnel_conf *, unsigned user_space, bool left);
/* The table of checks looks at whole packets only: the kernel is to put fragments together before
 * it. That goes with a statement, which no packet ever comes to and not every kernel has. */
void ip6tnl_nft_whole(struct ip6tnl_nft *);
const char *ip6tnl_nft_error(struct ip6tnl_nft *); /* of the last run, in words; borrowed */
/* Adds a command to the batch; the word T stands for the table of checks, E for that at the
 * device's egress. */
void ip6tnl_nft_add(struct ip6tnl_nft *, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int ip6tnl_nft_run(struct ip6tnl_nft *);      /* carries the batch out, all or nothing */
void ip6tnl_nft_discard(struct ip6tnl_nft *); /* forgets the batch */
int ip6tnl_nft_counters(struct ip6tnl_nft *, struct tunnel_counters *);
/* Reads the counter DIRECTION_NUMBER of a tunnel. */
int ip6tnl_nft_count(struct ip6tnl_nft *, const char *direction, uint32_t number, uint64_t *packets,
	uint64_t *bytes);
/* Calls back for each tunnel's number and reason with packets that were dropped. */
int ip6tnl_nft_refused(struct ip6tnl_nft *,
	void (*found)(void *arg, uint32_t number, enum tunnel_drop why, uint64_t packets),
	void *arg);
/* Runs one command that lists something.  NULL: it failed, or it lists nothing. */
json_t *ip6tnl_nft_list(struct ip6tnl_nft *, const char *cmd);
/* The elements of a set or map, borrowed from 'objects'; NULL if it has none. */
json_t *ip6tnl_nft_elements(json_t *objects);
/* ip6tnl_sets.c: adds to the batch the elements of a key of a tunnel, or the tunnel's own; 'verb'
 * is "add" or "delete".  They refer to the tunnel's counters, so it comes before its keys and goes
 * after them. */
struct ip6tnl_sets {
	struct ip6tnl_nft *nft; /* owned */
	bool taking_over;       /* the tunnels' own elements are there */
	unsigned n_allow;
	struct tunnel_allow *allow; /* owned */
};
void ip6tnl_sets_key(
	const struct ip6tnl_sets *, const char *verb, const struct key *, const struct entry *);
void ip6tnl_sets_tunnel(const struct ip6tnl_sets *, const char *verb, const struct entry *);
/* ip6tnl_left.c: calls back once per tunnel in the table, with its number and its path's; a result
 * < 0 is passed on. */
int ip6tnl_left(struct ip6tnl_nft *,
	int (*found)(void *arg, const struct tunnel *, uint32_t number, uint32_t path), void *arg);
void ip6tnl_nft_remove(struct ip6tnl_nft *); /* the table goes */
void ip6tnl_nft_close(struct ip6tnl_nft *);  /* the table stays; accepts NULL */

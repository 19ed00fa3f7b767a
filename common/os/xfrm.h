/* xfrm.h - the kernel's IPsec (XFRM) for the tunnel's packets: ESP in transport mode with AES-GCM
 * and extended sequence numbers on protocol 41 between two addresses, which on the wire is the
 * tunnel mode of RFC 4303.  Mechanism only: who has which keys is payload.c's.  What carries one of
 * our reqids (XFRM_REQID and up to 2^24 more) is ours; anything else in the kernel stays as it is.
 * Results: 0 or -errno. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include "common/sec/esp.h"

#define XFRM_REQID 0x8b000000u /* 139: as routes and rules */

struct xfrm;
/* 'why' (WHY_SIZE): what this kernel lacks, and what to do about it (-EOPNOTSUPP), or what went
 * wrong. */
int xfrm_open(struct xfrm **, char *why);
/* A kernel with ESP and AES-GCM?  As xfrm_open() finds out; 0 too if we may not ask (-EPERM). */
int xfrm_probe(char *why);

struct xfrm_pair { /* outer addresses of the tunnel, from our point of view */
	struct in6_addr local, remote;
};
/* An association towards 'dst' ('src' may be ::, any); 'keys' have SPI, key and salt. */
int xfrm_sa_put(struct xfrm *, const struct in6_addr *src, const struct in6_addr *dst,
	uint32_t reqid, const struct esp_sa *keys);
int xfrm_sa_drop(struct xfrm *, const struct in6_addr *dst, uint32_t spi); /* 0 if there is none */
/* From now on the tunnel's packets between these addresses, both ways, have to be ESP under an
 * association of 'reqid', or are dropped.  Idempotent. */
int xfrm_policy_put(struct xfrm *, const struct xfrm_pair *, uint32_t reqid);
int xfrm_policy_drop(struct xfrm *, const struct xfrm_pair *); /* 0 if there is none */
int xfrm_sweep(struct xfrm *);                                 /* all that is ours goes */
void xfrm_close(struct xfrm *); /* leaves what is installed; accepts NULL */

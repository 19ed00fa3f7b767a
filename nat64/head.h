/* head.h - from a packet's octets to its head, and from there to a plan: the way into core/xlat.h
 * for user space.  Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "nat64/table.h"

static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key)
{
	return nat64_table_find(ctx, key);
}
#include "nat64/core/xlat.h"

/* Reads the headers of the packet of 'size' octets at 'pkt'; x->flags is set by the caller before
 * and says whether it is a quoted one, which may be cut behind its headers.  False: '*p' says why
 * and with which error; '*x' is then complete enough for nat64_refuse4() or 6(). */
bool nat64_head4(const uint8_t *pkt, size_t size, struct xlat4 *x, struct nat64_plan *p);
bool nat64_head6(const uint8_t *pkt, size_t size, struct xlat6 *x, struct nat64_plan *p);

/* xlat_46() and xlat_64(), once. */
void nat64_plan46(const struct nat64 *, const struct xlat4 *, uint32_t random, struct nat64_plan *);
void nat64_plan64(const struct nat64 *, const struct xlat6 *, uint32_t random, struct nat64_plan *);

static inline uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static inline void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v & 0xffff);
}

static inline void put_csum4(uint8_t *hdr) /* of an IPv4 header without options */
{
	uint16_t field;

	put16(hdr + 10, 0);
	field = (uint16_t)~csum_fold(csum_of(hdr, 20));
	__builtin_memcpy(hdr + 10, &field, 2);
}

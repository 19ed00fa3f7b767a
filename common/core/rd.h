/* rd.h - bounded big-endian reader and writer.  Once a read runs past the end the reader is
 * "short": every later read yields 0 and moves nothing, so a decoder reads all its fields first
 * and tests rd_ok() once.  The writer is the same the other way round.  Pure. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rd {
	const uint8_t *start, *p, *end; /* borrowed; start <= p <= end */
	bool short_;                    /* a read went past the end */
};

struct rd rd_init(const void *buf, size_t size);
uint8_t rd_u8(struct rd *);
uint16_t rd_u16(struct rd *);                   /* host order */
uint32_t rd_u32(struct rd *);                   /* host order */
struct in6_addr rd_addr6(struct rd *);          /* :: if short */
const uint8_t *rd_bytes(struct rd *, size_t n); /* into the buffer; NULL if short */
void rd_skip(struct rd *, size_t n);
/* Splits off the next 'n' octets as a reader of their own: a TLV body can never read into its
 * neighbour.  Returns a short reader if fewer than 'n' remain. */
struct rd rd_sub(struct rd *, size_t n);
static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}
static inline size_t rd_off(const struct rd *r)
{
	return (size_t)(r->p - r->start);
}
static inline bool rd_ok(const struct rd *r)
{
	return !r->short_;
}

struct wr {
	uint8_t *start, *p, *end; /* borrowed; start <= p <= end */
	bool full;                /* a write went past the end; nothing of it was written */
};

struct wr wr_init(void *buf, size_t size);
void wr_u8(struct wr *, uint8_t);
void wr_u16(struct wr *, uint16_t);
void wr_u32(struct wr *, uint32_t);
void wr_addr6(struct wr *, const struct in6_addr *);
void wr_bytes(struct wr *, const void *, size_t n);
void wr_zero(struct wr *, size_t n);
static inline size_t wr_off(const struct wr *w)
{
	return (size_t)(w->p - w->start);
}
static inline bool wr_ok(const struct wr *w)
{
	return !w->full;
}

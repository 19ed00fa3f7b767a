/* rd.c - bounded big-endian reader and writer. */
#include "common/core/rd.h"
#include <string.h>

struct rd rd_init(const void *buf, size_t size)
{
	const uint8_t *p = buf;

	/* An empty buffer may be NULL, and NULL + 0 is undefined. */
	return (struct rd){.start = p, .p = p, .end = size > 0 ? p + size : p};
}

const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->short_ || n > rd_left(r)) {
		r->short_ = true;
		return NULL;
	}
	if (n > 0)
		r->p += n;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p ? p[0] : 0;
}

uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

struct in6_addr rd_addr6(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, sizeof(struct in6_addr));
	struct in6_addr a = IN6ADDR_ANY_INIT;

	if (p)
		memcpy(&a, p, sizeof(a));
	return a;
}

void rd_skip(struct rd *r, size_t n)
{
	rd_bytes(r, n);
}

struct rd rd_sub(struct rd *r, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);
	struct rd sub = rd_init(r->short_ ? r->p : p, r->short_ ? 0 : n);

	sub.short_ = r->short_;
	return sub;
}

struct wr wr_init(void *buf, size_t size)
{
	uint8_t *p = buf;

	return (struct wr){.start = p, .p = p, .end = size > 0 ? p + size : p};
}

/* Room for 'n' > 0 octets, or NULL and full. */
static uint8_t *take(struct wr *w, size_t n)
{
	uint8_t *p = w->p;

	if (w->full || n > (size_t)(w->end - w->p)) {
		w->full = true;
		return NULL;
	}
	w->p += n;
	return p;
}

void wr_bytes(struct wr *w, const void *data, size_t n)
{
	uint8_t *p = n > 0 ? take(w, n) : NULL;

	if (p)
		memcpy(p, data, n);
}

void wr_zero(struct wr *w, size_t n)
{
	uint8_t *p = n > 0 ? take(w, n) : NULL;

	if (p)
		memset(p, 0, n);
}

void wr_u8(struct wr *w, uint8_t v)
{
	wr_bytes(w, &v, 1);
}

void wr_u16(struct wr *w, uint16_t v)
{
	wr_bytes(w, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

void wr_u32(struct wr *w, uint32_t v)
{
	wr_bytes(w,
		(uint8_t[]){(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v},
		4);
}

void wr_addr6(struct wr *w, const struct in6_addr *a)
{
	wr_bytes(w, a, sizeof(*a));
}

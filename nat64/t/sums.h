/* sums.h - for the tests and the fuzzer: checksums as RFC 1071 says it, octet by octet, and just
 * enough of headers to know what they cover. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline unsigned sum16(const uint8_t *at, size_t size, unsigned sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? at[i] : (unsigned)at[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static inline unsigned word(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static inline void put_word(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

struct view { /* a packet with at most a fragment header */
	bool is6, is_frag;
	unsigned proto, l4; /* offset */
	size_t size;        /* of the packet, by its header */
};

static inline struct view look(const uint8_t *p)
{
	struct view v = {.is6 = p[0] >> 4 == 6};

	if (v.is6) {
		v.size = 40 + word(p + 4);
		v.proto = p[6];
		v.l4 = 40;
		if (v.proto == 44) {
			v.proto = p[40];
			v.l4 = 48;
			v.is_frag = word(p + 42) & 0xfff9;
		}
	} else {
		v.size = word(p + 2);
		v.proto = p[9];
		v.l4 = (p[0] & 15) * 4;
		v.is_frag = word(p + 6) & 0x3fff;
	}
	return v;
}

/* The sum that must be 0xffff; -1: no checksum there, or not all of what it covers. */
static inline int l4_sum(const uint8_t *p)
{
	struct view v = look(p);
	unsigned sum = 0, size = (unsigned)v.size - v.l4;

	if (v.is_frag || (v.proto != 6 && v.proto != 17 && v.proto != 1 && v.proto != 58) ||
		size < (v.proto == 6           ? 18
			       : v.proto == 17 ? 8
					       : 4))
		return -1;
	if (v.proto == 17 && !word(p + v.l4 + 6))
		return -1;
	if (v.proto == 17 && word(p + v.l4 + 4) != size)
		return -1;
	if (v.proto != 1) {
		sum = sum16(p + (v.is6 ? 8 : 12), v.is6 ? 32 : 8, 0);
		sum += size + v.proto;
	}
	return (int)sum16(p + v.l4, size, sum);
}

/* Lengths and checksums of a packet from its contents. */
static inline void seal(uint8_t *p, size_t size)
{
	struct view v;
	unsigned off, sum;

	if (p[0] >> 4 == 6) {
		put_word(p + 4, (unsigned)size - 40);
	} else {
		put_word(p + 2, (unsigned)size);
		put_word(p + 10, 0);
		put_word(p + 10, ~sum16(p, (p[0] & 15) * 4, 0) & 0xffff);
	}
	v = look(p);
	off = v.l4 + (v.proto == 6 ? 16 : v.proto == 17 ? 6 : 2);
	if (v.is_frag || (v.proto != 6 && v.proto != 17 && v.proto != 1 && v.proto != 58) ||
		off + 2 > size)
		return;
	if (v.proto == 17)
		put_word(p + v.l4 + 4, (unsigned)size - v.l4);
	put_word(p + off, v.proto == 17 ? 1 : 0); /* so that there is one */
	put_word(p + off, 0);
	sum = 0;
	if (v.proto != 1)
		sum = sum16(p + (v.is6 ? 8 : 12), v.is6 ? 32 : 8, 0) + (unsigned)size - v.l4 +
		      v.proto;
	sum = ~sum16(p + v.l4, size - v.l4, sum) & 0xffff;
	put_word(p + off, !sum && v.proto == 17 ? 0xffff : sum);
}

/* packet.h - what the wire tests share: addresses and octets from text, ICMPv6 and Mobility Header
 * checksums put right after a packet was bent. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/wire/mh.h"

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

static inline struct in6_addr A(const char *s) {
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, s, &a), 1);
	return a;
}

/* Zeroed to the last octet of padding: messages are compared with memcmp(). */
static inline struct prefix6
P(const char *s) {
	struct prefix6 p, zeroed;

	memset(&zeroed, 0, sizeof(zeroed));
	assert_int_equal(prefix6_parse(s, &p), 0);
	zeroed.addr = p.addr;
	zeroed.len = p.len;
	return zeroed;
}

static inline struct mh_msg
mh_blank(uint8_t type)
{
	struct mh_msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	return m;
}

/* "3b 01 0500": octets in 'out', their number returned. */
static inline size_t unhex(const char *s, uint8_t *out, size_t size)
{
	size_t n = 0;

	while (*s) {
		char digits[3] = {0};

		if (isspace((unsigned char)*s)) {
			s++;
			continue;
		}
		assert_true(n < size);
		assert_true(s[1] != 0);
		memcpy(digits, s, 2);
		out[n++] = (uint8_t)strtoul(digits, NULL, 16);
		s += 2;
	}
	return n;
}

/* Sets the checksum at 'off' of the 'size' octets of 'payload'. */
static inline void set_csum(uint8_t *payload, size_t size, size_t off, uint8_t proto,
	const struct in6_addr *src, const struct in6_addr *dst)
{
	uint16_t sum;

	memset(payload + off, 0, 2);
	sum = ip6_csum(src, dst, proto, payload, size);
	memcpy(payload + off, &sum, 2);
}

/* A copy that ends where its memory ends, so that ASan sees every octet read past it. */
static inline uint8_t *exact(const void *p, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	assert_non_null(copy);
	memcpy(copy, p, size);
	return copy;
}

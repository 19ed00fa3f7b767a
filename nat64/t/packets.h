/* packets.h - for the tests of the translation: packets from text, a translator from text, what
 * came out, and checksums computed the slow way. */
#pragma once
#include <arpa/inet.h>
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "nat64/t/sums.h"
#include "nat64/translate.h"

#define P40 "2001:db8:100::/40" /* of RFC 7915 appendix A: 192.0.2.33 <-> 198.51.100.2 */
#define H6  "20010db801c000020021000000000000"
#define H4  "20010db801c633640002000000000000"

struct caught {
	unsigned n, n_errors;
	size_t size[80];
	unsigned csum_start[80];
	uint8_t *pkt[80];
	size_t used;
	uint8_t buf[200000];
};

static inline void catch_packet(void *arg, const struct nat64_packet *p)
{
	struct caught *c = arg;
	size_t size = 0;

	assert_true(c->n < 80 && c->used + p->size <= sizeof(c->buf) && p->n_iov <= NAT64_MAX_IOV);
	c->pkt[c->n] = c->buf + c->used;
	for (unsigned i = 0; i < p->n_iov; i++) {
		memcpy(c->pkt[c->n] + size, p->iov[i].iov_base, p->iov[i].iov_len);
		size += p->iov[i].iov_len;
	}
	assert_int_equal(size, p->size);
	assert_int_equal(c->pkt[c->n][0] >> 4, p->is6 ? 6 : 4);
	c->csum_start[c->n] = p->csum_start;
	c->n_errors += p->is_error;
	c->size[c->n++] = size;
	c->used += size;
}

/* "45 00 0021..." with spaces anywhere; "*N" repeats the octet before N times in all. */
static inline size_t from_hex(const char *text, uint8_t *out)
{
	size_t n = 0;

	while (*text) {
		unsigned octet;
		int used;

		if (isspace((unsigned char)*text)) {
			text++;
		} else if (*text == '*') {
			unsigned times = (unsigned)strtoul(text + 1, (char **)(uintptr_t)&text, 10);

			memset(out + n, out[n - 1], times - 1);
			n += times - 1;
		} else {
			assert_int_equal(sscanf(text, "%2x%n", &octet, &used), 1);
			assert_int_equal(used, 2);
			out[n++] = (uint8_t)octet;
			text += 2;
		}
	}
	return n;
}

static inline void net4(struct nat64_net4 *n, const char *text)
{
	char addr[64];
	unsigned len = 32;

	assert_true(sscanf(text, "%63[^/]/%u", addr, &len) >= 1);
	assert_int_equal(inet_pton(AF_INET, addr, &n->addr), 1);
	n->len = (uint8_t)len;
}

static inline void net6(struct nat64_net6 *n, const char *text)
{
	char addr[64];
	unsigned len = 128;

	assert_true(sscanf(text, "%63[^/]/%u", addr, &len) >= 1);
	assert_int_equal(inet_pton(AF_INET6, addr, &n->addr), 1);
	n->len = (uint8_t)len;
}

static inline void add_eam(struct nat64 *n, const char *v4, const char *v6)
{
	n->eams = realloc(n->eams, (n->n_eams + 1) * sizeof(*n->eams));
	memset(&n->eams[n->n_eams], 0, sizeof(*n->eams));
	net4(&n->eams[n->n_eams].v4, v4);
	net6(&n->eams[n->n_eams++].v6, v6);
}

/* With one RFC 6052 prefix; NULL: none.  To be ended by nat64_release(). */
static inline struct nat64 translator(const char *prefix)
{
	struct nat64 n = {.conf = {.lowest_mtu6 = 1280, .mtu4 = 1500, .mtu6 = 1500}};

	if (prefix) {
		net6(&n.conf.prefixes[0].net, prefix);
		n.conf.n_prefixes = 1;
	}
	return n;
}

static inline void own_addresses(struct nat64 *n)
{
	inet_pton(AF_INET, "203.0.113.1", &n->conf.own4);
	inet_pton(AF_INET6, "2001:db8:ffff::1", &n->conf.own6);
}

/* What every emitted packet must hold to.  'csum': the input's transport checksum was right. */
static inline void check_valid(const uint8_t *p, size_t size, bool csum)
{
	struct view v = look(p);

	assert_int_equal(v.size, size);
	if (!v.is6) {
		assert_int_equal(p[0], 0x45);
		assert_int_equal(sum16(p, 20, 0), 0xffff);
	}
	if (csum && l4_sum(p) >= 0)
		assert_int_equal(l4_sum(p), 0xffff);
}

/* --- one packet through a translator --- */

static inline enum nat64_reason run(
	const struct nat64 *n, const uint8_t *pkt, size_t size, struct caught *c)
{
	/* A copy of just this size: a read past the end is seen. */
	uint8_t *exact = malloc(size ? size : 1);
	struct nat64_in in = {.pkt = exact, .size = size, .random = 0x00001234};
	enum nat64_reason why;

	memcpy(exact, pkt, size);
	c->n = c->n_errors = 0;
	c->used = 0;
	why = nat64_translate(n, &in, catch_packet, c);
	free(exact);
	return why;
}

#define expect_reason(got, want) \
	assert_string_equal(nat64_reason_name(got), nat64_reason_name(NAT64_##want))

/* The packet in 'in' must become exactly the one in 'out'. */
static inline void expect_pair(
	const struct nat64 *n, const char *in, const char *out, enum nat64_reason want)
{
	static struct caught c;
	static uint8_t a[70000], b[70000];
	size_t a_size = from_hex(in, a), b_size = from_hex(out, b);
	enum nat64_reason why = run(n, a, a_size, &c);

	assert_string_equal(nat64_reason_name(why), nat64_reason_name(want));
	assert_int_equal(c.n, 1);
	for (size_t i = 0; i < c.size[0] && i < b_size; i++)
		if (c.pkt[0][i] != b[i])
			print_message("octet %zu: %02x, not %02x\n", i, c.pkt[0][i], b[i]);
	assert_int_equal(c.size[0], b_size);
	assert_memory_equal(c.pkt[0], b, b_size);
}

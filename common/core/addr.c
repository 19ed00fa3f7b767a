/* addr.c - IPv6 and IPv4 addresses and prefixes (RFC 4291, RFC 5952 text). */
#include "common/core/addr.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>

bool addr6_is_any(const struct in6_addr *a)
{
	return IN6_IS_ADDR_UNSPECIFIED(a);
}

bool addr6_is_link_local(const struct in6_addr *a)
{
	return IN6_IS_ADDR_LINKLOCAL(a);
}

bool addr6_is_multicast(const struct in6_addr *a)
{
	return IN6_IS_ADDR_MULTICAST(a);
}

bool addr6_is_routable(const struct in6_addr *a)
{
	return !addr6_is_any(a) && !IN6_IS_ADDR_LOOPBACK(a) && !addr6_is_link_local(a) &&
	       !addr6_is_multicast(a) && !IN6_IS_ADDR_V4MAPPED(a);
}

/* The first 'len' bits alike? */
static bool same_bits(const struct in6_addr *a, const struct in6_addr *b, unsigned len)
{
	unsigned octets = len / 8, bits = len % 8;

	if (memcmp(a->s6_addr, b->s6_addr, octets) != 0)
		return false;
	return bits == 0 || (a->s6_addr[octets] ^ b->s6_addr[octets]) >> (8 - bits) == 0;
}

bool prefix6_has(const struct prefix6 *p, const struct in6_addr *a)
{
	assert(p->len <= 128);
	return same_bits(&p->addr, a, p->len);
}

bool prefix6_covers(const struct prefix6 *p, const struct prefix6 *in)
{
	return in->len >= p->len && prefix6_has(p, &in->addr);
}

bool prefix6_overlaps(const struct prefix6 *a, const struct prefix6 *b)
{
	return prefix6_covers(a, b) || prefix6_covers(b, a);
}

bool prefix6_eq(const struct prefix6 *a, const struct prefix6 *b)
{
	return a->len == b->len && prefix6_has(a, &b->addr);
}

bool prefix6_is_masked(const struct prefix6 *p)
{
	struct prefix6 m = prefix6_mask(*p);

	return addr6_eq(&m.addr, &p->addr);
}

struct prefix6 prefix6_mask(struct prefix6 p)
{
	unsigned octets = p.len / 8, bits = p.len % 8;

	assert(p.len <= 128);
	if (bits != 0)
		p.addr.s6_addr[octets++] &= (uint8_t)(0xff00 >> bits);
	memset(p.addr.s6_addr + octets, 0, sizeof(p.addr) - octets);
	return p;
}

struct prefix6 prefix6_host(const struct in6_addr *a)
{
	return (struct prefix6){.addr = *a, .len = 128};
}

struct in6_addr addr6_join(const struct prefix6 *prefix, const uint8_t iid[8])
{
	struct in6_addr a = prefix->addr;

	assert(prefix->len == 64);
	memcpy(a.s6_addr + 8, iid, 8);
	return a;
}

void addr6_eui64(const uint8_t mac[6], uint8_t iid[8])
{
	memcpy(iid, mac, 3);
	iid[3] = 0xff;
	iid[4] = 0xfe;
	memcpy(iid + 5, mac + 3, 3);
	iid[0] ^= 0x02;
}

const char *addr6_str(const struct in6_addr *a, char *buf)
{
	inet_ntop(AF_INET6, a, buf, INET6_ADDRSTRLEN);
	return buf;
}

const char *prefix6_str(const struct prefix6 *p, char *buf)
{
	size_t n;

	addr6_str(&p->addr, buf);
	n = strlen(buf);
	snprintf(buf + n, PREFIX6_STRLEN - n, "/%u", p->len);
	return buf;
}

/* "addr/len", or "addr" if 'bare': then '*len' is 'max'. */
static int parse(int family, const char *s, bool bare, unsigned max, void *addr, uint8_t *len)
{
	const char *slash = strchr(s, '/'), *p;
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	char text[INET6_ADDRSTRLEN];
	unsigned bits = 0;

	if (n >= sizeof(text) || (!s[n] && !bare))
		return -EINVAL;
	memcpy(text, s, n);
	text[n] = '\0';
	if (inet_pton(family, text, addr) != 1)
		return -EINVAL;
	*len = (uint8_t)max;
	if (!s[n])
		return 0;
	for (p = s + n + 1; *p >= '0' && *p <= '9' && bits <= max; p++)
		bits = bits * 10 + (unsigned)(*p - '0');
	if (p == s + n + 1 || *p != '\0' || bits > max)
		return -EINVAL;
	*len = (uint8_t)bits;
	return 0;
}

int prefix6_parse(const char *s, struct prefix6 *out)
{
	struct prefix6 r;
	int err = parse(AF_INET6, s, false, 128, &r.addr, &r.len);

	if (!err)
		*out = r;
	return err;
}

int prefix6_parse_bare(const char *s, struct prefix6 *out)
{
	struct prefix6 r;
	int err = parse(AF_INET6, s, true, 128, &r.addr, &r.len);

	if (!err)
		*out = r;
	return err;
}

/* --- IPv4 --- */

static in_addr_t mask4(unsigned len)
{
	assert(len <= 32);
	return len ? htonl(0xffffffffu << (32 - len)) : 0;
}

bool prefix4_has(const struct prefix4 *p, const struct in_addr *a)
{
	return ((p->addr.s_addr ^ a->s_addr) & mask4(p->len)) == 0;
}

bool prefix4_covers(const struct prefix4 *p, const struct prefix4 *in)
{
	return in->len >= p->len && prefix4_has(p, &in->addr);
}

bool prefix4_overlaps(const struct prefix4 *a, const struct prefix4 *b)
{
	return prefix4_covers(a, b) || prefix4_covers(b, a);
}

struct prefix4 prefix4_mask(struct prefix4 p)
{
	p.addr.s_addr &= mask4(p.len);
	return p;
}

bool prefix4_is_masked(const struct prefix4 *p)
{
	return (p->addr.s_addr & ~mask4(p->len)) == 0;
}

const char *addr4_str(const struct in_addr *a, char *buf)
{
	inet_ntop(AF_INET, a, buf, INET_ADDRSTRLEN);
	return buf;
}

const char *prefix4_str(const struct prefix4 *p, char *buf)
{
	size_t n;

	addr4_str(&p->addr, buf);
	n = strlen(buf);
	snprintf(buf + n, PREFIX4_STRLEN - n, "/%u", p->len);
	return buf;
}

int prefix4_parse_bare(const char *s, struct prefix4 *out)
{
	struct prefix4 r;
	int err = parse(AF_INET, s, true, 32, &r.addr, &r.len);

	if (!err)
		*out = r;
	return err;
}

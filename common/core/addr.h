/* addr.h - IPv6 and IPv4 addresses and prefixes as values.  Pure: no I/O, no clock, no allocation.
 * Host order has no meaning here: addresses are 16 or 4 octets in wire order throughout. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct prefix6 {
	struct in6_addr addr; /* bits past 'len' may be set: see prefix6_is_masked() */
	uint8_t len;          /* 0..128 bits */
};

struct prefix4 {
	struct in_addr addr;
	uint8_t len; /* 0..32 bits */
};

#define PREFIX6_STRLEN (INET6_ADDRSTRLEN + 4) /* "addr/128" and its NUL */
#define PREFIX4_STRLEN (INET_ADDRSTRLEN + 3)

static inline bool addr6_eq(const struct in6_addr *a, const struct in6_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool addr6_is_any(const struct in6_addr *);        /* :: */
bool addr6_is_link_local(const struct in6_addr *); /* fe80::/10 */
bool addr6_is_multicast(const struct in6_addr *);  /* ff00::/8 */
/* Unicast routable as RFC 6275 s3.1 means it: not ::, ::1, link-local, multicast, nor an
 * IPv4-mapped address.  Unique-local addresses are routable. */
bool addr6_is_routable(const struct in6_addr *);
static inline bool addr6_is_unique_local(const struct in6_addr *a) /* RFC 4193 */
{
	return (a->s6_addr[0] & 0xfe) == 0xfc;
}

bool prefix6_has(const struct prefix6 *, const struct in6_addr *);     /* address inside? */
bool prefix6_covers(const struct prefix6 *, const struct prefix6 *in); /* 'in' inside or equal? */
bool prefix6_overlaps(const struct prefix6 *, const struct prefix6 *); /* any address shared? */
bool prefix6_eq(const struct prefix6 *, const struct prefix6 *);       /* after masking */
bool prefix6_is_masked(const struct prefix6 *);                        /* no bit set past 'len' */
struct prefix6 prefix6_mask(struct prefix6);          /* clears the bits past 'len' */
struct prefix6 prefix6_host(const struct in6_addr *); /* addr/128 */
/* Address made of the prefix's first 64 bits and an interface identifier (RFC 4862 s5.5.3);
 * 'prefix' must be a /64. */
struct in6_addr addr6_join(const struct prefix6 *prefix, const uint8_t iid[8]);
void addr6_eui64(const uint8_t mac[6], uint8_t iid[8]); /* modified EUI-64, RFC 4291 app. A */

/* Text, RFC 5952.  'buf' holds INET6_ADDRSTRLEN or PREFIX6_STRLEN octets; returns 'buf'. */
const char *addr6_str(const struct in6_addr *, char *buf);
const char *prefix6_str(const struct prefix6 *, char *buf);
/* "addr/len".  0, or -EINVAL: no prefix, a length over 128, or trailing text. */
int prefix6_parse(const char *, struct prefix6 *out);
int prefix6_parse_bare(const char *, struct prefix6 *out); /* or "addr": its /128 */

bool prefix4_has(const struct prefix4 *, const struct in_addr *);
bool prefix4_covers(const struct prefix4 *, const struct prefix4 *in); /* 'in' inside or equal? */
bool prefix4_overlaps(const struct prefix4 *, const struct prefix4 *); /* any address shared? */
bool prefix4_is_masked(const struct prefix4 *);
struct prefix4 prefix4_mask(struct prefix4);
const char *addr4_str(const struct in_addr *, char *buf);   /* INET_ADDRSTRLEN */
const char *prefix4_str(const struct prefix4 *, char *buf); /* PREFIX4_STRLEN */
int prefix4_parse_bare(const char *, struct prefix4 *out);  /* "addr/len" or "addr": its /32 */

/* addr.h - which address of one family stands for which of the other: explicit mappings (RFC 7757
 * s3.3) first, then RFC 6052; and which addresses may not be translated.  Built by cc and by
 * clang -target bpf: no libc, constant loop bounds. */
#pragma once
#include <bpf/bpf_endian.h>
#include "nat64/core/plan.h"

#ifndef XLAT_INLINE
#define XLAT_INLINE static __always_inline
#endif

/* Provided by the includer, see xlat.h. */
static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key);

/* --- prefixes --- */

XLAT_INLINE __u32 addr_mask(__u32 len) /* host order; 'len' 0..32 */
{
	return (__u32)(~0ull << (32 - len)); /* without a branch, for the verifier */
}

XLAT_INLINE __be32 addr_cut4(__be32 a, __u32 len) /* the bits past 'len' cleared */
{
	return a & bpf_htonl(addr_mask(len));
}

XLAT_INLINE void addr_cut6(const struct ip6 *a, __u32 len, struct ip6 *out)
{
	for (__u32 i = 0; i < 4; i++) {
		__u32 bits = len <= 32 * i ? 0 : len >= 32 * i + 32 ? 32 : len - 32 * i;

		out->w[i] = addr_cut4(a->w[i], bits);
	}
}

/* Its branches in loops are too much for the verifier: an eBPF includer puts a global function
 * around it here. */
#ifndef ADDR_CUT6
#define ADDR_CUT6 addr_cut6
#endif

XLAT_INLINE int addr_in4(const struct nat64_net4 *net, __be32 a)
{
	return addr_cut4(a, net->len) == net->addr;
}

XLAT_INLINE int addr_in6(const struct nat64_net6 *net, const struct ip6 *a)
{
	struct ip6 m;

	ADDR_CUT6(a, net->len, &m);
	return ((m.w[0] ^ net->addr.w[0]) | (m.w[1] ^ net->addr.w[1]) | (m.w[2] ^ net->addr.w[2]) |
		       (m.w[3] ^ net->addr.w[3])) == 0;
}

/* --- addresses that may not be translated --- */

/* One of the configured IPv4 prefixes: illegal as a source (RFC 7915 s4.1, s5.1), and nowhere to
 * send to. */
XLAT_INLINE int addr_is_bogon4(const struct nat64_conf *c, __be32 a)
{
	for (__u32 i = 0; i < NAT64_MAX_BOGONS; i++) {
		if (i >= c->n_bogons)
			break;
		if (addr_in4(&c->bogons[i], a))
			return 1;
	}
	return 0;
}

/* Not a node's address beyond its own link: ::/96 (with :: and ::1), ::ffff:0:0/96,
 * link-local, multicast. */
XLAT_INLINE int addr_is_illegal6(const struct ip6 *a)
{
	__u32 w0 = bpf_ntohl(a->w[0]), w2 = bpf_ntohl(a->w[2]);

	return (w0 >> 24) == 0xff || (w0 >> 22) == 0xfe80u >> 6 ||
	       (w0 == 0 && a->w[1] == 0 && (w2 == 0 || w2 == 0xffff));
}

/* Not in the IPv4 Internet: RFC 5735 s3 and RFC 6598. */
XLAT_INLINE int addr_is_non_global4(__be32 addr)
{
	__u32 a = bpf_ntohl(addr), n8 = a >> 24, n16 = a >> 16, n24 = a >> 8;

	return n8 == 0 || n8 == 10 || n8 == 127 || n8 >= 224 ||
	       n16 >> 6 == 0x6440 >> 6 ||            /* 100.64/10 */
	       n16 == 0xa9fe ||                      /* 169.254/16 */
	       n16 >> 4 == 0xac10 >> 4 ||            /* 172.16/12 */
	       n24 == 0xc00000 || n24 == 0xc00002 || /* 192.0.0/24, 192.0.2/24 */
	       n24 == 0xc05863 ||                    /* 192.88.99/24 */
	       n16 == 0xc0a8 ||                      /* 192.168/16 */
	       n16 >> 1 == 0xc612 >> 1 ||            /* 198.18/15 */
	       n24 == 0xc63364 || n24 == 0xcb0071;   /* 198.51.100/24, 203.0.113/24 */
}

XLAT_INLINE int addr_is_wkp(const struct ip6 *a) /* 64:ff9b::/96 */
{
	return a->w[0] == bpf_htonl(0x0064ff9b) && a->w[1] == 0 && a->w[2] == 0;
}

/* RFC 6052 s3.1: a packet with such an address must be dropped.  'by' is how 'a6' and its IPv4
 * address were mapped: it is not about explicit mappings. */
XLAT_INLINE int addr_is_forbidden(
	const struct nat64_conf *c, enum nat64_by by, const struct ip6 *a6)
{
	return by == NAT64_BY_PREFIX && !c->wkp_non_global && addr_is_wkp(a6) &&
	       addr_is_non_global4(a6->w[3]);
}

/* --- RFC 6052 --- */

/* 'a4' in the prefix 'net' of one of the six lengths (s2.2); octet 8 is skipped below /96. */
XLAT_INLINE void addr_embed(const struct nat64_net6 *net, __be32 a4, struct ip6 *out)
{
	__u32 a = bpf_ntohl(a4), len = net->len, rest;

	*out = net->addr;
	if (len == 96) {
		out->w[3] = a4;
		return;
	}
	if (len < 32 || len > 64) /* none such is configured; the verifier can't know */
		return;
	out->w[1] |= bpf_htonl((__u32)((__u64)a >> (len - 32)));
	rest = (__u32)((__u64)a << (64 - len)); /* what didn't fit before octet 8 */
	out->w[2] = bpf_htonl(rest >> 8);
	out->w[3] = bpf_htonl(rest << 24);
}

/* The IPv4 address in an address inside a prefix of length 'len'; octet 8 and the suffix are
 * ignored (s2.2). */
XLAT_INLINE __be32 addr_extract(const struct ip6 *a6, __u32 len)
{
	__u32 rest, first;

	if (len == 96)
		return a6->w[3];
	if (len < 32 || len > 64)
		return 0;
	first = (__u32)((__u64)bpf_ntohl(a6->w[1]) << (len - 32));
	rest = (bpf_ntohl(a6->w[2]) << 8) | (bpf_ntohl(a6->w[3]) >> 24);
	return bpf_htonl(first | (__u32)((__u64)rest >> (64 - len)));
}

/* Index of the prefix that 'a4' is put into: that of the longest scope; -1: none. */
XLAT_INLINE int addr_prefix4(const struct nat64_conf *c, __be32 a4)
{
	int best = -1, best_len = -1;

	for (int i = 0; i < NAT64_MAX_PREFIXES; i++) {
		const struct nat64_net4 *scope = &c->prefixes[i].scope;

		if ((__u32)i >= c->n_prefixes)
			break;
		if (scope->len > best_len && addr_in4(scope, a4)) {
			best = i;
			best_len = scope->len;
		}
	}
	return best;
}

/* Index of the longest prefix that 'a6' is inside of; -1: none. */
XLAT_INLINE int addr_prefix6(const struct nat64_conf *c, const struct ip6 *a6)
{
	int best = -1, best_len = -1;

	for (int i = 0; i < NAT64_MAX_PREFIXES; i++) {
		const struct nat64_net6 *net = &c->prefixes[i].net;

		if ((__u32)i >= c->n_prefixes)
			break;
		if (net->len > best_len && addr_in6(net, a6)) {
			best = i;
			best_len = net->len;
		}
	}
	return best;
}

/* --- explicit mappings --- */

/* The mapping with the longest IPv4 prefix that covers 'a4', or NULL. */
XLAT_INLINE const struct nat64_eam *addr_find4(const struct nat64_conf *c, void *ctx, __be32 a4)
{
	struct nat64_key key = {.family = 4};

	for (__u32 i = 0; i < 33; i++) {
		const struct nat64_eam *eam;

		if (i >= c->n_lens4)
			break;
		key.len = c->lens4[i];
		key.addr.w[0] = addr_cut4(a4, key.len);
		eam = xlat_find(ctx, &key);
		if (eam)
			return eam;
	}
	return (void *)0;
}

/* The mapping with the longest IPv6 prefix that covers 'a6', or NULL. */
XLAT_INLINE const struct nat64_eam *addr_find6(
	const struct nat64_conf *c, void *ctx, const struct ip6 *a6)
{
	struct nat64_key key = {.family = 6};

	for (__u32 i = 0; i < 129; i++) {
		const struct nat64_eam *eam;

		if (i >= c->n_lens6)
			break;
		key.len = c->lens6[i];
		ADDR_CUT6(a6, key.len, &key.addr);
		eam = xlat_find(ctx, &key);
		if (eam)
			return eam;
	}
	return (void *)0;
}

/* RFC 7757 s3.3.1: the IPv6 prefix, directly behind it the IPv4 suffix, then zeros. */
XLAT_INLINE void addr_eam46(const struct nat64_eam *eam, __be32 a4, struct ip6 *out)
{
	__u32 at = eam->v6.len / 32, host = bpf_ntohl(a4) & ~addr_mask(eam->v4.len);
	/* The suffix at the top of 64 bits, then moved to where the prefix ends in its word. */
	__u64 bits = ((__u64)host << 32 << (eam->v4.len & 63)) >> (eam->v6.len % 32);

	for (__u32 i = 0; i < 4; i++) {
		out->w[i] = eam->v6.addr.w[i];
		if (i == at)
			out->w[i] |= bpf_htonl((__u32)(bits >> 32));
		else if (i == at + 1)
			out->w[i] |= bpf_htonl((__u32)bits);
	}
}

/* RFC 7757 s3.3.2: the IPv4 prefix, then as many bits from behind the IPv6 prefix as there is room
 * for. */
XLAT_INLINE __be32 addr_eam64(const struct nat64_eam *eam, const struct ip6 *a6)
{
	__u32 at = eam->v6.len / 32, suffix;
	__u64 bits = 0;

	for (__u32 i = 0; i < 4; i++) {
		if (i == at)
			bits |= (__u64)bpf_ntohl(a6->w[i]) << 32;
		else if (i == at + 1)
			bits |= bpf_ntohl(a6->w[i]);
	}
	suffix = (__u32)(bits << (eam->v6.len % 32) >> 32);
	return eam->v4.addr | bpf_htonl((__u32)((__u64)suffix >> (eam->v4.len & 63)));
}

/* --- one address --- */

/* 'eam_allowed' 0: by RFC 6052 as if no mapping covered it (RFC 7757 s4.2.1).  NAT64_BY_NONE:
 * untranslatable, '*out' is not set.  Legality is not looked at. */
XLAT_INLINE enum nat64_by addr_46(
	const struct nat64_conf *c, void *ctx, __be32 a4, int eam_allowed, struct ip6 *out)
{
	int i;

	if (eam_allowed) {
		const struct nat64_eam *eam = addr_find4(c, ctx, a4);

		if (eam) {
			addr_eam46(eam, a4, out);
			return NAT64_BY_EAM;
		}
	}
	i = addr_prefix4(c, a4);
	if (i < 0 || i >= NAT64_MAX_PREFIXES)
		return NAT64_BY_NONE;
	addr_embed(&c->prefixes[i].net, a4, out);
	return NAT64_BY_PREFIX;
}

/* An address inside an RFC 6052 prefix must extract to an IPv4 address in that prefix's scope:
 * nothing would lead back to it otherwise. */
XLAT_INLINE enum nat64_by addr_64(
	const struct nat64_conf *c, void *ctx, const struct ip6 *a6, __be32 *out)
{
	const struct nat64_eam *eam = addr_find6(c, ctx, a6);
	__be32 a4;
	int i;

	if (eam) {
		*out = addr_eam64(eam, a6);
		return NAT64_BY_EAM;
	}
	i = addr_prefix6(c, a6);
	if (i < 0 || i >= NAT64_MAX_PREFIXES)
		return NAT64_BY_NONE;
	a4 = addr_extract(a6, c->prefixes[i].net.len);
	if (!addr_in4(&c->prefixes[i].scope, a4))
		return NAT64_BY_NONE;
	*out = a4;
	return NAT64_BY_PREFIX;
}

/* --- sources of ICMP errors (RFC 6791) --- */

XLAT_INLINE __u32 addr_pick(__u32 n, __u32 random) /* 0..n-1, by the high bits */
{
	return (__u32)(((__u64)random * n) >> 32);
}

/* One of the pool at random (s5); without a pool the translator's own address; 0: none. */
XLAT_INLINE __be32 addr_pool4(const struct nat64_conf *c, __u32 random)
{
	__u32 i = addr_pick(c->n_pool4, random);

	if (i >= NAT64_MAX_POOL || i >= c->n_pool4)
		return c->own4;
	return c->pool4[i].addr | bpf_htonl(random & ~addr_mask(c->pool4[i].len));
}

/* The same for IPv6, where only the prefix's last 32 bits are varied; 0: none, else 1. */
XLAT_INLINE int addr_pool6(const struct nat64_conf *c, __u32 random, struct ip6 *out)
{
	__u32 i = addr_pick(c->n_pool6, random), len;

	if (i >= NAT64_MAX_POOL || i >= c->n_pool6) {
		*out = c->own6;
		return (out->w[0] | out->w[1] | out->w[2] | out->w[3]) != 0;
	}
	len = c->pool6[i].len;
	*out = c->pool6[i].addr;
	out->w[3] |= bpf_htonl(random & ~addr_mask(len <= 96 ? 0 : len - 96));
	return 1;
}

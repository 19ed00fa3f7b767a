/* xlat.h - stateless IP/ICMP translation (RFC 7915) as pure functions of headers.  Built by cc for
 * the TUN engine and by clang -target bpf for tc: no libc, constant loop bounds, no pointer
 * punning.  A translation is one splice of the packet's head plus one checksum fix.  What needs
 * more than the head (ICMP errors, checksums to be computed) is for the caller: NAT64_slow. */
#pragma once
#include "nat64/core/plan.h"

#define XLAT_INLINE static __always_inline

/* Where mappings are looked up: the includer provides
 *     static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key);
 * before including this header. */

#include "nat64/core/addr.h"
#include "nat64/core/csum.h"

/* Their loops are too much for the verifier when inlined everywhere: an eBPF includer puts global
 * functions around those of addr.h here. */
#ifndef XLAT_MAP46
#define XLAT_MAP46  addr_46
#define XLAT_MAP64  addr_64
#define XLAT_FIND4  addr_find4
#define XLAT_BOGON4 addr_is_bogon4
#endif

/* An ordinary packet has none of these. */
enum xlat_flag {
	XLAT_QUOTED = 1,    /* quoted in an ICMP error: what it was sent as matters, not whether it
			     * may be forwarded, and it may be cut anywhere */
	XLAT_ERROR = 2,     /* an ICMP error: addresses and hop limit; the caller does the rest */
	XLAT_BACK = 4,      /* second pass of a hairpinned packet (RFC 7757 s4.2.2) */
	XLAT_SRC_PLAIN = 8, /* this address by RFC 6052 only (RFC 7757 s4.2.1) */
	XLAT_DST_PLAIN = 16,
	XLAT_PARTIAL = 32, /* checksum offload: the field holds the pseudo-header's sum */
};

struct xlat4 { /* an IPv4 packet's head; host order but for addresses */
	__be32 src, dst;
	__u16 total, id; /* Total Length */
	__u16 frag;      /* flags and offset as in the header */
	__u8 ihl;        /* octets, 20..60; not more than 'total' */
	__u8 tos, ttl, proto;
	__u8 flags;   /* XLAT_* */
	__u8 l4_size; /* octets of 'l4' there are; all 20, or the packet ends there */
	__u8 l4[20];  /* first octets of the transport header */
	__u16 gso;    /* payload octets per segment: sizes are those of a segment; 0: not GSO */
};
struct xlat6 { /* an IPv6 packet's head; host order but for addresses */
	struct ip6 src, dst;
	__u16 payload; /* Payload Length of the header */
	__u16 l4_off;  /* octets from the IPv6 header to the transport header, 40..40 + payload */
	__u16 frag;    /* offset and M flag as in the fragment header */
	__u8 has_frag;
	__u8 tc, hop_limit;
	__u8 proto; /* first header that is no extension header to skip */
	__u8 flags; /* XLAT_* */
	__u8 l4_size;
	__u32 frag_id;
	__u8 l4[20];
	__u16 gso;
};

enum { /* protocol numbers */
	XLAT_HOPOPTS = 0,
	XLAT_ICMP = 1,
	XLAT_IGMP = 2,
	XLAT_TCP = 6,
	XLAT_UDP = 17,
	XLAT_DCCP = 33,
	XLAT_ROUTING = 43,
	XLAT_FRAGMENT = 44,
	XLAT_AH = 51,
	XLAT_ICMP6 = 58,
	XLAT_DSTOPTS = 60,
	XLAT_MOBILITY = 135,
	XLAT_UDPLITE = 136,
	XLAT_HIP = 139,
	XLAT_SHIM6 = 140,
};
#define XLAT_DF       0x4000
#define XLAT_MF       0x2000
#define XLAT_OFFSET   0x1fff
#define XLAT_MIN_MTU6 1280
#define XLAT_MAX_DF0  1260 /* RFC 7915 s5.1: up to here IPv4 routers may fragment */

XLAT_INLINE int xlat_drop(struct nat64_plan *p, enum nat64_reason why) /* silently */
{
	p->why = why;
	return 0;
}

XLAT_INLINE int xlat_refuse(
	struct nat64_plan *p, enum nat64_reason why, __u8 type, __u8 code, __u32 info)
{
	p->why = why;
	p->err_type = type;
	p->err_code = code;
	p->err_info = info;
	return 0;
}

/* The rest that is not to be silent: "communication administratively prohibited" (s4.4, s5.4). */
XLAT_INLINE int xlat_refuse4(struct nat64_plan *p, enum nat64_reason why)
{
	return xlat_refuse(p, why, 3, 13, 0);
}

XLAT_INLINE int xlat_refuse6(struct nat64_plan *p, enum nat64_reason why)
{
	return xlat_refuse(p, why, 1, 1, 0);
}

/* Offset of the checksum that covers a pseudo-header; 0: none known, passed as it is. */
XLAT_INLINE __u8 xlat_csum_off(__u8 proto)
{
	switch (proto) {
	case XLAT_TCP: return 16;
	case XLAT_UDP:
	case XLAT_UDPLITE:
	case XLAT_DCCP: return 6;
	case XLAT_ICMP:
	case XLAT_ICMP6: return 2;
	default: return 0;
	}
}

/* Octets of the biggest transport segment. */
XLAT_INLINE __u32 xlat_segment(__u8 proto, const __u8 *l4, __u32 size, __u16 gso)
{
	__u32 hdr = proto == XLAT_TCP ? (__u32)(l4[12] >> 4) * 4 : 8;

	return gso && hdr + gso < size ? hdr + gso : size;
}

/* --- headers --- */

XLAT_INLINE void xlat_put6(struct nat64_plan *p, const struct ip6 *src, const struct ip6 *dst,
	__u8 tc, __u32 payload, __u8 next, __u8 hop_limit)
{
	__u32 w[2] = {bpf_htonl(6u << 28 | (__u32)tc << 20),
		bpf_htonl(payload << 16 | (__u32)next << 8 | hop_limit)};

	__builtin_memcpy(p->hdr, w, 8);
	__builtin_memcpy(p->hdr + 8, src, 16);
	__builtin_memcpy(p->hdr + 24, dst, 16);
	p->hdr_size = 40;
}

/* 'frag' as IPv4 has it. */
XLAT_INLINE void xlat_put_frag6(struct nat64_plan *p, __u8 next, __u16 frag, __u32 id)
{
	__u32 off_m = (__u32)(frag & XLAT_OFFSET) << 3 | !!(frag & XLAT_MF);
	__u32 w[2] = {bpf_htonl((__u32)next << 24 | off_m), bpf_htonl(id)};

	__builtin_memcpy(p->hdr + 40, w, 8);
	p->hdr_size = 48;
}

XLAT_INLINE void xlat_put4(struct nat64_plan *p, __be32 src, __be32 dst, __u8 tos, __u32 total,
	__u16 id, __u16 frag, __u8 ttl, __u8 proto)
{
	__u32 w[5] = {bpf_htonl(0x45000000 | (__u32)tos << 16 | total),
		bpf_htonl((__u32)id << 16 | frag), bpf_htonl((__u32)ttl << 24 | (__u32)proto << 16),
		src, dst};
	__u32 sum = csum_add(csum_add(csum_add(w[0], w[1]), csum_add(w[2], w[3])), w[4]);

	w[2] |= bpf_htonl((__u16)~bpf_ntohs(csum_fold(sum)));
	__builtin_memcpy(p->hdr, w, 20);
	p->hdr_size = 20;
}

/* --- IPv4 to IPv6 (s4) --- */

XLAT_INLINE int xlat_is_first4(const struct xlat4 *x)
{
	return !(x->frag & XLAT_OFFSET);
}

/* What protocols and messages pass at all, as far as the head tells. */
XLAT_INLINE int xlat_check46(
	const struct nat64_conf *c, const struct xlat4 *x, struct nat64_plan *p)
{
	__u8 off = xlat_csum_off(x->proto);

	switch (x->proto) {
	case XLAT_IGMP: return xlat_drop(p, NAT64_igmp);
	case XLAT_HOPOPTS:
	case XLAT_ROUTING:
	case XLAT_FRAGMENT:
	case XLAT_DSTOPTS:
	case XLAT_ICMP6: return xlat_refuse4(p, NAT64_bad_protocol);
	case XLAT_ICMP:
		if (x->frag & (XLAT_MF | XLAT_OFFSET))
			return xlat_drop(p, NAT64_icmp_fragment);
		if (x->l4_size < 8)
			return xlat_drop(p, NAT64_short_icmp);
		if (x->l4[0] == 3 || x->l4[0] == 11 || x->l4[0] == 12)
			return xlat_drop(p, NAT64_slow);
		if (x->l4[0] != 0 && x->l4[0] != 8)
			return xlat_drop(p, NAT64_icmp_type);
		return 1;
	default: break;
	}
	if (!off || !xlat_is_first4(x))
		return 1;
	if (x->l4_size < off + 2)
		return xlat_drop(p, NAT64_short_transport);
	if (x->proto == XLAT_UDP && !(x->l4[6] | x->l4[7]) && !(x->flags & XLAT_PARTIAL)) {
		if (x->frag & XLAT_MF)
			return xlat_refuse4(p, NAT64_udp_zero_fragment);
		if (c->udp_zero != NAT64_UDP_ZERO_COMPUTE)
			return xlat_refuse4(p, NAT64_udp_zero);
		return xlat_drop(p, NAT64_slow);
	}
	return 1;
}

XLAT_INLINE int xlat_addrs46(const struct nat64_conf *c, void *ctx, const struct xlat4 *x,
	__u32 random, struct nat64_plan *p, struct ip6 *src, struct ip6 *dst)
{
	if (!(x->flags & XLAT_QUOTED)) {
		/* An error from such a source is translated all the same (s4.1). */
		if (!(x->flags & XLAT_ERROR) && XLAT_BOGON4(c, x->src))
			return xlat_drop(p, NAT64_illegal_src4);
		if (XLAT_BOGON4(c, x->dst))
			return xlat_refuse4(p, NAT64_illegal_dst4);
	}
	p->by_dst = (__u8)XLAT_MAP46(c, ctx, x->dst, !(x->flags & XLAT_DST_PLAIN), dst);
	if (p->by_dst == NAT64_BY_NONE)
		return xlat_refuse4(p, NAT64_unmapped_dst4);
	p->by_src = (__u8)XLAT_MAP46(c, ctx, x->src, !(x->flags & XLAT_SRC_PLAIN), src);
	if (p->by_src == NAT64_BY_NONE) {
		if (!(x->flags & XLAT_ERROR))
			return xlat_refuse4(p, NAT64_unmapped_src4);
		if (!addr_pool6(c, random, src))
			return xlat_drop(p, NAT64_no_pool6);
		p->by_src = NAT64_BY_POOL;
	}
	if (!(x->flags & XLAT_QUOTED) &&
		(addr_is_forbidden(c, p->by_src, src) || addr_is_forbidden(c, p->by_dst, dst)))
		return xlat_refuse4(p, NAT64_non_global);
	return 1;
}

/* Sizes and fragments (s4.1): may it go, and in which pieces? */
XLAT_INLINE int xlat_size46(const struct nat64_conf *c, const struct xlat4 *x, struct nat64_plan *p)
{
	int is_frag = (x->frag & (XLAT_MF | XLAT_OFFSET)) != 0;
	__u32 size = (__u32)x->total - x->ihl, limit = c->lowest_mtu6, hdr = is_frag ? 48 : 40;

	if (is_frag && (__u32)(x->frag & XLAT_OFFSET) * 8 + size > 65535)
		return xlat_drop(p, NAT64_bad_fragment);
	size = xlat_segment(x->proto, x->l4, size, x->gso);
	if (limit > c->mtu6 || (x->flags & XLAT_BACK)) /* back: it came in whole over IPv6 */
		limit = c->mtu6;
	if (x->frag & XLAT_DF) {
		if (size + hdr > c->mtu6)
			return xlat_refuse(p, NAT64_too_big, 3, 4, c->mtu6 - (is_frag ? 28 : 20));
	} else if (size + hdr > limit) {
		p->split_unit = limit < XLAT_MIN_MTU6 ? 1232 : (limit - 48) & ~7u;
	}
	return 1;
}

/* The transport checksum: by how much what it covers changes. */
XLAT_INLINE void xlat_csum46(
	const struct xlat4 *x, const struct ip6 *src, const struct ip6 *dst, struct nat64_plan *p)
{
	__u32 new = csum_add(csum_ip6(src), csum_ip6(dst)), old = csum_add(x->src, x->dst);
	__u8 off = xlat_csum_off(x->proto);

	if (!off || !xlat_is_first4(x))
		return;
	if (x->proto == XLAT_ICMP) {
		if (x->l4_size < 1)
			return;
		p->set_l4_type = 1;
		p->l4_type = x->l4[0] == 8 ? 128 : 129;
		if (x->frag & XLAT_MF) /* quoted: the message's length isn't known */
			return;
		new = csum_add(new, csum_host16((__u16)(x->total - x->ihl)));
		new = csum_add(new, csum_host16(XLAT_ICMP6));
		new = csum_add(new, csum_host16((__u16)(p->l4_type << 8)));
		old = csum_host16((__u16)(x->l4[0] << 8));
	}
	if (x->l4_size < off + 2) /* quoted */
		return;
	if (x->proto == XLAT_UDP && !(x->l4[6] | x->l4[7]) && !(x->flags & XLAT_PARTIAL))
		return; /* quoted: there was none */
	p->csum_off = off;
	p->csum_delta = csum_sub(new, old);
}

XLAT_INLINE void xlat_46(const struct nat64_conf *c, void *ctx, const struct xlat4 *x, __u32 random,
	struct nat64_plan *p)
{
	int keep_ttl = x->flags & (XLAT_QUOTED | XLAT_BACK);
	__u8 next = x->proto == XLAT_ICMP ? XLAT_ICMP6 : x->proto;
	struct ip6 src = {{0}}, dst = {{0}};

	__builtin_memset(p, 0, sizeof(*p));
	p->cut = x->ihl;
	if (!(x->flags & (XLAT_QUOTED | XLAT_ERROR)) && !xlat_check46(c, x, p))
		return;
	if (!xlat_addrs46(c, ctx, x, random, p, &src, &dst))
		return;
	if (!keep_ttl && x->ttl <= 1) {
		xlat_refuse(p, NAT64_hop_limit, 11, 0, 0);
		return;
	}
	if (!(x->flags & (XLAT_QUOTED | XLAT_ERROR)) && !xlat_size46(c, x, p))
		return;
	p->why = NAT64_translated_4to6;
	xlat_put6(p, &src, &dst, c->zero_tos ? 0 : x->tos, (__u32)x->total - x->ihl, next,
		(__u8)(x->ttl - !keep_ttl));
	if ((x->frag & (XLAT_MF | XLAT_OFFSET)) || p->split_unit) {
		xlat_put6(p, &src, &dst, c->zero_tos ? 0 : x->tos, (__u32)x->total - x->ihl + 8,
			XLAT_FRAGMENT, (__u8)(x->ttl - !keep_ttl));
		xlat_put_frag6(p, next, x->frag, x->id);
	}
	if (!(x->flags & XLAT_ERROR))
		xlat_csum46(x, &src, &dst, p);
}

/* --- IPv6 to IPv4 (s5) --- */

XLAT_INLINE int xlat_is_first6(const struct xlat6 *x)
{
	return !(x->frag & 0xfff8);
}

XLAT_INLINE int xlat_check64(const struct xlat6 *x, struct nat64_plan *p)
{
	__u8 off = xlat_csum_off(x->proto);

	switch (x->proto) {
	case XLAT_HOPOPTS:
	case XLAT_ROUTING:
	case XLAT_FRAGMENT:
	case XLAT_DSTOPTS: return xlat_refuse6(p, NAT64_fragment_chain);
	case XLAT_AH:
	case XLAT_MOBILITY:
	case XLAT_HIP:
	case XLAT_SHIM6:
	case 253:
	case 254: return x->has_frag ? xlat_refuse6(p, NAT64_fragment_chain) : 1;
	case XLAT_ICMP: return xlat_refuse6(p, NAT64_bad_protocol);
	case XLAT_ICMP6:
		if (x->frag & 0xfff9)
			return xlat_drop(p, NAT64_icmp_fragment);
		if (x->l4_size < 8)
			return xlat_drop(p, NAT64_short_icmp);
		if (x->l4[0] >= 1 && x->l4[0] <= 4)
			return xlat_drop(p, NAT64_slow);
		if (x->l4[0] != 128 && x->l4[0] != 129)
			return xlat_drop(p, NAT64_icmp_type);
		return 1;
	default: break;
	}
	if (off && xlat_is_first6(x) && x->l4_size < off + 2)
		return xlat_drop(p, NAT64_short_transport);
	return 1;
}

XLAT_INLINE int xlat_addrs64(const struct nat64_conf *c, void *ctx, const struct xlat6 *x,
	__u32 random, struct nat64_plan *p, __be32 *src, __be32 *dst)
{
	if (!(x->flags & XLAT_QUOTED)) {
		if (addr_is_illegal6(&x->src))
			return xlat_drop(p, NAT64_illegal_src6);
		if (addr_is_illegal6(&x->dst))
			return xlat_refuse6(p, NAT64_illegal_dst6);
	}
	p->by_dst = (__u8)XLAT_MAP64(c, ctx, &x->dst, dst);
	if (p->by_dst == NAT64_BY_NONE)
		return xlat_refuse6(p, NAT64_unmapped_dst6);
	p->by_src = (__u8)XLAT_MAP64(c, ctx, &x->src, src);
	if (p->by_src == NAT64_BY_NONE) {
		if (!(x->flags & XLAT_ERROR))
			return xlat_refuse6(p, NAT64_unmapped_src6);
		*src = addr_pool4(c, random);
		if (!*src)
			return xlat_drop(p, NAT64_no_pool4);
		p->by_src = NAT64_BY_POOL;
	}
	if (x->flags & XLAT_QUOTED)
		return 1;
	if (addr_is_forbidden(c, p->by_src, &x->src) || addr_is_forbidden(c, p->by_dst, &x->dst))
		return xlat_refuse6(p, NAT64_non_global);
	if (p->by_src != NAT64_BY_POOL && XLAT_BOGON4(c, *src))
		return xlat_drop(p, NAT64_illegal_src6);
	if (XLAT_BOGON4(c, *dst))
		return xlat_refuse6(p, NAT64_illegal_dst6);
	return 1;
}

/* Sizes and fragments (s5.1, s5.1.1).  '*frag': flags and offset for the IPv4 header. */
XLAT_INLINE int xlat_size64(
	const struct nat64_conf *c, const struct xlat6 *x, struct nat64_plan *p, __u16 *frag)
{
	__u32 whole = (__u32)x->payload + 40 - x->l4_off;
	__u32 size = xlat_segment(x->proto, x->l4, whole, x->gso), total = size + 20;
	__u32 size6 = size + x->l4_off;

	if (whole + 20 > 65535) {
		if (!x->gso)
			return xlat_refuse(p, NAT64_too_long, 2, 0, c->mtu4 + 20);
		p->split_unit = 1; /* into its segments */
	}
	if (x->has_frag) {
		*frag = (__u16)(x->frag >> 3 | (x->frag & 1 ? XLAT_MF : 0));
		if ((__u32)(x->frag & 0xfff8) + whole > 65535)
			return xlat_drop(p, NAT64_bad_fragment);
	} else {
		*frag = total > XLAT_MAX_DF0 ? XLAT_DF : 0;
	}
	if ((x->flags & (XLAT_QUOTED | XLAT_ERROR)) || p->why == NAT64_hairpinned ||
		total <= c->mtu4)
		return 1;
	if (size6 > XLAT_MIN_MTU6 && (*frag & XLAT_DF))
		return xlat_refuse(p, NAT64_too_big, 2, 0,
			c->mtu4 + 20 > XLAT_MIN_MTU6 ? c->mtu4 + 20 : XLAT_MIN_MTU6);
	*frag &= (__u16)~XLAT_DF;
	p->split_unit = c->mtu4 < 68 ? 48 : (c->mtu4 - 20) & ~7u;
	return 1;
}

XLAT_INLINE void xlat_csum64(const struct xlat6 *x, __be32 src, __be32 dst, struct nat64_plan *p)
{
	__u32 old = csum_add(csum_ip6(&x->src), csum_ip6(&x->dst)), new = csum_add(src, dst);
	__u8 off = xlat_csum_off(x->proto);

	if (!off || !xlat_is_first6(x))
		return;
	if (x->proto == XLAT_ICMP6) {
		if (x->l4_size < 1)
			return;
		p->set_l4_type = 1;
		p->l4_type = x->l4[0] == 128 ? 8 : 0;
		if (x->frag & 1) /* quoted: the message's length isn't known */
			return;
		old = csum_add(old, csum_host16((__u16)(x->payload + 40 - x->l4_off)));
		old = csum_add(old, csum_host16(XLAT_ICMP6));
		old = csum_add(old, csum_host16((__u16)(x->l4[0] << 8)));
		new = csum_host16((__u16)(p->l4_type << 8));
	}
	if (x->l4_size < off + 2)
		return;
	if (x->proto == XLAT_UDP && !(x->l4[6] | x->l4[7]) && !(x->flags & XLAT_PARTIAL))
		return; /* RFC 6935 tunnels: IPv4 needs no checksum either */
	p->csum_off = off;
	p->csum_delta = csum_sub(new, old);
}

/* RFC 7757 s4.2.2, set A: would an IPv4 router bring it straight back? */
XLAT_INLINE int xlat_is_hairpin(const struct nat64_conf *c, void *ctx, __u8 by_dst, __be32 dst)
{
	return c->hairpin == NAT64_HAIRPIN_INTRINSIC && by_dst == NAT64_BY_PREFIX &&
	       XLAT_FIND4(c, ctx, dst);
}

XLAT_INLINE void xlat_64(const struct nat64_conf *c, void *ctx, const struct xlat6 *x, __u32 random,
	struct nat64_plan *p)
{
	int keep_ttl = x->flags & XLAT_QUOTED;
	__u8 proto = x->proto == XLAT_ICMP6 ? XLAT_ICMP : x->proto;
	__be32 src = 0, dst = 0;
	__u16 frag = 0;

	__builtin_memset(p, 0, sizeof(*p));
	p->cut = x->l4_off;
	if (!(x->flags & (XLAT_QUOTED | XLAT_ERROR)) && !xlat_check64(x, p))
		return;
	if (!xlat_addrs64(c, ctx, x, random, p, &src, &dst))
		return;
	if (!keep_ttl && x->hop_limit <= 1) {
		xlat_refuse(p, NAT64_hop_limit, 3, 0, 0);
		return;
	}
	p->why = NAT64_translated_6to4;
	if (!(x->flags & (XLAT_QUOTED | XLAT_ERROR)) && xlat_is_hairpin(c, ctx, p->by_dst, dst))
		p->why = NAT64_hairpinned;
	if (!xlat_size64(c, x, p, &frag))
		return;
	xlat_put4(p, src, dst, c->set_tos ? c->tos : x->tc, (__u32)x->payload + 60 - x->l4_off,
		x->has_frag ? (__u16)x->frag_id : (__u16)random, frag,
		(__u8)(x->hop_limit - !keep_ttl), proto);
	if (!(x->flags & XLAT_ERROR))
		xlat_csum64(x, src, dst, p);
}

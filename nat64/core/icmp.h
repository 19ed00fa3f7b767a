/* icmp.h - ICMP errors of one family in terms of the other (RFC 7915 s4.2, s5.2): types, codes,
 * pointers and MTUs.  Tables; no packets.  Built by cc and by clang -target bpf. */
#pragma once
#include "nat64/core/plan.h"

#ifndef XLAT_INLINE
#define XLAT_INLINE static __always_inline
#endif

struct icmp_head { /* of the translated message */
	__u8 type, code;
	__u8 has_length; /* may carry RFC 4884 extensions */
	__u32 word;      /* octets 4 to 7, host order; without the length octet */
};
struct icmp_pair {
	__u8 type, code; /* type 0: dropped */
};

#define ICMP_NO_FIELD 255

static const struct icmp_pair icmp_unreach46[16] = {
	[0] = {1, 0}, /* net */
	[1] = {1, 0}, /* host */
	[2] = {4, 1}, /* protocol */
	[3] = {1, 4}, /* port */
	[4] = {2, 0}, /* fragmentation needed */
	[5] = {1, 0}, /* source route failed */
	[6] = {1, 0},
	[7] = {1, 0},
	[8] = {1, 0},
	[9] = {1, 1}, /* administratively prohibited: net */
	[10] = {1, 1},
	[11] = {1, 0},
	[12] = {1, 0},
	[13] = {1, 1}, /* communication administratively prohibited */
	[15] = {1, 1}, /* precedence cutoff */
};
static const struct icmp_pair icmp_unreach64[5] = {
	{3, 1},  /* no route */
	{3, 10}, /* administratively prohibited */
	{3, 1},  /* beyond the scope of the source address */
	{3, 1},  /* address */
	{3, 3},  /* port */
};
/* Which octet of the other header the field starts at (figures 3 and 6). */
static const __u8 icmp_pointer46[20] = {0, 1, 4, 4, ICMP_NO_FIELD, ICMP_NO_FIELD, ICMP_NO_FIELD,
	ICMP_NO_FIELD, 7, 6, ICMP_NO_FIELD, ICMP_NO_FIELD, 8, 8, 8, 8, 24, 24, 24, 24};
static const __u8 icmp_pointer64[40] = {0, 1, ICMP_NO_FIELD, ICMP_NO_FIELD, 2, 2, 9, 8, 12, 12, 12,
	12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
	16, 16, 16, 16, 16, 16};

XLAT_INLINE __u32 icmp_min(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

/* s4.2: MTU for a Packet Too Big.  A router without RFC 1191 says 0: then RFC 1191's table of MTUs
 * in use (s7.1) says what it could have been. */
XLAT_INLINE __u32 icmp_mtu46(const struct nat64_conf *c, __u32 mtu, __u32 quoted_total)
{
	static const __u16 plateaus[6] = {32000, 17914, 8166, 4352, 2002, 1492};

	for (int i = 0; !mtu && i < 6; i++)
		if (plateaus[i] < quoted_total)
			mtu = plateaus[i];
	mtu = icmp_min(mtu + 20, icmp_min(c->mtu6, c->mtu4 + 20));
	return mtu < 1280 ? 1280 : mtu;
}

/* s5.2: MTU for a Fragmentation Needed.  No IPv6 link has less than 1280. */
XLAT_INLINE __u32 icmp_mtu64(const struct nat64_conf *c, __u32 mtu, int quoted_has_frag)
{
	if (mtu < 1280)
		mtu = 1280;
	return icmp_min(mtu - (quoted_has_frag ? 28 : 20), icmp_min(c->mtu4, c->mtu6 - 20));
}

/* 'm': the first 8 octets of an ICMPv4 error; 'quoted_total': Total Length in the header that it
 * quotes.  NAT64_translated_4to6 or why not. */
XLAT_INLINE enum nat64_reason icmp_error46(
	const struct nat64_conf *c, const __u8 *m, __u32 quoted_total, struct icmp_head *out)
{
	__u8 type = m[0], code = m[1], field;

	__builtin_memset(out, 0, sizeof(*out));
	if (type == 3) {
		if (code >= 16 || !icmp_unreach46[code].type)
			return NAT64_icmp_type;
		out->type = icmp_unreach46[code].type;
		out->code = icmp_unreach46[code].code;
		out->has_length = out->type == 1;
		if (out->type == 2)
			out->word = icmp_mtu46(c, (__u32)m[6] << 8 | m[7], quoted_total);
		else if (out->type == 4)
			out->word = 6; /* the Next Header field */
		return NAT64_translated_4to6;
	}
	if (type == 11) {
		out->type = 3;
		out->code = code;
		out->has_length = 1;
		return NAT64_translated_4to6;
	}
	if (type != 12 || (code != 0 && code != 2))
		return NAT64_icmp_type;
	field = m[4] < 20 ? icmp_pointer46[m[4]] : ICMP_NO_FIELD;
	if (field == ICMP_NO_FIELD)
		return NAT64_icmp_pointer;
	out->type = 4;
	out->word = field;
	return NAT64_translated_4to6;
}

/* 'm': the first 8 octets of an ICMPv6 error.  NAT64_translated_6to4 or why not. */
XLAT_INLINE enum nat64_reason icmp_error64(
	const struct nat64_conf *c, const __u8 *m, int quoted_has_frag, struct icmp_head *out)
{
	__u32 word = (__u32)m[4] << 24 | (__u32)m[5] << 16 | (__u32)m[6] << 8 | m[7];
	__u8 type = m[0], code = m[1], field;

	__builtin_memset(out, 0, sizeof(*out));
	out->has_length = 1;
	if (type == 1 && code < 5) {
		out->type = icmp_unreach64[code].type;
		out->code = icmp_unreach64[code].code;
	} else if (type == 2) {
		out->type = 3;
		out->code = 4;
		out->word = icmp_mtu64(c, word, quoted_has_frag);
	} else if (type == 3) {
		out->type = 11;
		out->code = code;
	} else if (type == 4 && code == 1) {
		out->type = 3;
		out->code = 2;
	} else if (type == 4 && code == 0) {
		field = word < 40 ? icmp_pointer64[word] : ICMP_NO_FIELD;
		if (field == ICMP_NO_FIELD)
			return NAT64_icmp_pointer;
		out->type = 12;
		out->word = (__u32)field << 24;
	} else {
		return NAT64_icmp_type;
	}
	return NAT64_translated_6to4;
}

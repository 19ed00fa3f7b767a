/* csum.h - one's complement sums (RFC 1071, RFC 1624).  A sum is of 16-bit words as they stand in
 * memory, in 32 bits, not folded: what the kernel calls __wsum.  So it needs no byte swaps, a delta
 * goes into bpf_l4_csum_replace() as it is, and both engines yield the same bits. */
#pragma once
#include <bpf/bpf_endian.h>
#include "common/os/bpf/types.h"

#ifndef XLAT_INLINE
#define XLAT_INLINE static __always_inline
#endif

XLAT_INLINE __u32 csum_add(__u32 sum, __u32 word)
{
	sum += word;
	return sum + (sum < word);
}

XLAT_INLINE __u32 csum_sub(__u32 sum, __u32 word)
{
	return csum_add(sum, ~word);
}

XLAT_INLINE __u32 csum_host16(__u16 v) /* of a 16-bit field of this value */
{
	return bpf_htons(v);
}

XLAT_INLINE __u32 csum_ip6(const struct ip6 *a)
{
	return csum_add(csum_add(a->w[0], a->w[1]), csum_add(a->w[2], a->w[3]));
}

XLAT_INLINE __u16 csum_fold(__u32 sum) /* to 16 bits, not complemented; wire order */
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* RFC 1624 eqn 3: the checksum field 'field' (wire order) after words covered by it have changed by
 * 'delta'.  A wrong checksum stays wrong.  UDP: send 0xffff for a 0. */
XLAT_INLINE __u16 csum_fix(__u16 field, __u32 delta)
{
	return (__u16)~csum_fold(csum_add(delta, ~(__u32)field));
}

/* The same for a field that holds the sum of a pseudo-header (checksum offload). */
XLAT_INLINE __u16 csum_fix_partial(__u16 field, __u32 delta)
{
	return csum_fold(csum_add(delta, field));
}

#ifndef __bpf__
/* Of 'size' octets from an even offset on; an odd last one is the high half of a word. */
static inline __u32 csum_of(const void *octets, __SIZE_TYPE__ size)
{
	const __u8 *at = octets;
	__u64 sum = 0;
	__u32 word;
	__u16 half = 0;

	for (; size >= 4; size -= 4, at += 4) {
		__builtin_memcpy(&word, at, 4);
		sum += word;
	}
	if (size >= 2) {
		__builtin_memcpy(&half, at, 2);
		sum += half;
		at += 2;
		size -= 2;
	}
	if (size) {
		half = 0;
		__builtin_memcpy(&half, at, 1);
		sum += half;
	}
	return csum_add((__u32)sum, (__u32)(sum >> 32));
}
#endif

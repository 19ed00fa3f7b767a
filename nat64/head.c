/* head.c - IPv4 headers with options and IPv6 headers with their chains.  Bounded: nothing is read
 * past the packet, and a chain has an end. */
#include <string.h>
#include "nat64/head.h"

#define MAX_CHAIN 16 /* extension headers; a real packet has one or two */

enum { OPT_END = 0, OPT_NOP = 1, OPT_LSRR = 131, OPT_SSRR = 137 };

/* Is there a source route that hasn't reached its end (RFC 791: pointer past the length)?  What
 * can't be parsed is ignored like any option. */
static bool has_source_route(const uint8_t *opt, size_t size)
{
	size_t at = 0;

	while (at < size && opt[at] != OPT_END) {
		if (opt[at] == OPT_NOP) {
			at++;
			continue;
		}
		if (at + 2 > size || opt[at + 1] < 2 || at + opt[at + 1] > size)
			return false;
		if ((opt[at] == OPT_LSRR || opt[at] == OPT_SSRR) && opt[at + 1] >= 3 &&
			opt[at + 2] <= opt[at + 1])
			return true;
		at += opt[at + 1];
	}
	return false;
}

static uint8_t copy_l4(uint8_t out[20], const uint8_t *at, size_t size)
{
	uint8_t n = size < 20 ? (uint8_t)size : 20;

	memcpy(out, at, n);
	return n;
}

bool nat64_head4(const uint8_t *pkt, size_t size, struct xlat4 *x, struct nat64_plan *p)
{
	uint8_t flags = x->flags;
	size_t end;

	memset(x, 0, sizeof(*x));
	memset(p, 0, sizeof(*p));
	x->flags = flags;
	if (size < 20)
		return xlat_drop(p, NAT64_short_header);
	x->ihl = (uint8_t)((pkt[0] & 15) * 4);
	x->tos = pkt[1];
	x->total = get16(pkt + 2);
	x->id = get16(pkt + 4);
	x->frag = get16(pkt + 6);
	x->ttl = pkt[8];
	x->proto = pkt[9];
	memcpy(&x->src, pkt + 12, 4);
	memcpy(&x->dst, pkt + 16, 4);
	if (x->ihl < 20 || x->total < x->ihl)
		return xlat_drop(p, NAT64_bad_header4);
	if (x->ihl > size)
		return xlat_drop(p, NAT64_short_header);
	end = x->total;
	if (end > size) {
		if (!(flags & XLAT_QUOTED))
			return xlat_drop(p, NAT64_short_packet);
		end = size;
	}
	/* IPv6 has no such checksum: who would find the error later? */
	if (!(flags & XLAT_QUOTED) && csum_fold(csum_of(pkt, x->ihl)) != 0xffff)
		return xlat_drop(p, NAT64_bad_header4);
	x->l4_size = copy_l4(x->l4, pkt + x->ihl, end - x->ihl);
	if (!(flags & XLAT_QUOTED) && has_source_route(pkt + 20, x->ihl - 20u))
		return xlat_refuse(p, NAT64_source_route, 3, 5, 0);
	return true;
}

/* The chain from octet 40 to the first header that is not to be skipped.  'here': octets there
 * are, 'end': octets that there should be.  '*segments_left': where such a field is not 0. */
static bool walk(const uint8_t *pkt, size_t here, size_t end, struct xlat6 *x, struct nat64_plan *p,
	size_t *segments_left)
{
	size_t at = 40, size;

	x->proto = pkt[6];
	for (unsigned n = 0;; n++) {
		bool is_frag = x->proto == XLAT_FRAGMENT;

		if (!is_frag && x->proto != XLAT_HOPOPTS && x->proto != XLAT_ROUTING &&
			x->proto != XLAT_DSTOPTS)
			break;
		if (n == MAX_CHAIN)
			return xlat_drop(p, NAT64_long_chain);
		size = is_frag || at + 2 > here ? 8 : (pkt[at + 1] + 1u) * 8;
		if (at + size > end)
			return xlat_drop(p, NAT64_bad_chain);
		if (at + size > here)
			return xlat_drop(p, NAT64_short_packet);
		if (x->proto == XLAT_ROUTING && pkt[at + 3] && !*segments_left)
			*segments_left = at + 3;
		x->proto = pkt[at];
		if (is_frag) {
			x->has_frag = 1;
			x->frag = get16(pkt + at + 2);
			x->frag_id = (uint32_t)get16(pkt + at + 4) << 16 | get16(pkt + at + 6);
			at += 8;
			break; /* what follows may be in another fragment */
		}
		at += size;
	}
	x->l4_off = (uint16_t)at;
	x->l4_size = copy_l4(x->l4, pkt + at, here - at);
	return true;
}

bool nat64_head6(const uint8_t *pkt, size_t size, struct xlat6 *x, struct nat64_plan *p)
{
	size_t end, segments_left = 0;
	uint8_t flags = x->flags;

	memset(x, 0, sizeof(*x));
	memset(p, 0, sizeof(*p));
	x->flags = flags;
	if (size < 40)
		return xlat_drop(p, NAT64_short_header);
	x->tc = (uint8_t)(get16(pkt) >> 4);
	x->payload = get16(pkt + 4);
	x->hop_limit = pkt[7];
	memcpy(&x->src, pkt + 8, 16);
	memcpy(&x->dst, pkt + 24, 16);
	end = 40u + x->payload;
	if (!x->payload && pkt[6] == XLAT_HOPOPTS)
		return xlat_drop(p, NAT64_jumbogram);
	if (end > size && !(flags & XLAT_QUOTED))
		return xlat_drop(p, NAT64_short_packet);
	if (!walk(pkt, end < size ? end : size, end, x, p, &segments_left))
		return false;
	if (segments_left)
		return xlat_refuse(p, NAT64_segments_left, 4, 0, (uint32_t)segments_left);
	return true;
}

void nat64_plan46(
	const struct nat64 *n, const struct xlat4 *x, uint32_t random, struct nat64_plan *p)
{
	xlat_46(&n->conf, n->table, x, random, p);
}

void nat64_plan64(
	const struct nat64 *n, const struct xlat6 *x, uint32_t random, struct nat64_plan *p)
{
	xlat_64(&n->conf, n->table, x, random, p);
}

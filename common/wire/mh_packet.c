/* mh_packet.c - packets with a Mobility Header: extension headers, addresses and checksum around
 * it, and the Parameter Problem about one (RFC 6275 s6.1, s9.2). */
#include <errno.h>
#include "common/core/rd.h"
#include "common/wire/mh.h"
#include "common/wire/quote.h"

enum { OFF_LEN = 1, OFF_CSUM = 4, HDR_SIZE = 8 };
enum { HOP_LIMIT = 64 };

enum mh_verdict mh_decode_packet(
	const void *pkt, size_t size, struct mh_env *out, enum ip6_verdict *chain, unsigned *where)
{
	enum mh_verdict v;
	struct ip6_pkt p;
	size_t mh_size;

	*where = 0;
	*chain = ip6_decode(pkt, size, &p);
	if (*chain == IP6_DROP_RH_TYPE || *chain == IP6_DROP_OPTION_TELL) {
		out->src = p.src;
		out->dst = p.dst;
		out->hoa = in6addr_any;
		*where = p.payload_off;
		return MH_DROP_HEADER;
	}
	if (*chain != IP6_OK || p.proto != IP6_PROTO_MH)
		return MH_DROP_CHAIN;
	/* Without its Header Len in reach there is no checksum to verify. */
	mh_size = p.payload_size < HDR_SIZE ? SIZE_MAX : (p.payload[OFF_LEN] + 1u) * 8;
	if (mh_size <= p.payload_size &&
		ip6_csum(p.has_hao ? &p.hao : &p.src, p.has_rh2 ? &p.rh2 : &p.dst, IP6_PROTO_MH,
			p.payload, mh_size) != 0)
		return MH_DROP_CSUM;
	out->src = p.src;
	out->dst = p.dst;
	out->hoa = p.has_hao ? p.hao : p.rh2;
	out->rh2 = p.has_rh2 && !p.has_hao;
	out->refuse = 0;
	if (mh_size > p.payload_size)
		return MH_DROP_SHORT;
	v = mh_decode(p.payload, mh_size, &out->m, where);
	if (v == MH_DROP_PROTO || v == MH_DROP_LEN)
		*where += p.payload_off;
	return v;
}

void mh_frame(const struct mh_env *e, void *mh, size_t size, struct ip6_pkt *out)
{
	bool has_hoa = !addr6_is_any(&e->hoa), rh2 = has_hoa && (e->rh2 || e->m.type == MH_BA);
	uint16_t csum;

	*out = (struct ip6_pkt){.src = e->src,
		.dst = e->dst,
		.hop_limit = HOP_LIMIT,
		.proto = IP6_PROTO_MH,
		.has_hao = has_hoa && !rh2,
		.has_rh2 = rh2,
		.hao = e->hoa,
		.rh2 = e->hoa,
		.payload = mh,
		.payload_size = size};
	memset((uint8_t *)mh + OFF_CSUM, 0, sizeof(csum));
	csum = ip6_csum(
		out->has_hao ? &e->hoa : &e->src, rh2 ? &e->hoa : &e->dst, IP6_PROTO_MH, mh, size);
	memcpy((uint8_t *)mh + OFF_CSUM, &csum, sizeof(csum));
}

int mh_encode_packet(const struct mh_env *e, void *buf, size_t size)
{
	uint8_t mh[MH_MAX_SIZE];
	struct ip6_pkt p;
	int n = mh_encode(&e->m, mh, sizeof(mh));

	if (n < 0)
		return n;
	mh_frame(e, mh, (size_t)n, &p);
	return ip6_encode(&p, buf, size);
}

int mh_encode_param_problem(const void *pkt, size_t pkt_size, uint8_t code, unsigned pointer,
	const struct in6_addr *src, void *buf, size_t size)
{
	struct quote_error e = {QUOTE_PARAM_PROBLEM, code, pointer};
	uint8_t icmp[QUOTE_MIN_MTU];
	struct rd r = rd_init(pkt, pkt_size);
	struct ip6_pkt p = {.src = *src, .hop_limit = HOP_LIMIT, .proto = IP6_PROTO_ICMP6};
	struct in6_addr dst;
	uint16_t csum;
	int n;

	rd_skip(&r, 8);
	p.dst = rd_addr6(&r);
	dst = rd_addr6(&r);
	/* RFC 4443 s2.4(e): no error about a multicast, none to what names no single node. */
	if (!rd_ok(&r) || addr6_is_any(&p.dst) || addr6_is_multicast(&p.dst) ||
		addr6_is_multicast(&dst))
		return -EINVAL;
	p.payload = icmp;
	p.payload_size = (size_t)quote_write(&e, pkt, pkt_size, icmp, sizeof(icmp));
	csum = ip6_csum(&p.src, &p.dst, IP6_PROTO_ICMP6, icmp, p.payload_size);
	memcpy(icmp + 2, &csum, sizeof(csum));
	n = ip6_encode(&p, buf, size);
	return n < 0 ? -EINVAL : n;
}

/* ip6.c - IPv6 header chain: Home Address option, type 2 routing header, checksums. */
#include "common/wire/ip6.h"
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include "common/core/addr.h"
#include "common/core/rd.h"

enum { OPT_PAD1 = 0, OPT_HAO = 0xc9, OPT_ACTION = 0xc0, OPT_SILENT = 0x40 };
enum { OPT_IGNORED = 0x1e, RH_TYPE_2 = 2, RH2_SIZE = 24 };
enum { OFF_NEXT = 6, OFF_SRC = 8, OFF_DST = 24 };

/* Options of a hop-by-hop or destination options header, after its first two octets. */
static enum ip6_verdict read_options(struct rd r, bool hbh, struct ip6_pkt *p)
{
	while (rd_left(&r) > 0) {
		uint8_t type = rd_u8(&r);
		struct rd body;

		if (type == OPT_PAD1)
			continue;
		body = rd_sub(&r, rd_u8(&r));
		if (!rd_ok(&r))
			return IP6_DROP_SHORT;
		if (type == OPT_HAO) {
			if (hbh || p->has_hao || rd_left(&body) != sizeof(p->hao))
				return IP6_DROP_HAO;
			p->hao = rd_addr6(&body);
			p->has_hao = true;
			p->hao_at = body.start - 2;
			p->hao_bad = !addr6_is_routable(&p->hao);
		} else if (type & OPT_ACTION) {
			p->payload = body.start - 2;
			return (type & OPT_ACTION) == OPT_SILENT ? IP6_DROP_OPTION
								 : IP6_DROP_OPTION_TELL;
		}
	}
	return IP6_OK;
}

/* Routing header, after its first two octets. */
static enum ip6_verdict read_routing(struct rd r, struct ip6_pkt *p)
{
	uint8_t type = rd_u8(&r), segments_left = rd_u8(&r);

	if (segments_left == 0) /* done with, whatever its type (RFC 8200 s4.4) */
		return IP6_OK;
	rd_skip(&r, 4);
	if (type != RH_TYPE_2) {
		p->payload = r.start;
		return IP6_DROP_RH_TYPE;
	}
	if (segments_left != 1 || rd_left(&r) != sizeof(p->rh2) || p->has_rh2)
		return IP6_DROP_RH;
	p->rh2 = rd_addr6(&r);
	p->has_rh2 = true;
	p->rh2_at = r.start - 2;
	return addr6_is_routable(&p->rh2) ? IP6_OK : IP6_DROP_RH;
}

/* The extension headers in 'r', up to a payload; 'r' ends up at it.  'named': the octet that names
 * the first. */
static enum ip6_verdict read_chain(
	struct rd *r, const uint8_t *named, bool pieces, struct ip6_pkt *p)
{
	enum ip6_verdict v = IP6_OK;
	unsigned n;

	for (n = 0; v == IP6_OK; n++) {
		uint8_t header = p->proto;
		struct rd body;

		if (header == IP6_PROTO_FRAG) {
			p->proto = rd_left(r) < 8 ? IP6_PROTO_FRAG : *r->p;
			return pieces && rd_left(r) >= 8 ? IP6_OK : IP6_DROP_FRAGMENT;
		}
		if (header != IP6_PROTO_HBH && header != IP6_PROTO_DSTOPT && header != IP6_PROTO_RH)
			return IP6_OK;
		if (n == IP6_MAX_CHAIN || (header == IP6_PROTO_HBH && n > 0))
			return IP6_DROP_DEPTH;
		if (header == IP6_PROTO_RH && !p->has_rh2)
			p->rh2_by = named;
		named = r->p;
		p->proto = rd_u8(r);
		body = rd_sub(r, 6 + 8 * (size_t)rd_u8(r));
		if (!rd_ok(r))
			return IP6_DROP_SHORT;
		v = header == IP6_PROTO_RH ? read_routing(body, p)
					   : read_options(body, header == IP6_PROTO_HBH, p);
	}
	return v;
}

static enum ip6_verdict decode(const void *buf, size_t size, bool pieces, struct ip6_pkt *out)
{
	struct rd r = rd_init(buf, size), body;
	struct ip6_pkt p = {0};
	enum ip6_verdict v;
	uint16_t payload_size;
	uint8_t version = rd_u8(&r) >> 4;

	rd_skip(&r, 3);
	payload_size = rd_u16(&r);
	p.proto = rd_u8(&r);
	p.hop_limit = rd_u8(&r);
	p.src = rd_addr6(&r);
	p.dst = rd_addr6(&r);
	body = rd_sub(&r, payload_size); /* what follows is link-layer padding */
	if (!rd_ok(&r) || version != 6)
		return IP6_DROP_SHORT;
	v = read_chain(&body, (const uint8_t *)buf + OFF_NEXT, pieces, &p);
	if (v == IP6_DROP_RH_TYPE || v == IP6_DROP_OPTION_TELL) {
		p.payload_off = (unsigned)(p.payload - (const uint8_t *)buf);
		*out = p;
	}
	if (v != IP6_OK)
		return v;
	p.payload = body.p;
	p.payload_size = rd_left(&body);
	p.payload_off = IP6_HDR_SIZE + (unsigned)rd_off(&body);
	*out = p;
	return p.hao_bad ? IP6_DROP_HAO_ADDR : IP6_OK;
}

enum ip6_verdict ip6_decode(const void *buf, size_t size, struct ip6_pkt *out)
{
	return decode(buf, size, false, out);
}

/* What is left behind is an option of RFC 4727's for experiments, skipped by who does not know it:
 * Linux drops packets with more than seven octets of padding. */
enum ip6_verdict ip6_settle(void *pkt, size_t size, struct ip6_pkt *out)
{
	uint8_t *start = pkt, *h;
	enum ip6_verdict v = decode(pkt, size, true, out);

	if (v != IP6_OK)
		return v;
	if (out->has_hao) {
		memcpy(start + OFF_SRC, &out->hao, sizeof(out->hao));
		h = start + (out->hao_at - start);
		h[0] = OPT_IGNORED;
		memset(h + 2, 0, sizeof(out->hao));
	}
	if (out->has_rh2) { /* a kernel may refuse one that it has not processed itself */
		memcpy(start + OFF_DST, &out->rh2, sizeof(out->rh2));
		start[out->rh2_by - start] = IP6_PROTO_DSTOPT;
		h = start + (out->rh2_at - start);
		memcpy(h + 2, (uint8_t[]){OPT_IGNORED, RH2_SIZE - 4}, 2);
		memset(h + 4, 0, RH2_SIZE - 4);
	}
	return IP6_OK;
}

int ip6_encode(const struct ip6_pkt *p, void *buf, size_t size)
{
	struct wr w = wr_init(buf, size);
	size_t payload_size = (p->has_hao ? 24 : 0) + (p->has_rh2 ? 24 : 0) + p->payload_size;
	uint8_t after_rh = p->has_hao ? IP6_PROTO_DSTOPT : p->proto;

	if (payload_size > UINT16_MAX)
		return -EMSGSIZE;
	wr_u32(&w, 6u << 28);
	wr_u16(&w, (uint16_t)payload_size);
	wr_u8(&w, p->has_rh2 ? IP6_PROTO_RH : after_rh);
	wr_u8(&w, p->hop_limit);
	wr_addr6(&w, &p->src);
	wr_addr6(&w, &p->dst);
	if (p->has_rh2) {
		wr_bytes(&w, (uint8_t[]){after_rh, 2, RH_TYPE_2, 1}, 4);
		wr_zero(&w, 4);
		wr_addr6(&w, &p->rh2);
	}
	if (p->has_hao) { /* a PadN of 4 brings it to 8n + 6 */
		wr_bytes(&w, (uint8_t[]){p->proto, 2, 1, 2, 0, 0, OPT_HAO, sizeof(p->hao)}, 8);
		wr_addr6(&w, &p->hao);
	}
	wr_bytes(&w, p->payload, p->payload_size);
	return wr_ok(&w) ? (int)wr_off(&w) : -EMSGSIZE;
}

static uint64_t add(uint64_t sum, const void *data, size_t size)
{
	const uint8_t *p = data;
	size_t i;

	for (i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return i < size ? sum + ((uint32_t)p[i] << 8) : sum;
}

uint16_t ip6_csum(const struct in6_addr *src, const struct in6_addr *dst, uint8_t proto,
	const void *data, size_t size)
{
	uint64_t sum = (uint64_t)size + proto; /* folds like the 32-bit words they are */

	sum = add(sum, src, sizeof(*src));
	sum = add(sum, dst, sizeof(*dst));
	sum = add(sum, data, size);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

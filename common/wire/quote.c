/* quote.c - ICMPv6 errors about tunnel packets, and about Binding Updates. */
#include "common/wire/quote.h"
#include <errno.h>
#include "common/core/addr.h"
#include "common/core/rd.h"
#include "common/wire/ip6.h"
#include "common/wire/mh.h"

enum { PROTO_IP6 = 41, PROTO_ICMP6 = 58 };
enum { OPT_PAD1 = 0, OPT_PADN = 1, OPT_LIMIT = 4 };
enum { ICMP6_INFO = 128, ICMP6_REDIRECT = 137, ICMP6_HDR = 8 };

struct ip6_head {
	struct in6_addr src, dst;
	unsigned plen;
	uint8_t next;
};

static bool read_head(struct rd *r, struct ip6_head *h)
{
	uint32_t first = rd_u32(r);

	h->plen = rd_u16(r);
	h->next = rd_u8(r);
	rd_skip(r, 1);
	h->src = rd_addr6(r);
	h->dst = rd_addr6(r);
	return rd_ok(r) && first >> 28 == 6;
}

/* A destination options header; returns what follows it.  '*other': it has options that are neither
 * an encapsulation limit nor padding. */
static uint8_t read_options(struct rd *r, struct quote *q, size_t start, bool *other)
{
	uint8_t next = rd_u8(r);
	size_t at = rd_off(r) + 1;
	struct rd body = rd_sub(r, rd_u8(r) * 8u + 6);

	*other = false;
	while (rd_ok(&body) && rd_left(&body) > 0) {
		uint8_t type = rd_u8(&body), len = type == OPT_PAD1 ? 0 : rd_u8(&body);
		struct rd option = rd_sub(&body, len);

		if (type == OPT_LIMIT && len == 1 && rd_ok(&option)) {
			q->limit_at = (unsigned)(at + rd_off(&body) - 1 - start);
			q->limit = rd_u8(&option);
		} else if (type != OPT_PAD1 && type != OPT_PADN) {
			*other = true;
		}
	}
	return rd_ok(&body) ? next : IP6_PROTO_NONE;
}

/* The tunnel packet's headers, up to the inner packet. */
static bool read_outer(struct rd *r, struct quote *q, bool *fragment)
{
	size_t start = rd_off(r);
	struct ip6_head outer;
	uint8_t next;

	*fragment = false;
	if (!read_head(r, &outer))
		return false;
	q->src = outer.src;
	q->dst = outer.dst;
	q->outer_size = IP6_HDR_SIZE + outer.plen;
	q->overhead = IP6_HDR_SIZE;
	next = outer.next;
	if (next == IP6_PROTO_FRAG) {
		next = rd_u8(r);
		rd_skip(r, 1);
		if (rd_u16(r) >> 3 != 0)
			return false; /* no first fragment: the inner packet isn't in it */
		rd_skip(r, 4);
		*fragment = true;
	}
	if (next == IP6_PROTO_DSTOPT) {
		size_t before = rd_off(r);
		bool other;

		next = read_options(r, q, start, &other);
		if (other)
			return false;
		q->overhead += (unsigned)(rd_off(r) - before);
	}
	return rd_ok(r) && next == PROTO_IP6;
}

bool quote_read(const void *msg, size_t size, struct quote *out)
{
	struct rd r = rd_init(msg, size);
	struct quote q = {0};
	struct ip6_head inner;
	bool fragment;
	size_t at;

	q.error.type = rd_u8(&r);
	q.error.code = rd_u8(&r);
	rd_skip(&r, 2);
	q.error.param = rd_u32(&r);
	if (q.error.type < QUOTE_UNREACHABLE || q.error.type > QUOTE_PARAM_PROBLEM)
		return false;
	if (q.error.type != QUOTE_TOO_BIG && q.error.type != QUOTE_PARAM_PROBLEM)
		q.error.param = 0;
	if (!read_outer(&r, &q, &fragment))
		return false;
	at = rd_off(&r);
	if (!read_head(&r, &inner))
		return false;
	q.inner_src = inner.src;
	q.inner_dst = inner.dst;
	q.inner_size = IP6_HDR_SIZE + inner.plen;
	q.inner = (const uint8_t *)msg + at;
	q.inner_quoted = size - at < q.inner_size ? size - at : q.inner_size;
	if (!fragment && q.outer_size != q.overhead + q.inner_size)
		return false;
	*out = q;
	return true;
}

bool quote_read_update(const void *msg, size_t size, struct quote_update *out)
{
	struct rd r = rd_init(msg, size), body;
	struct quote_update q = {0};
	struct ip6_pkt p;
	bool mh;

	q.error.type = rd_u8(&r);
	q.error.code = rd_u8(&r);
	rd_skip(&r, 2);
	q.error.param = rd_u32(&r);
	if (!rd_ok(&r) || q.error.type < QUOTE_UNREACHABLE || q.error.type > QUOTE_PARAM_PROBLEM ||
		ip6_decode((const uint8_t *)msg + ICMP6_HDR, size - ICMP6_HDR, &p) != IP6_OK)
		return false;
	mh = p.proto == IP6_PROTO_MH;
	q.esp = p.proto == IP6_PROTO_ESP;
	q.src = p.src;
	q.dst = p.dst;
	q.hoa = p.has_hao ? p.hao : in6addr_any;
	body = rd_init(p.payload, p.payload_size);
	if (q.esp) {
		q.spi = rd_u32(&body);
		q.number = rd_u32(&body);
	} else {
		rd_skip(&body, 2);
		mh = mh && rd_u8(&body) == MH_BU;
		rd_skip(&body, 3);
		q.seq = rd_u16(&body);
	}
	if (!rd_ok(&body) || (!q.esp && !mh))
		return false;
	*out = q;
	return true;
}

int quote_limit(const void *pkt, size_t size, unsigned *at)
{
	struct rd r = rd_init(pkt, size);
	struct quote q = {0};
	struct ip6_head h;
	bool other;

	if (!read_head(&r, &h))
		return -1;
	for (int i = 0; i < IP6_MAX_CHAIN && rd_ok(&r); i++) {
		if (h.next != IP6_PROTO_DSTOPT && h.next != IP6_PROTO_HBH && h.next != IP6_PROTO_RH)
			return -1;
		if (h.next == IP6_PROTO_DSTOPT) {
			h.next = read_options(&r, &q, 0, &other);
		} else {
			h.next = rd_u8(&r);
			rd_skip(&r, rd_u8(&r) * 8u + 6);
		}
		if (q.limit_at) {
			*at = q.limit_at;
			return q.limit;
		}
	}
	return -1;
}

bool quote_relay(const struct quote *q, struct quote_error *out)
{
	static const struct quote_error address = {QUOTE_UNREACHABLE, 3, 0};
	unsigned room;

	*out = address;
	switch (q->error.type) {
	case QUOTE_UNREACHABLE: return true;
	case QUOTE_TIME_EXCEEDED: return q->error.code == 0; /* 1: fragments, the tunnel's own */
	case QUOTE_PARAM_PROBLEM:
		/* s8.1 says that the limit is one then, s8.2 and s4.1.1 zero. */
		return q->error.code == 0 && q->limit_at && q->error.param == q->limit_at &&
		       q->limit <= 1;
	case QUOTE_TOO_BIG:
		room = q->error.param > q->overhead ? q->error.param - q->overhead : 0;
		*out = (struct quote_error){
			QUOTE_TOO_BIG, 0, room < QUOTE_MIN_MTU ? QUOTE_MIN_MTU : room};
		return q->inner_size > QUOTE_MIN_MTU;
	default: return false;
	}
}

bool quote_may_answer(const void *pkt, size_t size)
{
	struct rd r = rd_init(pkt, size);
	struct ip6_head h;

	if (!read_head(&r, &h) || addr6_is_any(&h.src) || addr6_is_multicast(&h.src) ||
		addr6_is_multicast(&h.dst))
		return false;
	for (int i = 0; i < IP6_MAX_CHAIN && h.next != PROTO_ICMP6; i++) {
		uint8_t len;
		size_t header = 8;

		if (h.next != IP6_PROTO_HBH && h.next != IP6_PROTO_RH && h.next != IP6_PROTO_FRAG &&
			h.next != IP6_PROTO_DSTOPT)
			return true;
		if (h.next == IP6_PROTO_FRAG) {
			h.next = rd_u8(&r);
			rd_skip(&r, 1);
			if (rd_u16(&r) >> 3 != 0)
				return true; /* what it is, the first fragment tells */
			rd_skip(&r, 4);
			continue;
		}
		h.next = rd_u8(&r);
		len = rd_u8(&r);
		rd_skip(&r, header - 2 + len * 8u);
	}
	if (h.next != PROTO_ICMP6 || !rd_ok(&r))
		return true;
	h.next = rd_u8(&r);
	return !rd_ok(&r) || (h.next >= ICMP6_INFO && h.next != ICMP6_REDIRECT);
}

int quote_write(
	const struct quote_error *e, const void *pkt, size_t pkt_size, void *buf, size_t size)
{
	struct wr w = wr_init(buf, size);
	size_t most = QUOTE_MIN_MTU - IP6_HDR_SIZE - ICMP6_HDR;

	wr_bytes(&w, (uint8_t[]){e->type, e->code, 0, 0}, 4);
	wr_u32(&w, e->param);
	wr_bytes(&w, pkt, pkt_size < most ? pkt_size : most);
	return wr_ok(&w) ? (int)wr_off(&w) : -EMSGSIZE;
}

/* icmp6.c - home agent and prefix discovery messages: one table of message types. */
#include "common/wire/icmp6.h"
#include <assert.h>
#include <errno.h>
#include "common/core/rd.h"
#include "common/wire/ip6.h"

enum { OFF_CSUM = 2, FIXED_SIZE = 8, HOP_LIMIT = 64 };
enum { FLAG_R = 0x8000, FLAG_M = 0x8000, FLAG_O = 0x4000 };
enum { OPT_PREFIX = 3, OPT_PREFIX_SIZE = 4 }; /* size in units of 8 octets */

/* --- what follows the flags --- */

static enum icmp6_verdict read_nothing(struct rd *r, struct icmp6_msg *m)
{
	(void)r, (void)m; /* later versions may append something */
	return ICMP6_OK;
}

static void write_nothing(struct wr *w, const struct icmp6_msg *m)
{
	(void)w, (void)m;
}

static enum icmp6_verdict read_addresses(struct rd *r, struct icmp6_msg *m)
{
	while (rd_left(r) > 0) {
		struct in6_addr a = rd_addr6(r);

		if (!rd_ok(r))
			return ICMP6_DROP_SHORT;
		if (m->n_ha < ICMP6_MAX_HA)
			m->ha[m->n_ha++] = a;
	}
	return ICMP6_OK;
}

static void write_addresses(struct wr *w, const struct icmp6_msg *m)
{
	assert(m->n_ha <= ICMP6_MAX_HA);
	for (unsigned i = 0; i < m->n_ha; i++)
		wr_addr6(w, &m->ha[i]);
}

/* No option is defined for a solicitation: there 'prefixes' is false. */
static enum icmp6_verdict read_options(struct rd *r, struct icmp6_msg *m, bool prefixes)
{
	while (rd_left(r) > 0) {
		uint8_t type = rd_u8(r), size = rd_u8(r);
		struct rd body;

		if (rd_ok(r) && size == 0)
			return ICMP6_DROP_OPTION;
		body = rd_sub(r, size * 8u - 2);
		if (!rd_ok(r))
			return ICMP6_DROP_SHORT;
		if (prefixes && type == OPT_PREFIX && size == OPT_PREFIX_SIZE &&
			m->n_prefix < NDP_MAX_PREFIX &&
			ndp_read_prefix(&body, &m->prefix[m->n_prefix]))
			m->n_prefix++;
	}
	return ICMP6_OK;
}

static enum icmp6_verdict read_solicitation(struct rd *r, struct icmp6_msg *m)
{
	return read_options(r, m, false);
}

static enum icmp6_verdict read_prefixes(struct rd *r, struct icmp6_msg *m)
{
	return read_options(r, m, true);
}

static void write_prefixes(struct wr *w, const struct icmp6_msg *m)
{
	assert(m->n_prefix <= NDP_MAX_PREFIX);
	for (unsigned i = 0; i < m->n_prefix; i++)
		ndp_write_prefix(w, &m->prefix[i]);
}

static const struct msg_type {
	uint8_t type;
	bool has_r, has_mo, hao, rh2; /* flags; how it carries a home address */
	enum icmp6_verdict (*read)(struct rd *, struct icmp6_msg *);
	void (*write)(struct wr *, const struct icmp6_msg *);
} msg_types[] = {
	{ICMP6_DHAAD_REQUEST, true, false, false, false, read_nothing, write_nothing},
	{ICMP6_DHAAD_REPLY, true, false, false, false, read_addresses, write_addresses},
	{ICMP6_MPS, false, false, true, false, read_solicitation, write_nothing},
	{ICMP6_MPA, false, true, false, true, read_prefixes, write_prefixes},
};

static const struct msg_type *msg_find(uint8_t type)
{
	for (unsigned i = 0; i < sizeof(msg_types) / sizeof(msg_types[0]); i++)
		if (msg_types[i].type == type)
			return &msg_types[i];
	return NULL;
}

static uint16_t csum(const struct ip6_pkt *p)
{
	return ip6_csum(p->has_hao ? &p->hao : &p->src, p->has_rh2 ? &p->rh2 : &p->dst,
		IP6_PROTO_ICMP6, p->payload, p->payload_size);
}

enum icmp6_verdict icmp6_decode(const void *pkt, size_t size, struct icmp6_msg *out)
{
	const struct msg_type *t;
	enum icmp6_verdict v;
	struct icmp6_msg m;
	struct ip6_pkt p;
	struct rd r;
	uint16_t flags;
	uint8_t code;

	if (ip6_decode(pkt, size, &p) != IP6_OK || p.proto != IP6_PROTO_ICMP6)
		return ICMP6_IGNORE;
	memset(&m, 0, sizeof(m));
	r = rd_init(p.payload, p.payload_size);
	m.type = rd_u8(&r);
	t = msg_find(m.type);
	if (!t)
		return ICMP6_IGNORE;
	if (csum(&p) != 0)
		return ICMP6_DROP_CSUM;
	code = rd_u8(&r);
	rd_skip(&r, 2);
	m.id = rd_u16(&r);
	flags = rd_u16(&r);
	if (!rd_ok(&r))
		return ICMP6_DROP_SHORT;
	if (code != 0)
		return ICMP6_DROP_CODE;
	m.src = p.src;
	m.dst = p.dst;
	if (t->hao || t->rh2)
		m.hoa = t->hao ? p.hao : p.rh2;
	m.mobile_router = t->has_r && (flags & FLAG_R);
	m.managed = t->has_mo && (flags & FLAG_M);
	m.other = t->has_mo && (flags & FLAG_O);
	v = t->read(&r, &m);
	if (v == ICMP6_OK)
		*out = m;
	return v;
}

void icmp6_frame(const struct icmp6_msg *m, uint8_t icmp[ICMP6_MAX_SIZE], struct ip6_pkt *out)
{
	const struct msg_type *t = msg_find(m->type);
	bool has_hoa = !addr6_is_any(&m->hoa);
	struct wr w = wr_init(icmp, ICMP6_MAX_SIZE);
	uint16_t sum;

	assert(t);
	*out = (struct ip6_pkt){
		.src = m->src,
		.dst = m->dst,
		.hop_limit = HOP_LIMIT,
		.proto = IP6_PROTO_ICMP6,
		.has_hao = t->hao && has_hoa,
		.has_rh2 = t->rh2 && has_hoa,
		.hao = m->hoa,
		.rh2 = m->hoa,
		.payload = icmp,
	};
	wr_u8(&w, m->type);
	wr_zero(&w, 3); /* Code, Checksum */
	wr_u16(&w, m->id);
	wr_u16(&w, (uint16_t)((t->has_r && m->mobile_router ? FLAG_R : 0) |
			      (t->has_mo && m->managed ? FLAG_M : 0) |
			      (t->has_mo && m->other ? FLAG_O : 0)));
	t->write(&w, m);
	assert(wr_ok(&w)); /* 8 octets, and 77 * 16 or 16 * 32 at most */
	out->payload_size = wr_off(&w);
	sum = csum(out);
	memcpy(icmp + OFF_CSUM, &sum, sizeof(sum));
}

int icmp6_encode(const struct icmp6_msg *m, void *buf, size_t size)
{
	uint8_t icmp[ICMP6_MAX_SIZE];
	struct ip6_pkt p;

	icmp6_frame(m, icmp, &p);
	return ip6_encode(&p, buf, size < ICMP6_MAX_SIZE ? size : ICMP6_MAX_SIZE);
}

struct in6_addr icmp6_anycast(const struct prefix6 *subnet)
{
	struct prefix6 p = prefix6_mask(*subnet);
	struct in6_addr a = p.addr;

	/* Interface identifiers of 64 bits have the modified EUI-64 form: universal bit 0. */
	for (unsigned bit = p.len; bit < 128; bit++)
		if (p.len != 64 || bit != 64 + 6)
			a.s6_addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	a.s6_addr[15] &= 0xfe; /* 126 of the last seven bits */
	return a;
}

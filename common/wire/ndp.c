/* ndp.c - Neighbour Discovery messages: one table of message types, one of options. */
#include "common/wire/ndp.h"
#include <assert.h>
#include <errno.h>
#include "common/core/rd.h"
#include "common/wire/ip6.h"

enum { OPT_SLLAO = 1, OPT_TLLAO = 2, OPT_PREFIX = 3, OPT_MTU = 5, OPT_INTERVAL = 7, OPT_HA = 8 };
enum { RA_M = 0x80, RA_O = 0x40, RA_H = 0x20 };
enum { PREFIX_L = 0x80, PREFIX_A = 0x40, PREFIX_R = 0x20 };
enum { HA_NEMO = 0x8000 };
#define NA_R 0x80000000u
#define NA_S 0x40000000u
#define NA_O 0x20000000u

#define VALID_2H_MS 7200000 /* RFC 4862 s5.5.3 */

enum { ICMP6_HDR_SIZE = 4, OFF_CSUM = 2, HOP_LIMIT = 255 };
enum { MTU_MIN = 1280, MTU_MAX = 65535 };

/* --- options: what follows Type and Length --- */

static void read_lladdr(struct rd *r, struct ndp_msg *m)
{
	m->has_lladdr = true;
	memcpy(m->lladdr, rd_bytes(r, sizeof(m->lladdr)), sizeof(m->lladdr));
}

bool ndp_read_prefix(struct rd *r, struct ndp_prefix *p)
{
	uint8_t len = rd_u8(r), flags = rd_u8(r);
	uint32_t valid_s = rd_u32(r), preferred_s = rd_u32(r);
	struct in6_addr addr;

	rd_skip(r, 4);
	addr = rd_addr6(r);
	if (len > 128 || addr6_is_link_local(&addr) || addr6_is_multicast(&addr) ||
		preferred_s > valid_s)
		return false;
	p->addr = addr;
	p->prefix.addr = addr;
	p->prefix.len = len;
	p->prefix.addr = prefix6_mask(p->prefix).addr;
	p->on_link = flags & PREFIX_L;
	p->autonomous = flags & PREFIX_A;
	p->router_addr = flags & PREFIX_R;
	p->valid_s = valid_s;
	p->preferred_s = preferred_s;
	return true;
}

static void read_prefix(struct rd *r, struct ndp_msg *m)
{
	if (m->ra.n_prefix < NDP_MAX_PREFIX && ndp_read_prefix(r, &m->ra.prefix[m->ra.n_prefix]))
		m->ra.n_prefix++;
}

static void read_mtu(struct rd *r, struct ndp_msg *m)
{
	uint32_t mtu;

	rd_skip(r, 2);
	mtu = rd_u32(r);
	m->ra.mtu = mtu >= MTU_MIN && mtu <= MTU_MAX ? mtu : 0;
}

static void read_interval(struct rd *r, struct ndp_msg *m)
{
	rd_skip(r, 2);
	m->ra.interval_ms = rd_u32(r);
}

static void read_ha(struct rd *r, struct ndp_msg *m)
{
	m->ra.has_ha_info = true;
	m->ra.ha_nemo = rd_u16(r) & HA_NEMO;
	m->ra.ha_preference = rd_u16(r);
	m->ra.ha_lifetime_s = rd_u16(r);
}

static const struct opt_type {
	uint8_t msg, type, size; /* in which message; size in units of 8 octets */
	void (*read)(struct rd *, struct ndp_msg *);
} opt_types[] = {
	{NDP_RS, OPT_SLLAO, 1, read_lladdr},
	{NDP_NS, OPT_SLLAO, 1, read_lladdr},
	{NDP_NA, OPT_TLLAO, 1, read_lladdr},
	{NDP_RA, OPT_SLLAO, 1, read_lladdr},
	{NDP_RA, OPT_PREFIX, 4, read_prefix},
	{NDP_RA, OPT_MTU, 1, read_mtu},
	{NDP_RA, OPT_INTERVAL, 1, read_interval},
	{NDP_RA, OPT_HA, 1, read_ha},
};

/* Those of unknown type or of another size than their type's are skipped. */
static enum ndp_verdict read_options(struct rd *r, struct ndp_msg *m)
{
	unsigned i;

	while (rd_left(r) > 0) {
		uint8_t type = rd_u8(r), size = rd_u8(r);
		struct rd body;

		if (rd_ok(r) && size == 0)
			return NDP_DROP_OPTION;
		body = rd_sub(r, size * 8u - 2);
		if (!rd_ok(r))
			return NDP_DROP_SHORT;
		for (i = 0; i < sizeof(opt_types) / sizeof(opt_types[0]); i++) {
			const struct opt_type *t = &opt_types[i];

			if (t->msg == m->type && t->type == type && t->size == size)
				t->read(&body, m);
		}
	}
	return NDP_OK;
}

static void write_lladdr(struct wr *w, uint8_t type, const struct ndp_msg *m)
{
	if (!m->has_lladdr)
		return;
	wr_u8(w, type);
	wr_u8(w, 1);
	wr_bytes(w, m->lladdr, sizeof(m->lladdr));
}

void ndp_write_prefix(struct wr *w, const struct ndp_prefix *p)
{
	wr_bytes(w, (uint8_t[]){OPT_PREFIX, 4, p->prefix.len}, 3);
	wr_u8(w, (p->on_link ? PREFIX_L : 0) | (p->autonomous ? PREFIX_A : 0) |
			 (p->router_addr ? PREFIX_R : 0));
	wr_u32(w, p->valid_s);
	wr_u32(w, p->preferred_s);
	wr_zero(w, 4);
	wr_addr6(w, addr6_is_any(&p->addr) ? &p->prefix.addr : &p->addr);
}

static void write_ra_options(struct wr *w, const struct ndp_ra *ra)
{
	unsigned i;

	assert(ra->n_prefix <= NDP_MAX_PREFIX);
	if (ra->mtu > 0) {
		wr_bytes(w, (uint8_t[]){OPT_MTU, 1, 0, 0}, 4);
		wr_u32(w, ra->mtu);
	}
	for (i = 0; i < ra->n_prefix; i++)
		ndp_write_prefix(w, &ra->prefix[i]);
	if (ra->interval_ms > 0) {
		wr_bytes(w, (uint8_t[]){OPT_INTERVAL, 1, 0, 0}, 4);
		wr_u32(w, ra->interval_ms);
	}
	if (ra->has_ha_info) {
		wr_bytes(w, (uint8_t[]){OPT_HA, 1}, 2);
		wr_u16(w, ra->ha_nemo ? HA_NEMO : 0);
		wr_u16(w, ra->ha_preference);
		wr_u16(w, ra->ha_lifetime_s);
	}
}

/* --- messages: what follows the checksum, up to the options; with the checks on addresses that
 * need no option --- */

static enum ndp_verdict read_rs(struct rd *r, struct ndp_msg *m)
{
	(void)m;
	rd_skip(r, 4);
	return NDP_OK;
}

static void write_rs(struct wr *w, const struct ndp_msg *m)
{
	wr_zero(w, 4);
	write_lladdr(w, OPT_SLLAO, m);
}

static enum ndp_verdict read_ra(struct rd *r, struct ndp_msg *m)
{
	uint8_t flags;

	m->ra.cur_hop_limit = rd_u8(r);
	flags = rd_u8(r);
	m->ra.managed = flags & RA_M;
	m->ra.other = flags & RA_O;
	m->ra.home_agent = flags & RA_H;
	m->ra.lifetime_s = rd_u16(r);
	m->ra.reachable_ms = rd_u32(r);
	m->ra.retrans_ms = rd_u32(r);
	return addr6_is_link_local(&m->src) ? NDP_OK : NDP_DROP_SOURCE;
}

static void write_ra(struct wr *w, const struct ndp_msg *m)
{
	wr_u8(w, m->ra.cur_hop_limit);
	wr_u8(w, (m->ra.managed ? RA_M : 0) | (m->ra.other ? RA_O : 0) |
			 (m->ra.home_agent ? RA_H : 0));
	wr_u16(w, m->ra.lifetime_s);
	wr_u32(w, m->ra.reachable_ms);
	wr_u32(w, m->ra.retrans_ms);
	write_lladdr(w, OPT_SLLAO, m);
	write_ra_options(w, &m->ra);
}

/* ff02::1:ff00:0/104, RFC 4291 s2.7.1 */
static const struct prefix6 solicited_node = {
	.addr.s6_addr = {0xff, 2, [11] = 1, [12] = 0xff}, .len = 104};

struct in6_addr ndp_solicited_node(const struct in6_addr *addr)
{
	struct in6_addr group = solicited_node.addr;

	memcpy(group.s6_addr + 13, addr->s6_addr + 13, 3);
	return group;
}

uint64_t ndp_until(uint64_t now, uint32_t seconds)
{
	return seconds == UINT32_MAX ? UINT64_MAX : now + seconds * 1000ull;
}

uint64_t ndp_valid_until(uint64_t now, uint64_t old, uint32_t valid_s)
{
	uint64_t new = ndp_until(now, valid_s);

	if (new > now + VALID_2H_MS || new > old)
		return new;
	return old > now + VALID_2H_MS ? now + VALID_2H_MS : old;
}

static enum ndp_verdict read_ns(struct rd *r, struct ndp_msg *m)
{
	rd_skip(r, 4);
	m->target = rd_addr6(r);
	if (addr6_is_multicast(&m->target))
		return NDP_DROP_TARGET;
	if (addr6_is_any(&m->src) && !prefix6_has(&solicited_node, &m->dst))
		return NDP_DROP_SOURCE;
	return NDP_OK;
}

static void write_ns(struct wr *w, const struct ndp_msg *m)
{
	wr_zero(w, 4);
	wr_addr6(w, &m->target);
	write_lladdr(w, OPT_SLLAO, m);
}

static enum ndp_verdict read_na(struct rd *r, struct ndp_msg *m)
{
	uint32_t flags = rd_u32(r);

	m->na.router = flags & NA_R;
	m->na.solicited = flags & NA_S;
	m->na.override = flags & NA_O;
	m->target = rd_addr6(r);
	if (addr6_is_multicast(&m->target) || (m->na.solicited && addr6_is_multicast(&m->dst)))
		return NDP_DROP_TARGET;
	return NDP_OK;
}

static void write_na(struct wr *w, const struct ndp_msg *m)
{
	wr_u32(w, (m->na.router ? NA_R : 0) | (m->na.solicited ? NA_S : 0) |
			  (m->na.override ? NA_O : 0));
	wr_addr6(w, &m->target);
	write_lladdr(w, OPT_TLLAO, m);
}

static const struct msg_type {
	uint8_t type, min_size; /* octets from the ICMPv6 type on */
	enum ndp_verdict (*read)(struct rd *, struct ndp_msg *);
	void (*write)(struct wr *, const struct ndp_msg *); /* options included */
} msg_types[] = {
	{NDP_RS, 8, read_rs, write_rs},
	{NDP_RA, 16, read_ra, write_ra},
	{NDP_NS, 24, read_ns, write_ns},
	{NDP_NA, 24, read_na, write_na},
};

static const struct msg_type *msg_find(uint8_t type)
{
	unsigned i;

	for (i = 0; i < sizeof(msg_types) / sizeof(msg_types[0]); i++)
		if (msg_types[i].type == type)
			return &msg_types[i];
	return NULL;
}

/* The checks that all messages share (RFC 4861 s6.1, s7.1); then '*m' has type and addresses. */
static enum ndp_verdict check(const struct ip6_pkt *p, const struct msg_type **t, struct ndp_msg *m)
{
	struct rd r = rd_init(p->payload, p->payload_size);

	if (p->proto != IP6_PROTO_ICMP6 || p->payload_off != IP6_HDR_SIZE)
		return NDP_IGNORE;
	m->type = rd_u8(&r);
	if (!rd_ok(&r))
		return NDP_DROP_SHORT;
	*t = msg_find(m->type);
	if (!*t)
		return NDP_IGNORE;
	if (p->hop_limit != HOP_LIMIT)
		return NDP_DROP_HOPS;
	if (ip6_csum(&p->src, &p->dst, IP6_PROTO_ICMP6, p->payload, p->payload_size) != 0)
		return NDP_DROP_CSUM;
	if (rd_u8(&r) != 0)
		return NDP_DROP_CODE;
	if (p->payload_size < (*t)->min_size)
		return NDP_DROP_SHORT;
	if (addr6_is_multicast(&p->src)) /* RFC 4291 s2.7 */
		return NDP_DROP_SOURCE;
	m->src = p->src;
	m->dst = p->dst;
	return NDP_OK;
}

enum ndp_verdict ndp_decode(const void *pkt, size_t size, struct ndp_msg *out)
{
	enum ip6_verdict chain;
	const struct msg_type *t;
	enum ndp_verdict v;
	struct ndp_msg m;
	struct ip6_pkt p;
	struct rd r;

	chain = ip6_decode(pkt, size, &p);
	if (chain != IP6_OK)
		return chain == IP6_DROP_SHORT ? NDP_DROP_SHORT : NDP_IGNORE;
	memset(&m, 0, sizeof(m)); /* the whole union, not its first member only */
	v = check(&p, &t, &m);
	if (v != NDP_OK)
		return v;
	r = rd_init(p.payload, p.payload_size);
	rd_skip(&r, ICMP6_HDR_SIZE);
	v = t->read(&r, &m);
	if (v == NDP_OK)
		v = read_options(&r, &m);
	if (v != NDP_OK)
		return v;
	if (m.has_lladdr && m.type != NDP_NA && addr6_is_any(&m.src))
		return NDP_DROP_SOURCE;
	*out = m;
	return NDP_OK;
}

int ndp_encode(const struct ndp_msg *m, void *buf, size_t size)
{
	uint8_t icmp[NDP_MAX_SIZE];
	struct wr w = wr_init(icmp, sizeof(icmp));
	const struct msg_type *t = msg_find(m->type);
	struct ip6_pkt p = {.src = m->src,
		.dst = m->dst,
		.hop_limit = HOP_LIMIT,
		.proto = IP6_PROTO_ICMP6,
		.payload = icmp};
	uint16_t csum;

	assert(t);
	wr_u8(&w, m->type);
	wr_zero(&w, 3); /* Code, Checksum */
	t->write(&w, m);
	assert(wr_ok(&w)); /* RA with all options: 16 + 8 + 8 + 16 * 32 + 8 + 8 octets */
	p.payload_size = wr_off(&w);
	csum = ip6_csum(&p.src, &p.dst, IP6_PROTO_ICMP6, icmp, p.payload_size);
	memcpy(icmp + OFF_CSUM, &csum, sizeof(csum));
	return ip6_encode(&p, buf, size);
}

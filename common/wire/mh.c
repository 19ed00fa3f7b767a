/* mh.c - Mobility Header messages: one table of message types, one of options. */
#include "common/wire/mh.h"
#include "common/wire/quote.h"
#include <assert.h>
#include <errno.h>
#include "common/core/rd.h"

enum {
	OPT_PAD1,
	OPT_PADN,
	OPT_REFRESH,
	OPT_ALT_COA,
	OPT_NONCE,
	OPT_AUTH,
	OPT_MNP,
	OPT_ID = 8,
	OPT_MAC,
	OPT_STAMP,
	OPT_RESTART = 28,
	OPT_IPV4_HOA = 29,
	N_OPTS = 32, /* a mask holds no more */
};
#define BIT(opt) (1u << (opt))

enum { OFF_PROTO = 0, OFF_LEN = 1, OFF_CSUM = 4, HDR_SIZE = 8 };
enum { ID_NAI = 1, ENDS_AT_8N = 8 };
enum { ICMP6_PROTO = 58, HOP_LIMIT = 64 };

/* --- fixed parts, from offset 6 --- */

/* Lifetimes travel in units of 4 s, 16 bits. */
static uint16_t units(uint32_t s)
{
	return s / 4 > UINT16_MAX ? UINT16_MAX : (uint16_t)(s / 4);
}

static void read_brr(struct rd *r, struct mh_msg *m)
{
	(void)m;
	rd_skip(r, 2);
}

static void write_brr(struct wr *w, const struct mh_msg *m)
{
	(void)m;
	wr_zero(w, 2);
}

static void read8(struct rd *r, uint8_t out[8])
{
	const uint8_t *p = rd_bytes(r, 8);

	if (p)
		memcpy(out, p, 8);
}

static void read_init(struct rd *r, struct mh_msg *m)
{
	rd_skip(r, 2);
	read8(r, m->test.cookie);
}

static void write_init(struct wr *w, const struct mh_msg *m)
{
	wr_zero(w, 2);
	wr_bytes(w, m->test.cookie, sizeof(m->test.cookie));
}

static void read_test(struct rd *r, struct mh_msg *m)
{
	m->test.nonce = rd_u16(r);
	read8(r, m->test.cookie);
	read8(r, m->test.token);
}

static void write_test(struct wr *w, const struct mh_msg *m)
{
	wr_u16(w, m->test.nonce);
	wr_bytes(w, m->test.cookie, sizeof(m->test.cookie));
	wr_bytes(w, m->test.token, sizeof(m->test.token));
}

static void read_bu(struct rd *r, struct mh_msg *m)
{
	m->bu.seq = rd_u16(r);
	m->bu.flags = rd_u16(r);
	m->bu.lifetime_s = rd_u16(r) * 4u;
}

static void write_bu(struct wr *w, const struct mh_msg *m)
{
	wr_u16(w, m->bu.seq);
	wr_u16(w, m->bu.flags);
	wr_u16(w, units(m->bu.lifetime_s));
}

static void read_ba(struct rd *r, struct mh_msg *m)
{
	m->ba.status = rd_u8(r);
	m->ba.flags = rd_u8(r);
	m->ba.seq = rd_u16(r);
	m->ba.lifetime_s = rd_u16(r) * 4u;
}

static void write_ba(struct wr *w, const struct mh_msg *m)
{
	wr_u8(w, m->ba.status);
	wr_u8(w, m->ba.flags);
	wr_u16(w, m->ba.seq);
	wr_u16(w, units(m->ba.lifetime_s));
}

static void read_be(struct rd *r, struct mh_msg *m)
{
	m->be.status = rd_u8(r);
	rd_skip(r, 1);
	m->be.hoa = rd_addr6(r);
}

static void write_be(struct wr *w, const struct mh_msg *m)
{
	wr_u8(w, m->be.status);
	wr_u8(w, 0);
	wr_addr6(w, &m->be.hoa);
}

static void read_has(struct rd *r, struct mh_msg *m)
{
	unsigned n = rd_u8(r);

	rd_skip(r, 1);
	for (unsigned i = 0; i < n; i++) {
		struct in6_addr a = rd_addr6(r);

		if (m->has.n < MH_MAX_HAS)
			m->has.ha[m->has.n++] = a;
	}
}

static void write_has(struct wr *w, const struct mh_msg *m)
{
	assert(m->has.n <= MH_MAX_HAS);
	wr_u8(w, (uint8_t)m->has.n);
	wr_u8(w, 0);
	for (unsigned i = 0; i < m->has.n; i++)
		wr_addr6(w, &m->has.ha[i]);
}

enum { HB_UNSOLICITED = 2, HB_RESPONSE = 1 };

static void read_hb(struct rd *r, struct mh_msg *m)
{
	uint16_t flags = rd_u16(r);

	m->hb.unsolicited = flags & HB_UNSOLICITED;
	m->hb.response = flags & HB_RESPONSE;
	m->hb.seq = rd_u32(r);
}

static void write_hb(struct wr *w, const struct mh_msg *m)
{
	wr_u16(w, (uint16_t)((m->hb.unsolicited ? HB_UNSOLICITED : 0) |
			     (m->hb.response ? HB_RESPONSE : 0)));
	wr_u32(w, m->hb.seq);
}

#define BR_FLAGS (MH_BR_P | MH_BR_V | MH_BR_G)

static void read_br(struct rd *r, struct mh_msg *m)
{
	m->br.type = rd_u8(r);
	m->br.code = rd_u8(r);
	m->br.seq = rd_u16(r);
	m->br.flags = rd_u16(r) & BR_FLAGS;
}

static void write_br(struct wr *w, const struct mh_msg *m)
{
	wr_u8(w, m->br.type);
	wr_u8(w, m->br.code);
	wr_u16(w, m->br.seq);
	wr_u16(w, m->br.flags & BR_FLAGS);
}

static const struct msg_type { /* read == NULL: unknown */
	uint8_t min_len;       /* Header Len: units of 8 octets after the first 8 */
	uint32_t options;      /* BIT()s of those it may carry */
	void (*read)(struct rd *, struct mh_msg *);
	void (*write)(struct wr *, const struct mh_msg *);
} msg_types[] = {
	[MH_BRR] = {0, 0, read_brr, write_brr},
	[MH_HOTI] = {1, 0, read_init, write_init},
	[MH_COTI] = {1, 0, read_init, write_init},
	[MH_HOT] = {2, 0, read_test, write_test},
	[MH_COT] = {2, 0, read_test, write_test},
	[MH_BU] = {1,
		BIT(OPT_ALT_COA) | BIT(OPT_NONCE) | BIT(OPT_MNP) | BIT(OPT_AUTH) | BIT(OPT_ID) |
			BIT(OPT_STAMP) | BIT(OPT_MAC),
		read_bu, write_bu},
	[MH_BA] = {1,
		BIT(OPT_REFRESH) | BIT(OPT_AUTH) | BIT(OPT_ID) | BIT(OPT_STAMP) | BIT(OPT_MAC),
		read_ba, write_ba},
	[MH_BE] = {2, 0, read_be, write_be},
	[MH_HAS] = {0, BIT(OPT_REFRESH), read_has, write_has},
	[MH_HB] = {1, BIT(OPT_RESTART), read_hb, write_hb},
	[MH_BR] = {1, BIT(OPT_IPV4_HOA), read_br, write_br},
};
#define N_MSG_TYPES (sizeof(msg_types) / sizeof(msg_types[0]))

/* --- options: what follows Type and Length; read returns false to have the message dropped --- */

static unsigned n_refresh(const struct mh_opts *o)
{
	return units(o->refresh_s) > 0;
}

static bool read_refresh(struct rd *r, struct mh_opts *o)
{
	o->refresh_s = rd_u16(r) * 4u;
	return true;
}

static void write_refresh(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u16(w, units(o->refresh_s));
}

static unsigned n_alt_coa(const struct mh_opts *o)
{
	return !addr6_is_any(&o->alt_coa);
}

static bool read_alt_coa(struct rd *r, struct mh_opts *o)
{
	o->alt_coa = rd_addr6(r);
	/* A care-of address of :: is to be dropped silently (s6.1.7), and must not pass for a
	 * message without the option, whose source address would be registered instead. */
	return !addr6_is_any(&o->alt_coa);
}

static void write_alt_coa(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_addr6(w, &o->alt_coa);
}

static unsigned n_nonce(const struct mh_opts *o)
{
	return o->has_nonce;
}

static bool read_nonce(struct rd *r, struct mh_opts *o)
{
	o->has_nonce = true;
	o->home_nonce = rd_u16(r);
	o->careof_nonce = rd_u16(r);
	return true;
}

static void write_nonce(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u16(w, o->home_nonce);
	wr_u16(w, o->careof_nonce);
}

static unsigned n_mnp(const struct mh_opts *o)
{
	assert(o->n_mnp <= MH_MAX_MNP);
	return o->n_mnp;
}

static bool read_mnp(struct rd *r, struct mh_opts *o)
{
	bool good = rd_left(r) == 18 && o->n_mnp < MH_MAX_MNP;
	struct prefix6 *p;
	uint8_t len;

	rd_skip(r, 1);
	len = rd_u8(r);
	if (!good || len > 128) {
		o->mnp_bad = true;
		return true;
	}
	p = &o->mnp[o->n_mnp++]; /* in place: a copy would bring its padding along */
	p->len = len;
	p->addr = rd_addr6(r);
	return true;
}

static void write_mnp(struct wr *w, const struct mh_opts *o, unsigned i)
{
	wr_u8(w, 0);
	wr_u8(w, o->mnp[i].len);
	wr_addr6(w, &o->mnp[i].addr);
}

static unsigned n_auth(const struct mh_opts *o)
{
	assert(o->auth_size <= MH_MAX_AUTH);
	return o->auth_size > 0;
}

static bool read_auth(struct rd *r, struct mh_opts *o)
{
	size_t size = rd_left(r);

	if (size > MH_MAX_AUTH) {
		o->auth_misplaced = true;
		return true;
	}
	memset(o->auth, 0, sizeof(o->auth));
	memcpy(o->auth, rd_bytes(r, size), size);
	o->auth_size = (uint8_t)size;
	return true;
}

static void write_auth(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_bytes(w, o->auth, o->auth_size);
}

static unsigned n_restart(const struct mh_opts *o)
{
	return o->has_restart;
}

static bool read_restart(struct rd *r, struct mh_opts *o)
{
	o->has_restart = true;
	o->restart = rd_u32(r);
	return true;
}

static void write_restart(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u32(w, o->restart);
}

static unsigned n_ipv4_hoa(const struct mh_opts *o)
{
	return o->has_ipv4_hoa;
}

/* Its prefix length and flag (RFC 5555) say nothing in a Binding Revocation. */
static bool read_ipv4_hoa(struct rd *r, struct mh_opts *o)
{
	rd_skip(r, 2);
	o->has_ipv4_hoa = true;
	memcpy(o->ipv4_hoa, rd_bytes(r, 4), 4);
	return true;
}

static void write_ipv4_hoa(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u8(w, 32 << 2);
	wr_u8(w, 0);
	wr_bytes(w, o->ipv4_hoa, 4);
}

static unsigned n_id(const struct mh_opts *o)
{
	assert(o->id_size <= MH_MAX_ID);
	return o->id_size > 0;
}

static bool read_id(struct rd *r, struct mh_opts *o)
{
	uint8_t subtype = rd_u8(r);
	size_t size = rd_left(r);

	if (subtype != ID_NAI || size == 0 || size > MH_MAX_ID)
		return true;
	memset(o->id, 0, sizeof(o->id));
	memcpy(o->id, rd_bytes(r, size), size);
	o->id_size = (uint8_t)size;
	return true;
}

static void write_id(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u8(w, ID_NAI);
	wr_bytes(w, o->id, o->id_size);
}

static unsigned n_stamp(const struct mh_opts *o)
{
	return o->has_stamp;
}

static bool read_stamp(struct rd *r, struct mh_opts *o)
{
	o->has_stamp = true;
	o->stamp = (uint64_t)rd_u32(r) << 32;
	o->stamp |= rd_u32(r);
	return true;
}

static void write_stamp(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u32(w, (uint32_t)(o->stamp >> 32));
	wr_u32(w, (uint32_t)o->stamp);
}

static unsigned n_mac(const struct mh_opts *o)
{
	assert(o->mac.size <= MH_MAX_MAC);
	return o->mac.size > 0;
}

static bool read_mac(struct rd *r, struct mh_opts *o)
{
	uint8_t subtype = rd_u8(r);
	uint32_t spi = rd_u32(r);
	size_t size = rd_left(r);

	if (!rd_ok(r) || size == 0 || size > MH_MAX_MAC || o->mac.size > 0) {
		o->mac.misplaced = true;
		return true;
	}
	o->mac.subtype = subtype;
	o->mac.spi = spi;
	o->mac.size = (uint8_t)size;
	memcpy(o->mac.data, rd_bytes(r, size), size);
	return true;
}

static void write_mac(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u8(w, o->mac.subtype);
	wr_u32(w, o->mac.spi);
	wr_bytes(w, o->mac.data, o->mac.size);
}

static uint8_t opt_size(uint8_t type, const struct mh_opts *o)
{
	switch (type) {
	case OPT_AUTH: return o->auth_size;
	case OPT_ID: return 1 + o->id_size;
	default: return 5 + o->mac.size;
	}
}

/* In the order they are written: the Authorization Data stands last (s6.2.7), and so does the
 * authentication option (RFC 4285 s5.1), never with it. */
static const struct opt_type {
	uint8_t type, size; /* of the data, octets; 0: see opt_size() */
	bool any_size;      /* read() judges the length; else another length makes it unknown */
	uint8_t x, y;       /* the Type octet stands at x * n + y from the header's start */
	unsigned (*count)(const struct mh_opts *);
	bool (*read)(struct rd *, struct mh_opts *);
	void (*write)(struct wr *, const struct mh_opts *, unsigned i);
} opt_types[] = {
	{OPT_REFRESH, 2, false, 2, 0, n_refresh, read_refresh, write_refresh},
	{OPT_ALT_COA, 16, false, 8, 6, n_alt_coa, read_alt_coa, write_alt_coa},
	{OPT_NONCE, 4, false, 2, 0, n_nonce, read_nonce, write_nonce},
	{OPT_MNP, 18, true, 8, 4, n_mnp, read_mnp, write_mnp},
	{OPT_ID, 0, true, 1, 0, n_id, read_id, write_id},
	{OPT_STAMP, 8, false, 8, 2, n_stamp, read_stamp, write_stamp},
	{OPT_RESTART, 4, false, 4, 2, n_restart, read_restart, write_restart},
	{OPT_IPV4_HOA, 6, false, 4, 0, n_ipv4_hoa, read_ipv4_hoa, write_ipv4_hoa},
	{OPT_AUTH, 0, true, 8, ENDS_AT_8N, n_auth, read_auth, write_auth},
	{OPT_MAC, 0, true, 8, ENDS_AT_8N, n_mac, read_mac, write_mac},
};
#define N_OPT_TYPES (sizeof(opt_types) / sizeof(opt_types[0]))

static const struct opt_type *opt_find(uint8_t type)
{
	unsigned i;

	for (i = 0; i < N_OPT_TYPES; i++)
		if (opt_types[i].type == type)
			return &opt_types[i];
	return NULL;
}

static bool read_options(struct rd *r, uint32_t allowed, struct mh_opts *o)
{
	while (rd_left(r) > 0) {
		const struct opt_type *t;
		uint8_t type = rd_u8(r);
		struct rd body;

		if (type == OPT_PAD1)
			continue;
		body = rd_sub(r, rd_u8(r));
		if (!rd_ok(r))
			return false;
		if (o->mac.size > 0 && type != OPT_PADN)
			o->mac.misplaced = true;
		t = type < N_OPTS ? opt_find(type) : NULL;
		if (!t || !(allowed & BIT(type)) || (!t->any_size && rd_left(&body) != t->size))
			continue;
		if (!t->read(&body, o))
			return false;
		if (type == OPT_AUTH && rd_left(r) > 0)
			o->auth_misplaced = true;
		if (type == OPT_MAC)
			o->mac.tail = (uint16_t)rd_left(r);
	}
	return true;
}

/* Pads until the next octet stands at x * n + y. */
static void pad(struct wr *w, unsigned x, unsigned y)
{
	size_t n = (x + y - wr_off(w) % x) % x;

	if (n == 1)
		wr_u8(w, OPT_PAD1);
	if (n < 2)
		return;
	wr_u8(w, OPT_PADN);
	wr_u8(w, (uint8_t)(n - 2));
	wr_zero(w, n - 2);
}

static void write_options(struct wr *w, uint32_t allowed, const struct mh_opts *o)
{
	unsigned i, k, n;

	for (k = 0; k < N_OPT_TYPES; k++) {
		const struct opt_type *t = &opt_types[k];
		uint8_t size = t->size > 0 ? t->size : opt_size(t->type, o);

		n = allowed & BIT(t->type) ? t->count(o) : 0;
		for (i = 0; i < n; i++) {
			pad(w, t->x, t->y == ENDS_AT_8N ? -(2u + size) % 8 : t->y);
			wr_u8(w, t->type);
			wr_u8(w, size);
			t->write(w, o, i);
		}
	}
	pad(w, 8, 0);
}

/* --- messages --- */

enum mh_verdict mh_decode(const void *buf, size_t size, struct mh_msg *out, unsigned *where)
{
	struct rd r = rd_init(buf, size), body;
	struct mh_msg m;
	uint8_t proto = rd_u8(&r), len = rd_u8(&r);
	const struct msg_type *t;

	*where = 0;
	memset(&m, 0, sizeof(m)); /* the whole union, not its first member only */
	m.type = rd_u8(&r);
	if (size < HDR_SIZE)
		return MH_DROP_SHORT;
	if (m.type >= N_MSG_TYPES || !msg_types[m.type].read)
		return MH_DROP_TYPE;
	t = &msg_types[m.type];
	if (proto != IP6_PROTO_NONE) {
		*where = OFF_PROTO;
		return MH_DROP_PROTO;
	}
	if (len < t->min_len) {
		*where = OFF_LEN;
		return MH_DROP_LEN;
	}
	rd_skip(&r, 3); /* Reserved, Checksum */
	body = rd_sub(&r, (len + 1u) * 8 - rd_off(&r));
	if (!rd_ok(&r))
		return MH_DROP_SHORT;
	t->read(&body, &m);
	if (!rd_ok(&body)) { /* it says that it has more in it than fits */
		*where = OFF_LEN;
		return MH_DROP_LEN;
	}
	if (!read_options(&body, t->options, &m.o))
		return MH_DROP_OPTION;
	*out = m;
	return MH_OK;
}

int mh_encode(const struct mh_msg *m, void *buf, size_t size)
{
	struct wr w = wr_init(buf, size);
	const struct msg_type *t;

	assert(m->type < N_MSG_TYPES && msg_types[m->type].write);
	t = &msg_types[m->type];
	wr_u8(&w, IP6_PROTO_NONE);
	wr_u8(&w, 0); /* Header Len, below */
	wr_u8(&w, m->type);
	wr_zero(&w, 3);
	t->write(&w, m);
	write_options(&w, t->options, &m->o);
	if (!wr_ok(&w))
		return -EMSGSIZE;
	w.start[OFF_LEN] = (uint8_t)(wr_off(&w) / 8 - 1);
	return (int)wr_off(&w);
}

/* --- packets --- */

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
	struct ip6_pkt p = {.src = *src, .hop_limit = HOP_LIMIT, .proto = ICMP6_PROTO};
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
	csum = ip6_csum(&p.src, &p.dst, ICMP6_PROTO, icmp, p.payload_size);
	memcpy(icmp + 2, &csum, sizeof(csum));
	n = ip6_encode(&p, buf, size);
	return n < 0 ? -EINVAL : n;
}

const char *mh_status_str(unsigned status)
{
	switch (status) {
#define X(number, name, text) \
	case number: return text;
		MH_STATUSES(X)
#undef X
	}
	return "unknown status";
}

const char *mh_bra_str(unsigned status)
{
	switch (status) {
#define X(number, name, text) \
	case number: return text;
		MH_BRA_STATUSES(X)
#undef X
	}
	return "unknown status";
}

/* mh.c - Mobility Header messages: one table of message types.  Options: mh_opt.c; the packets they
 * travel in: mh_packet.c. */
#include "common/wire/mh.h"
#include <assert.h>
#include <errno.h>
#include "common/core/rd.h"
#include "common/wire/mh_opt.h"

enum { OFF_PROTO = 0, OFF_LEN = 1, HDR_SIZE = 8 };

/* --- fixed parts, from offset 6 --- */

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
	wr_u16(w, mh_units(m->bu.lifetime_s));
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
	wr_u16(w, mh_units(m->ba.lifetime_s));
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
	uint32_t options;      /* MH_OPT_BIT()s of those it may carry */
	void (*read)(struct rd *, struct mh_msg *);
	void (*write)(struct wr *, const struct mh_msg *);
} msg_types[] = {
	[MH_BRR] = {0, 0, read_brr, write_brr},
	[MH_HOTI] = {1, 0, read_init, write_init},
	[MH_COTI] = {1, 0, read_init, write_init},
	[MH_HOT] = {2, 0, read_test, write_test},
	[MH_COT] = {2, 0, read_test, write_test},
	[MH_BU] = {1,
		MH_OPT_BIT(OPT_ALT_COA) | MH_OPT_BIT(OPT_NONCE) | MH_OPT_BIT(OPT_MNP) |
			MH_OPT_BIT(OPT_AUTH) | MH_OPT_BIT(OPT_ID) | MH_OPT_BIT(OPT_STAMP) |
			MH_OPT_BIT(OPT_MAC),
		read_bu, write_bu},
	[MH_BA] = {1,
		MH_OPT_BIT(OPT_REFRESH) | MH_OPT_BIT(OPT_AUTH) | MH_OPT_BIT(OPT_ID) |
			MH_OPT_BIT(OPT_STAMP) | MH_OPT_BIT(OPT_MAC),
		read_ba, write_ba},
	[MH_BE] = {2, 0, read_be, write_be},
	[MH_HAS] = {0, MH_OPT_BIT(OPT_REFRESH), read_has, write_has},
	[MH_HB] = {1, MH_OPT_BIT(OPT_RESTART), read_hb, write_hb},
	[MH_BR] = {1, MH_OPT_BIT(OPT_IPV4_HOA), read_br, write_br},
};
#define N_MSG_TYPES (sizeof(msg_types) / sizeof(msg_types[0]))

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
	if (!mh_opt_read(&body, t->options, &m.o))
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
	mh_opt_write(&w, t->options, &m->o);
	if (!wr_ok(&w))
		return -EMSGSIZE;
	w.start[OFF_LEN] = (uint8_t)(wr_off(&w) / 8 - 1);
	return (int)wr_off(&w);
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

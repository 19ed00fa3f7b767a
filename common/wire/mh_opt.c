/* mh_opt.c - mobility options (RFC 6275 s6.2, RFC 3963 s4.3, RFC 4283, RFC 4285, RFC 5847, RFC
 * 5846): one table. */
#include "common/wire/mh_opt.h"
#include <assert.h>

enum { ID_NAI = 1, ENDS_AT_8N = 8 };

/* Each reads what follows Type and Length; false has the message dropped. */

static unsigned n_refresh(const struct mh_opts *o)
{
	return mh_units(o->refresh_s) > 0;
}

static bool read_refresh(struct rd *r, struct mh_opts *o)
{
	o->refresh_s = rd_u16(r) * 4u;
	return true;
}

static void write_refresh(struct wr *w, const struct mh_opts *o, unsigned i)
{
	(void)i;
	wr_u16(w, mh_units(o->refresh_s));
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

bool mh_opt_read(struct rd *r, uint32_t allowed, struct mh_opts *o)
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
		if (!t || !(allowed & MH_OPT_BIT(type)) ||
			(!t->any_size && rd_left(&body) != t->size))
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

void mh_opt_write(struct wr *w, uint32_t allowed, const struct mh_opts *o)
{
	unsigned i, k, n;

	for (k = 0; k < N_OPT_TYPES; k++) {
		const struct opt_type *t = &opt_types[k];
		uint8_t size = t->size > 0 ? t->size : opt_size(t->type, o);

		n = allowed & MH_OPT_BIT(t->type) ? t->count(o) : 0;
		for (i = 0; i < n; i++) {
			pad(w, t->x, t->y == ENDS_AT_8N ? -(2u + size) % 8 : t->y);
			wr_u8(w, t->type);
			wr_u8(w, size);
			t->write(w, o, i);
		}
	}
	pad(w, 8, 0);
}

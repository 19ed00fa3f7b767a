/* error.c - ICMP errors (RFC 7915 s4.2, s4.3, s5.2, s5.3): the message, the packet that it quotes,
 * and the extensions behind that (RFC 4884).  The result is built in one piece: it is small, and
 * its checksum covers all of it.
 *
 * The quoted packet runs the other way and may be cut anywhere: lengths are those in its header. */
#include <string.h>
#include "nat64/core/icmp.h"
#include "nat64/job.h"

#define MIN_FIELD  128 /* octets of quote, padded, in front of extensions (RFC 4884 s3) */
#define MAX_EXT4   576 /* IPv4 message with extensions (s7) */
#define OBJECT     24  /* octets of an RFC 5837 object with an IPv6 address */
#define CLASS_INFO 2   /* interface information */
#define CTYPE_ADDR 4   /* role 0, the incoming interface: its address */
#define CTYPE_ROLE 0xc0
#define MAX_EXT    (MAX_EXT4 - 28 - MIN_FIELD)

struct message {
	const uint8_t *msg; /* all of the ICMP message */
	size_t size;
	const uint8_t *quote, *ext;
	size_t quote_size, ext_size;
};

struct result {
	uint8_t pkt[XLAT_MIN_MTU6];
	size_t size;
};

bool nat64_is_error4(const struct xlat4 *x)
{
	return x->proto == XLAT_ICMP && !(x->frag & (XLAT_MF | XLAT_OFFSET)) && x->l4_size >= 8 &&
	       (x->l4[0] == 3 || x->l4[0] == 11 || x->l4[0] == 12);
}

bool nat64_is_error6(const struct xlat6 *x)
{
	return x->proto == XLAT_ICMP6 && !(x->frag & 0xfff9) && x->l4_size >= 8 && x->l4[0] >= 1 &&
	       x->l4[0] <= 4;
}

/* 'field': octets that the length octet speaks of.  A length that makes no sense is none. */
static struct message open_message(const uint8_t *msg, size_t size, size_t field)
{
	struct message m = {.msg = msg, .size = size, .quote = msg + 8, .quote_size = size - 8};

	if (field >= MIN_FIELD && field + 8 <= m.quote_size) {
		m.ext = m.quote + field;
		m.ext_size = m.quote_size - field;
		m.quote_size = field;
	}
	return m;
}

/* Outer header, ICMP header, quoted packet, padding, extensions.  The checksum is 0. */
static void build(struct result *r, const struct nat64_plan *outer, struct icmp_head h,
	const struct nat64_plan *inner, const struct nat64_body *b, const struct message *m,
	size_t max)
{
	bool is6 = outer->hdr_size == 40;
	size_t start = outer->hdr_size + 8u, unit = is6 ? 8 : 4, field;
	size_t ext = h.has_length ? m->ext_size : 0, max_ext = is6 ? max : MAX_EXT4;
	const struct {
		const uint8_t *at;
		size_t size;
	} parts[3] = {
		{inner->hdr, inner->hdr_size}, {b->head, b->head_size}, {b->rest, b->rest_size}};

	if (max_ext > max)
		max_ext = max;
	if (start + MIN_FIELD + ext > max_ext)
		ext = 0;
	if (ext)
		max = start + ((max_ext - start - ext) & ~(unit - 1));
	memcpy(r->pkt, outer->hdr, outer->hdr_size);
	r->size = start;
	for (unsigned i = 0; i < 3; i++) {
		size_t n = parts[i].size < max - r->size ? parts[i].size : max - r->size;

		if (n)
			memcpy(r->pkt + r->size, parts[i].at, n);
		r->size += n;
	}
	if (ext) {
		field = (r->size - start + unit - 1) & ~(unit - 1);
		if (field < MIN_FIELD)
			field = MIN_FIELD;
		memset(r->pkt + r->size, 0, start + field - r->size);
		memcpy(r->pkt + start + field, m->ext, ext);
		r->size = start + field + ext;
		h.word |= (uint32_t)(field / unit) << (is6 ? 24 : 16);
	}
	put16(r->pkt + start - 8, (unsigned)h.type << 8 | h.code);
	put16(r->pkt + start - 6, 0);
	put32(r->pkt + start - 4, h.word);
}

static uint32_t pseudo6(const uint8_t *addrs, size_t size)
{
	return csum_add(csum_of(addrs, 32), csum_host16((uint16_t)size) + csum_host16(XLAT_ICMP6));
}

/* The new checksum: right if the old one was, else as wrong as it. */
static void put_csum(struct result *r, size_t start, const struct message *m, uint32_t added)
{
	uint16_t field;
	uint32_t delta = csum_add(csum_of(r->pkt + start, r->size - start), added);

	memcpy(&field, m->msg + 2, 2);
	delta = csum_sub(delta, csum_sub(csum_of(m->msg, m->size), field));
	field = csum_fix(field, delta);
	memcpy(r->pkt + start + 2, &field, 2);
}

/* --- IPv4 to IPv6 --- */

static enum nat64_reason quoted_why(const struct nat64_plan *p)
{
	switch (p->why) {
	case NAT64_unmapped_src4:
	case NAT64_unmapped_dst4:
	case NAT64_unmapped_src6:
	case NAT64_unmapped_dst6: return NAT64_quoted_address;
	case NAT64_segments_left: return NAT64_quoted_protocol;
	default: return NAT64_bad_quote;
	}
}

/* May it have been translated, and is it no error itself? */
static enum nat64_reason check_quoted4(const struct xlat4 *x)
{
	switch (x->proto) {
	case XLAT_IGMP:
	case XLAT_HOPOPTS:
	case XLAT_ROUTING:
	case XLAT_FRAGMENT:
	case XLAT_DSTOPTS:
	case XLAT_ICMP6: return NAT64_quoted_protocol;
	case XLAT_ICMP: break;
	default: return NAT64_translated_4to6;
	}
	if ((x->frag & XLAT_OFFSET) || !x->l4_size || x->l4[0] == 0 || x->l4[0] == 8)
		return NAT64_translated_4to6;
	return x->l4[0] == 3 || x->l4[0] == 4 || x->l4[0] == 5 || x->l4[0] == 11 || x->l4[0] == 12
		       ? NAT64_quoted_error
		       : NAT64_quoted_protocol;
}

enum nat64_reason nat64_error46(const struct nat64_job *j, struct xlat4 *x)
{
	const uint8_t *msg = j->in->pkt + x->ihl;
	struct message m = open_message(msg, (size_t)x->total - x->ihl, msg[5] * 4u);
	bool hairpin = (x->flags & XLAT_BACK) || j->n->conf.hairpin == NAT64_HAIRPIN_SIMPLE;
	struct xlat4 q = {.flags = XLAT_QUOTED | (hairpin ? XLAT_DST_PLAIN : 0)};
	struct nat64_plan outer, inner;
	struct icmp_head h;
	struct nat64_body b;
	struct result r;
	enum nat64_reason why;
	size_t there;

	if (!m.quote_size || m.quote[0] >> 4 != 4)
		return NAT64_bad_quote;
	if (!nat64_head4(m.quote, m.quote_size, &q, &inner))
		return quoted_why(&inner);
	why = icmp_error46(&j->n->conf, msg, q.total, &h);
	if (why == NAT64_translated_4to6)
		why = check_quoted4(&q);
	if (why != NAT64_translated_4to6)
		return why;
	x->flags |= XLAT_ERROR | (hairpin && x->src == q.dst ? XLAT_SRC_PLAIN : 0);
	nat64_plan46(j->n, x, j->in->random, &outer);
	if (outer.why != NAT64_translated_4to6)
		return nat64_refuse4(j, x, &outer);
	nat64_plan46(j->n, &q, j->in->random, &inner);
	if (inner.why != NAT64_translated_4to6)
		return quoted_why(&inner);
	there = (q.total < m.quote_size ? q.total : m.quote_size) - q.ihl;
	nat64_fill_body(&b, &inner, q.l4, q.l4_size, m.quote + q.ihl, there, false, q.proto);
	build(&r, &outer, h, &inner, &b, &m, XLAT_MIN_MTU6);
	put16(r.pkt + 4, (unsigned)r.size - 40);
	put_csum(&r, 40, &m, pseudo6(r.pkt + 8, r.size - 40));
	nat64_emit_octets(j, r.pkt, r.size, false);
	return NAT64_translated_4to6;
}

/* --- IPv6 to IPv4 --- */

static enum nat64_reason check_quoted6(const struct xlat6 *x)
{
	switch (x->proto) {
	case XLAT_HOPOPTS:
	case XLAT_ROUTING:
	case XLAT_FRAGMENT:
	case XLAT_DSTOPTS:
	case XLAT_ICMP: return NAT64_quoted_protocol;
	case XLAT_ICMP6: break;
	default: return NAT64_translated_6to4;
	}
	if (!xlat_is_first6(x) || !x->l4_size || x->l4[0] == 128 || x->l4[0] == 129)
		return NAT64_translated_6to4;
	return x->l4[0] < 128 ? NAT64_quoted_error : NAT64_quoted_protocol;
}

/* Is there an object about the incoming interface already, or is it no extension at all? */
static bool takes_object(const uint8_t *ext, size_t size)
{
	size_t at = 4, n;

	if (size < 4 || ext[0] >> 4 != 2)
		return false;
	for (; at < size; at += n) {
		n = size - at < 4 ? 0 : get16(ext + at);
		if (n < 4 || n % 4 || n > size - at)
			return false;
		if (ext[at + 2] == CLASS_INFO && !(ext[at + 3] & CTYPE_ROLE))
			return false;
	}
	return true;
}

/* RFC 6791 s4: which node the error is from, as its IPv4 source doesn't say.  'buf' holds MAX_EXT
 * octets. */
static void add_origin(struct message *m, const struct ip6 *src, uint8_t *buf)
{
	uint8_t *object;
	uint16_t csum;

	if (m->ext_size > MAX_EXT - OBJECT)
		m->ext_size = 0; /* it would not go through anyway */
	if (m->ext_size && !takes_object(m->ext, m->ext_size))
		return;
	if (m->ext_size) {
		memcpy(buf, m->ext, m->ext_size);
	} else {
		put32(buf, 0x2000dfff); /* version 2, and the checksum of just that */
		m->ext_size = 4;
	}
	object = buf + m->ext_size;
	put16(object, OBJECT);
	object[2] = CLASS_INFO;
	object[3] = CTYPE_ADDR;
	put32(object + 4, 2u << 16); /* address family: IPv6 */
	memcpy(object + 8, src, 16);
	memcpy(&csum, buf + 2, 2);
	if (csum) { /* 0: the sender did without */
		csum = csum_fix(csum, csum_of(object, OBJECT));
		memcpy(buf + 2, &csum, 2);
	}
	m->ext = buf;
	m->ext_size += OBJECT;
}

/* The outer header knows neither the new length nor that it is no longer than 1260 octets. */
static void finish4(struct result *r)
{
	put16(r->pkt + 2, (unsigned)r->size);
	put16(r->pkt + 6, 0);
	put_csum4(r->pkt);
}

/* RFC 7757 s4.2.2, set B: is it about a packet that came from one of our IPv6 nodes? */
static bool is_hairpin(const struct nat64 *n, const struct nat64_plan *inner)
{
	__be32 src;

	memcpy(&src, inner->hdr + 12, 4);
	return n->conf.hairpin == NAT64_HAIRPIN_INTRINSIC && inner->by_src == NAT64_BY_PREFIX &&
	       addr_find4(&n->conf, n->table, src);
}

/* Carries the plans out. */
static enum nat64_reason emit64(const struct nat64_job *j, const struct nat64_plan *outer,
	struct icmp_head h, const struct nat64_plan *inner, const struct nat64_body *b,
	const struct message *m)
{
	size_t max = j->n->conf.mtu4 < XLAT_MAX_DF0 ? j->n->conf.mtu4 : XLAT_MAX_DF0;
	struct nat64_packet between = {.n_iov = 1};
	struct result r;

	build(&r, outer, h, inner, b, m, max < 68 ? 68 : max);
	finish4(&r);
	put_csum(&r, 20, m, ~pseudo6(j->in->pkt + 8, m->size));
	if (is_hairpin(j->n, inner)) {
		between.iov[0] = (struct iovec){r.pkt, r.size};
		between.size = r.size;
		return nat64_translate_back(j, &between);
	}
	nat64_emit_octets(j, r.pkt, r.size, false);
	return NAT64_translated_6to4;
}

enum nat64_reason nat64_error64(const struct nat64_job *j, struct xlat6 *x)
{
	const uint8_t *msg = j->in->pkt + x->l4_off;
	bool has_length = msg[0] == 1 || msg[0] == 3;
	struct message m = open_message(
		msg, 40u + x->payload - x->l4_off, has_length ? msg[4] * 8u : 0);
	struct xlat6 q = {.flags = XLAT_QUOTED};
	struct nat64_plan outer, inner;
	uint8_t ext[MAX_EXT];
	struct icmp_head h;
	struct nat64_body b;
	enum nat64_reason why;
	size_t there;

	if (!m.quote_size || m.quote[0] >> 4 != 6)
		return NAT64_bad_quote;
	if (!nat64_head6(m.quote, m.quote_size, &q, &inner))
		return quoted_why(&inner);
	why = icmp_error64(&j->n->conf, msg, q.has_frag, &h);
	if (why == NAT64_translated_6to4)
		why = check_quoted6(&q);
	if (why != NAT64_translated_6to4)
		return why;
	x->flags |= XLAT_ERROR;
	nat64_plan64(j->n, x, j->in->random, &outer);
	if (outer.why != NAT64_translated_6to4)
		return nat64_refuse6(j, x, &outer);
	nat64_plan64(j->n, &q, j->in->random, &inner);
	if (inner.why != NAT64_translated_6to4)
		return quoted_why(&inner);
	if (outer.by_src == NAT64_BY_POOL && j->n->conf.origin_object)
		add_origin(&m, &x->src, ext);
	there = 40u + q.payload < m.quote_size ? 40u + q.payload : m.quote_size;
	nat64_fill_body(
		&b, &inner, q.l4, q.l4_size, m.quote + q.l4_off, there - q.l4_off, false, q.proto);
	return emit64(j, &outer, h, &inner, &b, &m);
}

/* translate.c - whole packets: reads the head, asks the core for a plan and carries it out, in one
 * piece, in fragments, or back to IPv6 at once. */
#include <string.h>
#include "nat64/job.h"

static void add_iov(struct nat64_packet *out, const void *base, size_t size)
{
	if (!size)
		return;
	out->iov[out->n_iov++] = (struct iovec){(void *)(uintptr_t)base, size};
	out->size += size;
}

/* 'size' octets of the body from 'from' on. */
static void add_body(struct nat64_packet *out, const struct nat64_body *b, size_t from, size_t size)
{
	if (from < b->head_size) {
		size_t n = b->head_size - from < size ? b->head_size - from : size;

		add_iov(out, b->head + from, n);
		from += n;
		size -= n;
	}
	if (size)
		add_iov(out, b->rest + (from - b->head_size), size);
}

void nat64_emit_octets(const struct nat64_job *j, const uint8_t *pkt, size_t size, bool is_error)
{
	struct nat64_packet out = {.is6 = pkt[0] >> 4 == 6, .is_error = is_error};

	add_iov(&out, pkt, size);
	j->emit(j->arg, &out);
}

void nat64_fill_body(struct nat64_body *b, const struct nat64_plan *p, const uint8_t *l4,
	uint8_t l4_size, const uint8_t *in, size_t size, bool is_partial, uint8_t proto)
{
	uint16_t field;

	memcpy(b->head, l4, l4_size);
	b->head_size = l4_size;
	b->rest = in + l4_size;
	b->rest_size = size - l4_size;
	if (p->set_l4_type)
		b->head[0] = p->l4_type;
	if (!p->csum_off)
		return;
	memcpy(&field, b->head + p->csum_off, 2);
	field = is_partial ? csum_fix_partial(field, p->csum_delta)
			   : csum_fix(field, p->csum_delta);
	if (!field && (proto == XLAT_UDP || proto == XLAT_UDPLITE) && !is_partial)
		field = 0xffff; /* zero says that there is none */
	memcpy(b->head + p->csum_off, &field, 2);
}

static void emit_whole(const struct nat64_job *j, const struct nat64_plan *p,
	const struct nat64_body *b, bool is6, bool is_partial)
{
	struct nat64_packet out = {.is6 = is6, .csum_start = is_partial ? p->hdr_size : 0};

	add_iov(&out, p->hdr, p->hdr_size);
	add_body(&out, b, 0, b->head_size + b->rest_size);
	j->emit(j->arg, &out);
}

/* The plan's header is that of the whole packet, which may be a fragment itself: offsets count on
 * from its own, and the last piece has more behind it if the packet had (s4.1, s5.1.1). */
static void emit_pieces6(
	const struct nat64_job *j, const struct nat64_plan *p, const struct nat64_body *b)
{
	size_t size = b->head_size + b->rest_size, n;
	uint16_t field = get16(p->hdr + 42);
	uint8_t hdr[48];

	memcpy(hdr, p->hdr, 48);
	for (size_t at = 0; at < size; at += n) {
		struct nat64_packet out = {.is6 = true};
		bool is_last = size - at <= p->split_unit;

		n = is_last ? size - at : p->split_unit;
		put16(hdr + 4, (unsigned)n + 8);
		put16(hdr + 42, (field & 0xfff8u) + (unsigned)at + (is_last ? field & 1u : 1u));
		add_iov(&out, hdr, 48);
		add_body(&out, b, at, n);
		j->emit(j->arg, &out);
	}
}

static void emit_pieces4(
	const struct nat64_job *j, const struct nat64_plan *p, const struct nat64_body *b)
{
	size_t size = b->head_size + b->rest_size, n;
	uint16_t field = get16(p->hdr + 6);
	uint8_t hdr[20];

	memcpy(hdr, p->hdr, 20);
	for (size_t at = 0; at < size; at += n) {
		struct nat64_packet out = {0};
		bool is_last = size - at <= p->split_unit;

		n = is_last ? size - at : p->split_unit;
		put16(hdr + 2, (unsigned)n + 20);
		put16(hdr + 6, field + (unsigned)at / 8u);
		if (!is_last)
			hdr[6] |= XLAT_MF >> 8;
		put_csum4(hdr);
		add_iov(&out, hdr, 20);
		add_body(&out, b, at, n);
		j->emit(j->arg, &out);
	}
}

/* Checksum offload: the field gets what it would have got from the network card. */
static void complete(uint8_t *l4, uint8_t proto, const uint8_t *in, size_t size)
{
	uint16_t field = (uint16_t)~csum_fold(csum_of(in, size));

	if (!field && proto == XLAT_UDP)
		field = 0xffff;
	memcpy(l4 + xlat_csum_off(proto), &field, 2);
}

static bool is_partial(const struct nat64_in *in, uint8_t proto, uint8_t l4_size)
{
	return in->partial_csum && (proto == XLAT_TCP || proto == XLAT_UDP) &&
	       l4_size >= xlat_csum_off(proto) + 2;
}

/* --- IPv4 --- */

/* s4.5: UDP without a checksum gets one.  'l4' is where all of the datagram is. */
static enum nat64_reason compute_udp(struct xlat4 *x, const uint8_t *l4)
{
	unsigned size = x->total - (unsigned)x->ihl, length = get16(x->l4 + 4);
	uint32_t sum = csum_add(x->src, x->dst);
	uint16_t field;

	if (length < 8 || length > size)
		return NAT64_bad_udp_length;
	sum = csum_add(sum, csum_host16(XLAT_UDP) + csum_host16((uint16_t)length));
	field = (uint16_t)~csum_fold(csum_add(sum, csum_of(l4, length)));
	if (!field)
		field = 0xffff;
	memcpy(x->l4 + 6, &field, 2);
	return NAT64_translated_4to6;
}

static bool wants_udp_csum(const struct nat64 *n, const struct xlat4 *x)
{
	return x->proto == XLAT_UDP && !(x->frag & (XLAT_MF | XLAT_OFFSET)) && x->l4_size >= 8 &&
	       !get16(x->l4 + 6) && !(x->flags & XLAT_PARTIAL) &&
	       n->conf.udp_zero == NAT64_UDP_ZERO_COMPUTE;
}

enum nat64_reason nat64_translate4(const struct nat64_job *j, uint8_t flags)
{
	const struct nat64_in *in = j->in;
	struct xlat4 x = {.flags = flags};
	struct nat64_plan p;
	struct nat64_body b;
	size_t size;

	if (!nat64_head4(in->pkt, in->size, &x, &p))
		return nat64_refuse4(j, &x, &p);
	if (nat64_is_error4(&x))
		return nat64_error46(j, &x);
	size = (size_t)x.total - x.ihl;
	if ((flags & XLAT_BACK) || j->n->conf.hairpin == NAT64_HAIRPIN_SIMPLE)
		x.flags |= XLAT_SRC_PLAIN;
	if (is_partial(in, x.proto, x.l4_size))
		x.flags |= XLAT_PARTIAL;
	x.gso = in->is_gso ? in->gso_size : 0;
	if (wants_udp_csum(j->n, &x)) {
		p.why = compute_udp(&x, in->pkt + x.ihl);
		if (p.why != NAT64_translated_4to6)
			return p.why;
	}
	nat64_plan46(j->n, &x, in->random, &p);
	if (p.why != NAT64_translated_4to6)
		return nat64_refuse4(j, &x, &p);
	if (p.split_unit && x.gso)
		return nat64_segment(j, x.ihl, x.proto);
	if (p.split_unit && (x.flags & XLAT_PARTIAL)) {
		complete(x.l4, x.proto, in->pkt + x.ihl, size);
		x.flags &= (uint8_t)~XLAT_PARTIAL;
	}
	nat64_fill_body(
		&b, &p, x.l4, x.l4_size, in->pkt + x.ihl, size, x.flags & XLAT_PARTIAL, x.proto);
	if (p.split_unit)
		emit_pieces6(j, &p, &b);
	else
		emit_whole(j, &p, &b, true, x.flags & XLAT_PARTIAL);
	return NAT64_translated_4to6;
}

/* --- IPv6 --- */

struct back {
	const struct nat64_job *first;
	enum nat64_reason why;
};

static void emit_back(void *arg, const struct nat64_packet *between)
{
	struct back *back = arg;

	back->why = nat64_translate_back(back->first, between);
}

enum nat64_reason nat64_translate_back(
	const struct nat64_job *first, const struct nat64_packet *between)
{
	uint8_t pkt[NAT64_IPV4_MAX];
	struct nat64_in in = {.pkt = pkt,
		.partial_csum = between->csum_start,
		.is_gso = first->in->is_gso,
		.gso_size = first->in->gso_size,
		.random = first->in->random};
	struct nat64_job j = *first;
	enum nat64_reason why;

	for (unsigned i = 0; i < between->n_iov; i++) {
		memcpy(pkt + in.size, between->iov[i].iov_base, between->iov[i].iov_len);
		in.size += between->iov[i].iov_len;
	}
	j.in = &in;
	j.first = first;
	why = nat64_translate4(&j, XLAT_BACK);
	return why == NAT64_translated_4to6 ? NAT64_hairpinned : why;
}

static enum nat64_reason translate6(const struct nat64_job *j)
{
	const struct nat64_in *in = j->in;
	struct xlat6 x = {.flags = 0};
	struct nat64_plan p;
	struct back back = {.first = j};
	struct nat64_job between = {.n = j->n, .in = in, .emit = emit_back, .arg = &back};
	struct nat64_body b;
	size_t size;

	if (!nat64_head6(in->pkt, in->size, &x, &p))
		return nat64_refuse6(j, &x, &p);
	if (nat64_is_error6(&x))
		return nat64_error64(j, &x);
	size = 40u + x.payload - x.l4_off;
	if (is_partial(in, x.proto, x.l4_size))
		x.flags |= XLAT_PARTIAL;
	x.gso = in->is_gso ? in->gso_size : 0;
	nat64_plan64(j->n, &x, in->random, &p);
	if (p.why != NAT64_translated_6to4 && p.why != NAT64_hairpinned)
		return nat64_refuse6(j, &x, &p);
	if (p.split_unit && x.gso)
		return nat64_segment(j, x.l4_off, x.proto);
	if (p.split_unit && (x.flags & XLAT_PARTIAL)) {
		complete(x.l4, x.proto, in->pkt + x.l4_off, size);
		x.flags &= (uint8_t)~XLAT_PARTIAL;
	}
	nat64_fill_body(
		&b, &p, x.l4, x.l4_size, in->pkt + x.l4_off, size, x.flags & XLAT_PARTIAL, x.proto);
	if (p.why == NAT64_hairpinned) {
		emit_whole(&between, &p, &b, false, x.flags & XLAT_PARTIAL);
		return back.why;
	}
	if (p.split_unit)
		emit_pieces4(j, &p, &b);
	else
		emit_whole(j, &p, &b, false, x.flags & XLAT_PARTIAL);
	return NAT64_translated_6to4;
}

enum nat64_reason nat64_translate(
	const struct nat64 *n, const struct nat64_in *in, nat64_emit_fn *emit, void *arg)
{
	struct nat64_job j = {.n = n, .in = in, .emit = emit, .arg = arg};

	switch (in->size ? in->pkt[0] >> 4 : 0) {
	case 4: return nat64_translate4(&j, 0);
	case 6: return translate6(&j);
	default: return NAT64_bad_version;
	}
}

/* --- reasons --- */

static const struct {
	const char *name, *text;
} reasons[] = {
#define X(n, t) {#n, t},
	NAT64_REASONS(X)
#undef X
};

const char *nat64_reason_name(enum nat64_reason r)
{
	return r < NAT64_N_REASONS ? reasons[r].name : "?";
}

const char *nat64_reason_text(enum nat64_reason r)
{
	return r < NAT64_N_REASONS ? reasons[r].text : "?";
}

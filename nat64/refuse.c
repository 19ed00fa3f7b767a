/* refuse.c - ICMP errors of the translator's own, back to the sender in its own family, so that
 * they are never translated a second time.  Who gets none: RFC 1812 s4.3.2.7, RFC 4443 s2.4 (e). */
#include <string.h>
#include "nat64/job.h"

#define MAX_ERROR4 576 /* RFC 1812 s4.3.2.3 */
#define HOPS       64

enum { REDIRECT6 = 137 };

static bool may_answer4(const struct nat64 *n, const struct xlat4 *x)
{
	uint32_t src = bpf_ntohl(x->src), dst = bpf_ntohl(x->dst);

	if (x->proto == XLAT_ICMP && (!x->l4_size || x->l4[0] == 3 || x->l4[0] == 4 ||
					     x->l4[0] == 5 || x->l4[0] == 11 || x->l4[0] == 12))
		return false;
	return !(x->frag & XLAT_OFFSET) && src >> 24 != 0 && src >> 24 != 127 && src >> 28 < 14 &&
	       dst >> 28 < 14 && !addr_is_bogon4(&n->conf, x->src);
}

/* s5.4: no answer "administratively prohibited" to ICMPv6 messages of any kind. */
static bool may_answer6(const struct xlat6 *x, const struct nat64_plan *p)
{
	if (x->proto == XLAT_ICMP6 && (p->err_type == 1 || (x->frag & 0xfff8) || !x->l4_size ||
					      x->l4[0] < 128 || x->l4[0] == REDIRECT6))
		return false;
	if ((bpf_ntohl(x->dst.w[0]) >> 24) == 0xff && p->err_type != 2)
		return false;
	return !addr_is_illegal6(&x->src);
}

/* What the sender should know, if it came over IPv6 and was to go back there. */
static enum nat64_reason refuse_back(const struct nat64_job *first, const struct nat64_plan *p)
{
	struct xlat6 x = {.flags = 0};
	struct nat64_plan ignored, plan = {.why = p->why, .err_type = 1, .err_code = 1};

	if (p->why == NAT64_too_big) {
		plan.err_type = 2;
		plan.err_code = 0;
		plan.err_info = first->n->conf.mtu6;
	}
	if (!nat64_head6(first->in->pkt, first->in->size, &x, &ignored))
		return p->why;
	return nat64_refuse6(first, &x, &plan);
}

enum nat64_reason nat64_refuse4(
	const struct nat64_job *j, const struct xlat4 *x, const struct nat64_plan *p)
{
	const struct nat64_conf *c = &j->n->conf;
	__be32 from = c->n_pool4 ? c->pool4[0].addr : c->own4;
	size_t quote = x->total < MAX_ERROR4 - 28 ? x->total : MAX_ERROR4 - 28;
	uint8_t out[MAX_ERROR4];
	struct nat64_plan hdr;
	uint16_t field;

	if (!p->err_type)
		return p->why;
	if (j->first)
		return refuse_back(j->first, p);
	if (!from || !may_answer4(j->n, x))
		return p->why;
	xlat_put4(&hdr, from, x->src, 0, (uint32_t)quote + 28, (uint16_t)j->in->random, 0, HOPS,
		XLAT_ICMP);
	memcpy(out, hdr.hdr, 20);
	put16(out + 20, (unsigned)p->err_type << 8 | p->err_code);
	put16(out + 22, 0);
	put32(out + 24, p->err_info);
	memcpy(out + 28, j->in->pkt, quote);
	field = (uint16_t)~csum_fold(csum_of(out + 20, quote + 8));
	memcpy(out + 22, &field, 2);
	nat64_emit_octets(j, out, quote + 28, true);
	return p->why;
}

enum nat64_reason nat64_refuse6(
	const struct nat64_job *j, const struct xlat6 *x, const struct nat64_plan *p)
{
	const struct nat64_conf *c = &j->n->conf;
	const struct ip6 *from = c->n_pool6 ? &c->pool6[0].addr : &c->own6;
	size_t quote = 40u + x->payload < XLAT_MIN_MTU6 - 48 ? 40u + x->payload
							     : XLAT_MIN_MTU6 - 48;
	uint8_t out[XLAT_MIN_MTU6];
	struct nat64_plan hdr;
	uint16_t field;
	uint32_t sum;

	if (!p->err_type || !(from->w[0] | from->w[1] | from->w[2] | from->w[3]) ||
		!may_answer6(x, p))
		return p->why;
	xlat_put6(&hdr, from, &x->src, 0, (uint32_t)quote + 8, XLAT_ICMP6, HOPS);
	memcpy(out, hdr.hdr, 40);
	put16(out + 40, (unsigned)p->err_type << 8 | p->err_code);
	put16(out + 42, 0);
	put32(out + 44, p->err_info);
	memcpy(out + 48, j->in->pkt, quote);
	sum = csum_add(csum_ip6(from), csum_ip6(&x->src));
	sum = csum_add(sum, csum_host16((uint16_t)(quote + 8)) + csum_host16(XLAT_ICMP6));
	field = (uint16_t)~csum_fold(csum_add(sum, csum_of(out + 40, quote + 8)));
	memcpy(out + 42, &field, 2);
	nat64_emit_octets(j, out, quote + 48, true);
	return p->why;
}

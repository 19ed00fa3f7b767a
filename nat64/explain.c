/* explain.c - the mapping of single addresses told in words; of packets the translation is asked.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include "nat64/explain.h"

static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key)
{
	return nat64_table_find(ctx, key);
}
#include "nat64/core/addr.h"
#include "nat64/core/csum.h"

/* --- names --- */

int nat64_addr_parse(const char *s, struct nat64_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, s, &out->a4) == 1)
		return 0;
	out->is6 = true;
	return inet_pton(AF_INET6, s, &out->a6) == 1 ? 0 : -EINVAL;
}

const char *nat64_addr_str(const struct nat64_addr *a, char *buf)
{
	return a->is6 ? addr6_str(&a->a6, buf) : addr4_str(&a->a4, buf);
}

const char *nat64_verdict_name(enum nat64_verdict v)
{
	static const char *const names[] = {
#define X(name, text) [NAT64_##name] = text,
		NAT64_VERDICTS(X)
#undef X
	};

	return names[v];
}

const char *nat64_by_name(enum nat64_by by)
{
	static const char *const names[] = {[NAT64_BY_NONE] = "none",
		[NAT64_BY_EAM] = "mapping",
		[NAT64_BY_PREFIX] = "prefix",
		[NAT64_BY_POOL] = "pool"};

	return names[by];
}

static void __attribute__((format(printf, 3, 4))) say(char *buf, size_t size, const char *fmt, ...)
{
	size_t n = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + n, size - n, fmt, ap);
	va_end(ap);
}
#define SAY(e, ...) say((e)->text, sizeof((e)->text), __VA_ARGS__)

/* --- one address --- */

static struct nat64_addr of4(__be32 a)
{
	return (struct nat64_addr){.a4.s_addr = a};
}

static struct nat64_addr of6(const struct ip6 *a)
{
	struct nat64_addr r = {.is6 = true};

	memcpy(&r.a6, a, sizeof(r.a6));
	return r;
}

static struct ip6 ip6_of(const struct nat64_addr *a)
{
	struct ip6 r;

	memcpy(&r, &a->a6, sizeof(r));
	return r;
}

static enum nat64_by map(const struct nat64 *n, const struct nat64_addr *in, struct nat64_addr *out)
{
	struct ip6 a6 = ip6_of(in);
	__be32 a4 = 0;
	enum nat64_by by;

	if (in->is6) {
		by = addr_64(&n->conf, n->table, &a6, &a4);
		*out = of4(a4);
	} else {
		memset(&a6, 0, sizeof(a6));
		by = addr_46(&n->conf, n->table, in->a4.s_addr, 1, &a6);
		*out = of6(&a6);
	}
	return by;
}

static bool same(const struct nat64_addr *a, const struct nat64_addr *b)
{
	return a->is6 == b->is6 &&
	       (a->is6 ? addr6_eq(&a->a6, &b->a6) : a->a4.s_addr == b->a4.s_addr);
}

static const char *net_str(bool is6, const void *addr, unsigned len, char *buf)
{
	struct nat64_addr a = is6 ? of6(addr) : of4(*(const __be32 *)addr);

	nat64_addr_str(&a, buf);
	snprintf(buf + strlen(buf), 5, "/%u", len);
	return buf;
}

static void name_rule(const struct nat64 *n, struct nat64_explained *e)
{
	struct ip6 a6 = ip6_of(&e->in);
	char s4[PREFIX4_STRLEN], s6[PREFIX6_STRLEN];

	if (e->by == NAT64_BY_EAM) {
		const struct nat64_eam *eam = e->in.is6 ? addr_find6(&n->conf, n->table, &a6)
							: addr_find4(&n->conf, n->table,
								  e->in.a4.s_addr);

		snprintf(e->rule, sizeof(e->rule), "%s - %s",
			net_str(false, &eam->v4.addr, eam->v4.len, s4),
			net_str(true, &eam->v6.addr, eam->v6.len, s6));
	} else if (e->by == NAT64_BY_PREFIX) {
		int i = e->in.is6 ? addr_prefix6(&n->conf, &a6)
				  : addr_prefix4(&n->conf, e->in.a4.s_addr);

		net_str(true, &n->conf.prefixes[i].net.addr, n->conf.prefixes[i].net.len, e->rule);
	}
}

/* By the same rules that the routes are made of. */
static bool is_drawn(const struct nat64 *n, const struct nat64_addr *a)
{
	struct ip6 a6 = ip6_of(a);

	for (size_t i = 0; i < n->n_eams; i++) {
		const struct nat64_eam *m = &n->eams[i];

		if (a->is6 ? (m->side & NAT64_IPV4_HOST) && addr_in6(&m->v6, &a6)
			   : (m->side & NAT64_IPV6_HOST) && addr_in4(&m->v4, a->a4.s_addr))
			return true;
	}
	if (a->is6)
		return addr_prefix6(&n->conf, &a6) >= 0;
	for (unsigned i = 0; i < n->conf.n_hosts; i++)
		if (addr_in4(&n->conf.hosts[i], a->a4.s_addr))
			return true;
	return false;
}

static enum nat64_verdict judge(const struct nat64 *n, const struct nat64_explained *e)
{
	const struct nat64_addr *a4 = e->in.is6 ? &e->out : &e->in;
	struct ip6 a6 = ip6_of(e->in.is6 ? &e->in : &e->out);

	if (e->in.is6 && addr_is_illegal6(&a6))
		return NAT64_ILLEGAL;
	if (!e->in.is6 && addr_is_bogon4(&n->conf, a4->a4.s_addr))
		return NAT64_BOGON;
	if (e->by == NAT64_BY_NONE)
		return NAT64_UNMAPPED;
	if (addr_is_bogon4(&n->conf, a4->a4.s_addr))
		return NAT64_BOGON;
	if (addr_is_illegal6(&a6))
		return NAT64_ILLEGAL;
	if (addr_is_forbidden(&n->conf, e->by, &a6))
		return NAT64_NON_GLOBAL;
	return NAT64_MAPPED;
}

static void tell_why_not(const struct nat64 *n, struct nat64_explained *e)
{
	char in[NAT64_ADDR_STRLEN], out[NAT64_ADDR_STRLEN];

	nat64_addr_str(&e->in, in);
	nat64_addr_str(&e->out, out);
	if (e->verdict == NAT64_UNMAPPED) {
		SAY(e, "%s has no %s address: no mapping and no prefix covers it.", in,
			e->in.is6 ? "IPv4" : "IPv6");
		if (e->in.is6 ? n->conf.n_pool4 : n->conf.n_pool6)
			SAY(e, " Only ICMP errors from it are translated, with a source from %s.",
				e->in.is6 ? "pool4" : "pool6");
		return;
	}
	if (e->by != NAT64_BY_NONE)
		SAY(e, "%s would become %s by the %s %s, but ", in, out, nat64_by_name(e->by),
			e->rule);
	if (e->verdict == NAT64_NON_GLOBAL)
		SAY(e, "the well-known prefix must not carry an IPv4 address that is not global "
		       "(RFC 6052 s3.1): use a prefix of your own, or allow_non_global.");
	else if (e->verdict == NAT64_BOGON)
		SAY(e, "%s is in bogons: it is never translated.", e->in.is6 ? out : in);
	else
		SAY(e, "%s is no unicast address beyond its link: it is never translated.",
			e->in.is6 ? in : out);
}

void nat64_explain(const struct nat64 *n, const struct nat64_addr *a, struct nat64_explained *e)
{
	char in[NAT64_ADDR_STRLEN], out[NAT64_ADDR_STRLEN], back[NAT64_ADDR_STRLEN];
	enum nat64_by by;

	memset(e, 0, sizeof(*e));
	e->in = *a;
	e->by = map(n, a, &e->out);
	e->verdict = judge(n, e);
	e->drawn = is_drawn(n, a);
	name_rule(n, e);
	if (e->verdict != NAT64_MAPPED) {
		tell_why_not(n, e);
		return;
	}
	by = map(n, &e->out, &e->back);
	e->one_way = by == NAT64_BY_NONE || !same(&e->back, a);
	nat64_addr_str(a, in);
	nat64_addr_str(&e->out, out);
	nat64_addr_str(&e->back, back);
	SAY(e, "%s becomes %s by the %s %s.", in, out, nat64_by_name(e->by), e->rule);
	if (e->one_way && by == NAT64_BY_NONE)
		SAY(e, " There is no way back: %s is not mapped.", out);
	else if (e->one_way)
		SAY(e, " The way back is another: %s becomes %s.", out, back);
	SAY(e, e->drawn ? " Packets to it are drawn to the translator."
			: " Packets to it are not drawn to the translator by its routes.");
}

/* --- a packet --- */

/* A UDP packet with 4 octets; returns its size. */
static size_t make_packet(const struct nat64_addr *src, const struct nat64_addr *dst, uint8_t *buf)
{
	struct udphdr udp = {.uh_sport = htons(33434),
		.uh_dport = htons(33434),
		.uh_ulen = htons(12),
		.uh_sum = htons(0x1234)};
	size_t size;

	if (src->is6) {
		struct ip6_hdr h = {.ip6_flow = htonl(6u << 28),
			.ip6_plen = htons(12),
			.ip6_nxt = IPPROTO_UDP,
			.ip6_hlim = 64,
			.ip6_src = src->a6,
			.ip6_dst = dst->a6};

		memcpy(buf, &h, size = sizeof(h));
	} else {
		struct ip h = {.ip_v = 4,
			.ip_hl = 5,
			.ip_len = htons(32),
			.ip_ttl = 64,
			.ip_p = IPPROTO_UDP,
			.ip_src = src->a4,
			.ip_dst = dst->a4};

		h.ip_sum = (uint16_t)~csum_fold(csum_of(&h, sizeof(h)));
		memcpy(buf, &h, size = sizeof(h));
	}
	memcpy(buf + size, &udp, sizeof(udp));
	memset(buf + size + sizeof(udp), 0, 4);
	return size + 12;
}

static void take(void *arg, const struct nat64_packet *p)
{
	struct nat64_explained_packet *e = arg;
	uint8_t head[40] = {0};
	size_t n = 0;

	for (unsigned i = 0; i < p->n_iov; i++) {
		size_t part = p->iov[i].iov_len;

		if (part > sizeof(head) - n)
			part = sizeof(head) - n;
		if (part)
			memcpy(head + n, p->iov[i].iov_base, part);
		n += part;
	}
	if (p->is_error) {
		e->answered = true;
		return;
	}
	e->translated = true;
	e->out_src.is6 = e->out_dst.is6 = p->is6;
	memcpy(p->is6 ? (void *)&e->out_src.a6 : &e->out_src.a4, head + (p->is6 ? 8 : 12),
		p->is6 ? 16 : 4);
	memcpy(p->is6 ? (void *)&e->out_dst.a6 : &e->out_dst.a4, head + (p->is6 ? 24 : 16),
		p->is6 ? 16 : 4);
}

static void tell_packet(struct nat64_explained_packet *e)
{
	char src[NAT64_ADDR_STRLEN], dst[NAT64_ADDR_STRLEN], out_src[NAT64_ADDR_STRLEN],
		out_dst[NAT64_ADDR_STRLEN];

	nat64_addr_str(&e->src.in, src);
	nat64_addr_str(&e->dst.in, dst);
	nat64_addr_str(&e->out_src, out_src);
	nat64_addr_str(&e->out_dst, out_dst);
	SAY(e, "A packet from %s to %s ", src, dst);
	if (e->hairpinned) {
		SAY(e,
			"turns back to IPv6 at once, from %s to %s: both are IPv6 hosts (RFC 7757 "
			"s4).",
			out_src, out_dst);
		nat64_addr_str(&e->mid_src, src);
		nat64_addr_str(&e->mid_dst, dst);
		SAY(e, " In between it is from %s to %s.", src, dst);
	} else if (e->translated) {
		SAY(e, "becomes one from %s to %s.", out_src, out_dst);
		if (!same(&e->out_src, &e->src.out))
			SAY(e, " Its source goes by the prefix, not by its mapping: hairpin is "
			       "\"simple\" (RFC 7757 s4.2.1).");
	} else {
		SAY(e, "is dropped%s, counted as %s: %s.",
			e->answered ? " with an ICMP error to its source" : "",
			nat64_reason_name(e->reason), nat64_reason_text(e->reason));
	}
	SAY(e, " Source: %s Destination: %s", e->src.text, e->dst.text);
}

int nat64_explain_packet(const struct nat64 *n, const struct nat64_addr *src,
	const struct nat64_addr *dst, struct nat64_explained_packet *e)
{
	uint8_t pkt[64];
	struct nat64_in in = {.pkt = pkt};

	if (src->is6 != dst->is6)
		return -EINVAL;
	memset(e, 0, sizeof(*e));
	nat64_explain(n, src, &e->src);
	nat64_explain(n, dst, &e->dst);
	in.size = make_packet(src, dst, pkt);
	e->reason = nat64_translate(n, &in, take, e);
	e->hairpinned = e->translated && src->is6 && e->out_dst.is6;
	if (e->hairpinned) {
		e->mid_src = e->src.out;
		e->mid_dst = e->dst.out;
	}
	tell_packet(e);
	return 0;
}

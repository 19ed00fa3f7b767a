/* segment.c - what a network card does with a packet of many segments, for the rare ones that can't
 * stay whole: their segments are to be split into fragments. */
#include <string.h>
#include "nat64/job.h"

enum { TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80 };

struct shape {
	size_t l4_off, hdr; /* octets before and of the transport header */
	uint8_t proto;
	bool is6;
};

/* The segment with 'size' octets of payload, number 'i', in 'pkt', where the packet's headers stand
 * in front of it. */
static void finish(
	uint8_t *pkt, const struct shape *s, unsigned i, size_t done, size_t size, bool is_last)
{
	uint8_t *l4 = pkt + s->l4_off;
	size_t l4_size = s->hdr + size;
	uint32_t sum = csum_of(pkt + (s->is6 ? 8 : 12), s->is6 ? 32 : 8), seq;
	uint16_t field;

	if (s->is6) {
		put16(pkt + 4, (unsigned)(s->l4_off + l4_size - 40));
	} else {
		put16(pkt + 2, (unsigned)(s->l4_off + l4_size));
		put16(pkt + 4, get16(pkt + 4) + i);
		put16(pkt + 10, 0);
		field = (uint16_t)~csum_fold(csum_of(pkt, s->l4_off));
		memcpy(pkt + 10, &field, 2);
	}
	if (s->proto == XLAT_TCP) {
		seq = (uint32_t)get16(l4 + 4) << 16 | get16(l4 + 6);
		put32(l4 + 4, seq + (uint32_t)done);
		if (!is_last)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (i)
			l4[13] &= (uint8_t)~TCP_CWR;
	} else {
		put16(l4 + 4, (unsigned)l4_size);
	}
	put16(l4 + xlat_csum_off(s->proto), 0);
	sum = csum_add(sum, csum_host16((uint16_t)l4_size) + csum_host16(s->proto));
	field = (uint16_t)~csum_fold(csum_add(sum, csum_of(l4, l4_size)));
	if (!field && s->proto == XLAT_UDP)
		field = 0xffff;
	memcpy(l4 + xlat_csum_off(s->proto), &field, 2);
}

enum nat64_reason nat64_segment(const struct nat64_job *j, size_t l4_off, uint8_t proto)
{
	const uint8_t *all = j->in->pkt;
	struct shape s = {.l4_off = l4_off, .proto = proto, .is6 = all[0] >> 4 == 6};
	size_t total = s.is6 ? 40u + get16(all + 4) : get16(all + 2), head, n;
	uint8_t pkt[40 + 65535];
	struct nat64_in in = {.pkt = pkt, .random = j->in->random};
	struct nat64_job sub = *j;
	enum nat64_reason why = NAT64_short_transport;

	if ((proto != XLAT_TCP && proto != XLAT_UDP) ||
		total < l4_off + (proto == XLAT_TCP ? 20 : 8))
		return why;
	s.hdr = proto == XLAT_TCP ? (all[l4_off + 12] >> 4) * 4u : 8;
	head = l4_off + s.hdr;
	if (s.hdr < 8 || (proto == XLAT_TCP && s.hdr < 20) || head >= total)
		return why;
	sub.in = &in;
	for (unsigned i = 0; head + (size_t)i * j->in->gso_size < total; i++, in.random++) {
		size_t done = (size_t)i * j->in->gso_size, left = total - head - done;

		n = left < j->in->gso_size ? left : j->in->gso_size;
		memcpy(pkt, all, head);
		memcpy(pkt + head, all + head + done, n);
		finish(pkt, &s, i, done, n, n == left);
		in.size = head + n;
		why = s.is6 ? nat64_translate(j->n, &in, j->emit, j->arg)
			    : nat64_translate4(&sub, j->first ? XLAT_BACK : 0);
		if (why != NAT64_translated_4to6 && why != NAT64_translated_6to4 &&
			why != NAT64_hairpinned)
			return why;
	}
	return why;
}

/* fuzz_translate.c - any octets through any configuration: a reason, or packets whose versions,
 * lengths, sizes and header checksums are right, whose payloads together are the input's, and whose
 * transport checksum is right if the input's was.  The first octets are the configuration. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "nat64/job.h"
#include "nat64/t/sums.h"

#define N_CONF 10
#define MUST(x) \
	do { \
		if (!(x)) \
			__builtin_trap(); \
	} while (0)

struct output {
	const struct nat64 *n;
	const struct nat64_in *in;
	unsigned n_packets, n_errors;
	size_t payload;                 /* octets of all packets together */
	uint8_t whole[40 + 65535 + 20]; /* put together again: fragments of one packet */
	size_t size;
};

static void check_size(const struct output *o, const struct nat64_packet *p)
{
	const struct nat64_conf *c = &o->n->conf;

	MUST(p->size <= (p->is6 ? 40 + 65535 : 65535));
	if (p->is_error)
		MUST(p->size <= (p->is6 ? 1280 : 576));
	else if (!o->in->is_gso)
		MUST(p->size <= (p->is6 ? c->mtu6 : c->mtu4));
}

static void on_packet(void *arg, const struct nat64_packet *p)
{
	static uint8_t pkt[40 + 65535];
	struct output *o = arg;
	size_t size = 0;
	struct view v;

	for (unsigned i = 0; i < p->n_iov; i++) {
		memcpy(pkt + size, p->iov[i].iov_base, p->iov[i].iov_len);
		size += p->iov[i].iov_len;
	}
	v = look(pkt);
	MUST(size == p->size && v.size == size && v.is6 == p->is6);
	MUST(pkt[0] >> 4 == (p->is6 ? 6 : 4));
	if (!p->is6)
		MUST(pkt[0] == 0x45 && sum16(pkt, 20, 0) == 0xffff);
	MUST(pkt[p->is6 ? 7 : 8] > 0);
	MUST(p->csum_start == 0 || (o->in->partial_csum && p->csum_start == v.l4));
	check_size(o, p);
	o->n_packets++;
	if (p->is_error) {
		o->n_errors++;
		MUST(l4_sum(pkt) == 0xffff);
		return;
	}
	if (!o->payload)
		memcpy(o->whole, pkt, v.l4);
	if (o->size + size - v.l4 <= sizeof(o->whole) - 48)
		memcpy(o->whole + 48 + o->size, pkt + v.l4, size - v.l4);
	o->size += size - v.l4;
	o->payload += size - v.l4;
}

static void configure(struct nat64 *n, const uint8_t *d)
{
	static const char *v4[] = {"192.0.2.1", "192.0.2.16/28", "192.0.2.128/26", "0.0.0.0/0"};
	static const char *v6[] = {
		"2001:db8::1", "2001:db8:cc::/124", "2001:db8:dd::/64", "2001:db8:ff00::/40"};
	static const uint8_t lens4[] = {32, 28, 26, 0}, lens6[] = {128, 124, 64, 40};
	static const uint8_t lens[] = {32, 40, 48, 56, 64, 96};
	size_t bad;

	memset(n, 0, sizeof(*n));
	n->conf.lowest_mtu6 = 1280u + (d[0] & 15) * 20;
	n->conf.mtu6 = 1280u + (d[0] >> 4) * 40;
	n->conf.mtu4 = 68u + d[1] * 7u;
	n->conf.zero_tos = d[2] & 1;
	n->conf.set_tos = d[2] >> 1 & 1;
	n->conf.udp_zero = d[2] >> 2 & 1;
	n->conf.hairpin = d[2] >> 3 & 3;
	n->conf.wkp_non_global = d[2] >> 5 & 1;
	n->conf.origin_object = d[2] >> 6 & 1;
	if (d[2] >> 7) {
		n->conf.own4 = htonl(0xcb007101);
		n->conf.own6.w[0] = htonl(0x20010db8);
	}
	n->conf.n_prefixes = d[3] & 1;
	n->conf.prefixes[0].net.addr.w[0] = htonl(0x0064ff9b);
	n->conf.prefixes[0].net.len = lens[(d[3] >> 1) % 6];
	n->conf.n_pool4 = d[3] >> 6 & 1;
	n->conf.pool4[0] = (struct nat64_net4){.addr = htonl(0xc6336400), .len = 24};
	n->conf.n_pool6 = d[3] >> 7;
	n->conf.pool6[0] = (struct nat64_net6){.addr = {{htonl(0x20010db8)}}, .len = 96};
	n->conf.n_bogons = d[4] & 1;
	n->conf.bogons[0] = (struct nat64_net4){.addr = htonl(0x7f000000), .len = 8};
	n->eams = calloc(4, sizeof(*n->eams));
	for (unsigned i = 0; i < 4; i++) {
		char addr[64];

		if (!(d[4] >> (1 + i) & 1))
			continue;
		memcpy(addr, v4[i], strcspn(v4[i], "/") + 1);
		addr[strcspn(v4[i], "/")] = 0;
		inet_pton(AF_INET, addr, &n->eams[n->n_eams].v4.addr);
		memcpy(addr, v6[i], strcspn(v6[i], "/") + 1);
		addr[strcspn(v6[i], "/")] = 0;
		inet_pton(AF_INET6, addr, &n->eams[n->n_eams].v6.addr);
		n->eams[n->n_eams].v4.len = lens4[i];
		n->eams[n->n_eams++].v6.len = lens6[i];
	}
	MUST(nat64_table_build(n, &bad) == 0);
}

/* Puts both addresses of an IPv6 header into the RFC 6052 prefix: chance would take too long. */
static void embed(uint8_t *hdr)
{
	static const uint8_t prefix[4] = {0x00, 0x64, 0xff, 0x9b};

	memcpy(hdr + 8, prefix, 4);
	memcpy(hdr + 24, prefix, 4);
}

/* Makes lengths and checksums right, so that more gets past the first tests. */
static void repair(uint8_t *p, size_t size)
{
	if ((p[0] >> 4 == 4 && size >= 20 && (p[0] & 15) >= 5 && (p[0] & 15u) * 4 <= size) ||
		(p[0] >> 4 == 6 && size >= 48))
		seal(p, size);
}

/* Octets behind the headers; -1: an ICMP error, or no packet.  '*csum': right. */
static long input_payload(const uint8_t *p, size_t size, bool *csum)
{
	struct xlat4 x4 = {.flags = 0};
	struct xlat6 x6 = {.flags = 0};
	struct nat64_plan plan;

	*csum = false;
	if (p[0] >> 4 == 4) {
		if (!nat64_head4(p, size, &x4, &plan) || nat64_is_error4(&x4))
			return -1;
		*csum = l4_sum(p) == 0xffff;
		return x4.total - x4.ihl;
	}
	if (p[0] >> 4 != 6 || !nat64_head6(p, size, &x6, &plan) || nat64_is_error6(&x6))
		return -1;
	*csum = x6.l4_off == look(p).l4 && l4_sum(p) == 0xffff;
	return 40 + x6.payload - x6.l4_off;
}

/* The transport checksum over all pieces. */
static void check_csum(struct output *o)
{
	uint8_t *p = o->whole;
	unsigned l4 = p[0] >> 4 == 6 ? 40 : 20;

	if (p[0] >> 4 == 6) {
		put_word(p + 4, (unsigned)o->size);
		if (p[6] == 44)
			p[6] = p[40];
	} else {
		put_word(p + 2, (unsigned)o->size + 20);
		put_word(p + 6, 0);
	}
	memmove(p + l4, p + 48, o->size);
	MUST(l4_sum(p) < 0 || l4_sum(p) == 0xffff);
}

static void check(struct output *o, enum nat64_reason why, const uint8_t *pkt, size_t size)
{
	bool csum;
	long payload = input_payload(pkt, size, &csum);

	MUST(why < NAT64_N_REASONS && why != NAT64_slow);
	if (why != NAT64_translated_4to6 && why != NAT64_translated_6to4 &&
		why != NAT64_hairpinned) {
		MUST(o->n_packets == o->n_errors && o->n_errors <= 1);
		return;
	}
	MUST(o->n_packets && !o->n_errors);
	if (payload < 0)
		MUST(o->n_packets == 1);
	else
		MUST((size_t)payload == o->payload);
	if (payload < 0 ? o->whole[0] : csum)
		check_csum(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct output o;
	struct nat64_in in = {0};
	enum nat64_reason why;
	struct nat64 n;
	uint8_t *pkt;
	bool csum;

	if (size <= N_CONF)
		return 0;
	configure(&n, data);
	in.size = size - N_CONF;
	pkt = malloc(in.size);
	memcpy(pkt, data + N_CONF, in.size);
	in.pkt = pkt;
	in.random = (uint32_t)data[5] << 24 | data[6];
	if ((data[7] & 8) && in.size >= 40 && pkt[0] >> 4 == 6)
		embed(pkt);
	if ((data[7] & 16) && in.size >= 88 && pkt[0] >> 4 == 6 && pkt[6] == 58)
		embed(pkt + 48);
	if (data[7] & 1)
		repair(pkt, in.size);
	if ((data[7] & 32) && in.size >= 28 && pkt[0] == 0x45 && pkt[9] == 17)
		put_word(pkt + 26, 0);
	in.partial_csum = data[7] & 2;
	in.is_gso = (data[7] & 6) == 6;
	in.gso_size = (uint16_t)(data[8] << 3 | (data[9] & 7));
	memset(&o, 0, offsetof(struct output, whole));
	o.size = 0;
	o.whole[0] = 0;
	o.n = &n;
	o.in = &in;
	why = nat64_translate(&n, &in, on_packet, &o);
	if (in.partial_csum) /* what a checksum covers is not there yet */
		MUST(why < NAT64_N_REASONS);
	else if (input_payload(pkt, in.size, &csum) >= 0 || (data[7] & 1))
		check(&o, why, pkt, in.size);
	free(pkt);
	nat64_release(&n);
	return 0;
}

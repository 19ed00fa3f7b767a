/* fuzz_sec.c - whatever comes off the wire: nothing in clear, and nothing that was not made with
 * the keys, gets past protection.  The first octet chooses the end and what is mended before. */
#include <stdlib.h>
#include <string.h>
#include "common/sec/sec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct in6_addr ha_addr = {.s6_addr = {0x20, 1, 0xd, 0xb8, [15] = 1}},
			     hoa = {.s6_addr = {0x20, 1, 0xd, 0xb8, 1, [15] = 1}};

static void keep(void *arg, const struct sec_mark *m)
{
	(void)arg, (void)m;
	abort(); /* only what is authentic is remembered */
}

static bool recall(void *arg, struct sec_mark *m)
{
	(void)arg;
	m->value = 1;
	return true;
}

static void fill(void *arg, void *out, size_t size)
{
	(void)arg;
	memset(out, 0, size);
}

static struct sec *make(bool home_agent, enum sec_mode mode)
{
	struct sec_hooks hooks = {.keep = keep, .recall = recall, .random = fill};
	struct sec *s = sec_new(home_agent, mode, &hooks);
	struct keys k = {.n_auth = 1,
		.auth[0] = {256, 32, {1, 2, 3}},
		.esp = {{.spi = 256, .mac = {1}}, {.spi = 256, .cipher = ESP_CBC, .enc_size = 16}}};

	if (!s || sec_add(s, &ha_addr, &hoa, "fuzz", mode, &k) < 0)
		abort();
	return s;
}

/* Addresses of the pair and a right checksum: what a forger can do. */
static void mend(uint8_t *pkt, size_t size, bool to_ha)
{
	struct ip6_pkt p;
	uint16_t sum;
	size_t mh_size;

	if (size < 64)
		return;
	memcpy(pkt + (to_ha ? 24 : 8), &ha_addr, 16);
	if (ip6_decode(pkt, size, &p) != IP6_OK || p.proto != IP6_PROTO_MH || p.payload_size < 8)
		return;
	if (p.has_hao || p.has_rh2)
		memcpy(pkt + p.payload_off - 16, &hoa, 16);
	mh_size = (p.payload[1] + 1u) * 8;
	if (mh_size > p.payload_size || ip6_decode(pkt, size, &p) != IP6_OK)
		return;
	memset(pkt + p.payload_off + 4, 0, 2);
	sum = ip6_csum(p.has_hao ? &p.hao : &p.src, p.has_rh2 ? &p.rh2 : &p.dst, IP6_PROTO_MH,
		p.payload, mh_size);
	memcpy(pkt + p.payload_off + 4, &sum, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sec *ends[4];
	static uint64_t now = (uint64_t)3900000000 << 32;
	enum ip6_verdict chain;
	struct mh_env e;
	struct icmp6_msg m;
	struct sec_clear c;
	struct sec *at;
	unsigned where;
	uint8_t *pkt;
	bool to_ha;

	if (size < 1)
		return 0;
	if (!ends[0]) {
		for (unsigned i = 0; i < 4; i++)
			ends[i] = make(i & 1, i & 2 ? SEC_ESP_STATIC : SEC_AUTH);
	}
	to_ha = data[0] & 1;
	pkt = malloc(size); /* exactly: ASan sees what is read past it */
	if (!pkt)
		abort();
	memcpy(pkt, data + 1, size - 1);
	if (data[0] & 2)
		mend(pkt, size - 1, to_ha);
	now += (uint64_t)1 << 33;
	at = ends[to_ha | (data[0] >> 1 & 2)];
	if (sec_unwrap(at, pkt, size - 1, now, &c) == MH_OK) {
		if (icmp6_decode(c.pkt, c.size, &m) == ICMP6_OK && sec_icmp6_ok(at, &c, &m) &&
			!c.esp && m.type >= ICMP6_MPS && !to_ha)
			abort();
		if (sec_open(at, &c, now, &e, &chain, &where) == MH_OK && e.m.type != MH_BRR &&
			e.m.type != MH_BE && e.m.type != MH_HB && e.refuse != MH_ST_AUTH_FAIL)
			abort();
	}
	free(pkt);
	return 0;
}

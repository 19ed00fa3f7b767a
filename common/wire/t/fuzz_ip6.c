/* Whatever header chain decodes encodes again, and to the same packet but for options and routing
 * headers that were skipped; and so with the signalling message in it. */
#include <stdlib.h>
#include <string.h>
#include "common/wire/mh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const uint8_t *data, size_t size)
{
	uint8_t buf[IP6_SIG_MAX], error[1280];
	struct mh_env e, back;
	enum ip6_verdict chain;
	unsigned where;
	enum mh_verdict v;
	int n;

	memset(&e, 0, sizeof(e));
	memset(&back, 0, sizeof(back));
	v = mh_decode_packet(data, size, &e, &chain, &where);
	if ((v == MH_DROP_PROTO || v == MH_DROP_LEN) && where >= size)
		abort();
	if (v != MH_DROP_CHAIN && v != MH_DROP_CSUM)
		mh_encode_param_problem(data, size, 0, where, &e.dst, error, sizeof(error));
	if (v != MH_OK)
		return;
	n = mh_encode_packet(&e, buf, sizeof(buf));
	if (n < 0 || mh_decode_packet(buf, (size_t)n, &back, &chain, &where) != MH_OK)
		abort();
	e.m.o.mnp_bad = e.m.o.auth_misplaced = e.m.o.mac.misplaced =
		false; /* cannot be said again */
	e.m.o.mac.tail = back.m.o.mac.tail = 0;
	back.m.o.auth_misplaced = back.m.o.mac.misplaced = false;
	e.rh2 |= e.m.type == MH_BA && !addr6_is_any(&e.hoa);
	if (memcmp(&e, &back, sizeof(e)) != 0)
		abort();
}

/* Random data has no good checksum: sets the one at 'off' of the payload. */
static void mend(uint8_t *pkt, const struct ip6_pkt *p, size_t off, size_t size)
{
	uint8_t *payload = pkt + p->payload_off;
	uint16_t sum;

	if (size > p->payload_size || off + 2 > size)
		return;
	memset(payload + off, 0, 2);
	sum = ip6_csum(p->has_hao ? &p->hao : &p->src, p->has_rh2 ? &p->rh2 : &p->dst, p->proto,
		payload, size);
	memcpy(payload + off, &sum, 2);
}

/* A settled packet is as long as it was, has no home address any more, and the same end. */
static void check_settled(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct ip6_pkt p, q;

	memcpy(copy, data, size);
	if (ip6_settle(copy, size, &p) != IP6_OK) {
		if (memcmp(copy, data, size) != 0)
			abort();
	} else if (ip6_settle(copy, size, &q) != IP6_OK || q.has_hao || q.has_rh2 ||
		   q.proto != p.proto || q.payload_off != p.payload_off ||
		   memcmp(p.has_hao ? &p.hao : &p.src, &q.src, sizeof(q.src)) != 0 ||
		   memcmp(p.has_rh2 ? &p.rh2 : &p.dst, &q.dst, sizeof(q.dst)) != 0 ||
		   memcmp(copy + p.payload_off, data + p.payload_off, size - p.payload_off) != 0) {
		abort();
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t buf[IP6_SIG_MAX + 4096], *copy;
	struct ip6_pkt p, back;
	int n;

	check_message(data, size);
	check_settled(data, size);
	if (size > IP6_SIG_MAX || ip6_decode(data, size, &p) != IP6_OK)
		return 0;
	n = ip6_encode(&p, buf, sizeof(buf));
	if (n < 0 || ip6_decode(buf, (size_t)n, &back) != IP6_OK)
		abort();
	if (p.proto != back.proto || p.hop_limit != back.hop_limit || p.has_hao != back.has_hao ||
		p.has_rh2 != back.has_rh2 || memcmp(&p.hao, &back.hao, sizeof(p.hao)) != 0 ||
		memcmp(&p.rh2, &back.rh2, sizeof(p.rh2)) != 0 ||
		p.payload_size != back.payload_size ||
		memcmp(p.payload, back.payload, p.payload_size) != 0)
		abort();
	if (p.proto != IP6_PROTO_MH || p.payload_size < 8)
		return 0;
	copy = malloc(size);
	memcpy(copy, data, size);
	mend(copy, &p, 4, (p.payload[1] + 1u) * 8);
	check_message(copy, size);
	free(copy);
	return 0;
}

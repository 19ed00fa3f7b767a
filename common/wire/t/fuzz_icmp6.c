/* Whatever decodes as a discovery message encodes again, and to the same message. */
#include <stdlib.h>
#include <string.h>
#include "common/wire/icmp6.h"
#include "common/wire/ip6.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *pkt, size_t size)
{
	static struct icmp6_msg m, back;
	uint8_t buf[ICMP6_MAX_SIZE];
	int n;

	if (icmp6_decode(pkt, size, &m) != ICMP6_OK)
		return;
	n = icmp6_encode(&m, buf, sizeof(buf));
	if (n < 0 || icmp6_decode(buf, (size_t)n, &back) != ICMP6_OK)
		abort();
	if (memcmp(&m, &back, sizeof(m)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ip6_pkt p;
	uint8_t *copy;
	uint16_t sum;

	check(data, size);
	if (ip6_decode(data, size, &p) != IP6_OK || p.payload_size < 4)
		return 0;
	copy = malloc(size); /* random data has no checksum */
	memcpy(copy, data, size);
	memset(copy + p.payload_off + 2, 0, 2);
	sum = ip6_csum(p.has_hao ? &p.hao : &p.src, p.has_rh2 ? &p.rh2 : &p.dst, 58,
		copy + p.payload_off, p.payload_size);
	memcpy(copy + p.payload_off + 2, &sum, 2);
	check(copy, size);
	free(copy);
	return 0;
}

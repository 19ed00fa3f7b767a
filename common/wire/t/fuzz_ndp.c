/* Whatever decodes as a Neighbour Discovery message encodes again, and to the same message. */
#include <stdlib.h>
#include <string.h>
#include "common/wire/ip6.h"
#include "common/wire/ndp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *pkt, size_t size)
{
	static struct ndp_msg m, back;
	uint8_t buf[NDP_MAX_SIZE];
	int n;

	if (ndp_decode(pkt, size, &m) != NDP_OK)
		return;
	n = ndp_encode(&m, buf, sizeof(buf));
	if (n < 0 || ndp_decode(buf, (size_t)n, &back) != NDP_OK ||
		memcmp(&m, &back, sizeof(m)) != 0)
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
	/* Random data has neither hop limit nor checksum. */
	copy = malloc(size);
	memcpy(copy, data, size);
	copy[7] = 255;
	memset(copy + p.payload_off + 2, 0, 2);
	sum = ip6_csum(&p.src, &p.dst, 58, copy + p.payload_off, p.payload_size);
	memcpy(copy + p.payload_off + 2, &sum, 2);
	check(copy, size);
	free(copy);
	return 0;
}

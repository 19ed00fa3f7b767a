/* Whatever decodes as a Mobility Header message encodes again, and to the same message. */
#include <stdlib.h>
#include <string.h>
#include "common/wire/mh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mh_msg m, back;
	uint8_t buf[MH_MAX_SIZE];
	unsigned where;
	int n;

	if (mh_decode(data, size, &m, &where) != MH_OK)
		return 0;
	n = mh_encode(&m, buf, sizeof(buf));
	if (n < 8 || n % 8 != 0 || mh_decode(buf, (size_t)n, &back, &where) != MH_OK)
		abort();
	m.o.mnp_bad = m.o.auth_misplaced = m.o.mac.misplaced = false; /* cannot be said again */
	m.o.mac.tail = back.o.mac.tail = 0;
	back.o.auth_misplaced = back.o.mac.misplaced = false;
	if (memcmp(&m, &back, sizeof(m)) != 0)
		abort();
	return 0;
}

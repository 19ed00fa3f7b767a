/* An error's parts are within the message, and what is told of it is never below 1280. */
#include <stdlib.h>
#include "common/wire/quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct quote q;
	struct quote_error e;
	struct quote_update u;
	uint8_t buf[QUOTE_MIN_MTU];
	unsigned at = 0;
	int limit = quote_limit(data, size, &at);

	if (limit >= 0 && (at < 44 || at >= size || data[at] != limit))
		abort();
	quote_may_answer(data, size);
	quote_read_update(data, size, &u);
	if (!quote_read(data, size, &q))
		return 0;
	if (q.inner < data || q.inner + q.inner_quoted > data + size || q.inner_quoted < 40 ||
		q.inner_quoted > q.inner_size || (q.limit_at && q.limit_at < 44))
		abort();
	if (quote_relay(&q, &e) && e.type == QUOTE_TOO_BIG && e.param < QUOTE_MIN_MTU)
		abort();
	if (quote_write(&e, q.inner, q.inner_quoted, buf, sizeof(buf)) < 48)
		abort();
	return 0;
}

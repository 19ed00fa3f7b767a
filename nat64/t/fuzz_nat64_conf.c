/* fuzz_nat64_conf.c - any octets as a configuration file: read, checked and released; and requests
 * to explain an address or a packet by it, which stand behind a NUL. */
#include <string.h>
#include "common/os/t/file.h"
#include "nat64/conf.h"
#include "nat64/show.h"

static void explain(const struct nat64 *n, const uint8_t *data, size_t size)
{
	json_t *req = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	char why[256] = "";
	json_t *answer = req ? nat64_show_explain(n, req, why) : NULL;

	assert(!req || answer || *why);
	json_decref(answer);
	json_decref(req);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct nat64_file file;
	const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
	size_t text = nul ? (size_t)(nul - data) : size;

	if (nat64_conf_read(as_file(data, text), &file) == 0 && nul)
		explain(&file.nat64, nul + 1, size - text - 1);
	nat64_conf_free(&file);
	return 0;
}

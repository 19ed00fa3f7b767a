/* fuzz_keys.c - any octets as a key file: keys within their limits, or a reason with its line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "common/sec/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	unsigned line = 0;
	struct keys k;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	memset(&k, 0, sizeof(k));
	if (keys_parse(text, &k, &line))
		assert(line >= 1);
	assert(k.n_auth <= KEYS_MAX_AUTH && memchr(k.psk.id, 0, sizeof(k.psk.id)));
	for (unsigned i = 0; i < k.n_auth; i++)
		assert(k.auth[i].size >= KEYS_MIN_SECRET && k.auth[i].size <= KEYS_MAX_SECRET);
	keys_wipe(&k);
	free(text);
	return 0;
}

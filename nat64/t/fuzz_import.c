/* fuzz_import.c - any octets as another translator's configuration: a text of ours or a reason, and
 * in the text nothing of the input but in comments, addresses, numbers and plain names. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "nat64/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char why[256] = "";
	char *ours = nat64_import((const char *)data, size, "fuzz", why);

	if (!ours) {
		assert(*why);
		return 0;
	}
	assert(strncmp(ours, "# nemo-nat64, from fuzz (", 25) == 0);
	for (const char *line = ours; *line;) {
		size_t n = strcspn(line, "\n");

		assert(line[n] == '\n');
		if (*line != '#')
			for (size_t i = 0; i < n; i++)
				assert(strchr("\t =(){};:,.\"/_-", line[i]) ||
					(line[i] >= '0' && line[i] <= '9') ||
					((line[i] | 0x20) >= 'a' && (line[i] | 0x20) <= 'z'));
		line += n + 1;
	}
	free(ours);
	return 0;
}

/* fuzz_ha_conf.c - any octets as a configuration file: read, checked and released. */
#include "ha/conf.h"
#include "common/os/t/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ha_file file;

	ha_conf_read(as_file(data, size), &file);
	ha_conf_free(&file);
	return 0;
}

/* fuzz_mr_conf.c - any octets as a configuration file: read, checked and released. */
#include "mr/conf.h"
#include "common/os/t/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mr_file file;

	mr_conf_read(as_file(data, size), &file);
	mr_conf_free(&file);
	return 0;
}

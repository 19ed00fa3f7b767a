/* mappings.h - the explicit mappings of a configuration: those in the file itself and those in the
 * file of mappings, checked (RFC 7757 s3.2, s5). */
#pragma once
#include "nat64/conf.h"

/* Fills f->nat64.eams from what conf_read() left in 'f', and from f->mappings_file.  Mistakes and
 * warnings go to 'c', whose n_errors counts those of both files. */
void nat64_mappings_read(struct conf *c, struct nat64_file *f);

/* hook.h - the operator's program that stops and restarts the advertisements of mobile network
 * prefixes (RFC 3963 s5.4.2): what advertises them, radvd or another, is not ours.  I/O. */
#pragma once
#include "mr/conf.h"

/* Runs f->prefix_hook once for each network, without waiting for it: PROGRAM withdraw|restore
 * PREFIX INTERFACE.  Nothing without such a program.  0 or -errno of the first that did not start.
 */
int hook_prefixes(const struct mr_file *f, bool withdraw);

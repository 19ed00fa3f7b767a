/* why.h - `nemoctl why`: what keeps a router from its binding, and what to do about it, from what
 * the daemons say of themselves. */
#pragma once
#include <jansson.h>
#include "common/ctl/peers.h"

/* Looks at all daemons, or with 'router' only at that router (a home agent's line, or a nemo-mr of
 * this name).  [{"daemon", "name", "data": [{"router", "ok", "what", "do"}, ...]}, ...]: 'router'
 * and 'do' may be null.  '*code': 0, EXIT_REFUSED if something is not well, or an error's after a
 * message. */
json_t *why_look(const struct peers *, const char *router, int *code);
void why_print(const json_t *doc);

/* show.h - what the control socket tells (doc/control.md): configuration, explanations and counters
 * as JSON.  Pure. */
#pragma once
#include <jansson.h>
#include "nat64/conf.h"
#include "nat64/engine.h"

/* All return a new reference. */
json_t *nat64_show_prefixes(const struct nat64 *); /* list of texts */
json_t *nat64_show_mappings(const struct nat64 *); /* explicit ones, prefixes, hosts */
/* Of {"address"}, or {"source", "destination"}; NULL with 'err' (256 octets) filled. */
json_t *nat64_show_explain(const struct nat64 *, const json_t *request, char *err);
json_t *nat64_show_counters(const struct nat64_counters *tun, const struct nat64_counters *ebpf,
	const uint64_t own[NAT64_TUN_N_COUNTERS]);

/* event.h - single packets that RFC 7915 wants told, besides being counted.  Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "nat64/core/plan.h"

#define NAT64_EVENT_STRLEN 320

/* UDP without a checksum (s4.5), a fragment with extension headers behind its fragment header
 * (s5.1.1). */
static inline bool nat64_event_is(enum nat64_reason why)
{
	return why == NAT64_udp_zero || why == NAT64_udp_zero_fragment ||
	       why == NAT64_fragment_chain;
}

/* What was dropped, from where to where, with UDP's ports.  'buf' holds NAT64_EVENT_STRLEN octets;
 * returns 'buf'. */
const char *nat64_event_str(enum nat64_reason, const uint8_t *pkt, size_t size, char *buf);

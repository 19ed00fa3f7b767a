/* event.c - what is told about a dropped packet. */
#include <stdio.h>
#include <string.h>
#include "common/core/addr.h"
#include "nat64/event.h"
#include "nat64/head.h"
#include "nat64/translate.h"

/* "ADDRESS", or "ADDRESS port N" if there are ports. */
static void end_str(const void *addr, bool is6, const uint8_t *port, char *buf, size_t size)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a6;
	struct in_addr a4;

	if (is6) {
		memcpy(&a6, addr, sizeof(a6));
		addr6_str(&a6, text);
	} else {
		memcpy(&a4, addr, sizeof(a4));
		addr4_str(&a4, text);
	}
	if (port)
		snprintf(buf, size, "%s port %u", text, get16(port));
	else
		snprintf(buf, size, "%s", text);
}

const char *nat64_event_str(enum nat64_reason why, const uint8_t *pkt, size_t size, char *buf)
{
	bool is6 = size && pkt[0] >> 4 == 6;
	char src[INET6_ADDRSTRLEN + 12], dst[INET6_ADDRSTRLEN + 12];
	const uint8_t *ports = NULL;
	struct nat64_plan ignored;
	struct xlat4 x4 = {.flags = 0};
	struct xlat6 x6 = {.flags = 0};

	if (is6) {
		nat64_head6(pkt, size, &x6, &ignored);
		if (x6.proto == XLAT_UDP && xlat_is_first6(&x6) && x6.l4_size >= 4)
			ports = x6.l4;
	} else {
		nat64_head4(pkt, size, &x4, &ignored);
		if (x4.proto == XLAT_UDP && xlat_is_first4(&x4) && x4.l4_size >= 4)
			ports = x4.l4;
	}
	end_str(is6 ? (const void *)&x6.src : &x4.src, is6, ports, src, sizeof(src));
	end_str(is6 ? (const void *)&x6.dst : &x4.dst, is6, ports ? ports + 2 : NULL, dst,
		sizeof(dst));
	snprintf(buf, NAT64_EVENT_STRLEN, "dropped, %s: from %s to %s", nat64_reason_text(why), src,
		dst);
	return buf;
}

/* payload.h - keys for ESP on what the tunnel carries (payload = "esp"), made of a secret that the
 * TLS connection of the signalling's keys has given; one direction each.
 *
 *   to the home agent  one association per connection.  The care-of address has no part in it, so
 *                      a move changes nothing.
 *   to the router      one per accepted Binding Update: its sequence number and care-of address are
 *                      in the key, both ends know them without another message, and what starts
 *                      again with the new address (the counter that is the IV of AES-GCM, RFC 4106
 *                      s3.1) starts under a key never used before.
 *
 * No IV is used twice: payload_next() lets no sequence number pass a second time.  Pure. */
#pragma once
#include <netinet/in.h>
#include "common/sec/esp.h"

#define PAYLOAD_SECRET_SIZE 32
#define PAYLOAD_KEY_SIZE    36 /* AES-256 key and salt, RFC 4106 s8.1 */
/* SPIs of payload have the highest bit, those of signalling by TLS have not: a packet's first octet
 * tells whether it is for the daemon or for the kernel. */
#define PAYLOAD_SPI 0x80000000u

struct payload_secret { /* of one connection */
	uint8_t secret[PAYLOAD_SECRET_SIZE];
	uint32_t spi_to_ha, spi_to_mr; /* of the signalling's associations */
	bool any;                      /* a number was used: */
	uint16_t last;                 /* the last one */
	uint32_t advance;              /* from the first one to it, without wrapping */
};

/* The association to the home agent; its seq, seen and replay are of no use here.  0 or -EIO. */
int payload_to_ha(const struct payload_secret *, const struct in6_addr *ha,
	const struct in6_addr *hoa, struct esp_sa *out);
/* The one to the router at 'coa' that Binding Update 'seq' is answered with.  0 or -EIO. */
int payload_to_mr(const struct payload_secret *, const struct in6_addr *ha,
	const struct in6_addr *coa, uint16_t seq, struct esp_sa *out);
/* The sender's guard, a home agent's: may an association of number 'seq' be made?  Once only, and
 * each has to be after the last; 65535 numbers on there are none left. */
bool payload_next(struct payload_secret *, uint16_t seq);

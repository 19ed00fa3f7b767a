/* icmp6.h - Mobile IPv6's ICMPv6 messages: home agent address discovery and prefix discovery
 * (RFC 6275 s6.5-6.8, RFC 3963 s7.1-7.2).  Pure: no I/O, no clock, no allocation.  Host-order
 * values; nothing borrows from the packet. */
#pragma once
#include "common/wire/ip6.h"
#include "common/wire/ndp.h"

#define ICMP6_MAX_HA   77   /* addresses that fit a reply of 1280 octets; more are ignored */
#define ICMP6_MAX_SIZE 1280 /* octets, of a packet made here: the least MTU there is */

enum icmp6_type {
	ICMP6_DHAAD_REQUEST = 144,
	ICMP6_DHAAD_REPLY = 145,
	ICMP6_MPS = 146, /* Mobile Prefix Solicitation */
	ICMP6_MPA = 147, /* Mobile Prefix Advertisement */
};

struct icmp6_msg {
	uint8_t type;             /* enum icmp6_type */
	struct in6_addr src, dst; /* of the packet, as on the wire */
	struct in6_addr hoa;      /* MPS: from a Home Address option, MPA: from a type 2 routing
				   * header; :: = no such header, and in discovery */
	uint16_t id;              /* Identifier */
	bool mobile_router;       /* discovery: R of RFC 3963 */
	bool managed, other;      /* MPA: M, O */
	unsigned n_ha;            /* discovery reply: addresses in order of preference */
	struct in6_addr ha[ICMP6_MAX_HA];
	unsigned n_prefix; /* MPA */
	struct ndp_prefix prefix[NDP_MAX_PREFIX];
};

enum icmp6_verdict {
	ICMP6_OK,
	ICMP6_IGNORE,      /* not one of the four messages, or ip6_decode() refused it */
	ICMP6_DROP_CSUM,   /* wrong over the home addresses, too */
	ICMP6_DROP_CODE,   /* not 0 */
	ICMP6_DROP_SHORT,  /* truncated, a part of an address, or an option past the end */
	ICMP6_DROP_OPTION, /* option of length 0 */
};

/* Decodes the IPv6 packet 'pkt'.  The checksum goes over the home addresses of a Home Address
 * option and a type 2 routing header (RFC 6275 s9.3.1, s6.4).  Prefix options that
 * ndp_read_prefix() refuses, unknown ones and those of another length are skipped (s6.7, s6.8).
 * '*out' is written only on ICMP6_OK. */
enum icmp6_verdict icmp6_decode(const void *pkt, size_t size, struct icmp6_msg *out);
/* Makes the complete packet, hop limit 64, checksum included; with 'hoa' set a solicitation has a
 * Home Address option and an advertisement a type 2 routing header.  Returns its size, or
 * -EMSGSIZE: 'size' or ICMP6_MAX_SIZE is too small. */
int icmp6_encode(const struct icmp6_msg *, void *buf, size_t size);
/* The same in parts: the message, and the packet around it, which borrows it. */
void icmp6_frame(const struct icmp6_msg *, uint8_t icmp[ICMP6_MAX_SIZE], struct ip6_pkt *out);

/* Mobile IPv6 home agents anycast address of a subnet (RFC 2526 s2: identifier 126; RFC 6275
 * s10.5.1). */
struct in6_addr icmp6_anycast(const struct prefix6 *);

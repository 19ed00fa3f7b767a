/* ip6.h - IPv6 header chain of signalling packets: Home Address option (RFC 6275 s6.3), type 2
 * routing header (s6.4), checksums (RFC 8200 s8.1).  Pure: no I/O, no clock, no allocation. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP6_HDR_SIZE     40
#define IP6_MAX_CHAIN    8    /* extension headers looked at */
#define IP6_SIG_MAX      2304 /* largest signalling packet made or taken, octets */
#define IP6_PROTO_HBH    0
#define IP6_PROTO_RH     43
#define IP6_PROTO_FRAG   44
#define IP6_PROTO_ESP    50
#define IP6_PROTO_AH     51
#define IP6_PROTO_ICMP6  58
#define IP6_PROTO_NONE   59
#define IP6_PROTO_DSTOPT 60
#define IP6_PROTO_MH     135

/* One packet, decoded.  'payload' borrows from the packet. */
struct ip6_pkt {
	struct in6_addr src, dst; /* as on the wire */
	uint8_t hop_limit;        /* 0..255 */
	uint8_t proto;            /* of the payload; IP6_PROTO_* */
	bool has_hao, has_rh2;
	bool hao_bad;           /* 'hao' is not unicast routable */
	struct in6_addr hao;    /* home address of the sender, if has_hao */
	struct in6_addr rh2;    /* home address of the receiver, if has_rh2 */
	const uint8_t *payload; /* after the last extension header walked */
	size_t payload_size;    /* octets, limited by the header's Payload Length */
	const uint8_t *hao_at;  /* with has_hao: that option's type; borrows as 'payload' does */
	const uint8_t *rh2_at;  /* with has_rh2: that header */
	const uint8_t *rh2_by;  /* and the Next Header octet that names it */
	unsigned payload_off;   /* of 'payload' from the packet's start, octets */
};

enum ip6_verdict {
	IP6_OK,
	IP6_DROP_SHORT,    /* truncated, or its lengths contradict each other */
	IP6_DROP_FRAGMENT, /* fragment header: the kernel's to reassemble, never parsed in part */
	IP6_DROP_DEPTH,    /* more than IP6_MAX_CHAIN extension headers, or hop-by-hop options
			    * that are not the first (RFC 8200 s4.1) */
	IP6_DROP_HAO,      /* HAO twice, of a wrong length, outside a destination options header */
	IP6_DROP_HAO_ADDR, /* its address is not unicast routable (RFC 6275 s6.3, s9.3.1) */
	IP6_DROP_RH,       /* type 2 routing header that fails s6.4's checks: silent (s11.3.3) */
	IP6_DROP_RH_TYPE,  /* routing header of another type: Parameter Problem 0 (RFC 8200 s4.4) */
	IP6_DROP_OPTION,   /* unknown option whose type says discard (RFC 8200 s4.2) */
	IP6_DROP_OPTION_TELL, /* and that says so: Parameter Problem 2 */
};

/* Walks the chain of the packet 'buf' ('size' octets from the IPv6 header) up to the first header
 * that is not hop-by-hop, destination options or routing.  '*out' is written on IP6_OK and
 * IP6_DROP_HAO_ADDR; on the two verdicts that want a Parameter Problem too, with the Pointer as
 * 'payload_off'. */
enum ip6_verdict ip6_decode(const void *buf, size_t size, struct ip6_pkt *out);

/* Makes of a packet, in place, what the layers above see of it at its destination (RFC 6275 s6.3,
 * s6.4, s9.3.1, s11.3.3): the home addresses stand in the IPv6 header, and where they stood is
 * an option that means nothing, so that its size stays.  '*out' tells what it was, as ip6_decode()
 * does, but of a fragment too: 'proto' is then what was cut to pieces.  Nothing is changed unless
 * IP6_OK. */
enum ip6_verdict ip6_settle(void *pkt, size_t size, struct ip6_pkt *out);

/* Writes IPv6 header, type 2 routing header (if has_rh2), destination options with 'p->hao' (if
 * has_hao; after the routing header, RFC 6275 s6.3) and the payload, a complete packet.  Hop limit
 * as given, traffic class and flow label 0.  Returns its size, or -EMSGSIZE. */
int ip6_encode(const struct ip6_pkt *p, void *buf, size_t size);

/* Internet checksum with IPv6 pseudo-header (RFC 8200 s8.1) over 'data'; wire order.  A packet
 * that carries its checksum sums to 0.  With HAO or RH2, pass the home address (s6.1.1). */
uint16_t ip6_csum(const struct in6_addr *src, const struct in6_addr *dst, uint8_t proto,
	const void *data, size_t size);

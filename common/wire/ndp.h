/* ndp.h - Neighbour Discovery messages (RFC 4861 s4, RFC 6275 s7, RFC 3963 s7.3).  Pure: no I/O,
 * no clock, no allocation.  Host-order values; nothing borrows from the packet. */
#pragma once
#include "common/core/addr.h"

#define NDP_MAX_PREFIX 16 /* prefix options kept of one RA; more are ignored */
#define NDP_MAX_SIZE   1500

enum ndp_type { NDP_RS = 133, NDP_RA = 134, NDP_NS = 135, NDP_NA = 136 };

struct ndp_prefix {            /* Prefix Information, RFC 4861 s4.6.2, RFC 6275 s7.2 */
	struct prefix6 prefix; /* masked */
	struct in6_addr addr;  /* the field as sent: the router's address if 'router_addr';
				* to encode, :: stands for prefix.addr */
	bool on_link, autonomous, router_addr; /* L, A, R */
	uint32_t valid_s, preferred_s;         /* 0xffffffff = infinite; preferred <= valid */
};
struct ndp_ra {
	uint8_t cur_hop_limit;
	bool managed, other, home_agent; /* M, O, H */
	uint16_t lifetime_s;             /* 0 = no default router */
	uint32_t reachable_ms, retrans_ms;
	uint32_t mtu;              /* 1280..65535, 0 = absent or out of range */
	uint32_t interval_ms;      /* Advertisement Interval, RFC 6275 s7.3; 0 = absent */
	bool has_ha_info, ha_nemo; /* Home Agent Information, RFC 6275 s7.4; R of RFC 3963 s7.3 */
	uint16_t ha_preference, ha_lifetime_s;
	unsigned n_prefix;
	struct ndp_prefix prefix[NDP_MAX_PREFIX];
};
struct ndp_na {
	bool router, solicited, override; /* R, S, O */
};

struct ndp_msg {
	uint8_t type;             /* enum ndp_type */
	struct in6_addr src, dst; /* of the packet */
	struct in6_addr target;   /* NS, NA */
	bool has_lladdr;          /* source link-layer address (RS, RA, NS), target's (NA) */
	uint8_t lladdr[6];
	union {
		struct ndp_ra ra;
		struct ndp_na na;
	};
};

enum ndp_verdict {
	NDP_OK,
	NDP_IGNORE,     /* not one of the four messages, or behind an extension header (a fragment
			 * header among them: RFC 6980) */
	NDP_DROP_SHORT, /* truncated, or an option runs past the end */
	NDP_DROP_CSUM,
	NDP_DROP_HOPS, /* hop limit not 255 */
	NDP_DROP_CODE,
	NDP_DROP_SOURCE, /* multicast; an RA's not link-local; :: of an RS or NS with an SLLAO, or
			  * of an NS to another than a solicited-node group */
	NDP_DROP_TARGET, /* multicast target; solicited NA to a multicast destination */
	NDP_DROP_OPTION, /* option of length 0 */
};

/* Decodes the IPv6 packet 'pkt' with the checks of RFC 4861 s6.1, s7.1.  Prefix options with a
 * length over 128, link-local, multicast or preferred > valid are ignored (s6.3.4, RFC 4862
 * s5.5.3), unknown options and those of a wrong length skipped.  '*out' is written only on
 * NDP_OK. */
enum ndp_verdict ndp_decode(const void *pkt, size_t size, struct ndp_msg *out);
/* Group that solicitations of 'addr' go to (RFC 4291 s2.7.1). */
struct in6_addr ndp_solicited_node(const struct in6_addr *addr);
/* End of a lifetime told at 'now', ms; UINT64_MAX: none. */
uint64_t ndp_until(uint64_t now, uint32_t seconds);
/* New end of a prefix's valid lifetime: an unauthenticated advertisement can't cut it below two
 * hours (RFC 4862 s5.5.3). */
uint64_t ndp_valid_until(uint64_t now, uint64_t old, uint32_t valid_s);
/* Makes the complete IPv6 packet: hop limit 255, checksum.  Returns its size, or -EMSGSIZE. */
int ndp_encode(const struct ndp_msg *, void *buf, size_t size);

/* A Prefix Information option, for messages that carry it elsewhere (icmp6.h): what follows its
 * Type and Length, 30 octets.  False, and nothing written, for one that has to be ignored: a length
 * over 128, link-local, multicast, or preferred > valid (RFC 4861 s6.3.4, RFC 4862 s5.5.3). */
struct rd;
struct wr;
bool ndp_read_prefix(struct rd *, struct ndp_prefix *out);
void ndp_write_prefix(struct wr *, const struct ndp_prefix *); /* with Type and Length */

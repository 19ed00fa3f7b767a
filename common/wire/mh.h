/* mh.h - Mobility Header messages (RFC 6275 s6.1-6.2, RFC 3963 s4, RFC 5142 s4, RFC 5846 s5,
 * RFC 5847 s3.3).  Pure: no I/O, no clock, no allocation.  Values are in host order and natural
 * units; nothing borrows from the packet. */
#pragma once
#include "common/core/addr.h"
#include "common/wire/ip6.h"

#define MH_MAX_SIZE 2048 /* (255 + 1) * 8 octets */
#define MH_MAX_MNP  32   /* prefixes in one BU; more count as invalid */
#define MH_MAX_AUTH 64   /* octets of authenticator kept */
#define MH_MAX_HAS  16   /* home agents kept of one Home Agent Switch; more are ignored */
#define MH_MAX_MAC  32   /* octets of a message authentication option's data kept */
#define MH_MAX_ID   64   /* octets of a mobile node identifier kept */

enum mh_type {
	MH_BRR,
	MH_HOTI,
	MH_COTI,
	MH_HOT,
	MH_COT,
	MH_BU,
	MH_BA,
	MH_BE,
	MH_HAS = 12, /* Home Agent Switch, RFC 5142 */
	MH_HB = 13,  /* Heartbeat, RFC 5847 */
	MH_BR = 16,  /* Binding Revocation, RFC 5846 */
};

enum mh_bu_flag {         /* RFC 6275 s6.1.7, RFC 3963 s4.1 */
	MH_BU_A = 0x8000, /* acknowledge */
	MH_BU_H = 0x4000, /* home registration */
	MH_BU_L = 0x2000, /* link-local address compatibility */
	MH_BU_K = 0x1000, /* key management mobility */
	MH_BU_M = 0x0800, /* RFC 4140; never sent */
	MH_BU_R = 0x0400, /* mobile router */
};
enum mh_ba_flag { MH_BA_K = 0x80, MH_BA_R = 0x40 };
enum mh_br_type { MH_BRI = 1, MH_BRA = 2 }; /* RFC 5846 s5: Indication, Acknowledgement */
enum mh_br_flag {
	MH_BR_P = 0x8000, /* a proxy's binding */
	MH_BR_V = 0x4000, /* the IPv4 home address's binding only */
	MH_BR_G = 0x2000, /* all bindings of a peer */
};
enum mh_br_trigger { MH_BRI_UNSPECIFIED, MH_BRI_ADMINISTRATIVE, MH_BRI_OUT_OF_SYNC = 7 };

#define MH_BRA_STATUSES(X) /* RFC 5846 s5.2 */ \
	X(0, SUCCESS, "success") \
	X(1, PARTIAL, "partial success") \
	X(128, NO_BINDING, "binding does not exist") \
	X(129, IPV4_HOA, "IPv4 Home Address option required") \
	X(130, GLOBAL, "global revocation not authorized") \
	X(131, IDENTITY, "revoked mobile nodes identity required") \
	X(132, ATTACHED, "revocation failed, mobile node is attached") \
	X(133, TRIGGER, "revocation trigger not supported") \
	X(134, FUNCTION, "revocation function not supported") \
	X(135, PROXY, "proxy binding revocation not supported")
enum mh_bra_status {
#define X(number, name, text) MH_BRA_##name = number,
	MH_BRA_STATUSES(X)
#undef X
};
const char *mh_bra_str(unsigned status); /* the text above, or "unknown status" */

#define MH_STATUSES(X) /* RFC 6275 s6.1.8, RFC 3963 s4.2 */ \
	X(0, ACCEPTED, "accepted") \
	X(1, ACCEPTED_PREFIX, "accepted, prefix discovery necessary") \
	X(128, UNSPECIFIED, "reason unspecified") \
	X(129, PROHIBITED, "administratively prohibited") \
	X(130, RESOURCES, "insufficient resources") \
	X(131, NO_HOME_REG, "home registration not supported") \
	X(132, NOT_HOME_SUBNET, "not home subnet") \
	X(133, NOT_HA, "not home agent for this mobile node") \
	X(134, DAD_FAILED, "duplicate address detection failed") \
	X(135, SEQ_WINDOW, "sequence number out of window") \
	X(136, HOME_NONCE, "expired home nonce index") \
	X(137, CAREOF_NONCE, "expired care-of nonce index") \
	X(138, NONCES, "expired nonces") \
	X(139, TYPE_CHANGE, "registration type change disallowed") \
	X(140, MR_NOT_PERMITTED, "mobile router operation not permitted") \
	X(141, INVALID_PREFIX, "invalid prefix") \
	X(142, PREFIX_NOT_AUTHORIZED, "not authorized for prefix") \
	X(143, FORWARDING_FAILED, "forwarding setup failed (prefixes missing)") \
	X(144, ID_MISMATCH, "timestamp not valid") /* RFC 4285 s6 */ \
	X(145, MESG_ID_REQUIRED, "timestamp option required") \
	X(146, AUTH_FAIL, "authentication failed") \
	X(174, INVALID_COA, "invalid care-of address")
enum mh_status {
#define X(number, name, text) MH_ST_##name = number,
	MH_STATUSES(X)
#undef X
};
const char *mh_status_str(unsigned status); /* the text above, or "unknown status" */

/* Options, gathered: those absent are zero.  Unknown ones are skipped (RFC 6275 s6.2.1). */
struct mh_opts {
	uint32_t refresh_s;      /* Binding Refresh Advice, s6.2.4; 0..262140 s */
	struct in6_addr alt_coa; /* Alternate Care-of Address, s6.2.5; :: = absent */
	bool has_nonce;          /* Nonce Indices, s6.2.6 */
	uint16_t home_nonce, careof_nonce;
	uint8_t auth_size;   /* Binding Authorization Data, s6.2.7; octets, 0 = absent */
	bool auth_misplaced; /* it is not the last option, or larger than MH_MAX_AUTH (then
			      * not kept) */
	uint8_t auth[MH_MAX_AUTH];
	uint8_t id_size;         /* Mobile Node Identifier, a NAI (RFC 4283); octets, 0 = absent */
	char id[MH_MAX_ID];      /* no NUL */
	bool has_stamp;          /* Replay Protection, RFC 4285 s6 */
	uint64_t stamp;          /* NTP: seconds since 1900 and 32 bits of fraction */
	struct {                 /* Mobility Message Authentication, RFC 4285 s5 */
		uint8_t size;    /* of the data, octets; 0 = absent */
		uint8_t subtype; /* 1 = MN-HA */
		bool misplaced;  /* another option but padding follows, or more than MH_MAX_MAC */
		uint16_t tail;   /* octets of padding that follow; never encoded */
		uint32_t spi;
		uint8_t data[MH_MAX_MAC]; /* the last octets of the message, before the tail */
	} mac;
	bool mnp_bad;   /* a Mobile Network Prefix option (RFC 3963 s4.3) with a wrong
			 * length field, a prefix length over 128, or one too many */
	unsigned n_mnp; /* 0..MH_MAX_MNP; host bits are as received */
	struct prefix6 mnp[MH_MAX_MNP];
	bool has_restart; /* Restart Counter, RFC 5847 s3.4 */
	uint32_t restart;
	bool has_ipv4_hoa; /* IPv4 Home Address, RFC 5555 s3.1.1 */
	uint8_t ipv4_hoa[4];
};
struct mh_bu {
	uint16_t seq;
	uint16_t flags;      /* MH_BU_* */
	uint32_t lifetime_s; /* 0..262140 */
};
struct mh_ba {
	uint8_t status, flags; /* MH_ST_*, MH_BA_* */
	uint16_t seq;
	uint32_t lifetime_s; /* 0..262140 */
};
struct mh_be {
	uint8_t status; /* 1 unknown binding, 2 unknown type */
	struct in6_addr hoa;
};
struct mh_test {
	uint16_t nonce;
	uint8_t cookie[8], token[8]; /* HoTI, CoTI: cookie only */
};

struct mh_has {
	unsigned n; /* 0..MH_MAX_HAS */
	struct in6_addr ha[MH_MAX_HAS];
};
struct mh_hb {
	bool response, unsolicited; /* R, U */
	uint32_t seq;
};
struct mh_br {
	uint8_t type; /* enum mh_br_type, or anything */
	uint8_t code; /* BRI: trigger; BRA: status */
	uint16_t seq;
	uint16_t flags; /* MH_BR_* */
};

struct mh_msg {
	uint8_t type; /* enum mh_type */
	union {
		struct mh_bu bu;
		struct mh_ba ba;
		struct mh_be be;
		struct mh_test test;
		struct mh_has has;
		struct mh_hb hb;
		struct mh_br br;
	};
	struct mh_opts o;
};

enum mh_verdict { /* RFC 6275 s9.2, in this order */
	MH_OK,
	MH_DROP_CSUM,   /* silent */
	MH_DROP_TYPE,   /* unknown type: Binding Error 2 */
	MH_DROP_PROTO,  /* Payload Proto not 59: Parameter Problem at it */
	MH_DROP_LEN,    /* Header Len below the type's minimum, or what its own counts say:
			 * Parameter Problem at it */
	MH_DROP_SHORT,  /* Header Len past the end, or under 8 octets: silent */
	MH_DROP_OPTION, /* an option runs past the end of the header, or an Alternate Care-of
			 * Address is :: (s6.1.7): silent */
	MH_DROP_HEADER, /* a header before it that we don't know: Parameter Problem, 2 for an
			 * option, 0 for a routing header ('*chain' says which) */
	MH_DROP_CHAIN,  /* ip6_decode() refused the packet, or it is no Mobility Header */
	MH_DROP_SEC,    /* message protection (common/sec) refused it, and counted why: silent */
};

/* Decodes the Mobility Header in 'buf' (checksum already verified).  Octets past Header Len are
 * ignored.  With MH_DROP_PROTO and MH_DROP_LEN '*where' is the offset of the bad octet from 'buf'.
 * '*out' is written only on MH_OK. */
enum mh_verdict mh_decode(const void *buf, size_t size, struct mh_msg *out, unsigned *where);
/* Encodes 'm', aligning options as s6.2 and RFC 3963 s4.3 require, Payload Proto 59, checksum
 * zero.  Lifetimes are rounded down to 4 s.  Options that the message can't carry (table in mh.c),
 * o.mnp_bad and o.auth_misplaced are ignored.  Returns octets written (8..MH_MAX_SIZE, a multiple
 * of 8) or -EMSGSIZE. */
int mh_encode(const struct mh_msg *m, void *buf, size_t size);

/* A message with its addresses: what a protocol core sees and sends. */
struct mh_env {
	struct in6_addr src, dst; /* as on the wire */
	struct in6_addr hoa; /* home address from the HAO (BU) or RH2 (BA); :: = no such header */
	bool rh2;            /* it is in a type 2 routing header; to send a BA: as good as set */
	struct mh_msg m;
	unsigned refuse; /* received: status that message protection wants answered, 144..146, or 0
			  */
	uint32_t spi;    /* received: of the ESP that it came in; 0 = none */
};

/* Decodes a complete packet: chain, checksum over the home addresses, message.  '*where' is the
 * offset from the packet's start, for the ICMPv6 Pointer; '*chain' tells why with MH_DROP_CHAIN.
 * On every verdict but MH_DROP_CHAIN and MH_DROP_CSUM, out->src, dst and hoa are set (an error
 * needs them); out->m only on MH_OK.  A home address is taken from an HAO, else from an RH2. */
enum mh_verdict mh_decode_packet(
	const void *pkt, size_t size, struct mh_env *out, enum ip6_verdict *chain, unsigned *where);
/* Makes the complete packet of 'e', checksum included, hop limit 64: a BA with hoa set, and
 * anything with hoa and rh2 set, gets a type 2 routing header, anything else with hoa set a Home
 * Address option (s6.1.7, s9.5.4).  Returns its
 * size or -EMSGSIZE. */
int mh_encode_packet(const struct mh_env *e, void *buf, size_t size);
/* The first half of that: sets the checksum of the encoded message 'mh' and fills '*out', which
 * borrows it, for ip6_encode(). */
void mh_frame(const struct mh_env *e, void *mh, size_t size, struct ip6_pkt *out);
/* ICMPv6 Parameter Problem 'code' about 'pkt' with 'pointer' (RFC 4443 s3.4, at most 1280 octets),
 * from 'src' (an own address) to the packet's source.  Returns the packet's size, or -EINVAL: no
 * error may be sent about this packet (its source is :: or multicast, its destination multicast),
 * it is no whole IPv6 header, or 'buf' is too small. */
int mh_encode_param_problem(const void *pkt, size_t pkt_size, uint8_t code, unsigned pointer,
	const struct in6_addr *src, void *buf, size_t size);

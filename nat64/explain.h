/* explain.h - what the translator makes of an address or a packet, by which rule, or why nothing.
 * Pure. */
#pragma once
#include <stdbool.h>
#include "common/core/addr.h"
#include "nat64/translate.h"

struct nat64_addr { /* of either family */
	bool is6;
	struct in_addr a4;
	struct in6_addr a6;
};
#define NAT64_ADDR_STRLEN INET6_ADDRSTRLEN
#define NAT64_RULE_STRLEN (PREFIX4_STRLEN + PREFIX6_STRLEN + 8)
int nat64_addr_parse(const char *, struct nat64_addr *out); /* 0 or -EINVAL */
const char *nat64_addr_str(const struct nat64_addr *, char *buf);

/* name in JSON.  Why an address has no counterpart, or that it has one. */
#define NAT64_VERDICTS(X) \
	X(MAPPED, "mapped") \
	X(UNMAPPED, "unmapped")     /* no mapping and no prefix covers it */ \
	X(BOGON, "bogon")           /* it, or what it becomes, is in 'bogons' */ \
	X(ILLEGAL, "illegal")       /* IPv6 that is no unicast address beyond its link */ \
	X(NON_GLOBAL, "non_global") /* 64:ff9b::/96 with a non-global IPv4 address */

enum nat64_verdict {
#define X(name, text) NAT64_##name,
	NAT64_VERDICTS(X)
#undef X
};
const char *nat64_verdict_name(enum nat64_verdict);
const char *nat64_by_name(enum nat64_by); /* "none", "mapping", "prefix", "pool" */

struct nat64_explained { /* one address */
	struct nat64_addr in, out;
	enum nat64_verdict verdict;
	enum nat64_by by;             /* how 'out' came about; NONE: there is none */
	char rule[NAT64_RULE_STRLEN]; /* "192.0.2.0/24 - 2001:db8::/120" or "64:ff9b::/96"; "" */
	bool one_way;                 /* 'out' becomes another address on the way back: 'back' */
	struct nat64_addr back;
	bool drawn;     /* the translator's own routes lead packets to 'in' into it */
	char text[512]; /* all of this in a sentence or two */
};
void nat64_explain(const struct nat64 *, const struct nat64_addr *, struct nat64_explained *);

struct nat64_explained_packet {
	enum nat64_reason reason; /* the counter a UDP packet from 'src' to 'dst' would increment */
	bool translated;
	bool answered;                      /* not translated: with an ICMP error to 'src' */
	bool hairpinned;                    /* became IPv6 again at once: out_* are IPv6 */
	struct nat64_addr out_src, out_dst; /* if translated */
	struct nat64_explained src, dst;
	struct nat64_addr mid_src, mid_dst; /* hairpinned: the IPv4 form in between */
	char text[2048];
};
/* Both of one family (else -EINVAL).  Runs the translation itself, so that it can't be wrong about
 * the outcome. */
int nat64_explain_packet(const struct nat64 *, const struct nat64_addr *src,
	const struct nat64_addr *dst, struct nat64_explained_packet *);

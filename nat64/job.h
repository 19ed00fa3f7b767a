/* job.h - one packet's way through the translation, for the files that share it (translate.c,
 * error.c, refuse.c, segment.c).  Pure. */
#pragma once
#include "nat64/head.h"
#include "nat64/translate.h"

#define NAT64_IPV4_MAX 65535

struct nat64_job {
	const struct nat64 *n;
	const struct nat64_in *in;
	nat64_emit_fn *emit;
	void *arg;
	const struct nat64_job
		*first; /* second pass of a hairpinned packet: its first, else NULL */
};

/* What a translated packet consists of behind its IP header: the first octets copied, because the
 * checksum is among them, the others where they are. */
struct nat64_body {
	uint8_t head[20];
	size_t head_size, rest_size;
	const uint8_t *rest; /* borrowed */
};
/* The 'size' octets at 'in', whose first 'l4_size' are those at 'l4' instead, with the new ICMP
 * type and checksum. */
void nat64_fill_body(struct nat64_body *, const struct nat64_plan *, const uint8_t *l4,
	uint8_t l4_size, const uint8_t *in, size_t size, bool is_partial, uint8_t proto);

/* translate.c: packets of IPv4; 'flags' 0 or XLAT_BACK. */
enum nat64_reason nat64_translate4(const struct nat64_job *, uint8_t flags);
/* Emits one packet that lies in one piece; is_error: one of ours back to the sender. */
void nat64_emit_octets(const struct nat64_job *, const uint8_t *pkt, size_t size, bool is_error);
/* A packet that is on its way to IPv4 and is to be translated back at once (RFC 7757 s4.2.2). */
enum nat64_reason nat64_translate_back(
	const struct nat64_job *first, const struct nat64_packet *between);

/* error.c: ICMP errors, whose 'x' is complete and whose l4_size is at least 8. */
bool nat64_is_error4(const struct xlat4 *);
bool nat64_is_error6(const struct xlat6 *);
enum nat64_reason nat64_error46(const struct nat64_job *, struct xlat4 *);
enum nat64_reason nat64_error64(const struct nat64_job *, struct xlat6 *);

/* refuse.c: sends the ICMP error that the plan asks for, if the packet may have one.  Returns the
 * plan's reason. */
enum nat64_reason nat64_refuse4(
	const struct nat64_job *, const struct xlat4 *, const struct nat64_plan *);
enum nat64_reason nat64_refuse6(
	const struct nat64_job *, const struct xlat6 *, const struct nat64_plan *);

/* segment.c: cuts a packet of many segments up and translates each by itself. */
enum nat64_reason nat64_segment(const struct nat64_job *, size_t l4_off, uint8_t proto);

/* quote.h - ICMPv6 errors (RFC 4443) about tunnel packets, and what RFC 2473 s8 makes of them for
 * the source of what was inside.  Pure: no I/O, no clock, no allocation. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTE_UNREACHABLE   1
#define QUOTE_TOO_BIG       2
#define QUOTE_TIME_EXCEEDED 3
#define QUOTE_PARAM_PROBLEM 4
#define QUOTE_MIN_MTU       1280 /* of any IPv6 link (RFC 8200 s5), and of an error at most */

struct quote_error { /* what an error says */
	uint8_t type, code;
	uint32_t param; /* MTU of a Packet Too Big, pointer of a Parameter Problem; else 0 */
};

/* An error that quotes an IPv6-in-IPv6 packet.  'inner' borrows from the message. */
struct quote {
	struct quote_error error;
	struct in6_addr src, dst; /* of the tunnel packet */
	unsigned outer_size;      /* of the tunnel packet or its first fragment, octets */
	unsigned overhead; /* tunnel headers that every packet has, octets: no fragment header */
	unsigned limit_at; /* where its encapsulation limit is, octets from its start; 0: it has
			      none */
	uint8_t limit;
	struct in6_addr inner_src, inner_dst;
	unsigned inner_size;  /* of the whole inner packet, octets */
	const uint8_t *inner; /* as much of it as is quoted, its IPv6 header at least */
	size_t inner_quoted;  /* octets */
};

/* Reads an ICMPv6 message, from its type on.  False: not one of the four errors, or what it quotes
 * is no tunnel packet (IPv6 header, then nothing but an encapsulation limit and a fragment header
 * of a first fragment, then a whole IPv6 header), or the sizes in it contradict each other. */
bool quote_read(const void *msg, size_t size, struct quote *out);
/* An error that quotes a Binding Update of ours. */
struct quote_update {
	struct quote_error error;
	struct in6_addr src, dst, hoa; /* hoa: of the Home Address option; :: = it had none */
	bool esp;                      /* it was under ESP: 'spi' and 'number', else 'seq' */
	uint32_t spi, number;
	uint16_t seq;
};
/* Reads an ICMPv6 message, from its type on.  False: not one of the four errors, or what it quotes
 * is neither an update, whole, nor the whole ESP packet that may be one. */
bool quote_read_update(const void *msg, size_t size, struct quote_update *out);
/* The encapsulation limit of a packet that is to be encapsulated (RFC 2473 s4.1.1): headers from
 * left to right, up to one that is no extension header.  -1: it has none; else '*at' is where,
 * octets from its start. */
int quote_limit(const void *pkt, size_t size, unsigned *at);
/* RFC 2473 s8.2: what the inner packet's source is to be told.  False: nothing. */
bool quote_relay(const struct quote *, struct quote_error *out);
/* May an error be sent about this packet ('size' octets of it), by RFC 4443 s2.4(e)?  Not about
 * errors and redirects, from no single node, or to a multicast address. */
bool quote_may_answer(const void *pkt, size_t size);
/* Writes the message, checksum 0, with as much of 'pkt' as goes into 1280 octets with an IPv6
 * header.  Returns its size, or -EMSGSIZE. */
int quote_write(
	const struct quote_error *, const void *pkt, size_t pkt_size, void *buf, size_t size);

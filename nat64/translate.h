/* translate.h - user space's translation of whole packets: the complete one (fragments to be made,
 * ICMP errors and their quoted packets, options, hairpinning).  Pure: no I/O, no clock. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "nat64/core/plan.h"
#include "nat64/table.h"

#define NAT64_MAX_IOV 6

struct nat64_in {
	const uint8_t *pkt; /* from its IP header on; borrowed during the call */
	size_t size;        /* octets there are: more than the header says: cut; less: dropped */
	bool partial_csum;  /* checksum offload: the field of TCP or UDP holds the pseudo-header's
			     * sum */
	bool is_gso;        /* many segments in one, of TCP or UDP */
	uint16_t gso_size;  /* is_gso: octets of payload in each; 0: unknown, taken for small */
	uint32_t random;    /* for the IPv4 identification and the choice from a pool */
};
struct nat64_packet { /* to be sent: octets of ours, then octets borrowed from the input */
	struct iovec iov[NAT64_MAX_IOV];
	unsigned n_iov;
	size_t size;
	bool is6;
	bool is_error;       /* ICMP error of ours back to the sender: the engine limits its rate */
	unsigned csum_start; /* partial_csum: where the transport header starts, from the packet's
			      * first octet; its field is already that of the new pseudo-header */
};
typedef void nat64_emit_fn(void *arg, const struct nat64_packet *);

/* What can't stay as it was offloaded (a packet to be split) comes out complete, in several packets
 * with csum_start 0.
 *
 * Translates by the packet's version nibble; calls 'emit' once per resulting packet, or once for
 * an ICMP error, or never.  Returns the counter to increment. */
enum nat64_reason nat64_translate(
	const struct nat64 *, const struct nat64_in *, nat64_emit_fn *, void *arg);
const char *nat64_reason_name(enum nat64_reason);
const char *nat64_reason_text(enum nat64_reason);

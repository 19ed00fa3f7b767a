/* slow.h - what a tunnel's packets need user space for: a device hands packets up (and, TAP, back),
 * raw sockets send and receive.  The kernel cuts segments and sums
 * on the way up and puts fragments together (RFC 2473 s7).  Private to the engines.
 *
 *   tunnel_encap --- does not fit ---> TAP --> up to 1280 octets: sent in fragments; more: Packet
 *                                              Too Big
 *   tunnel_decap --- fragment -------> kernel -> raw socket of SLOW_PROTO --> TAP --> tunnel_decap
 *   ICMPv6 error about a tunnel packet --> raw socket --> on_error() --> slow_error()
 *
 * Engine ip6tnl (SLOW_TUN): its rules at the device's egress forward to a TUN device what the
 * kernel's tunnel can't send; a packet socket takes the errors, which the rules hide from the
 * kernel; what comes in needs no user space. */
#pragma once
#include <systemd/sd-event.h>
#include "common/tunnel/bpf/maps.h"
#include "common/tunnel/dev.h"
#include "common/tunnel/tunnel.h"
#include "common/wire/quote.h"

#define SLOW_LIMIT_SIZE 8 /* octets of the header with an encapsulation limit */

struct slow;

enum slow_kind {
	SLOW_TAP, /* frames that have struct slow_head in place of their addresses */
	SLOW_TUN, /* IPv6 packets that nobody has looked at */
};

struct slow_handlers {
	bool (*find)(void *arg, uint32_t number, struct map_info *out); /* false: no such tunnel */
	/* SLOW_TUN: fills in the head for a packet of 'size' octets, a whole IPv6 header at least.
	 * False: dropped, and counted. */
	bool (*look)(void *arg, const void *pkt, size_t size, struct slow_head *out);
	/* Not verified.  'to': whom it came for; NULL: this host. */
	void (*error)(void *arg, const struct in6_addr *to, const struct quote *);
	void *arg;
};

/* Makes the device "DEV-slow", TAP with the MAC address of 'dev'.  0, or -errno with 'why' (256
 * octets) filled. */
int slow_open(struct slow **, enum slow_kind, const struct tunnel_dev *dev,
	const struct tunnel_conf *, const struct slow_handlers *, char *why);
unsigned slow_ifindex(const struct slow *); /* 0 if it is NULL */
/* Sends an error about 'pkt' (its first 'size' octets, an IPv6 header at least) to its source, if
 * one may be sent, a hundred a second at most.  From the tunnel's end, which at a mobile router is
 * the home address: the care-of address means nothing inside. */
void slow_error(struct slow *, const struct map_info *, const struct quote_error *, const void *pkt,
	size_t size);
uint64_t *slow_counts(struct slow *); /* TUNNEL_N_COUNTS of them, to add to */
uint64_t *slow_drops(struct slow *);  /* TUNNEL_N_DROPS, likewise */
void slow_add_counters(const struct slow *, struct tunnel_counters *); /* accepts NULL */
/* What the kernel takes the path from here to 'remote' to carry, octets; 0: no route. */
unsigned slow_path_mtu(struct slow *, const struct ip6 *remote, unsigned oif);
void slow_close(struct slow *); /* with its device; accepts NULL */

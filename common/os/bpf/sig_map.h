/* sig_map.h - what sig.bpf.c hands to the daemon through its ring. */
#pragma once
#include "common/os/bpf/types.h"

#define SIG_PACKET_MAX   2304 /* octets, from the IPv6 header on */
#define SIG_PACKET_SMALL 248  /* most updates; so a ring holds 16,000 of them */

/* A home address that has a line: what may wait in the first ring of those that name it.  More are
 * no router's, and stand in the second one behind each other. */
#define SIG_HOME_BURST 16
#define SIG_HOME_NS    100000000ull

/* Bits: a Home Address option, a type 2 routing header with something other than signalling behind.
 */
#define SIG_TAKE_HAO 1u
#define SIG_TAKE_RH2 2u
#define SIG_TAKE_ESP 4u /* ESP without such a header: of a router that is at home */
/* The same but for SPIs with the highest bit, which are the tunnel's packets and the kernel's
 * business; SIG_PACKET only. */
#define SIG_TAKE_ESP_LOW 8u

struct sig_home {
	__u64 since; /* ns; start of the SIG_HOME_NS that 'n' counts */
	__u32 n, pad;
};

struct sig_packet {
	__u32 ifindex;
	__u32 size;
	__u8 data[SIG_PACKET_MAX]; /* or SIG_PACKET_SMALL */
};

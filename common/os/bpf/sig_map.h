/* sig_map.h - what sig.bpf.c hands to the daemon through its ring. */
#pragma once
#include "common/os/bpf/types.h"

#define SIG_PACKET_MAX 2304 /* octets, from the IPv6 header on */

/* Bits: a Home Address option, a type 2 routing header with something other than signalling behind.
 */
#define SIG_TAKE_HAO 1u
#define SIG_TAKE_RH2 2u
#define SIG_TAKE_ESP 4u /* ESP without such a header: of a router that is at home */

struct sig_packet {
	__u32 ifindex;
	__u32 size;
	__u8 data[SIG_PACKET_MAX];
};

/* sig_map.h - what sig.bpf.c hands to the daemon through its ring. */
#pragma once
#include "common/os/bpf/types.h"

#define SIG_PACKET_MAX 2304 /* octets, from the IPv6 header on */

struct sig_packet {
	__u32 ifindex;
	__u32 size;
	__u8 data[SIG_PACKET_MAX];
};

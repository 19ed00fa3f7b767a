/* maps.h - what stands in the maps of tunnel.bpf.c.  A later run of the daemon takes the maps over
 * as they are if names and sizes agree, so a changed layout must change a size or a name. */
#pragma once
#include "common/os/bpf/types.h"
#include "common/tunnel/drops.h"

struct map_prefix { /* key of 'routes' and 'inner' (longest match); value: the tunnel's number */
	__u32 len;  /* 0..128 bits */
	struct ip6 addr;
};

struct map_pair {
	struct ip6 local, remote;
}; /* key of 'pairs'; value: the tunnel's number */

struct map_info { /* value of 'infos', by number; replaced as a whole: that is the handover */
	struct ip6 id, local, remote, old_local;
	__u32 oif;    /* 0: by routing */
	__u32 tenant; /* 0: not isolated */
	__u32 mtu;    /* of the path to 'remote', octets; 0: not known */
};

struct map_allow {
	__u32 from, to;
}; /* key of 'allowed'; tenants */

struct map_hop { /* what the last route lookup gave; good for the clock tick it was made in */
	__u64 tick;
	struct ip6 local, remote;
	__u32 oif;               /* as in map_info */
	__u32 ifindex;           /* where the packets leave */
	__u32 size;              /* the largest that the lookup found to fit, octets of the frame */
	__u8 dest[6], source[6]; /* link-layer addresses */
};

struct map_cpu { /* value of 'cpu', per CPU, by number */
	__u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
	struct map_hop hop;
};

struct map_refused { /* value of 'refused', by home address; it stays when the tunnel goes */
	__u64 n[TUNNEL_N_DROPS];
};

/* Why a packet goes to user space instead of into the tunnel (slow.h). */
enum slow_why {
	SLOW_SIZE,  /* with its tunnel headers it is larger than the path takes */
	SLOW_LIMIT, /* it has an encapsulation limit of 0 */
};
struct slow_head {     /* in place of the two Ethernet addresses */
	__u32 number;  /* the tunnel's */
	__u16 pointer; /* SLOW_LIMIT: where the limit is, octets from the IPv6 header's start */
	__u8 why;
	__u8 has_limit, limit; /* what the tunnel headers are to carry */
	__u8 zero[3];
};
/* What the next header of a tunnel packet's first fragment becomes, so that the kernel puts the
 * fragments together and hands the whole to a raw socket, not to a tunnel of its own. */
#define SLOW_PROTO 253 /* for experiments, RFC 3692 */

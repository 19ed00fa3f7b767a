/* maps.h - what stands in the maps of tunnel.bpf.c.  A later run of the daemon takes the maps over
 * as they are if names and sizes agree, so a changed layout must change a size or a name. */
#pragma once
#include "common/os/bpf/types.h"

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
};

struct map_allow {
	__u32 from, to;
}; /* key of 'allowed'; tenants */

struct map_stats {
	__u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
}; /* per CPU, by number */

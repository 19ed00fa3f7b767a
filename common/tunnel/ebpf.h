/* ebpf.h - the opened eBPF engine, for its parts: ebpf.c (tunnels, programs), ebpf_left.c (what an
 * earlier run left).  Private to them. */
#pragma once
#include "common/os/net.h"
#include "common/tunnel/book.h"
#include "common/tunnel/bpf/maps.h"
#include "common/tunnel/dev.h"
#include "common/tunnel/path.h"
#include "common/tunnel/tunnel.h"
#include "common/tunnel/watch.h"
#include "tunnel.skel.h"

struct tunnel_set {
	struct tunnel_bpf *bpf;
	struct tunnel_dev dev;
	enum tunnel_role role;
	uint32_t table;
	unsigned mtu;         /* of dev */
	unsigned encap_limit; /* 0: none */
	struct book book;
	bool taking_over; /* entering tunnels whose prefixes are in the maps */
	int n_cpus;
	unsigned n_links;
	unsigned links[TUNNEL_MAX_LINKS];
	struct path *path;          /* NULL: no user space */
	struct slow *slow;          /* of 'path' */
	struct tunnel_watch *watch; /* NULL: no event loop */
};

int ebpf_map_fd(const struct tunnel_set *, enum key_table); /* borrowed */
void ebpf_info_drop(struct tunnel_set *, uint32_t number);
struct net_route ebpf_route_of(const struct tunnel_set *, const struct key *); /* without MTU */

/* ebpf_left.c */
/* Lets the programs go on with the maps of program 'prog_id': all of them, or false. */
bool ebpf_reuse_maps(struct tunnel_set *, unsigned prog_id);
void ebpf_take_over(struct tunnel_set *); /* enters the tunnels in the maps into the book */

/* ebpf.h - the opened eBPF engine, for its parts: ebpf.c (tunnels, programs), ebpf_left.c (what an
 * earlier run left), ebpf_path.c (path MTU and errors).  Private to them. */
#pragma once
#include "common/os/net.h"
#include "common/tunnel/book.h"
#include "common/tunnel/bpf/maps.h"
#include "common/tunnel/dev.h"
#include "common/tunnel/slow.h"
#include "common/tunnel/tunnel.h"
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
	struct slow *slow;      /* NULL: none */
	sd_event_source *aging; /* of learned MTUs; NULL without 'slow' */
};

int ebpf_map_fd(const struct tunnel_set *, enum key_table);
int ebpf_info_put(struct tunnel_set *, const struct entry *); /* 0 or -errno */
void ebpf_info_drop(struct tunnel_set *, uint32_t number);
struct net_route ebpf_route_of(const struct tunnel_set *, const struct key *); /* without MTU */
/* Routes of the tunnel, with its MTU; idempotent.  0 or -errno. */
int ebpf_routes_put(struct tunnel_set *, const struct entry *);

/* ebpf_left.c */
/* Lets the programs go on with the maps of program 'prog_id': all of them, or false. */
bool ebpf_reuse_maps(struct tunnel_set *, unsigned prog_id);
void ebpf_take_over(struct tunnel_set *); /* enters the tunnels in the maps into the book */

/* ebpf_path.c */
/* Opens what takes user space.  Without it the engine goes on; 'why' (256 octets) then says. */
int ebpf_path_open(struct tunnel_set *, const struct tunnel_conf *, char *why);
/* Fills in the path MTU of a tunnel that is to be put in the place of 'old' (NULL: none). */
void ebpf_path_set(struct tunnel_set *, struct entry *, const struct entry *old);
unsigned ebpf_route_mtu(const struct tunnel_set *, const struct entry *); /* 0: the device's */
void ebpf_path_close(struct tunnel_set *);

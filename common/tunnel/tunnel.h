/* tunnel.h - datapath: carries the packets of bindings through their MR-HA tunnels (RFC 2473, RFC
 * 3963 s5.5, s6.4).  Engines (tc eBPF, kernel ip6tnl, fake) hold no policy; they hold what they
 * were told.  One device (nemo0) and kernel routes through it, whichever engine runs. */
#pragma once
#include <net/if.h>
#include <stdbool.h>
#include <systemd/sd-event.h>
#include "common/core/addr.h"
#include "common/tunnel/drops.h" /* enum tunnel_drop, enum tunnel_count */

#define TUNNEL_MAX_ROUTES 33 /* MH_MAX_MNP, learned ones included, and the home address */
#define TUNNEL_MAX_LINKS  8
#define TUNNEL_OVERHEAD   40   /* octets of the outer header */
#define TUNNEL_MIN_MTU    1280 /* of a tunnel, as of any IPv6 link */
/* Packet mark that a mobile router's decapsulated packets carry inside this host: what the kernel
 * answers to them (ICMPv6 errors, with fwmark_reflect) can be told from its other packets. */
#define TUNNEL_MARK 139

enum tunnel_role {
	TUNNEL_HA, /* inner source must be in the same tunnel's routes (RFC 3963 s9) */
	TUNNEL_MR, /* outer source is the home agent; inner destination must be in inner[] (s3) */
};

struct tunnel_allow {
	uint32_t from, to;
}; /* traffic from one tenant to another is allowed */

struct tunnel_conf { /* borrowed during open() only */
	enum tunnel_role role;
	char dev[IFNAMSIZ]; /* "nemo0" */
	uint32_t table;     /* kernel table for the routes; 254 = main */
	unsigned mtu;       /* of dev: 1280..65495 octets */
	/* Encapsulation limit sent with packets that bring none (RFC 2473 s4.1.1): 1..255; 0: none.
	 */
	unsigned encap_limit;
	bool esp;        /* its packets have to be under ESP, or are dropped.  Engine ip6tnl only */
	sd_event *event; /* for what takes user space; NULL: none of that is done */
	uint64_t (*now_ms)(void); /* NULL: CLOCK_BOOTTIME; a test's may run ahead */
	unsigned n_allow;         /* TUNNEL_HA only; tenant 0 is never isolated */
	const struct tunnel_allow *allow;
};

struct tunnel {                        /* one bidirectional tunnel */
	struct in6_addr id;            /* the home address; unique key */
	struct in6_addr local, remote; /* outer addresses */
	struct in6_addr old_local;     /* still accepted as outer destination; :: = none */
	unsigned oif;                  /* underlay interface index to send on; 0: by routing */
	uint32_t tenant;               /* number of the tenant, >= 1 at the HA, 0 at the MR */
	uint16_t seq; /* TUNNEL_HA: of the Binding Update that it stands for; engines ignore it */
	unsigned n_routes; /* prefixes behind 'remote': kernel routes via dev */
	struct prefix6 routes[TUNNEL_MAX_ROUTES]; /* HA: MNPs and home address; MR: ::/0 */
	unsigned n_inner;                         /* MR: own MNPs and home address; HA: 0 */
	struct prefix6 inner[TUNNEL_MAX_ROUTES];
};

struct tunnel_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
}; /* inner packets */

struct tunnel_counters {
	uint64_t drop[TUNNEL_N_DROPS];
	uint64_t count[TUNNEL_N_COUNTS];
};

struct tunnel_set; /* an opened engine; private to it */
typedef void tunnel_seen_fn(void *arg, const struct in6_addr *id);
typedef void tunnel_refused_fn(
	void *arg, const struct in6_addr *id, const uint64_t drop[TUNNEL_N_DROPS]);

struct tunnel_engine {    /* const, one per implementation; int results are 0 or -errno */
	const char *name; /* "ebpf", "ip6tnl", "fake" */
	/* Makes the device (or takes over the one that is there, with its tunnels if they can be
	 * read back) and brings it up.  -EOPNOTSUPP: this kernel lacks what the engine needs; 'why'
	 * (WHY_SIZE) then says what. */
	int (*open)(struct tunnel_set **, const struct tunnel_conf *, char *why);
	int (*attach)(struct tunnel_set *,
		unsigned ifindex); /* underlay to take tunnel packets from; idempotent */
	void (*detach)(struct tunnel_set *, unsigned ifindex); /* that no longer */
	/* Interface where packets to this host turn up that came out of a tunnel and may be tunnel
	 * packets or signalling once more (a router behind a router). */
	unsigned (*inside)(struct tunnel_set *);
	int (*put)(struct tunnel_set *,
		const struct tunnel *); /* create or change; idempotent; all or nothing */
	int (*drop)(
		struct tunnel_set *, const struct in6_addr *id); /* 0 also if it was not there */
	int (*stats)(struct tunnel_set *, const struct in6_addr *id,
		struct tunnel_stats *); /* -ENOENT */
	int (*counters)(struct tunnel_set *, struct tunnel_counters *);
	/* Once per tunnel, present or past, of which something was dropped: of what it sent, of
	 * what was sent in its name (rx_outer_source), of what was on the way to it (tx_*). */
	int (*refused)(struct tunnel_set *, tunnel_refused_fn *, void *);
	/* Once per tunnel installed, unless the function is NULL.  Returns how many there are. */
	unsigned (*audit)(struct tunnel_set *, tunnel_seen_fn *, void *);
	void (*close)(struct tunnel_set *, bool keep); /* keep: device, routes and tunnels stay and
							* go on forwarding; accepts NULL */
};
extern const struct tunnel_engine tunnel_ebpf, tunnel_ip6tnl, tunnel_fake;

/* Inner MTU for an underlay of 'mtu' octets: TUNNEL_OVERHEAD less, 1280 at least. */
static inline unsigned tunnel_mtu(unsigned mtu)
{
	return mtu < TUNNEL_MIN_MTU + TUNNEL_OVERHEAD ? TUNNEL_MIN_MTU : mtu - TUNNEL_OVERHEAD;
}
#define TUNNEL_MTU_NOTE \
	"%s: an MTU of %u is below 1320: packets of more than %u octets go through the tunnel in " \
	"fragments, which is slow"

/* Opens the engine called 'name' ("auto": ebpf, else ip6tnl).  0 and '*engine', or -errno with
 * 'why' (WHY_SIZE) filled for the log. */
int tunnel_open(const char *name, const struct tunnel_conf *, const struct tunnel_engine **engine,
	struct tunnel_set **, char *why);
/* Drops every tunnel installed that is not wanted: what an earlier run left.  0 or -errno. */
typedef bool tunnel_wanted_fn(void *arg, const struct in6_addr *id);
int tunnel_sweep(const struct tunnel_engine *, struct tunnel_set *, tunnel_wanted_fn *, void *arg);
const char *tunnel_drop_name(enum tunnel_drop); /* "rx_inner_source" */
const char *tunnel_drop_text(enum tunnel_drop);
const char *tunnel_count_name(enum tunnel_count); /* "tx_fragmented" */
const char *tunnel_count_text(enum tunnel_count);

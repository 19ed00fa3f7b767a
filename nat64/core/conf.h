/* conf.h - what a translation depends on: settings, RFC 6052 prefixes and the table of explicit
 * mappings (RFC 7757).  The same bytes serve the daemon and its eBPF programs. */
#pragma once
#include "common/os/bpf/types.h"

#define NAT64_MAX_PREFIXES 16 /* RFC 6052 */
#define NAT64_MAX_POOL     64 /* RFC 6791 prefixes of a family */
#define NAT64_MAX_BOGONS   64 /* IPv4 prefixes never translated */

struct nat64_net4 {
	__be32 addr;
	__u8 len; /* 0..32 */
	__u8 pad[3];
};
struct nat64_net6 {
	struct ip6 addr;
	__u8 len; /* 0..128 */
	__u8 pad[3];
};

/* One RFC 6052 prefix.  An IPv4 address is put into the prefix whose 'scope' covers it with the
 * longest match (0.0.0.0/0: any). */
struct nat64_prefix {
	struct nat64_net6 net; /* len 32, 40, 48, 56, 64 or 96 */
	struct nat64_net4 scope;
};

/* Whose packets a mapping draws to the translator: which side of it is a real host's address. */
enum nat64_side { NAT64_IPV6_HOST = 1, NAT64_IPV4_HOST = 2, NAT64_BOTH = 3 };

/* An explicit mapping (RFC 7757 s3.2): 32 - v4.len <= 128 - v6.len. */
struct nat64_eam {
	__u8 side; /* enum nat64_side; IPV6_HOST: IPv4 packets to v4 are for the translator;
		    * IPV4_HOST: IPv6 packets to v6 are */
	__u8 pad[3];
	struct nat64_net4 v4;
	struct nat64_net6 v6;
};

/* Exact-match key of the mapping table.  A longest match is one lookup per length in use, longest
 * first (nat64_conf.lens4, lens6), so a lookup costs the same with one mapping or 100,000. */
struct nat64_key {
	__u32 family; /* 4 or 6 */
	__u32 len;
	struct ip6 addr; /* masked to 'len'; IPv4 in w[0], the rest 0 */
};

enum nat64_udp_zero { NAT64_UDP_ZERO_DROP, NAT64_UDP_ZERO_COMPUTE }; /* RFC 7915 s4.5 */
enum nat64_hairpin { NAT64_HAIRPIN_OFF, NAT64_HAIRPIN_SIMPLE, NAT64_HAIRPIN_INTRINSIC };

struct nat64_conf {
	__u32 n_prefixes, n_lens4, n_lens6, n_pool4, n_pool6, n_bogons, n_hosts;
	struct nat64_prefix prefixes[NAT64_MAX_PREFIXES];
	__u8 lens4[40], lens6[136]; /* lengths of the mappings' prefixes, longest first */
	struct nat64_net4 hosts[NAT64_MAX_PREFIXES]; /* IPv4 destinations that stand for IPv6 hosts
						      * numbered inside an RFC 6052 prefix */
	struct nat64_net4 pool4[NAT64_MAX_POOL];     /* sources of ICMP errors, RFC 6791 */
	struct nat64_net6 pool6[NAT64_MAX_POOL]; /* the same for IPv6 (no RFC 6052 prefix set) */
	struct nat64_net4 bogons[NAT64_MAX_BOGONS];
	__u32 lowest_mtu6;   /* RFC 7915 s4: at least 1280 */
	__u32 mtu4, mtu6;    /* of the next hops' links, for ICMP's arithmetic and the size tests;
			      * 65535: unknown */
	__u8 zero_tos;       /* 4 to 6: traffic class 0 instead of the TOS octet */
	__u8 set_tos, tos;   /* 6 to 4: this TOS octet instead of the traffic class */
	__u8 udp_zero;       /* enum nat64_udp_zero */
	__u8 hairpin;        /* enum nat64_hairpin */
	__u8 wkp_non_global; /* allow 64:ff9b::/96 with non-global IPv4 (RFC 6052 s3.1: no) */
	__u8 origin_object;  /* RFC 6791 s4: name the IPv6 source in an RFC 5837 object */
	__u8 forward_stack;  /* eBPF engine: through the kernel's forwarding */
	__u8 pad;
	__be32 own4;     /* sources of ICMP errors if the pool is empty; 0 and ::: none, and */
	struct ip6 own6; /* no errors of our own */
};

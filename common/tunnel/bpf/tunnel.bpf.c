// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* tunnel.bpf.c - the eBPF engine's datapath: IPv6-in-IPv6 (RFC 2473) between home agent and mobile
 * router (RFC 3963 s5.5, s6.4).  tunnel_encap runs at the device's egress, tunnel_decap at the
 * ingress of each underlay interface.  GSO packets stay whole both ways.  Whatever is not a tunnel
 * packet to one of our addresses passes untouched.  No ICMP errors are made here: the kernel sends
 * Packet Too Big by the MTU of the device or its routes.  What takes more than a new header goes to
 * user space through a TAP device (../slow.h), and what comes back from there is let in here. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "common/tunnel/bpf/maps.h"
#include "common/tunnel/drops.h"

#define AF_INET6    10
#define HOP_LIMIT   64 /* RFC 2473 s6.3 */
#define OPT_PAD1    0
#define OPT_PADN    1
#define OPT_TEL     4    /* Tunnel Encapsulation Limit */
#define OPT_ACTION  0xc0 /* what who does not know an option does: 0: skips it */
#define OPTIONS_MAX 24   /* octets of a destination options header that are looked into */
#define MAX_WALK    4    /* extension headers walked over for a limit, */
#define MAX_OPTIONS 16   /* and options in each: seven may be padding before the first */
#define MIN_MTU     1280
#define LIMIT_SIZE  8 /* octets of the header that carries a limit, RFC 2473 s5.1 */
#define VLAN_ID     0xfff
#define ECN_MASK    3
#define ECN_ECT1    1
#define ECN_ECT0    2
#define ECN_CE      3
#define MAX(a, b)   ((a) > (b) ? (a) : (b))
#define ROOM_FLAGS  (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)

/* Set before loading. */
const volatile __u8 is_ha;             /* role: home agent, else mobile router */
const volatile __u32 mr_mark;          /* of what a mobile router decapsulates; 0: none */
const volatile __u32 dev_ifindex;      /* nemo0 */
const volatile __u8 dev_mac[ETH_ALEN]; /* of both devices */
const volatile __u32 slow_ifindex;     /* the TAP device to user space; 0: none */
const volatile __u8 encap_limit;       /* sent with packets that bring none; 0: none */

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct map_prefix);
	__type(value, __u32);
} routes SEC(".maps"), inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_info);
} infos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct map_pair);
	__type(value, __u32);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct ip6);
	__type(value, __u32);
} locals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct map_allow);
	__type(value, __u32);
} allowed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct map_cpu);
} cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TUNNEL_N_DROPS);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

/* For the operator: whose packets those of 'drops' were, as far as that can be told. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct ip6);
	__type(value, struct map_refused);
} refused SEC(".maps");

static __always_inline int drop(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&drops, &reason);

	if (n)
		*n += 1;
	return TC_ACT_SHOT;
}

/* The same, told of a tunnel as well; 'number' 0: of none. */
static __always_inline int drop_of(__u32 number, __u32 reason)
{
	struct map_info *info = number ? bpf_map_lookup_elem(&infos, &number) : 0;
	struct map_refused none = {}, *r;
	struct ip6 id;

	if (!info || reason >= TUNNEL_N_DROPS)
		return drop(reason);
	id = info->id;
	r = bpf_map_lookup_elem(&refused, &id);
	if (!r) {
		bpf_map_update_elem(&refused, &id, &none, BPF_NOEXIST);
		r = bpf_map_lookup_elem(&refused, &id);
	}
	if (r)
		__sync_fetch_and_add(&r->n[reason], 1);
	return drop(reason);
}

static __always_inline struct ip6 ip6_of(const struct in6_addr *a)
{
	struct ip6 r;

	__builtin_memcpy(&r, a, sizeof(r));
	return r;
}

/* The IPv6 header at 'off', a constant.  In most packets it lies where a program may read it
 * itself, several times as fast. */
static __always_inline int read_ip(struct __sk_buff *skb, __u32 off, struct ipv6hdr *ip)
{
	const struct ipv6hdr *at = (void *)(long)skb->data + off;

	if ((const void *)(at + 1) > (const void *)(long)skb->data_end)
		return bpf_skb_load_bytes(skb, off, ip, sizeof(*ip));
	*ip = *at;
	return 0;
}

static __always_inline int ip6_eq(const struct ip6 *a, const struct ip6 *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

/* Addresses that never cross a tunnel: fe80::/10 and ff00::/8. */
static __always_inline int ip6_is_scoped(const struct ip6 *a)
{
	__u32 top = bpf_ntohl(a->w[0]);

	return top >> 22 == 0x3fa || top >> 24 == 0xff;
}

static __always_inline __u32 *number_of(void *trie, const struct ip6 *addr)
{
	struct map_prefix key = {.len = 128, .addr = *addr};

	return bpf_map_lookup_elem(trie, &key);
}

/* The tunnel behind which 'addr' is, or NULL. */
static __always_inline struct map_info *info_of(const struct ip6 *addr, __u32 *number)
{
	__u32 *n = number_of(&routes, addr);

	if (!n)
		return 0;
	*number = *n;
	return bpf_map_lookup_elem(&infos, n);
}

static __always_inline int may_talk(__u32 from, __u32 to)
{
	struct map_allow key = {from, to};

	return from == to || !from || !to || bpf_map_lookup_elem(&allowed, &key);
}

/* Reads the destination options header at 'off'.  Returns its size in octets, 0 if it can't be
 * read or is longer than OPTIONS_MAX.  '*bad': it has an option that is not to be skipped by who
 * does not know it (RFC 8200 s4.2), or that reaches past its end. */
static __always_inline __u32 read_options(struct __sk_buff *skb, __u32 off, int *bad)
{
	__u8 h[OPTIONS_MAX] = {};
	__u32 size, pos = 2;

	*bad = 0;
	if (bpf_skb_load_bytes(skb, off, h, 8))
		return 0;
	size = (h[1] + 1) * 8;
	if (size == 16 && bpf_skb_load_bytes(skb, off, h, 16))
		return 0;
	if (size == 24 && bpf_skb_load_bytes(skb, off, h, 24))
		return 0;
	if (size > OPTIONS_MAX)
		return 0;
	for (int i = 0; i < OPTIONS_MAX - 2; i++) {
		if (pos >= size)
			break;
		if (pos >= OPTIONS_MAX - 1) { /* only padding fits in the last octet */
			pos += h[OPTIONS_MAX - 1] == OPT_PAD1 ? 1 : 2;
			break;
		}
		if (h[pos] == OPT_PAD1) {
			pos++;
			continue;
		}
		if (h[pos] & OPT_ACTION)
			*bad = 1;
		pos += 2 + h[pos + 1];
	}
	if (pos != size)
		*bad = 1;
	return size;
}

/* The encapsulation limit among the options of the header at 'off', -1 if there is none.  '*at':
 * where, octets from the frame's start. */
static __always_inline int limit_in(struct __sk_buff *skb, __u32 off, __u32 end, __u32 *at)
{
	__u8 opt[2], limit;

	off += 2;
	for (int i = 0; i < MAX_OPTIONS; i++) {
		if (off + 2 > end || bpf_skb_load_bytes(skb, off, opt, sizeof(opt)))
			return -1;
		if (opt[0] == OPT_TEL && opt[1] == 1) {
			*at = off + 2;
			return bpf_skb_load_bytes(skb, *at, &limit, 1) ? -1 : limit;
		}
		off += opt[0] == OPT_PAD1 ? 1 : 2 + opt[1];
	}
	return -1;
}

/* The encapsulation limit of a packet about to be encapsulated, -1 if it has none: headers from
 * left to right, up to one that is no extension header (RFC 2473 s4.1.1). */
static __always_inline int find_limit(struct __sk_buff *skb, __u8 next, __u32 *at)
{
	__u32 off = ETH_HLEN + sizeof(struct ipv6hdr), size;
	int limit = -1;
	__u8 h[2];

	for (int i = 0; i < MAX_WALK && limit < 0; i++) {
		if (next != IPPROTO_DSTOPTS && next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING)
			return -1;
		if (bpf_skb_load_bytes(skb, off, h, sizeof(h)))
			return -1;
		size = (h[1] + 1) * 8;
		if (next == IPPROTO_DSTOPTS)
			limit = limit_in(skb, off, off + size, at);
		next = h[0];
		off += size;
	}
	return limit;
}

static __always_inline __u32 n_segments(struct __sk_buff *skb)
{
	return MAX(skb->gso_segs, 1);
}

/* Does what the last lookup gave hold for this packet?  Within a tick of the clock (1 to 10 ms) no
 * other packet of the tunnel needs a lookup.  The first of each tick goes by way of the kernel's
 * neighbour, which so learns that it is in use. */
static __always_inline int is_fresh(
	struct __sk_buff *skb, const struct map_hop *hop, const struct map_info *info)
{
	return hop->tick == bpf_jiffies64() && hop->oif == info->oif &&
	       ip6_eq(&hop->remote, &info->remote) && ip6_eq(&hop->local, &info->local) &&
	       (skb->gso_size || skb->len <= hop->size);
}

static __always_inline void keep_hop(struct __sk_buff *skb, struct map_hop *hop,
	const struct map_info *info, const struct bpf_fib_lookup *fib)
{
	hop->tick = bpf_jiffies64();
	hop->local = info->local;
	hop->remote = info->remote;
	hop->oif = info->oif;
	hop->ifindex = fib->ifindex;
	hop->size = skb->gso_size ? 0 : skb->len;
	__builtin_memcpy(hop->dest, fib->dmac, ETH_ALEN);
	__builtin_memcpy(hop->source, fib->smac, ETH_ALEN);
}

/* Sends the encapsulated packet on its way: the kernel resolves the neighbour if it must. */
static __always_inline int send_outer(
	struct __sk_buff *skb, const struct map_info *info, struct map_hop *hop)
{
	struct bpf_fib_lookup fib = {.family = AF_INET6, .l4_protocol = IPPROTO_IPV6};
	struct bpf_redir_neigh nh = {.nh_family = AF_INET6};
	long rc;

	fib.ifindex = skb->ifindex;
	__builtin_memcpy(fib.ipv6_src, &info->local, sizeof(fib.ipv6_src));
	__builtin_memcpy(fib.ipv6_dst, &info->remote, sizeof(fib.ipv6_dst));
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), info->oif ? BPF_FIB_LOOKUP_DIRECT : 0);
	/* A mobile router's uplink has forwarding off: for packets out of it, or not by the best
	 * route, the kernel makes no lookup for others.  It looks the route up itself then, and
	 * gives the packet that route.  That it must also have to wait for an unresolved neighbour,
	 * or it comes out of the queue with this device's link-layer header. */
	if (info->oif && (rc != BPF_FIB_LKUP_RET_SUCCESS || fib.ifindex != info->oif))
		return bpf_redirect_neigh(info->oif, 0, 0, 0);
	if (rc == BPF_FIB_LKUP_RET_NO_NEIGH)
		return bpf_redirect_neigh(fib.ifindex, 0, 0, 0);
	if (rc == BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return drop(TUNNEL_DROP_tx_error);
	if (rc != BPF_FIB_LKUP_RET_SUCCESS)
		return drop(TUNNEL_DROP_tx_no_route);
	keep_hop(skb, hop, info, &fib);
	__builtin_memcpy(nh.ipv6_nh, fib.ipv6_dst, sizeof(nh.ipv6_nh));
	return bpf_redirect_neigh(fib.ifindex, &nh, sizeof(nh), 0);
}

/* Hands the packet to user space, with what it has to know in place of the Ethernet addresses. */
static __always_inline int slow(struct __sk_buff *skb, const struct slow_head *head)
{
	if (!slow_ifindex || bpf_skb_store_bytes(skb, 0, head, sizeof(*head), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(slow_ifindex, 0);
}

/* Is it too large for the path, with 'overhead' octets more?  Of segments to be only a lower bound
 * of the size is known here: the routes' MTUs keep them right, but for the moment after an MTU
 * shrank, and where routes can't have one as small as it would have to be. */
static __always_inline int too_big(
	struct __sk_buff *skb, const struct ipv6hdr *ip, __u32 overhead, __u32 mtu)
{
	__u32 size = skb->len - ETH_HLEN;

	if (skb->gso_size && mtu < MIN_MTU + overhead)
		return mtu != 0;
	if (skb->gso_size)
		size = skb->gso_size + sizeof(*ip) + (ip->nexthdr == IPPROTO_TCP ? 20 : 8);
	return mtu && size + overhead > mtu;
}

static __always_inline void count_tx(struct map_cpu *c, __u32 segs, __u32 size)
{
	c->tx_packets += segs;
	c->tx_bytes += size;
}

/* What does not fit: up to 1280 octets user space sends it in fragments, else it sends Packet Too
 * Big (RFC 2473 s7.1). */
static __always_inline int send_slow(
	struct __sk_buff *skb, __u32 number, struct map_cpu *c, int limit)
{
	struct slow_head head = {.number = number, .why = SLOW_SIZE};
	__u32 size = skb->len - ETH_HLEN;

	head.has_limit = limit >= 0;
	head.limit = limit;
	if (!slow_ifindex || (!skb->gso_size && size > MIN_MTU))
		drop(TUNNEL_DROP_tx_too_big);
	else
		count_tx(c, n_segments(skb), size);
	return slow(skb, &head);
}

static __always_inline int refuse_limit(struct __sk_buff *skb, __u32 number, __u32 at)
{
	struct slow_head head = {.number = number, .why = SLOW_LIMIT, .pointer = at - ETH_HLEN};

	drop(TUNNEL_DROP_tx_encap_limit);
	return slow(skb, &head);
}

/* Puts the tunnel headers before the packet: 'limit' < 0: the outer IPv6 header alone.  The
 * link-layer addresses before them are those of 'hop', and matter only if it is fresh. */
static __always_inline int put_outer(struct __sk_buff *skb, const struct ipv6hdr *ip,
	const struct map_info *info, const struct map_hop *hop, int limit)
{
	__u8 tel[LIMIT_SIZE] = {IPPROTO_IPV6, 0, OPT_TEL, 1, limit, OPT_PADN, 1, 0};
	struct ethhdr eth = {.h_proto = bpf_htons(ETH_P_IPV6)};
	struct ipv6hdr outer = {.version = 6, .nexthdr = IPPROTO_IPV6, .hop_limit = HOP_LIMIT}, *at;
	__u32 size = skb->len - ETH_HLEN, room = sizeof(outer);
	__u32 label = bpf_get_hash_recalc(skb); /* of the flow inside (RFC 6438 s3) */

	if (limit >= 0) {
		room += sizeof(tel);
		size += sizeof(tel);
		outer.nexthdr = IPPROTO_DSTOPTS;
	}
	/* A packet decapsulated on this very kernel is still marked as encapsulated, and refused
	 * the flag: it has the offload state that the flag would give it. */
	if (bpf_skb_adjust_room(
		    skb, room, BPF_ADJ_ROOM_MAC, ROOM_FLAGS | BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) &&
		bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, ROOM_FLAGS))
		return -1;
	__builtin_memcpy(eth.h_dest, hop->dest, ETH_ALEN);
	__builtin_memcpy(eth.h_source, hop->source, ETH_ALEN);
	outer.priority = ip->priority; /* traffic class as inside */
	outer.flow_lbl[0] = (ip->flow_lbl[0] & 0xf0) | (label >> 16 & 0x0f);
	outer.flow_lbl[1] = label >> 8;
	outer.flow_lbl[2] = label;
	outer.payload_len = bpf_htons(size);
	__builtin_memcpy(&outer.saddr, &info->local, sizeof(outer.saddr));
	__builtin_memcpy(&outer.daddr, &info->remote, sizeof(outer.daddr));
	if (limit >= 0 &&
		bpf_skb_store_bytes(skb, sizeof(eth) + sizeof(outer), tel, sizeof(tel), 0))
		return -1;
	at = (void *)(long)skb->data + sizeof(eth);
	if ((void *)(at + 1) > (void *)(long)skb->data_end)
		return -1; /* there is room for it: it was made a moment ago */
	*(struct ethhdr *)(long)skb->data = eth;
	*at = outer;
	return 0;
}

SEC("tc")
int tunnel_encap(struct __sk_buff *skb)
{
	__u32 number, from, at = 0, size, segs = n_segments(skb);
	struct map_info *info, *sender;
	struct ip6 src, dst;
	struct ipv6hdr ip;
	struct map_cpu *c;
	int limit, action;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || read_ip(skb, ETH_HLEN, &ip))
		return drop(TUNNEL_DROP_tx_no_tunnel);
	src = ip6_of(&ip.saddr);
	dst = ip6_of(&ip.daddr);
	info = ip6_is_scoped(&dst) ? 0 : info_of(&dst, &number);
	c = info ? bpf_map_lookup_elem(&cpu, &number) : 0;
	if (!info || !c)
		return drop(TUNNEL_DROP_tx_no_tunnel);
	if (ip6_eq(&src, &info->local) && ip6_eq(&dst, &info->remote))
		return drop_of(number, TUNNEL_DROP_tx_loop);
	if (is_ha && info->tenant) {
		sender = info_of(&src, &from);
		if (sender && !may_talk(sender->tenant, info->tenant))
			return drop_of(number, TUNNEL_DROP_tx_tenant);
	}
	limit = find_limit(skb, ip.nexthdr, &at);
	if (limit == 0)
		return refuse_limit(skb, number, at);
	limit = limit > 0 ? limit - 1 : encap_limit ? encap_limit : -1;
	if (too_big(skb, &ip, sizeof(ip) + (limit < 0 ? 0 : LIMIT_SIZE), info->mtu))
		return send_slow(skb, number, c, limit);
	size = skb->len - ETH_HLEN;
	if (put_outer(skb, &ip, info, &c->hop, limit))
		return drop(TUNNEL_DROP_tx_error);
	if (is_fresh(skb, &c->hop, info))
		action = bpf_redirect(c->hop.ifindex, 0);
	else
		action = send_outer(skb, info, &c->hop);
	if (action != TC_ACT_SHOT)
		count_tx(c, segs, size);
	return action;
}

/* Is the inner header at 'off' one we may let in?  -1, or the reason why not. */
static __always_inline int check_inner(
	struct __sk_buff *skb, const struct ipv6hdr *outer, __u32 off, struct ipv6hdr *ip)
{
	__u32 room = skb->len - off, announced, total;
	struct ip6 src, dst;
	int bad = off == ETH_HLEN + sizeof(*outer) ? read_ip(skb, ETH_HLEN + sizeof(*outer), ip)
						   : bpf_skb_load_bytes(skb, off, ip, sizeof(*ip));

	if (bad || ip->version != 6)
		return TUNNEL_DROP_rx_bad_inner;
	total = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	announced = ETH_HLEN + sizeof(*outer) + bpf_ntohs(outer->payload_len) - off;
	if (total > room || (total > announced && !skb->gso_size))
		return TUNNEL_DROP_rx_bad_inner;
	src = ip6_of(&ip->saddr);
	dst = ip6_of(&ip->daddr);
	if (ip6_is_scoped(&src))
		return TUNNEL_DROP_rx_inner_source;
	if (ip6_is_scoped(&dst))
		return TUNNEL_DROP_rx_inner_dest;
	return -1;
}

/* RFC 3963 s9: the home agent takes only what comes from the sender's own prefixes.  The inner
 * source names the tunnel, so several home addresses may share one care-of address. */
static __always_inline int check_ha(
	const struct map_pair *pair, const struct ip6 *src, const struct ip6 *dst, __u32 *number)
{
	struct map_info *info = info_of(src, number), *to;
	__u32 other;

	if (!info || !ip6_eq(&info->remote, &pair->remote) ||
		(!ip6_eq(&info->local, &pair->local) && !ip6_eq(&info->old_local, &pair->local)))
		return TUNNEL_DROP_rx_inner_source;
	to = info_of(dst, &other);
	if (to && !may_talk(info->tenant, to->tenant))
		return TUNNEL_DROP_rx_tenant;
	return -1;
}

/* The congestion bits that the inner packet goes on with (RFC 6040 s4.2).  -1: it is to be dropped:
 * congestion was marked, of which its transport would not hear otherwise. */
static __always_inline int pass_ecn(
	struct __sk_buff *skb, const struct ipv6hdr *outer, const struct ipv6hdr *ip, __u32 off)
{
	__u8 out_ecn = outer->flow_lbl[0] >> 4 & ECN_MASK, in_ecn = ip->flow_lbl[0] >> 4 & ECN_MASK;
	__u8 octet = (ip->flow_lbl[0] & ~(ECN_MASK << 4)) | out_ecn << 4;

	if (!in_ecn)
		return out_ecn == ECN_CE ? -1 : 0;
	if ((out_ecn == ECN_CE && in_ecn != ECN_CE) || (out_ecn == ECN_ECT1 && in_ecn == ECN_ECT0))
		bpf_skb_store_bytes(skb, off + 1, &octet, 1, BPF_F_RECOMPUTE_CSUM);
	return 0;
}

/* A fragment header follows.  Is it of a tunnel packet, as far as it tells?  '*first': where its
 * next header is to be changed; 0 if it is not the first. */
static __always_inline int is_fragment(struct __sk_buff *skb, __u32 off, __u32 *first)
{
	__u8 h[4], next;

	if (bpf_skb_load_bytes(skb, off, h, sizeof(h)))
		return 0;
	*first = h[2] || h[3] & 0xf8 ? 0 : off;
	if (h[0] == IPPROTO_IPV6)
		return 1;
	return h[0] == IPPROTO_DSTOPTS && *first && !bpf_skb_load_bytes(skb, off + 8, &next, 1) &&
	       next == IPPROTO_IPV6;
}

/* Fragments go to the kernel, which knows how to put them together; the whole then comes to user
 * space, and from there back here. */
static __always_inline int pass_fragment(struct __sk_buff *skb, __u32 first)
{
	__u8 proto = SLOW_PROTO;

	if (!slow_ifindex)
		return drop(TUNNEL_DROP_rx_fragment);
	if (first)
		bpf_skb_store_bytes(skb, first, &proto, 1, BPF_F_RECOMPUTE_CSUM);
	return TC_ACT_UNSPEC;
}

/* To this host and perhaps a tunnel packet or signalling once more: to be looked at again. */
static __always_inline int is_for_us_again(const struct ipv6hdr *ip, const struct ip6 *dst)
{
	if (!is_ha || !slow_ifindex)
		return 0;
	if (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP ||
		ip->nexthdr == IPPROTO_ICMPV6)
		return 0;
	return bpf_map_lookup_elem(&locals, dst) != 0;
}

/* Finds the inner header.  Its offset; 0: no tunnel packet; -reason - 1: to be dropped if it is
 * for us, but for fragments, whose '*first' see is_fragment(). */
static __always_inline int find_inner(
	struct __sk_buff *skb, const struct ipv6hdr *outer, __u32 *first)
{
	__u32 off = ETH_HLEN + sizeof(*outer), size;
	int bad;
	__u8 next;

	if (outer->nexthdr == IPPROTO_IPV6)
		return off;
	if (outer->nexthdr == IPPROTO_FRAGMENT)
		return is_fragment(skb, off, first) ? -TUNNEL_DROP_rx_fragment - 1 : 0;
	if (outer->nexthdr != IPPROTO_DSTOPTS || bpf_skb_load_bytes(skb, off, &next, 1) ||
		next != IPPROTO_IPV6)
		return 0;
	size = read_options(skb, off, &bad);
	if (!size || bad)
		return -TUNNEL_DROP_rx_options - 1;
	return off + size;
}

SEC("tc")
int tunnel_decap(struct __sk_buff *skb)
{
	__u32 off, number = 0, first = 0, *known, segs = n_segments(skb);
	struct ipv6hdr outer, ip;
	struct map_pair pair;
	struct map_cpu *c;
	struct ip6 src, dst;
	__u8 mac[ETH_ALEN];
	int found, bad;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || skb->pkt_type != PACKET_HOST ||
		skb->vlan_tci & VLAN_ID || /* for another interface, or nobody */
		read_ip(skb, ETH_HLEN, &outer))
		return TC_ACT_UNSPEC;
	found = find_inner(skb, &outer, &first);
	if (!found)
		return TC_ACT_UNSPEC;
	pair.local = ip6_of(&outer.daddr);
	pair.remote = ip6_of(&outer.saddr);
	off = found;
	bad = found < 0 ? -(found + 1) : check_inner(skb, &outer, off, &ip);
	if (bad < 0) {
		src = ip6_of(&ip.saddr);
		dst = ip6_of(&ip.daddr);
		if (is_ha)
			bad = check_ha(&pair, &src, &dst, &number);
	}
	if (bad >= 0 || !is_ha) {
		known = bpf_map_lookup_elem(&pairs, &pair);
		if (known && found == -TUNNEL_DROP_rx_fragment - 1)
			return pass_fragment(skb, first);
		if (!known && !bpf_map_lookup_elem(&locals, &pair.local))
			return TC_ACT_UNSPEC;
		if (!known || bad >= 0)
			/* Of who sent it, or of whose name is used. */
			return drop_of(known && bad != TUNNEL_DROP_rx_tenant ? *known : number,
				known ? bad : TUNNEL_DROP_rx_outer_source);
		if (!number_of(&inner, &dst))
			return drop(TUNNEL_DROP_rx_inner_dest);
		number = *known;
	}
	if (pass_ecn(skb, &outer, &ip, off))
		return drop(TUNNEL_DROP_rx_congestion);
	if (bpf_skb_adjust_room(skb, -(__s32)(off - ETH_HLEN), BPF_ADJ_ROOM_MAC, ROOM_FLAGS))
		return drop(TUNNEL_DROP_rx_bad_inner);
	for (int i = 0; i < ETH_ALEN; i++)
		mac[i] = dev_mac[i];
	bpf_skb_store_bytes(skb, 0, mac, sizeof(mac), 0);
	c = bpf_map_lookup_elem(&cpu, &number);
	if (c) {
		c->rx_packets += segs;
		c->rx_bytes += skb->len - ETH_HLEN;
	}
	skb->mark = mr_mark;
	return bpf_redirect(is_for_us_again(&ip, &dst) ? slow_ifindex : dev_ifindex, BPF_F_INGRESS);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* way.h - the kernel's routes for a packet before and after its translation, each pair of addresses
 * asked about at most once per clock tick and processor (1 to 10 ms): two route lookups a packet
 * would cost as much as all the rest.  So a changed route takes effect a tick later. */
#pragma once
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "nat64/core/plan.h"

#define AF_INET     2
#define AF_INET6    10
#define N_WAYS_LOG2 8

struct way {
	/* What was asked. */
	__u64 tick; /* when; 0: the answer isn't complete */
	__u32 ifindex;
	__u32 conf_nr;
	__u32 family;
	__u32 tos;           /* or traffic class */
	struct ip6 src, dst; /* IPv4: in w[0] */
	/* The answer. */
	__u32 oif; /* of the translated packet; 0: the packet isn't ours */
	__u32 mtu; /* of that route */
	struct bpf_redir_neigh nh;
	struct ethhdr eth; /* as the next hop gets it */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1 << N_WAYS_LOG2);
	__type(key, __u32);
	__type(value, struct way);
} ways SEC(".maps");

const volatile __u32 tun_ifindex; /* set before loading */

static __always_inline int way_same(const struct ip6 *a, const struct ip6 *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

/* Does the packet's route lead to the TUN device?  Local addresses, more specific routes,
 * interfaces that don't forward and a daemon that has gone (with its device) are all in this
 * question. */
static __always_inline int way_is_ours(struct __sk_buff *skb, const struct way *q)
{
	struct bpf_fib_lookup fib = {.family = q->family, .ifindex = q->ifindex};

	if (q->family == AF_INET) {
		fib.tos = q->tos;
		fib.ipv4_src = q->src.w[0];
		fib.ipv4_dst = q->dst.w[0];
	} else {
		fib.flowinfo = bpf_htonl(q->tos << 20);
		__builtin_memcpy(fib.ipv6_src, &q->src, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, &q->dst, sizeof(fib.ipv6_dst));
	}
	return bpf_fib_lookup(skb, &fib, sizeof(fib), 0) >= 0 && fib.ifindex == tun_ifindex;
}

/* The entry for these addresses, to be completed by way_find() if its 'tick' is 0; NULL: the packet
 * isn't ours. */
static __always_inline struct way *way_ask(struct __sk_buff *skb, __u32 conf_nr, __u32 family,
	__u32 tos, const struct ip6 *src, const struct ip6 *dst)
{
	__u32 sum = src->w[0] + src->w[2] + 3 * src->w[3] + 5 * (dst->w[0] + dst->w[2] + dst->w[3]);
	__u32 i = sum * 0x9e3779b1 >> (32 - N_WAYS_LOG2);
	struct way *w = bpf_map_lookup_elem(&ways, &i);
	__u64 now = bpf_jiffies64();

	if (!w)
		return 0;
	if (w->tick == now && w->ifindex == skb->ifindex && w->conf_nr == conf_nr &&
		w->family == family && w->tos == tos && way_same(&w->src, src) &&
		way_same(&w->dst, dst))
		return w->oif ? w : 0;
	w->tick = 0;
	w->ifindex = skb->ifindex;
	w->conf_nr = conf_nr;
	w->family = family;
	w->tos = tos;
	w->src = *src;
	w->dst = *dst;
	w->oif = 0;
	if (way_is_ours(skb, w))
		return w;
	w->tick = now;
	return 0;
}

/* Completes the entry with the route of the translated packet.  Its next hop is in w->nh, or
 * w->nh.nh_family is 0, then the kernel has to resolve it.  0: it isn't for us to forward: to this
 * machine, no route, back to the TUN device, larger than the route's MTU. */
static __always_inline int way_find(
	struct __sk_buff *skb, const struct nat64_plan *p, __u32 size, struct way *w)
{
	struct bpf_fib_lookup fib = {.ifindex = tun_ifindex, .tot_len = size};
	long rc;

	if (w->tick)
		return size <= w->mtu;
	if (p->why == NAT64_translated_4to6) {
		fib.family = AF_INET6;
		__builtin_memcpy(&fib.flowinfo, p->hdr, 4);
		fib.flowinfo &= bpf_htonl(0x0ff00000);
		__builtin_memcpy(fib.ipv6_src, p->hdr + 8, 16);
		__builtin_memcpy(fib.ipv6_dst, p->hdr + 24, 16);
	} else {
		fib.family = AF_INET;
		fib.tos = p->hdr[1];
		__builtin_memcpy(&fib.ipv4_src, p->hdr + 12, 4);
		__builtin_memcpy(&fib.ipv4_dst, p->hdr + 16, 4);
	}
	rc = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	if ((rc != BPF_FIB_LKUP_RET_SUCCESS && rc != BPF_FIB_LKUP_RET_NO_NEIGH) ||
		fib.ifindex == tun_ifindex)
		return 0;
	w->oif = fib.ifindex;
	w->nh.nh_family = 0;
	if (rc == BPF_FIB_LKUP_RET_SUCCESS) {
		w->mtu = fib.mtu_result;
		w->nh.nh_family = fib.family;
		__builtin_memcpy(w->nh.ipv6_nh, fib.ipv6_dst, sizeof(w->nh.ipv6_nh));
		__builtin_memcpy(w->eth.h_dest, fib.dmac, ETH_ALEN);
		__builtin_memcpy(w->eth.h_source, fib.smac, ETH_ALEN);
		w->eth.h_proto = p->why == NAT64_translated_4to6 ? bpf_htons(ETH_P_IPV6)
								 : bpf_htons(ETH_P_IP);
		w->tick = bpf_jiffies64();
	}
	return 1;
}

// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* sig.bpf.c - takes Mobility Header packets to our addresses, Mobile IPv6's ICMPv6 messages, and
 * ESP that follows a Home Address option or a type 2 routing header, out of an interface's ingress
 * and hands them to the daemon whole; and any other packet with one of these, if the daemon is to
 * settle that ('take').  Fragments of signalling are left to the kernel.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "common/os/bpf/sig_map.h"

#define NH_MH       135
#define MAX_HEADERS 6 /* extension headers walked over */
#define MAX_OPTIONS 8 /* of a destination options header, looking for the Home Address option */
#define OPT_PAD1    0
#define OPT_HAO     0xc9 /* RFC 6275 s6.3 */
#define RH_TYPE_2   2    /* RFC 6275 s6.4 */
#define ICMP_FIRST  144  /* RFC 6275 s6.5-6.8: home agent and prefix discovery */
#define ICMP_LAST   147

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, struct ip6);
	__type(value, __u32);
} locals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

__u32 take; /* SIG_TAKE_*: what is taken though no signalling follows */

__u64 lost; /* packets for us that the ring had no room for, or that are too large */

struct exthdr {
	__u8 next, len;
};

/* Has the destination options header at 'off' a Home Address option? */
static __always_inline int has_hao(struct __sk_buff *skb, __u32 off, __u32 end)
{
	__u8 opt[2];

	off += sizeof(struct exthdr);
	for (int i = 0; i < MAX_OPTIONS; i++) {
		if (off + 2 > end || bpf_skb_load_bytes(skb, off, opt, sizeof(opt)))
			return 0;
		if (opt[0] == OPT_HAO)
			return 1;
		off += opt[0] == OPT_PAD1 ? 1 : 2 + opt[1];
	}
	return 0;
}

/* Signalling and IPsec go their own ways, whatever was found before them. */
static __always_inline int is_plain(__u8 next)
{
	return next != NH_MH && next != IPPROTO_ESP && next != IPPROTO_AH;
}

/* Is there signalling behind these headers, or a header that we have to take? */
static __always_inline int is_signalling(struct __sk_buff *skb, __u8 next)
{
	__u32 off = ETH_HLEN + sizeof(struct ipv6hdr), size;
	__u32 found = 0; /* SIG_TAKE_*: headers that only Mobile IPv6 has */
	struct exthdr h;
	__u8 type;

	for (int i = 0; i <= MAX_HEADERS; i++) {
		if (next == NH_MH)
			return 1;
		if (next == IPPROTO_ESP)
			return found || (take & SIG_TAKE_ESP);
		if (next == IPPROTO_ICMPV6 && !bpf_skb_load_bytes(skb, off, &type, 1) &&
			type >= ICMP_FIRST && type <= ICMP_LAST)
			return 1;
		if (next == IPPROTO_FRAGMENT && (found & take))
			return !bpf_skb_load_bytes(skb, off, &type, 1) && is_plain(type);
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
			return is_plain(next) && (found & take);
		if (bpf_skb_load_bytes(skb, off, &h, sizeof(h)))
			return 0;
		size = (h.len + 1) * 8;
		if (next == IPPROTO_DSTOPTS)
			found |= has_hao(skb, off, off + size) ? SIG_TAKE_HAO : 0;
		else if (next == IPPROTO_ROUTING && !bpf_skb_load_bytes(skb, off + 2, &type, 1))
			found |= type == RH_TYPE_2 ? SIG_TAKE_RH2 : 0;
		next = h.next;
		off += size;
	}
	return 0;
}

SEC("tc")
int sig_capture(struct __sk_buff *skb)
{
	struct sig_packet *slot;
	struct ipv6hdr ip;
	struct ip6 dst;
	__u32 size;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || skb->pkt_type != PACKET_HOST ||
		bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return TC_ACT_UNSPEC;
	if (ip.nexthdr != NH_MH && ip.nexthdr != IPPROTO_DSTOPTS && ip.nexthdr != IPPROTO_ROUTING &&
		ip.nexthdr != IPPROTO_HOPOPTS && ip.nexthdr != IPPROTO_ICMPV6 &&
		ip.nexthdr != IPPROTO_ESP)
		return TC_ACT_UNSPEC;
	__builtin_memcpy(&dst, &ip.daddr, sizeof(dst));
	if (!bpf_map_lookup_elem(&locals, &dst) || !is_signalling(skb, ip.nexthdr))
		return TC_ACT_UNSPEC;
	size = sizeof(ip) + bpf_ntohs(ip.payload_len);
	if (size > skb->len - ETH_HLEN) /* truncated: let the decoder say so */
		size = skb->len - ETH_HLEN;
	slot = size > SIG_PACKET_MAX ? 0 : bpf_ringbuf_reserve(&ring, sizeof(*slot), 0);
	if (!slot) {
		__sync_fetch_and_add(&lost, 1);
		return TC_ACT_SHOT;
	}
	slot->ifindex = skb->ifindex;
	slot->size = size;
	/* The second test is for the verifier, which does not know 'size' across the reservation.
	 */
	if (size < sizeof(ip) || size > SIG_PACKET_MAX ||
		bpf_skb_load_bytes(skb, ETH_HLEN, slot->data, size)) {
		bpf_ringbuf_discard(slot, 0);
		__sync_fetch_and_add(&lost, 1);
		return TC_ACT_SHOT;
	}
	bpf_ringbuf_submit(slot, 0);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* sig.bpf.c - takes Mobility Header packets to our addresses, Mobile IPv6's ICMPv6 messages, and
 * ESP that follows a Home Address option or a type 2 routing header, out of an interface's ingress
 * and hands them to the daemon whole; and any other packet with one of these, if the daemon is to
 * settle that ('take').  Fragments of signalling are left to the kernel.
 *
 * Two rings: what names a home address that the daemon knows goes by the first one, unless there is
 * more of it than a router sends; everything else by the second, which is read when the first is
 * empty.  So forged packets stand in each other's way.
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
#define VLAN_ID     0xfff
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

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} crowd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 18); /* as many as the tunnel's maps hold */
	__type(key, struct ip6);
	__type(value, struct sig_home);
} homes SEC(".maps");

__u32 sorts; /* 0: no home agent; all goes by the first ring */

__u32 take; /* SIG_TAKE_*: what is taken though no signalling follows */

__u64 lost; /* packets for us that the ring had no room for, or that are too large */

struct exthdr {
	__u8 next, len;
};

/* Has the destination options header at 'off' a Home Address option?  Then '*hoa' is its address.
 */
static __always_inline int has_hao(struct __sk_buff *skb, __u32 off, __u32 end, struct ip6 *hoa)
{
	__u8 opt[2];

	off += sizeof(struct exthdr);
	for (int i = 0; i < MAX_OPTIONS; i++) {
		if (off + 2 > end || bpf_skb_load_bytes(skb, off, opt, sizeof(opt)))
			return 0;
		if (opt[0] == OPT_HAO) {
			bpf_skb_load_bytes(skb, off + 2, hoa, sizeof(*hoa));
			return 1;
		}
		off += opt[0] == OPT_PAD1 ? 1 : 2 + opt[1];
	}
	return 0;
}

/* Signalling and IPsec go their own ways, whatever was found before them. */
static __always_inline int is_plain(__u8 next)
{
	return next != NH_MH && next != IPPROTO_ESP && next != IPPROTO_AH;
}

/* Is there signalling behind these headers, or a header that we have to take?  '*hoa': of a Home
 * Address option, if there is one. */
static __always_inline int is_signalling(struct __sk_buff *skb, __u8 next, struct ip6 *hoa)
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
			found |= has_hao(skb, off, off + size, hoa) ? SIG_TAKE_HAO : 0;
		else if (next == IPPROTO_ROUTING && !bpf_skb_load_bytes(skb, off + 2, &type, 1))
			found |= type == RH_TYPE_2 ? SIG_TAKE_RH2 : 0;
		next = h.next;
		off += size;
	}
	return 0;
}

/* Has it to stand behind those that are of nobody we know, or that are too many? */
static __always_inline int is_crowd(const struct ip6 *hoa)
{
	struct sig_home *home;
	__u64 now;

	if (!sorts)
		return 0;
	home = bpf_map_lookup_elem(&homes, hoa);
	if (!home)
		return 1;
	now = bpf_ktime_get_ns();
	if (now - home->since > SIG_HOME_NS) {
		home->since = now;
		home->n = 0;
	}
	return __sync_fetch_and_add(&home->n, 1) >= SIG_HOME_BURST;
}

/* The packet into a slot of a ring, with room for 'max' octets (a constant). */
static __always_inline int hand_over(struct __sk_buff *skb, void *to, __u32 size, __u32 max)
{
	struct sig_packet *slot = bpf_ringbuf_reserve(
		to, __builtin_offsetof(struct sig_packet, data) + max, 0);

	if (!slot)
		return -1;
	slot->ifindex = skb->ifindex;
	slot->size = size;
	/* For the verifier, which does not know 'size' across the reservation. */
	if (size < sizeof(struct ipv6hdr) || size > max ||
		bpf_skb_load_bytes(skb, ETH_HLEN, slot->data, size)) {
		bpf_ringbuf_discard(slot, 0);
		return -1;
	}
	bpf_ringbuf_submit(slot, 0);
	return 0;
}

static __always_inline int hand_over_in(struct __sk_buff *skb, void *to, __u32 size)
{
	return size <= SIG_PACKET_SMALL ? hand_over(skb, to, size, SIG_PACKET_SMALL)
					: hand_over(skb, to, size, SIG_PACKET_MAX);
}

SEC("tc")
int sig_capture(struct __sk_buff *skb)
{
	struct ipv6hdr ip;
	struct ip6 dst, hoa;
	__u32 size;
	int r;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || skb->pkt_type != PACKET_HOST ||
		skb->vlan_tci & VLAN_ID || /* for another interface, or nobody */
		bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return TC_ACT_UNSPEC;
	if (ip.nexthdr != NH_MH && ip.nexthdr != IPPROTO_DSTOPTS && ip.nexthdr != IPPROTO_ROUTING &&
		ip.nexthdr != IPPROTO_HOPOPTS && ip.nexthdr != IPPROTO_ICMPV6 &&
		ip.nexthdr != IPPROTO_ESP)
		return TC_ACT_UNSPEC;
	__builtin_memcpy(&dst, &ip.daddr, sizeof(dst));
	__builtin_memcpy(&hoa, &ip.saddr, sizeof(hoa));
	if (!bpf_map_lookup_elem(&locals, &dst) || !is_signalling(skb, ip.nexthdr, &hoa))
		return TC_ACT_UNSPEC;
	size = sizeof(ip) + bpf_ntohs(ip.payload_len);
	if (size > skb->len - ETH_HLEN) /* truncated: let the decoder say so */
		size = skb->len - ETH_HLEN;
	r = is_crowd(&hoa) ? hand_over_in(skb, &crowd, size) : hand_over_in(skb, &ring, size);
	if (r < 0)
		__sync_fetch_and_add(&lost, 1);
	return TC_ACT_SHOT;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

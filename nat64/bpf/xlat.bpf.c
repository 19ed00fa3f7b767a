// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/* xlat.bpf.c - the translator's fast path at the ingress of an Ethernet interface: RFC 7915 for
 * packets with plain headers, those of many segments (GSO) in one piece.  A packet is ours if its
 * route leads to the TUN device.  One that is the least bit special is left alone, before anything
 * of it was changed, and goes on to the TUN engine by that route: no ICMP error is made here, and
 * only a failure half way drops a packet. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "nat64/bpf/gso.h"
#include "nat64/bpf/lookup.h"
#include "nat64/bpf/way.h"
#include "nat64/core/xlat.h"

#define IP4_HDR_SIZE 20
#define IP6_HDR_SIZE 40
#define FRAG_SIZE    8
#define UDP_SIZE     8
#define L4_SIZE      20 /* octets of the transport header that the core looks at */
#define ROOM_FLAGS   (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)

struct frag_hdr {
	__u8 next, reserved;
	__be16 offset;
	__be32 id;
};

__u32 active; /* number of the configuration in use */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NAT64_N_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int count(__u32 why, int action)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &why);

	if (n)
		*n += 1;
	return action;
}

static __always_inline int leave(void)
{
	return count(NAT64_slow, TC_ACT_UNSPEC);
}

/* Reads the transport header at 'off' from the IP header on, and checks the packet's 'size' from
 * there.  Of a short one only what a UDP header needs is read, so that every size is a constant.
 * 0: it is cut, or of many segments and not as the kernel can change its family. */
static __always_inline int read_l4(
	struct __sk_buff *skb, __u32 off, __u32 size, __u8 proto, __u8 *l4, __u8 *l4_size)
{
	__u32 room = skb->len - ETH_HLEN;

	if (size > room || size < off)
		return 0;
	if (size - off >= L4_SIZE) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + off, l4, L4_SIZE))
			return 0;
		*l4_size = L4_SIZE;
	} else if (size - off >= UDP_SIZE) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + off, l4, UDP_SIZE))
			return 0;
		*l4_size = UDP_SIZE;
	}
	return !skb->gso_size ||
	       (proto == XLAT_TCP && size == room && *l4_size == L4_SIZE && !gso_is_fraglist(skb));
}

/* Puts the new header in the place of the old one.  1; 0: nothing was changed; -1: half way. */
static __always_inline int splice(struct __sk_buff *skb, const struct nat64_plan *p, __u32 size)
{
	int to6 = p->why == NAT64_translated_4to6;
	int room = (int)p->hdr_size - p->cut - (to6 ? 20 : -20); /* for a fragment header */

	/* Link-layer padding; it is never behind a packet of many segments. */
	if (skb->len > ETH_HLEN + size && bpf_skb_change_tail(skb, ETH_HLEN + size, 0))
		return 0;
	if (room && bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, ROOM_FLAGS))
		return 0;
	if (bpf_skb_change_proto(skb, to6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP), 0))
		return room ? -1 : 0;
	if (!to6)
		return bpf_skb_store_bytes(
			       skb, ETH_HLEN, p->hdr, IP4_HDR_SIZE, BPF_F_RECOMPUTE_CSUM)
			       ? -1
			       : 1;
	if (p->hdr_size == IP6_HDR_SIZE)
		return bpf_skb_store_bytes(
			       skb, ETH_HLEN, p->hdr, IP6_HDR_SIZE, BPF_F_RECOMPUTE_CSUM)
			       ? -1
			       : 1;
	return bpf_skb_store_bytes(
		       skb, ETH_HLEN, p->hdr, IP6_HDR_SIZE + FRAG_SIZE, BPF_F_RECOMPUTE_CSUM)
		       ? -1
		       : 1;
}

/* The transport checksum, be it complete, partial (the field holds the pseudo-header's sum) or
 * known to the device (the kernel keeps the sum of the whole packet).  BPF_F_PSEUDO_HDR: the change
 * is of something that isn't in the packet, the IP header having been accounted for by its store;
 * an ICMP type is, and is changed behind the device's back, which its own delta makes good. */
static __always_inline int fix_l4(
	struct __sk_buff *skb, const struct nat64_plan *p, __u8 proto, __u8 old_type)
{
	__u32 off = ETH_HLEN + p->hdr_size, field = off + p->csum_off, pseudo = p->csum_delta;
	__u32 type, flags = BPF_F_PSEUDO_HDR;

	if (p->set_l4_type) {
		type = csum_sub(
			csum_host16((__u16)(p->l4_type << 8)), csum_host16((__u16)(old_type << 8)));
		pseudo = csum_sub(pseudo, type);
		if (bpf_skb_store_bytes(skb, off, &p->l4_type, 1, 0) ||
			bpf_l4_csum_replace(skb, field, 0, type, 0))
			return -1;
	}
	if (proto == XLAT_UDP || proto == XLAT_UDPLITE) /* zero says that there is none */
		flags |= BPF_F_MARK_MANGLED_0;
	return bpf_l4_csum_replace(skb, field, 0, pseudo, flags);
}

/* Did a sum of all its octets come with the packet (CHECKSUM_COMPLETE)? */
static __always_inline int has_sum(struct __sk_buff *skb)
{
	return bpf_csum_update(skb, 0) >= 0;
}

/* To the next hop.  The kernel adds the link-layer header that the packet has now to its sum, puts
 * another in its place, and a receiver on this machine subtracts that one: so it must be there. */
static __always_inline int to_next_hop(struct __sk_buff *skb, struct way *w)
{
	if (!w->nh.nh_family)
		return bpf_redirect_neigh(w->oif, 0, 0, 0);
	if (has_sum(skb) && bpf_skb_store_bytes(skb, 0, &w->eth, sizeof(w->eth), 0))
		return TC_ACT_SHOT;
	return bpf_redirect_neigh(w->oif, &w->nh, sizeof(w->nh), 0);
}

/* A packet of one segment can't enter by a device with a smaller MTU. */
static __always_inline int fits_stack(struct __sk_buff *skb, __u32 size)
{
	return skb->gso_size || !bpf_check_mtu(skb, tun_ifindex, &size, 0, 0);
}

/* Into the kernel by the TUN device, as if the TUN engine had translated it. */
static __always_inline int to_stack(struct __sk_buff *skb, const struct nat64_plan *p)
{
	__be16 proto = p->why == NAT64_translated_4to6 ? bpf_htons(ETH_P_IPV6)
						       : bpf_htons(ETH_P_IP);

	if (bpf_skb_store_bytes(skb, ETH_HLEN - sizeof(proto), &proto, sizeof(proto), 0))
		return TC_ACT_SHOT;
	return bpf_redirect(tun_ifindex, BPF_F_INGRESS);
}

/* 'size': octets of the packet from the IP header on. */
static __always_inline int carry_out(struct __sk_buff *skb, const struct nat64_conf *c,
	struct way *w, const struct nat64_plan *p, __u32 size, __u8 proto, const __u8 *l4)
{
	__u32 segment = p->hdr_size + xlat_segment(proto, l4, size - p->cut, skb->gso_size);
	int done;

	if ((p->why != NAT64_translated_4to6 && p->why != NAT64_translated_6to4) || p->split_unit ||
		!way_find(skb, p, segment, w) ||
		(c->forward_stack ? !fits_stack(skb, segment) : !w->nh.nh_family && has_sum(skb)))
		return leave();
	done = splice(skb, p, size);
	if (!done)
		return leave();
	if (done < 0 || (p->csum_off && fix_l4(skb, p, proto, l4[0])))
		return count(NAT64_no_memory, TC_ACT_SHOT);
	count(p->why, 0);
	return c->forward_stack ? to_stack(skb, p) : to_next_hop(skb, w);
}

static __always_inline int from4(struct __sk_buff *skb)
{
	__u32 conf_nr = *(volatile __u32 *)&active, slot = NAT64_SLOT(conf_nr);
	struct ip6 src = {}, dst = {};
	const struct nat64_conf *c;
	struct nat64_plan plan;
	struct xlat4 x = {};
	struct iphdr ip;
	struct way *w;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return TC_ACT_UNSPEC;
	src.w[0] = ip.saddr;
	dst.w[0] = ip.daddr;
	w = way_ask(skb, conf_nr, AF_INET, ip.tos, &src, &dst);
	if (!w)
		return TC_ACT_UNSPEC;
	c = bpf_map_lookup_elem(&confs, &slot);
	if (!c || ip.version != 4 || ip.ihl != 5 ||
		csum_fold(bpf_csum_diff(0, 0, (__be32 *)&ip, sizeof(ip), 0)) != 0xffff)
		return leave();
	x.src = ip.saddr;
	x.dst = ip.daddr;
	x.total = bpf_ntohs(ip.tot_len);
	x.id = bpf_ntohs(ip.id);
	x.frag = bpf_ntohs(ip.frag_off);
	x.ihl = IP4_HDR_SIZE;
	x.tos = ip.tos;
	x.ttl = ip.ttl;
	x.proto = ip.protocol;
	x.gso = skb->gso_size;
	x.flags = c->hairpin == NAT64_HAIRPIN_SIMPLE ? XLAT_SRC_PLAIN : 0;
	if (!read_l4(skb, IP4_HDR_SIZE, x.total, x.proto, x.l4, &x.l4_size))
		return leave();
	xlat_46(c, &slot, &x, 0, &plan);
	return carry_out(skb, c, w, &plan, x.total, x.proto, x.l4);
}

/* Fills in what a fragment header says.  0: there is something odd about it. */
static __always_inline int read_frag(struct __sk_buff *skb, struct xlat6 *x)
{
	struct frag_hdr frag;

	if (x->gso || x->payload < FRAG_SIZE ||
		bpf_skb_load_bytes(skb, ETH_HLEN + IP6_HDR_SIZE, &frag, sizeof(frag)))
		return 0;
	x->l4_off += FRAG_SIZE;
	x->has_frag = 1;
	x->proto = frag.next;
	x->frag = bpf_ntohs(frag.offset);
	x->frag_id = bpf_ntohl(frag.id);
	return 1;
}

static __always_inline int from6(struct __sk_buff *skb)
{
	__u32 conf_nr = *(volatile __u32 *)&active, slot = NAT64_SLOT(conf_nr);
	const struct nat64_conf *c;
	struct nat64_plan plan;
	struct xlat6 x = {};
	struct ipv6hdr ip;
	struct way *w;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return TC_ACT_UNSPEC;
	__builtin_memcpy(&x.src, &ip.saddr, sizeof(x.src));
	__builtin_memcpy(&x.dst, &ip.daddr, sizeof(x.dst));
	x.tc = (__u8)(ip.priority << 4 | ip.flow_lbl[0] >> 4);
	w = way_ask(skb, conf_nr, AF_INET6, x.tc, &x.src, &x.dst);
	if (!w)
		return TC_ACT_UNSPEC;
	c = bpf_map_lookup_elem(&confs, &slot);
	if (!c || ip.version != 6 || !ip.payload_len)
		return leave();
	x.payload = bpf_ntohs(ip.payload_len);
	x.l4_off = IP6_HDR_SIZE;
	x.hop_limit = ip.hop_limit;
	x.proto = ip.nexthdr;
	x.gso = skb->gso_size;
	if (x.proto == XLAT_FRAGMENT && !read_frag(skb, &x))
		return leave();
	if (!read_l4(skb, x.l4_off, IP6_HDR_SIZE + x.payload, x.proto, x.l4, &x.l4_size))
		return leave();
	xlat_64(c, &slot, &x, bpf_get_prandom_u32(), &plan);
	return carry_out(skb, c, w, &plan, IP6_HDR_SIZE + x.payload, x.proto, x.l4);
}

SEC("tc")
int nat64_ingress(struct __sk_buff *skb)
{
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return from4(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return from6(skb);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

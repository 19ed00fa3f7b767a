/* gso.h - the one thing about a packet of many segments that struct __sk_buff doesn't tell. */
#pragma once
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define GSO_FRAGLIST (1 << 18) /* the kernel's SKB_GSO_FRAGLIST */

struct sk_buff { /* libbpf finds the members' places in the running kernel */
	unsigned int end;
	unsigned char *head;
} __attribute__((preserve_access_index));

struct skb_shared_info {
	unsigned int gso_type;
} __attribute__((preserve_access_index));

/* A list of whole packets, each with headers of its own (NETIF_F_GRO_FRAGLIST): a translation would
 * reach the first one only. */
static __always_inline int gso_is_fraglist(struct __sk_buff *skb)
{
	const struct sk_buff *k = (const void *)skb;
	const struct skb_shared_info *info;
	unsigned char *head = 0;
	unsigned int end = 0, type = 0;

	if (bpf_probe_read_kernel(&head, sizeof(head), &k->head) ||
		bpf_probe_read_kernel(&end, sizeof(end), &k->end))
		return 1;
	info = (const void *)(head + end);
	return bpf_probe_read_kernel(&type, sizeof(type), &info->gso_type) || type & GSO_FRAGLIST;
}

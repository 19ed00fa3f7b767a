/* vnet.h - the virtio_net_hdr before a TUN device's packets: checksums that are still to be
 * completed and packets of many segments pass through a translation as they are.  Pure. */
#pragma once
#include <linux/virtio_net.h>
#include <stdbool.h>
#include "nat64/translate.h"

/* Linux 6.2's; older headers lack them. */
#define VNET_GSO_UDP_L4 5
#define VNET_TUN_F_USO  (0x20 | 0x40) /* TUN_F_USO4 | TUN_F_USO6 */

/* Fills in->partial_csum, is_gso and gso_size.  A partial checksum where the translation does not
 * expect one (behind extension headers, inside a tunnel's packet) is completed in 'pkt', which is
 * in->pkt.  False: header and packet contradict each other. */
bool vnet_read(const struct virtio_net_hdr *, uint8_t *pkt, struct nat64_in *in);
/* The header for what became of it.  False: it can't be said, the packet is to be dropped. */
bool vnet_write(const struct virtio_net_hdr *was, const struct nat64_in *in,
	const struct nat64_packet *, struct virtio_net_hdr *out);
